//! The files that a guest is made of, and whether they have changed: what `--watch` waits for.
//!
//! Times and lengths are compared again and again: a guest has few files, and this works on every file system, across
//! mounts and with every editor.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{GuestError, is_manifest, manifest};

/// More files than that are no guest.
const FILES_MAX: usize = 20_000;

type Files = BTreeMap<PathBuf, (SystemTime, u64)>;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sources {
    path: PathBuf,
    /// Folders and files that are looked at.
    roots: Vec<PathBuf>,
    /// As of the last change that was reported.
    known: Files,
    /// As of the last look.
    last: Files,
}

impl Sources {
    /// The files of the guest at a path as `scaler build` takes it, as they are now.
    ///
    /// # Errors
    /// When there is no guest, or it has too many files to be looked at every moment.
    pub(crate) fn of(path: &Path) -> Result<Self, GuestError> {
        let roots = roots(path)?;
        let known = look(&roots)?;
        Ok(Self { path: path.to_owned(), roots, last: known.clone(), known })
    }

    /// How many files there are.
    pub(crate) fn count(&self) -> usize {
        self.known.len()
    }

    /// A file that has changed since the last change was reported, once nothing changes any more between two looks: an
    /// editor that writes several files, or one in pieces, makes one change.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) fn changed(&mut self) -> Result<Option<PathBuf>, GuestError> {
        let now = look(&self.roots)?;
        let is_settled = now == self.last;
        self.last = now;
        if !is_settled || self.last == self.known {
            return Ok(None);
        }
        let differs = |path: &&PathBuf| self.known.get(*path) != self.last.get(*path);
        let changed = self.last.keys().chain(self.known.keys()).find(differs).cloned();
        // What the manifest says may be different now; while it is broken, its own folder is what is looked at.
        if let Ok(roots) = roots(&self.path) {
            self.roots = roots;
            self.last = look(&self.roots)?;
        }
        self.known = self.last.clone();
        Ok(changed)
    }
}

/// The guest's own folder, those of the crates it takes by path, and its workspace's manifest.
fn roots(path: &Path) -> Result<Vec<PathBuf>, GuestError> {
    if path.is_file() && !is_manifest(path) {
        return Ok(vec![path.to_owned()]);
    }
    let package = manifest::read(path)?;
    let mut roots = vec![package.folder, package.workspace.join("Cargo.toml")];
    roots.extend(package.path_dependencies.into_iter().map(|(_, folder)| folder));
    Ok(roots)
}

fn look(roots: &[PathBuf]) -> Result<Files, GuestError> {
    let mut files = Files::new();
    for root in roots {
        if root.is_dir() {
            enter(root, true, &mut files)?;
        } else {
            add(root, &mut files);
        }
        if files.len() > FILES_MAX {
            return Err(GuestError::TooManyFiles(root.clone()));
        }
    }
    Ok(files)
}

fn enter(folder: &Path, is_root: bool, files: &mut Files) -> Result<(), GuestError> {
    // A folder that goes away while it is looked at is a change like any other.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        // What builds write, hidden files, and the copies that editors keep are no sources.
        let is_made = is_root && ["target", "modules", "Cargo.lock"].contains(&&*name);
        if is_made || name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if files.len() > FILES_MAX {
            return Err(GuestError::TooManyFiles(folder.to_owned()));
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => enter(&path, false, files)?,
            _ => add(&path, files),
        }
    }
    Ok(())
}

fn add(path: &Path, files: &mut Files) {
    if let Ok(metadata) = fs::metadata(path)
        && metadata.is_file()
        && let Ok(modified) = metadata.modified()
    {
        files.insert(path.to_owned(), (modified, metadata.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_it_has_settled_and_only_of_sources() {
        let folder = tempfile::tempdir().expect("folder");
        let manifest = "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\n\
                        crate-type = [\"cdylib\"]\n";
        for (name, text) in [("Cargo.toml", manifest), ("src/lib.rs", ""), ("src/modules/mod.rs", ""), ("target/x", "")]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        }
        let mut sources = Sources::of(folder.path()).expect("a guest");
        assert_eq!(sources.count(), 3, "{:?}", sources.known);
        let mut look = || sources.changed().expect("few files").map(|path| path.file_name().map(ToOwned::to_owned));
        assert_eq!(look(), None);
        fs::write(folder.path().join("target/x"), "made by a build").expect("file");
        fs::write(folder.path().join("Cargo.lock"), "made by a build").expect("file");
        fs::write(folder.path().join("src/.lib.rs.swp"), "an editor's").expect("file");
        assert_eq!((look(), look()), (None, None));
        fs::write(folder.path().join("src/lib.rs"), "// ").expect("file");
        assert_eq!(look(), None, "it may be written on");
        fs::write(folder.path().join("src/lib.rs"), "// more").expect("file");
        assert_eq!(look(), None, "it was written on");
        assert_eq!(look(), Some(Some("lib.rs".into())));
        assert_eq!((look(), look()), (None, None));
        fs::remove_file(folder.path().join("src/modules/mod.rs")).expect("remove");
        assert_eq!((look(), look()), (None, Some(Some("mod.rs".into()))));
        fs::write(folder.path().join("Cargo.toml"), "broken").expect("file");
        assert_eq!((look(), look()), (None, Some(Some("Cargo.toml".into()))), "a broken manifest is a change too");
        fs::write(folder.path().join("Cargo.toml"), manifest).expect("file");
        assert_eq!((look(), look()), (None, Some(Some("Cargo.toml".into()))));
    }

    #[test]
    fn where_there_is_no_guest_nothing_is_watched() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(matches!(Sources::of(folder.path()), Err(GuestError::NoManifest(_))));
    }
}
