//! The scheduler: who is connected, what waits, where it runs, who gets the result.

use crate::{
    ids::{ObjectId, PeerId, TaskId, Time},
    message::{FunctionInfo, Identity, Submit, TaskResult},
    session::Packet,
    view::View,
};

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
    /// See [`Scheduler::set_object_storage_address`].
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

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this down; nothing after it may be done before that is safe. Only with [`SchedulerConfig::journal`].
    Persist(Record),
    /// Send this on that connection.
    Send(PeerId, Packet),
    /// Close that connection (after what was sent on it).
    Drop(PeerId),
    /// Nobody needs these any more.
    DeleteObjects(Vec<ObjectId>),
    /// Flush what was sent, then end the process.
    End {
        /// Why, for the log.
        reason: String,
    },
}

/// A fact that must survive the process: what a journal holds. Facts, not inputs, so that policies may change.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A task was accepted.
    Accepted {
        /// Which.
        task: TaskId,
        /// Module path of the function.
        path: String,
        /// Which bytes.
        identity: Identity,
        /// Which export.
        info: Box<FunctionInfo>,
        /// Everything else about it.
        submit: Box<Submit>,
    },
    /// A task ended.
    Finished {
        /// Which.
        task: TaskId,
        /// How.
        result: Box<TaskResult>,
    },
    /// Its client has the result.
    Delivered {
        /// Which.
        task: TaskId,
    },
}

/// The scheduler's core.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
}

impl Scheduler {
    /// A scheduler that nobody is connected to yet.
    #[must_use]
    pub fn new(now: Time, config: SchedulerConfig) -> Self {
        let _ = now;
        Self { config }
    }

    /// A peer connected at the scheduler's address.
    pub fn connected(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// A peer connected at the monitor address: it may greet, ask and show that it is alive.
    pub fn connected_monitor(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// A packet arrived.
    pub fn handle(&mut self, _now: Time, _peer: PeerId, _packet: Packet, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// Once per batch: place what waits, expire what is due, send what has gathered.
    pub fn tick(&mut self, _now: Time, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// When `tick` must be called even if nothing arrives.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        todo!()
    }

    /// Ends on purpose: clients are told why, [`Effect::End`] follows from a later `tick`.
    pub fn stop(&mut self, _now: Time, _reason: &str) {
        todo!()
    }

    /// A bounded picture of the cluster.
    #[must_use]
    pub fn view(&self, _now: Time) -> View {
        let _ = &self.config;
        todo!()
    }

    /// Large values go there from now on; peers that connect later are told.
    pub fn set_object_storage_address(&mut self, _address: Option<String>) {
        todo!()
    }
}
