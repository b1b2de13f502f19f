//! Modules of clients that a cluster may still be fetching and compiling, which takes from milliseconds to minutes.
//!
//! Until the first task of such a module has run at a cluster, the cluster gets one for each of its workers, beside the
//! credit for modules that do run there. So a module that takes long, or for ever, keeps nobody else's tasks waiting.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::Identity;

use super::classes::{ClassKey, Needs};

/// What one cluster has proven able to run on its present connection.
#[derive(Debug, Default)]
pub(super) struct Trials {
    proven: BTreeSet<Identity>,
    /// Classes with tasks at the cluster whose module was not proven when these were assigned.
    classes: BTreeSet<ClassKey>,
}

impl Trials {
    /// Whether a class's module has to prove itself yet.
    pub(super) fn is_on_trial(&self, needs: &Needs) -> bool {
        needs.fetched.as_ref().is_some_and(|module| !self.proven.contains(module))
    }

    /// A task of this class was assigned.
    pub(super) fn assigned(&mut self, class: ClassKey, needs: &Needs) {
        if self.is_on_trial(needs) {
            self.classes.insert(class);
        }
    }

    /// No task of this class is at the cluster any more.
    pub(super) fn emptied(&mut self, class: ClassKey) {
        self.classes.remove(&class);
    }

    /// A task of this class runs or has run. True if that makes room.
    pub(super) fn proves(&mut self, class: ClassKey, needs: &Needs) -> bool {
        self.classes.remove(&class) && needs.fetched.clone().is_some_and(|module| self.proven.insert(module))
    }

    /// Whether there is nothing to prove.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Tasks at the cluster that are on trial.
    pub(super) fn tasks(&self, by_class: &BTreeMap<ClassKey, u64>) -> u64 {
        self.classes.iter().filter_map(|class| by_class.get(class)).sum()
    }
}
