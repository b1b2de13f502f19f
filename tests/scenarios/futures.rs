//! Scenarios of futures: callbacks, cancel, exceptions, large results, profiles.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use scaler_client::{Error, FailureKind, ReturnWhen, blocking, blocking::Client};

use crate::{
    shared,
    support::{LONG, Process, Stack, guest, wait_for},
    traffic::Traffic,
};

#[test]
fn scenario_32_and_33_callbacks_run_without_being_asked_and_at_once_when_it_is_over() {
    let client = shared().connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let future = client.submit(&nap, (20_u64, 5_u64)).expect("submits");
    let (sender, receiver) = mpsc::channel();
    let other = sender.clone();
    future.add_done_callback(|_| panic!("one that panics harms nobody"));
    future.add_done_callback(move |future| {
        let on = thread::current().name().map(str::to_owned);
        other.send((future.result::<u64>().expect("result"), on)).expect("it is waited for");
    });
    let (value, on) = receiver.recv_timeout(LONG).expect("it runs");
    assert_eq!((value, on.as_deref()), (5, Some("scaler-callbacks")));
    let here = thread::current().id();
    let ran = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ran);
    future.add_done_callback(move |_| seen.store(thread::current().id() == here, Ordering::Relaxed));
    assert!(ran.load(Ordering::Relaxed), "at once, and here");
    drop(sender);
}

#[test]
fn scenario_34_as_completed_gives_finished_failed_and_canceled_ones() {
    let client = shared().connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let slow = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    let quick = client.submit(&nap, (1_u64, 2_u64)).expect("submits");
    let failing = client.call("behaviour.failures:error('no')").expect("parses");
    let first = blocking::wait([slow.clone(), quick.clone()], Some(LONG), ReturnWhen::FirstCompleted);
    assert_eq!(first.done.iter().map(blocking::TaskFuture::id).collect::<Vec<_>>(), [quick.id()]);
    assert_eq!(first.not_done.len(), 1);
    let failed = blocking::wait([slow.clone(), failing.clone()], Some(LONG), ReturnWhen::FirstException);
    assert_eq!(failed.done.iter().map(blocking::TaskFuture::id).collect::<Vec<_>>(), [failing.id()]);
    let late = blocking::wait([slow.clone()], Some(Duration::from_millis(50)), ReturnWhen::AllCompleted);
    assert!(late.done.is_empty() && late.not_done.len() == 1);
    assert!(matches!(blocking::gather::<u64>([slow.clone(), failing.clone()]), Err(Error::Task(_))), "the first error");
    let moment = Duration::from_millis(50);
    assert!(matches!(blocking::gather_timeout::<u64>([slow.clone()], moment), Err(Error::Timeout { .. })));
    let mut ending = blocking::as_completed([slow.clone(), quick.clone()]);
    assert_eq!(ending.next_timeout(LONG).expect("in time").map(|future| future.id()), Some(quick.id()));
    assert!(matches!(ending.next_timeout(moment), Err(Error::Timeout { .. })), "the other one naps");
    assert!(slow.cancel());
    assert_eq!(ending.next_timeout(LONG).expect("in time").map(|future| future.id()), Some(slow.id()));
    assert!(ending.next_timeout(moment).expect("at once").is_none(), "that was all");
    let all = [slow.id(), quick.id(), failing.id()];
    let ended: Vec<_> = blocking::as_completed([slow.clone(), quick, failing]).map(|future| future.id()).collect();
    assert!(ended.len() == 3 && all.iter().all(|id| ended.contains(id)), "{ended:?}");
    let one = blocking::wait([slow], None, ReturnWhen::AllCompleted);
    assert!(one.done.len() == 1 && one.not_done.is_empty());
}

#[test]
fn scenario_35_and_36_running_done_and_cancel_are_consistent() {
    let client = shared().connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let finished = client.submit(&nap, (30_u64, 1_u64)).expect("submits");
    assert!(finished.running() && !finished.done());
    assert_eq!(finished.result::<u64>().expect("result"), 1);
    assert!(!finished.running() && finished.done() && !finished.cancelled());
    assert!(!finished.cancel(), "it is over");
    let canceled = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    assert!(canceled.cancel() && canceled.cancel(), "canceled, and canceled already");
    assert!(canceled.cancelled() && canceled.done() && !canceled.running());
    assert!(matches!(canceled.result::<u64>(), Err(Error::Canceled { .. })));
}

#[test]
fn scenario_37_an_exception_is_a_value_and_time_limits_are_errors() {
    let client = shared().connect();
    let failing = client.call("behaviour.failures:error('no such thing')").expect("parses");
    let error = failing.exception().expect("it fails");
    assert!(matches!(&error, Error::Task(task) if task.kind == FailureKind::Error && task.message == "no such thing"));
    let nap = client.function("wasi.system:nap").expect("function");
    let slow = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    assert!(matches!(slow.result_timeout::<u64>(Duration::ZERO), Err(Error::Timeout { .. })));
    assert!(matches!(slow.exception_timeout(Duration::ZERO), Err(Error::Timeout { .. })));
    assert!(slow.running(), "a time limit leaves the task alone");
    let fine = client.submit(&nap, (1_u64, 2_u64)).expect("submits");
    assert!(fine.exception().is_none());
    assert!(slow.cancel());
    assert!(matches!(slow.exception(), Some(Error::Canceled { .. })));
}

#[test]
fn scenario_38_leaving_cancels_what_is_waited_for() {
    let client = shared().connect();
    let nap = client.function("wasi.system:nap").expect("function");
    let future = client.submit(&nap, (60_000_u64, 1_u64)).expect("submits");
    let waiting = future.clone();
    let waiter = thread::spawn(move || waiting.result::<u64>());
    wait_for("it runs", LONG, || (client.status().expect("status").tasks["running"] > 0).then_some(()));
    client.disconnect();
    assert!(matches!(waiter.join().expect("no panic"), Err(Error::Canceled { .. })));
    assert!(future.cancelled());
}

#[test]
fn scenario_39_a_large_result_is_fetched_when_asked_once_and_released() {
    const BYTES: u64 = 1_000_000;
    let dir = tempfile::tempdir().expect("folder");
    let program = env!("CARGO_BIN_EXE_scaler_object_storage_server");
    let storage = Process::start("storage", dir.path(), program, &["tcp://127.0.0.1:0"]);
    // Everybody talks to the storage through this one.
    let traffic = Traffic::before(&storage.address("object_storage_address"));
    let mut stack = Stack::scheduler(&["-osa", traffic.address()], &[&guest("tests/guests/behaviour")]);
    stack.add_cluster(1, &[]);
    let client = Client::connect(&stack.address()).expect("connects");
    let output = client.function("behaviour.work:output").expect("function");
    let objects = || client.status().expect("status").scheduler.objects;
    let future = client.submit(&output, (BYTES,)).expect("submits");
    let waited = blocking::wait([future.clone()], Some(LONG), ReturnWhen::AllCompleted);
    assert_eq!(waited.done.len(), 1);
    let [id] = traffic.stored(BYTES)[..] else { panic!("one result: {:?}", traffic.stored(BYTES)) };
    assert_eq!((objects(), traffic.fetched(id), traffic.deleted(id)), (1, 0, 0), "nobody has asked for it");
    let first = future.value().expect("result");
    wait_for("it is released", LONG, || (traffic.deleted(id) > 0).then_some(()));
    assert!(future.value().expect("it is here now") == first, "the same value again");
    // One that nobody asks for goes with its future.
    let forgotten = client.submit(&output, (BYTES,)).expect("submits");
    assert_eq!(blocking::wait([forgotten.clone()], Some(LONG), ReturnWhen::AllCompleted).done.len(), 1);
    let [_, unseen] = traffic.stored(BYTES)[..] else { panic!("two results: {:?}", traffic.stored(BYTES)) };
    drop((forgotten, future));
    wait_for("it is released unseen", LONG, || (traffic.deleted(unseen) > 0).then_some(()));
    assert_eq!((traffic.fetched(id), traffic.deleted(id)), (1, 1), "once each");
    assert_eq!((traffic.fetched(unseen), traffic.deleted(unseen)), (0, 1), "nobody asked for it");
    assert_eq!(objects(), 0);
}

#[test]
fn scenario_41_and_42_a_cancel_that_crosses_the_result_changes_nothing_afterwards() {
    let client = shared().connect();
    let identity = client.function("behaviour.work:identity").expect("function");
    let (mut canceled, mut finished) = (0, 0);
    for number in 0..300_u64 {
        let future = client.submit(&identity, (number,)).expect("submits");
        // From at once to when it has long ended.
        thread::sleep(Duration::from_micros(number * 10));
        let is_canceled = future.cancel();
        for _ in 0..2 {
            assert_eq!(future.cancelled(), is_canceled);
            match future.result::<u64>() {
                Ok(value) => assert!(!is_canceled && value == number),
                Err(error) => assert!(is_canceled && matches!(error, Error::Canceled { .. }), "{error}"),
            }
        }
        if is_canceled { canceled += 1 } else { finished += 1 }
    }
    assert_eq!(canceled + finished, 300);
    assert!(finished > 0, "none ended before its cancel");
}

#[test]
fn scenario_43_profiles_tell_what_a_task_cost() {
    let here = shared();
    let client = blocking::Client::builder().profiling(true).connect_blocking(here.combo.address()).expect("connects");
    let sleep = client.function("wasi.system:sleep").expect("function");
    let work = client.function("wasi.system:work").expect("function");
    let sleeping = client.submit(&sleep, (300_u64,)).expect("submits");
    let early = sleeping.profiling_info().expect_err("it has not ended");
    assert!(matches!(early, Error::NoProfile { .. }), "{early}");
    sleeping.result::<f64>().expect("result");
    let profile = sleeping.profiling_info().expect("it has ended");
    assert!(profile.run >= Duration::from_millis(300), "{profile:?}");
    assert!(profile.cpu < Duration::from_millis(250), "it slept: {profile:?}");
    assert!(profile.peak_memory_bytes > 0 && profile.attempt == 1 && !profile.worker.is_empty(), "{profile:?}");
    let working = client.submit(&work, (300_u64,)).expect("submits");
    working.result::<f64>().expect("result");
    let profile = working.profiling_info().expect("it has ended");
    assert!(profile.cpu > Duration::ZERO && profile.cpu <= profile.run + Duration::from_millis(50), "{profile:?}");
    let without = here.connect();
    let future = without.call("behaviour.work:noop()").expect("parses");
    future.value().expect("result");
    assert!(matches!(future.profiling_info(), Err(Error::NoProfile { .. })), "it was not asked for");
}
