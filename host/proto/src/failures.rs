//! How many of the tasks that fail have a line of their own in the log: a few a second, and the others are counted.

use crate::ids::Time;

/// Failures in a second that are told of one by one.
const TOLD_MAX: u32 = 10;
/// See [`TOLD_MAX`].
const SECOND_MS: u64 = 1_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// When the second that is being counted is over.
    until: Time,
    told: u32,
    /// Those in it that were not told of.
    more: u64,
}

impl Failures {
    /// One more; whether it has a line of its own.
    pub(crate) fn is_told(&mut self, now: Time) -> bool {
        // What was not told of before comes first.
        if now >= self.until && self.more == 0 {
            (self.until, self.told) = (now.plus_ms(SECOND_MS), 0);
        }
        let is_told = self.told < TOLD_MAX;
        if is_told {
            self.told += 1;
        } else {
            self.more += 1;
        }
        is_told
    }

    /// How many were not told of, once their second is over.
    pub(crate) fn rest(&mut self, now: Time) -> Option<u64> {
        if now >= self.until { self.rest_at_last() } else { None }
    }

    /// The same when there is no later.
    pub(crate) fn rest_at_last(&mut self) -> Option<u64> {
        let more = std::mem::take(&mut self.more);
        (more > 0).then_some(more)
    }

    /// When [`Self::rest`] has something to say.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        (self.more > 0).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_are_told_and_the_others_counted_when_it_is_over() {
        let (mut failures, start) = (Failures::default(), Time(5_000_000_000));
        let told = (0..25).filter(|_| failures.is_told(start)).count();
        assert_eq!((told, failures.rest(start.plus_ms(999))), (10, None));
        assert_eq!(failures.next_deadline(), Some(start.plus_ms(1_000)));
        assert!(!failures.is_told(start.plus_ms(1_500)), "nobody has heard of those before yet");
        assert_eq!(failures.rest(start.plus_ms(1_500)), Some(16));
        assert_eq!((failures.rest(start.plus_ms(1_500)), failures.next_deadline()), (None, None));
        assert!(failures.is_told(start.plus_ms(1_500)), "a new second");
    }

    #[test]
    fn few_failures_are_all_told_and_an_end_leaves_none_unsaid() {
        let mut failures = Failures::default();
        let seconds = (1..=20).map(|second| Time(0).plus_ms(second * 1_000));
        assert!(seconds.into_iter().all(|now| failures.is_told(now) && failures.rest(now).is_none()));
        assert_eq!((failures.rest_at_last(), failures.next_deadline()), (None, None));
        assert_eq!((0..12).filter(|_| failures.is_told(Time(0).plus_ms(60_000))).count(), 10);
        assert_eq!(failures.rest_at_last(), Some(2));
    }
}
