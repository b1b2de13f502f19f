//! The sandbox alone: the same calls in one process, without client, scheduler and agent.
//!
//! Guest code never runs in the command line's own process, so this is a child in a hidden role.

use std::{
    ffi::OsString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use scaler_module::Module;
use scaler_sandbox::{
    Engine, EngineSettings, Grants, Interrupt, Limits, LogSink, LogSource, Program, Task, compile, run,
};
use serde::{Deserialize, Serialize};

/// Name of the hidden role.
pub const ROLE: &str = "__sandbox_bench";

/// What the child found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Alone {
    pub(super) tasks_per_second: f64,
    pub(super) description: String,
}

/// The guest says nothing.
struct Silent;

impl LogSink for Silent {
    fn line(&self, _source: LogSource, _text: &str) {}
}

/// Measures in a child process.
pub(super) fn measure(module: &Path, tasks: u64) -> Result<Alone> {
    let out = Command::new(std::env::current_exe()?)
        .arg(ROLE)
        .arg(module)
        .arg(tasks.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the process that measures the sandbox alone")?;
    ensure!(out.status.success(), "measuring the sandbox alone ended with {}", out.status);
    serde_json::from_slice(&out.stdout).context("the process that measures the sandbox alone said something else")
}

/// The child: arguments are the component and the number of calls.
#[must_use]
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match child(&mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn child(arguments: &mut impl Iterator<Item = OsString>) -> Result<()> {
    let (Some(module), Some(tasks)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        bail!("{ROLE} needs a component and a number of tasks");
    };
    let tasks: u64 =
        tasks.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| anyhow!("not a number of tasks"))?;
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let read = Module::read(&bytes)?;
    let function =
        read.functions.iter().find(|function| function.name == "noop").context("the guest has no function noop")?;
    let artifact = tempfile::NamedTempFile::new()?;
    fs::write(artifact.path(), compile(&bytes)?)?;
    let engine = Engine::new(&EngineSettings::default())?;
    let entry = Program::load(&engine, artifact.path())?.entry(function.interface.as_deref(), &function.name)?;
    let grants = Arc::new(Grants::default().open()?);
    let (limits, interrupt) = (Limits::default(), Interrupt::never());
    let log: Arc<dyn LogSink> = Arc::new(Silent);
    // An empty MessagePack array: no arguments.
    let arguments = &[0x90];
    let task = Task {
        entry: &entry,
        arguments,
        objects: &[],
        grants: &grants,
        limits: &limits,
        interrupt: &interrupt,
        log: &log,
    };
    let once = || run(&task).outcome.map_err(|fault| anyhow!("{}", fault.message));
    for _ in 0..tasks / 10 {
        once()?;
    }
    let started = Instant::now();
    for _ in 0..tasks {
        once()?;
    }
    let tasks_per_second = tasks as f64 / started.elapsed().as_secs_f64();
    let alone = Alone { tasks_per_second, description: engine.describe().to_owned() };
    serde_json::to_writer(std::io::stdout().lock(), &alone)?;
    Ok(())
}
