//! Guest projects: `scaler new` makes one, `scaler build` turns it into a component that the sandbox can run.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

/// Arguments of `scaler build`.
#[derive(Debug, Clone, clap::Args)]
pub struct BuildArgs {
    /// Folder of the guest crate (or its Cargo.toml), or a WebAssembly file that another tool made
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// Where the component goes [default: modules/<package>.wasm in the crate]
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
    /// The exported functions as `interface.function`, in the order of the component.
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
}

/// Builds a guest crate into a component; `progress` gets lines for people (nothing that a program should parse).
pub fn build(arguments: &BuildArgs, progress: &mut dyn Write) -> Result<Built, GuestError> {
    let _ = (arguments, progress);
    todo!()
}

/// Makes a guest project; `output` gets lines for people, the next two commands among them.
pub fn new(arguments: &NewArgs, output: &mut dyn Write) -> Result<(), GuestError> {
    let _ = (arguments, output);
    todo!()
}
