//! Running totals of each function: exact, in a table of bounded size, a few additions a task.

use std::collections::BTreeMap;

use crate::{message::TaskStats, task::State, view::FunctionView};

/// Functions with totals of their own; later ones share the first entry.
const FUNCTIONS_MAX: usize = 1_024;
/// What the shared entry is called.
const OTHERS: &str = "(others)";
/// Steps of the histogram in each power of two.
const STEPS: u64 = 8;
/// The histogram ends at 2^36 us, which is 19 hours; longer runs count as that.
const BUCKETS: usize = 8 * (36 - 3 + 1);

/// A function's place in the table. Places are never used for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler) struct Slot(u16);

#[derive(Debug)]
struct Function {
    /// Everything but the quantile.
    sums: FunctionView,
    run_us: Box<Histogram>,
    /// The longest run.
    longest_us: u64,
    /// Of its last change that was stamped, see [`super::rows`]; 0 before the first.
    stamp: u64,
    /// It has changed since then.
    is_changed: bool,
}

/// How many runs took how long, in steps of an eighth of a power of two.
#[derive(Debug)]
struct Histogram([u64; BUCKETS]);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Totals {
    functions: Vec<Function>,
    index: BTreeMap<String, Slot>,
    /// Those that have changed since they were stamped.
    changed: Vec<Slot>,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self { functions: vec![Function::new(OTHERS.to_owned())], index: BTreeMap::new(), changed: Vec::new() }
    }

    /// The place of a function.
    pub(super) fn slot(&mut self, call: String) -> Slot {
        if let Some(slot) = self.index.get(&call) {
            return *slot;
        }
        let slot = match u16::try_from(self.functions.len()) {
            Ok(number) if usize::from(number) <= FUNCTIONS_MAX => Slot(number),
            _ => return Slot(0),
        };
        self.functions.push(Function::new(call.clone()));
        self.index.insert(call, slot);
        slot
    }

    /// The name of a function.
    pub(super) fn call(&self, slot: Slot) -> &str {
        self.functions.get(usize::from(slot.0)).map_or(OTHERS, |function| &function.sums.call)
    }

    /// One more task of it.
    pub(super) fn accepted(&mut self, slot: Slot) {
        if let Some(function) = self.change(slot) {
            function.sums.unfinished += 1;
        }
    }

    /// One task of it ended.
    pub(super) fn ended(&mut self, slot: Slot, state: State, stats: &TaskStats) {
        let Some(Function { sums, run_us, longest_us, .. }) = self.change(slot) else { return };
        sums.unfinished -= 1;
        sums.finished += 1;
        match state {
            // What it would have taken is not known.
            State::Canceled => {
                sums.canceled += 1;
                return;
            }
            State::Failed => sums.failed += 1,
            State::Aborted => sums.aborted += 1,
            _ => {}
        }
        sums.run_us += stats.run_us;
        sums.start_us += u64::from(stats.start_us);
        sums.peak_memory_bytes = sums.peak_memory_bytes.max(stats.peak_memory_bytes);
        run_us.0[bucket(stats.run_us)] += 1;
        *longest_us = stats.run_us.max(*longest_us);
    }

    fn change(&mut self, slot: Slot) -> Option<&mut Function> {
        let function = self.functions.get_mut(usize::from(slot.0))?;
        if !std::mem::replace(&mut function.is_changed, true) {
            self.changed.push(slot);
        }
        Some(function)
    }

    /// Gives new stamps to what has changed.
    pub(super) fn stamp(&mut self, mut next: impl FnMut() -> u64) {
        for slot in std::mem::take(&mut self.changed) {
            if let Some(function) = self.functions.get_mut(usize::from(slot.0)) {
                function.stamp = next();
                function.is_changed = false;
            }
        }
    }

    /// The functions that were called and whose stamps are above that one.
    pub(super) fn since(&self, stamp: u64) -> impl Iterator<Item = FunctionView> {
        self.functions.iter().filter(move |function| function.stamp > stamp).map(Function::view)
    }

    /// All functions that were called, the busiest first.
    pub(super) fn views(&self) -> Vec<FunctionView> {
        let called = |function: &&Function| function.sums.unfinished + function.sums.finished > 0;
        let mut views: Vec<_> = self.functions.iter().filter(called).map(Function::view).collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.unfinished + view.finished));
        views
    }
}

impl Function {
    fn new(call: String) -> Self {
        let sums = FunctionView { call, ..FunctionView::default() };
        Self { sums, run_us: Box::new(Histogram([0; BUCKETS])), longest_us: 0, stamp: 0, is_changed: false }
    }

    fn view(&self) -> FunctionView {
        let runs = self.sums.finished - self.sums.canceled;
        let p99 = self.run_us.quantile(runs.saturating_mul(99).div_ceil(100));
        // A bucket ends above what fell into it.
        FunctionView { run_us_p99: p99.min(self.longest_us), ..self.sums.clone() }
    }
}

impl Histogram {
    /// What the run at that place (from 1, in order of length) took at most.
    fn quantile(&self, place: u64) -> u64 {
        let mut counted = 0;
        for (bucket, count) in self.0.iter().enumerate() {
            counted += count;
            if counted >= place.max(1) {
                return most(bucket);
            }
        }
        0
    }
}

/// Below 8 us each microsecond has its bucket; above, each power of two has eight.
fn bucket(run_us: u64) -> usize {
    if run_us < STEPS {
        return run_us as usize;
    }
    let power = u64::from(run_us.ilog2());
    let step = (run_us >> (power - 3)) & (STEPS - 1);
    ((STEPS * (power - 2) + step) as usize).min(BUCKETS - 1)
}

/// The longest run that falls into a bucket.
fn most(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    ((STEPS + step + 1) << (power - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_an_eighth_of_a_power_wide() {
        let samples = (0..2_000).chain((11..36).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        let mut last = 0;
        for run_us in samples {
            let (place, longest) = (bucket(run_us), most(bucket(run_us)));
            assert!(place >= last, "{run_us} us is in bucket {place}, after {last}");
            assert!(longest >= run_us && longest <= run_us + run_us / 8, "{run_us} us counts as {longest} us");
            last = place;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn totals_are_exact_and_the_quantile_is_of_what_was_not_canceled() {
        let mut totals = Totals::new();
        let slot = totals.slot("m:f".to_owned());
        for number in 1..=1_000 {
            totals.accepted(slot);
            let stats = TaskStats { run_us: number, start_us: 2, peak_memory_bytes: number, ..TaskStats::default() };
            let state = match number {
                1..=2 => State::Failed,
                3..=5 => State::Aborted,
                1_000 => State::Canceled,
                _ => State::Succeeded,
            };
            totals.ended(slot, state, &stats);
        }
        totals.accepted(slot);
        let views = totals.views();
        let [view] = views.as_slice() else { panic!("one function was called: {views:?}") };
        let expected = FunctionView {
            call: "m:f".to_owned(),
            unfinished: 1,
            finished: 1_000,
            failed: 2,
            aborted: 3,
            canceled: 1,
            run_us: 999 * 1_000 / 2,
            run_us_p99: 999,
            start_us: 2 * 999,
            peak_memory_bytes: 999,
        };
        assert_eq!(*view, expected);
    }

    #[test]
    fn beyond_its_bound_the_table_counts_all_others_together() {
        let mut totals = Totals::new();
        for number in 0..FUNCTIONS_MAX + 10 {
            let slot = totals.slot(format!("m:f{number}"));
            totals.accepted(slot);
        }
        let views = totals.views();
        assert_eq!(views.len(), FUNCTIONS_MAX + 1);
        assert_eq!((views[0].call.as_str(), views[0].unfinished), (OTHERS, 10));
        assert_eq!(views.iter().map(|view| view.unfinished).sum::<u64>(), FUNCTIONS_MAX as u64 + 10);
    }
}
