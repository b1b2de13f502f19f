//! The way from other threads to the one that owns the connection: push many, wake once.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scaler_net::Waker;
use scaler_proto::{
    call::Call,
    capability::Capabilities,
    client::Closed,
    ids::{ClientId, ObjectId, TaskId},
    message::{PutObject, RegisterModule},
    view::View,
};
use tokio::sync::oneshot;

use crate::{
    BoundArguments, Error, Function, SubmitOptions, callbacks::Callbacks, completion::Cell, object::Stored,
    pipe::PipeShared,
};

/// What the connection's thread is asked to do.
pub(crate) enum Command {
    Submit {
        arguments: BoundArguments,
        options: SubmitOptions,
        cell: Arc<Cell>,
    },
    Call {
        call: Call,
        options: SubmitOptions,
        cell: Arc<Cell>,
    },
    /// The pipe has calls.
    Pipe(Arc<PipeShared>),
    /// Nobody wants the pipe's results any more.
    ClosePipe(Arc<PipeShared>),
    Register {
        target: Target,
        deadline: Option<(Instant, Duration)>,
        reply: oneshot::Sender<Result<Function, Error>>,
    },
    /// Somebody who waited for a function has gone away.
    Withdraw,
    Cancel {
        number: u64,
    },
    Release(ObjectId),
    /// An object is about to be stored.
    Object {
        announcement: PutObject,
        object: Weak<Stored>,
    },
    /// Cancel everything, then let all objects go.
    Clear(oneshot::Sender<()>),
    Module {
        module: RegisterModule,
        bytes: Arc<Vec<u8>>,
    },
    Query(oneshot::Sender<View>),
    Shutdown(oneshot::Sender<Result<(), Error>>),
    /// A task's arguments could not be stored.
    PutFailed {
        number: u64,
        tag: u64,
        reason: String,
    },
    Leave,
}

/// What a registration is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) module: String,
    pub(crate) function: String,
    pub(crate) capabilities: Capabilities,
}

/// See [the module](self).
pub(crate) struct Queue {
    pub(crate) client: ClientId,
    pub(crate) address: String,
    /// Where users' callbacks run.
    pub(crate) callbacks: Callbacks,
    /// Tasks' profiles were asked for.
    pub(crate) profiling: bool,
    waker: Waker,
    numbers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    /// The other end waits (or is about to) and has to be woken.
    sleeping: bool,
    closed: Option<Closed>,
    /// Those that hear of the end of the session even when they have nothing under way.
    pipes: Vec<Weak<PipeShared>>,
}

/// What is left when the session ends.
pub(crate) struct Leftovers {
    pub(crate) commands: Vec<Command>,
    pub(crate) pipes: Vec<Arc<PipeShared>>,
}

impl Queue {
    pub(crate) fn new(client: ClientId, address: String, waker: Waker, profiling: bool) -> Self {
        let (callbacks, numbers) = (Callbacks::default(), AtomicU64::new(0));
        Self { client, address, callbacks, profiling, waker, numbers, state: Mutex::default() }
    }

    /// A number that no task had.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn task(&self, number: u64) -> TaskId {
        TaskId { client: self.client, number }
    }

    /// Hands a command over.
    pub(crate) fn push(&self, command: Command) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &state.closed {
            return Err(self.closed_error(reason.clone()));
        }
        state.commands.push(command);
        let wake = std::mem::take(&mut state.sleeping);
        drop(state);
        if wake {
            self.waker.wake();
        }
        Ok(())
    }

    /// Takes what there is. If that is nothing, the next push wakes the waker.
    pub(crate) fn take(&self, commands: &mut Vec<Command>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.commands, commands);
        state.sleeping = commands.is_empty();
    }

    /// Has the pipe closed when the session ends, now if it has.
    pub(crate) fn attach(&self, pipe: &Arc<PipeShared>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = state.closed.clone() {
            drop(state);
            return pipe.close(&reason);
        }
        state.pipes.retain(|other| other.strong_count() > 0);
        state.pipes.push(Arc::downgrade(pipe));
    }

    /// Refuses everything from now on, so that whoever hears of the end finds the session closed.
    pub(crate) fn refuse(&self, reason: &Closed) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed.get_or_insert_with(|| reason.clone());
    }

    /// Refuses everything from now on; gives back what nobody will do, and the pipes to close.
    pub(crate) fn close(&self, reason: Closed) -> Leftovers {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed.get_or_insert(reason);
        let pipes = std::mem::take(&mut state.pipes).iter().filter_map(Weak::upgrade).collect();
        Leftovers { commands: std::mem::take(&mut state.commands), pipes }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Why nothing can be done any more, for a caller whose answer will not come.
    pub(crate) fn error(&self) -> Error {
        self.closed_error(self.closed())
    }

    /// Why the session is over, if it is.
    pub(crate) fn closed(&self) -> Closed {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed.clone().unwrap_or(Closed::Left)
    }

    pub(crate) fn closed_error(&self, reason: Closed) -> Error {
        let address = self.address.clone();
        match reason {
            Closed::NeverConnected { waited_ms } => {
                Error::Unreachable { address, waited: Duration::from_millis(waited_ms) }
            }
            reason => Error::Disconnected { address, reason },
        }
    }
}
