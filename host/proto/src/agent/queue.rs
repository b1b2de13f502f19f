//! The agent's own tasks: a slab of what it holds, and the queue of what no processor has yet.
//!
//! The queue is kept by priority and by capability class, so that a task that fits no idle worker never stands in the
//! way of one that does. Entries of tasks that were removed stay behind and are skipped when they come up.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    capability::Capabilities,
    message::{Attempt, Run, StopReason},
};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its function is not runnable yet.
    Waiting,
    /// In the queue.
    Queued,
    /// With a processor, under this number.
    Handed { worker: u16, sequence: u64 },
}

/// A task that the agent holds.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) run: Arc<Run>,
    pub(super) place: Place,
    /// What was asked for while it was out of reach.
    pub(super) stop: Option<StopReason>,
    /// `Running` was sent for it on this connection.
    pub(super) reported: bool,
    class: u32,
    stamp: u64,
}

impl Task {
    pub(super) fn attempt(&self) -> Attempt {
        Attempt { task: self.run.task, attempt: self.run.attempt }
    }
}

type Key = (Reverse<i32>, u32);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Tasks {
    slots: Vec<Option<Task>>,
    free: Vec<u32>,
    by_attempt: BTreeMap<Attempt, u32>,
    queue: BTreeMap<Key, VecDeque<(u32, u64)>>,
    queued: usize,
    stamp: u64,
    classes: BTreeMap<Capabilities, u32>,
    /// For each class, which workers may run it.
    fits: Vec<Vec<bool>>,
    offers: Vec<Capabilities>,
}

impl Tasks {
    pub(super) fn new(offers: Vec<Capabilities>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_attempt: BTreeMap::new(),
            queue: BTreeMap::new(),
            queued: 0,
            stamp: 0,
            classes: BTreeMap::new(),
            fits: vec![vec![true; offers.len()]],
            offers,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_attempt.is_empty()
    }

    /// How many tasks are in the queue.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn find(&self, attempt: Attempt) -> Option<u32> {
        self.by_attempt.get(&attempt).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Task> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Task> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Task)> {
        self.by_attempt.values().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// Takes a task in. The caller queues it or leaves it waiting.
    pub(super) fn insert(&mut self, run: Run) -> u32 {
        let class = self.class(&run.capabilities);
        self.stamp += 1;
        let attempt = Attempt { task: run.task, attempt: run.attempt };
        let task =
            Task { run: Arc::new(run), place: Place::Waiting, stop: None, reported: false, class, stamp: self.stamp };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(task);
                slot
            }
            None => {
                self.slots.push(Some(task));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_attempt.insert(attempt, slot);
        slot
    }

    /// Lets a task go.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Task> {
        let task = self.slots.get_mut(slot as usize)?.take()?;
        self.by_attempt.remove(&task.attempt());
        if task.place == Place::Queued {
            self.queued -= 1;
        }
        self.free.push(slot);
        Some(task)
    }

    /// Puts a task at the end of its queue, or back at the front if it was there before.
    pub(super) fn enqueue(&mut self, slot: u32, front: bool) {
        let Some(task) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        if task.place != Place::Queued {
            self.queued += 1;
        }
        task.place = Place::Queued;
        let queue = self.queue.entry((Reverse(task.run.priority), task.class)).or_default();
        let entry = (slot, task.stamp);
        if front {
            queue.push_front(entry);
        } else {
            queue.push_back(entry);
        }
    }

    /// The next task that this worker may run, as handed to it under `sequence`.
    pub(super) fn take_for(&mut self, worker: u16, sequence: u64) -> Option<u32> {
        let (slots, fits) = (&self.slots, &self.fits);
        let mut empty = None;
        let mut found = None;
        for (key, queue) in &mut self.queue {
            if !fits[key.1 as usize][worker as usize] {
                continue;
            }
            while let Some((slot, stamp)) = queue.pop_front() {
                let is_live = slots[slot as usize]
                    .as_ref()
                    .is_some_and(|task| task.stamp == stamp && task.place == Place::Queued);
                if is_live {
                    found = Some(slot);
                    break;
                }
            }
            if queue.is_empty() {
                empty = Some(*key);
            }
            if found.is_some() {
                break;
            }
        }
        if let Some(key) = empty {
            self.queue.remove(&key);
        }
        let slot = found?;
        self.queued -= 1;
        self.slots[slot as usize].as_mut()?.place = Place::Handed { worker, sequence };
        Some(slot)
    }

    /// Whether one of the workers named `is_alive` may run this task.
    pub(super) fn fits_any(&self, slot: u32, is_alive: impl Fn(usize) -> bool) -> bool {
        self.get(slot).is_some_and(|task| {
            self.fits[task.class as usize].iter().enumerate().any(|(worker, fits)| *fits && is_alive(worker))
        })
    }

    /// Whether this worker may run this task.
    pub(super) fn fits(&self, slot: u32, worker: u16) -> bool {
        self.get(slot).is_some_and(|task| self.fits[task.class as usize][worker as usize])
    }

    fn class(&mut self, capabilities: &Capabilities) -> u32 {
        if capabilities.is_empty() {
            return 0;
        }
        if let Some(class) = self.classes.get(capabilities) {
            return *class;
        }
        let class = self.fits.len() as u32;
        self.fits.push(self.offers.iter().map(|offer| offer.satisfy(capabilities)).collect());
        self.classes.insert(capabilities.clone(), class);
        class
    }
}
