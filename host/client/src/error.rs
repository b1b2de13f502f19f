//! What can go wrong, as types: the user's mistake, the task's own failure, the cluster's, and the connection's.

use std::{path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;

use scaler_module::{BindError, DecodeError, DottedName, ReadError};
use scaler_net::{AddressError, NetError};
use scaler_proto::{
    call::CallError,
    capability::CapabilityError,
    client::Closed,
    ids::{ObjectId, TaskId},
    message::{FailureKind, RegisterErrorKind, TaskStats, failure_line},
    value::{Value, ValueError},
};

use crate::Outermost;

/// Where the scheduler is, for [`crate::Client::new`].
pub const SCALER_ADDRESS: &str = "SCALER_ADDRESS";

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No scheduler answered at the address in time.
    #[error("cannot reach a scheduler at {address} within {waited:?}")]
    Unreachable {
        /// Where.
        address: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// The session is over, on purpose or by loss of contact.
    #[error("not connected to the scheduler at {address}: {reason}")]
    Disconnected {
        /// Where it was.
        address: String,
        /// Why.
        #[source]
        reason: Closed,
    },
    /// The call's text cannot be read.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A text of capabilities cannot be read.
    #[error(transparent)]
    Capabilities(#[from] CapabilityError),
    /// No connected cluster has the module.
    #[error("{message}")]
    UnknownModule {
        /// What there is, and the nearest name.
        message: String,
    },
    /// The module has no such function.
    #[error("{message}")]
    UnknownFunction {
        /// What there is, and the nearest name.
        message: String,
    },
    /// More than one thing has this name, or clusters disagree about its bytes.
    #[error("{message}")]
    Ambiguous {
        /// The candidates.
        message: String,
    },
    /// No cluster could say in time what the function is.
    #[error("{call}: still waiting for a cluster after {waited:?}: {reason}")]
    NoCluster {
        /// `module:function`.
        call: String,
        /// How long it was waited.
        waited: Duration,
        /// The scheduler's words.
        reason: String,
    },
    /// The arguments do not fit the function's parameters.
    #[error("{function}: {source}{outermost}")]
    Bind {
        /// Which function.
        function: String,
        /// What does not fit.
        source: BindError,
        /// What they were made of, and so what else may have been meant.
        outermost: Outermost,
    },
    /// A Rust value that has no form as arguments, or as an object.
    #[error("{function}: {source}")]
    Value {
        /// Which function.
        function: String,
        /// What does not fit.
        source: ValueError,
    },
    /// A result that does not have the Rust type's shape. The task itself has ended well.
    #[error("{function}: {source}")]
    Shape {
        /// Which function.
        function: String,
        /// What does not fit.
        source: ValueError,
    },
    /// A result that is no value of the function's type.
    #[error("{function}: the result cannot be read: {source}")]
    Decode {
        /// Which function.
        function: String,
        /// Why.
        source: DecodeError,
    },
    /// The task ended without a result.
    #[error(transparent)]
    Task(Box<TaskError>),
    /// The task was canceled.
    #[error("task {task} was canceled: {message}")]
    Canceled {
        /// Which.
        task: TaskId,
        /// When, or by whom else than this client.
        message: String,
    },
    /// The caller's time is over; the task goes on.
    #[error("no result within {waited:?}; the task goes on")]
    Timeout {
        /// How long it was waited.
        waited: Duration,
    },
    /// A stored value cannot be had from, or put into, the object storage.
    #[error("object {object}: {reason}")]
    Object {
        /// Which.
        object: ObjectId,
        /// Why.
        reason: String,
    },
    /// An object that this client did not send, or has cleared.
    #[error("object `{name}` is missing: this client has not sent it, or has cleared it; send it again")]
    MissingObject {
        /// What it was called.
        name: String,
    },
    /// The first element of a map that failed; the others were canceled.
    #[error("element {index} of the input: {source}")]
    Element {
        /// Its position in the input, from 0.
        index: u64,
        /// What went wrong with it.
        source: Box<Error>,
    },
    /// A task has no profile (yet).
    #[error("task {task} has no profiling information: {reason}")]
    NoProfile {
        /// Which task.
        task: TaskId,
        /// Why.
        reason: &'static str,
    },
    /// Nobody said where the scheduler is.
    #[error("no scheduler address was given, and the environment variable {SCALER_ADDRESS} is not set")]
    NoAddress,
    /// A cluster on this machine could not be started or stopped; see [`crate::SchedulerClusterCombo`].
    #[error("{what}")]
    Combo {
        /// What happened, with the last lines of the log.
        what: String,
    },
    /// The scheduler does not let clients shut it down.
    #[error("the scheduler refused to shut down: {reason}")]
    ShutdownRefused {
        /// Its words.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Bytes that are no module.
    #[error("{name}: {source}")]
    Module {
        /// File or name.
        name: String,
        /// Why.
        source: ReadError,
    },
    /// A module's file with dots in its name; [`crate::ModuleOptions::name`] gives the module another one.
    #[error(transparent)]
    ModuleName(#[from] DottedName),
    /// The machine refused a thread.
    #[error("cannot start the client's thread: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// The machine refused a file descriptor.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// A task that ended without a result: what happened, and where. As text: the function, what happened, and of an error
/// value the beginning.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", failure_line(.function, *.kind, .message, .value.as_ref()))]
#[non_exhaustive]
pub struct TaskError {
    /// `module.path:function`, empty if that is not known (any more).
    pub function: String,
    /// Which task.
    pub task: TaskId,
    /// Which kind of failure.
    pub kind: FailureKind,
    /// What happened, for people.
    pub message: String,
    /// For [`FailureKind::Error`]: the value that the function returned as `err`.
    pub value: Option<Value>,
    /// A WebAssembly trace, when there is one.
    pub trace: Option<String>,
    /// What the last attempt cost, which worker ran it (its name is empty when none did, or when its cluster was lost),
    /// and how many attempts there were.
    pub stats: TaskStats,
}

impl TaskError {
    /// The guest's error value as a Rust type; `None` when there is none.
    ///
    /// # Errors
    /// When the value does not have the type's shape.
    pub fn value_as<T: DeserializeOwned>(&self) -> Option<Result<T, ValueError>> {
        self.value.as_ref().map(Value::to_serde)
    }

    /// Whether one of the task's limits ended it: memory, stack, output or time.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        use FailureKind::{MemoryLimit, OutputLimit, StackOverflow, Timeout};
        matches!(self.kind, MemoryLimit | OutputLimit | StackOverflow | Timeout)
    }
}

impl Error {
    /// Whether the call never became a task: it cannot be read, its function is unknown, or its arguments have no form
    /// or do not fit.
    #[must_use]
    pub fn never_became_a_task(&self) -> bool {
        matches!(
            self,
            Self::Call(_)
                | Self::Capabilities(_)
                | Self::Address(_)
                | Self::UnknownModule { .. }
                | Self::UnknownFunction { .. }
                | Self::Ambiguous { .. }
                | Self::NoCluster { .. }
                | Self::Bind { .. }
                | Self::Value { .. }
                | Self::Module { .. }
                | Self::ModuleName(_)
                | Self::MissingObject { .. }
                | Self::NoAddress
                | Self::File { .. }
        )
    }

    pub(crate) fn not_registered(kind: RegisterErrorKind, message: String) -> Self {
        match kind {
            RegisterErrorKind::UnknownModule => Self::UnknownModule { message },
            RegisterErrorKind::UnknownFunction => Self::UnknownFunction { message },
            RegisterErrorKind::Ambiguous | RegisterErrorKind::Conflict => Self::Ambiguous { message },
        }
    }

    /// The task's failure, if it is one.
    #[must_use]
    pub fn task(&self) -> Option<&TaskError> {
        if let Self::Task(error) = self { Some(error) } else { None }
    }
}
