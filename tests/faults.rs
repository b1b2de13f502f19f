//! Loss: processors, clusters, schedulers and connections go at any moment, and nothing that was accepted is lost.

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use scaler_client::{MapOptions, SubmitOptions, Value, blocking::Client};
use support::{LONG, Process, Stack, alive, children, guest, text, wait_for};

const TASKS: u64 = 2_000;

/// Submits 2,000 tasks of 10 ms and runs `disturb` meanwhile; every result must arrive once.
fn disturbed(stack: &mut Stack, mut disturb: impl FnMut(&mut Stack, u64)) -> Duration {
    let client = Client::connect(&stack.address()).expect("connect");
    let function = client.function("wasi.system:nap").expect("function");
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    let mut futures = Vec::new();
    for number in 0..TASKS {
        futures.push(client.submit(&function, (10u64, number)).expect("submit"));
    }
    let started = Instant::now();
    for (count, future) in futures.into_iter().enumerate() {
        let value: u64 = future.result_timeout(LONG).unwrap_or_else(|error| panic!("task {count}: {error}"));
        *seen.entry(value).or_default() += 1;
        disturb(stack, count as u64);
    }
    let took = started.elapsed();
    client.disconnect();
    assert_eq!(seen.len() as u64, TASKS);
    assert!(seen.values().all(|count| *count == 1));
    took
}

#[test]
fn killed_processors_cost_only_the_task_that_ran() {
    let mut stack = Stack::new(4, &[], &[&guest("tests/guests/wasi")]);
    let mut killed = 0;
    disturbed(&mut stack, |stack, count| {
        if count % 400 == 150 {
            let pids =
                wait_for("the processors' ids", LONG, || Some(stack.processor_pids()).filter(|pids| !pids.is_empty()));
            let victim = pids[(count / 7) as usize % pids.len()];
            let pid = rustix::process::Pid::from_raw(victim.cast_signed()).expect("pid");
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            killed += 1;
        }
    });
    assert_eq!(killed, 5);
    wait_for("the processors were replaced", LONG, || {
        let status = stack.status();
        let restarts: u64 = status["workers"]
            .as_array()
            .expect("workers")
            .iter()
            .filter_map(|worker| worker["restarts"].as_u64())
            .sum();
        (restarts >= 5).then_some(())
    });
    assert_eq!(stack.tasks("failed"), 0);
    assert_eq!(stack.tasks("succeeded"), TASKS);
}

#[test]
fn a_killed_cluster_loses_nothing() {
    let mut stack = Stack::new(3, &[], &[&guest("tests/guests/wasi")]);
    stack.add_cluster(3, &[]);
    let pids = stack.clusters[0].ready["processor_pids"].as_array().expect("pids").clone();
    let took = disturbed(&mut stack, |stack, count| {
        if count == 300 {
            stack.clusters[0].kill();
        }
    });
    assert!(took < Duration::from_secs(30), "took {took:?}");
    assert_eq!(stack.tasks("failed"), 0);
    for pid in pids.iter().filter_map(serde_json::Value::as_u64) {
        wait_for("processors end with their agent", LONG, || (!alive(pid as u32)).then_some(()));
    }
}

#[test]
fn a_frozen_cluster_is_noticed_within_seconds() {
    let mut stack = Stack::new(2, &[], &[&guest("tests/guests/wasi")]);
    stack.add_cluster(2, &[]);
    let started = Instant::now();
    let took = disturbed(&mut stack, |stack, count| {
        if count == 100 {
            stack.clusters[0].signal(Signal::STOP);
        }
        if count == TASKS - 1 {
            stack.clusters[0].signal(Signal::CONT);
        }
    });
    assert!(took < Duration::from_secs(40), "took {took:?} ({:?})", started.elapsed());
}

#[test]
fn a_processor_that_stands_still_is_replaced_and_its_tasks_run() {
    let stack = Stack::new(2, &[], &[&guest("tests/guests/wasi")]);
    let client = Client::connect(&stack.address()).expect("connect");
    let sleep = client.function("wasi.system:nap").expect("function");
    client.submit(&sleep, (1u64, 1u64)).expect("submit").result_timeout::<u64>(LONG).expect("a first task runs");
    let stopped = stack.processor_pids()[0];
    let pid = rustix::process::Pid::from_raw(stopped.cast_signed()).expect("pid");
    rustix::process::kill_process(pid, Signal::STOP).expect("stop");
    let futures: Vec<_> = (0..100u64).map(|number| client.submit(&sleep, (5u64, number)).expect("submit")).collect();
    for (number, future) in futures.into_iter().enumerate() {
        assert_eq!(future.result_timeout::<u64>(LONG).expect("it runs in the end"), number as u64);
    }
    stack.clusters[0].wait_log("killing the processor: somebody stopped it");
    wait_for("another processor", LONG, || (!stack.processor_pids().contains(&stopped)).then_some(()));
    assert_eq!(stack.tasks("failed"), 0);
}

#[test]
fn a_task_that_kills_its_processor_fails_after_max_attempts_and_harms_nobody() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/wasi")]);
    let client = Client::connect(&stack.address()).expect("connect");
    let sleep = client.function("wasi.system:nap").expect("function");
    let long = client.submit(&sleep, (60_000u64, 1u64)).expect("submit");
    let others: Vec<_> = (0..20u64).map(|number| client.submit(&sleep, (1u64, number)).expect("submit")).collect();
    for attempt in 0..3 {
        // The long task runs first, as it came first; its processor is killed each time it runs.
        let pid = wait_for(&format!("attempt {attempt} to run"), LONG, || {
            let status = stack.status();
            let worker = &status["workers"][0];
            let pid = worker["pid"].as_u64().filter(|pid| *pid > 0)?;
            (worker["restarts"] == attempt && status["tasks"]["running"] == 1).then_some(pid)
        });
        let pid = rustix::process::Pid::from_raw(pid as i32).expect("pid");
        rustix::process::kill_process(pid, Signal::KILL).expect("kill");
    }
    let error = long.result_timeout::<u64>(LONG).expect_err("the third death is the last").to_string();
    assert!(error.contains("processor") && error.contains('3'), "{error}");
    for future in others {
        future.result_timeout::<u64>(LONG).expect("the others run");
    }
}

#[test]
fn a_cluster_that_is_asked_to_stop_hands_its_work_over() {
    let mut stack = Stack::new(2, &[], &[&guest("tests/guests/wasi")]);
    stack.add_cluster(2, &[]);
    disturbed(&mut stack, |stack, count| {
        if count == 200 {
            stack.clusters[0].signal(Signal::TERM);
        }
    });
    assert_eq!(stack.clusters[0].wait_exit(Duration::from_secs(15)), 0);
    assert_eq!(stack.tasks("failed"), 0);
}

#[test]
fn a_scheduler_that_is_asked_to_stop_says_what_it_aborts_and_frees_its_ports() {
    let mut stack = Stack::new(1, &[], &[&guest("tests/guests/wasi")]);
    let client = Client::connect(&stack.address()).expect("connect");
    let sleep = client.function("wasi.system:nap").expect("function");
    let future = client.submit(&sleep, (60_000u64, 1u64)).expect("submit");
    wait_for("the task is accepted", LONG, || (stack.tasks("assigned") + stack.tasks("running") == 1).then_some(()));
    stack.scheduler.signal(Signal::TERM);
    let error = future.result_timeout::<u64>(LONG).expect_err("aborted").to_string();
    assert!(error.contains("asked to stop") && error.contains("submit again"), "{error}");
    assert_eq!(stack.scheduler.wait_exit(LONG), 0);
    assert!(stack.scheduler.log().contains("aborting 1 accepted task of 1 client: there is no journal"));
    for key in ["scheduler_address", "object_storage_address", "monitor_address"] {
        let address = stack.scheduler.address(key);
        let port = address.trim_start_matches("tcp://");
        wait_for(&format!("{address} is free"), LONG, || std::net::TcpListener::bind(port).ok());
    }
}

#[test]
fn a_cluster_without_a_scheduler_ends_with_5() {
    let dir = tempfile::tempdir().expect("folder");
    let mut cluster = Process::spawn(
        "cluster",
        dir.path(),
        env!("CARGO_BIN_EXE_scaler_cluster"),
        &["tcp://127.0.0.1:9", "-n", "1", "-ds", "1"],
    );
    assert_eq!(cluster.wait_exit(LONG), 5, "{}", cluster.log());
}

#[test]
fn a_restarted_scheduler_is_found_again_by_clusters() {
    let mut stack = Stack::new(1, &[], &[&guest("tests/guests/wasi")]);
    let addresses: Vec<String> = ["scheduler_address", "object_storage_address", "monitor_address"]
        .iter()
        .map(|key| stack.scheduler.address(key))
        .collect();
    stack.scheduler.kill();
    let args = [addresses[0].as_str(), "--monitor-address", &addresses[2]];
    let again = wait_for("the address is free", LONG, || {
        let mut process = Process::spawn("scheduler2", stack.dir.path(), env!("CARGO_BIN_EXE_scaler_scheduler"), &args);
        let ready = wait_for("ready or end", LONG, || {
            if process.exited().is_some() {
                return Some(false);
            }
            process.log().contains("\"ready\"").then_some(true)
        });
        ready.then_some(process)
    });
    stack.scheduler = again;
    stack.scheduler.wait_ready();
    let client = Client::connect(&addresses[0]).expect("connect");
    let sleep = client.function("wasi.system:nap").expect("the cluster comes back");
    let value: u64 = client.submit(&sleep, (1u64, 7u64)).expect("submit").result().expect("result");
    assert_eq!(value, 7);
}

#[test]
fn a_storage_that_died_is_waited_for_until_its_scheduler_has_started_it_again() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let client = Client::connect(&stack.address()).expect("connect");
    let counting = client.function("behaviour.work:counting_bytes").expect("function");
    let length = client.function("behaviour.work:length").expect("function");
    const LENGTH: u64 = 3_000_000;
    let bytes = || client.submit(&counting, (LENGTH, 0u64)).expect("submit");
    bytes().value().expect("the storage works");
    for round in 0..3 {
        let storage = wait_for("the storage's process", LONG, || children(stack.scheduler.pid()).first().copied());
        let pid = rustix::process::Pid::from_raw(storage.cast_signed()).expect("pid");
        rustix::process::kill_process(pid, Signal::KILL).expect("kill");
        wait_for("its end", LONG, || (!alive(storage)).then_some(()));
        // A result and an argument that are too large for a message, while there is no storage.
        let (result, argument) = (bytes(), client.submit(&length, (vec![7_u8; LENGTH as usize],)).expect("submit"));
        assert_eq!(argument.result::<u64>().unwrap_or_else(|error| panic!("round {round}: {error}")), LENGTH);
        let Value::Bytes(bytes) = result.value().unwrap_or_else(|error| panic!("round {round}: {error}")) else {
            panic!("not bytes");
        };
        assert_eq!(bytes.len() as u64, LENGTH);
    }
    client.disconnect();
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let mut stack = Stack::scheduler(&["-ct", "2"], &[&guest("tests/guests/wasi")]);
    stack.add_cluster(1, &[]);
    let mut submit = std::process::Command::new(support::SCALER)
        .args(["submit", &stack.address(), "wasi.system:nap(60000, 1)"])
        .spawn()
        .expect("submit");
    wait_for("the task runs", LONG, || (stack.tasks("running") == 1).then_some(()));
    submit.kill().expect("kill");
    submit.wait().expect("wait");
    wait_for("its task is canceled and its client forgotten", LONG, || {
        let status = stack.status();
        let clients = status["clients"].as_array().map_or(0, Vec::len);
        (clients == 0 && status["tasks"]["running"].as_u64().unwrap_or(0) == 0).then_some(())
    });
    let out = stack.submit("wasi.system:nap(1, 5)", &[]);
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn cancel_ends_a_running_task_and_frees_its_worker() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/wasi"), &guest("tests/guests/behaviour")]);
    let client = Client::connect(&stack.address()).expect("connect");
    let spin = client.function("behaviour.hostile:spin_forever").expect("function");
    let running = client.submit(&spin, ()).expect("submit");
    wait_for("it runs", LONG, || (stack.tasks("running") == 1).then_some(()));
    let queued = client.submit_with(&spin, (), &SubmitOptions::default()).expect("submit");
    assert!(queued.cancel(), "a queued task is canceled at once");
    assert!(running.cancel(), "a spin loop is stopped");
    assert!(running.cancelled() && queued.cancelled());
    let sleep = client.function("wasi.system:nap").expect("function");
    let mut results = client.map(&sleep, (0..10u64).map(|number| (1u64, number)), MapOptions::default());
    let mut count = 0;
    while let Some(value) = results.next_as::<u64>() {
        assert_eq!(value.expect("result"), count);
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn every_goodbye_is_heard_however_many_leave_at_once() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let client = Client::connect(&stack.address()).expect("connects");
                    let function = client.function("behaviour.hostile:spin_forever").expect("function");
                    let _spinning = client.submit(&function, ()).expect("submit");
                    client.disconnect();
                });
            }
        });
        // A goodbye that was lost would leave its client there for the client timeout, a minute, and its task running.
        wait_for("all clients and tasks to be gone", Duration::from_secs(20), || {
            let status = stack.status();
            let clients = status["clients"].as_array().map_or(0, Vec::len);
            let tasks: u64 = ["waiting", "assigned", "running"].iter().map(|state| stack.tasks(state)).sum();
            (clients == 0 && tasks == 0).then_some(())
        });
    }
}
