//! Between a client and the scheduler: what functions are, submissions, results.

use serde::{Deserialize, Serialize};

use super::{Outcome, TaskStats, is_default};
use crate::{
    capability::Capabilities,
    ids::{FunctionId, ModuleHash, ObjectId},
    payload::Payload,
};

/// What a module is: its bytes, and the preload call that prepared it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Hash of the component's bytes.
    pub hash: ModuleHash,
    /// The preload call in canonical print (`init:configure("production", debug=false)`), if there was one.
    #[serde(default)]
    pub preload: Option<String>,
}

/// A module and what can be called in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The dotted path under the module path (`a.b` for `a/b.wasm`), or the name a client gave it.
    pub path: String,
    /// Which bytes, prepared how.
    pub identity: Identity,
    /// What it exports.
    pub functions: Vec<FunctionInfo>,
}

/// A function that can be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// The full name of the exported interface (`my:pkg/init@1.0.0` or `init`), `None` for a root export.
    #[serde(default)]
    pub interface: Option<String>,
    /// Name as exported, in kebab-case.
    pub name: String,
    /// A `scaler_module::Signature` as MessagePack; opaque to the scheduler.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
}

/// See [`Message::Register`](super::Message::Register).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// The client's number, echoed by every answer.
    pub request: u64,
    /// Dotted module path (`preload.init`).
    pub module: String,
    /// Function name, in either spelling.
    pub function: String,
    /// Only clusters with workers that offer this count.
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// See [`Message::RegisterModule`](super::Message::RegisterModule).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterModule {
    /// What it is; private to this client's session, found before the clusters' modules of the same path.
    pub module: ModuleInfo,
    /// Size of the bytes, stored as [`ObjectId::module`].
    pub size_bytes: u64,
}

/// See [`Message::Submit`](super::Message::Submit).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// [`TaskId::number`](crate::ids::TaskId::number); the client is known from the connection.
    pub number: u64,
    /// What to call.
    pub function: FunctionId,
    /// Arguments, a MessagePack array in the order of the parameters.
    pub arguments: Payload,
    /// Tags that the worker must offer.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// Ends the task's run after this long; 0 leaves it to the cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_ms: u64,
    /// Higher runs first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// How often a failure of the task itself (error, trap, limit) is tried again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
    /// Arguments that are objects of their own; at their places `arguments` has nil.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ArgumentObject>,
    /// For how long the call has waited at the client: for a cluster that has the function, for credit, for a scheduler
    /// that was away. Counts as queue time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held_ms: u64,
    /// If the scheduler has no room for it, its client submits it again: that is a wait, no refusal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub patient: bool,
}

/// An argument that was put into the object storage once and is used by many tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgumentObject {
    /// Which parameter, from 0.
    pub index: u16,
    /// The object: one value in MessagePack, positional or with names.
    pub object: ObjectId,
    /// Its size in bytes.
    pub length: u64,
}

/// See [`Message::PutObject`](super::Message::PutObject).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PutObject {
    /// The object, [`ObjectId::of_client`].
    pub object: ObjectId,
    /// What the client calls it, for views and errors.
    pub name: String,
    /// Its size in bytes.
    pub length: u64,
}

/// See [`Message::Cancel`](super::Message::Cancel).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// [`TaskId::number`](crate::ids::TaskId::number).
    pub number: u64,
}

/// See [`Message::Release`](super::Message::Release).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The object.
    pub object: ObjectId,
}

/// See [`Message::Demand`](super::Message::Demand).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// `Register::request`.
    pub request: u64,
    /// Calls that wait at the client for it; 0 withdraws the registration.
    pub held: u64,
}

/// See [`Message::Registered`](super::Message::Registered).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// `Register::request`.
    pub request: u64,
    /// The number to submit with.
    pub function: FunctionId,
    /// Which module it is in.
    pub identity: Identity,
    /// Path of the module that was found (`preload` for `preload.init:configure`).
    pub path: String,
    /// What it is, with its signature.
    pub info: FunctionInfo,
    /// Workers that offer what the registration asks for, as of now.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workers: u32,
}

/// Why a registration failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterErrorKind {
    /// No such module on any connected cluster that has the capabilities.
    UnknownModule,
    /// The module has no such function.
    UnknownFunction,
    /// More than one thing has this name; the message lists them.
    Ambiguous,
    /// Clusters disagree about the bytes; the message lists both.
    Conflict,
}

/// See [`Message::RegisterFailed`](super::Message::RegisterFailed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterFailed {
    /// `Register::request`.
    pub request: u64,
    /// Which kind of failure.
    pub kind: RegisterErrorKind,
    /// What there is, and the nearest name.
    pub message: String,
}

/// See [`Message::Parked`](super::Message::Parked).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// `Register::request`.
    pub request: u64,
    /// Why.
    pub reason: String,
}

/// See [`Message::Stranded`](super::Message::Stranded).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stranded {
    /// `module.path:function` of some of them.
    pub call: String,
    /// How many there are.
    pub tasks: u64,
    /// What they wait for, and how to help them.
    pub reason: String,
}

/// See [`Message::Credit`](super::Message::Credit). Both counts are cumulative over the client's whole session, so that
/// losing or repeating one does no harm; a client never exceeds the largest it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Tasks it may have submitted in all.
    pub tasks: u64,
    /// Argument bytes (inline ones) it may have submitted in all.
    pub bytes: u64,
}

/// See [`Message::TaskResult`](super::Message::TaskResult).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// [`TaskId::number`](crate::ids::TaskId::number).
    pub number: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    #[serde(default)]
    pub stats: TaskStats,
}

/// See [`Message::Changed`](super::Message::Changed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// `Register::request` of the registration that changed.
    pub request: u64,
    /// What it means now; `None`: nothing any more (`message` says why).
    #[serde(default)]
    pub now: Option<Registered>,
    /// For people.
    #[serde(default)]
    pub message: String,
}
