//! What a task ends with: bytes, or a fault of one of the protocol's kinds, made from what the engine says.

use std::fmt::Write as _;

use scaler_proto::message::{ERROR_VALUE, FailureKind, timeout_message};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::Task;
use crate::instance::output_limit;
use crate::state::{NotGranted, Stopped, TaskState, clean, clip};
use crate::value::{BadArgument, BadResult};
use crate::wasi::LastWords;

/// Frames that are looked at when a guest traps: more than honest code nests calls of the same functions, mostly.
pub(crate) const MAX_FRAMES: usize = 100;

/// Lines of a trace that are kept.
const MAX_TRACE_LINES: usize = 40;

/// What is kept of texts that come from guests.
const MAX_TEXT: usize = 8 << 10;

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which kind.
    pub kind: FailureKind,
    /// For people: what happened.
    pub message: String,
    /// For [`FailureKind::Error`]: the value of `err`, positional MessagePack.
    pub value: Option<Vec<u8>>,
    /// The WebAssembly frames, innermost first, when there are any.
    pub trace: Option<String>,
}

impl Fault {
    /// A fault that is nothing but a kind and a text.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), value: None, trace: None }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// One finished run: the outcome and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The result as positional MessagePack (nil when the function has none), or why there is none.
    pub outcome: Result<Vec<u8>, Fault>,
    /// Microseconds that making the store and the instance took.
    pub start_us: u32,
    /// Microseconds from the beginning to the end of the call, the start included unless it was made ahead.
    pub run_us: u64,
    /// Most guest memory in use at once: all memories and tables of the task.
    pub peak_memory_bytes: u64,
}

/// What an `err` value says for people: its text, if it is one.
pub(crate) fn error_message(value: &[u8]) -> String {
    match rmp::decode::read_str_from_slice(value) {
        Ok((text, [])) => clean(clip(text, MAX_TEXT)).into_owned(),
        _ => ERROR_VALUE.into(),
    }
}

/// Finds out why a call did not come back: what the host decided comes first, then what the guest said, then the trap.
pub(crate) fn fault_of(error: wasmtime::Error, task: &Task<'_>, state: &mut TaskState, mut last: LastWords) -> Fault {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return Fault { trace: trace_of(&error), ..Fault::new(stopped.kind(), stopped_message(*stopped, task, state)) };
    }
    if let Some(bad) = error.downcast_ref::<BadArgument>() {
        let message = format!("{}: {}", task.entry.function(), bad.describe(task.entry.parameters()));
        return Fault::new(FailureKind::Arguments, message);
    }
    if error.downcast_ref::<BadResult>() == Some(&BadResult::TooLarge) || is_fuel(&error) {
        return Fault::new(FailureKind::OutputLimit, output_limit(task.limits.output_bytes));
    }
    let trap = error.downcast_ref::<Trap>().copied();
    let panic = state.panic.take().or(last.panic.take());
    let (kind, message) = if trap == Some(Trap::StackOverflow) || is_memory_stack_overflow(&error) {
        (FailureKind::StackOverflow, "the guest recursed too deeply: its stack is used up".to_owned())
    } else if let Some(wanted) = state.memory.denied {
        (FailureKind::MemoryLimit, memory_message(state, wanted, panic.as_deref()))
    } else if let Some(panic) = panic {
        (FailureKind::Panic, panic)
    } else if let Some(denied) = error.downcast_ref::<NotGranted>() {
        (FailureKind::Trap, denied.to_string())
    } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        // WASI 0.2 passes on only whether it was a success.
        let how = if *status == 0 { "as if it had succeeded" } else { "with a failure" };
        (FailureKind::Trap, format!("the guest ended itself {how}, where a result was expected{}", words(&last)))
    } else if let Some(trap) = trap {
        (FailureKind::Trap, format!("the guest trapped: {trap}{}", words(&last)))
    } else {
        (FailureKind::Trap, format!("{}{}", plain(&error), words(&last)))
    };
    Fault { trace: trace_of(&error), ..Fault::new(kind, clean(clip(&message, MAX_TEXT))) }
}

fn stopped_message(stopped: Stopped, task: &Task<'_>, state: &TaskState) -> String {
    match (stopped, task.limits.timeout) {
        (Stopped::Timeout, Some(timeout)) => {
            timeout_message(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), state.ran_us(timeout))
        }
        _ => stopped.to_string(),
    }
}

fn memory_message(state: &TaskState, wanted: u64, panic: Option<&str>) -> String {
    let limit = state.memory.limit;
    let mut message = if wanted > limit {
        format!("the task wanted {wanted} bytes of memory; its limit is {limit}")
    } else {
        format!("the guest's memory reached the maximum of {wanted} bytes that its module allows")
    };
    if let Some(panic) = panic {
        let _ = write!(message, " ({panic})");
    }
    message
}

fn words(last: &LastWords) -> String {
    last.stderr.as_ref().map(|line| format!("; last on standard error: {line}")).unwrap_or_default()
}

/// The engine's own error for host calls that move too much has no public type.
fn is_fuel(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

/// The chain of causes without the backtrace, which is shown elsewhere.
fn plain(error: &wasmtime::Error) -> String {
    let parts: Vec<String> = error
        .chain()
        .map(ToString::to_string)
        .filter(|part| !part.starts_with("error while executing at wasm backtrace"))
        .collect();
    parts.join(": ")
}

/// Whether a guest ran over the end of the stack that its language keeps in its memory. With the stack at the lowest
/// addresses, as Rust and C have it, that is an access out of bounds, deep in calls of the same few functions.
fn is_memory_stack_overflow(error: &wasmtime::Error) -> bool {
    if error.downcast_ref::<Trap>() != Some(&Trap::MemoryOutOfBounds) {
        return false;
    }
    let Some(frames) = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames) else { return false };
    let innermost: Vec<u32> = frames.iter().take(8).map(wasmtime::FrameInfo::func_index).collect();
    let repeated = frames.iter().filter(|frame| innermost.contains(&frame.func_index())).count();
    frames.len() >= MAX_FRAMES && repeated >= MAX_FRAMES / 2
}

/// The frames of the guest, innermost first, with demangled names.
fn trace_of(error: &wasmtime::Error) -> Option<String> {
    let shown = error.downcast_ref::<WasmBacktrace>()?.to_string();
    // The first line says that this is a trace; a hint about variables of the environment may follow at the end.
    let lines = without_repeats(shown.lines().skip(1).take_while(|line| !line.starts_with("note:")));
    let trace = lines[..lines.len().min(MAX_TRACE_LINES)].join("\n");
    (!trace.is_empty()).then(|| clean(clip(&trace, MAX_TEXT)).into_owned())
}

/// Recursion shows the same function on hundreds of lines: one line and a count say as much.
fn without_repeats<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let function = |line: &'a str| line.split_once(" - ").map(|(_, function)| function);
    let mut kept: Vec<String> = Vec::new();
    let (mut last, mut repeats) = (None, 0_usize);
    for line in lines {
        match function(line) {
            Some(name) if last == Some(name) => repeats += 1,
            name => {
                if repeats > 0 {
                    kept.push(format!("         (the same {repeats} more times)"));
                    repeats = 0;
                }
                last = name;
                kept.push(line.to_owned());
            }
        }
    }
    if repeats > 0 {
        kept.push(format!("         (the same {repeats} more times)"));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_frames_are_counted() {
        let lines = ["  0: 0x1 - a!f", "  1: 0x2 - a!f", "  2: 0x2 - a!f", "  3: 0x3 - a!g"];
        let kept = without_repeats(lines.into_iter());
        assert_eq!(kept, ["  0: 0x1 - a!f", "         (the same 2 more times)", "  3: 0x3 - a!g"]);
    }

    #[test]
    fn an_error_value_that_is_text_is_the_message() {
        assert_eq!(error_message(b"\xaanot \x1b[1mok"), "not ok");
        assert_eq!(error_message(&[7]), "the function returned an error value");
    }
}
