//! The client against a scripted scheduler over real sockets.

mod support;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use scaler_client::{
    Arguments, Client, Error, FailureKind, FunctionOptions, MapOptions, PipeReceiver, ReturnWhen, SubmitOptions, Value,
    as_completed, blocking, gather, wait,
};
use support::{Scheduler, Script};

fn connect(scheduler: &Scheduler) -> blocking::Client {
    Client::builder()
        .name("test")
        .heartbeat(Duration::from_millis(200))
        .connect_blocking(&scheduler.address)
        .expect("connects")
}

#[test]
fn calls_give_results_by_position_by_name_and_by_text() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let double = client.function("test.init:double").expect("function");
    assert_eq!(double.name(), "test.init:double");
    assert_eq!(double.signature().parameters.len(), 1);
    assert_eq!(client.submit(&double, (21,)).expect("binds").result::<u64>().expect("result"), 42);
    assert_eq!(client.submit(&double, 21).expect("binds").value().expect("result"), Value::Int(42));
    let named = client.submit(&double, Arguments::new().kwarg("x", 5)).expect("binds");
    assert_eq!(named.result::<u64>().expect("result"), 10);
    assert_eq!(client.call("test.init:double(x=4)").expect("parses").result::<u64>().expect("result"), 8);
    assert_eq!(client.call("test.init:echo('hé')").expect("parses").result::<String>().expect("result"), "hé");
    assert_eq!(scheduler.counts.lock().expect("counts").hellos[0].name, "test");
}

#[test]
fn mistakes_are_told_apart() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let double = client.function("test.init:double").expect("function");
    let bind = client.submit(&double, ("text",)).expect_err("not a number");
    assert!(matches!(bind, Error::Bind { .. }) && bind.never_became_a_task(), "{bind}");
    assert!(!bind.to_string().contains("(value,)"), "a tuple is meant as it is: {bind}");
    for spread in [client.submit(&double, vec![1, 2]), client.submit(&double, BTreeMap::from([("circle", 2)]))] {
        let spread = spread.expect_err("too many, or another name").to_string();
        assert!(spread.contains("test.init:double") && spread.ends_with("write `(value,)`"), "{spread}");
    }
    let unknown = client.function("test.init:nothing").expect_err("unknown");
    assert!(matches!(&unknown, Error::UnknownFunction { message } if message.contains("nothing")), "{unknown}");
    let late = client.call("test.init:double('text')").expect("parses").value().expect_err("does not bind");
    assert!(matches!(late, Error::Bind { .. }), "{late}");
    let late = client.call("test.init:nothing()").expect("parses").value().expect_err("unknown");
    assert!(matches!(late, Error::UnknownFunction { .. }), "{late}");
    assert!(matches!(client.call("test.init double"), Err(Error::Call(_))));
    let failed = client.call("test.init:fail('x')").expect("parses").value().expect_err("panics");
    let task = failed.task().expect("a task's failure");
    assert_eq!(task.kind, FailureKind::Panic);
    assert!(task.message.contains("panicked"), "{task}");
    assert!(failed.to_string().starts_with("test.init:fail: "), "{failed}");
    let shape = client.call("test.init:double(1)").expect("parses").result::<String>().expect_err("not text");
    assert!(matches!(shape, Error::Shape { .. }) && !shape.never_became_a_task(), "{shape}");
}

#[test]
fn nobody_at_the_address_is_unreachable_within_its_time() {
    let started = Instant::now();
    let address = support::nobody().to_string();
    let error = Client::builder()
        .connect_timeout(Duration::from_millis(300))
        .connect_blocking(&address)
        .expect_err("nobody listens");
    assert!(matches!(&error, Error::Unreachable { address: there, .. } if *there == address), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(matches!(blocking::Client::connect("127.0.0.1:1"), Err(Error::Address(_))));
}

#[test]
fn a_lost_connection_loses_nothing_and_delivers_once() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let hold = client.function("test.init:hold").expect("function");
    let futures: Vec<_> = (0..500_u64).map(|x| client.submit(&hold, (x,)).expect("submits")).collect();
    scheduler.wait_until("all submitted", |counts| counts.submitted.len() == 500);
    scheduler.cut();
    scheduler.wait_until("a second connection", |counts| counts.hellos.len() == 2);
    scheduler.wait_until("all submitted again", |counts| counts.submitted.len() == 1_000);
    scheduler.answer_held();
    for (x, future) in futures.into_iter().enumerate() {
        assert_eq!(future.result::<u64>().expect("result"), 2 * x as u64);
    }
    assert_eq!(scheduler.counts.lock().expect("counts").hellos[1].epoch, 7);
}

#[test]
fn a_restarted_scheduler_aborts_what_was_accepted_and_gets_what_was_not() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let hold = client.function("test.init:hold").expect("function");
    let double = client.function("test.init:double").expect("function");
    let accepted = client.submit(&hold, (1,)).expect("submits");
    scheduler.wait_until("the first", |counts| counts.submitted.len() == 1);
    // A round trip after it: its acknowledgement has arrived.
    client.status().expect("status");
    scheduler.script(Script { accept: false, ..Script::default() });
    let not_accepted = client.submit(&double, (4,)).expect("submits");
    scheduler.wait_until("the second", |counts| counts.submitted.len() == 2);
    scheduler.restart();
    scheduler.script(Script::default());
    let error = accepted.value().expect_err("aborted");
    assert!(
        error.task().is_some_and(|task| task.kind == FailureKind::Aborted && task.message.contains("journal")),
        "{error}"
    );
    assert_eq!(not_accepted.result::<u64>().expect("result"), 8);
    // The function has another number in the new epoch, and the handle follows.
    assert_eq!(client.submit(&double, (5,)).expect("submits").result::<u64>().expect("result"), 10);
}

#[test]
fn cancel_says_whether_it_came_in_time() {
    let scheduler = Scheduler::start(Script { window: 1, ..Script::default() });
    let client = connect(&scheduler);
    let hold = client.function("test.init:hold").expect("function");
    let running = client.submit(&hold, (1,)).expect("submits");
    let held = client.submit(&hold, (2,)).expect("submits");
    scheduler.wait_until("the first", |counts| counts.submitted.len() == 1);
    assert!(!running.done() && !running.cancelled());
    assert!(held.cancel(), "beyond the credit: canceled here");
    assert_eq!(scheduler.counts.lock().expect("counts").canceled, 0);
    assert!(running.cancel() && running.cancelled() && running.done());
    assert!(matches!(running.value(), Err(Error::Canceled { .. })));
    let double = client.function("test.init:double").expect("function");
    let finished = client.submit(&double, (3,)).expect("submits");
    assert_eq!(finished.result_timeout::<u64>(Duration::from_secs(10)).expect("result"), 6);
    assert!(!finished.cancel());
    assert_eq!(finished.result::<u64>().expect("still there"), 6);
}

#[test]
fn a_time_limit_leaves_the_future_usable() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let hold = client.function("test.init:hold").expect("function");
    let future = client.submit(&hold, (1,)).expect("submits");
    assert!(matches!(future.result_timeout::<u64>(Duration::from_millis(20)), Err(Error::Timeout { .. })));
    scheduler.wait_until("submitted", |counts| counts.submitted.len() == 1);
    scheduler.answer_held();
    assert_eq!(future.result::<u64>().expect("result"), 2);
}

#[test]
fn calls_wait_for_a_cluster_and_are_counted() {
    let scheduler = Scheduler::start(Script { clusters: false, ..Script::default() });
    let client = connect(&scheduler);
    let limit = FunctionOptions::new().timeout(Duration::from_millis(50));
    let error = client.function_with("test.init:double", &limit).expect_err("no cluster");
    assert!(matches!(&error, Error::NoCluster { reason, .. } if reason.contains("no cluster")), "{error}");
    assert!(error.never_became_a_task());
    scheduler.wait_until("the withdrawal", |counts| counts.demands.iter().any(|demand| demand.held == 0));
    let first = client.call("test.init:double(1)").expect("parses");
    let second = client.call("test.init:double(2)").expect("parses");
    scheduler.wait_until("the demand", |counts| counts.demands.iter().any(|demand| demand.held == 2));
    assert!(second.cancel(), "held here, so canceled here");
    scheduler.script(Script::default());
    assert_eq!(first.result::<u64>().expect("result"), 2);
    assert!(matches!(second.value(), Err(Error::Canceled { .. })));
}

#[test]
fn map_keeps_order_and_bounds_what_is_under_way() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let double = client.function("test.init:double").expect("function");
    let drawn = std::cell::Cell::new(0_u64);
    let input = (0..20_000_u64).inspect(|_| drawn.set(drawn.get() + 1));
    let mut results = client.map(&double, input, MapOptions::new().window(100));
    for x in 0..20_000_u64 {
        assert_eq!(results.next_as::<u64>().expect("one more").expect("result"), 2 * x);
        assert!(drawn.get() <= x + 1 + 100 + 256, "drew {} when {x} were taken", drawn.get());
    }
    assert!(results.next().is_none());
    assert!(scheduler.counts.lock().expect("counts").open_max <= 100);
}

#[test]
fn map_gives_an_error_in_its_place_and_unordered_gives_all() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let double = client.function("test.init:double").expect("function");
    let input =
        ["1", "x", "3"].map(|text| text.parse::<u64>().map_or(Value::Str(text.to_owned()), |x| Value::Int(x.into())));
    let results: Vec<_> = client.map(&double, input.map(|value| (value,)), MapOptions::new()).collect();
    assert_eq!(results[0].as_ref().expect("result"), &Value::Int(2));
    assert!(matches!(&results[1], Err(Error::Bind { .. })));
    assert_eq!(results[2].as_ref().expect("result"), &Value::Int(6));
    let mut all: Vec<u64> = Vec::new();
    let mut results = client.map(&double, 0..5_000_u64, MapOptions::new().unordered().window(64));
    while let Some(result) = results.next_as() {
        all.push(result.expect("result"));
    }
    all.sort_unstable();
    assert_eq!(all, (0..5_000).map(|x| 2 * x).collect::<Vec<u64>>());
    assert_eq!(client.map(&double, Vec::<u64>::new(), MapOptions::new()).count(), 0);
}

#[test]
fn a_dropped_map_cancels_what_is_under_way() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let hold = client.function("test.init:hold").expect("function");
    let (mut sender, receiver) = client.pipe(MapOptions::new().window(50));
    for x in 0..50_u64 {
        sender.send_blocking(hold.bind(x).expect("binds")).expect("room");
    }
    scheduler.wait_until("all submitted", |counts| counts.submitted.len() == 50);
    drop(receiver);
    scheduler.wait_until("all canceled", |counts| counts.canceled == 50);
    assert!(sender.send_blocking(hold.bind(1).expect("binds")).is_err());
}

#[test]
fn a_pipe_runs_between_threads() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let double = client.function("test.init:double").expect("function");
    let (mut sender, mut receiver) = client.pipe(MapOptions::new().window(1_000));
    let feeder = std::thread::spawn(move || {
        for x in 0..50_000_u64 {
            sender.send_blocking(double.bind(x).expect("binds")).expect("room");
        }
    });
    let mut next = 0;
    let mut items = Vec::new();
    while receiver.receive_many_blocking(&mut items, 300) {
        for item in items.drain(..) {
            assert_eq!(item.index(), next);
            assert_eq!(item.result::<u64>().expect("result"), 2 * next);
            next += 1;
        }
    }
    assert_eq!(next, 50_000);
    feeder.join().expect("feeder");
}

#[test]
fn disconnect_cancels_says_goodbye_and_is_idempotent() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let hold = client.function("test.init:hold").expect("function");
    let future = client.submit(&hold, (1,)).expect("submits");
    let other = client.clone();
    client.disconnect();
    client.disconnect();
    other.disconnect();
    assert!(future.done() && future.cancelled());
    assert!(matches!(future.value(), Err(Error::Canceled { .. })));
    assert!(matches!(client.submit(&hold, (1,)), Err(Error::Disconnected { .. })));
    assert!(matches!(client.status(), Err(Error::Disconnected { .. })));
    scheduler.wait_until("a goodbye", |counts| counts.goodbyes == 1);
}

#[test]
fn dropping_the_client_disconnects() {
    let scheduler = Scheduler::start(Script::default());
    drop(connect(&scheduler));
    scheduler.wait_until("a goodbye", |counts| counts.goodbyes == 1);
}

#[test]
fn a_scheduler_that_stays_away_fails_everything_in_time() {
    let scheduler = Scheduler::start(Script::default());
    let client = Client::builder()
        .timeout(Duration::from_millis(500))
        .heartbeat(Duration::from_millis(100))
        .connect_blocking(&scheduler.address)
        .expect("connects");
    let hold = client.function("test.init:hold").expect("function");
    let future = client.submit(&hold, (1,)).expect("submits");
    scheduler.wait_until("submitted", |counts| counts.submitted.len() == 1);
    scheduler.goodbye("maintenance");
    drop(scheduler);
    let started = Instant::now();
    let error = future.value().expect_err("no contact");
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    assert!(error.to_string().contains("maintenance"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_protected_scheduler_refuses_to_shut_down_and_another_does_not() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    assert!(matches!(client.shutdown(), Err(Error::ShutdownRefused { .. })));
    client.status().expect("still connected");
    scheduler.script(Script { protected: false, ..Script::default() });
    client.shutdown().expect("shut down");
    assert!(matches!(client.status(), Err(Error::Disconnected { .. })));
}

#[test]
fn status_needs_no_session() {
    let scheduler = Scheduler::start(Script::default());
    let view = blocking::status(&scheduler.address, Duration::from_secs(5)).expect("status");
    assert!(view.workers.is_empty());
}

#[test]
fn options_reach_the_scheduler() {
    let scheduler = Scheduler::start(Script::default());
    let client = connect(&scheduler);
    let options = SubmitOptions::new().priority(3).timeout(Duration::from_micros(1)).retries(2);
    let double = client.function("test.init:double").expect("function");
    assert_eq!(client.submit_with(&double, (2,), &options).expect("submits").result::<u64>().expect("result"), 4);
}

#[test]
fn async_callers_need_no_runtime_of_ours() {
    let scheduler = Scheduler::start(Script::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
    runtime.block_on(async {
        let client = Client::connect(&scheduler.address).await.expect("connects");
        let double = client.function("test.init:double").await.expect("function");
        let future = client.submit(&double, (1,)).expect("submits");
        assert_eq!(future.result_timeout::<u64>(Duration::from_secs(5)).await.expect("result"), 2);
        assert_eq!(future.clone().await.expect("still there"), Value::Int(2));
        let mut sum = 0;
        let mut results = client.map(&double, 0..1_000_u64, MapOptions::new());
        while let Some(result) = results.next::<u64>().await {
            sum += result.expect("result");
        }
        assert_eq!(sum, 999_000);
        let futures: Vec<_> = (0..5_u64).map(|x| client.submit(&double, (x,)).expect("submits")).collect();
        let waited = wait(futures.clone(), Some(Duration::from_secs(10)), ReturnWhen::AllCompleted).await;
        assert!(waited.done.len() == 5 && waited.not_done.is_empty());
        assert_eq!(gather::<u64>(futures.clone()).await.expect("results"), [0, 2, 4, 6, 8]);
        let mut ended = as_completed(futures);
        let mut seen = Vec::new();
        while let Some(future) = ended.next().await {
            assert!(future.exception().await.is_none());
            seen.push(future.result::<u64>().await.expect("result"));
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 2, 4, 6, 8]);
        client.disconnect().await;
        assert!(matches!(client.submit(&double, (1,)), Err(Error::Disconnected { .. })));
    });
}

/// Receives on another thread, so that a receiver that never wakes fails the test.
fn receive_within_bounds(mut receiver: PipeReceiver) -> Vec<Result<Value, Error>> {
    let (done, received) = mpsc::channel();
    std::thread::spawn(move || {
        let results = std::iter::from_fn(|| receiver.receive_blocking()).map(|item| item.value()).collect();
        done.send(results).expect("the test waits");
    });
    received.recv_timeout(Duration::from_secs(10)).expect("the receiver woke")
}

#[test]
fn an_idle_pipe_hears_that_the_scheduler_is_gone() {
    let scheduler = Scheduler::start(Script::default());
    let client = Client::builder()
        .timeout(Duration::from_millis(300))
        .heartbeat(Duration::from_millis(100))
        .connect_blocking(&scheduler.address)
        .expect("connects");
    let double = client.function("test.init:double").expect("function");
    let (mut sender, mut receiver) = client.pipe(MapOptions::new());
    sender.send_blocking(double.bind(4).expect("binds")).expect("room");
    assert_eq!(receiver.receive_blocking().expect("item").result::<u64>().expect("result"), 8);
    drop(scheduler);
    let results = receive_within_bounds(receiver);
    assert!(matches!(&results[..], [Err(Error::Disconnected { .. })]), "{results:?}");
    assert!(matches!(sender.send_blocking(double.bind(1).expect("binds")), Err(Error::Disconnected { .. })));
}

#[test]
fn a_pipe_ends_with_the_session_whatever_its_sender_does() {
    let scheduler = Scheduler::start(Script::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
    runtime.block_on(async {
        let client = Client::connect(&scheduler.address).await.expect("connects");
        let double = client.function("test.init:double").await.expect("function");
        let (_idle, mut receiver) = client.pipe(MapOptions::new());
        let mut results = client.map_stream(&double, Quiet, MapOptions::new());
        let (mut used, used_receiver) = client.pipe(MapOptions::new());
        used.send_blocking(double.bind(1).expect("binds")).expect("room");
        let (mut receive, mut next) = (Box::pin(receiver.receive()), Box::pin(results.next::<u64>()));
        assert!(is_pending(receive.as_mut()) && is_pending(next.as_mut()));
        client.disconnect().await;
        let limit = Duration::from_secs(10);
        let item = tokio::time::timeout(limit, receive).await.expect("the receiver woke").expect("an error first");
        assert!(matches!(item.value(), Err(Error::Disconnected { .. })) && item.index() == 0, "{item:?}");
        assert!(receiver.receive().await.is_none());
        let error = tokio::time::timeout(limit, next).await.expect("the map woke").expect("an error first");
        assert!(matches!(error, Err(Error::Disconnected { .. })), "{error:?}");
        assert!(results.next::<u64>().await.is_none());
        // There was room for these for certain, so they are taken, and end.
        for x in 0..3 {
            used.send_blocking(double.bind(x).expect("binds")).expect("room");
        }
        let received = receive_within_bounds(used_receiver);
        assert_eq!(received.len(), 5, "{received:?}");
        assert!(received[1..4].iter().all(|result| matches!(result, Err(Error::Canceled { .. }))), "{received:?}");
        assert!(matches!(received[4], Err(Error::Disconnected { .. })), "{received:?}");
        let (_late, late) = client.pipe(MapOptions::new());
        assert!(matches!(&receive_within_bounds(late)[..], [Err(Error::Disconnected { .. })]));
    });
}

#[test]
fn a_lookup_that_nobody_awaits_is_withdrawn() {
    let scheduler = Scheduler::start(Script { clusters: false, ..Script::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
    let client = runtime.block_on(Client::connect(&scheduler.address)).expect("connects");
    let mut first = Box::pin(client.function("test.init:double"));
    let mut second = Box::pin(client.function("test.init:double"));
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
    let last_is = |held: u64| {
        let what = format!("a demand of {held}");
        scheduler.wait_until(&what, |counts| counts.demands.last().is_some_and(|demand| demand.held == held));
    };
    last_is(2);
    drop(first);
    last_is(1);
    drop(second);
    last_is(0);
    // A later one is a registration of its own.
    let mut third = Box::pin(client.function("test.init:double"));
    assert!(is_pending(third.as_mut()));
    scheduler.script(Script::default());
    let function = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), third).await });
    assert_eq!(function.expect("answered").expect("function").name(), "test.init:double");
}

#[test]
fn the_last_client_may_go_on_the_connections_own_thread() {
    let scheduler = Scheduler::start(Script::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let client = runtime.block_on(Client::connect(&scheduler.address)).expect("connects");
    let mut future = client.call("test.init:hold(1)").expect("parses");
    let last = Arc::new(DropsClient(Mutex::new(Some(client))));
    let waker = Waker::from(Arc::clone(&last));
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
    scheduler.wait_until("submitted", |counts| counts.submitted.len() == 1);
    scheduler.answer_held();
    scheduler.wait_until("a goodbye", |counts| counts.goodbyes == 1);
    assert!(last.0.lock().expect("lock").is_none());
}

#[test]
fn blocking_disconnect_and_drop_are_quick_without_a_scheduler() {
    for disconnect in [true, false] {
        let scheduler = Scheduler::start(Script::default());
        let client = connect(&scheduler);
        let hold = client.function("test.init:hold").expect("function");
        let futures: Vec<_> = (0..100_u64).map(|x| client.submit(&hold, (x,)).expect("submits")).collect();
        let (sender, receiver) = client.pipe(MapOptions::new());
        drop(scheduler);
        let started = Instant::now();
        if disconnect {
            client.disconnect();
        }
        drop(client);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(futures.into_iter().all(|future| matches!(future.value(), Err(Error::Canceled { .. }))));
        assert_eq!(receive_within_bounds(receiver).len(), 1);
        drop(sender);
    }
}

/// A stream that is not at its end and has nothing.
struct Quiet;

impl futures_core::Stream for Quiet {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        Poll::Pending
    }
}

/// Drops the last client when something is ready, as an executor does that runs its tasks where they are woken.
struct DropsClient(Mutex<Option<Client>>);

impl Wake for DropsClient {
    fn wake(self: Arc<Self>) {
        let client = self.0.lock().expect("lock").take();
        drop(client);
    }
}

fn is_pending(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
