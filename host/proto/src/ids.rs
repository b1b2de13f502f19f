//! Names for things that cross processes, and the two kinds of time.
//!
//! Identifiers are chosen by whoever creates the thing (a client numbers its own tasks), so that saying
//! the same thing twice is harmless. Time is always given by the caller: nothing in this crate reads a clock.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One client session, a random number drawn by the client when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub u64);

/// One cluster agent, a random number drawn by the agent when its process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentId(pub u64);

/// One task: the client that submitted it and the client's own count, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// Who submitted it.
    pub client: ClientId,
    /// The client's own number for it.
    pub number: u64,
}

/// A function as the scheduler knows it in this epoch: one export of one module identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionId(pub u32);

/// One connection as the local link numbers it. Never travels, never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// The blake3 hash of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModuleHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

/// An object in the object storage: 32 bytes, for modules their hash, for everything else see the constructors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl ObjectId {
    /// The arguments of a task, put by its client.
    #[must_use]
    pub fn arguments(task: TaskId) -> Self {
        Self::of(task, 1, 0)
    }

    /// The result (or error value) of one attempt at a task, put by the processor.
    #[must_use]
    pub fn result(task: TaskId, attempt: u32) -> Self {
        Self::of(task, 2, attempt)
    }

    /// An object that a client put under a number of its own.
    #[must_use]
    pub fn of_client(client: ClientId, number: u64) -> Self {
        Self::of(TaskId { client, number }, 3, 0)
    }

    /// The bytes of a module.
    #[must_use]
    pub fn module(hash: ModuleHash) -> Self {
        Self(hash.0)
    }

    fn of(task: TaskId, kind: u32, attempt: u32) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&task.client.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&task.number.to_be_bytes());
        bytes[16..20].copy_from_slice(&kind.to_be_bytes());
        bytes[20..24].copy_from_slice(&attempt.to_be_bytes());
        Self(bytes)
    }
}

/// Monotonic time in nanoseconds since a moment of the shell's choosing; for leases and intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// The moment `millis` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// The moment `millis` milliseconds earlier, the first of all if there is none.
    #[must_use]
    pub fn minus_ms(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis.saturating_mul(1_000_000)))
    }

    /// Nanoseconds from `earlier` to this moment, zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client-{:016x}", self.0)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster-{:016x}", self.0)
    }
}

/// `<client>:<number>`, the form that commands and logs use.
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.client.0, self.number)
    }
}

/// Text that is no task id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no task id; one looks like 00f1e2d3c4b5a697:12, as logs, errors and the page show them")]
pub struct TaskIdError {
    /// What was given.
    pub text: String,
}

/// Reads what is displayed.
impl FromStr for TaskId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<Self, TaskIdError> {
        let parse = || {
            let (client, number) = text.split_once(':')?;
            // Signs and short forms that the integer parsers accept are typing errors here.
            let is_plain =
                client.len() == 16 && !client.starts_with('+') && number.starts_with(|c: char| c.is_ascii_digit());
            let client = u64::from_str_radix(client, 16).ok().filter(|_| is_plain)?;
            Some(Self { client: ClientId(client), number: number.parse().ok()? })
        };
        parse().ok_or_else(|| TaskIdError { text: text.to_owned() })
    }
}

macro_rules! hex_display {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}
hex_display!(ModuleHash, ObjectId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_is_read_as_it_is_shown() {
        let id = TaskId { client: ClientId(0xf1), number: 12 };
        assert_eq!(id.to_string(), "00000000000000f1:12");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "12", "f1:12", "00000000000000f1:", "00000000000000f1:+1", "+0000000000000f1:1", "client-1:2"]
        {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }
}
