//! The low road for many calls of one function: bound arguments in on one thread, results out on another, in batches,
//! with a bounded number of calls and bytes between them.

use scaler_proto::{
    ids::TaskId,
    message::TaskStats,
    value::Value,
};

use crate::{BoundArguments, Error};

/// The entrance; see [`crate::Client::pipe`]. Dropping it ends the input.
#[derive(Debug)]
pub struct PipeSender {}

/// The exit; see [`crate::Client::pipe`]. Dropping it cancels what is under way.
#[derive(Debug)]
pub struct PipeReceiver {}

/// One call's end.
#[derive(Debug)]
#[non_exhaustive]
pub struct PipeItem {
    /// Position in the input, from 0.
    pub index: u64,
    /// The task.
    pub task: TaskId,
    /// The result in positional MessagePack, or why there is none.
    pub result: Result<Vec<u8>, Error>,
    /// What it cost.
    pub stats: TaskStats,
}

impl PipeSender {
    /// Puts a call in; waits while the window is full.
    ///
    /// # Errors
    /// When the receiver is gone or the client disconnected.
    pub async fn send(&mut self, _arguments: BoundArguments) -> Result<(), Error> {
        todo!()
    }

    /// As [`PipeSender::send`], blocking the thread.
    ///
    /// # Errors
    /// As [`PipeSender::send`].
    pub fn send_blocking(&mut self, _arguments: BoundArguments) -> Result<(), Error> {
        todo!()
    }
}

impl PipeReceiver {
    /// The next result; `None` when the sender is gone and everything was received.
    pub async fn receive(&mut self) -> Option<PipeItem> {
        todo!()
    }

    /// As [`PipeReceiver::receive`], blocking the thread.
    pub fn receive_blocking(&mut self) -> Option<PipeItem> {
        todo!()
    }

    /// Waits for at least one result and takes all that are there, up to `max`; `false` at the end.
    pub fn receive_many_blocking(&mut self, _items: &mut Vec<PipeItem>, _max: usize) -> bool {
        todo!()
    }
}

impl PipeItem {
    /// The result with the names of its type.
    ///
    /// # Errors
    /// When there is none, or the bytes are no value of that type.
    pub fn value(&self) -> Result<Value, Error> {
        todo!()
    }
}
