//! From a component's file to the name that calls know it by. One rule for all who read such files: module path,
//! clients that bring a module along, `scaler inspect` and `scaler build`.

use std::path::{Path, PathBuf};

/// A file whose name has a dot too many: `a.b` in a call is `b` in the folder or module `a`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: dots separate the parts of a module's path, so the name of its file has none before `.wasm`; rename it to `{renamed}`",
    file.display()
)]
pub struct DottedName {
    /// The file.
    pub file: PathBuf,
    /// What its name could be.
    pub renamed: String,
}

/// The name of a module in calls, in snake_case: that of its file, without the extension.
///
/// # Errors
/// When that has a dot.
pub fn module_name(file: &Path) -> Result<String, DottedName> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if !stem.contains('.') {
        return Ok(stem.replace('-', "_"));
    }
    let parts: Vec<&str> = stem.split('.').filter(|part| !part.is_empty()).collect();
    let extension = file.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let renamed = parts.join("-") + extension.as_deref().unwrap_or_default();
    Err(DottedName { file: file.to_owned(), renamed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_dots_is_none_and_the_one_that_is_offered_instead_has_none() {
        assert_eq!(module_name(Path::new("a/my-mod.wasm")).as_deref(), Ok("my_mod"));
        for (name, renamed) in [("hello-2.0.wasm", "hello-2-0.wasm"), ("a/b..c.v1.wasm", "b-c-v1.wasm")] {
            let error = module_name(Path::new(name)).expect_err(name);
            assert_eq!(error.renamed, renamed);
            assert!(error.to_string().ends_with(&format!("rename it to `{renamed}`")), "{error}");
            assert!(module_name(Path::new(renamed)).is_ok());
        }
    }
}
