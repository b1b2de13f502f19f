//! How much a task may use.

use std::time::Duration;

/// The limits of one task. A limit that is hit is a failure of its own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all memories and tables of the task together.
    pub memory_bytes: u64,
    /// Wall clock time from the making of the instance on.
    pub timeout: Option<Duration>,
    /// Bytes of the result; also bounds what one host call may copy out of the guest.
    pub output_bytes: u64,
    /// Bytes of log lines, standard output and standard error that are passed on; the rest is counted and dropped.
    pub log_bytes: u64,
    /// Host resources (open files, streams, pollables) the task may hold at once.
    pub host_resources: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            timeout: None,
            output_bytes: 512 << 20,
            log_bytes: 1 << 20,
            host_resources: 10_000,
        }
    }
}
