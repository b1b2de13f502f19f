//! `scaler demo`: a whole cluster for some seconds, on this machine, with work worth looking at.
//!
//! Real servers in processes of their own, started from one TOML file; guests that price options by Monte Carlo from
//! real price history, prepared by a preload; a worker and a whole cluster killed on the way; pictures at the end.

mod plots;
mod pricing;

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process};
use scaler_client::blocking::Client;
use serde_json::json;

use crate::{
    carried,
    guest::{self, BuildArgs},
    stack::{Server, free_ports},
};

/// Arguments of `scaler demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Where logs, guests and pictures go
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    output: PathBuf,
    /// Print the final figures as one JSON object; what happens on the way is told on stderr then
    #[arg(long)]
    json: bool,
}

impl DemoArgs {
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
}

/// Runs the demo.
pub fn demo(arguments: &DemoArgs) -> Result<ExitCode> {
    fs::create_dir_all(&arguments.output).with_context(|| format!("cannot make {}", arguments.output.display()))?;
    let folder = fs::canonicalize(&arguments.output)?;
    let started = Instant::now();
    let story = Story { to_stderr: arguments.json };
    story.say("1. guests: Rust functions become sandboxed components")?;
    build_guests(&folder, story)?;
    story.say("\n2. servers: object storage, scheduler and two clusters, from one TOML file")?;
    let mut stack = Stack::start(&folder)?;
    story.say(&format!(
        "   {} and its clusters are ready; the file is {}",
        stack.address,
        shown(&folder.join("demo.toml"))
    ))?;
    story.say("\n3. work: option prices by Monte Carlo over the history of the S&P 500")?;
    let client = Client::connect(&stack.address)?;
    let outcome = pricing::run(&client, &mut |progress| disturb(&mut stack, &client, progress, story))?;
    let view = client.status()?;
    client.disconnect();
    story.say("\n4. pictures")?;
    let pictures = pricing::draw(&outcome, &folder)?;
    for file in &pictures {
        story.say(&format!("   {}", shown(file)))?;
    }
    stack.stop()?;
    let restarts: u32 = view.workers.iter().map(|worker| worker.restarts).sum();
    let per_second = outcome.tasks as f64 / outcome.elapsed.as_secs_f64();
    story.say(&format!(
        "\n   tasks          {:>10}   every result arrived once, though a processor and a cluster were killed\n\
         \x20  wall time      {:>8.2} s\n\
         \x20  throughput     {:>10} tasks/s, each simulating {} paths\n\
         \x20  sandbox start  {:>7} us   median, a fresh instance from the preloaded snapshot for every task\n\
         \x20  processors     {:>10}   started again after the kill\n\
         \x20  whole demo     {:>8.1} s",
        plots::thousands(outcome.tasks as f64),
        outcome.elapsed.as_secs_f64(),
        plots::thousands(per_second),
        plots::thousands(f64::from(pricing::PATHS)),
        outcome.median_start_us,
        restarts,
        started.elapsed().as_secs_f64(),
    ))?;
    if arguments.json {
        let figures = json!({
            "tasks": outcome.tasks,
            "elapsed_seconds": outcome.elapsed.as_secs_f64(),
            "tasks_per_second": per_second,
            "paths_per_task": pricing::PATHS,
            "sandbox_start_p50_us": outcome.median_start_us,
            "processor_restarts": restarts,
            "demo_seconds": started.elapsed().as_secs_f64(),
            "pictures": pictures.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>(),
        });
        writeln!(std::io::stdout(), "{figures}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn build_guests(folder: &Path, story: Story) -> Result<()> {
    carried::unpack_files(&carried::OPTIONS_DATA, &folder.join("data"))?;
    let source = carried::cache_folder("options");
    carried::unpack(&carried::OPTIONS, &source)?;
    let output = folder.join("modules/options.wasm");
    let built = guest::build(&BuildArgs { path: source, output: Some(output) }, &mut std::io::stderr())?;
    let size = plots::thousands(built.size_bytes as f64);
    story.say(&format!(
        "   options.wasm: {size} bytes, {} functions, {:.1} s",
        built.functions.len(),
        built.elapsed.as_secs_f64()
    ))
}

/// What happens to the cluster on the way.
fn disturb(stack: &mut Stack, client: &Client, progress: pricing::Progress<'_>, story: Story) -> Result<()> {
    let third = progress.total / 3;
    if progress.done == third {
        let view = client.status()?;
        // One of the first cluster: the second is not there any more when its processors could be counted.
        let survivors = stack.clusters[0].processors();
        if let Some(worker) = view.workers.iter().find(|worker| survivors.contains(&worker.pid)) {
            let pid = Pid::from_raw(worker.pid.cast_signed()).context("a worker without a process")?;
            kill_process(pid, Signal::KILL).context("cannot kill a processor")?;
            let killed = format!("   kill -9 {}: the processor of worker {}, amid its task", worker.pid, worker.name);
            progress.bar.suspend(|| story.say(&killed))?;
        }
    }
    if progress.done == 2 * third {
        let pid = stack.clusters[1].pid();
        let pid = Pid::from_raw(pid.cast_signed()).context("a cluster without a process")?;
        kill_process(pid, Signal::KILL).context("cannot kill a cluster")?;
        let killed = format!("   kill -9 {}: the whole second cluster, with all that it held", pid.as_raw_nonzero());
        progress.bar.suspend(|| story.say(&killed))?;
    }
    Ok(())
}

fn progress_bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template("   {wide_bar} {human_pos}/{human_len} {per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The servers, started from one file.
struct Stack {
    storage: Server,
    scheduler: Server,
    clusters: Vec<Server>,
    address: String,
}

impl Stack {
    fn start(folder: &Path) -> Result<Self> {
        let [port, storage_port, monitor_port] = free_ports()?;
        let address = format!("tcp://127.0.0.1:{port}");
        let configuration = CONFIGURATION
            .replace("{scheduler}", &address)
            .replace("{storage}", &format!("tcp://127.0.0.1:{storage_port}"))
            .replace("{monitor}", &format!("tcp://127.0.0.1:{monitor_port}"))
            .replace("{data}", &folder.join("data").to_string_lossy());
        let file = folder.join("demo.toml");
        fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
        let config = ["--config", "demo.toml"];
        let mut storage = Server::spawn("object_storage_server", "object_storage_server", folder, &config)?;
        storage.wait_ready()?;
        let mut scheduler = Server::spawn("scheduler", "scheduler", folder, &config)?;
        scheduler.wait_ready()?;
        let mut clusters = ["cluster-1", "cluster-2"]
            .iter()
            .map(|name| Server::spawn("cluster", name, folder, &config))
            .collect::<Result<Vec<_>>>()?;
        for cluster in &mut clusters {
            cluster.wait_ready()?;
        }
        Ok(Self { storage, scheduler, clusters, address })
    }

    fn stop(&mut self) -> Result<()> {
        // The second cluster was killed; asking it again says how it ended.
        let [first, second] = &mut self.clusters[..] else { return Ok(()) };
        ensure!(first.stop()?.success(), "the first cluster did not stop cleanly");
        second.stop()?;
        ensure!(self.scheduler.stop()?.success(), "the scheduler did not stop cleanly");
        ensure!(self.storage.stop()?.success(), "the object storage did not stop cleanly");
        Ok(())
    }
}

/// A deployment file like those of the README, with the addresses of this run.
const CONFIGURATION: &str = r#"# Written by `scaler demo`. Each server reads its own section.
[object_storage_server]
object_storage_address = "{storage}"

[scheduler]
scheduler_address = "{scheduler}"
object_storage_address = "{storage}"
monitor_address = "{monitor}"
allocate_policy = "capability"

[cluster]
scheduler_address = "{scheduler}"
num_of_workers = 2
per_worker_capabilities = "linux,cpu=8"
task_timeout_seconds = 60
preload = "options.pricing:configure('/data/sp500.csv', rate=0.03)"

# All that the guests may touch.
[[cluster.grants.directories]]
host_path = "{data}"
guest_path = "/data"
access = "read-only"
"#;

/// What happens, told to people; where stdout is a program's, on stderr.
#[derive(Clone, Copy)]
struct Story {
    to_stderr: bool,
}

impl Story {
    fn say(self, text: &str) -> Result<()> {
        if self.to_stderr {
            // With stderr closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{text}");
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()?;
        Ok(())
    }
}

/// Relative to the working folder where that is shorter.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
