//! How a task ended, on its way from the connection's thread to whoever waits.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use scaler_module::BindError;
use scaler_proto::{
    client::Closed,
    ids::ObjectId,
    message::{Failure, FailureKind, Outcome, RegisterErrorKind, TaskStats},
    payload::Payload,
    value::{Value, ValueError},
};

use crate::{
    Error, Outermost, TaskError,
    callbacks::{Callback, Callbacks},
    function::Version,
    queue::{Command, Queue},
    transfer::Transfer,
    window::Size,
};

/// One end of a task, in a form that can be asked more than once.
#[derive(Debug)]
pub(crate) enum End {
    Outcome(Outcome),
    Lost(Closed),
    /// Not of a task: the session is over.
    Over(Closed),
    NotRegistered {
        kind: RegisterErrorKind,
        message: String,
    },
    Bind {
        function: String,
        source: BindError,
        outermost: Outermost,
    },
    Value {
        function: String,
        source: ValueError,
    },
    Storage {
        object: ObjectId,
        reason: String,
    },
    MissingObject {
        name: String,
    },
}

impl End {
    /// A failure that was found here.
    pub(crate) fn failed(kind: FailureKind, message: String) -> Self {
        Self::Outcome(Outcome::Failed(Failure { kind, message, value: None, trace: None }))
    }

    /// The object that has to be fetched before the end can be told.
    pub(crate) fn stored(&self) -> Option<(ObjectId, u64)> {
        let payload = match self {
            Self::Outcome(Outcome::Ok(payload)) => payload,
            Self::Outcome(Outcome::Failed(Failure { value: Some(payload), .. })) => payload,
            _ => return None,
        };
        if let Payload::Stored { id, length } = payload { Some((*id, *length)) } else { None }
    }

    /// What it takes, here and in the object storage.
    pub(crate) fn size(&self) -> Size {
        let payload = match self {
            Self::Outcome(Outcome::Ok(payload)) => Some(payload),
            Self::Outcome(Outcome::Failed(failure)) => failure.value.as_ref(),
            _ => None,
        };
        match payload {
            Some(Payload::Stored { length, .. }) => Size { held: 0, stored: *length },
            payload => Size { held: payload.map_or(0, Payload::inline_length), stored: 0 },
        }
    }

    /// Puts in the bytes that were fetched, or why they could not be.
    pub(crate) fn fetched(&mut self, object: ObjectId, result: Result<Vec<u8>, String>) {
        match (self, result) {
            (Self::Outcome(Outcome::Ok(payload)), Ok(bytes))
            | (Self::Outcome(Outcome::Failed(Failure { value: Some(payload), .. })), Ok(bytes)) => {
                *payload = Payload::Inline(bytes);
            }
            (Self::Outcome(Outcome::Failed(failure)), Err(_)) => failure.value = None,
            (end, Err(reason)) => *end = Self::Storage { object, reason },
            (_, Ok(_)) => {}
        }
    }

    /// Whether it is anything but a result.
    pub(crate) fn is_failed(&self) -> bool {
        !matches!(self, Self::Outcome(Outcome::Ok(_)))
    }

    pub(crate) fn is_canceled(&self) -> bool {
        match self {
            Self::Outcome(Outcome::Failed(failure)) => failure.kind.is_canceled(),
            Self::Lost(Closed::Left) => true,
            _ => false,
        }
    }

    /// The bytes of the result.
    pub(crate) fn bytes(&self, about: &About<'_>) -> Result<&[u8], Error> {
        match self {
            Self::Outcome(Outcome::Ok(Payload::Inline(bytes))) => Ok(bytes),
            _ => Err(self.error(about)),
        }
    }

    fn error(&self, about: &About<'_>) -> Error {
        let task = about.queue.task(about.number);
        match self {
            Self::Outcome(Outcome::Failed(failure)) if failure.kind.is_canceled() => {
                Error::Canceled { task, message: failure.message.clone() }
            }
            Self::Outcome(Outcome::Failed(failure)) => {
                let value = match (&failure.value, about.version) {
                    (Some(Payload::Inline(bytes)), Some(version)) => version.signature.decode_error(bytes).ok(),
                    _ => None,
                };
                Error::Task(Box::new(TaskError {
                    function: about.function(),
                    task,
                    kind: failure.kind,
                    message: failure.message.clone(),
                    value,
                    trace: failure.trace.clone(),
                    stats: about.stats.clone(),
                }))
            }
            Self::Outcome(Outcome::Ok(_)) => Error::Task(Box::new(TaskError {
                function: about.function(),
                task,
                kind: FailureKind::Internal,
                message: "the result was asked for before it was fetched".to_owned(),
                value: None,
                trace: None,
                stats: about.stats.clone(),
            })),
            Self::Lost(Closed::Left) => Error::Canceled { task, message: "its client left".to_owned() },
            Self::Lost(reason) | Self::Over(reason) => about.queue.closed_error(reason.clone()),
            Self::NotRegistered { kind, message } => Error::not_registered(*kind, message.clone()),
            Self::Bind { function, source, outermost } => {
                Error::Bind { function: function.clone(), source: source.clone(), outermost: *outermost }
            }
            Self::Value { function, source } => Error::Value { function: function.clone(), source: source.clone() },
            Self::Storage { object, reason } => Error::Object { object: *object, reason: reason.clone() },
            Self::MissingObject { name } => Error::MissingObject { name: name.clone() },
        }
    }

    /// The result with the names of its type.
    pub(crate) fn value(&self, about: &About<'_>) -> Result<Value, Error> {
        let bytes = self.bytes(about)?;
        let Some(version) = about.version else { return Err(self.error(about)) };
        version.decode(bytes)
    }
}

/// Why a call never became a task.
impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Bind { function, source, outermost } => Self::Bind { function, source, outermost },
            Error::Value { function, source } => Self::Value { function, source },
            Error::MissingObject { name } => Self::MissingObject { name },
            Error::Unreachable { waited, .. } => {
                Self::Lost(Closed::NeverConnected { waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) })
            }
            Error::Disconnected { reason, .. } => Self::Lost(reason),
            _ => Self::Lost(Closed::Left),
        }
    }
}

/// What is known about a task beside its end.
pub(crate) struct About<'a> {
    pub(crate) queue: &'a Queue,
    pub(crate) number: u64,
    pub(crate) version: Option<&'a Arc<Version>>,
    pub(crate) stats: &'a TaskStats,
}

impl About<'_> {
    fn function(&self) -> String {
        self.version.map(|version| version.name.to_string()).unwrap_or_default()
    }
}

/// Where one task's end arrives and is waited for.
pub(crate) struct Cell {
    pub(crate) number: u64,
    state: Mutex<CellState>,
}

/// Who is told of a task's end.
pub(crate) enum Watcher {
    /// Somebody who waits.
    Waker(Waker),
    /// Something short, called by whoever brings the end.
    Inline(Callback),
    /// A user's callback.
    Callback(Callback),
}

impl Watcher {
    pub(crate) fn notify(self, callbacks: &Callbacks) {
        match self {
            Self::Waker(waker) => waker.wake(),
            Self::Inline(notify) => notify(),
            Self::Callback(callback) => callbacks.run(callback),
        }
    }
}

#[derive(Default)]
pub(crate) struct CellState {
    pub(crate) end: Option<End>,
    pub(crate) stats: TaskStats,
    pub(crate) version: Option<Arc<Version>>,
    fetching: bool,
    abandoned: bool,
    watchers: Vec<Watcher>,
}

impl CellState {
    fn wait(&mut self, waker: &Waker) {
        let is_known = |watcher: &Watcher| matches!(watcher, Watcher::Waker(known) if known.will_wake(waker));
        if !self.watchers.iter().any(is_known) {
            self.watchers.push(Watcher::Waker(waker.clone()));
        }
    }
}

impl Cell {
    pub(crate) fn new(number: u64, version: Option<Arc<Version>>) -> Self {
        Self { number, state: Mutex::new(CellState { version, ..CellState::default() }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, CellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function of a call that was submitted before it was looked up.
    pub(crate) fn set_version(&self, version: Arc<Version>) {
        self.lock().version = Some(version);
    }

    /// Takes the end. Gives those to tell (after everything else of the batch), and the object that nobody wants.
    pub(crate) fn finish(&self, end: End, stats: TaskStats) -> (Vec<Watcher>, Option<ObjectId>) {
        let mut state = self.lock();
        let unwanted = if state.abandoned { end.stored().map(|(object, _)| object) } else { None };
        state.end = Some(end);
        state.stats = stats;
        (std::mem::take(&mut state.watchers), unwanted)
    }

    /// Has somebody told of the end; gives back a callback that is due right now.
    pub(crate) fn subscribe(&self, watcher: Watcher) -> Option<Callback> {
        let mut state = self.lock();
        if state.end.is_none() {
            state.watchers.push(watcher);
            return None;
        }
        match watcher {
            Watcher::Inline(callback) | Watcher::Callback(callback) => Some(callback),
            Watcher::Waker(waker) => Some(Box::new(move || waker.wake())),
        }
    }

    /// Ready when the task has ended, its stored value not fetched.
    pub(crate) fn poll_end(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Poll::Ready(());
        }
        state.wait(context.waker());
        Poll::Pending
    }

    /// Ready when the end can be told; has a stored value fetched.
    pub(crate) fn poll_value(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        queue: &Arc<Queue>,
        transfer: &Transfer,
    ) -> Poll<()> {
        let mut state = self.lock();
        let Some(end) = &state.end else {
            state.wait(context.waker());
            return Poll::Pending;
        };
        let Some((object, length)) = end.stored() else { return Poll::Ready(()) };
        state.wait(context.waker());
        if std::mem::replace(&mut state.fetching, true) {
            return Poll::Pending;
        }
        drop(state);
        let (cell, queue) = (Arc::clone(self), Arc::clone(queue));
        transfer.get(object, length, move |result| {
            let watchers = {
                let mut state = cell.lock();
                if let Some(end) = &mut state.end {
                    end.fetched(object, result);
                }
                std::mem::take(&mut state.watchers)
            };
            // Best effort: a session that is over needs no release.
            let _ = queue.push(Command::Release(object));
            watchers.into_iter().for_each(|watcher| watcher.notify(&queue.callbacks));
        });
        Poll::Pending
    }

    /// Nobody will ask for the value. Gives the object that can be released at once.
    pub(crate) fn abandon(&self) -> Option<ObjectId> {
        let mut state = self.lock();
        state.abandoned = true;
        if state.fetching { None } else { state.end.as_ref().and_then(End::stored).map(|(object, _)| object) }
    }
}
