//! The word by which somebody else ends a running task.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A word in memory that ends a task when it holds the task's number.
///
/// The word may be in a page shared with the agent; it names the task that is meant, so that an order that comes late
/// cannot hit the next task. A guest notices within two epoch ticks.
#[derive(Clone, Debug)]
pub struct Interrupt {
    word: Option<Word>,
    number: u64,
}

#[derive(Clone, Debug)]
enum Word {
    Owned(Arc<AtomicU64>),
    Mapped(&'static AtomicU64),
}

impl Interrupt {
    /// Nobody will interrupt.
    #[must_use]
    pub fn never() -> Self {
        Self { word: None, number: 0 }
    }

    /// Ends the task as soon as `word` holds `number`.
    #[must_use]
    pub fn owned(word: Arc<AtomicU64>, number: u64) -> Self {
        Self { word: Some(Word::Owned(word)), number }
    }

    /// The same for a word in memory that stays mapped as long as the process lives.
    #[must_use]
    pub fn mapped(word: &'static AtomicU64, number: u64) -> Self {
        Self { word: Some(Word::Mapped(word)), number }
    }

    /// Whether the task was told to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        match &self.word {
            None => false,
            Some(Word::Owned(word)) => word.load(Ordering::Acquire) == self.number,
            Some(Word::Mapped(word)) => word.load(Ordering::Acquire) == self.number,
        }
    }
}
