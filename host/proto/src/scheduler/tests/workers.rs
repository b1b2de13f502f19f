//! Rows of workers: what the scheduler knows itself is told at once, and agrees with the totals.

use super::*;
use crate::{message::Running, view::WorkerView};

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
