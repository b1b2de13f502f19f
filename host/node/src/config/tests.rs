//! The rules of the configuration: precedence, spellings, and mistakes that name their place.

use std::{ffi::OsString, fs, path::PathBuf};

use super::*;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/example_config.toml");

fn arguments(line: &str) -> Vec<OsString> {
    std::iter::once("program").chain(line.split_whitespace()).map(OsString::from).collect()
}

/// The settings that a command line gives.
pub(super) fn read<T: Section>(line: &str) -> T {
    load::<T>(arguments(line)).unwrap_or_else(|error| panic!("{line}: {error}")).settings
}

fn cluster(line: &str) -> ClusterSettings {
    read(line)
}

fn scheduler(line: &str) -> SchedulerSettings {
    read(line)
}

/// What is wrong with a command line.
pub(super) fn mistakes<T: Section + std::fmt::Debug>(line: &str) -> String {
    load::<T>(arguments(line)).expect_err(line).to_string()
}

struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("deploy.toml"), text).expect("file");
        Self(folder)
    }

    fn flag(&self) -> String {
        format!("--config {}", self.0.path().join("deploy.toml").display())
    }
}

#[test]
fn the_seeds_example_loads_unchanged_for_all_its_commands() {
    let settings = scheduler(&format!("--config {EXAMPLE}"));
    assert_eq!(settings.scheduler_address.to_string(), "tcp://127.0.0.1:6378");
    assert_eq!(settings.monitor_address.expect("given").to_string(), "tcp://127.0.0.1:6380");
    assert_eq!(settings.logging.paths.len(), 2);
    assert_eq!(settings.config, Some(PathBuf::from(EXAMPLE)));
    let settings = cluster(&format!("-c {EXAMPLE}"));
    assert_eq!((settings.num_of_workers, settings.task_timeout_seconds), (8, 600));
    assert_eq!(settings.per_worker_capabilities.to_string(), "cpu=8,linux");
    load::<ObjectStorageSettings>(arguments(&format!("-c {EXAMPLE}"))).expect("storage");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    assert_eq!(cluster(&format!("--config {EXAMPLE} --num-of-workers 12")).num_of_workers, 12);
    // Also when what was typed is the default.
    let file =
        File::new("[cluster]\nscheduler_address='tcp://a:1'\nheartbeat_interval_seconds=7\nlogging_paths=['x','y']\n");
    assert_eq!(cluster(&file.flag()).heartbeat_interval_seconds, 7);
    assert_eq!(cluster(&format!("{} -his 2", file.flag())).heartbeat_interval_seconds, 2);
    assert_eq!(cluster(&format!("{} -lp z", file.flag())).logging.paths, [PathBuf::from("z")]);
    assert_eq!(cluster(&format!("tcp://b:2 {}", file.flag())).scheduler_address.to_string(), "tcp://b:2");
}

#[test]
fn the_seeds_command_lines_are_read_as_written() {
    assert!(scheduler("tcp://127.0.0.1:8516").protected);
    assert!(!scheduler("tcp://127.0.0.1:8516 -p False").protected);
    assert!(scheduler("-p tcp://127.0.0.1:8516").protected);
    assert!(!scheduler("--protected=false tcp://127.0.0.1:8516").protected);
    assert_eq!(scheduler("tcp://127.0.0.1:8516 -e uvloop").event_loop, EventLoop::Uvloop);
    let loaded = load::<SchedulerSettings>(arguments("tcp://127.0.0.1:8516 -el uvloop")).expect("settings");
    assert_eq!(loaded.notices.len(), 1);
    let settings = cluster("-n 10 tcp://127.0.0.1:8516 -ds 300");
    assert_eq!((settings.num_of_workers, settings.death_timeout_seconds), (10, 300));
    let mut line = arguments("tcp://127.0.0.1:8516 --preload");
    line.push("mypackage.init:configure('production', debug=False)".into());
    assert!(load::<ClusterSettings>(line).expect("settings").settings.preload.is_some());
}

#[test]
fn short_flags_of_both_versions_are_known() {
    let settings = scheduler(
        "ipc:///tmp/h -osa tcp://h:2 -ma tcp://[::1]:3 -mt -1 -ct 1 -wt 2 -ot 3 -ls 4 -lbt 5 -ap capability -ll debug -lp a b",
    );
    assert_eq!((settings.client_timeout_seconds, settings.worker_timeout_seconds), (1, 2));
    assert_eq!((settings.object_retention_seconds, settings.load_balance_seconds), (3, 4));
    assert_eq!((settings.load_balance_trigger_times, settings.max_number_of_tasks_waiting), (5, -1));
    assert_eq!((settings.allocate_policy(), settings.logging.level), (AllocatePolicy::Capability, LoggingLevel::Debug));
    assert_eq!(settings.logging.paths, [PathBuf::from("a"), PathBuf::from("b")]);
    let settings = cluster("tcp://h:1 -n 2 -wn a,b -pwc gpu=2 -wtqs 5 -hi 3 -tts=9 -dts 11 -osa ipc:///tmp/s");
    assert_eq!(settings.worker_names.as_slice(), ["a", "b"]);
    assert_eq!((settings.per_worker_task_queue_size, settings.heartbeat_interval_seconds), (5, 3));
    assert_eq!((settings.task_timeout_seconds, settings.death_timeout_seconds), (9, 11));
}

#[test]
fn every_mistake_of_a_file_is_named_with_its_line_and_remedy() {
    let file = File::new(
        "[cluster]\n\
         scheduler_address = \"127.0.0.1:6378\"\n\
         num_of_worker = 8\n\
         num_of_workers = \"eight\"\n\
         per_worker_capabilities = \"gpu=two\"\n\
         task_timeout_seconds = -5\n\
         heartbeat_interval_seconds = 0\n\
         isolation = \"thread\"\n\
         banana = 1\n\
         logging_level = \"LOUD\"\n\
         logging_paths = \"/dev/stdout\"\n\
         worker_names = \"a,,b\"\n\
         preload = \"no colon\"\n\
         [cluster.grants]\n\
         clocks = true\n\
         [[cluster.grants.directories]]\n\
         host_path = \"/\"\n\
         [clustre]\n\
         [garage]\n",
    );
    let text = mistakes::<ClusterSettings>(&file.flag());
    for expected in [
        "deploy.toml:2: [cluster] scheduler_address",
        "deploy.toml:3: [cluster] has no key `num_of_worker`; did you mean `num_of_workers`?",
        "deploy.toml:4: [cluster] num_of_workers: expected a whole number, not the string \"eight\"; write `num_of_workers = ",
        "deploy.toml:5: [cluster] per_worker_capabilities: capability `gpu`: `two` is not an integer",
        "deploy.toml:6: [cluster] task_timeout_seconds",
        "deploy.toml:7: [cluster] heartbeat_interval_seconds: 0 is out of range; give at least 1",
        "deploy.toml:8: [cluster] isolation: `thread` is not one of task, processor",
        "deploy.toml:9: [cluster] has no key `banana`",
        "deploy.toml:10: [cluster] logging_level: `LOUD` is not one of NOTSET, DEBUG",
        "deploy.toml:11: [cluster] logging_paths: expected a list of strings, not the string \"/dev/stdout\"; write `logging_paths = \
         [\"/dev/stdout\"]`",
        "deploy.toml:12: [cluster] worker_names: name 2 of `a,,b` is empty; give it a name, or write `a,b`",
        "deploy.toml:13: [cluster] preload",
        "deploy.toml:15: [cluster.grants] clocks: there is no such key; there are environment, network, clock, random, directories; did you mean `clock`?",
        "deploy.toml:16: [cluster.grants.directories] guest_path: is missing",
        "deploy.toml:18: there is no section [clustre]; did you mean [cluster]?",
    ] {
        assert!(text.contains(expected), "missing {expected:?} in:\n{text}");
    }
    assert!(!text.contains("garage"), "an unknown section is only a warning:\n{text}");
}

#[test]
fn broken_toml_a_missing_file_and_a_missing_address_are_clear() {
    let file = File::new("[scheduler]\nscheduler_address = \n");
    let text = mistakes::<SchedulerSettings>(&file.flag());
    assert!(text.contains("deploy.toml:2: not valid TOML") && !text.contains("missing the required"), "{text}");
    assert!(mistakes::<SchedulerSettings>("--config /nowhere/x.toml").contains("`/nowhere/x.toml`"));
    let text = mistakes::<ClusterSettings>("");
    assert!(text.contains("`scheduler_address`") && text.contains("[cluster]"), "{text}");
    let file = File::new("num_of_workers = 3\n[cluster]\n");
    let text = mistakes::<ClusterSettings>(&file.flag());
    assert!(text.contains("deploy.toml:1: `num_of_workers` stands outside of any section; put it under `[cluster]`"));
    let file = File::new("[garage]\ncars = 2\n[scheduler]\nscheduler_address='tcp://127.0.0.1:1'\n");
    assert_eq!(load::<SchedulerSettings>(arguments(&file.flag())).expect("loads").warnings.len(), 1);
}

#[test]
fn a_mistyped_flag_is_named_as_a_flag() {
    let text = mistakes::<ClusterSettings>("tcp://a:1 -n 0");
    assert!(text.contains("--num-of-workers") && text.contains("0 is out of range; give 1 to 1024"), "{text}");
    assert!(mistakes::<ClusterSettings>("a:1").contains("a:1"));
    assert!(mistakes::<ClusterSettings>("tcp://a:1 --num-of-worker 3").contains("--num-of-workers"));
    let text = mistakes::<SchedulerSettings>("tcp://0.0.0.0:8516 -ma tcp://10.0.0.1:1");
    assert!(text.contains("SCHEDULER_ADDRESS: tcp://0.0.0.0:8516") && text.contains("--monitor-address"), "{text}");
    assert!(scheduler("tcp://0.0.0.0:8516 --insecure").insecure);
    assert!(mistakes::<SchedulerSettings>("tcp://a:1 -lp http://x").contains("is an address, not a path"));
}

#[test]
fn a_key_that_is_no_flag_and_a_flag_that_is_no_key_are_told_apart() {
    let text = mistakes::<ClusterSettings>("--scheduler-address tcp://a:1");
    assert!(text.contains("SCHEDULER_ADDRESS stands without a flag: write `scaler_cluster tcp://HOST:PORT`"), "{text}");
    let text = mistakes::<ClusterSettings>("tcp://a:1 --grants x");
    assert!(text.contains("'--grants' is no flag: a table like `grants` stands only in a file"), "{text}");
    let file = File::new("[cluster]\nscheduler_address='tcp://a:1'\npwc='gpu'\nn=3\nc='x'\n");
    let text = mistakes::<ClusterSettings>(&file.flag());
    assert!(
        text.contains("deploy.toml:3: [cluster] has no key `pwc`; did you mean `per_worker_capabilities`?"),
        "{text}"
    );
    assert!(text.contains("deploy.toml:4: [cluster] has no key `n`; did you mean `num_of_workers`?"), "{text}");
    assert!(text.contains("deploy.toml:5: [cluster] has no key `c`; -h of the command lists the keys"), "{text}");
}

#[test]
fn a_cluster_has_at_most_1024_workers_each_with_its_own_name() {
    assert_eq!(cluster("tcp://a:1 -n 1024").num_of_workers, 1024);
    let text = mistakes::<ClusterSettings>("tcp://a:1 -n 1025");
    assert!(text.contains("1025 is out of range; give 1 to 1024, and start more clusters"), "{text}");
    let file = File::new("[cluster]\nscheduler_address='tcp://a:1'\nnum_of_workers=100000\n");
    let text = mistakes::<ClusterSettings>(&file.flag());
    assert!(text.contains("deploy.toml:3: [cluster] num_of_workers: 100000 is out of range"), "{text}");
    assert_eq!(cluster("tcp://a:1 -wn a,b,c").names(), ["a", "b", "c"]);
    let names: Vec<String> = (0..1025).map(|name| name.to_string()).collect();
    let text = mistakes::<ClusterSettings>(&format!("tcp://a:1 -wn {}", names.join(",")));
    assert!(
        text.contains("--worker-names: 1025 names are more than a cluster has workers; give at most 1024"),
        "{text}"
    );
    let text = mistakes::<ClusterSettings>("tcp://a:1 -n 2 -wn a,a");
    assert!(text.contains("--worker-names: `a` is given twice"), "{text}");
}

#[test]
fn an_address_without_room_for_the_derived_ones_is_refused() {
    let text = mistakes::<SchedulerSettings>("tcp://127.0.0.1:65535");
    assert!(text.contains("SCHEDULER_ADDRESS") && text.contains("`object_storage_address`"), "{text}");
    assert!(text.contains("`monitor_address`"), "{text}");
    let text = mistakes::<SchedulerSettings>("tcp://127.0.0.1:65534");
    assert!(!text.contains("object_storage_address") && text.contains("`monitor_address`"), "{text}");
    scheduler("tcp://127.0.0.1:65534 -ma tcp://127.0.0.1:1");
    scheduler("tcp://127.0.0.1:65535 -ma tcp://127.0.0.1:1 -osa tcp://127.0.0.1:2");
}

#[test]
fn grants_are_read_from_the_file() {
    let file = File::new(
        "[cluster]\nscheduler_address='tcp://a:1'\n[cluster.grants]\nenvironment=['A=b']\nclock=false\n\
         [[cluster.grants.directories]]\nhost_path='/'\nguest_path='/data'\naccess='read-write'\n",
    );
    let grants = cluster(&file.flag()).grants.resolve();
    assert_eq!(grants.environment, [("A".to_owned(), "b".to_owned())]);
    assert!(!grants.clock && grants.random);
    assert_eq!(grants.directories[0].access, scaler_sandbox::Access::ReadWrite);
}

#[test]
fn help_shows_every_key_default_and_short_flag() {
    let Err(ConfigError::CommandLine(help)) = load::<SchedulerSettings>(arguments("-h")) else { panic!("no help") };
    let text = help.to_string();
    for expected in ["-osa", "--object-storage-address", "[default: 60]", "-p", "[scheduler]", "scheduler port + 2"] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
}
