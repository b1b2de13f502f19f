//! What the benchmark found, for people and as JSON.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;

/// CPU time of one kind of process.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    process: &'static str,
    used: Duration,
}

/// CPU time that a task costs in one kind of process.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CostPerTask {
    process: &'static str,
    cpu_us: f64,
}

/// What watchers cost, over several rounds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Watched {
    /// Watchers that read.
    pub(super) watchers: u16,
    /// Watchers that do not.
    pub(super) stalled: u16,
    tasks: u64,
    seconds: f64,
    /// Updates that were sent.
    updates: u64,
    /// Throughput with them, over all rounds.
    tasks_per_second: f64,
    /// Throughput in each round.
    rounds: Vec<f64>,
    /// What a task cost, the watchers' own process included.
    cpu_us_per_task: Vec<CostPerTask>,
}

impl Watched {
    pub(super) fn new(watchers: u16, stalled: u16) -> Self {
        let (tasks, seconds, updates, tasks_per_second) = (0, 0.0, 0, 0.0);
        let (rounds, cpu_us_per_task) = (Vec::new(), Vec::new());
        Self { watchers, stalled, tasks, seconds, updates, tasks_per_second, rounds, cpu_us_per_task }
    }

    /// One more round.
    pub(super) fn add(&mut self, tasks: u64, seconds: f64, updates: u64, before: &[Cost], after: &[Cost]) {
        let (share, all) = (tasks as f64, (self.tasks + tasks) as f64);
        for (place, (before, after)) in before.iter().zip(after).enumerate() {
            let new = after.since(before, tasks);
            match self.cpu_us_per_task.get_mut(place) {
                Some(cost) => cost.cpu_us = (cost.cpu_us * (all - share) + new.cpu_us * share) / all,
                None => self.cpu_us_per_task.push(new),
            }
        }
        self.tasks += tasks;
        self.seconds += seconds;
        self.updates += updates;
        self.tasks_per_second = self.tasks as f64 / self.seconds;
        self.rounds.push(tasks as f64 / seconds);
    }

    /// Mean of the rounds, and how far they are from it (standard deviation).
    fn mean_and_spread(&self) -> (f64, f64) {
        let count = self.rounds.len().max(1) as f64;
        let mean = self.rounds.iter().sum::<f64>() / count;
        let squares = self.rounds.iter().map(|round| (round - mean).powi(2)).sum::<f64>();
        (mean, (squares / (count - 1.0).max(1.0)).sqrt())
    }

    fn print(&self, alone: &Self, out: &mut impl io::Write) -> io::Result<()> {
        let Self { watchers, stalled, updates, seconds, .. } = self;
        let (mean, spread) = self.mean_and_spread();
        let lowest = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.rounds.iter().copied().fold(0.0, f64::max);
        let change = 100.0 * (mean / alone.mean_and_spread().0 - 1.0);
        writeln!(
            out,
            "{mean:>10.0} tasks/s   {watchers} watchers, {stalled} that never read: {change:+.1} %; \
             {} rounds from {lowest:.0} to {highest:.0}, spread {:.1} %; {:.0} updates a second",
            self.rounds.len(),
            100.0 * spread / mean,
            *updates as f64 / seconds
        )?;
        let costs: Vec<_> =
            self.cpu_us_per_task.iter().map(|cost| format!("{} {:.2}", cost.process, cost.cpu_us)).collect();
        writeln!(out, "{:>20} CPU us a task: {}", "", costs.join(", "))
    }
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) tasks: u64,
    pub(super) workers: u16,
    pub(super) tasks_per_second: f64,
    pub(super) round_trip_p50_us: f64,
    pub(super) round_trip_p99_us: f64,
    pub(super) sandbox_tasks_per_second: f64,
    pub(super) sandbox: String,
    pub(super) scheduler_peak_rss_bytes: u64,
    pub(super) cpu_us_per_task: Vec<CostPerTask>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) watched: Vec<Watched>,
}

impl Cost {
    pub(super) fn new(process: &'static str, used: Duration) -> Self {
        Self { process, used }
    }

    /// What each of `tasks` tasks cost since `from`.
    pub(super) fn since(&self, from: &Self, tasks: u64) -> CostPerTask {
        let used = self.used.saturating_sub(from.used);
        CostPerTask { process: self.process, cpu_us: used.as_secs_f64() * 1e6 / tasks.max(1) as f64 }
    }
}

impl Report {
    /// Prints to stdout.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(
            out,
            "{:>10.0} tasks/s   no-op tasks through client, scheduler, agent and {} processors",
            self.tasks_per_second, self.workers
        )?;
        writeln!(
            out,
            "{:>10.0} tasks/s   the same calls in one process, sandbox alone ({})",
            self.sandbox_tasks_per_second, self.sandbox
        )?;
        writeln!(
            out,
            "{:>10.2}           cluster / sandbox alone",
            self.tasks_per_second / self.sandbox_tasks_per_second
        )?;
        writeln!(
            out,
            "{:>10.0} us        round trip of one task, median ({:.0} us at the 99th percentile)",
            self.round_trip_p50_us, self.round_trip_p99_us
        )?;
        writeln!(
            out,
            "{:>10.1} MiB       peak memory of the scheduler",
            self.scheduler_peak_rss_bytes as f64 / f64::from(1 << 20)
        )?;
        let total: f64 = self.cpu_us_per_task.iter().map(|cost| cost.cpu_us).sum();
        writeln!(out, "\nwhere the CPU time of a task goes ({total:.1} us in all):")?;
        for cost in &self.cpu_us_per_task {
            writeln!(out, "{:>10.2} us        {}", cost.cpu_us, cost.process)?;
        }
        if !self.watched.is_empty() {
            writeln!(out, "\nwatchers, in the same run:")?;
        }
        for watched in &self.watched {
            watched.print(&self.watched[0], &mut out)?;
        }
        Ok(())
    }
}
