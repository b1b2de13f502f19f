//! How a task ends, and what it cost.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::{payload::Payload, value::Value};

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
    /// The scheduler did not take it (unknown function, arguments that break the protocol).
    Rejected,
    /// The scheduler did not take it for want of room (`max_number_of_tasks_waiting`); later there may be some.
    Busy,
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

/// The message of a [`FailureKind::Error`] whose value is no text.
pub const ERROR_VALUE: &str = "the function returned an error value";

/// Most characters of an error value that one line says.
const VALUE_CHARS_MAX: usize = 200;

/// A failure in one line: which function, what happened, and of an error value the beginning. The same everywhere.
#[must_use]
pub fn failure_line(function: &str, kind: FailureKind, message: &str, value: Option<&Value>) -> String {
    if function.is_empty() {
        return message.to_owned();
    }
    if kind != FailureKind::Error {
        let told = message.contains(function);
        return if told { message.to_owned() } else { format!("{function}: {message}") };
    }
    let what = match value {
        // A case without a payload.
        Some(Value::Str(text)) if message == ERROR_VALUE => text.clone(),
        Some(value) if message == ERROR_VALUE => value.to_json(),
        None if message == ERROR_VALUE => return format!("{function} returned an error, whose value cannot be had"),
        _ => message.to_owned(),
    };
    match what.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{function} returned an error: {}..", &what[..end]),
        None => format!("{function} returned an error: {what}"),
    }
}

/// Most bytes of a message that one line of a log says.
const LINE_BYTES_MAX: usize = 300;

/// The first line of a message as a log may have it: cut, and without anything that moves a cursor.
#[must_use]
pub fn first_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let end = line.floor_char_boundary(LINE_BYTES_MAX);
    let shown = |sign: char| if sign.is_control() { char::REPLACEMENT_CHARACTER } else { sign };
    let mut shown: String = line[..end].chars().map(shown).collect();
    if end < line.len() {
        shown.push_str("..");
    }
    shown
}

impl FailureKind {
    /// Its name, as every `--json` says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "guest_error",
            Self::Panic => "panic",
            Self::Trap => "trap",
            Self::StackOverflow => "stack_overflow",
            Self::MemoryLimit => "memory_limit",
            Self::OutputLimit => "output_limit",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Arguments => "type_mismatch",
            Self::Module => "module",
            Self::Preload => "preload",
            Self::ProcessorDied => "processor_died",
            Self::WorkerLost => "worker_lost",
            Self::ObjectLost => "object_lost",
            Self::Rejected | Self::Busy => "refused",
            Self::Aborted => "aborted",
            Self::Internal => "internal",
        }
    }

    /// Its name for people: `stack overflow`.
    #[must_use]
    pub fn words(self) -> String {
        self.name().replace('_', " ")
    }

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
    /// Microseconds from its start in a processor to the end of the call.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_us: u64,
    /// Microseconds that making the store and the instance took: of these, unless the processor had made them ahead.
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
    /// Filled in by the scheduler: microseconds from the call to the start of the last run, with the ways to its
    /// worker and back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued_us: u64,
    /// CPU time of the run, in microseconds. A run below 0.2 ms is not measured and counts in full.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_us: u64,
    /// Filled in by the scheduler for failures, and for clients that asked for profiling: the worker's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub worker_name: String,
    /// Filled in as the name of the worker: the cluster that it belongs to, since others may have one of that name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cluster: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_function_and_shows_the_error_value_in_short() {
        let value = Value::Map(vec![("bad_strike".to_owned(), Value::Float(-1.0))]);
        let line = |kind, message: &str, value: Option<&Value>| failure_line("shapes.work:area", kind, message, value);
        assert_eq!(
            line(FailureKind::Error, ERROR_VALUE, Some(&value)),
            "shapes.work:area returned an error: {\"bad_strike\":-1.0}"
        );
        let text = Value::Str("no such thing".to_owned());
        assert_eq!(
            line(FailureKind::Error, "no such thing", Some(&text)),
            "shapes.work:area returned an error: no such thing"
        );
        let long = Value::List(vec![Value::Int(1); 10_000]);
        let told = line(FailureKind::Error, ERROR_VALUE, Some(&long));
        assert!(told.ends_with("1,1..") && told.len() < 250, "{told}");
        assert_eq!(line(FailureKind::Timeout, "it ran too long", None), "shapes.work:area: it ran too long");
        let named = "shapes.work:area is gone";
        assert_eq!(line(FailureKind::Rejected, named, None), named, "not twice");
        assert_eq!(failure_line("", FailureKind::Panic, "out of luck", None), "out of luck");
    }
}
