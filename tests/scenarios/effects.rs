//! What settings do that can be seen from outside: `-ls`, `-lbt`, `-wt`, `-wtqs`, `-ot`, and `-wit` of both servers.

use std::{fs, thread, time::Duration};

use rustix::process::Signal;
use scaler_client::{Error, blocking::Client};
use scaler_net::objects::{ClientOptions, ObjectClient};
use scaler_proto::ids::{ClientId, ObjectId};

use crate::support::{LONG, Process, Stack, guest, wait_for};

/// Far below what the defaults of these settings (60 s) take, and far above what the settings of the tests take.
const SOON: Duration = Duration::from_secs(30);

/// What a task that waits behind a long one gives, when the cluster that is free came after both.
fn behind_a_long_task(args: &[&str], patience: Duration) -> Result<u64, Error> {
    let mut stack = Stack::scheduler(args, &[&guest("tests/guests/wasi")]);
    stack.add_cluster(1, &[]);
    let client = Client::connect(&stack.address()).expect("connects");
    let nap = client.function("wasi.system:nap").expect("function");
    let long = client.submit(&nap, (120_000_u64, 1_u64)).expect("submits");
    wait_for("it runs", LONG, || (stack.tasks("running") == 1).then_some(()));
    let short = client.submit(&nap, (1_u64, 2_u64)).expect("submits");
    // There is no other place for it now.
    wait_for("it is placed", LONG, || (stack.tasks("assigned") == 1).then_some(()));
    stack.add_cluster(1, &[]);
    let result = short.result_timeout::<u64>(patience);
    assert!(long.running(), "the long task is where it was");
    result
}

#[test]
fn scenario_10_what_queues_behind_a_long_task_goes_to_a_cluster_that_comes_later() {
    assert_eq!(behind_a_long_task(&[], LONG).expect("it is moved"), 2);
}

#[test]
fn load_balance_seconds_and_trigger_times_say_whether_and_when_work_is_moved() {
    // Twice the time that the defaults need.
    let patience = Duration::from_secs(5);
    let stays = |args: &'static [&'static str]| thread::spawn(move || behind_a_long_task(args, patience));
    let off = stays(&["-ls", "-1"]);
    let late = stays(&["-lbt", "1000"]);
    for (what, result) in [("-ls -1", off), ("-lbt 1000", late)] {
        let result = result.join().expect("no panic");
        assert!(matches!(result, Err(Error::Timeout { .. })), "{what}: {result:?}");
    }
}

#[test]
fn after_worker_timeout_seconds_a_lost_cluster_is_waited_for_no_more() {
    let mut stack = Stack::scheduler(&["-wt", "2"], &[&guest("tests/guests/wasi")]);
    let empty = stack.dir.path().join("empty");
    fs::create_dir(&empty).expect("folder");
    stack.add_cluster(1, &["-his", "1"]);
    stack.add_cluster(1, &["--module-path", &empty.to_string_lossy()]);
    let client = Client::connect(&stack.address()).expect("connects");
    let nap = client.function("wasi.system:nap").expect("function");
    let future = client.submit(&nap, (120_000_u64, 1_u64)).expect("submits");
    wait_for("it runs", LONG, || (stack.tasks("running") == 1).then_some(()));
    stack.clusters[0].signal(Signal::STOP);
    let error = future.exception_timeout(SOON).expect("in time").expect("nobody else has the module");
    assert!(error.to_string().contains("no cluster has module"), "{error}");
    assert_eq!(stack.status()["workers"].as_array().map(Vec::len), Some(1), "{}", stack.status());
}

/// How many tasks a cluster of one worker has in hand, beside the one that runs, when it could have as many as it likes.
fn in_hand(args: &[&str]) -> u64 {
    let stack = Stack::new(1, args, &[&guest("tests/guests/wasi")]);
    let client = Client::connect(&stack.address()).expect("connects");
    let nap = client.function("wasi.system:nap").expect("function");
    // Of quick tasks a worker is given many at once.
    for future in (0..2_000_u64).map(|number| client.submit(&nap, (0_u64, number))).collect::<Vec<_>>() {
        future.expect("submits").result::<u64>().expect("result");
    }
    let _all: Vec<_> =
        (0..100_u64).map(|number| client.submit(&nap, (120_000_u64, number)).expect("submits")).collect();
    wait_for("one runs, and all have come", LONG, || {
        let tasks = &stack.status()["tasks"];
        let count = |state: &str| tasks[state].as_u64().unwrap_or(0);
        let is_all = count("waiting") + count("assigned") + count("running") == 100;
        (is_all && count("running") == 1).then(|| count("assigned"))
    })
}

#[test]
fn per_worker_task_queue_size_bounds_what_a_worker_is_given() {
    assert_eq!(in_hand(&["-wtqs", "3"]), 2, "and the one that runs");
    assert!(in_hand(&[]) > 2, "nothing else bounds it there");
}

#[test]
fn objects_of_nobody_go_after_object_retention_seconds() {
    let stack = Stack::scheduler(&["-ot", "1"], &[]);
    let address = stack.scheduler.address("object_storage_address").parse().expect("address");
    let mut storage = ObjectClient::new(address, ClientOptions::default());
    let id = ObjectId([7; 32]);
    storage.put(id, ClientId(77), b"of a client that is not there").expect("stores");
    assert_eq!(storage.info().expect("info").objects, 1);
    wait_for("it is swept", SOON, || (storage.info().expect("info").objects == 0).then_some(()));
}

#[test]
fn io_threads_are_threads() {
    let stack = Stack::scheduler(&[], &[]);
    let dir = stack.dir.path();
    let address = stack.address();
    let threads = |process: &Process| fs::read_dir(format!("/proc/{}/task", process.pid())).expect("threads").count();
    for (program, first) in [
        (env!("CARGO_BIN_EXE_scaler_scheduler"), "tcp://127.0.0.1:0"),
        (env!("CARGO_BIN_EXE_scaler_cluster"), address.as_str()),
    ] {
        let start = |name: &str, count: &str| {
            let mut args = vec![first, "-wit", count];
            if first == address {
                args.extend(["-n", "1"]);
            }
            Process::start(name, dir, program, &args)
        };
        let (few, many) = (start("few", "1"), start("many", "4"));
        // Beside them both have the same, once all are started.
        wait_for(&format!("three more of {program}"), LONG, || (threads(&many) == threads(&few) + 3).then_some(()));
    }
}
