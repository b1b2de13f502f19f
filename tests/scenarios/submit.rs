//! Scenarios of submitting: values, maps, objects, arguments and their mistakes.

use std::time::{Duration, Instant};

use scaler_client::{Arguments, Error, FailureKind, MapOptions, Value, blocking, blocking::Client, zip};
use serde::Deserialize;

use crate::{
    Here, shared,
    support::{LONG, Stack, guest, wait_for},
    traffic::Traffic,
};

#[test]
fn scenario_01_one_submit_returns_its_value() {
    let client = shared().connect();
    let add = client.function("behaviour.work:add").expect("function");
    assert_eq!(client.submit(&add, (2, 3)).expect("submits").result::<i64>().expect("result"), 5);
}

#[test]
fn scenario_02_one_map_over_two_tuples_returns_both_in_order() {
    let client = shared().connect();
    let add = client.function("behaviour.work:add").expect("function");
    let sums: Vec<i64> = client.map(&add, [(1, 2), (30, 40)], MapOptions::new()).all().expect("results");
    assert_eq!(sums, [3, 70]);
    let none: [(i64, i64); 0] = [];
    let sums: Vec<i64> = client.map_all(&add, none, MapOptions::new()).expect("no input is no error");
    assert!(sums.is_empty());
}

#[test]
fn scenario_03_a_hundred_by_map_and_by_submit_are_equal() {
    let client = shared().connect();
    let add = client.function("behaviour.work:add").expect("function");
    let futures: Vec<_> = (0..100).map(|number| client.submit(&add, (number, 1)).expect("submits")).collect();
    let by_submit: Vec<i64> = blocking::gather(futures).expect("results");
    let by_map: Vec<i64> = client.map_all(&add, zip((0..100, vec![1; 100])), MapOptions::new()).expect("results");
    assert_eq!(by_submit, by_map);
    assert_eq!(by_map, (1..=100).collect::<Vec<_>>());
}

#[test]
fn scenario_04_and_05_ten_thousand_calls_that_do_nothing() {
    let client = shared().connect();
    let noop = client.function("behaviour.work:noop").expect("function");
    let futures: Vec<_> = (0..10_000).map(|_| client.submit(&noop, ()).expect("submits")).collect();
    assert_eq!(blocking::gather::<()>(futures).expect("results").len(), 10_000);
    let results = client.map(&noop, (0..10_000).map(|_| ()), MapOptions::new());
    assert_eq!(results.filter(|value| matches!(value, Ok(Value::Null))).count(), 10_000);
}

#[test]
fn scenario_08_and_44_an_object_travels_once_a_processor_from_the_cluster_s_own_storage() {
    // 20 MB and 500 calls instead of 500 MB and 10,000: what is counted is bytes, and one copy too many would be seen.
    const BYTES: usize = 20_000_000;
    const WORKERS: u64 = 2;
    let mut stack = Stack::scheduler(&[], &[&guest("tests/guests/behaviour")]);
    let storage = stack.scheduler.address("object_storage_address");
    let traffic = Traffic::before(&storage);
    stack.add_cluster(WORKERS as usize, &["--object-storage-address", traffic.address()]);
    let before = stack.scheduler.peak_rss_bytes();
    let client = Client::connect(&stack.address()).expect("connects");
    let sum = client.function("behaviour.work:sum_bytes").expect("function");
    let bytes: Vec<u8> = (0..BYTES).map(|index| index as u8).collect();
    let expected: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    let table = client.send_object(Value::Bytes(bytes), "table").expect("stored");
    assert_eq!(table.name(), "table");
    let sums: Vec<u64> = client.map_all(&sum, (0..500).map(|_| (&table,)), MapOptions::new()).expect("sums");
    assert!(sums.len() == 500 && sums.iter().all(|sum| *sum == expected));
    let fetched = traffic.bytes_back();
    let (least, most) = (BYTES as u64, WORKERS * (BYTES as u64 + 100_000));
    assert!((least..=most).contains(&fetched), "{fetched} bytes went to {WORKERS} processors");
    let growth = stack.scheduler.peak_rss_bytes() - before;
    assert!(growth < 10 << 20, "the scheduler's peak grew by {} KiB", growth >> 10);
    assert_eq!(client.status().expect("status").scheduler.objects, 1);
    drop(table);
    wait_for("the object goes with its last reference", LONG, || {
        (client.status().expect("status").scheduler.objects == 0).then_some(())
    });
}

#[test]
fn scenario_09_large_arguments_and_results_arrive_equal() {
    // 2^26 + 300 bytes instead of 2^29 + 300: both the argument and the result lie in the guest's memory, which is
    // limited to 512 MiB. The original's limit was that of its serializer; ours is at 2^32 and has a test of its own.
    let client = shared().connect();
    let echo = client.function("behaviour.work:echo_bytes").expect("function");
    let bytes: Vec<u8> = (0..(1_usize << 26) + 300).map(|index| (index * 7 + index / 251) as u8).collect();
    let object = client.send_object(Value::Bytes(bytes.clone()), "large").expect("stored");
    let there_and_back = client.submit(&echo, &object).expect("submits").value().expect("result");
    assert!(there_and_back == Value::Bytes(bytes), "not the same bytes");
    // And as a plain argument, which goes through the storage as well.
    let bytes = vec![9; 20_000_000];
    let plain = client.submit(&echo, (Value::Bytes(bytes.clone()),)).expect("submits").value().expect("result");
    assert!(plain == Value::Bytes(bytes), "not the same bytes");
}

#[test]
fn scenario_10_long_and_short_sleeps_share_the_workers() {
    // 1 s and 100 ms instead of 10 s and 1 s. Dealt out in turn, all long ones would go to one worker.
    const WORKERS: u64 = 3;
    let here = Here::start(WORKERS as usize, |builder| builder);
    let client = here.connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let millis = |number: u64| if number.is_multiple_of(WORKERS) { 1_000 } else { 100 };
    let in_turn: u64 = (0..12).step_by(WORKERS as usize).map(millis).sum();
    let naps: Vec<(u64, u64)> = (0..12).map(|number| (millis(number), number)).collect();
    let started = Instant::now();
    let numbers: Vec<u64> = client.map(&nap, naps, MapOptions::new()).all().expect("results");
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
    let took = started.elapsed();
    assert!(took < Duration::from_millis(in_turn * 4 / 5), "{took:?}; dealt out in turn it would be {in_turn} ms");
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Missing,
    TooLarge { low: i64, high: i64 },
}

#[test]
fn scenario_11_one_failure_of_a_hundred_reaches_the_caller_as_a_type() {
    let client = shared().connect();
    let check = client.function("behaviour.failures:check").expect("function");
    let number = |index: i64| if index == 57 { 10 } else { index % 10 };
    let futures: Vec<_> = (0..100).map(|index| client.submit(&check, (number(index),)).expect("submits")).collect();
    for (index, future) in futures.iter().enumerate() {
        match future.result::<i64>() {
            Ok(value) => assert_eq!(value, number(index as i64)),
            Err(error) => {
                assert_eq!(index, 57);
                let task = error.task().expect("the task's own failure");
                assert_eq!(task.kind, FailureKind::Error);
                let reason: Reason = task.value_as().expect("there is a value").expect("of that type");
                assert_eq!(reason, Reason::TooLarge { low: 0, high: 9 });
            }
        }
    }
    assert!(futures[57].exception().is_some(), "it failed");
    // A map fails at once, says where, and leaves the client connected.
    let numbers = (0..10_000).map(|index| (if index == 57 { -1 } else { 1 },));
    let error = client.map_all::<i64, _>(&check, numbers, MapOptions::new()).expect_err("one is negative");
    assert!(matches!(&error, Error::Element { index: 57, .. }), "{error}");
    let Error::Element { source, .. } = error else { return };
    assert_eq!(
        source.task().and_then(|task| task.value_as::<Reason>()).expect("value").expect("type"),
        Reason::Missing
    );
    assert_eq!(client.submit(&check, (3,)).expect("submits").result::<i64>().expect("still connected"), 3);
    // A panic has its text and a trace, a trap its name.
    let panic = client.call("behaviour.failures:panic('out of luck')").expect("parses").exception().expect("fails");
    let panic = panic.task().expect("a task's failure");
    assert!(panic.kind == FailureKind::Panic && panic.message.contains("out of luck"), "{panic:?}");
    assert!(panic.trace.is_some(), "{panic:?}");
    let trap = client.call("behaviour.failures:trap()").expect("parses").exception().expect("fails");
    assert_eq!(trap.task().map(|task| task.kind), Some(FailureKind::Trap), "{trap}");
    let limit = client.call("behaviour.hostile:recurse_forever()").expect("parses").exception().expect("fails");
    assert!(limit.task().is_some_and(|task| task.is_limit()), "{limit}");
}

#[test]
fn scenario_12_arguments_by_position_by_name_and_by_default() {
    let client = shared().connect();
    let add = client.function("behaviour.work:add").expect("function");
    let sum = |arguments: Arguments| client.submit(&add, arguments).expect("binds").result::<i64>().expect("result");
    assert_eq!(sum(Arguments::new().arg(40).arg(2)), 42);
    assert_eq!(sum(Arguments::new().arg(40)), 41, "the default is 1");
    assert_eq!(sum(Arguments::new().arg(1).kwarg("b", 5)), 6);
    assert_eq!(sum(Arguments::new().kwarg("b", 2).kwarg("a", 1)), 3);
    // What was bound once is submitted as often as one likes, as a partial would be.
    let bound = add.bind((20, 1)).expect("binds");
    for _ in 0..2 {
        let future = client.submit_bound(bound.clone(), &scaler_client::SubmitOptions::new()).expect("submits");
        assert_eq!(future.result::<i64>().expect("result"), 21);
    }
    let missing = client.submit(&add, ()).expect_err("`a` is missing").to_string();
    assert!(missing.contains("add") && missing.contains("`a`"), "{missing}");
}

#[test]
fn scenario_14_twice_as_many_tasks_as_workers_all_end() {
    let client = shared().connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let futures: Vec<_> = (0..6_u64).map(|number| client.submit(&nap, (50, number)).expect("submits")).collect();
    assert_eq!(blocking::gather::<u64>(futures).expect("results"), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn scenario_18_a_task_that_ends_itself_fails_and_the_next_runs() {
    let client = shared().connect();
    let error = client.call("wasi.system:exit(3)").expect("parses").exception().expect("fails");
    assert_eq!(error.task().map(|task| task.kind), Some(FailureKind::Trap), "{error}");
    assert_eq!(client.call("wasi.system:nap(1, 9)").expect("parses").result::<u64>().expect("runs"), 9);
}

#[test]
fn scenario_19_lists_are_arguments() {
    let client = shared().connect();
    let sum = client.function("behaviour.work:sum").expect("function");
    assert_eq!(client.submit(&sum, (vec![1.5, 2.5, 3.0],)).expect("submits").result::<f64>().expect("result"), 7.0);
}

#[test]
fn scenario_20_an_object_is_an_argument_of_submit_and_map() {
    let client = shared().connect();
    let add = client.function("behaviour.work:add").expect("function");
    let sum = client.function("behaviour.work:sum").expect("function");
    let forty = client.send_object(40, "forty").expect("stored");
    let numbers = client.send_object(vec![1.0, 2.0, 4.0], "numbers").expect("stored");
    assert_eq!(client.submit(&sum, &numbers).expect("submits").result::<f64>().expect("result"), 7.0);
    assert_eq!(client.submit(&add, (&forty, 2)).expect("submits").result::<i64>().expect("result"), 42);
    let named = Arguments::new().kwarg("b", &forty).arg(1);
    assert_eq!(client.submit(&add, named).expect("submits").result::<i64>().expect("result"), 41);
    assert_eq!(client.submit(&add, (&forty, &forty)).expect("submits").result::<i64>().expect("result"), 80);
    let sums: Vec<i64> =
        client.map_all(&add, zip((0..50, std::iter::repeat(&forty))), MapOptions::new()).expect("results");
    assert_eq!(sums, (40..90).collect::<Vec<_>>());
    // Mistakes are found here, and name function, parameter and object.
    let error = client.submit(&add, (&numbers, 1)).expect_err("a list is no number");
    assert!(matches!(error, Error::Bind { .. }) && error.to_string().contains("argument a"), "{error}");
    let nested = client.submit(&sum, (vec![&forty],)).expect_err("it is no argument of its own").to_string();
    assert!(nested.contains("`forty`"), "{nested}");
    let other = shared().connect();
    let theirs = other.submit(&add, (&forty, 1)).expect_err("another client's");
    assert!(matches!(&theirs, Error::MissingObject { name } if name == "forty"), "{theirs}");
}

#[test]
fn an_object_that_is_lost_is_named() {
    let here = Here::start(1, |builder| builder);
    let client = here.connect();
    let add = client.function("behaviour.work:add").expect("function");
    let forty = client.send_object(40, "forty").expect("stored");
    // Somebody deletes it behind everybody's back.
    let address = here.combo.object_storage_address().parse().expect("address");
    let mut storage = scaler_net::objects::ObjectClient::new(address, scaler_net::objects::ClientOptions::default());
    assert_eq!(storage.delete(&[forty.id()]).expect("deletes"), [true]);
    let error = client.submit(&add, (&forty, 1)).expect("submits").exception().expect("fails");
    assert_eq!(error.task().map(|task| task.kind), Some(FailureKind::ObjectLost), "{error}");
    assert!(error.to_string().contains("`forty`"), "{error}");
    assert_eq!(client.submit(&add, (1, 1)).expect("submits").result::<i64>().expect("the processor lives"), 2);
}

#[test]
fn a_module_of_a_client_runs_prepared_on_a_cluster_that_lacks_it() {
    let here = Here::start(1, |builder| builder);
    let client = here.connect();
    let module = guest("examples/preload/guest");
    let options = |call: &str| scaler_client::ModuleOptions::new().preload(call);
    client.register_module(&module, &options("preload.init:configure('staging')")).expect("registers");
    let environment = || client.call("preload.init:environment()").expect("parses").result::<String>();
    assert_eq!(environment().expect("runs"), "staging");
    let other = here.connect();
    other.register_module(&module, &options("preload.init:configure('nowhere')")).expect("registers");
    let error = other.call("preload.init:environment()").expect("parses").exception().expect("its preload fails");
    assert_eq!(error.task().map(|task| task.kind), Some(FailureKind::Preload), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(environment().expect("the other client's module is not disturbed"), "staging");
}

#[test]
fn scenario_25_what_cannot_be_written_or_read_is_said_and_the_processor_lives() {
    let client = shared().connect();
    let echo = client.function("behaviour.work:echo").expect("function");
    let no_names = std::collections::BTreeMap::from([(1, 2)]);
    let error = client.send_object(&no_names, "table").expect_err("keys that are no names");
    assert!(matches!(error, Error::Value { .. }) && error.to_string().contains("`table`"), "{error}");
    let error = client.submit(&echo, (&no_names,)).expect_err("keys are no names");
    assert!(matches!(error, Error::Value { .. }) && error.never_became_a_task(), "{error}");
    let shape = client.submit(&echo, "text").expect("submits").result::<u64>().expect_err("a text is no number");
    assert!(matches!(shape, Error::Shape { .. }) && !shape.never_became_a_task(), "{shape}");
    assert_eq!(client.submit(&echo, "text").expect("submits").result::<String>().expect("lives"), "text");
}

#[test]
fn scenario_25_an_object_that_cannot_be_read_fails_the_task_and_the_processor_lives() {
    let here = Here::start(1, |builder| builder);
    let client = here.connect();
    let sum = client.function("behaviour.work:sum").expect("function");
    let processor = || {
        let view = client.status().expect("status");
        (view.workers[0].pid, view.workers[0].restarts)
    };
    assert_eq!(client.submit(&sum, (vec![1.0, 2.0],)).expect("submits").result::<f64>().expect("runs"), 3.0);
    let before = processor();
    // Somebody writes over it behind everybody's back.
    let numbers = client.send_object(vec![1.0, 2.0, 4.0], "numbers").expect("stored");
    let address = here.combo.object_storage_address().parse().expect("address");
    let mut storage = scaler_net::objects::ObjectClient::new(address, scaler_net::objects::ClientOptions::default());
    storage.put(numbers.id(), client.id(), &[0xff; 16]).expect("stores");
    let error = client.submit(&sum, &numbers).expect("submits").exception().expect("fails");
    assert!(error.task().is_some() && error.to_string().contains("`numbers`"), "{error}");
    assert_eq!(client.submit(&sum, (vec![1.0, 6.0],)).expect("submits").result::<f64>().expect("runs"), 7.0);
    assert_eq!(processor(), before, "the same one");
}
