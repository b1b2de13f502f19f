//! A compiled component, linked and ready to be instantiated for every task.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::Engine;
use crate::engine::configuration;
use crate::state::{State, TaskState};
use crate::wasi::WasiState;

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The bytes are something else than a component.
    #[error("the module is {what}, not a component; {remedy}")]
    NotAComponent {
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A component that is not valid, or uses what is switched off.
    #[error("the module cannot be compiled: {reason}")]
    Compile {
        /// What the compiler said.
        reason: String,
    },
    /// The compiled code cannot be mapped.
    #[error("the compiled module cannot be loaded: {reason}")]
    Load {
        /// What the engine said.
        reason: String,
    },
    /// It imports what the host does not have.
    #[error("the module imports {}, which this host does not offer: {reason}", names.join(", "))]
    Import {
        /// The interfaces.
        names: Vec<String>,
        /// What the linker said.
        reason: String,
    },
    /// There is no such export.
    #[error("the module has no function `{function}`")]
    NoFunction {
        /// The interface and the name that were looked for.
        function: String,
    },
    /// The export cannot be called.
    #[error("`{function}` cannot be called: {reason}")]
    NotCallable {
        /// Which.
        function: String,
        /// Why.
        reason: String,
    },
    /// It cannot be made ready for a snapshot.
    #[error(
        "the module cannot be prepared for a snapshot: {reason}; set isolation = \"processor\" to keep an instance alive instead"
    )]
    Prepare {
        /// What the instrumentation said.
        reason: String,
    },
}

/// Compiles a component to an artifact for [`Program::load`]. Runs in the compile child only: it may take seconds and
/// much memory, and bounds neither.
///
/// # Errors
/// The bytes are no valid component.
pub fn compile(component: &[u8]) -> Result<Vec<u8>, ModuleError> {
    check_kind(component)?;
    let reason = |error: wasmtime::Error| ModuleError::Compile { reason: format!("{error:#}") };
    let engine = wasmtime::Engine::new(&configuration()).map_err(reason)?;
    engine.precompile_component(component).map_err(reason)
}

/// Refuses, with a remedy, what is not the binary form of a component.
pub(crate) fn check_kind(bytes: &[u8]) -> Result<(), ModuleError> {
    let (what, remedy) = match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => return Ok(()),
        Some(b"\0asm\x01\0\0\0") => ("a core module", "build it with `scaler build`, or wrap it with a component tool"),
        Some([b'\0', b'a', b's', b'm', ..]) => {
            ("of an unknown version of WebAssembly", "build it again with current tools")
        }
        _ => ("no WebAssembly at all", "give the path of a component (`.wasm`)"),
    };
    Err(ModuleError::NotAComponent { what, remedy })
}

/// A loaded and linked component; cheap to clone.
#[derive(Clone)]
pub struct Program {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    component: Component,
    linked: Linked,
}

/// How it is instantiated: guests that import nothing of WASI pay nothing for it.
pub(crate) enum Linked {
    Lean(InstancePre<TaskState>),
    Wasi(InstancePre<WasiState>),
}

impl Program {
    /// Maps an artifact and links it: WASI, bound to nothing, and `scaler:guest/host`.
    ///
    /// The caller vouches for the file: only artifacts that [`compile`] wrote, with the same
    /// [`Engine::fingerprint`], may be loaded.
    ///
    /// # Errors
    /// The artifact cannot be read, or the component imports something that the host does not offer.
    pub fn load(engine: &Engine, artifact: &Path) -> Result<Self, ModuleError> {
        // SAFETY: the contract of this function, passed on to the caller: the file is one that `compile` wrote,
        // unchanged.
        // It stays mapped, so it must not be written to either; caches replace files, they never overwrite them.
        let component = unsafe { Component::deserialize_file(engine.inner(), artifact) }
            .map_err(|error| ModuleError::Load { reason: format!("{error:#}") })?;
        let linked = link(engine, &component)?;
        Ok(Self { inner: Arc::new(Inner { engine: engine.clone(), component, linked }) })
    }

    /// Finds an exported function, in an interface (as the component names it) or at the root; do it once and keep it.
    ///
    /// # Errors
    /// There is no such function, or it cannot be called (it takes a resource, or is async).
    pub fn entry(&self, interface: Option<&str>, function: &str) -> Result<Entry, ModuleError> {
        let component = &self.inner.component;
        let shown = interface.map_or_else(|| function.to_owned(), |interface| format!("{interface}.{function}"));
        let within = match interface {
            None => None,
            Some(interface) => Some(
                component
                    .get_export_index(None, interface)
                    .ok_or_else(|| ModuleError::NoFunction { function: shown.clone() })?,
            ),
        };
        let Some((ComponentItem::ComponentFunc(ty), index)) = component.get_export(within.as_ref(), function) else {
            return Err(ModuleError::NoFunction { function: shown });
        };
        if ty.async_() {
            return Err(ModuleError::NotCallable { function: shown, reason: "it is async".into() });
        }
        if let Some(refused) = ty.params().map(|(_, ty)| ty).chain(ty.results()).find_map(|ty| uncallable(&ty)) {
            return Err(ModuleError::NotCallable { function: shown, reason: format!("its signature has {refused}") });
        }
        let inner = EntryInner {
            program: self.clone(),
            index,
            function: shown,
            parameters: ty.params().map(|(name, _)| name.replace('-', "_")).collect(),
            has_result: ty.results().len() > 0,
        };
        Ok(Entry { inner: Arc::new(inner) })
    }

    /// Whether it imports WASI.
    #[must_use]
    pub fn uses_wasi(&self) -> bool {
        matches!(self.inner.linked, Linked::Wasi(_))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.inner.linked
    }

    /// Whether it imports an interface, by the name without its version.
    pub(crate) fn imports(&self, interface: &str) -> bool {
        import_names(&self.inner.engine, &self.inner.component).iter().any(|name| without_version(name) == interface)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// What in a type cannot cross between processes.
fn uncallable(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) | Type::Stream(_) => Some("a stream or a future"),
        Type::ErrorContext => Some("an error context"),
        Type::List(list) => uncallable(&list.ty()),
        Type::Option(option) => uncallable(&option.ty()),
        Type::Record(record) => record.fields().find_map(|field| uncallable(&field.ty)),
        Type::Tuple(tuple) => tuple.types().find_map(|ty| uncallable(&ty)),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).find_map(|ty| uncallable(&ty)),
        Type::Result(result) => [result.ok(), result.err()].iter().flatten().find_map(uncallable),
        _ => None,
    }
}

fn import_names(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine.inner()).map(|(name, _)| name.to_owned()).collect()
}

fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn link(engine: &Engine, component: &Component) -> Result<Linked, ModuleError> {
    let names = import_names(engine, component);
    if names.iter().any(|name| name.starts_with("wasi:")) {
        Ok(Linked::Wasi(instantiate_pre(engine.wasi(), component, &names)?))
    } else {
        Ok(Linked::Lean(instantiate_pre(engine.lean(), component, &names)?))
    }
}

fn instantiate_pre<T: State>(
    linker: &Linker<T>,
    component: &Component,
    names: &[String],
) -> Result<InstancePre<T>, ModuleError> {
    linker.instantiate_pre(component).map_err(|error| {
        let foreign = |name: &&String| !OFFERED.iter().any(|offered| name.starts_with(offered));
        let mut refused: Vec<String> = names.iter().filter(foreign).map(|name| format!("`{name}`")).collect();
        if refused.is_empty() {
            refused = vec!["another version of an interface".into()];
        }
        ModuleError::Import { names: refused, reason: format!("{error:#}") }
    })
}

/// The beginnings of what the linkers define, for the message only.
const OFFERED: [&str; 7] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/", "scaler:guest/host"];

/// One function of a program; cheap to clone.
#[derive(Clone)]
pub struct Entry {
    inner: Arc<EntryInner>,
}

struct EntryInner {
    program: Program,
    index: ComponentExportIndex,
    function: String,
    parameters: Vec<String>,
    has_result: bool,
}

impl Entry {
    /// The program it belongs to.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.inner.program
    }

    /// Its name, for messages.
    pub(crate) fn function(&self) -> &str {
        &self.inner.function
    }

    pub(crate) fn index(&self) -> &ComponentExportIndex {
        &self.inner.index
    }

    pub(crate) fn parameters(&self) -> &[String] {
        &self.inner.parameters
    }

    pub(crate) fn has_result(&self) -> bool {
        self.inner.has_result
    }
}
