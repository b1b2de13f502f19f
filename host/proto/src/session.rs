//! One connection as both ends count it: sequence numbers, cumulative acknowledgement, lost and repeated messages.
//!
//! zmq delivers at most once. A session notices a gap, and whoever notices says so (`Reset`); what must not be lost
//! is said again by task (a client submits what has no result, an agent repeats what was not acknowledged), so nothing
//! is ever sent again at this level.

use crate::message::Message;

/// A message with the numbers of its connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The scheduler's epoch as the sender knows it, 0 before the first `Welcome`.
    pub epoch: u64,
    /// Counts the sender's messages on this connection, from 1.
    pub sequence: u64,
    /// Highest number up to which the sender has received and taken responsibility for everything.
    pub ack: u64,
    /// What is said.
    pub message: Message,
}

/// What a received number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The next one: handle it.
    Fresh,
    /// Seen before: ignore it.
    Repeated,
    /// Something before it is missing: this connection cannot be trusted any more.
    Gap,
}

/// The counters of one connection at one end. A new connection is a new session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    sent: u64,
    received: u64,
    acknowledged: u64,
    acknowledgement_sent: u64,
}

impl Session {
    /// Numbers a message that leaves now.
    pub fn stamp(&mut self, epoch: u64, message: Message) -> Packet {
        self.sent += 1;
        self.acknowledgement_sent = self.received;
        Packet { epoch, sequence: self.sent, ack: self.received, message }
    }

    /// Takes note of the numbers of a packet that arrived.
    pub fn receive(&mut self, sequence: u64, ack: u64) -> Receipt {
        if ack <= self.sent {
            self.acknowledged = self.acknowledged.max(ack);
        }
        if sequence <= self.received {
            Receipt::Repeated
        } else if sequence == self.received + 1 {
            self.received = sequence;
            Receipt::Fresh
        } else {
            Receipt::Gap
        }
    }

    /// The number of the last message that left.
    #[must_use]
    pub fn last_sent(&self) -> u64 {
        self.sent
    }

    /// Up to which number the other end has taken responsibility.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether something arrived that no message of ours has acknowledged yet.
    #[must_use]
    pub fn owes_acknowledgement(&self) -> bool {
        self.acknowledgement_sent < self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Ack;

    #[test]
    fn counts_in_order_and_notices_gaps_and_repeats() {
        let (mut near, mut far) = (Session::default(), Session::default());
        let first = near.stamp(0, Message::Ack(vec![Ack {}]));
        let second = near.stamp(0, Message::Ack(vec![Ack {}]));
        assert_eq!(far.receive(first.sequence, first.ack), Receipt::Fresh);
        assert_eq!(far.receive(first.sequence, first.ack), Receipt::Repeated);
        assert!(far.owes_acknowledgement());
        let answer = far.stamp(7, Message::Ack(vec![Ack {}]));
        assert!(!far.owes_acknowledgement());
        assert_eq!(near.receive(answer.sequence, answer.ack), Receipt::Fresh);
        assert_eq!(near.acknowledged(), 1);
        assert_eq!(far.receive(second.sequence + 1, 0), Receipt::Gap);
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_ignored() {
        let mut near = Session::default();
        near.receive(1, 99);
        assert_eq!(near.acknowledged(), 0);
    }
}
