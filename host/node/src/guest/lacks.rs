//! Finds what a guest calls in vain: without WASI, Rust's standard library compiles `println!` to nothing and makes
//! clocks and files fail when they are called, which nobody expects; threads fail with WASI too.
//!
//! Words are looked for, not meanings: what is found is worth a note and no error.

use std::{fs, path::Path};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Without WASI it writes nowhere.
    Output,
    /// Without WASI it panics or returns an error.
    System,
    /// No guest has threads.
    Threads,
}

/// What is looked for, as it begins.
const CALLS: &[(&str, Lack)] = &[
    ("println!", Lack::Output),
    ("print!", Lack::Output),
    ("eprintln!", Lack::Output),
    ("eprint!", Lack::Output),
    ("dbg!", Lack::Output),
    ("Instant::now", Lack::System),
    ("SystemTime::now", Lack::System),
    ("thread::sleep", Lack::System),
    ("File::open", Lack::System),
    ("File::create", Lack::System),
    ("fs::read", Lack::System),
    ("fs::read_to_string", Lack::System),
    ("fs::read_dir", Lack::System),
    ("fs::write", Lack::System),
    ("thread::spawn", Lack::Threads),
    ("thread::scope", Lack::Threads),
];
/// Files that are looked at, and folders below `src`; a note is not worth more.
const FILES_MAX: usize = 500;

/// A call in the guest's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As `src/lib.rs:12`.
    pub(super) place: String,
    /// As it was looked for.
    pub(super) name: &'static str,
    pub(super) lack: Lack,
}

/// The first call of each kind in the crate.
pub(super) fn first_of_each(folder: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut folders = vec![folder.join("src")];
    let mut files = 0;
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(next) else { continue };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            files += 1;
            if files > FILES_MAX {
                return found;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && let Ok(text) = fs::read_to_string(&path)
            {
                for (line, name, lack) in in_text(&text) {
                    if found.iter().all(|known| known.lack != lack) {
                        let place = format!("{}:{line}", path.strip_prefix(folder).unwrap_or(&path).display());
                        found.push(Found { place, name, lack });
                    }
                }
            }
        }
    }
    found
}

/// The calls in a file up to its tests, which run on the author's machine: line, name and kind.
fn in_text(text: &str) -> impl Iterator<Item = (usize, &'static str, Lack)> {
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]")).zip(1..);
    lines.filter_map(|(line, number)| {
        let code = line.split("//").next().unwrap_or_default();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_there = |(name, _): &&(&str, Lack)| {
            code.match_indices(name)
                .any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + name.len()..].starts_with(is_word))
        };
        CALLS.iter().find(is_there).map(|(name, lack)| (number, *name, *lack))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<(usize, &'static str, Lack)> {
        in_text(text).next()
    }

    #[test]
    fn the_first_line_that_calls_in_vain_is_found_and_comments_and_tests_are_none() {
        let text = "// println!(\"no\")\nmy_println!(x);\n    let y = dbg!(x); // here\nprint!(\"later\");\n";
        assert_eq!(first(text), Some((3, "dbg!", Lack::Output)));
        assert_eq!(first("scaler_guest::log::info!(\"x\")"), None);
        assert_eq!(first("let t = std::time::Instant::now();"), Some((1, "Instant::now", Lack::System)));
        assert_eq!(first("std::fs::read_to_string(p)?"), Some((1, "fs::read_to_string", Lack::System)));
        assert_eq!(first("std::thread::spawn(|| 1)"), Some((1, "thread::spawn", Lack::Threads)));
        assert_eq!(first("my_fs::read_all(p)"), None);
        assert_eq!(first("fn f() {}\n#[cfg(test)]\nmod tests { fn g() { println!(\"x\") } }\n"), None);
    }

    #[test]
    fn each_kind_is_told_once() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("src")).expect("folder");
        let text = "println!();\nInstant::now();\ndbg!(1);\nFile::open(x);\n";
        fs::write(folder.path().join("src/lib.rs"), text).expect("file");
        let found = first_of_each(folder.path());
        let places: Vec<(&str, &str)> = found.iter().map(|found| (found.place.as_str(), found.name)).collect();
        assert_eq!(places, [("src/lib.rs:1", "println!"), ("src/lib.rs:2", "Instant::now")]);
    }
}
