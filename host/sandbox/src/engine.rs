//! One engine a process: how instances are allocated, and the ticker that makes every loop interruptible.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store, Strategy, Trap,
    WasmBacktraceDetails,
};

use crate::fault::MAX_FRAMES;
use crate::host;
use crate::state::TaskState;
use crate::wasi::{self, WasiState};

/// How often running guests look whether they have to stop.
const TICK: Duration = Duration::from_millis(2);

/// Ticks without a task after which the ticker sleeps until the next one.
const IDLE_TICKS: u32 = 50;

/// How long the self-test waits for a spin loop to die.
const SELF_TEST: Duration = Duration::from_secs(5);

/// `(module (func (export "spin") (loop (br 0))))`
const SPIN: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x08\x01\x04spin\0\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";

/// What an engine is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Instances the pool holds; also the number of modules that stay warm.
    pub pool_slots: u32,
    /// The largest memory a task may ever have, 4 GiB at most.
    pub memory_max_bytes: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { pool_slots: 200, memory_max_bytes: 4 << 30 }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither allocator works here.
    #[error("the sandbox cannot be set up on this machine: {reason}")]
    Machine {
        /// What the engine said.
        reason: String,
    },
    /// The host's own functions cannot be linked; a bug of ours.
    #[error("the sandbox cannot link its own functions: {reason}")]
    Link {
        /// What the engine said.
        reason: String,
    },
    /// The ticker thread cannot be started.
    #[error("the sandbox cannot start the thread that interrupts guests: {0}")]
    Ticker(#[from] std::io::Error),
    /// The self-test found that a spin loop does not end.
    #[error("the sandbox's self-test failed: a spin loop was not interrupted within {} s", SELF_TEST.as_secs())]
    SelfTest,
}

/// The machinery that all programs of a process share. Its ticker thread ends when the last clone, and the last program
/// loaded with it, are dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    engine: wasmtime::Engine,
    description: String,
    lean: Linker<TaskState>,
    wasi: Linker<WasiState>,
    ticker: Ticker,
}

impl Engine {
    /// Makes the engine, its ticker, and proves that a spin loop dies.
    ///
    /// # Errors
    /// The machine cannot run it, or the self-test failed.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let (engine, description) = allocate(settings)?;
        let ticker = Ticker::start(engine.clone())?;
        let link = |error: wasmtime::Error| EngineError::Link { reason: format!("{error:#}") };
        let mut lean = Linker::new(&engine);
        host::add_to_linker(&mut lean).map_err(link)?;
        let mut wasi = Linker::new(&engine);
        host::add_to_linker(&mut wasi).map_err(link)?;
        wasi::add_to_linker(&mut wasi).map_err(link)?;
        let made = Self { shared: Arc::new(Shared { engine, description, lean, wasi, ticker }) };
        made.self_test()?;
        Ok(made)
    }

    /// How instances are allocated, for the log and for `status`: `pooling, copy-on-write, pagemap_scan`.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.shared.description
    }

    /// What compiled code depends on besides the component's bytes: engine version, settings and this machine. For
    /// cache keys; needs no engine.
    #[must_use]
    pub fn fingerprint() -> String {
        let mut hasher = DefaultHasher::new();
        match wasmtime::Engine::new(&configuration()) {
            Ok(engine) => engine.precompile_compatibility_hash().hash(&mut hasher),
            // No engine, so nothing will be compiled under this key either.
            Err(error) => error.to_string().hash(&mut hasher),
        }
        format!("wasmtime-{}-{:016x}", wasmtime_version(), hasher.finish())
    }

    pub(crate) fn inner(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub(crate) fn lean(&self) -> &Linker<TaskState> {
        &self.shared.lean
    }

    pub(crate) fn wasi(&self) -> &Linker<WasiState> {
        &self.shared.wasi
    }

    /// Ticks come as long as this lives.
    pub(crate) fn busy(&self) -> Busy<'_> {
        let beat = &self.shared.ticker.beat;
        beat.busy.fetch_add(1, Ordering::SeqCst);
        beat.started.fetch_add(1, Ordering::Relaxed);
        if beat.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.shared.ticker.thread
        {
            thread.thread().unpark();
        }
        Busy(beat)
    }

    fn self_test(&self) -> Result<(), EngineError> {
        let engine = self.clone();
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("self-test".into()).spawn(move || {
            let outcome = engine.spin_dies();
            // Whoever hears the outcome is the engine's only owner.
            drop(engine);
            let _ = sender.send(outcome);
        })?;
        match receiver.recv_timeout(SELF_TEST) {
            Ok(Ok(true)) => Ok(()),
            Ok(Err(error)) => Err(EngineError::Machine { reason: format!("{error:#}") }),
            Ok(Ok(false)) | Err(_) => Err(EngineError::SelfTest),
        }
    }

    fn spin_dies(&self) -> wasmtime::Result<bool> {
        let _busy = self.busy();
        let module = Module::new(self.inner(), SPIN)?;
        let mut store = Store::new(self.inner(), ());
        store.set_epoch_deadline(1);
        let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
        Ok(spin.call(&mut store, ()).is_err_and(|error| error.downcast_ref::<Trap>() == Some(&Trap::Interrupt)))
    }
}

fn wasmtime_version() -> &'static str {
    // The workspace pins the exact version; the compatibility hash holds it as well.
    "48"
}

/// The settings that compiled code depends on; the same in processors and in the compile child.
pub(crate) fn configuration() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .concurrency_support(false)
        .table_lazy_init(true)
        .memory_init_cow(true)
        .max_wasm_stack(1 << 20)
        .async_stack_size(2 << 20)
        .generate_address_map(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(MAX_FRAMES))
        .gc_support(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .wasm_function_references(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_component_model(true);
    config
}

/// A pool if the address space allows it, memory on demand otherwise, and what to tell people.
fn allocate(settings: &EngineSettings) -> Result<(wasmtime::Engine, String), EngineError> {
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut config = configuration();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings, scan)));
    let refused = match wasmtime::Engine::new(&config) {
        Ok(engine) => {
            let scan = if scan { "pagemap_scan" } else { "no pagemap_scan (Linux before 6.7: slower)" };
            return Ok((engine, format!("pooling ({} slots), copy-on-write, {scan}", settings.pool_slots)));
        }
        Err(error) => error,
    };
    match wasmtime::Engine::new(&configuration()) {
        Ok(engine) => {
            let description = format!(
                "on demand, copy-on-write; every task starts about ten times slower, since no pool of {} slots could be \
                 reserved: {refused:#}",
                settings.pool_slots
            );
            Ok((engine, description))
        }
        Err(error) => Err(EngineError::Machine { reason: format!("{error:#}") }),
    }
}

fn pool(settings: &EngineSettings, scan: bool) -> PoolingAllocationConfig {
    let slots = settings.pool_slots.max(1);
    // Without the scan every resident byte is written again for every task.
    let resident = if scan { 1 << 20 } else { 64 << 10 };
    let mut pool = PoolingAllocationConfig::default();
    // Interpreters as components have tens of core instances and tables, and structures of megabytes.
    pool.total_component_instances(slots)
        .max_component_instance_size(8 << 20)
        .total_core_instances(slots.saturating_mul(4).max(120))
        .max_core_instance_size(8 << 20)
        .max_core_instances_per_component(120)
        .total_memories(slots.saturating_mul(2).max(20))
        .max_memories_per_component(20)
        .max_memories_per_module(20)
        .max_memory_size(usize::try_from(settings.memory_max_bytes.min(4 << 30)).unwrap_or(usize::MAX))
        .total_tables(slots.saturating_mul(4).max(120))
        .max_tables_per_component(60)
        .max_tables_per_module(20)
        .table_elements(200_000)
        .total_stacks(slots.min(64))
        .max_unused_warm_slots(slots)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(resident)
        .async_stack_keep_resident(64 << 10)
        .decommit_batch_size(1)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// An OS thread, never a task of an executor: on one CPU those would wait for the guest that they have to stop.
struct Ticker {
    beat: Arc<Beat>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Beat {
    busy: AtomicU64,
    started: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> Result<Self, std::io::Error> {
        let beat = Arc::new(Beat::default());
        let shared = Arc::clone(&beat);
        let thread = thread::Builder::new().name("epoch".into()).spawn(move || shared.run(&engine))?;
        Ok(Self { beat, thread: Some(thread) })
    }
}

impl Beat {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut idle = 0;
        let mut seen = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let started = self.started.load(Ordering::Relaxed);
            idle = if self.busy.load(Ordering::SeqCst) > 0 || started != seen { 0 } else { idle + 1 };
            seen = started;
            if idle < IDLE_TICKS {
                thread::park_timeout(TICK);
            } else {
                // Whoever begins a task adds to `busy` before it looks at `asleep`, so one of the two sees the other.
                self.asleep.store(true, Ordering::SeqCst);
                if self.busy.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
            }
            engine.increment_epoch();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.beat.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only panics if incrementing a number does.
            let _ = thread.join();
        }
    }
}

/// See [`Engine::busy`].
pub(crate) struct Busy<'a>(&'a Beat);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_says_how_it_allocates_and_ends_its_ticker() {
        let engine = Engine::new(&EngineSettings { pool_slots: 4, ..EngineSettings::default() }).expect("an engine");
        assert!(engine.describe().contains("copy-on-write"), "{}", engine.describe());
        let beat = Arc::downgrade(&engine.shared.ticker.beat);
        drop(engine);
        assert!(beat.upgrade().is_none(), "the ticker still runs");
    }

    #[test]
    fn a_pool_that_cannot_be_reserved_falls_back_with_a_reason() {
        let engine =
            Engine::new(&EngineSettings { pool_slots: 2_000_000, ..EngineSettings::default() }).expect("an engine");
        assert!(engine.describe().starts_with("on demand"), "{}", engine.describe());
    }

    #[test]
    fn the_ticker_wakes_up_after_a_long_pause() {
        let engine = Engine::new(&EngineSettings { pool_slots: 4, ..EngineSettings::default() }).expect("an engine");
        let beat = Arc::clone(&engine.shared.ticker.beat);
        let begin = std::time::Instant::now();
        while !beat.asleep.load(Ordering::SeqCst) {
            assert!(begin.elapsed() < Duration::from_secs(10), "the ticker never sleeps");
            thread::yield_now();
        }
        assert!(engine.spin_dies().expect("it runs"));
    }

    #[test]
    fn the_fingerprint_is_stable() {
        assert_eq!(Engine::fingerprint(), Engine::fingerprint());
    }
}
