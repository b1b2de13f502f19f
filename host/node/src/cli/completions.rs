//! `scaler completions`: a script that completes commands and flags in a shell, from the declarations themselves.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Cli, output};
use crate::{config, exit};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
    /// The program to complete: scaler, scaler_scheduler, scaler_cluster, ..
    #[arg(value_name = "PROGRAM", default_value = "scaler")]
    program: String,
}

pub(super) fn completions(arguments: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let CompletionsArgs { shell, program } = arguments;
    let mut command = command(program)?;
    let mut script = Vec::new();
    generate(*shell, &mut command, program, &mut script);
    output::written(io::stdout().lock().write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// The declarations of a program. `scaler` shows its roles with the options that they read from the settings.
fn command(program: &str) -> anyhow::Result<Command> {
    let roles = config::commands();
    if program == "scaler" {
        return Ok(roles.into_iter().fold(Cli::command(), |command, (program, role)| {
            let name = program.trim_start_matches("scaler_");
            let is_known = command.find_subcommand(name).is_some();
            if is_known { command.mut_subcommand(name, |_| role.name(name)) } else { command }
        }));
    }
    let known = roles.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = roles.into_iter().find(|(name, _)| *name == program).map(|(_, command)| command);
    found.ok_or_else(|| exit::coded(exit::USAGE, format!("there is no program `{program}`; there are scaler, {known}")))
}
