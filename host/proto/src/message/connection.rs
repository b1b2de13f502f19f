//! How a connection begins, lives and ends, whoever is at its other end.

use serde::{Deserialize, Serialize};

use super::{Credit, VERSION, VERSION_MIN, is_default};
use crate::{
    capability::Capabilities,
    ids::{AgentId, ClientId, TaskId},
};

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Submits tasks.
    Client,
    /// Runs tasks.
    Agent,
    /// Only asks (`status`, UI); the only role on the monitor address.
    Monitor,
}

/// See [`Message::Hello`](super::Message::Hello).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// What the sender is.
    pub role: Role,
    /// The sender's random number: a [`ClientId`] or [`AgentId`]. The same after a reconnect.
    pub id: u64,
    /// For people: host name, or what the user called it.
    pub name: String,
    /// Oldest protocol version the sender speaks.
    pub version_min: u8,
    /// Newest protocol version the sender speaks.
    pub version_max: u8,
    /// Program version, for logs and views.
    #[serde(default)]
    pub build: String,
    /// The epoch of the scheduler the sender was connected to before, 0 if none. A different one means that
    /// nothing the sender has in hand is known.
    #[serde(default)]
    pub epoch: u64,
    /// For agents: its workers, one entry each.
    #[serde(default)]
    pub workers: Vec<WorkerInfo>,
    /// For agents that connect again: every task attempt it still holds (queued, running or with an outcome not
    /// acknowledged).
    #[serde(default)]
    pub holds: Vec<Attempt>,
    /// For agents that connect again: they are past their preload.
    #[serde(default)]
    pub ready: bool,
    /// The sender's heartbeat interval in milliseconds, 0 if it does not say. After two of them in silence (and at
    /// least
    /// two seconds) an agent's tasks go elsewhere.
    #[serde(default)]
    pub heartbeat_ms: u64,
    /// For clients: results that are no failures shall name the worker, too (`TaskStats::worker_name`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub profiling: bool,
    /// For clients: what its tasks write shall come to it (`TaskLog`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub stream_output: bool,
    /// For agents, for views: the time limit of its tasks, 0 for none. A task's own counts if it is shorter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task_timeout_ms: u64,
    /// For agents, for views: the memory limit of its tasks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task_memory_limit_bytes: u64,
}

/// One worker of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Unique within the agent, shown everywhere.
    pub name: String,
    /// The tags it offers.
    pub capabilities: Capabilities,
    /// Most tasks that may be assigned to it at once, the running one included.
    pub queue_size: u32,
}

/// One attempt at a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The task.
    pub task: TaskId,
    /// Counted from 1; every dispatch is an attempt of its own, charged or not.
    pub attempt: u32,
}

/// See [`Message::Welcome`](super::Message::Welcome).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The scheduler's epoch: raised at every start, carried by every message.
    pub epoch: u64,
    /// The protocol version to speak.
    pub version: u8,
    /// Where large values go, `None` while the scheduler does not know.
    #[serde(default)]
    pub object_storage_address: Option<String>,
    /// The scheduler refuses `Shutdown` from clients.
    #[serde(default)]
    pub protected: bool,
    /// For clients: the first credit.
    #[serde(default)]
    pub credit: Credit,
    /// A silent peer is dropped after this long, in milliseconds.
    #[serde(default)]
    pub timeout_ms: u64,
    /// For clients: the scheduler still knows this client's session (its counts for `Credit`, its tasks). If not, the
    /// client counts what it submits from zero again, and submits everything that has no result.
    #[serde(default)]
    pub resumed: bool,
}

/// See [`Message::Refused`](super::Message::Refused).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The kind number that was refused.
    pub kind: u16,
    /// Why, and what to do.
    pub reason: String,
}

/// See [`Message::Reset`](super::Message::Reset).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// Why, for the log.
    pub reason: String,
}

/// See [`Message::Goodbye`](super::Message::Goodbye).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why, for the log.
    pub reason: String,
}

/// See [`Message::Heartbeat`](super::Message::Heartbeat).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Sender's clock in nanoseconds, echoed by the `Pulse`.
    pub sent: u64,
    /// For agents: one entry a worker, in the order of `Hello::workers`.
    #[serde(default)]
    pub workers: Vec<WorkerLoad>,
    /// For agents: resident memory of the agent process.
    #[serde(default)]
    pub rss_bytes: u64,
    /// For agents: CPU use of the agent process over the last interval, in thousandths of one core.
    #[serde(default)]
    pub cpu_permille: u32,
    /// For agents: memory that the agent's machine has left.
    #[serde(default)]
    pub memory_free_bytes: u64,
    /// For agents: half of the last round trip of a heartbeat, in microseconds; 0 before the first.
    #[serde(default)]
    pub lag_us: u32,
}

/// What a worker is doing, as of a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerLoad {
    /// Process id of its processor, 0 while there is none.
    pub pid: u32,
    /// Tasks waiting in its processor.
    pub queued: u32,
    /// 1 while a task runs.
    pub running: u32,
    /// Processors started for it after the first.
    pub restarts: u32,
    /// CPU use of the processor over the last interval, in thousandths of one core.
    pub cpu_permille: u32,
    /// Resident memory of the processor.
    pub rss_bytes: u64,
    /// It takes no more tasks (its processor cannot be started again).
    #[serde(default)]
    pub retired: bool,
}

/// See [`Message::Pulse`](super::Message::Pulse).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// `Heartbeat::sent`.
    pub sent: u64,
    /// See `Welcome::object_storage_address`; it may become known, or change, while a peer is connected.
    #[serde(default)]
    pub object_storage_address: Option<String>,
}

/// See [`Message::Ack`](super::Message::Ack).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ack {}

/// See [`Message::Shutdown`](super::Message::Shutdown).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shutdown {
    /// The asker's number, echoed by the reply.
    pub request: u64,
}

/// See [`Message::ShutdownReply`](super::Message::ShutdownReply).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShutdownReply {
    /// `Shutdown::request`.
    pub request: u64,
    /// Whether the scheduler ends now.
    pub accepted: bool,
    /// Why not.
    #[serde(default)]
    pub reason: String,
}

impl Hello {
    /// A greeting with this version's numbers and nothing that only some senders say.
    #[must_use]
    pub fn new(role: Role, id: u64, name: impl Into<String>) -> Self {
        Self {
            role,
            id,
            name: name.into(),
            version_min: VERSION_MIN,
            version_max: VERSION,
            build: String::new(),
            epoch: 0,
            workers: Vec::new(),
            holds: Vec::new(),
            ready: false,
            heartbeat_ms: 0,
            profiling: false,
            stream_output: false,
            task_timeout_ms: 0,
            task_memory_limit_bytes: 0,
        }
    }

    /// The id as a client's.
    #[must_use]
    pub fn client(&self) -> ClientId {
        ClientId(self.id)
    }

    /// The id as an agent's.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        AgentId(self.id)
    }
}
