//! A Rust toolchain for WebAssembly made of Debian's packages, for machines on which rustup can download nothing.
//!
//! Debian has a recent compiler (`rustc-web`) with the source of its standard library, but no standard library for
//! WebAssembly that fits it. So the packages are unpacked into a folder of the user's (nothing is installed), and the
//! standard library is built once per target. Every step leaves its mark; a run that was cut short goes on where it
//! was.

use super::{GuestError, ToolchainError, cache::Lock, manifest::cargo, progress};
use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The toolchain's folder in the cache. The number changes with what the steps below make.
pub(super) const FOLDER: &str = "toolchain-1";
/// In a target's library folder while its standard library is being put there.
pub(super) const UNFINISHED: &str = "unfinished";
/// In a target's library folder when its standard library is complete.
pub(super) const BUILT: &str = "built";

const HOST: &str = "x86_64-unknown-linux-gnu";
/// The first compiler whose standard library these steps can build.
const MINOR_VERSION_MIN: u32 = 90;
/// What the compiler's LLVM loads and a bare machine may lack.
const LIBRARIES: [&str; 9] =
    ["libedit2", "libxml2", "libz3-4", "libffi8", "libicu72", "libbsd0", "libmd0", "libzstd1", "zlib1g"];

/// Makes what is missing for the target in the folder; `refusal` says why there is no simpler way.
pub(super) fn make(folder: &Path, target: &str, refusal: &str, progress: &mut dyn Write) -> Result<(), GuestError> {
    let no_target = |reason: &str| {
        let reason = format!("{refusal}, and {reason}");
        GuestError::from(ToolchainError::NoTarget { target: target.to_owned(), reason })
    };
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(no_target("the other way needs Debian on x86_64"));
    }
    if !["apt-get", "apt-cache", "dpkg", "tar"].iter().all(|program| is_on_path(program)) {
        return Err(no_target("this is no Debian (apt-get, apt-cache, dpkg and tar), where there is another way"));
    }
    let _lock = Lock::acquire(folder)?;
    let mut maker = Maker { folder, target, started: Instant::now(), progress };
    maker.say(&format!("{refusal}; making a toolchain of Debian's packages in {} instead, once", folder.display()))?;
    let llvm = maker.unpack()?;
    maker.set_up_compiler(&llvm)?;
    maker.build_standard_library()
}

fn is_on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

struct Maker<'a> {
    folder: &'a Path,
    target: &'a str,
    started: Instant,
    progress: &'a mut dyn Write,
}

/// The packages to fetch, and LLVM's major version.
struct Packages {
    names: Vec<String>,
    llvm: String,
}

impl Maker<'_> {
    fn say(&mut self, line: &str) -> Result<(), GuestError> {
        writeln!(self.progress, "{:>5.0} s  {line}", self.started.elapsed().as_secs_f64())?;
        self.progress.flush()?;
        Ok(())
    }

    fn failed(&self, step: &str, message: impl Into<String>) -> GuestError {
        let (target, step) = (self.target.to_owned(), step.to_owned());
        ToolchainError::Step { target, step, message: message.into() }.into()
    }

    /// Runs a program and gives its output; a terminal shows that it is at work.
    fn run(&self, step: &str, command: &mut Command) -> Result<String, GuestError> {
        progress::during(step, || self.run_unseen(step, command))
    }

    fn run_unseen(&self, step: &str, command: &mut Command) -> Result<String, GuestError> {
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.failed(step, format!("{}: {error}", command.get_program().display())))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        Err(self.failed(step, lines[lines.len().saturating_sub(20)..].join("\n")))
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// A program of apt's, with package lists of our own once we fetched some.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").args(["-o", "APT::Sandbox::User="]);
        let own = self.folder.join("apt");
        if own.join("lists").is_dir() {
            for (key, value) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
                command.arg("-o").arg(format!("{key}={}", own.join(value).display()));
            }
        }
        command
    }

    /// The version of Debian's compiler that apt would fetch.
    fn candidate(&self) -> Option<String> {
        let output = self.apt("apt-cache").args(["policy", "rustc-web"]).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
        (version != "(none)").then(|| version.to_owned())
    }

    /// Makes sure that apt knows a recent compiler. Package lists that came with a machine's image may be old; fresh
    /// ones go to our folder, so that this needs no rights and changes nothing of the system.
    fn refresh_lists(&mut self) -> Result<(), GuestError> {
        let before = self.candidate();
        if before.as_deref().is_some_and(is_recent) {
            return Ok(());
        }
        let known = before.map_or("no rustc-web".to_owned(), |version| format!("only rustc-web {version}"));
        self.say(&format!("apt knows {known}: fetching today's package lists"))?;
        let own = self.folder.join("apt");
        for name in ["lists/partial", "cache/archives/partial"] {
            let path = own.join(name);
            fs::create_dir_all(&path).map_err(GuestError::file("create", &path))?;
        }
        self.run("apt-get update", self.apt("apt-get").args(["-q", "update"]))?;
        match self.candidate() {
            Some(version) if is_recent(&version) => Ok(()),
            version => Err(self.failed(
                "looking for rustc-web",
                format!(
                    "Debian's package must be of Rust 1.{MINOR_VERSION_MIN} or later; apt offers {}",
                    version.as_deref().unwrap_or("none")
                ),
            )),
        }
    }

    /// The compiler names its standard library, that names its LLVM, and the linker has LLVM's number.
    fn packages(&self) -> Result<Packages, GuestError> {
        let standard_library = self.dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
        let llvm_library = self.dependency(&standard_library, "libllvm")?;
        let llvm = llvm_library.trim_start_matches("libllvm").to_owned();
        let linker = format!("lld-{llvm}");
        let mut names: Vec<String> =
            ["rustc-web", "libstd-rust-web-dev", "rust-web-src", "wasi-libc"].map(str::to_owned).into();
        names.extend([standard_library, llvm_library, linker]);
        for library in LIBRARIES {
            let mut query = Command::new("dpkg");
            query.args(["-s", library]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if !query.status().is_ok_and(|status| status.success()) && self.is_available(library) {
                names.push(library.to_owned());
            }
        }
        Ok(Packages { names, llvm })
    }

    /// Bytes of these packages, as apt knows them.
    fn size_of(&self, names: &[String]) -> Option<u64> {
        let mut query = self.apt("apt-get");
        let output = query.args(["-q", "--print-uris", "download"]).args(names).stdin(Stdio::null()).output().ok()?;
        sizes(&String::from_utf8_lossy(&output.stdout)).filter(|_| output.status.success())
    }

    fn is_available(&self, package: &str) -> bool {
        let mut query = self.apt("apt-cache");
        query.args(["show", package]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        query.status().is_ok_and(|status| status.success())
    }

    fn dependency(&self, package: &str, prefix: &str) -> Result<String, GuestError> {
        let step = format!("reading the dependencies of {package}");
        let text = self.run(&step, self.apt("apt-cache").args(["depends", "--important", package]))?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let is_wanted = |name: &&str| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        };
        let mut wanted = names.filter(is_wanted).map(str::to_owned);
        wanted.next().ok_or_else(|| self.failed(&step, format!("none of them is a {prefix}N:\n{text}")))
    }

    /// Fetches and unpacks; gives LLVM's version, which the mark remembers.
    fn unpack(&mut self) -> Result<String, GuestError> {
        let mark = self.folder.join("unpacked");
        if let Ok(llvm) = fs::read_to_string(&mark) {
            return Ok(llvm);
        }
        self.refresh_lists()?;
        let Packages { names, llvm } = self.packages()?;
        let archives = self.folder.join("archives");
        fs::create_dir_all(&archives).map_err(GuestError::file("create", &archives))?;
        let total = self.size_of(&names);
        let size = total.map_or_else(|| "about 130 MB".to_owned(), |total| format!("{} MB", total.div_ceil(1_000_000)));
        self.say(&format!("fetching {size}: {}", names.join(" ")))?;
        let mut fetch = self.apt("apt-get");
        fetch.args(["-q", "download"]).args(&names).current_dir(&archives);
        progress::during_arrival("fetching", &archives, total, || self.run_unseen("apt-get download", &mut fetch))?;
        self.say("unpacking")?;
        let root = self.root();
        if root.exists() {
            fs::remove_dir_all(&root).map_err(GuestError::file("remove", &root))?;
        }
        fs::create_dir_all(&root).map_err(GuestError::file("create", &root))?;
        let entries = fs::read_dir(&archives).map_err(GuestError::file("read", &archives))?;
        let is_package = |path: &PathBuf| path.extension() == Some(OsStr::new("deb"));
        for archive in entries.flatten().map(|entry| entry.path()).filter(is_package) {
            self.unpack_one(&archive, &root)?;
        }
        for spent in [archives, self.folder.join("apt")] {
            if spent.exists() {
                fs::remove_dir_all(&spent).map_err(GuestError::file("remove", &spent))?;
            }
        }
        fs::write(&mark, &llvm).map_err(GuestError::file("write", &mark))?;
        Ok(llvm)
    }

    fn unpack_one(&self, archive: &Path, root: &Path) -> Result<(), GuestError> {
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let step = format!("unpacking {name}");
        let mut dpkg = Command::new("dpkg");
        dpkg.arg("--fsys-tarfile").arg(archive).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut dpkg = dpkg.spawn().map_err(|error| self.failed(&step, error.to_string()))?;
        let mut tar = Command::new("tar");
        tar.args(["-x", "--exclude=./usr/share/*", "--exclude=*/liblld*.a", "-C"]).arg(root);
        if name.starts_with("rust-web-src_") {
            // Of the compiler's source only the standard library with its vendored crates.
            tar.args(["--wildcards", "./usr/src/*/library", "./usr/src/*/Cargo.lock", "./usr/lib/rustlib"]);
        }
        if let Some(stream) = dpkg.stdout.take() {
            tar.stdin(stream);
        }
        let output = progress::during(&step, || tar.output()).map_err(|error| self.failed(&step, error.to_string()))?;
        let unpacked = dpkg.wait().is_ok_and(|status| status.success());
        if output.status.success() && unpacked {
            return Ok(());
        }
        // The next run fetches it again.
        let _ = fs::remove_file(archive);
        Err(self.failed(&step, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// The compiler's entry and its linker.
    fn set_up_compiler(&self, llvm: &str) -> Result<(), GuestError> {
        let rustlib = self.root().join("usr/lib/rustlib").join(HOST).join("bin");
        let bin = self.folder.join("bin");
        for folder in [&rustlib, &bin] {
            fs::create_dir_all(folder).map_err(GuestError::file("create", folder))?;
        }
        // A wrapper keeps the private libraries out of the environment of cargo and of build scripts.
        let wrapper = bin.join("rustc");
        let script = r#"#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")/root/usr
LD_LIBRARY_PATH="$root/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$root/bin/rustc" "$@"
"#;
        fs::write(&wrapper, script)
            .and_then(|()| fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)))
            .map_err(GuestError::file("write", &wrapper))?;
        // The targets' own linker is `rust-lld`, looked up beside the libraries: no linker setting is needed then.
        let linker = rustlib.join("rust-lld");
        if fs::symlink_metadata(&linker).is_ok() {
            fs::remove_file(&linker).map_err(GuestError::file("replace", &linker))?;
        }
        symlink(format!("../../../llvm-{llvm}/bin/lld"), &linker).map_err(GuestError::file("link", &linker))
    }

    fn build_standard_library(&mut self) -> Result<(), GuestError> {
        let rustlib = self.root().join("usr/lib/rustlib");
        let library = rustlib.join(self.target).join("lib");
        if library.join(BUILT).exists() {
            return Ok(());
        }
        self.say(&format!("building the standard library for {} (one to two minutes)", self.target))?;
        let scratch = self.folder.join("std");
        for folder in [&library, &scratch] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(GuestError::file("remove", folder))?;
            }
            fs::create_dir_all(folder).map_err(GuestError::file("create", folder))?;
        }
        let write = |path: PathBuf, text: &str| fs::write(&path, text).map_err(GuestError::file("write", &path));
        write(library.join(UNFINISHED), "")?;
        if self.target.contains("wasi") {
            self.copy_wasi_objects(&library)?;
        }
        let profile = "[profile.release]\npanic = \"abort\"\n";
        write(
            scratch.join("Cargo.toml"),
            &format!("[package]\nname = \"standard-library\"\nedition = \"2021\"\n[workspace]\n{profile}"),
        )?;
        fs::create_dir_all(scratch.join("src")).map_err(GuestError::file("create", &scratch))?;
        write(scratch.join("src/lib.rs"), "#![no_std]\n")?;
        self.run("building the standard library", &mut self.standard_library_command(&scratch, &rustlib)?)?;
        let built = scratch.join("target").join(self.target).join("release/deps");
        let entries = fs::read_dir(&built).map_err(GuestError::file("read", &built))?;
        for file in entries.flatten().map(|entry| entry.path()) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".rlib") && !name.starts_with("libstandard_library-") {
                fs::copy(&file, library.join(&name)).map_err(GuestError::file("copy", &file))?;
            }
        }
        fs::remove_dir_all(&scratch).map_err(GuestError::file("remove", &scratch))?;
        write(library.join(BUILT), &self.identity())?;
        let unfinished = library.join(UNFINISHED);
        fs::remove_file(&unfinished).map_err(GuestError::file("remove", &unfinished))?;
        self.say(&format!("ready for {}", self.target))
    }

    /// Names this build of the standard library.
    fn identity(&self) -> String {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        format!("{} {}", self.target, since.map(|since| since.as_nanos()).unwrap_or_default())
    }

    fn copy_wasi_objects(&self, library: &Path) -> Result<(), GuestError> {
        let to = library.join("self-contained");
        fs::create_dir_all(&to).map_err(GuestError::file("create", &to))?;
        for name in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
            let from = self.root().join("usr/lib/wasm32-wasi").join(name);
            fs::copy(&from, to.join(name)).map_err(GuestError::file("copy", &from))?;
        }
        Ok(())
    }

    fn standard_library_command(&self, scratch: &Path, rustlib: &Path) -> Result<Command, GuestError> {
        let sources = self.root().join("usr/src");
        let entries = fs::read_dir(&sources).map_err(GuestError::file("read", &sources))?;
        let mut folders = entries.flatten().map(|entry| entry.path().join("library/vendor"));
        let Some(vendor) = folders.find(|folder| folder.is_dir()) else {
            let message = format!("there is no source of it in {}", sources.display());
            return Err(self.failed("looking for the standard library", message));
        };
        let mut command = cargo();
        // Bitcode: without it, guests with link-time optimisation fail. Remapped paths: those of this machine stay
        // out of the guests' panic messages.
        let remapped = [sources.as_path(), &rustlib.join("src/rust")];
        let remapped = remapped.map(|path| format!("\x1f--remap-path-prefix={}=/rustc", path.display()));
        let flags = format!("-Cembed-bitcode=yes{}", remapped.concat());
        for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            command.env_remove(name);
        }
        command
            .env("RUSTC", self.folder.join("bin/rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", "target")
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .current_dir(scratch)
            .args(["build", "--quiet", "--release", "--offline", "--target", self.target])
            .args(["-Zbuild-std=std,panic_abort", "--config", "source.crates-io.replace-with=\"vendored\"", "--config"])
            .arg(format!("source.vendored.directory=\"{}\"", vendor.display()));
        Ok(command)
    }
}

/// The sum of the sizes in lines like `'URL' FILE BYTES HASH`; none if there is no such line.
fn sizes(uris: &str) -> Option<u64> {
    let lines = uris.lines().filter(|line| line.starts_with('\''));
    lines.map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum::<Option<u64>>().filter(|sum| *sum > 0)
}

/// Whether a Debian version is of a compiler that we can use.
fn is_recent(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    match (next(), next()) {
        (Some(1), Some(minor)) => minor >= MINOR_VERSION_MIN,
        (Some(major), _) => major > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_recent, sizes};

    #[test]
    fn sizes_are_those_that_apt_prints() {
        let line = |bytes: &str| format!("'http://x/a_1.deb' a_1.deb {bytes} SHA256:00ff\n");
        assert_eq!(sizes(&format!("Reading..\n{}{}", line("100"), line("23"))), Some(123));
        assert_eq!(sizes(&line("many")), None);
        assert_eq!(sizes(""), None);
    }

    #[test]
    fn versions_of_debian_are_compared_by_the_compilers_number() {
        assert!(is_recent("1.96.0+dfsg1-1~deb12u1"));
        assert!(is_recent("2.0.0"));
        assert!(!is_recent("1.85.0+dfsg3-1~deb12u3"));
        assert!(!is_recent("(none)"));
    }
}
