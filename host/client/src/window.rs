//! How many calls of a pipe may be under way: bounded by their number, by the bytes of their arguments, and by those of
//! their results, whose sizes nobody knows before the first of them have come.
//!
//! At first no more calls are under way than keep the workers busy. Each end lets one more in, and tells how large a
//! result is to be expected; so what is under way and what waits to be taken fit into the window together. Should the
//! sizes jump after all, the object storage lets workers wait for room.

use crate::MapOptions;

/// Calls under way before anything is known of the workers.
const REACH_MIN: usize = 16;
/// Calls under way for each worker before the first has ended: one runs, one waits behind it.
const REACH_PER_WORKER: usize = 2;
/// So many calls are under way however large their results are, unless results that nobody takes fill the window.
const PENDING_MIN: u64 = 8;
/// The part of the storage that the results of one pipe may take: others have results there too.
const STORAGE_SHARE: u64 = 8;
/// The newest result counts for one in so many in the mean.
const MEAN_OF: u64 = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Window {
    calls_max: usize,
    bytes_max: u64,
    stored_bytes_max: u64,
    /// Most bytes that the storage takes, as far as it is known.
    budget_bytes: u64,
    /// Calls between entrance and exit, and those of them that have not ended.
    calls: usize,
    pending: usize,
    /// Bytes of arguments of calls between entrance and exit.
    arguments: u64,
    /// Results that were not taken.
    results: Size,
    /// What is to be expected of those under way; nothing before the first end.
    mean: Option<Size>,
    /// Calls that may be under way at once by what has ended.
    reach: usize,
}

/// What a result takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Bytes in this process.
    pub(crate) held: u64,
    /// Bytes in the object storage.
    pub(crate) stored: u64,
}

impl Window {
    pub(crate) fn new(options: &MapOptions) -> Self {
        Self {
            calls_max: options.window.max(1),
            bytes_max: options.window_bytes as u64,
            stored_bytes_max: options.window_stored_bytes,
            budget_bytes: u64::MAX,
            calls: 0,
            pending: 0,
            arguments: 0,
            results: Size::default(),
            mean: None,
            reach: REACH_MIN,
        }
    }

    /// Calls between entrance and exit.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// The storage takes no more than this.
    pub(crate) fn set_budget(&mut self, budget_bytes: u64) {
        self.budget_bytes = budget_bytes;
    }

    /// A call came in, of a function that so many workers can run.
    pub(crate) fn enter(&mut self, argument_bytes: u64, workers: usize) {
        self.calls += 1;
        self.pending += 1;
        self.arguments += argument_bytes;
        self.reach = self.reach.max(workers.saturating_mul(REACH_PER_WORKER)).min(self.calls_max);
    }

    /// A call has ended; with nothing if it never became a task.
    pub(crate) fn end(&mut self, result: Option<Size>) {
        self.pending = self.pending.saturating_sub(1);
        self.reach = self.reach.saturating_add(1).min(self.calls_max);
        let Some(size) = result else { return };
        self.results.held += size.held;
        self.results.stored += size.stored;
        let mean = |before: u64, now: u64| (before * (MEAN_OF - 1) + now).div_ceil(MEAN_OF);
        self.mean = Some(match self.mean {
            None => size,
            Some(before) => Size { held: mean(before.held, size.held), stored: mean(before.stored, size.stored) },
        });
    }

    /// So many bytes have left the object storage.
    pub(crate) fn fetched(&mut self, bytes: u64) {
        self.results.stored = self.results.stored.saturating_sub(bytes);
    }

    /// A call is out: its result was taken.
    pub(crate) fn leave(&mut self, argument_bytes: u64, result: Size) {
        self.calls -= 1;
        self.arguments -= argument_bytes;
        self.results.held = self.results.held.saturating_sub(result.held);
        self.results.stored = self.results.stored.saturating_sub(result.stored);
    }

    /// Calls that may come in now; at least one if there is none.
    pub(crate) fn room(&self) -> usize {
        if self.calls > 0 && self.arguments >= self.bytes_max {
            return 0;
        }
        let mean = self.mean.unwrap_or_default();
        let fits = |used: u64, mean: u64, max: u64| match max.saturating_sub(used) {
            0 if used > 0 => None,
            left => Some(left.checked_div(mean).unwrap_or(u64::MAX)),
        };
        let held = fits(self.results.held, mean.held, self.bytes_max);
        let stored_max = self.stored_bytes_max.min(self.budget_bytes / STORAGE_SHARE);
        let stored = fits(self.results.stored, mean.stored, stored_max);
        let pending_max = match (held, stored) {
            (Some(held), Some(stored)) => held.min(stored).max(PENDING_MIN),
            // Somebody has to take results first.
            _ => 0,
        };
        let pending_max = usize::try_from(pending_max).unwrap_or(usize::MAX).min(self.reach);
        let room = (self.calls_max - self.calls.min(self.calls_max)).min(pending_max.saturating_sub(self.pending));
        if self.calls == 0 { room.max(1) } else { room }
    }

    /// Whether whoever waits for room is to be woken: not for every place that becomes free, so that it works in
    /// batches.
    pub(crate) fn is_calm(&self) -> bool {
        self.calls == 0 || self.arguments <= self.bytes_max / 4 * 3 && self.room() >= (self.calls / 8).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn window(options: MapOptions) -> Window {
        Window::new(&options)
    }

    /// Fills the window as a sender would.
    fn fill(window: &mut Window, workers: usize) -> usize {
        let mut count = 0;
        while window.room() > 0 {
            window.enter(10, workers);
            count += 1;
        }
        count
    }

    #[test]
    fn small_results_open_it_to_its_whole_width() {
        let mut window = window(MapOptions::new().window(1_000));
        assert_eq!(fill(&mut window, 20), 40, "two for each worker");
        let mut rounds = 0;
        while window.calls() < 1_000 {
            for _ in 0..window.pending {
                window.end(Some(Size { held: 9, stored: 0 }));
                window.leave(10, Size { held: 9, stored: 0 });
            }
            fill(&mut window, 20);
            rounds += 1;
        }
        assert!(rounds <= 6, "it doubles: {rounds}");
        assert_eq!((window.calls(), window.room()), (1_000, 0));
    }

    #[test]
    fn large_results_that_nobody_takes_stay_within_the_bytes() {
        for size in
            [Size { held: 60_000, stored: 0 }, Size { held: 0, stored: 4 * MIB }, Size { held: 0, stored: 20 * MIB }]
        {
            let mut window = window(MapOptions::new());
            let (mut held, mut stored) = (0, 0);
            loop {
                fill(&mut window, 4);
                if window.pending == 0 {
                    break;
                }
                window.end(Some(size));
                (held, stored) = (held + size.held, stored + size.stored);
            }
            let bound = PENDING_MIN.max(2 * 16);
            assert!(held <= 32 * MIB + bound * size.held, "{held} of {size:?}");
            assert!(stored <= 256 * MIB + bound * size.stored, "{stored} of {size:?}");
            assert!(held + stored >= 16 * MIB, "and it is used: {held} {stored}");
            // Taken, they make room again.
            while window.calls() > 0 {
                window.leave(10, size);
            }
            assert!(window.is_calm() && window.room() > 0);
        }
    }

    #[test]
    fn a_small_storage_is_left_to_others_as_well() {
        let size = Size { held: 0, stored: 4 * MIB };
        let mut window = window(MapOptions::new());
        window.set_budget(100 * MIB);
        let mut stored = 0;
        loop {
            fill(&mut window, 2);
            if window.pending == 0 {
                break;
            }
            window.end(Some(size));
            stored += size.stored;
        }
        assert!(stored <= 100 * MIB / STORAGE_SHARE + REACH_MIN as u64 * size.stored, "{stored}");
    }

    #[test]
    fn a_result_above_the_window_does_not_stop_it() {
        let mut window = window(MapOptions::new().window_stored_bytes(MIB));
        let size = Size { held: 0, stored: 5 * MIB };
        fill(&mut window, 1);
        for _ in 0..100 {
            window.end(Some(size));
            assert_eq!(window.room(), 0, "the reader first");
            window.fetched(size.stored);
            window.leave(10, Size::default());
            fill(&mut window, 1);
            assert!(window.pending as u64 >= PENDING_MIN, "workers go on");
        }
    }

    #[test]
    fn arguments_count_while_their_call_is_under_way() {
        let mut window = window(MapOptions::new().window_bytes(1_000));
        window.enter(999, 1);
        assert!(window.room() > 0);
        window.enter(1, 1);
        assert!(window.room() == 0 && !window.is_calm());
        window.end(None);
        window.leave(999, Size::default());
        assert!(window.is_calm());
    }
}
