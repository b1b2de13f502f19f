//! The one line that tells whoever started a server that it is ready, and under which addresses.

use std::io::{self, Write as _};

/// Prints `line` as one line of JSON on stdout. Log lines share stdout, so readers look for the line with `ready`.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(line: &serde_json::Value) -> io::Result<()> {
    let mut text = line.to_string();
    text.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
