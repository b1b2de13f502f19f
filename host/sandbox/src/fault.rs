//! What a task ends with: bytes, or a fault of one of the protocol's kinds.

use scaler_proto::message::FailureKind;

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which kind.
    pub kind: FailureKind,
    /// For people: what happened.
    pub message: String,
    /// For [`FailureKind::Error`]: the value of `err`, positional MessagePack.
    pub value: Option<Vec<u8>>,
    /// The WebAssembly frames, innermost first, when there are any.
    pub trace: Option<String>,
}

impl Fault {
    /// A fault that is nothing but a kind and a text.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), value: None, trace: None }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// One finished run: the outcome and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The result as positional MessagePack (nil when the function has none), or why there is none.
    pub outcome: Result<Vec<u8>, Fault>,
    /// Microseconds that making the store and the instance took.
    pub start_us: u32,
    /// Microseconds from the beginning to the end of the call, the start included.
    pub run_us: u64,
    /// Most guest memory in use at once: all memories and tables of the task.
    pub peak_memory_bytes: u64,
}
