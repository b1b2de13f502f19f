//! The cluster agent:  the shell around its core.

use std::process::ExitCode;

use crate::config::ClusterSettings;

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that.
pub fn run(settings: ClusterSettings) -> anyhow::Result<ExitCode> {
    let _ = settings;
    todo!()
}
