//! Every message between processes on the control plane: who sends it, when it is legal, what answers it.
//!
//! A message is a *batch* of one kind ([`Message`]); the kind travels in the envelope (see [`crate::wire`]), so that
//! an unknown kind costs one message and not the connection. Fields are only ever added, each with `#[serde(default)]`,
//! and no name is ever used again for something else.

use serde::{Deserialize, Serialize};

use crate::{
    capability::Capabilities,
    ids::{AgentId, ClientId, FunctionId, ModuleHash, ObjectId, TaskId},
    payload::Payload,
    view::View,
};

/// The protocol version this build speaks, and the oldest it understands.
pub const VERSION: u8 = 1;
/// See [`VERSION`].
pub const VERSION_MIN: u8 = 1;

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
    /// Agent → scheduler: tasks that have been running for more than 100 ms.
    Running = 54: Running,
    /// Agent → scheduler: no new work from now on; what runs is finished, the rest comes back as `Returned`.
    Leaving = 55: Leaving,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Submits tasks.
    Client,
    /// Runs tasks.
    Agent,
    /// Only asks (`status`, UI); the only role on the monitor address.
    Monitor,
}

/// See [`Message::Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// What the sender is.
    pub role: Role,
    /// The sender's random number: a [`ClientId`] or [`AgentId`]. The same after a reconnect.
    pub id: u64,
    /// For people: host name, or what the user called it.
    pub name: String,
    /// Oldest protocol version the sender speaks.
    pub version_min: u8,
    /// Newest protocol version the sender speaks.
    pub version_max: u8,
    /// Program version, for logs and views.
    #[serde(default)]
    pub build: String,
    /// The epoch of the scheduler the sender was connected to before, 0 if none. A different one means that
    /// nothing the sender has in hand is known.
    #[serde(default)]
    pub epoch: u64,
    /// For agents: its workers, one entry each.
    #[serde(default)]
    pub workers: Vec<WorkerInfo>,
    /// For agents that connect again: every task attempt it still holds (queued, running or with an outcome not
    /// acknowledged).
    #[serde(default)]
    pub holds: Vec<Attempt>,
    /// For agents that connect again: they are past their preload.
    #[serde(default)]
    pub ready: bool,
    /// The sender's heartbeat interval in milliseconds, 0 if it does not say. After two of them in silence (and at
    /// least
    /// two seconds) an agent's tasks go elsewhere.
    #[serde(default)]
    pub heartbeat_ms: u64,
}

/// One worker of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Unique within the agent, shown everywhere.
    pub name: String,
    /// The tags it offers.
    pub capabilities: Capabilities,
    /// Most tasks that may be assigned to it at once, the running one included.
    pub queue_size: u32,
}

/// One attempt at a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The task.
    pub task: TaskId,
    /// Counted from 1; every dispatch is an attempt of its own, charged or not.
    pub attempt: u32,
}

/// See [`Message::Welcome`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The scheduler's epoch: raised at every start, carried by every message.
    pub epoch: u64,
    /// The protocol version to speak.
    pub version: u8,
    /// Where large values go, `None` while the scheduler does not know.
    #[serde(default)]
    pub object_storage_address: Option<String>,
    /// The scheduler refuses `Shutdown` from clients.
    #[serde(default)]
    pub protected: bool,
    /// For clients: the first credit.
    #[serde(default)]
    pub credit: Credit,
    /// A silent peer is dropped after this long, in milliseconds.
    #[serde(default)]
    pub timeout_ms: u64,
    /// For clients: the scheduler still knows this client's session (its counts for `Credit`, its tasks). If not, the
    /// client counts what it submits from zero again, and submits everything that has no result.
    #[serde(default)]
    pub resumed: bool,
}

/// See [`Message::Refused`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The kind number that was refused.
    pub kind: u16,
    /// Why, and what to do.
    pub reason: String,
}

/// See [`Message::Reset`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// Why, for the log.
    pub reason: String,
}

/// See [`Message::Goodbye`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why, for the log.
    pub reason: String,
}

/// See [`Message::Heartbeat`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Sender's clock in nanoseconds, echoed by the `Pulse`.
    pub sent: u64,
    /// For agents: one entry a worker, in the order of `Hello::workers`.
    #[serde(default)]
    pub workers: Vec<WorkerLoad>,
    /// For agents: resident memory of the agent process.
    #[serde(default)]
    pub rss_bytes: u64,
}

/// What a worker is doing, as of a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerLoad {
    /// Process id of its processor, 0 while there is none.
    pub pid: u32,
    /// Tasks waiting in its processor.
    pub queued: u32,
    /// 1 while a task runs.
    pub running: u32,
    /// Tasks it has ended.
    pub finished: u64,
    /// Processors started for it after the first.
    pub restarts: u32,
    /// CPU use of the processor over the last interval, in thousandths of one core.
    pub cpu_permille: u32,
    /// Resident memory of the processor.
    pub rss_bytes: u64,
    /// It takes no more tasks (its processor cannot be started again).
    #[serde(default)]
    pub retired: bool,
}

/// See [`Message::Pulse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// `Heartbeat::sent`.
    pub sent: u64,
    /// See `Welcome::object_storage_address`; it may become known, or change, while a peer is connected.
    #[serde(default)]
    pub object_storage_address: Option<String>,
}

/// See [`Message::Ack`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ack {}

/// See [`Message::Query`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The asker's number, echoed by the answer.
    pub request: u64,
}

/// See [`Message::Answer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// `Query::request`.
    pub request: u64,
    /// The picture.
    pub view: View,
}

/// See [`Message::Shutdown`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shutdown {
    /// The asker's number, echoed by the reply.
    pub request: u64,
}

/// See [`Message::ShutdownReply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShutdownReply {
    /// `Shutdown::request`.
    pub request: u64,
    /// Whether the scheduler ends now.
    pub accepted: bool,
    /// Why not.
    #[serde(default)]
    pub reason: String,
}

/// What a module is: its bytes, and the preload call that prepared it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Hash of the component's bytes.
    pub hash: ModuleHash,
    /// The preload call in canonical print (`init:configure("production", debug=false)`), if there was one.
    #[serde(default)]
    pub preload: Option<String>,
}

/// A module and what can be called in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The dotted path under the module path (`a.b` for `a/b.wasm`), or the name a client gave it.
    pub path: String,
    /// Which bytes, prepared how.
    pub identity: Identity,
    /// What it exports.
    pub functions: Vec<FunctionInfo>,
}

/// A function that can be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// The full name of the exported interface (`my:pkg/init@1.0.0` or `init`), `None` for a root export.
    #[serde(default)]
    pub interface: Option<String>,
    /// Name as exported, in kebab-case.
    pub name: String,
    /// A `scaler_module::Signature` as MessagePack; opaque to the scheduler.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
}

/// See [`Message::Register`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// The client's number, echoed by every answer.
    pub request: u64,
    /// Dotted module path (`preload.init`).
    pub module: String,
    /// Function name, in either spelling.
    pub function: String,
    /// Only clusters with workers that offer this count.
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// See [`Message::RegisterModule`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterModule {
    /// What it is; private to this client's session, found before the clusters' modules of the same path.
    pub module: ModuleInfo,
    /// Size of the bytes, stored as [`ObjectId::module`].
    pub size_bytes: u64,
}

/// See [`Message::Submit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// [`TaskId::number`]; the client is known from the connection.
    pub number: u64,
    /// What to call.
    pub function: FunctionId,
    /// Arguments, a MessagePack array in the order of the parameters.
    pub arguments: Payload,
    /// Tags that the worker must offer.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// Ends the task's run after this long; 0 leaves it to the cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_ms: u64,
    /// Higher runs first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// How often a failure of the task itself (error, trap, limit) is tried again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
}

/// See [`Message::Cancel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// [`TaskId::number`].
    pub number: u64,
}

/// See [`Message::Release`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The object.
    pub object: ObjectId,
}

/// See [`Message::Demand`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// `Register::request`.
    pub request: u64,
    /// Calls that wait at the client for it; 0 withdraws the registration.
    pub held: u64,
}

/// See [`Message::Registered`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// `Register::request`.
    pub request: u64,
    /// The number to submit with.
    pub function: FunctionId,
    /// Which module it is in.
    pub identity: Identity,
    /// Path of the module that was found (`preload` for `preload.init:configure`).
    pub path: String,
    /// What it is, with its signature.
    pub info: FunctionInfo,
}

/// Why a registration failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterErrorKind {
    /// No such module on any connected cluster that has the capabilities.
    UnknownModule,
    /// The module has no such function.
    UnknownFunction,
    /// More than one thing has this name; the message lists them.
    Ambiguous,
    /// Clusters disagree about the bytes; the message lists both.
    Conflict,
}

/// See [`Message::RegisterFailed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterFailed {
    /// `Register::request`.
    pub request: u64,
    /// Which kind of failure.
    pub kind: RegisterErrorKind,
    /// What there is, and the nearest name.
    pub message: String,
}

/// See [`Message::Parked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// `Register::request`.
    pub request: u64,
    /// Why.
    pub reason: String,
}

/// See [`Message::Credit`]. Both counts are cumulative over the client's whole session, so that losing or
/// repeating one does no harm; a client never exceeds the largest it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Tasks it may have submitted in all.
    pub tasks: u64,
    /// Argument bytes (inline ones) it may have submitted in all.
    pub bytes: u64,
}

/// See [`Message::TaskResult`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// [`TaskId::number`].
    pub number: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    #[serde(default)]
    pub stats: TaskStats,
}

/// How an attempt, and in the end a task, ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The returned value in positional MessagePack (nil if there is none); for `result<T, E>` the `ok` value.
    Ok(Payload),
    /// It failed.
    Failed(Failure),
}

/// Why a task failed, with what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// For people: what happened, and what to do.
    pub message: String,
    /// For [`FailureKind::Error`]: the `err` value in positional MessagePack.
    #[serde(default)]
    pub value: Option<Payload>,
    /// A WebAssembly trace, when there is one.
    #[serde(default)]
    pub trace: Option<String>,
}

/// The kinds of failure. User mistake, guest fault, limit, infrastructure and our own bug are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The function returned `err(e)`.
    Error,
    /// The guest panicked; the message is the panic's.
    Panic,
    /// The guest trapped.
    Trap,
    /// The guest recursed too deeply.
    StackOverflow,
    /// The task's memory limit was hit.
    MemoryLimit,
    /// The result was larger than allowed, or another host resource limit was hit.
    OutputLimit,
    /// The task ran longer than allowed.
    Timeout,
    /// A user canceled it.
    Canceled,
    /// The arguments do not fit the function.
    Arguments,
    /// The module cannot be compiled, linked or prepared.
    Module,
    /// The module's preload failed.
    Preload,
    /// The processor died `max_attempts` times while this task ran.
    ProcessorDied,
    /// Clusters were lost too often while this task ran.
    WorkerLost,
    /// An object that the task needs is gone.
    ObjectLost,
    /// The scheduler did not take it (`max_number_of_tasks_waiting`, unknown function).
    Rejected,
    /// The scheduler ended, or another decision of the system.
    Aborted,
    /// A bug of ours.
    Internal,
}

impl FailureKind {
    /// A user's `cancel`, as opposed to a failure.
    #[must_use]
    pub fn is_canceled(self) -> bool {
        self == Self::Canceled
    }

    /// The task itself is to blame; retried only if the client asked for retries.
    #[must_use]
    pub fn is_of_task(self) -> bool {
        matches!(
            self,
            Self::Error
                | Self::Panic
                | Self::Trap
                | Self::StackOverflow
                | Self::MemoryLimit
                | Self::OutputLimit
                | Self::Timeout
        )
    }
}

/// What one attempt cost and where it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStats {
    /// Microseconds from the start of the instance to the end of the call.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_us: u64,
    /// Of these, making the store and the instance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_us: u32,
    /// Most guest memory in use at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub peak_memory_bytes: u64,
    /// Index of the worker within its agent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub worker: u16,
    /// Which attempt this was.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// Filled in by the scheduler: microseconds between acceptance and the last dispatch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued_us: u64,
}

/// See [`Message::Changed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// `Register::request` of the registration that changed.
    pub request: u64,
    /// What it means now; `None`: nothing any more (`message` says why).
    #[serde(default)]
    pub now: Option<Registered>,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// See [`Message::Define`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Define {
    /// The number that `Run` uses.
    pub function: FunctionId,
    /// Which module.
    pub identity: Identity,
    /// Path of the module.
    pub path: String,
    /// Which export.
    pub info: FunctionInfo,
    /// The bytes are in the object storage as [`ObjectId::module`] if the agent does not have them.
    #[serde(default)]
    pub stored: bool,
}

/// See [`Message::Run`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The task.
    pub task: TaskId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What to call.
    pub function: FunctionId,
    /// Arguments, a MessagePack array in the order of the parameters.
    pub arguments: Payload,
    /// Results up to this size come back inside `Done`; larger ones go to the object storage.
    pub inline_max: u32,
    /// See `Submit::timeout_ms`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_ms: u64,
    /// See `Submit::priority`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Tags that the worker must offer; the agent chooses among its workers that do.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
}

/// Why a task is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// End it, running or not; it ends as `Done` with [`FailureKind::Canceled`].
    Cancel,
    /// Give it back as `Returned` if it has not started; otherwise nothing happens.
    TakeBack,
    /// Forget it silently if it has not started, end it if it runs; no answer (another attempt counts, or nobody wants
    /// it).
    Discard,
}

/// See [`Message::Stop`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Which attempt.
    pub attempt: Attempt,
    /// Why.
    pub reason: StopReason,
}

/// See [`Message::Leave`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leave {
    /// Why, for the log.
    pub reason: String,
}

/// See [`Message::Ready`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The modules of its module path.
    pub modules: Vec<ModuleInfo>,
}

/// See [`Message::Modules`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Modules {
    /// All of them.
    pub modules: Vec<ModuleInfo>,
}

/// See [`Message::Done`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The task.
    pub task: TaskId,
    /// Which attempt.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    #[serde(default)]
    pub stats: TaskStats,
}

/// Why a task came back without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnReason {
    /// Asked for by `TakeBack`, or the agent leaves; it had not started.
    GivenBack,
    /// Its processor died while it ran. Charges an attempt.
    ProcessorDied,
    /// The agent does not have the module, or has no worker for it.
    CannotRun,
}

/// See [`Message::Returned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// Which attempt.
    pub attempt: Attempt,
    /// Why.
    pub reason: ReturnReason,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// See [`Message::Running`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Which attempt.
    pub attempt: Attempt,
    /// Index of the worker within the agent.
    pub worker: u16,
}

/// See [`Message::Leaving`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaving {
    /// Why, for the log.
    pub reason: String,
}

impl Hello {
    /// The id as a client's.
    #[must_use]
    pub fn client(&self) -> ClientId {
        ClientId(self.id)
    }

    /// The id as an agent's.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        AgentId(self.id)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
