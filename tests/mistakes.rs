//! Everything that can be wrong in a deployment file, told with file, line, key and remedy by `scaler config check` and
//! by the servers.

mod support;

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{scaler, text};

/// A line of a file, and what must be said about it: with its line, its key, and what to do.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("[scheduler]", "", ""),
    // Scenario 95: no scheme, no port, unknown scheme, unknown key, bad enumeration.
    (
        "scheduler_address = \"127.0.0.1:8516\"",
        "[scheduler] scheduler_address:",
        "for instance, `tcp://127.0.0.1:8516`",
    ),
    ("object_storage_address = \"tcp://127.0.0.1\"", "[scheduler] object_storage_address:", "has no port; write"),
    ("monitor_address = 5", "[scheduler] monitor_address:", "write `monitor_address = \"tcp://127.0.0.1:5\"`"),
    ("protected = \"False\"", "[scheduler] protected: expected true or false", "write `protected = false`"),
    ("max_attempts = \"3\"", "[scheduler] max_attempts:", "write `max_attempts = 3`"),
    ("client_timeout = 5", "no key `client_timeout`", "did you mean `client_timeout_seconds`?"),
    ("num_of_workers = 5", "no key `num_of_workers`", "it is a key of [cluster], move it there"),
    ("worker_timeout_seconds = 0", "[scheduler] worker_timeout_seconds:", "give at least 1"),
    (
        "load_balance_seconds = 1.5",
        "[scheduler] load_balance_seconds:",
        "of seconds, not 1.5; write `load_balance_seconds = 2`",
    ),
    ("allocate_policy = \"evne\"", "[scheduler] allocate_policy:", "did you mean `even`?"),
    ("scaling_controller_strategy = \"vanilla\"", "[scheduler] scaling_controller_strategy:", "leave `scaling"),
    ("logging_paths = \"/dev/stdout\"", "[scheduler] logging_paths:", "write `logging_paths = [\"/dev/stdout\"]`"),
    (
        "logging_level = 10",
        "[scheduler] logging_level: expected one of \"NOTSET\", \"DEBUG\",",
        "not 10; write `logging_level = \"INFO\"`",
    ),
    ("logging_config_file = \"log.conf\"", "[scheduler] logging_config_file:", "use logging_level"),
    ("io_threads = 65", "[scheduler] io_threads: 65 is out of range", "give 1 to 64"),
    ("result_buffer_bytes = 18446744073709551616", "result_buffer_bytes:", "give 1 to 18446744073709551615"),
    (
        "scheduler_address = \"tcp://h:1\"",
        "[scheduler] scheduler_address: is given at line 2 already",
        "keep one of them",
    ),
    ("[cluster]", "", ""),
    ("scheduler_address = \"tcp://127.0.0.1:8516\"", "", ""),
    ("preload = \"init.configure()\"", "[cluster] preload:", "column"),
    // Scenarios 96 and 97.
    ("per_worker_capabilities = \" gpu=two\"", "[cluster] per_worker_capabilities:", "`two` is not an integer"),
    ("worker_names = \" a , b \"", "[cluster] worker_names:", "give one name for each worker"),
    ("num_of_workers = 3", "", ""),
    ("death_timeout_seconds = -3", "[cluster] death_timeout_seconds: -3 is out of range", "give at least 1"),
    ("log_hub_address = \"tcp://127.0.0.1:1\"", "[cluster] log_hub_address:", "leave it out"),
    ("[cluster.grants]", "", ""),
    ("clok = false", "[cluster.grants] clok:", "did you mean `clock`?"),
    ("random = \"no\"", "[cluster.grants] random: expected true or false", "write `random = false`"),
    ("environment = [\"PATH\", \"=x\"]", "[cluster.grants] environment:", "write `NAME` or `NAME=value`"),
    ("[[cluster.grants.directories]]", "[cluster.grants.directories] guest_path:", "guest_path = \"/data\""),
    ("host_path = \"/nowhere/at/all\"", "[cluster.grants.directories] host_path:", "create it first"),
    ("acess = \"read-only\"", "[cluster.grants.directories] acess:", "did you mean `access`?"),
    ("access = \"readwrite\"", "[cluster.grants.directories] access:", "did you mean `read-write`?"),
    ("[[cluster.grants.directories]]", "", ""),
    ("host_path = \"/\"", "", ""),
    ("guest_path = \"data\"", "[cluster.grants.directories] guest_path:", "write \"/data\""),
    ("access = \"rw\"", "[cluster.grants.directories] access:", "did you mean `read-write`?"),
    ("[[cluster.grants.directories]]", "", ""),
    ("guest_path = \"/same\"", "", ""),
    ("host_path = \"/\"", "", ""),
    ("[[cluster.grants.directories]]", "", ""),
    ("host_path = \"/\"", "", ""),
    ("guest_path = \"/same\"", "[cluster.grants.directories] guest_path:", "give each folder its own"),
    ("[object_storage]", "there is no section [object_storage]", "did you mean [object_storage_server]?"),
    ("[webui]", "", ""),
    ("monitor_address = \"tcp://127.0.0.1:8518\"", "", ""),
    ("web_port = 80810", "[webui] web_port:", "give 1 to 65535"),
    ("web_host = \"http://farm:80\"", "[webui] web_host:", "write \"farm\", and web_port = 80"),
    ("[top]", "[top] monitor_address: is required and missing", "`monitor_address = \"tcp://127.0.0.1:8518\"` below"),
    ("timeout = [\"5\"]", "[top] timeout:", "expected a whole number of seconds, not a list; write `timeout = 5`"),
    ("[webui]", "the section [webui] stands at line LINE already", "write it once"),
];

#[test]
fn twenty_mistakes_and_more_are_told_at_once_with_file_line_key_and_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    fs::write(&path, MISTAKES.iter().map(|(line, ..)| format!("{line}\n")).collect::<String>()).expect("file");
    let name = path.to_str().expect("text");
    let checked = scaler(&["config", "check", name]);
    let errors = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{errors}");
    let mut expected = 0;
    for (index, (line, about, remedy)) in MISTAKES.iter().enumerate().filter(|(_, (_, about, _))| !about.is_empty()) {
        let section = MISTAKES.iter().position(|(other, ..)| other == line).map_or(0, |first| first + 1);
        let about = about.replace("LINE", &section.to_string());
        let is_told = |error: &str| {
            error.starts_with(&format!("error: {name}:{}: ", index + 1))
                && error.contains(&about)
                && error.contains(remedy)
        };
        assert!(
            errors.lines().any(is_told),
            "`{line}` should give line {}, {about:?} and {remedy:?}:\n{errors}",
            index + 1
        );
        expected += 1;
    }
    assert!(expected >= 20, "{expected}");
    assert_eq!(errors.lines().filter(|line| line.starts_with("error: ")).count(), expected, "{errors}");
    // The servers tell all mistakes of their own section.
    for (program, section) in
        [(env!("CARGO_BIN_EXE_scaler_scheduler"), "[scheduler]"), (env!("CARGO_BIN_EXE_scaler_cluster"), "[cluster")]
    {
        let output = Command::new(program).args(["-c", name]).stdin(Stdio::null()).output().expect(program);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for error in errors.lines().filter(|error| error.contains(&format!(": {section}"))) {
            assert!(told.lines().any(|line| line == error), "{program} does not say {error:?}:\n{told}");
        }
    }
    let report: Value = serde_json::from_slice(&scaler(&["config", "check", name, "--json"]).stdout).expect("JSON");
    let mistakes = report["mistakes"].as_array().expect("mistakes");
    assert_eq!((report["ok"].clone(), mistakes.len()), (json!(false), expected));
    assert!(mistakes.iter().all(|mistake| mistake["line"].is_u64() && mistake["column"].is_u64()), "{mistakes:?}");
    assert_eq!(mistakes[0]["key"], "scheduler_address");
}

/// A whole file, and how each of its mistakes begins after its name and ends.
const FILES: &[(&str, &[(&str, &str)])] = &[
    // What a section lacks is told at the section, and a section that is not there by the file alone.
    (
        "# a cluster\n[cluster]\nnum_of_workers = 2\n",
        &[(
            ":2: [cluster] scheduler_address: is required and missing; write, for instance, `scheduler_address = \
             \"tcp://127.0.0.1:8516\"` below this line",
            "or give it as the first argument of scaler_cluster",
        )],
    ),
    (
        "[scheduler]\nscheduler_address = \"tcp://127.0.0.1:1\"\n",
        &[(
            ": there is no section [cluster], and its key `scheduler_address` is required; write `[cluster]` and below it",
            "`scheduler_address = \"tcp://127.0.0.1:8516\"`, or give it as the first argument of scaler_cluster",
        )],
    ),
    (
        "[cluster]\nscheduler_address = \"tcp://h:1\"\n\nscheduler_address = \"tcp://h:2\"\n",
        &[(":4: [cluster] scheduler_address: is given at line 2 already", "keep one of them")],
    ),
    (
        "[cluster]\nscheduler_address = \"tcp://h:1\"\n[cluster]\nnum_of_workers = -3\n",
        &[
            (":3: the section [cluster] stands at line 1 already", "write it once, with all its keys below it"),
            (
                ":4: [cluster] num_of_workers: -3 is out of range",
                "give 1 to 1024, and start more clusters for more workers",
            ),
        ],
    ),
    (
        "[cluster]\nscheduler_address = [\"tcp://h:1\"]\nworker_names = [\"a\", \"b\"]\nnum_of_workers = [2]\n\
         per_worker_capabilities = [\"linux\", \"cpu=8\"]\n",
        &[
            (
                ":2: [cluster] scheduler_address: expected an address in quotes, not a list",
                "write `scheduler_address = \"tcp://h:1\"`",
            ),
            (":3: [cluster] worker_names: expected a string, not a list", "write `worker_names = \"a,b\"`"),
            (":4: [cluster] num_of_workers: expected a whole number, not a list", "write `num_of_workers = 2`"),
            (
                ":5: [cluster] per_worker_capabilities: expected a string, not a list",
                "write `per_worker_capabilities = \"linux,cpu=8\"`",
            ),
        ],
    ),
    (
        "[[cluster]]\nscheduler_address = \"tcp://h:1\"\n",
        &[(
            ":1: [cluster]: expected a section, not a list",
            "write `[cluster]` on a line of its own, with its keys below it",
        )],
    ),
    (
        "[clustre]\nscheduler_address = \"tcp://h:1\"\n",
        &[(":1: there is no section [clustre]", "did you mean [cluster]?")],
    ),
    (
        "scheduler_address = \"tcp://h:1\"\n",
        &[(
            ":1: `scheduler_address` stands outside of any section",
            "put it under `[scheduler]` or `[cluster]`, whichever it is meant for",
        )],
    ),
    (
        "[cluster]\nscheduler_address = \"tcp://h:1\"\nworker_names = \"a, ,b\"\n",
        &[(":3: [cluster] worker_names: name 2 of `a, ,b` is empty", "give it a name, or write `a,b`")],
    ),
    (
        "[cluster]\nscheduler_address = \"tcp://h:1\"\nper_worker_capabilities = { gpu = 2 }\ngrants = {}\n\
         [cluster.grants]\nclock = false\n",
        &[
            (
                ":3: [cluster] per_worker_capabilities: expected a string, not a table",
                "write `per_worker_capabilities = \"gpu=2\"`",
            ),
            (":5: [cluster.grants] is given at line 4 already", "keep one of them"),
        ],
    ),
];

#[test]
fn what_is_missing_or_there_twice_or_in_another_form_is_told_with_line_key_and_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    for (number, (content, mistakes)) in FILES.iter().enumerate() {
        let path = folder.path().join(format!("{number}.toml"));
        fs::write(&path, content).expect("file");
        let name = path.to_str().expect("text");
        let output = Command::new(env!("CARGO_BIN_EXE_scaler_cluster")).args(["-c", name]).output().expect("cluster");
        let mut told = vec![output];
        // A section that a server lacks is no mistake of the file.
        if content.contains("[cluster]") {
            told.push(scaler(&["config", "check", name]));
        }
        for output in told {
            let errors: Vec<String> = text(&output.stderr).lines().map(str::to_owned).collect();
            assert_eq!(output.status.code(), Some(2), "{errors:?}");
            let errors: Vec<&String> = errors.iter().filter(|line| !line.starts_with("warning: ")).collect();
            assert_eq!(errors.len(), mistakes.len(), "{errors:?}");
            for (error, (begin, end)) in errors.iter().zip(*mistakes) {
                let has_place = error.starts_with(&format!("error: {name}{begin}"));
                assert!(has_place && error.ends_with(end), "{error}\nis not\n{begin} .. {end}");
            }
        }
    }
}

#[test]
fn a_key_outside_of_any_section_is_told_where_it_belongs() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let name = path.to_str().expect("text");
    for (line, told) in [
        ("num_of_workers = 3", "; put it under `[cluster]`"),
        ("web_port = 8081", "; put it under `[webui]`"),
        ("max_attempts = 3", "; put it under `[scheduler]`"),
        (
            "logging_level = \"INFO\"",
            "; put it under `[scheduler]`, `[cluster]`, `[object_storage_server]` or `[webui]`, whichever it is meant for",
        ),
        ("num_of_worker = 3", ", and no section has such a key; did you mean `num_of_workers` under `[cluster]`?"),
        ("banana = 3", ", and no section has such a key; leave it out (-h of a command lists its keys)"),
    ] {
        fs::write(&path, format!("{line}\n")).expect("file");
        let key = line.split(' ').next().expect("a key");
        let expected = format!("error: {name}:1: `{key}` stands outside of any section{told}\n");
        let checked = scaler(&["config", "check", name]);
        assert_eq!((checked.status.code(), text(&checked.stderr)), (Some(2), expected.clone()));
        let cluster = Command::new(env!("CARGO_BIN_EXE_scaler_cluster")).args(["-c", name]).output().expect("cluster");
        assert!(text(&cluster.stderr).starts_with(&expected), "{}", text(&cluster.stderr));
    }
}

#[test]
fn several_breaks_of_the_syntax_are_told_and_what_can_be_read_is_checked() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let lines = [
        ("[scheduler]", ""),
        ("scheduler_address = ", "not valid TOML: `scheduler_address` has no value; give it one, or leave the key out"),
        ("max_attempt = 3", "[scheduler] has no key `max_attempt`; did you mean `max_attempts`?"),
        ("protected = tru", "not valid TOML: `tru` is neither true nor false; write `protected = true`"),
        ("logging_level = INFO", "not valid TOML: a string stands in quotes; write `logging_level = \"INFO\"`"),
        (
            "client_timeout_seconds = 5s",
            "not valid TOML: `5s` is no number; write `client_timeout_seconds = 5`, or \"5s\" where text is wanted",
        ),
        ("[cluster.grants]", ""),
        ("clock = False", "not valid TOML: `False` is neither true nor false; write `clock = false`"),
        // Behind a key that is none the parser is lost for a while.
        ("network: farm", "not valid TOML: `=` stands between key and value; write `network = \"farm\"`"),
    ];
    // Each is told once: what the parser makes of the rest of such a line is no mistake of anybody's.
    fs::write(&path, lines.map(|(line, _)| format!("{line}\n")).concat()).expect("file");
    let errors = text(&scaler(&["config", "check", path.to_str().expect("text")]).stderr);
    let errors: Vec<&str> = errors.lines().collect();
    let place = |line: usize| format!("error: {}:{line}: ", path.display());
    let expected = lines.iter().enumerate().filter(|(_, (_, told))| !told.is_empty());
    let expected: Vec<String> = expected.map(|(index, (_, told))| place(index + 1) + told).collect();
    assert_eq!(errors, expected);
    // A file of another kind is told as one, not line by line.
    fs::write(&path, "fn main() {\n    let x = 5;\n}\n".repeat(50)).expect("file");
    let errors = text(&scaler(&["config", "check", path.to_str().expect("text")]).stderr);
    let errors: Vec<&str> = errors.lines().collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    let (_, count) = errors[3].split_once("not valid TOML: nor are ").expect("the rest is counted");
    let count: usize =
        count.strip_suffix(" lines more; is this the right file?").expect("a question").parse().expect("a count");
    assert!((96..=146).contains(&count), "{count}");
}
