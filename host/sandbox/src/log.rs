//! Where a guest's words go.

/// Severity of a line that a guest logged through `scaler:guest/host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Finest detail.
    Trace,
    /// For whoever writes the guest.
    Debug,
    /// Normal.
    Info,
    /// Suspicious.
    Warn,
    /// Wrong.
    Error,
}

/// Which way a line left the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// WASI standard output.
    Stdout,
    /// WASI standard error.
    Stderr,
    /// The SDK's log call.
    Guest(LogLevel),
}

/// Takes the lines of a task: filtered (no control characters), without line ends, capped in length and sum.
pub trait LogSink: Send + Sync {
    /// One line.
    fn line(&self, source: LogSource, text: &str);
}
