//! Entries of one kind on their way into a batch.

/// Collects entries until a message is full.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    entries: Vec<T>,
    bytes: u64,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), bytes: 0 }
    }
}

impl<T> Outbox<T> {
    /// Most entries of a message.
    pub(super) const ENTRIES_MAX: usize = 256;
    const BYTES_MAX: u64 = 256 * 1024;

    /// Adds an entry with that many bytes of payload; gives back the batch that is full without it.
    pub(super) fn push(&mut self, entry: T, bytes: u64) -> Option<Vec<T>> {
        let full = self.entries.len() == Self::ENTRIES_MAX || self.bytes + bytes > Self::BYTES_MAX;
        let batch = if full { self.take() } else { None };
        self.entries.push(entry);
        self.bytes += bytes;
        batch
    }

    /// What there is, if there is anything.
    pub(super) fn take(&mut self) -> Option<Vec<T>> {
        self.bytes = 0;
        Some(std::mem::take(&mut self.entries)).filter(|entries| !entries.is_empty())
    }
}
