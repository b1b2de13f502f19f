//! Objects that clients put: whose they are, which tasks may name them, and when they go.

use super::*;
use crate::message::{ArgumentObject, PutObject};

fn put(client: u64, number: u64) -> PutObject {
    PutObject { object: ObjectId::of_client(ClientId(client), number), name: "table".to_owned(), length: 9 }
}

fn with_object(number: u64, put: &PutObject, length: u64) -> Message {
    let objects = vec![ArgumentObject { index: 0, object: put.object, length }];
    Message::Submit(vec![Submit { objects, ..submit(number, "") }])
}

fn deleted(env: &mut Env) -> Vec<ObjectId> {
    let effects = std::mem::take(&mut env.other).into_iter();
    let deletions = effects.filter_map(|effect| match effect {
        Effect::DeleteObjects(objects) => Some(objects),
        _ => None,
    });
    deletions.flatten().collect()
}

fn refused(env: &mut Env, client: PeerId) -> Option<FailureKind> {
    env.take(client).into_iter().find_map(|message| match message {
        Message::TaskResult(results) => match &results[0].outcome {
            Outcome::Failed(failure) => Some(failure.kind),
            Outcome::Ok(_) => None,
        },
        _ => None,
    })
}

#[test]
fn a_task_runs_with_the_objects_of_its_client_and_with_no_others() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let table = put(9, 1);
    env.say(client, with_object(1, &table, 9));
    assert_eq!(refused(&mut env, client), Some(FailureKind::ObjectLost), "it was not announced");
    env.say(client, Message::PutObject(vec![table.clone()]));
    env.say(client, Message::PutObject(vec![table.clone()]));
    assert_eq!(env.core.view(env.now).scheduler.objects, 1);
    env.say(client, with_object(2, &table, 9));
    let runs = env.runs(cluster);
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].objects, [ArgumentObject { index: 0, object: table.object, length: 9 }]);
    env.say(client, with_object(3, &table, 8));
    assert_eq!(refused(&mut env, client), Some(FailureKind::ObjectLost), "it has another length");
    // What another client put is nobody else's business.
    let other = env.client(10);
    env.say(other, Message::PutObject(vec![table]));
    assert!(env.take(other).iter().any(|message| matches!(message, Message::Refused(_))));
}

#[test]
fn an_object_goes_when_it_is_released_or_its_client_is_gone() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    let (first, second) = (put(9, 1), put(9, 2));
    env.say(client, Message::PutObject(vec![first.clone(), second.clone()]));
    env.say(client, Message::Release(vec![Release { object: first.object }]));
    assert_eq!(deleted(&mut env), [first.object]);
    assert_eq!(env.core.view(env.now).scheduler.objects, 1);
    env.cut(client);
    assert_eq!(deleted(&mut env), [], "it may come back");
    env.pass_ms(60_000);
    assert_eq!(deleted(&mut env), [second.object]);
    assert_eq!(env.core.view(env.now).scheduler.objects, 0);
}

#[test]
fn failures_name_the_worker_and_results_do_for_clients_that_asked_for_it() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(1, &["", ""]);
    for (id, profiling) in [(8, false), (9, true)] {
        let client = env.greet(Hello { profiling, ..hello(Role::Client, id) });
        env.register(client, 1, "");
        env.say(client, Message::Submit(vec![submit(1, ""), submit(2, "")]));
        let failed = Failure { kind: FailureKind::Trap, message: "unreachable".to_owned(), value: None, trace: None };
        let outcomes = [Outcome::Ok(Payload::Inline(vec![0xc0])), Outcome::Failed(failed)];
        for (number, outcome) in (1..).zip(outcomes) {
            let task = TaskId { client: ClientId(id), number };
            let stats = TaskStats { worker: 1, ..TaskStats::default() };
            env.say(cluster, Message::Done(vec![Done { task, attempt: 1, outcome, stats }]));
        }
        let names: Vec<String> = env
            .take(client)
            .into_iter()
            .filter_map(|message| if let Message::TaskResult(results) = message { Some(results) } else { None })
            .flatten()
            .map(|result| result.stats.worker_name)
            .collect();
        assert_eq!(names, [if profiling { "w1" } else { "" }, "w1"]);
    }
}
