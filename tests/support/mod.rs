//! What every end-to-end test stands on: real processes on free ports, each with its log, gone when the test ends.
//!
//! Nothing here sleeps for a fixed time: every wait has a condition and a bound, and a failure prints the logs.

#![allow(dead_code, reason = "each test binary uses its own part of the fixture")]

use std::{
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Generous: the machine may be busy with other tests, and a first start compiles guests.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The umbrella program.
pub(crate) const SCALER: &str = env!("CARGO_BIN_EXE_scaler");

/// Waits until `condition` gives a value; panics with `what` after `bound`.
pub(crate) fn wait_for<T>(what: &str, bound: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + bound;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {bound:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One server process. Killed with its children when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The ready line, once there.
    pub(crate) ready: Value,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a program without waiting for its ready line. Output goes to `<dir>/<name>.log`.
    pub(crate) fn spawn(name: &str, dir: &Path, program: &str, args: &[&str]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).expect("log file");
        let child = Command::new(program)
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("log file"))
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { name: name.to_owned(), child, log, ready: Value::Null, status: None }
    }

    /// Starts a program and waits for its ready line.
    pub(crate) fn start(name: &str, dir: &Path, program: &str, args: &[&str]) -> Self {
        let mut process = Self::spawn(name, dir, program, args);
        process.wait_ready();
        process
    }

    /// Waits for the ready line.
    pub(crate) fn wait_ready(&mut self) {
        let name = self.name.clone();
        let ready = wait_for(&format!("ready line of {name}; log:\n{}", self.log()), LONG, || {
            if let Some(status) = self.exited() {
                panic!("{name} ended with {status} before it was ready:\n{}", self.log());
            }
            self.ready_line()
        });
        self.ready = ready;
    }

    fn ready_line(&self) -> Option<Value> {
        self.log().lines().filter(|line| line.starts_with('{')).find_map(|line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value.get("ready").is_some().then_some(value)
        })
    }

    /// An address from the ready line.
    pub(crate) fn address(&self, key: &str) -> String {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.ready)).to_owned()
    }

    /// Everything the process has written.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the log holds `text`.
    pub(crate) fn wait_log(&self, text: &str) {
        wait_for(&format!("`{text}` in the log of {}", self.name), LONG, || self.log().contains(text).then_some(()));
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("pid");
        rustix::process::kill_process(pid, signal).expect("signal");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.status = self.child.wait().ok();
    }

    /// Its exit status, if it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("wait");
        }
        self.status
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn wait_exit(&mut self, bound: Duration) -> i32 {
        let name = self.name.clone();
        let status = wait_for(&format!("end of {name}"), bound, || self.exited());
        status.code().unwrap_or_else(|| panic!("{name} ended by a signal: {status}\n{}", self.log()))
    }

    /// Highest resident memory so far, in bytes.
    pub(crate) fn peak_rss_bytes(&self) -> u64 {
        status_bytes(self.pid(), "VmHWM:")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, self.log());
        }
    }
}

/// A figure in bytes from `/proc/<pid>/status`.
pub(crate) fn status_bytes(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// The processes that a process started and that have not ended.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether a process runs our program in this role.
pub(crate) fn has_role(pid: u32, role: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes())
}

/// Whether a process exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()))
        .is_some_and(|state| state != 'Z' && state != 'X')
}

/// A scheduler with its own storage, and clusters.
pub(crate) struct Stack {
    /// Working folder of all processes; `modules/` in it is the module path.
    pub(crate) dir: TempDir,
    /// The scheduler.
    pub(crate) scheduler: Process,
    /// Clusters, in the order of their start.
    pub(crate) clusters: Vec<Process>,
}

impl Stack {
    /// A scheduler on a free port, without a cluster. `modules` are copied into the module path.
    pub(crate) fn scheduler(args: &[&str], modules: &[&Path]) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        install(dir.path(), modules);
        let mut all = vec!["tcp://127.0.0.1:0"];
        all.extend_from_slice(args);
        let scheduler = Process::start("scheduler", dir.path(), env!("CARGO_BIN_EXE_scaler_scheduler"), &all);
        Self { dir, scheduler, clusters: Vec::new() }
    }

    /// A scheduler and one cluster of `workers` workers.
    pub(crate) fn new(workers: usize, args: &[&str], modules: &[&Path]) -> Self {
        let mut stack = Self::scheduler(&[], modules);
        stack.add_cluster(workers, args);
        stack
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> String {
        self.scheduler.address("scheduler_address")
    }

    /// Starts one more cluster and waits until it is ready; gives its index.
    pub(crate) fn add_cluster(&mut self, workers: usize, args: &[&str]) -> usize {
        let mut process = self.spawn_cluster(workers, args);
        process.wait_ready();
        self.clusters.push(process);
        self.clusters.len() - 1
    }

    /// Starts a cluster without waiting.
    pub(crate) fn spawn_cluster(&self, workers: usize, args: &[&str]) -> Process {
        let (address, workers) = (self.address(), workers.to_string());
        let mut all = vec![address.as_str(), "-n", &workers];
        all.extend_from_slice(args);
        let name = format!("cluster{}", self.clusters.len());
        Process::spawn(&name, self.dir.path(), env!("CARGO_BIN_EXE_scaler_cluster"), &all)
    }

    /// Process ids of a cluster's processors now.
    pub(crate) fn processor_pids(&self) -> Vec<u32> {
        let status = self.status();
        let workers = status["workers"].as_array().expect("workers");
        workers
            .iter()
            .filter_map(|worker| worker["pid"].as_u64())
            .filter(|pid| *pid > 0)
            .map(|pid| pid as u32)
            .collect()
    }

    /// `scaler status --json`.
    pub(crate) fn status(&self) -> Value {
        let out = scaler(&["status", &self.address(), "--json"]);
        assert!(out.status.success(), "status failed: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("status is JSON")
    }

    /// How many tasks are in a state.
    pub(crate) fn tasks(&self, state: &str) -> u64 {
        self.status()["tasks"][state].as_u64().unwrap_or(0)
    }

    /// `scaler submit ADDRESS CALL ..`.
    pub(crate) fn submit(&self, call: &str, args: &[&str]) -> Output {
        let address = self.address();
        let mut all = vec!["submit", &address, call];
        all.extend_from_slice(args);
        scaler(&all)
    }

    /// Submits a call that must succeed and gives its JSON.
    pub(crate) fn value(&self, call: &str) -> Value {
        let out = self.submit(call, &[]);
        assert!(out.status.success(), "{call} failed: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{call}: {error}: {}", text(&out.stdout)))
    }

    /// Submits a call that must fail as a task (exit code 1) and gives what it wrote on stderr.
    pub(crate) fn failure(&self, call: &str, args: &[&str]) -> String {
        let out = self.submit(call, args);
        assert_eq!(out.status.code(), Some(1), "{call}: {} {}", text(&out.stdout), text(&out.stderr));
        text(&out.stderr)
    }
}

/// Copies components into `<dir>/modules`.
pub(crate) fn install(dir: &Path, modules: &[&Path]) {
    let folder = dir.join("modules");
    fs::create_dir_all(&folder).expect("modules folder");
    for module in modules {
        fs::copy(module, folder.join(module.file_name().expect("file name"))).expect("copy module");
    }
}

/// Runs `scaler` to its end.
pub(crate) fn scaler(args: &[&str]) -> Output {
    Command::new(SCALER).args(args).stdin(Stdio::null()).output().expect("scaler runs")
}

/// Output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the bins folder is in the root").to_owned()
}

/// Builds a guest of the repository (`examples/hello/guest`) once a run, by `scaler build`, and gives the component.
pub(crate) fn guest(path: &str) -> PathBuf {
    static BUILT: OnceLock<std::sync::Mutex<std::collections::BTreeMap<String, PathBuf>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Default::default).lock().expect("guests");
    if let Some(done) = built.get(path) {
        return done.clone();
    }
    // Test binaries run one after the other, but a developer may run two at once.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    fs::create_dir_all(&folder).expect("guests folder");
    let lock = File::create(folder.join("lock")).expect("lock file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("lock");
    let source = root().join(path);
    let name = fs::read_to_string(source.join("Cargo.toml"))
        .expect("guest manifest")
        .lines()
        .find_map(|line| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.replace('-', "_")))
        .expect("package name");
    let output = folder.join(format!("{name}.wasm"));
    // One folder for the intermediates of all guests: what they share is compiled once.
    let out = Command::new(SCALER)
        .args(["build", &source.to_string_lossy(), "-o", &output.to_string_lossy()])
        .env("CARGO_TARGET_DIR", &folder)
        .stdin(Stdio::null())
        .output()
        .expect("scaler build");
    assert!(out.status.success(), "scaler build {path} failed:\n{}", text(&out.stderr));
    built.insert(path.to_owned(), output.clone());
    output
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes
}
