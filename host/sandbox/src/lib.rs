//! The only crate that names wasmtime: one call of a component's function in a fresh instance, under grants and limits.
//!
//! A processor makes one [`Engine`], loads [`Program`]s from compiled artifacts, resolves an [`Entry`] for each
//! function once and then has a [`Standby`] run every task ([`run`] runs a single one). The compile child calls
//! [`compile`] and [`prepare`], and nothing else.

mod adapter;
mod engine;
mod fault;
mod grants;
mod host;
mod instance;
mod interrupt;
mod limits;
mod log;
mod program;
mod resident;
mod run;
mod snapshot;
mod standby;
mod state;
mod value;
mod wasi;

pub use engine::{Engine, EngineError, EngineSettings};
pub use fault::{Fault, Report};
pub use grants::{Access, DirectoryGrant, GrantError, Grants, OpenGrants};
pub use interrupt::Interrupt;
pub use limits::Limits;
pub use log::{LogLevel, LogSink, LogSource};
pub use program::{Entry, ModuleError, Program, compile};
pub use resident::Resident;
pub use run::{Task, run};
pub use snapshot::{Snapshot, prepare, snapshot};
pub use standby::Standby;
