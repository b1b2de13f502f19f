//! Finds `println!` in a guest that has no WASI: there it compiles and writes nowhere, which nobody expects.

use std::{fs, path::Path};

/// What prints, in Rust's standard library.
const MACROS: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!"];
/// Files that are looked at, and folders below `src`; a note is not worth more.
const FILES_MAX: usize = 500;

/// The first line of the crate that prints, as `src/lib.rs:12`, and the macro.
pub(super) fn first(folder: &Path) -> Option<(String, &'static str)> {
    let mut folders = vec![folder.join("src")];
    let mut files = 0;
    while let Some(next) = folders.pop() {
        let mut paths: Vec<_> = fs::read_dir(next).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            files += 1;
            if files > FILES_MAX {
                return None;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && let Some((line, name)) = in_text(&fs::read_to_string(&path).ok()?)
            {
                return Some((format!("{}:{line}", path.strip_prefix(folder).unwrap_or(&path).display()), name));
            }
        }
    }
    None
}

fn in_text(text: &str) -> Option<(usize, &'static str)> {
    text.lines().zip(1..).find_map(|(line, number)| {
        let code = line.split("//").next().unwrap_or_default();
        let begins_a_word = |at: usize| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let is_there = |name: &&&str| code.match_indices(**name).any(|(at, _)| begins_a_word(at));
        MACROS.iter().find(is_there).map(|name| (number, *name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_prints_is_found_and_comments_are_none() {
        let text = "// println!(\"no\")\nmy_println!(x);\n    let y = dbg!(x); // here\nprint!(\"later\");\n";
        assert_eq!(in_text(text), Some((3, "dbg!")));
        assert_eq!(in_text("scaler_guest::log::info!(\"x\")"), None);
    }
}
