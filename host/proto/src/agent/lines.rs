//! What guests write is bounded in bytes a second, so that a guest that writes without end costs its agent, the
//! scheduler and the log no more than one that writes a little. What is over is dropped and counted.

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
/// What a line costs besides its text.
const LINE_COST: u64 = 64;
/// Bytes that wait while there is no scheduler.
const WAITING_BYTES_MAX: u64 = 256 * 1024;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on; so many before it were not.
    Passed {
        /// Lines that were dropped since the last one that was passed on.
        dropped: u64,
    },
    /// It is over the bound.
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
    all: Bucket,
    dropped: u64,
}

impl Lines {
    pub(super) fn new(now: Time, workers: usize) -> Self {
        Self {
            workers: vec![Bucket { bytes: WORKER_BURST, filled: now }; workers],
            all: Bucket { bytes: AGENT_BURST, filled: now },
            dropped: 0,
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
            return Verdict::Dropped;
        }
        self.all.bytes -= cost;
        if let Some(own) = own {
            own.bytes -= cost;
        }
        Verdict::Passed { dropped: std::mem::take(&mut self.dropped) }
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
        (0..count).filter(|_| lines.admit(now, worker, 936) != Verdict::Dropped).count()
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
    fn all_workers_together_are_bounded_too() {
        let mut lines = Lines::new(Time(0), 64);
        let all: usize = (0..64).map(|worker| passed(&mut lines, Time(0), worker, 1_000)).sum();
        assert_eq!(all, (AGENT_BURST / 1_000) as usize);
    }
}
