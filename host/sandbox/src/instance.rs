//! A store and an instance of a program, alive: made, called, and thrown away or kept.

use std::cell::OnceCell;
use std::future::Future;
use std::time::{Duration, Instant};

use scaler_proto::message::FailureKind;
use tokio::runtime::Runtime;
use wasmtime::component::{Func, Instance, InstancePre};
use wasmtime::{Store, error::Context as _};

use crate::fault::fault_of;
use crate::program::Linked;
use crate::state::{State, Stopped, TaskState, on_tick};
use crate::value::{Arguments, Returned};
use crate::wasi::{LastWords, WasiState};
use crate::{Entry, Fault, Interrupt, LogSource, Program, Task};

/// How often a guest that waits in a host call looks whether it has to stop.
const WATCH: Duration = Duration::from_millis(2);

/// The result of a call that came back.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_error: bool,
}

/// A live instance, with or without WASI.
pub(crate) enum Live {
    /// Called directly: nothing in it can wait.
    Lean(Alive<TaskState>),
    /// Called on a fiber: host calls may wait.
    Wasi(Alive<WasiState>),
}

/// A store with its one instance.
pub(crate) struct Alive<T: 'static> {
    pub(crate) store: Store<T>,
    pub(crate) instance: Instance,
}

impl Live {
    /// Makes the store and the instance; start functions of the guest run now, under the limits of `task`.
    pub(crate) fn start(program: &Program, task: &Task<'_>, begin: Instant) -> Result<Self, Fault> {
        match program.linked() {
            Linked::Lean(pre) => {
                let mut store = make_store(program, TaskState::new(task, begin), task);
                match pre.instantiate(&mut store) {
                    Ok(instance) => Ok(Self::Lean(Alive { store, instance })),
                    Err(error) => Err(fault_of(error, task, store.data_mut(), LastWords::default())),
                }
            }
            Linked::Wasi(pre) => {
                let mut store = make_store(program, WasiState::new(task, begin)?, task);
                match drive(task, begin, instantiate(pre, &mut store)) {
                    Ok(instance) => Ok(Self::Wasi(Alive { store, instance })),
                    Err(error) => {
                        let last = store.data_mut().finish();
                        Err(fault_of(error, task, store.data_mut().task(), last))
                    }
                }
            }
        }
    }

    /// Calls the task's function. After any fault the instance must not be used again.
    pub(crate) fn call(&mut self, task: &Task<'_>, begin: Instant) -> Result<Answer, Fault> {
        let result = match self {
            Self::Lean(alive) => alive.call(task.entry, Arguments::of(task)),
            Self::Wasi(alive) => drive(task, begin, alive.call_async(task.entry, Arguments::of(task))),
        };
        let last = self.finish();
        let answer = result.map_err(|error| fault_of(error, task, self.task(), last))?;
        if answer.bytes.len() as u64 > task.limits.output_bytes {
            return Err(Fault::new(FailureKind::OutputLimit, output_limit(task.limits.output_bytes)));
        }
        Ok(answer)
    }

    /// Makes a kept instance ready for its next task.
    pub(crate) fn rearm(&mut self, task: &Task<'_>, begin: Instant) {
        match self {
            Self::Lean(alive) => alive.store.data_mut().rearm(task, begin),
            Self::Wasi(alive) => alive.store.data_mut().rearm(task, begin),
        }
        match self {
            Self::Lean(alive) => arm(&mut alive.store, task),
            Self::Wasi(alive) => arm(&mut alive.store, task),
        }
    }

    /// The common part of the store's data.
    pub(crate) fn task(&mut self) -> &mut TaskState {
        match self {
            Self::Lean(alive) => alive.store.data_mut().task(),
            Self::Wasi(alive) => alive.store.data_mut().task(),
        }
    }

    /// Passes on what the guest said and nobody has seen yet.
    pub(crate) fn finish(&mut self) -> LastWords {
        let last = match self {
            Self::Lean(_) => LastWords::default(),
            Self::Wasi(alive) => alive.store.data_mut().finish(),
        };
        self.task().log.finish(LogSource::Guest(crate::LogLevel::Warn));
        last
    }
}

/// What is said when a result is too large.
pub(crate) fn output_limit(limit: u64) -> String {
    format!("the result is larger than the limit of {limit} bytes")
}

fn make_store<T: State>(program: &Program, data: T, task: &Task<'_>) -> Store<T> {
    let mut store = Store::new(program.engine().inner(), data);
    store.limiter(|data| data.task());
    store.epoch_deadline_callback(on_tick);
    arm(&mut store, task);
    store
}

fn arm<T: State>(store: &mut Store<T>, task: &Task<'_>) {
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(usize::try_from(task.limits.output_bytes).unwrap_or(usize::MAX));
}

async fn instantiate(pre: &InstancePre<WasiState>, store: &mut Store<WasiState>) -> wasmtime::Result<Instance> {
    pre.instantiate_async(store).await
}

impl<T: State> Alive<T> {
    fn func(&mut self, entry: &Entry) -> wasmtime::Result<Func> {
        self.instance.get_func(&mut self.store, entry.index()).context("the entry belongs to another program")
    }

    fn call(&mut self, entry: &Entry, arguments: Arguments<'_>) -> wasmtime::Result<Answer> {
        let func = self.func(entry)?;
        if entry.has_result() {
            let func = func.typed::<Arguments<'_>, Returned<1>>(&self.store)?;
            Ok(func.call(&mut self.store, arguments)?.into())
        } else {
            let func = func.typed::<Arguments<'_>, Returned<0>>(&self.store)?;
            Ok(func.call(&mut self.store, arguments)?.into())
        }
    }

    pub(crate) async fn call_async(&mut self, entry: &Entry, arguments: Arguments<'_>) -> wasmtime::Result<Answer> {
        let func = self.func(entry)?;
        if entry.has_result() {
            let func = func.typed::<Arguments<'_>, Returned<1>>(&self.store)?;
            Ok(func.call_async(&mut self.store, arguments).await?.into())
        } else {
            let func = func.typed::<Arguments<'_>, Returned<0>>(&self.store)?;
            Ok(func.call_async(&mut self.store, arguments).await?.into())
        }
    }
}

impl<'a> Arguments<'a> {
    fn of(task: &Task<'a>) -> Self {
        Self { encoded: task.arguments, objects: task.objects }
    }
}

impl<const SLOTS: usize> From<Returned<SLOTS>> for Answer {
    fn from(returned: Returned<SLOTS>) -> Self {
        Self { bytes: returned.bytes, is_error: returned.is_error }
    }
}

thread_local! {
    /// One small executor for each thread that runs guests; it only lives while a guest waits in a host call.
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// Runs a call that may wait; dropped, and so ended, when the task has to stop while it waits.
pub(crate) fn drive<R>(
    task: &Task<'_>,
    begin: Instant,
    call: impl Future<Output = wasmtime::Result<R>>,
) -> wasmtime::Result<R> {
    let deadline = task.limits.timeout.and_then(|timeout| begin.checked_add(timeout));
    RUNTIME.with(|cell| {
        let runtime = match cell.get() {
            Some(runtime) => runtime,
            None => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                cell.get_or_init(|| runtime)
            }
        };
        runtime.block_on(async {
            tokio::select! {
                biased;
                result = call => result,
                stopped = watch(task.interrupt, deadline) => Err(stopped.into()),
            }
        })
    })
}

async fn watch(interrupt: &Interrupt, deadline: Option<Instant>) -> Stopped {
    loop {
        if interrupt.is_set() {
            return Stopped::Canceled;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Stopped::Timeout;
        }
        tokio::time::sleep(WATCH).await;
    }
}
