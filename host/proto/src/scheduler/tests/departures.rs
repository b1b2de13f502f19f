//! Who comes and goes: what the view still shows of them, and what the log is told.

use super::*;

/// The states of the workers that the view shows.
fn states(env: &Env) -> Vec<String> {
    env.core.view(env.now).workers.into_iter().map(|worker| worker.state).collect()
}

fn goodbye() -> Message {
    Message::Goodbye(vec![Goodbye { reason: "asked to".to_owned() }])
}

fn notes(env: &mut Env) -> Vec<Note> {
    std::mem::take(&mut env.notes)
}

fn lost(id: u64, loss: Loss, tasks: usize) -> Note {
    Note::ClusterLost { cluster: AgentId(id), name: format!("peer {id}"), loss, tasks }
}

#[test]
fn only_a_cluster_that_was_at_work_is_shown_as_lost() {
    let mut env = Env::new(|_| {});
    let starting = env.cluster_starting(1, &[""]);
    env.cut(starting);
    assert!(states(&env).is_empty(), "its preload failed");
    env.cluster_starting(2, &[""]);
    assert_eq!(states(&env), ["starting"]);
    env.pass_ms(2_000);
    assert!(states(&env).is_empty(), "it was silent while it started");
    let left = env.cluster(3, &["", ""]);
    env.say(left, goodbye());
    assert!(states(&env).is_empty(), "it said goodbye");
    env.cut(left);
    let leaving = env.cluster(4, &[""]);
    env.say(leaving, Message::Leaving(vec![Leaving { reason: "asked to".to_owned() }]));
    assert_eq!(states(&env), ["leaving"]);
    env.cut(leaving);
    assert!(states(&env).is_empty(), "it was leaving");
    let at_work = env.cluster(5, &["", ""]);
    env.cut(at_work);
    assert_eq!(states(&env), ["lost", "lost"]);
    env.pass_ms(59_999);
    assert_eq!(states(&env), ["lost", "lost"]);
    env.pass_ms(1);
    assert!(states(&env).is_empty(), "the time to come back is over");
    assert_eq!(env.core.next_deadline(), None);
}

#[test]
fn the_log_is_told_of_clusters_that_come_and_go() {
    let mut env = Env::new(|_| {});
    let ready = |id, workers| Note::ClusterReady { cluster: AgentId(id), name: format!("peer {id}"), workers };
    let first = env.cluster_starting(1, &["", ""]);
    assert_eq!(notes(&mut env), [], "it is not ready yet");
    env.ready(first, vec![module("m", 1)]);
    env.say(first, Message::Modules(vec![crate::message::Modules { modules: vec![module("m", 1)] }]));
    assert_eq!(notes(&mut env), [ready(1, 2)], "once");
    let client = env.client_with_function(9);
    env.submit(client, 1..=2, "");
    notes(&mut env);
    env.cut(first);
    assert_eq!(notes(&mut env), [lost(1, Loss::Closed, 2)]);
    let workers = vec![WorkerInfo { name: "w".to_owned(), capabilities: Capabilities::none(), queue_size: 9 }];
    let back = env.greet(Hello { workers: workers.clone(), ready: true, ..hello(Role::Agent, 1) });
    assert_eq!(notes(&mut env), [ready(1, 1)], "its modules are known");
    let again = env.greet(Hello { workers, ready: true, ..hello(Role::Agent, 1) });
    assert_eq!(notes(&mut env), [lost(1, Loss::Replaced, 2), ready(1, 1)]);
    env.cut(back);
    env.say(again, goodbye());
    env.cut(again);
    let (name, reason) = ("peer 1".to_owned(), "asked to".to_owned());
    assert_eq!(notes(&mut env), [Note::ClusterLeft { cluster: AgentId(1), name, reason, tasks: 2 }]);
    env.cluster(2, &[""]);
    env.pass_ms(2_000);
    assert_eq!(notes(&mut env), [ready(2, 1), lost(2, Loss::Silent, 2)]);
}

#[test]
fn the_log_is_told_of_clients_that_come_and_go() {
    let mut env = Env::new(|config| config.client_timeout_ms = 5_000);
    let connected = |resumed| Note::ClientConnected { client: ClientId(9), name: "peer 9".to_owned(), resumed };
    let left =
        |silent, unfinished| Note::ClientLeft { client: ClientId(9), name: "peer 9".to_owned(), silent, unfinished };
    env.cluster(1, &[""]);
    notes(&mut env);
    let client = env.client_with_function(9);
    env.submit(client, 1..=2, "");
    env.cut(client);
    let back = env.client(9);
    env.say(back, goodbye());
    assert_eq!(notes(&mut env), [connected(false), connected(true), left(false, 2)]);
    env.client(9);
    notes(&mut env);
    env.pass_ms(5_000);
    assert_eq!(notes(&mut env).first(), Some(&left(true, 0)));
}

#[test]
fn what_is_no_message_is_news_once_for_each_connection() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    notes(&mut env);
    let mut out = Vec::new();
    for peer in [agent, env.connect()] {
        let news: Vec<_> = (0..3).map(|_| env.core.handle_garbage(env.now, peer, "not ours", &mut out)).collect();
        assert_eq!(news, [true, false, false]);
    }
    env.perform(out);
    env.tick();
    assert_eq!(notes(&mut env), [lost(1, Loss::Untrusted, 0)]);
    assert_eq!(env.take(agent).len(), 1, "told why, once");
    assert!(!env.core.handle_garbage(env.now, agent, "not ours", &mut Vec::new()), "its connection is closed");
}
