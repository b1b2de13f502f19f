//! The bounded picture of the cluster that `status`, the UI and the tests read.

use crate::{
    ids::{AgentId, Time},
    message::Kind,
    task::State,
    view::{ClientView, ParkedView, SchedulerView, View, WorkerView},
};

use super::{
    AllocatePolicy, Scheduler,
    clusters::{Cluster, Worker},
    registrations::RegistrationState,
};

/// Entries of each list; the totals count everything.
const ENTRIES_MAX: usize = 2_048;

impl Scheduler {
    /// A bounded picture of the cluster.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let mut workers = Vec::new();
        for (id, cluster) in &self.clusters {
            workers.extend(self.workers(now, *id, cluster).take(ENTRIES_MAX - workers.len()));
        }
        let clients = self.clients.iter().take(ENTRIES_MAX).map(|(id, client)| ClientView {
            id: id.to_string(),
            name: client.name.clone(),
            unfinished: client.unfinished,
            undelivered: client.undelivered(),
            last_seen_ms: now.since(self.heard(client.peer, client.last_heard)) / 1_000_000,
        });
        let mut tasks: std::collections::BTreeMap<_, _> =
            State::ALL.into_iter().map(|state| (state.name().to_owned(), self.tasks.total(state))).collect();
        tasks.insert("rejected".to_owned(), self.rejected);
        let registrations = self.clients.values().flat_map(|client| client.registrations.values());
        let parked = registrations.filter_map(|registration| match registration.state {
            RegistrationState::Parked { held } => {
                Some(ParkedView { call: format!("{}:{}", registration.module, registration.function), held })
            }
            _ => None,
        });
        View {
            scheduler: self.scheduler_view(now),
            workers,
            clients: clients.collect(),
            tasks,
            parked: parked.take(ENTRIES_MAX).collect(),
            ..View::default()
        }
    }

    fn scheduler_view(&self, now: Time) -> SchedulerView {
        let by_name = |counts: &std::collections::BTreeMap<Kind, u64>| {
            counts.iter().map(|(kind, count)| (format!("{kind:?}"), *count)).collect()
        };
        let connected = || self.clusters.values().filter(|cluster| cluster.peer.is_some());
        SchedulerView {
            scheduler_address: self.config.scheduler_address.clone(),
            object_storage_address: self.config.object_storage_address.clone(),
            monitor_address: self.config.monitor_address.clone(),
            version: self.config.version.clone(),
            epoch: self.config.epoch,
            uptime_ms: now.since(self.started) / 1_000_000,
            protected: self.config.protected,
            allocate_policy: match self.config.allocate_policy {
                AllocatePolicy::Even => "even".to_owned(),
                AllocatePolicy::Capability => "capability".to_owned(),
            },
            rss_bytes: self.rss_bytes,
            clusters: connected().count() as u64,
            clusters_starting: connected().filter(|cluster| !cluster.is_ready()).count() as u64,
            received: by_name(&self.peers.received),
            sent: by_name(&self.peers.sent),
            result_buffer_bytes: self.buffered,
            objects: self.object_count(),
            ..SchedulerView::default()
        }
    }

    fn workers<'a>(&'a self, now: Time, id: AgentId, cluster: &'a Cluster) -> impl Iterator<Item = WorkerView> + 'a {
        let shares = shares(cluster);
        let last_seen_ms = now.since(self.heard(cluster.peer, cluster.last_heard)) / 1_000_000;
        let lost = cluster.peer.is_none();
        cluster.workers.iter().zip(shares).map(move |(Worker { info, load }, (queued, running))| WorkerView {
            name: info.name.clone(),
            cluster: id.to_string(),
            host: cluster.name.clone(),
            state: match () {
                () if lost => "lost",
                () if load.retired => "retired",
                () if cluster.leaving => "leaving",
                () if cluster.is_ready() => "ready",
                () => "starting",
            }
            .to_owned(),
            capabilities: info.capabilities.to_string(),
            pid: load.pid,
            queued,
            running,
            finished: load.finished,
            restarts: load.restarts,
            cpu_permille: load.cpu_permille,
            rss_bytes: load.rss_bytes,
            last_seen_ms,
            free: u64::from(info.queue_size).saturating_sub(queued + running),
            ..WorkerView::default()
        })
    }
}

/// What each worker of a cluster has queued and running. The cluster's last report says where its tasks were, the
/// scheduler knows how many there are now; what no report places is spread evenly.
fn shares(cluster: &Cluster) -> Vec<(u64, u64)> {
    let mut left = cluster.assigned.len() as u64;
    let mut take = |reported: u32| {
        let taken = u64::from(reported).min(left);
        left -= taken;
        taken
    };
    let running: Vec<_> = cluster.workers.iter().map(|worker| take(worker.load.running)).collect();
    let queued: Vec<_> = cluster.workers.iter().map(|worker| take(worker.load.queued)).collect();
    let count = (cluster.workers.len() as u64).max(1);
    let unplaced = |index: usize| left / count + u64::from((index as u64) < left % count);
    queued.into_iter().enumerate().map(|(index, queued)| queued + unplaced(index)).zip(running).collect()
}
