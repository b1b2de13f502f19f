//! A compiled component, linked and ready to be instantiated for every task.

use std::path::Path;

use crate::Engine;

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Not a component, or not a valid one.
    #[error("the module cannot be compiled: {0}")]
    Compile(String),
}

/// Compiles a component to an artifact for [`Program::load`]. Runs in the compile child only: it may take seconds and
/// much memory, and bounds neither.
///
/// # Errors
/// The bytes are no valid component.
pub fn compile(_component: &[u8]) -> Result<Vec<u8>, ModuleError> {
    todo!()
}

/// A loaded and linked component; cheap to clone.
#[derive(Clone)]
pub struct Program {}

impl Program {
    /// Maps an artifact and links it: WASI, bound to nothing, and `scaler:guest/host`.
    ///
    /// The caller vouches for the file: only artifacts that [`compile`] wrote, with the same
    /// [`Engine::fingerprint`], may be loaded.
    ///
    /// # Errors
    /// The artifact cannot be read, or the component imports something that the host does not offer.
    pub fn load(_engine: &Engine, _artifact: &Path) -> Result<Self, ModuleError> {
        todo!()
    }

    /// Finds an exported function, in an interface (as the component names it) or at the root; do it once and keep it.
    ///
    /// # Errors
    /// There is no such function, or it cannot be called (it takes a resource, or is async).
    pub fn entry(&self, _interface: Option<&str>, _function: &str) -> Result<Entry, ModuleError> {
        todo!()
    }
}

/// One function of a program; cheap to clone.
#[derive(Clone)]
pub struct Entry {}
