//! The future of one task.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use scaler_proto::{ids::TaskId, message::TaskStats, value::Value};
use serde::de::DeserializeOwned;

use crate::Error;

/// The result of a task, some day. Awaiting it gives the [`Value`]; dropping it leaves the task alone.
#[derive(Debug)]
pub struct TaskFuture {}

impl TaskFuture {
    /// The task's id, as in logs and `scaler status`.
    #[must_use]
    pub fn id(&self) -> TaskId {
        todo!()
    }

    /// Whether it has ended, one way or another. A large result may still have to be fetched.
    #[must_use]
    pub fn done(&self) -> bool {
        todo!()
    }

    /// Whether it was canceled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        todo!()
    }

    /// What it cost and where it ran, once it has ended.
    #[must_use]
    pub fn stats(&self) -> Option<TaskStats> {
        todo!()
    }

    /// Waits for the result as a Rust type.
    ///
    /// # Errors
    /// When the task failed or was canceled, contact was lost, or the value does not have the type's shape.
    pub async fn result<T: DeserializeOwned>(self) -> Result<T, Error> {
        todo!()
    }

    /// As [`TaskFuture::result`] for at most `timeout`; the future can be asked again.
    ///
    /// # Errors
    /// As [`TaskFuture::result`]; [`Error::Timeout`] when it is not there in time.
    pub async fn result_timeout<T: DeserializeOwned>(&mut self, _timeout: Duration) -> Result<T, Error> {
        todo!()
    }

    /// Waits for the result with the names of its type. The same as awaiting the future.
    ///
    /// # Errors
    /// As [`TaskFuture::result`].
    pub async fn value(self) -> Result<Value, Error> {
        self.await
    }

    /// Cancels the task and waits for how it ended: `true` if it was canceled, `false` if it ended before.
    pub async fn cancel(&mut self) -> bool {
        todo!()
    }
}

impl Future for TaskFuture {
    type Output = Result<Value, Error>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
