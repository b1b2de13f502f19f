//! What a store knows about the task that runs in it: meters, deadline, log.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scaler_proto::message::FailureKind;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::{Interrupt, LogSink, LogSource, Task};

/// The longest line of a log that is passed on; longer ones are cut.
const MAX_LINE: usize = 16 << 10;

/// The longest panic message that is kept.
const MAX_PANIC: usize = 8 << 10;

/// The part of a store's data that every task has.
pub(crate) struct TaskState {
    pub(crate) memory: MemoryMeter,
    pub(crate) log: Log,
    /// What the guest said before it trapped.
    pub(crate) panic: Option<String>,
    pub(crate) clock_granted: bool,
    pub(crate) random_granted: bool,
    /// The guest saw something that differs from run to run: time, random numbers, files, the network.
    pub(crate) saw_the_world: bool,
    deadline: Option<Instant>,
    interrupt: Interrupt,
}

/// Why the epoch ended a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("canceled")]
    Canceled,
    #[error("the time is over")]
    Timeout,
}

impl Stopped {
    pub(crate) fn kind(self) -> FailureKind {
        match self {
            Self::Canceled => FailureKind::Canceled,
            Self::Timeout => FailureKind::Timeout,
        }
    }
}

/// A use of something that the operator did not grant; the guest traps with it.
#[derive(Debug, thiserror::Error)]
#[error("the guest used {what}, which is not granted; the operator can set `{grant}` in [cluster.grants]")]
pub(crate) struct NotGranted {
    pub(crate) what: &'static str,
    pub(crate) grant: &'static str,
}

impl TaskState {
    pub(crate) fn new(task: &Task<'_>, start: Instant) -> Self {
        Self {
            memory: MemoryMeter { limit: task.limits.memory_bytes, used: 0, peak: 0, denied: None },
            log: Log::new(task.log, task.limits.log_bytes),
            panic: None,
            clock_granted: task.grants.clock(),
            random_granted: task.grants.random(),
            saw_the_world: false,
            deadline: task.limits.timeout.and_then(|timeout| start.checked_add(timeout)),
            interrupt: task.interrupt.clone(),
        }
    }

    /// Makes the state of a resident instance that of its next task; the memory stays counted.
    pub(crate) fn rearm(&mut self, task: &Task<'_>, start: Instant) {
        let used = self.memory.used;
        *self = Self::new(task, start);
        self.memory.used = used;
        self.memory.peak = used;
    }

    /// Lifts the limits, for what the host itself does with the instance.
    pub(crate) fn unlimit(&mut self) {
        self.memory.limit = u64::MAX;
    }

    /// Whether the task has to end now.
    pub(crate) fn stopped(&self) -> Result<(), Stopped> {
        if self.interrupt.is_set() {
            return Err(Stopped::Canceled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Stopped::Timeout);
        }
        Ok(())
    }

    /// For how long a task has run that was stopped at this limit.
    pub(crate) fn ran_us(&self, timeout: Duration) -> u64 {
        let over = self.deadline.map_or(Duration::ZERO, |deadline| deadline.elapsed());
        u64::try_from((timeout + over).as_micros()).unwrap_or(u64::MAX)
    }

    /// Keeps what the guest says about its end.
    pub(crate) fn keep_panic(&mut self, message: &str) {
        self.panic = Some(clean(clip(message, MAX_PANIC)).into_owned());
    }
}

/// A store's data, with or without WASI.
pub(crate) trait State: Send + 'static {
    /// The common part.
    fn task(&mut self) -> &mut TaskState;
}

impl State for TaskState {
    fn task(&mut self) -> &mut TaskState {
        self
    }
}

/// What happens at every tick of the epoch while a guest runs.
pub(crate) fn on_tick<T: State>(mut store: StoreContextMut<'_, T>) -> wasmtime::Result<UpdateDeadline> {
    store.data_mut().task().stopped()?;
    Ok(UpdateDeadline::Continue(1))
}

/// Sums all memories and tables of a task.
///
/// A denied growth is not yet a failure (`memory.grow` returns -1, and a guest may live with that), but it is
/// remembered:
/// if the guest then traps or aborts, the memory limit is the reason that is reported.
pub(crate) struct MemoryMeter {
    pub(crate) limit: u64,
    pub(crate) used: u64,
    pub(crate) peak: u64,
    /// Bytes that were wanted in all when a growth was denied.
    pub(crate) denied: Option<u64>,
}

impl MemoryMeter {
    fn grow(&mut self, current: u64, desired: u64, maximum: Option<usize>) -> bool {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit || maximum.is_some_and(|maximum| desired > maximum as u64) {
            self.denied = Some(wanted);
            return false;
        }
        self.used = wanted;
        self.peak = self.peak.max(wanted);
        true
    }
}

impl ResourceLimiter for TaskState {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(current as u64, desired as u64, maximum))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.denied.get_or_insert(self.memory.used);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.memory.grow(bytes(current) as u64, bytes(desired) as u64, maximum.map(bytes)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.denied.get_or_insert(self.memory.used);
        Ok(())
    }
}

/// Passes lines on until the budget is used up, then counts.
pub(crate) struct Log {
    sink: Arc<dyn LogSink>,
    left: u64,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(sink: &Arc<dyn LogSink>, budget: u64) -> Self {
        Self { sink: Arc::clone(sink), left: budget, dropped: 0 }
    }

    /// Passes on a text, line by line.
    pub(crate) fn lines(&mut self, source: LogSource, text: &str) {
        if self.left == 0 {
            self.dropped += text.len() as u64;
            return;
        }
        for line in text.lines() {
            let cost = line.len() as u64 + 1;
            if cost > self.left {
                self.dropped += cost;
                self.left = 0;
                continue;
            }
            self.left -= cost;
            self.sink.line(source, &clean(clip(line, MAX_LINE)));
        }
    }

    /// Says how much was dropped, if anything.
    pub(crate) fn finish(&mut self, source: LogSource) {
        if self.dropped > 0 {
            self.sink.line(source, &format!("({} more bytes of this task's log were dropped)", self.dropped));
            self.dropped = 0;
        }
    }
}

/// The beginning of a text, cut at a character.
pub(crate) fn clip(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

/// Without control characters and terminal escape sequences: a guest must not reach the terminal of whoever reads it.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || c == '\t' || c == '\n';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            match chars.peek() {
                Some('[') => {
                    chars.next();
                    while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
                }
                Some(']') => while chars.next().is_some_and(|c| c != '\x07' && c != '\x1b') {},
                _ => {}
            }
        } else if harmless(c) {
            cleaned.push(c);
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_pass() {
        assert_eq!(clean("a\x1b[31mred\x1b[0m b\x1b]0;title\x07c\x07\u{9b}d"), "ared bcd");
        assert_eq!(clean("tab\tstays"), "tab\tstays");
    }

    #[test]
    fn growth_is_summed_over_memories_and_tables() {
        let mut meter = MemoryMeter { limit: 100, used: 0, peak: 0, denied: None };
        assert!(meter.grow(0, 60, None) && meter.grow(0, 40, None));
        assert!(!meter.grow(60, 61, None));
        assert_eq!((meter.used, meter.peak, meter.denied), (100, 100, Some(101)));
    }
}
