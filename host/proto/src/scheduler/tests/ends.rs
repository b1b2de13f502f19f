//! What is told of tasks that ended without a worker's word: why, where they were, how long they waited.

use super::*;
use crate::message::Goodbye;

impl Env {
    fn ends(&mut self, client: PeerId) -> Vec<TaskResult> {
        let messages = self.take(client).into_iter();
        let results = messages.filter_map(|message| match message {
            Message::TaskResult(results) => Some(results),
            _ => None,
        });
        results.flatten().collect()
    }

    /// State, error and queue time of the last tasks, by the number of each.
    fn ended_rows(&self) -> Vec<(u64, String, String, u64)> {
        let recent = self.core.view_in_full(self.now).recent.into_iter();
        recent.map(|task| (task.number, task.state, task.error.unwrap_or_default(), task.queued_us)).collect()
    }
}

fn message_of(result: &TaskResult) -> &str {
    match &result.outcome {
        Outcome::Failed(failure) => &failure.message,
        Outcome::Ok(_) => "",
    }
}

#[test]
fn what_a_call_waited_at_its_client_is_queue_time() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    for _ in 0..5 {
        env.pass_ms(1_000);
        env.say(agent, Message::Heartbeat(vec![Heartbeat::default()]));
    }
    drop(env.take(agent));
    env.say(client, Message::Submit(vec![Submit { held_ms: 3_000, ..submit(1, "") }]));
    let run = env.runs(agent).remove(0);
    env.pass_ms(1_000);
    env.done(agent, &run);
    assert_eq!(env.ends(client)[0].stats.queued_us, 3_999_990, "it ran for 10 us");
    // More than there was time for, from a client that lies.
    env.say(client, Message::Submit(vec![Submit { held_ms: u64::MAX, ..submit(2, "") }]));
    let run = env.runs(agent).remove(0);
    env.done(agent, &run);
    assert_eq!(env.ends(client)[0].stats.queued_us, env.now.0 / 1_000 - 10, "since the clock began, at most");
}

#[test]
fn tasks_that_end_with_their_client_say_how_it_went() {
    let mut env = Env::new(|_| {});
    let (leaving, silent) = (env.client(8), env.client(9));
    let agent = env.cluster(1, &["gpu"]);
    for client in [leaving, silent] {
        assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Registered(_)]));
        env.submit(client, [1], "cpu");
    }
    env.pass_ms(2_000);
    env.say(leaving, Message::Goodbye(vec![Goodbye { reason: "done".to_owned() }]));
    for _ in 0..60 {
        env.pass_ms(1_000);
        env.say(agent, Message::Heartbeat(vec![Heartbeat::default()]));
    }
    let [left, gone] = &env.ended_rows()[..] else { panic!("both have ended: {:?}", env.ended_rows()) };
    assert_eq!(left, &(1, "canceled".to_owned(), "canceled: its client left".to_owned(), 2_000_000));
    let (number, state, error, queued_us) = gone;
    assert_eq!((*number, state.as_str()), (2, "aborted"));
    assert_eq!(error, "aborted: its client was silent for too long");
    assert!(*queued_us >= 60_000_000, "{queued_us}");
}

#[test]
fn what_the_scheduler_gives_up_is_logged_and_names_the_worker() {
    let mut env = Env::new(|config| config.max_attempts = 2);
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    for _ in 0..2 {
        let Some(run) = env.runs(agent).pop() else { panic!("it is tried again") };
        let stats = TaskStats { worker: 1, ..TaskStats::default() };
        let Message::Returned(entries) = returned(&run, ReturnReason::ProcessorDied) else { unreachable!() };
        let entries = entries.into_iter().map(|entry| Returned { stats: stats.clone(), ..entry }).collect();
        env.say(agent, Message::Returned(entries));
    }
    let ends = env.ends(client);
    let cluster = crate::ids::AgentId(1).to_string();
    assert_eq!((ends[0].stats.worker_name.as_str(), &ends[0].stats.cluster), ("w1", &cluster));
    assert_eq!(message_of(&ends[0]), "its processor died 2 times while it ran; last: as told");
    let told = env.notes.iter().filter_map(|note| match note {
        Note::TaskFailed { task, call, worker, cluster, kind, message } => {
            Some((task, call, worker, cluster, kind, message))
        }
        _ => None,
    });
    let [(task, call, worker, of, kind, message)] = told.collect::<Vec<_>>()[..] else { panic!("{:?}", env.notes) };
    assert_eq!((task.number, call.as_str(), worker.as_str(), of), (1, "m:f", "w1", &cluster));
    assert_eq!((*kind, message.as_str()), (FailureKind::ProcessorDied, message_of(&ends[0])));
}

#[test]
fn a_task_that_outlived_five_clusters_names_the_last() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    let mut agent = env.cluster(1, &[""]);
    assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Registered(_)]));
    env.submit(client, [1], "");
    for next in 2..=6 {
        let Some(run) = env.runs(agent).pop() else { panic!("it runs on cluster {}", next - 1) };
        env.say(agent, Message::Running(vec![Running { attempt: attempt(&run), worker: 0 }]));
        env.cut(agent);
        agent = env.cluster(next, &[""]);
    }
    let ends = env.ends(client);
    let last = crate::ids::AgentId(5).to_string();
    assert_eq!(message_of(&ends[0]), format!("5 clusters were lost while it ran; the last one is {last}"));
    assert_eq!((ends[0].stats.worker_name.as_str(), &ends[0].stats.cluster), ("w0", &last));
    assert!(env.notes.iter().any(|note| matches!(note, Note::TaskFailed { kind: FailureKind::WorkerLost, .. })));
}

#[test]
fn many_that_are_given_up_at_once_are_counted_in_the_log() {
    let mut env = Env::new(|config| config.max_attempts = 1);
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    // A worker that is not known yet has one task in hand at first.
    for number in 1..=25 {
        env.submit(client, [number], "");
        let Some(run) = env.runs(agent).pop() else { panic!("task {number} runs") };
        env.say(agent, returned(&run, ReturnReason::ProcessorDied));
    }
    let told = |env: &Env| env.notes.iter().filter(|note| matches!(note, Note::TaskFailed { .. })).count();
    assert_eq!(told(&env), 10);
    assert!(env.core.next_deadline().is_some_and(|due| due <= env.now.plus_ms(1_000)), "it wakes up to say the rest");
    env.pass_ms(1_000);
    assert!(env.notes.contains(&Note::TasksFailedMore { count: 15 }), "{:?}", env.notes);
}
