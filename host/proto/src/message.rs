//! Every message between processes on the control plane: who sends it, when it is legal, what answers it.
//!
//! A message is a *batch* of one kind ([`Message`]); the kind travels in the envelope (see [`crate::wire`]), so that
//! an unknown kind costs one message and not the connection. Fields are only ever added, each with `#[serde(default)]`,
//! and no name is ever used again for something else.

mod agent;
mod client;
mod connection;
mod monitor;
mod outcome;

pub use agent::{Define, Done, Leave, Leaving, Modules, Ready, ReturnReason, Returned, Run, Running, Stop, StopReason};
pub use client::{
    ArgumentObject, Cancel, Changed, Credit, Demand, FunctionInfo, Identity, ModuleInfo, Parked, PutObject, Register,
    RegisterErrorKind, RegisterFailed, RegisterModule, Registered, Release, Stranded, Submit, TaskResult,
};
pub use connection::{
    Ack, Attempt, Goodbye, Heartbeat, Hello, Pulse, Refused, Reset, Role, Shutdown, ShutdownReply, Welcome, WorkerInfo,
    WorkerLoad,
};
pub use monitor::{Answer, CancelReply, CancelTask, LogLine, LogSource, Query, Topic, Update, Watch};
pub use outcome::{ERROR_VALUE, Failure, FailureKind, Outcome, TaskStats, failure_line, first_line, timeout_message};

/// The protocol version this build speaks, and the oldest it understands.
pub const VERSION: u8 = 1;
/// See [`VERSION`].
pub const VERSION_MIN: u8 = 1;

/// Tasks that have run for longer are reported [`Running`].
pub const RUNNING_REPORT_MS: u64 = 25;

/// Values up to this size travel inside messages; larger ones go through the object storage.
pub const INLINE_MAX: usize = 64 * 1024;

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $kind:literal : $body:ident,)*) => {
        /// A batch of one kind. The documentation of each body says who sends it.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Message { $($(#[$doc])* $name(Vec<$body>),)* }

        /// What a message is, as a number in the envelope. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Kind { $($(#[$doc])* $name = $kind,)* }

        impl Kind {
            /// Every kind of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind of that number, if this version knows it.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($kind => Some(Self::$name),)* _ => None }
            }
        }

        impl Message {
            /// The kind of this batch.
            #[must_use]
            pub fn kind(&self) -> Kind { match self { $(Self::$name(_) => Kind::$name,)* } }

            /// How many entries this batch has.
            #[must_use]
            pub fn count(&self) -> usize { match self { $(Self::$name(entries) => entries.len(),)* } }
        }

        /// Calls `$visit!(Name, Body)` style code for each kind; used by the codec.
        macro_rules! for_each_kind {
            ($visit:ident) => { $visit! { $($name: $crate::message::$body,)* } };
        }
        pub(crate) use for_each_kind;
    };
}

messages! {
    /// Everyone → scheduler, first on every connection.
    Hello = 1: Hello,
    /// Scheduler → everyone, answers a `Hello`.
    Welcome = 2: Welcome,
    /// Scheduler → everyone: a `Hello` or a message was refused. The peer stays connected unless it was a `Hello`.
    Refused = 3: Refused,
    /// Scheduler → everyone: this connection is not known, or messages were lost on it. The peer says `Hello` again.
    Reset = 4: Reset,
    /// Either way: the sender leaves on purpose.
    Goodbye = 5: Goodbye,
    /// Client, agent → scheduler, at least every heartbeat interval. Answered by `Pulse`.
    Heartbeat = 6: Heartbeat,
    /// Scheduler → client, agent: answers `Heartbeat`.
    Pulse = 7: Pulse,
    /// Either way: carries nothing but the envelope's cumulative acknowledgement. Never sent for an `Ack` or a `Pulse`
    /// alone, or two idle ends would acknowledge each other for ever.
    Ack = 8: Ack,
    /// Anyone → scheduler (also on the monitor address, after `Hello`). Answered by `Answer`.
    Query = 9: Query,
    /// Scheduler → asker: a bounded picture of the cluster.
    Answer = 10: Answer,
    /// Client → scheduler: end the scheduler and all clusters. Answered by `ShutdownReply`.
    Shutdown = 11: Shutdown,
    /// Scheduler → client.
    ShutdownReply = 12: ShutdownReply,
    /// Watcher → scheduler, after `Hello` on the monitor address: begin to send `Update`s, or begin anew after a gap.
    Watch = 13: Watch,
    /// Scheduler → watcher: a snapshot, then changes. The next is sent when the last is acknowledged, so that a slow
    /// watcher gets fewer and larger ones.
    Update = 14: Update,
    /// Client → scheduler: cancel a task, whoever submitted it. Answered by `CancelReply`.
    CancelTask = 15: CancelTask,
    /// Scheduler → client.
    CancelReply = 16: CancelReply,

    /// Client → scheduler: resolve a function. Answered by `Registered`, `RegisterFailed`, or first `Parked`.
    Register = 20: Register,
    /// Client → scheduler: a module whose bytes the client has put, or is putting, into the object storage.
    /// Its functions can then be registered by this client.
    RegisterModule = 21: RegisterModule,
    /// Client → scheduler: tasks. Accepted when the scheduler's cumulative acknowledgement covers this message.
    Submit = 22: Submit,
    /// Client → scheduler: cancel tasks. The answer is each task's `TaskResult`.
    Cancel = 23: Cancel,
    /// Client → scheduler: stored results (or own objects) that it no longer needs.
    Release = 24: Release,
    /// Client → scheduler: how many calls it holds for a parked registration.
    Demand = 25: Demand,
    /// Client → scheduler: an object that the client has put, or is putting, into the object storage for use in many
    /// tasks. It lives until its `Release` or until the client is gone.
    PutObject = 26: PutObject,

    /// Scheduler → client: a function and its signature.
    Registered = 30: Registered,
    /// Scheduler → client: a registration that cannot be served.
    RegisterFailed = 31: RegisterFailed,
    /// Scheduler → client: no cluster can say yet what the function is; an answer follows when one connects.
    Parked = 32: Parked,
    /// Scheduler → client: how much more it may submit.
    Credit = 33: Credit,
    /// Scheduler → client: the one terminal outcome of each task. Kept by the scheduler until acknowledged.
    TaskResult = 34: TaskResult,
    /// Scheduler → client: a registered function now means other bytes.
    Changed = 35: Changed,
    /// Scheduler → client: what its tasks wrote, if it asked for that (`Hello::stream_output`). Lines may be dropped.
    TaskLog = 36: LogLine,
    /// Scheduler → client: tasks of its that no connected worker can run. They stay accepted and wait.
    Stranded = 37: Stranded,

    /// Scheduler → agent: what a function number means. Sent before the first `Run` that uses it.
    Define = 40: Define,
    /// Scheduler → agent: run this.
    Run = 41: Run,
    /// Scheduler → agent: stop or give back a task. Answered by that task's `Done` or `Returned`.
    Stop = 42: Stop,
    /// Scheduler → agent: finish what runs, give back the rest, then end.
    Leave = 43: Leave,

    /// Agent → scheduler, once after its preload succeeded: workers take tasks from now on.
    Ready = 50: Ready,
    /// Agent → scheduler: the modules of its module path, complete, whenever they change.
    Modules = 51: Modules,
    /// Agent → scheduler: the outcome of an attempt. Kept by the agent until acknowledged.
    Done = 52: Done,
    /// Agent → scheduler: tasks that ended without an outcome: given back, or their processor died.
    Returned = 53: Returned,
    /// Agent → scheduler: tasks that have been running for more than [`RUNNING_REPORT_MS`].
    Running = 54: Running,
    /// Agent → scheduler: no new work from now on; what runs is finished, the rest comes back as `Returned`.
    Leaving = 55: Leaving,
    /// Agent → scheduler: what guests wrote. Bounded in bytes a second; what is over is counted and dropped.
    LogLines = 56: LogLine,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
