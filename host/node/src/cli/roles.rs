//! Servers: settings, log, run, exit code. The thin mains call one function each, so that the linker can leave out
//! what their role does not need.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    process::ExitCode,
};

use super::failure;
use crate::{
    agent, compiler,
    config::{self, ConfigError, Section, TopSettings},
    exit, logging, processor, scheduler, storage, top, ui,
};

/// `scaler_scheduler`, with the arguments of the process. Its hidden role is the storage that a scheduler without an
/// address for one starts as its child.
#[must_use]
pub fn scheduler() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "__storage") {
        return run_storage(arguments.into_iter().skip(1));
    }
    run_scheduler(arguments)
}

/// `scaler_cluster`, with the arguments of the process. Its hidden roles are its processors and compilers.
#[must_use]
pub fn cluster() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    hidden(arguments.get(1).map(OsString::as_os_str)).unwrap_or_else(|| run_cluster(arguments))
}

/// `scaler_object_storage_server`, with the arguments of the process.
#[must_use]
pub fn object_storage_server() -> ExitCode {
    run_storage(env::args_os())
}

/// `scaler_ui`, with the arguments of the process.
#[must_use]
pub fn web_ui() -> ExitCode {
    run_ui(env::args_os())
}

/// `scaler_top`, with the arguments of the process.
#[must_use]
pub fn terminal_view() -> ExitCode {
    run_top(env::args_os())
}

/// The roles that only an agent starts.
pub(super) fn hidden(first: Option<&OsStr>) -> Option<ExitCode> {
    match first?.to_str()? {
        "__processor" => Some(processor::main()),
        "__compile" => Some(compiler::main()),
        _ => None,
    }
}

pub(super) fn run_scheduler(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    run("scheduler", arguments, scheduler::run)
}

pub(super) fn run_cluster(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    run("cluster", arguments, agent::run)
}

pub(super) fn run_storage(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    run("object_storage_server", arguments, storage::run)
}

pub(super) fn run_ui(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    run("webui", arguments, ui::run)
}

/// The screen is the picture's, so what others log is said before it is taken.
pub(super) fn run_top(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let as_json = arguments.iter().any(|word| word == "--json");
    let loaded = match config::load::<TopSettings>(arguments) {
        Ok(loaded) => loaded,
        Err(error) if as_json && is_failure(&error) => return failure::explain(&as_error(&error), true),
        Err(error) => return refuse(&error),
    };
    for warning in &loaded.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let as_json = loaded.settings.json;
    top::run(loaded.settings).unwrap_or_else(|error| failure::explain(&error, as_json))
}

fn run<T: Section>(
    role: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    serve: fn(T) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let loaded = match config::load::<T>(arguments) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    logging::init(role, &loaded.settings.logging());
    loaded.warnings.iter().for_each(|line| tracing::warn!("{line}"));
    loaded.notices.iter().for_each(|line| tracing::info!("{line}"));
    serve(loaded.settings).unwrap_or_else(|error| {
        tracing::error!(target: logging::CRITICAL, "{error:#}");
        // Whoever started the process must see why it ends, once.
        if !logging::reaches_stderr() {
            let _ = writeln!(io::stderr(), "error: {error:#}");
        }
        exit::of(&error)
    })
}

/// What is wrong with the command line or the file, for those who want it as JSON.
pub(super) fn as_error(error: &ConfigError) -> anyhow::Error {
    exit::coded(exit::USAGE, error.to_string())
}

/// Whether it is more than a question for help.
fn is_failure(error: &ConfigError) -> bool {
    !matches!(error, ConfigError::CommandLine(error) if !error.use_stderr())
}

/// Says what is wrong with the command line or the file.
pub(super) fn refuse(error: &ConfigError) -> ExitCode {
    match error {
        ConfigError::CommandLine(error) => {
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::SUCCESS })
        }
        ConfigError::Unreadable { .. } => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(exit::USAGE)
        }
        ConfigError::Mistakes(mistakes) => {
            let mut stderr = io::stderr().lock();
            for mistake in mistakes {
                let _ = writeln!(stderr, "error: {mistake}");
            }
            ExitCode::from(exit::USAGE)
        }
    }
}
