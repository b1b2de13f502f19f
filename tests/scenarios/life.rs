//! Scenarios of life and death: cancel, clear, disconnect, shutdown, and what is left when a part is gone.

use std::{
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use scaler_client::{Error, FailureKind, LogLine, LogSource, SchedulerClusterCombo, blocking, blocking::Client};

use crate::{
    Here, shared,
    support::{LONG, SCALER, alive, scaler, text, wait_for},
};

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).expect("pid"), signal).expect("signal");
}

#[test]
fn scenario_06_thirty_sleepers_canceled_at_once_leave_nothing() {
    let here = Here::start(2, |builder| builder);
    let client = here.connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let futures: Vec<_> =
        (0..30_u64).map(|number| client.submit(&nap, (60_000_u64, number)).expect("submits")).collect();
    let started = Instant::now();
    assert!(futures.iter().all(blocking::TaskFuture::cancel));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(here.unfinished(&client), 0);
    assert_eq!(client.call("wasi.system:nap(1, 4)").expect("parses").result::<u64>().expect("the workers live"), 4);
}

#[test]
fn scenario_07_a_task_that_no_worker_has_is_canceled() {
    let here = Here::start(0, |builder| builder);
    let client = here.connect();
    let future = client.call("behaviour.work:add(1, 2)").expect("parses");
    assert!(matches!(future.result_timeout::<i64>(Duration::from_millis(100)), Err(Error::Timeout { .. })));
    assert!(future.cancel() && future.cancelled());
    assert!(matches!(future.result::<i64>(), Err(Error::Canceled { .. })));
}

#[test]
fn scenario_15_and_16_a_client_that_left_submits_nothing_and_may_leave_again() {
    let client = shared().connect();
    let add = client.function("behaviour.work:add").expect("function");
    let object = client.send_object(1, "one").expect("stored");
    for _ in 0..3 {
        client.disconnect();
    }
    for error in [
        client.submit(&add, (1, 2)).expect_err("it left"),
        client.call("behaviour.work:noop()").expect_err("it left"),
        client.send_object(2, "two").expect_err("it left"),
        client.clear().expect_err("it left"),
    ] {
        assert!(
            matches!(&error, Error::Disconnected { address, .. } if address == shared().combo.address()),
            "{error}"
        );
    }
    drop(object);
    // The end of a scope is enough.
    let id = {
        let scoped = shared().connect();
        scoped.id()
    };
    let other = shared().connect();
    wait_for("the dropped client is gone", LONG, || {
        let clients = other.status().expect("status").clients;
        clients.iter().all(|client| client.id != id.to_string()).then_some(())
    });
}

#[test]
fn scenario_21_without_a_scheduler_everything_fails_in_time() {
    let here = Here::start(1, |builder| builder);
    let client = Client::builder()
        .timeout(Duration::from_secs(1))
        .heartbeat(Duration::from_millis(200))
        .connect_blocking(here.combo.address())
        .expect("connects");
    let nap = client.function("wasi.system:nap").expect("function");
    let future = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    kill(here.combo.pid("scheduler").expect("pid"), Signal::KILL);
    let started = Instant::now();
    let error = future.exception_timeout(LONG).expect("in time").expect("it fails");
    assert!(matches!(&error, Error::Disconnected { .. }) && error.to_string().contains("no contact"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(matches!(client.submit(&nap, (1_u64, 1_u64)), Err(Error::Disconnected { .. })));
}

#[test]
fn scenario_22_each_step_of_a_warm_call_is_quick() {
    let here = shared();
    here.connect().call("behaviour.work:noop()").expect("parses").value().expect("the cluster is warm");
    let limit = Duration::from_millis(300);
    let mut best = [Duration::MAX; 4];
    // The best of some: the machine may be busy with other tests.
    for _ in 0..10 {
        let mut steps = Vec::new();
        let mut begin = Instant::now();
        let mut step = || steps.push(std::mem::replace(&mut begin, Instant::now()).elapsed());
        let client = here.connect();
        step();
        let future = client.call("behaviour.work:noop()").expect("parses");
        step();
        future.value().expect("result");
        step();
        client.disconnect();
        step();
        // Generous, but not so that a time-out of anything would pass.
        let slowest = steps.iter().max().expect("four steps");
        assert!(*slowest < Duration::from_secs(4), "connect, submit, result, disconnect: {steps:?}");
        for (best, took) in best.iter_mut().zip(steps) {
            *best = (*best).min(took);
        }
    }
    assert!(best.iter().all(|took| *took < limit), "connect, submit, result, disconnect: {best:?}");
}

#[test]
fn scenario_23_clear_cancels_and_lets_objects_go() {
    let here = Here::start(1, |builder| builder);
    let client = here.connect();
    let add = client.function("behaviour.work:add").expect("function");
    let nap = client.function("wasi.system:nap").expect("function");
    let before = here.stored();
    let object = client.send_object(40, "forty").expect("stored");
    let finished = client.submit(&add, (&object, 2)).expect("submits");
    assert_eq!(finished.result::<i64>().expect("result"), 42);
    let running = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    let waiting = client.submit(&add, (&object, 1)).expect("submits");
    client.clear().expect("clears");
    assert_eq!(finished.result::<i64>().expect("it is untouched"), 42);
    for future in [running, waiting] {
        assert!(future.done() && future.cancelled());
        assert!(matches!(future.result::<u64>(), Err(Error::Canceled { .. })));
    }
    let error = client.submit(&add, (&object, 1)).expect_err("it was cleared");
    assert!(matches!(&error, Error::MissingObject { name } if name == "forty"), "{error}");
    wait_for("the object is deleted", LONG, || (here.stored() == before).then_some(()));
    let again = client.send_object(1, "one").expect("stored");
    assert_eq!(client.submit(&add, (&again, 1)).expect("submits").result::<i64>().expect("result"), 2);
    client.clear().expect("clears twice");
}

#[test]
fn scenario_24_without_an_address_the_error_says_what_is_missing() {
    // The environment belongs to all tests of this process, so none of them sets it.
    assert!(std::env::var_os(scaler_client::SCALER_ADDRESS).is_none(), "this test needs an environment without it");
    let error = Client::new().expect_err("nobody said where");
    assert!(matches!(error, Error::NoAddress));
    let error = error.to_string();
    assert!(error.contains("no scheduler address was given") && error.contains("SCALER_ADDRESS"), "{error}");
}

#[test]
fn scenario_26_what_tasks_write_reaches_the_client() {
    let lines: Arc<Mutex<Vec<LogLine>>> = Arc::default();
    let seen = Arc::clone(&lines);
    let client = Client::builder()
        .on_output(move |line| seen.lock().expect("no panic").push(line.clone()))
        .connect_blocking(shared().combo.address())
        .expect("connects");
    let future = client.call("wasi.system:print('hello')").expect("parses");
    future.value().expect("result");
    let has = |source: LogSource, text: &str| {
        let lines = lines.lock().expect("no panic");
        lines.iter().any(|line| line.source == source && line.text == text && line.task == Some(future.id()))
    };
    wait_for("both lines", LONG, || {
        (has(LogSource::Stdout, "out hello") && has(LogSource::Stderr, "err hello")).then_some(())
    });
}

/// The marker by which this test binary knows that it is to show what its tasks write, and where.
const SHOWS: &str = "SCALER_TEST_SHOWS";

#[test]
fn scenario_26_streamed_output_is_this_process_s_own() {
    if let Ok(address) = std::env::var(SHOWS) {
        let client = Client::builder().stream_output(true).connect_blocking(&address).expect("connects");
        client.call("wasi.system:print('hello')").expect("parses").value().expect("result");
        // The lines come apart from the result: it stays until whoever reads them has seen them.
        std::io::stdin().read_line(&mut String::new()).expect("stdin");
        return;
    }
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "life::scenario_26_streamed_output_is_this_process_s_own", "--nocapture"])
        .env(SHOWS, shared().combo.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let (stdout, stderr) = (seen(child.stdout.take().expect("stdout")), seen(child.stderr.take().expect("stderr")));
    let has = |lines: &Mutex<Vec<String>>, line: &str| lines.lock().expect("no panic").iter().any(|seen| seen == line);
    wait_for("a line on each", LONG, || (has(&stdout, "out hello") && has(&stderr, "err hello")).then_some(()));
    assert!(!has(&stdout, "err hello") && !has(&stderr, "out hello"), "{stdout:?} {stderr:?}");
    drop(child.stdin.take());
    assert!(child.wait().expect("ends").success(), "{stdout:?} {stderr:?}");
}

/// The lines of a stream, as they come.
fn seen(stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stream)).map_while(Result::ok) {
            all.lock().expect("no panic").push(line);
        }
    });
    lines
}

#[test]
fn scenario_40_the_failure_of_a_dead_worker_needs_no_storage() {
    let here = Here::start(1, |builder| builder.scheduler_args(["--max-attempts", "1"]));
    let client = here.connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let before = here.stored();
    let future = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    let pid = wait_for("it runs", LONG, || {
        let view = client.status().expect("status");
        (view.tasks["running"] == 1).then(|| view.workers[0].pid).filter(|pid| *pid > 0)
    });
    kill(pid, Signal::KILL);
    let error = future.exception_timeout(LONG).expect("in time").expect("it fails");
    assert_eq!(error.task().map(|task| task.kind), Some(FailureKind::ProcessorDied), "{error}");
    assert_eq!(here.stored(), before);
    assert_eq!(client.submit(&nap, (1_u64, 7_u64)).expect("submits").result::<u64>().expect("the next runs"), 7);
}

#[test]
fn scenario_45_clear_ends_what_a_stopped_cluster_had() {
    let here = Here::start(1, |builder| builder);
    let client = here.connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let future = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    wait_for("it runs", LONG, || (client.status().expect("status").tasks["running"] == 1).then_some(()));
    kill(here.combo.pid("cluster").expect("pid"), Signal::KILL);
    client.clear().expect("clears");
    assert!(matches!(future.result::<u64>(), Err(Error::Canceled { .. })));
}

#[test]
fn scenario_47_an_unprotected_scheduler_ends_with_its_workers() {
    let here = Here::start(1, |builder| builder.protected(false));
    let client = here.connect();
    let pids = [here.combo.pid("scheduler").expect("pid"), here.combo.pid("cluster").expect("pid")];
    client.shutdown().expect("it is not protected");
    for pid in pids {
        wait_for("scheduler and cluster end", LONG, || (!alive(pid)).then_some(()));
    }
    here.combo.shutdown().expect("both ended well");
}

#[test]
fn scenario_48_a_protected_scheduler_refuses_and_goes_on() {
    let here = shared();
    let (client, other) = (here.connect(), here.connect());
    let error = client.shutdown().expect_err("it is protected");
    assert!(matches!(error, Error::ShutdownRefused { .. }) && error.to_string().contains("protected"), "{error}");
    assert_eq!(other.call("behaviour.work:add(1, 1)").expect("parses").result::<i64>().expect("others go on"), 2);
    assert_eq!(client.call("behaviour.work:add(1, 2)").expect("parses").result::<i64>().expect("so does it"), 3);
}

#[test]
fn a_combo_stops_what_it_started_and_says_why_it_cannot_start() {
    let combo = SchedulerClusterCombo::builder(1).program(SCALER).echo(false).start().expect("starts");
    let pids = [combo.pid("scheduler").expect("pid"), combo.pid("cluster").expect("pid")];
    assert_eq!(combo.pid("object_storage_server"), None, "the scheduler has started one itself");
    assert!(combo.log().contains("ready"), "{}", combo.log());
    let out = scaler(&["status", combo.monitor_address(), "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    combo.shutdown().expect("all end well");
    assert!(pids.iter().all(|pid| !alive(*pid)));
    let error = SchedulerClusterCombo::builder(1).program(SCALER).preload("absent.init:setup").start();
    let error = error.expect_err("there is no such module").to_string();
    assert!(error.contains("cluster") && error.contains("absent"), "{error}");
    let error =
        SchedulerClusterCombo::builder(1).program("no-such-program").start().expect_err("not found").to_string();
    assert!(error.contains("no-such-program") && error.contains("SCALER_BIN"), "{error}");
    // With a storage of its own.
    let combo = SchedulerClusterCombo::builder(0).program(SCALER).object_storage_address("tcp://127.0.0.1:0").start();
    let combo = combo.expect("starts");
    let storage = combo.pid("object_storage_server").expect("pid");
    drop(combo);
    assert!(!alive(storage));
}

#[test]
fn every_setting_of_the_original_s_combo_reaches_its_server() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("servers.log");
    let here = Here::start(1, |builder| {
        let builder = builder.worker_io_threads(2).scheduler_io_threads(3).garbage_collect_interval_seconds(7);
        let builder = builder.trim_memory_threshold_bytes(8).hard_processor_suspend(true);
        builder.logging_paths([std::path::Path::new("/dev/stdout"), &path])
    });
    let line = |server: &str| {
        let pid = here.combo.pid(server).expect("pid");
        text(&std::fs::read(format!("/proc/{pid}/cmdline")).expect("its command line")).replace('\0', " ")
    };
    let paths = format!("--logging-paths /dev/stdout {} ", path.display());
    for (server, flags) in [
        ("scheduler", &["--io-threads 3 ", &paths][..]),
        (
            "cluster",
            &[
                "--worker-io-threads 2 ",
                "--garbage-collect-interval-seconds 7 ",
                "--trim-memory-threshold-bytes 8 ",
                "--hard-processor-suspend true ",
                &paths,
            ],
        ),
    ] {
        let line = line(server);
        assert!(flags.iter().all(|flag| line.contains(flag)), "{server}: {line}");
    }
    // Each says what an option means here that does nothing.
    for (place, log) in [("stdout", here.combo.log()), ("file", std::fs::read_to_string(&path).expect("the file"))] {
        for key in ["garbage_collect_interval_seconds", "trim_memory_threshold_bytes", "hard_processor_suspend"] {
            assert!(log.contains(key), "{place}: {key} in\n{log}");
        }
    }
    assert_eq!(here.connect().call("behaviour.work:add(1, 2)").expect("parses").result::<i64>().expect("works"), 3);
    let refused = SchedulerClusterCombo::builder(1).program(SCALER).logging_config_file("log.conf").start();
    let refused = refused.expect_err("it is Python's").to_string();
    assert!(refused.contains("--logging-config-file") && refused.contains("log.conf"), "{refused}");
}

/// The marker by which this test binary knows that it is to be the parent that is killed.
const PARENT: &str = "SCALER_TEST_PARENT";

#[test]
fn servers_of_a_combo_end_with_a_parent_that_is_killed() {
    if std::env::var_os(PARENT).is_some() {
        let combo = SchedulerClusterCombo::builder(1).program(SCALER).start().expect("starts");
        println!("pids {} {}", combo.pid("scheduler").expect("pid"), combo.pid("cluster").expect("pid"));
        std::thread::sleep(LONG);
        return;
    }
    let program = std::env::current_exe().expect("this test");
    let mut parent = Command::new(program)
        .args(["--exact", "life::servers_of_a_combo_end_with_a_parent_that_is_killed", "--nocapture"])
        .env(PARENT, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let stdout = std::io::BufReader::new(parent.stdout.take().expect("stdout"));
    let line = std::io::BufRead::lines(stdout).map_while(Result::ok).find(|line| line.contains("pids "));
    let line = line.expect("the parent says what it started");
    let pids: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(pids.len(), 2, "{line}");
    assert!(pids.iter().all(|pid| alive(*pid)));
    parent.kill().expect("kill");
    parent.wait().expect("wait");
    for pid in pids {
        wait_for("no orphan is left", LONG, || (!alive(pid)).then_some(()));
    }
}
