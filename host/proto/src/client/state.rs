//! The client core itself: one connection at a time, the tasks that have not ended, and what is to be said next.

mod contact;
mod greeting;
mod receiving;
mod sending;
mod throttle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::throttle::Throttle;
use crate::{
    client::{Call, ClientConfig, Closed, Effect, Place, Wanted},
    ids::{ObjectId, PeerId, Time},
    message::{
        Ack, Credit, Failure, FailureKind, Goodbye, Heartbeat, Kind, Message, Outcome, PutObject, RegisterModule,
        Registered, ShutdownReply, TaskStats,
    },
    session::{Packet, Receipt, Session},
};

/// An acknowledgement is sent at the latest after this many messages or milliseconds.
const ACKNOWLEDGE_MESSAGES: u32 = 64;
/// See [`ACKNOWLEDGE_MESSAGES`].
const ACKNOWLEDGE_MS: u64 = 10;
/// So long a goodbye waits for its acknowledgement.
const FAREWELL_MS: u64 = 1_000;
/// A scheduler that was asked to shut down and closed the connection has this long to prove that it lives.
const SHUTDOWN_GRACE_MS: u64 = 1_000;

/// See [the module](crate::client).
#[derive(Debug)]
pub struct ClientCore {
    config: ClientConfig,
    stage: Stage,
    session: Session,
    epoch: u64,
    storage: Option<String>,
    started: Time,
    heard: Option<Time>,
    /// When something last arrived on this connection, or since when it exists.
    stirred: Time,
    next_heartbeat: Time,
    /// As configured, or shorter for a scheduler that soon gives silent clients up.
    heartbeat_ms: u64,
    owed: u32,
    owed_since: Option<Time>,
    /// Why the scheduler left, in its words.
    said: Option<String>,
    used: Credit,
    credit: Credit,
    tasks: BTreeMap<u64, Task>,
    /// Tasks to submit as credit allows; may hold numbers that have ended since.
    waiting: VecDeque<u64>,
    /// Patient calls for which the scheduler has no room, by their order; may hold numbers that have ended since.
    later: BTreeSet<(u64, u64)>,
    throttle: Option<Throttle>,
    /// Tasks whose credit is spent and that have not ended: the scheduler has them, or will.
    there: u64,
    /// What the scheduler has not acknowledged, by the sequence number it left with.
    unacknowledged: VecDeque<(u64, Sent)>,
    registrations: BTreeMap<u64, Registration>,
    modules: Vec<RegisterModule>,
    modules_sent: usize,
    /// Objects that are in use, and those of them that the scheduler is to be told of.
    objects: BTreeMap<ObjectId, PutObject>,
    untold: Vec<ObjectId>,
    /// Registrations whose `Register` goes out next.
    registers: Vec<u64>,
    /// Registrations whose `Demand` goes out next.
    demands: BTreeSet<u64>,
    withdrawn: Vec<u64>,
    cancels: Vec<u64>,
    releases: Vec<ObjectId>,
    queries: BTreeMap<u64, bool>,
    shutdowns: BTreeMap<u64, bool>,
    shutdown_grace: Option<Time>,
    /// Tasks that ended here since the last tick.
    ended: Vec<(u64, u64, Failure)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Down,
    Greeting(PeerId),
    Up(PeerId),
    /// The session is over, and the scheduler is to hear of it: what was sent on a connection that is closed may be
    /// lost.
    Leaving {
        peer: PeerId,
        /// Number of the goodbye.
        farewell: u64,
        until: Time,
    },
    Closed,
}

#[derive(Debug)]
struct Task {
    call: Call,
    /// The number of its first submission, by which patient calls that were refused are ordered.
    order: u64,
    place: Place,
    /// Its credit is spent.
    counted: bool,
    /// Somebody wants it canceled.
    canceling: bool,
    /// How often its arguments were put into the storage.
    puts: u32,
}

#[derive(Debug)]
enum Sent {
    Submits(Vec<u64>),
    Releases(Vec<ObjectId>),
}

#[derive(Debug)]
struct Registration {
    wanted: Wanted,
    known: Option<Registered>,
    /// The answer in `known` is of this epoch.
    current: bool,
    parked: bool,
    /// Calls that wait at the caller.
    demand: u64,
    /// Tasks that wait for a new answer after a restart of the scheduler.
    held: Vec<u64>,
}

impl ClientCore {
    /// A session that begins now, without a connection.
    #[must_use]
    pub fn new(config: ClientConfig, now: Time) -> Self {
        Self {
            heartbeat_ms: config.heartbeat_ms,
            config,
            stage: Stage::Down,
            session: Session::default(),
            epoch: 0,
            storage: None,
            started: now,
            heard: None,
            stirred: now,
            next_heartbeat: now,
            owed: 0,
            owed_since: None,
            said: None,
            used: Credit::default(),
            credit: Credit::default(),
            tasks: BTreeMap::new(),
            waiting: VecDeque::new(),
            later: BTreeSet::new(),
            throttle: None,
            there: 0,
            unacknowledged: VecDeque::new(),
            registrations: BTreeMap::new(),
            modules: Vec::new(),
            modules_sent: 0,
            objects: BTreeMap::new(),
            untold: Vec::new(),
            registers: Vec::new(),
            demands: BTreeSet::new(),
            withdrawn: Vec::new(),
            cancels: Vec::new(),
            releases: Vec::new(),
            queries: BTreeMap::new(),
            shutdowns: BTreeMap::new(),
            shutdown_grace: None,
            ended: Vec::new(),
        }
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now: Time, peer: PeerId, out: &mut Vec<Effect>) {
        if self.peer() == Some(peer) {
            if self.is_over() {
                return self.part_unheard(out);
            }
            if self.shutdowns.values().any(|sent| *sent) {
                self.shutdown_grace = Some(now.plus_ms(SHUTDOWN_GRACE_MS));
            } else if self.heard.is_some() {
                let seconds = self.config.timeout_ms / 1_000;
                let text =
                    format!("the connection to the scheduler is lost; connecting again, for at most {seconds} s");
                out.push(Effect::Warning(text));
            }
            self.forget_connection();
        }
    }

    /// A packet arrived.
    pub fn handle(&mut self, now: Time, peer: PeerId, packet: Packet, out: &mut Vec<Effect>) {
        if self.peer() != Some(peer) {
            return;
        }
        // A scheduler that does not know this connection cannot number its `Reset` either.
        if let Message::Reset(entries) = packet.message {
            let reason = entries.into_iter().next().map(|reset| reset.reason).unwrap_or_default();
            return self.redial(&format!("the scheduler reset the connection: {reason}"), out);
        }
        let receipt = self.session.receive(packet.sequence, packet.ack);
        if let Stage::Leaving { farewell, .. } = self.stage {
            return self.depart(receipt, farewell, out);
        }
        match receipt {
            Receipt::Fresh => {}
            Receipt::Repeated => return,
            Receipt::Gap => return self.redial("messages of the scheduler were lost", out),
        }
        self.stirred = now;
        if self.heard.is_some() || matches!(packet.message, Message::Welcome(_)) {
            self.heard = Some(now);
        }
        if !matches!(packet.message, Message::Ack(_) | Message::Pulse(_)) {
            self.owed += 1;
            self.owed_since.get_or_insert(now);
        }
        match (self.stage, packet.message) {
            (_, Message::Refused(entries)) => {
                for refused in entries {
                    if refused.kind == Kind::Hello as u16 {
                        self.close(Closed::Refused { reason: refused.reason }, out);
                        return;
                    }
                    out.push(Effect::Warning(format!(
                        "the scheduler refused a message of kind {}: {}",
                        refused.kind, refused.reason
                    )));
                }
            }
            (_, Message::Goodbye(entries)) => self.goodbye(entries.into_iter().next(), out),
            (Stage::Greeting(_), Message::Welcome(entries)) => {
                if let Some(welcome) = entries.into_iter().next() {
                    self.welcome(now, peer, welcome, out);
                }
            }
            (Stage::Up(_), message) if packet.epoch == self.epoch => {
                self.acknowledged();
                self.take(now, message, out);
            }
            (Stage::Up(_), _) => self.redial("a message of another epoch arrived", out),
            _ => self.redial("the scheduler did not answer the greeting", out),
        }
    }

    /// A packet arrived of a kind that this version does not know: only its numbers count.
    pub fn skip(&mut self, now: Time, peer: PeerId, sequence: u64, ack: u64, out: &mut Vec<Effect>) {
        if self.peer() != Some(peer) {
            return;
        }
        let receipt = self.session.receive(sequence, ack);
        if let Stage::Leaving { farewell, .. } = self.stage {
            return self.depart(receipt, farewell, out);
        }
        match receipt {
            Receipt::Fresh => {
                self.heard = self.heard.and(Some(now));
                self.stirred = now;
                self.acknowledged();
            }
            Receipt::Repeated => {}
            Receipt::Gap => self.redial("messages of the scheduler were lost", out),
        }
    }

    /// Something arrived that cannot be read: the connection cannot be trusted any more.
    pub fn garbled(&mut self, peer: PeerId, why: &str, out: &mut Vec<Effect>) {
        if self.peer() == Some(peer) {
            self.redial(why, out);
        }
    }

    /// Once per batch: expires, and sends what there is to send.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        match self.stage {
            Stage::Closed => return,
            Stage::Leaving { until, .. } if until <= now => return self.part_unheard(out),
            Stage::Leaving { .. } => return,
            Stage::Down | Stage::Greeting(_) | Stage::Up(_) => {}
        }
        for (number, tag, failure) in self.ended.drain(..) {
            out.push(Effect::Ended { number, tag, outcome: Outcome::Failed(failure), stats: TaskStats::default() });
        }
        if self.shutdown_grace.is_some_and(|grace| grace <= now) {
            return self.shut_down("the scheduler closed the connection", out);
        }
        if self.contact_deadline() <= now {
            let reason = match self.heard {
                None => Closed::NeverConnected { waited_ms: self.config.connect_timeout_ms },
                Some(heard) => Closed::Silent { silent_ms: now.since(heard) / 1_000_000, said: self.said.take() },
            };
            return self.close(reason, out);
        }
        // Every heartbeat is answered, so silence means that the connection is dead, whatever the other end thinks.
        if self.peer().is_some() && self.silence_deadline() <= now {
            return self.redial("the scheduler has been silent for too long", out);
        }
        let Stage::Up(peer) = self.stage else { return };
        self.send_registrations(peer, out);
        self.send_objects(peer, out);
        self.send_releases(peer, out);
        self.ease(now);
        self.send_submits(now, peer, out);
        self.send_requests(peer, out);
        if self.next_heartbeat <= now {
            self.next_heartbeat = now.plus_ms(self.heartbeat_ms);
            self.send(peer, Message::Heartbeat(vec![Heartbeat { sent: now.0, ..Heartbeat::default() }]), out);
        }
        let late = self.owed_since.is_some_and(|since| since.plus_ms(ACKNOWLEDGE_MS) <= now);
        if late || self.owed >= ACKNOWLEDGE_MESSAGES {
            self.send(peer, Message::Ack(vec![Ack {}]), out);
        }
    }

    /// When `tick` must be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::Closed => return None,
            Stage::Leaving { until, .. } => return Some(until),
            Stage::Down | Stage::Greeting(_) | Stage::Up(_) => {}
        }
        let mut deadline = self.contact_deadline();
        if let Some(grace) = self.shutdown_grace {
            deadline = deadline.min(grace);
        }
        if self.peer().is_some() {
            deadline = deadline.min(self.silence_deadline());
        }
        if matches!(self.stage, Stage::Up(_)) {
            deadline = deadline.min(self.next_heartbeat);
            if let Some(since) = self.owed_since {
                deadline = deadline.min(since.plus_ms(ACKNOWLEDGE_MS));
            }
            if let Some(trial) = self.next_trial() {
                deadline = deadline.min(trial);
            }
        }
        Some(deadline)
    }

    /// Asks for a function. Answered by `Registered`, `RegisterFailed` or first `Parked`.
    pub fn register(&mut self, wanted: Wanted) {
        let request = wanted.request;
        let registration =
            Registration { wanted, known: None, current: false, parked: false, demand: 1, held: Vec::new() };
        self.registrations.insert(request, registration);
        self.registers.push(request);
    }

    /// How many calls wait at the caller for a registration that has no answer yet (1 at first: the asker itself);
    /// 0 withdraws it, and no answer follows.
    pub fn demand(&mut self, request: u64, held: u64) {
        let Some(registration) = self.registrations.get_mut(&request) else { return };
        registration.demand = held;
        if registration.known.is_some() {
            return;
        }
        if held == 0 {
            self.registrations.remove(&request);
            self.demands.remove(&request);
            self.withdrawn.push(request);
        } else if registration.parked {
            self.demands.insert(request);
        }
    }

    /// Announces a module whose bytes the caller puts into the object storage.
    pub fn register_module(&mut self, module: RegisterModule) {
        self.modules.push(module);
    }

    /// Takes a call. No number may be used twice. Its one `Effect::Ended` comes out of a later `handle` or `tick`.
    pub fn submit(&mut self, number: u64, call: Call) {
        self.submit_again_as(number, number, call);
    }

    /// As [`ClientCore::submit`], for a call that the scheduler had no room for: see [`Effect::Refused`].
    pub fn submit_again_as(&mut self, number: u64, order: u64, call: Call) {
        let (tag, is_over) = (call.tag, self.is_over());
        let registration = self.registrations.get_mut(&call.registration).filter(|_| !is_over);
        let Some(registration) = registration else {
            let message = "the function is not registered (any more)".to_owned();
            self.ended.push((number, tag, failure(FailureKind::Rejected, message)));
            return;
        };
        if registration.current {
            self.waiting.push_back(number);
        } else {
            registration.held.push(number);
            self.demands.extend(registration.parked.then_some(call.registration));
        }
        self.tasks.insert(number, Task { call, order, place: Place::Held, counted: false, canceling: false, puts: 0 });
    }

    /// Cancels a task; its `Effect::Ended` says whether that came in time. Unknown numbers are ignored.
    pub fn cancel(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        if task.counted {
            if !task.canceling {
                task.canceling = true;
                self.cancels.push(number);
            }
        } else if let Some(task) = self.tasks.remove(&number) {
            self.ended.push((number, task.call.tag, canceled()));
        }
    }

    /// Announces an object that the caller has put into the object storage; it lives until it is released.
    pub fn put_object(&mut self, put: PutObject) {
        self.untold.push(put.object);
        self.objects.insert(put.object, put);
    }

    /// A stored result, or an object of its own, is no longer needed.
    pub fn release(&mut self, object: ObjectId) {
        self.objects.remove(&object);
        self.releases.push(object);
    }

    /// Asks for a picture of the cluster.
    pub fn query(&mut self, request: u64) {
        self.queries.insert(request, false);
    }

    /// Asks the scheduler to end itself and all clusters. If it does, the session is over as well.
    pub fn shutdown(&mut self, request: u64) {
        self.shutdowns.insert(request, false);
    }

    /// Leaves: all open tasks end as canceled, the scheduler is told, `Effect::Closed` comes last. The connection must
    /// stay open, and the core be driven, until [`is_gone`](Self::is_gone).
    pub fn leave(&mut self, now: Time, reason: &str, out: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        let peer = if let Stage::Up(peer) = self.stage { Some(peer) } else { None };
        if let Some(peer) = peer {
            self.send_releases(peer, out);
            self.send(peer, Message::Goodbye(vec![Goodbye { reason: reason.to_owned() }]), out);
        }
        self.close(Closed::Left, out);
        if let Some(peer) = peer {
            let (farewell, until) = (self.session.last_sent(), now.plus_ms(FAREWELL_MS));
            self.stage = Stage::Leaving { peer, farewell, until };
        }
    }

    /// Where a task is; `None` when it has ended or never was.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<Place> {
        self.tasks.get(&number).map(|task| task.place)
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.tasks.len()
    }

    /// The numbers of the tasks that have not ended and whose [`Call::tag`] is wanted.
    #[must_use]
    pub fn unfinished_with(&self, mut wanted: impl FnMut(u64) -> bool) -> Vec<u64> {
        self.tasks.iter().filter(|(_, task)| wanted(task.call.tag)).map(|(number, _)| *number).collect()
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. } | Stage::Closed)
    }

    /// Whether the connection may be closed: the session is over, and nobody has to hear of it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// The epoch of the scheduler, 0 before the first connection.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who this is.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    // --- connection

    fn peer(&self) -> Option<PeerId> {
        match self.stage {
            Stage::Greeting(peer) | Stage::Up(peer) | Stage::Leaving { peer, .. } => Some(peer),
            Stage::Down | Stage::Closed => None,
        }
    }

    fn shut_down(&mut self, reason: &str, out: &mut Vec<Effect>) {
        while let Some((request, _)) = self.shutdowns.pop_first() {
            out.push(Effect::ShutdownReply(ShutdownReply { request, accepted: true, reason: reason.to_owned() }));
        }
        self.close(Closed::ShutDown, out);
    }

    fn close(&mut self, reason: Closed, out: &mut Vec<Effect>) {
        self.stage = Stage::Closed;
        for (number, tag, failure) in self.ended.drain(..) {
            out.push(Effect::Ended { number, tag, outcome: Outcome::Failed(failure), stats: TaskStats::default() });
        }
        for (number, task) in std::mem::take(&mut self.tasks) {
            let outcome = Outcome::Failed(match reason {
                Closed::Left => canceled(),
                _ => failure(FailureKind::Aborted, reason.to_string()),
            });
            out.push(Effect::Ended { number, tag: task.call.tag, outcome, stats: TaskStats::default() });
        }
        out.push(Effect::Closed(reason));
    }

    fn acknowledged(&mut self) {
        let acknowledged = self.session.acknowledged();
        while self.unacknowledged.front().is_some_and(|(sequence, _)| *sequence <= acknowledged) {
            if let Some((_, Sent::Submits(numbers))) = self.unacknowledged.pop_front() {
                for number in numbers {
                    if let Some(task) = self.tasks.get_mut(&number) {
                        task.place = Place::Accepted;
                    }
                }
            }
        }
    }
}

fn canceled() -> Failure {
    failure(FailureKind::Canceled, "canceled by the client".to_owned())
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message, value: None, trace: None }
}

#[cfg(test)]
mod tests;
