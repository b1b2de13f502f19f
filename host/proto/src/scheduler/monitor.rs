//! What watchers are told, and what is kept for it: totals, the last tasks, seconds and lines, and who watches.
//!
//! The cost of a task is a few additions and one entry in a ring (`totals`, `ended`), of a failed one two entries,
//! since the newest failures are kept apart from what else ends; pictures are made only for watchers that are there
//! and have taken what they were sent before. A *round* goes to all of these at once: `rows` finds what changed,
//! `update` makes the bodies, one for all watchers that are equally far. One update is on its way to a watcher at any
//! time, so one that does not read costs what it was sent last, and its connection in the end.

mod ended;
mod lines;
mod ring;
mod rows;
mod totals;
mod update;

pub(super) use ended::{Ended, Ran};
pub(super) use totals::Slot;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ids::{PeerId, Time},
    message::{Kind, LogLine, Message, TaskStats, Topic, Update, Watch},
    task::State,
    view::{FAILURES_MAX, FunctionView, HISTORY_MAX, LogView, RECENT_MAX, Sample, TaskView},
};

use self::{
    lines::Lines,
    ring::Ring,
    rows::{Figures, Rows, Shape},
    totals::Totals,
    update::Part,
};
use super::{Scheduler, peers::Standing, view::ENTRIES_MAX};

/// Watchers that may be there at once.
const WATCHERS_MAX: usize = 1_024;
/// Shortest time from one round to the next.
const ROUND_MS: u64 = 250;
/// What each watcher adds to it, if that is longer: together they are told a hundred times a second at most. Whoever
/// comes anew does not wait for that.
const ROUND_WATCHER_MS: u64 = 10;
/// A round in which nothing happened is due after this long.
const IDLE_MS: u64 = 1_000;
/// A watcher that has not taken an update by then is cut off.
const STALL_MS: u64 = 30_000;
/// Different bodies made in one round; watchers that would need more of them wait for the next.
const GROUPS_MAX: usize = 8;
/// See [`Monitor::tasks_max`].
const TASKS_MAX: usize = 250;
/// See [`Monitor::tasks_max`].
const TASKS_MIN: usize = 25;
/// Bytes of bodies that wait for slow watchers; beyond, no new ones are made.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// How far a watcher is in everything that grows.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The number of its last update.
    number: u64,
    stamp: u64,
    ended: u64,
    failures: u64,
    samples: u64,
    lines: u64,
}

/// What a watcher wants beyond what everyone gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Topics {
    tasks: bool,
    logs: bool,
}

#[derive(Debug)]
struct Watcher {
    topics: Topics,
    /// `None` until a snapshot was made for it.
    cursor: Option<Cursor>,
    /// What it is being sent, shared by all that get the same.
    parts: Arc<Vec<Part>>,
    /// How many of them have gone out.
    sent: usize,
    /// Number of the message that carries the last of these, and when it left.
    in_flight: Option<(u64, Time)>,
}

impl Watcher {
    fn is_waiting(&self) -> bool {
        self.in_flight.is_none() && self.sent == self.parts.len()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Monitor {
    totals: Totals,
    ended: Ring<Ended>,
    /// Those of them that failed.
    failures: Ring<Ended>,
    samples: Ring<Sample>,
    lines: Lines,
    /// End of the second that is being counted.
    second: Time,
    /// Ended, failed and aborted tasks up to its begin.
    counted: [u64; 3],
    rows: Rows,
    watchers: BTreeMap<PeerId, Watcher>,
    /// Whether one of them waits for a round.
    is_awaited: bool,
    /// Whether one of these has seen nothing yet.
    is_newcomer: bool,
    /// Number of the last update.
    number: u64,
    /// The last round, `None` before the first.
    round: Option<Time>,
    /// The last round that was for all, not for newcomers alone.
    beat: Time,
    /// Something has happened since then.
    is_news: bool,
    /// When the watchers were looked at last.
    looked: Time,
}

impl Monitor {
    pub(super) fn new(now: Time) -> Self {
        Self {
            totals: Totals::new(),
            ended: Ring::new(RECENT_MAX),
            failures: Ring::new(FAILURES_MAX),
            samples: Ring::new(HISTORY_MAX),
            lines: Lines::new(),
            second: now.plus_ms(1_000),
            counted: [0; 3],
            rows: Rows::default(),
            watchers: BTreeMap::new(),
            is_awaited: false,
            is_newcomer: false,
            number: 0,
            round: None,
            beat: Time(0),
            is_news: false,
            looked: now,
        }
    }

    /// The place in the totals of a function.
    pub(super) fn slot(&mut self, call: String) -> Slot {
        self.totals.slot(call)
    }

    pub(super) fn accepted(&mut self, function: Slot) {
        self.totals.accepted(function);
    }

    pub(super) fn ended(&mut self, mut ended: Ended, stats: &TaskStats) {
        ended.number = self.ended.end() + 1;
        self.totals.ended(ended.function, ended.state, stats);
        if ended.is_failure() {
            self.failures.push(ended.clone());
        }
        self.ended.push(ended.without_trace());
    }

    /// What a function is called; `(others)` beyond those that are counted by themselves.
    pub(super) fn call(&self, slot: Slot) -> &str {
        self.totals.call(slot)
    }

    pub(super) fn functions(&self) -> Vec<FunctionView> {
        self.totals.views()
    }

    pub(super) fn watchers(&self) -> u64 {
        self.watchers.len() as u64
    }

    /// Something happened that watchers may want to see.
    pub(super) fn news(&mut self) {
        self.is_news = true;
    }

    /// A connection is not there any more.
    pub(super) fn forget(&mut self, peer: PeerId) {
        if self.watchers.remove(&peer).is_some() {
            self.look_for_waiting();
        }
    }

    fn look_for_waiting(&mut self) {
        let mut waiting = self.watchers.values().filter(|watcher| watcher.is_waiting()).peekable();
        self.is_awaited = waiting.peek().is_some();
        self.is_newcomer = waiting.any(|watcher| watcher.cursor.is_none());
    }

    /// From one round to the next while something happens.
    fn pace_ms(&self) -> u64 {
        ROUND_MS.max(ROUND_WATCHER_MS * self.watchers.len() as u64)
    }

    /// Tasks that an update tells of, if it is no snapshot: a faster stream is for nobody's eyes, and of many watchers
    /// each gets less.
    fn tasks_max(&self) -> usize {
        let share = TASKS_MAX * ROUND_MS as usize / self.pace_ms() as usize;
        share.max(TASKS_MIN)
    }

    /// When a round is due for all that wait.
    fn beat_due(&self) -> Time {
        let pace = self.pace_ms();
        self.beat.plus_ms(if self.is_news { pace } else { pace.max(IDLE_MS) })
    }

    /// When a round is due for some that wait.
    fn due(&self) -> Time {
        let Some(round) = self.round else { return Time(0) };
        let due = self.beat_due();
        if self.is_newcomer { due.min(round.plus_ms(ROUND_MS)) } else { due }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        if self.watchers.is_empty() {
            return None;
        }
        let look = self.looked.plus_ms(IDLE_MS);
        Some(if self.is_awaited { look.min(self.due()) } else { look })
    }

    /// Bytes that wait for watchers, whatever several of them share counted once.
    fn bodies_bytes(&self) -> usize {
        let waiting = self.watchers.values().filter(|watcher| watcher.sent < watcher.parts.len());
        let bodies: BTreeMap<_, _> =
            waiting.map(|watcher| (Arc::as_ptr(&watcher.parts), update::bytes(&watcher.parts))).collect();
        bodies.values().sum()
    }

    /// The last tasks that ended.
    pub(super) fn recent(&self, started: Time) -> Vec<TaskView> {
        self.ended.iter().map(|ended| ended.view(started, &self.totals)).collect()
    }

    /// The newest tasks that failed.
    pub(super) fn failures(&self, started: Time) -> Vec<TaskView> {
        self.failures.iter().map(|ended| ended.view(started, &self.totals)).collect()
    }

    /// What became of a task, if it is among the last that ended.
    pub(super) fn fate(&self, task: crate::ids::TaskId) -> Option<State> {
        self.ended.iter().rev().find(|ended| ended.task == task).map(|ended| ended.state)
    }

    /// The last seconds.
    pub(super) fn history(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }

    /// The last lines.
    pub(super) fn logs(&self) -> Vec<LogView> {
        self.lines.since(0).collect()
    }
}

impl Scheduler {
    /// Somebody wants to watch, or lost the thread and begins anew.
    pub(super) fn watch(&mut self, peer: PeerId, watches: Vec<Watch>) {
        let Some(watch) = watches.into_iter().next_back() else { return };
        let monitor = &mut self.monitor;
        if monitor.watchers.len() >= WATCHERS_MAX && !monitor.watchers.contains_key(&peer) {
            let reason = format!("{WATCHERS_MAX} watchers are connected already; end one of them and try again");
            self.peers.refuse(peer, Kind::Watch as u16, reason);
            return;
        }
        let topics = Topics { tasks: watch.topics.contains(&Topic::Tasks), logs: watch.topics.contains(&Topic::Logs) };
        let watcher = monitor.watchers.entry(peer).or_insert_with(|| Watcher {
            topics,
            cursor: None,
            parts: Arc::default(),
            sent: 0,
            in_flight: None,
        });
        watcher.topics = topics;
        watcher.cursor = None;
        watcher.parts = Arc::default();
        watcher.sent = 0;
        monitor.look_for_waiting();
        monitor.is_news = true;
    }

    /// A watcher has taken everything up to that message.
    pub(super) fn watched(&mut self, now: Time, peer: PeerId, acknowledged: u64) {
        let Some(watcher) = self.monitor.watchers.get_mut(&peer) else { return };
        if watcher.in_flight.is_some_and(|(sequence, _)| sequence <= acknowledged) {
            watcher.in_flight = None;
            self.send_part(now, peer);
            self.monitor.look_for_waiting();
        }
    }

    /// Sends a watcher the next part of what it gets, if nothing is on its way.
    fn send_part(&mut self, now: Time, peer: PeerId) {
        let Some(watcher) = self.monitor.watchers.get_mut(&peer) else { return };
        if watcher.in_flight.is_some() {
            return;
        }
        let Some(part) = watcher.parts.get(watcher.sent) else { return };
        let update =
            Update { number: part.number, previous: part.previous, more: part.more, changes: part.changes.clone() };
        if let Some(sequence) = self.peers.send_counted(peer, Message::Update(vec![update])) {
            watcher.sent += 1;
            watcher.in_flight = Some((sequence, now));
        }
    }

    /// Counts seconds, and tells those who watch what is new.
    pub(super) fn observe(&mut self, now: Time) {
        if now >= self.monitor.second {
            self.sample(now);
        }
        if self.monitor.next_deadline().is_none_or(|due| now < due) {
            return;
        }
        self.monitor.looked = now;
        self.cut_off_stalled(now);
        if self.monitor.is_awaited && now >= self.monitor.due() {
            if self.monitor.bodies_bytes() <= BODIES_BYTES_MAX {
                self.round(now);
            } else {
                (self.monitor.round, self.monitor.beat) = (Some(now), now);
            }
        }
    }

    /// The gauges of a second that is over. Whoever was away for several gets them all.
    fn sample(&mut self, now: Time) {
        let ends = [self.tasks.ended(), self.tasks.total(State::Failed), self.tasks.total(State::Aborted)];
        let (mut busy, mut alive) = (0, 0);
        for cluster in self.clusters.values().filter(|cluster| cluster.is_ready()) {
            let workers = cluster.workers_alive();
            alive += workers;
            busy += workers.min(cluster.assigned.len() as u64);
        }
        let monitor = &mut self.monitor;
        let kept = Time(now.0.saturating_sub(HISTORY_MAX as u64 * 1_000_000_000));
        while monitor.second < kept {
            monitor.second = monitor.second.plus_ms(1_000);
        }
        while monitor.second <= now {
            monitor.samples.push(Sample {
                at_ms: monitor.second.since(self.started) / 1_000_000,
                finished: ends[0] - monitor.counted[0],
                failed: ends[1] - monitor.counted[1],
                aborted: ends[2] - monitor.counted[2],
                waiting: self.tasks.total(State::Waiting),
                assigned: self.tasks.at_clusters(),
                busy_permille: u32::try_from(busy * 1_000 / u64::max(alive, 1)).unwrap_or(1_000),
            });
            monitor.counted = ends;
            monitor.second = monitor.second.plus_ms(1_000);
        }
    }

    fn cut_off_stalled(&mut self, now: Time) {
        let peers = &self.peers;
        let is_there = |peer: &PeerId| peers.get(*peer).is_some_and(|peer| matches!(peer.standing, Standing::Monitor));
        self.monitor.watchers.retain(|peer, _| is_there(peer));
        let is_stalled = |watcher: &Watcher| watcher.in_flight.is_some_and(|(_, since)| since.plus_ms(STALL_MS) <= now);
        let stalled: Vec<_> =
            self.monitor.watchers.iter().filter(|(_, watcher)| is_stalled(watcher)).map(|(peer, _)| *peer).collect();
        for peer in stalled {
            let reason = format!("no update was taken for {} s; watch again", STALL_MS / 1_000);
            self.peers.refuse(peer, Kind::Update as u16, reason);
            self.peers.close(peer);
            self.monitor.watchers.remove(&peer);
        }
        self.monitor.look_for_waiting();
    }

    /// Tells the watchers that wait what they lack; between two beats only those that have seen nothing yet.
    fn round(&mut self, now: Time) {
        self.refresh(now);
        let is_beat = self.monitor.round.is_none() || now >= self.monitor.beat_due();
        let mut groups: BTreeMap<(u64, Topics), Vec<PeerId>> = BTreeMap::new();
        let waiting = self.monitor.watchers.iter().filter(|(_, watcher)| watcher.is_waiting());
        for (peer, watcher) in waiting.filter(|(_, watcher)| is_beat || watcher.cursor.is_none()) {
            let number = watcher.cursor.map_or(0, |cursor| cursor.number);
            groups.entry((number, watcher.topics)).or_default().push(*peer);
        }
        // Those that lack most come first, so that nobody waits for ever.
        for ((_, topics), members) in groups.into_iter().take(GROUPS_MAX) {
            let cursor = members.first().and_then(|peer| self.monitor.watchers.get(peer)?.cursor);
            let (parts, cursor) = self.parts(now, cursor, topics);
            let parts = Arc::new(parts);
            for peer in members {
                if let Some(watcher) = self.monitor.watchers.get_mut(&peer) {
                    watcher.cursor = Some(cursor);
                    watcher.parts = Arc::clone(&parts);
                    watcher.sent = 0;
                }
                self.send_part(now, peer);
            }
        }
        self.monitor.round = Some(now);
        if is_beat {
            self.monitor.beat = now;
            self.monitor.is_news = false;
        }
        self.monitor.look_for_waiting();
    }

    /// Finds out what has changed.
    fn refresh(&mut self, now: Time) {
        let mut rows = std::mem::take(&mut self.monitor.rows);
        rows.begin();
        let mut left = ENTRIES_MAX;
        for (id, cluster) in &self.clusters {
            if left == 0 {
                break;
            }
            rows.cluster_heard(*id, self.heard(cluster.peer, cluster.last_heard));
            let shape = Shape {
                revision: cluster.revision,
                figures: Figures {
                    assigned: cluster.assigned.len(),
                    running: cluster.workers.iter().map(|worker| worker.running).sum(),
                    ended: cluster.ended,
                    starts: cluster.starts,
                },
                is_lost: cluster.peer.is_none(),
                is_ready: cluster.is_ready(),
                is_leaving: cluster.leaving,
            };
            let count = cluster.workers.len().min(left);
            left -= count;
            if rows.is_changed(now, *id, shape) {
                for (index, view) in self.workers(now, *id, cluster).take(count).enumerate() {
                    let key = (*id, u16::try_from(index).unwrap_or(u16::MAX));
                    rows.worker(now, key, crate::view::WorkerView { last_seen_ms: 0, ..view });
                }
            }
        }
        for (id, client) in self.clients.iter().take(ENTRIES_MAX) {
            rows.client_heard(*id, self.heard(client.peer, client.last_heard));
            let view = self.client_view(now, *id, client);
            rows.client(now, *id, crate::view::ClientView { last_seen_ms: 0, ..view });
        }
        rows.end();
        self.monitor.totals.stamp(|| rows.next_stamp());
        self.monitor.rows = rows;
    }

    /// Keeps a line that a guest wrote.
    pub(super) fn keep_line(&mut self, now: Time, ran: &Ran, line: LogLine) {
        self.monitor.lines.push(LogView {
            number: self.monitor.lines.end() + 1,
            at_ms: now.since(self.started) / 1_000_000,
            task: line.task.map(|task| task.to_string()).unwrap_or_default(),
            worker: ran.worker.as_ref().to_owned(),
            cluster: ran.cluster.to_string(),
            source: line.source.name().to_owned(),
            text: line.text,
            dropped: line.dropped,
        });
    }
}
