//! `scaler config check`: a deployment file, read as all its commands read it.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use scaler_proto::nearest::Hint;

use super::{failure, output, roles};
use crate::{
    config::{self, CommandLine, ConfigError},
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
    #[command(after_help = EXAMPLE)]
    Check(CheckArgs),
}

const EXAMPLE: &str = "\
Each setting is shown with its origin: flag, the line of the file, default, or what it is derived from.

A command line behind the file is taken as if it were started so, and its flags win over the file:

    scaler config check deploy.toml scaler_cluster --num-of-workers 12 -ll DEBUG";

#[derive(Clone, Debug, clap::Args)]
struct CheckArgs {
    /// The deployment file; `--config FILE` is the same
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As one JSON object; stands before COMMAND, whose own arguments all others behind it are
    #[arg(long)]
    json: bool,
    /// A command that reads the file (scaler_cluster, or cluster, ..), with arguments as they would be typed
    #[arg(value_names = ["COMMAND", "ARGUMENTS"], num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    line: Vec<OsString>,
}

impl ConfigArgs {
    pub(super) fn is_json(&self) -> bool {
        let ConfigCommand::Check(CheckArgs { json, .. }) = &self.command;
        *json
    }
}

pub(super) fn config(arguments: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check(CheckArgs { file, json, line }) = &arguments.command;
    let line = command_line(line)?;
    let line = line.as_ref().map(|(program, arguments)| CommandLine { program, arguments });
    let report = match config::check(file, line) {
        Ok(report) => report,
        Err(ConfigError::CommandLine(error)) if *json && error.use_stderr() => {
            // With stderr closed there is nobody to tell.
            let _ = io::stderr().write_all(failure::usage(&error.render().to_string()).as_bytes());
            return Ok(ExitCode::from(exit::USAGE));
        }
        Err(error @ ConfigError::CommandLine(_)) => {
            let code = roles::refuse(&error);
            if let Some(line) = line.filter(|line| line.arguments.iter().any(|word| word == "--json")) {
                let _ = writeln!(io::stderr(), "\n`--json` of `scaler config check` stands before {}", line.program);
            }
            return Ok(code);
        }
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

/// The arguments of `scaler`, where those of `config check` give the file as the commands take it: `--config FILE`.
pub(super) fn file_as_argument(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if !matches!(&arguments[..], [_, config, check, ..] if config == "config" && check == "check") {
        return arguments;
    }
    // Behind the first word without a hyphen everything is another command's.
    let end = arguments.iter().skip(3).position(|word| word != "--json").map_or(arguments.len(), |at| at + 3);
    let word = arguments.get(end).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if word == "--config" || word == "-c" {
        arguments.remove(end);
    } else if let Some(file) = word.strip_prefix("--config=").or_else(|| word.strip_prefix("-c=")) {
        arguments[end] = file.into();
    }
    arguments
}

/// The program that is meant by a command line, and its arguments.
fn command_line(words: &[OsString]) -> anyhow::Result<Option<(&'static str, &[OsString])>> {
    let words = match words {
        // `scaler cluster ..` is typed as often as `scaler_cluster ..`.
        [scaler, rest @ ..] if scaler == "scaler" => rest,
        words => words,
    };
    let Some((command, arguments)) = words.split_first() else { return Ok(None) };
    let name = Path::new(command).file_name().unwrap_or(command).to_string_lossy();
    let bare = name.strip_prefix("scaler_").unwrap_or(&name);
    let programs: Vec<&'static str> = config::commands().into_iter().map(|(program, _)| program).collect();
    let is_meant = |program: &&&'static str| program.strip_prefix("scaler_") == Some(bare);
    if let Some(program) = programs.iter().find(is_meant) {
        return Ok(Some((*program, arguments)));
    }
    let (known, hint) = (programs.join(", "), Hint::of(&format!("scaler_{bare}"), programs.iter().copied()));
    let message = if name.starts_with('-') {
        format!(
            "`{name}` is no flag of `scaler config check`; flags of a command stand behind its name, which is one of \
             {known}"
        )
    } else {
        format!("`{name}` is no command that reads a file of settings; these do: {known}{hint}")
    };
    Err(exit::coded(exit::USAGE, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_given_as_to_the_commands_too() {
        let words = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in [
            ("scaler config check --config f", "scaler config check f"),
            ("scaler config check --json -c f cluster -c f", "scaler config check --json f cluster -c f"),
            ("scaler config check --config=f --json", "scaler config check f --json"),
            ("scaler config check f cluster --config f", "scaler config check f cluster --config f"),
            ("scaler config check", "scaler config check"),
            ("scaler up --config f", "scaler up --config f"),
        ] {
            assert_eq!(file_as_argument(words(line)), words(expected), "{line}");
        }
    }

    #[test]
    fn a_command_is_known_by_each_of_its_names() {
        let words = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in [
            ("scaler_cluster -n 2", Some(("scaler_cluster", 2))),
            ("cluster -n 2", Some(("scaler_cluster", 2))),
            ("scaler ui", Some(("scaler_ui", 0))),
            ("./bin/scaler_object_storage_server -c x", Some(("scaler_object_storage_server", 2))),
            ("", None),
        ] {
            let words = words(line);
            let found = command_line(&words).expect(line).map(|(program, rest)| (program, rest.len()));
            assert_eq!(found, expected, "{line}");
        }
        let told = |line: &str| command_line(&words(line)).expect_err(line).to_string();
        assert!(told("clutser").ends_with("; did you mean `scaler_cluster`?"), "{}", told("clutser"));
        assert!(told("submit a:f()").contains("scaler_scheduler, scaler_cluster, scaler_object_storage_server,"));
        assert!(told("--jsn").contains("is no flag of `scaler config check`"));
    }
}
