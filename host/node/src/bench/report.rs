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

/// What watchers cost.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Watched {
    /// Watchers that read.
    pub(super) watchers: u16,
    /// Watchers that do not.
    pub(super) stalled: u16,
    tasks: u64,
    seconds: f64,
    /// Updates that were taken.
    updates: u64,
    /// Throughput with them.
    tasks_per_second: f64,
    /// CPU time of the scheduler a task.
    scheduler_cpu_us: f64,
}

impl Watched {
    pub(super) fn new(watchers: u16, stalled: u16) -> Self {
        let (tasks, seconds, updates, tasks_per_second, scheduler_cpu_us) = (0, 0.0, 0, 0.0, 0.0);
        Self { watchers, stalled, tasks, seconds, updates, tasks_per_second, scheduler_cpu_us }
    }

    /// One more measurement.
    pub(super) fn add(&mut self, tasks: u64, seconds: f64, scheduler_cpu: Duration, updates: u64) {
        let cpu_us = self.scheduler_cpu_us * self.tasks as f64 + scheduler_cpu.as_secs_f64() * 1e6;
        self.tasks += tasks;
        self.seconds += seconds;
        self.updates += updates;
        self.tasks_per_second = self.tasks as f64 / self.seconds;
        self.scheduler_cpu_us = cpu_us / self.tasks as f64;
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
        for Watched { watchers, stalled, updates, tasks_per_second, scheduler_cpu_us, .. } in &self.watched {
            writeln!(
                out,
                "{tasks_per_second:>10.0} tasks/s   {watchers} watchers, {stalled} that never read: \
                 {scheduler_cpu_us:.2} us of the scheduler a task, {updates} updates taken"
            )?;
        }
        Ok(())
    }
}
