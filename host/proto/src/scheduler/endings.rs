//! The ends of tasks: why, what their clients and whoever watches are told, and what leaves the books.

use crate::{
    ids::{ClientId, ObjectId, TaskId, Time},
    message::{Failure, FailureKind, Outcome, TaskResult, TaskStats},
    payload::Payload,
    task::Event,
};

use super::{
    Effect, Note, Record, Scheduler,
    monitor::{Ended, Ran},
    seeded::Fault,
    tasks::{Task, TaskKey},
};

/// How a task ended, for [`Scheduler::finish`].
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    pub(super) stats: TaskStats,
    /// Where it ran, if it did.
    pub(super) ran: Option<Ran>,
    /// The log is to tell of it: nobody else does.
    pub(super) is_told: bool,
}

impl Ending {
    pub(super) fn failed(event: Event, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { event, outcome: failure(kind, message), stats: TaskStats::default(), ran: None, is_told: false }
    }

    /// As its cluster says.
    pub(super) fn said(outcome: Outcome) -> Self {
        Self { event: event_of(&outcome), outcome, stats: TaskStats::default(), ran: None, is_told: false }
    }

    /// The scheduler gives it up, which nobody else knows the reason of.
    pub(super) fn given_up(event: Event, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { is_told: true, ..Self::failed(event, kind, message) }
    }
}

/// The outcome of a task that the scheduler lets fail.
pub(super) fn failure(kind: FailureKind, message: impl Into<String>) -> Outcome {
    Outcome::Failed(Failure { kind, message: message.into(), value: None, trace: None })
}

/// What the scheduler knows of a task that has ended.
pub(super) fn complete(stats: &mut TaskStats, now: Time, task: &Task) {
    stats.attempt = stats.attempt.max(task.attempt);
    let all_us = now.since(task.called) / 1_000;
    stats.queued_us = match (task.attempt, stats.run_us) {
        (0, _) => all_us,
        // How long it ran is not known, of a processor that died: at least it waited for its dispatch.
        (_, 0) => task.dispatched.since(task.called) / 1_000,
        (_, run_us) => all_us.saturating_sub(run_us),
    };
}

/// The payload of an outcome, if it has one.
pub(super) fn payload_of(outcome: &Outcome) -> Option<&Payload> {
    match outcome {
        Outcome::Ok(payload) => Some(payload),
        Outcome::Failed(failure) => failure.value.as_ref(),
    }
}

/// Which end an outcome is.
fn event_of(outcome: &Outcome) -> Event {
    match outcome {
        Outcome::Ok(_) => Event::Succeed,
        Outcome::Failed(failure) => match failure.kind {
            FailureKind::Canceled => Event::ConfirmCancel,
            FailureKind::WorkerLost
            | FailureKind::ObjectLost
            | FailureKind::Rejected
            | FailureKind::Busy
            | FailureKind::Aborted => Event::Abort,
            _ => Event::Fail,
        },
    }
}

impl Scheduler {
    /// Ends a task: it leaves wherever it was, and its client gets the result.
    pub(super) fn finish(&mut self, now: Time, key: TaskKey, mut ending: Ending, out: &mut Vec<Effect>) {
        if self.tasks.get(key).is_none_or(|task| task.state.after(ending.event).is_err()) {
            return;
        }
        self.detach(key);
        let Some(task) = self.retire(key, ending.event) else { return };
        if ending.event == Event::ConfirmCancel
            && let Some(by) = &task.canceled_by
        {
            let when = if task.attempt == 0 { ", before it ran" } else { "" };
            ending.outcome = failure(FailureKind::Canceled, format!("canceled by {by}{when}"));
        }
        let mut stats = ending.stats;
        if let Some(Ran { cluster, worker }) = &ending.ran
            // Whoever has a failure before them wants to know where to look, and failures are few.
            && (matches!(ending.outcome, Outcome::Failed(_)) || self.is_profiling(task.id.client))
        {
            stats.worker_name = worker.as_ref().to_owned();
            stats.cluster = cluster.to_string();
        }
        if let (true, Outcome::Failed(failure)) = (ending.is_told, &ending.outcome) {
            self.tell_failure(now, &task, &stats, failure, out);
        }
        complete(&mut stats, now, &task);
        self.note_end(now, &task, &stats, &ending.outcome, ending.ran);
        let result = TaskResult { number: task.id.number, outcome: ending.outcome, stats };
        if self.config.journal && !self.seeded.is(Fault::FinishUnwritten) {
            out.push(Effect::Persist(Record::Finished { task: task.id, result: Box::new(result.clone()) }));
        }
        if let Some(client) = self.clients.get_mut(&task.id.client) {
            client.has_ended_now(task.id.number);
        }
        self.keep(task.id.client, result);
    }

    fn is_profiling(&self, client: ClientId) -> bool {
        self.clients.get(&client).is_some_and(|client| client.profiling)
    }

    /// A line in the log, or one more of those that are only counted.
    fn tell_failure(&mut self, now: Time, task: &Task, stats: &TaskStats, failure: &Failure, out: &mut Vec<Effect>) {
        if self.failures.is_told(now) {
            out.push(Effect::Note(Note::TaskFailed {
                task: task.id,
                call: self.monitor.call(task.slot).to_owned(),
                worker: stats.worker_name.clone(),
                cluster: stats.cluster.clone(),
                kind: failure.kind,
                message: failure.message.clone(),
            }));
        }
    }

    /// Lets watchers know of the end of a task.
    pub(super) fn note_end(&mut self, now: Time, task: &Task, stats: &TaskStats, outcome: &Outcome, ran: Option<Ran>) {
        let failure = match outcome {
            Outcome::Ok(_) => None,
            Outcome::Failed(failure) => Some(failure),
        };
        let mut ended = Ended::new((now, task.id), task.slot, task.state, stats, failure);
        ended.ran = ran;
        ended.timeout_ms = task.timeout_ms;
        ended.capabilities = self.classes.get(task.class).and_then(|class| class.label.clone());
        self.monitor.ended(ended, stats);
    }

    /// Takes a task that is nowhere any more out of the books.
    pub(super) fn retire(&mut self, key: TaskKey, event: Event) -> Option<Task> {
        self.tasks.step(key, event).ok()?;
        let task = self.tasks.remove(key)?;
        self.classes.leave(task.class);
        self.forget_arguments(task.id, &task.arguments);
        if let Some(client) = self.clients.get_mut(&task.id.client) {
            client.free(task.arguments.inline_length());
        }
        Some(task)
    }

    /// Deletes stored arguments that belong to the task alone.
    pub(super) fn forget_arguments(&mut self, task: TaskId, arguments: &Payload) {
        if let Payload::Stored { id, .. } = arguments
            && *id == ObjectId::arguments(task)
            && !self.seeded.is(Fault::KeepArguments)
        {
            self.delete(*id);
        }
    }
}
