//! Which globals of an instrumented component belong to the adapter for WASI preview 1, and what they begin with.
//!
//! The adapter keeps host handles in a state that its globals point at. With initial globals it makes a new state when
//! it is first used, as in a fresh instance; the numbers it gives to preopens are the same again.

use std::collections::HashMap;

use wasmparser::{ExternalKind, Operator, Parser, Payload};

/// Functions of WASI preview 1. The adapter is the one module of a component that exports such names (it has no name
/// that survives every encoder); of these, each adapter keeps what its guest uses.
const PREVIEW1: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_filestat_get",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_filestat_get",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// What the instrumentation calls the globals that it exports.
const GLOBAL: &str = "__wizer_global_";

/// What it calls the memories.
const MEMORY: &str = "__wizer_memory_";

/// By name of the accessor: accessors are numbered over all modules, first the globals of each and then its memories.
/// Nothing, if there is no adapter or the component is not of the form that the encoder writes.
pub(crate) fn adapter_globals(instrumented: &[u8]) -> HashMap<String, i64> {
    let mut found = HashMap::new();
    let mut accessor = 0;
    for module in modules(instrumented) {
        for (index, initial) in module.globals.iter().enumerate() {
            if module.is_adapter
                && let Some(initial) = initial
            {
                found.insert(format!("global{}", accessor + index), *initial);
            }
        }
        accessor += module.globals.len() + module.memories;
    }
    found
}

#[derive(Default)]
struct Module {
    is_adapter: bool,
    /// Exported by the instrumentation, with initial values where those are constants.
    globals: Vec<Option<i64>>,
    memories: usize,
}

fn modules(component: &[u8]) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    let mut imported = 0;
    let mut initials = Vec::new();
    // Modules of nested components are not instrumented, so only the first level counts.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { return Vec::new() };
        match payload {
            Payload::ModuleSection { .. } => {
                depth += 1;
                imported = 0;
                initials.clear();
                if depth == 1 {
                    modules.push(Module::default());
                }
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth != 1 => {}
            Payload::ImportSection(section) => {
                let is_global = |import: wasmparser::Import<'_>| matches!(import.ty, wasmparser::TypeRef::Global(_));
                imported = section.into_imports().flatten().filter(|import| is_global(*import)).count();
            }
            Payload::GlobalSection(section) => {
                initials = section.into_iter().flatten().map(|global| constant(&global.init_expr)).collect();
            }
            Payload::ExportSection(section) => {
                let Some(module) = modules.last_mut() else { continue };
                for export in section.into_iter().flatten() {
                    module.is_adapter |= export.kind == ExternalKind::Func && PREVIEW1.contains(&export.name);
                    if export.kind == ExternalKind::Global && export.name.starts_with(GLOBAL) {
                        let defined = (export.index as usize).checked_sub(imported);
                        module.globals.push(defined.and_then(|index| initials.get(index).copied().flatten()));
                    } else if export.kind == ExternalKind::Memory && export.name.starts_with(MEMORY) {
                        module.memories += 1;
                    }
                }
            }
            _ => {}
        }
    }
    modules
}

fn constant(expression: &wasmparser::ConstExpr<'_>) -> Option<i64> {
    match expression.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Some(i64::from(value)),
        Ok(Operator::I64Const { value }) => Some(value),
        _ => None,
    }
}
