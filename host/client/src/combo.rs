//! A scheduler and a cluster of its own on this machine, for trying things out and for tests.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    ffi::{OsStr, OsString},
    fmt,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use scaler_proto::value::Value;

use crate::Error;

/// Names the program `scaler` where it is neither beside the running program nor on the `PATH`.
const SCALER_BIN: &str = "SCALER_BIN";
/// A server must be ready within this time; a cluster compiles and preloads in it.
const READY_MAX: Duration = Duration::from_secs(120);
/// What runs may end within this time when the combo is shut down.
const SHUTDOWN_MAX: Duration = Duration::from_secs(15);
/// As [`SHUTDOWN_MAX`], when it is dropped.
const DROP_MAX: Duration = Duration::from_secs(2);
/// Lines of a server's output that are kept.
const LINES_MAX: usize = 2_000;
/// Lines of it that an error shows.
const LINES_SHOWN: usize = 20;

/// What a [`SchedulerClusterCombo`] is to be, and how it begins; see [`SchedulerClusterCombo::builder`]. Of a setting
/// that is made twice the last counts.
#[derive(Clone, Debug)]
#[must_use]
pub struct SchedulerClusterComboBuilder {
    workers: usize,
    program: Option<PathBuf>,
    address: String,
    object_storage_address: Option<String>,
    echo: bool,
    scheduler: Line,
    cluster: Line,
}

/// What a server's command line says beside its address.
#[derive(Clone, Debug, Default)]
struct Line {
    /// By flag: the last call wins.
    settings: BTreeMap<String, Vec<OsString>>,
    further: Vec<OsString>,
}

impl Line {
    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.set_all(name, [value.into()]);
    }

    fn set_all(&mut self, name: &str, values: impl IntoIterator<Item = OsString>) {
        self.settings.insert(format!("--{}", name.replace('_', "-")), values.into_iter().collect());
    }

    fn words(&self) -> impl Iterator<Item = OsString> {
        let settings = self.settings.iter();
        let settings = settings.flat_map(|(flag, values)| std::iter::once(flag.into()).chain(values.iter().cloned()));
        settings.chain(self.further.iter().cloned())
    }
}

/// A scheduler with its object storage and, unless it has no workers, one cluster: real processes on this machine,
/// which end with this value, or with this process whatever happens to it.
///
/// ```no_run
/// # fn main() -> Result<(), scaler_client::Error> {
/// let combo = scaler_client::SchedulerClusterCombo::builder(4).module_path("modules").start()?;
/// let client = scaler_client::blocking::Client::connect(combo.address())?;
/// # Ok(())
/// # }
/// ```
pub struct SchedulerClusterCombo {
    address: String,
    monitor_address: String,
    object_storage_address: String,
    servers: Vec<(&'static str, u32, Arc<Log>)>,
    stop: Sender<Duration>,
    keeper: Option<JoinHandle<Result<(), Error>>>,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($type:ty) to $($server:ident),+;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, value: $type) -> Self {
            $(self.$server.set(stringify!($name), value.to_string());)+
            self
        }
    )*};
}

impl SchedulerClusterComboBuilder {
    settings! {
        /// Where watchers connect (default: a free port).
        monitor_address(&str) to scheduler;
        /// Clients may not shut it down (default: true).
        protected(bool) to scheduler;
        /// `even` or `capability`.
        allocate_policy(&str) to scheduler;
        /// Most tasks that may wait, -1 for no bound.
        max_number_of_tasks_waiting(i64) to scheduler;
        /// Silent clients are dropped after it.
        client_timeout_seconds(u64) to scheduler;
        /// Lost clusters are forgotten after it.
        worker_timeout_seconds(u64) to scheduler;
        /// Objects that nobody claims are dropped after it.
        object_retention_seconds(u64) to scheduler;
        /// Period of balancing between clusters, -1 for never.
        load_balance_seconds(i64) to scheduler;
        /// Rounds in which an imbalance must be seen.
        load_balance_trigger_times(u32) to scheduler;
        /// A call that prepares every worker: `preload.init:configure('production')`.
        preload(&str) to cluster;
        /// Tags that every worker offers: `linux,cpu=8`.
        per_worker_capabilities(&str) to cluster;
        /// Most tasks assigned to one worker.
        per_worker_task_queue_size(u32) to cluster;
        /// How often the cluster shows that it is alive.
        heartbeat_interval_seconds(u64) to cluster;
        /// A task that runs longer fails, 0 for never.
        task_timeout_seconds(u64) to cluster;
        /// The cluster ends after so long without a scheduler.
        death_timeout_seconds(u64) to cluster;
        /// Threads of the cluster for its connections.
        worker_io_threads(u32) to cluster;
        /// Accepted for compatibility: guest memory is given back after every task.
        garbage_collect_interval_seconds(u64) to cluster;
        /// Accepted for compatibility, as [`Self::garbage_collect_interval_seconds`].
        trim_memory_threshold_bytes(u64) to cluster;
        /// Accepted for compatibility: no task is suspended for another one.
        hard_processor_suspend(bool) to cluster;
        /// Accepted for compatibility: `builtin` or `uvloop`.
        event_loop(&str) to scheduler, cluster;
        /// `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
        logging_level(&str) to scheduler, cluster;
        /// The original's file for Python's logging: the servers refuse it, and say what there is instead.
        logging_config_file(&str) to scheduler, cluster;
    }

    /// Threads of the scheduler for its connections.
    pub fn scheduler_io_threads(mut self, count: u32) -> Self {
        self.scheduler.set("io_threads", count.to_string());
        self
    }

    /// Files that both servers' logs go to, all of them (default: `/dev/stdout`, which is what
    /// [`SchedulerClusterCombo::log`] and the errors of [`Self::start`] show of it).
    pub fn logging_paths<P: Into<OsString>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<OsString> = paths.into_iter().map(Into::into).collect();
        self.scheduler.set_all("logging_paths", paths.clone());
        self.cluster.set_all("logging_paths", paths);
        self
    }

    /// Where the scheduler listens (default: a free port of the loopback interface).
    pub fn address(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// Starts an object storage of its own at this address (default: the scheduler starts one beside itself).
    pub fn object_storage_address(mut self, address: &str) -> Self {
        self.object_storage_address = Some(address.to_owned());
        self
    }

    /// The folder with the modules (default: `modules` in the working directory).
    pub fn module_path(mut self, path: impl AsRef<OsStr>) -> Self {
        self.cluster.set("module_path", path.as_ref());
        self
    }

    /// Whether the servers' output is written to this process's standard error (default: no). The last lines can be had
    /// by [`SchedulerClusterCombo::log`] anyway.
    pub fn echo(mut self, on: bool) -> Self {
        self.echo = on;
        self
    }

    /// The program `scaler` (default: what the environment variable `SCALER_BIN` says; else beside the running program
    /// or one folder above it; else on the `PATH`).
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Further arguments of the scheduler's command line, for what has no method here.
    pub fn scheduler_args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.scheduler.further.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Further arguments of the cluster's command line, for what has no method here.
    pub fn cluster_args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.cluster.further.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Combo`] when the program is not found or a server does not get ready, with the last lines of its log.
    pub fn start(self) -> Result<SchedulerClusterCombo, Error> {
        let (started, running) = mpsc::channel();
        let (stop, orders) = mpsc::channel();
        // The kernel ends the servers with the thread that started them, so that one stays as long as they do.
        let keeper = thread::Builder::new().name("scaler-combo".to_owned()).spawn(move || {
            let mut servers = Vec::new();
            let addresses = self.start_all(&mut servers);
            let is_started = addresses.is_ok();
            let handles = servers.iter().map(|server| (server.role, server.child.id(), Arc::clone(&server.log)));
            if started.send(addresses.map(|addresses| (addresses, handles.collect::<Vec<_>>()))).is_err() || !is_started
            {
                return Ok(());
            }
            // A combo that is gone without an order is one that was dropped.
            let bound = orders.recv().unwrap_or(DROP_MAX);
            stop_all(&mut servers, bound)
        });
        let keeper = keeper.map_err(|source| Error::Thread { source })?;
        let ended = |_| Error::Combo { what: "the thread that starts the servers ended".to_owned() };
        let (addresses, servers) = running.recv().map_err(ended)??;
        let [address, monitor_address, object_storage_address] = addresses;
        Ok(SchedulerClusterCombo {
            address,
            monitor_address,
            object_storage_address,
            servers,
            stop,
            keeper: Some(keeper),
        })
    }

    /// The addresses of scheduler, monitor and storage. What was started before a failure ends with `servers`.
    fn start_all(&self, servers: &mut Vec<Server>) -> Result<[String; 3], Error> {
        let program = self.program.clone().unwrap_or_else(find_program);
        let mut arguments: Vec<OsString> = vec![(&self.address).into()];
        if let Some(address) = &self.object_storage_address {
            let storage = Server::start(&program, "object_storage_server", &[address.into()], self.echo)?;
            arguments.extend(["--object-storage-address".into(), storage.address("object_storage_address")?.into()]);
            servers.push(storage);
        }
        arguments.extend(self.scheduler.words());
        let scheduler = Server::start(&program, "scheduler", &arguments, self.echo)?;
        let address = scheduler.address("scheduler_address")?;
        let addresses =
            [address.clone(), scheduler.address("monitor_address")?, scheduler.address("object_storage_address")?];
        servers.push(scheduler);
        if self.workers > 0 {
            let mut arguments = vec![address.into(), "--num-of-workers".into(), self.workers.to_string().into()];
            arguments.extend(self.cluster.words());
            servers.push(Server::start(&program, "cluster", &arguments, self.echo)?);
        }
        Ok(addresses)
    }
}

impl SchedulerClusterCombo {
    /// Settings first, then [`SchedulerClusterComboBuilder::start`]. Without workers only a scheduler is started.
    pub fn builder(workers: usize) -> SchedulerClusterComboBuilder {
        SchedulerClusterComboBuilder {
            workers,
            program: None,
            address: "tcp://127.0.0.1:0".to_owned(),
            object_storage_address: None,
            echo: false,
            scheduler: Line::default(),
            cluster: Line::default(),
        }
    }

    /// Default settings.
    ///
    /// # Errors
    /// As [`SchedulerClusterComboBuilder::start`].
    pub fn start(workers: usize) -> Result<Self, Error> {
        Self::builder(workers).start()
    }

    /// Where clients and further clusters connect.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where watchers connect.
    #[must_use]
    pub fn monitor_address(&self) -> &str {
        &self.monitor_address
    }

    /// Where large values go.
    #[must_use]
    pub fn object_storage_address(&self) -> &str {
        &self.object_storage_address
    }

    /// The process of a server: `scheduler`, `cluster` or `object_storage_server`; `None` when there is none.
    #[must_use]
    pub fn pid(&self, server: &str) -> Option<u32> {
        self.servers.iter().find(|(role, ..)| *role == server).map(|(_, pid, _)| *pid)
    }

    /// The last lines that the servers wrote, one server after the other.
    #[must_use]
    pub fn log(&self) -> String {
        self.servers.iter().flat_map(|(_, _, log)| log.last(LINES_MAX)).collect::<Vec<_>>().join("\n")
    }

    /// Stops everything: what runs is given some time to end.
    ///
    /// # Errors
    /// [`Error::Combo`] when a server had to be killed, or had ended with a failure.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.end(SHUTDOWN_MAX)
    }

    fn end(&mut self, bound: Duration) -> Result<(), Error> {
        let Some(keeper) = self.keeper.take() else { return Ok(()) };
        // Refused only by a keeper that has ended, which says so below.
        let _ = self.stop.send(bound);
        let lost = |_| Err(Error::Combo { what: "the thread that keeps the servers ended before them".to_owned() });
        keeper.join().unwrap_or_else(lost)
    }
}

impl Drop for SchedulerClusterCombo {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.end(DROP_MAX);
    }
}

impl fmt::Debug for SchedulerClusterCombo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerClusterCombo").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How long the log of a process that has ended is waited for; a child of it may hold its streams open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a server wrote last.
#[derive(Debug, Default)]
struct Log(Mutex<VecDeque<String>>);

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn last(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// One process. Killed when it is dropped.
struct Server {
    role: &'static str,
    child: Child,
    log: Arc<Log>,
    /// Those who fill the log.
    listeners: Vec<JoinHandle<()>>,
    ready: Value,
}

impl Server {
    fn start(program: &Path, role: &'static str, arguments: &[OsString], echo: bool) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg(role).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C goes to this process alone, which ends the servers.
        command.process_group(0);
        let parent = Pid::from_raw(i32::try_from(std::process::id()).unwrap_or(0));
        // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have gone before the signal was asked for.
                if getppid() == parent { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
            });
        }
        let failed = |what: String| Error::Combo { what };
        let child = command.spawn().map_err(|error| {
            failed(format!("cannot start `{} {role}`: {error}; {SCALER_BIN} may name the program", program.display()))
        })?;
        let mut server = Self { role, child, log: Arc::default(), listeners: Vec::new(), ready: Value::Null };
        let (sender, ready) = mpsc::channel();
        if let Some(stdout) = server.child.stdout.take() {
            server.listen(stdout, Some(sender), echo)?;
        }
        if let Some(stderr) = server.child.stderr.take() {
            server.listen(stderr, None, echo)?;
        }
        server.ready = match ready.recv_timeout(READY_MAX) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(format!("the {role} was not ready within {READY_MAX:?}:\n{}", server.last_lines())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = server.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                let words = server.last_words();
                return Err(failed(format!("the {role} ended before it was ready ({status}):\n{words}")));
            }
        };
        Ok(server)
    }

    /// Keeps what it writes, on a thread that ends with it; the line that says that it is ready goes to `ready`.
    fn listen(
        &mut self,
        stream: impl Read + Send + 'static,
        ready: Option<Sender<Value>>,
        echo: bool,
    ) -> Result<(), Error> {
        let (log, mut ready) = (Arc::clone(&self.log), ready);
        let work = move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(value) = ready_line(&line)
                    && let Some(ready) = ready.take()
                {
                    // Whoever waited may have given up.
                    let _ = ready.send(value);
                }
                if echo {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
                log.push(line);
            }
        };
        let listener = thread::Builder::new().name("scaler-combo-log".to_owned()).spawn(work);
        self.listeners.push(listener.map_err(|source| Error::Thread { source })?);
        Ok(())
    }

    /// The last lines of a process that has ended: what it wrote may still be on its way to the log.
    fn last_words(&self) -> String {
        let until = Instant::now() + LAST_WORDS;
        while !self.listeners.iter().all(JoinHandle::is_finished) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        self.last_lines()
    }

    fn address(&self, key: &str) -> Result<String, Error> {
        match field(&self.ready, key) {
            Some(Value::Str(address)) => Ok(address.clone()),
            _ => Err(Error::Combo { what: format!("the {} did not say its {key}", self.role) }),
        }
    }

    fn last_lines(&self) -> String {
        self.log.last(LINES_SHOWN).join("\n")
    }

    /// Its end, if it comes in time; else it is killed.
    fn wait(&mut self, end: Instant) -> Result<ExitStatus, Error> {
        let failed = |error: std::io::Error| Error::Combo { what: format!("waiting for the {}: {error}", self.role) };
        loop {
            if let Some(status) = self.child.try_wait().map_err(failed)? {
                return Ok(status);
            }
            if Instant::now() >= end {
                let what = format!("the {} did not end in time and was killed:\n{}", self.role, self.last_lines());
                // Either may fail only because it has just ended.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(Error::Combo { what });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Asks all to end, and waits; the first that does not end well is told.
fn stop_all(servers: &mut Vec<Server>, bound: Duration) -> Result<(), Error> {
    let end = Instant::now() + bound;
    // The storage serves the others until they are gone.
    let (storages, others): (Vec<_>, Vec<_>) =
        servers.drain(..).partition(|server| server.role == "object_storage_server");
    let mut result = Ok(());
    for mut group in [others, storages] {
        for server in &mut group {
            if let (Ok(None), Some(pid)) = (server.child.try_wait(), Pid::from_raw(server.child.id().cast_signed())) {
                // It may have ended just now.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        for server in &mut group {
            let ended = server.wait(end).and_then(|status| {
                if status.success() {
                    return Ok(());
                }
                let what = format!("the {} ended with {status}:\n{}", server.role, server.last_words());
                Err(Error::Combo { what })
            });
            result = result.and(ended);
        }
    }
    result
}

fn ready_line(line: &str) -> Option<Value> {
    if !line.starts_with('{') {
        return None;
    }
    let value = Value::from_json(line).ok()?;
    field(&value, "ready").is_some().then_some(value)
}

fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
        _ => None,
    }
}

fn find_program() -> PathBuf {
    if let Some(path) = env::var_os(SCALER_BIN).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let beside = env::current_exe().ok().and_then(|program| {
        let folders = program.ancestors().skip(1).take(2).map(|folder| folder.join("scaler"));
        folders.into_iter().find(|path| path.is_file())
    });
    beside.unwrap_or_else(|| PathBuf::from("scaler"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_setting_that_is_made_twice_the_last_counts() {
        let builder = SchedulerClusterCombo::builder(1).protected(true).load_balance_seconds(7).module_path("a");
        let builder = builder.event_loop("uvloop").module_path("b").load_balance_seconds(-1).event_loop("builtin");
        let builder = builder.protected(false).scheduler_args(["-wit", "3"]);
        let words = |line: &Line| line.words().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
        assert_eq!(
            words(&builder.scheduler).join(" "),
            "--event-loop builtin --load-balance-seconds -1 --protected false -wit 3"
        );
        assert_eq!(words(&builder.cluster).join(" "), "--event-loop builtin --module-path b");
    }
}
