//! `scaler config check`: a deployment file, read as all its commands read it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;

use super::{output, roles};
use crate::{
    config::{self, ConfigError},
    exit,
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ConfigCommand {
    /// Show the settings that a deployment file gives, where each comes from, and everything that is wrong with it
    Check(CheckArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct CheckArgs {
    /// The deployment file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl ConfigArgs {
    pub(super) fn is_json(&self) -> bool {
        let ConfigCommand::Check(CheckArgs { json, .. }) = &self.command;
        *json
    }
}

pub(super) fn config(arguments: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check(CheckArgs { file, json }) = &arguments.command;
    let report = match config::check(file) {
        Ok(report) => report,
        Err(error) if *json => return Err(roles::as_error(&error)),
        Err(error) => return Ok(roles::refuse(&error)),
    };
    let text = if *json { report.to_json().to_string() + "\n" } else { report.picture() };
    output::written(io::stdout().lock().write_all(text.as_bytes()))?;
    if *json && !report.mistakes.is_empty() {
        return Err(roles::as_error(&ConfigError::Mistakes(report.mistakes)));
    }
    if *json {
        return Ok(ExitCode::SUCCESS);
    }
    let mut stderr = io::stderr().lock();
    let lines = report.warnings.iter().map(|line| format!("warning: {line}"));
    for line in lines.chain(report.mistakes.iter().map(|mistake| format!("error: {mistake}"))) {
        // With stderr closed there is nobody to tell; the exit code says it too.
        let _ = writeln!(stderr, "{line}");
    }
    Ok(ExitCode::from(if report.mistakes.is_empty() { exit::SUCCESS } else { exit::USAGE }))
}
