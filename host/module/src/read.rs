//! Reads a component's exports, imports, docs and defaults. The bytes may come from anyone.

use scaler_proto::{ids::ModuleHash, message::ModuleInfo};
use serde::Serialize;

use crate::types::Signature;

/// A component, as far as calling it needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Module {
    /// blake3 of the bytes.
    pub hash: ModuleHash,
    /// Size of the bytes.
    pub size_bytes: u64,
    /// Exported functions that can be called.
    pub functions: Vec<Function>,
    /// Exported functions that cannot be called, each with the reason.
    pub uncallable: Vec<Uncallable>,
    /// Interfaces and functions it asks of the host.
    pub imports: Vec<Import>,
    /// What its author wrote about it.
    pub docs: Option<String>,
}

/// An exported function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    /// The interface as exported (`ns:pkg/init@1.0.0` or `init`), `None` for a root export.
    pub interface: Option<String>,
    /// Name as exported, in kebab-case.
    pub name: String,
    /// What its author wrote about it.
    pub docs: Option<String>,
    /// Parameters and result.
    pub signature: Signature,
}

/// An exported function that a task cannot call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncallable {
    /// As [`Function::interface`].
    pub interface: Option<String>,
    /// As [`Function::name`].
    pub name: String,
    /// Why.
    pub reason: String,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The interface (`wasi:cli/environment@0.2.6`), or the function itself for a root import.
    pub name: String,
    /// The interface's functions; empty for a root import.
    pub functions: Vec<String>,
}

/// Why bytes are no module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Not WebAssembly at all.
    #[error("not a WebAssembly component: the file is empty")]
    Empty,
}

impl Module {
    /// Reads a component's exports.
    ///
    /// # Errors
    /// When the bytes are no component, with what they are instead.
    pub fn read(_bytes: &[u8]) -> Result<Self, ReadError> {
        todo!()
    }

    /// The form in which a cluster or a client announces it: callable functions only.
    #[must_use]
    pub fn info(&self, _path: impl Into<String>, _preload: Option<String>) -> ModuleInfo {
        todo!()
    }

    /// The function exported under exactly these names.
    #[must_use]
    pub fn function(&self, interface: Option<&str>, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.interface.as_deref() == interface && function.name == name)
    }
}
