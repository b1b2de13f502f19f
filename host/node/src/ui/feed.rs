//! What browsers are told: the view with a version on every part of it.
//!
//! Each row remembers the version in which it last changed, so what a browser lacks is found by comparing numbers,
//! however long it was away. A text that several browsers need is made once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use scaler_proto::view::{
    ClientView, FAILURES_MAX, FunctionView, HISTORY_MAX, LOGS_MAX, LogView, ParkedView, RECENT_MAX, Sample,
    SchedulerView, TaskView, View, WorkerView,
};
use serde::Serialize;

/// Rows that went away and are still told to those who saw them; who lacks older ones gets everything anew.
const GONE_MAX: usize = 4_096;
/// Ended tasks and lines in one update of changes: more flash past unread. A snapshot has all.
const NEWEST_MAX: usize = 250;
/// Texts that are kept for other browsers at the same version.
const TEXTS_MAX: usize = 16;

/// The versioned view.
#[derive(Debug, Default)]
pub(super) struct Feed {
    version: u64,
    /// Who has less than this gets everything: it saw another scheduler, or rows that are forgotten even as gone.
    floor: u64,
    monitor_address: String,
    /// The command that starts this page's server again.
    restart: String,
    /// The last view that came, as it came.
    view: Option<Arc<View>>,
    /// When it came, in milliseconds since 1970.
    at_ms: u64,
    /// Since when the scheduler is silent, in milliseconds since 1970.
    stale_since_ms: Option<u64>,
    /// Why, in words.
    problem: String,
    workers: Rows<(String, String), WorkerView>,
    clients: Rows<String, ClientView>,
    functions: Rows<String, FunctionView>,
    recent: Ring<TaskView>,
    failures: Ring<TaskView>,
    history: Ring<Sample>,
    logs: Ring<LogView>,
    texts: BTreeMap<u64, Arc<str>>,
}

/// What one browser is told.
#[derive(Serialize)]
struct Update<'f> {
    version: u64,
    /// Forget what you have.
    full: bool,
    monitor_address: &'f str,
    restart: &'f str,
    at_ms: u64,
    /// When the scheduler started, in milliseconds since 1970: all other times count from there.
    start_ms: u64,
    stale_since_ms: Option<u64>,
    problem: &'f str,
    scheduler: Option<&'f SchedulerView>,
    tasks: Option<&'f BTreeMap<String, u64>>,
    parked: &'f [ParkedView],
    workers: Vec<&'f WorkerView>,
    workers_gone: Vec<&'f (String, String)>,
    clients: Vec<&'f ClientView>,
    clients_gone: Vec<&'f String>,
    functions: Vec<&'f FunctionView>,
    functions_gone: Vec<&'f String>,
    recent: Vec<&'f TaskView>,
    failures: Vec<&'f TaskView>,
    history: Vec<&'f Sample>,
    logs: Vec<&'f LogView>,
}

impl Feed {
    pub(super) fn new(monitor_address: String, now_ms: u64) -> Self {
        let problem = "not connected yet".to_owned();
        Self { version: 1, monitor_address, stale_since_ms: Some(now_ms), problem, ..Self::default() }
    }

    /// What to type when this server is gone.
    pub(super) fn set_restart(&mut self, command: String) {
        self.restart = command;
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The view as it came last, and for how long nothing has come, if that is so.
    pub(super) fn view(&self) -> (Option<Arc<View>>, Option<u64>) {
        (self.view.clone(), self.stale_since_ms)
    }

    /// The scheduler said how things are.
    pub(super) fn see(&mut self, view: View, now_ms: u64) {
        self.version += 1;
        self.texts.clear();
        let another = self.view.as_ref().is_some_and(|before| before.scheduler.epoch != view.scheduler.epoch);
        if another {
            *self = Self {
                version: self.version,
                floor: self.version,
                monitor_address: std::mem::take(&mut self.monitor_address),
                restart: std::mem::take(&mut self.restart),
                ..Self::default()
            };
        }
        let version = self.version;
        let same = |before: &mut WorkerView, after: &WorkerView| {
            // Silence grows by itself, at the reader's too; only being heard again is news. Who comes anew sees it as
            // it is now.
            let is_silent = before.last_seen_ms <= after.last_seen_ms;
            before.last_seen_ms = after.last_seen_ms;
            is_silent && before == after
        };
        let key = |worker: &WorkerView| (worker.cluster.clone(), worker.name.clone());
        let mut forgotten = self.workers.update(version, &view.workers, key, same);
        let same = |before: &mut ClientView, after: &ClientView| {
            let is_silent = before.last_seen_ms <= after.last_seen_ms;
            before.last_seen_ms = after.last_seen_ms;
            is_silent && before == after
        };
        forgotten |= self.clients.update(version, &view.clients, |client| client.id.clone(), same);
        forgotten |= self.functions.update(version, &view.functions, |function| function.call.clone(), |a, b| *a == *b);
        if forgotten {
            self.floor = version;
        }
        self.recent.update(version, &view.recent, RECENT_MAX);
        self.failures.update(version, &view.failures, FAILURES_MAX);
        self.history.update(version, &view.history, HISTORY_MAX);
        self.logs.update(version, &view.logs, LOGS_MAX);
        self.at_ms = now_ms;
        self.stale_since_ms = None;
        self.problem.clear();
        self.view = Some(Arc::new(view));
    }

    /// The scheduler is silent; `problem` says what is known about it.
    pub(super) fn stale(&mut self, problem: &str, since_ms: u64) {
        if self.stale_since_ms.is_some() && self.problem == problem {
            return;
        }
        self.version += 1;
        self.texts.clear();
        self.stale_since_ms.get_or_insert(since_ms);
        problem.clone_into(&mut self.problem);
    }

    /// What a browser at version `since` lacks, as JSON; 0 is one that has nothing.
    pub(super) fn text(&mut self, since: u64) -> Arc<str> {
        let since = if since < self.floor || since > self.version { 0 } else { since };
        if let Some(text) = self.texts.get(&since) {
            return Arc::clone(text);
        }
        let text: Arc<str> = serde_json::to_string(&self.update(since)).unwrap_or_default().into();
        if self.texts.len() < TEXTS_MAX {
            self.texts.insert(since, Arc::clone(&text));
        }
        text
    }

    fn update(&self, since: u64) -> Update<'_> {
        let full = since == 0;
        let newest = if full { usize::MAX } else { NEWEST_MAX };
        let view = self.view.as_deref();
        let gone = if full { u64::MAX } else { since };
        Update {
            version: self.version,
            full,
            monitor_address: &self.monitor_address,
            restart: &self.restart,
            at_ms: self.at_ms,
            start_ms: view.map_or(0, |view| self.at_ms.saturating_sub(view.scheduler.uptime_ms)),
            stale_since_ms: self.stale_since_ms,
            problem: &self.problem,
            scheduler: view.map(|view| &view.scheduler),
            tasks: view.map(|view| &view.tasks),
            parked: view.map_or(&[], |view| &view.parked),
            workers: self.workers.since(since),
            workers_gone: self.workers.gone_since(gone),
            clients: self.clients.since(since),
            clients_gone: self.clients.gone_since(gone),
            functions: self.functions.since(since),
            functions_gone: self.functions.gone_since(gone),
            recent: self.recent.since(since, newest),
            failures: self.failures.since(since, newest),
            history: self.history.since(since, usize::MAX),
            logs: self.logs.since(since, newest),
        }
    }
}

/// Entries with a key.
#[derive(Debug)]
struct Rows<K, T> {
    rows: BTreeMap<K, (u64, T)>,
    gone: VecDeque<(u64, K)>,
}

impl<K, T> Default for Rows<K, T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), gone: VecDeque::new() }
    }
}

impl<K: Ord + Clone, T: Clone> Rows<K, T> {
    /// Takes the entries as they are now; whether some that went had to be forgotten. `same` says whether an entry is
    /// as it was, and brings up to date what is no news.
    fn update(&mut self, version: u64, now: &[T], key: impl Fn(&T) -> K, same: impl Fn(&mut T, &T) -> bool) -> bool {
        let mut before = std::mem::take(&mut self.rows);
        for entry in now {
            let key = key(entry);
            if let Some((stamp, mut known)) = before.remove(&key)
                && same(&mut known, entry)
            {
                self.rows.insert(key, (stamp, known));
            } else {
                self.rows.insert(key, (version, entry.clone()));
            }
        }
        self.gone.extend(before.into_keys().map(|key| (version, key)));
        let excess = self.gone.len().saturating_sub(GONE_MAX);
        self.gone.drain(..excess);
        excess > 0
    }

    fn since(&self, since: u64) -> Vec<&T> {
        self.rows.values().filter(|(stamp, _)| *stamp > since).map(|(_, row)| row).collect()
    }

    fn gone_since(&self, since: u64) -> Vec<&K> {
        let gone = self.gone.iter().filter(|(stamp, key)| *stamp > since && !self.rows.contains_key(key));
        gone.map(|(_, key)| key).collect()
    }
}

/// The last entries of something that only grows.
#[derive(Debug)]
struct Ring<T> {
    entries: VecDeque<(u64, T)>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new() }
    }
}

impl<T: Clone + PartialEq> Ring<T> {
    /// Takes the ring as it is now: what is new is at its end, after what was known before.
    fn update(&mut self, version: u64, now: &[T], most: usize) {
        let known = self.entries.len();
        let is_kept = |dropped: usize| {
            let kept = known - dropped;
            kept <= now.len() && self.entries.iter().skip(dropped).map(|(_, entry)| entry).eq(&now[..kept])
        };
        let kept = (0..known).find(|dropped| is_kept(*dropped)).map_or(0, |dropped| known - dropped);
        self.entries.drain(..known - kept);
        self.entries.extend(now[kept..].iter().map(|entry| (version, entry.clone())));
        let excess = self.entries.len().saturating_sub(most);
        self.entries.drain(..excess);
    }

    fn since(&self, since: u64, most: usize) -> Vec<&T> {
        let new = self.entries.iter().rev().take_while(|(stamp, _)| *stamp > since).take(most).count();
        self.entries.iter().skip(self.entries.len() - new).map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, queued: u64, last_seen_ms: u64) -> WorkerView {
        WorkerView { name: name.to_owned(), cluster: "c".to_owned(), queued, last_seen_ms, ..WorkerView::default() }
    }

    fn task(number: usize) -> TaskView {
        TaskView { id: format!("c:{number}"), ..TaskView::default() }
    }

    fn told(feed: &mut Feed, since: u64) -> serde_json::Value {
        serde_json::from_str(&feed.text(since)).expect("JSON")
    }

    fn names(value: &serde_json::Value) -> Vec<&str> {
        value.as_array().expect("a list").iter().filter_map(|row| row["name"].as_str()).collect()
    }

    #[test]
    fn a_browser_is_told_what_changed_since_its_version() {
        let mut feed = Feed::new("tcp://h:1".to_owned(), 5);
        feed.see(View { workers: vec![worker("a", 0, 0), worker("b", 0, 0)], ..View::default() }, 10);
        let first = told(&mut feed, 0);
        assert_eq!((&first["full"], names(&first["workers"])), (&true.into(), vec!["a", "b"]));
        let version = first["version"].as_u64().expect("version");
        feed.see(View { workers: vec![worker("a", 0, 40), worker("b", 7, 40)], ..View::default() }, 20);
        feed.see(View { workers: vec![worker("b", 7, 80)], recent: vec![task(1)], ..View::default() }, 30);
        let next = told(&mut feed, version);
        assert_eq!((&next["full"], names(&next["workers"])), (&false.into(), vec!["b"]), "{next}");
        assert_eq!(next["workers_gone"], serde_json::json!([["c", "a"]]));
        assert_eq!(next["recent"].as_array().map(Vec::len), Some(1));
        let version = next["version"].as_u64().expect("version");
        let nothing = told(&mut feed, version);
        assert!(["workers", "workers_gone", "recent"].iter().all(|key| nothing[key] == serde_json::json!([])));
    }

    #[test]
    fn being_heard_again_is_news_and_growing_silence_is_not() {
        let mut feed = Feed::default();
        feed.see(View { workers: vec![worker("a", 0, 100)], ..View::default() }, 1);
        let version = feed.version();
        feed.see(View { workers: vec![worker("a", 0, 350)], ..View::default() }, 2);
        assert_eq!(told(&mut feed, version)["workers"], serde_json::json!([]));
        assert_eq!(told(&mut feed, 0)["workers"][0]["last_seen_ms"], 350, "who comes anew sees the silence as it is");
        feed.see(View { workers: vec![worker("a", 0, 20)], ..View::default() }, 3);
        assert_eq!(told(&mut feed, version)["workers"][0]["last_seen_ms"], 20);
    }

    #[test]
    fn another_scheduler_makes_everything_new() {
        let scheduler = |epoch| SchedulerView { epoch, ..SchedulerView::default() };
        let mut feed = Feed::default();
        feed.see(View { scheduler: scheduler(1), recent: vec![task(1)], ..View::default() }, 1);
        let version = feed.version();
        feed.stale("its connection was closed", 2);
        assert_eq!(told(&mut feed, version)["stale_since_ms"], 2);
        feed.see(View { scheduler: scheduler(2), ..View::default() }, 3);
        let after = told(&mut feed, version);
        assert_eq!((&after["full"], &after["stale_since_ms"]), (&true.into(), &serde_json::Value::Null));
        assert_eq!(after["recent"], serde_json::json!([]));
    }

    #[test]
    fn rings_find_their_new_end_and_updates_hold_only_the_newest() {
        let mut feed = Feed::default();
        let view = |range: std::ops::Range<usize>| View { recent: range.map(task).collect(), ..View::default() };
        feed.see(view(0..900), 1);
        let version = feed.version();
        feed.see(view(100..1_100), 2);
        let told_now = told(&mut feed, version);
        let recent = told_now["recent"].as_array().expect("a list");
        assert_eq!((recent.len(), &recent[199]["id"]), (200, &"c:1099".into()));
        // So many that nothing of before is left.
        feed.see(view(5_000..6_000), 3);
        let told_now = told(&mut feed, version);
        let recent = told_now["recent"].as_array().expect("a list");
        assert_eq!((recent.len(), &recent[0]["id"]), (NEWEST_MAX, &format!("c:{}", 6_000 - NEWEST_MAX).into()));
        assert_eq!(told(&mut feed, 0)["recent"].as_array().map(Vec::len), Some(1_000));
    }

    #[test]
    fn failures_are_told_to_whoever_comes_however_many_tasks_ended_since() {
        let mut feed = Feed::default();
        let view = |recent: std::ops::Range<usize>, failures: usize| View {
            recent: recent.map(task).collect(),
            failures: (0..failures).map(task).collect(),
            ..View::default()
        };
        feed.see(view(0..900, 1), 1);
        let version = feed.version();
        feed.see(view(5_000..6_000, 2), 2);
        assert_eq!(told(&mut feed, 0)["failures"].as_array().map(Vec::len), Some(2));
        assert_eq!(told(&mut feed, version)["failures"][0]["id"], "c:1", "and what is known is not told again");
    }

    #[test]
    fn who_missed_more_than_is_remembered_gets_everything() {
        let mut feed = Feed::default();
        let many = |from: usize| (from..from + 3_000).map(|number| worker(&number.to_string(), 0, 0)).collect();
        feed.see(View { workers: many(0), ..View::default() }, 1);
        let version = feed.version();
        feed.see(View { workers: many(3_000), ..View::default() }, 2);
        assert_eq!(told(&mut feed, version)["workers_gone"].as_array().map(Vec::len), Some(3_000));
        feed.see(View { workers: many(6_000), ..View::default() }, 3);
        assert_eq!(told(&mut feed, version)["full"], true);
    }
}
