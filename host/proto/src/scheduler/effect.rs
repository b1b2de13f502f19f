//! What goes in and out of the scheduler's core besides messages: what its shell must do, and facts for a journal.

use crate::{
    ids::{ObjectId, PeerId, TaskId},
    message::{FunctionInfo, Identity, Submit, TaskResult},
    session::Packet,
};

use super::Note;

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this down; nothing after it may be done before that is safe. Only with
    /// [`SchedulerConfig::journal`](super::SchedulerConfig::journal).
    Persist(Record),
    /// Send this on that connection.
    Send(PeerId, Packet),
    /// Close that connection (after what was sent on it).
    Drop(PeerId),
    /// Nobody needs these any more.
    DeleteObjects(Vec<ObjectId>),
    /// Something for the log.
    Note(Note),
    /// Flush what was sent, then end the process.
    End {
        /// Why, for the log.
        reason: String,
    },
}

/// A fact that must survive the process: what a journal holds. Facts, not inputs, so that policies may change.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A task was accepted.
    Accepted {
        /// Which.
        task: TaskId,
        /// Module path of the function.
        path: String,
        /// Which bytes.
        identity: Identity,
        /// Which export.
        info: Box<FunctionInfo>,
        /// Everything else about it.
        submit: Box<Submit>,
    },
    /// A task ended.
    Finished {
        /// Which.
        task: TaskId,
        /// How.
        result: Box<TaskResult>,
    },
    /// Its client has the result.
    Delivered {
        /// Which.
        task: TaskId,
    },
}

/// The numbers of an envelope whose kind is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// As in [`Packet`].
    pub epoch: u64,
    /// As in [`Packet`].
    pub sequence: u64,
    /// As in [`Packet`].
    pub ack: u64,
}
