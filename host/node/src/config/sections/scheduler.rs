//! Section `[scheduler]`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use scaler_net::Address;

use super::{
    LoggingSettings, io_threads,
    original::{self, EventLoop, PolicyContent, PolicyEngine, Scaling, ScalingStrategy},
};
use crate::config::{
    complaints::Complaints,
    effective::Derived,
    load::Section,
    ports::{self, Taken},
    values::{at_least, boolean, only},
    words::words,
};

words! {
    /// Which cluster gets a task among those that its capabilities allow.
    AllocatePolicy {
        /// The one with the least work.
        Even = "even",
        /// The one with the fewest tags beyond those asked for, then the one with the least work.
        Capability = "capability",
    }
}

/// Settings of `scaler_scheduler`, section `[scheduler]`.
#[derive(Clone, Debug, Args)]
pub struct SchedulerSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients and clusters connect (tcp://host:port; port 0 takes a free one)
    #[arg(value_name = "SCHEDULER_ADDRESS")]
    pub scheduler_address: Address,
    /// Object storage server to use; without one the scheduler starts its own at port + 1
    #[arg(long, alias = "osa", value_name = "ADDRESS")]
    pub object_storage_address: Option<Address>,
    /// Where watchers connect [default: scheduler port + 2]
    #[arg(long, alias = "ma", value_name = "ADDRESS")]
    pub monitor_address: Option<Address>,
    /// Clients may not shut the scheduler down
    #[arg(long, short = 'p', default_value_t = true, value_parser = boolean, action = ArgAction::Set)]
    pub protected: bool,
    /// Refuse a submission while this many tasks wait, maps wait for room (-1: bounded by memory only)
    #[arg(long, alias = "mt", value_name = "N", default_value_t = -1, value_parser = at_least(-1_i64))]
    pub max_number_of_tasks_waiting: i64,
    /// A client that is silent for this long is dropped with its tasks
    #[arg(long, alias = "ct", value_name = "SECONDS", default_value_t = 60, value_parser = at_least(1_u64))]
    pub client_timeout_seconds: u64,
    /// A cluster that is silent for this long is forgotten (its tasks go elsewhere long before)
    #[arg(long, alias = "wt", value_name = "SECONDS", default_value_t = 60, value_parser = at_least(1_u64))]
    pub worker_timeout_seconds: u64,
    /// Objects that nobody owns are swept after this time
    #[arg(long, alias = "ot", value_name = "SECONDS", default_value_t = 60, value_parser = at_least(1_u64))]
    pub object_retention_seconds: u64,
    /// How often tasks are balanced between clusters (negative: never)
    #[arg(long, alias = "ls", value_name = "SECONDS", default_value_t = 1, value_parser = only(|period: i64| period != 0, "at least 1, or -1 to never balance"))]
    pub load_balance_seconds: i64,
    /// How often in a row balancing must give the same advice before it acts
    #[arg(long, alias = "lbt", value_name = "N", default_value_t = 2, value_parser = at_least(1_u32))]
    pub load_balance_trigger_times: u32,
    /// How tasks are placed among the clusters that their capabilities allow: even or capability [default: even]
    #[arg(long, alias = "ap", value_name = "POLICY")]
    pub allocate_policy: Option<AllocatePolicy>,
    /// Most bytes of results that the scheduler keeps for clients; beyond it results go through the object storage
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = at_least(1_u64))]
    pub result_buffer_bytes: u64,
    /// A task whose processor died is tried this often in all
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least(1_u32))]
    pub max_attempts: u32,
    /// Listen beyond this machine although nothing is encrypted or authenticated
    #[arg(long, default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub insecure: bool,
    /// Threads that libzmq moves bytes with; one does a gigabyte a second
    #[arg(long, aliases = ["worker-io-threads", "wit"], value_name = "N", default_value_t = 1, value_parser = io_threads("schedulers"))]
    pub io_threads: u32,
    /// Event loop of the original: builtin or uvloop (both mean the same here)
    #[arg(long, short = 'e', alias = "el", value_name = "LOOP", default_value_t = EventLoop::Builtin)]
    pub event_loop: EventLoop,
    /// Form of policy_content: simple
    #[arg(long, alias = "et", value_name = "ENGINE", default_value_t = PolicyEngine::Simple)]
    pub policy_engine_type: PolicyEngine,
    /// allocate_policy as later versions of the original write it: "allocate=even_load; scaling=no"
    #[arg(long, alias = "pc", value_name = "POLICY")]
    pub policy_content: Option<PolicyContent>,
    /// Workers by demand, as in the original: only NULL, there is none yet
    #[arg(long, alias = "scs", value_name = "STRATEGY", default_value_t = ScalingStrategy::Null)]
    pub scaling_controller_strategy: ScalingStrategy,
    /// Worker adapters of the original: only empty, there are none yet
    #[arg(long, alias = "awu", value_name = "URL", num_args = 0..)]
    pub adapter_webhook_urls: Vec<String>,
    /// The log
    #[command(flatten)]
    pub logging: LoggingSettings,
}

impl SchedulerSettings {
    /// The policy that was asked for by either of its names.
    #[must_use]
    pub fn allocate_policy(&self) -> AllocatePolicy {
        let content = self.policy_content.map(|content| content.allocate);
        self.allocate_policy.or(content).unwrap_or(AllocatePolicy::Even)
    }

    /// Where the object storage is: the one that was given, or the one that is started at port + 1.
    fn storage(&self) -> Option<Address> {
        let derived = || self.scheduler_address.with_port_offset(1).ok();
        self.object_storage_address.clone().or_else(derived)
    }

    fn monitor(&self) -> Option<Address> {
        self.monitor_address.clone().or_else(|| self.scheduler_address.with_port_offset(2).ok())
    }

    /// One port cannot be shared; that is known before any of them is taken.
    fn check_ports(&self, complain: &mut Complaints) {
        let taken = |key, address, is_given| Taken { key, address, is_given };
        let (storage, monitor) = (self.storage(), self.monitor());
        let mut all = vec![taken("scheduler_address", &self.scheduler_address, true)];
        all.extend(storage.iter().map(|it| taken("object_storage_address", it, self.object_storage_address.is_some())));
        all.extend(monitor.iter().map(|it| taken("monitor_address", it, self.monitor_address.is_some())));
        ports::distinct(&all, complain);
    }
}

impl Section for SchedulerSettings {
    const NAME: &'static str = "scheduler";
    const COMMAND: &'static str = "scaler_scheduler";
    const ABOUT: &'static str = "Takes calls from clients and places them on the workers of clusters";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("scheduler_address", "tcp://127.0.0.1:8516")];

    fn validate(&self, complain: &mut Complaints) {
        complain.listens("scheduler_address", &self.scheduler_address, self.insecure);
        if self.object_storage_address.is_none() {
            complain.derives("scheduler_address", &self.scheduler_address, 1, "object_storage_address");
        }
        match &self.monitor_address {
            Some(address) => complain.listens("monitor_address", address, self.insecure),
            None => complain.derives("scheduler_address", &self.scheduler_address, 2, "monitor_address"),
        }
        self.check_ports(complain);
        if let (Some(policy), Some(content)) = (self.allocate_policy, self.policy_content)
            && policy != content.allocate
        {
            let message = format!("\"{content}\" contradicts allocate_policy = \"{policy}\"; keep one of them");
            complain.about("policy_content", message);
        }
        if let Some(content) = self.policy_content.filter(|content| content.scaling != Scaling::No) {
            original::refuse_scaling("policy_content", &content.to_string(), complain);
        }
        if self.scaling_controller_strategy != ScalingStrategy::Null {
            let strategy = self.scaling_controller_strategy.word();
            original::refuse_scaling("scaling_controller_strategy", strategy, complain);
        }
        if !self.adapter_webhook_urls.is_empty() {
            original::refuse_scaling("adapter_webhook_urls", &self.adapter_webhook_urls.join(" "), complain);
        }
        self.logging.validate(complain);
    }

    fn derived(&self) -> Vec<Derived> {
        let text = |address: Option<Address>| address.map(|address| address.to_string());
        let policy = self.allocate_policy();
        let content = PolicyContent { allocate: policy, scaling: Scaling::No };
        vec![
            Derived::from(
                "object_storage_address",
                text(self.storage()),
                "scheduler_address, port + 1, where the scheduler starts one",
            ),
            Derived::from("monitor_address", text(self.monitor()), "scheduler_address, port + 2"),
            match self.policy_content {
                Some(_) => Derived::from("allocate_policy", policy.word(), "policy_content"),
                None => Derived::default("allocate_policy", policy.word()),
            },
            Derived::from("policy_content", content.to_string(), "allocate_policy"),
        ]
    }

    fn notices(&self) -> Vec<String> {
        original::notice("event_loop", &self.event_loop, &EventLoop::Builtin, original::ONE_LOOP).into_iter().collect()
    }

    fn logging(&self) -> LoggingSettings {
        self.logging.clone()
    }
}
