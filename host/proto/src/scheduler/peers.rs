//! Connections: greeting, sequence numbers, what gathers for a peer during a turn and leaves at its end.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::{AgentId, ClientId, PeerId, Time},
    message::{Ack, Answer, Define, Kind, Message, Refused, Reset, Run, Stop},
    session::{Packet, Session},
};

use super::{Effect, Scheduler};

/// Entries and payload bytes after which a batch is closed and the next one begun.
pub(super) const BATCH_ENTRIES_MAX: usize = 256;
/// See [`BATCH_ENTRIES_MAX`].
pub(super) const BATCH_BYTES_MAX: u64 = 256 * 1024;
/// A connection that does not greet within this time is closed.
pub(super) const GREETING_MS: u64 = 10_000;
/// An acknowledgement waits this long for something else that can carry it: the result, the next run.
const ACK_DELAY_MS: u64 = 2;
/// Questions that a peer may ask in one turn; further ones are dropped.
const QUERIES_MAX: usize = 8;

/// What a connection has proved to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing yet.
    Greeting,
    Client(ClientId),
    Agent(AgentId),
    Monitor,
    /// Not trusted any more: whatever comes is answered once by `Reset` and ignored.
    Stale {
        told: bool,
    },
}

/// Which of the scheduler's addresses it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Main,
    Monitor,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: Session,
    pub(super) standing: Standing,
    pub(super) door: Door,
    pub(super) last_heard: Time,
    outbox: Vec<Message>,
    /// Payload bytes of the last batch in the outbox.
    outbox_bytes: u64,
    /// Something other than `Ack` came in, so that an acknowledgement must go out.
    owes: bool,
    /// In [`Peers::debts`].
    is_in_debt: bool,
    /// On the list of peers to flush.
    gathered: bool,
    queries: Vec<u64>,
    /// Closed once everything is sent.
    closing: bool,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    all: BTreeMap<PeerId, Peer>,
    gathered: Vec<PeerId>,
    /// Peers that wait for an acknowledgement, and until when it may wait, in this order.
    debts: VecDeque<(Time, PeerId)>,
    pub(super) received: BTreeMap<Kind, u64>,
    pub(super) sent: BTreeMap<Kind, u64>,
}

impl Peers {
    pub(super) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.all.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.all.iter().map(|(id, peer)| (*id, peer))
    }

    pub(super) fn insert(&mut self, now: Time, id: PeerId, door: Door) {
        self.all.insert(
            id,
            Peer {
                session: Session::default(),
                standing: Standing::Greeting,
                door,
                last_heard: now,
                outbox: Vec::new(),
                outbox_bytes: 0,
                owes: false,
                is_in_debt: false,
                gathered: false,
                queries: Vec::new(),
                closing: false,
            },
        );
    }

    pub(super) fn remove(&mut self, id: PeerId) -> Option<Peer> {
        self.all.remove(&id)
    }

    /// The peer, put on the list of those that are flushed at the end of the turn.
    pub(super) fn gather(&mut self, id: PeerId) -> Option<&mut Peer> {
        let peer = self.all.get_mut(&id)?;
        if !peer.gathered {
            peer.gathered = true;
            self.gathered.push(id);
        }
        Some(peer)
    }

    /// Lets a control message leave at the end of the turn.
    pub(super) fn send(&mut self, id: PeerId, message: Message) {
        if let Some(peer) = self.gather(id) {
            peer.outbox.push(message);
            peer.outbox_bytes = 0;
        }
    }

    /// The same, and the number that the message will have.
    pub(super) fn send_counted(&mut self, id: PeerId, message: Message) -> Option<u64> {
        let peer = self.gather(id)?;
        peer.outbox.push(message);
        peer.outbox_bytes = 0;
        Some(peer.session.last_sent() + peer.outbox.len() as u64)
    }

    pub(super) fn send_run(&mut self, id: PeerId, run: Run) {
        let Some(peer) = self.gather(id) else { return };
        let bytes = run.arguments.inline_length();
        if let Some(Message::Run(batch)) = peer.outbox.last_mut()
            && batch.len() < BATCH_ENTRIES_MAX
            && peer.outbox_bytes + bytes <= BATCH_BYTES_MAX
        {
            peer.outbox_bytes += bytes;
            batch.push(run);
        } else {
            peer.outbox_bytes = bytes;
            peer.outbox.push(Message::Run(vec![run]));
        }
    }

    pub(super) fn send_stop(&mut self, id: PeerId, stop: Stop) {
        let Some(peer) = self.gather(id) else { return };
        match peer.outbox.last_mut() {
            Some(Message::Stop(batch)) if batch.len() < BATCH_ENTRIES_MAX => batch.push(stop),
            _ => peer.outbox.push(Message::Stop(vec![stop])),
        }
    }

    pub(super) fn send_define(&mut self, id: PeerId, define: Define) {
        self.send(id, Message::Define(vec![define]));
    }

    pub(super) fn refuse(&mut self, id: PeerId, kind: u16, reason: String) {
        self.send(id, Message::Refused(vec![Refused { kind, reason }]));
    }

    pub(super) fn ask(&mut self, id: PeerId, requests: impl Iterator<Item = u64>) {
        if let Some(peer) = self.gather(id) {
            peer.queries.extend(requests);
            peer.queries.truncate(QUERIES_MAX);
        }
    }

    pub(super) fn close(&mut self, id: PeerId) {
        if let Some(peer) = self.gather(id) {
            peer.standing = Standing::Stale { told: true };
            peer.closing = true;
        }
    }

    /// Takes note that something arrived that deserves an acknowledgement.
    pub(super) fn owe(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.all.get_mut(&id) else { return };
        peer.owes = true;
        if !std::mem::replace(&mut peer.is_in_debt, true) {
            self.debts.push_back((now.plus_ms(ACK_DELAY_MS), id));
        }
    }

    /// When the next acknowledgement must leave by itself.
    pub(super) fn next_debt(&self) -> Option<Time> {
        self.debts.front().map(|(due, _)| *due)
    }

    /// Lets acknowledgements that nothing else carried leave at the end of the turn.
    fn pay_debts(&mut self, now: Time) {
        while let Some((_, id)) = self.debts.pop_front_if(|(due, _)| *due <= now) {
            let Some(peer) = self.all.get_mut(&id) else { continue };
            peer.is_in_debt = false;
            if peer.owes {
                self.gather(id);
            }
        }
    }
}

impl Scheduler {
    /// Answers on a connection that is not known or not trusted, once.
    pub(super) fn reset(&mut self, id: PeerId, reason: &str, out: &mut Vec<Effect>) {
        let reset = Message::Reset(vec![Reset { reason: reason.to_owned() }]);
        match self.peers.get_mut(id) {
            Some(Peer { standing: Standing::Stale { told: true }, .. }) => {}
            Some(peer) => {
                peer.standing = Standing::Stale { told: true };
                self.peers.send(id, reset);
            }
            None => {
                let packet = Session::default().stamp(self.config.epoch, reset);
                *self.peers.sent.entry(Kind::Reset).or_default() += 1;
                out.push(Effect::Send(id, packet));
            }
        }
    }

    /// Sends what has gathered: control messages in their order, then results, then answers, at least an `Ack`.
    pub(super) fn flush(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.peers.pay_debts(now);
        let gathered = std::mem::take(&mut self.peers.gathered);
        let mut picture = None;
        for id in gathered {
            let Some(peer) = self.peers.all.get_mut(&id) else { continue };
            peer.gathered = false;
            let standing = peer.standing;
            let mut messages = std::mem::take(&mut peer.outbox);
            let queries = std::mem::take(&mut peer.queries);
            for request in queries {
                let view = picture.get_or_insert_with(|| self.view_for_asker(now)).clone();
                messages.push(Message::Answer(vec![Answer { request, view }]));
            }
            let Some(peer) = self.peers.all.get_mut(&id) else { continue };
            let results = match standing {
                Standing::Client(client) => self.clients.get_mut(&client),
                _ => None,
            };
            if messages.is_empty() && peer.owes && results.as_ref().is_none_or(|client| !client.has_something()) {
                messages.push(Message::Ack(vec![Ack {}]));
            }
            peer.owes = false;
            let (epoch, sent) = (self.config.epoch, &mut self.peers.sent);
            let mut stamp = |session: &mut Session, message: Message| -> Packet {
                *sent.entry(message.kind()).or_default() += 1;
                session.stamp(epoch, message)
            };
            for message in messages {
                out.push(Effect::Send(id, stamp(&mut peer.session, message)));
            }
            if let Some(client) = results {
                let lines = client.output.as_mut().and_then(|output| output.take(peer.session.last_sent() + 1));
                if let Some(lines) = lines {
                    out.push(Effect::Send(id, stamp(&mut peer.session, Message::TaskLog(lines))));
                }
                while let Some(batch) = client.next_batch(peer.session.last_sent() + 1) {
                    out.push(Effect::Send(id, stamp(&mut peer.session, Message::TaskResult(batch))));
                }
            }
            if peer.closing {
                self.peers.all.remove(&id);
                out.push(Effect::Drop(id));
            }
        }
    }
}
