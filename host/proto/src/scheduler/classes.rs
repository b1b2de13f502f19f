//! Waiting tasks, indexed by what they need: one class for each set of tags and module identity.
//!
//! Whatever may run one task of a class may run them all, so a class that fits nowhere is left alone and blocks nobody.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use crate::{
    capability::Capabilities,
    ids::{AgentId, ClientId, Time},
    message::Identity,
};

use super::{
    monitor::Slot,
    stranded::Strand,
    tasks::{Task, TaskKey},
    view::{NAME_BYTES, clip},
};

/// A class's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassKey(u32);

/// What the tasks of a class need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needs {
    /// Tags that the worker must offer.
    pub(super) capabilities: Capabilities,
    /// The module that its cluster must have; `None` if any cluster can get it from the object storage.
    pub(super) module: Option<Identity>,
    /// The module that its cluster gets from the object storage.
    pub(super) fetched: Option<Identity>,
}

/// Higher priority first, then older first.
pub(super) type Place = (Reverse<i32>, u64);

/// A cluster that may run the tasks of a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub(super) cluster: AgentId,
    /// Its workers that offer the tags.
    pub(super) workers: u64,
    /// What these may hold in all, by their own limits.
    pub(super) queues: u64,
    /// Tags it offers beyond those that the class needs.
    pub(super) spare_tags: u64,
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) needs: Needs,
    /// The tags as people write them, if there are any.
    pub(super) label: Option<Arc<str>>,
    pub(super) waiting: BTreeMap<Place, TaskKey>,
    /// How many of them each client has of each function.
    pub(super) waiting_of: BTreeMap<(ClientId, Slot), u64>,
    /// Where its tasks may run; `None` when that must be found out anew.
    pub(super) fits: Option<Vec<Fit>>,
    /// Since when no cluster that is known has the module, while others are ready.
    pub(super) orphaned: Option<Time>,
    /// No connected worker can run its tasks.
    pub(super) strand: Option<Strand>,
    /// Tasks of this class that have not ended.
    tasks: u64,
}

#[derive(Debug, Default)]
pub(super) struct Classes {
    slots: Vec<Option<Class>>,
    free: Vec<ClassKey>,
    index: BTreeMap<Needs, ClassKey>,
    /// Classes with waiting tasks.
    pub(super) busy: BTreeSet<ClassKey>,
    /// Classes without any task.
    idle: usize,
}

/// Classes without tasks that are kept, so that a client that submits one task at a time does not rebuild its class.
const IDLE_MAX: usize = 64;

impl Classes {
    /// The class of these needs, made if there is none. A new class has no fits yet.
    pub(super) fn of(&mut self, needs: &Needs) -> ClassKey {
        if let Some(key) = self.index.get(needs) {
            return *key;
        }
        if self.idle > IDLE_MAX {
            self.purge();
        }
        self.idle += 1;
        let tags = &needs.capabilities;
        let class = Class {
            needs: needs.clone(),
            label: (!tags.is_empty()).then(|| clip(&tags.to_string(), NAME_BYTES).into()),
            waiting: BTreeMap::new(),
            waiting_of: BTreeMap::new(),
            fits: None,
            orphaned: None,
            strand: None,
            tasks: 0,
        };
        let key = if let Some(key) = self.free.pop() {
            self.slots[key.0 as usize] = Some(class);
            key
        } else {
            self.slots.push(Some(class));
            ClassKey(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        };
        self.index.insert(needs.clone(), key);
        key
    }

    /// One more task of this class.
    pub(super) fn join(&mut self, key: ClassKey) {
        if let Some(class) = self.get_mut(key) {
            class.tasks += 1;
            if class.tasks == 1 {
                self.idle -= 1;
            }
        }
    }

    /// One task less of this class.
    pub(super) fn leave(&mut self, key: ClassKey) {
        if let Some(class) = self.get_mut(key) {
            class.tasks -= 1;
            if class.tasks == 0 {
                self.idle += 1;
            }
        }
    }

    /// What clusters offer has changed.
    pub(super) fn outdate(&mut self) {
        self.slots.iter_mut().filter_map(Option::as_mut).for_each(|class| class.fits = None);
    }

    pub(super) fn get(&self, key: ClassKey) -> Option<&Class> {
        self.slots.get(key.0 as usize).and_then(Option::as_ref)
    }

    pub(super) fn get_mut(&mut self, key: ClassKey) -> Option<&mut Class> {
        self.slots.get_mut(key.0 as usize).and_then(Option::as_mut)
    }

    /// Lets a task wait.
    pub(super) fn enqueue(&mut self, key: TaskKey, task: &Task) {
        let Some(class) = self.slots.get_mut(task.class.0 as usize).and_then(Option::as_mut) else { return };
        if class.waiting.is_empty() {
            self.busy.insert(task.class);
        }
        class.waiting.insert(task.place(), key);
        *class.waiting_of.entry((task.id.client, task.slot)).or_default() += 1;
    }

    /// Takes a waiting task out.
    pub(super) fn dequeue(&mut self, task: &Task) {
        let Some(class) = self.slots.get_mut(task.class.0 as usize).and_then(Option::as_mut) else { return };
        if class.waiting.remove(&task.place()).is_none() {
            return;
        }
        if let Entry::Occupied(mut count) = class.waiting_of.entry((task.id.client, task.slot)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if class.waiting.is_empty() {
            self.busy.remove(&task.class);
        }
    }

    fn purge(&mut self) {
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|class| class.tasks == 0)
                && let Some(class) = slot.take()
            {
                self.index.remove(&class.needs);
                self.free.push(ClassKey(u32::try_from(number).unwrap_or(u32::MAX)));
                self.idle -= 1;
            }
        }
    }
}
