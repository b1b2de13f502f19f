//! Happy paths over the real programs: the seed's command lines, preload, values of every size, map, modules of clients.

mod support;

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use support::{LONG, Process, SCALER, Stack, alive, guest, install, scaler, status_bytes, text, wait_for};

const PRELOAD: &str = "preload.init:configure('production', debug=false)";

/// The seed's `example_config.toml` with free ports, and a log folder that can be written here.
fn seed_file(dir: &std::path::Path) -> String {
    let ports: Vec<u16> = (0..4)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("port"))
        .collect::<Vec<_>>()
        .iter()
        .map(|listener| listener.local_addr().expect("address").port())
        .collect();
    let example =
        fs::read_to_string(support::root().join("examples/example_config.toml")).expect("example_config.toml");
    let text = example
        .replace("6378", &ports[0].to_string())
        .replace("6379", &ports[1].to_string())
        .replace("6380", &ports[2].to_string())
        .replace("8081", &ports[3].to_string())
        .replace("/var/log/scaler", &dir.join("log").to_string_lossy());
    let path = dir.join("example_config.toml");
    fs::write(&path, text).expect("configuration");
    path.to_string_lossy().into_owned()
}

#[test]
fn the_seeds_command_lines_run_from_one_file() {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest("examples/hello/guest")]);
    let file = seed_file(dir.path());
    let config = ["--config", file.as_str()];
    // The order of starting is free: the cluster comes first and waits.
    let mut cluster = Process::spawn("cluster", dir.path(), env!("CARGO_BIN_EXE_scaler_cluster"), &config);
    let storage = Process::start("storage", dir.path(), env!("CARGO_BIN_EXE_scaler_object_storage_server"), &config);
    let scheduler = Process::start("scheduler", dir.path(), env!("CARGO_BIN_EXE_scaler_scheduler"), &config);
    cluster.wait_ready();
    assert_eq!(scheduler.address("object_storage_address"), storage.address("object_storage_address"));
    let ui = Process::start("ui", dir.path(), env!("CARGO_BIN_EXE_scaler_ui"), &config);
    assert!(ui.address("web_address").starts_with("http://127.0.0.1:"), "{}", ui.ready);
    let address = scheduler.address("scheduler_address");
    let status = status_of(&address);
    let workers = status["workers"].as_array().expect("workers");
    assert_eq!(workers.len(), 8);
    assert!(workers.iter().all(|worker| worker["capabilities"] == "cpu=8,linux"), "{workers:?}");
    // The monitor address answers too.
    assert_eq!(status_of(&scheduler.address("monitor_address"))["workers"].as_array().map(Vec::len), Some(8));
    let out = scaler(&["submit", &address, "hello.greeting:greet('world')", "--capabilities", "linux,cpu=8"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(dir.path().join("log/scheduler.log").exists(), "logging_paths has two entries");

    // Scenario 2: the flag wins over the file.
    let more = ["--config", file.as_str(), "--num-of-workers", "12"];
    let _second = Process::start("second", dir.path(), env!("CARGO_BIN_EXE_scaler_cluster"), &more);
    assert_eq!(status_of(&address)["workers"].as_array().map(Vec::len), Some(20));
}

fn status_of(address: &str) -> Value {
    let out = scaler(&["status", address, "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[test]
fn a_preload_is_seen_by_every_worker_and_no_task_changes_it() {
    let stack = Stack::new(4, &["--preload", PRELOAD], &[&guest("examples/preload/guest")]);
    let log = stack.clusters[0].log();
    let line =
        log.lines().find(|line| line.contains("preloading")).unwrap_or_else(|| panic!("no preload line:\n{log}"));
    for part in ["preload.init", "configure", "production", "debug"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    for _ in 0..16 {
        assert_eq!(stack.value("preload.init:environment()"), json!("production"));
        stack.value("preload.init:overwrite('changed')");
    }
    assert_eq!(stack.value("preload.init:environment()"), json!("production"));
}

#[test]
fn one_instance_lives_on_with_isolation_processor() {
    let stack = Stack::new(1, &["--preload", PRELOAD, "--isolation", "processor"], &[&guest("examples/preload/guest")]);
    assert_eq!(stack.value("preload.init:environment()"), json!("production"));
    stack.value("preload.init:overwrite('changed')");
    assert_eq!(stack.value("preload.init:environment()"), json!("changed"));
}

#[test]
fn a_failing_preload_ends_the_cluster_with_4_and_its_reason() {
    let stack = Stack::scheduler(&[], &[&guest("examples/preload/guest")]);
    let task: &[&str] = &[];
    for (preload, flags, reason) in [
        ("preload.init:configure('')", task, "environment"),
        ("preload.init:configure('')", &["--isolation", "processor"], "environment"),
        ("preload.init:nothing_like_it()", task, "has no function `nothing_like_it`"),
        ("preloat.init:configure('p')", task, "did you mean `preload.init`?"),
        ("absent.init:setup", task, "no module `absent.init`"),
        ("preload.init:configure(1, 2, 3)", task, "3 arguments are given"),
        ("preload.init:configure()", task, "missing argument `environment`"),
    ] {
        let told = || stack.scheduler.log().lines().filter(|line| line.contains(") left: ")).count();
        let before = told();
        let mut cluster = stack.spawn_cluster(1, &[&["--preload", preload], flags].concat());
        assert_eq!(cluster.wait_exit(LONG), 4, "{preload}:\n{}", cluster.log());
        assert!(cluster.log().contains(reason), "{preload}: `{reason}` in\n{}", cluster.log());
        support::wait_for(&format!("{preload}: the scheduler is told"), LONG, || (told() > before).then_some(()));
        let log = stack.scheduler.log();
        let last = log.lines().rfind(|line| line.contains(") left: ")).expect("a line");
        assert!(last.contains("the preload failed") && last.contains(reason), "{preload}: {last}");
    }
    let log = stack.scheduler.log();
    assert!(!log.contains("is lost") && !log.contains(char::REPLACEMENT_CHARACTER), "{log}");
    // A preload that does not parse is a mistake of the command line.
    let mut cluster = stack.spawn_cluster(1, &["--preload", "preload.init"]);
    assert_eq!(cluster.wait_exit(LONG), 2, "{}", cluster.log());
    let status = stack.status();
    let workers = status["workers"].as_array().expect("workers");
    assert!(workers.iter().all(|worker| worker["state"] != "ready"), "no worker ever took a task: {workers:?}");
}

#[test]
fn capabilities_gate_placement_and_a_task_that_fits_nowhere_blocks_nobody() {
    let mut stack = Stack::new(1, &["-pwc", "linux,cpu=8"], &[&guest("examples/hello/guest")]);
    let address = stack.address();
    let mut gpu = Command::new(SCALER)
        .args(["submit", &address, "hello.greeting:greet('gpu')", "--capabilities", "gpu=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("submit");
    let mut nine = Command::new(SCALER)
        .args(["submit", &address, "hello.greeting:greet('nine')", "--capabilities", "cpu=9"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("submit");
    for _ in 0..5 {
        let out = stack.submit("hello.greeting:greet('x')", &["--capabilities", "cpu=8,linux"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
    }
    assert!(gpu.try_wait().expect("wait").is_none(), "no worker has a gpu yet");
    assert!(nine.try_wait().expect("wait").is_none(), "cpu=8 is below the threshold of 9");
    stack.add_cluster(1, &["-pwc", "gpu=1,cpu=16"]);
    for child in [gpu, nine] {
        let out = child.wait_with_output().expect("output");
        assert!(out.status.success(), "{}", text(&out.stderr));
    }
}

#[test]
fn large_values_pass_byte_for_byte_and_not_through_the_scheduler() {
    let stack = Stack::new(2, &[], &[&guest("tests/guests/behaviour")]);
    let before = stack.scheduler.peak_rss_bytes();
    let size = 20_000_000;
    for round in 0..4 {
        let out = stack.submit(&format!("behaviour.work:counting_bytes({size}, {round})"), &["--output", "raw"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert_eq!(out.stdout.len(), size);
        assert!(out.stdout.iter().enumerate().all(|(index, byte)| *byte == (index as u64 + round) as u8));
    }
    // Without a cluster, and so without a storage.
    let call = format!("behaviour.work:counting_bytes({size}, 1)");
    let modules = stack.dir.path().join("modules");
    let out = scaler(&["run", &call, "--module-path", &modules.to_string_lossy(), "--output", "raw"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(out.stdout.len() == size && out.stdout.iter().enumerate().all(|(at, byte)| *byte == (at as u64 + 1) as u8));
    // And the other way: 20 MB of arguments.
    let client = scaler_client::blocking::Client::connect(&stack.address()).expect("connect");
    let function = client.function("behaviour.work:echo_bytes").expect("function");
    let bytes: Vec<u8> = (0..size).map(|index| (index * 7 + index / 251) as u8).collect();
    let arguments = scaler_client::Arguments::new().arg(scaler_client::Value::Bytes(bytes.clone()));
    let back = client.submit(&function, arguments).expect("submit").value().expect("the same");
    assert!(back == scaler_client::Value::Bytes(bytes), "not the bytes that were sent");
    client.disconnect();
    // Less than half of one value.
    let growth = stack.scheduler.peak_rss_bytes() - before;
    assert!(growth < 10 << 20, "the scheduler's peak grew by {} KiB from {} MiB", growth >> 10, before >> 20);
    let storage = child_of(stack.scheduler.pid());
    wait_for("the storage gives its memory back", LONG, || (status_bytes(storage, "VmRSS:") < 60 << 20).then_some(()));
}

/// A storage that listens on every interface is met where its scheduler was: each peer here has its own way to it, as
/// peers on other machines have, and `0.0.0.0` is none of them.
#[test]
fn a_scheduler_on_all_interfaces_gives_each_peer_a_storage_that_it_can_reach() {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest("tests/guests/behaviour")]);
    let all = ["tcp://0.0.0.0:0", "--insecure"];
    let scheduler = Process::start("scheduler", dir.path(), env!("CARGO_BIN_EXE_scaler_scheduler"), &all);
    let port = |key: &str| -> u16 {
        let address = scheduler.address(key);
        address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {address}"))
    };
    let at = |host: &str| format!("tcp://{host}:{}", port("scheduler_address"));
    let (for_cluster, for_client) = (at("127.0.0.3"), at("127.0.0.2"));
    let _cluster =
        Process::start("cluster", dir.path(), env!("CARGO_BIN_EXE_scaler_cluster"), &[&for_cluster, "-n", "1"]);
    let client = scaler_client::blocking::Client::connect(&for_client).expect("connect");
    let function = client.function("behaviour.work:echo_bytes").expect("function");
    let bytes: Vec<u8> = (0..300_000).map(|index| (index * 7) as u8).collect();
    let arguments = scaler_client::Arguments::new().arg(scaler_client::Value::Bytes(bytes.clone()));
    let back = client.submit(&function, arguments).expect("submit").value().expect("the same");
    assert!(back == scaler_client::Value::Bytes(bytes), "not the bytes that were sent");
    // The storage's own ends of the connections that both still have.
    let storage_port = port("object_storage_address");
    let table = fs::read_to_string("/proc/net/tcp").expect("connections");
    let ends = table.lines().filter_map(|line| line.split_whitespace().nth(1));
    let met: Vec<&str> = ends.filter_map(|end| end.strip_suffix(&format!(":{storage_port:04X}"))).collect();
    for (who, host) in [("client", "0200007F"), ("cluster", "0300007F")] {
        assert!(met.contains(&host), "the {who} did not come to {host}, but to {met:?}");
    }
    let view = client.status().expect("status");
    let storage = view.scheduler.object_storage_address.expect("an object storage");
    assert_eq!((view.scheduler.scheduler_address, storage), (for_client, format!("tcp://127.0.0.2:{storage_port}")));
    client.disconnect();
}

#[test]
fn a_scheduler_at_a_unix_socket_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("folder");
    let address = format!("ipc://{}", dir.path().join("s").display());
    let mut scheduler =
        Process::start("scheduler", dir.path(), env!("CARGO_BIN_EXE_scaler_scheduler"), &[address.as_str()]);
    let sockets = || {
        let entries = fs::read_dir(dir.path()).expect("entries").flatten();
        let is_socket =
            |entry: &fs::DirEntry| std::os::unix::fs::FileTypeExt::is_socket(&entry.file_type().expect("a type"));
        let mut names: Vec<String> =
            entries.filter(is_socket).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(sockets(), ["s", "s.1", "s.2"]);
    scheduler.signal(rustix::process::Signal::TERM);
    assert_eq!(scheduler.wait_exit(LONG), 0);
    assert!(sockets().is_empty(), "{:?} are left", sockets());
}

fn child_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut all: Vec<u32> = children.split_whitespace().filter_map(|child| child.parse().ok()).collect();
    if all.is_empty() {
        // The child was started by another thread.
        for entry in fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten() {
            let path = entry.path().join("children");
            all.extend(
                fs::read_to_string(path)
                    .unwrap_or_default()
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    *all.first().unwrap_or_else(|| panic!("process {pid} has no child"))
}

#[test]
fn map_gives_results_in_order_from_every_kind_of_input() {
    let stack = Stack::new(2, &[], &[&guest("examples/hello/guest"), &guest("tests/guests/behaviour")]);
    let address = stack.address();
    let out = scaler(&["map", &address, "behaviour.work:add", "--range", "0..2000"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let numbers: Vec<u64> = text(&out.stdout).lines().map(|line| line.parse().expect("number")).collect();
    assert_eq!(numbers, (1..=2000).collect::<Vec<_>>());

    let lines = stack.dir.path().join("lines.txt");
    fs::write(&lines, "ann\nbob\n\n").expect("lines");
    let out = scaler(&["map", &address, "hello.greeting:greet", "--each-line", &lines.to_string_lossy()]);
    let greetings: Vec<String> =
        text(&out.stdout).lines().map(|line| serde_json::from_str(line).expect("string")).collect();
    assert_eq!(greetings.len(), 3, "{} {}", text(&out.stdout), text(&out.stderr));
    assert!(greetings[0].contains("ann") && greetings[1].contains("bob"));

    let mut child = Command::new(SCALER)
        .args(["map", &address, "behaviour.work:add"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("map");
    child.stdin.take().expect("stdin").write_all(b"[1, 2]\n{\"b\": 4, \"a\": 3}\n").expect("write");
    let out = child.wait_with_output().expect("output");
    assert_eq!(text(&out.stdout), "3\n7\n", "{}", text(&out.stderr));
}

#[test]
fn the_first_failure_of_a_map_is_named_and_cancels_the_rest() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let mut child = Command::new(SCALER)
        .args(["map", &stack.address(), "behaviour.failures:check"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("map");
    // An empty line is no element, but a line: element 10 is in line 12.
    let input: String = (0..500).map(|number| format!("{}{number}\n", if number == 7 { "\n" } else { "" })).collect();
    let _ = child.stdin.take().expect("stdin").write_all(input.as_bytes());
    let out = child.wait_with_output().expect("output");
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("stdin, line 12: "), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 10, "{}", text(&out.stdout));
    wait_for("nothing left", LONG, || (unfinished(&stack) == 0).then_some(()));
    failures_are_objects_with_json(&stack);
    ctrl_c_takes_the_work_along(&stack);
}

/// Tasks that have not ended.
fn unfinished(stack: &Stack) -> u64 {
    let status = stack.status();
    ["waiting", "assigned", "running", "canceling"].iter().filter_map(|state| status["tasks"][state].as_u64()).sum()
}

/// The object on the last line of stderr.
#[track_caller]
fn told(out: &std::process::Output) -> Value {
    let stderr = text(&out.stderr);
    let line = stderr.lines().last().unwrap_or_default();
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in:\n{stderr}"));
    let error = object["error"].clone();
    assert_eq!(error["exit_code"].as_i64(), out.status.code().map(i64::from), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    error
}

fn failures_are_objects_with_json(stack: &Stack) {
    let worker = stack.status()["workers"][0]["name"].clone();
    let submit = |call: &str, more: &[&str]| told(&stack.submit(call, &[&["--json"], more].concat()));
    for (call, more, kind) in [
        ("behaviour.failures:check(-1)", &[][..], "guest_error"),
        ("behaviour.failures:panic('out of luck')", &[], "panic"),
        ("behaviour.failures:trap()", &[], "trap"),
        ("behaviour.hostile:recurse_forever()", &[], "stack_overflow"),
        ("behaviour.hostile:spin_forever()", &["--timeout-seconds", "0.3"], "timeout"),
    ] {
        let error = submit(call, more);
        assert_eq!((&error["type"], &error["worker"]), (&kind.into(), &worker), "{call}: {error}");
        assert!(error["task"].as_str().is_some_and(|task| task.contains(':')), "{call}: {error}");
    }
    assert_eq!(submit("behaviour.failures:check(-1)", &[])["value"], "missing");
    let error = submit("behaviour.failures:clock()", &[]);
    let help = error["help"].as_str().unwrap_or_default();
    assert!(error["type"] == "panic" && help.contains("`wasi = false` to `wasi = true`"), "{error}");
    assert!(submit("behaviour.failures:trap()", &[])["trace"].is_string());
    assert_eq!(submit("behaviour.failures:check('x')", &[])["type"], "type_mismatch");
    assert_eq!(submit("behaviour.failures:chek(1)", &[])["type"], "unknown_function");
    assert_eq!(submit("nowhere:f()", &["--timeout-seconds", "5"])["type"], "unknown_module");
    let storage = stack.scheduler.address("object_storage_address");
    let lost = told(&scaler(&["submit", &storage, "a:f()", "--connect-timeout-seconds", "1", "--json"]));
    assert_eq!(lost["type"], "unreachable");
    let message = lost["message"].as_str().unwrap_or_default();
    assert!(message.contains("an object storage") && message.contains("(port - 1)"), "{message}");
    let mut map = Command::new(SCALER)
        .args(["map", &stack.address(), "behaviour.failures:check", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("map");
    let _ = map.stdin.take().expect("stdin").write_all(b"1\n\n-2\n");
    let out = map.wait_with_output().expect("output");
    let error = told(&out);
    assert_eq!(
        (&error["type"], &error["index"], &error["value"]),
        (&"guest_error".into(), &1.into(), &"missing".into())
    );
    assert_eq!((error["place"].as_str(), text(&out.stdout).as_str()), (Some("stdin, line 3"), "1\n"));
}

fn ctrl_c_takes_the_work_along(stack: &Stack) {
    for (command, words) in [
        ("submit", &["behaviour.hostile:spin_forever()"][..]),
        ("map", &["behaviour.work:spin", "--range", "4000000000..4000000003"]),
    ] {
        let child = Command::new(SCALER)
            .args([&[command, &stack.address()], words, &["--json"]].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect(command);
        wait_for("a task at work", LONG, || (stack.tasks("running") > 0).then_some(()));
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signal");
        let out = child.wait_with_output().expect("output");
        let error = told(&out);
        assert_eq!((out.status.code(), &error["type"]), (Some(130), &"interrupted".into()), "{command}: {error}");
        if command == "map" {
            let told = error["message"].as_str().is_some_and(|text| text.contains("after 0 of 3 results"));
            assert!(told, "{error}");
        }
        wait_for("nothing left", LONG, || (unfinished(stack) == 0).then_some(()));
    }
}

#[test]
fn a_client_brings_its_own_module() {
    let stack = Stack::new(1, &[], &[]);
    let module = guest("examples/hello/guest");
    let out = stack.submit("hello.greeting:greet('mine')", &["--module", &module.to_string_lossy()]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("mine"));
    // It is private to that session.
    let out = stack.submit("hello.greeting:greet('mine')", &[]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
}

#[test]
fn a_file_with_dots_in_its_name_is_no_module_and_everybody_says_so() {
    let stack = Stack::scheduler(&[], &[]);
    let module = guest("examples/hello/guest");
    let modules = stack.dir.path().join("modules");
    let dotted = modules.join("hello-2.0.wasm");
    fs::copy(&module, &dotted).expect("copy");
    let mut cluster = stack.spawn_cluster(1, &[]);
    cluster.wait_ready();
    let remedy = "rename it to `hello-2-0.wasm`";
    cluster.wait_log(remedy);
    // Another module comes, so that the folder is known to have been looked at again.
    fs::copy(&module, modules.join("hello.wasm")).expect("copy");
    cluster.wait_log("module `hello` is now");
    assert_eq!(cluster.log().matches(remedy).count(), 1, "{}", cluster.log());
    let file = dotted.to_str().expect("text");
    let out = stack.submit("hello-2-0.greeting:greet('x')", &["--module", file]);
    assert_eq!((out.status.code(), text(&out.stderr).contains(remedy)), (Some(2), true), "{}", text(&out.stderr));
    let folder = modules.to_str().expect("text");
    let out = scaler(&["run", "hello-2.0.greeting:greet('x')", "--module-path", folder]);
    assert_eq!((out.status.code(), text(&out.stderr).contains(remedy)), (Some(2), true), "{}", text(&out.stderr));
    let out = scaler(&["inspect", file]);
    assert!(out.status.success() && text(&out.stderr).contains(remedy), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("hello_2_0.greeting:greet("), "{}", text(&out.stdout));
    // Under the name that is offered it is found by all of them.
    fs::rename(&dotted, modules.join("hello-2-0.wasm")).expect("rename");
    cluster.wait_log("module `hello-2-0` is now");
    assert_eq!(stack.value("hello-2-0.greeting:greet('x')"), "Hello, x!");
}

#[test]
fn components_of_other_tools_run_as_well() {
    let stack = Stack::scheduler(&[], &[&guest("tests/guests/bindgen")]);
    let by_hand = wat::parse_file(support::root().join("tests/guests/hand.wat")).expect("WAT");
    fs::write(stack.dir.path().join("modules/hand.wasm"), by_hand).expect("write");
    let mut cluster = stack.spawn_cluster(2, &[]);
    cluster.wait_ready();
    // Made with plain wit-bindgen: an interface in a package of its own.
    let shape = "bindgen.echo:one_shape({'line': [{'x': 1, 'y': 2}, {'x': 3, 'y': 4}]})";
    assert_eq!(stack.value(shape), json!({"line": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]}));
    assert_eq!(stack.value("bindgen.echo:sides_of(['a', 'i'])"), json!(["a", "i"]));
    // Made by hand: functions of the component itself, without memory.
    assert_eq!(stack.value("hand:add(40, right=2)"), json!(42));
    let trap = stack.failure("hand:divide(1, 0)", &[]);
    assert!(trap.contains("divide by zero"), "{trap}");
}

#[test]
fn a_module_that_is_added_or_replaced_is_announced_again() {
    let stack = Stack::new(1, &[], &[]);
    let out = stack.submit("hello.greeting:greet('x')", &[]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    install(stack.dir.path(), &[&guest("examples/hello/guest")]);
    wait_for("the new module", LONG, || stack.submit("hello.greeting:greet('x')", &[]).status.success().then_some(()));
}

#[test]
fn mistakes_in_a_call_end_with_2_and_say_what_there_is() {
    let stack = Stack::new(1, &[], &[&guest("examples/hello/guest")]);
    for (call, part) in [
        ("hello.greeting:greet(", "column"),
        ("helo.greeting:greet('x')", "hello"),
        ("hello.greeting:gret('x')", "greet"),
        ("hello.greeting:greet(1)", "name"),
        ("hello.greeting:greet('x', nme='y')", "nme"),
    ] {
        let out = stack.submit(call, &[]);
        assert_eq!(out.status.code(), Some(2), "{call}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(part), "{call}: `{part}` in {}", text(&out.stderr));
        assert!(out.stdout.is_empty());
    }
    let out = scaler(&["submit", "tcp://127.0.0.1:9", "hello.greeting:greet('x')", "--connect-timeout-seconds", "1"]);
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
}

#[test]
fn protected_refuses_shutdown_and_unprotected_ends_everything() {
    let stack = Stack::new(1, &[], &[&guest("examples/hello/guest")]);
    let out = scaler(&["shutdown", &stack.address()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("protected"), "{}", text(&out.stderr));
    stack.value("hello.greeting:greet('still here')");

    let mut open = Stack::scheduler(&["-p", "False"], &[]);
    open.add_cluster(1, &[]);
    let out = scaler(&["shutdown", &open.address()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert_eq!(open.scheduler.wait_exit(LONG), 0);
    assert_eq!(open.clusters[0].wait_exit(LONG), 0);
    // That it ends because it was told to looks like nothing else.
    let log = open.clusters[0].log();
    assert!(log.contains("leaving: a client shut the scheduler down"), "{log}");
    assert!(!log.contains("connecting again") && !log.contains("WARNING") && !log.contains("ERROR"), "{log}");
}

#[test]
fn run_needs_no_cluster_and_uses_the_same_sandbox() {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest("examples/hello/guest"), &guest("tests/guests/behaviour")]);
    let modules = dir.path().join("modules");
    let run = |call: &str, more: &[&str]| {
        let mut args = vec!["run", call, "--module-path"];
        let path = modules.to_string_lossy().into_owned();
        args.push(&path);
        args.extend_from_slice(more);
        scaler(&args)
    };
    let out = run("hello.greeting:greet('run')", &[]);
    assert!(out.status.success() && text(&out.stdout).contains("run"), "{}", text(&out.stderr));
    let out = run("hello.greeting:greet('run')", &["--output", "raw"]);
    assert!(!text(&out.stdout).starts_with('"'), "{}", text(&out.stdout));
    let out = run("behaviour.failures:panic('out of luck')", &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("out of luck"), "{}", text(&out.stderr));
    assert_eq!(run("hello.greeting:nothing()", &[]).status.code(), Some(2));
    // A time limit, told as on a cluster; of that of a file and of the flag the lower one counts.
    let file = dir.path().join("limits.toml");
    fs::write(&file, "[cluster]\ntask_timeout_seconds = 1\n").expect("file");
    let file = file.to_string_lossy().into_owned();
    for (options, limit) in [
        (&["--timeout-seconds", "0.3"][..], "0.3"),
        (&["--timeout-seconds", "0.4", "-c", &file], "0.4"),
        (&["--timeout-seconds", "100000000000000000", "-c", &file], "1"),
    ] {
        let out = run("behaviour.hostile:spin_forever()", &[options, &["--json"]].concat());
        let told = text(&out.stderr);
        let error: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("an object");
        let error = &error["error"];
        assert_eq!((out.status.code(), &error["type"]), (Some(1), &json!("timeout")), "{told}");
        let message = error["message"].as_str().unwrap_or_default();
        let expected = format!("the task ran longer than its limit of {limit} s: it was stopped after ");
        assert!(message.contains(&expected), "{told}");
    }
    for wrong in ["0", "-1", "soon"] {
        let out = run("hello.greeting:greet('run')", &["--timeout-seconds", wrong]);
        assert!(out.status.code() == Some(2) && text(&out.stderr).contains("as in 2.5"), "{}", text(&out.stderr));
    }
}

#[test]
fn up_starts_the_whole_stack_and_stops_it() {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest("examples/hello/guest")]);
    let file = seed_file(dir.path());
    let mut up = Process::spawn("up", dir.path(), SCALER, &["up", "--config", &file]);
    let configuration = fs::read_to_string(&file).expect("configuration");
    let address = configuration
        .lines()
        .find_map(|line| line.strip_prefix("scheduler_address = \"")?.strip_suffix('"'))
        .expect("address")
        .to_owned();
    wait_for("a worker", LONG, || {
        assert!(up.exited().is_none(), "{}", up.log());
        let out = scaler(&["submit", &address, "hello.greeting:greet('up')", "--connect-timeout-seconds", "1"]);
        out.status.success().then_some(())
    });
    let pids: Vec<u32> = status_of(&address)["workers"]
        .as_array()
        .expect("workers")
        .iter()
        .filter_map(|w| w["pid"].as_u64())
        .map(|pid| pid as u32)
        .collect();
    assert_eq!(pids.len(), 8);
    up.signal(rustix::process::Signal::INT);
    assert_eq!(up.wait_exit(Duration::from_secs(20)), 0, "{}", up.log());
    for pid in pids {
        wait_for("processors are gone", LONG, || (!alive(pid)).then_some(()));
    }
}

#[test]
fn a_call_that_waits_says_what_for() {
    let stack = Stack::new(1, &[], &[&guest("examples/hello/guest")]);
    let call = ["submit", &stack.address(), "hello.greeting:greet('Ada')", "--capabilities", "gpu=5"];
    let mut waiting = Process::spawn("submit", stack.dir.path(), SCALER, &call);
    waiting.wait_log("note: hello.greeting:greet waits: no connected cluster has a worker that offers `gpu=5`");
    let parked = &stack.status()["parked"][0];
    assert!(parked["reason"].as_str().is_some_and(|reason| reason.contains("-pwc gpu=5")), "{parked}");
    waiting.signal(rustix::process::Signal::INT);
    assert_eq!(waiting.wait_exit(LONG), 130, "{}", waiting.log());
}

#[test]
fn a_task_that_nobody_can_run_any_more_is_told_of_and_runs_when_somebody_can() {
    let mut stack = Stack::new(1, &[], &[&guest("examples/hello/guest"), &guest("tests/guests/behaviour")]);
    let gpu = stack.add_cluster(1, &["-pwc", "gpu"]);
    let spinning = ["submit", &stack.address(), "behaviour.hostile:spin_forever()", "--capabilities", "gpu"];
    let mut spinning = Process::spawn("spin", stack.dir.path(), SCALER, &spinning);
    support::wait_for("the gpu worker to run it", LONG, || (stack.tasks("running") == 1).then_some(()));
    let call = ["submit", &stack.address(), "hello.greeting:greet('Ada')", "--capabilities", "gpu"];
    let mut waiting = Process::spawn("submit", stack.dir.path(), SCALER, &call);
    let has_both = || stack.tasks("running") + stack.tasks("assigned") == 2;
    support::wait_for("the gpu worker to have both", LONG, || has_both().then_some(()));
    spinning.kill();
    stack.clusters[gpu].kill();
    waiting.wait_log("waits: no connected cluster has a worker that offers `gpu`");
    let parked = stack.status()["parked"].clone();
    assert!(parked[0]["reason"].as_str().is_some_and(|reason| reason.contains("-pwc gpu")), "{parked}");
    stack.add_cluster(2, &["-pwc", "gpu"]);
    assert_eq!(waiting.wait_exit(LONG), 0, "{}", waiting.log());
}
