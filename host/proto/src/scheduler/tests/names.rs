//! What names mean, and what becomes of work whose module changes.

use super::*;

#[test]
fn registrations_wait_for_clusters_and_fail_only_when_all_are_ready() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Parked(_)]));
    let agent = env.cluster_starting(1, &[""]);
    assert!(matches!(env.register(client, 2, "").as_slice(), [Message::Parked(_)]));
    // Nobody waits for the second: its client only wants to know, and one that came back says it all again.
    env.say(client, Message::Demand(vec![Demand { request: 1, held: 3 }]));
    let view = env.core.view(env.now);
    assert_eq!((view.parked.len(), view.parked[0].held, view.clients[0].held), (1, 3, 3));
    env.ready(agent, vec![module("other", 1)]);
    let failures = env.take(client);
    assert_eq!(failures.len(), 2);
    for failure in failures {
        let Message::RegisterFailed(failed) = failure else { panic!("{failure:?}") };
        assert_eq!(failed[0].kind, RegisterErrorKind::UnknownModule);
        assert!(failed[0].message.contains("other"), "{}", failed[0].message);
    }
    assert!(matches!(env.register(client, 3, "gpu").as_slice(), [Message::Parked(_)]), "no such worker yet");
    env.cluster(2, &["gpu"]);
    assert!(matches!(env.take(client).as_slice(), [Message::Registered(_)]));
    env.nothing_else();
}

#[test]
fn when_clusters_disagree_the_former_holds_then_it_is_an_error() {
    let mut env = Env::new(|_| {});
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let second = env.cluster_starting(2, &[""]);
    env.ready(second, vec![module("m", 2)]);
    let is_told = |note: &&Note| matches!(note, Note::ModulesDiffer { message } if message.contains(" on cluster-"));
    assert_eq!(env.notes.iter().filter(is_told).count(), 1, "{:?}", env.notes);
    let beat = |env: &mut Env| {
        for peer in [first, second, client] {
            env.say(peer, Message::Heartbeat(vec![Heartbeat::default()]));
            env.inbox.entry(peer).or_default().retain(|message| !matches!(message, Message::Pulse(_)));
        }
    };
    for _ in 0..4 {
        env.pass_ms(1_000);
        beat(&mut env);
    }
    assert!(matches!(env.register(client, 2, "").as_slice(), [Message::Registered(_)]));
    env.pass_ms(1_000);
    let changed = env.take(client);
    assert!(matches!(changed.as_slice(), [Message::Changed(_), Message::Changed(_)]), "{changed:?}");
    let messages = env.register(client, 3, "");
    let [Message::RegisterFailed(failed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(failed[0].kind, RegisterErrorKind::Conflict);
    assert!(failed[0].message.contains("0101") && failed[0].message.contains("0202"), "{}", failed[0].message);
    env.say(first, Message::Modules(vec![crate::message::Modules { modules: vec![module("m", 2)] }]));
    let changed = env.take(client);
    assert_eq!(changed.len(), 2);
    assert!(
        changed.iter().all(|message| matches!(message, Message::Changed(all) if all[0].now.is_some())),
        "{changed:?}"
    );
    env.nothing_else();
}

#[test]
fn a_function_that_only_one_version_has_is_told_as_that() {
    let mut env = Env::new(|_| {});
    env.cluster(1, &[""]);
    let mut rich = module("m", 2);
    rich.functions[0].name = "g".to_owned();
    let second = env.cluster_starting(2, &[""]);
    env.ready(second, vec![rich]);
    env.other.clear();
    let client = env.client(9);
    let messages = env.register_function(client, 1, "g");
    let [Message::RegisterFailed(failed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(failed[0].kind, RegisterErrorKind::Conflict);
    assert!(failed[0].message.contains("not every version of it has `g`"), "{}", failed[0].message);
    env.nothing_else();
}

#[test]
fn work_keeps_the_old_bytes_after_a_change() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.say(agent, Message::Modules(vec![crate::message::Modules { modules: vec![module("m", 2)] }]));
    let messages = env.take(client);
    let [Message::Changed(changed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(changed[0].now.as_ref().expect("now").identity, module("m", 2).identity);
    env.submit(client, [1], "");
    let messages = env.take(agent);
    let Message::Define(defines) = &messages[0] else { panic!("{messages:?}") };
    assert_eq!(defines[0].identity, module("m", 1).identity);
}

#[test]
fn a_client_s_own_module_runs_anywhere_and_is_private() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster_starting(1, &[""]);
    env.ready(agent, vec![]);
    let client = env.client(9);
    let own = crate::message::RegisterModule { module: module("m", 5), size_bytes: 100 };
    env.say(client, Message::RegisterModule(vec![own]));
    assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Registered(_)]));
    env.submit(client, [1], "");
    let messages = env.take(agent);
    assert!(matches!(&messages[0], Message::Define(defines) if defines[0].stored), "{messages:?}");
    // What a cluster has under that name is not meant, even where the client's lacks the function.
    let mut rich = module("m", 6);
    rich.functions[0].name = "g".to_owned();
    let cluster = env.cluster_starting(2, &[""]);
    env.ready(cluster, vec![rich]);
    env.other.clear();
    let messages = env.register_function(client, 2, "g");
    let [Message::RegisterFailed(failed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(failed[0].kind, RegisterErrorKind::UnknownFunction);
    let brought = crate::message::RegisterModule { module: module("mine", 7), size_bytes: 100 };
    env.say(client, Message::RegisterModule(vec![brought]));
    let register =
        Register { request: 3, module: "zzz".to_owned(), function: "f".to_owned(), capabilities: Capabilities::none() };
    env.say(client, Message::Register(vec![register]));
    let messages = env.take(client);
    let [Message::RegisterFailed(failed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert!(failed[0].message.contains("`m`, `mine`"), "{}", failed[0].message);
    let other = env.client(8);
    assert!(matches!(env.register(other, 1, "").as_slice(), [Message::RegisterFailed(_)]));
    env.submit(other, [1], "");
    assert_eq!(env.results(other), [(1, Err(FailureKind::Rejected))]);
}

#[test]
fn tasks_whose_module_no_cluster_has_any_more_wait_for_a_while_and_say_why_they_end() {
    let mut env = Env::new(|config| config.worker_timeout_ms = 4_000);
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.take(first);
    env.say(first, Message::Goodbye(vec![Goodbye { reason: "restarted".to_owned() }]));
    env.other.clear();
    env.pass_ms(10_000);
    let second = env.cluster_starting(2, &[""]);
    env.ready(second, vec![module("m", 2)]);
    assert!(matches!(env.take(client).as_slice(), [Message::Stranded(_), Message::Changed(_)]));
    for _ in 0..4 {
        env.nothing_else();
        env.pass_ms(1_000);
        env.say(second, Message::Heartbeat(vec![Heartbeat::default()]));
        env.take(second);
    }
    let messages = env.take(client);
    let [Message::TaskResult(results)] = messages.as_slice() else { panic!("{messages:?}") };
    let Outcome::Failed(failure) = &results[0].outcome else { panic!("{results:?}") };
    assert_eq!(failure.kind, FailureKind::Aborted);
    assert!(failure.message.contains("0101") && failure.message.contains("`m`"), "{}", failure.message);
    env.nothing_else();
}

#[test]
fn a_module_that_takes_long_to_compile_keeps_nobody_waiting() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let slow = env.client(9);
    let own = crate::message::RegisterModule { module: module("m", 5), size_bytes: 100 };
    env.say(slow, Message::RegisterModule(vec![own]));
    env.register(slow, 1, "");
    env.submit(slow, 1..=50, "");
    let tried = env.runs(agent);
    assert_eq!(numbers(&tried), [1, 2], "one for each worker, as nobody knows yet whether it runs");
    // Cancels and failures without a worker prove nothing.
    env.say(
        agent,
        Message::Done(vec![Done { stats: TaskStats::nowhere(), ..failed(&tried[0], FailureKind::Canceled) }]),
    );
    assert_eq!(numbers(&env.runs(agent)), [3]);
    let quick = env.client_with_function(8);
    for number in 1..=9 {
        env.say(quick, Message::Submit(vec![Submit { function: FunctionId(2), ..submit(number, "") }]));
        let runs = env.runs(agent);
        assert_eq!(runs.len(), 1, "call {number} waits for a module that is not its own: {runs:?}");
        env.done(agent, &runs[0]);
    }
    env.done(agent, &tried[1]);
    assert!(env.runs(agent).len() > 2, "it runs, so the cluster gets as many as it may have");
}

#[test]
fn names_of_peers_are_legible() {
    let mut env = Env::new(|_| {});
    let name = format!("evil\u{1b}[31m\u{7}\nline \u{202e}{}", "x".repeat(3_000_000));
    env.greet(Hello { name: name.clone(), ..hello(Role::Client, 9) });
    let worker = WorkerInfo { name: name.clone(), capabilities: Capabilities::none(), queue_size: 10 };
    let agent = env.greet(Hello { name, workers: vec![worker], ..hello(Role::Agent, 1) });
    env.ready(agent, vec![]);
    let view = env.core.view(env.now);
    for name in [&view.clients[0].name, &view.workers[0].name, &view.workers[0].host] {
        assert!(name.starts_with("evil\u{fffd}[31m\u{fffd}\u{fffd}line \u{fffd}xxx") && name.len() < 300, "{name:?}");
    }
}
