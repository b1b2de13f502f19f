//! Every option of the original, by flag, by every short flag and by file; what can be wrong in a file is in `mistakes`.
//!
//! The table is the inventory of Scaler 1.12 and 1.15. An option that is forgotten, a spelling that is lost, or one of
//! ours that is not in the table fails here. What they do is for other tests, for those of queues, balance, time-outs,
//! and threads see `scenarios/effects.rs`.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use scaler_node::config::{
    ClusterSettings, ConfigError, Effective, ObjectStorageSettings, Place, SchedulerSettings, Section, TopSettings,
    WebUiSettings, commands, load,
};
use serde_json::{Value, json};

/// One option.
struct Row {
    section: &'static str,
    key: &'static str,
    /// `""` for the positional.
    long: &'static str,
    shorts: &'static [&'static str],
    /// Other keys of the original for the same.
    keys: &'static [&'static str],
    /// The value when nobody says anything; null if there is no value, "?" if it depends on the machine.
    default: Value,
    /// A value as typed, and as it stands in the file.
    typed: &'static str,
    file: Value,
    /// Or why it is refused.
    refused: Option<&'static str>,
}

fn row(
    (section, key): (&'static str, &'static str),
    flags: &'static str,
    default: Value,
    typed: &'static str,
    file: Value,
) -> Row {
    let mut words = flags.split_whitespace();
    let long = words.next().unwrap_or_default();
    // Neither the table nor the words live longer than the test.
    let shorts: &'static [&'static str] = Vec::leak(words.collect());
    Row { section, key, long, shorts, keys: &[], default, typed, file, refused: None }
}

impl Row {
    fn keys(self, keys: &'static [&'static str]) -> Self {
        Self { keys, ..self }
    }

    fn refused(self, why: &'static str) -> Self {
        Self { refused: Some(why), ..self }
    }
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    let (s, c, o, u, t) = ("scheduler", "cluster", "object_storage_server", "webui", "top");
    let null = Value::Null;
    let mut rows = vec![
        row((s, "scheduler_address"), "", null.clone(), "tcp://127.0.0.1:1", json!("tcp://127.0.0.1:1")),
        row((s, "object_storage_address"), "--object-storage-address -osa", null.clone(), "tcp://h:2", json!("tcp://h:2")),
        row((s, "monitor_address"), "--monitor-address -ma", null.clone(), "tcp://127.0.0.1:3", json!("tcp://127.0.0.1:3")),
        row((s, "protected"), "--protected -p", json!(true), "False", json!(false)),
        row((s, "max_number_of_tasks_waiting"), "--max-number-of-tasks-waiting -mt", json!(-1), "7", json!(7)),
        row((s, "client_timeout_seconds"), "--client-timeout-seconds -ct", json!(60), "7", json!(7)),
        row((s, "worker_timeout_seconds"), "--worker-timeout-seconds -wt", json!(60), "7", json!(7)),
        row((s, "object_retention_seconds"), "--object-retention-seconds -ot", json!(60), "7", json!(7)),
        row((s, "load_balance_seconds"), "--load-balance-seconds -ls", json!(1), "-1", json!(-1)),
        row((s, "load_balance_trigger_times"), "--load-balance-trigger-times -lbt", json!(2), "7", json!(7)),
        row((s, "event_loop"), "--event-loop -e -el", json!("builtin"), "uvloop", json!("uvloop")),
        row((s, "io_threads"), "--io-threads -wit --worker-io-threads", json!(1), "3", json!(3)).keys(&["worker_io_threads"]),
        row((s, "allocate_policy"), "--allocate-policy -ap", json!("even"), "capability", json!("capability")),
        row((s, "policy_engine_type"), "--policy-engine-type -et", json!("simple"), "simple", json!("simple")),
        row((s, "policy_content"), "--policy-content -pc", null.clone(), "allocate=capability; scaling=no", json!("allocate=capability; scaling=no")),
        row((s, "scaling_controller_strategy"), "--scaling-controller-strategy -scs", json!("NULL"), "VANILLA", json!("VANILLA")).refused("started by demand"),
        row((s, "adapter_webhook_urls"), "--adapter-webhook-urls -awu", json!([]), "http://h:1", json!(["http://h:1"])).refused("started by demand"),
        row((c, "scheduler_address"), "", null.clone(), "tcp://h:1", json!("tcp://h:1")),
        row((c, "object_storage_address"), "--object-storage-address -osa", null.clone(), "tcp://h:2", json!("tcp://h:2")),
        row((c, "preload"), "--preload", null.clone(), "init:configure('x')", json!("init:configure('x')")),
        row((c, "num_of_workers"), "--num-of-workers -n", json!("?"), "7", json!(7)),
        row((c, "worker_names"), "--worker-names -wn", json!(""), "only", json!("only")),
        row((c, "per_worker_capabilities"), "--per-worker-capabilities -pwc", json!(""), "linux,cpu=8", json!("linux,cpu=8")),
        row((c, "per_worker_task_queue_size"), "--per-worker-task-queue-size -wtqs", json!(1000), "7", json!(7)),
        row((c, "heartbeat_interval_seconds"), "--heartbeat-interval-seconds -hi -his", json!(2), "7", json!(7)),
        row((c, "task_timeout_seconds"), "--task-timeout-seconds -tts", json!(0), "7", json!(7)),
        row((c, "death_timeout_seconds"), "--death-timeout-seconds -ds -dts", json!(300), "7", json!(7)),
        row((c, "garbage_collect_interval_seconds"), "--garbage-collect-interval-seconds -gc", json!(30), "7", json!(7)),
        row((c, "trim_memory_threshold_bytes"), "--trim-memory-threshold-bytes -tm", json!(1 << 30), "7", json!(7)),
        row((c, "hard_processor_suspend"), "--hard-processor-suspend -hps", json!(false), "True", json!(true)),
        row((c, "event_loop"), "--event-loop -e -el", json!("builtin"), "uvloop", json!("uvloop")),
        row((c, "worker_io_threads"), "--worker-io-threads -wit --io-threads", json!(1), "3", json!(3)).keys(&["io_threads"]),
        row((c, "log_hub_address"), "--log-hub-address -la", null.clone(), "tcp://h:1", json!("tcp://h:1")).refused("leave it out"),
        row((o, "object_storage_address"), "", null.clone(), "tcp://127.0.0.1:1", json!("tcp://127.0.0.1:1")),
        row((u, "monitor_address"), "", null.clone(), "tcp://h:1", json!("tcp://h:1")),
        row((u, "web_host"), "--web-host", json!("127.0.0.1"), "localhost", json!("localhost")),
        row((u, "web_port"), "--web-port", json!(50001), "8081", json!(8081)),
        row((t, "monitor_address"), "", null.clone(), "tcp://h:1", json!("tcp://h:1")),
        row((t, "timeout"), "--timeout -t", json!(5), "7", json!(7)),
    ];
    for section in [s, c, o, u] {
        rows.push(row((section, "logging_paths"), "--logging-paths -lp", json!(["/dev/stdout"]), "/dev/stderr", json!(["/dev/stderr"])));
        rows.push(row((section, "logging_level"), "--logging-level -ll", json!("INFO"), "debug", json!("debug")));
        rows.push(row((section, "logging_config_file"), "--logging-config-file -lc -lcf", null.clone(), "log.conf", json!("log.conf")).refused("logging_paths"));
    }
    rows
}

/// What we have beyond the original.
const OURS: &[(&str, &[&str])] = &[
    ("scheduler", &["result_buffer_bytes", "max_attempts", "insecure", "logging_json"]),
    (
        "cluster",
        &[
            "preload_timeout_seconds",
            "module_path",
            "task_memory_limit_bytes",
            "task_output_limit_bytes",
            "isolation",
            "grants",
            "logging_json",
        ],
    ),
    ("object_storage_server", &["memory_budget_bytes", "object_retention_seconds", "insecure", "logging_json"]),
    ("webui", &["insecure", "logging_json"]),
    ("top", &["once", "json"]),
];

type Settings = Result<(Vec<Effective>, Vec<String>), ConfigError>;

fn read(section: &str, words: &[String]) -> Settings {
    fn of<T: Section>(words: &[String]) -> Settings {
        let words = std::iter::once("program").chain(words.iter().map(String::as_str)).map(OsString::from);
        load::<T>(words).map(|loaded| (loaded.effective, loaded.notices))
    }
    match section {
        "scheduler" => of::<SchedulerSettings>(words),
        "cluster" => of::<ClusterSettings>(words),
        "object_storage_server" => of::<ObjectStorageSettings>(words),
        "webui" => of::<WebUiSettings>(words),
        "top" => of::<TopSettings>(words),
        other => panic!("no section {other}"),
    }
}

fn find<'e>(effective: &'e [Effective], key: &str) -> &'e Effective {
    effective.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("no setting {key}"))
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

/// A value of the file in TOML; text, numbers and lists of text are written as in JSON.
fn toml(value: &Value) -> String {
    value.to_string()
}

/// The positional of every section, for whatever else is tried.
fn positional(section: &str) -> &'static str {
    if section == "cluster" { "tcp://h:9" } else { "tcp://127.0.0.1:9" }
}

/// What a value needs besides itself.
fn company(key: &str) -> &'static [&'static str] {
    if key == "worker_names" { &["-n", "1"] } else { &[] }
}

/// Another value than the table's, for a file, of an option without a default.
fn another(key: &str) -> Value {
    match key {
        "preload" => json!("init:configure('y')"),
        "policy_content" => json!("allocate=even_load; scaling=no"),
        _ => json!("tcp://127.0.0.1:4"),
    }
}

struct Case<'r> {
    row: &'r Row,
    folder: &'r Path,
}

impl Case<'_> {
    fn file(&self, key: &str, value: &Value) -> PathBuf {
        let path = self.folder.join("deploy.toml");
        fs::write(&path, format!("[{}]\n{key} = {}\n", self.row.section, toml(value))).expect("file");
        path
    }

    /// The words that set the option by a flag, in both forms.
    fn spellings(&self, typed: &str) -> Vec<Vec<String>> {
        let Row { section, key, long, shorts, .. } = self.row;
        if long.is_empty() {
            return vec![words(&[typed])];
        }
        let flags = std::iter::once(long).chain(shorts.iter());
        let both = flags.flat_map(|flag| [words(&[flag, typed]), vec![format!("{flag}={typed}")]]);
        let rest = words(&[positional(section)]).into_iter().chain(words(company(key)));
        let rest: Vec<String> = rest.collect();
        both.flat_map(|flag| [[flag.clone(), rest.clone()].concat(), [rest.clone(), flag].concat()]).collect()
    }

    #[track_caller]
    fn expect(&self, line: &[String], value: &Value, from_file: bool) {
        let Row { section, key, refused, .. } = self.row;
        match (read(section, line), refused) {
            (Ok((effective, _)), None) => {
                let setting = find(&effective, key);
                assert_eq!(&setting.value, value, "[{section}] {key}: {line:?}");
                assert_eq!(matches!(setting.place, Place::File { .. }), from_file, "[{section}] {key}: {line:?}");
            }
            (Err(ConfigError::Mistakes(mistakes)), Some(why)) => {
                let about = mistakes.iter().find(|mistake| mistake.key() == Some(key));
                let text = about.unwrap_or_else(|| panic!("{line:?}: {mistakes:?}")).to_string();
                assert!(text.contains(why), "{line:?}: {text}");
            }
            (Ok(_), Some(_)) => panic!("[{section}] {key}: {line:?} must be refused"),
            (Err(error), _) => panic!("[{section}] {key}: {line:?}: {error}"),
        }
    }

    fn run(&self) {
        let Row { section, key, long, keys, default, typed, file, refused, .. } = self.row;
        // Scenario 94: defaults, file only, flag over file.
        let (effective, _) = read(section, &words(&[positional(section)])).expect("defaults");
        if !long.is_empty() && *default != json!("?") {
            // What is derived has no default of its own.
            let setting = find(&effective, key);
            assert!(setting.derived.is_some() || setting.value == *default, "[{section}] {key}: {setting:?}");
        }
        for line in self.spellings(typed) {
            let value = if typed.eq_ignore_ascii_case("true") || typed.eq_ignore_ascii_case("false") {
                file.clone()
            } else {
                // As it was typed, which for words is not always as it is written in files.
                find(&read_or_empty(section, &line), key).value.clone()
            };
            assert!(refused.is_some() || value == *file, "[{section}] {key}: {line:?}: {value}");
            self.expect(&line, &value, false);
        }
        for name in std::iter::once(key).chain(keys.iter()) {
            let path = self.file(name, file);
            let mut line = words(&["-c", &path.to_string_lossy()]);
            if !long.is_empty() {
                line.push(positional(section).to_owned());
                line.extend(words(company(key)));
            }
            self.expect(&line, file, true);
        }
        if refused.is_some() {
            return;
        }
        // A flag wins over the file, also when what it says is the default.
        let (in_file, said, expected) = match default {
            Value::Null => (another(key), (*typed).to_owned(), file.clone()),
            Value::Array(entries) => (file.clone(), entries[0].as_str().expect("text").to_owned(), default.clone()),
            Value::String(text) if text == "?" => (file.clone(), "2".to_owned(), json!(2)),
            Value::String(text) => (file.clone(), text.clone(), default.clone()),
            other => (file.clone(), other.to_string(), default.clone()),
        };
        assert!(in_file != expected || *key == "policy_engine_type", "[{section}] {key}: only that one has one value");
        let path = self.file(key, &in_file);
        let own = ["-c".to_owned(), path.to_string_lossy().into_owned()];
        for line in self.spellings(&said) {
            let line = [&own[..], &line].concat();
            let (effective, _) = read(section, &line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            let setting = find(&effective, key);
            let place = if long.is_empty() { Place::Argument } else { Place::Flag };
            assert!(setting.place == place, "[{section}] {key}: {line:?}");
            assert_eq!(setting.value, expected, "[{section}] {key}: {line:?}");
        }
    }
}

/// The settings, or those of nothing where they are refused.
fn read_or_empty(section: &str, line: &[String]) -> Vec<Effective> {
    read(section, line)
        .or_else(|_| read(section, &words(&[positional(section)])))
        .map(|(effective, _)| effective)
        .expect("settings")
}

#[test]
fn every_option_of_the_original_is_set_by_each_of_its_names() {
    let folder = tempfile::tempdir().expect("folder");
    for row in &table() {
        Case { row, folder: folder.path() }.run();
    }
}

#[test]
fn the_table_is_complete() {
    let mut known: BTreeSet<(String, String)> =
        table().iter().map(|row| (row.section.to_owned(), row.key.to_owned())).collect();
    known.extend(
        OURS.iter().flat_map(|(section, keys)| keys.iter().map(|key| ((*section).to_owned(), (*key).to_owned()))),
    );
    let sections = ["scheduler", "cluster", "object_storage_server", "webui", "top"];
    let declared: BTreeSet<(String, String)> = sections
        .iter()
        .flat_map(|section| {
            let effective = read_or_empty(section, &words(&[positional(section)]));
            effective.into_iter().map(|setting| ((*section).to_owned(), setting.key))
        })
        .collect();
    assert_eq!(known, declared);
    assert_eq!(commands().len(), sections.len());
}

#[test]
fn what_means_something_else_here_is_said_in_one_line_each() {
    let line = ["tcp://h:1", "-gc", "5", "-tm", "1", "-hps", "-el", "uvloop"];
    let (_, notices) = read("cluster", &words(&line)).expect("settings");
    for key in
        ["garbage_collect_interval_seconds", "trim_memory_threshold_bytes", "hard_processor_suspend", "event_loop"]
    {
        assert_eq!(notices.iter().filter(|notice| notice.starts_with(key)).count(), 1, "{key}: {notices:?}");
    }
    let defaults = ["tcp://h:1", "-gc", "30", "-tm", "1073741824", "-hps", "False", "-el", "builtin"];
    assert!(read("cluster", &words(&defaults)).expect("settings").1.is_empty());
}

#[test]
fn policy_content_is_allocate_policy_by_its_later_name() {
    let policy = |line: &[&str]| {
        let line = [&["program", "tcp://127.0.0.1:1"], line].concat();
        load::<SchedulerSettings>(line.iter().map(OsString::from))
            .map(|loaded| loaded.settings.allocate_policy().word())
    };
    assert_eq!(policy(&[]).expect("settings"), "even");
    assert_eq!(policy(&["-pc", "allocate=capability; scaling=no"]).expect("settings"), "capability");
    assert_eq!(policy(&["-pc", "allocate=even_load; scaling=no", "-ap", "even"]).expect("settings"), "even");
    let text = policy(&["-pc", "allocate=capability; scaling=no", "-ap", "even"]).expect_err("both").to_string();
    assert!(text.contains("contradicts"), "{text}");
    let text = policy(&["-pc", "allocate=even_load; scaling=vanilla"]).expect_err("scaling").to_string();
    assert!(text.contains("--policy-content") && text.contains("started by demand"), "{text}");
}

#[test]
fn lists_end_before_the_address_and_flags_that_are_none_are_explained() {
    let line = words(&["-lp", "a.log", "/dev/stdout", "tcp://127.0.0.1:5", "-awu"]);
    let (effective, _) = read("scheduler", &line).expect("settings");
    assert_eq!(find(&effective, "logging_paths").value, json!(["a.log", "/dev/stdout"]));
    assert_eq!(find(&effective, "scheduler_address").value, json!("tcp://127.0.0.1:5"));
    for (section, line, reasons) in [
        (
            "scheduler",
            &["tcp://127.0.0.1:1", "-p", "maybe"][..],
            &["--protected", "`maybe` is not one of true, false"][..],
        ),
        ("cluster", &["tcp://h:1", "-dss", "1"], &["'-dss'", "-ds (--death-timeout-seconds)"]),
        (
            "cluster",
            &["tcp://h:1", "-n", "eight"],
            &["--num-of-workers", "`eight` is not a whole number; give 1 to 1024"],
        ),
        ("cluster", &["tcp://h:1", "-ds"], &["--death-timeout-seconds", "value is required"]),
        ("scheduler", &["tcp://127.0.0.1:1", "-ap", "evne"], &["did you mean `even`?"]),
    ] {
        let text = read(section, &words(line)).expect_err("refused").to_string();
        assert!(reasons.iter().all(|reason| text.contains(reason)), "{line:?}: {text}");
    }
}

#[test]
fn names_and_capabilities_are_lists_with_commas_and_blanks() {
    // Scenario 96.
    let line = ["program", "tcp://h:1", "-n", "2", "-wn", " a , b ", "-pwc", " gpu=2, linux "];
    let settings = load::<ClusterSettings>(line.iter().map(OsString::from)).expect("settings").settings;
    assert_eq!(settings.worker_names.as_slice(), ["a", "b"]);
    assert_eq!(settings.per_worker_capabilities.to_string(), "gpu=2,linux");
    let text = read("cluster", &words(&["tcp://h:1", "-pwc", "gpu=two"])).expect_err("no number").to_string();
    assert!(text.contains("`two` is not an integer"), "{text}");
}

fn scaler(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scaler")).args(arguments).stdin(Stdio::null()).output().expect("scaler")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_seeds_file_is_shown_with_the_origin_of_every_setting() {
    // Scenario 98: the file of the seed, for all its commands.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/example_config.toml");
    let name = path.to_str().expect("text");
    let checked = scaler(&["config", "check", name]);
    assert_eq!((checked.status.code(), text(&checked.stderr)), (Some(0), String::new()));
    let shown = text(&checked.stdout);
    for section in ["[scheduler] of scaler_scheduler", "[cluster] of scaler_cluster", "[webui] of scaler_ui"] {
        assert!(shown.contains(section), "{shown}");
    }
    let line = shown.lines().find(|line| line.trim_start().starts_with("num_of_workers")).expect("the setting");
    assert!(line.contains(" 8 ") && line.contains("line "), "{line}");
    let report: Value = serde_json::from_slice(&scaler(&["config", "check", name, "--json"]).stdout).expect("JSON");
    let cluster = &report["sections"]["cluster"]["settings"];
    assert_eq!(cluster["num_of_workers"]["value"], 8);
    assert_eq!(cluster["num_of_workers"]["source"], "file");
    assert_eq!(cluster["death_timeout_seconds"], json!({"value": 300, "source": "default"}));
    assert_eq!(report["warnings"], json!([]));
    let (effective, _) = read("cluster", &words(&["--config", name, "--num-of-workers", "12"])).expect("settings");
    assert_eq!(find(&effective, "num_of_workers").value, 12);
}

#[test]
fn what_nobody_gave_is_shown_as_it_will_be_and_what_it_is_derived_from() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let file = "[scheduler]\nscheduler_address = 'tcp://127.0.0.1:7000'\npolicy_content = 'allocate=capability; scaling=no'\n\
                [cluster]\nscheduler_address = 'tcp://127.0.0.1:7000'\nnum_of_workers = 2\n\
                [cluster.grants]\nclock = false\n";
    fs::write(&path, file).expect("file");
    let name = path.to_str().expect("text");
    let report: Value = serde_json::from_slice(&scaler(&["config", "check", name, "--json"]).stdout).expect("JSON");
    let settings = |section: &str| report["sections"][section]["settings"].clone();
    let (scheduler, cluster) = (settings("scheduler"), settings("cluster"));
    let derived = |value: &str, from: &str| json!({"value": value, "source": "derived", "from": from});
    assert_eq!(scheduler["monitor_address"], derived("tcp://127.0.0.1:7002", "scheduler_address, port + 2"));
    assert_eq!(scheduler["object_storage_address"]["value"], "tcp://127.0.0.1:7001");
    assert_eq!(scheduler["allocate_policy"], derived("capability", "policy_content"));
    assert_eq!(cluster["object_storage_address"]["value"], "tcp://127.0.0.1:7001");
    assert_eq!(cluster["worker_names"]["source"], "derived");
    let names: Vec<&str> = cluster["worker_names"]["value"].as_str().expect("names").split(',').collect();
    assert!(names.len() == 2 && names[1].ends_with("-2"), "{names:?}");
    assert_eq!(cluster["num_of_workers"]["source"], "file");
    let other = folder.path().join("names.toml");
    fs::write(&other, "[cluster]\nscheduler_address = 'tcp://127.0.0.1:7000'\n").expect("file");
    let other = other.to_str().expect("text");
    let counted = scaler(&["config", "check", "--json", other, "cluster", "--worker-names", "a,b,c"]);
    let counted: Value = serde_json::from_slice(&counted.stdout).expect("JSON");
    let workers = &counted["sections"]["cluster"]["settings"]["num_of_workers"];
    assert_eq!(*workers, json!({"value": 3, "source": "derived", "from": "worker_names"}));
    let shown = text(&scaler(&["config", "check", name]).stdout);
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.split_whitespace().next() == Some(key));
        found.unwrap_or_else(|| panic!("no {key} in:\n{shown}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("monitor_address"), "monitor_address tcp://127.0.0.1:7002 derived: scheduler_address, port + 2");
    assert_eq!(line("grants.clock"), "grants.clock false line 8");
    assert_eq!(line("grants.random"), "grants.random true default");
    // Without the file's policy it is a plain default.
    fs::write(&path, "[scheduler]\nscheduler_address = 'tcp://127.0.0.1:7000'\n").expect("file");
    let report: Value = serde_json::from_slice(&scaler(&["config", "check", name, "--json"]).stdout).expect("JSON");
    let policy = &report["sections"]["scheduler"]["settings"]["allocate_policy"];
    assert_eq!(*policy, json!({"value": "even", "source": "default"}));
}

#[test]
fn two_servers_at_one_port_are_a_mistake_before_any_is_started() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let file = "[scheduler]\nscheduler_address = 'tcp://127.0.0.1:7000'\nobject_storage_address = 'tcp://127.0.0.1:7000'\n\
                monitor_address = 'tcp://localhost:7000'\n[object_storage_server]\n\
                object_storage_address = 'tcp://127.0.0.1:7000'\n[webui]\nmonitor_address = 'tcp://127.0.0.1:7000'\n\
                web_port = 7000\n";
    fs::write(&path, file).expect("file");
    let name = path.to_str().expect("text");
    let checked = scaler(&["config", "check", name]);
    let errors = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{errors}");
    for (line, what) in [
        (
            3,
            "[scheduler] object_storage_address: tcp://127.0.0.1:7000 is taken by scheduler_address; give each server a",
        ),
        (4, "[scheduler] monitor_address: tcp://localhost:7000 is taken by scheduler_address"),
        (6, "[object_storage_server] object_storage_address: tcp://127.0.0.1:7000 is taken by [scheduler] scheduler"),
        (9, "[webui] web_port: tcp://127.0.0.1:7000 is taken by [scheduler] scheduler_address"),
    ] {
        let expected = format!("error: {name}:{line}: {what}");
        assert!(errors.lines().any(|error| error.starts_with(&expected)), "{expected:?} is not in:\n{errors}");
    }
    // Whoever starts a server hears it from that server.
    let started = |program: &str, line: &[&str], expected: &str| {
        let output = Command::new(program).args(line).stdin(Stdio::null()).output().expect(program);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(expected), "{line:?}: {told}");
    };
    let (scheduler, cluster) = (env!("CARGO_BIN_EXE_scaler_scheduler"), env!("CARGO_BIN_EXE_scaler_cluster"));
    let derived = ["tcp://127.0.0.1:7000", "-ma", "tcp://127.0.0.1:7001"];
    started(
        scheduler,
        &derived,
        "--monitor-address: tcp://127.0.0.1:7001 is taken by object_storage_address (derived)",
    );
    let same = ["tcp://127.0.0.1:7000", "-osa", "tcp://127.0.0.1:7000"];
    started(cluster, &same, "--object-storage-address: tcp://127.0.0.1:7000 is taken by scheduler_address");
    started(env!("CARGO_BIN_EXE_scaler"), &["up", "-c", name], ":3: [scheduler] object_storage_address");
    // One port of different machines, and any free port, are no mistakes.
    for (storage, monitor) in [("tcp://farm:7000", "tcp://127.0.0.1:7002"), ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0")]
    {
        let line = words(&["tcp://127.0.0.1:7000", "-osa", storage, "-ma", monitor]);
        read("scheduler", &line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
}

#[test]
fn addresses_of_one_file_that_do_not_meet_are_a_warning() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let file = "[scheduler]\nscheduler_address = 'tcp://127.0.0.1:1'\n[cluster]\nscheduler_address = 'tcp://127.0.0.1:2'\n\
                [top]\nmonitor_address = 'tcp://127.0.0.1:3'\n[object_storage_server]\n\
                object_storage_address = 'tcp://127.0.0.1:9'\n[native_worker_adapter]\nmax_workers = 3\n";
    fs::write(&path, file).expect("file");
    let checked = scaler(&["config", "check", path.to_str().expect("text")]);
    assert_eq!(checked.status.code(), Some(0));
    let warnings = text(&checked.stderr);
    assert!(warnings.contains("deploy.toml:4: [cluster] scheduler_address is tcp://127.0.0.1:2"), "{warnings}");
    assert!(warnings.contains("starts a storage of its own"), "{warnings}");
    // Port + 2 is where the monitor is.
    assert!(warnings.contains("[native_worker_adapter] is for a command of the original"), "{warnings}");
    assert_eq!(warnings.lines().count(), 3, "{warnings}");
    // Other words for the same place, and names of machines that may be it, are no contradiction.
    for (scheduler, cluster, count) in [
        ("tcp://0.0.0.0:7000", "tcp://127.0.0.1:7000", 0),
        ("tcp://127.0.0.1:7000", "tcp://localhost:7000", 0),
        ("tcp://0.0.0.0:7000", "tcp://farm:7000", 0),
        ("tcp://10.0.0.7:7000", "tcp://farm:7000", 0),
        ("tcp://127.0.0.1:7000", "tcp://farm:7000", 1),
        ("tcp://0.0.0.0:7000", "tcp://farm:7001", 1),
        ("tcp://10.0.0.7:7000", "tcp://10.0.0.8:7000", 1),
    ] {
        let file = format!(
            "[scheduler]\nscheduler_address = '{scheduler}'\ninsecure = true\n\
             [cluster]\nscheduler_address = '{cluster}'\n"
        );
        fs::write(&path, file).expect("file");
        let told = text(&scaler(&["config", "check", path.to_str().expect("text")]).stderr);
        assert_eq!(told.lines().count(), count, "{scheduler} {cluster}: {told}");
    }
}

#[test]
fn completions_load_in_a_shell() {
    let folder = tempfile::tempdir().expect("folder");
    for program in ["scaler", "scaler_cluster"] {
        let script = scaler(&["completions", "bash", program]);
        assert_eq!(script.status.code(), Some(0), "{}", text(&script.stderr));
        let path = folder.path().join(program);
        fs::write(&path, &script.stdout).expect("script");
        // Loaded, bash knows the program, and offers what begins as typed.
        let ask = format!(
            "set -e; bash -n '{0}'; . '{0}'; complete -p {program}; \
             COMP_WORDS=({program} --he) COMP_CWORD=1; \
             $(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {program} --he {program}; echo \"${{COMPREPLY[*]}}\"",
            path.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash");
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains(program), "{said}{}", text(&output.stderr));
        let offered = if program == "scaler" { "--help" } else { "--heartbeat-interval-seconds" };
        assert!(said.contains(offered), "{said}");
    }
    // What bash offers after some words.
    let offers = |words: &[&str]| -> Vec<String> {
        let (program, last) = (words[0], words.len() - 1);
        let typed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let ask = format!(
            ". '{}'; COMP_WORDS=({typed}) COMP_CWORD={last}; _{program} {program} '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
            folder.path().join(program).display(),
            words[last],
            words[last - 1],
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash");
        text(&output.stdout).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(offers(&["scaler", "sub"]), ["submit"]);
    assert_eq!(offers(&["scaler", "submit", "--conn"]), ["--connect-timeout-seconds"]);
    assert_eq!(offers(&["scaler", "cluster", "-tt"]), ["-tts"]);
    assert_eq!(offers(&["scaler_cluster", "-pw"]), ["-pwc"]);
    assert_eq!(offers(&["scaler_cluster", "--per-worker-c"]), ["--per-worker-capabilities"]);
    assert_eq!(offers(&["scaler_cluster", "--isolation", ""]), ["task", "processor"]);
    assert_eq!(offers(&["scaler_cluster", "-ll", "D"]), ["DEBUG"]);
    let whole = text(&scaler(&["completions", "bash"]).stdout);
    assert!(whole.contains("--per-worker-capabilities"), "a role is completed with its own options");
    for (shell, lines) in [
        ("fish", &["complete -c scaler_cluster -o ds -o dts -l death-timeout-seconds"][..]),
        ("zsh", &["'-ds=[", "'-dts=[", "'-pwc=[", "'--death-timeout-seconds=["]),
        ("elvish", &["cand -ds '", "cand -dts '", "cand -pwc '", "cand --death-timeout-seconds '"]),
        ("powershell", &["new('-ds', '-ds',", "new('-dts', '-dts',", "new('-pwc', '-pwc',", "new('--death-timeout-"]),
    ] {
        for program in ["scaler_cluster", "scaler"] {
            let script = text(&scaler(&["completions", shell, program]).stdout);
            for line in lines {
                let line = line.replace("-c scaler_cluster", &format!("-c {program}"));
                let line = if program == "scaler" { line.split(" -o").next().unwrap_or(&line) } else { &line };
                assert!(script.lines().any(|text| text.contains(line)), "{shell} of {program} has no {line}: {script}");
            }
            // Whatever bash offers, they all do.
            let form = |flag: &str| match shell {
                "fish" => format!(" -o {} ", flag.trim_start_matches('-')),
                // With a star where it can be given again.
                "zsh" => format!("{flag}=["),
                "elvish" => format!("cand {flag} '"),
                _ => format!("'{flag}', '{flag}',"),
            };
            let bash = text(&scaler(&["completions", "bash", program]).stdout);
            let is_short = |word: &&str| word.len() > 2 && word.starts_with('-') && !word.starts_with("--");
            let options = bash.lines().filter_map(|line| line.trim().strip_prefix("opts=\""));
            let shorts: Vec<&str> =
                options.flat_map(|line| line.trim_end_matches('"').split(' ')).filter(is_short).collect();
            assert!(shorts.contains(&"-tts") && shorts.len() > 10, "{shorts:?}");
            for flag in shorts.iter().filter(|_| shell != "fish" || program != "scaler") {
                assert!(script.contains(&form(flag)), "{shell} of {program} does not know {flag}");
            }
        }
    }
    let refused = scaler(&["completions", "bash", "scaler_banana"]);
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("scaler_cluster"));
}

#[test]
fn new_and_build_say_as_json_what_they_made() {
    let folder = tempfile::tempdir().expect("folder");
    let project = folder.path().join("json-guest");
    let path = project.to_str().expect("text");
    let made: Value = serde_json::from_slice(&scaler(&["new", path, "--json"]).stdout).expect("JSON");
    assert_eq!(made, json!({"path": path, "module": "json_guest"}));
    // Nothing to compile: what another tool made is taken as it is.
    let core = folder.path().join("core.wasm");
    fs::write(&core, wat::parse_str("(component)").expect("component")).expect("file");
    let output = folder.path().join("out.wasm");
    let built = scaler(&["build", core.to_str().expect("text"), "-o", output.to_str().expect("text"), "--json"]);
    let report: Value = serde_json::from_slice(&built.stdout).unwrap_or_else(|_| panic!("{}", text(&built.stderr)));
    assert_eq!((&report["path"], &report["functions"]), (&json!(output.to_str()), &json!([])));
    assert!(report["size_bytes"].as_u64() > Some(0) && report["wasi"] == json!(false), "{report}");
}

#[test]
fn the_doctor_finds_what_is_there_and_says_what_is_missing() {
    let healthy = scaler(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&healthy.stdout).expect("JSON");
    assert_eq!((healthy.status.code(), &report["ok"]), (Some(0), &json!(true)), "{report}");
    let checks = report["checks"].as_array().expect("checks");
    for check in checks {
        let has_remedy = check["remedy"].is_string();
        assert_eq!(has_remedy, check["verdict"] != "ok", "{check}");
    }
    // A machine without Rust, without a cache folder, and without a place for temporary files.
    let sick = Command::new(env!("CARGO_BIN_EXE_scaler"))
        .args(["doctor"])
        .env_clear()
        .env("PATH", "/nowhere")
        .env("XDG_CACHE_HOME", "/proc/nowhere")
        .env("TMPDIR", "/nowhere")
        .output()
        .expect("scaler");
    let said = text(&sick.stdout);
    assert_eq!(sick.status.code(), Some(1), "{said}");
    for expected in ["problem  temporary", "note     cargo", "note     cache", "-> install Rust", "set TMPDIR"] {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
}
