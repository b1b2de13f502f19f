//! Preload once, start every task from what it left behind.
//!
//! The preload call runs in an instance of the instrumented component; then the memories and globals of all its core
//! modules are read and become the initial state of a new component. A host handle (an open file, a socket) is no part
//! of that state: a preload that leaves one behind is refused by name. The exception is the adapter that turns WASI
//! preview 1 into 0.2: it opens preopens and standard streams once and keeps them, so its own globals begin anew in
//! every task, and it opens them again.

use std::collections::HashMap;
use std::time::Instant;

use scaler_proto::message::FailureKind;
use wasmtime::component::{Lift, WasmList};
use wasmtime::error::Context as _;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::adapter::adapter_globals;
use crate::instance::{Alive, Live, drive};
use crate::program::check_kind;
use crate::run::{before, report};
use crate::state::State;
use crate::wasi::WasiState;
use crate::{Fault, ModuleError, Report, Task};

/// What every refusal ends with.
const REMEDY: &str = "set isolation = \"processor\" to keep an instance alive instead of a snapshot";

/// Instruments a component so that its state can be read after the preload; compile the result and load it as a
/// program. Runs in the compile child.
///
/// # Errors
/// The component uses something that cannot be snapshotted.
pub fn prepare(component: &[u8]) -> Result<Vec<u8>, ModuleError> {
    check_kind(component)?;
    let (_, instrumented) = wizer()
        .instrument_component(component)
        .map_err(|error| ModuleError::Prepare { reason: format!("{error:#}") })?;
    Ok(instrumented)
}

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    wizer
}

/// A component that starts where the preload ended.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its bytes; compile them in the compile child.
    pub component: Vec<u8>,
    /// The preload saw nothing that may differ next time, so the snapshot may be kept on disk.
    pub cacheable: bool,
    /// What the call returned and cost.
    pub report: Report,
}

/// Runs the preload call and takes the snapshot. `component` are the bytes that were given to [`prepare`], `task.entry`
/// is an entry of the program compiled from the instrumented component.
///
/// # Errors
/// What the call failed with; or the state cannot be snapshotted (then `isolation = "processor"` is the way).
pub fn snapshot(component: &[u8], task: &Task<'_>) -> Result<Snapshot, Fault> {
    let begin = Instant::now();
    let program = task.entry.program();
    let _busy = program.engine().busy();
    before(task)?;
    let internal = |error: wasmtime::Error| Fault::new(FailureKind::Internal, format!("no snapshot: {error:#}"));
    let wizer = wizer();
    let (context, instrumented) = wizer.instrument_component(component).map_err(internal)?;
    let adapter = adapter_globals(&instrumented);

    let mut live = Live::start(program, task, begin)?;
    let report = report(task, &mut live, begin);
    if let Err(fault) = &report.outcome {
        return Err(fault.clone());
    }
    let grants = task.grants;
    let may_see_files = grants.has_directories() && program.imports("wasi:filesystem/types");
    let cacheable = !(live.task().saw_the_world || may_see_files || grants.has_network());
    if let Live::Wasi(alive) = &mut live {
        no_live_handles(alive.store.data_mut(), !adapter.is_empty()).map_err(|handle| {
            let message = format!("the preload left {handle} open, which a snapshot cannot hold; {REMEDY}");
            Fault::new(FailureKind::Preload, message)
        })?;
    }

    // Reading the memories grows each by a page.
    live.task().unlimit();
    let bytes = match &mut live {
        Live::Lean(alive) => take(&wizer, &context, alive, &adapter, task, begin),
        Live::Wasi(alive) => take(&wizer, &context, alive, &adapter, task, begin),
    };
    match bytes {
        Ok(component) => Ok(Snapshot { component, cacheable, report }),
        Err(error) => {
            let message = format!("the state that the preload left cannot be read: {error:#}; {REMEDY}");
            Err(Fault::new(FailureKind::Preload, message))
        }
    }
}

fn take<T: State>(
    wizer: &Wizer,
    context: &wasmtime_wizer::ComponentContext<'_>,
    alive: &mut Alive<T>,
    adapter: &HashMap<String, i64>,
    task: &Task<'_>,
    begin: Instant,
) -> wasmtime::Result<Vec<u8>> {
    let mut reader = StateReader { alive, adapter, failed: None };
    let bytes = drive(task, begin, wizer.snapshot_component(context, &mut reader))?;
    match reader.failed {
        None => Ok(bytes),
        Some(error) => Err(error),
    }
}

/// Names the first handle that would be missing in a snapshot.
fn no_live_handles(state: &mut WasiState, has_adapter: bool) -> Result<(), &'static str> {
    let preopens = state.preopens();
    let mut directories = 0;
    for handle in state.table_mut().iter_mut() {
        let refused = if let Some(descriptor) = handle.downcast_ref::<Descriptor>() {
            match descriptor {
                Descriptor::File(_) => "a file",
                Descriptor::Dir(_) => {
                    directories += 1;
                    if has_adapter && directories <= preopens {
                        continue;
                    }
                    "a directory"
                }
            }
        } else if handle.is::<DynOutputStream>() || handle.is::<DynInputStream>() {
            if has_adapter {
                continue;
            }
            "a stream (standard output, or a file's)"
        } else {
            "a host resource"
        };
        return Err(refused);
    }
    Ok(())
}

/// Reads the state through the functions that the instrumentation added. The first error is kept, and zeroes are read
/// from then on: the caller throws the result away.
struct StateReader<'a, T: 'static> {
    alive: &'a mut Alive<T>,
    /// Globals of the adapter, with their initial values.
    adapter: &'a HashMap<String, i64>,
    failed: Option<wasmtime::Error>,
}

impl<T: State> StateReader<'_, T> {
    async fn call<R: Lift + Send + 'static>(&mut self, instance: &str, func: &str) -> Option<R> {
        if self.failed.is_some() {
            return None;
        }
        match self.try_call(instance, func).await {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    async fn try_call<R: Lift + Send + 'static>(&mut self, instance: &str, func: &str) -> wasmtime::Result<R> {
        let Alive { store, instance: live } = &mut *self.alive;
        let index = live.get_export_index(&mut *store, None, instance).context("the program is not instrumented")?;
        let index = live.get_export_index(&mut *store, Some(&index), func).context("the program is another one")?;
        let func = live.get_typed_func::<(), (R,)>(&mut *store, &index)?;
        let (value,) = func.call_async(&mut *store, ()).await?;
        Ok(value)
    }
}

impl<T: State> ComponentInstanceState for StateReader<'_, T> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.call::<WasmList<u8>>(instance, func).await {
            Some(list) => contents(list.as_le_slice(&self.alive.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        match self.adapter.get(func) {
            Some(initial) => *initial as i32,
            None => self.call(instance, func).await.unwrap_or_default(),
        }
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        match self.adapter.get(func) {
            Some(initial) => *initial,
            None => self.call(instance, func).await.unwrap_or_default(),
        }
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call::<f32>(instance, func).await.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call::<f64>(instance, func).await.unwrap_or_default().to_bits()
    }
}
