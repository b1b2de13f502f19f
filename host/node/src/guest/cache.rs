//! The user's cache folder, and locks that keep two programs from filling one place of it at once.

use super::GuestError;
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// `$XDG_CACHE_HOME/scaler`, `~/.cache/scaler`, or a folder of the user's under the temporary one.
pub(super) fn folder() -> PathBuf {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    match base {
        Some(base) => base.join("scaler"),
        None => env::temp_dir().join(format!("scaler-cache-{}", rustix::process::getuid().as_raw())),
    }
}

/// Holds a place of the cache until it is dropped, against other programs too.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Creates the folder if needed and waits until nobody else holds it.
    pub(super) fn acquire(folder: &Path) -> Result<Self, GuestError> {
        fs::create_dir_all(folder).map_err(GuestError::file("create", folder))?;
        let path = folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(GuestError::file("open", &path))?;
        file.lock().map_err(GuestError::file("lock", &path))?;
        Ok(Self { _file: file })
    }
}
