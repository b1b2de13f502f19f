//! What must hold, told by what is seen on the wire, at the clients and in the view.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    capability::Capabilities,
    ids::{ClientId, ObjectId, PeerId, TaskId},
    message::{FailureKind, Message, Outcome, ReturnReason, StopReason},
    scheduler::{Effect, Record},
    task::State,
    view::View,
};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) invariant: &'static str,
    pub(super) what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

pub(super) type Checked = Result<(), Violation>;

pub(super) fn must(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

/// What is remembered of the history to judge the next step.
#[derive(Default)]
pub(super) struct Checks {
    /// What each task asks for.
    pub(super) wanted: BTreeMap<TaskId, Capabilities>,
    /// Most deaths that may be charged to one task.
    max_attempts: u32,
    journal: bool,
    /// Results sent on each connection, with the number of the message that took them.
    delivered: BTreeMap<PeerId, BTreeMap<u64, u64>>,
    /// Tasks whose client has acknowledged their result.
    acknowledged: BTreeSet<TaskId>,
    /// Attempts that an agent has been given on each connection, minus those it has answered.
    outstanding: BTreeMap<PeerId, BTreeSet<(TaskId, u32)>>,
    /// Attempts that were sent to anybody.
    attempts: BTreeSet<(TaskId, u32)>,
    /// What all workers behind a connection may hold.
    pub(super) queues: BTreeMap<PeerId, u64>,
    /// The tags of each worker behind a connection.
    pub(super) tags: BTreeMap<PeerId, Vec<Capabilities>>,
    deaths: BTreeMap<TaskId, u32>,
    /// Connections that were told to say hello again.
    reset: BTreeSet<PeerId>,
    submitted: BTreeMap<ClientId, BTreeSet<u64>>,
    credit: BTreeMap<ClientId, u64>,
    accepted: BTreeSet<TaskId>,
    finished: BTreeSet<TaskId>,
    ended: BTreeSet<TaskId>,
    terminal: u64,
    /// Objects that a task needed that was sent to a cluster.
    used: BTreeSet<ObjectId>,
}

impl Checks {
    pub(super) fn new(max_attempts: u32, journal: bool) -> Self {
        Self { max_attempts, journal, ..Self::default() }
    }

    /// A task that is sent to a cluster needs this object.
    pub(super) fn using(&mut self, object: ObjectId) {
        self.used.insert(object);
    }

    /// Whether a task needed it that was sent to a cluster.
    pub(super) fn used(&self, object: &ObjectId) -> bool {
        self.used.contains(object)
    }

    /// What arrives at the scheduler; the deaths that it reports, for [`Self::heard`].
    pub(super) fn arriving(
        &mut self,
        peer: PeerId,
        client: Option<ClientId>,
        message: &Message,
    ) -> Result<Vec<TaskId>, Violation> {
        let mut deaths = Vec::new();
        match message {
            // What an agent holds from its last connection it keeps, but for what it is told to discard.
            Message::Hello(hellos) => {
                let holds = hellos.iter().flat_map(|hello| &hello.holds);
                self.outstanding.entry(peer).or_default().extend(holds.map(|held| (held.task, held.attempt)));
            }
            Message::Done(dones) => {
                let outstanding = self.outstanding.entry(peer).or_default();
                dones.iter().for_each(|done| {
                    outstanding.remove(&(done.task, done.attempt));
                });
            }
            Message::Returned(returns) => {
                for returned in returns {
                    let (task, attempt) = (returned.attempt.task, returned.attempt.attempt);
                    let had = self.outstanding.entry(peer).or_default().remove(&(task, attempt));
                    if had && returned.reason == ReturnReason::ProcessorDied {
                        deaths.push(task);
                    }
                }
            }
            Message::Submit(submits) => {
                let Some(client) = client else { return Ok(deaths) };
                let submitted = self.submitted.entry(client).or_default();
                submitted.extend(submits.iter().map(|submit| submit.number));
                let (used, credit) = (submitted.len() as u64, self.credit.get(&client).copied().unwrap_or(0));
                must(used <= credit, "credit", || format!("{client} submitted {used} of {credit}"))?;
            }
            _ => {}
        }
        Ok(deaths)
    }

    /// The scheduler has heard of these deaths, and that its client received so many messages, unless it did not trust
    /// the connection any more.
    pub(super) fn heard(&mut self, peer: PeerId, deaths: Vec<TaskId>, client: Option<ClientId>, ack: u64) {
        if self.reset.contains(&peer) {
            return;
        }
        deaths.into_iter().for_each(|task| *self.deaths.entry(task).or_default() += 1);
        let Some((client, sent)) = client.zip(self.delivered.get(&peer)) else { return };
        let received = sent.iter().filter(|(_, sequence)| **sequence <= ack);
        self.acknowledged.extend(received.map(|(number, _)| TaskId { client, number: *number }));
    }

    /// What the scheduler does, in its order.
    pub(super) fn performing(&mut self, effect: &Effect, client: impl Fn(PeerId) -> Option<ClientId>) -> Checked {
        match effect {
            Effect::Persist(Record::Accepted { task, .. }) => {
                self.accepted.insert(*task);
            }
            Effect::Persist(Record::Finished { task, .. }) => {
                must(self.finished.insert(*task), "one terminal state", || format!("{task} finished twice"))?;
            }
            Effect::Persist(Record::Delivered { task }) => {
                must(self.finished.remove(task), "one delivery", || format!("{task} was delivered, but not finished"))?;
            }
            Effect::Send(peer, packet) => self.sending(*peer, client(*peer), packet.sequence, &packet.message)?,
            _ => {}
        }
        Ok(())
    }

    fn sending(&mut self, peer: PeerId, client: Option<ClientId>, sequence: u64, message: &Message) -> Checked {
        match (message, client) {
            (Message::Run(runs), _) => {
                for run in runs {
                    let wanted = self.wanted.get(&run.task);
                    must(wanted == Some(&run.capabilities), "tags", || {
                        format!("{} asked for {wanted:?} and runs with {:?}", run.task, run.capabilities)
                    })?;
                    let workers = self.tags.get(&peer).map_or(&[][..], Vec::as_slice);
                    must(workers.iter().any(|tags| tags.satisfy(&run.capabilities)), "tags", || {
                        format!("{} asks for `{}` and goes to a cluster with {workers:?}", run.task, run.capabilities)
                    })?;
                    let deaths = self.deaths.get(&run.task).copied().unwrap_or(0);
                    must(deaths < self.max_attempts, "attempts", || {
                        format!("{} runs after {deaths} deaths", run.task)
                    })?;
                    must(!self.journal || self.accepted.contains(&run.task), "persist first", || {
                        format!("{} runs, but nobody wrote it down", run.task)
                    })?;
                    must(self.attempts.insert((run.task, run.attempt)), "one attempt", || {
                        format!("{} attempt {} was sent twice", run.task, run.attempt)
                    })?;
                    let outstanding = self.outstanding.entry(peer).or_default();
                    outstanding.insert((run.task, run.attempt));
                    let (has, may) = (outstanding.len() as u64, self.queues.get(&peer).copied().unwrap_or(0));
                    must(has <= may, "queue bounds", || {
                        format!("peer {} has {has} tasks, its workers take {may}", peer.0)
                    })?;
                }
            }
            (Message::Reset(_), _) => {
                self.reset.insert(peer);
            }
            (Message::Stop(stops), _) => {
                let outstanding = self.outstanding.entry(peer).or_default();
                for stop in stops.iter().filter(|stop| stop.reason == StopReason::Discard) {
                    outstanding.remove(&(stop.attempt.task, stop.attempt.attempt));
                }
            }
            (Message::TaskResult(results), Some(client)) => {
                for result in results {
                    let task = TaskId { client, number: result.number };
                    let earlier = self.delivered.entry(peer).or_default().insert(result.number, sequence);
                    must(earlier.is_none(), "one delivery", || {
                        format!("the result of {task} went out twice on one connection")
                    })?;
                    must(!self.acknowledged.contains(&task), "one delivery", || {
                        format!("the result of {task} went out again, though its client had acknowledged it")
                    })?;
                    let is_rejected =
                        matches!(&result.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Rejected);
                    must(!self.journal || is_rejected || self.finished.contains(&task), "persist first", || {
                        format!("the result of {task} went out, but nobody wrote it down")
                    })?;
                }
            }
            (Message::Welcome(welcomes), Some(client)) => {
                if !welcomes[0].resumed {
                    // It was forgotten: its tasks are new ones, under their old numbers.
                    self.submitted.remove(&client);
                    self.deaths.retain(|task, _| task.client != client);
                    self.attempts.retain(|(task, _)| task.client != client);
                    self.acknowledged.retain(|task| task.client != client);
                }
                self.credit.insert(client, welcomes[0].credit.tasks);
            }
            (Message::Credit(credits), Some(client)) => {
                let known = self.credit.entry(client).or_default();
                *known = credits.iter().map(|credit| credit.tasks).fold(*known, u64::max);
            }
            _ => {}
        }
        Ok(())
    }

    /// A client reports the end of one of its calls.
    pub(super) fn ending(&mut self, task: TaskId, outcome: &Outcome, allowed: &[Option<FailureKind>]) -> Checked {
        must(self.ended.insert(task), "one delivery", || format!("{task} ended twice at its client"))?;
        let kind = match outcome {
            Outcome::Ok(_) => None,
            Outcome::Failed(failure) => Some(failure.kind),
        };
        let deaths = self.deaths.get(&task).copied().unwrap_or(0);
        must(kind != Some(FailureKind::ProcessorDied) || deaths == self.max_attempts, "attempts", || {
            format!("{task} ended after {deaths} deaths of its processor: {outcome:?}")
        })?;
        must(allowed.contains(&kind), "outcomes", || format!("{task} ended as {outcome:?}, not as one of {allowed:?}"))
    }

    /// The totals only ever grow.
    pub(super) fn looking(&mut self, view: &View) -> Checked {
        let terminal =
            State::ALL.iter().filter(|state| state.is_terminal()).map(|state| view.tasks[state.name()]).sum();
        must(terminal >= self.terminal, "totals", || format!("{terminal} ended tasks after {}", self.terminal))?;
        self.terminal = terminal;
        Ok(())
    }
}

/// Tasks that have not ended, by the view.
pub(super) fn live(view: &View) -> u64 {
    State::ALL.iter().filter(|state| !state.is_terminal()).map(|state| view.tasks[state.name()]).sum()
}

/// Whether a watcher sees what the scheduler sees, but for what changes with every message and every moment.
pub(super) fn same_picture(mirror: &View, view: &View) -> bool {
    let still = |view: &View| {
        let mut view = view.clone();
        view.scheduler.uptime_ms = 0;
        view.scheduler.sent.clear();
        view.scheduler.received.clear();
        view.history.clear();
        view.workers.iter_mut().for_each(|worker| (worker.last_seen_ms, worker.lag_us) = (0, 0));
        view.clients.iter_mut().for_each(|client| client.last_seen_ms = 0);
        view.workers.sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
        view.clients.sort_by(|a, b| a.id.cmp(&b.id));
        view.functions.sort_by(|a, b| a.call.cmp(&b.call));
        view
    };
    still(mirror) == still(view)
}
