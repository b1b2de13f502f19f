//! Workers and clients as watchers know them, and when each changed last.
//!
//! Once a round everything is compared with what it was. What is new or different gets the next *stamp*, so that what
//! a watcher lacks is what has a stamp above its own. When somebody was last heard changes all the time: it is kept
//! apart, one figure a cluster or client, and watchers let it grow by themselves.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::{AgentId, ClientId, Time},
    view::{ClientView, WorkerView},
};

/// Names of gone things that are remembered; who was away for longer gets a snapshot.
const GONE_MAX: usize = 4_096;
/// With more rows than this, figures that change all the time are told once in [`FIGURES_MS`].
const ROWS_LIVELY: usize = 64;
/// See [`ROWS_LIVELY`].
const FIGURES_MS: u64 = 1_000;

#[derive(Debug)]
struct Row<V> {
    view: V,
    stamp: u64,
    /// When it was stamped.
    at: Time,
    /// The round that saw it last.
    round: u64,
}

/// The last names of what is gone, with their stamps.
#[derive(Debug)]
struct Gone<K> {
    names: VecDeque<(u64, K)>,
    /// Stamp of the newest name that is not remembered any more.
    forgotten: u64,
}

#[derive(Debug)]
struct Heard {
    at: Time,
    stamp: u64,
    round: u64,
}

/// Tasks of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) assigned: usize,
    pub(super) running: u64,
    pub(super) ended: u64,
    /// Reports that one runs.
    pub(super) starts: u64,
}

/// What of a cluster tells whether its workers have to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Raised by every report and whatever else changes its workers.
    pub(super) revision: u64,
    /// What changes all the time.
    pub(super) figures: Figures,
    pub(super) is_lost: bool,
    pub(super) is_ready: bool,
    pub(super) is_leaving: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Rows {
    stamp: u64,
    round: u64,
    workers: BTreeMap<(AgentId, u16), Row<WorkerView>>,
    workers_gone: Gone<(String, String)>,
    shapes: BTreeMap<AgentId, Shape>,
    clusters_heard: BTreeMap<AgentId, Heard>,
    clients: BTreeMap<ClientId, Row<ClientView>>,
    clients_gone: Gone<String>,
    clients_heard: BTreeMap<ClientId, Heard>,
}

impl Rows {
    pub(super) fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// The stamp of the last change.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Whether everything that is gone since then is still known by name.
    pub(super) fn reaches_back_to(&self, stamp: u64) -> bool {
        stamp >= self.workers_gone.forgotten && stamp >= self.clients_gone.forgotten
    }

    /// Begins a round, in which every cluster and client is shown.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// Whether a cluster's workers have to be shown this round. If not, they are as they were.
    pub(super) fn is_changed(&mut self, now: Time, id: AgentId, shape: Shape) -> bool {
        let is_lively = self.workers.len() <= ROWS_LIVELY;
        let known = self.shapes.get(&id).copied();
        let is_same = known.is_some_and(|known| {
            let is_early = || {
                let first = self.workers.range((id, 0)..).next().filter(|(key, _)| key.0 == id);
                first.is_some_and(|(_, row)| now < row.at.plus_ms(FIGURES_MS))
            };
            known == shape || (Shape { figures: shape.figures, ..known } == shape && !is_lively && is_early())
        });
        if is_same {
            self.workers.range_mut((id, 0)..=(id, u16::MAX)).for_each(|(_, row)| row.round = self.round);
        } else {
            self.shapes.insert(id, shape);
        }
        !is_same
    }

    /// A worker, as it is but for when it was last heard.
    pub(super) fn worker(&mut self, now: Time, key: (AgentId, u16), view: WorkerView) {
        let (round, stamp) = (self.round, self.stamp + 1);
        let Some(row) = self.workers.get_mut(&key) else {
            self.stamp = stamp;
            self.workers.insert(key, Row { view, stamp, at: now, round });
            return;
        };
        row.round = round;
        row.at = now;
        if row.view != view {
            let before = std::mem::replace(&mut row.view, view);
            row.stamp = stamp;
            self.stamp = stamp;
            if before.name != row.view.name {
                // The name's end comes before the stamp of what is now in its place.
                self.workers_gone.push(stamp, (before.cluster, before.name));
            }
        }
    }

    /// A client, as it is but for when it was last heard.
    pub(super) fn client(&mut self, now: Time, id: ClientId, view: ClientView) {
        let (round, stamp, is_lively) = (self.round, self.stamp + 1, self.clients.len() <= ROWS_LIVELY);
        let Some(row) = self.clients.get_mut(&id) else {
            self.stamp = stamp;
            self.clients.insert(id, Row { view, stamp, at: now, round });
            return;
        };
        row.round = round;
        if row.view != view && (is_lively || now >= row.at.plus_ms(FIGURES_MS)) {
            *row = Row { view, stamp, at: now, round };
            self.stamp = stamp;
        }
    }

    pub(super) fn cluster_heard(&mut self, id: AgentId, at: Time) {
        note_heard(&mut self.clusters_heard, id, at, self.round, &mut self.stamp);
    }

    pub(super) fn client_heard(&mut self, id: ClientId, at: Time) {
        note_heard(&mut self.clients_heard, id, at, self.round, &mut self.stamp);
    }

    /// Ends a round: who was not shown is gone.
    pub(super) fn end(&mut self) {
        let (round, stamp) = (self.round, &mut self.stamp);
        let gone = &mut self.workers_gone;
        self.workers.retain(|_, row| {
            let is_here = row.round == round;
            if !is_here {
                *stamp += 1;
                gone.push(*stamp, (std::mem::take(&mut row.view.cluster), std::mem::take(&mut row.view.name)));
            }
            is_here
        });
        let gone = &mut self.clients_gone;
        self.clients.retain(|_, row| {
            let is_here = row.round == round;
            if !is_here {
                *stamp += 1;
                gone.push(*stamp, std::mem::take(&mut row.view.id));
            }
            is_here
        });
        self.clusters_heard.retain(|_, heard| heard.round == round);
        self.clients_heard.retain(|_, heard| heard.round == round);
        let clusters = &self.clusters_heard;
        self.shapes.retain(|id, _| clusters.contains_key(id));
    }

    /// Workers that are new or not as they were at that stamp.
    pub(super) fn workers(&self, now: Time, stamp: u64) -> impl Iterator<Item = WorkerView> {
        self.workers.iter().filter(move |(_, row)| row.stamp > stamp).map(move |((id, _), row)| {
            let last_seen_ms = self.clusters_heard.get(id).map_or(0, |heard| heard.since_ms(now));
            WorkerView { last_seen_ms, ..row.view.clone() }
        })
    }

    /// Clients that are new or not as they were at that stamp.
    pub(super) fn clients(&self, now: Time, stamp: u64) -> impl Iterator<Item = ClientView> {
        self.clients.iter().filter(move |(_, row)| row.stamp > stamp).map(move |(id, row)| {
            let last_seen_ms = self.clients_heard.get(id).map_or(0, |heard| heard.since_ms(now));
            ClientView { last_seen_ms, ..row.view.clone() }
        })
    }

    pub(super) fn workers_gone(&self, stamp: u64) -> impl Iterator<Item = (String, String)> {
        self.workers_gone.since(stamp)
    }

    pub(super) fn clients_gone(&self, stamp: u64) -> impl Iterator<Item = String> {
        self.clients_gone.since(stamp)
    }

    /// Clusters that were heard after that stamp, with how long ago that is.
    pub(super) fn clusters_seen(&self, now: Time, stamp: u64) -> impl Iterator<Item = (String, u64)> {
        seen(&self.clusters_heard, now, stamp)
    }

    /// Clients that were heard after that stamp, with how long ago that is.
    pub(super) fn clients_seen(&self, now: Time, stamp: u64) -> impl Iterator<Item = (String, u64)> {
        seen(&self.clients_heard, now, stamp)
    }
}

fn note_heard<K: Ord>(all: &mut BTreeMap<K, Heard>, id: K, at: Time, round: u64, stamp: &mut u64) {
    let heard = all.entry(id).or_insert(Heard { at: Time(0), stamp: 0, round });
    heard.round = round;
    if heard.at != at {
        *stamp += 1;
        (heard.at, heard.stamp) = (at, *stamp);
    }
}

fn seen<K: std::fmt::Display>(all: &BTreeMap<K, Heard>, now: Time, stamp: u64) -> impl Iterator<Item = (String, u64)> {
    let later = all.iter().filter(move |(_, heard)| heard.stamp > stamp);
    later.map(move |(id, heard)| (id.to_string(), heard.since_ms(now)))
}

impl Heard {
    fn since_ms(&self, now: Time) -> u64 {
        now.since(self.at) / 1_000_000
    }
}

impl<K> Default for Gone<K> {
    fn default() -> Self {
        Self { names: VecDeque::new(), forgotten: 0 }
    }
}

impl<K: Clone> Gone<K> {
    fn push(&mut self, stamp: u64, name: K) {
        if self.names.len() >= GONE_MAX
            && let Some((stamp, _)) = self.names.pop_front()
        {
            self.forgotten = stamp;
        }
        self.names.push_back((stamp, name));
    }

    fn since(&self, stamp: u64) -> impl Iterator<Item = K> {
        let later = self.names.partition_point(|(at, _)| *at <= stamp);
        self.names.range(later..).map(|(_, name)| name.clone())
    }
}
