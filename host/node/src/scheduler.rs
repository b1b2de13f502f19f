//! The scheduler:  the shell around its core.

use std::process::ExitCode;

use crate::config::SchedulerSettings;

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that.
pub fn run(settings: SchedulerSettings) -> anyhow::Result<ExitCode> {
    let _ = settings;
    todo!()
}
