//! The command line of `scaler` and the entry points of the thin mains.

mod roles;

pub use roles::{cluster, object_storage_server, scheduler};

use std::{env, ffi::OsString, process::ExitCode};

/// `scaler`, with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let role = arguments.get(1).and_then(|first| first.to_str()).unwrap_or_default();
    let rest = arguments.iter().skip(1).cloned();
    match role {
        "scheduler" => roles::run_scheduler(rest),
        "cluster" => roles::run_cluster(rest),
        "object_storage_server" | "__storage" => roles::run_storage(rest),
        _ => roles::hidden(arguments.get(1).map(OsString::as_os_str))
            .unwrap_or_else(|| ExitCode::from(crate::exit::USAGE)),
    }
}
