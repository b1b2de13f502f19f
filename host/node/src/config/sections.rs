//! The settings of the servers: one struct a command, each option declared once.
//!
//! The documentation of a field is its help text and its row in the README; its clap default is the only default; its
//! name is the TOML key. An alias without a hyphen is a short flag of the original (`-osa`), see [`super::argv`].

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use scaler_net::Address;
use scaler_proto::{call::Call, capability::Capabilities};
use serde::Deserialize;

use super::{
    grants::GrantSettings,
    load::{Complaints, Section},
    text::{self, words},
    values::{Names, boolean},
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

words! {
    /// The original's choice of a Python event loop.
    EventLoop {
        /// The only loop there is here.
        Builtin = "builtin",
        /// Accepted, and answered by one log line.
        Uvloop = "uvloop",
    }
}

words! {
    /// What is logged: this level and the more severe ones.
    LoggingLevel {
        /// Everything.
        Debug = "DEBUG",
        /// What happens in normal operation.
        Info = "INFO",
        /// What an operator should look at.
        Warning = "WARNING",
        /// What went wrong.
        Error = "ERROR",
        /// Only what ends the process.
        Critical = "CRITICAL",
    }
}

words! {
    /// What tasks on one worker share.
    Isolation {
        /// Nothing: each starts from the state after the preload.
        Task = "task",
        /// One instance, kept between tasks, as in the original.
        Processor = "processor",
    }
}

/// Settings of `scaler_scheduler`, section `[scheduler]`.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where clients and clusters connect (tcp://host:port; port 0 takes a free one)
    #[arg(value_name = "SCHEDULER_ADDRESS")]
    #[serde(deserialize_with = "text::required")]
    pub scheduler_address: Address,
    /// Object storage server to use; without one the scheduler starts its own at port + 1
    #[arg(long, alias = "osa", value_name = "ADDRESS")]
    #[serde(default, deserialize_with = "text::optional")]
    pub object_storage_address: Option<Address>,
    /// Where watchers connect [default: scheduler port + 2]
    #[arg(long, alias = "ma", value_name = "ADDRESS")]
    #[serde(default, deserialize_with = "text::optional")]
    pub monitor_address: Option<Address>,
    /// Clients may not shut the scheduler down
    #[arg(long, short = 'p', value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub protected: bool,
    /// Refuse a submission while this many tasks wait (-1: bounded by memory only)
    #[arg(long, alias = "mt", value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    pub max_number_of_tasks_waiting: i64,
    /// A client that is silent for this long is dropped with its tasks
    #[arg(long, alias = "ct", value_name = "SECONDS", default_value_t = 60)]
    pub client_timeout_seconds: u64,
    /// A cluster that is silent for this long is forgotten (its tasks go elsewhere long before)
    #[arg(long, alias = "wt", value_name = "SECONDS", default_value_t = 60)]
    pub worker_timeout_seconds: u64,
    /// Objects that nobody owns are swept after this time
    #[arg(long, alias = "ot", value_name = "SECONDS", default_value_t = 60)]
    pub object_retention_seconds: u64,
    /// How often tasks are balanced between clusters
    #[arg(long, alias = "ls", value_name = "SECONDS", default_value_t = 1)]
    pub load_balance_seconds: u64,
    /// How often in a row balancing must give the same advice before it acts
    #[arg(long, alias = "lbt", value_name = "N", default_value_t = 2)]
    pub load_balance_trigger_times: u32,
    /// How tasks are placed among the clusters that their capabilities allow: even or capability
    #[arg(long, alias = "ap", value_name = "POLICY", default_value_t = AllocatePolicy::Even)]
    #[serde(deserialize_with = "text::required")]
    pub allocate_policy: AllocatePolicy,
    /// Most bytes of results that the scheduler keeps for clients; beyond it results go through the object storage
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    pub result_buffer_bytes: u64,
    /// A task whose processor died is tried this often in all
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub max_attempts: u32,
    /// Listen beyond this machine although nothing is encrypted or authenticated
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub insecure: bool,
    /// Event loop of the original: builtin or uvloop (both mean the same here)
    #[arg(long, short = 'e', alias = "el", value_name = "LOOP", default_value_t = EventLoop::Builtin)]
    #[serde(deserialize_with = "text::required")]
    pub event_loop: EventLoop,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(long, alias = "ll", value_name = "LEVEL", default_value_t = LoggingLevel::Info)]
    #[serde(deserialize_with = "text::required")]
    pub logging_level: LoggingLevel,
    /// Files that the log goes to, all of them
    #[arg(long, alias = "lp", value_name = "PATH", num_args = 0.., default_values = ["/dev/stdout"])]
    pub logging_paths: Vec<PathBuf>,
    /// Log lines as JSON objects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub logging_json: bool,
}

/// Settings of `scaler_cluster`, section `[cluster]`.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The scheduler to work for
    #[arg(value_name = "SCHEDULER_ADDRESS")]
    #[serde(deserialize_with = "text::required")]
    pub scheduler_address: Address,
    /// Object storage server to use [default: as the scheduler says]
    #[arg(long, alias = "osa", value_name = "ADDRESS")]
    #[serde(default, deserialize_with = "text::optional")]
    pub object_storage_address: Option<Address>,
    /// Call that each processor makes before its first task: "module.path:function(args, key=value)"
    #[arg(long, value_name = "CALL")]
    #[serde(default, deserialize_with = "text::optional")]
    pub preload: Option<Call>,
    /// Wall-clock limit of the preload call
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub preload_timeout_seconds: u64,
    /// Folder with the components whose functions can be called
    #[arg(long, value_name = "DIR", default_value = "./modules")]
    pub module_path: PathBuf,
    /// Workers of this cluster, each with a processor process of its own [default: number of CPUs - 1, at least 1]
    #[arg(long, short = 'n', value_name = "N", default_value_t = default_workers(), hide_default_value = true)]
    pub num_of_workers: u32,
    /// Names of the workers, separated by commas, one for each [default: the host's name, numbered]
    #[arg(long, alias = "wn", value_name = "NAMES", default_value_t = Names::default(), hide_default_value = true)]
    #[serde(deserialize_with = "text::required")]
    pub worker_names: Names,
    /// What each worker offers, as in linux,cpu=8
    #[arg(long, alias = "pwc", value_name = "CAPABILITIES", default_value_t = Capabilities::none())]
    #[serde(deserialize_with = "text::required")]
    pub per_worker_capabilities: Capabilities,
    /// Most tasks assigned to one worker, the running one included
    #[arg(long, alias = "wtqs", value_name = "N", default_value_t = 1000)]
    pub per_worker_task_queue_size: u32,
    /// How often the cluster reports to the scheduler
    #[arg(long, aliases = ["hi", "his"], value_name = "SECONDS", default_value_t = 2)]
    pub heartbeat_interval_seconds: u64,
    /// A task that runs longer fails as a timeout (0: never)
    #[arg(long, alias = "tts", value_name = "SECONDS", default_value_t = 0)]
    pub task_timeout_seconds: u64,
    /// The cluster ends after this long without a scheduler
    #[arg(long, aliases = ["ds", "dts"], value_name = "SECONDS", default_value_t = 300)]
    pub death_timeout_seconds: u64,
    /// Most memory of one task, over all its memories and tables
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20)]
    pub task_memory_limit_bytes: u64,
    /// Most bytes of one task's result
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20)]
    pub task_output_limit_bytes: u64,
    /// What tasks on one worker share: task (nothing but the preload's state) or processor (one kept instance)
    #[arg(long, value_name = "ISOLATION", default_value_t = Isolation::Task)]
    #[serde(deserialize_with = "text::required")]
    pub isolation: Isolation,
    /// What tasks may touch outside the sandbox (only in the file; see `[cluster.grants]`)
    #[arg(skip)]
    #[serde(default)]
    pub grants: GrantSettings,
    /// Event loop of the original: builtin or uvloop (both mean the same here)
    #[arg(long, short = 'e', alias = "el", value_name = "LOOP", default_value_t = EventLoop::Builtin)]
    #[serde(deserialize_with = "text::required")]
    pub event_loop: EventLoop,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(long, alias = "ll", value_name = "LEVEL", default_value_t = LoggingLevel::Info)]
    #[serde(deserialize_with = "text::required")]
    pub logging_level: LoggingLevel,
    /// Files that the log goes to, all of them
    #[arg(long, alias = "lp", value_name = "PATH", num_args = 0.., default_values = ["/dev/stdout"])]
    pub logging_paths: Vec<PathBuf>,
    /// Log lines as JSON objects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub logging_json: bool,
}

/// Settings of `scaler_object_storage_server`, section `[object_storage_server]`.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStorageSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where scheduler, clients and clusters connect (tcp://host:port or ipc://path)
    #[arg(value_name = "OBJECT_STORAGE_ADDRESS")]
    #[serde(deserialize_with = "text::required")]
    pub object_storage_address: Address,
    /// Most bytes of objects kept at once; a put beyond it is refused [default: half of the machine's memory]
    #[arg(long, value_name = "BYTES", default_value_t = default_budget(), hide_default_value = true)]
    pub memory_budget_bytes: u64,
    /// Objects that nobody owns are swept after this time
    #[arg(long, alias = "ot", value_name = "SECONDS", default_value_t = 60)]
    pub object_retention_seconds: u64,
    /// Listen beyond this machine although nothing is encrypted or authenticated
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub insecure: bool,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(long, alias = "ll", value_name = "LEVEL", default_value_t = LoggingLevel::Info)]
    #[serde(deserialize_with = "text::required")]
    pub logging_level: LoggingLevel,
    /// Files that the log goes to, all of them
    #[arg(long, alias = "lp", value_name = "PATH", num_args = 0.., default_values = ["/dev/stdout"])]
    pub logging_paths: Vec<PathBuf>,
    /// Log lines as JSON objects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub logging_json: bool,
}

/// What the logging needs to know, the same in every section.
#[derive(Clone, Debug)]
pub struct LoggingSettings {
    /// From which level on.
    pub level: LoggingLevel,
    /// Where to.
    pub paths: Vec<PathBuf>,
    /// As JSON objects.
    pub json: bool,
}

/// Each worker is a process; a mistyped number must not take the machine down.
const WORKERS_MAX: u32 = 1024;

fn default_workers() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cpus.saturating_sub(1)).map_or(WORKERS_MAX, |workers| workers.clamp(1, WORKERS_MAX))
}

fn default_budget() -> u64 {
    let info = rustix::system::sysinfo();
    // A 32-bit `unsigned long` counts units of `mem_unit` bytes.
    (u64::from(info.mem_unit.max(1)).saturating_mul(info.totalram as u64) / 2).max(64 << 20)
}

const UVLOOP: &str = "event_loop = \"uvloop\": accepted for the original's sake; this program has one native event loop, \
                      and nothing changes";

impl Section for SchedulerSettings {
    const NAME: &'static str = "scheduler";
    const COMMAND: &'static str = "scaler_scheduler";
    const ABOUT: &'static str = "Takes calls from clients and places them on the workers of clusters";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("scheduler_address", "tcp://127.0.0.1:8516")];

    fn validate(&self, complain: &mut Complaints) {
        complain.at_least("max_number_of_tasks_waiting", self.max_number_of_tasks_waiting, -1);
        complain.positive("client_timeout_seconds", self.client_timeout_seconds);
        complain.positive("worker_timeout_seconds", self.worker_timeout_seconds);
        complain.positive("object_retention_seconds", self.object_retention_seconds);
        complain.positive("load_balance_seconds", self.load_balance_seconds);
        complain.positive("load_balance_trigger_times", u64::from(self.load_balance_trigger_times));
        complain.positive("result_buffer_bytes", self.result_buffer_bytes);
        complain.positive("max_attempts", u64::from(self.max_attempts));
        complain.listens("scheduler_address", &self.scheduler_address, self.insecure);
        if self.object_storage_address.is_none() {
            complain.derives("scheduler_address", &self.scheduler_address, 1, "object_storage_address");
        }
        match &self.monitor_address {
            Some(address) => complain.listens("monitor_address", address, self.insecure),
            None => complain.derives("scheduler_address", &self.scheduler_address, 2, "monitor_address"),
        }
        complain.logging_paths(&self.logging_paths);
    }

    fn notices(&self) -> Vec<&'static str> {
        if self.event_loop == EventLoop::Uvloop { vec![UVLOOP] } else { Vec::new() }
    }

    fn logging(&self) -> LoggingSettings {
        LoggingSettings { level: self.logging_level, paths: self.logging_paths.clone(), json: self.logging_json }
    }

    fn set_config(&mut self, file: Option<PathBuf>) {
        self.config = file;
    }
}

impl Section for ClusterSettings {
    const NAME: &'static str = "cluster";
    const COMMAND: &'static str = "scaler_cluster";
    const ABOUT: &'static str = "Runs workers: processes that run tasks of a scheduler, each task in a sandbox";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("scheduler_address", "tcp://127.0.0.1:8516")];
    const FILE_ONLY: &'static [&'static str] = &["grants"];

    fn validate(&self, complain: &mut Complaints) {
        complain.positive("num_of_workers", u64::from(self.num_of_workers));
        complain.at_most("num_of_workers", self.num_of_workers, WORKERS_MAX, "start more clusters for more workers");
        complain.positive("preload_timeout_seconds", self.preload_timeout_seconds);
        complain.positive("per_worker_task_queue_size", u64::from(self.per_worker_task_queue_size));
        complain.positive("heartbeat_interval_seconds", self.heartbeat_interval_seconds);
        complain.positive("death_timeout_seconds", self.death_timeout_seconds);
        complain.positive("task_memory_limit_bytes", self.task_memory_limit_bytes);
        complain.positive("task_output_limit_bytes", self.task_output_limit_bytes);
        let names = self.worker_names.as_slice();
        if !names.is_empty() && names.len() != self.num_of_workers as usize {
            let (have, want) = (names.len(), self.num_of_workers);
            complain.about("worker_names", format!("{have} names for {want} workers; give one name for each worker"));
        }
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                complain.about("worker_names", format!("`{name}` is given twice; give each worker a name of its own"));
            }
        }
        self.grants.validate(complain);
        complain.logging_paths(&self.logging_paths);
    }

    fn notices(&self) -> Vec<&'static str> {
        if self.event_loop == EventLoop::Uvloop { vec![UVLOOP] } else { Vec::new() }
    }

    fn logging(&self) -> LoggingSettings {
        LoggingSettings { level: self.logging_level, paths: self.logging_paths.clone(), json: self.logging_json }
    }

    fn set_config(&mut self, file: Option<PathBuf>) {
        self.config = file;
    }
}

impl Section for ObjectStorageSettings {
    const NAME: &'static str = "object_storage_server";
    const COMMAND: &'static str = "scaler_object_storage_server";
    const ABOUT: &'static str = "Keeps large arguments and results for scheduler, clients and clusters";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("object_storage_address", "tcp://127.0.0.1:8517")];

    fn validate(&self, complain: &mut Complaints) {
        complain.positive("memory_budget_bytes", self.memory_budget_bytes);
        complain.listens("object_storage_address", &self.object_storage_address, self.insecure);
        complain.positive("object_retention_seconds", self.object_retention_seconds);
        complain.logging_paths(&self.logging_paths);
    }

    fn logging(&self) -> LoggingSettings {
        LoggingSettings { level: self.logging_level, paths: self.logging_paths.clone(), json: self.logging_json }
    }

    fn set_config(&mut self, file: Option<PathBuf>) {
        self.config = file;
    }
}
