//! Which task goes where: placement once a turn, and taking back what queues at one cluster while another idles.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap},
};

use crate::{
    capability::Capabilities,
    ids::{AgentId, Time},
    message::{FailureKind, INLINE_MAX, Run, StopReason},
    policy::{self, Candidate, Room},
    task::{Event, State},
};

use super::{
    AllocatePolicy, Effect, Scheduler,
    classes::{ClassKey, Fit},
    clusters::Cluster,
    endings::Ending,
    seeded::Fault,
    tasks::TaskKey,
};

/// Tasks looked at for one cluster in one round of balancing.
const BALANCE_LOOK_MAX: usize = 1024;

/// The rounds of balancing.
#[derive(Debug)]
pub(super) struct Balance {
    /// When the next one is due.
    pub(super) next: Time,
    /// Rounds in a row that saw one cluster idle while another queues.
    seen: u32,
}

impl Balance {
    pub(super) fn new(next: Time) -> Self {
        Self { next, seen: 0 }
    }
}

/// A cluster in the order in which it is to be given the next task.
#[derive(Debug)]
struct Turn {
    candidate: Candidate,
    fit: Fit,
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Turn {}
impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest; the first in turn is the least.
        other.candidate.order(&self.candidate)
    }
}

/// The first waiting task of a class; the greatest is the next to be placed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    priority: i32,
    age: Reverse<u64>,
    class: ClassKey,
    /// Index into the turns of this round.
    turns: usize,
}

enum Placed {
    Yes,
    /// No cluster has room for this class.
    Full,
    /// No result could be taken.
    NoRoomForResults,
}

impl Scheduler {
    /// Gives waiting tasks to clusters, as far as these have room. Cheap when nothing has changed.
    pub(super) fn schedule(&mut self, now: Time) {
        if !std::mem::take(&mut self.wake) || self.classes.busy.is_empty() || self.stopping.is_some() {
            return;
        }
        let mut turns: Vec<BinaryHeap<Turn>> = Vec::new();
        let mut heads = BinaryHeap::new();
        for class in self.classes.busy.iter().copied().collect::<Vec<_>>() {
            let in_turn = self.turns_of(class);
            if !in_turn.is_empty() {
                heads.extend(self.head_of(class, turns.len()));
                turns.push(in_turn);
            }
        }
        while let Some(head) = heads.pop() {
            match self.place(now, head.class, &mut turns[head.turns]) {
                Placed::Yes => heads.extend(self.head_of(head.class, head.turns)),
                Placed::Full => {}
                Placed::NoRoomForResults => return,
            }
        }
    }

    /// Whether another task of a class would be placed at once.
    pub(super) fn has_room(&mut self, key: ClassKey) -> bool {
        self.classes.get(key).is_some_and(|class| class.waiting.is_empty()) && !self.turns_of(key).is_empty()
    }

    fn head_of(&self, class: ClassKey, turns: usize) -> Option<Head> {
        let ((Reverse(priority), age), _) = self.classes.get(class)?.waiting.first_key_value()?;
        Some(Head { priority: *priority, age: Reverse(*age), class, turns })
    }

    /// The clusters that have room for a class, in the order in which they are to be given its tasks.
    fn turns_of(&mut self, key: ClassKey) -> BinaryHeap<Turn> {
        let fits = self.fits_of(key);
        let mut turns = Vec::with_capacity(fits.len());
        for fit in fits {
            let Some(cluster) = self.clusters.get(&fit.cluster) else { continue };
            if self.room(cluster, key, &fit) > 0 {
                let spare_tags =
                    if self.config.allocate_policy == AllocatePolicy::Capability { fit.spare_tags } else { 0 };
                let candidate = Candidate {
                    assigned: cluster.assigned.len() as u64,
                    workers: cluster.workers_alive().max(1),
                    spare_tags,
                    key: fit.cluster.0,
                };
                turns.push(Turn { candidate, fit });
            }
        }
        BinaryHeap::from(turns)
    }

    /// How many more tasks of a class a cluster may be given.
    fn room(&self, cluster: &Cluster, class: ClassKey, fit: &Fit) -> u64 {
        if self.seeded.is(Fault::OverfillQueues) {
            return u64::MAX;
        }
        self.classes.get(class).map_or(0, |of_class| cluster.room(class, &of_class.needs, fit))
    }

    /// The clusters that may run a class.
    pub(super) fn fits_of(&mut self, key: ClassKey) -> Vec<Fit> {
        let Some(class) = self.classes.get_mut(key) else { return Vec::new() };
        let clusters = &self.clusters;
        let fit = || {
            let mut needs = class.needs.clone();
            if self.seeded.is(Fault::IgnoreTags) {
                needs.capabilities = Capabilities::none();
            }
            clusters.iter().filter_map(|(id, cluster)| cluster.fit(*id, &needs)).collect()
        };
        class.fits.get_or_insert_with(fit).clone()
    }

    /// Gives the first task of a class to the cluster whose turn it is.
    fn place(&mut self, now: Time, class: ClassKey, turns: &mut BinaryHeap<Turn>) -> Placed {
        while let Some(mut turn) = turns.pop() {
            let id = turn.fit.cluster;
            let Some(cluster) = self.clusters.get(&id) else { continue };
            let room = self.room(cluster, class, &turn.fit);
            let assigned = cluster.assigned.len() as u64;
            if room == 0 {
                continue;
            }
            if assigned != turn.candidate.assigned {
                // Another class was given to it meanwhile; it may not be first any more.
                turn.candidate.assigned = assigned;
                turns.push(turn);
                continue;
            }
            let Some(key) =
                self.classes.get(class).and_then(|class| class.waiting.first_key_value()).map(|(_, key)| *key)
            else {
                return Placed::Full;
            };
            if !self.dispatch(now, key, id) {
                // Something must end first; whatever frees room wakes the placement again.
                return Placed::NoRoomForResults;
            }
            turn.candidate.assigned += 1;
            if room > 1 {
                turns.push(turn);
            }
            return Placed::Yes;
        }
        Placed::Full
    }

    /// Sends a waiting task to a cluster, unless its result could not be taken.
    fn dispatch(&mut self, now: Time, key: TaskKey, id: AgentId) -> bool {
        let Some(task) = self.tasks.get(key) else { return false };
        let Some(function) = self.functions.get(task.function) else { return false };
        let room = Room { buffer: self.config.result_buffer_bytes, used: self.buffered };
        let Some(result) = policy::result_room(room, function.mean_result_bytes, INLINE_MAX as u32) else {
            return false;
        };
        let capabilities =
            self.classes.get(task.class).map(|class| class.needs.capabilities.clone()).unwrap_or_default();
        let (Some(cluster), function_id) = (self.clusters.get_mut(&id), task.function) else { return false };
        let Some(peer) = cluster.peer else { return false };
        if cluster.defined.insert(function_id) {
            let define = function.define(function_id);
            self.peers.send_define(peer, define);
        }
        self.attach(key, id);
        let Some(task) = self.tasks.get_mut(key) else { return false };
        if !self.seeded.is(Fault::RepeatAttemptNumbers) || task.attempt == 0 {
            task.attempt += 1;
        }
        task.dispatched = now;
        task.running_since = None;
        task.reserved = result.reserve;
        self.buffered += u64::from(result.reserve);
        let run = Run {
            objects: task.objects.clone(),
            task: task.id,
            attempt: task.attempt,
            function: function_id,
            arguments: task.arguments.clone(),
            inline_max: result.inline_max,
            timeout_ms: task.timeout_ms,
            priority: task.priority,
            capabilities,
        };
        self.peers.send_run(peer, run);
        true
    }

    /// The classes whose module no cluster has any more, although some are ready, with the moment at which their
    /// waiting tasks are given up. A lost cluster counts as having it until it is forgotten.
    pub(super) fn orphans(&mut self, now: Time) -> Vec<(ClassKey, Time)> {
        let is_any_ready = self.clusters.values().any(Cluster::takes_work);
        let mut orphans = Vec::new();
        for key in self.classes.busy.iter().copied().collect::<Vec<_>>() {
            let Some(class) = self.classes.get_mut(key) else { continue };
            let Some(module) = &class.needs.module else { continue };
            if !is_any_ready || self.clusters.values().any(|cluster| cluster.has_module(module)) {
                class.orphaned = None;
            } else {
                let since = *class.orphaned.get_or_insert(now);
                orphans.push((key, since.plus_ms(self.config.worker_timeout_ms)));
            }
        }
        orphans
    }

    /// Ends the waiting tasks of a class that can never run.
    pub(super) fn give_up(&mut self, now: Time, key: ClassKey, out: &mut Vec<Effect>) {
        let waiting: Vec<_> =
            self.classes.get(key).map(|class| class.waiting.values().copied().collect()).unwrap_or_default();
        for task in waiting {
            let function = self.tasks.get(task).and_then(|task| self.functions.get(task.function));
            let Some((path, hash)) = function.map(|function| (&function.path, function.identity.hash)) else {
                continue;
            };
            let text = format!("no cluster has module `{path}` with hash {hash} any more; submit the call again");
            self.finish(now, task, Ending::given_up(Event::Abort, FailureKind::Aborted, text), out);
        }
    }

    /// Whether rounds of balancing make sense.
    pub(super) fn balances(&self) -> bool {
        self.config.load_balance_ms > 0
            && self.tasks.at_clusters() > 0
            && self.clusters.values().filter(|cluster| cluster.takes_work()).count() > 1
    }

    /// One round: asks back what queues at one cluster while workers of another idle, the youngest first.
    pub(super) fn balance(&mut self, now: Time) {
        if now < self.balance.next {
            return;
        }
        self.balance.next = now.plus_ms(self.config.load_balance_ms.max(1));
        if !self.balances() {
            self.balance.seen = 0;
            return;
        }
        let moves = self.moves();
        if moves.is_empty() {
            self.balance.seen = 0;
            return;
        }
        self.balance.seen += 1;
        if self.balance.seen < self.config.load_balance_trigger_times {
            return;
        }
        for key in moves {
            if self.tasks.step(key, Event::TakeBack).is_ok() {
                self.stop_attempt(key, StopReason::TakeBack);
            }
        }
    }

    /// Tasks to ask back now.
    fn moves(&mut self) -> Vec<TaskKey> {
        let mut idle: Vec<(AgentId, u64)> = Vec::new();
        for (id, cluster) in self.clusters.iter().filter(|(_, cluster)| cluster.takes_work()) {
            let spare = cluster.workers_alive().saturating_sub(cluster.assigned.len() as u64);
            if spare > 0 {
                idle.push((*id, spare));
            }
        }
        // What was asked back before and has not come yet will fill some of these workers.
        let mut on_the_way = self.tasks.total(State::Returning);
        for (_, spare) in &mut idle {
            let taken = on_the_way.min(*spare);
            (*spare, on_the_way) = (*spare - taken, on_the_way - taken);
        }
        let mut moves = Vec::new();
        let mut fits: BTreeMap<ClassKey, Vec<Fit>> = BTreeMap::new();
        let queues: Vec<_> = self
            .clusters
            .values()
            .map(|cluster| (self.youngest(&cluster.assigned), cluster))
            .map(|(tasks, cluster)| (tasks, (cluster.assigned.len() as u64).saturating_sub(cluster.workers_alive())))
            .collect();
        for (tasks, queued) in queues {
            let wanted = policy::take_back(queued, idle.iter().map(|(_, spare)| spare).sum());
            let mut taken = 0;
            for (_, key, class) in tasks {
                if taken == wanted {
                    break;
                }
                let fits = fits.entry(class).or_insert_with(|| self.fits_of(class));
                let taker = idle.iter_mut().find(|(id, spare)| *spare > 0 && fits.iter().any(|fit| fit.cluster == *id));
                if let Some((_, spare)) = taker {
                    *spare -= 1;
                    taken += 1;
                    moves.push(key);
                }
            }
        }
        moves
    }

    /// A cluster's tasks that may not have started, the youngest first.
    fn youngest(&self, assigned: &[TaskKey]) -> Vec<(Reverse<u64>, TaskKey, ClassKey)> {
        let mut tasks: Vec<_> = assigned
            .iter()
            .filter_map(|key| Some((*key, self.tasks.get(*key)?)))
            .filter(|(_, task)| task.state == State::Assigned)
            .map(|(key, task)| (Reverse(task.sequence), key, task.class))
            .collect();
        tasks.sort_unstable();
        tasks.truncate(BALANCE_LOOK_MAX);
        tasks
    }
}
