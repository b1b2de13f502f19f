//! A new guest project, with the SDK from the copy that this program carries.

use super::{GuestError, cache};
use include_dir::{Dir, DirEntry, include_dir};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk");

/// Makes the project and says what to do next.
pub(super) fn new(path: &Path, output: &mut dyn Write) -> Result<(), GuestError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(is_word) {
        return Err(GuestError::Name(name));
    }
    let taken = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(path).is_ok(),
    };
    if taken {
        return Err(GuestError::NotEmpty(path.to_owned()));
    }
    let sdk = unpack_sdk()?;
    for (file, text) in
        [("Cargo.toml", manifest(&name, &sdk)), ("src/lib.rs", SOURCE.to_owned()), (".gitignore", IGNORED.to_owned())]
    {
        write(&path.join(file), text.as_bytes())?;
    }
    let (shown, module) = (path.display(), name.replace('-', "_"));
    writeln!(output, "made the guest project {shown}; next:\n")?;
    writeln!(output, "    scaler build {shown}")?;
    let call = format!("\"{module}.greeting:greet('world')\"");
    writeln!(output, "    scaler run {call} --module-path {shown}/modules\n")?;
    writeln!(output, "or both again after every change of a file:\n")?;
    writeln!(output, "    scaler watch {shown} {call}\n")?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(GuestError::file("create", folder))?;
    }
    fs::write(path, bytes).map_err(GuestError::file("write", path))
}

const IGNORED: &str = "/target\n/modules\n";

const SOURCE: &str = r#"//! A guest of Scaler: each `pub fn` of the module below can be called as a task.

/// Greetings.
#[scaler_guest::module]
pub mod greeting {
    /// Greets somebody.
    pub fn greet(name: String, #[default("Hello")] word: String) -> String {
        format!("{word}, {name}!")
    }
}

#[cfg(test)]
mod tests {
    use super::greeting::greet;

    #[test]
    fn greets_by_name() {
        assert_eq!(greet("Ada".into(), "Good morning".into()), "Good morning, Ada!");
    }
}
"#;

fn manifest(name: &str, sdk: &Path) -> String {
    let sdk = toml::Value::from(sdk.to_string_lossy().into_owned());
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
scaler-guest = {{ path = {sdk} }}

# Without WASI a task starts faster; it then has no files, no clock, no environment and no `println!`.
[package.metadata.scaler]
wasi = false

# The project stands alone, whatever is around it.
[workspace]
"#
    )
}

/// The SDK in the user's cache: made once for each version, named after its content.
pub(super) fn unpack_sdk() -> Result<PathBuf, GuestError> {
    let files = files(&SDK);
    let mut hasher = blake3::Hasher::new();
    for (path, content) in &files {
        hasher.update(path.as_os_str().as_encoded_bytes()).update(&[0]);
        hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
    }
    let hash = &hasher.finalize().to_hex()[..8];
    let cache = cache::folder();
    let folder = cache.join(format!("sdk-{}-{hash}", env!("CARGO_PKG_VERSION")));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).map_err(GuestError::file("create", &cache))?;
    let scratch = tempfile::Builder::new().prefix(".sdk-").tempdir_in(&cache);
    let scratch = scratch.map_err(GuestError::file("create a folder in", &cache))?;
    for (path, content) in files {
        write(&scratch.path().join(path), content)?;
    }
    // A workspace of its own: else cargo looks for one in the folders above.
    let manifest = scratch.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(GuestError::file("read", &manifest))?;
    write(&manifest, format!("{text}\n[workspace]\nmembers = [\"macros\"]\n").as_bytes())?;
    let scratch = scratch.keep();
    match fs::rename(&scratch, &folder) {
        Ok(()) => Ok(folder),
        // Another program was faster.
        Err(_) if folder.is_dir() => {
            let _ = fs::remove_dir_all(&scratch);
            Ok(folder)
        }
        Err(source) => Err(GuestError::File { action: "create", path: folder, source }),
    }
}

/// The files of the carried SDK in a fixed order, without what a build may have left between them.
fn files<'a>(folder: &'a Dir<'a>) -> Vec<(&'a Path, &'a [u8])> {
    let mut found = Vec::new();
    for entry in folder.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        match entry {
            DirEntry::Dir(folder) if name != "target" && name != "tests" => found.extend(files(folder)),
            DirEntry::File(file) if name != "Cargo.lock" => found.push((file.path(), file.contents())),
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carried_sdk_is_complete() {
        let files = files(&SDK);
        for wanted in
            ["Cargo.toml", "src/lib.rs", "src/abi.rs", "macros/Cargo.toml", "macros/src/lib.rs", "wit/host.wit"]
        {
            assert!(files.iter().any(|(path, content)| *path == Path::new(wanted) && !content.is_empty()), "{wanted}");
        }
        assert!(!files.iter().any(|(path, _)| path.starts_with("target") || path.starts_with("macros/target")));
    }

    #[test]
    fn a_name_that_cargo_refuses_is_refused_here() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1st", "a b", "größe", ""] {
            let made = new(&folder.path().join(name), &mut Vec::new());
            assert!(matches!(made, Err(GuestError::Name(_) | GuestError::NotEmpty(_))), "{name}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("project");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("notes"), "mine").unwrap();
        assert!(matches!(new(&path, &mut Vec::new()), Err(GuestError::NotEmpty(_))));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }
}
