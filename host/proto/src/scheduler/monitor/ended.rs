//! Tasks that ended, as small as they come in: what they look like is worked out only when somebody watches.

use std::sync::Arc;

use super::totals::{Slot, Totals};
use crate::{
    ids::{AgentId, TaskId, Time},
    message::{Failure, TaskStats},
    scheduler::view::clip,
    task::State,
    view::TaskView,
};

/// Longest error text of a task in a list.
const ERROR_BYTES: usize = 400;
/// Longest trace of a failure.
const TRACE_BYTES: usize = 2_000;

/// Where a task ran.
#[derive(Clone, Debug)]
pub(in crate::scheduler) struct Ran {
    pub(in crate::scheduler) cluster: AgentId,
    pub(in crate::scheduler) worker: Arc<str>,
}

/// A task that ended. For one that succeeded it is made without an allocation, and any is copied without one.
#[derive(Clone, Debug)]
pub(in crate::scheduler) struct Ended {
    /// Counts all that ended, from 1.
    pub(in crate::scheduler) number: u64,
    pub(in crate::scheduler) task: TaskId,
    pub(in crate::scheduler) function: Slot,
    pub(in crate::scheduler) state: State,
    pub(in crate::scheduler) at: Time,
    pub(in crate::scheduler) attempt: u32,
    pub(in crate::scheduler) queued_us: u64,
    run_us: u64,
    start_us: u32,
    cpu_us: u64,
    peak_memory_bytes: u64,
    pub(in crate::scheduler) ran: Option<Ran>,
    /// Tags it asked for, if any.
    pub(in crate::scheduler) capabilities: Option<Arc<str>>,
    /// Time limit of the call itself, 0 for none.
    pub(in crate::scheduler) timeout_ms: u64,
    error: Option<Arc<str>>,
    /// Where it failed; kept with failures alone.
    trace: Option<Arc<str>>,
}

impl Ended {
    /// What is known when a task ends; the fields that others can see are for the caller to fill.
    pub(in crate::scheduler) fn new(
        (at, task): (Time, TaskId),
        function: Slot,
        state: State,
        stats: &TaskStats,
        failure: Option<&Failure>,
    ) -> Self {
        let error = |failure: &Failure| {
            let text = format!("{}: {}", failure.kind.words(), failure.message);
            clip(&text, ERROR_BYTES).into()
        };
        Self {
            number: 0,
            task,
            function,
            state,
            at,
            attempt: stats.attempt,
            queued_us: stats.queued_us,
            run_us: stats.run_us,
            start_us: stats.start_us,
            cpu_us: stats.cpu_us,
            peak_memory_bytes: stats.peak_memory_bytes,
            ran: None,
            capabilities: None,
            timeout_ms: 0,
            error: failure.map(error),
            trace: failure.and_then(|failure| failure.trace.as_deref()).map(|trace| clip(trace, TRACE_BYTES).into()),
        }
    }

    /// The same for the list of everything that ended, which is longer.
    pub(super) fn without_trace(self) -> Self {
        Self { trace: None, ..self }
    }

    /// Whether it failed, by its own fault or another's. That somebody did not want it any more is no failure.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.state, State::Failed | State::Aborted)
    }

    pub(super) fn view(&self, started: Time, totals: &Totals) -> TaskView {
        let (cluster, worker) = self.ran.as_ref().map_or_else(
            || (String::new(), String::new()),
            |ran| (ran.cluster.to_string(), ran.worker.as_ref().to_owned()),
        );
        TaskView {
            number: self.number,
            id: self.task.to_string(),
            call: totals.call(self.function).to_owned(),
            state: self.state.name().to_owned(),
            ended_ms: self.at.since(started) / 1_000_000,
            queued_us: self.queued_us,
            run_us: self.run_us,
            start_us: self.start_us,
            cpu_us: self.cpu_us,
            peak_memory_bytes: self.peak_memory_bytes,
            worker,
            cluster,
            attempt: self.attempt,
            capabilities: self.capabilities.as_deref().unwrap_or_default().to_owned(),
            timeout_ms: self.timeout_ms,
            error: self.error.as_deref().map(str::to_owned),
            trace: self.trace.as_deref().map(str::to_owned),
        }
    }
}
