//! What the scheduler is told when it starts.

/// How a cluster is chosen among those that may run a task. Tags gate under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllocatePolicy {
    /// The cluster with the fewest tasks a worker.
    #[default]
    Even,
    /// First the cluster that offers the fewest tags beyond those asked for, then the fewest tasks a worker.
    Capability,
}

/// What the scheduler is told when it starts.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// Raised at every start; carried by every message. Never 0.
    pub epoch: u64,
    /// For views and `Welcome`.
    pub scheduler_address: String,
    /// See [`set_object_storage_address`](super::Scheduler::set_object_storage_address).
    pub object_storage_address: Option<String>,
    /// For views.
    pub monitor_address: Option<String>,
    /// Program version, for views.
    pub version: String,
    /// Clients may not shut the scheduler down.
    pub protected: bool,
    /// How a cluster is chosen.
    pub allocate_policy: AllocatePolicy,
    /// Most tasks that may wait, `None` for no bound but the clients' credit.
    pub waiting_max: Option<u64>,
    /// A client that was silent for so long is forgotten.
    pub client_timeout_ms: u64,
    /// A lost cluster is forgotten after this long.
    pub worker_timeout_ms: u64,
    /// Period of balancing between clusters, 0 for never.
    pub load_balance_ms: u64,
    /// Rounds in which an imbalance must be seen before it is acted upon.
    pub load_balance_trigger_times: u32,
    /// How often a processor may die while it runs a task, before the task fails.
    pub max_attempts: u32,
    /// Bytes of results that may be held for clients in all.
    pub result_buffer_bytes: u64,
    /// Tasks a client may have unfinished or undelivered.
    pub client_window_tasks: u64,
    /// Inline argument bytes a client may have in unfinished tasks.
    pub client_window_bytes: u64,
    /// Whether somebody writes down the records; without, none are made.
    pub journal: bool,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            epoch: 1,
            scheduler_address: String::new(),
            object_storage_address: None,
            monitor_address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protected: true,
            allocate_policy: AllocatePolicy::Even,
            waiting_max: None,
            client_timeout_ms: 60_000,
            worker_timeout_ms: 60_000,
            load_balance_ms: 1_000,
            load_balance_trigger_times: 2,
            max_attempts: 3,
            result_buffer_bytes: 32 << 20,
            client_window_tasks: 8_192,
            client_window_bytes: 16 << 20,
            journal: false,
        }
    }
}
