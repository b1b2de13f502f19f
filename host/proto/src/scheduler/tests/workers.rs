//! Rows of workers: what the scheduler knows itself is told at once, and agrees with the totals.

use super::*;
use crate::{
    message::{Running, Topic, Update, Watch},
    view::{Changes, RunningView, UnfinishedView, WorkerView},
};

impl Env {
    fn rows(&self) -> Vec<WorkerView> {
        self.core.view(self.now).workers
    }

    /// Totals that have to agree with the sums of the rows: at clusters, running, ended on a worker.
    fn agree(&self) {
        let sum = |of: fn(&WorkerView) -> u64| self.rows().iter().map(of).sum::<u64>();
        let (assigned, running) = (self.total("assigned"), self.total("running"));
        assert_eq!((sum(|row| row.queued), sum(|row| row.running)), (assigned, running));
        assert_eq!(sum(|row| row.finished), self.total("succeeded") + self.total("failed"));
    }
}

/// A task that ended on a worker.
fn done_on(worker: u16, run: &Run) -> Done {
    let done = ok(run);
    Done { stats: TaskStats { worker, ..done.stats }, ..done }
}

fn running_on(worker: u16, run: &Run) -> Message {
    Message::Running(vec![Running { attempt: attempt(run), worker }])
}

#[test]
fn rows_agree_with_the_totals_before_any_report() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let other = env.cluster(2, &["gpu"]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=6, "");
    env.submit(client, 7..=8, "gpu");
    env.agree();
    let (runs, gpu) = (env.runs(agent), env.runs(other));
    for (number, run) in runs.iter().enumerate() {
        env.say(agent, running_on(number as u16 % 2, run));
        env.agree();
        let mut done = done_on(number as u16 % 2, run);
        if number == 3 {
            done.outcome = failed(run, FailureKind::Error).outcome;
        }
        env.say(agent, Message::Done(vec![done]));
        env.agree();
    }
    env.say(other, Message::Done(gpu.iter().map(ok).collect()));
    env.agree();
    for cluster in [agent, other] {
        let rest = env.runs(cluster);
        env.say(cluster, Message::Done(rest.iter().map(ok).collect()));
        env.agree();
    }
    let finished: Vec<_> = env.rows().iter().map(|row| row.finished).collect();
    assert_eq!((finished.iter().sum::<u64>(), env.total("failed")), (8, 1), "{finished:?}");
}

#[test]
fn what_runs_is_told_of_the_worker_that_runs_it_until_it_leaves() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=2, "");
    let runs = env.runs(agent);
    env.say(agent, running_on(1, &runs[0]));
    let places = |env: &Env| env.rows().iter().map(|row| (row.queued, row.running)).collect::<Vec<_>>();
    assert_eq!(places(&env), [(1, 0), (0, 1)]);
    // A worker that the cluster does not have is nobody's.
    env.say(agent, running_on(9, &runs[1]));
    assert_eq!(env.rows().iter().map(|row| row.running).sum::<u64>(), 1);
    env.say(agent, returned(&runs[0], ReturnReason::ProcessorDied));
    assert_eq!(env.rows().iter().map(|row| row.running).sum::<u64>(), 0);
    env.cut(agent);
    assert_eq!(places(&env), [(0, 0), (0, 0)]);
}

/// The worker of an unfinished task, and for how long it runs.
type Listed = (String, Option<u64>);

/// What the rows of workers and the list of unfinished tasks say about what runs.
fn current(env: &Env) -> (Vec<Option<RunningView>>, Vec<Listed>) {
    let view = env.core.view_for_asker(env.now);
    let listed = view.unfinished.into_iter().map(|UnfinishedView { worker, running_ms, .. }| (worker, running_ms));
    (view.workers.into_iter().map(|row| row.current).collect(), listed.collect())
}

#[test]
fn what_a_worker_runs_is_told_with_its_call_and_its_age_until_it_leaves() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.pass_ms(500);
    env.submit(client, 1..=2, "");
    let runs = env.runs(agent);
    assert_eq!(current(&env), (vec![None, None], vec![(String::new(), None); 2]), "nothing was reported");
    env.pass_ms(30);
    env.say(agent, running_on(1, &runs[0]));
    env.pass_ms(1_500);
    let task = RunningView { id: runs[0].task.to_string(), call: "m:f".to_owned(), since_ms: 505, attempt: 1 };
    let (rows, listed) = current(&env);
    assert_eq!(rows, [None, Some(task)]);
    assert_eq!(listed, [("w1".to_owned(), Some(1_525)), (String::new(), None)]);
    // One that is canceled runs until it is stopped.
    env.say(client, Message::Cancel(vec![crate::message::Cancel { number: 1 }]));
    assert!(current(&env).0[1].is_some());
    env.say(agent, Message::Done(vec![failed(&runs[0], FailureKind::Canceled)]));
    assert_eq!(current(&env).0, [None, None]);
    // The same attempt of the other, on a processor that dies, and the next one, on a cluster that is lost.
    env.say(agent, running_on(1, &runs[1]));
    assert!(current(&env).0[1].is_some());
    env.take(agent);
    env.say(agent, returned(&runs[1], ReturnReason::ProcessorDied));
    assert_eq!(current(&env).0, [None, None]);
    let again = env.runs(agent);
    env.pass_ms(1_000);
    env.say(agent, running_on(0, &again[0]));
    let begun = current(&env).0[0].clone().expect("it runs again");
    assert_eq!((begun.attempt, begun.since_ms), (2, 3_005));
    env.cut(agent);
    assert_eq!(current(&env), (vec![None, None], vec![(String::new(), None)]));
}

#[test]
fn what_went_on_while_its_cluster_was_away_is_as_old_as_it_is() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let runs = env.runs(agent);
    env.pass_ms(25);
    env.say(agent, running_on(0, &runs[0]));
    env.cut(agent);
    env.pass_ms(10_000);
    let workers = vec![WorkerInfo { name: "w0".to_owned(), capabilities: Capabilities::none(), queue_size: 9 }];
    let holds = vec![attempt(&runs[0])];
    let back = env.greet(Hello { workers, holds, ready: true, epoch: 7, ..hello(Role::Agent, 1) });
    env.take(back);
    assert_eq!(current(&env).0, [None], "until it says so");
    env.say(back, running_on(0, &runs[0]));
    assert_eq!(
        current(&env),
        (
            vec![Some(RunningView { id: runs[0].task.to_string(), call: "m:f".to_owned(), since_ms: 0, attempt: 1 })],
            vec![("w0".to_owned(), Some(10_025))],
        )
    );
}

#[test]
fn watchers_hear_at_once_what_runs_and_nothing_of_what_is_short() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let watcher = env.greet(hello(Role::Monitor, 30));
    env.say(watcher, Message::Watch(vec![Watch { topics: vec![Topic::Tasks] }]));
    let hear = |env: &mut Env| {
        let mut rows = Vec::new();
        for _ in 0..3 {
            let told = env.take(watcher).into_iter().flat_map(|message| match message {
                Message::Update(updates) => updates,
                other => panic!("unexpected {other:?}"),
            });
            let told = told.map(|Update { changes, .. }| rmp_serde::from_slice::<Changes>(&changes).expect("changes"));
            rows.extend(told.flat_map(|changes| changes.workers));
            env.say(watcher, Message::Ack(vec![crate::message::Ack {}]));
            env.pass_ms(250);
        }
        env.say(agent, Message::Heartbeat(vec![Heartbeat::default()]));
        env.take(agent);
        rows.into_iter().map(|row| row.current.map(|task| (task.id, task.attempt))).collect::<Vec<_>>()
    };
    hear(&mut env);
    for number in 1..=4 {
        env.submit(client, [number], "");
        let runs = env.runs(agent);
        env.say(agent, Message::Done(runs.iter().map(|run| done_on(0, run)).collect()));
        let rows = hear(&mut env);
        assert!(!rows.is_empty() && rows.iter().all(Option::is_none), "nothing about a short task: {rows:?}");
    }
    env.submit(client, [5], "");
    let first = env.runs(agent);
    env.say(agent, running_on(0, &first[0]));
    assert_eq!(hear(&mut env).last(), Some(&Some((first[0].task.to_string(), 1))));
    assert!(hear(&mut env).is_empty(), "its age is counted by whoever looks");
    // This makes an update, so that the next is due later.
    env.submit(client, [6], "");
    env.take(watcher);
    env.say(watcher, Message::Ack(vec![crate::message::Ack {}]));
    // Its processor dies and it runs again, all between two updates: every figure of the row is as it was.
    env.say(agent, returned(&first[0], ReturnReason::ProcessorDied));
    let again: Vec<_> = env.runs(agent).into_iter().filter(|run| run.task == first[0].task).collect();
    env.say(agent, running_on(0, &again[0]));
    assert_eq!(hear(&mut env).last(), Some(&Some((first[0].task.to_string(), 2))));
}

#[test]
fn a_task_that_is_aborted_with_its_client_names_the_worker_that_ran_it() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let runs = env.runs(agent);
    env.say(agent, running_on(0, &runs[0]));
    for _ in 0..61 {
        env.pass_ms(1_000);
        env.say(agent, Message::Heartbeat(vec![Heartbeat::default()]));
    }
    let view = env.core.view_for_asker(env.now);
    let [task] = view.failures.as_slice() else { panic!("it was aborted: {view:?}") };
    assert_eq!((task.state.as_str(), task.worker.as_str()), ("aborted", "w0"));
    let function = &view.functions[0];
    assert_eq!((function.finished, function.failed, function.aborted), (1, 0, 1));
    assert_eq!((view.tasks["failed"], view.tasks["aborted"]), (0, 1));
    let history = env.core.view_in_full(env.now).history;
    assert_eq!(history.iter().map(|second| (second.failed, second.aborted)).max(), Some((0, 1)));
}

#[test]
fn what_a_worker_has_ended_stays_its_own_when_its_agent_connects_again() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=3, "");
    let runs = env.runs(agent);
    env.say(agent, Message::Done(runs.iter().map(|run| done_on(1, run)).collect()));
    env.cut(agent);
    env.cluster(1, &["", ""]);
    assert_eq!(env.rows().iter().map(|row| row.finished).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn a_task_whose_processor_died_names_its_worker() {
    let mut env = Env::new(|config| config.max_attempts = 1);
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let runs = env.runs(agent);
    let stats = TaskStats { worker: 1, run_us: 7_000, ..TaskStats::default() };
    let died = Message::Returned(vec![Returned {
        attempt: attempt(&runs[0]),
        reason: ReturnReason::ProcessorDied,
        message: "it was killed".to_owned(),
        stats,
    }]);
    env.say(agent, died);
    let view = env.core.view_in_full(env.now);
    let task = &view.recent[0];
    assert_eq!((task.state.as_str(), &task.worker, task.run_us), ("failed", &view.workers[1].name, 7_000));
    assert_eq!(view.workers[1].finished, 1);
}

#[test]
fn a_task_that_no_worker_had_names_none() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let runs = env.runs(agent);
    env.say(agent, Message::Done(vec![Done { stats: TaskStats::nowhere(), ..failed(&runs[0], FailureKind::Module) }]));
    let view = env.core.view_in_full(env.now);
    assert_eq!((view.recent[0].worker.as_str(), view.workers[0].finished), ("", 0));
}
