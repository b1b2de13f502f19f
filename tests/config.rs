//! The real programs: what they say about wrong arguments and files, and with which exit codes they end.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const SCALER: &str = env!("CARGO_BIN_EXE_scaler");
const SCHEDULER: &str = env!("CARGO_BIN_EXE_scaler_scheduler");
const CLUSTER: &str = env!("CARGO_BIN_EXE_scaler_cluster");
const STORAGE: &str = env!("CARGO_BIN_EXE_scaler_object_storage_server");

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a program to its end, which must come soon.
fn run(program: &str, arguments: &[&str]) -> Ended {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(program);
    let patience = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("wait").is_none() {
        if Instant::now() > patience {
            child.kill().expect("kill");
            panic!("{program} {arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().expect("output");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The program refuses with exit code 2, says why on stderr, and nothing on stdout.
#[track_caller]
fn refused(program: &str, arguments: &[&str], reasons: &[&str]) {
    let ended = run(program, arguments);
    assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{arguments:?}");
    for reason in reasons {
        assert!(ended.stderr.contains(reason), "{arguments:?} should say {reason:?}:\n{}", ended.stderr);
    }
}

#[test]
fn all_mistakes_of_a_file_are_named_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let text = "[cluster]\nscheduler_address = \"127.0.0.1:1\"\nnum_of_worker = 3\ntask_timeout_seconds = \"long\"\n\
                [scheduler]\nscheduler_address = \"tcp://127.0.0.1\"\nprotected = 1\n[object_storage_servers]\n";
    fs::write(&path, text).expect("file");
    let path = path.to_str().expect("text");
    let cluster = ["deploy.toml:2: ", "deploy.toml:3: ", "`num_of_workers`", "deploy.toml:4: ", "deploy.toml:8: "];
    refused(CLUSTER, &["--config", path], &cluster);
    refused(SCALER, &["cluster", "--config", path], &cluster);
    refused(SCHEDULER, &["-c", path], &["deploy.toml:6: ", "deploy.toml:7: ", "protected"]);
    refused(STORAGE, &["-c", path], &["[object_storage_server]?"]);
    refused(SCALER, &["up", "-c", path], &["deploy.toml:6: ", "deploy.toml:2: "]);
    refused(SCALER, &["up", path], &["deploy.toml:6: ", "deploy.toml:2: "]);
}

#[test]
fn missing_files_and_addresses_and_bad_flags_say_what_to_do() {
    refused(SCHEDULER, &["--config", "/nowhere/deploy.toml"], &["`/nowhere/deploy.toml`", "give the path"]);
    refused(CLUSTER, &[], &["scheduler_address", "--config", "tcp://127.0.0.1:8516"]);
    refused(STORAGE, &["localhost"], &["localhost"]);
    refused(SCHEDULER, &["tcp://127.0.0.1:0", "--allocate_polcy", "even"], &["--allocate"]);
    refused(SCHEDULER, &["tcp://0.0.0.0:0"], &["--insecure"]);
    refused(CLUSTER, &["tcp://127.0.0.1:1", "--preload", "init.configure()"], &["column"]);
    refused(
        CLUSTER,
        &["tcp://127.0.0.1:1", "-n", "2", "-wn", "only"],
        &["--worker-names", "num_of_workers is 2, but 1 name is given (only)"],
    );
}

#[test]
fn a_command_line_is_checked_on_top_of_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let file = "[scheduler]\nscheduler_address = 'tcp://127.0.0.1:7000'\n[cluster]\n\
                scheduler_address = 'tcp://127.0.0.1:7000'\nnum_of_workers = 8\nlogging_level = 'WARNING'\n";
    fs::write(&path, file).expect("file");
    let file = path.to_str().expect("text");
    let shown = |line: &[&str], key: &str| {
        let ended = run(SCALER, &[&["config", "check", file], line].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line:?}");
        let cluster = ended.stdout.split("[cluster] of").nth(1).expect("the section").to_owned();
        let row = cluster.lines().find(|row| row.split_whitespace().next() == Some(key)).expect(key).to_owned();
        row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    // Scenario 2 of the seed: 8 in the file, 12 on the command line.
    assert_eq!(shown(&[], "num_of_workers"), "8 line 5");
    for name in [&["scaler_cluster"][..], &["cluster"], &["--", "cluster"], &["scaler", "cluster"]] {
        let line = [name, &["--config", file, "--num-of-workers", "12"]].concat();
        assert_eq!(shown(&line, "num_of_workers"), "12 flag", "{name:?}");
        assert_eq!(shown(&line, "logging_level"), "WARNING line 6");
    }
    // As the original's parser has it: what is appended to a script's command line wins.
    assert_eq!(shown(&["scaler_cluster", "-n", "3", "--num-of-workers=5"], "num_of_workers"), "5 flag");
    let nowhere = run(SCALER, &["config", "check", file, "scaler_cluster", "--module-path", "/nowhere/modules"]);
    let warning = "[cluster] module_path: there is no folder /nowhere/modules here";
    assert!(nowhere.code == Some(0) && nowhere.stderr.contains(warning), "{}", nowhere.stderr);
    let line = ["scaler_cluster", "tcp://localhost:7000", "-ll", "DEBUG", "-hps", "False", "-pwc", "gpu"];
    for (key, expected) in [
        ("scheduler_address", "tcp://localhost:7000 flag"),
        ("logging_level", "DEBUG flag"),
        ("hard_processor_suspend", "false flag"),
        ("per_worker_capabilities", "gpu flag"),
        ("num_of_workers", "8 line 5"),
        ("death_timeout_seconds", "300 default"),
    ] {
        assert_eq!(shown(&line, key), expected);
    }
    // What a flag gives is checked against the file like anything else.
    let ended = run(SCALER, &["config", "check", file, "cluster", "tcp://127.0.0.1:7009", "-n", "2", "-wn", "one"]);
    assert_eq!(ended.code, Some(2));
    for expected in [
        "warning: command line: [cluster] scheduler_address is tcp://127.0.0.1:7009, but the scheduler listens at",
        "error: command line: --worker-names: num_of_workers is 2",
    ] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    for line in [&["--json", file, "scheduler", "-p", "False"][..], &[file, "--json", "scheduler", "-p", "False"]] {
        let ended = run(SCALER, &[&["config", "check"], line].concat());
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let settings = &report["sections"]["scheduler"]["settings"];
        assert_eq!(settings["protected"], serde_json::json!({"value": false, "source": "flag"}), "{line:?}");
        assert_eq!(settings["scheduler_address"]["source"], "file");
        assert_eq!(report["sections"]["cluster"]["settings"]["num_of_workers"]["value"], 8);
    }
    // A command that the file has nothing for is looked at as well.
    let ended = run(SCALER, &["config", "check", file, "top", "tcp://127.0.0.1:7002", "--once"]);
    assert!(ended.code == Some(0) && ended.stdout.contains("[top] of scaler_top"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn the_file_to_check_is_given_as_to_the_commands_too() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    fs::write(&path, "[cluster]\nscheduler_address = 'tcp://127.0.0.1:7000'\n").expect("file");
    let file = path.to_str().expect("text");
    let plain = run(SCALER, &["config", "check", file, "cluster", "-n", "12"]);
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""));
    for given in [&["--config", file][..], &["-c", file], &[&format!("--config={file}")]] {
        let other = run(SCALER, &[&["config", "check"], given, &["cluster", "-n", "12", "-c", file]].concat());
        assert_eq!((other.code, &other.stdout, &other.stderr), (Some(0), &plain.stdout, &plain.stderr), "{given:?}");
    }
    refused(SCALER, &["config", "check", "--config"], &["<FILE>"]);
}

#[test]
fn a_wrong_command_line_is_told_as_its_command_tells_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    fs::write(&path, "[cluster]\nscheduler_address = 'tcp://127.0.0.1:7000'\n").expect("file");
    let file = path.to_str().expect("text");
    for line in [&["--num-of-worker", "2"][..], &["-n", "many"], &["-pwx", "gpu"], &["127.0.0.1:1"]] {
        let own = run(CLUSTER, line);
        let checked = run(SCALER, &[&["config", "check", file, "scaler_cluster"], line].concat());
        assert_eq!((checked.code, own.code), (Some(2), Some(2)), "{line:?}");
        assert_eq!((checked.stdout.as_str(), &checked.stderr), ("", &own.stderr), "{line:?}");
    }
    let error = failure(&run(SCALER, &["config", "check", file, "--json", "cluster", "-n", "many"]));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("--num-of-workers")), "{error}");
    let known = "scaler_scheduler, scaler_cluster, scaler_object_storage_server, scaler_ui, scaler_top";
    refused(SCALER, &["config", "check", file, "clutser"], &[known, "did you mean `scaler_cluster`?"]);
    refused(SCALER, &["config", "check", file, "--jsn"], &["`--jsn` is no flag of `scaler config check`"]);
    refused(SCALER, &["config", "check", file, "cluster", "--json"], &["stands before scaler_cluster"]);
    let other = ["config", "check", file, "cluster", "-c", "/nowhere/other.toml"];
    let ended = run(SCALER, &other);
    assert!(ended.code == Some(2) && ended.stderr.contains("--config: names another file than"), "{}", ended.stderr);
    let help = run(SCALER, &["config", "check", "-h"]);
    assert!(help.stdout.contains("scaler_cluster --num-of-workers 12"), "{}", help.stdout);
    let help = run(SCALER, &["config", "check", file, "cluster", "-h"]);
    assert_eq!((help.code, help.stdout), (Some(0), run(CLUSTER, &["-h"]).stdout));
}

#[test]
fn only_who_listens_may_have_port_0() {
    let any = "tcp://127.0.0.1:0";
    let (ui, top) = (env!("CARGO_BIN_EXE_scaler_ui"), env!("CARGO_BIN_EXE_scaler_top"));
    for (program, line) in [
        (CLUSTER, &[any][..]),
        (CLUSTER, &["tcp://127.0.0.1:7000", "-osa", any]),
        (ui, &[any]),
        (top, &[any, "--once"]),
        (SCALER, &["cluster", any]),
    ] {
        refused(program, line, &["tcp://127.0.0.1:0: port 0 is any free port, for who listens; give the port"]);
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    let file = path.to_str().expect("text");
    let cluster = format!("[cluster]\nscheduler_address = '{any}'\n");
    fs::write(&path, &cluster).expect("file");
    let checked = run(SCALER, &["config", "check", file]);
    assert!(checked.code == Some(2) && checked.stderr.contains(":2: [cluster] scheduler_address: tcp://127.0.0.1:0:"));
    refused(CLUSTER, &["-c", file], &[":2: [cluster] scheduler_address: tcp://127.0.0.1:0: port 0 is any free port"]);
    // `scaler up` knows where the scheduler of such a file is.
    fs::write(&path, format!("{cluster}[scheduler]\nscheduler_address = '{any}'\n")).expect("file");
    let checked = run(SCALER, &["config", "check", file]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    fs::write(&path, "[webui]\nmonitor_address = 'tcp://127.0.0.1'\n").expect("file");
    let told = run(SCALER, &["config", "check", file]).stderr;
    assert!(told.contains("has no port; write, for instance, `tcp://127.0.0.1:8516`"), "{told}");
    assert!(!told.contains("port 0"), "{told}");
}

#[test]
fn who_finds_nobody_says_so_and_why() {
    let folder = tempfile::tempdir().expect("folder");
    let modules = folder.path().to_str().expect("text");
    let cluster = |address: &str, seconds: &str| {
        run(CLUSTER, &[address, "-n", "1", "--module-path", modules, "-ds", seconds, "-lp", "/dev/stderr"])
    };
    let ended = cluster("tcp://127.0.0.1:1", "4");
    let warned = "no scheduler answers at tcp://127.0.0.1:1; trying for ";
    assert_eq!((ended.code, ended.stderr.matches(warned).count()), (Some(5), 1), "{}", ended.stderr);
    for expected in ["s more (death_timeout_seconds); is it running", "no scheduler at tcp://127.0.0.1:1 for 4 s"] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    let unknown = "the name `nohost.invalid` cannot be resolved";
    let ended = cluster("tcp://nohost.invalid:1", "2");
    assert!(ended.code == Some(5) && ended.stderr.contains(unknown), "{}", ended.stderr);
    for line in [
        &["status", "tcp://nohost.invalid:1"][..],
        &["submit", "tcp://nohost.invalid:1", "a:f()"],
        &["logs", "tcp://nohost.invalid:1"],
        &["cancel", "tcp://nohost.invalid:1", "00f1e2d3c4b5a697:1"],
    ] {
        let ended = run(SCALER, &[line, &["--connect-timeout-seconds", "0.5", "--json"]].concat());
        let error = failure(&ended);
        assert_eq!((ended.code, &error["type"]), (Some(3), &"unreachable".into()), "{error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(unknown)), "{error}");
        assert!(error["help"].as_str().is_some_and(|help| help.contains("spelled correctly")), "{error}");
    }
    refused(
        SCALER,
        &["map", "tcp://127.0.0.1:1", "a:f", "in.jsonl"],
        &["unexpected argument `in.jsonl`", "`< in.jsonl`", "`--each-line in.jsonl`"],
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for program in [SCALER, SCHEDULER, CLUSTER, STORAGE] {
        let help = run(program, &["-h"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{program}");
        let version = run(program, &["--version"]);
        assert!(version.code == Some(0) && version.stdout.contains(env!("CARGO_PKG_VERSION")), "{program}");
    }
    for arguments in [&["help", "cluster"][..], &["cluster", "-h"]] {
        assert!(run(SCALER, arguments).stdout.contains("--per-worker-capabilities"), "{arguments:?}");
    }
    let help = run(CLUSTER, &["-h"]).stdout;
    for expected in ["-tts", "--per-worker-task-queue-size", "[default: 1000]", "number of CPUs"] {
        assert!(help.contains(expected), "{expected} is not in:\n{help}");
    }
}

#[test]
fn calls_that_are_none_never_become_tasks() {
    refused(SCALER, &["submit", "tcp://127.0.0.1:1", "init:configure('production'"], &["column", "^"]);
    refused(SCALER, &["run", "nowhere:f()", "--module-path", "/nowhere"], &["nowhere"]);
    refused(SCALER, &["map", "tcp://127.0.0.1:1", "a:f", "--range", "9..1"], &["9 is larger than 1"]);
    refused(SCALER, &["map", "tcp://127.0.0.1:1", "a:f", "--each-line", "/nowhere"], &["/nowhere"]);
    refused(SCALER, &["submit", "nowhere", "a:f()"], &["nowhere"]);
}

#[test]
fn usage_mistakes_of_new_and_build_are_usage_mistakes() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    fs::create_dir_all(path("modules")).expect("folder");
    fs::write(path("note.txt"), "a note").expect("file");
    refused(SCALER, &["new", "1st"], &["`1st` is no name"]);
    refused(SCALER, &["new", folder.path().to_str().expect("text")], &["is no name for a project"]);
    refused(SCALER, &["new", &path("modules/../modules/..")], &["is no name"]);
    fs::create_dir_all(path("taken")).expect("folder");
    fs::write(path("taken/file"), "mine").expect("file");
    refused(SCALER, &["new", &path("taken")], &["exists already and is not empty"]);
    refused(SCALER, &["build", &path("nowhere")], &["there is no ", "nowhere", "name the folder of a guest"]);
    refused(SCALER, &["build", &path("taken")], &["there is no Cargo.toml", "scaler new NAME"]);
    refused(SCALER, &["build", &path("note.txt")], &["this is not WebAssembly"]);
    // A component in a folder `modules` is where it belongs already.
    let component = path("modules/ready.wasm");
    fs::write(&component, wat::parse_str("(component)").expect("component")).expect("file");
    let built = run(SCALER, &["build", &component, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&built.stdout).expect("JSON");
    assert_eq!(report["path"].as_str(), Some(component.as_str()), "{}", built.stderr);
    assert!(!folder.path().join("modules/modules").exists());
}

#[test]
fn what_goes_wrong_is_an_object_with_json() {
    let folder = tempfile::tempdir().expect("folder");
    let modules = folder.path().to_str().expect("text");
    for (arguments, code, kind) in [
        (&["run", "nowhere:f()", "--module-path", modules, "--json"][..], 2, "unknown_module"),
        (&["run", "nowhere:f(", "--json"], 2, "usage"),
        (&["submit", "--json"], 2, "usage"),
        (&["submit", "nowhere", "a:f()", "--json"], 2, "usage"),
        (
            &["map", "tcp://127.0.0.1:1", "a:f", "--range", "0..1", "--connect-timeout-seconds", "0.2", "--json"],
            3,
            "unreachable",
        ),
        (&["status", "tcp://127.0.0.1:1", "--connect-timeout-seconds", "0.2", "--json"], 3, "unreachable"),
        (&["logs", "tcp://127.0.0.1:1", "--connect-timeout-seconds", "0.2", "--json"], 3, "unreachable"),
        (&["shutdown", "tcp://127.0.0.1:1", "--connect-timeout-seconds", "0.2", "--json"], 3, "unreachable"),
        (
            &["cancel", "tcp://127.0.0.1:1", "00f1e2d3c4b5a697:1", "--connect-timeout-seconds", "0.2", "--json"],
            3,
            "unreachable",
        ),
        (&["top", "tcp://127.0.0.1:1", "-t", "1", "--once", "--json"], 3, "unreachable"),
        (&["inspect", "/nowhere.wasm", "--json"], 2, "usage"),
        (&["build", "/nowhere", "--json"], 2, "usage"),
        (&["new", "1st", "--json"], 2, "usage"),
        (&["config", "check", "/nowhere.toml", "--json"], 2, "usage"),
        (&["up", "/nowhere.toml", "--json"], 2, "usage"),
        (&["top", "--json"], 2, "usage"),
    ] {
        let ended = run(SCALER, arguments);
        let last = ended.stderr.lines().last().unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{arguments:?}: {last}"));
        let error = &told["error"];
        assert_eq!(
            (ended.code, error["exit_code"].as_i64()),
            (Some(code), Some(i64::from(code))),
            "{arguments:?}: {told}"
        );
        assert_eq!(error["type"], kind, "{arguments:?}: {told}");
        assert!(
            error["message"].as_str().is_some_and(|message| !message.is_empty()) && ended.stdout.is_empty(),
            "{told}"
        );
    }
}

/// The failure on the last line of stderr.
fn failure(ended: &Ended) -> serde_json::Value {
    let last = ended.stderr.lines().last().unwrap_or_default();
    let told: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("no object: {}", ended.stderr));
    told["error"].clone()
}

#[test]
fn a_bad_file_is_an_object_with_json_for_whoever_reads_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("deploy.toml");
    fs::write(&path, "[scheduler]\nscheduler_addres = 1\n[top]\n").expect("file");
    let path = path.to_str().expect("text");
    for arguments in [&["up", "--json", "-c", path][..], &["up", path, "--json"], &["config", "check", path, "--json"]]
    {
        let ended = run(SCALER, arguments);
        let error = failure(&ended);
        let message = error["message"].as_str().unwrap_or_default();
        assert_eq!((ended.code, &error["type"]), (Some(2), &serde_json::json!("usage")), "{error}");
        for expected in ["deploy.toml:2: ", "did you mean `scheduler_address`?"] {
            assert!(message.contains(expected), "{arguments:?}: {message}");
        }
        // What is there under a mistyped name is not missing as well.
        assert!(!message.contains("deploy.toml:1: "), "{arguments:?}: {message}");
        // The whole report is a result; a stack has none. Whoever watches a stack is no part of it.
        let has_report =
            serde_json::from_str::<serde_json::Value>(&ended.stdout).is_ok_and(|report| report["ok"] == false);
        assert_eq!(
            (has_report, message.contains("deploy.toml:3: ")),
            (arguments[0] == "config", arguments[0] == "config")
        );
    }
}

#[test]
fn what_to_do_is_told_apart_from_what_happened() {
    let folder = tempfile::tempdir().expect("folder");
    let modules = folder.path().to_str().expect("text");
    let error = failure(&run(SCALER, &["run", "nowhere:f()", "--module-path", modules, "--json"]));
    let help = error["help"].as_str().unwrap_or_default();
    assert!(help.contains(&format!("there is no module in {modules}")) && help.contains("--module-path"), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| !message.contains("help") && message.contains("nowhere")));
    let error = failure(&run(SCALER, &["submit", "--json"]));
    assert!(error["help"].as_str().is_some_and(|help| help.starts_with("Usage: scaler submit")), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("<CALL>")), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| !message.contains("Usage")), "{error}");
}

#[test]
fn run_says_where_it_looked() {
    refused(SCALER, &["run", "a:f()", "--module-path", "/nowhere"], &["there is no folder /nowhere", "--module-path"]);
    let folder = tempfile::tempdir().expect("folder");
    let modules = folder.path().to_str().expect("text");
    refused(
        SCALER,
        &["run", "a:f()", "--module-path", modules],
        &[&format!("no module in {modules}"), "--module-path"],
    );
}

#[test]
fn an_unreachable_scheduler_has_its_own_code() {
    for arguments in [
        &["submit", "tcp://127.0.0.1:1", "a:f()", "--connect-timeout-seconds", "0.2"][..],
        &["map", "tcp://127.0.0.1:1", "a:f", "--range", "0..1", "--connect-timeout-seconds", "0.2"],
        &["status", "tcp://127.0.0.1:1", "--connect-timeout-seconds", "0.2"],
        &["shutdown", "tcp://127.0.0.1:1", "--connect-timeout-seconds", "0.2"],
    ] {
        let ended = run(SCALER, arguments);
        assert_eq!(ended.code, Some(3), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("tcp://127.0.0.1:1") && ended.stdout.is_empty(), "{}", ended.stderr);
    }
}

#[test]
fn a_file_that_is_no_component_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("note.wasm");
    fs::write(&path, "a note").expect("file");
    refused(SCALER, &["inspect", path.to_str().expect("text")], &["note.wasm"]);
    fs::write(&path, wat::parse_str("(module (func (export \"f\")))").expect("module")).expect("file");
    refused(SCALER, &["inspect", path.to_str().expect("text")], &["note.wasm", "component"]);
    refused(SCALER, &["inspect", "/nowhere.wasm"], &["/nowhere.wasm"]);
    let parent = path.parent().and_then(Path::to_str).expect("text");
    refused(SCALER, &["inspect", parent], &[" is a folder; give a component in it: ", "note.wasm"]);
    let empty = tempfile::tempdir().expect("folder");
    let none = ["is a folder; give a component, a file NAME.wasm as `scaler build` makes it"];
    refused(SCALER, &["inspect", empty.path().to_str().expect("text")], &none);
    fs::write(&path, wat::parse_str("(component)").expect("component")).expect("file");
    let ended = run(SCALER, &["inspect", path.to_str().expect("text"), "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!(value["functions"], serde_json::json!([]));
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("empty.wasm");
    fs::write(&path, wat::parse_str("(component)").expect("component")).expect("file");
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    let status = Command::new(SCALER)
        .arg("inspect")
        .arg(&path)
        .stdout(writer)
        .stderr(File::options().write(true).open("/dev/null").expect("null"))
        .status()
        .expect("status");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_cluster_says_by_its_code_why_it_ended() {
    let folder = tempfile::tempdir().expect("folder");
    let modules = folder.path().to_str().expect("text");
    let ended = run(CLUSTER, &["tcp://127.0.0.1:1", "-n", "1", "--module-path", modules, "-ds", "1"]);
    assert_eq!(ended.code, Some(5), "{}{}", ended.stdout, ended.stderr);
    let preload = ["tcp://127.0.0.1:1", "-n", "1", "--module-path", modules, "--preload", "nowhere.init:setup"];
    let ended = run(CLUSTER, &preload);
    assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
}

/// A stack with free ports; killed when the test fails.
struct Up {
    child: Child,
    ready: serde_json::Value,
    _folder: tempfile::TempDir,
}

impl Up {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("stack.toml");
        let text = "[object_storage_server]\nobject_storage_address = 'tcp://127.0.0.1:0'\n\
                    [scheduler]\nscheduler_address = 'tcp://127.0.0.1:0'\nprotected = false\n\
                    [cluster]\nscheduler_address = 'tcp://127.0.0.1:0'\nnum_of_workers = 1\n";
        fs::write(&path, text).expect("file");
        let mut child = Command::new(SCALER)
            .args(["up", "--config"])
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir(folder.path())
            .spawn()
            .expect("scaler");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut ready = lines.map(|line| line.expect("text")).skip_while(|line| !line.starts_with("{\"ready\":\"up\""));
        let line = ready.next().expect("a ready line");
        // Somebody has to read on, or the stack's log would fail.
        std::thread::spawn(move || ready.for_each(drop));
        Self { child, ready: serde_json::from_str(&line).expect("JSON"), _folder: folder }
    }

    fn address(&self) -> &str {
        self.ready["scheduler_address"].as_str().expect("an address")
    }

    fn code(&mut self) -> Option<i32> {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < patience, "the stack does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stack_comes_up_shows_its_state_and_stops_on_a_signal() {
    let mut up = Up::start();
    let status = run(SCALER, &["status", up.address(), "--json"]);
    let view: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(view["workers"].as_array().map(Vec::len), Some(1), "{view}");
    let monitor = run(SCALER, &["status", up.ready["monitor_address"].as_str().expect("an address")]);
    assert!(monitor.stdout.contains("1 worker in 1 cluster"), "{}{}", monitor.stdout, monitor.stderr);
    refused(SCALER, &["submit", up.address(), "nowhere:f()", "--timeout-seconds", "5"], &["nowhere"]);
    // Nobody has the tag: what happened says which cluster to start, and the help nothing else.
    let nobody = ["submit", up.address(), "nowhere:f()", "--capabilities", "gpu", "--timeout-seconds", "0.2", "--json"];
    let error = failure(&run(SCALER, &nobody));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("-pwc gpu")), "{error}");
    assert!(error["help"].as_str().is_some_and(|help| !help.contains("start")), "{error}");
    kill_process(Pid::from_child(&up.child), Signal::INT).expect("signal");
    assert_eq!(up.code(), Some(0));
}

#[test]
fn a_stack_ends_when_its_scheduler_is_shut_down() {
    let mut up = Up::start();
    let ended = run(SCALER, &["shutdown", up.address()]);
    assert_eq!((ended.code, up.code()), (Some(0), Some(0)), "{}", ended.stderr);
}
