//! The checks of `scaler doctor`: each looks at one thing that servers, guests or builds need, by using it where that
//! is possible, and says what to do when it is not there.

use std::{
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open},
};
use scaler_sandbox::{Engine, EngineSettings};

use crate::guest;

/// Ports of the documentation's addresses: scheduler, storage, monitor and the page.
const PORTS: [(u16, &str); 4] =
    [(8516, "scheduler_address"), (8517, "object_storage_address"), (8518, "monitor_address"), (50001, "web_port")];
/// Below it a scheduler runs out of descriptors with a handful of clients.
const FILES_MIN: u64 = 256;
/// Each connection is a descriptor, and libzmq needs a few more.
const FILES_GOOD: u64 = 4_096;
/// What one task may use unless the operator says otherwise.
const TASK_BYTES: u64 = 512 << 20;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but not everything or not as well.
    Note,
    /// Something cannot run.
    Problem,
}

impl Verdict {
    /// In one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// What there is.
    pub(crate) what: String,
    /// What to do, unless it is as it should be.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, what: what.into(), remedy: None }
    }

    fn note(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Note, what: what.into(), remedy: Some(remedy.into()) }
    }

    fn problem(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Problem, what: what.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything.
pub(crate) fn examine() -> Vec<Finding> {
    let mut findings = vec![version(), kernel(), sandbox(), cpus(), memory()];
    let files = getrlimit(Resource::Nofile);
    findings.push(open_files(files.maximum));
    findings.extend(address_space(getrlimit(Resource::As).current));
    findings.extend(overcommit(fs::read_to_string("/proc/sys/vm/overcommit_memory").ok().as_deref()));
    findings.push(itself(Path::new("/proc/self/exe")));
    findings.push(temporary(tempfile::tempfile()));
    findings.push(cache(&guest::cache_folder()));
    let probe = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop);
    findings.extend(PORTS.iter().map(|(port, key)| listening(*port, key, probe(*port))));
    findings.push(cargo(guest::cargo_version()));
    for target in guest::TARGETS {
        findings.push(target_of(target, guest::toolchain_for(target)));
    }
    findings
}

fn version() -> Finding {
    let system = rustix::system::uname();
    let (name, release) = (system.sysname().to_string_lossy(), system.release().to_string_lossy());
    let machine = system.machine().to_string_lossy();
    Finding::ok("version", format!("scaler {} on {name} {release}, {machine}", env!("CARGO_PKG_VERSION")))
}

/// What processors and the compiler's watch stand on.
fn kernel() -> Finding {
    let memfd = memfd_create("doctor", MemfdFlags::CLOEXEC).map(drop);
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).map(drop);
    let missing: Vec<String> = [("memfd_create", memfd), ("pidfd_open", pidfd)]
        .into_iter()
        .filter_map(|(name, outcome)| Some(format!("{name} ({})", outcome.err()?)))
        .collect();
    if missing.is_empty() {
        return Finding::ok("kernel", "memfd and pidfd are there");
    }
    let what = format!("the kernel refuses {}", missing.join(" and "));
    Finding::problem("kernel", what, "use Linux 5.3 or later; in a container, allow these calls in its seccomp profile")
}

fn sandbox() -> Finding {
    match Engine::new(&EngineSettings::default()) {
        Ok(engine) => engine_finding(engine.describe()),
        Err(error) => Finding::problem(
            "sandbox",
            format!("no engine can be made: {error}"),
            "raise the limits on address space and memory (`ulimit -v unlimited`)",
        ),
    }
}

fn engine_finding(mode: &str) -> Finding {
    if !mode.starts_with("pooling") {
        let remedy = "a pool needs some hundred GiB of address space, none of it used: `ulimit -v unlimited`, and \
                      vm.overcommit_memory 0 or 1";
        return Finding::note("sandbox", mode, remedy);
    }
    if mode.contains("no pagemap_scan") {
        return Finding::note("sandbox", mode, "Linux 6.7 or later resets the memory of a task faster");
    }
    Finding::ok("sandbox", mode)
}

fn cpus() -> Finding {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cpus < 2 {
        return Finding::note("cpus", "1 CPU", "a cluster has one worker here, which shares it with the servers");
    }
    Finding::ok("cpus", format!("{cpus} CPUs; num_of_workers is {} unless told otherwise", cpus - 1))
}

fn memory() -> Finding {
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    });
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    memory_finding(available, group)
}

/// `group`: the limit of the control group, if there is one.
fn memory_finding(available: Option<u64>, group: Option<u64>) -> Finding {
    let usable = match (available, group) {
        (None, None) => {
            return Finding::note("memory", "the system does not say how much is free", "mount /proc");
        }
        (available, group) => available.unwrap_or(u64::MAX).min(group.unwrap_or(u64::MAX)),
    };
    let what = format!("{} MiB can be used", usable >> 20);
    if usable < TASK_BYTES {
        let remedy = format!("a task may use {} MiB: lower task_memory_limit_bytes, or free some", TASK_BYTES >> 20);
        return Finding::note("memory", what, remedy);
    }
    Finding::ok("memory", what)
}

/// Servers raise the soft limit to the hard one by themselves.
fn open_files(hard: Option<u64>) -> Finding {
    let Some(limit) = hard else { return Finding::ok("open files", "no limit") };
    let what = format!("at most {limit} a process");
    let remedy = "every connection needs one: raise the hard limit (`ulimit -Hn 65536`, LimitNOFILE= of a service)";
    match limit {
        ..FILES_MIN => Finding::problem("open files", what, remedy),
        FILES_MIN..FILES_GOOD => Finding::note("open files", what, remedy),
        _ => Finding::ok("open files", what),
    }
}

fn address_space(limit: Option<u64>) -> Option<Finding> {
    let what = format!("limited to {} MiB", limit? >> 20);
    Some(Finding::note("addresses", what, "tasks start about ten times slower without a pool: `ulimit -v unlimited`"))
}

fn overcommit(mode: Option<&str>) -> Option<Finding> {
    (mode?.trim() == "2").then(|| {
        let remedy = "the sandbox reserves much and uses little: `sysctl vm.overcommit_memory=0`";
        Finding::note("overcommit", "vm.overcommit_memory is 2", remedy)
    })
}

/// Processors and compilers are this same program, started again.
fn itself(path: &Path) -> Finding {
    match fs::File::open(path) {
        Ok(_) => Finding::ok("processes", "this program can start itself as a processor"),
        Err(error) => Finding::problem(
            "processes",
            format!("`{}` cannot be read ({error}), so no processor can be started", path.display()),
            "mount /proc",
        ),
    }
}

fn temporary(file: io::Result<fs::File>) -> Finding {
    let folder = std::env::temp_dir();
    match file.and_then(|mut file| file.write_all(b"x")) {
        Ok(()) => Finding::ok("temporary", format!("{} can be written", folder.display())),
        Err(error) => Finding::problem(
            "temporary",
            format!("{} cannot be written: {error}", folder.display()),
            "free some space, or set TMPDIR to a folder that can be written",
        ),
    }
}

/// Compiled modules, the SDK and a toolchain are kept there.
fn cache(folder: &Path) -> Finding {
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder)?.write_all(b"x")
    };
    match write() {
        Ok(()) => Finding::ok("cache", format!("{} can be written", folder.display())),
        Err(error) => Finding::note(
            "cache",
            format!("{} cannot be written: {error}", folder.display()),
            "clusters compile every module again at each start, and `scaler new` has no place for the SDK: set \
             XDG_CACHE_HOME to a folder that can be written",
        ),
    }
}

fn listening(port: u16, key: &str, outcome: io::Result<()>) -> Finding {
    match outcome {
        Ok(()) => Finding::ok("port", format!("{port} is free")),
        Err(error) => Finding::note(
            "port",
            format!("{port} cannot be used: {error}"),
            format!("fine if a server of ours runs there; else stop that program, or set {key} to another port"),
        ),
    }
}

fn cargo(version: Option<String>) -> Finding {
    match version {
        Some(version) => Finding::ok("cargo", version),
        None => Finding::note(
            "cargo",
            "cargo does not run, so `scaler build` cannot compile guests",
            "install Rust with cargo; components that were built elsewhere run without it",
        ),
    }
}

fn target_of(target: &'static str, toolchain: Option<String>) -> Finding {
    match toolchain {
        Some(place) => Finding::ok(target, format!("guests compile with {place}")),
        None => Finding::note(
            target,
            "the Rust compiler has no standard library for it",
            format!(
                "`scaler build` asks rustup for it (`rustup target add {target}`), or on Debian makes a toolchain from \
                 packages"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(findings: &[Finding]) -> Vec<Verdict> {
        findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn this_machine_can_run_tests_so_it_has_no_problem() {
        let findings = examine();
        let problems: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Problem).collect();
        assert!(problems.is_empty(), "{problems:?}");
        assert!(findings.iter().all(|finding| finding.remedy.is_some() == (finding.verdict != Verdict::Ok)));
    }

    #[test]
    fn each_thing_that_is_missing_is_noticed_with_its_remedy() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("file");
        let found = [
            engine_finding("on demand, copy-on-write; every task starts about ten times slower"),
            engine_finding("pooling (200 slots), copy-on-write, no pagemap_scan (Linux before 6.7: slower)"),
            engine_finding("pooling (200 slots), copy-on-write, pagemap_scan"),
            memory_finding(Some(1 << 30), Some(256 << 20)),
            memory_finding(Some(1 << 30), None),
            memory_finding(None, None),
            open_files(Some(64)),
            open_files(Some(1024)),
            open_files(None),
            itself(&folder.path().join("nothing")),
            temporary(Err(denied())),
            cache(&file.join("below")),
            cache(&folder.path().join("new")),
            listening(8516, "scheduler_address", Err(denied())),
            cargo(None),
            target_of("wasm32-wasip1", None),
        ];
        use Verdict::{Note, Ok, Problem};
        let expected =
            [Note, Note, Ok, Note, Ok, Note, Problem, Note, Ok, Problem, Problem, Note, Ok, Note, Note, Note];
        assert_eq!(verdicts(&found), expected);
        assert_eq!(address_space(None), None);
        assert!(address_space(Some(1 << 30)).is_some_and(|finding| finding.what == "limited to 1024 MiB"));
        assert!(overcommit(Some("2\n")).is_some() && overcommit(Some("0\n")).is_none() && overcommit(None).is_none());
    }

    #[test]
    fn a_port_in_use_is_told() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("address").port();
        let outcome = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop);
        let finding = listening(port, "scheduler_address", outcome);
        assert!(finding.verdict == Verdict::Note && finding.what.contains(&port.to_string()), "{finding:?}");
    }
}
