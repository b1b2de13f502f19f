//! The client's half of a session as a pure state machine: what to say to the scheduler, what became of each call.
//!
//! The caller numbers its tasks and requests and drives the core like every other one (`connected`, `handle`,
//! `disconnected`, `tick`, `next_deadline`); `submit`, `cancel`, `register` and the others only take note, and the next
//! `tick` sends. Calls beyond the scheduler's credit are held here, so nothing is lost when a connection is: whatever
//! has no result is submitted again on the next one, under the same number.

use crate::{
    capability::Capabilities,
    ids::{ClientId, FunctionId, PeerId, Time},
    message::{
        Answer, ArgumentObject, Changed, LogLine, Outcome, Parked, RegisterFailed, Registered, Role, ShutdownReply,
        TaskStats, Welcome,
    },
    payload::Payload,
    session::Packet,
};

mod outbox;
mod state;

pub use self::state::ClientCore;

/// Who a client is and how long it waits.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Drawn at random by the caller; the same for the client's whole life.
    pub id: ClientId,
    /// For people.
    pub name: String,
    /// Program version, for logs and views.
    pub build: String,
    /// `Role::Client`, or `Role::Monitor` for one that only asks.
    pub role: Role,
    /// The first `Welcome` must arrive within this time, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Without a word from the scheduler for this long everything fails, in milliseconds.
    pub timeout_ms: u64,
    /// Time between heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// Results shall name the worker.
    pub profiling: bool,
    /// What the tasks write shall come here.
    pub stream_output: bool,
}

/// One call, its arguments bound to the function's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The registration (its request number) whose function this is.
    pub registration: u64,
    /// The function number that the arguments were bound for: [`Registered::function`] of the present epoch (after a
    /// restart of the scheduler: of the last answer, until the next one comes).
    pub function: FunctionId,
    /// A MessagePack array in the order of the parameters, or where it is going to be stored.
    pub arguments: Payload,
    /// Arguments that are objects of their own, announced before by [`ClientCore::put_object`].
    pub objects: Vec<ArgumentObject>,
    /// Tags that the worker must offer.
    pub capabilities: Capabilities,
    /// Ends the task's run after this long; 0 leaves it to the cluster.
    pub timeout_ms: u64,
    /// Higher runs first.
    pub priority: i32,
    /// How often a failure of the task itself is tried again.
    pub retries: u32,
    /// While the scheduler has no room for it, it is submitted again ([`Effect::Refused`]) instead of failing.
    pub patient: bool,
    /// The caller's own mark, given back when the task ends.
    pub tag: u64,
    /// When it was called; what it waited here counts as queue time.
    pub called: Time,
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send it on that connection.
    Send(PeerId, Packet),
    /// Close the connection and open a new one.
    Redial,
    /// The session stands, for the first time or again.
    Connected(Welcome),
    /// The object storage has this address now.
    Storage(String),
    /// A function was found. Comes again when the scheduler was restarted, and when the function is something else now.
    Registered(Registered),
    /// A registration cannot be served; it is forgotten.
    RegisterFailed(RegisterFailed),
    /// A registration waits for a cluster.
    Parked(Parked),
    /// A registered function means other bytes, or nothing any more.
    Changed(Changed),
    /// The arguments of this task belong into the object storage now: it is being submitted. Repeated when a restarted
    /// scheduler (and storage) gets the task anew.
    Put {
        /// The task's number.
        number: u64,
        /// [`Call::tag`].
        tag: u64,
    },
    /// The scheduler has no room for a patient call: nothing is known of it under its number any more. It has to come
    /// back at once by [`ClientCore::submit_again_as`], under a new number, and is sent when there may be room.
    Refused {
        /// What says where it belongs among others.
        order: u64,
        /// The call as it was; arguments in the object storage have to move with the number.
        call: Box<Call>,
    },
    /// The one end of a task.
    Ended {
        /// The task's number.
        number: u64,
        /// [`Call::tag`].
        tag: u64,
        /// How it ended.
        outcome: Outcome,
        /// What it cost.
        stats: TaskStats,
    },
    /// The answer to [`ClientCore::query`].
    Answered(Box<Answer>),
    /// The answer to [`ClientCore::shutdown`].
    ShutdownReply(ShutdownReply),
    /// What tasks wrote.
    Output(Vec<LogLine>),
    /// Something of no consequence for any call, for the log.
    Warning(String),
    /// The session is over. Every open task has ended before this; open registrations, queries and shutdowns get no
    /// other answer. Nothing follows.
    Closed(Closed),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The caller left.
    #[error("the client disconnected")]
    Left,
    /// No `Welcome` came in time.
    #[error("no scheduler answered within {waited_ms} ms")]
    NeverConnected {
        /// How long it was tried.
        waited_ms: u64,
    },
    /// There was no contact for too long.
    #[error("no contact with the scheduler for {silent_ms} ms{}", .said.as_deref().map(|said| format!("; it had said: {said}")).unwrap_or_default())]
    Silent {
        /// How long.
        silent_ms: u64,
        /// The last reason that the scheduler gave for leaving, if any.
        said: Option<String>,
    },
    /// The scheduler does not take this client.
    #[error("the scheduler refused this client: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// The scheduler was shut down, by this client.
    #[error("the scheduler was shut down by this client")]
    ShutDown,
}

/// A request for a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The caller's number for it, never used twice.
    pub request: u64,
    /// Dotted module path.
    pub module: String,
    /// Function name.
    pub function: String,
    /// Only clusters with workers that offer this count.
    pub capabilities: Capabilities,
}

/// Where a task is, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here: no credit, no connection, or its function is not known yet.
    Held,
    /// Sent, not acknowledged.
    Submitted,
    /// The scheduler has taken responsibility.
    Accepted,
}
