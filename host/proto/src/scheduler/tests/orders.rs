//! Cancels from outside, and what guests write on its way to watchers and clients.

use super::*;
use crate::message::{CancelReply, CancelTask, LogLine, LogSource};

impl Env {
    fn order(&mut self, peer: PeerId, client: u64, number: u64) -> CancelReply {
        let task = TaskId { client: ClientId(client), number };
        self.say(peer, Message::CancelTask(vec![CancelTask { request: number, task }]));
        match self.take(peer).as_slice() {
            [Message::CancelReply(replies)] => replies[0].clone(),
            other => panic!("unexpected {other:?}"),
        }
    }

    fn failure(&mut self, peer: PeerId) -> Failure {
        let results = self.take(peer).into_iter().find_map(|message| match message {
            Message::TaskResult(results) => Some(results),
            _ => None,
        });
        match results.expect("a result").remove(0).outcome {
            Outcome::Failed(failure) => failure,
            Outcome::Ok(_) => panic!("it did not fail"),
        }
    }
}

fn line(task: Option<TaskId>, text: &str) -> LogLine {
    LogLine { task, worker: 0, source: LogSource::Stdout, text: text.to_owned(), dropped: 0 }
}

#[test]
fn somebody_else_cancels_a_task_that_waits() {
    let mut env = Env::new(|_| {});
    env.cluster(10, &[""]);
    let (client, other) = (env.client_with_function(20), env.client(21));
    env.submit(client, [1], "gpu");
    let reply = env.order(other, 20, 1);
    assert_eq!((reply.found, reply.state.as_str()), (true, "waiting"));
    let failure = env.failure(client);
    assert_eq!(failure.kind, FailureKind::Canceled);
    assert!(failure.message.contains("canceled by peer 21 (client-0000000000000015), before it ran"), "{failure:?}");
    let reply = env.order(other, 20, 1);
    assert_eq!((reply.found, reply.state.as_str()), (false, "it has ended: canceled"));
}

#[test]
fn somebody_else_cancels_a_task_that_runs() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let (client, other) = (env.client_with_function(20), env.client(21));
    env.submit(client, [1], "");
    let run = env.runs(cluster).remove(0);
    let attempt = Attempt { task: run.task, attempt: run.attempt };
    env.say(cluster, Message::Running(vec![Running { attempt, worker: 0 }]));
    assert_eq!(env.order(other, 20, 1).state, "running");
    assert_eq!(env.order(other, 20, 1).state, "canceling");
    let stops: Vec<_> = env.take(cluster).into_iter().filter(|message| matches!(message, Message::Stop(_))).collect();
    assert_eq!(stops, [Message::Stop(vec![Stop { attempt, reason: StopReason::Cancel }])]);
    let mut done = ok(&run);
    let canceled = Failure { kind: FailureKind::Canceled, message: "canceled".to_owned(), value: None, trace: None };
    done.outcome = Outcome::Failed(canceled);
    env.take(client);
    env.say(cluster, Message::Done(vec![done]));
    let failure = env.failure(client);
    assert!(failure.message.starts_with("canceled by peer 21 (client-"), "{failure:?}");
}

#[test]
fn what_is_not_there_is_not_canceled_and_said_so() {
    let mut env = Env::new(|_| {});
    let client = env.client(20);
    let reply = env.order(client, 99, 1);
    assert!(!reply.found && reply.state.contains("client-0000000000000063 is not connected"), "{reply:?}");
    let reply = env.order(client, 20, 1);
    assert!(!reply.found && reply.state.contains("never submitted"), "{reply:?}");
}

#[test]
fn lines_reach_the_log_and_the_client_that_asked_for_them() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let wanting = env.greet(Hello { stream_output: true, ..hello(Role::Client, 20) });
    let other = env.client(21);
    let task = |client| Some(TaskId { client: ClientId(client), number: 1 });
    let lines = vec![line(task(20), "one"), line(None, "preload"), line(task(21), "two"), line(task(99), "three")];
    env.say(cluster, Message::LogLines(lines.clone()));
    assert_eq!(env.take(wanting), [Message::TaskLog(vec![lines[0].clone()])]);
    assert!(env.take(other).is_empty());
    let view = env.core.view_in_full(env.now);
    let seen: Vec<_> = view.logs.iter().map(|line| (line.number, line.text.as_str(), line.worker.as_str())).collect();
    assert_eq!(seen, [(1, "one", "w0"), (2, "preload", "w0"), (3, "two", "w0"), (4, "three", "w0")]);
    assert_eq!((view.logs[0].task.as_str(), view.logs[1].task.as_str()), ("0000000000000014:1", ""));
    assert!(env.core.view(env.now).logs.is_empty());
}

#[test]
fn a_client_that_takes_no_lines_costs_a_bound_and_learns_what_it_missed() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let client = env.greet(Hello { stream_output: true, ..hello(Role::Client, 20) });
    let task = Some(TaskId { client: ClientId(20), number: 1 });
    for _ in 0..100 {
        env.say(cluster, Message::LogLines((0..200).map(|_| line(task, &"x".repeat(100))).collect()));
    }
    let lines = |messages: Vec<Message>| -> Vec<LogLine> {
        let lines = messages.into_iter().flat_map(|message| match message {
            Message::TaskLog(lines) => lines,
            other => panic!("unexpected {other:?}"),
        });
        lines.collect()
    };
    assert_eq!(lines(env.take(client)).len(), 200, "one message is on its way");
    env.say(client, Message::Ack(vec![crate::message::Ack {}]));
    assert_eq!(lines(env.take(client)).len(), 2_048);
    env.say(client, Message::Ack(vec![crate::message::Ack {}]));
    env.say(cluster, Message::LogLines(vec![line(task, "last")]));
    assert_eq!(lines(env.take(client))[0].dropped, 20_000 - 200 - 2_048);
}
