//! `scaler up`: object storage, scheduler, cluster and page in the foreground, as children of this process.
//!
//! Each child is this same program in another role and in a process group of its own, so that Ctrl-C reaches only us
//! and the order of stopping is ours: page, cluster, scheduler, storage. When one ends by itself, all end.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, kill_process, kill_process_group},
};
use scaler_net::Address;
use serde_json::{Value, json};

use super::roles;
use crate::{
    config::{
        self, ClusterSettings, ConfigError, Mistake, ObjectStorageSettings, SchedulerSettings, Section, TopSettings,
        WebUiSettings,
    },
    exit, ready,
    signals::Signals,
};

/// What `up` starts when no file is given.
const DEFAULT_STACK: &str = include_str!("default_stack.toml");
/// Sections whose servers are started, in the order of their start.
const SERVERS: [&str; 4] =
    [ObjectStorageSettings::NAME, SchedulerSettings::NAME, ClusterSettings::NAME, WebUiSettings::NAME];
/// How long a server may take until it is ready; a preload may take longer.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long one may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct UpArgs {
    /// Deployment file with the sections of the servers to start [default: a scheduler at tcp://127.0.0.1:8516, a
    /// cluster with all but one CPU and modules from ./modules, and the page at http://127.0.0.1:50001]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as the servers take it
    #[arg(long, short = 'c', value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// Log lines as JSON objects too, one a line, with the server that wrote them
    #[arg(long)]
    pub(super) json: bool,
}

/// Something happened to a child or to us.
enum Event {
    Line { child: usize, text: String },
    Ended { child: usize, status: io::Result<ExitStatus> },
    Signal,
}

struct Server {
    name: &'static str,
    pid: Pid,
    ready: Option<Value>,
    ended: bool,
}

/// The running stack.
struct Stack {
    program: PathBuf,
    file: PathBuf,
    servers: Vec<Server>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    signals: u32,
    json: bool,
    /// Nobody asked for the page by name, so its port may be taken.
    page_is_optional: bool,
    is_stopping: bool,
}

/// Why the stack stops.
enum End {
    Asked,
    Lost(usize, io::Result<ExitStatus>),
}

pub(super) fn up(arguments: &UpArgs) -> anyhow::Result<ExitCode> {
    let (file, temporary) = match arguments.file.as_ref().or(arguments.config.as_ref()) {
        Some(path) => (path.clone(), None),
        None => {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("default_stack.toml");
            fs::write(&path, DEFAULT_STACK)?;
            (path, Some(folder))
        }
    };
    let sections = match sections(&file) {
        Ok(sections) => sections,
        Err(error) if arguments.json => return Err(roles::as_error(&error)),
        Err(error) => return Ok(roles::refuse(&error)),
    };
    // Before any thread, so that a signal finds the handler.
    let signals = Signals::install()?;
    let (sender, events) = mpsc::channel();
    watch_signals(signals, sender.clone())?;
    let (program, json) = (std::env::current_exe()?, arguments.json);
    let (servers, page_is_optional) = (Vec::new(), temporary.is_some());
    let mut stack =
        Stack { program, file, servers, sender, events, signals: 0, json, page_is_optional, is_stopping: false };
    let started = stack.start(&sections);
    let end = match started {
        Ok(None) => stack.serve(),
        Ok(Some(end)) => Ok(end),
        Err(error) => Err(error),
    };
    stack.stop();
    match end? {
        End::Asked => Ok(ExitCode::SUCCESS),
        // Somebody shut the scheduler down, or a server was stopped by hand.
        End::Lost(_, Ok(status)) if status.success() => Ok(ExitCode::SUCCESS),
        End::Lost(child, status) => {
            let name = stack.servers.get(child).map_or("a server", |server| server.name);
            let (code, how) = match status {
                Ok(status) => (status.code(), status.to_string()),
                Err(error) => (None, error.to_string()),
            };
            let code = code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != exit::SUCCESS);
            Err(exit::coded(
                code.unwrap_or(exit::FAILED),
                format!("{name} ended by itself ({how}); see its last lines above"),
            ))
        }
    }
}

/// The sections of servers that the file has, after everything in it was checked.
fn sections(file: &Path) -> Result<Vec<&'static str>, ConfigError> {
    let report = config::check(file, None)?;
    let has = |name: &str| report.sections.iter().any(|section| section.name == name);
    let (has_scheduler, servers) =
        (has(SchedulerSettings::NAME), SERVERS.into_iter().filter(|name| has(name)).collect());
    // Whoever watches from elsewhere has nothing to do with the stack.
    let mut mistakes = report.mistakes;
    mistakes.retain(|mistake| mistake.section() != Some(TopSettings::NAME));
    if !has_scheduler {
        // Without a scheduler there is no stack; it says itself what it lacks.
        let arguments = [SchedulerSettings::COMMAND.into(), OsString::from("--config"), file.into()];
        if let Err(ConfigError::Mistakes(more)) = config::load::<SchedulerSettings>(arguments) {
            let more: Vec<Mistake> = more.into_iter().filter(|mistake| !mistakes.contains(mistake)).collect();
            mistakes.extend(more);
        }
    }
    if mistakes.is_empty() { Ok(servers) } else { Err(ConfigError::Mistakes(mistakes)) }
}

impl Stack {
    /// Starts the servers one after the other, each when the one before is ready.
    fn start(&mut self, sections: &[&'static str]) -> anyhow::Result<Option<End>> {
        for name in sections {
            let child = self.spawn(name)?;
            let patience = if *name == ClusterSettings::NAME { None } else { Some(Instant::now() + READY_WITHIN) };
            while self.servers[child].ready.is_none() && !self.servers[child].ended {
                match self.next(patience)? {
                    Some(end) => return Ok(Some(end)),
                    None if patience.is_some_and(|patience| Instant::now() >= patience) => {
                        anyhow::bail!("{name} is not ready after {} s; see its lines above", READY_WITHIN.as_secs());
                    }
                    None => {}
                }
            }
        }
        let mut line = json!({"ready": "up"});
        for server in &self.servers {
            let Some(Value::Object(fields)) = &server.ready else { continue };
            for (key, value) in fields.iter().filter(|(key, _)| *key != "ready") {
                line[key] = value.clone();
            }
        }
        ready::print(&line)?;
        if let Some(address) = line["scheduler_address"].as_str() {
            if !sections.contains(&ClusterSettings::NAME) {
                let file = self.file.display();
                let _ = writeln!(
                    io::stderr(),
                    "{file} has no section [cluster], so tasks wait until one connects: `scaler_cluster {address}`"
                );
            }
            let address = Address::text_seen_from(address, &Address::tcp("127.0.0.1", 0));
            let _ = writeln!(io::stderr(), "ready; try `scaler status {address}`, stop with Ctrl-C");
        }
        if let Some(address) = line["web_address"].as_str() {
            let _ = writeln!(io::stderr(), "the page is at {address}");
        }
        Ok(None)
    }

    fn serve(&mut self) -> anyhow::Result<End> {
        loop {
            if let Some(end) = self.next(None)? {
                return Ok(end);
            }
        }
    }

    fn spawn(&mut self, name: &'static str) -> anyhow::Result<usize> {
        let mut command = Command::new(&self.program);
        let is_page = name == WebUiSettings::NAME;
        command.arg(if is_page { "ui" } else { name }).arg("--config").arg(&self.file);
        // With port 0 in the file, only the servers themselves know where they are.
        let known: &[(&str, &str, &str)] = if is_page {
            &[(SchedulerSettings::NAME, "monitor_address", "")]
        } else {
            &[
                (ObjectStorageSettings::NAME, "object_storage_address", "--object-storage-address"),
                (SchedulerSettings::NAME, "scheduler_address", ""),
            ]
        };
        for (section, key, flag) in known {
            let server = self.servers.iter().find(|server| server.name == *section);
            let address = server.and_then(|server| server.ready.as_ref()?.get(*key)?.as_str());
            match address {
                Some(address) if flag.is_empty() => drop(command.arg(address)),
                Some(address) => drop(command.arg(flag).arg(address)),
                None => {}
            }
        }
        // One pipe for both, so that lines keep their order and a server's last words are not said twice.
        let (lines, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        // SAFETY: the closure only makes one system call, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)
            });
        }
        let process = command.spawn()?;
        // It holds the ends for writing, and without them the pipe ends with the child.
        drop(command);
        let child = self.servers.len();
        let pid = Pid::from_child(&process);
        self.servers.push(Server { name, pid, ready: None, ended: false });
        self.listen(child, lines)?;
        self.await_end(child, process)?;
        Ok(child)
    }

    fn listen(&self, child: usize, from: impl Read + Send + 'static) -> io::Result<()> {
        let sender = self.sender.clone();
        thread::Builder::new().name("lines".to_owned()).spawn(move || {
            let mut reader = BufReader::new(from);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(Event::Line { child, text }).is_err() {
                    return;
                }
                line.clear();
            }
        })?;
        Ok(())
    }

    fn await_end(&self, child: usize, mut process: Child) -> io::Result<()> {
        let sender = self.sender.clone();
        thread::Builder::new().name("child".to_owned()).spawn(move || {
            let status = process.wait();
            // The stack may be gone already.
            let _ = sender.send(Event::Ended { child, status });
        })?;
        Ok(())
    }

    /// Handles the next event. Something to return ends the stack; nothing may also mean that `until` is over.
    fn next(&mut self, until: Option<Instant>) -> anyhow::Result<Option<End>> {
        let event = match until {
            None => self.events.recv().ok(),
            Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
        };
        match event {
            None => Ok(None),
            Some(Event::Line { child, text }) => {
                self.line(child, &text);
                Ok(None)
            }
            Some(Event::Ended { child, status }) => {
                let server = &mut self.servers[child];
                server.ended = true;
                if self.is_stopping {
                    return Ok(None);
                }
                // Who watches is worth less than what is watched.
                if server.name == WebUiSettings::NAME && (server.ready.is_some() || self.page_is_optional) {
                    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    let _ = writeln!(io::stderr(), "the page ended by itself ({how}); the others go on without it");
                    return Ok(None);
                }
                Ok(Some(End::Lost(child, status)))
            }
            Some(Event::Signal) => {
                self.signals += 1;
                Ok(Some(End::Asked))
            }
        }
    }

    fn line(&mut self, child: usize, text: &str) {
        let server = &mut self.servers[child];
        let label = if server.name == ObjectStorageSettings::NAME { "storage" } else { server.name };
        let announces = text.starts_with("{\"ready\"");
        if let Some(value) = announces.then(|| serde_json::from_str(text).ok()).flatten() {
            server.ready = Some(value);
            return;
        }
        // What a server with `logging_json` writes is an object already.
        let line = || serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| json!(text));
        let text = if self.json {
            json!({"server": label, "line": line()}).to_string()
        } else {
            format!("{label:<9} | {text}")
        };
        // Nobody may be reading; the stack goes on.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// Stops what still runs, last started first; a second signal kills.
    fn stop(&mut self) {
        self.is_stopping = true;
        for child in (0..self.servers.len()).rev() {
            if self.servers[child].ended {
                continue;
            }
            let pid = self.servers[child].pid;
            // It may have ended by itself in between, which is what we want.
            let _ = kill_process(pid, Signal::TERM);
            let patience = Instant::now() + STOP_WITHIN;
            while !self.servers[child].ended {
                // Other servers may end meanwhile as well; that is noted and no reason to stop differently.
                let _ = self.next(Some(patience));
                if self.signals > 1 || Instant::now() >= patience {
                    let _ = kill_process_group(pid, Signal::KILL);
                    self.servers[child].ended = true;
                }
            }
        }
        while let Ok(event) = self.events.recv_timeout(Duration::from_millis(50)) {
            if let Event::Line { child, text } = event {
                self.line(child, &text);
            }
        }
    }
}

fn watch_signals(mut signals: Signals, sender: Sender<Event>) -> io::Result<()> {
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut seen = 0;
        loop {
            let mut fds = [PollFd::new(&signals, PollFlags::IN)];
            // An interrupted poll is asked again.
            let _ = poll(&mut fds, None);
            let received = signals.received();
            while seen < received {
                seen += 1;
                if sender.send(Event::Signal).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(())
}
