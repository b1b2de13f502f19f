//! `scaler run`: one call in a sandbox on this machine, without a cluster.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::bail;
use scaler_proto::{call::Call, message::Outcome, payload::Payload};

use super::{
    connect::seconds,
    failure::LocalFailure,
    output::{self, Output},
    roles,
    submit::call,
};
use crate::{
    agent,
    config::{self, ClusterSettings, LoggingLevel, LoggingSettings},
    logging,
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The call: "module.path:function(arguments, key=value)"
    #[arg(value_name = "CALL", value_parser = call)]
    call: Call,
    /// Folder with the components [default: ./modules]
    #[arg(long, value_name = "DIR")]
    module_path: Option<PathBuf>,
    /// Deployment file whose section [cluster] gives limits and grants
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// A task that runs longer fails; so does one beyond the file's task_timeout_seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout_seconds: Option<Duration>,
    /// Form of the result on stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Json)]
    output: Output,
    /// Say what goes wrong as one JSON object on the last line of stderr, and what the guest logs as JSON lines
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &RunArgs) -> anyhow::Result<ExitCode> {
    let settings = match config::load::<ClusterSettings>(cluster_arguments(arguments)) {
        Ok(loaded) => loaded.settings,
        Err(error) if arguments.json => return Err(roles::as_error(&error)),
        Err(error) => return Ok(roles::refuse(&error)),
    };
    // stdout belongs to the result; what the guest logs is for people.
    let paths = vec![PathBuf::from("/dev/stderr")];
    let settings_of_log = LoggingSettings { json: arguments.json, ..LoggingSettings::new(LoggingLevel::Info, paths) };
    logging::init("run", &settings_of_log);
    let ended = agent::run_locally(&settings, &arguments.call, arguments.timeout_seconds)?;
    let target = format!("{}:{}", arguments.call.module, arguments.call.function);
    output::check_form(arguments.output, &target, &ended.signature)?;
    match ended.outcome {
        Outcome::Ok(payload) => {
            let bytes = inline(&payload)?;
            let value = ended.signature.decode_returned(bytes);
            output::print(arguments.output, &value.map_err(|error| anyhow::anyhow!("{target}: {error}"))?)?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Failed(failure) => {
            let value = failure.value.as_ref().map(inline).transpose()?;
            let value = value.and_then(|bytes| ended.signature.decode_error(bytes).ok());
            Err(LocalFailure { target, value, stats: ended.stats, failure }.into())
        }
    }
}

/// The settings of a cluster that this call would meet, as flags of `scaler_cluster`.
fn cluster_arguments(arguments: &RunArgs) -> Vec<OsString> {
    // The address is required and not used.
    let mut line: Vec<OsString> = vec!["scaler run".into(), "tcp://127.0.0.1:1".into()];
    for (flag, path) in [("--module-path", &arguments.module_path), ("--config", &arguments.config)] {
        if let Some(path) = path {
            line.extend([flag.into(), path.into()]);
        }
    }
    line
}

fn inline(payload: &Payload) -> anyhow::Result<&[u8]> {
    match payload {
        Payload::Inline(bytes) => Ok(bytes),
        Payload::Frame(_) | Payload::Stored { .. } => bail!("the result is not here; this is a bug of `scaler run`"),
    }
}
