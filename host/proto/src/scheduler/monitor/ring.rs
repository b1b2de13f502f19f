//! The last entries of an endless row, each with its number: what is bounded although history is not.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Ring<T> {
    entries: VecDeque<T>,
    /// Entries that were dropped; also the number of the first one that is kept.
    dropped: u64,
    max: usize,
}

impl<T> Ring<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: VecDeque::new(), dropped: 0, max }
    }

    /// Adds an entry; the oldest goes if there are too many. Allocates nothing once the ring is full.
    pub(super) fn push(&mut self, entry: T) {
        if self.entries.len() >= self.max {
            self.drop_first();
        }
        self.entries.push_back(entry);
    }

    pub(super) fn drop_first(&mut self) -> Option<T> {
        let first = self.entries.pop_front()?;
        self.dropped += 1;
        Some(first)
    }

    /// The number that the next entry gets: how many there were in all.
    pub(super) fn end(&self) -> u64 {
        self.dropped + self.entries.len() as u64
    }

    /// How many of the entries from that number on are not kept any more.
    pub(super) fn missed(&self, from: u64) -> u64 {
        self.dropped.saturating_sub(from)
    }

    /// What is kept of the entries from that number on, but at most so many: then the last ones.
    pub(super) fn since(&self, from: u64, most: usize) -> impl DoubleEndedIterator<Item = &T> {
        let first = usize::try_from(from.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let first = first.max(self.entries.len().saturating_sub(most)).min(self.entries.len());
        self.entries.range(first..)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entries_stay_and_what_is_missing_is_known() {
        let mut ring = Ring::new(3);
        (0..5).for_each(|entry| ring.push(entry));
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((ring.end(), ring.missed(0), ring.missed(2), ring.missed(4)), (5, 2, 0, 0));
        assert_eq!(ring.since(4, 9).copied().collect::<Vec<_>>(), [4]);
        assert_eq!(ring.since(0, 2).copied().collect::<Vec<_>>(), [3, 4]);
        assert_eq!(ring.since(9, 9).count(), 0);
    }
}
