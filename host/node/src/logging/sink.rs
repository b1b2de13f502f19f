//! Where log lines go: the standard streams, in colour where somebody looks at them, or files.

use std::{
    env, fmt,
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::fs::{Stat, fstat};

use super::Line;
use crate::config::expand;

pub(super) enum Sink {
    Stdout { is_coloured: bool },
    Stderr { is_coloured: bool },
    File { path: PathBuf, file: Mutex<File>, guests: Mutex<Option<Beside>> },
}

/// The file of the processor whose guest wrote last.
pub(super) struct Beside {
    pid: u64,
    opened: Instant,
    file: File,
}

/// So long it stays open: whoever moves it away finds the next lines in a new one.
const OPEN_MAX: Duration = Duration::from_secs(1);

impl Sink {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = &expand(path).map_err(io::Error::other)?;
        if path == Path::new("/dev/stdout") || path == Path::new("-") {
            return Ok(Self::Stdout { is_coloured: wants_colour(io::stdout().is_terminal(), variable) });
        }
        if path == Path::new("/dev/stderr") {
            return Ok(Self::stderr());
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        Ok(Self::File { path: path.to_owned(), file: Mutex::new(append(path)?), guests: Mutex::new(None) })
    }

    pub(super) fn stderr() -> Self {
        Self::Stderr { is_coloured: wants_colour(io::stderr().is_terminal(), variable) }
    }

    /// Writes a line; one of a processor's guests goes beside a file instead of into it. A log that cannot be written
    /// must not stop the work, so errors end here.
    pub(super) fn write(&self, line: &Line, processor: Option<u64>) {
        let text = |is_coloured: bool| if is_coloured { line.coloured() } else { line.plain() };
        let _ = match (self, processor) {
            (Self::Stdout { is_coloured }, _) => io::stdout().lock().write_all(text(*is_coloured).as_bytes()),
            (Self::Stderr { is_coloured }, _) => io::stderr().lock().write_all(text(*is_coloured).as_bytes()),
            (Self::File { file, .. }, None) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.plain().as_bytes())
            }
            (Self::File { path, guests, .. }, Some(pid)) => {
                let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
                write_beside(&mut guests, path, pid, line.plain().as_bytes())
            }
        };
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Whether what is written here is what a reader of stderr sees.
    pub(super) fn reaches_stderr(&self) -> bool {
        let is_same = |one: Stat, other: Stat| {
            (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)
        };
        match self {
            Self::Stderr { .. } => true,
            Self::Stdout { .. } => {
                matches!((fstat(io::stdout()), fstat(io::stderr())), (Ok(one), Ok(other)) if is_same(one, other))
            }
            Self::File { .. } => false,
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout { .. } => f.write_str("stdout"),
            Self::Stderr { .. } => f.write_str("stderr"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// A file is never truncated or renamed here, so that other programs can do it.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Processors come and go, so no more than one of their files is open, and not for long.
fn write_beside(guests: &mut Option<Beside>, path: &Path, pid: u64, text: &[u8]) -> io::Result<()> {
    let is_current = |open: &Beside| open.pid == pid && open.opened.elapsed() < OPEN_MAX;
    let open = match guests.take_if(|open| is_current(open)) {
        Some(open) => open,
        None => Beside { pid, opened: Instant::now(), file: append(&beside(path, pid))? },
    };
    guests.insert(open).file.write_all(text)
}

/// The file of a processor, next to the agent's.
fn beside(path: &Path, pid: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-{pid}"));
    name.into()
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Colours are for terminals that show them, and for people who did not say no.
fn wants_colour(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    is_terminal && variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_and_nobody_who_minds() {
        let none = |_: &str| None;
        assert!(wants_colour(true, none));
        assert!(!wants_colour(false, none));
        assert!(!wants_colour(true, |name| (name == "NO_COLOR").then(|| "1".to_owned())));
        assert!(!wants_colour(true, |name| (name == "TERM").then(|| "dumb".to_owned())));
    }
}
