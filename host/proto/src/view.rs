//! A bounded picture of the cluster: what `status`, the UI, `top` and the tests read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The scheduler itself.
    pub scheduler: SchedulerView,
    /// One entry a worker.
    pub workers: Vec<WorkerView>,
    /// One entry a connected client.
    pub clients: Vec<ClientView>,
    /// Exact totals: tasks by state. The terminal states count since the scheduler started.
    pub tasks: BTreeMap<String, u64>,
    /// Registrations that wait for a cluster, with the number of calls held for them.
    #[serde(default)]
    pub parked: Vec<ParkedView>,
}

/// The scheduler and its resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchedulerView {
    /// Where clients and clusters connect.
    pub scheduler_address: String,
    /// Where large values go, `None` while not connected.
    pub object_storage_address: Option<String>,
    /// Where watchers connect.
    pub monitor_address: Option<String>,
    /// Program version.
    pub version: String,
    /// Raised at every start.
    pub epoch: u64,
    /// Since the start.
    pub uptime_ms: u64,
    /// Clients may not shut it down.
    pub protected: bool,
    /// Placement policy in use.
    pub allocate_policy: String,
    /// Resident memory of the process, 0 where the shell does not fill it in.
    pub rss_bytes: u64,
    /// Connected clusters.
    pub clusters: u64,
    /// Connected clusters that still start (before or in their preload).
    pub clusters_starting: u64,
    /// Messages received by kind.
    pub received: BTreeMap<String, u64>,
    /// Messages sent by kind.
    pub sent: BTreeMap<String, u64>,
    /// Bytes of results that clients have not acknowledged.
    pub result_buffer_bytes: u64,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its name, unique in the cluster agent.
    pub name: String,
    /// Its agent.
    pub cluster: String,
    /// Name of the agent as given by its user or its host.
    pub host: String,
    /// `starting`, `ready`, `lost`, `leaving` or `retired`.
    pub state: String,
    /// Tags as a string, as in the configuration.
    pub capabilities: String,
    /// Process id of its processor.
    pub pid: u32,
    /// Tasks assigned to it and not running. What the agent has not bound to a worker yet is spread evenly.
    pub queued: u64,
    /// Tasks that run on it.
    pub running: u64,
    /// Tasks it has ended.
    pub finished: u64,
    /// Processors started after the first.
    pub restarts: u32,
    /// CPU use in thousandths of one core.
    pub cpu_permille: u32,
    /// Resident memory of its processor.
    pub rss_bytes: u64,
    /// Milliseconds since its agent was last heard.
    pub last_seen_ms: u64,
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its id.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// Accepted tasks that have not ended.
    pub unfinished: u64,
    /// Results it has not acknowledged.
    pub undelivered: u64,
    /// Milliseconds since it was last heard.
    pub last_seen_ms: u64,
}

/// A registration that waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParkedView {
    /// `module.path:function`.
    pub call: String,
    /// Calls held at clients for it.
    pub held: u64,
}
