//! One task: a fresh store and instance, one call, nothing left.

use std::sync::Arc;

use crate::{Entry, Interrupt, Limits, LogSink, OpenGrants, Report};

/// Everything one call needs.
pub struct Task<'a> {
    /// The function.
    pub entry: &'a Entry,
    /// All arguments as one positional MessagePack array (named values are accepted too).
    pub arguments: &'a [u8],
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
pub fn run(_task: &Task<'_>) -> Report {
    todo!()
}
