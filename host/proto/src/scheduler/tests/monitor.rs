//! Watchers: a snapshot and changes make the view, whoever is slow gets fewer and larger ones, everything is bounded.

use super::*;
use crate::{
    message::{Goodbye, Topic, Update, Watch},
    view::{Changes, FAILURES_MAX, RECENT_MAX, View},
};

/// Most bytes of an update's body.
const UPDATE_BYTES_MAX: usize = 256 * 1024;

/// A view that is kept up to date by nothing but updates.
#[derive(Default)]
struct Mirror {
    view: View,
    number: u64,
    updates: usize,
}

impl Mirror {
    fn apply(&mut self, update: Update) {
        assert!(update.changes.len() <= UPDATE_BYTES_MAX, "an update of {} bytes", update.changes.len());
        assert!(update.previous == 0 || update.previous == self.number, "{} after {}", update.previous, self.number);
        if update.previous == 0 {
            self.view = View::default();
        }
        self.number = update.number;
        self.updates += 1;
        self.view.apply(rmp_serde::from_slice::<Changes>(&update.changes).expect("changes"));
    }
}

/// Without what every message changes, and in one order.
fn comparable(mut view: View) -> View {
    view.scheduler.sent.clear();
    view.scheduler.received.clear();
    view.workers.sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
    view.clients.sort_by(|a, b| a.id.cmp(&b.id));
    view.functions.sort_by(|a, b| a.call.cmp(&b.call));
    view
}

impl Env {
    fn watcher(&mut self, id: u64, topics: &[Topic]) -> PeerId {
        let peer = self.greet(hello(Role::Monitor, id));
        self.watch(peer, topics);
        peer
    }

    fn watch(&mut self, peer: PeerId, topics: &[Topic]) {
        self.say(peer, Message::Watch(vec![Watch { topics: topics.to_vec() }]));
    }

    fn updates(&mut self, peer: PeerId) -> Vec<Update> {
        let updates = self.take(peer).into_iter().flat_map(|message| match message {
            Message::Update(updates) => updates,
            other => panic!("unexpected {other:?}"),
        });
        updates.collect()
    }

    fn acknowledge(&mut self, peer: PeerId) {
        self.say(peer, Message::Ack(vec![crate::message::Ack {}]));
    }

    /// Takes and acknowledges for some seconds; then the mirror is as far as it can be.
    fn follow(&mut self, peer: PeerId, mirror: &mut Mirror) {
        self.acknowledge(peer);
        for _ in 0..4 {
            for _ in 0..100 {
                let updates = self.updates(peer);
                if updates.is_empty() {
                    break;
                }
                updates.into_iter().for_each(|update| mirror.apply(update));
                self.acknowledge(peer);
            }
            self.pass_ms(1_000);
        }
        self.updates(peer).into_iter().for_each(|update| mirror.apply(update));
    }

    fn agrees(&mut self, mirror: &Mirror) {
        let (view, seen) = (comparable(self.core.view_in_full(self.now)), comparable(mirror.view.clone()));
        assert_eq!(seen, view);
    }

    /// Runs whatever the cluster is given.
    fn run_all(&mut self, cluster: PeerId) {
        loop {
            let runs = self.runs(cluster);
            if runs.is_empty() {
                return;
            }
            self.say(cluster, Message::Done(runs.iter().map(ok).collect()));
        }
    }
}

const EVERYTHING: [Topic; 2] = [Topic::Tasks, Topic::Logs];

#[test]
fn a_snapshot_and_changes_make_the_view() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &["", "gpu"]);
    let client = env.client_with_function(20);
    let (watcher, mut mirror) = (env.watcher(30, &EVERYTHING), Mirror::default());
    let snapshot = env.updates(watcher);
    assert!(matches!(snapshot.as_slice(), [update] if update.previous == 0), "{snapshot:?}");
    snapshot.into_iter().for_each(|update| mirror.apply(update));
    env.agrees(&mirror);
    assert_eq!(mirror.view.workers.len(), 2);

    env.submit(client, 1..=5, "gpu");
    env.run_all(cluster);
    env.follow(watcher, &mut mirror);
    env.agrees(&mirror);
    assert_eq!(mirror.view.tasks["succeeded"], 5);
    assert_eq!((mirror.view.functions[0].call.as_str(), mirror.view.functions[0].finished), ("m:f", 5));
    let task = &mirror.view.recent[0];
    assert_eq!((task.state.as_str(), task.capabilities.as_str()), ("succeeded", "gpu"));
    assert!(mirror.view.history.iter().map(|sample| sample.finished).sum::<u64>() == 5);

    // Another cluster, the end of the first (which is back), and the client says goodbye.
    let cluster = env.cluster(10, &["", "gpu"]);
    env.cluster(11, &[""]);
    env.say(cluster, Message::Goodbye(vec![Goodbye { reason: "done".to_owned() }]));
    env.submit(client, 6..=7, "gpu");
    env.say(client, Message::Goodbye(vec![Goodbye { reason: "done".to_owned() }]));
    env.follow(watcher, &mut mirror);
    env.agrees(&mirror);
    assert_eq!((mirror.view.workers.len(), mirror.view.clients.len(), mirror.view.tasks["canceled"]), (1, 0, 2));
}

#[test]
fn a_lost_cluster_is_shown_as_lost_and_then_forgotten() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let (watcher, mut mirror) = (env.watcher(30, &[]), Mirror::default());
    env.follow(watcher, &mut mirror);
    env.cut(cluster);
    env.follow(watcher, &mut mirror);
    assert_eq!(mirror.view.workers[0].state, "lost");
    let seen = mirror.view.workers[0].last_seen_ms;
    env.follow(watcher, &mut mirror);
    assert!(mirror.view.workers[0].last_seen_ms >= seen + 3_000, "the mirror ages what it is not told of");
    env.agrees(&mirror);
    for _ in 0..16 {
        env.follow(watcher, &mut mirror);
    }
    assert!(mirror.view.workers.is_empty());
}

#[test]
fn a_watcher_gets_the_topics_that_it_asked_for() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let client = env.client_with_function(20);
    env.submit(client, 1..=3, "");
    env.run_all(cluster);
    let (watcher, mut mirror) = (env.watcher(30, &[]), Mirror::default());
    env.follow(watcher, &mut mirror);
    assert!(mirror.view.recent.is_empty() && mirror.view.tasks["succeeded"] == 3);
    env.watch(watcher, &[Topic::Tasks]);
    env.follow(watcher, &mut mirror);
    assert_eq!(mirror.view.recent.len(), 3);
}

#[test]
fn one_update_is_on_its_way_and_a_slow_watcher_catches_up_with_the_next() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let client = env.client_with_function(20);
    let (watcher, mut mirror) = (env.watcher(30, &EVERYTHING), Mirror::default());
    for number in 1..=20 {
        env.submit(client, [number], "");
        env.run_all(cluster);
        env.pass_ms(1_000);
    }
    let updates = env.updates(watcher);
    assert_eq!(updates.len(), 1, "nothing is queued for a watcher that does not acknowledge");
    updates.into_iter().for_each(|update| mirror.apply(update));
    env.acknowledge(watcher);
    let updates = env.updates(watcher);
    assert_eq!(updates.len(), 1);
    updates.into_iter().for_each(|update| mirror.apply(update));
    assert_eq!((mirror.view.tasks["succeeded"], mirror.view.recent.len()), (20, 20));
    env.agrees(&mirror);
}

#[test]
fn rounds_keep_their_pace_and_idle_ones_a_slower_one() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let client = env.client_with_function(20);
    let (watcher, mut mirror) = (env.watcher(30, &[]), Mirror::default());
    let mut count = |env: &mut Env, busy: bool, number: &mut u64| {
        let before = mirror.updates;
        for _ in 0..400 {
            if busy {
                *number += 1;
                env.submit(client, [*number], "");
                env.run_all(cluster);
                env.take(client);
            }
            env.updates(watcher).into_iter().for_each(|update| mirror.apply(update));
            env.acknowledge(watcher);
            env.pass_ms(10);
        }
        mirror.updates - before
    };
    let mut number = 0;
    let (busy, idle) = (count(&mut env, true, &mut number), count(&mut env, false, &mut number));
    assert!((14..=17).contains(&busy), "{busy} updates in four busy seconds");
    assert!((3..=6).contains(&idle), "{idle} updates in four idle seconds");
}

#[test]
fn whoever_comes_to_many_watchers_does_not_wait_for_their_beat() {
    let mut env = Env::new(|_| {});
    env.cluster(10, &[""]);
    let all: Vec<_> = (0..400).map(|id| env.watcher(30 + id, &[])).collect();
    for _ in 0..20 {
        env.pass_ms(250);
        all.iter().for_each(|watcher| env.updates(*watcher).clear());
        all.iter().for_each(|watcher| env.acknowledge(*watcher));
    }
    // A beat of 400 watchers is four seconds long; one has just been, or it is now.
    env.cluster(11, &[""]);
    env.pass_ms(4_000);
    assert!(all.iter().all(|watcher| env.updates(*watcher).len() == 1));
    all.iter().for_each(|watcher| env.acknowledge(*watcher));
    env.cluster(12, &[""]);
    let late = env.watcher(5_000, &[]);
    env.pass_ms(250);
    assert!(matches!(env.updates(late).as_slice(), [update] if update.previous == 0));
    assert!(all.iter().all(|watcher| env.updates(*watcher).is_empty()), "the others keep their beat");
    env.acknowledge(late);
    env.pass_ms(4_000);
    for watcher in all.iter().chain([&late]) {
        assert!(matches!(env.updates(*watcher).as_slice(), [update] if update.previous != 0));
    }
}

#[test]
fn whoever_lost_an_update_begins_anew_with_a_snapshot() {
    let mut env = Env::new(|_| {});
    env.cluster(10, &[""]);
    let (watcher, mut mirror) = (env.watcher(30, &EVERYTHING), Mirror::default());
    env.follow(watcher, &mut mirror);
    env.cluster(11, &[""]);
    env.acknowledge(watcher);
    env.pass_ms(1_000);
    assert!(env.updates(watcher).iter().all(|update| update.previous != 0), "these are lost");
    env.acknowledge(watcher);
    env.watch(watcher, &EVERYTHING);
    env.pass_ms(250);
    assert!(matches!(env.updates(watcher).as_slice(), [update] if update.previous == 0));
    mirror.view.workers.clear();
    env.watch(watcher, &EVERYTHING);
    env.follow(watcher, &mut mirror);
    env.agrees(&mirror);
}

#[test]
fn watchers_that_are_equally_far_get_the_same_update() {
    let mut env = Env::new(|_| {});
    env.cluster(10, &[""]);
    let watchers: Vec<_> = (0..20).map(|id| env.watcher(30 + id, &[])).collect();
    env.pass_ms(250);
    let mut bodies = Vec::new();
    for watcher in &watchers {
        bodies.extend(env.updates(*watcher));
        env.acknowledge(*watcher);
    }
    env.cluster(11, &[""]);
    env.pass_ms(1_000);
    let updates: Vec<_> = watchers.iter().flat_map(|watcher| env.updates(*watcher)).collect();
    assert_eq!(updates.len(), 20);
    // The first to come had its snapshot before the others.
    assert_eq!(updates[1..].iter().filter(|update| **update == updates[1]).count(), 19);
}

#[test]
fn totals_are_exact_and_lists_bounded_after_100_000_tasks() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let client = env.client_with_function(20);
    let (watcher, mut mirror) = (env.watcher(30, &EVERYTHING), Mirror::default());
    let (mut submitted, mut failed) = (0, 0);
    while submitted < 100_000 {
        env.submit(client, submitted + 1..=submitted + 500, "");
        submitted += 500;
        loop {
            let runs = env.runs(cluster);
            if runs.is_empty() {
                break;
            }
            let end = |run: &Run| {
                let mut done = ok(run);
                if run.task.number.is_multiple_of(10) {
                    done.outcome = failed_with("x".repeat(10_000));
                }
                done
            };
            failed += runs.iter().filter(|run| run.task.number.is_multiple_of(10)).count() as u64;
            env.say(cluster, Message::Done(runs.iter().map(end).collect()));
            env.take(client);
            env.acknowledge(client);
        }
        env.pass_ms(20);
        env.updates(watcher).into_iter().for_each(|update| mirror.apply(update));
        if submitted.is_multiple_of(1_500) {
            env.acknowledge(watcher);
        }
    }
    env.follow(watcher, &mut mirror);
    let View { tasks, functions, recent, .. } = &mirror.view;
    assert_eq!((tasks["succeeded"], tasks["failed"]), (90_000, 10_000));
    assert_eq!((failed, functions[0].finished, functions[0].failed), (10_000, 100_000, 10_000));
    assert_eq!(functions[0].unfinished, 0);
    assert!(recent.len() <= RECENT_MAX && recent.last().expect("a task").id.ends_with(":100000"));
    assert!(recent.iter().all(|task| task.error.as_ref().is_none_or(|error| error.len() <= 400)));
    let view = env.core.view_in_full(env.now);
    assert_eq!((view.recent.len(), view.failures.len()), (RECENT_MAX, FAILURES_MAX));
    assert!(view.failures.iter().all(|task| task.state == "failed"));
    env.watch(watcher, &EVERYTHING);
    env.follow(watcher, &mut mirror);
    env.agrees(&mirror);
}

#[test]
fn a_failure_is_there_after_thousands_of_tasks_that_did_not_fail() {
    let mut env = Env::new(|_| {});
    let cluster = env.cluster(10, &[""]);
    let client = env.client_with_function(20);
    let (watcher, mut mirror) = (env.watcher(30, &EVERYTHING), Mirror::default());
    env.submit(client, [1], "");
    let runs = env.runs(cluster);
    env.say(cluster, Message::Done(vec![failed(&runs[0], FailureKind::StackOverflow)]));
    env.submit(client, [2], "");
    let runs = env.runs(cluster);
    env.say(client, Message::Cancel(vec![Cancel { number: 2 }]));
    env.take(cluster);
    env.say(cluster, Message::Done(vec![failed(&runs[0], FailureKind::Canceled)]));
    for round in 0..8_u64 {
        env.submit(client, round * 500 + 3..=round * 500 + 502, "");
        env.run_all(cluster);
        env.take(client);
        env.acknowledge(client);
        env.pass_ms(300);
        env.updates(watcher).into_iter().for_each(|update| mirror.apply(update));
        env.acknowledge(watcher);
    }
    env.follow(watcher, &mut mirror);
    let is_kept = |view: &View| {
        let [failure] = view.failures.as_slice() else { panic!("one task failed: {:?}", view.failures) };
        let error = failure.error.as_deref().expect("a reason");
        assert!(failure.id.ends_with(":1") && error.starts_with("stack overflow: "), "{failure:?}");
        assert!(view.recent.iter().all(|task| task.state == "succeeded"));
    };
    assert_eq!((mirror.view.tasks["succeeded"], mirror.view.tasks["canceled"]), (4_000, 1));
    is_kept(&mirror.view);
    // Whoever comes now sees it as well.
    env.watch(watcher, &EVERYTHING);
    env.follow(watcher, &mut mirror);
    is_kept(&mirror.view);
}

fn failed_with(message: String) -> Outcome {
    Outcome::Failed(Failure { kind: FailureKind::Error, message, value: None, trace: None })
}

#[test]
fn a_picture_that_is_larger_than_an_update_comes_in_parts() {
    let mut env = Env::new(|_| {});
    for id in 0..20 {
        let workers = (0..100).map(|index| WorkerInfo {
            name: format!("{index:03}-{}", "worker".repeat(100)),
            capabilities: "gpu,cpu=8,a-rather-long-name-of-a-tag".parse().expect("tags"),
            queue_size: 1000,
        });
        let peer = env.greet(Hello { workers: workers.collect(), ..hello(Role::Agent, 100 + id) });
        env.ready(peer, vec![module("m", 1)]);
    }
    let (watcher, mut mirror) = (env.watcher(30, &EVERYTHING), Mirror::default());
    let first = env.updates(watcher);
    assert!(matches!(first.as_slice(), [update] if update.more), "one part is on its way at a time");
    first.into_iter().for_each(|update| mirror.apply(update));
    env.follow(watcher, &mut mirror);
    assert!(mirror.updates >= 3 && mirror.view.workers.len() == 2_000, "{} updates", mirror.updates);
    env.agrees(&mirror);

    // What is as it was is not told again.
    env.acknowledge(watcher);
    env.pass_ms(1_000);
    let updates = env.updates(watcher);
    assert!(matches!(updates.as_slice(), [update] if update.changes.len() < 2_000), "{:?}", updates.len());
}

#[test]
fn a_watcher_that_was_away_for_too_many_departures_gets_a_snapshot() {
    let mut env = Env::new(|_| {});
    let (watcher, mut mirror) = (env.watcher(30, &[]), Mirror::default());
    env.follow(watcher, &mut mirror);
    let other = env.watcher(31, &[]);
    for round in 0..5_u64 {
        let clients: Vec<_> = (0..1_000).map(|id| env.client(1_000 + round * 1_000 + id)).collect();
        for pass in 0..2 {
            env.pass_ms(1_000);
            env.updates(other);
            env.acknowledge(other);
            if pass == 0 {
                let goodbye = || Message::Goodbye(vec![Goodbye { reason: String::new() }]);
                clients.iter().for_each(|client| env.say(*client, goodbye()));
            }
        }
    }
    env.updates(watcher).into_iter().for_each(|update| mirror.apply(update));
    // Only now it takes what came long ago.
    env.acknowledge(watcher);
    env.pass_ms(1_000);
    let updates = env.updates(watcher);
    assert!(matches!(updates.as_slice(), [update] if update.previous == 0), "{updates:?}");
}

#[test]
fn of_very_many_tasks_only_the_last_are_told_and_of_many_watchers_each_is_told_less() {
    for (watchers, most) in [(1, 250), (50, 125), (1_000, 25)] {
        let mut env = Env::new(|_| {});
        let all: Vec<_> = (0..watchers).map(|id| env.watcher(30 + id, &EVERYTHING)).collect();
        for _ in 0..10 {
            env.pass_ms(1_100);
            all.iter().for_each(|watcher| env.updates(*watcher).clear());
            all.iter().for_each(|watcher| env.acknowledge(*watcher));
        }
        let cluster = env.cluster(10, &[""]);
        let client = env.client_with_function(20);
        env.submit(client, 1..=900, "");
        env.run_all(cluster);
        let mut told = Vec::new();
        for _ in 0..10 {
            env.pass_ms(1_100);
            told.extend(env.updates(all[0]));
            env.acknowledge(all[0]);
        }
        let tasks = told.iter().map(|update| rmp_serde::from_slice::<Changes>(&update.changes).expect("changes"));
        let told: Vec<_> = tasks.flat_map(|changes| changes.recent).collect();
        assert_eq!(told.len(), most, "of 900 tasks, with {watchers} watchers");
        assert!(told.last().expect("a task").id.ends_with(":900"));
    }
}

#[test]
fn watchers_are_bounded_and_the_next_one_is_told() {
    let mut env = Env::new(|_| {});
    let watchers: Vec<_> = (0..1_024).map(|id| env.watcher(30 + id, &[])).collect();
    assert_eq!(env.core.view(env.now).scheduler.watchers, 1_024);
    let late = env.watcher(5_000, &[]);
    let told = env.take(late);
    assert!(
        matches!(told.as_slice(), [Message::Refused(refused)] if refused[0].reason.contains("1024 watchers")),
        "{told:?}"
    );
    env.cut(watchers[0]);
    env.watch(late, &[]);
    assert_eq!(env.core.view(env.now).scheduler.watchers, 1_024);
}

#[test]
fn a_watcher_that_takes_nothing_is_cut_off() {
    let mut env = Env::new(|_| {});
    let watcher = env.watcher(30, &[]);
    assert_eq!(env.updates(watcher).len(), 1);
    env.pass_ms(29_000);
    assert!(env.take(watcher).is_empty() && env.other.is_empty());
    env.pass_ms(2_000);
    assert!(matches!(env.take(watcher).as_slice(), [Message::Refused(_)]));
    assert_eq!(std::mem::take(&mut env.other), [Effect::Drop(watcher)]);
    assert_eq!(env.core.view(env.now).scheduler.watchers, 0);
}

#[test]
fn without_watchers_there_is_no_deadline() {
    let mut env = Env::new(|_| {});
    env.pass_ms(1);
    assert_eq!(env.core.next_deadline(), None);
    let watcher = env.watcher(30, &[]);
    assert!(env.core.next_deadline().is_some());
    env.cut(watcher);
    env.pass_ms(20_000);
    assert_eq!(env.core.next_deadline(), None);
}
