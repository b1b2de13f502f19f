//! Waiting tasks that no connected worker can run: views list them, and their clients are told after a moment, since
//! such a task waits in silence for as long as nobody starts a cluster for it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    capability::Capabilities,
    ids::{ClientId, Time},
    message::{Message, Stranded},
    view::ParkedView,
};

use super::{
    Scheduler,
    classes::{Class, ClassKey},
    monitor::Slot,
    view::{ERROR_BYTES, NAME_BYTES, clip},
};

/// A cluster that starts again within this time is no news.
const NOTICE_MS: u64 = 2_000;

/// A class that fits nowhere.
#[derive(Debug)]
pub(super) struct Strand {
    since: Time,
    /// Clients that know.
    told: BTreeSet<ClientId>,
}

/// Why nothing can run before a cluster connects.
pub(super) fn no_cluster() -> String {
    "no cluster is connected; one is started with `scaler_cluster ADDRESS`".to_owned()
}

/// Why a call with these tags cannot run.
pub(super) fn no_worker(capabilities: &Capabilities) -> String {
    format!(
        "no connected cluster has a worker that offers `{capabilities}`; one that does is started with \
         `scaler_cluster ADDRESS -pwc {capabilities}`"
    )
}

impl Scheduler {
    /// Takes note of the classes that fit nowhere, and tells their clients when it is time.
    pub(super) fn strand(&mut self, now: Time) {
        self.stranded_due = None;
        if self.stopping.is_some() {
            return;
        }
        for key in self.classes.busy.iter().copied().collect::<Vec<_>>() {
            let is_stranded = self.fits_nowhere(key);
            let Some(class) = self.classes.get_mut(key) else { continue };
            if !is_stranded {
                class.strand = None;
                continue;
            }
            let strand = class.strand.get_or_insert_with(|| Strand { since: now, told: BTreeSet::new() });
            let mut due = strand.since.plus_ms(NOTICE_MS);
            if due <= now {
                self.tell_stranded(key);
                // Who submits such a task later is told as well.
                due = now.plus_ms(NOTICE_MS);
            }
            self.stranded_due = Some(self.stranded_due.map_or(due, |other| other.min(due)));
        }
    }

    fn fits_nowhere(&mut self, key: ClassKey) -> bool {
        match self.classes.get(key).map(|class| &class.fits) {
            Some(Some(fits)) => fits.is_empty(),
            _ => self.fits_of(key).is_empty(),
        }
    }

    fn tell_stranded(&mut self, key: ClassKey) {
        let Some(class) = self.classes.get(key) else { return };
        let Some(strand) = &class.strand else { return };
        let reason = clip(&self.why_stranded(class), ERROR_BYTES).to_owned();
        let mut news: BTreeMap<ClientId, Stranded> = BTreeMap::new();
        for ((client, slot), tasks) in &class.waiting_of {
            if !strand.told.contains(client) {
                let fresh = || Stranded { call: self.call_of(*slot), tasks: 0, reason: reason.clone() };
                news.entry(*client).or_insert_with(fresh).tasks += tasks;
            }
        }
        for (client, stranded) in news {
            let Some(peer) = self.clients.get(&client).and_then(|client| client.peer) else { continue };
            self.peers.send(peer, Message::Stranded(vec![stranded]));
            if let Some(strand) = self.classes.get_mut(key).and_then(|class| class.strand.as_mut()) {
                strand.told.insert(client);
            }
        }
    }

    /// The functions with tasks that fit nowhere, as views list them: those with the most tasks first.
    pub(super) fn stranded(&self) -> Vec<ParkedView> {
        let mut all = Vec::new();
        let busy = self.classes.busy.iter().filter_map(|key| self.classes.get(*key));
        for class in busy.filter(|class| class.strand.is_some()) {
            let reason = clip(&self.why_stranded(class), ERROR_BYTES).to_owned();
            let mut held: BTreeMap<Slot, u64> = BTreeMap::new();
            class.waiting_of.iter().for_each(|((_, slot), tasks)| *held.entry(*slot).or_default() += tasks);
            let view = |(slot, held)| ParkedView { call: self.call_of(slot), held, reason: reason.clone() };
            all.extend(held.into_iter().map(view));
        }
        all.sort_by_key(|parked| Reverse(parked.held));
        all
    }

    fn call_of(&self, slot: Slot) -> String {
        clip(self.monitor.call(slot), NAME_BYTES).to_owned()
    }

    fn why_stranded(&self, class: &Class) -> String {
        let connected = || self.clusters.values().filter(|cluster| cluster.peer.is_some() && !cluster.leaving);
        let tags = &class.needs.capabilities;
        let mut offering = connected().filter(|cluster| cluster.offers_tags(tags)).peekable();
        let module = class.needs.module.as_ref();
        if connected().next().is_none() {
            no_cluster()
        } else if offering.peek().is_none() {
            no_worker(tags)
        } else if offering.any(|cluster| !cluster.is_ready()) {
            "a cluster that may run it is still starting".to_owned()
        } else if module.is_some_and(|module| !connected().any(|cluster| cluster.has_module(module))) {
            "no connected cluster has its module".to_owned()
        } else {
            let count = connected().filter(|cluster| cluster.takes_work()).count();
            format!("no worker takes tasks that could run it ({count} clusters do take tasks)")
        }
    }
}
