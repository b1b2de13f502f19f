//! A line that moves on the terminal while something long runs; nothing where stderr is no terminal.

use std::{fs, path::Path, thread, time::Duration};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// Does the work under a line that says what it is and for how long it goes on.
pub(super) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let spinner = spinner(what);
    let done = work();
    spinner.finish_and_clear();
    done
}

/// As [`during`], with the bytes that have arrived in a folder, and those that will.
pub(super) fn during_arrival<T>(what: &str, folder: &Path, total: Option<u64>, work: impl FnOnce() -> T) -> T {
    let spinner = spinner(what);
    let done = thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let line = spinner.clone();
        scope.spawn(move || {
            // Ends when the other end is dropped.
            while stopped.recv_timeout(TICK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                line.set_message(arrival(what, size_of(folder), total));
            }
        });
        let done = work();
        drop(stop);
        done
    });
    spinner.finish_and_clear();
    done
}

fn arrival(what: &str, bytes: u64, total: Option<u64>) -> String {
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let percent = bytes.min(total) * 100 / total;
            format!("{what}: {} of {} ({percent} %)", HumanBytes(bytes), HumanBytes(total))
        }
        None => format!("{what}: {}", HumanBytes(bytes)),
    }
}

fn spinner(what: &str) -> ProgressBar {
    // indicatif draws on stderr, and only on a terminal.
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}") {
        spinner.set_style(style);
    }
    if !spinner.is_hidden() {
        spinner.enable_steady_tick(TICK);
    }
    spinner
}

/// Bytes of the files in a folder and below.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_told_beside_what_will() {
        assert_eq!(arrival("fetching", 1 << 20, Some(4 << 20)), "fetching: 1.00 MiB of 4.00 MiB (25 %)");
        assert_eq!(arrival("fetching", 1 << 20, None), "fetching: 1.00 MiB");
    }

    #[test]
    fn work_is_done_where_there_is_no_terminal_too() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("partial")).expect("folder");
        fs::write(folder.path().join("partial/a"), [0; 1500]).expect("file");
        assert_eq!(size_of(folder.path()), 1500);
        assert_eq!(during_arrival("fetching", folder.path(), Some(3000), || during("unpacking", || 7)), 7);
    }
}
