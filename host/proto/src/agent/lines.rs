//! What guests write is bounded in bytes a second, so that a guest that writes without end costs its agent, the
//! scheduler and the log no more than one that writes a little. What is over is counted, and kept in the processor's
//! own file as long as that does not fill the disk.

use super::Agent;
use crate::{
    ids::{TaskId, Time},
    message::{LogLine, LogSource},
};

/// Bytes a second that one worker's guests may write.
const WORKER_RATE: u64 = 64 * 1024;
/// Bytes that they may write at once after a silence.
const WORKER_BURST: u64 = 256 * 1024;
/// The same for all workers of the agent together.
const AGENT_RATE: u64 = 512 * 1024;
/// See [`AGENT_RATE`].
const AGENT_BURST: u64 = 1024 * 1024;
/// What a worker's guests may write into their processor's own file, which nobody has to pass on.
const LOCAL_RATE: u64 = 1024 * 1024;
/// See [`LOCAL_RATE`].
const LOCAL_BURST: u64 = 16 * 1024 * 1024;
/// What a line costs besides its text.
const LINE_COST: u64 = 64;
/// Drops are told at most this often.
const TOLD_EVERY_NS: u64 = 1_000_000_000;
/// Bytes that wait while there is no scheduler.
const WAITING_BYTES_MAX: u64 = 256 * 1024;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on; so many before it were not, which is told once a second at most.
    Passed {
        /// Lines that were dropped since the last time that this was told.
        dropped: u64,
    },
    /// It is over the bound for others, and may go into the processor's own file.
    Local,
    /// It is over every bound.
    Dropped,
}

/// An allowance that fills up with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    bytes: u64,
    filled: Time,
}

impl Bucket {
    fn fill(&mut self, now: Time, rate: u64, burst: u64) {
        let gained = u128::from(now.since(self.filled)) * u128::from(rate) / 1_000_000_000;
        if gained > 0 {
            self.bytes = u64::try_from(gained).unwrap_or(u64::MAX).saturating_add(self.bytes).min(burst);
            self.filled = now;
        }
    }
}

#[derive(Debug)]
pub(super) struct Lines {
    workers: Vec<Bucket>,
    /// For each worker's own file.
    local: Vec<Bucket>,
    all: Bucket,
    dropped: u64,
    /// When drops were told of last.
    told: Option<Time>,
}

impl Lines {
    pub(super) fn new(now: Time, workers: usize) -> Self {
        Self {
            workers: vec![Bucket { bytes: WORKER_BURST, filled: now }; workers],
            local: vec![Bucket { bytes: LOCAL_BURST, filled: now }; workers],
            all: Bucket { bytes: AGENT_BURST, filled: now },
            dropped: 0,
            told: None,
        }
    }

    fn admit(&mut self, now: Time, worker: u16, length: usize) -> Verdict {
        let cost = length as u64 + LINE_COST;
        self.all.fill(now, AGENT_RATE, AGENT_BURST);
        let mut own = self.workers.get_mut(usize::from(worker));
        if let Some(own) = &mut own {
            own.fill(now, WORKER_RATE, WORKER_BURST);
        }
        if self.all.bytes < cost || own.as_ref().is_some_and(|own| own.bytes < cost) {
            self.dropped += 1;
            return self.admit_here(now, worker, cost);
        }
        self.all.bytes -= cost;
        if let Some(own) = own {
            own.bytes -= cost;
        }
        let is_due = self.dropped > 0 && self.told.is_none_or(|told| now.since(told) >= TOLD_EVERY_NS);
        if is_due {
            self.told = Some(now);
        }
        Verdict::Passed { dropped: if is_due { std::mem::take(&mut self.dropped) } else { 0 } }
    }
}

impl Lines {
    /// What is too much for others may still be kept on this machine.
    fn admit_here(&mut self, now: Time, worker: u16, cost: u64) -> Verdict {
        let Some(local) = self.local.get_mut(usize::from(worker)) else { return Verdict::Dropped };
        local.fill(now, LOCAL_RATE, LOCAL_BURST);
        if local.bytes < cost {
            return Verdict::Dropped;
        }
        local.bytes -= cost;
        Verdict::Local
    }
}

impl Agent {
    /// A guest wrote a line, on a worker or (`None`) in a preload before there were any. Whether it may go anywhere: to
    /// the scheduler it goes from here.
    pub fn guest_line(
        &mut self,
        now: Time,
        worker: Option<u16>,
        task: Option<TaskId>,
        source: LogSource,
        text: &str,
    ) -> Verdict {
        let worker = worker.unwrap_or(LogLine::NO_WORKER);
        let verdict = self.lines.admit(now, worker, text.len());
        if let Verdict::Passed { dropped } = verdict {
            let waiting = || -> u64 { self.uplink.lines.iter().map(|line| line.text.len() as u64 + LINE_COST).sum() };
            if self.uplink.is_welcome() || waiting() < WAITING_BYTES_MAX {
                self.uplink.lines.push(LogLine { task, worker, source, text: text.to_owned(), dropped });
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(lines: &mut Lines, now: Time, worker: u16, count: usize) -> usize {
        (0..count).filter(|_| matches!(lines.admit(now, worker, 936), Verdict::Passed { .. })).count()
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_what_is_lost_is_told() {
        let mut lines = Lines::new(Time(0), 2);
        assert_eq!(passed(&mut lines, Time(0), 0, 1_000), 262, "the burst, by a thousand bytes a line");
        let second = Time(1_000_000_000);
        assert_eq!(lines.admit(second, 0, 1), Verdict::Passed { dropped: 738 });
        assert_eq!(passed(&mut lines, second, 0, 1_000), 65, "a second's worth");
        assert_eq!(passed(&mut lines, second, 1, 100), 100, "the other worker is not concerned");
    }

    #[test]
    fn what_is_too_much_for_others_stays_in_the_processor_s_own_file_up_to_its_own_bound() {
        let mut lines = Lines::new(Time(0), 1);
        assert!((0..100_000).all(|_| lines.admit(Time(0), 0, 20) != Verdict::Dropped), "a chatty task");
        assert_eq!(lines.admit(Time(0), 0, 20), Verdict::Local);
        let kept = (0..).take_while(|_| lines.admit(Time(0), 0, 936) == Verdict::Local).count();
        assert!(kept < (LOCAL_BURST / 1_000) as usize && kept > 0, "{kept}");
        assert_eq!(lines.admit(Time(0), 0, 936), Verdict::Dropped);
    }

    #[test]
    fn drops_are_told_once_a_second_and_none_is_forgotten() {
        let mut lines = Lines::new(Time(0), 1);
        let (mut told, mut lost) = (Vec::new(), 0);
        // Three seconds of two thousand lines each: far more than may pass, and some pass at any time.
        for step in 0..6_000 {
            match lines.admit(Time(step * 500_000), 0, 936) {
                Verdict::Passed { dropped: 0 } => {}
                Verdict::Passed { dropped } => told.push(dropped),
                Verdict::Dropped | Verdict::Local => lost += 1,
            }
        }
        assert!((2..=4).contains(&told.len()), "{told:?}");
        assert_eq!(told.iter().sum::<u64>() + lines.dropped, lost);
    }

    #[test]
    fn all_workers_together_are_bounded_too() {
        let mut lines = Lines::new(Time(0), 64);
        let all: usize = (0..64).map(|worker| passed(&mut lines, Time(0), worker, 1_000)).sum();
        assert_eq!(all, (AGENT_BURST / 1_000) as usize);
    }
}
