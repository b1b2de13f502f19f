//! What commands print: results on stdout, everything for people on stderr; a reader that went away is no error.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::ValueEnum;
use scaler_client::{Error, TaskError, Value};
use scaler_module::{Signature, Type};

use crate::exit;

/// Form of a result on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// As JSON, one line
    Json,
    /// The bytes of a string or `list<u8>`, nothing added
    Raw,
}

/// The reader of our output is gone (`| head`): end quietly, with success.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output is gone")]
pub(super) struct ReaderGone;

/// Whether the user wants colours where a terminal can show them (<https://no-color.org>).
pub(super) fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The outcome of writing to stdout.
pub(super) fn written(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to stdout")),
    }
}

/// Refuses a form that results of this function cannot have, before there is a task.
pub(super) fn check_form(output: Output, function: &str, signature: &Signature) -> anyhow::Result<()> {
    let raw = match signature.returned() {
        Some(Type::String) => true,
        Some(Type::List(element)) => **element == Type::U8,
        _ => false,
    };
    if output == Output::Raw && !raw {
        let message = format!("{function} returns neither a string nor a list<u8>; use --output json");
        return Err(exit::coded(exit::USAGE, message));
    }
    Ok(())
}

/// Prints a result.
pub(super) fn print(output: Output, value: &Value) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let outcome = match (output, value) {
        (Output::Raw, Value::Bytes(bytes)) => stdout.write_all(bytes),
        (Output::Raw, Value::Str(text)) => stdout.write_all(text.as_bytes()),
        (Output::Raw, Value::List(entries)) => stdout.write_all(&entries.iter().filter_map(byte).collect::<Vec<u8>>()),
        (Output::Raw | Output::Json, value) => writeln!(stdout, "{}", value.to_json()),
    };
    written(outcome.and_then(|()| stdout.flush()))
}

fn byte(value: &Value) -> Option<u8> {
    if let Value::Int(number) = value { u8::try_from(*number).ok() } else { None }
}

/// Tells the user why a command failed, and gives its exit code.
pub(super) fn explain(error: &anyhow::Error) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    let mut text = format!("error: {}\n", chain(error));
    let mut code = exit::code_of(error);
    if let Some(client) = error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        code = code_of(client);
        if let Some(task) = client.task() {
            text.push_str(&details(task));
        }
        if let Some(hint) = hint(client) {
            text.push_str(&format!("help: {hint}\n"));
        }
    }
    // With stderr closed there is nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// The error and its causes, without those that the text before them already tells.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Unreachable { .. } => exit::UNREACHABLE,
        error if error.never_became_a_task() => exit::USAGE,
        _ => exit::FAILED,
    }
}

/// Kind, place, value and trace of a task's failure.
fn details(task: &TaskError) -> String {
    let stats = &task.stats;
    let mut text = format!("  task {}, {:?}, attempt {}, {} us\n", task.task, task.kind, stats.attempt, stats.run_us);
    if let Some(value) = &task.value {
        text.push_str(&format!("  value: {}\n", value.to_json()));
    }
    for line in task.trace.iter().flat_map(|trace| trace.lines()) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Unreachable { .. } => Some("is the scheduler running, and is this its scheduler_address?"),
        Error::NoCluster { .. } => {
            Some("start one with `scaler_cluster ADDRESS`; `scaler status ADDRESS` shows what is there")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("f: no such file")
            .context("element 3")
            .expect_err("an error");
        assert_eq!(chain(&error), "element 3: f: no such file");
    }
}
