//! WASI for guests that import it: linked to nothing but what was granted.
//!
//! Everything that can wait is async here, so that a guest that sleeps or waits for the network can be ended. Clocks,
//! random numbers and names on the network go through guards that know the grants.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::state::{Log, NotGranted, State, TaskState, clip};
use crate::{Fault, LogSource, Task};

/// A partial line longer than this is passed on as it is.
const MAX_PARTIAL: usize = 16 << 10;

/// What is kept of a panic's text.
const MAX_PANIC: usize = 8 << 10;

/// The data of a store whose guest imports WASI.
pub(crate) struct WasiState {
    task: TaskState,
    ctx: WasiCtx,
    table: ResourceTable,
    streams: Arc<Mutex<Streams>>,
    preopens: usize,
}

impl WasiState {
    pub(crate) fn new(task: &Task<'_>, start: Instant) -> Result<Self, Fault> {
        let log = Log::new(task.log, task.limits.log_bytes);
        let streams = Arc::new(Mutex::new(Streams::new(log)));
        let output = |source| Output { source, streams: Arc::clone(&streams) };
        let mut builder = WasiCtx::builder();
        builder.stdout(output(LogSource::Stdout)).stderr(output(LogSource::Stderr));
        // Files are read by the thread that runs the guest: a processor has nothing else to do.
        builder.allow_blocking_current_thread(true);
        task.grants.give(&mut builder)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(task.limits.host_resources as usize);
        Ok(Self {
            task: TaskState::new(task, start),
            ctx: builder.build(),
            table,
            streams,
            preopens: task.grants.directories(),
        })
    }

    /// Makes the state of a resident instance that of its next task.
    pub(crate) fn rearm(&mut self, task: &Task<'_>, start: Instant) {
        self.task.rearm(task, start);
        *self.streams() = Streams::new(Log::new(task.log, task.limits.log_bytes));
    }

    /// Passes on what was not yet a line, and gives the text of a panic or the last words on standard error.
    pub(crate) fn finish(&mut self) -> LastWords {
        let mut streams = self.streams();
        streams.end_of(LogSource::Stdout);
        streams.end_of(LogSource::Stderr);
        streams.log.finish(LogSource::Stderr);
        LastWords { panic: streams.panic.take(), stderr: streams.last.take() }
    }

    /// How many folders the guest was given.
    pub(crate) fn preopens(&self) -> usize {
        self.preopens
    }

    /// Host handles that the guest holds.
    pub(crate) fn table_mut(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clocks(&mut self) -> Clocks<'_> {
        let Self { task, ctx, table, .. } = self;
        Clocks { task, inner: WasiClocksCtxView { ctx: ctx.clocks(), table } }
    }

    fn random(&mut self) -> Random<'_> {
        let Self { task, ctx, .. } = self;
        Random { task, inner: ctx.random() }
    }
}

impl State for WasiState {
    fn task(&mut self) -> &mut TaskState {
        &mut self.task
    }
}

impl WasiView for WasiState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// What a guest said on standard error before it ended.
#[derive(Default)]
pub(crate) struct LastWords {
    /// The text of a Rust panic.
    pub(crate) panic: Option<String>,
    /// The last line.
    pub(crate) stderr: Option<String>,
}

/// Offers WASI 0.2, with the guards in place of what they guard.
pub(crate) fn add_to_linker(linker: &mut Linker<WasiState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, GuardedClocks>(linker, WasiState::clocks)?;
    monotonic_clock::add_to_linker::<_, GuardedClocks>(linker, WasiState::clocks)?;
    random::add_to_linker::<_, GuardedRandom>(linker, WasiState::random)?;
    insecure::add_to_linker::<_, GuardedRandom>(linker, WasiState::random)?;
    insecure_seed::add_to_linker::<_, GuardedRandom>(linker, WasiState::random)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct GuardedClocks;

impl HasData for GuardedClocks {
    type Data<'a> = Clocks<'a>;
}

struct Clocks<'a> {
    task: &'a mut TaskState,
    inner: WasiClocksCtxView<'a>,
}

impl<'a> Clocks<'a> {
    fn granted(&mut self) -> wasmtime::Result<&mut WasiClocksCtxView<'a>> {
        if !self.task.clock_granted {
            return Err(NotGranted { what: "the clock", grant: "clock" }.into());
        }
        self.task.saw_the_world = true;
        Ok(&mut self.inner)
    }
}

impl wall_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        wall_clock::Host::now(self.granted()?)
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        wall_clock::Host::resolution(self.granted()?)
    }
}

impl monotonic_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::now(self.granted()?)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::resolution(self.granted()?)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.granted()?.subscribe_instant(when)
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.granted()?.subscribe_duration(when)
    }
}

struct GuardedRandom;

impl HasData for GuardedRandom {
    type Data<'a> = Random<'a>;
}

struct Random<'a> {
    task: &'a mut TaskState,
    inner: &'a mut WasiRandomCtx,
}

impl Random<'_> {
    fn granted(&mut self) -> wasmtime::Result<&mut WasiRandomCtx> {
        if !self.task.random_granted {
            return Err(NotGranted { what: "random numbers", grant: "random" }.into());
        }
        self.task.saw_the_world = true;
        Ok(self.inner)
    }
}

impl random::Host for Random<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.granted()?.get_random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.granted()?.get_random_u64()
    }
}

impl insecure::Host for Random<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.granted()?.get_insecure_random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.granted()?.get_insecure_random_u64()
    }
}

impl insecure_seed::Host for Random<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.granted()?.insecure_seed()
    }
}

/// Standard output and standard error, on their way to the log.
struct Streams {
    log: Log,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    panic: Option<String>,
    in_panic: bool,
    last: Option<String>,
}

impl Streams {
    fn new(log: Log) -> Self {
        Self { log, stdout: Vec::new(), stderr: Vec::new(), panic: None, in_panic: false, last: None }
    }

    fn write(&mut self, source: LogSource, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial(source).extend_from_slice(&rest[..end]);
            self.end_of(source);
            rest = &rest[end + 1..];
        }
        for chunk in rest.chunks(MAX_PARTIAL) {
            self.partial(source).extend_from_slice(chunk);
            if self.partial(source).len() >= MAX_PARTIAL {
                self.end_of(source);
            }
        }
    }

    fn partial(&mut self, source: LogSource) -> &mut Vec<u8> {
        if source == LogSource::Stdout { &mut self.stdout } else { &mut self.stderr }
    }

    fn end_of(&mut self, source: LogSource) {
        let bytes = std::mem::take(self.partial(source));
        if bytes.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&bytes);
        if source == LogSource::Stderr {
            self.listen(&line);
        }
        self.log.lines(source, &line);
    }

    /// Keeps the text of a panic as Rust's standard library prints it: `thread 'main' panicked at src/lib.rs:1:2:`,
    /// then
    /// the message, then a note.
    fn listen(&mut self, line: &str) {
        if let Some((_, place)) = line.split_once(" panicked at ") {
            self.panic = Some(format!("panicked at {}", clip(place, 1_024)));
            self.in_panic = true;
        } else if line.starts_with("note: ") || line.starts_with("stack backtrace:") {
            self.in_panic = false;
        } else if self.in_panic
            && let Some(panic) = &mut self.panic
            && panic.len() < MAX_PANIC
        {
            panic.push('\n');
            panic.push_str(clip(line, MAX_PANIC));
        }
        if !line.trim().is_empty() {
            self.last = Some(clip(line, 1_024).to_owned());
        }
    }
}

#[derive(Clone)]
struct Output {
    source: LogSource,
    streams: Arc<Mutex<Streams>>,
}

impl Output {
    fn put(&self, bytes: &[u8]) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).write(self.source, bytes);
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
