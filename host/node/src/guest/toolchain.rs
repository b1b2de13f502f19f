//! A compiler that has the standard library of a WebAssembly target.
//!
//! In this order: the one that `SCALER_TOOLCHAIN` names; the user's own, if it has the target; the one in the cache;
//! the user's own after `rustup target add`; one made of Debian's packages.

use super::{GuestError, cache, debian, progress};
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Names a ready toolchain: a folder with `bin/rustc`.
pub(super) const VARIABLE: &str = "SCALER_TOOLCHAIN";

/// Why there is no compiler for guests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// `SCALER_TOOLCHAIN` names something else than a toolchain with the target.
    #[error("SCALER_TOOLCHAIN={}: {reason}", path.display())]
    Variable {
        /// Its value.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// rustup cannot add the target, and this machine is none on which we know another way.
    #[error("the Rust compiler has no standard library for {target}: run `rustup target add {target}`\n{reason}")]
    NoTarget {
        /// The WebAssembly target.
        target: String,
        /// What was tried, and why it failed.
        reason: String,
    },
    /// A step of making the toolchain failed.
    #[error("making a Rust toolchain for {target} failed: {step}\n{message}")]
    Step {
        /// The WebAssembly target.
        target: String,
        /// What was tried.
        step: String,
        /// What the program said.
        message: String,
    },
}

/// A compiler that can build for the target.
#[derive(Debug)]
pub(super) struct Toolchain {
    /// `None`: the user's own, as cargo finds it.
    rustc: Option<PathBuf>,
    /// Names compiler and standard library: cargo does not notice when a standard library is rebuilt.
    pub(super) stamp: String,
}

impl Toolchain {
    /// Makes a cargo command use it.
    pub(super) fn apply(&self, command: &mut Command) {
        if let Some(rustc) = &self.rustc {
            // A wrapper was set up for the user's compiler, and cannot know the flags of another.
            command.env("RUSTC", rustc).env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
        }
    }

    fn at(folder: &Path, target: &str) -> Option<Self> {
        let rustc = folder.join("bin/rustc");
        let library = library_folder(&rustc, target)?;
        Some(Self { stamp: stamp(&rustc, &library), rustc: Some(rustc) })
    }
}

/// Finds a compiler for the target, or makes one.
pub(super) fn find(target: &str, progress: &mut dyn Write) -> Result<Toolchain, GuestError> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from) {
        return Toolchain::at(&folder, target).ok_or_else(|| {
            let reason = format!("there is no bin/rustc with a standard library for {target}");
            ToolchainError::Variable { path: folder, reason }.into()
        });
    }
    let own = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    let own = || {
        let library = library_folder(&own, target)?;
        Some(Toolchain { rustc: None, stamp: stamp(&own, &library) })
    };
    if let Some(toolchain) = own() {
        return Ok(toolchain);
    }
    let folder = cache::folder().join(debian::FOLDER);
    if let Some(toolchain) = Toolchain::at(&folder, target) {
        return Ok(toolchain);
    }
    // Two of us at once would have rustup write the same files.
    let lock = cache::Lock::acquire(&cache::folder().join("rustup"))?;
    if let Some(toolchain) = own() {
        return Ok(toolchain);
    }
    let added = add_target(target, progress)?;
    drop(lock);
    let refusal = match added {
        Ok(()) => match own() {
            Some(toolchain) => return Ok(toolchain),
            None => "rustup added it for a compiler that is not the one on PATH".to_owned(),
        },
        Err(refusal) => refusal,
    };
    debian::make(&folder, target, &refusal, progress)?;
    Toolchain::at(&folder, target).ok_or_else(|| {
        let reason = format!("the toolchain in {} does not run", folder.display());
        ToolchainError::NoTarget { target: target.to_owned(), reason }.into()
    })
}

/// The folder of the target's libraries, if the standard library is among them.
pub(super) fn library_folder(rustc: &Path, target: &str) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let mut names = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.file_name());
    let is_library = |name: std::ffi::OsString| name.to_string_lossy().starts_with("libstd-");
    // A toolchain that we are still making has the library, but not yet the mark behind it.
    let is_unfinished = folder.join(debian::UNFINISHED).exists();
    (output.status.success() && !is_unfinished && names.any(is_library)).then_some(folder)
}

/// A short name for compiler and standard library.
fn stamp(rustc: &Path, library: &Path) -> String {
    let version = Command::new(rustc).arg("-vV").stdin(Stdio::null()).output().map(|output| output.stdout);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&version.unwrap_or_default());
    let mut names: Vec<String> = fs::read_dir(library)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names.iter().for_each(|name| {
        hasher.update(name.as_bytes());
    });
    hasher.update(&fs::read(library.join(debian::BUILT)).unwrap_or_default());
    hasher.finalize().to_hex()[..12].to_owned()
}

/// Asks rustup for the target. The inner error says why it could not.
fn add_target(target: &str, progress: &mut dyn Write) -> Result<Result<(), String>, GuestError> {
    let mut command = Command::new("rustup");
    command.args(["target", "add", target]).stdin(Stdio::null());
    writeln!(progress, "the Rust compiler has no standard library for {target} yet: asking rustup for it")?;
    progress.flush()?;
    Ok(match progress::during("rustup target add", || command.output()) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it gave no reason");
            Err(format!("rustup could not add it ({})", last.trim_start_matches("error: ")))
        }
        Err(error) => Err(format!("rustup does not run ({error})")),
    })
}
