//! Between the scheduler and an agent: orders, and what became of them.

use serde::{Deserialize, Serialize};

use super::{ArgumentObject, Attempt, FunctionInfo, Identity, ModuleInfo, Outcome, TaskStats, is_default};
use crate::{
    capability::Capabilities,
    ids::{FunctionId, TaskId},
    payload::Payload,
};

/// See [`Message::Define`](super::Message::Define).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Define {
    /// The number that `Run` uses.
    pub function: FunctionId,
    /// Which module.
    pub identity: Identity,
    /// Path of the module.
    pub path: String,
    /// Which export.
    pub info: FunctionInfo,
    /// The bytes are in the object storage as [`ObjectId::module`](crate::ids::ObjectId::module) if the agent does not
    /// have them.
    #[serde(default)]
    pub stored: bool,
}

/// See [`Message::Run`](super::Message::Run).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The task.
    pub task: TaskId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What to call.
    pub function: FunctionId,
    /// Arguments, a MessagePack array in the order of the parameters.
    pub arguments: Payload,
    /// Results up to this size come back inside `Done`; larger ones go to the object storage.
    pub inline_max: u32,
    /// See `Submit::timeout_ms`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_ms: u64,
    /// See `Submit::priority`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Tags that the worker must offer; the agent chooses among its workers that do.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// See `Submit::objects`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ArgumentObject>,
}

/// Why a task is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// End it, running or not; it ends as `Done` with [`FailureKind::Canceled`](super::FailureKind::Canceled).
    Cancel,
    /// Give it back as `Returned` if it has not started; otherwise nothing happens.
    TakeBack,
    /// Forget it silently if it has not started, end it if it runs; no answer (another attempt counts, or nobody wants
    /// it).
    Discard,
}

/// See [`Message::Stop`](super::Message::Stop).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Which attempt.
    pub attempt: Attempt,
    /// Why.
    pub reason: StopReason,
}

/// See [`Message::Leave`](super::Message::Leave).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leave {
    /// Why, for the log.
    pub reason: String,
}

/// See [`Message::Ready`](super::Message::Ready).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The modules of its module path.
    pub modules: Vec<ModuleInfo>,
}

/// See [`Message::Modules`](super::Message::Modules).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Modules {
    /// All of them.
    pub modules: Vec<ModuleInfo>,
}

/// See [`Message::Done`](super::Message::Done).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The task.
    pub task: TaskId,
    /// Which attempt.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    #[serde(default)]
    pub stats: TaskStats,
}

/// Why a task came back without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnReason {
    /// Asked for by `TakeBack`, or the agent leaves; it had not started.
    GivenBack,
    /// Its processor died while it ran. Charges an attempt.
    ProcessorDied,
    /// The agent does not have the module, or has no worker for it.
    CannotRun,
}

/// See [`Message::Returned`](super::Message::Returned).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// Which attempt.
    pub attempt: Attempt,
    /// Why.
    pub reason: ReturnReason,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// What is known of the run if its processor died, with the worker; nothing otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stats: TaskStats,
}

/// See [`Message::Running`](super::Message::Running).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Which attempt.
    pub attempt: Attempt,
    /// Index of the worker within the agent.
    pub worker: u16,
}

/// See [`Message::Leaving`](super::Message::Leaving).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaving {
    /// Why, for the log.
    pub reason: String,
}
