//! A bounded picture of the cluster: what `status`, the UI, `top` and the tests read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The whole picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The scheduler itself.
    pub scheduler: SchedulerView,
    /// One entry a worker.
    pub workers: Vec<WorkerView>,
    /// One entry a connected client.
    pub clients: Vec<ClientView>,
    /// Exact totals: tasks by state. The terminal states count since the scheduler started.
    pub tasks: BTreeMap<String, u64>,
    /// Calls that wait for a cluster: registrations with what clients hold for them, and tasks that nobody can run.
    #[serde(default)]
    pub parked: Vec<ParkedView>,
    /// One entry a function that was called, the busiest first where there are too many to list.
    #[serde(default)]
    pub functions: Vec<FunctionView>,
    /// Tasks that are accepted and have not ended, those at clusters first; of very many only some. Only in answers to
    /// a `Query`, not in the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<UnfinishedView>,
    /// The last tasks that ended, oldest first; how many ended in all is in `tasks`. Empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<TaskView>,
    /// The newest tasks that failed or were given up, oldest first, however many others ended since; how many there
    /// were in all is in `tasks`. In the stream only for those who asked for tasks.
    #[serde(default)]
    pub failures: Vec<TaskView>,
    /// One entry a second, oldest first, for the last minutes. Empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Sample>,
    /// The last lines that guests wrote, oldest first. Empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogView>,
}

/// The scheduler and its resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchedulerView {
    /// Where clients and clusters connect.
    pub scheduler_address: String,
    /// Where large values go, `None` while not connected.
    pub object_storage_address: Option<String>,
    /// Why nothing answers there; `None` while something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_storage_problem: Option<String>,
    /// Where watchers connect.
    pub monitor_address: Option<String>,
    /// Program version.
    pub version: String,
    /// Raised at every start: the microseconds since 1970 when it started, on its own clock.
    pub epoch: u64,
    /// Since the start.
    pub uptime_ms: u64,
    /// Clients may not shut it down.
    pub protected: bool,
    /// Placement policy in use.
    pub allocate_policy: String,
    /// Resident memory of the process, 0 where the shell does not fill it in.
    pub rss_bytes: u64,
    /// Connected clusters.
    pub clusters: u64,
    /// Connected clusters that still start (before or in their preload).
    pub clusters_starting: u64,
    /// Messages received by kind.
    pub received: BTreeMap<String, u64>,
    /// Messages sent by kind.
    pub sent: BTreeMap<String, u64>,
    /// Bytes of results that clients have not acknowledged, and of the room kept for results of tasks at clusters.
    pub result_buffer_bytes: u64,
    /// CPU use over the last second, in thousandths of one core, 0 where the shell does not fill it in.
    #[serde(default)]
    pub cpu_permille: u32,
    /// Memory that the scheduler's machine has left, 0 where the shell does not fill it in.
    #[serde(default)]
    pub memory_free_bytes: u64,
    /// Objects that clients put for use in many tasks, and results that are stored.
    #[serde(default)]
    pub objects: u64,
    /// Watchers that are connected.
    #[serde(default)]
    pub watchers: u64,
}

impl SchedulerView {
    /// Replaces the addresses, for instance by what they mean to whoever connects.
    pub fn map_addresses(&mut self, map: impl Fn(&str) -> String) {
        let all =
            [Some(&mut self.scheduler_address), self.object_storage_address.as_mut(), self.monitor_address.as_mut()];
        all.into_iter().flatten().for_each(|address| *address = map(address));
    }
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its name, unique in the cluster agent.
    pub name: String,
    /// Its agent.
    pub cluster: String,
    /// Name of the agent as given by its user or its host.
    pub host: String,
    /// `starting`, `ready`, `lost`, `leaving` or `retired`.
    pub state: String,
    /// Tags as a string, as in the configuration.
    pub capabilities: String,
    /// Process id of its processor.
    pub pid: u32,
    /// Tasks that it has in hand and that are not known to run. Together with `running` these are all tasks of its
    /// agent; which worker has them is as of the agent's last report, and what that does not place is spread evenly.
    pub queued: u64,
    /// Tasks that run on it: as in the totals, those that have run for more than 25 ms. Shorter ones are not told of.
    pub running: u64,
    /// Which one that is, the newest if its agent has told of several; `None` while none runs for that long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<RunningView>,
    /// Tasks that ended on it, since the scheduler started.
    pub finished: u64,
    /// Processors started after the first.
    pub restarts: u32,
    /// CPU use in thousandths of one core. This and all figures of memory are as of the agent's last report, and 0 of a
    /// worker that is lost.
    pub cpu_permille: u32,
    /// Resident memory of its processor.
    pub rss_bytes: u64,
    /// Milliseconds since its agent was last heard; it reports once an interval (1 s, unless it is set otherwise).
    pub last_seen_ms: u64,
    /// Tasks that may still be assigned to it before its queue is full.
    #[serde(default)]
    pub free: u64,
    /// CPU use of its agent (shared by the workers of a cluster), in thousandths of one core.
    #[serde(default)]
    pub agent_cpu_permille: u32,
    /// Resident memory of its agent.
    #[serde(default)]
    pub agent_rss_bytes: u64,
    /// Memory that its machine has left.
    #[serde(default)]
    pub memory_free_bytes: u64,
    /// Half of the last round trip between its agent and the scheduler, in microseconds.
    #[serde(default)]
    pub lag_us: u32,
    /// Time limit that its cluster sets a task, 0 for none. A task's own counts if it is shorter.
    #[serde(default)]
    pub task_timeout_ms: u64,
    /// Memory limit that its cluster sets a task.
    #[serde(default)]
    pub task_memory_limit_bytes: u64,
}

/// What a worker runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningView {
    /// As commands print and take it: `<client>:<number>`.
    pub id: String,
    /// `module.path:function`.
    pub call: String,
    /// When it began to run, in milliseconds since the scheduler's start, to within some 25 ms.
    pub since_ms: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its id.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// Accepted tasks that have not ended.
    pub unfinished: u64,
    /// Calls that wait at the client, for a cluster that has their function.
    #[serde(default)]
    pub held: u64,
    /// Results it has not acknowledged.
    pub undelivered: u64,
    /// Milliseconds since it was last heard.
    pub last_seen_ms: u64,
}

/// Calls that wait for a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParkedView {
    /// `module.path:function`.
    pub call: String,
    /// Calls held at clients until the function is known, or waiting tasks that no connected worker can run.
    pub held: u64,
    /// What they wait for.
    pub reason: String,
}

/// One function, since the scheduler started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionView {
    /// `module.path:function`.
    pub call: String,
    /// Tasks of it that are accepted and have not ended.
    pub unfinished: u64,
    /// Tasks of it that ended, however.
    pub finished: u64,
    /// Of these, failed ones; as in the totals, neither canceled nor aborted ones are.
    pub failed: u64,
    /// Of these, aborted ones.
    #[serde(default)]
    pub aborted: u64,
    /// Of these, canceled ones.
    pub canceled: u64,
    /// Sum of their run times; the mean is this by `finished - canceled`.
    pub run_us: u64,
    /// 99 of 100 of them ran no longer than this (to the next power of two by the eighth).
    pub run_us_p99: u64,
    /// Sum of the time to make their instances.
    pub start_us: u64,
    /// Most guest memory that one of them had.
    pub peak_memory_bytes: u64,
}

/// One task that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnfinishedView {
    /// As commands print and take it: `<client>:<number>`.
    pub id: String,
    /// `module.path:function`.
    pub call: String,
    /// What it does: `waiting`, `assigned`, `running`, `canceling` or `returning`.
    pub state: String,
    /// Name of the agent that has it, empty if none has.
    pub host: String,
    /// Its agent.
    pub cluster: String,
    /// Name of the worker that runs it, empty while it is not known to run.
    #[serde(default)]
    pub worker: String,
    /// For how long it has been running there, `None` while it is not known to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_ms: Option<u64>,
    /// Dispatches so far.
    pub attempt: u32,
    /// Since it was called.
    pub age_ms: u64,
}

/// One task that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// Counts the tasks that ended since the scheduler's start, from 1. Of very many a second not all are listed, so
    /// there may be a gap between two.
    #[serde(default)]
    pub number: u64,
    /// As commands print and take it: `<client>:<number>`.
    pub id: String,
    /// `module.path:function`.
    pub call: String,
    /// Its last state: `succeeded`, `failed`, `canceled` or `aborted`.
    pub state: String,
    /// When it ended, in milliseconds since the scheduler's start.
    pub ended_ms: u64,
    /// From the call to the start of its last run, with the ways to its worker and back.
    pub queued_us: u64,
    /// Its run, with the making of the instance unless that was made ahead.
    pub run_us: u64,
    /// The making of the instance.
    pub start_us: u32,
    /// CPU time of the run; one below 0.2 ms counts in full.
    pub cpu_us: u64,
    /// Most guest memory it had.
    pub peak_memory_bytes: u64,
    /// Name of the worker that ran it, empty if none did.
    pub worker: String,
    /// Its agent.
    pub cluster: String,
    /// The attempt that counted, from 1.
    pub attempt: u32,
    /// Tags it asked for, as in the configuration.
    pub capabilities: String,
    /// Time limit that its call set, 0 if it left that to the cluster.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout_ms: u64,
    /// Why it failed: the kind and the message, cut to a few hundred characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where in the guest it failed, cut to some thousand characters. Only in the list of failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How things stood at the end of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// End of the second, in milliseconds since the scheduler's start.
    pub at_ms: u64,
    /// Tasks that ended in it, however.
    pub finished: u64,
    /// Of these, failed ones.
    pub failed: u64,
    /// Of these, aborted ones.
    #[serde(default)]
    pub aborted: u64,
    /// Tasks that wait.
    pub waiting: u64,
    /// Tasks assigned to clusters, running ones included.
    pub assigned: u64,
    /// Workers that had work, in thousandths of all.
    pub busy_permille: u32,
}

/// One line that a guest wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogView {
    /// Counts the lines since the scheduler's start.
    #[serde(default)]
    pub number: u64,
    /// When the scheduler got it, in milliseconds since its start.
    pub at_ms: u64,
    /// The task, empty for a preload.
    pub task: String,
    /// Name of the worker, empty for a preload that prepared all workers.
    pub worker: String,
    /// Its agent.
    pub cluster: String,
    /// `stdout`, `stderr`, `trace`, `debug`, `info`, `warn` or `error`.
    pub source: String,
    /// The line.
    pub text: String,
    /// Lines that were dropped before it, by the agent or the scheduler.
    #[serde(default)]
    pub dropped: u64,
}

/// What is new since the update before; see [`View::apply`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The scheduler, whole.
    pub scheduler: SchedulerView,
    /// Workers that are new or not as they were.
    #[serde(default)]
    pub workers: Vec<WorkerView>,
    /// Workers that are forgotten, by agent and name.
    #[serde(default)]
    pub workers_gone: Vec<(String, String)>,
    /// Clients that are new or not as they were.
    #[serde(default)]
    pub clients: Vec<ClientView>,
    /// Clients that are forgotten, by id.
    #[serde(default)]
    pub clients_gone: Vec<String>,
    /// All totals.
    #[serde(default)]
    pub tasks: BTreeMap<String, u64>,
    /// All parked registrations.
    #[serde(default)]
    pub parked: Vec<ParkedView>,
    /// Clusters that were heard since, with the milliseconds since then. When nothing is said of one, it was not.
    #[serde(default)]
    pub clusters_seen: Vec<(String, u64)>,
    /// Clients that were heard since, as `clusters_seen`.
    #[serde(default)]
    pub clients_seen: Vec<(String, u64)>,
    /// Functions that are new or not as they were.
    #[serde(default)]
    pub functions: Vec<FunctionView>,
    /// Tasks that ended, oldest first; of very many only the last.
    #[serde(default)]
    pub recent: Vec<TaskView>,
    /// Tasks that failed, oldest first; of very many only the last.
    #[serde(default)]
    pub failures: Vec<TaskView>,
    /// Seconds that ended.
    #[serde(default)]
    pub history: Vec<Sample>,
    /// Lines that were written; of very many only the last.
    #[serde(default)]
    pub logs: Vec<LogView>,
}

/// Tasks that a view lists.
pub const RECENT_MAX: usize = 1_000;
/// Failures that a view lists.
pub const FAILURES_MAX: usize = 200;
/// Seconds that a view lists.
pub const HISTORY_MAX: usize = 300;
/// Lines that a view lists.
pub const LOGS_MAX: usize = 2_000;

impl View {
    /// Brings a view up to date. Applied to an empty view, a snapshot gives the whole.
    pub fn apply(&mut self, changes: Changes) {
        let Changes { scheduler, workers, workers_gone, clients, clients_gone, tasks, parked, .. } = changes;
        let passed_ms = scheduler.uptime_ms.saturating_sub(self.scheduler.uptime_ms);
        self.scheduler = scheduler;
        self.tasks = tasks;
        self.parked = parked;
        let gone: BTreeSet<_> = workers_gone.into_iter().collect();
        if !gone.is_empty() {
            self.workers.retain(|worker| !gone.contains(&(worker.cluster.clone(), worker.name.clone())));
        }
        let seen: BTreeMap<_, _> = changes.clusters_seen.into_iter().collect();
        for worker in &mut self.workers {
            worker.last_seen_ms = seen.get(&worker.cluster).copied().unwrap_or(worker.last_seen_ms + passed_ms);
        }
        merge(&mut self.workers, workers, |worker| (worker.cluster.clone(), worker.name.clone()));
        let gone: BTreeSet<_> = clients_gone.into_iter().collect();
        self.clients.retain(|client| !gone.contains(&client.id));
        let seen: BTreeMap<_, _> = changes.clients_seen.into_iter().collect();
        for client in &mut self.clients {
            client.last_seen_ms = seen.get(&client.id).copied().unwrap_or(client.last_seen_ms + passed_ms);
        }
        merge(&mut self.clients, clients, |client| client.id.clone());
        merge(&mut self.functions, changes.functions, |function| function.call.clone());
        append(&mut self.recent, changes.recent, RECENT_MAX);
        append(&mut self.failures, changes.failures, FAILURES_MAX);
        append(&mut self.history, changes.history, HISTORY_MAX);
        append(&mut self.logs, changes.logs, LOGS_MAX);
    }
}

/// Puts each new entry in the place of the one with the same key, or at the end.
fn merge<T, K: Ord>(entries: &mut Vec<T>, new: Vec<T>, key: impl Fn(&T) -> K) {
    if new.is_empty() {
        return;
    }
    let mut places: BTreeMap<K, usize> = entries.iter().enumerate().map(|(place, entry)| (key(entry), place)).collect();
    for entry in new {
        match places.get(&key(&entry)) {
            Some(place) => entries[*place] = entry,
            None => {
                places.insert(key(&entry), entries.len());
                entries.push(entry);
            }
        }
    }
}

fn append<T>(entries: &mut Vec<T>, new: Vec<T>, most: usize) {
    entries.extend(new);
    let excess = entries.len().saturating_sub(most);
    entries.drain(..excess);
}
