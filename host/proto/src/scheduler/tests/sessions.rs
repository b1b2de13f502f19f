//! Greetings, refusals, records, and the end.

use super::*;

#[test]
fn shutdown_is_refused_under_protection_and_else_ends_everything() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    env.say(client, Message::Shutdown(vec![Shutdown { request: 3 }]));
    let messages = env.take(client);
    assert!(matches!(messages.as_slice(), [Message::ShutdownReply(replies)] if !replies[0].accepted), "{messages:?}");

    let mut env = Env::new(|config| config.protected = false);
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.take(agent);
    env.say(client, Message::Shutdown(vec![Shutdown { request: 3 }]));
    let messages = env.take(client);
    let [Message::ShutdownReply(replies), Message::TaskResult(results)] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert!(replies[0].accepted);
    let Outcome::Failed(failure) = &results[0].outcome else { panic!("{results:?}") };
    assert_eq!(failure.kind, FailureKind::Aborted);
    assert!(failure.message.contains("shut the scheduler down"), "{}", failure.message);
    let messages = env.take(agent);
    assert!(matches!(messages.as_slice(), [Message::Stop(_), Message::Leave(_)]), "{messages:?}");
    assert!(env.other.is_empty(), "it waits until the client has what it is owed");
    env.say(client, Message::Ack(vec![crate::message::Ack {}]));
    assert!(matches!(env.other.as_slice(), [Effect::End { .. }]), "{:?}", env.other);
    assert!(matches!(env.take(client).as_slice(), [Message::Goodbye(_)]));
}

#[test]
fn illegal_messages_are_refused_and_cost_nothing_else() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client(9);
    let run = Run {
        objects: Vec::new(),
        task: TaskId { client: ClientId(9), number: 1 },
        attempt: 1,
        function: FunctionId(1),
        arguments: Payload::Inline(vec![]),
        inline_max: 0,
        timeout_ms: 0,
        priority: 0,
        capabilities: Capabilities::none(),
    };
    env.say(client, Message::Done(vec![ok(&run)]));
    assert!(matches!(env.take(client).as_slice(), [Message::Refused(_)]));
    env.say(agent, Message::Submit(vec![submit(1, "")]));
    assert!(matches!(env.take(agent).as_slice(), [Message::Refused(_)]));
    env.done(agent, &run);
    env.say(agent, returned(&run, ReturnReason::ProcessorDied));
    let stranger = env.connect();
    env.say(stranger, Message::Query(vec![Query { request: 1 }]));
    assert!(matches!(env.take(stranger).as_slice(), [Message::Refused(_)]));
    env.say(stranger, Message::Hello(vec![Hello { version_min: 200, version_max: 201, ..hello(Role::Client, 5) }]));
    assert!(matches!(env.take(stranger).as_slice(), [Message::Refused(_)]));
    assert_eq!(std::mem::take(&mut env.other), [Effect::Drop(stranger)]);
    env.nothing_else();
    env.say(client, Message::Query(vec![Query { request: 8 }]));
    assert!(matches!(env.take(client).as_slice(), [Message::Answer(answers)] if answers[0].request == 8));
}

#[test]
fn a_gap_resets_the_connection_and_its_cluster_s_work_goes_on_elsewhere() {
    let mut env = Env::new(|_| {});
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.take(first);
    let second = env.cluster(2, &[""]);
    env.sessions.get_mut(&first).expect("session").stamp(7, Message::Ack(vec![crate::message::Ack {}]));
    env.say(first, Message::Heartbeat(vec![Heartbeat::default()]));
    assert!(matches!(env.take(first).as_slice(), [Message::Reset(_)]));
    assert_eq!(numbers(&env.runs(second)), [1]);
    env.nothing_else();
}

#[test]
fn with_a_journal_facts_come_before_what_depends_on_them() {
    let mut env = Env::new(|config| config.journal = true);
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let packet = env.sessions.get_mut(&client).expect("session").stamp(7, Message::Submit(vec![submit(1, "")]));
    let mut out = Vec::new();
    env.core.handle(env.now, client, packet, &mut out);
    env.core.tick(env.now, &mut out);
    assert!(matches!(out[0], Effect::Persist(Record::Accepted { .. })), "{out:?}");
    assert!(out[1..].iter().all(|effect| matches!(effect, Effect::Send(..))), "{out:?}");
    env.perform(out);
    env.other.clear();
    let runs = env.runs(agent);
    env.done(agent, &runs[0]);
    assert!(matches!(std::mem::take(&mut env.other).as_slice(), [Effect::Persist(Record::Finished { .. })]));
    env.say(client, Message::Ack(vec![crate::message::Ack {}]));
    assert!(matches!(std::mem::take(&mut env.other).as_slice(), [Effect::Persist(Record::Delivered { .. })]));
}

#[test]
fn the_monitor_door_is_for_watchers_only() {
    let mut env = Env::new(|_| {});
    for (role, welcome) in [(Role::Client, false), (Role::Monitor, true)] {
        env.last_peer += 1;
        let peer = PeerId(env.last_peer);
        env.sessions.insert(peer, Session::default());
        env.core.connected_monitor(env.now, peer, &mut Vec::new());
        env.say(peer, Message::Hello(vec![hello(role, 3)]));
        assert_eq!(matches!(env.take(peer).as_slice(), [Message::Welcome(_)]), welcome);
    }
}
