//! Tasks that no connected worker can run are listed and told of, and queue times leave no wait out.

use super::*;
use crate::message::Stranded;

impl Env {
    fn strandings(&mut self, peer: PeerId) -> Vec<Stranded> {
        let messages = self.take(peer).into_iter();
        messages
            .filter_map(|message| if let Message::Stranded(told) = message { Some(told) } else { None })
            .flatten()
            .collect()
    }

    /// How many tasks a cluster was given, among other messages.
    fn given(&mut self, peer: PeerId) -> usize {
        self.take(peer).iter().map(|message| if let Message::Run(runs) = message { runs.len() } else { 0 }).sum()
    }

    /// Lets time pass with clusters that are heard.
    fn live_ms(&mut self, agents: &[PeerId], millis: u64) {
        for _ in 0..millis / 500 {
            for agent in agents {
                self.say(*agent, Message::Heartbeat(vec![Heartbeat::default()]));
            }
            self.pass_ms(500);
        }
    }

    fn parked(&self) -> Vec<(String, u64)> {
        self.core.view(self.now).parked.into_iter().map(|parked| (parked.call, parked.held)).collect()
    }
}

#[test]
fn tasks_that_nobody_can_run_are_listed_at_once_and_told_after_a_moment() {
    let mut env = Env::new(|_| {});
    let plain = env.cluster(1, &[""]);
    let gpu = env.cluster(2, &["gpu"]);
    let (client, other) = (env.client_with_function(9), env.client_with_function(8));
    env.cut(gpu);
    env.submit(client, 1..=4_200, "gpu");
    assert_eq!(env.parked(), [("m:f".to_owned(), 4_200)]);
    assert_eq!(env.strandings(client), [], "a cluster that comes back at once is no news");
    env.live_ms(&[plain], 2_000);
    let [told] = &env.strandings(client)[..] else { panic!("told once") };
    assert_eq!((told.call.as_str(), told.tasks), ("m:f", 4_200));
    assert!(told.reason.contains("-pwc gpu"), "{}", told.reason);
    env.submit(client, [4_201], "gpu");
    env.submit(other, [1], "gpu");
    env.live_ms(&[plain], 2_000);
    assert_eq!(env.strandings(client), [], "who knows is not told again");
    assert_eq!(env.strandings(other).len(), 1, "who came later is told as well");
    assert_eq!(env.parked(), [("m:f".to_owned(), 4_202)]);
    assert_eq!(env.given(plain), 0);
    let gpu = env.cluster(3, &["gpu"]);
    assert!(env.given(gpu) > 0);
    assert_eq!(env.parked(), []);
}

#[test]
fn without_any_cluster_waiting_tasks_say_so() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.cut(agent);
    env.pass_ms(2_000);
    let [told] = &env.strandings(client)[..] else { panic!("told once") };
    assert!(told.reason.contains("no cluster is connected"), "{}", told.reason);
    // A task that a busy worker will run waits in silence.
    let agent = env.cluster(2, &[""]);
    env.submit(client, 2..=2_000, "");
    env.live_ms(&[agent], 2_000);
    assert_eq!(env.strandings(client), []);
    assert_eq!(env.parked(), []);
    assert!(env.given(agent) > 0);
}

#[test]
fn the_queue_time_is_all_that_a_task_did_not_run() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1, 2], "");
    let runs = env.runs(agent);
    env.pass_ms(1_000);
    // The second one waited at the worker for most of the time.
    for (run, run_us) in runs.iter().zip([900_000, 100_000]) {
        let done = ok(run);
        env.say(agent, Message::Done(vec![Done { stats: TaskStats { run_us, ..done.stats }, ..done }]));
    }
    let results = env.take(client).into_iter().filter_map(|message| match message {
        Message::TaskResult(results) => Some(results),
        _ => None,
    });
    let queued: Vec<u64> = results.flatten().map(|result| result.stats.queued_us).collect();
    assert_eq!(queued, [100_000, 900_000]);
}
