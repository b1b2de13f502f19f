//! What commands print: results on stdout, everything for people on stderr; a reader that went away is no error.

use std::io::{self, Write as _};

use clap::ValueEnum;
use scaler_client::Value;
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

/// A duration for people.
pub(super) fn microseconds(us: u64) -> String {
    match us {
        0..=9_999 => format!("{us} us"),
        10_000..=999_999 => format!("{} ms", us / 1_000),
        1_000_000..=99_999_999 => format!("{}.{:02} s", us / 1_000_000, us / 10_000 % 100),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        let told = [0, 9_999, 10_000, 999_999, 1_000_000, 1_234_567, 99_999_999, 100_000_000].map(microseconds);
        assert_eq!(told, ["0 us", "9999 us", "10 ms", "999 ms", "1.00 s", "1.23 s", "99.99 s", "100 s"]);
    }
}
