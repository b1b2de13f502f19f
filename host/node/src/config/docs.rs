//! The settings tables of the README, from the same declarations that parse.

use clap::Command;

use super::{
    argv,
    sections::{self, Described},
};

/// One Markdown table a section, generated from the declarations.
#[must_use]
pub fn markdown_tables() -> String {
    sections::all().iter().map(table).collect::<Vec<_>>().join("\n")
}

fn table(section: &Described) -> String {
    let Described { name, program, file_only, .. } = section;
    let mut text =
        format!("`{program}`, section `[{name}]`\n\n| key | flags | default | meaning |\n|---|---|---|---|\n");
    for (key, flags, default, meaning) in rows(&(section.command)()) {
        text.push_str(&format!("| `{key}` | {flags} | {default} | {meaning} |\n"));
    }
    for key in *file_only {
        text.push_str(&format!(
            "| `{key}` | only in the file | clock and random | what tasks may touch, see `[{name}.{key}]` |\n"
        ));
    }
    text
}

fn rows(command: &Command) -> impl Iterator<Item = (String, String, String, String)> {
    command.get_arguments().filter(|arg| !argv::is_own(arg)).map(|arg| {
        let mut flags: Vec<String> = arg.get_short().map(|letter| format!("`-{letter}`")).into_iter().collect();
        flags.extend(argv::short_spellings(arg).iter().map(|short| format!("`{short}`")));
        flags.extend(arg.get_long().map(|long| format!("`--{long}`")));
        if arg.is_positional() {
            flags.push("first argument".to_owned());
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (meaning, computed) = split_notes(&help);
        let default = match computed {
            Some(computed) => computed.to_owned(),
            None => {
                let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
                if values.iter().all(|value| value.is_empty()) {
                    "none".to_owned()
                } else {
                    format!("`{}`", values.join(" "))
                }
            }
        };
        let mut key = if arg.get_id() == "config" { "(flag only)".to_owned() } else { arg.get_id().to_string() };
        for other in argv::other_keys(arg) {
            key.push_str(&format!("` or `{other}"));
        }
        (key, flags.join(" "), default, meaning.replace('|', "\\|"))
    })
}

/// The meaning without its `[default: ..]`, `[short: ..]` and `[also: ..]`, and that default.
fn split_notes(help: &str) -> (&str, Option<&str>) {
    let help = ["[short: ", "[also: "]
        .iter()
        .fold(help, |help, note| help.split_once(&format!(" {note}")).map_or(help, |(before, _)| before));
    match help.split_once(" [default: ") {
        Some((before, default)) => (before, Some(default.trim_end_matches(']'))),
        None => (help, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_meaning_and_a_flag() {
        for section in sections::all() {
            for (key, flags, default, meaning) in rows(&(section.command)()) {
                assert!(!flags.is_empty() && !default.is_empty() && !meaning.is_empty(), "{key}");
                assert!(!meaning.contains(" [") && !default.contains(" ["), "{key}: {meaning}");
            }
        }
    }

    #[test]
    fn the_tables_name_short_flags_and_computed_defaults() {
        let tables = markdown_tables();
        assert!(tables.contains("`-wtqs` `--per-worker-task-queue-size` | `1000` |"), "{tables}");
        assert!(tables.contains("| number of CPUs - 1, at least 1; with worker_names, one for each |"), "{tables}");
    }
}
