//! `scaler completions`: a script that completes commands and flags in a shell, from the declarations themselves.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Command, CommandFactory as _, builder::PossibleValuesParser};
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
    let script = with_short_flags(*shell, String::from_utf8_lossy(&script).into_owned(), &command);
    output::written(io::stdout().lock().write_all(script.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds the original's short flags of more letters (`-pwc`), which clap does not know.
fn with_short_flags(shell: Shell, script: String, command: &Command) -> String {
    let mut shorts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for arg in std::iter::once(command).chain(command.get_subcommands()).flat_map(Command::get_arguments) {
        let spellings = config::short_spellings(arg);
        if let Some(long) = arg.get_long().filter(|_| !spellings.is_empty()) {
            shorts.insert(long.to_owned(), spellings);
        }
    }
    let line = |line: &str| match shell {
        Shell::Bash => bash_line(line, &shorts),
        Shell::Fish => fish_line(line, &shorts),
        Shell::Zsh => repeated(line, &shorts, |flag| format!("{flag}=[")),
        Shell::Elvish => repeated(line, &shorts, |flag| format!("cand {flag} ")),
        Shell::PowerShell => repeated(line, &shorts, |flag| format!("'{flag}', '{flag}',")),
        // There is no other, and what is new has a script without them.
        _ => line.to_owned(),
    };
    script.lines().map(|text| line(text) + "\n").collect()
}

/// Where each name of an option has a line of its own: the long one's line, before it the same for every short one.
/// `mark` is how such a line names a flag.
fn repeated(line: &str, shorts: &BTreeMap<String, Vec<String>>, mark: impl Fn(&str) -> String) -> String {
    let is_here = |(long, _): &(&String, &Vec<String>)| line.contains(&mark(&format!("--{long}")));
    let Some((long, spellings)) = shorts.iter().find(is_here) else { return line.to_owned() };
    let long = mark(&format!("--{long}"));
    let short = spellings.iter().map(|short| line.replacen(&long, &mark(short), 1) + "\n");
    short.collect::<String>() + line
}

/// The list of a command's options, and the choice of what follows one of them.
fn bash_line(line: &str, shorts: &BTreeMap<String, Vec<String>>) -> String {
    let of = |word: &str| word.strip_prefix("--").and_then(|long| shorts.get(long));
    if let Some(options) = line.trim_start().strip_prefix("opts=\"").and_then(|rest| rest.strip_suffix('"')) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let words = options.split(' ').flat_map(|word| {
            of(word).into_iter().flatten().map(String::as_str).chain(std::iter::once(word)).collect::<Vec<_>>()
        });
        return format!("{indent}opts=\"{}\"", words.collect::<Vec<_>>().join(" "));
    }
    match line.strip_suffix(')').and_then(|case| of(case.trim_start())) {
        Some(spellings) => format!("{}|{})", line.trim_end_matches(')'), spellings.join("|")),
        None => line.to_owned(),
    }
}

/// What fish calls an old option has one hyphen and any number of letters.
fn fish_line(line: &str, shorts: &BTreeMap<String, Vec<String>>) -> String {
    let long = line.split(" -l ").nth(1).and_then(|rest| rest.split(' ').next());
    let Some((long, spellings)) = long.and_then(|long| shorts.get_key_value(long)) else { return line.to_owned() };
    let old: Vec<String> = spellings.iter().map(|short| format!("-o {}", short.trim_start_matches('-'))).collect();
    line.replacen(&format!(" -l {long} "), &format!(" {} -l {long} ", old.join(" ")), 1)
}

/// With the values that may follow an option, where these are a few words; the settings read them by themselves.
fn with_words(command: Command) -> Command {
    command.mut_args(|arg| match config::words_of(&arg) {
        Some(words) => arg.value_parser(PossibleValuesParser::new(words)),
        None => arg,
    })
}

/// The declarations of a program. `scaler` shows its roles with the options that they read from the settings.
fn command(program: &str) -> anyhow::Result<Command> {
    let roles: Vec<_> = config::commands().into_iter().map(|(name, command)| (name, with_words(command))).collect();
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
