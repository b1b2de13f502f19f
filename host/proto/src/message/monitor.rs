//! What watchers ask and are told, and what people order from outside: pictures, changes, log lines.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::{ids::TaskId, view::View};

/// See [`Message::Query`](super::Message::Query).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The asker's number, echoed by the answer.
    pub request: u64,
}

/// See [`Message::Answer`](super::Message::Answer).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// `Query::request`.
    pub request: u64,
    /// The picture.
    pub view: View,
}

/// What a watcher wants beyond the cluster itself (scheduler, workers, clients, totals, functions, history), which
/// everyone gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Tasks as they end.
    Tasks,
    /// What guests write.
    Logs,
}

/// See [`Message::Watch`](super::Message::Watch).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// What it wants; what it asked for before is forgotten.
    #[serde(default)]
    pub topics: Vec<Topic>,
}

/// See [`Message::Update`](super::Message::Update).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Counted up by the scheduler, for all watchers together.
    pub number: u64,
    /// The update that this one builds upon; 0 for a snapshot. A watcher whose last one is another says `Watch` again.
    #[serde(default)]
    pub previous: u64,
    /// A [`Changes`](crate::view::Changes) as MessagePack with names; made once for all watchers that are equally far.
    #[serde(with = "serde_bytes")]
    pub changes: Vec<u8>,
    /// It did not all fit: another update that belongs to this one follows as soon as this one is acknowledged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more: bool,
}

/// See [`Message::CancelTask`](super::Message::CancelTask).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelTask {
    /// The asker's number, echoed by the reply.
    pub request: u64,
    /// Which task.
    pub task: TaskId,
}

/// See [`Message::CancelReply`](super::Message::CancelReply).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelReply {
    /// `CancelTask::request`.
    pub request: u64,
    /// Whether such a task is unfinished; it is being canceled now.
    pub found: bool,
    /// What it was doing (a state's name), or what is known about it otherwise.
    #[serde(default)]
    pub state: String,
}

/// Where a line of a guest came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// The SDK's log at that level, as the next ones.
    Trace,
    /// See `Trace`.
    Debug,
    /// See `Trace`.
    Info,
    /// See `Trace`.
    Warn,
    /// See `Trace`.
    Error,
}

impl LogLine {
    /// See [`LogLine::worker`].
    pub const NO_WORKER: u16 = u16::MAX;
}

impl LogSource {
    /// The name that views and commands show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One line that a guest wrote; filtered and cut by the processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The task that wrote it, none for a preload.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// Index of the worker within its agent, [`LogLine::NO_WORKER`] for a preload before there were any.
    #[serde(default)]
    pub worker: u16,
    /// Where it was written.
    pub source: LogSource,
    /// Without its newline.
    pub text: String,
    /// Lines of this agent that were dropped before this one, because there were too many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dropped: u64,
}
