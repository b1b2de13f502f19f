//! The cluster agent: link, queues and processors around the pure core, which decides everything.
//!
//! One loop (`shell`) waits on the link, the processors' sockets, signals and news from the module catalogue. The
//! catalogue compiles and preloads on its own thread, so that heartbeats go on meanwhile.

mod catalogue;
mod direct;
mod local;
mod process;
mod shell;
mod silence;
mod workshop;

use std::{process::ExitCode, sync::Arc};

pub use local::{LocalOutcome, run_locally};
use scaler_proto::{
    agent::AgentConfig,
    ids::AgentId,
    message::{LogSource, WorkerInfo},
};

use crate::{
    config::{ClusterSettings, Isolation},
    logging::{GUEST, GUEST_FILE},
    processor::records::{LogRecord, Setup},
};

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that; code 4 when the preload failed, 5 when there was no scheduler for too long.
pub fn run(settings: ClusterSettings) -> anyhow::Result<ExitCode> {
    scaler_net::raise_file_limit()?;
    scaler_net::set_io_threads(settings.worker_io_threads);
    let workshop = Arc::new(workshop::Workshop::new(setup_of(&settings))?);
    let config = config_of(&settings)?;
    let result = shell::Shell::new(&settings, config, Arc::clone(&workshop), settings.preload.clone())
        .and_then(shell::Shell::run);
    workshop.clean();
    result
}

fn setup_of(settings: &ClusterSettings) -> Setup {
    Setup {
        memory_limit_bytes: settings.task_memory_limit_bytes,
        output_limit_bytes: settings.task_output_limit_bytes,
        grants: settings.grants.resolve(),
        is_resident: settings.isolation == Isolation::Processor,
        preload_timeout_ms: settings.preload_timeout_seconds.saturating_mul(1_000),
        storage_address: settings.object_storage_address.as_ref().map(ToString::to_string),
    }
}

fn config_of(settings: &ClusterSettings) -> anyhow::Result<AgentConfig> {
    let host = ClusterSettings::host();
    let worker = |name: String| WorkerInfo {
        name,
        capabilities: settings.per_worker_capabilities.clone(),
        queue_size: settings.per_worker_task_queue_size,
    };
    let workers = settings.names().into_iter().map(worker).collect();
    let mut random = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
    let mut config = AgentConfig::new(AgentId(u64::from_le_bytes(random)), host, workers);
    env!("CARGO_PKG_VERSION").clone_into(&mut config.build);
    config.heartbeat_interval_ms = settings.heartbeat_interval_seconds.saturating_mul(1_000);
    config.task_timeout_ms = settings.task_timeout_seconds.saturating_mul(1_000);
    config.task_memory_limit_bytes = settings.task_memory_limit_bytes;
    config.death_timeout_ms = settings.death_timeout_seconds.saturating_mul(1_000);
    Ok(config)
}

/// Logs a line that a guest wrote in the processor `pid`, which has filtered and capped it.
fn guest_log(target: &str, worker: &str, pid: u32, line: &LogRecord) {
    let text = &line.text;
    let source = line.source.name();
    let task = line.task.map_or_else(|| "-".to_owned(), |task| task.to_string());
    // A target is a constant of its place.
    macro_rules! say {
        ($target:expr) => {
            match line.source {
                LogSource::Error => tracing::error!(target: $target, pid, worker, task, source, "guest: {text}"),
                LogSource::Warn => tracing::warn!(target: $target, pid, worker, task, source, "guest: {text}"),
                LogSource::Debug | LogSource::Trace => {
                    tracing::debug!(target: $target, pid, worker, task, source, "guest: {text}");
                }
                _ => tracing::info!(target: $target, pid, worker, task, source, "guest: {text}"),
            }
        };
    }
    if target == GUEST_FILE {
        say!(GUEST_FILE);
    } else {
        say!(GUEST);
    }
}
