//! Guest projects: `scaler new` makes one, `scaler build` turns it into a component that the sandbox can run.
//!
//! - `manifest`: what cargo says about the crate; `compile`: the call of cargo that makes the core module;
//! - `toolchain`: a compiler that has the target's standard library, `debian`: how to get one where rustup cannot;
//! - `component`: from the core module to the component;
//! - `project`: a new project; `cache`: the user's cache folder, where toolchain and SDK are kept; `sdk`: the latter;
//! - `sources`: what a guest is made of, for `--watch`; `progress`: a moving line while something long runs;
//! - `lacks`: what a guest calls in vain, for a note: `println!`, clocks, files, threads;
//! - `probe`: what there is of all that, for `scaler doctor`.

mod cache;
mod compile;
mod component;
mod debian;
mod lacks;
mod manifest;
mod probe;
mod progress;
mod project;
mod sdk;
mod sources;
mod toolchain;

pub use component::ComponentError;
pub(crate) use probe::{TARGETS, cargo_version, toolchain_for};
pub(crate) use sources::Sources;
pub use toolchain::ToolchainError;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use self::lacks::Lack;
use scaler_module::{DottedName, Function, Module, module_name};

/// Folder of the SDK that this program carries, unpacked into the user's cache.
pub(crate) fn sdk() -> Result<PathBuf, GuestError> {
    sdk::unpack()
}

/// The user's cache folder.
pub(crate) fn cache_folder() -> PathBuf {
    cache::folder()
}

/// Arguments of `scaler build`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BuildArgs {
    /// Folder of the guest crate (or its Cargo.toml), or a WebAssembly file that another tool made
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// Where the component goes [default: modules/PACKAGE.wasm in the crate; for a file, modules/ beside it]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `scaler new`.
#[derive(Debug, Clone, clap::Args)]
pub struct NewArgs {
    /// Name of the project, or a path whose last part is the name
    #[arg(value_name = "NAME")]
    pub name: PathBuf,
}

/// What `build` made.
#[derive(Debug, Clone)]
pub struct Built {
    /// Path of the component.
    pub path: PathBuf,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// The functions that can be called, as calls name them (`module.interface:function`), in the order of the
    /// component.
    pub functions: Vec<String>,
    /// Whether the component imports WASI.
    pub wasi: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// Why a guest could not be made or built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The caller's output could not be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// A file or folder could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to build.
    #[error("{} is no guest: there is no Cargo.toml (`scaler new NAME` makes a project)", .0.display())]
    NoManifest(PathBuf),
    /// The path leads nowhere.
    #[error("there is no {}: name the folder of a guest, its Cargo.toml, or a WebAssembly file", .0.display())]
    NoPath(PathBuf),
    /// A module of another tool would be replaced by its component.
    #[error(
        "{} is a core module in the folder where its component would go: name another file with --output", .0.display()
    )]
    InPlace(PathBuf),
    /// Cargo is not installed.
    #[error("cannot start `{program}`: install Rust with cargo, which builds guests")]
    NoCargo {
        /// The program that was tried.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Cargo could not make sense of the project.
    #[error("cargo cannot read {}:\n{message}", path.display())]
    Metadata {
        /// The manifest.
        path: PathBuf,
        /// What cargo said.
        message: String,
    },
    /// The manifest belongs to a workspace without a package of its own.
    #[error("{} has no package: name the folder of one of its members", .0.display())]
    NoPackage(PathBuf),
    /// The crate is not linked as a module.
    #[error("the crate `{package}` is no WebAssembly module: add these lines to {}\n\n    [lib]\n    crate-type = [\"cdylib\"]", path.display())]
    NotCdylib {
        /// The package.
        package: String,
        /// Its manifest.
        path: PathBuf,
    },
    /// The project's dependency on the SDK leads nowhere.
    #[error(
        "{}:{line}: the dependency `scaler-guest` leads to {}, where it is not; this program has it at another place, so \
         write there\n\n    {remedy}",
        manifest.display(), path.display()
    )]
    NoSdk {
        /// The manifest.
        manifest: PathBuf,
        /// Where the path stands in it, counted from 1.
        line: usize,
        /// Where it leads.
        path: PathBuf,
        /// The whole line with the path of our own SDK.
        remedy: String,
    },
    /// A setting under `[package.metadata.scaler]` is not known.
    #[error("{}: [package.metadata.scaler] {message}; it knows `wasi = true` and `wasi = false`", path.display())]
    Setting {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The compiler refused the guest; its messages went to stderr.
    #[error("`{package}` does not compile: see the compiler's messages above")]
    Compile {
        /// The package.
        package: String,
    },
    /// No compiler for guests could be had.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The module could not be made a component.
    #[error("{}: {error}", path.display())]
    Component {
        /// The module.
        path: PathBuf,
        /// Why.
        error: ComponentError,
    },
    /// The component was made and cannot be read back.
    #[error("{}: {message}", path.display())]
    Unreadable {
        /// The component.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The folder cannot be looked at every moment.
    #[error("{} holds too many files to watch: name the guest's own folder", .0.display())]
    TooManyFiles(PathBuf),
    /// The project's name is no name of a package.
    #[error(
        "`{0}` is no name for a project: it must be of ASCII letters, digits, `-` and `_`, and start with a letter"
    )]
    Name(String),
    /// The place of the new project is taken.
    #[error("{} exists already and is not empty", .0.display())]
    NotEmpty(PathBuf),
}

impl GuestError {
    /// Whether what was asked for makes no sense, as opposed to a build that fails.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NoManifest(_)
            | Self::NoPath(_)
            | Self::InPlace(_)
            | Self::NoPackage(_)
            | Self::NotCdylib { .. }
            | Self::NoSdk { .. }
            | Self::Setting { .. }
            | Self::Metadata { .. }
            | Self::TooManyFiles(_)
            | Self::Name(_)
            | Self::NotEmpty(_)
            | Self::Component { error: ComponentError::NotWasm(_), .. } => true,
            Self::Output(_)
            | Self::File { .. }
            | Self::NoCargo { .. }
            | Self::Compile { .. }
            | Self::Toolchain(_)
            | Self::Component { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// Builds a guest crate into a component; `progress` gets lines for people (nothing that a program should parse).
///
/// # Errors
/// When there is nothing to build, when it does not compile (the compiler's messages go to stderr), when no compiler
/// for guests can be had, and when the module exports nothing that a component can have.
pub fn build(arguments: &BuildArgs, progress: &mut dyn Write) -> Result<Built, GuestError> {
    build_in(arguments, None, progress)
}

/// As [`build`], with the folder for intermediates given: guests that share one compile their dependencies once.
///
/// # Errors
/// As [`build`].
pub fn build_in(
    arguments: &BuildArgs,
    target_folder: Option<&Path>,
    progress: &mut dyn Write,
) -> Result<Built, GuestError> {
    let started = Instant::now();
    let mut compiled = None;
    if !arguments.path.exists() {
        return Err(GuestError::NoPath(arguments.path.clone()));
    }
    let (core, default_output) = if arguments.path.is_file() && !is_manifest(&arguments.path) {
        // In a call, a name with dots would be something else.
        let name = match module_name(&arguments.path) {
            Ok(_) => arguments.path.file_name().unwrap_or_default().to_owned(),
            Err(dotted) => dotted.renamed.into(),
        };
        // What lies in a folder `modules` already is where a component belongs.
        let is_there = std::path::absolute(&arguments.path)?.parent().is_some_and(|folder| folder.ends_with("modules"));
        let beside = arguments.path.with_file_name("modules").join(name);
        (arguments.path.clone(), if is_there { arguments.path.clone() } else { beside })
    } else {
        let mut package = manifest::read(&arguments.path)?;
        if let Some(folder) = target_folder {
            package.target_folder = std::path::absolute(folder)?;
        }
        let core = compile::compile(&package, progress)?;
        let output = package.folder.join("modules").join(format!("{}.wasm", package.name.replace('-', "_")));
        compiled = Some(package);
        (core, output)
    };
    let output = arguments.output.clone().unwrap_or(default_output);
    let bytes = fs::read(&core).map_err(GuestError::file("read", &core))?;
    let component =
        component::componentise(&bytes).map_err(|error| GuestError::Component { path: core.clone(), error })?;
    if output == core && component != bytes {
        return Err(GuestError::InPlace(core));
    }
    write_whole(&output, &component)?;
    let built = describe(output, &component, started)?;
    report(&built, progress)?;
    if let Err(dotted) = module_name(&built.path) {
        writeln!(progress, "note: no call finds this file: {dotted}")?;
    }
    if let Some(package) = compiled {
        note_lacks(&package, progress)?;
    }
    Ok(built)
}

/// Makes a guest project; `output` gets lines for people, the next two commands among them.
///
/// # Errors
/// When the name is no package's name, or the folder is taken or cannot be written.
pub fn new(arguments: &NewArgs, output: &mut dyn Write) -> Result<(), GuestError> {
    project::new(&arguments.name, output)
}

/// Says what the guest calls in vain.
fn note_lacks(package: &manifest::Package, progress: &mut dyn Write) -> io::Result<()> {
    for lacks::Found { place, name, lack } in lacks::first_of_each(&package.folder) {
        let what = match lack {
            Lack::Threads => "fails when it is called: no guest has threads; make it tasks of their own",
            Lack::Output | Lack::System if package.wasi => continue,
            Lack::Output => "writes nowhere without WASI; use scaler_guest::log::info!, or",
            Lack::System => "fails without WASI when it is called;",
        };
        let remedy = match lack {
            Lack::Threads => String::new(),
            // Without WASI the line is there: by default there is WASI.
            _ => format!(
                " change `wasi = false` to `wasi = true` under [package.metadata.scaler] in {}",
                package.manifest.display()
            ),
        };
        writeln!(progress, "note: {place}: {name} {what}{remedy}")?;
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "Cargo.toml")
}

/// Writes a file, and its folder where there is none.
fn write(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(GuestError::file("create", folder))?;
    }
    fs::write(path, bytes).map_err(GuestError::file("write", path))
}

/// Writes a file so that nobody sees half of it; an equal file stays untouched, and who watches it is not woken.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(GuestError::file("create", folder))?;
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".building-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        // A temporary file is the user's alone; a component is as readable as any file.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(permissions)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(GuestError::file("write", path))
}

fn describe(path: PathBuf, component: &[u8], started: Instant) -> Result<Built, GuestError> {
    let module = Module::read(component)
        .map_err(|error| GuestError::Unreadable { path: path.clone(), message: error.to_string() })?;
    let wasi = module.imports.iter().any(|import| import.name.starts_with("wasi:"));
    let (stem, _) = call_stem(&path);
    let functions = module.functions.iter().map(|function| call_name(&stem, function)).collect();
    Ok(Built { path, size_bytes: component.len() as u64, functions, wasi, elapsed: started.elapsed() })
}

/// What calls of a component's file begin with; where its name has dots, that of the file as it should be named, and
/// what to say about it.
pub(crate) fn call_stem(path: &Path) -> (String, Option<DottedName>) {
    match module_name(path) {
        Ok(stem) => (stem, None),
        Err(dotted) => (module_name(Path::new(&dotted.renamed)).unwrap_or_default(), Some(dotted)),
    }
}

/// `file.interface:function` with the names that a call uses: snake_case, no package, no version.
pub(crate) fn call_name(stem: &str, function: &Function) -> String {
    let name = function.name.replace('-', "_");
    match &function.interface {
        None => format!("{stem}:{name}"),
        Some(interface) => {
            let bare = interface.split('@').next().unwrap_or_default();
            let last = bare.rsplit('/').next().unwrap_or_default().replace('-', "_");
            format!("{stem}.{last}:{name}")
        }
    }
}

fn report(built: &Built, progress: &mut dyn Write) -> io::Result<()> {
    let kib = built.size_bytes.div_ceil(1024);
    let wasi = if built.wasi { "with WASI" } else { "without WASI" };
    let seconds = built.elapsed.as_secs_f64();
    writeln!(progress, "built {} ({kib} KiB, {wasi}) in {seconds:.1} s", built.path.display())?;
    built.functions.iter().try_for_each(|function| writeln!(progress, "  {function}"))
}
