//! One worker as the agent sees it: its processor, what that has in hand, and what is being done about it.

use std::collections::VecDeque;

use super::InterruptCause;
use crate::ids::Time;

/// Work kept in a processor, so that it never waits for the agent.
const DEPTH_US: f64 = 1_000.0;
const DEPTH_MIN: usize = 4;
const DEPTH_MAX: usize = 128;
/// A processor that lived shorter than this before it died of itself is started again later and later.
const QUICK_DEATH_MS: u64 = 5_000;
const BACK_OFF_MAX_MS: u64 = 5_000;
/// A worker whose processor died this often before it was ready takes part no more.
pub(super) const FAILED_STARTS_MAX: u32 = 8;

/// The state of a worker's processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processor {
    /// Not asked for yet.
    None,
    /// Spawned, not ready.
    Starting,
    /// Takes tasks.
    Ready,
    /// Died; started again then.
    BackOff(Time),
    /// Never started again.
    Retired,
}

/// What a processor is killed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillCause {
    /// This task did not obey an interrupt.
    Disobedient { sequence: u64, cause: InterruptCause },
    /// The agent leaves and cannot wait longer.
    Drain,
    /// It does not take what it was given.
    Stalled,
}

/// An interrupt on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupt {
    pub(super) sequence: u64,
    pub(super) cause: InterruptCause,
    pub(super) kill_at: Time,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) processor: Processor,
    pub(super) pid: u32,
    pub(super) ready_since: Time,
    /// Sequence number and slot of what the processor has in hand, in order.
    pub(super) in_flight: VecDeque<(u64, u32)>,
    pub(super) next_sequence: u64,
    /// What the shared page said last.
    pub(super) running: Option<(u64, Time)>,
    pub(super) interrupt: Option<Interrupt>,
    pub(super) killing: Option<KillCause>,
    /// For how long it has had tasks in hand and run none, as far as the agent itself was awake.
    pub(super) stalled_ns: u64,
    /// Somebody stopped the process (`SIGSTOP`), as of the last look.
    pub(super) is_stopped: bool,
    /// A take-back is wanted, and whether one is on its way.
    pub(super) wants_take_back: bool,
    pub(super) take_back_pending: bool,
    /// Its queue was given to others because its task takes long; it gets nothing until it answers.
    pub(super) is_stuck: bool,
    pub(super) mean_us: Option<f64>,
    pub(super) restarts: u32,
    pub(super) quick_deaths: u32,
    pub(super) failed_starts: u32,
    pub(super) cpu_permille: u32,
    pub(super) rss_bytes: u64,
}

impl Worker {
    pub(super) fn new() -> Self {
        Self {
            processor: Processor::None,
            pid: 0,
            ready_since: Time(0),
            in_flight: VecDeque::new(),
            next_sequence: 1,
            running: None,
            interrupt: None,
            killing: None,
            stalled_ns: 0,
            is_stopped: false,
            wants_take_back: false,
            take_back_pending: false,
            is_stuck: false,
            mean_us: None,
            restarts: 0,
            quick_deaths: 0,
            failed_starts: 0,
            cpu_permille: 0,
            rss_bytes: 0,
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.processor == Processor::Retired
    }

    /// Whether it may be given tasks now.
    pub(super) fn takes_tasks(&self) -> bool {
        self.processor == Processor::Ready && !self.is_stuck && !self.take_back_pending && self.killing.is_none()
    }

    /// How many tasks it should have in hand.
    pub(super) fn depth(&self) -> usize {
        match self.mean_us {
            None => DEPTH_MIN,
            Some(mean_us) => ((DEPTH_US / mean_us.max(1.0)) as usize).clamp(DEPTH_MIN, DEPTH_MAX),
        }
    }

    /// Takes note of what a task took.
    pub(super) fn measure(&mut self, run_us: u64) {
        let run_us = run_us as f64;
        self.mean_us = Some(self.mean_us.map_or(run_us, |mean| mean + (run_us - mean) * 0.1));
    }

    /// The slot of a task in hand.
    pub(super) fn slot_of(&self, sequence: u64) -> Option<u32> {
        let index = self.in_flight.binary_search_by_key(&sequence, |entry| entry.0).ok()?;
        Some(self.in_flight[index].1)
    }

    /// Whether tasks wait behind the one that runs.
    pub(super) fn has_waiting(&self) -> bool {
        self.in_flight.len() > 1
    }

    /// The processor is gone: everything about it is forgotten, and this is what it had in hand.
    pub(super) fn lost(&mut self, now: Time) -> VecDeque<(u64, u32)> {
        let by_us = self.killing.take().is_some();
        let was_ready = self.processor == Processor::Ready;
        self.failed_starts = if was_ready { 0 } else { self.failed_starts + 1 };
        let is_quick = !was_ready || now.since(self.ready_since) < QUICK_DEATH_MS * 1_000_000;
        self.quick_deaths = if by_us || !is_quick { 0 } else { self.quick_deaths + 1 };
        // The first replacement comes at once, so that one bad task costs the worker a few milliseconds.
        let delay_ms = match self.quick_deaths {
            0 | 1 => 0,
            deaths => (50_u64 << (deaths - 1).min(10)).min(BACK_OFF_MAX_MS),
        };
        self.processor = Processor::BackOff(now.plus_ms(delay_ms));
        self.pid = 0;
        self.running = None;
        self.interrupt = None;
        self.stalled_ns = 0;
        self.is_stopped = false;
        self.wants_take_back = false;
        self.take_back_pending = false;
        self.is_stuck = false;
        self.next_sequence = 1;
        self.cpu_permille = 0;
        self.rss_bytes = 0;
        std::mem::take(&mut self.in_flight)
    }
}
