//! What can be wrong with a configuration, and where: every message names the place, the key and the remedy.

use std::{fmt, io, path::PathBuf};

use scaler_proto::nearest::Hint;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// A flag of the command line.
    Flag,
    /// The word of the command line that needs no flag.
    Argument,
    /// Nobody gave it.
    Default,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The file is no TOML.
    #[error("{place}: not valid TOML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// A key that the section does not have.
    #[error("{place}: [{section}] has no key `{key}`{}", suggestion(nearest, *owner, section))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The section.
        section: String,
        /// The key as written.
        key: String,
        /// What was probably meant.
        nearest: Hint,
        /// The section that has such a key.
        owner: Option<&'static str>,
    },
    /// A section that is almost one of ours.
    #[error("{place}: there is no section [{section}]; did you mean [{nearest}]?")]
    UnknownSection {
        /// Where.
        place: Place,
        /// As written.
        section: String,
        /// What was probably meant.
        nearest: String,
    },
    /// A key before the first section.
    #[error("{place}: `{key}` stands outside of any section{}", home(owners, nearest.as_ref()))]
    NoSection {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// The sections that have such a key.
        owners: Vec<&'static str>,
        /// The key that was probably meant, and a section that has it, when none has this one.
        nearest: Option<(String, &'static str)>,
    },
    /// A value of the wrong type or outside of what it can be.
    #[error("{place}: {}: {message}", name(place, section, key))]
    Value {
        /// Where.
        place: Place,
        /// The section.
        section: String,
        /// The key.
        key: String,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A key or a section that stands in the file before.
    #[error("{place}: {}", repeated(section, key, *first, *first_is_section))]
    Repeated {
        /// Where it stands again.
        place: Place,
        /// The section.
        section: String,
        /// The key; empty for the section itself.
        key: String,
        /// The line where it stands first, counted from 1.
        first: usize,
        /// That line begins a section.
        first_is_section: bool,
    },
    /// A required setting that nobody gave.
    #[error("{}", missing(gap, section, key, example, program))]
    Missing {
        /// Where it could stand.
        gap: Gap,
        /// The section.
        section: String,
        /// The key.
        key: String,
        /// A value that would do.
        example: String,
        /// The program that needs it.
        program: &'static str,
    },
}

/// Where a setting is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// No file was named.
    NoFile,
    /// This file does not have the section.
    NoSection(PathBuf),
    /// The section begins here.
    Section(Place),
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line cannot be read, or only asks for help.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`: {source}; {}", path.display(), readable(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All that is wrong, in the order of the file.
    #[error("{}", lines(.0))]
    Mistakes(Vec<Mistake>),
}

impl ConfigError {
    pub(super) fn sorted(mistakes: Vec<Mistake>) -> Self {
        Self::Mistakes(sorted(mistakes))
    }
}

impl Mistake {
    /// Where it is; a setting that is missing is missing from its section, and without one nowhere.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::UnknownSection { place, .. }
            | Self::NoSection { place, .. }
            | Self::Value { place, .. }
            | Self::Repeated { place, .. }
            | Self::Missing { gap: Gap::Section(place), .. } => Some(place),
            Self::Missing { .. } => None,
        }
    }

    /// The section it is about, as far as it is known.
    #[must_use]
    pub fn section(&self) -> Option<&str> {
        match self {
            Self::Syntax { .. } => None,
            Self::UnknownKey { section, .. }
            | Self::UnknownSection { section, .. }
            | Self::Value { section, .. }
            | Self::Repeated { section, .. }
            | Self::Missing { section, .. } => Some(section),
            Self::NoSection { owners, .. } => match owners[..] {
                [owner] => Some(owner),
                _ => None,
            },
        }
    }

    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Syntax { .. } | Self::UnknownSection { .. } => None,
            Self::UnknownKey { key, .. }
            | Self::NoSection { key, .. }
            | Self::Value { key, .. }
            | Self::Repeated { key, .. }
            | Self::Missing { key, .. } => Some(key).filter(|key| !key.is_empty()).map(String::as_str),
        }
    }

    /// Whether it is a key that stands where this one was probably meant.
    pub(super) fn means(&self, key: &str) -> bool {
        matches!(self, Self::UnknownKey { nearest: Hint(Some(nearest)), owner: None, .. } if nearest == key)
    }

    /// Whether it says why a section, which `key` would stand in, is not there.
    pub(super) fn explains_gap(&self, wanted: &str, wanted_key: &str) -> bool {
        match self {
            Self::Value { section, key, .. } => section == wanted && key.is_empty(),
            Self::UnknownSection { nearest, .. } => nearest == wanted,
            Self::NoSection { key, .. } => key == wanted_key,
            _ => false,
        }
    }

    /// For the order in which mistakes are told: as in the file, after those of the command line.
    fn line(&self) -> (usize, usize) {
        match self.place() {
            Some(Place::File { line, column, .. }) => (*line, *column),
            Some(Place::Flag | Place::Argument | Place::Default) => (0, 0),
            None => (usize::MAX, 0),
        }
    }
}

/// In the order of the file.
pub(super) fn sorted(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(Mistake::line);
    mistakes
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Flag | Self::Argument => f.write_str("command line"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What to do about a file that cannot be read.
fn readable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::IsADirectory => "give the path of a file in it",
        io::ErrorKind::PermissionDenied => "give this user the right to read it",
        io::ErrorKind::InvalidData => "give a TOML file, saved as UTF-8",
        _ => "give the path of a file that is there",
    }
}

/// Where a key belongs that stands outside of any section.
fn home(owners: &[&str], nearest: Option<&(String, &'static str)>) -> String {
    let sections = owners.iter().map(|owner| format!("`[{owner}]`")).collect::<Vec<_>>();
    match (sections.split_last(), nearest) {
        (Some((only, [])), _) => format!("; put it under {only}"),
        (Some((last, others)), _) => {
            format!("; put it under {} or {last}, whichever it is meant for", others.join(", "))
        }
        (None, Some((key, section))) => {
            format!(", and no section has such a key; did you mean `{key}` under `[{section}]`?")
        }
        (None, None) => ", and no section has such a key; leave it out (-h of a command lists its keys)".to_owned(),
    }
}

fn suggestion(nearest: &Hint, owner: Option<&str>, section: &str) -> String {
    match (nearest, owner) {
        (_, Some(owner)) => format!("; it is a key of [{owner}], move it there"),
        (Hint(Some(_)), None) => nearest.to_string(),
        (Hint(None), None) => format!("; -h of the command lists the keys of [{section}]"),
    }
}

fn repeated(section: &str, key: &str, first: usize, first_is_section: bool) -> String {
    match key {
        "" if first_is_section => {
            format!("the section [{section}] stands at line {first} already; write it once, with all its keys below it")
        }
        "" => format!("[{section}] is given at line {first} already; keep one of them"),
        key => format!("[{section}] {key}: is given at line {first} already; keep one of them"),
    }
}

fn missing(gap: &Gap, section: &str, key: &str, example: &str, program: &str) -> String {
    let entry = format!("{key} = \"{example}\"");
    let argument = format!("the first argument of {program}");
    match gap {
        Gap::NoFile => format!(
            "missing the required `{key}`: give it as {argument}, for instance `{program} {example}`, or name a file \
             with --config that has `{entry}` in section [{section}]"
        ),
        Gap::NoSection(path) => format!(
            "{}: there is no section [{section}], and its key `{key}` is required; write `[{section}]` and below it, \
             for instance, `{entry}`, or give it as {argument}",
            path.display()
        ),
        Gap::Section(place) => format!(
            "{place}: [{section}] {key}: is required and missing; write, for instance, `{entry}` below this line, or \
             give it as {argument}"
        ),
    }
}

fn name(place: &Place, section: &str, key: &str) -> String {
    match place {
        _ if key.is_empty() => format!("[{section}]"),
        Place::Flag => format!("--{}", key.replace('_', "-")),
        Place::Argument => key.to_ascii_uppercase(),
        Place::File { .. } | Place::Default => format!("[{section}] {key}"),
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
