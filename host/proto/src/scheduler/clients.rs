//! Clients: what they submit, cancel and release, and the results that are kept until they have them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    ids::{ClientId, FunctionId, ObjectId, PeerId, TaskId, Time},
    message::{
        ArgumentObject, Credit, FailureKind, INLINE_MAX, Message, ModuleInfo, Outcome, PutObject, Release, Shutdown,
        ShutdownReply, StopReason, Submit, TaskResult, TaskStats,
    },
    payload::Payload,
    task::{Event, State},
};

use super::{
    Effect, Note, Record, Scheduler, SchedulerConfig,
    classes::{ClassKey, Needs},
    endings::{complete, failure, payload_of},
    output::Output,
    peers::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX},
    registrations::{Function, Registration, RegistrationState},
    seeded::Fault,
    tasks::{Task, TaskKey},
};

/// What a kept result costs besides its bytes.
const RESULT_OVERHEAD_BYTES: u64 = 64;
/// Objects named in one order to delete.
const DELETE_MAX: usize = 256;

/// Where a task number of a client stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Live(TaskKey),
    /// Its result waits for the client's acknowledgement.
    Ended,
}

#[derive(Debug)]
struct Kept {
    result: TaskResult,
    /// Number of the message it went out with, 0 if it has not on this connection.
    sequence: u64,
    bytes: u64,
}

/// What a client has used of its credit since its session began.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Tasks it submitted.
    tasks: u64,
    /// Of these, delivered.
    tasks_freed: u64,
    /// Inline argument bytes it submitted.
    bytes: u64,
    /// Of these, belonging to tasks that have ended.
    bytes_freed: u64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) peer: Option<PeerId>,
    /// As of when it lost its connection.
    pub(super) last_heard: Time,
    numbers: BTreeMap<u64, Place>,
    pub(super) unfinished: u64,
    kept: VecDeque<Kept>,
    /// Index in `kept` of the first result that has not gone out on this connection.
    unsent: usize,
    used: Used,
    /// The credit it was told last.
    told: Credit,
    /// Objects that the storage holds for it because of its tasks.
    stored: BTreeSet<ObjectId>,
    /// Objects that it put for use in many tasks.
    pub(super) objects: BTreeMap<ObjectId, PutObject>,
    /// Its results name the worker.
    pub(super) profiling: bool,
    /// What its tasks write, if it wants that.
    pub(super) output: Option<Output>,
    pub(super) modules: Vec<ModuleInfo>,
    pub(super) registrations: BTreeMap<u64, Registration>,
}

impl Client {
    pub(super) fn new(now: Time, name: String) -> Self {
        Self {
            name,
            peer: None,
            last_heard: now,
            numbers: BTreeMap::new(),
            unfinished: 0,
            kept: VecDeque::new(),
            unsent: 0,
            used: Used::default(),
            told: Credit::default(),
            stored: BTreeSet::new(),
            objects: BTreeMap::new(),
            profiling: false,
            output: None,
            modules: Vec::new(),
            registrations: BTreeMap::new(),
        }
    }

    /// Results that the storage holds for it.
    pub(super) fn stored_count(&self) -> u64 {
        self.stored.len() as u64
    }

    /// Calls that it holds until a cluster has their function.
    pub(super) fn held(&self) -> u64 {
        let held = |registration: &Registration| match registration.state {
            RegistrationState::Parked { held } => held,
            RegistrationState::Found(_) | RegistrationState::Gone => 0,
        };
        self.registrations.values().map(held).sum()
    }

    /// Results or lines are to be sent to it.
    pub(super) fn has_something(&self) -> bool {
        self.unsent < self.kept.len() || self.output.as_ref().is_some_and(Output::is_due)
    }

    pub(super) fn undelivered(&self) -> u64 {
        self.kept.len() as u64
    }

    /// On a new connection everything that was not acknowledged goes out again.
    pub(super) fn send_again(&mut self) {
        self.unsent = 0;
        self.kept.iter_mut().for_each(|kept| kept.sequence = 0);
    }

    /// The next batch of results for a message of that number, if any are due.
    pub(super) fn next_batch(&mut self, sequence: u64) -> Option<Vec<TaskResult>> {
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(BATCH_ENTRIES_MAX.min(self.kept.len() - self.unsent));
        for kept in self.kept.range_mut(self.unsent..).take(BATCH_ENTRIES_MAX) {
            bytes += kept.bytes;
            if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                break;
            }
            kept.sequence = sequence;
            batch.push(kept.result.clone());
        }
        self.unsent += batch.len();
        (!batch.is_empty()).then_some(batch)
    }

    /// What it may have submitted in all.
    pub(super) fn credit(&self, config: &SchedulerConfig) -> Credit {
        Credit {
            tasks: self.used.tasks_freed + config.client_window_tasks,
            bytes: self.used.bytes_freed + config.client_window_bytes,
        }
    }

    /// Its credit, if it has grown enough to be worth a message.
    fn news(&mut self, config: &SchedulerConfig) -> Option<Credit> {
        let credit = self.credit(config);
        let enough = credit.tasks >= self.told.tasks + (config.client_window_tasks / 8).max(1)
            || credit.bytes >= self.told.bytes + (config.client_window_bytes / 8).max(1);
        enough.then(|| {
            self.told = credit;
            credit
        })
    }

    /// Notes what a `Welcome` says.
    pub(super) fn tell(&mut self, credit: Credit) {
        self.told = credit;
    }

    /// Its tasks that have not ended.
    pub(super) fn live_tasks(&self) -> impl Iterator<Item = TaskKey> {
        self.numbers.values().filter_map(|place| match place {
            Place::Live(key) => Some(*key),
            Place::Ended => None,
        })
    }

    /// Whether a task of it has ended, but not been delivered.
    pub(super) fn has_ended(&self, number: u64) -> bool {
        matches!(self.numbers.get(&number), Some(Place::Ended))
    }

    /// A task of it has ended, and its result is on the way.
    pub(super) fn has_ended_now(&mut self, number: u64) {
        self.numbers.insert(number, Place::Ended);
    }

    /// A task of it that had so many bytes of arguments is out of the books.
    pub(super) fn free(&mut self, argument_bytes: u64) {
        self.unfinished -= 1;
        self.used.bytes_freed += argument_bytes;
    }

    fn is_over_credit(&self, config: &SchedulerConfig) -> bool {
        // Twice the window: an honest client that counts a little differently is not worth a broken connection.
        self.numbers.len() as u64 >= 2 * config.client_window_tasks
            || self.used.bytes - self.used.bytes_freed > 2 * config.client_window_bytes + INLINE_MAX as u64
    }
}

impl Scheduler {
    /// Takes tasks in, or answers why not.
    pub(super) fn submit(&mut self, now: Time, id: ClientId, submits: Vec<Submit>, out: &mut Vec<Effect>) {
        let mut last: Option<(FunctionId, Needs, ClassKey)> = None;
        for submit in submits {
            let Some(client) = self.clients.get(&id) else { return };
            match client.numbers.get(&submit.number) {
                None => {}
                Some(Place::Live(_)) => continue,
                Some(Place::Ended) => {
                    // It crossed with the result; its client has put the arguments once more.
                    self.forget_arguments(TaskId { client: id, number: submit.number }, &submit.arguments);
                    continue;
                }
            }
            if client.is_over_credit(&self.config) {
                if let Some(peer) = client.peer {
                    let kind = crate::message::Kind::Submit as u16;
                    self.peers.refuse(peer, kind, format!("{id} submits far beyond its credit; connection closed"));
                    self.distrust(now, peer, true);
                }
                return;
            }
            if let Err(refusal) = self.admit(id, &submit) {
                self.refuse(id, &submit, refusal);
                continue;
            }
            let class = match &last {
                Some((function, needs, class))
                    if *function == submit.function && needs.capabilities == submit.capabilities =>
                {
                    *class
                }
                _ => {
                    let function = self.functions.get(submit.function);
                    let needs = Needs {
                        capabilities: submit.capabilities.clone(),
                        module: function.and_then(Function::needed_module),
                        fetched: function.and_then(Function::fetched_module),
                    };
                    let class = self.classes.of(&needs);
                    last = Some((submit.function, needs, class));
                    class
                }
            };
            if let Some(refusal) = self.no_room(now, class) {
                self.refuse(id, &submit, refusal);
                continue;
            }
            self.accept(now, id, submit, class, out);
        }
    }

    fn admit(&self, id: ClientId, submit: &Submit) -> Result<(), Outcome> {
        let rejected = |message: String| Err(failure(FailureKind::Rejected, message));
        if let Some(stopping) = &self.stopping {
            return Err(failure(FailureKind::Aborted, stopping.reason.clone()));
        }
        match self.functions.get(submit.function) {
            Some(function) if function.owner.is_none_or(|owner| owner == id) => {}
            _ => {
                return rejected(format!(
                    "function number {} is not known; register the function again",
                    submit.function.0
                ));
            }
        }
        match &submit.arguments {
            Payload::Inline(bytes) if bytes.len() > INLINE_MAX => {
                return rejected(format!(
                    "arguments of {} bytes inside a message; over {INLINE_MAX} they go through the object storage",
                    bytes.len()
                ));
            }
            Payload::Frame(_) => return rejected("arguments refer to a frame that is not there".to_owned()),
            Payload::Inline(_) | Payload::Stored { .. } => {}
        }
        let known = self.clients.get(&id).map(|client| &client.objects);
        for ArgumentObject { index, object, length } in &submit.objects {
            if known.and_then(|known| known.get(object)).is_none_or(|put| put.length != *length) {
                let text = format!("argument {}: object {object} is not known (any more); send it again", index + 1);
                return Err(failure(FailureKind::ObjectLost, text));
            }
        }
        Ok(())
    }

    /// Why a task of that class would be one too many to wait.
    fn no_room(&mut self, now: Time, class: ClassKey) -> Option<Outcome> {
        let max = self.config.waiting_max.filter(|max| self.tasks.total(State::Waiting) >= *max)?;
        // What can run at once does not wait, so it is placed before it is counted.
        self.schedule(now);
        if self.tasks.total(State::Waiting) < max || self.has_room(class) {
            return None;
        }
        let text = match max {
            0 => {
                "every worker has as much as it takes, and none may wait (max_number_of_tasks_waiting is 0)".to_owned()
            }
            _ => format!("{max} tasks wait already (max_number_of_tasks_waiting)"),
        };
        Some(failure(FailureKind::Busy, format!("{text}; submit again later")))
    }

    fn accept(&mut self, now: Time, id: ClientId, submit: Submit, class: ClassKey, out: &mut Vec<Effect>) {
        if self.config.journal
            && let Some(function) = self.functions.get(submit.function)
        {
            out.push(Effect::Persist(Record::Accepted {
                task: TaskId { client: id, number: submit.number },
                path: function.path.clone(),
                identity: function.identity.clone(),
                info: Box::new(function.info.clone()),
                submit: Box::new(submit.clone()),
            }));
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(function) = self.functions.get_mut(submit.function) else { return };
        let slot = match function.slot {
            Some(slot) => slot,
            None => *function.slot.insert(self.monitor.slot(function.call())),
        };
        self.monitor.accepted(slot);
        self.accepted += 1;
        client.used.tasks += 1;
        client.used.bytes += submit.arguments.inline_length();
        client.unfinished += 1;
        let number = submit.number;
        let key = self.tasks.insert(Task {
            id: TaskId { client: id, number },
            function: submit.function,
            slot,
            class,
            sequence: self.accepted,
            priority: submit.priority,
            timeout_ms: submit.timeout_ms,
            retries: submit.retries,
            arguments: submit.arguments,
            objects: submit.objects,
            state: State::Waiting,
            attempt: 0,
            deaths: 0,
            losses: 0,
            misfits: 0,
            cluster: None,
            worker: None,
            position: 0,
            reserved: 0,
            called: now.minus_ms(submit.held_ms),
            dispatched: now,
            running_since: None,
            canceled_by: None,
        });
        client.numbers.insert(number, Place::Live(key));
        self.classes.join(class);
        if let Some(task) = self.tasks.get(key) {
            self.classes.enqueue(key, task);
        }
        self.wake = true;
    }

    /// Answers a submission that does not become a task.
    fn refuse(&mut self, id: ClientId, submit: &Submit, outcome: Outcome) {
        let number = submit.number;
        self.forget_arguments(TaskId { client: id, number }, &submit.arguments);
        let is_wait =
            submit.patient && matches!(&outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Busy);
        self.rejected += u64::from(!is_wait);
        if let Some(client) = self.clients.get_mut(&id) {
            client.used.tasks += 1;
            client.numbers.insert(number, Place::Ended);
        }
        self.keep(id, TaskResult { number, outcome, stats: TaskStats::default() });
    }

    /// Keeps a result for its client until the client has it.
    pub(super) fn keep(&mut self, id: ClientId, result: TaskResult) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let payload = payload_of(&result.outcome);
        if let Some(Payload::Stored { id: object, .. }) = payload {
            client.stored.insert(*object);
        }
        let bytes = payload.map_or(0, Payload::inline_length) + RESULT_OVERHEAD_BYTES;
        self.buffered += bytes;
        client.kept.push_back(Kept { result, sequence: 0, bytes });
        if let Some(peer) = client.peer {
            self.peers.gather(peer);
        }
    }

    /// The live task of that name.
    pub(super) fn live(&self, task: TaskId) -> Option<TaskKey> {
        match self.clients.get(&task.client)?.numbers.get(&task.number)? {
            Place::Live(key) => Some(*key),
            Place::Ended => None,
        }
    }

    /// Takes note of what a client has received.
    pub(super) fn settle(&mut self, id: ClientId, acknowledged: u64, out: &mut Vec<Effect>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let acknowledged = acknowledged - u64::from(self.seeded.is(Fault::DeliverAgain) && acknowledged > 0);
        while client.kept.front().is_some_and(|kept| kept.sequence != 0 && kept.sequence <= acknowledged) {
            let Some(kept) = client.kept.pop_front() else { break };
            client.unsent -= 1;
            client.numbers.remove(&kept.result.number);
            client.used.tasks_freed += 1;
            self.buffered -= kept.bytes;
            self.wake = true;
            if self.config.journal {
                let task = TaskId { client: id, number: kept.result.number };
                out.push(Effect::Persist(Record::Delivered { task }));
            }
        }
        if client.output.as_mut().is_some_and(|output| output.acknowledged(acknowledged))
            && let Some(peer) = client.peer
        {
            self.peers.gather(peer);
        }
        if let Some(peer) = client.peer
            && let Some(credit) = client.news(&self.config)
        {
            self.peers.send(peer, Message::Credit(vec![credit]));
        }
    }

    pub(super) fn release(&mut self, id: ClientId, releases: Vec<Release>) {
        for Release { object } in releases {
            let Some(client) = self.clients.get_mut(&id) else { return };
            client.objects.remove(&object);
            // Its own objects carry its number in front; what other clients own is none of its business.
            if client.stored.remove(&object) || object.0[..8] == id.0.to_be_bytes() {
                self.delete(object);
            }
        }
    }

    pub(super) fn shutdown(&mut self, now: Time, peer: PeerId, shutdowns: Vec<Shutdown>, out: &mut Vec<Effect>) {
        let accepted = !self.config.protected;
        let reason = if accepted {
            ""
        } else {
            "the scheduler is protected; start it with `--protected false` (`-p False`) to allow this"
        };
        for Shutdown { request } in shutdowns {
            let reply = ShutdownReply { request, accepted, reason: reason.to_owned() };
            self.peers.send(peer, Message::ShutdownReply(vec![reply]));
        }
        if accepted {
            self.begin_stop(now, "a client shut the scheduler down", true, out);
        }
    }

    /// A client left or (then its tasks abort) was silent for too long: its tasks end, its objects go.
    pub(super) fn forget_client(&mut self, now: Time, id: ClientId, event: Event, out: &mut Vec<Effect>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (name, unfinished) = (client.name.clone(), client.unfinished);
        out.push(Effect::Note(Note::ClientLeft { client: id, name, silent: event == Event::Abort, unfinished }));
        let numbers = std::mem::take(&mut client.numbers);
        for place in numbers.into_values() {
            let Place::Live(key) = place else { continue };
            if self.tasks.get(key).is_some_and(|task| task.state.is_at_cluster()) {
                self.stop_attempt(key, StopReason::Discard);
            }
            let ran = self.tasks.get(key).and_then(|task| self.runs_on(task));
            self.detach(key);
            if let Some(task) = self.retire(key, event) {
                let (kind, why) = match event {
                    Event::ConfirmCancel => (FailureKind::Canceled, "its client left"),
                    _ => (FailureKind::Aborted, "its client was silent for too long"),
                };
                let mut stats = TaskStats::default();
                complete(&mut stats, now, &task);
                self.note_end(now, &task, &stats, &failure(kind, why), ran);
            }
        }
        let Some(client) = self.clients.remove(&id) else { return };
        self.buffered -= client.kept.iter().map(|kept| kept.bytes).sum::<u64>();
        client.stored.into_iter().for_each(|object| self.delete(object));
        if !self.seeded.is(Fault::KeepObjects) {
            client.objects.into_keys().for_each(|object| self.delete(object));
        }
        self.functions.forget(id);
        self.wake = true;
    }

    /// Lets an object be deleted at the end of the turn.
    pub(super) fn delete(&mut self, object: ObjectId) {
        self.deletions.push(object);
    }

    pub(super) fn flush_deletions(&mut self, out: &mut Vec<Effect>) {
        while !self.deletions.is_empty() {
            let rest = self.deletions.split_off(self.deletions.len().min(DELETE_MAX));
            out.push(Effect::DeleteObjects(std::mem::replace(&mut self.deletions, rest)));
        }
    }
}
