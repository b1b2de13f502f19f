//! From the name in a call to one exported function: the longest file match decides (DESIGN section 4).

use crate::message::{FunctionInfo, ModuleInfo};

/// Why a name means nothing, or too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No module of that path or a part of it.
    #[error("there is no module `{module}`")]
    NoModule {
        /// As asked.
        module: String,
    },
}

/// Finds the function that `module` (dotted path) and `function` name, in either spelling.
///
/// # Errors
/// When there is none (lists what there is and the nearest name) or more than one (lists them).
pub fn resolve<'a>(
    _modules: impl Iterator<Item = &'a ModuleInfo>,
    _module: &str,
    _function: &str,
) -> Result<(&'a ModuleInfo, &'a FunctionInfo), ResolveError> {
    todo!()
}

/// The candidate nearest to a mistyped name, if one is near enough to be meant.
pub fn nearest<'a>(_name: &str, _candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    todo!()
}
