//! Compiling components: in a child process (hidden role `__compile`) with limits on time and memory, into a cache on
//! disk.
//!
//! A component is hostile input, and compiling it can take for ever or all memory; a child bounds that. Artifacts are
//! named by the hash of their content and checked before use, so that clusters which race for the same key, or a broken
//! disk, do no harm. The folder is private: what is loaded from it was written by us.

mod places;
mod sweep;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use places::Places;
use scaler_sandbox::{Engine, EngineSettings, Program, compile, prepare};
use serde::{Deserialize, Serialize};
use sweep::{CACHE_BYTES_MAX, Own, sweep};

/// A module larger than this is refused.
pub(crate) const MODULE_BYTES_MAX: u64 = 256 << 20;
/// How long a compilation may take by the clock and by the CPU.
const WALL_SECONDS: u64 = 300;
const CPU_SECONDS: u64 = 300;
/// Writable memory of the child.
const DATA_BYTES: u64 = 8 << 30;

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The compiler's own words.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("compiling took longer than {WALL_SECONDS} s and was stopped")]
    TooLong,
    /// The child died, most likely of its limits.
    #[error("the compiler ended with {0}; the module needs more time or memory than compiling may take")]
    Died(std::process::ExitStatus),
    /// The machine did not let us.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// What a child does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Compile the component as it is.
    Compile,
    /// Instrument it for a snapshot, then compile.
    Instrument,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    action: Action,
    input: PathBuf,
    output: PathBuf,
}

/// Runs the role: one request on stdin, the answer on stdout (nothing: it worked).
#[must_use]
pub fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = io::stdout().write_all(reason.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), String> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(|error| format!("reading the request: {error}"))?;
    let request: Request = rmp_serde::from_slice(&bytes).map_err(|error| format!("reading the request: {error}"))?;
    let component =
        fs::read(&request.input).map_err(|error| format!("reading `{}`: {error}", request.input.display()))?;
    let component = match request.action {
        Action::Compile => component,
        Action::Instrument => prepare(&component).map_err(|error| error.to_string())?,
    };
    let artifact = compile(&component).map_err(|error| error.to_string())?;
    fs::write(&request.output, artifact).map_err(|error| format!("writing `{}`: {error}", request.output.display()))?;
    // Imports that nobody offers are found here, before the module is announced.
    let settings = EngineSettings { pool_slots: 1, ..EngineSettings::default() };
    let engine = Engine::new(&settings).map_err(|error| error.to_string())?;
    Program::load(&engine, &request.output).map_err(|error| error.to_string())?;
    Ok(())
}

/// The artifacts on disk.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// For what may not outlive this process.
    own: Own,
    /// Compilations that may run at once.
    places: Places,
    /// Keeps the folder when there is no other one.
    _temporary: Option<tempfile::TempDir>,
}

impl Cache {
    /// The user's cache folder, `$XDG_CACHE_HOME/scaler` or `~/.cache/scaler`. Without one, or when it belongs to
    /// somebody else, everything goes into a temporary folder.
    pub(crate) fn open() -> Result<Self, CompileError> {
        let io_error = |what: &str| {
            let what = what.to_owned();
            move |source| CompileError::Io { what, source }
        };
        match Self::private_folder() {
            Ok(folder) => {
                sweep(&folder, CACHE_BYTES_MAX).map_err(io_error("looking through the cache"))?;
                let own = Own::create(&folder).map_err(io_error("creating a folder in the cache"))?;
                Ok(Self { folder, own, places: Places::new(), _temporary: None })
            }
            Err(error) => {
                tracing::warn!("compiled modules are not kept: {error}");
                let temporary = tempfile::tempdir().map_err(io_error("creating a temporary folder"))?;
                let own = Own::create(temporary.path()).map_err(io_error("creating a temporary folder"))?;
                let (folder, places) = (temporary.path().to_owned(), Places::new());
                Ok(Self { folder, own, places, _temporary: Some(temporary) })
            }
        }
    }

    fn private_folder() -> io::Result<PathBuf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set"))?;
        fs::create_dir_all(&base)?;
        let mut folder = base.join("scaler");
        for name in ["", "compiled"] {
            folder = if name.is_empty() { folder } else { folder.join(name) };
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let metadata = fs::symlink_metadata(&folder)?;
        let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !is_ours || metadata.mode() & 0o022 != 0 {
            let text = format!("`{}` is not a folder that only its owner can write", folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(folder)
    }

    /// Removes the temporary files; the cache cannot compile after that.
    pub(crate) fn clean(&self) {
        let _ = fs::remove_dir_all(self.own.path());
    }

    /// A path for a file that nobody else sees and that is gone when the process ends.
    pub(crate) fn temporary_file(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// The artifact kept under this key, if it is there and whole.
    pub(crate) fn find(&self, key: &Key) -> Option<PathBuf> {
        let hash = fs::read_to_string(self.folder.join(&key.0)).ok()?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.folder.join(format!("{hash}.cwasm"));
        if !is_hash || hash_of(&path).ok()? != hash {
            return None;
        }
        sweep::touch(&path);
        Some(self.hold(path))
    }

    /// A link of our own to an artifact, so that it stays as long as we do when others sweep the cache.
    fn hold(&self, kept: PathBuf) -> PathBuf {
        let Some(name) = kept.file_name() else { return kept };
        let link = self.own.path().join(name);
        match fs::hard_link(&kept, &link) {
            Ok(()) => link,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => link,
            // A file system without links; then the artifact goes when it is old, and only when the cache is full.
            Err(_) => kept,
        }
    }

    /// The artifact of a component, compiled in a child if it is not kept yet.
    pub(crate) fn artifact(&self, key: &Key, action: Action, component: &Path) -> Result<PathBuf, CompileError> {
        if let Some(path) = self.find(key) {
            return Ok(path);
        }
        let path = self.compile(action, component)?;
        let hash = self.hash_for(&path)?;
        let kept = self.folder.join(format!("{hash}.cwasm"));
        let io_error = |source| CompileError::Io { what: "writing to the cache".to_owned(), source };
        fs::rename(&path, &kept).map_err(io_error)?;
        let name = self.temporary_file(&key.0);
        fs::write(&name, &hash).and_then(|()| fs::rename(&name, self.folder.join(&key.0))).map_err(io_error)?;
        let held = self.hold(kept);
        if let Err(error) = sweep(&self.folder, CACHE_BYTES_MAX) {
            tracing::warn!("old compiled modules could not be removed: {error}");
        }
        Ok(held)
    }

    /// Compiles without keeping: the artifact is gone when this process ends.
    pub(crate) fn compile(&self, action: Action, component: &Path) -> Result<PathBuf, CompileError> {
        let file = tempfile::Builder::new().suffix(".cwasm").tempfile_in(self.own.path());
        let file =
            file.map_err(|source| CompileError::Io { what: "creating a file in the cache".to_owned(), source })?;
        let (_, output) = file.keep().map_err(|error| CompileError::Io {
            what: "creating a file in the cache".to_owned(),
            source: error.error,
        })?;
        let place = self.places.take();
        let compiled = run_child(&Request { action, input: component.to_owned(), output: output.clone() });
        drop(place);
        compiled?;
        Ok(output)
    }

    fn hash_for(&self, path: &Path) -> Result<String, CompileError> {
        hash_of(path).map_err(|source| CompileError::Io { what: format!("reading `{}`", path.display()), source })
    }
}

/// What an artifact depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key as a file name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A key of everything that makes a difference; the engine's fingerprint is always part of it.
    pub(crate) fn new(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [kind.as_bytes(), Engine::fingerprint().as_bytes()].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().to_hex().to_string())
    }
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn run_child(request: &Request) -> Result<(), CompileError> {
    let io_error = |what: &str| {
        let what = what.to_owned();
        move |source| CompileError::Io { what, source }
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("scaler-compile").arg("__compile").stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    // SAFETY: the closure runs between fork and exec and only makes system calls.
    unsafe { command.pre_exec(limit_child) };
    let mut child = command.spawn().map_err(io_error("starting the compiler"))?;
    let bytes = rmp_serde::to_vec_named(request).unwrap_or_default();
    if let Some(mut stdin) = child.stdin.take() {
        // A child that is dead already says so by its status.
        let _ = stdin.write_all(&bytes);
    }
    let deadline = Instant::now() + Duration::from_secs(WALL_SECONDS);
    let pid = rustix::process::Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .map_err(|error| io_error("watching the compiler")(error.into()))?;
    let has_ended = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(count) => break count > 0,
            Err(error) => return Err(io_error("watching the compiler")(error.into())),
        }
    };
    if !has_ended {
        let _ = child.kill();
        let _ = child.wait();
        return Err(CompileError::TooLong);
    }
    let output = child.wait_with_output().map_err(io_error("reading the compiler's answer"))?;
    match (output.status.success(), output.status.code()) {
        (true, _) => Ok(()),
        (false, Some(1)) if !output.stdout.is_empty() => {
            Err(CompileError::Refused(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        _ => Err(CompileError::Died(output.status)),
    }
}

fn limit_child() -> io::Result<()> {
    for (resource, limit) in [(libc::RLIMIT_DATA, DATA_BYTES), (libc::RLIMIT_CPU, CPU_SECONDS), (libc::RLIMIT_CORE, 0)]
    {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        // SAFETY: a plain system call with a pointer to a value on this stack.
        if unsafe { libc::setrlimit(resource, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: plain system calls; the parent's thread waits for the child, so the signal follows the right thread.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setpriority(libc::PRIO_PROCESS, 0, 5);
    }
    Ok(())
}
