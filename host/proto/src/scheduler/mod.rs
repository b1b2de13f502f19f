//! The scheduler: who is connected, what waits, where it runs, who gets the result.
//!
//! The map: `peers` (connections, batches), `clients` (submissions, results until they are delivered), `cancels`,
//! `output` (what tasks write, for their clients), `clusters` (what they offer, hold and report), `classes` (waiting
//! tasks by need), `assignment` (placement and balancing), `registrations` (what names mean), `tasks` (the slab),
//! `objects`, `view`, `monitor` (who watches), `config`, `effect`, `note` (for the log). States are in
//! [`crate::task`], choices in [`crate::policy`]. Handlers change state and note what is due;
//! [`Scheduler::tick`] places, expires and sends.

mod assignment;
mod cancels;
mod classes;
mod clients;
mod clusters;
mod config;
mod effect;
mod endings;
mod monitor;
mod note;
mod objects;
mod output;
mod peers;
mod registrations;
mod seeded;
mod stranded;
mod tasks;
#[cfg(test)]
mod tests;
mod trials;
mod view;

pub use config::{AllocatePolicy, SchedulerConfig};
pub use effect::{Effect, Numbers, Record};
pub use note::{Loss, Note};
#[cfg(test)]
pub(crate) use seeded::Fault;
pub use view::Usage;

use std::collections::BTreeMap;

use crate::{
    failures::Failures,
    ids::{AgentId, ClientId, ObjectId, PeerId, Time},
    message::{
        FailureKind, Goodbye, Hello, Kind, Leave, Message, Pulse, Role, StopReason, VERSION, VERSION_MIN, Welcome,
    },
    session::{Packet, Receipt},
    task::Event,
};

use self::{
    assignment::Balance,
    classes::Classes,
    clients::Client,
    clusters::Cluster,
    endings::Ending,
    monitor::Monitor,
    output::Output,
    peers::{Door, GREETING_MS, Peers, Standing},
    registrations::{Functions, HOLD_MS, Name},
    seeded::Seeded,
    tasks::Tasks,
    view::{ERROR_BYTES, NAME_BYTES, legible},
};

/// How long a scheduler that stops waits for its clients to acknowledge what it aborted.
const STOP_MS: u64 = 1_000;
/// Workers that an agent may have.
const WORKERS_MAX: usize = 4_096;

/// A scheduler that has been told to end.
#[derive(Debug)]
struct Stopping {
    reason: String,
    deadline: Time,
    /// `Goodbye` has gone out, so has [`Effect::End`].
    ended: bool,
}

/// The scheduler's core.
///
/// For each batch of events: [`connected`](Self::connected), [`handle`](Self::handle) and
/// [`disconnected`](Self::disconnected) in the order in which they came, then [`tick`](Self::tick) once, then the
/// effects in their order; then nothing until [`next_deadline`](Self::next_deadline) or the next event.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    started: Time,
    peers: Peers,
    clients: BTreeMap<ClientId, Client>,
    clusters: BTreeMap<AgentId, Cluster>,
    tasks: Tasks,
    classes: Classes,
    functions: Functions,
    names: BTreeMap<String, Name>,
    /// Tasks accepted since the start.
    accepted: u64,
    /// Submissions refused since the start.
    rejected: u64,
    /// Bytes of results kept for clients, and reserved for results to come.
    buffered: u64,
    deletions: Vec<ObjectId>,
    balance: Balance,
    /// Something changed that may let a waiting task be placed.
    wake: bool,
    /// What names mean may have changed.
    resolve_again: bool,
    /// When something may expire; may be early, is never late.
    alarm: Option<Time>,
    /// When to tell clients of tasks that nobody can run.
    stranded_due: Option<Time>,
    /// Which tasks that it gave up the log tells of.
    failures: Failures,
    stopping: Option<Stopping>,
    usage: Usage,
    /// See [`Scheduler::set_object_storage_problem`].
    storage_problem: Option<String>,
    monitor: Monitor,
    seeded: Seeded,
}

impl Scheduler {
    /// A scheduler that nobody is connected to yet.
    #[must_use]
    pub fn new(now: Time, config: SchedulerConfig) -> Self {
        Self {
            config,
            started: now,
            peers: Peers::default(),
            clients: BTreeMap::new(),
            clusters: BTreeMap::new(),
            tasks: Tasks::default(),
            classes: Classes::default(),
            functions: Functions::default(),
            names: BTreeMap::new(),
            accepted: 0,
            rejected: 0,
            buffered: 0,
            deletions: Vec::new(),
            balance: Balance::new(now),
            wake: false,
            resolve_again: false,
            alarm: None,
            stopping: None,
            stranded_due: None,
            failures: Failures::default(),
            usage: Usage::default(),
            storage_problem: None,
            monitor: Monitor::new(now),
            seeded: Seeded::default(),
        }
    }

    /// Makes it do something wrong from now on.
    #[cfg(test)]
    pub(crate) fn seed(&mut self, fault: Fault) {
        self.seeded = Seeded::with(fault);
    }

    /// A peer connected at the scheduler's address.
    pub fn connected(&mut self, now: Time, peer: PeerId, _out: &mut Vec<Effect>) {
        self.greet(now, peer, Door::Main);
    }

    /// A peer connected at the monitor address: it may greet, ask and show that it is alive.
    pub fn connected_monitor(&mut self, now: Time, peer: PeerId, _out: &mut Vec<Effect>) {
        self.greet(now, peer, Door::Monitor);
    }

    fn greet(&mut self, now: Time, peer: PeerId, door: Door) {
        self.peers.insert(now, peer, door);
        self.alarm = Some(self.alarm.unwrap_or(now).min(now.plus_ms(GREETING_MS)));
    }

    /// A packet arrived.
    pub fn handle(&mut self, now: Time, peer: PeerId, packet: Packet, out: &mut Vec<Effect>) {
        let Packet { epoch, sequence, ack, message } = packet;
        *self.peers.received.entry(message.kind()).or_default() += 1;
        let owed = !matches!(message, Message::Ack(_));
        let Some(standing) = self.receive(now, peer, (epoch, sequence, ack), owed, out) else { return };
        if owed && !matches!(message, Message::Heartbeat(_) | Message::Query(_)) {
            self.monitor.news();
        }
        match (standing, message) {
            (_, Message::Ack(_)) => {}
            (Standing::Greeting, Message::Hello(hellos)) => {
                if let Some(hello) = hellos.into_iter().next() {
                    self.hello(now, peer, hello, out);
                }
            }
            (Standing::Greeting | Standing::Stale { .. }, message) => {
                self.peers.refuse(peer, message.kind() as u16, "say Hello first".to_owned());
            }
            (_, Message::Query(queries)) => self.peers.ask(peer, queries.into_iter().map(|query| query.request)),
            (Standing::Client(id), message) => self.client_says(now, peer, id, message, out),
            (Standing::Agent(id), message) => self.agent_says(now, peer, id, message, out),
            (Standing::Monitor, Message::Heartbeat(beats)) => self.pulse(peer, beats.iter().map(|beat| beat.sent)),
            (Standing::Monitor, Message::Watch(watches)) => self.watch(peer, watches),
            (Standing::Monitor, Message::Goodbye(_)) => {
                self.monitor.forget(peer);
                self.peers.close(peer);
            }
            (Standing::Monitor, message) => self.illegal(peer, &message, "a watcher"),
        }
    }

    /// A message of a kind arrived that this version does not know; its envelope was readable.
    pub fn handle_unknown(&mut self, now: Time, peer: PeerId, kind: u16, numbers: Numbers, out: &mut Vec<Effect>) {
        let Numbers { epoch, sequence, ack } = numbers;
        if self.receive(now, peer, (epoch, sequence, ack), true, out).is_some() {
            self.peers.refuse(peer, kind, format!("message kind {kind} is not known to protocol version {VERSION}"));
        }
    }

    /// Bytes arrived that are no message at all: the connection is told why and closed. False if that is no news.
    pub fn handle_garbage(&mut self, now: Time, peer: PeerId, reason: &str, out: &mut Vec<Effect>) -> bool {
        if self.peers.get(peer).is_none_or(|peer| matches!(peer.standing, Standing::Stale { .. })) {
            return false;
        }
        self.peers.refuse(peer, 0, reason.to_owned());
        self.desert(now, peer, Loss::Untrusted, out);
        self.peers.close(peer);
        true
    }

    /// Looks at the numbers of a packet; `None` if it is not to be handled.
    fn receive(
        &mut self,
        now: Time,
        id: PeerId,
        (epoch, sequence, ack): (u64, u64, u64),
        owed: bool,
        out: &mut Vec<Effect>,
    ) -> Option<Standing> {
        let Some(peer) = self.peers.get_mut(id) else {
            self.reset(id, "this connection is not known; say Hello on a new one", out);
            return None;
        };
        let standing = peer.standing;
        if let Standing::Stale { .. } = standing {
            self.reset(id, "this connection is not trusted any more; say Hello on a new one", out);
            return None;
        }
        peer.last_heard = now;
        match peer.session.receive(sequence, ack) {
            Receipt::Repeated => return None,
            Receipt::Fresh => {}
            Receipt::Gap => {
                self.desert(now, id, Loss::Untrusted, out);
                self.reset(id, "messages were lost on this connection", out);
                return None;
            }
        }
        let acknowledged = peer.session.acknowledged();
        if standing != Standing::Greeting && epoch != self.config.epoch {
            self.desert(now, id, Loss::Untrusted, out);
            self.reset(id, "the message is for another epoch of the scheduler", out);
            return None;
        }
        if owed {
            self.peers.owe(now, id);
        }
        match standing {
            Standing::Client(client) => self.settle(client, acknowledged, out),
            Standing::Monitor => self.watched(now, id, acknowledged),
            _ => {}
        }
        Some(standing)
    }

    fn hello(&mut self, now: Time, peer: PeerId, mut hello: Hello, out: &mut Vec<Effect>) {
        hello.name = legible(&hello.name, NAME_BYTES);
        let kind = Kind::Hello as u16;
        let door = self.peers.get(peer).map(|peer| peer.door);
        let refusal = if let Some(stopping) = &self.stopping {
            Some(format!("the scheduler is stopping: {}", stopping.reason))
        } else if hello.version_min > VERSION || hello.version_max < VERSION_MIN {
            let (min, max) = (hello.version_min, hello.version_max);
            Some(format!(
                "protocol versions {min} to {max} are not spoken here, only {VERSION_MIN} to {VERSION}; \
                 update the older program"
            ))
        } else if door == Some(Door::Monitor) && hello.role != Role::Monitor {
            Some("this is the monitor address; clients and clusters connect to the scheduler address".to_owned())
        } else if hello.role == Role::Agent && !(1..=WORKERS_MAX).contains(&hello.workers.len()) {
            Some(format!("a cluster has 1 to {WORKERS_MAX} workers, not {}", hello.workers.len()))
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.peers.refuse(peer, kind, reason);
            self.peers.close(peer);
            return;
        }
        let standing = match hello.role {
            Role::Monitor => Standing::Monitor,
            Role::Client => Standing::Client(hello.client()),
            Role::Agent => Standing::Agent(hello.agent()),
        };
        let mut welcome = Welcome {
            epoch: self.config.epoch,
            version: VERSION.min(hello.version_max),
            object_storage_address: self.config.object_storage_address.clone(),
            protected: self.config.protected,
            credit: crate::message::Credit::default(),
            timeout_ms: self.config.client_timeout_ms,
            resumed: false,
        };
        if let Standing::Client(id) = standing {
            self.greet_client(now, peer, id, &hello, &mut welcome);
            let (name, resumed) = (hello.name.clone(), welcome.resumed);
            out.push(Effect::Note(Note::ClientConnected { client: id, name, resumed }));
        }
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.standing = standing;
        }
        self.peers.send(peer, Message::Welcome(vec![welcome]));
        if let Standing::Agent(_) = standing {
            self.greet_agent(now, peer, hello, out);
        }
        self.alarm = Some(now);
    }

    fn greet_client(&mut self, now: Time, peer: PeerId, id: ClientId, hello: &Hello, welcome: &mut Welcome) {
        if let Some(former) = self.clients.get(&id).and_then(|client| client.peer) {
            self.distrust(now, former, false);
        }
        welcome.resumed = self.clients.contains_key(&id);
        let client = self.clients.entry(id).or_insert_with(|| Client::new(now, hello.name.clone()));
        client.peer = Some(peer);
        client.last_heard = now;
        client.profiling = hello.profiling;
        client.send_again();
        match &mut client.output {
            Some(output) if hello.stream_output => output.reconnected(),
            output => *output = hello.stream_output.then(Output::default),
        }
        let credit = client.credit(&self.config);
        client.tell(credit);
        welcome.credit = credit;
        // What it registered may have changed while it was away.
        self.resolve_again = true;
    }

    fn client_says(&mut self, now: Time, peer: PeerId, id: ClientId, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Submit(submits) => self.submit(now, id, submits, out),
            Message::Cancel(cancels) => self.cancel(now, id, cancels, out),
            Message::CancelTask(orders) => self.cancel_tasks(now, (id, peer), orders, out),
            Message::Release(releases) => self.release(id, releases),
            Message::PutObject(puts) => self.put_objects(id, peer, puts),
            Message::Register(registers) => self.register(now, (id, peer), registers, out),
            Message::RegisterModule(modules) => self.register_module(id, peer, modules),
            Message::Demand(demands) => self.demand(id, demands),
            Message::Heartbeat(beats) => self.pulse(peer, beats.iter().map(|beat| beat.sent)),
            Message::Shutdown(shutdowns) => self.shutdown(now, peer, shutdowns, out),
            Message::Goodbye(_) => {
                self.forget_client(now, id, Event::ConfirmCancel, out);
                self.peers.close(peer);
            }
            message => self.illegal(peer, &message, "a client"),
        }
    }

    fn agent_says(&mut self, now: Time, peer: PeerId, id: AgentId, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Done(dones) => self.done(now, id, dones, out),
            Message::Returned(returns) => self.returned(now, id, returns, out),
            Message::Running(reports) => self.running(now, id, reports),
            Message::LogLines(lines) => self.log_lines(now, id, lines),
            Message::Heartbeat(beats) => {
                self.pulse(peer, beats.iter().map(|beat| beat.sent));
                beats.into_iter().for_each(|beat| self.cluster_heartbeat(now, id, beat));
            }
            Message::Ready(readies) => {
                readies.into_iter().for_each(|ready| self.cluster_ready(now, id, ready.modules, true, out));
            }
            Message::Modules(all) => {
                all.into_iter().for_each(|all| self.cluster_ready(now, id, all.modules, false, out));
            }
            Message::Leaving(_) => self.cluster_leaving(now, id),
            Message::Goodbye(goodbyes) => {
                let reason = goodbyes.into_iter().next().map(|goodbye| goodbye.reason).unwrap_or_default();
                self.cluster_left(now, id, legible(&reason, ERROR_BYTES), out);
                self.peers.close(peer);
            }
            message => self.illegal(peer, &message, "a cluster"),
        }
    }

    fn pulse(&mut self, peer: PeerId, sent: impl Iterator<Item = u64>) {
        for sent in sent {
            let object_storage_address = self.config.object_storage_address.clone();
            self.peers.send(peer, Message::Pulse(vec![Pulse { sent, object_storage_address }]));
        }
    }

    fn illegal(&mut self, peer: PeerId, message: &Message, who: &str) {
        let kind = message.kind();
        self.peers.refuse(peer, kind as u16, format!("{who} does not send {kind:?}"));
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, now: Time, peer: PeerId, out: &mut Vec<Effect>) {
        self.desert(now, peer, Loss::Closed, out);
        self.peers.remove(peer);
    }

    /// Whoever was behind a connection is not there any more.
    fn desert(&mut self, now: Time, id: PeerId, loss: Loss, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get(id) else { return };
        match peer.standing {
            Standing::Agent(agent) => self.lose_cluster(now, agent, loss, out),
            standing => self.leave_client(standing, id),
        }
        self.monitor.forget(id);
        self.monitor.news();
        self.distrust(now, id, false);
    }

    fn leave_client(&mut self, standing: Standing, id: PeerId) {
        if let Standing::Client(client) = standing
            && let Some(client) = self.clients.get_mut(&client)
            && let Some(peer) = self.peers.get(id)
        {
            client.peer = None;
            client.last_heard = peer.last_heard;
        }
    }

    /// Nothing that comes on this connection counts any more.
    fn distrust(&mut self, now: Time, id: PeerId, close: bool) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let standing = std::mem::replace(&mut peer.standing, Standing::Stale { told: false });
        self.leave_client(standing, id);
        if close {
            self.peers.close(id);
        }
        self.alarm = Some(now);
    }

    /// Once per batch: place what waits, expire what is due, send what has gathered.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.alarm.is_some_and(|alarm| alarm <= now) {
            self.expire(now, out);
        }
        self.resolve_all(now, out);
        self.schedule(now);
        self.strand(now);
        self.balance(now);
        self.observe(now);
        out.extend(self.failures.rest(now).map(|count| Effect::Note(Note::TasksFailedMore { count })));
        self.flush(now, out);
        self.flush_deletions(out);
        self.end(now, out);
    }

    /// When `tick` must be called even if nothing arrives.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let balance = self.balances().then_some(self.balance.next);
        let stop = self.stopping.as_ref().filter(|stopping| !stopping.ended).map(|stopping| stopping.deadline);
        let failures = self.failures.next_deadline();
        let others = [balance, stop, self.stranded_due, self.peers.next_debt(), self.monitor.next_deadline(), failures];
        others.into_iter().chain([self.alarm]).flatten().min()
    }

    /// When a client or cluster was last heard.
    fn heard(&self, peer: Option<PeerId>, before: Time) -> Time {
        peer.and_then(|peer| self.peers.get(peer)).map_or(before, |peer| peer.last_heard)
    }

    /// Gives up whoever was silent for too long, and works out when to look again.
    fn expire(&mut self, now: Time, out: &mut Vec<Effect>) {
        let mut next: Option<Time> = None;
        let mut is_due = |deadline: Time| {
            if deadline > now {
                next = Some(next.map_or(deadline, |next| next.min(deadline)));
            }
            deadline <= now
        };
        let late = |(id, peer): (PeerId, &peers::Peer)| {
            (peer.standing == Standing::Greeting && is_due(peer.last_heard.plus_ms(GREETING_MS))).then_some(id)
        };
        let silent_peers: Vec<_> = self.peers.iter().filter_map(late).collect();
        let (mut silent_clients, mut silent_clusters, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (id, client) in &self.clients {
            if is_due(self.heard(client.peer, client.last_heard).plus_ms(self.config.client_timeout_ms)) {
                silent_clients.push((*id, client.peer));
            }
        }
        for (id, cluster) in &self.clusters {
            let heard = self.heard(cluster.peer, cluster.last_heard);
            if cluster.peer.is_some() && is_due(heard.plus_ms(cluster.silence_ms())) {
                silent_clusters.push((*id, cluster.peer));
            } else if cluster.peer.is_none() && is_due(heard.plus_ms(self.config.worker_timeout_ms)) {
                gone.push(*id);
            }
        }
        for name in self.names.values_mut().filter(|name| !name.expired) {
            if name.split.is_some_and(|since| is_due(since.plus_ms(HOLD_MS))) {
                name.expired = true;
                self.resolve_again = true;
            }
        }
        let orphans = self.orphans(now);
        let orphans: Vec<_> = orphans.into_iter().filter(|(_, until)| is_due(*until)).collect();
        self.alarm = next;
        for (class, _) in orphans {
            self.give_up(now, class, out);
        }
        for peer in silent_peers {
            self.peers.refuse(peer, 0, "no Hello arrived in time".to_owned());
            self.peers.close(peer);
        }
        for (id, peer) in silent_clients {
            peer.into_iter().for_each(|peer| self.distrust(now, peer, false));
            self.forget_client(now, id, Event::Abort, out);
        }
        for (id, peer) in silent_clusters {
            self.lose_cluster(now, id, Loss::Silent, out);
            peer.into_iter().for_each(|peer| self.distrust(now, peer, false));
        }
        gone.into_iter().for_each(|id| drop(self.clusters.remove(&id)));
    }

    /// Ends on purpose: clients are told why, [`Effect::End`] follows from a later `tick`.
    pub fn stop(&mut self, now: Time, reason: &str, out: &mut Vec<Effect>) {
        self.begin_stop(now, reason, false, out);
    }

    fn begin_stop(&mut self, now: Time, reason: &str, with_clusters: bool, out: &mut Vec<Effect>) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { reason: reason.to_owned(), deadline: now.plus_ms(STOP_MS), ended: false });
        let unfinished: Vec<_> = self.clients.values().flat_map(Client::live_tasks).collect();
        if !unfinished.is_empty() {
            let clients = self.clients.values().filter(|client| client.unfinished > 0).count();
            out.push(Effect::Note(Note::Aborting { tasks: unfinished.len(), clients }));
        }
        for key in unfinished {
            self.stop_attempt(key, StopReason::Discard);
            let text = format!("the scheduler ended ({reason}) and has no journal; submit again when it is back");
            self.finish(now, key, Ending::failed(Event::Abort, FailureKind::Aborted, text), out);
        }
        if with_clusters {
            let agents: Vec<_> = self.clusters.values().filter_map(|cluster| cluster.peer).collect();
            for peer in agents {
                self.peers.send(peer, Message::Leave(vec![Leave { reason: reason.to_owned() }]));
            }
        }
    }

    /// Ends once every connected client has what it is owed, or when that takes too long.
    fn end(&mut self, now: Time, out: &mut Vec<Effect>) {
        let owed = self.clients.values().any(|client| client.peer.is_some() && client.undelivered() > 0);
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.ended || (owed && now < stopping.deadline) {
            return;
        }
        stopping.ended = true;
        let reason = stopping.reason.clone();
        let known: Vec<_> = self.peers.iter().map(|(id, _)| id).collect();
        for peer in known {
            self.peers.send(peer, Message::Goodbye(vec![Goodbye { reason: reason.clone() }]));
        }
        self.flush(now, out);
        out.push(Effect::End { reason });
    }

    /// Large values go there from now on; peers that connect later are told.
    pub fn set_object_storage_address(&mut self, address: Option<String>) {
        self.config.object_storage_address = address;
    }

    /// The clients whose objects must be kept.
    pub fn owners(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }
}
