//! The bounded picture of the cluster that `status`, the UI and the tests read.

use crate::{
    ids::{AgentId, ClientId, Time},
    message::Kind,
    task::State,
    view::{ClientView, ParkedView, RunningView, SchedulerView, UnfinishedView, View, WorkerView},
};

use super::{
    AllocatePolicy, Scheduler,
    clients::Client,
    clusters::{Cluster, Worker},
    registrations::RegistrationState,
    tasks::Task,
};

/// Entries of each list; the totals count everything.
pub(super) const ENTRIES_MAX: usize = 2_048;
/// Functions with calls that wait for a cluster, as far as they are listed.
const PARKED_MAX: usize = 256;
/// Unfinished tasks that are listed.
const UNFINISHED_MAX: usize = 256;
/// Places of the slab that are looked at for tasks that wait.
const SCANNED_MAX: usize = 16_384;
/// Longest reason that is shown.
pub(super) const ERROR_BYTES: usize = 400;
/// Longest name; those of peers are cut where they come in.
pub(super) const NAME_BYTES: usize = 200;

/// What the scheduler's process and machine use, as its shell measures it, for views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// CPU use of the process over the last second, in thousandths of one core.
    pub cpu_permille: u32,
    /// Memory that the machine has left.
    pub memory_free_bytes: u64,
}

/// A text, cut if it is longer than that.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A name from a peer as it may be shown anywhere: not longer than that, and nothing in it that moves a cursor, ends a
/// line or turns the direction of writing.
pub(super) fn legible(name: &str, bytes: usize) -> String {
    let is_order =
        |sign: char| matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |sign: char| if sign.is_control() || is_order(sign) { char::REPLACEMENT_CHARACTER } else { sign };
    let shown: String = clip(name, bytes).chars().map(shown).collect();
    clip(&shown, bytes).to_owned()
}

impl Scheduler {
    /// Why the object storage does not answer, for views; `None` while it does.
    pub fn set_object_storage_problem(&mut self, problem: Option<String>) {
        self.storage_problem = problem;
    }

    /// What the process uses, for views.
    pub fn set_usage(&mut self, usage: Usage) {
        self.usage = usage;
    }

    /// A bounded picture of the cluster.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let mut workers = Vec::new();
        for (id, cluster) in &self.clusters {
            workers.extend(self.workers(now, *id, cluster).take(ENTRIES_MAX - workers.len()));
        }
        let clients = self.clients.iter().take(ENTRIES_MAX).map(|(id, client)| self.client_view(now, *id, client));
        View { workers, clients: clients.collect(), functions: self.monitor.functions(), ..self.head(now) }
    }

    /// The same with the last tasks, seconds and lines, as watchers see it who asked for everything.
    #[must_use]
    pub fn view_in_full(&self, now: Time) -> View {
        let (recent, history) = (self.monitor.recent(self.started), self.monitor.history());
        View {
            recent,
            history,
            failures: self.monitor.failures(self.started),
            logs: self.monitor.logs(),
            ..self.view(now)
        }
    }

    /// The same as an answer to somebody who asks once: with the tasks that have not ended, and the newest failures.
    pub(super) fn view_for_asker(&self, now: Time) -> View {
        let at_clusters = self.clusters.values().flat_map(|cluster| &cluster.assigned);
        let at_clusters = at_clusters.filter_map(|key| self.tasks.get(*key));
        let elsewhere = self.tasks.first(SCANNED_MAX).filter(|task| task.cluster.is_none());
        let unfinished = at_clusters.chain(elsewhere).take(UNFINISHED_MAX).map(|task| self.unfinished(now, task));
        let failures = self.monitor.failures(self.started);
        View { unfinished: unfinished.collect(), failures, ..self.view(now) }
    }

    fn unfinished(&self, now: Time, task: &Task) -> UnfinishedView {
        let host = task.cluster.and_then(|id| self.clusters.get(&id)).map(|cluster| cluster.name.clone());
        let worker = self.runs_on(task).map(|ran| ran.worker.as_ref().to_owned());
        let since = task.running_since.filter(|_| worker.is_some());
        UnfinishedView {
            id: task.id.to_string(),
            call: self.monitor.call(task.slot).to_owned(),
            state: task.state.name().to_owned(),
            host: host.unwrap_or_default(),
            cluster: task.cluster.map(|id| id.to_string()).unwrap_or_default(),
            worker: worker.unwrap_or_default(),
            running_ms: since.map(|since| now.since(since) / 1_000_000),
            attempt: task.attempt,
            age_ms: now.since(task.called) / 1_000_000,
        }
    }

    /// What a worker runs, as far as that was reported.
    fn runs(&self, worker: &Worker) -> Option<RunningView> {
        let task = self.tasks.get(worker.current?)?;
        Some(RunningView {
            id: task.id.to_string(),
            call: self.monitor.call(task.slot).to_owned(),
            since_ms: task.running_since?.since(self.started) / 1_000_000,
            attempt: task.attempt,
        })
    }

    /// What is told whole every time: the scheduler, totals, registrations that wait.
    pub(super) fn head(&self, now: Time) -> View {
        let mut tasks: std::collections::BTreeMap<_, _> =
            State::ALL.into_iter().map(|state| (state.name().to_owned(), self.tasks.total(state))).collect();
        tasks.insert("rejected".to_owned(), self.rejected);
        let registrations =
            self.clients.iter().flat_map(|(id, client)| client.registrations.values().map(move |it| (*id, it)));
        let parked = registrations.filter_map(|(client, registration)| match registration.state {
            RegistrationState::Parked { held } if held > 0 => {
                let call = format!("{}:{}", registration.module, registration.function);
                let reason = self.what_it_waits_for(client, registration);
                let (call, reason) = (clip(&call, NAME_BYTES).to_owned(), clip(&reason, ERROR_BYTES).to_owned());
                Some(ParkedView { call, held, reason })
            }
            _ => None,
        });
        View {
            scheduler: self.scheduler_view(now),
            tasks,
            parked: self.stranded().into_iter().chain(parked).take(PARKED_MAX).collect(),
            ..View::default()
        }
    }

    pub(super) fn client_view(&self, now: Time, id: ClientId, client: &Client) -> ClientView {
        ClientView {
            id: id.to_string(),
            name: client.name.clone(),
            unfinished: client.unfinished,
            held: client.held(),
            undelivered: client.undelivered(),
            last_seen_ms: now.since(self.heard(client.peer, client.last_heard)) / 1_000_000,
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
            object_storage_problem: self.storage_problem.as_deref().map(|why| clip(why, ERROR_BYTES).to_owned()),
            monitor_address: self.config.monitor_address.clone(),
            version: self.config.version.clone(),
            epoch: self.config.epoch,
            uptime_ms: now.since(self.started) / 1_000_000,
            protected: self.config.protected,
            allocate_policy: match self.config.allocate_policy {
                AllocatePolicy::Even => "even".to_owned(),
                AllocatePolicy::Capability => "capability".to_owned(),
            },
            rss_bytes: self.usage.rss_bytes,
            cpu_permille: self.usage.cpu_permille,
            memory_free_bytes: self.usage.memory_free_bytes,
            clusters: connected().count() as u64,
            clusters_starting: connected().filter(|cluster| !cluster.is_ready()).count() as u64,
            received: by_name(&self.peers.received),
            sent: by_name(&self.peers.sent),
            result_buffer_bytes: self.buffered,
            objects: self.object_count(),
            watchers: self.monitor.watchers(),
        }
    }

    pub(super) fn workers<'a>(
        &'a self,
        now: Time,
        id: AgentId,
        cluster: &'a Cluster,
    ) -> impl Iterator<Item = WorkerView> + 'a {
        let queued = queued(cluster);
        let last_seen_ms = now.since(self.heard(cluster.peer, cluster.last_heard)) / 1_000_000;
        let lost = cluster.peer.is_none();
        cluster.workers.iter().zip(queued).map(move |(worker, queued)| WorkerView {
            name: worker.name.as_ref().to_owned(),
            cluster: id.to_string(),
            host: cluster.name.clone(),
            state: match () {
                () if lost => "lost",
                () if worker.load.retired => "retired",
                () if cluster.leaving => "leaving",
                () if cluster.is_ready() => "ready",
                () => "starting",
            }
            .to_owned(),
            capabilities: clip(&worker.info.capabilities.to_string(), NAME_BYTES).to_owned(),
            pid: worker.load.pid,
            queued,
            running: worker.running,
            current: self.runs(worker),
            finished: worker.finished,
            restarts: worker.load.restarts,
            cpu_permille: if lost { 0 } else { worker.load.cpu_permille },
            rss_bytes: if lost { 0 } else { worker.load.rss_bytes },
            last_seen_ms,
            free: if lost { 0 } else { u64::from(worker.info.queue_size).saturating_sub(queued + worker.running) },
            agent_cpu_permille: if lost { 0 } else { cluster.agent.cpu_permille },
            agent_rss_bytes: if lost { 0 } else { cluster.agent.rss_bytes },
            memory_free_bytes: if lost { 0 } else { cluster.agent.memory_free_bytes },
            lag_us: cluster.agent.lag_us,
            task_timeout_ms: cluster.task_timeout_ms,
            task_memory_limit_bytes: cluster.task_memory_limit_bytes,
        })
    }
}

/// What each worker of a cluster has in hand and is not known to run. How many tasks the cluster has and which of them
/// run, the scheduler knows itself; where the others are, as of the last report. What that does not place is spread
/// evenly.
fn queued(cluster: &Cluster) -> Vec<u64> {
    let running: u64 = cluster.workers.iter().map(|worker| worker.running).sum();
    let mut left = (cluster.assigned.len() as u64).saturating_sub(running);
    let mut take = |reported: u64| {
        let taken = reported.min(left);
        left -= taken;
        taken
    };
    // Each has what it is at before any has what waits behind that.
    let at_work = |worker: &Worker| u64::from(worker.load.running).saturating_sub(worker.running);
    let first: Vec<_> = cluster.workers.iter().map(|worker| take(at_work(worker))).collect();
    let placed: Vec<_> =
        cluster.workers.iter().zip(first).map(|(worker, first)| first + take(worker.load.queued.into())).collect();
    let count = (cluster.workers.len() as u64).max(1);
    let unplaced = |index: usize| left / count + u64::from((index as u64) < left % count);
    placed.into_iter().enumerate().map(|(index, placed)| placed + unplaced(index)).collect()
}
