//! The accepted tasks: a slab, so that lists and maps hold small keys, and exact totals by state.

use std::cmp::Reverse;

use crate::{
    ids::{AgentId, FunctionId, TaskId, Time},
    message::ArgumentObject,
    payload::Payload,
    task::{Event, IllegalMove, State},
};

use super::{
    classes::{ClassKey, Place},
    monitor::Slot,
};

/// A task's place in the slab. Used again after the task is gone, so it is never kept anywhere once the task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskKey(u32);

/// Everything the scheduler knows about an accepted task that has not ended.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) function: FunctionId,
    /// The function's place in the totals.
    pub(super) slot: Slot,
    pub(super) class: ClassKey,
    /// Order of acceptance over all clients; the place in the queue at equal priority, also after it came back.
    pub(super) sequence: u64,
    pub(super) priority: i32,
    pub(super) timeout_ms: u64,
    pub(super) retries: u32,
    pub(super) arguments: Payload,
    /// Arguments that are objects of their own; their owner keeps them.
    pub(super) objects: Vec<ArgumentObject>,
    pub(super) state: State,
    /// Dispatches so far.
    pub(super) attempt: u32,
    /// How often a processor died while it ran.
    pub(super) deaths: u32,
    /// How often its cluster was lost while it was reported running.
    pub(super) losses: u32,
    /// How often a cluster sent it back because it cannot run it.
    pub(super) misfits: u32,
    /// Where the current attempt is.
    pub(super) cluster: Option<AgentId>,
    /// Which of its workers runs it, once that is reported.
    pub(super) worker: Option<u16>,
    /// Since when this attempt runs, once that is reported; it stays known while its cluster is away.
    pub(super) running_since: Option<Time>,
    /// Index in that cluster's list.
    pub(super) position: usize,
    /// Room kept for its result.
    pub(super) reserved: u32,
    /// When it was called: what it waited at its client before it was accepted counts.
    pub(super) called: Time,
    pub(super) dispatched: Time,
    /// Who else than its client canceled it.
    pub(super) canceled_by: Option<Box<str>>,
}

impl Task {
    /// Its place among the waiting tasks of its class.
    pub(super) fn place(&self) -> Place {
        (Reverse(self.priority), self.sequence)
    }
}

/// The slab.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    slots: Vec<Option<Task>>,
    free: Vec<TaskKey>,
    totals: [u64; State::ALL.len()],
}

impl Tasks {
    /// Takes in a new task, which counts as waiting.
    pub(super) fn insert(&mut self, task: Task) -> TaskKey {
        self.totals[task.state as usize] += 1;
        if let Some(key) = self.free.pop() {
            self.slots[key.0 as usize] = Some(task);
            return key;
        }
        // More than 2^32 live tasks are ruled out by the clients' credit long before.
        let key = TaskKey(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.slots.push(Some(task));
        key
    }

    pub(super) fn get(&self, key: TaskKey) -> Option<&Task> {
        self.slots.get(key.0 as usize).and_then(Option::as_ref)
    }

    pub(super) fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.slots.get_mut(key.0 as usize).and_then(Option::as_mut)
    }

    /// Moves a task on, if that is legal.
    pub(super) fn step(&mut self, key: TaskKey, event: Event) -> Result<State, IllegalMove> {
        let Some(task) = self.slots.get_mut(key.0 as usize).and_then(Option::as_mut) else {
            return Err(IllegalMove { state: State::Aborted, event });
        };
        let next = task.state.after(event)?;
        self.totals[task.state as usize] -= 1;
        self.totals[next as usize] += 1;
        task.state = next;
        Ok(next)
    }

    /// Takes out a task that has ended. Its terminal state stays counted.
    pub(super) fn remove(&mut self, key: TaskKey) -> Option<Task> {
        let task = self.slots.get_mut(key.0 as usize)?.take()?;
        self.free.push(key);
        Some(task)
    }

    /// The tasks in the first so many places of the slab.
    pub(super) fn first(&self, places: usize) -> impl Iterator<Item = &Task> {
        self.slots.iter().take(places).flatten()
    }

    /// Tasks in that state; terminal ones since the start.
    pub(super) fn total(&self, state: State) -> u64 {
        self.totals[state as usize]
    }

    /// Tasks that ended since the start.
    pub(super) fn ended(&self) -> u64 {
        State::ALL.into_iter().filter(|state| state.is_terminal()).map(|state| self.total(state)).sum()
    }

    /// Tasks that clusters have.
    pub(super) fn at_clusters(&self) -> u64 {
        State::ALL.into_iter().filter(|state| state.is_at_cluster()).map(|state| self.total(state)).sum()
    }
}
