//! The agent's end of its one connection: greeting, batches, what is not acknowledged yet, heartbeats.

use std::collections::VecDeque;

use super::{AgentConfig, Effect, Note};
use crate::{
    ids::{PeerId, Time},
    message::{
        Ack, Attempt, Done, Goodbye, Heartbeat, Hello, Leaving, LogLine, Message, ModuleInfo, Modules, Outcome, Ready,
        Returned, Role, Running, Welcome,
    },
    payload::Payload,
    session::{Packet, Receipt, Session},
};

/// A batch is split at this many entries or bytes.
const BATCH_ENTRIES: usize = 256;
const BATCH_BYTES: u64 = 256 * 1024;
/// An acknowledgement travels alone when nothing else left for this long, or when this much was received.
const ACK_DELAY_MS: u64 = 10;
const ACK_MESSAGES: u32 = 64;
/// Why it leaves, as it is told: a scheduler shows no more.
const REASON_BYTES: usize = 400;

#[derive(Debug)]
struct Connection {
    peer: PeerId,
    session: Session,
    is_welcome: bool,
    is_ready_said: bool,
    heard: Time,
    ack_due: Option<Time>,
    unanswered: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Uplink {
    connection: Option<Connection>,
    epoch: u64,
    storage_address: Option<String>,
    alone_since: Option<Time>,
    next_heartbeat: Time,
    pub(super) retry_at: Option<Time>,
    pub(super) modules_changed: bool,
    pub(super) dones: Vec<Done>,
    pub(super) returned: Vec<Returned>,
    pub(super) running: Vec<Running>,
    /// What guests wrote; bounded by whoever adds to it.
    pub(super) lines: Vec<LogLine>,
    /// Half of the last round trip of a heartbeat.
    lag_us: u32,
    /// Sent, with the number of the message that carried them.
    unacked: VecDeque<(u64, Vec<Done>)>,
}

impl Uplink {
    pub(super) fn new(now: Time) -> Self {
        Self {
            connection: None,
            epoch: 0,
            storage_address: None,
            alone_since: Some(now),
            next_heartbeat: now,
            retry_at: None,
            modules_changed: false,
            dones: Vec::new(),
            returned: Vec::new(),
            running: Vec::new(),
            lines: Vec::new(),
            lag_us: 0,
            unacked: VecDeque::new(),
        }
    }

    pub(super) fn is_of(&self, peer: PeerId) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.peer == peer)
    }

    pub(super) fn is_welcome(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_welcome)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Since when there has been no scheduler.
    pub(super) fn alone_since(&self) -> Option<Time> {
        self.alone_since
    }

    /// Everything that was said is taken responsibility for, and nothing is left to say.
    pub(super) fn is_settled(&self) -> bool {
        self.unacked.is_empty() && self.is_flushed()
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.dones.is_empty() && self.returned.is_empty()
    }

    /// A new connection: the greeting, with everything that is still held.
    pub(super) fn connected(
        &mut self,
        now: Time,
        peer: PeerId,
        config: &AgentConfig,
        mut holds: Vec<Attempt>,
        is_ready: bool,
    ) -> Packet {
        // What was not acknowledged is said again, before anything newer.
        let mut dones: Vec<Done> = self.unacked.drain(..).flat_map(|(_, dones)| dones).collect();
        dones.append(&mut self.dones);
        self.dones = dones;
        holds.extend(self.dones.iter().map(|done| Attempt { task: done.task, attempt: done.attempt }));
        holds.extend(self.returned.iter().map(|returned| returned.attempt));
        self.running.clear();
        let hello = Hello {
            build: config.build.clone(),
            epoch: self.epoch,
            workers: config.workers.clone(),
            holds,
            ready: is_ready,
            heartbeat_ms: config.heartbeat_interval_ms,
            task_timeout_ms: config.task_timeout_ms,
            task_memory_limit_bytes: config.task_memory_limit_bytes,
            ..Hello::new(Role::Agent, config.id.0, config.name.clone())
        };
        let mut session = Session::default();
        let packet = session.stamp(0, Message::Hello(vec![hello]));
        self.connection = Some(Connection {
            peer,
            session,
            is_welcome: false,
            is_ready_said: false,
            heard: now,
            ack_due: None,
            unanswered: 0,
        });
        self.retry_at = None;
        packet
    }

    pub(super) fn disconnected(&mut self, now: Time) {
        self.connection = None;
        self.retry_at = None;
        self.alone_since.get_or_insert(now);
    }

    pub(super) fn receive(&mut self, now: Time, packet: &Packet) -> Receipt {
        let Some(connection) = &mut self.connection else { return Receipt::Repeated };
        let receipt = connection.session.receive(packet.sequence, packet.ack);
        let acknowledged = connection.session.acknowledged();
        while self.unacked.front().is_some_and(|(number, _)| *number <= acknowledged) {
            self.unacked.pop_front();
        }
        connection.heard = now;
        connection.unanswered += 1;
        // An acknowledgement owes no acknowledgement, or two idle peers would never be still.
        if !matches!(packet.message, Message::Ack(_)) {
            connection.ack_due.get_or_insert(now.plus_ms(ACK_DELAY_MS));
        }
        receipt
    }

    /// Returns whether this is another scheduler than before.
    pub(super) fn welcome(&mut self, now: Time, welcome: &Welcome, out: &mut Vec<Effect>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        connection.is_welcome = true;
        self.alone_since = None;
        self.next_heartbeat = now;
        let is_other = self.epoch != 0 && self.epoch != welcome.epoch;
        self.epoch = welcome.epoch;
        out.push(Effect::Note(Note::Connected { epoch: welcome.epoch }));
        if let Some(address) = &welcome.object_storage_address
            && self.storage_address.as_ref() != Some(address)
        {
            self.storage_address = Some(address.clone());
            out.push(Effect::StorageAddress(address.clone()));
        }
        is_other
    }

    /// Nothing that was to be said has anybody who wants to hear it.
    pub(super) fn forget(&mut self) {
        self.dones.clear();
        self.returned.clear();
        self.running.clear();
        self.lines.clear();
        self.unacked.clear();
    }

    /// An outcome that is not wanted.
    pub(super) fn discard(&mut self, attempt: Attempt) {
        self.dones.retain(|done| (done.task, done.attempt) != (attempt.task, attempt.attempt));
    }

    /// A heartbeat of ours was answered.
    pub(super) fn pulse(&mut self, now: Time, sent: u64) {
        self.lag_us = u32::try_from(now.since(Time(sent)) / 2_000).unwrap_or(u32::MAX);
    }

    pub(super) fn heartbeat_now(&mut self, now: Time) {
        self.next_heartbeat = now;
    }

    pub(super) fn heartbeat_is_due(&self, now: Time) -> bool {
        self.is_welcome() && now >= self.next_heartbeat
    }

    pub(super) fn say_leaving(&mut self, reason: &str, out: &mut Vec<Effect>) -> bool {
        let is_welcome = self.is_welcome();
        if is_welcome {
            self.send(Message::Leaving(vec![Leaving { reason: one_line(reason) }]), out);
        }
        is_welcome
    }

    pub(super) fn say_goodbye(&mut self, reason: &str, out: &mut Vec<Effect>) {
        if self.is_welcome() {
            self.send(Message::Goodbye(vec![Goodbye { reason: one_line(reason) }]), out);
        }
    }

    /// Sends everything that is due. Returns why the connection has to be made anew, if it has to.
    pub(super) fn flush(
        &mut self,
        now: Time,
        config: &AgentConfig,
        modules: Option<&[ModuleInfo]>,
        beat: Option<Heartbeat>,
        out: &mut Vec<Effect>,
    ) -> Option<&'static str> {
        let connection = self.connection.as_ref()?;
        if self.retry_at.is_some_and(|at| now >= at) {
            return Some("the scheduler refused the greeting; trying again");
        }
        if now.since(connection.heard) >= silence_ms(config) * 1_000_000 {
            return Some("the scheduler has been silent for too long");
        }
        if !connection.is_welcome {
            return None;
        }
        let is_ready_said = connection.is_ready_said;
        if let Some(modules) = modules {
            if !is_ready_said {
                self.send(Message::Ready(vec![Ready { modules: modules.to_vec() }]), out);
                if let Some(connection) = &mut self.connection {
                    connection.is_ready_said = true;
                }
                out.push(Effect::Note(Note::Announced));
            } else if self.modules_changed {
                self.send(Message::Modules(vec![Modules { modules: modules.to_vec() }]), out);
            }
            self.modules_changed = false;
        }
        // Before the outcomes, so that a client has the lines of a task before its result.
        if !self.lines.is_empty() {
            for batch in batches(std::mem::take(&mut self.lines), |line| line.text.len() as u64) {
                self.send(Message::LogLines(batch), out);
            }
        }
        if !self.running.is_empty() {
            for batch in batches(std::mem::take(&mut self.running), |_| 0) {
                self.send(Message::Running(batch), out);
            }
        }
        if !self.dones.is_empty() {
            for batch in batches(std::mem::take(&mut self.dones), done_bytes) {
                let number = self.send(Message::Done(batch.clone()), out);
                self.unacked.push_back((number, batch));
            }
        }
        if !self.returned.is_empty() {
            for batch in batches(std::mem::take(&mut self.returned), |returned| returned.message.len() as u64) {
                self.send(Message::Returned(batch), out);
            }
        }
        if let Some(beat) = beat {
            self.next_heartbeat = now.plus_ms(config.heartbeat_interval_ms.max(1));
            self.send(Message::Heartbeat(vec![Heartbeat { sent: now.0, lag_us: self.lag_us, ..beat }]), out);
        }
        self.acknowledge(now, out);
        None
    }

    fn acknowledge(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(connection) = &mut self.connection else { return };
        if !connection.session.owes_acknowledgement() {
            connection.ack_due = None;
            connection.unanswered = 0;
            return;
        }
        if connection.unanswered >= ACK_MESSAGES || connection.ack_due.is_some_and(|due| now >= due) {
            self.send(Message::Ack(vec![Ack {}]), out);
        }
    }

    /// Sends one message and returns its number.
    fn send(&mut self, message: Message, out: &mut Vec<Effect>) -> u64 {
        let Some(connection) = &mut self.connection else { return 0 };
        connection.ack_due = None;
        connection.unanswered = 0;
        let packet = connection.session.stamp(self.epoch, message);
        let number = packet.sequence;
        out.push(Effect::Send(connection.peer, packet));
        number
    }

    pub(super) fn next_deadline(&self, config: &AgentConfig) -> Option<Time> {
        let connection = self.connection.as_ref()?;
        let silence = connection.heard.plus_ms(silence_ms(config));
        if !connection.is_welcome {
            return [self.retry_at, Some(silence)].into_iter().flatten().min();
        }
        let has_something =
            !self.is_flushed() || !self.running.is_empty() || !self.lines.is_empty() || self.modules_changed;
        let now_due = has_something.then_some(Time(0));
        [now_due, connection.ack_due, Some(self.next_heartbeat), Some(silence)].into_iter().flatten().min()
    }
}

/// Every heartbeat is answered, so silence means that the connection is dead.
fn silence_ms(config: &AgentConfig) -> u64 {
    (config.heartbeat_interval_ms * 3).max(5_000)
}

fn done_bytes(done: &Done) -> u64 {
    match &done.outcome {
        Outcome::Ok(payload) => payload.inline_length(),
        Outcome::Failed(failure) => {
            failure.message.len() as u64
                + failure.value.as_ref().map_or(0, Payload::inline_length)
                + failure.trace.as_ref().map_or(0, |trace| trace.len() as u64)
        }
    }
}

fn batches<T>(entries: Vec<T>, bytes: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let total: u64 = entries.iter().map(&bytes).sum();
    if entries.len() <= BATCH_ENTRIES && total <= BATCH_BYTES {
        return vec![entries];
    }
    let mut all = Vec::new();
    let (mut batch, mut batch_bytes) = (Vec::new(), 0);
    for entry in entries {
        let entry_bytes = bytes(&entry);
        if !batch.is_empty() && (batch.len() >= BATCH_ENTRIES || batch_bytes + entry_bytes > BATCH_BYTES) {
            all.push(std::mem::take(&mut batch));
            batch_bytes = 0;
        }
        batch_bytes += entry_bytes;
        batch.push(entry);
    }
    all.push(batch);
    all
}

/// A reason of several lines, such as one with a trace, as one; cut at a word when it is too long.
fn one_line(reason: &str) -> String {
    const CUT: &str = "...";
    let lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
    let line: String = lines.collect::<Vec<_>>().join(" / ").replace(char::is_control, " ");
    if line.len() <= REASON_BYTES {
        return line;
    }
    let start = &line[..line.floor_char_boundary(REASON_BYTES - CUT.len())];
    // A single long word is cut within.
    let end = start.rfind(' ').filter(|end| *end > 0).unwrap_or(start.len());
    format!("{}{CUT}", start[..end].trim_end_matches([' ', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_line_and_end_at_a_word() {
        assert_eq!(one_line("a\tpanic:\n\n  at main\r\n"), "a panic: / at main");
        let long = one_line(&format!("{}\nwörter {}", "x".repeat(380), "ö".repeat(40)));
        assert_eq!(long, format!("{} / wörter...", "x".repeat(380)));
        let word = one_line(&"ö".repeat(400));
        assert_eq!(word, format!("{}...", "ö".repeat(198)));
        assert_eq!(one_line(&"x".repeat(400)).len(), 400);
    }
}
