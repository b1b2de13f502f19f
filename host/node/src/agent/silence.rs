//! A cluster without a scheduler says so: what it tries, for how long it goes on, and what to do.

use std::time::{Duration, Instant};

/// Whoever starts both at once should see nothing.
const FIRST: Duration = Duration::from_secs(2);
/// How often it is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// For how long nobody has answered, and when that was last said.
#[derive(Debug)]
pub(super) struct Silence {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Silence {
    /// From the start of the process on.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: Some(now), said: None }
    }

    /// The scheduler answered.
    pub(super) fn broken(&mut self) {
        self.since = None;
    }

    /// The connection is lost.
    pub(super) fn begins(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// When something is to be said next.
    pub(super) fn due(&self) -> Option<Instant> {
        let first = self.since? + FIRST;
        Some(self.said.map_or(first, |said| first.max(said + AGAIN)))
    }

    /// For how long it has been silent, if it is.
    pub(super) fn lasts(&self, now: Instant) -> Option<Duration> {
        Some(now.duration_since(self.since?))
    }

    /// For how long it has been silent, if that is to be said now.
    pub(super) fn says(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since?;
        if now < self.due()? {
            return None;
        }
        self.said = Some(now);
        Some(now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_after_two_seconds_and_then_once_a_minute() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut silence = Silence::new(start);
        assert_eq!((silence.says(at(1)), silence.due()), (None, Some(at(2))));
        assert_eq!(silence.says(at(2)), Some(Duration::from_secs(2)));
        assert_eq!((silence.says(at(61)), silence.says(at(62))), (None, Some(Duration::from_secs(62))));
        silence.broken();
        assert_eq!((silence.says(at(200)), silence.due()), (None, None));
        silence.begins(at(200));
        silence.begins(at(201));
        assert_eq!(silence.says(at(203)), Some(Duration::from_secs(3)));
        // A link that comes and goes does not fill the log.
        silence.broken();
        silence.begins(at(210));
        assert_eq!((silence.says(at(220)), silence.due()), (None, Some(at(263))));
    }
}
