//! One task: a fresh store and instance, one call, nothing left.

use std::sync::Arc;
use std::time::Instant;

use scaler_proto::message::FailureKind;

use crate::fault::error_message;
use crate::instance::{Answer, Live};
use crate::{Entry, Fault, Interrupt, Limits, LogSink, OpenGrants, Report, Standby};

/// Everything one call needs.
pub struct Task<'a> {
    /// The function.
    pub entry: &'a Entry,
    /// All arguments as one positional MessagePack array (named values are accepted too).
    pub arguments: &'a [u8],
    /// Arguments that are values of their own, by parameter (from 0) in ascending order; at their places `arguments`
    /// has nil. Each is read from its own slice, so that a large one that many tasks share is never copied together.
    pub objects: &'a [(u16, &'a [u8])],
    /// What it may touch.
    pub grants: &'a Arc<OpenGrants>,
    /// What it may use.
    pub limits: &'a Limits,
    /// Who may end it.
    pub interrupt: &'a Interrupt,
    /// Where its words go.
    pub log: &'a Arc<dyn LogSink>,
}

/// Runs a task in a fresh instance, which is gone when this returns.
#[must_use]
pub fn run(task: &Task<'_>) -> Report {
    Standby::default().run(task)
}

/// A cancel that came before the start is obeyed before anything is made.
pub(crate) fn before(task: &Task<'_>) -> Result<(), Fault> {
    if task.interrupt.is_set() {
        return Err(Fault::new(FailureKind::Canceled, "canceled before it began"));
    }
    Ok(())
}

pub(crate) fn refused(fault: Fault) -> Report {
    Report { outcome: Err(fault), start_us: 0, run_us: 0, peak_memory_bytes: 0 }
}

/// The costs of a start that failed.
pub(crate) fn failed_start(begin: Instant) -> Report {
    Report { outcome: Ok(Vec::new()), start_us: start_micros(begin), run_us: micros(begin), peak_memory_bytes: 0 }
}

/// Calls the function in a live instance, and measures.
pub(crate) fn report(task: &Task<'_>, live: &mut Live, begin: Instant) -> Report {
    let start_us = start_micros(begin);
    let outcome = match live.call(task, begin) {
        Ok(Answer { bytes, is_error: false }) => Ok(bytes),
        Ok(Answer { bytes, is_error: true }) => {
            Err(Fault { message: error_message(&bytes), value: Some(bytes), ..Fault::new(FailureKind::Error, "") })
        }
        Err(fault) => Err(fault),
    };
    Report { outcome, start_us, run_us: micros(begin), peak_memory_bytes: live.task().memory.peak }
}

/// How long a start took that ends now.
pub(crate) fn start_micros(begin: Instant) -> u32 {
    u32::try_from(micros(begin)).unwrap_or(u32::MAX)
}

fn micros(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)
}
