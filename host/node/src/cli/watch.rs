//! `scaler build --watch` and `scaler watch`: build a guest whenever one of its files changes, and call it again.
//!
//! Each build and each call is a process of its own (`scaler build`, `scaler run`), so that whatever a change finds at
//! work, a compiler or a call that never ends, can be ended at once.

use std::{
    env, io,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group},
};
use scaler_proto::call::Call;

use super::output;
use crate::{
    exit,
    guest::{self, Sources},
    signals::Signals,
    stack::die_with_parent,
};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a process that was asked to end may take.
const END_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, clap::Args)]
#[command(override_usage = "scaler watch [OPTIONS] [PATH] <CALL>")]
pub(super) struct WatchArgs {
    /// Folder of the guest crate [default: .], and the call: "module.path:function(arguments, key=value)"
    #[arg(value_name = "PATH> <CALL", num_args = 1..=2, required = true)]
    path_and_call: Vec<String>,
    /// Deployment file whose section [cluster] gives limits and grants
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the result on stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = output::Output::Json)]
    output: output::Output,
    /// Say what goes wrong as one JSON object a line on stderr
    #[arg(long)]
    pub(super) json: bool,
}

/// `scaler watch`.
pub(super) fn watch(arguments: &WatchArgs) -> anyhow::Result<ExitCode> {
    let (path, call) = match &arguments.path_and_call[..] {
        [call] => (Path::new("."), call),
        [path, call, ..] => (Path::new(path), call),
        [] => return Err(exit::coded(exit::USAGE, "a call is missing: scaler watch [PATH] CALL")),
    };
    Call::parse(call).map_err(|error| exit::coded(exit::USAGE, format!("{call}: {error}")))?;
    let folder = if path.file_name().is_some_and(|name| name == "Cargo.toml") {
        path.parent().unwrap_or(Path::new("."))
    } else {
        path
    };
    let mut build = this_program()?;
    // stdout belongs to the results.
    build.arg("build").arg(path).stdout(Stdio::null());
    let mut run = this_program()?;
    run.arg("run").arg(call).arg("--module-path").arg(folder.join("modules"));
    if let Some(config) = &arguments.config {
        run.arg("--config").arg(config);
    }
    let form = clap::ValueEnum::to_possible_value(&arguments.output).context("a form without a name")?;
    run.arg("--output").arg(form.get_name());
    if arguments.json {
        build.arg("--json");
        run.arg("--json");
    }
    Watch::new(path)?.go(&mut [build, run])
}

/// `scaler build --watch`.
pub(super) fn build(arguments: &guest::BuildArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut build = this_program()?;
    build.arg("build").arg(&arguments.path);
    if let Some(output) = &arguments.output {
        build.arg("--output").arg(output);
    }
    if as_json {
        build.arg("--json");
    }
    Watch::new(&arguments.path)?.go(&mut [build])
}

fn this_program() -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("the path of this program is not known")?);
    // A group of its own: what it starts ends with it. Ctrl-C comes to us alone.
    command.stdin(Stdio::null()).process_group(0);
    die_with_parent(&mut command);
    Ok(command)
}

/// Why a wait is over.
enum Event {
    /// Ctrl-C or SIGTERM.
    Stop,
    Changed(PathBuf),
    Ended(ExitStatus),
}

struct Watch {
    signals: Signals,
    sources: Sources,
}

impl Watch {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let sources = Sources::of(path).map_err(|error| exit::coded(exit::USAGE, error.to_string()))?;
        let signals = Signals::install().context("cannot wait for signals")?;
        say(&format!("watching {} files of {}; Ctrl-C ends", sources.count(), path.display()));
        Ok(Self { signals, sources })
    }

    /// Runs the steps, each if the one before succeeded, and again after every change, until it is told to stop.
    fn go(&mut self, steps: &mut [Command]) -> anyhow::Result<ExitCode> {
        loop {
            let changed = match self.steps(steps)? {
                Some(event) => event,
                None => self.wait(None)?,
            };
            match changed {
                Event::Changed(path) => say(&format!("\n{} changed", path.display())),
                Event::Stop => return Ok(ExitCode::SUCCESS),
                Event::Ended(_) => {}
            }
        }
    }

    /// Runs the steps; what came in between, if anything did.
    fn steps(&mut self, steps: &mut [Command]) -> anyhow::Result<Option<Event>> {
        for step in steps {
            let mut child = step.spawn().context("cannot start this program again")?;
            match self.wait(Some(&mut child)) {
                Ok(Event::Ended(status)) if status.success() => {}
                Ok(Event::Ended(_)) => {
                    say("waiting for a change");
                    break;
                }
                event => {
                    end(&mut child);
                    return event.map(Some);
                }
            }
        }
        Ok(None)
    }

    fn wait(&mut self, mut child: Option<&mut Child>) -> anyhow::Result<Event> {
        loop {
            if self.signals.received() > 0 {
                return Ok(Event::Stop);
            }
            if let Some(status) = child.as_mut().map(|child| child.try_wait()).transpose()?.flatten() {
                return Ok(Event::Ended(status));
            }
            if let Some(path) = self.sources.changed()? {
                return Ok(Event::Changed(path));
            }
            let mut fds = [PollFd::new(&self.signals, PollFlags::IN)];
            let interval = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK_INTERVAL.subsec_nanos()) };
            match poll(&mut fds, Some(&interval)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }
}

/// Ends a process with all that it started.
fn end(child: &mut Child) {
    let Some(group) = Pid::from_raw(child.id().cast_signed()) else { return };
    let deadline = Instant::now() + END_WAIT;
    // It may have ended by itself just now.
    let _ = kill_process_group(group, Signal::TERM);
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

fn say(text: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
