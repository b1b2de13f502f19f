//! A new guest project, which names the SDK by its place in the user's cache.

use super::{GuestError, sdk, write};
use std::{fs, io::Write, path::Path};

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
    let sdk = sdk::unpack()?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
