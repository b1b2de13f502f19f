//! What keeps the cache of compiled modules from growing for ever: folders of processes that were killed go, and so do
//! the artifacts that nobody has used for longest.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

/// Compiled code that is kept.
pub(super) const CACHE_BYTES_MAX: u64 = 4 << 30;
/// Begins the names of the folders of processes.
const PREFIX: &str = "run-";
/// The file by which a process holds its folder.
const LOCK: &str = "in-use";
/// A folder without a lock may be about to get one, or be another version's; after this long it is neither.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// A folder of this process within the cache; the next sweep after the process's end removes it, however that came.
#[derive(Debug)]
pub(super) struct Own {
    folder: TempDir,
    _lock: File,
}

impl Own {
    /// Makes the folder and locks it.
    pub(super) fn create(within: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(within)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Notes that an artifact is of use. Without that it only goes earlier.
pub(super) fn touch(path: &Path) {
    if let Err(error) = File::open(path).and_then(|file| file.set_modified(SystemTime::now())) {
        tracing::debug!("`{}`: {error}", path.display());
    }
}

/// Removes what is left of processes that are gone, and the artifacts that were not used for longest, until a quarter
/// of `bytes_max` is free. Who uses an artifact has a link of its own to it. What cannot be removed stays.
pub(super) fn sweep(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let mut artifacts = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with(PREFIX) {
            if is_abandoned(&path) {
                let _ = fs::remove_dir_all(&path);
            }
        } else if path.extension().is_some_and(|extension| extension == "cwasm")
            && let Ok(metadata) = entry.metadata()
        {
            artifacts.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), path));
        }
    }
    let mut bytes: u64 = artifacts.iter().map(|(_, length, _)| length).sum();
    if bytes <= bytes_max {
        return Ok(());
    }
    artifacts.sort();
    for (_, length, path) in artifacts {
        if bytes <= bytes_max / 4 * 3 {
            break;
        }
        let _ = fs::remove_file(path);
        bytes -= length;
    }
    forget_keys(folder)
}

/// Keys are small files that hold the name of an artifact; those of artifacts that are gone go as well.
fn forget_keys(folder: &Path) -> io::Result<()> {
    for path in fs::read_dir(folder)?.flatten().map(|entry| entry.path()) {
        let is_key = path.extension().is_none() && path.is_file();
        let artifact = |hash: String| -> PathBuf { folder.join(format!("{hash}.cwasm")) };
        if is_key && fs::read_to_string(&path).is_ok_and(|hash| !artifact(hash).exists()) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// Whether nobody holds this folder. The lock ends with its process.
fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => {
            let made = fs::metadata(folder).and_then(|metadata| metadata.modified());
            made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > GRACE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(folder: &Path, name: &str, age_s: u64) {
        let path = folder.join(format!("{name}.cwasm"));
        fs::write(&path, [0; 100]).expect("write");
        let used = SystemTime::now() - Duration::from_secs(age_s);
        File::open(&path).expect("open").set_modified(used).expect("time");
        fs::write(folder.join(format!("key-of-{name}")), name).expect("write");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("list").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_with_its_key() {
        let folder = tempfile::tempdir().expect("folder");
        for (name, age_s) in [("a", 40), ("b", 30), ("c", 20), ("d", 10)] {
            artifact(folder.path(), name, age_s);
        }
        sweep(folder.path(), 400).expect("a sweep");
        assert_eq!(names(folder.path()).len(), 8, "it all fits");
        touch(&folder.path().join("a.cwasm"));
        sweep(folder.path(), 399).expect("a sweep");
        assert_eq!(names(folder.path()), ["a.cwasm", "d.cwasm", "key-of-a", "key-of-d"]);
    }

    #[test]
    fn folders_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let own = Own::create(folder.path()).expect("a folder");
        let dead = Own::create(folder.path()).expect("a folder");
        let path = dead.path().to_owned();
        // As after a kill: the lock is gone, the folder is not.
        let Own { folder: kept, _lock: lock } = dead;
        let _ = kept.keep();
        drop(lock);
        let young = folder.path().join("run-young");
        fs::create_dir(&young).expect("a folder");
        sweep(folder.path(), 0).expect("a sweep");
        assert!(own.path().exists() && young.exists() && !path.exists(), "{:?}", names(folder.path()));
    }
}
