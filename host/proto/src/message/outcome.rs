//! How a task ends, and what it cost.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::payload::Payload;

/// How an attempt, and in the end a task, ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The returned value in positional MessagePack (nil if there is none); for `result<T, E>` the `ok` value.
    Ok(Payload),
    /// It failed.
    Failed(Failure),
}

/// Why a task failed, with what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// For people: what happened, and what to do.
    pub message: String,
    /// For [`FailureKind::Error`]: the `err` value in positional MessagePack.
    #[serde(default)]
    pub value: Option<Payload>,
    /// A WebAssembly trace, when there is one.
    #[serde(default)]
    pub trace: Option<String>,
}

/// The kinds of failure. User mistake, guest fault, limit, infrastructure and our own bug are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The function returned `err(e)`.
    Error,
    /// The guest panicked; the message is the panic's.
    Panic,
    /// The guest trapped.
    Trap,
    /// The guest recursed too deeply.
    StackOverflow,
    /// The task's memory limit was hit.
    MemoryLimit,
    /// The result was larger than allowed, or another host resource limit was hit.
    OutputLimit,
    /// The task ran longer than allowed.
    Timeout,
    /// A user canceled it.
    Canceled,
    /// The arguments do not fit the function.
    Arguments,
    /// The module cannot be compiled, linked or prepared.
    Module,
    /// The module's preload failed.
    Preload,
    /// The processor died `max_attempts` times while this task ran.
    ProcessorDied,
    /// Clusters were lost too often while this task ran.
    WorkerLost,
    /// An object that the task needs is gone.
    ObjectLost,
    /// The scheduler did not take it (`max_number_of_tasks_waiting`, unknown function).
    Rejected,
    /// The scheduler ended, or another decision of the system.
    Aborted,
    /// A bug of ours.
    Internal,
}

/// What is said of a task that was stopped at its limit, in the same words wherever that is noticed.
#[must_use]
pub fn timeout_message(limit_ms: u64, ran_us: u64) -> String {
    let (limit, ran) = (limit_ms as f64 / 1e3, (ran_us / 1_000) as f64 / 1e3);
    format!("the task ran longer than its limit of {limit} s: it was stopped after {ran} s")
}

impl FailureKind {
    /// A user's `cancel`, as opposed to a failure.
    #[must_use]
    pub fn is_canceled(self) -> bool {
        self == Self::Canceled
    }

    /// The task itself is to blame; retried only if the client asked for retries.
    #[must_use]
    pub fn is_of_task(self) -> bool {
        matches!(
            self,
            Self::Error
                | Self::Panic
                | Self::Trap
                | Self::StackOverflow
                | Self::MemoryLimit
                | Self::OutputLimit
                | Self::Timeout
        )
    }
}

/// What one attempt cost and where it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStats {
    /// Microseconds from the start of the instance to the end of the call.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_us: u64,
    /// Of these, making the store and the instance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_us: u32,
    /// Most guest memory in use at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub peak_memory_bytes: u64,
    /// Index of the worker within its agent, [`TaskStats::NO_WORKER`] if none had it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub worker: u16,
    /// Which attempt this was.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// Filled in by the scheduler: microseconds between acceptance and the last dispatch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued_us: u64,
    /// CPU time of the run, in microseconds. A run below 0.2 ms is not measured and counts in full.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_us: u64,
    /// Filled in by the scheduler for clients that asked for profiling: the worker's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub worker_name: String,
}

impl TaskStats {
    /// See [`TaskStats::worker`].
    pub const NO_WORKER: u16 = u16::MAX;

    /// Of a task that no worker had.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { worker: Self::NO_WORKER, ..Self::default() }
    }
}
