//! Example guests that travel inside `scaler`, so that `demo` and `bench` run wherever the program does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use include_dir::{Dir, DirEntry, include_dir};

use crate::guest;

/// The guest of `scaler bench`.
pub(crate) static BENCH: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/bench/guest");
/// The guest of `scaler demo`.
pub(crate) static OPTIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/options/guest");
/// Its price history.
pub(crate) static OPTIONS_DATA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/options/data");

/// Writes a carried guest project into `folder`, with the SDK from the user's cache. A file that is there already
/// with the same content is left alone, so that cargo has nothing to do the second time.
pub(crate) fn unpack(project: &Dir<'_>, folder: &Path) -> Result<()> {
    let sdk = guest::sdk().context("cannot unpack the guest SDK")?;
    for (path, content) in files(project) {
        let mut content = content.to_vec();
        if path == Path::new("Cargo.toml") {
            let text = String::from_utf8_lossy(&content).replace("../../../guest-sdk", &sdk.to_string_lossy());
            content = text.into_bytes();
        }
        write_if_changed(&folder.join(path), &content)?;
    }
    Ok(())
}

/// Writes carried files as they are.
pub(crate) fn unpack_files(carried: &Dir<'_>, folder: &Path) -> Result<()> {
    files(carried).into_iter().try_for_each(|(path, content)| write_if_changed(&folder.join(path), content))
}

/// Where a guest project is unpacked and built when the user names no folder: kept, so that the next run is quick.
pub(crate) fn cache_folder(name: &str) -> PathBuf {
    guest::cache_folder().join("carried").join(name)
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Sources only: what a build left in the tree this program was made from does not travel.
fn files<'a>(folder: &'a Dir<'a>) -> Vec<(&'a Path, &'a [u8])> {
    let mut found = Vec::new();
    for entry in folder.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        match entry {
            DirEntry::Dir(folder) if name != "target" && name != "modules" => found.extend(files(folder)),
            DirEntry::File(file) if name != "Cargo.lock" => found.push((file.path(), file.contents())),
            _ => {}
        }
    }
    found
}
