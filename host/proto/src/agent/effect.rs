//! What the agent core is told at its start, and what it wants done.

use std::sync::Arc;

use crate::{
    ids::{AgentId, PeerId, TaskId},
    message::{Define, FailureKind, Run, WorkerInfo},
    session::Packet,
};

/// What an agent is and how patient it is.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// A random number, the same for the life of the process.
    pub id: AgentId,
    /// For people.
    pub name: String,
    /// Program version.
    pub build: String,
    /// Its workers. The index in this list is the worker's number everywhere.
    pub workers: Vec<WorkerInfo>,
    /// A heartbeat is sent this often.
    pub heartbeat_interval_ms: u64,
    /// Ends a task's run after this long, 0 never. A task's own timeout counts if it is shorter.
    pub task_timeout_ms: u64,
    /// What its processors hold a task's memory to; the scheduler is told, for views.
    pub task_memory_limit_bytes: u64,
    /// The agent ends after this long without a scheduler.
    pub death_timeout_ms: u64,
    /// How long a leaving agent lets running tasks go on.
    pub drain_ms: u64,
    /// An interrupt that was not obeyed after this long becomes a kill.
    pub kill_after_ms: u64,
}

impl AgentConfig {
    /// The documented defaults.
    #[must_use]
    pub fn new(id: AgentId, name: impl Into<String>, workers: Vec<WorkerInfo>) -> Self {
        Self {
            id,
            name: name.into(),
            build: String::new(),
            workers,
            heartbeat_interval_ms: 2_000,
            task_timeout_ms: 0,
            task_memory_limit_bytes: 0,
            death_timeout_ms: 300_000,
            drain_ms: 10_000,
            kill_after_ms: 25,
        }
    }
}

/// What the agent's process and machine use, as the shell measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory of the agent's process.
    pub rss_bytes: u64,
    /// CPU use of that process since the last measurement, in thousandths of one core.
    pub cpu_permille: u32,
    /// Memory that the machine has left.
    pub memory_free_bytes: u64,
}

/// A task on its way to a processor.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Counts the tasks handed to this processor, from 1. A new processor starts again at 1.
    pub sequence: u64,
    /// What to run.
    pub run: Arc<Run>,
    /// The timeout that counts for it, 0 if none does.
    pub timeout_ms: u64,
}

/// Why a running task is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptCause {
    /// Nobody wants it any more.
    Cancel,
    /// It ran longer than allowed.
    Timeout,
}

/// What the shell does for the core, in the order given.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send to the scheduler.
    Send(PeerId, Packet),
    /// Close the connection and dial again; answered by `disconnected` (if it was up) and later `connected`.
    Redial,
    /// Where large values go from now on.
    StorageAddress(String),
    /// Make a function runnable; answered by `function_ready` or `function_failed`.
    Prepare(Define),
    /// Start a processor; answered by `processor_ready`, `processor_died` or `processor_retired`.
    Spawn {
        /// For which worker.
        worker: u16,
    },
    /// Give tasks to a processor; each is answered by `processor_done` or taken back, or its processor dies.
    Hand {
        /// Which worker.
        worker: u16,
        /// In order.
        tasks: Vec<Handed>,
    },
    /// Take back what has not started: one exchange of the shared word to `next`. Answered by
    /// `processor_took_back` with the word's former value.
    TakeBack {
        /// Which worker.
        worker: u16,
        /// The first sequence number that was never handed out.
        next: u64,
    },
    /// Interrupt a task if it still runs. It answers by `processor_done`; a kill follows if it does not.
    Interrupt {
        /// Which worker.
        worker: u16,
        /// Which task.
        sequence: u64,
        /// Why.
        cause: InterruptCause,
    },
    /// Kill the processor; answered by `processor_died`.
    Kill {
        /// Which worker.
        worker: u16,
    },
    /// Something for the log.
    Note(Note),
    /// The agent ends: kill all processors, say no more.
    End(EndReason),
}

/// Something for the log, or for a shell that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The scheduler said welcome.
    Connected {
        /// Its epoch.
        epoch: u64,
    },
    /// `Ready` was sent: tasks may come.
    Announced,
    /// The connection is gone.
    Disconnected,
    /// The scheduler refused something.
    Refused {
        /// Its words.
        reason: String,
    },
    /// Messages were lost, the connection is made anew.
    Reset {
        /// Why.
        reason: String,
    },
    /// The scheduler said that it ends. Whether another one takes its place is not known.
    SchedulerEnded {
        /// Its words.
        reason: String,
    },
    /// The scheduler was restarted: what the agent had in hand is not known any more.
    Forgotten {
        /// How many tasks were dropped.
        tasks: usize,
    },
    /// The agent takes no more work.
    Leaving {
        /// Why.
        reason: String,
    },
    /// A worker takes no more tasks.
    Retired {
        /// Which worker.
        worker: u16,
        /// Why.
        reason: String,
    },
    /// An attempt failed. Not all are told of by themselves, see [`Note::FailedMore`]; canceled ones are no failures.
    Failed {
        /// The task.
        task: TaskId,
        /// Which attempt, from 1.
        attempt: u32,
        /// `module.path:function`.
        function: String,
        /// Which worker had it, [`TaskStats::NO_WORKER`](crate::message::TaskStats::NO_WORKER) if none had.
        worker: u16,
        /// Which kind of failure.
        kind: FailureKind,
        /// The first line of its message.
        message: String,
    },
    /// As many more attempts failed in the last second as have no [`Note::Failed`].
    FailedMore {
        /// How many.
        count: u64,
    },
    /// A processor does not take the tasks that it was given, so it is killed and they run elsewhere.
    Stalled {
        /// Which worker.
        worker: u16,
        /// How many tasks it has.
        tasks: usize,
        /// For how long.
        stalled_ms: u64,
        /// Somebody stopped the process; else it has not begun any of them.
        is_stopped: bool,
    },
    /// An interrupt was not obeyed, so the processor is killed.
    Killing {
        /// Which worker.
        worker: u16,
        /// Why.
        cause: InterruptCause,
    },
}

/// Why the agent ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// It was asked to leave and has finished.
    Left,
    /// No scheduler for too long.
    DeathTimeout,
    /// Its last worker cannot be started again; the reason of that.
    NoWorkers(String),
}
