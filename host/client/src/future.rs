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
    callbacks::{self, Callback},
    completion::{About, Cell, CellState, End, Watcher},
    park,
    queue::{Command, Queue},
    transfer::Transfer,
};

/// The result of a task, some day. Awaiting it gives the [`Value`].
///
/// Clones are the same future; dropping the last one leaves the task alone. A large result stays in the object storage
/// until it is asked for, is fetched once, and is then released.
#[derive(Clone)]
pub struct TaskFuture {
    handle: Arc<Handle>,
}

/// What the clones share; the connection's thread has the cell alone.
struct Handle {
    cell: Arc<Cell>,
    queue: Arc<Queue>,
    transfer: Arc<Transfer>,
}

/// What a task cost and where it ran; see [`TaskFuture::profiling_info`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// From the call to the start of its last run, with the ways to its worker and back.
    pub queued: Duration,
    /// Making its instance: a part of `run`, unless the worker had nothing to do and made it ahead.
    pub start: Duration,
    /// From the start of its instance to the end of the call.
    pub run: Duration,
    /// CPU time of the run.
    pub cpu: Duration,
    /// Most guest memory that it had at once.
    pub peak_memory_bytes: u64,
    /// Name of the worker that ran it, empty if none did.
    pub worker: String,
    /// The cluster of that worker, as the page and `scaler status` name it: others may have a worker of that name.
    pub cluster: String,
    /// The attempt that counted, from 1.
    pub attempt: u32,
}

impl TaskFuture {
    pub(crate) fn new(cell: Arc<Cell>, queue: Arc<Queue>, transfer: Arc<Transfer>) -> Self {
        Self { handle: Arc::new(Handle { cell, queue, transfer }) }
    }

    /// The task's id, as in logs and `scaler status`.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.handle.queue.task(self.handle.cell.number)
    }

    /// Whether it has ended, one way or another. A large result may still have to be fetched.
    #[must_use]
    pub fn done(&self) -> bool {
        self.handle.cell.lock().end.is_some()
    }

    /// Whether it has not ended: a task counts as running from the moment it is submitted.
    #[must_use]
    pub fn running(&self) -> bool {
        !self.done()
    }

    /// Whether it was canceled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.handle.cell.lock().end.as_ref().is_some_and(End::is_canceled)
    }

    /// Whether it ended with an error that is no cancel.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        self.handle.cell.lock().end.as_ref().is_some_and(|end| end.is_failed() && !end.is_canceled())
    }

    /// What it cost and where it ran, once it has ended.
    #[must_use]
    pub fn stats(&self) -> Option<TaskStats> {
        let state = self.handle.cell.lock();
        state.end.is_some().then(|| state.stats.clone())
    }

    /// What it cost and where it ran.
    ///
    /// # Errors
    /// [`Error::NoProfile`] before the task has ended, and for a client that did not ask for
    /// [`crate::ClientBuilder::profiling`].
    pub fn profiling_info(&self) -> Result<Profile, Error> {
        let reason = if !self.handle.queue.profiling {
            "the client was connected without `profiling(true)`"
        } else if let Some(stats) = self.stats() {
            return Ok(Profile {
                queued: Duration::from_micros(stats.queued_us),
                start: Duration::from_micros(stats.start_us.into()),
                run: Duration::from_micros(stats.run_us),
                cpu: Duration::from_micros(stats.cpu_us),
                peak_memory_bytes: stats.peak_memory_bytes,
                worker: stats.worker_name,
                cluster: stats.cluster,
                attempt: stats.attempt,
            });
        } else {
            "it has not ended"
        };
        Err(Error::NoProfile { task: self.id(), reason })
    }

    /// Waits for the result as a Rust type.
    ///
    /// # Errors
    /// When the task failed or was canceled, contact was lost, or the value does not have the type's shape.
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.ready_result()
    }

    /// As [`TaskFuture::result`] for at most `timeout` (tokio's timer must be running).
    ///
    /// # Errors
    /// As [`TaskFuture::result`]; [`Error::Timeout`] when it is not there in time.
    pub async fn result_timeout<T: DeserializeOwned>(&self, timeout: Duration) -> Result<T, Error> {
        self.ready_within(timeout).await?;
        self.ready_result()
    }

    /// Waits for the result with the names of its type. The same as awaiting the future.
    ///
    /// # Errors
    /// As [`TaskFuture::result`].
    pub async fn value(&self) -> Result<Value, Error> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.ready_value()
    }

    /// Waits for the end and gives the error as a value, `None` for a result.
    pub async fn exception(&self) -> Option<Error> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.ready_exception()
    }

    /// As [`TaskFuture::exception`] for at most `timeout` (tokio's timer must be running).
    ///
    /// # Errors
    /// [`Error::Timeout`] when the task has not ended in time.
    pub async fn exception_timeout(&self, timeout: Duration) -> Result<Option<Error>, Error> {
        self.ready_within(timeout).await?;
        Ok(self.ready_exception())
    }

    /// Cancels the task and waits for how it ended: `true` if it was canceled, `false` if it ended before.
    pub async fn cancel(&self) -> bool {
        if !self.done() {
            // Refused only when the session is over, and then the task has ended.
            let _ = self.handle.queue.push(Command::Cancel { number: self.handle.cell.number });
        }
        poll_fn(|context| self.handle.cell.poll_end(context)).await;
        self.cancelled()
    }

    /// Calls `callback` when the task has ended: at once if it has, else on a thread that the client keeps for
    /// callbacks, one after the other. A panic in it is logged and goes no further.
    pub fn add_done_callback(&self, callback: impl FnOnce(Self) + Send + 'static) {
        let future = self.clone();
        let callback: Callback = Box::new(move || callback(future));
        if let Some(callback) = self.handle.cell.subscribe(Watcher::Callback(callback)) {
            callbacks::call(callback);
        }
    }

    /// Calls `notify` when the task has ended, on whatever thread finds out, or right now.
    pub(crate) fn on_end(&self, notify: Callback) {
        if let Some(notify) = self.handle.cell.subscribe(Watcher::Inline(notify)) {
            notify();
        }
    }

    /// Ready when the end can be told; has a stored value fetched.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.handle.cell.poll_value(context, &self.handle.queue, &self.handle.transfer)
    }

    async fn ready_within(&self, timeout: Duration) -> Result<(), Error> {
        let ready = poll_fn(|context| self.poll_ready(context));
        tokio::time::timeout(timeout, ready).await.map_err(|_| Error::Timeout { waited: timeout })
    }

    fn with_end<T>(&self, read: impl FnOnce(&End, &About<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.handle.cell.lock();
        let CellState { end: Some(end), version, stats, .. } = &*state else {
            return Err(Error::Timeout { waited: Duration::ZERO });
        };
        let number = self.handle.cell.number;
        read(end, &About { queue: &self.handle.queue, number, version: version.as_ref(), stats })
    }

    fn ready_value(&self) -> Result<Value, Error> {
        self.with_end(End::value)
    }

    pub(crate) fn ready_result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.with_end(|end, about| {
            let function = || about.version.map(|version| version.name.to_string()).unwrap_or_default();
            end.value(about)?.to_serde().map_err(|source| Error::Shape { function: function(), source })
        })
    }

    fn ready_exception(&self) -> Option<Error> {
        self.with_end(|end, about| end.bytes(about).map(drop)).err()
    }

    // --- for the blocking facade

    fn block(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        park::block(deadline, |context| self.poll_ready(context))
            .ok_or(Error::Timeout { waited: timeout.unwrap_or_default() })
    }

    pub(crate) fn value_blocking(&self) -> Result<Value, Error> {
        self.block(None)?;
        self.ready_value()
    }

    pub(crate) fn result_blocking<T: DeserializeOwned>(&self, timeout: Option<Duration>) -> Result<T, Error> {
        self.block(timeout)?;
        self.ready_result()
    }

    pub(crate) fn exception_blocking(&self, timeout: Option<Duration>) -> Result<Option<Error>, Error> {
        self.block(timeout)?;
        Ok(self.ready_exception())
    }
}

impl Future for TaskFuture {
    type Output = Result<Value, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.poll_ready(context) {
            Poll::Ready(()) => Poll::Ready(self.ready_value()),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Handle {
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
