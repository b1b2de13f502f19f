//! A deployment file: one section a command, with the place of everything in it.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    mistake::{ConfigError, Mistake, Place},
    nearest::nearest,
};

/// Sections that belong to some command, ours or the original's. All others are read over with a warning.
pub const KNOWN_SECTIONS: &[&str] = &[
    "scheduler",
    "cluster",
    "object_storage_server",
    "webui",
    "top",
    "native_worker_adapter",
    "symphony_worker_adapter",
];

/// A file that could be read.
pub(super) struct File {
    path: PathBuf,
    text: String,
}

/// One key of a section.
pub(super) struct Entry<'t> {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Spanned<DeValue<'t>>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// The entries of one section. What is wrong with the file as a whole goes to `mistakes` and `warnings`.
    pub(super) fn section(
        &self,
        name: &str,
        mistakes: &mut Vec<Mistake>,
        warnings: &mut Vec<String>,
    ) -> Vec<Entry<'_>> {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            mistakes.push(Mistake::Syntax { place: self.place(offset), message: error.message().to_owned() });
        }
        let mut entries = Vec::new();
        for (key, value) in document.into_inner() {
            let place = self.place(key.span().start);
            let section = key.into_inner().into_owned();
            match value.into_inner() {
                DeValue::Table(table) if section == name => {
                    entries.extend(table.into_iter().map(|(key, value)| Entry {
                        key_span: key.span(),
                        key: key.into_inner().into_owned(),
                        value,
                    }));
                }
                DeValue::Table(_) if KNOWN_SECTIONS.contains(&section.as_str()) => {}
                DeValue::Table(_) => match near_section(&section) {
                    Some(nearest) => {
                        mistakes.push(Mistake::UnknownSection { place, section, nearest: nearest.to_owned() });
                    }
                    None => warnings.push(format!("{place}: no command of this program reads the section [{section}]")),
                },
                _ if KNOWN_SECTIONS.contains(&section.as_str()) => mistakes.push(Mistake::Value {
                    place,
                    message: format!("this must be a section; write `[{section}]` once, with its keys below it"),
                    key: String::new(),
                    section,
                }),
                _ => mistakes.push(Mistake::NoSection { place, key: section, section: name.to_owned() }),
            }
        }
        entries
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        Place::File { path: self.path.clone(), line: before.filter(|byte| **byte == b'\n').count() + 1 }
    }
}

fn near_section(section: &str) -> Option<&'static str> {
    let bare = section.strip_prefix("scaler_").unwrap_or(section);
    nearest(bare, KNOWN_SECTIONS.iter().copied()).or(match bare {
        "ui" | "web_ui" => Some("webui"),
        "object_storage" | "storage" => Some("object_storage_server"),
        _ => None,
    })
}
