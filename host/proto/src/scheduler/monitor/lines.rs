//! The last lines that guests wrote, bounded in number and bytes.

use super::ring::Ring;
use crate::view::{LOGS_MAX, LogView};

/// Bytes of all lines that are kept.
const LINES_BYTES: usize = 512 * 1024;

#[derive(Debug)]
pub(super) struct Lines {
    ring: Ring<LogView>,
    bytes: usize,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { ring: Ring::new(LOGS_MAX), bytes: 0 }
    }

    pub(super) fn push(&mut self, line: LogView) {
        self.bytes += line.text.len();
        while self.bytes > LINES_BYTES || self.ring.iter().len() >= LOGS_MAX {
            match self.ring.drop_first() {
                Some(first) => self.bytes -= first.text.len(),
                None => break,
            }
        }
        self.ring.push(line);
    }

    pub(super) fn end(&self) -> u64 {
        self.ring.end()
    }

    /// The lines from that number on; the first says how many before it are not kept any more.
    pub(super) fn since(&self, from: u64) -> impl Iterator<Item = LogView> {
        let mut missed = self.ring.missed(from);
        self.ring.since(from, LOGS_MAX).map(move |line| {
            let dropped = line.dropped + std::mem::take(&mut missed);
            LogView { dropped, ..line.clone() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: String) -> LogView {
        LogView { text, ..LogView::default() }
    }

    #[test]
    fn lines_are_bounded_in_number_and_what_is_gone_is_counted() {
        let mut lines = Lines::new();
        (0..LOGS_MAX + 7).for_each(|number| lines.push(line(number.to_string())));
        let kept: Vec<_> = lines.since(2).collect();
        assert_eq!((kept.len(), kept[0].text.as_str(), kept[0].dropped, kept[1].dropped), (LOGS_MAX, "7", 5, 0));
        let last: Vec<_> = lines.since(lines.end() - 1).collect();
        assert_eq!((last.len(), last[0].dropped), (1, 0));
    }

    #[test]
    fn lines_are_bounded_in_bytes() {
        let mut lines = Lines::new();
        (0..1_000).for_each(|_| lines.push(line("x".repeat(4_096))));
        assert!(lines.bytes <= LINES_BYTES);
        assert_eq!(lines.since(0).count(), LINES_BYTES / 4_096);
    }
}
