//! A deployment file: one section a command, with the place of everything in it.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use scaler_proto::nearest::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    form,
    mistake::{self, ConfigError, Mistake, Place},
    repeated::{self, Repeated},
    sections, syntax,
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

/// A file with more lines that are no TOML is none of ours; of those so many are shown.
const BREAKS_MAX: usize = 20;
const BREAKS_SHOWN: usize = 3;

/// A file that could be read.
pub(super) struct File {
    path: PathBuf,
    text: String,
}

/// What stands in a file.
#[derive(Default)]
pub(super) struct Document<'t> {
    sections: Vec<(String, Place, Vec<Entry<'t>>)>,
    /// What is wrong with the file as a whole.
    pub(super) mistakes: Vec<Mistake>,
    /// What is probably meant, but not for us.
    pub(super) warnings: Vec<String>,
}

/// One key of a section.
pub(super) struct Entry<'t> {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Spanned<DeValue<'t>>,
}

impl<'t> Document<'t> {
    /// Whether the file has this section.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|(known, ..)| known == name)
    }

    /// The entries of one section; none when it is not there.
    pub(super) fn section(&self, name: &str) -> &[Entry<'t>] {
        self.sections.iter().find(|(known, ..)| known == name).map_or(&[], |(.., entries)| entries)
    }

    /// Whether the line of this place is no TOML. That is told once, and nothing of what the parser made of it.
    pub(super) fn is_broken(&self, place: Option<&Place>) -> bool {
        let Some(Place::File { line, .. }) = place else { return false };
        let breaks = self.mistakes.iter().filter(|mistake| matches!(mistake, Mistake::Syntax { .. }));
        breaks
            .filter_map(Mistake::place)
            .any(|broken| matches!(broken, Place::File { line: other, .. } if other == line))
    }

    /// Where a section begins.
    pub(super) fn place(&self, name: &str) -> Option<&Place> {
        self.sections.iter().find(|(known, ..)| known == name).map(|(_, place, _)| place)
    }
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// The file, section by section.
    pub(super) fn document(&self) -> Document<'_> {
        let (tables, errors) = DeTable::parse_recoverable(&self.text);
        let mut document = Document::default();
        for error in errors {
            let mistake = self.syntax(error.message(), error.span().unwrap_or(0..0));
            // What the parser finds behind a break is mostly its own confusion.
            if !matches!(mistake, Mistake::Syntax { .. }) || !document.is_broken(mistake.place()) {
                document.mistakes.push(mistake);
            }
        }
        if document.mistakes.len() > BREAKS_MAX {
            document.mistakes = another_kind(document.mistakes);
            return document;
        }
        let is_whole = !document.mistakes.iter().any(|mistake| matches!(mistake, Mistake::Syntax { .. }));
        for (key, value) in tables.into_inner() {
            let place = self.place(key.span().start);
            let section = key.into_inner().into_owned();
            let is_known = KNOWN_SECTIONS.contains(&section.as_str());
            match value.into_inner() {
                DeValue::Table(table) if is_known => {
                    let entries = table.into_iter().map(|(key, value)| Entry {
                        key_span: key.span(),
                        key: key.into_inner().into_owned(),
                        value,
                    });
                    document.sections.push((section, place, entries.collect()));
                }
                DeValue::Table(_) => match near_section(&section) {
                    Some(nearest) => {
                        let nearest = nearest.to_owned();
                        document.mistakes.push(Mistake::UnknownSection { place, section, nearest });
                    }
                    // Behind a break even that may be no section.
                    None if is_whole => document
                        .warnings
                        .push(format!("{place}: no command of this program reads the section [{section}]")),
                    None => {}
                },
                value if is_known => document.mistakes.push(Mistake::Value {
                    place,
                    message: format!(
                        "expected a section, not {}; write `[{section}]` on a line of its own, with its keys below it",
                        form::shown(&value)
                    ),
                    key: String::new(),
                    section,
                }),
                _ => {
                    let (owners, nearest) = (sections::owners_of(&section), sections::nearest_key(&section));
                    document.mistakes.push(Mistake::NoSection { place, key: section, owners, nearest });
                }
            }
        }
        document
    }

    /// What the parser found, in terms of keys and sections where it can be.
    fn syntax(&self, message: &str, span: Range<usize>) -> Mistake {
        let place = self.place(span.start);
        let found = (message == "duplicate key").then(|| repeated::find(&self.text, span.clone())).flatten();
        match found {
            Some(Repeated { section, key, first, first_is_section }) => {
                Mistake::Repeated { place, section, key, first, first_is_section }
            }
            None => {
                let line = if let Place::File { line, .. } = place { line } else { 1 };
                Mistake::Syntax { place, message: syntax::told(&self.text, line, message) }
            }
        }
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Line and column of an offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.path.clone(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The first lines that are no TOML, and how many more there are.
fn another_kind(mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let count = mistakes.len();
    let mut mistakes = mistake::sorted(mistakes);
    mistakes.truncate(BREAKS_SHOWN + 1);
    if let Some(place) = mistakes.pop().as_ref().and_then(Mistake::place).cloned() {
        let message = format!("nor are {} lines more; is this the right file?", count - BREAKS_SHOWN - 1);
        mistakes.push(Mistake::Syntax { place, message });
    }
    mistakes
}

fn near_section(section: &str) -> Option<&'static str> {
    let bare = section.strip_prefix("scaler_").unwrap_or(section);
    nearest(bare, KNOWN_SECTIONS.iter().copied()).or(match bare {
        "ui" | "web_ui" => Some("webui"),
        "object_storage" | "storage" => Some("object_storage_server"),
        _ => None,
    })
}
