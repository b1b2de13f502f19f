//! `scaler bench`: no-op tasks through the real processes, and beside them in the same run what the sandbox alone does.
//!
//! Absolute figures swing with the machine; the ratio between the two and the CPU time a task costs in each process
//! are what can be compared. The CPU times also say where the time goes.

mod alone;
mod audience;
mod report;

pub use alone::{ROLE as SANDBOX_ROLE, main as sandbox_main};
pub use audience::{ROLE as AUDIENCE_ROLE, main as audience_main};

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use scaler_client::{Function, MapOptions, blocking::Client};
use scaler_net::Address;

use crate::{
    carried,
    guest::{self, BuildArgs},
    stack::{Server, cpu_time, peak_rss_bytes},
};
use audience::Audience;
use report::{Cost, Report, Watched};

/// Function that the bench calls.
const FUNCTION: &str = "bench.unit:noop";
/// Results taken at once.
const BATCH_MAX: usize = 1024;

/// Arguments of `scaler bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// No-op tasks to run, after a tenth of them as a warm-up
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1000..))]
    tasks: u64,
    /// Where the scheduler listens, port 0 for any; `tcp://[::1]:0` measures the kernel's TCP, 127.0.0.1 a Unix socket
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:0")]
    address: Address,
    /// Workers of the one cluster
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    num_of_workers: u16,
    /// Calls one after the other, for the round trip
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..))]
    round_trips: u64,
    /// Measure in turn, in rounds, without and with so many watchers of the monitor stream
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    watchers: u16,
    /// The same with these beside them, who never read what they are sent
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=20))]
    stalled_watchers: u16,
    /// Rounds with each audience
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Length of a round; watchers get updates the less often the more they are, 200 every two seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    round_seconds: u16,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

impl BenchArgs {
    /// Whether figures, and failures, are told as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
}

/// Runs the benchmark and prints its report.
pub fn bench(arguments: &BenchArgs) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("cannot make a folder for the servers")?;
    let say = |text: &str| {
        if std::io::stderr().is_terminal() {
            // A status line is worth no error.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    say("building the guest");
    let module = build_guest(folder.path())?;
    say("starting scheduler, storage and cluster");
    let mut stack = Stack::start(&arguments.address, folder.path(), arguments.num_of_workers)?;
    let client = Client::connect(&stack.address)?;
    let function = client.function(FUNCTION)?;
    say("round trips");
    let mut round_trips_us = round_trips(&client, &function, arguments.round_trips)?;
    say("throughput");
    throughput(&client, &function, Amount::Tasks(arguments.tasks / 10))?;
    let processors = processors(&client)?;
    let before = stack.cpu(&processors);
    let (_, seconds) = throughput(&client, &function, Amount::Tasks(arguments.tasks))?;
    let after = stack.cpu(&processors);
    let watched = watched(arguments, folder.path(), &stack, (&client, &function))?;
    let peak = peak_rss_bytes(stack.scheduler.pid());
    client.disconnect();
    stack.stop()?;
    say("the sandbox alone");
    let alone = alone::measure(&module, arguments.tasks / 2)?;
    round_trips_us.sort_by(f64::total_cmp);
    let report = Report {
        tasks: arguments.tasks,
        workers: arguments.num_of_workers,
        tasks_per_second: arguments.tasks as f64 / seconds,
        round_trip_p50_us: percentile(&round_trips_us, 0.50),
        round_trip_p99_us: percentile(&round_trips_us, 0.99),
        sandbox_tasks_per_second: alone.tasks_per_second,
        sandbox: alone.description,
        scheduler_peak_rss_bytes: peak,
        watched,
        cpu_us_per_task: before.iter().zip(&after).map(|(from, to)| to.since(from, arguments.tasks)).collect(),
    };
    report.print(arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

/// The throughput without, with reading and with stalled watchers, several times in turn: machines have moods.
fn watched(
    arguments: &BenchArgs,
    folder: &Path,
    stack: &Stack,
    (client, function): (&Client, &Function),
) -> Result<Vec<Watched>> {
    let (reading, stalled) = (arguments.watchers, arguments.stalled_watchers);
    if reading + stalled == 0 {
        return Ok(Vec::new());
    }
    let processors = processors(client)?;
    let mut audiences = vec![(0, 0), (reading, 0), (reading, stalled)];
    audiences.dedup();
    let mut all: Vec<Watched> = audiences.iter().map(|(reading, stalled)| Watched::new(*reading, *stalled)).collect();
    let length = Duration::from_secs(arguments.round_seconds.into());
    let count = all.len();
    for round in 0..usize::from(arguments.rounds) {
        for place in 0..count {
            // Each is first, second and last equally often.
            let watched = &mut all[(place + round) % count];
            let audience = Audience::gather(folder, &stack.monitor_address, watched.watchers, watched.stalled)?;
            let cpu = || {
                let mut cpu = stack.cpu(&processors);
                cpu.push(Cost::new("watchers", audience.cpu()));
                cpu
            };
            let (before, updates) = (cpu(), updates(client)?);
            let (tasks, seconds) = throughput(client, function, Amount::For(length))?;
            let (after, updates) = (cpu(), self::updates(client)? - updates);
            watched.add(tasks, seconds, updates, &before, &after);
            audience.leave()?;
        }
    }
    Ok(all)
}

/// Updates that all watchers together were sent so far.
fn updates(client: &Client) -> Result<u64> {
    Ok(client.status()?.scheduler.sent.get("Update").copied().unwrap_or(0))
}

fn build_guest(folder: &Path) -> Result<PathBuf> {
    let source = carried::cache_folder("bench");
    carried::unpack(&carried::BENCH, &source)?;
    let modules = folder.join("modules");
    fs::create_dir_all(&modules)?;
    let output = modules.join("bench.wasm");
    guest::build(&BuildArgs { path: source, output: Some(output.clone()) }, &mut std::io::stderr())?;
    Ok(output)
}

/// One call after the other: the time from `submit` to the result, in microseconds.
fn round_trips(client: &Client, function: &Function, count: u64) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count as usize);
    for number in 0..count + count / 10 {
        let started = Instant::now();
        client.submit(function, ())?.value()?;
        // The first tenth warms up.
        if number >= count / 10 {
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}

/// How much work is measured.
#[derive(Clone, Copy)]
enum Amount {
    Tasks(u64),
    /// As many tasks as are taken in this time.
    For(Duration),
}

/// Sends calls through one pipe and takes every result; gives their number and the seconds.
fn throughput(client: &Client, function: &Function, amount: Amount) -> Result<(u64, f64)> {
    let bound = function.bind(())?;
    let (mut sender, mut receiver) = client.pipe(MapOptions::new());
    let started = Instant::now();
    let feeder = thread::Builder::new().name("feeder".to_owned()).spawn(move || {
        let mut sent = 0;
        loop {
            let is_enough = match amount {
                Amount::Tasks(count) => sent == count,
                Amount::For(length) => started.elapsed() >= length,
            };
            if is_enough || sender.send_blocking(bound.clone()).is_err() {
                return sent;
            }
            sent += 1;
        }
    })?;
    let mut items = Vec::with_capacity(BATCH_MAX);
    let mut received = 0;
    while receiver.receive_many_blocking(&mut items, BATCH_MAX) {
        for item in items.drain(..) {
            item.value().with_context(|| format!("task {received} failed"))?;
            received += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let Ok(sent) = feeder.join() else { bail!("the feeding thread failed") };
    ensure!(received == sent, "{received} of {sent} results arrived");
    if let Amount::Tasks(count) = amount {
        ensure!(sent == count, "only {sent} of {count} tasks were taken");
    }
    Ok((received, seconds))
}

fn processors(client: &Client) -> Result<Vec<u32>> {
    let view = client.status()?;
    Ok(view.workers.iter().map(|worker| worker.pid).filter(|pid| *pid != 0).collect())
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The real servers, without a storage address: the scheduler brings its own.
struct Stack {
    scheduler: Server,
    cluster: Server,
    address: String,
    monitor_address: String,
}

impl Stack {
    fn start(address: &Address, folder: &Path, workers: u16) -> Result<Self> {
        let mut scheduler = Server::spawn("scheduler", "scheduler", folder, &[&address.to_string()])?;
        scheduler.wait_ready()?;
        let address = scheduler.address("scheduler_address")?;
        let monitor_address = scheduler.address("monitor_address")?;
        let workers = workers.to_string();
        let mut cluster = Server::spawn("cluster", "cluster", folder, &[&address, "--num-of-workers", &workers])?;
        cluster.wait_ready()?;
        Ok(Self { scheduler, cluster, address, monitor_address })
    }

    fn cpu(&self, processors: &[u32]) -> Vec<Cost> {
        vec![
            Cost::new("client", cpu_time(std::process::id())),
            Cost::new("scheduler", cpu_time(self.scheduler.pid())),
            Cost::new("agent", cpu_time(self.cluster.pid())),
            Cost::new("processors", processors.iter().map(|pid| cpu_time(*pid)).sum::<Duration>()),
        ]
    }

    fn stop(&mut self) -> Result<()> {
        self.cluster.stop()?;
        self.scheduler.stop()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_stay_inside() {
        let sorted: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!((percentile(&sorted, 0.5), percentile(&sorted, 0.99), percentile(&sorted, 1.0)), (50.0, 99.0, 99.0));
        assert!(percentile(&[], 0.5).is_nan());
    }
}
