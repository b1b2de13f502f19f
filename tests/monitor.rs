//! Who watches a cluster sees what happens, as it happens; who orders the end of a task gets it; and nobody who watches
//! slows anybody down.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use scaler_client::blocking::Client;
use scaler_net::Address;
use scaler_node::watch::Watcher;
use scaler_proto::{message::Topic, view::View};
use serde_json::Value;
use support::{LONG, SCALER, Stack, guest, scaler, text, wait_for};

fn monitor_address(stack: &Stack) -> Address {
    stack.scheduler.address("monitor_address").parse().expect("an address")
}

fn watcher(stack: &Stack, topics: &[Topic]) -> Watcher {
    Watcher::connect(&monitor_address(stack), topics, LONG).expect("a scheduler")
}

/// Watches until the view is as it should be.
fn until(watcher: &mut Watcher, what: &str, mut is_so: impl FnMut(&View) -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so(watcher.view()) {
        assert!(Instant::now() < deadline, "waited in vain: {what}; the view is {:?}", watcher.view());
        watcher.next(Some(deadline)).expect("a scheduler");
    }
}

#[test]
fn a_watcher_sees_a_snapshot_and_then_what_changes() {
    let mut stack = Stack::new(2, &[], &[&guest("tests/guests/behaviour")]);
    assert_eq!(stack.value("behaviour.work:add(40, 2)"), 42);
    let mut watcher = watcher(&stack, &[Topic::Tasks]);
    let view = watcher.view();
    assert_eq!((view.workers.len(), view.tasks["succeeded"], view.recent.len()), (2, 1, 1));
    assert_eq!(view.recent[0].call, "behaviour.work:add");
    assert!(view.workers.iter().any(|worker| worker.name == view.recent[0].worker));

    assert_eq!(stack.value("behaviour.work:add(40, 2)"), 42);
    until(&mut watcher, "the second task", |view| view.tasks["succeeded"] == 2 && view.recent.len() == 2);
    let failed = stack.failure("behaviour.failures:trap", &[]);
    until(&mut watcher, "the failure", |view| view.recent.len() == 3);
    let task = &watcher.view().recent[2];
    assert_eq!(task.state, "failed");
    let error = task.error.as_deref().expect("an error");
    assert!(failed.contains(error.split_once(": ").expect("kind and message").1), "{error} is not in {failed}");

    // The same source as `status`: equal figures.
    until(&mut watcher, "a quiet cluster", |view| {
        view.clients.is_empty() && view.workers.iter().all(|w| w.queued == 0)
    });
    let status = stack.status();
    let seen = serde_json::to_value(watcher.view()).expect("JSON");
    for part in ["tasks", "functions", "clients"] {
        assert_eq!(seen[part], status[part], "{part}");
    }
    assert_eq!(seen["workers"][1]["finished"].as_u64().is_some(), status["workers"][1]["finished"].is_u64());

    stack.add_cluster(1, &[]);
    until(&mut watcher, "another worker", |view| view.workers.len() == 3);
    until(&mut watcher, "measured agents", |view| {
        view.workers.iter().all(|w| w.agent_rss_bytes > 0 && w.memory_free_bytes > 0 && w.lag_us > 0 && w.rss_bytes > 0)
    });
    let scheduler = &watcher.view().scheduler;
    assert!(scheduler.watchers == 1 && scheduler.rss_bytes > 0 && scheduler.memory_free_bytes > 0, "{scheduler:?}");
    watcher.close();
}

#[test]
fn a_killed_cluster_is_seen_as_lost_and_a_killed_processor_as_restarted() {
    let mut stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let mut watcher = watcher(&stack, &[]);
    until(&mut watcher, "a worker with a process", |view| view.workers.iter().any(|w| w.state == "ready" && w.pid > 0));
    let pid = Pid::from_raw(watcher.view().workers[0].pid.cast_signed()).expect("pid");
    kill_process(pid, Signal::KILL).expect("kill");
    until(&mut watcher, "another processor", |view| view.workers[0].restarts == 1 && view.workers[0].pid > 0);
    stack.clusters[0].kill();
    until(&mut watcher, "the loss", |view| view.workers[0].state == "lost");
    let seen = watcher.view().workers[0].last_seen_ms;
    until(&mut watcher, "silence", |view| view.workers[0].last_seen_ms >= seen + 1_000);
}

#[test]
fn rows_and_totals_agree_as_soon_as_a_task_has_ended() {
    let stack = Stack::new(2, &[], &[&guest("tests/guests/behaviour")]);
    let client = Client::connect(&stack.address()).expect("a scheduler");
    let add = client.function("behaviour.work:add").expect("a function");
    for number in 1..=20_u64 {
        client.submit(&add, (40_i64, 2_i64)).expect("submitted").value().expect("42");
        let view = client.status().expect("status");
        let finished: u64 = view.workers.iter().map(|worker| worker.finished).sum();
        assert_eq!((view.tasks["succeeded"], finished), (number, number));
        let at_work: u64 = view.workers.iter().map(|worker| worker.queued + worker.running).sum();
        assert_eq!(at_work, 0, "{:?}", view.workers);
    }
    client.disconnect();
}

#[test]
fn a_task_whose_processor_died_is_shown_with_its_worker() {
    let stack = Stack::new(2, &[], &[&guest("tests/guests/behaviour")]);
    let mut watcher = watcher(&stack, &[Topic::Tasks]);
    let mut submit = Command::new(SCALER)
        .args(["submit", &stack.address(), "behaviour.hostile:spin_forever"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("submit");
    // Each attempt's processor is killed until the task is given up.
    let mut killed = Vec::new();
    until(&mut watcher, "the task is given up", |view| {
        if let Some(worker) = view.workers.iter().find(|worker| worker.running == 1 && worker.pid > 0)
            && !killed.contains(&worker.pid)
        {
            killed.push(worker.pid);
            kill_process(Pid::from_raw(worker.pid.cast_signed()).expect("pid"), Signal::KILL).expect("kill");
        }
        view.recent.len() == 1
    });
    submit.wait().expect("submit ends");
    let view = watcher.view();
    let task = &view.recent[0];
    assert!(task.state == "failed" && view.workers.iter().any(|worker| worker.name == task.worker), "{task:?}");
    stack
        .scheduler
        .wait_log(&format!("of behaviour.hostile:spin_forever failed on {} of {}: ", task.worker, task.cluster));
    assert!(task.run_us > 0 && task.error.as_deref().is_some_and(|error| error.contains("processor died")), "{task:?}");
}

#[test]
fn failures_are_lines_of_the_clusters_log_and_the_newest_is_in_status_after_a_thousand_tasks() {
    let stack = Stack::new(1, &["--worker-names", "w-1"], &[&guest("tests/guests/behaviour")]);
    let address = stack.address();
    // An error value that is no text is told as well.
    stack.failure("behaviour.failures:check(77)", &[]);
    stack.clusters[0].wait_log(" of behaviour.failures:check failed: guest error: {\"too_large\":");
    stack.failure("behaviour.failures:error('find me')", &[]);
    stack.clusters[0].wait_log(" of behaviour.failures:error failed: guest error: find me");
    let client = Client::connect(&address).expect("a scheduler");
    let add = client.function("behaviour.work:add").expect("a function");
    let sums: Vec<_> = (0..1_100_i64).map(|number| client.submit(&add, (number, 1_i64)).expect("taken")).collect();
    sums.into_iter().for_each(|future| drop(future.value().expect("a sum")));
    let shown = text(&scaler(&["status", &address]).stdout);
    let line = shown.lines().find(|line| line.starts_with("failure ")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("behaviour.failures:error on w-1: guest error: find me (task "), "{line}");

    // A flood is told of in a few lines, which leave none out.
    let fails = client.function("behaviour.failures:error").expect("a function");
    let flood: Vec<_> = (0..200).map(|_| client.submit(&fails, ("again",)).expect("taken")).collect();
    flood.into_iter().for_each(|future| drop(future.value().expect_err("it fails")));
    let counted = || {
        let log = stack.clusters[0].log();
        let alone = log.lines().filter(|line| line.contains(" failed: guest error: ")).count();
        let more = log.lines().filter(|line| line.contains(" failed within that second"));
        let more = more.filter_map(|line| line.split_once(" more task")?.0.rsplit(' ').next()?.parse::<usize>().ok());
        (alone, more.sum::<usize>())
    };
    let (alone, more) =
        wait_for("all failures in the log", LONG, || Some(counted()).filter(|(alone, more)| alone + more == 202));
    assert!(more > 0 && alone < 202, "{alone} lines, {more} more");
    let failures = stack.status()["failures"].as_array().expect("failures").len();
    assert_eq!(failures, 200, "the newest are kept");
    client.disconnect();
}

#[test]
fn a_storage_that_does_not_answer_is_spoken_of_until_it_does() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port();
    let storage = format!("tcp://127.0.0.1:{port}");
    let stack = Stack::scheduler(&["--object-storage-address", &storage], &[]);
    stack.scheduler.wait_log(&format!("no object storage answers at {storage}"));
    let log = stack.scheduler.log();
    assert!(log.contains(&format!("scaler_object_storage_server {storage}")), "{log}");
    let status = || text(&scaler(&["status", &stack.address()]).stdout);
    wait_for("status says so", LONG, || status().contains(&format!("{storage} does not answer: ")).then_some(()));
    assert!(stack.status()["scheduler"]["object_storage_problem"].is_string());
    let program = env!("CARGO_BIN_EXE_scaler_object_storage_server");
    let _storage = support::Process::start("storage", stack.dir.path(), program, &[&storage]);
    stack.scheduler.wait_log(&format!("the object storage at {storage} answers now"));
    wait_for("status takes it back", LONG, || (!status().contains("does not answer")).then_some(()));
    let log = stack.scheduler.log();
    assert_eq!(log.matches("no object storage answers").count(), 1, "once a silence: {log}");
}

#[test]
fn a_watcher_waits_for_a_scheduler_that_is_away_and_begins_anew_with_another() {
    let modules = [guest("tests/guests/behaviour")];
    let mut stack = Stack::new(1, &[], &[&modules[0]]);
    let mut watcher = watcher(&stack, &[Topic::Tasks]);
    let epoch = watcher.view().scheduler.epoch;
    assert_eq!(stack.value("behaviour.work:add(40, 2)"), 42);
    until(&mut watcher, "the task", |view| view.recent.len() == 1);
    let (address, monitor) = (stack.address(), monitor_address(&stack).to_string());
    stack.scheduler.kill();
    wait_for("the loss is noticed", LONG, || {
        watcher.next(Some(Instant::now() + Duration::from_millis(50))).expect("no error");
        (!watcher.is_live()).then_some(())
    });
    assert!(watcher.stale_since().is_some() && watcher.view().recent.len() == 1, "what was known stays");
    let scheduler = env!("CARGO_BIN_EXE_scaler_scheduler");
    // It needs no storage; one of its own would be at the next port, which may be anybody's.
    let args = [address.as_str(), "--monitor-address", &monitor, "--object-storage-address", "tcp://127.0.0.1:9"];
    let mut second = support::Process::start("second", stack.dir.path(), scheduler, &args);
    until(&mut watcher, "the other scheduler", |view| view.scheduler.epoch != epoch);
    assert!(watcher.is_live() && watcher.view().recent.is_empty() && watcher.view().tasks["succeeded"] == 0);
    until(&mut watcher, "the cluster is back", |view| view.workers.iter().any(|worker| worker.state == "ready"));
    second.kill();
}

#[test]
fn lines_of_guests_are_seen_with_task_and_worker() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour"), &guest("tests/guests/wasi")]);
    let address = stack.address();
    stack.value("wasi.system:print('hello')");
    stack.value("behaviour.work:write_log(3, 'careful')");
    let lines = wait_for("five lines", LONG, || {
        let out = scaler(&["logs", &address, "--json"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let lines: Vec<Value> =
            text(&out.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (lines.len() >= 5).then_some(lines)
    });
    let sources: Vec<_> = lines.iter().map(|line| line["source"].as_str().expect("a source")).collect();
    assert_eq!(sources, ["stdout", "stderr", "warn", "warn", "warn"]);
    assert_eq!((&lines[0]["text"], &lines[1]["text"]), (&"out hello".into(), &"err hello".into()));
    let worker = stack.status()["workers"][0]["name"].clone();
    assert!(lines.iter().all(|line| line["worker"] == worker));
    assert_ne!(lines[0]["task"], lines[2]["task"]);
    // On the clock of everybody, which `date` reads as well: between the start of this run and now.
    let date = |arguments: &[&str]| {
        let out = Command::new("date").args(["-u", "+%s"]).args(arguments).output().expect("date");
        text(&out.stdout).trim().parse::<u64>().unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&out.stderr)))
    };
    for line in &lines {
        let time = line["time"].as_str().unwrap_or_else(|| panic!("no time in {line}"));
        let seconds = date(&["-d", time]);
        assert!((date(&[]) - LONG.as_secs()..=date(&[])).contains(&seconds), "{line}");
    }

    // One task's alone, for people, from the monitor address.
    let task = lines[2]["task"].as_str().expect("a task");
    let out = scaler(&["logs", &monitor_address(&stack).to_string(), "--task", task]);
    let shown = text(&out.stdout);
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(
        shown.lines().all(|line| line.contains(task) && line.contains("warn")) && !shown.contains('\u{1b}'),
        "{shown}"
    );
    let silent = scaler(&["logs", &address, "--task", "00000000000000f1:7"]);
    assert!(silent.status.success() && silent.stdout.is_empty());
    assert!(text(&silent.stderr).contains("nothing that task 00000000000000f1:7 wrote is kept"));
}

#[test]
fn lines_of_a_preload_are_seen_without_a_task() {
    // A snapshot that is in the cache already would say nothing.
    let value = std::process::id();
    let preload = format!("behaviour.work:set_counter({value})");
    let stack = Stack::new(1, &["--preload", &preload], &[&guest("tests/guests/behaviour")]);
    let mut watcher = watcher(&stack, &[Topic::Logs]);
    until(&mut watcher, "the preload's line", |view| !view.logs.is_empty());
    let line = &watcher.view().logs[0];
    assert_eq!((line.text.clone(), line.source.as_str()), (format!("the counter starts at {value}"), "info"));
    assert!(line.task.is_empty() && line.worker.is_empty(), "{line:?}");
}

#[test]
fn the_cpu_time_of_a_task_is_its_work_and_not_its_sleep() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/wasi")]);
    let mut watcher = watcher(&stack, &[Topic::Tasks]);
    stack.value("wasi.system:sleep(400)");
    stack.value("wasi.system:work(200)");
    until(&mut watcher, "two tasks", |view| view.recent.len() == 2);
    let [sleep, work] = &watcher.view().recent[..] else { panic!("two tasks") };
    assert!(sleep.run_us >= 400_000 && sleep.cpu_us < 100_000, "{sleep:?}");
    // The machine may be busy with others meanwhile.
    assert!(work.cpu_us >= 20_000 && work.cpu_us <= work.run_us, "{work:?}");
}

#[test]
fn followed_lines_come_as_they_are_written_and_the_command_ends_with_its_reader() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/wasi")]);
    let mut child = Command::new(SCALER)
        .args(["logs", &stack.address(), "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("scaler runs");
    let mut reader = BufReader::new(child.stdout.take().expect("stdout"));
    stack.value("wasi.system:print('first')");
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    assert!(line.ends_with("stdout out first\n"), "{line}");
    drop(reader);
    let status = wait_for("the end of logs", LONG, || child.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(0), "a reader that went away is no error");

    let mut child = Command::new(SCALER)
        .args(["logs", &stack.address(), "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("scaler runs");
    let mut reader = BufReader::new(child.stdout.take().expect("stdout"));
    reader.read_line(&mut line).expect("a line");
    kill_process(Pid::from_raw(child.id().cast_signed()).expect("pid"), Signal::INT).expect("signal");
    let status = wait_for("the end of logs", LONG, || child.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(0), "SIGINT ends it cleanly");
}

#[test]
fn a_guest_that_writes_without_end_floods_nobody() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/wasi"), &guest("tests/guests/behaviour")]);
    let mut watcher = watcher(&stack, &[Topic::Logs]);
    let failure = stack.failure("behaviour.hostile:log_forever()", &["--timeout-seconds", "2"]);
    assert!(failure.contains(", timeout, on "), "{failure}");
    // More than one task's cap, so that the agent's own bound is needed.
    for _ in 0..3 {
        stack.failure("behaviour.hostile:log_forever()", &["--timeout-seconds", "1"]);
    }
    stack.value("wasi.system:print('at last')");
    until(&mut watcher, "the last line", |view| view.logs.iter().any(|line| line.text == "out at last"));
    let log = stack.clusters[0].log();
    assert!(log.len() < 4 << 20, "the agent's log has {} bytes", log.len());
}

#[test]
fn a_running_task_is_canceled_from_outside() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let address = stack.address();
    let client = Client::connect(&address).expect("connect");
    let function = client.function("behaviour.hostile:spin_forever").expect("function");
    let mut running = client.submit(&function, ()).expect("submit");
    let mut waiting = client.submit(&function, ()).expect("submit");
    let (first, second) = (running.id().to_string(), waiting.id().to_string());
    wait_for("a running task", LONG, || (stack.tasks("running") == 1).then_some(()));

    let listed = text(&scaler(&["status", &address, "--tasks"]).stdout);
    for (id, state) in [(&first, "running"), (&second, "assigned")] {
        let row = listed.lines().find(|line| line.starts_with(id.as_str())).unwrap_or_else(|| panic!("{id}: {listed}"));
        assert!(row.contains("behaviour.hostile:spin_forever") && row.contains(state), "{row}");
    }
    let out = scaler(&["cancel", &address, &first, &second, "--json"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let replies: Vec<Value> = text(&out.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&replies[0]["task"], &replies[0]["canceled"]), (&first.as_str().into(), &true.into()));
    assert_eq!((&replies[0]["state"], replies.len()), (&"running".into(), 2));
    for id in [&first, &second] {
        stack.scheduler.wait_log(&format!(" cancels task {id} of behaviour.hostile:spin_forever"));
    }
    for future in [&mut running, &mut waiting] {
        let error = future.result_timeout::<Value>(LONG).expect_err("it was canceled");
        assert!(error.to_string().contains("canceled by scaler cancel (client-"), "{error}");
    }

    let out = scaler(&["cancel", &address, &first]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("is not canceled: it has ended: canceled"), "{}", text(&out.stdout));
    let out = scaler(&["cancel", &address, "twelve"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("is no task id"), "{}", text(&out.stderr));
    let out = scaler(&["cancel", &monitor_address(&stack).to_string(), &first]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("this is the monitor address"), "{}", text(&out.stderr));
    client.disconnect();
}

#[test]
fn the_address_of_the_storage_is_recognised() {
    let stack = Stack::scheduler(&[], &[]);
    let storage = stack.scheduler.address("object_storage_address");
    for command in [["status"].as_slice(), &["logs"], &["submit"]] {
        let mut args = command.to_vec();
        args.push(&storage);
        if command == ["submit"] {
            args.push("m:f()");
        }
        args.extend(["--connect-timeout-seconds", "0.5"]);
        let out = scaler(&args);
        assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
        let told = text(&out.stderr);
        assert!(told.contains("no scheduler answers at") && told.contains("an object storage"), "{told}");
    }
}

#[test]
fn status_shows_clusters_and_functions() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    stack.value("behaviour.work:add(40, 2)");
    let out = scaler(&["status", &stack.address(), "--functions"]);
    let shown = text(&out.stdout);
    let host = stack.status()["workers"][0]["host"].as_str().expect("a host").to_owned();
    assert!(shown.lines().any(|line| line.starts_with("worker ") && line.contains("cluster")), "{shown}");
    assert!(shown.contains(&host) && shown.contains("1 function\n"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("behaviour.work:add")), "{shown}");
}
