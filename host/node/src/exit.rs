//! Exit codes, documented in one place, and the way an error carries one.

use std::{fmt, process::ExitCode};

/// Everything went well, or the server was stopped on purpose.
pub const SUCCESS: u8 = 0;
/// A task failed, the server refused, or anything without a code of its own.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration, or a call that never became a task.
pub const USAGE: u8 = 2;
/// A client command could not reach the scheduler in time.
pub const UNREACHABLE: u8 = 3;
/// A cluster's preload failed; it has taken no task.
pub const PRELOAD: u8 = 4;
/// A cluster was without a scheduler for its death timeout.
pub const DEATH_TIMEOUT: u8 = 5;

/// An error that ends the process with a code of its own; any other error ends it with [`FAILED`].
#[derive(Debug)]
pub struct Coded {
    /// The code.
    pub code: u8,
    /// What happened, and what to do.
    pub message: String,
    /// The word for it where failures are told as JSON, if the code does not say enough.
    pub kind: Option<&'static str>,
    /// What to do about it, where that is told apart.
    pub help: Option<String>,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// An error with its own exit code.
pub fn coded(code: u8, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Coded { code, message: message.into(), kind: None, help: None })
}

/// An error with its own exit code, and a word of its own for it.
pub fn named(code: u8, kind: &'static str, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Coded { code, message: message.into(), kind: Some(kind), help: None })
}

/// The same with what to do about it, told apart from what happened.
pub fn helped(code: u8, kind: &'static str, message: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Coded { code, message: message.into(), kind: Some(kind), help: Some(help.into()) })
}

/// The code that an error asks for.
#[must_use]
pub fn code_of(error: &anyhow::Error) -> u8 {
    error.chain().find_map(|cause| cause.downcast_ref::<Coded>()).map_or(FAILED, |coded| coded.code)
}

/// The code as the process returns it.
#[must_use]
pub fn of(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(code_of(error))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_code_survives_context() {
        let error = Err::<(), _>(coded(PRELOAD, "no such function")).context("preload").expect_err("an error");
        assert_eq!(code_of(&error), PRELOAD);
        assert_eq!(code_of(&anyhow::anyhow!("plain")), FAILED);
    }
}
