//! Clusters: what they offer, the attempts they hold, what they report, and their loss.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    capability::Capabilities,
    ids::{AgentId, FunctionId, ObjectId, PeerId, Time},
    message::{
        Attempt, Done, FailureKind, Heartbeat, Hello, Identity, ModuleInfo, Outcome, RUNNING_REPORT_MS, ReturnReason,
        Returned, Running, Stop, StopReason, TaskStats, WorkerInfo, WorkerLoad,
    },
    payload::Payload,
    policy,
    task::{Event, State},
};

use super::{
    Effect, Loss, Note, Scheduler,
    classes::{ClassKey, Fit, Needs},
    endings::{Ending, payload_of},
    monitor::Ran,
    seeded::Fault,
    tasks::{Task, TaskKey},
    trials::Trials,
    view::{NAME_BYTES, legible},
};

/// A cluster is lost after so much silence, or after two of its heartbeat intervals if these are longer.
const SILENCE_MS: u64 = 2_000;
/// The loss of so many clusters while a task was reported running aborts it.
const LOSSES_MAX: u32 = 5;
/// So many clusters may say that they cannot run a task before it fails.
const MISFITS_MAX: u32 = 3;

#[derive(Debug)]
pub(super) struct Worker {
    /// Its name as views show it.
    pub(super) name: Arc<str>,
    pub(super) info: WorkerInfo,
    /// As of the last report.
    pub(super) load: WorkerLoad,
    /// Tasks that were reported running on it and are not known to have left it.
    pub(super) running: u64,
    /// The last of them, until it leaves.
    pub(super) current: Option<TaskKey>,
    /// Tasks that ended on it.
    pub(super) finished: u64,
}

/// What an agent uses, beside its processors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AgentLoad {
    pub(super) cpu_permille: u32,
    pub(super) rss_bytes: u64,
    /// Memory that its machine has left.
    pub(super) memory_free_bytes: u64,
    pub(super) lag_us: u32,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) peer: Option<PeerId>,
    /// As of when it lost its connection.
    pub(super) last_heard: Time,
    heartbeat_ms: u64,
    /// Time limit of its tasks, 0 for none.
    pub(super) task_timeout_ms: u64,
    /// Memory limit of its tasks.
    pub(super) task_memory_limit_bytes: u64,
    pub(super) workers: Vec<Worker>,
    /// Past its preload.
    pub(super) ready: bool,
    /// It takes no new work.
    pub(super) leaving: bool,
    /// What it announced last, `None` until it did.
    pub(super) modules: Option<Vec<ModuleInfo>>,
    /// Everything it ever announced: agents keep old bytes for work that names them.
    offers: BTreeSet<Identity>,
    /// Functions it was told on this connection.
    pub(super) defined: BTreeSet<FunctionId>,
    pub(super) assigned: Vec<TaskKey>,
    pub(super) by_class: BTreeMap<ClassKey, u64>,
    mean_run_ns: Option<u64>,
    pub(super) ended: u64,
    /// Tasks that each worker may have in hand.
    pub(super) depth: u64,
    /// Tasks it may have in hand.
    pub(super) credit: u64,
    /// Tasks that its workers may have in hand by their own limits.
    queues: u64,
    /// Modules that it may still be compiling.
    trials: Trials,
    /// What its agent uses, as of its last report.
    pub(super) agent: AgentLoad,
    /// Raised whenever its workers may look different.
    pub(super) revision: u64,
    /// Raised whenever a task is reported running.
    pub(super) starts: u64,
}

impl Cluster {
    fn new(now: Time, name: String) -> Self {
        Self {
            name,
            peer: None,
            last_heard: now,
            heartbeat_ms: 0,
            task_timeout_ms: 0,
            task_memory_limit_bytes: 0,
            workers: Vec::new(),
            ready: false,
            leaving: false,
            modules: None,
            offers: BTreeSet::new(),
            defined: BTreeSet::new(),
            assigned: Vec::new(),
            by_class: BTreeMap::new(),
            mean_run_ns: None,
            ended: 0,
            depth: 0,
            credit: 0,
            queues: 0,
            trials: Trials::default(),
            agent: AgentLoad::default(),
            revision: 0,
            starts: 0,
        }
    }

    /// Connected, past its preload, and known with its modules.
    pub(super) fn is_ready(&self) -> bool {
        self.peer.is_some() && self.ready && self.modules.is_some()
    }

    /// It may be given tasks.
    pub(super) fn takes_work(&self) -> bool {
        self.is_ready() && !self.leaving
    }

    /// Whether any of its workers offers these tags.
    pub(super) fn offers_tags(&self, wanted: &Capabilities) -> bool {
        self.workers.iter().any(|worker| worker.info.capabilities.satisfy(wanted))
    }

    /// Its workers that offer these tags.
    pub(super) fn workers_that_offer(&self, wanted: &Capabilities) -> usize {
        self.workers.iter().filter(|worker| worker.info.capabilities.satisfy(wanted)).count()
    }

    /// Whether it ever announced this module (and so still has it).
    pub(super) fn has_module(&self, module: &Identity) -> bool {
        self.offers.contains(module)
    }

    /// Workers that still take tasks.
    pub(super) fn workers_alive(&self) -> u64 {
        self.workers.iter().filter(|worker| !worker.load.retired).count() as u64
    }

    pub(super) fn silence_ms(&self) -> u64 {
        SILENCE_MS.max(self.heartbeat_ms.saturating_mul(2))
    }

    /// How it may serve a class, if it can.
    pub(super) fn fit(&self, id: AgentId, needs: &Needs) -> Option<Fit> {
        if !self.takes_work() || needs.module.as_ref().is_some_and(|module| !self.has_module(module)) {
            return None;
        }
        let mut fit = Fit { cluster: id, workers: 0, queues: 0, spare_tags: u64::MAX };
        for worker in self.workers.iter().filter(|worker| !worker.load.retired) {
            let capabilities = &worker.info.capabilities;
            if capabilities.satisfy(&needs.capabilities) {
                fit.workers += 1;
                fit.queues += u64::from(worker.info.queue_size);
                let spare = capabilities.iter().count().saturating_sub(needs.capabilities.iter().count()) as u64;
                fit.spare_tags = fit.spare_tags.min(spare);
            }
        }
        (fit.workers > 0).then_some(fit)
    }

    /// How many more tasks of a class it may be given.
    pub(super) fn room(&self, class: ClassKey, needs: &Needs, fit: &Fit) -> u64 {
        let (has, assigned) = (self.by_class.get(&class).copied().unwrap_or(0), self.assigned.len() as u64);
        let (of_class, of_all) = if self.trials.is_on_trial(needs) {
            (fit.workers, u64::MAX)
        } else {
            (fit.workers * self.depth, self.credit.saturating_add(self.trials.tasks(&self.by_class)))
        };
        of_all.min(self.queues).saturating_sub(assigned).min(of_class.min(fit.queues).saturating_sub(has))
    }

    fn sample(&mut self, run_ns: u64) {
        self.mean_run_ns = Some(policy::mean(self.mean_run_ns, run_ns));
    }

    /// Works out how much it may have in hand.
    fn weigh(&mut self) {
        self.depth = policy::depth(self.mean_run_ns, self.ended / self.workers_alive().max(1));
        let alive = self.workers.iter().filter(|worker| !worker.load.retired);
        let queues = alive.map(|worker| u64::from(worker.info.queue_size));
        (self.credit, self.queues) =
            queues.fold((0, 0), |(credit, all), queue| (credit + queue.min(self.depth), all + queue));
    }
}

impl Scheduler {
    /// An agent greets, for the first time or again.
    pub(super) fn greet_agent(&mut self, now: Time, peer: PeerId, hello: Hello, out: &mut Vec<Effect>) {
        let id = hello.agent();
        let same_epoch = hello.epoch == self.config.epoch;
        if let Some(former) = self.clusters.get(&id).and_then(|cluster| cluster.peer) {
            self.distrust(now, former, false);
            self.lose_cluster(now, id, Loss::Replaced, out);
        }
        let cluster = self.clusters.entry(id).or_insert_with(|| Cluster::new(now, String::new()));
        cluster.name = hello.name;
        cluster.peer = Some(peer);
        cluster.heartbeat_ms = hello.heartbeat_ms;
        cluster.task_timeout_ms = hello.task_timeout_ms;
        cluster.task_memory_limit_bytes = hello.task_memory_limit_bytes;
        cluster.ready = hello.ready;
        cluster.leaving = false;
        cluster.defined.clear();
        cluster.trials = Trials::default();
        // Its tasks went elsewhere when it was lost; what its workers have done stays theirs.
        let finished: BTreeMap<_, _> =
            std::mem::take(&mut cluster.workers).into_iter().map(|worker| (worker.name, worker.finished)).collect();
        let fresh = |mut info: WorkerInfo| {
            info.name = legible(&info.name, NAME_BYTES);
            let name: Arc<str> = info.name.as_str().into();
            let finished = finished.get(&name).copied().unwrap_or(0);
            Worker { name, info, load: WorkerLoad::default(), running: 0, current: None, finished }
        };
        cluster.revision += 1;
        cluster.workers = hello.workers.into_iter().map(fresh).collect();
        cluster.weigh();
        if same_epoch {
            self.take_holds(id, peer, hello.holds);
        }
        self.note_ready(id, false, out);
        self.clusters_changed(now);
    }

    /// An agent is back: what it holds and nobody else has stays with it, the rest it may forget.
    fn take_holds(&mut self, id: AgentId, peer: PeerId, holds: Vec<Attempt>) {
        for attempt in holds {
            let wanted = self.live(attempt.task).filter(|key| {
                self.tasks.get(*key).is_some_and(|task| task.state == State::Waiting && task.attempt == attempt.attempt)
            });
            let Some(key) = wanted else {
                self.peers.send_stop(peer, Stop { attempt, reason: StopReason::Discard });
                continue;
            };
            self.attach(key, id);
        }
    }

    /// Notes that a waiting task is with a cluster from now on.
    pub(super) fn attach(&mut self, key: TaskKey, id: AgentId) {
        let Some(task) = self.tasks.get(key) else { return };
        let class = task.class;
        if self.tasks.step(key, Event::Assign).is_err() {
            return;
        }
        if let Some(task) = self.tasks.get(key) {
            self.classes.dequeue(task);
        }
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        *cluster.by_class.entry(class).or_default() += 1;
        if let Some(class_of) = self.classes.get(class) {
            cluster.trials.assigned(class, &class_of.needs);
        }
        if let Some(task) = self.tasks.get_mut(key) {
            task.position = cluster.assigned.len();
            task.cluster = Some(id);
        }
        cluster.assigned.push(key);
    }

    /// Takes a task from where it waits or from the cluster that has it, without changing its state.
    pub(super) fn detach(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let class = task.class;
        let Some(id) = task.cluster.take() else {
            self.classes.dequeue(task);
            return;
        };
        let position = task.position;
        let worker = task.worker.take();
        let reserved = u64::from(std::mem::take(&mut task.reserved));
        if !self.seeded.is(Fault::KeepRoomOfResults) {
            self.buffered -= reserved;
        }
        self.wake = true;
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if let Some(worker) = worker.and_then(|worker| cluster.workers.get_mut(usize::from(worker))) {
            worker.running = worker.running.saturating_sub(1);
            if worker.current == Some(key) {
                worker.current = None;
            }
        }
        cluster.assigned.swap_remove(position);
        if let Some(moved) = cluster.assigned.get(position)
            && let Some(task) = self.tasks.get_mut(*moved)
        {
            task.position = position;
        }
        if let Some(count) = cluster.by_class.get_mut(&class) {
            *count -= 1;
            if *count == 0 {
                cluster.by_class.remove(&class);
                cluster.trials.emptied(class);
            }
        }
    }

    /// Puts a task that a cluster had back into the queue, at the place of its age.
    fn requeue(&mut self, key: TaskKey) {
        if self.tasks.get(key).is_none_or(|task| task.state.after(Event::Requeue).is_err()) {
            return;
        }
        self.detach(key);
        if self.tasks.step(key, Event::Requeue).is_ok()
            && let Some(task) = self.tasks.get(key)
        {
            self.classes.enqueue(key, task);
        }
    }

    /// Tells the cluster that has a task to stop it.
    pub(super) fn stop_attempt(&mut self, key: TaskKey, reason: StopReason) {
        let Some(task) = self.tasks.get(key) else { return };
        let attempt = Attempt { task: task.id, attempt: task.attempt };
        if let Some(peer) = task.cluster.and_then(|id| self.clusters.get(&id)).and_then(|cluster| cluster.peer) {
            self.peers.send_stop(peer, Stop { attempt, reason });
        }
    }

    /// The task of an attempt, if that attempt is the current one and with that cluster.
    fn current(&self, id: AgentId, attempt: Attempt) -> Option<TaskKey> {
        let key = self.live(attempt.task)?;
        let task = self.tasks.get(key)?;
        (task.attempt == attempt.attempt && task.cluster == Some(id)).then_some(key)
    }

    pub(super) fn cluster_ready(
        &mut self,
        now: Time,
        id: AgentId,
        modules: Vec<ModuleInfo>,
        ready: bool,
        out: &mut Vec<Effect>,
    ) {
        if let Some(cluster) = self.clusters.get_mut(&id) {
            let was_ready = cluster.is_ready();
            cluster.ready |= ready;
            cluster.offers.extend(modules.iter().map(|module| module.identity.clone()));
            cluster.modules = Some(modules);
            self.note_ready(id, was_ready, out);
        }
        self.clusters_changed(now);
    }

    fn note_ready(&self, id: AgentId, was_ready: bool, out: &mut Vec<Effect>) {
        if let Some(cluster) = self.clusters.get(&id).filter(|cluster| cluster.is_ready() && !was_ready) {
            let (name, workers) = (cluster.name.clone(), cluster.workers.len());
            out.push(Effect::Note(Note::ClusterReady { cluster: id, name, workers }));
        }
    }

    pub(super) fn cluster_leaving(&mut self, now: Time, id: AgentId) {
        if let Some(cluster) = self.clusters.get_mut(&id) {
            cluster.leaving = true;
        }
        self.clusters_changed(now);
    }

    pub(super) fn cluster_heartbeat(&mut self, now: Time, id: AgentId, heartbeat: Heartbeat) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let before = cluster.workers_alive();
        cluster.revision += 1;
        cluster.agent = AgentLoad {
            cpu_permille: heartbeat.cpu_permille,
            rss_bytes: heartbeat.rss_bytes,
            memory_free_bytes: heartbeat.memory_free_bytes,
            lag_us: heartbeat.lag_us,
        };
        for (worker, load) in cluster.workers.iter_mut().zip(heartbeat.workers) {
            worker.load = load;
        }
        if cluster.workers_alive() != before {
            cluster.weigh();
            self.clusters_changed(now);
        }
    }

    /// Something about what clusters offer is different now.
    pub(super) fn clusters_changed(&mut self, now: Time) {
        self.classes.outdate();
        self.wake = true;
        self.alarm = Some(now);
        self.resolve_again = true;
    }

    pub(super) fn done(&mut self, now: Time, id: AgentId, dones: Vec<Done>, out: &mut Vec<Effect>) {
        for done in dones {
            self.done_one(now, id, done, out);
        }
        if let Some(cluster) = self.clusters.get_mut(&id) {
            cluster.weigh();
            self.wake = true;
        }
    }

    fn done_one(&mut self, now: Time, id: AgentId, done: Done, out: &mut Vec<Effect>) {
        let Done { task: name, attempt, outcome, mut stats } = done;
        stats.attempt = attempt;
        if let Some(cluster) = self.clusters.get_mut(&id) {
            cluster.ended += 1;
            cluster.sample(stats.run_us.saturating_mul(1_000));
        }
        let stored = match payload_of(&outcome) {
            Some(Payload::Stored { id, .. }) => Some(*id),
            _ => None,
        };
        let key = self.live(name).filter(|key| self.tasks.get(*key).is_some_and(|task| attempt <= task.attempt));
        if let (Some(key), true) = (key, stats.worker != TaskStats::NO_WORKER) {
            self.proves(id, key);
        }
        let Some(key) = key else {
            // Nobody wants this result: the task has ended, by another attempt or with its client.
            stored
                .into_iter()
                .filter(|object| *object == ObjectId::result(name, attempt))
                .for_each(|object| self.delete(object));
            return;
        };
        let ending = match stored {
            Some(object) if object != ObjectId::result(name, attempt) => {
                let message =
                    format!("cluster {id} names object {object} as the result of task {name}, which is not its own");
                Ending::given_up(Event::Fail, FailureKind::Internal, message)
            }
            _ => Ending::said(outcome),
        };
        let current = self.current(id, Attempt { task: name, attempt }).is_some();
        if self.is_retried(key, &ending.outcome, current) {
            if current {
                if let Some(task) = self.tasks.get_mut(key) {
                    task.retries -= 1;
                }
                self.requeue(key);
            }
            stored.into_iter().for_each(|object| self.delete(object));
            return;
        }
        if !current {
            // An older attempt, from a cluster that was believed lost, won. The newer one is not needed.
            self.stop_attempt(key, StopReason::Discard);
        }
        let length = payload_of(&ending.outcome).map_or(0, Payload::length);
        if let Some(function) = self.tasks.get(key).map(|task| task.function) {
            self.functions.sample_result(function, length);
        }
        let ran = self.ran(id, stats.worker);
        self.finish(now, key, Ending { stats, ran, ..ending }, out);
    }

    /// Counts a task that ends on a worker, if there is such a one.
    fn ran(&mut self, id: AgentId, worker: u16) -> Option<Ran> {
        let worker = self.clusters.get_mut(&id)?.workers.get_mut(usize::from(worker))?;
        worker.finished += 1;
        Some(Ran { cluster: id, worker: Arc::clone(&worker.name) })
    }

    /// The worker that a task was reported running on, until it leaves.
    pub(super) fn runs_on(&self, task: &Task) -> Option<Ran> {
        let cluster = task.cluster?;
        let worker = self.clusters.get(&cluster)?.workers.get(usize::from(task.worker?))?;
        Some(Ran { cluster, worker: Arc::clone(&worker.name) })
    }

    /// Whether a failure is tried again because the client asked for that. One of an attempt that is not the current
    /// one changes nothing then, since another is on its way.
    fn is_retried(&self, key: TaskKey, outcome: &Outcome, current: bool) -> bool {
        let Outcome::Failed(failure) = outcome else { return false };
        let Some(task) = self.tasks.get(key) else { return false };
        failure.kind.is_of_task() && (task.retries > 0 || !current) && task.state != State::Canceling
    }

    pub(super) fn returned(&mut self, now: Time, id: AgentId, returns: Vec<Returned>, out: &mut Vec<Effect>) {
        for Returned { attempt, reason, message, stats } in returns {
            let Some(key) = self.current(id, attempt) else { continue };
            let Some(task) = self.tasks.get_mut(key) else { continue };
            let mut ending = None;
            match reason {
                ReturnReason::GivenBack if !self.seeded.is(Fault::ChargeWhatWasGivenBack) => {}
                ReturnReason::ProcessorDied | ReturnReason::GivenBack => {
                    task.deaths += u32::from(!self.seeded.is(Fault::ForgetDeaths));
                    if task.deaths >= self.config.max_attempts {
                        let text = match task.deaths {
                            1 => format!("its processor died while it ran: {message}"),
                            deaths => format!("its processor died {deaths} times while it ran; last: {message}"),
                        };
                        let given_up = Ending::given_up(Event::Fail, FailureKind::ProcessorDied, text);
                        ending = Some(Ending { ran: self.ran(id, stats.worker), stats, ..given_up });
                    }
                }
                ReturnReason::CannotRun => {
                    task.misfits += 1;
                    if task.misfits >= MISFITS_MAX {
                        let text = format!("{} clusters could not run it; last: {message}", task.misfits);
                        ending = Some(Ending::given_up(Event::Fail, FailureKind::Module, text));
                    }
                    self.withdraw_offer(now, id, key);
                }
            }
            if self.tasks.get(key).is_some_and(|task| task.state == State::Canceling) {
                ending = Some(Ending::failed(Event::ConfirmCancel, FailureKind::Canceled, "canceled"));
            }
            match ending {
                Some(ending) => self.finish(now, key, ending, out),
                None => self.requeue(key),
            }
        }
    }

    /// A cluster said that it cannot run a task: it does not have the module it once announced.
    fn withdraw_offer(&mut self, now: Time, id: AgentId, key: TaskKey) {
        let module =
            self.tasks.get(key).and_then(|task| self.functions.get(task.function)).and_then(|f| f.needed_module());
        if let Some(module) = module
            && let Some(cluster) = self.clusters.get_mut(&id)
        {
            cluster.offers.remove(&module);
            self.clusters_changed(now);
        }
    }

    /// A task runs at a cluster, or has run there: its module does.
    fn proves(&mut self, id: AgentId, key: TaskKey) {
        let Some(cluster) = self.clusters.get_mut(&id).filter(|cluster| !cluster.trials.is_empty()) else { return };
        let class = self.tasks.get(key).map(|task| task.class);
        if let Some((class, of_class)) = class.and_then(|class| Some((class, self.classes.get(class)?))) {
            self.wake |= cluster.trials.proves(class, &of_class.needs);
        }
    }

    pub(super) fn running(&mut self, now: Time, id: AgentId, reports: Vec<Running>) {
        for Running { attempt, worker: index } in reports {
            let Some(key) = self.current(id, attempt) else { continue };
            self.proves(id, key);
            if self.tasks.step(key, Event::Start).is_ok()
                && let Some(cluster) = self.clusters.get_mut(&id)
            {
                // It counts for as long as it has run at least.
                cluster.sample(RUNNING_REPORT_MS * 1_000_000);
                if let (Some(worker), Some(task)) =
                    (cluster.workers.get_mut(usize::from(index)), self.tasks.get_mut(key))
                {
                    worker.running += 1;
                    worker.current = Some(key);
                    cluster.starts += 1;
                    task.worker = Some(index);
                    // A cluster that was away reports what runs anew.
                    let begun = Time(now.0.saturating_sub(RUNNING_REPORT_MS * 1_000_000)).max(task.dispatched);
                    task.running_since.get_or_insert(begun);
                }
            }
        }
        if let Some(cluster) = self.clusters.get_mut(&id) {
            cluster.weigh();
        }
    }

    /// A cluster is gone without a word: its tasks go elsewhere at once. One that was at work may come back, and is
    /// remembered for a while.
    pub(super) fn lose_cluster(&mut self, now: Time, id: AgentId, loss: Loss, out: &mut Vec<Effect>) {
        let Some(cluster) = self.clusters.get(&id) else { return };
        let (name, is_kept) = (cluster.name.clone(), cluster.takes_work());
        let tasks = self.take_tasks_back(now, id, out);
        if !is_kept {
            self.clusters.remove(&id);
        }
        out.push(Effect::Note(Note::ClusterLost { cluster: id, name, loss, tasks }));
    }

    /// A cluster said goodbye.
    pub(super) fn cluster_left(&mut self, now: Time, id: AgentId, reason: String, out: &mut Vec<Effect>) {
        let tasks = self.take_tasks_back(now, id, out);
        if let Some(Cluster { name, .. }) = self.clusters.remove(&id) {
            out.push(Effect::Note(Note::ClusterLeft { cluster: id, name, reason, tasks }));
        }
    }

    /// Ends a cluster's connection for the tasks it has. Returns how many of them go elsewhere.
    fn take_tasks_back(&mut self, now: Time, id: AgentId, out: &mut Vec<Effect>) -> usize {
        let Some(cluster) = self.clusters.get_mut(&id) else { return 0 };
        if let Some(peer) = cluster.peer.take()
            && let Some(peer) = self.peers.get(peer)
        {
            cluster.last_heard = peer.last_heard;
        }
        let mut requeued = 0;
        for key in cluster.assigned.clone() {
            let Some(task) = self.tasks.get_mut(key) else { continue };
            let mut ending = None;
            match task.state {
                State::Canceling => {
                    ending = Some(Ending::failed(
                        Event::ConfirmCancel,
                        FailureKind::Canceled,
                        "canceled; its cluster is lost",
                    ));
                }
                State::Running => {
                    task.losses += 1;
                    if task.losses >= LOSSES_MAX {
                        let text = format!("{} clusters were lost while it ran; the last one is {id}", task.losses);
                        let given_up = Ending::given_up(Event::Abort, FailureKind::WorkerLost, text);
                        let ran = self.tasks.get(key).and_then(|task| self.runs_on(task));
                        ending = Some(Ending { ran, ..given_up });
                    }
                }
                _ => {}
            }
            match ending {
                Some(ending) => self.finish(now, key, ending, out),
                None if self.seeded.is(Fault::LoseTasksOfLostClusters) => {}
                None => {
                    self.requeue(key);
                    requeued += 1;
                }
            }
        }
        self.clusters_changed(now);
        requeued
    }
}
