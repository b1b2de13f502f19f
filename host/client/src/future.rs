//! The future of one task.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use scaler_proto::{ids::TaskId, message::TaskStats, value::Value};
use serde::de::DeserializeOwned;

use crate::{
    Error,
    completion::{About, Cell, CellState, End},
    park,
    queue::{Command, Queue},
    transfer::Transfer,
};

/// The result of a task, some day. Awaiting it gives the [`Value`]; dropping it leaves the task alone.
pub struct TaskFuture {
    cell: Arc<Cell>,
    queue: Arc<Queue>,
    transfer: Arc<Transfer>,
}

impl TaskFuture {
    pub(crate) fn new(cell: Arc<Cell>, queue: Arc<Queue>, transfer: Arc<Transfer>) -> Self {
        Self { cell, queue, transfer }
    }

    /// The task's id, as in logs and `scaler status`.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.queue.task(self.cell.number)
    }

    /// Whether it has ended, one way or another. A large result may still have to be fetched.
    #[must_use]
    pub fn done(&self) -> bool {
        self.cell.lock().end.is_some()
    }

    /// Whether it was canceled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cell.lock().end.as_ref().is_some_and(End::is_canceled)
    }

    /// What it cost and where it ran, once it has ended.
    #[must_use]
    pub fn stats(&self) -> Option<TaskStats> {
        let state = self.cell.lock();
        state.end.is_some().then(|| state.stats.clone())
    }

    /// Waits for the result as a Rust type.
    ///
    /// # Errors
    /// When the task failed or was canceled, contact was lost, or the value does not have the type's shape.
    pub async fn result<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.ready_result()
    }

    /// As [`TaskFuture::result`] for at most `timeout` (tokio's timer must be running); the future can be asked again.
    ///
    /// # Errors
    /// As [`TaskFuture::result`]; [`Error::Timeout`] when it is not there in time.
    pub async fn result_timeout<T: DeserializeOwned>(&mut self, timeout: Duration) -> Result<T, Error> {
        match tokio::time::timeout(timeout, poll_fn(|context| self.poll_ready(context))).await {
            Ok(()) => self.ready_result(),
            Err(_) => Err(Error::Timeout { waited: timeout }),
        }
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
        self.start_cancel();
        poll_fn(|context| self.cell.poll_end(context)).await;
        self.cancelled()
    }

    fn start_cancel(&self) {
        if !self.done() {
            // Refused only when the session is over, and then the task has ended.
            let _ = self.queue.push(Command::Cancel { number: self.cell.number });
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.cell.poll_value(context, &self.queue, &self.transfer)
    }

    fn with_end<T>(&self, read: impl FnOnce(&End, &About<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.cell.lock();
        let CellState { end: Some(end), version, stats, .. } = &*state else {
            return Err(Error::Timeout { waited: Duration::ZERO });
        };
        let about = About { queue: &self.queue, number: self.cell.number, version: version.as_ref(), stats };
        read(end, &about)
    }

    fn ready_value(&self) -> Result<Value, Error> {
        self.with_end(End::value)
    }

    fn ready_result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.with_end(|end, about| {
            let function = || about.version.map(|version| version.name.to_string()).unwrap_or_default();
            end.value(about)?.to_serde().map_err(|source| Error::Value { function: function(), source })
        })
    }

    // --- for the blocking facade

    pub(crate) fn value_blocking(&mut self) -> Result<Value, Error> {
        park::block_on(poll_fn(|context| self.poll_ready(context)));
        self.ready_value()
    }

    pub(crate) fn result_blocking<T: DeserializeOwned>(&mut self, timeout: Option<Duration>) -> Result<T, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match park::block(deadline, |context| self.poll_ready(context)) {
            Some(()) => self.ready_result(),
            None => Err(Error::Timeout { waited: timeout.unwrap_or_default() }),
        }
    }
}

impl Future for TaskFuture {
    type Output = Result<Value, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.poll_ready(context) {
            Poll::Ready(()) => Poll::Ready(self.ready_value()),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for TaskFuture {
    fn drop(&mut self) {
        if let Some(object) = self.cell.abandon() {
            // A session that is over needs no release.
            let _ = self.queue.push(Command::Release(object));
        }
    }
}

impl fmt::Debug for TaskFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture").field("id", &self.id()).field("done", &self.done()).finish()
    }
}
