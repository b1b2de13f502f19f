//! The hidden role `__processor`.

use std::process::ExitCode;

/// Runs the role with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    todo!()
}
