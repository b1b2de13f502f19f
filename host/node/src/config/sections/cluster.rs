//! Section `[cluster]`.

use std::{collections::BTreeSet, path::PathBuf};

use clap::{ArgAction, Args};
use scaler_net::Address;
use scaler_proto::{call::Call, capability::Capabilities};
use toml::{Spanned, de::DeValue};

use super::{
    LoggingSettings, io_threads,
    original::{self, EventLoop},
};
use crate::config::{
    complaints::Complaints,
    effective::Derived,
    grants::GrantSettings,
    load::Section,
    ports::{self, Taken},
    values::{Names, NotWhole, at_least, boolean, dialed, only, whole},
    words::words,
};

words! {
    /// What tasks on one worker share.
    Isolation {
        /// Nothing: each starts from the state after the preload.
        Task = "task",
        /// One instance, kept between tasks, as in the original.
        Processor = "processor",
    }
}

/// Settings of `scaler_cluster`, section `[cluster]`.
#[derive(Clone, Debug, Args)]
pub struct ClusterSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The scheduler to work for
    #[arg(value_name = "SCHEDULER_ADDRESS", value_parser = dialed)]
    pub scheduler_address: Address,
    /// Object storage server to use [default: as the scheduler says]
    #[arg(long, alias = "osa", value_name = "ADDRESS", value_parser = dialed)]
    pub object_storage_address: Option<Address>,
    /// Call that each processor makes before its first task: "module.path:function(args, key=value)"
    #[arg(long, value_name = "CALL")]
    pub preload: Option<Call>,
    /// Wall-clock limit of the preload call
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = at_least(1_u64))]
    pub preload_timeout_seconds: u64,
    /// Folder with the components whose functions can be called
    #[arg(long, value_name = "DIR", default_value = "./modules")]
    pub module_path: PathBuf,
    /// Workers of this cluster, each with a processor process of its own [default: number of CPUs - 1, at least 1;
    /// with worker_names, one for each]
    #[arg(long, short = 'n', value_name = "N", default_value_t = default_workers(), hide_default_value = true, value_parser = workers())]
    pub num_of_workers: u32,
    /// Names of the workers, separated by commas, one for each [default: the host's name, numbered]
    #[arg(long, alias = "wn", value_name = "NAMES", default_value_t = Names::default(), hide_default_value = true)]
    pub worker_names: Names,
    /// What each worker offers, as in linux,cpu=8; cpu=8 takes tasks that ask for cpu, or for cpu=8 or less
    #[arg(long, alias = "pwc", value_name = "CAPABILITIES", default_value_t = Capabilities::none(), hide_default_value = true)]
    pub per_worker_capabilities: Capabilities,
    /// Most tasks assigned to one worker, the running one included
    #[arg(long, alias = "wtqs", value_name = "N", default_value_t = 1000, value_parser = at_least(1_u32))]
    pub per_worker_task_queue_size: u32,
    /// How often the cluster reports to the scheduler
    #[arg(long, aliases = ["hi", "his"], value_name = "SECONDS", default_value_t = 2, value_parser = at_least(1_u64))]
    pub heartbeat_interval_seconds: u64,
    /// A task that runs longer fails as a timeout (0: never)
    #[arg(long, alias = "tts", value_name = "SECONDS", default_value_t = 0, value_parser = whole::<u64>)]
    pub task_timeout_seconds: u64,
    /// The cluster ends after this long without a scheduler
    #[arg(long, aliases = ["ds", "dts"], value_name = "SECONDS", default_value_t = 300, value_parser = at_least(1_u64))]
    pub death_timeout_seconds: u64,
    /// Most memory of one task, over all its memories and tables
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20, value_parser = at_least(1_u64))]
    pub task_memory_limit_bytes: u64,
    /// Most bytes of one task's result
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20, value_parser = at_least(1_u64))]
    pub task_output_limit_bytes: u64,
    /// What tasks on one worker share: task (nothing but the preload's state) or processor (one kept instance)
    #[arg(long, value_name = "ISOLATION", default_value_t = Isolation::Task)]
    pub isolation: Isolation,
    /// What tasks may touch outside the sandbox (only in the file; see `[cluster.grants]`)
    #[arg(skip)]
    pub grants: GrantSettings,
    /// Garbage collection of the original (nothing to collect here: a task's memory goes with the task)
    #[arg(long, alias = "gc", value_name = "SECONDS", default_value_t = GC_SECONDS, value_parser = at_least(1_u64))]
    pub garbage_collect_interval_seconds: u64,
    /// Memory from which on the original gives some back (here every task gives back its own)
    #[arg(long, alias = "tm", value_name = "BYTES", default_value_t = TRIM_BYTES, value_parser = whole::<u64>)]
    pub trim_memory_threshold_bytes: u64,
    /// How the original stops a processor whose task waits for another one (no task here does, so none is stopped)
    #[arg(long, alias = "hps", default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub hard_processor_suspend: bool,
    /// Threads that libzmq moves bytes with; one does a gigabyte a second
    #[arg(long, aliases = ["io-threads", "wit"], value_name = "N", default_value_t = 1, value_parser = io_threads("clusters"))]
    pub worker_io_threads: u32,
    /// Event loop of the original: builtin or uvloop (both mean the same here)
    #[arg(long, short = 'e', alias = "el", value_name = "LOOP", default_value_t = EventLoop::Builtin)]
    pub event_loop: EventLoop,
    /// Log hub of the original: only empty, there is none
    #[arg(long, alias = "la", value_name = "ADDRESS")]
    pub log_hub_address: Option<String>,
    /// The log
    #[command(flatten)]
    pub logging: LoggingSettings,
}

/// Each worker is a process; a mistyped number must not take the machine down.
const WORKERS_MAX: u32 = 1024;
const GC_SECONDS: u64 = 30;
const TRIM_BYTES: u64 = 1 << 30;

fn workers() -> impl Fn(&str) -> Result<u32, NotWhole> + Clone + Send + Sync + 'static {
    let range = format!("1 to {WORKERS_MAX}, and start more clusters for more workers");
    only(|workers| (1..=WORKERS_MAX).contains(&workers), range)
}

fn default_workers() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cpus.saturating_sub(1)).map_or(WORKERS_MAX, |workers| workers.clamp(1, WORKERS_MAX))
}

impl ClusterSettings {
    /// This machine's name without its domain, which names the cluster.
    #[must_use]
    pub fn host() -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        host.split('.').next().unwrap_or("host").to_owned()
    }

    /// The names of all workers.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let (given, host) = (self.worker_names.as_slice(), Self::host());
        let name = |index: u32| given.get(index as usize).cloned().unwrap_or_else(|| format!("{host}-{}", index + 1));
        (0..self.num_of_workers).map(name).collect()
    }
}

impl Section for ClusterSettings {
    const NAME: &'static str = "cluster";
    const COMMAND: &'static str = "scaler_cluster";
    const ABOUT: &'static str = "Runs workers: processes that run tasks of a scheduler, each task in a sandbox";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("scheduler_address", "tcp://127.0.0.1:8516")];
    const FILE_ONLY: &'static [&'static str] = &["grants"];
    const DIALED: &'static [&'static str] = &["scheduler_address", "object_storage_address"];

    fn settle(&mut self, is_given: &dyn Fn(&str) -> bool) {
        let names = self.worker_names.as_slice().len();
        if names > 0 && !is_given("num_of_workers") {
            self.num_of_workers = u32::try_from(names).unwrap_or(u32::MAX);
        }
    }

    fn validate(&self, complain: &mut Complaints) {
        let names = self.worker_names.as_slice();
        if self.num_of_workers > WORKERS_MAX {
            let message = format!(
                "{} names are more than a cluster has workers; give at most {WORKERS_MAX}, and start more clusters for \
                 more workers",
                names.len()
            );
            complain.about("worker_names", message);
        }
        if !names.is_empty() && names.len() != self.num_of_workers as usize {
            let named = if names.len() == 1 { "1 name is" } else { &format!("{} names are", names.len()) };
            let (have, want) = (names.join(", "), self.num_of_workers);
            complain.about(
                "worker_names",
                format!("num_of_workers is {want}, but {named} given ({have}); give one name for each worker"),
            );
        }
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                complain.about("worker_names", format!("`{name}` is given twice; give each worker a name of its own"));
            }
        }
        if let Some(address) = self.log_hub_address.as_ref().filter(|address| !address.is_empty()) {
            let message = format!(
                "there is no log hub to send to at `{address}`; leave it out, and use logging_paths or `scaler logs`"
            );
            complain.about("log_hub_address", message);
        }
        if let Some(storage) = &self.object_storage_address {
            let taken = |key, address| Taken { key, address, is_given: true };
            let both = [taken("scheduler_address", &self.scheduler_address), taken("object_storage_address", storage)];
            ports::distinct(&both, complain);
        }
        self.logging.validate(complain);
    }

    fn derived(&self) -> Vec<Derived> {
        let workers = match self.worker_names.as_slice() {
            [] => "number of CPUs - 1, at least 1",
            _ => "worker_names",
        };
        vec![
            Derived::from("object_storage_address", serde_json::Value::Null, "the scheduler tells it"),
            Derived::from("num_of_workers", self.num_of_workers, workers),
            Derived::from("worker_names", self.names().join(","), "the host's name, numbered"),
        ]
    }

    fn take_table(&mut self, _key: &str, table: &Spanned<DeValue<'_>>, complain: &mut Complaints) {
        self.grants = GrantSettings::read(table, complain);
    }

    fn tables(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![("grants", self.grants.to_json())]
    }

    fn notices(&self) -> Vec<String> {
        [
            original::notice(
                "garbage_collect_interval_seconds",
                &self.garbage_collect_interval_seconds,
                &GC_SECONDS,
                "components have no garbage between tasks: a task's memory is given back when the task ends",
            ),
            original::notice(
                "trim_memory_threshold_bytes",
                &self.trim_memory_threshold_bytes,
                &TRIM_BYTES,
                "a task's memory is given back when the task ends; task_memory_limit_bytes is what bounds it",
            ),
            original::notice(
                "hard_processor_suspend",
                &self.hard_processor_suspend,
                &false,
                "no task waits for another one in this version, so no processor is ever suspended",
            ),
            original::notice("event_loop", &self.event_loop, &EventLoop::Builtin, original::ONE_LOOP),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn logging(&self) -> LoggingSettings {
        self.logging.clone()
    }
}
