//! Many futures at once: as they end, until some have, or all results.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures_core::Stream;
use serde::de::DeserializeOwned;

use crate::{Error, TaskFuture, park};

/// When [`wait`] has waited long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// One has ended.
    FirstCompleted,
    /// One has failed (a cancel is no failure), or all have ended.
    FirstException,
    /// All have ended.
    #[default]
    AllCompleted,
}

/// What [`wait`] has found, each in the order in which it was given.
#[derive(Clone, Debug)]
pub struct Waited<F> {
    /// Those that have ended.
    pub done: Vec<F>,
    /// The others.
    pub not_done: Vec<F>,
}

/// Futures in the order in which they end; see [`as_completed`].
#[derive(Debug)]
pub struct AsCompleted {
    futures: Vec<Option<TaskFuture>>,
    left: usize,
    ended: Arc<Ended>,
}

/// The numbers of those that have ended and were not given out.
#[derive(Debug, Default)]
struct Ended {
    state: Mutex<(VecDeque<usize>, Option<Waker>)>,
}

impl Ended {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<usize>, Option<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, number: usize) {
        let mut state = self.lock();
        state.0.push_back(number);
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Gives the futures back in the order in which they end, canceled and failed ones too.
pub fn as_completed(futures: impl IntoIterator<Item = TaskFuture>) -> AsCompleted {
    let futures: Vec<Option<TaskFuture>> = futures.into_iter().map(Some).collect();
    let ended = Arc::new(Ended::default());
    for (number, future) in futures.iter().flatten().enumerate() {
        let ended = Arc::clone(&ended);
        future.on_end(Box::new(move || ended.push(number)));
    }
    AsCompleted { left: futures.len(), futures, ended }
}

impl AsCompleted {
    /// The next one that has ended; `None` when all were given back.
    pub async fn next(&mut self) -> Option<TaskFuture> {
        poll_fn(|context| self.poll_ended(context)).await
    }

    /// As [`AsCompleted::next`] for at most `timeout` (tokio's timer must be running).
    ///
    /// # Errors
    /// [`Error::Timeout`] when none has ended by then; the next call goes on.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<TaskFuture>, Error> {
        tokio::time::timeout(timeout, self.next()).await.map_err(|_| Error::Timeout { waited: timeout })
    }

    pub(crate) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Option<TaskFuture>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut state = self.ended.lock();
        let Some(number) = state.0.pop_front() else {
            state.1 = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        self.left -= 1;
        Poll::Ready(self.futures[number].take())
    }

    fn poll_until(&mut self, when: ReturnWhen, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_ended(context) {
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(_)) if when == ReturnWhen::FirstCompleted => return Poll::Ready(()),
                Poll::Ready(Some(future)) if when == ReturnWhen::FirstException && future.has_failed() => {
                    return Poll::Ready(());
                }
                Poll::Ready(Some(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Stream for AsCompleted {
    type Item = TaskFuture;

    fn poll_next(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<TaskFuture>> {
        self.get_mut().poll_ended(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Waits until as many of the futures have ended as `when` says, for at most `timeout` (with one, tokio's timer must be
/// running). Nothing is fetched, and no failure is an error here.
pub async fn wait(
    futures: impl IntoIterator<Item = TaskFuture>,
    timeout: Option<Duration>,
    when: ReturnWhen,
) -> Waited<TaskFuture> {
    let futures: Vec<TaskFuture> = futures.into_iter().collect();
    let mut ending = as_completed(futures.iter().cloned());
    let until = poll_fn(|context| ending.poll_until(when, context));
    match timeout {
        // In time or not, what has ended is told below.
        Some(timeout) => drop(tokio::time::timeout(timeout, until).await),
        None => until.await,
    }
    sorted(futures)
}

/// All results in the order of the futures, or the first error that occurs; the other tasks then go on.
///
/// # Errors
/// That of the first task that fails or is canceled, or of a result that does not have the type's shape.
pub async fn gather<T: DeserializeOwned>(futures: impl IntoIterator<Item = TaskFuture>) -> Result<Vec<T>, Error> {
    let mut gathering = Gathering::new(futures);
    poll_fn(|context| gathering.poll(context)).await
}

/// As [`gather`] for at most `timeout` (tokio's timer must be running).
///
/// # Errors
/// As there, and [`Error::Timeout`]; the tasks go on.
pub async fn gather_timeout<T: DeserializeOwned>(
    futures: impl IntoIterator<Item = TaskFuture>,
    timeout: Duration,
) -> Result<Vec<T>, Error> {
    tokio::time::timeout(timeout, gather(futures)).await.map_err(|_| Error::Timeout { waited: timeout })?
}

/// A [`gather`] under way.
pub(crate) struct Gathering {
    all: Vec<TaskFuture>,
    ending: AsCompleted,
    /// Ended, their values not there yet.
    fetching: Vec<TaskFuture>,
}

impl Gathering {
    pub(crate) fn new(futures: impl IntoIterator<Item = TaskFuture>) -> Self {
        let all: Vec<TaskFuture> = futures.into_iter().collect();
        let ending = as_completed(all.iter().cloned());
        Self { all, ending, fetching: Vec::new() }
    }

    pub(crate) fn poll<T: DeserializeOwned>(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<T>, Error>> {
        let is_complete = loop {
            match self.ending.poll_ended(context) {
                Poll::Ready(Some(future)) => self.fetching.push(future),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        let mut position = 0;
        while let Some(future) = self.fetching.get(position) {
            if future.poll_ready(context).is_pending() {
                position += 1;
                continue;
            }
            let future = self.fetching.swap_remove(position);
            if future.has_failed() || future.cancelled() {
                return Poll::Ready(future.ready_result().map(|value| vec![value]));
            }
        }
        if !is_complete || !self.fetching.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(self.all.iter().map(TaskFuture::ready_result).collect())
    }
}

pub(crate) fn wait_blocking(
    futures: Vec<TaskFuture>,
    timeout: Option<Duration>,
    when: ReturnWhen,
) -> Waited<TaskFuture> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut ending = as_completed(futures.iter().cloned());
    park::block(deadline, |context| ending.poll_until(when, context));
    sorted(futures)
}

fn sorted(futures: Vec<TaskFuture>) -> Waited<TaskFuture> {
    let (done, not_done) = futures.into_iter().partition(TaskFuture::done);
    Waited { done, not_done }
}
