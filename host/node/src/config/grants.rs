//! `[cluster.grants]`: what the operator lets tasks touch, as written in the file.

use std::{env, ffi::OsStr, path::PathBuf};

use scaler_proto::nearest::Hint;
use scaler_sandbox::{Access, DirectoryGrant, Grants};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    complaints::Complaints,
    form::{self, Kind, Wanted},
};

const SECTION: &str = "cluster.grants";
const KEYS: [&str; 5] = ["environment", "network", "clock", "random", "directories"];
const DIRECTORIES: &str = "cluster.grants.directories";
const DIRECTORY_KEYS: [&str; 3] = ["host_path", "guest_path", "access"];

/// The table as it stands in the file. Nothing is granted but the clock and random numbers unless it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSettings {
    /// Environment variables: `NAME` passes the cluster's own on, `NAME=value` sets one.
    pub environment: Vec<String>,
    /// Hosts that tasks may connect to.
    pub network: Vec<String>,
    /// Clocks (`Instant` needs them).
    pub clock: bool,
    /// Random numbers (`HashMap` needs them).
    pub random: bool,
    /// `[[cluster.grants.directories]]`: folders of the host.
    pub directories: Vec<DirectoryGrant>,
}

impl Default for GrantSettings {
    fn default() -> Self {
        Self { environment: Vec::new(), network: Vec::new(), clock: true, random: true, directories: Vec::new() }
    }
}

impl GrantSettings {
    /// The grants for the sandbox. A variable that is passed on and not set is left out.
    #[must_use]
    pub fn resolve(&self) -> Grants {
        let environment = self.environment.iter().filter_map(|entry| match entry.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => Some((entry.clone(), env::var(OsStr::new(entry)).ok()?)),
        });
        Grants {
            environment: environment.collect(),
            directories: self.directories.clone(),
            network: self.network.clone(),
            clock: self.clock,
            random: self.random,
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "environment": self.environment,
            "network": self.network,
            "clock": self.clock,
            "random": self.random,
            "directories": self.directories,
        })
    }

    /// Reads the table; every mistake in it is told at its own place.
    pub(super) fn read(table: &Spanned<DeValue<'_>>, complain: &mut Complaints) -> Self {
        let mut grants = Self::default();
        let Some(entries) = as_table(table, SECTION, complain) else { return grants };
        for (key, value) in entries {
            let mut reader = Reader { section: SECTION, key: key.get_ref(), value, complain };
            match key.get_ref().as_ref() {
                "environment" => grants.environment = reader.texts(variable_problem, "NAME=value"),
                "network" => grants.network = reader.texts(host_problem, "example.org:443"),
                "clock" => grants.clock = reader.boolean().unwrap_or(true),
                "random" => grants.random = reader.boolean().unwrap_or(true),
                "directories" => grants.directories = directories(value, complain),
                _ => unknown(key, SECTION, &KEYS, complain),
            }
        }
        grants
    }
}

fn as_table<'v, 't>(
    value: &'v Spanned<DeValue<'t>>,
    section: &'static str,
    complain: &mut Complaints,
) -> Option<&'v DeTable<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        let head = if section == DIRECTORIES { format!("[[{section}]]") } else { format!("[{section}]") };
        let found = form::shown(value.get_ref());
        let message =
            format!("expected a table, not {found}; write `{head}` on a line of its own, with its keys below it");
        complain.at(value.span().start, section, "", message);
    }
    table
}

fn unknown(key: &Spanned<std::borrow::Cow<'_, str>>, section: &'static str, known: &[&str], complain: &mut Complaints) {
    let hint = Hint::of(key.get_ref(), known.iter().copied());
    let message = format!("there is no such key; there are {}{hint}", known.join(", "));
    complain.at(key.span().start, section, key.get_ref(), message);
}

fn directories(value: &Spanned<DeValue<'_>>, complain: &mut Complaints) -> Vec<DirectoryGrant> {
    let Some(tables) = value.get_ref().as_array() else {
        let message = format!(
            "expected a list of tables, not {}; write `[[{DIRECTORIES}]]` on a line of its own, with the keys of one folder \
             below it",
            form::shown(value.get_ref())
        );
        complain.at(value.span().start, SECTION, "directories", message);
        return Vec::new();
    };
    let mut directories: Vec<DirectoryGrant> = Vec::new();
    for table in tables {
        let Some(directory) = directory(table, complain) else { continue };
        if directories.iter().any(|other| other.guest_path == directory.guest_path) {
            let message = format!("`{}` is given twice; give each folder its own", directory.guest_path);
            complain.at(entry_offset(table, "guest_path"), DIRECTORIES, "guest_path", message);
        }
        directories.push(directory);
    }
    directories
}

/// Where a key of a table stands; the table, if it has no such key.
fn entry_offset(table: &Spanned<DeValue<'_>>, key: &str) -> usize {
    let entries = table.get_ref().as_table();
    let entry = entries.and_then(|entries| entries.iter().find(|(known, _)| known.get_ref() == key));
    entry.map_or_else(|| table.span().start, |(key, _)| key.span().start)
}

fn directory(table: &Spanned<DeValue<'_>>, complain: &mut Complaints) -> Option<DirectoryGrant> {
    let entries = as_table(table, DIRECTORIES, complain)?;
    let (mut host_path, mut guest_path, mut access) = (None, None, Access::default());
    for (key, value) in entries {
        let mut reader = Reader { section: DIRECTORIES, key: key.get_ref(), value, complain };
        match key.get_ref().as_ref() {
            "host_path" => host_path = reader.text(folder_problem, "/srv/data"),
            "guest_path" => guest_path = reader.text(name_problem, "/data"),
            "access" => match reader.text(access_problem, "read-only").as_deref() {
                Some("read-write") => access = Access::ReadWrite,
                _ => access = Access::ReadOnly,
            },
            _ => unknown(key, DIRECTORIES, &DIRECTORY_KEYS, complain),
        }
    }
    for (key, example) in [("host_path", "/srv/data"), ("guest_path", "/data")] {
        if !entries.iter().any(|(known, _)| known.get_ref() == key) {
            complain.at(
                table.span().start,
                DIRECTORIES,
                key,
                format!("is missing; for instance {key} = \"{example}\""),
            );
        }
    }
    Some(DirectoryGrant { host_path: PathBuf::from(host_path?), guest_path: guest_path?, access })
}

/// One key with its value.
struct Reader<'a, 't> {
    section: &'static str,
    key: &'a str,
    value: &'a Spanned<DeValue<'t>>,
    complain: &'a mut Complaints,
}

impl Reader<'_, '_> {
    fn wrong(&mut self, offset: usize, message: impl Into<String>) {
        self.complain.at(offset, self.section, self.key, message);
    }

    /// Says that it has another type than `wanted`; `place` is what is wrong in it.
    fn misfit(&mut self, wanted: &Wanted<'_>, place: &Spanned<DeValue<'_>>) {
        let message = wanted.misfit(self.key, self.value.get_ref(), place.get_ref());
        self.wrong(place.span().start, message);
    }

    fn boolean(&mut self) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            let (name, example) = ("true or false".to_owned(), vec!["true".to_owned()]);
            self.misfit(&Wanted { kind: Kind::YesOrNo, name, example, takes: Box::new(|_| true) }, self.value);
        }
        value
    }

    fn text(&mut self, problem: fn(&str) -> Option<String>, example: &str) -> Option<String> {
        let Some(text) = self.value.get_ref().as_str() else {
            let (name, example) = ("a string".to_owned(), vec![example.to_owned()]);
            let takes = Box::new(move |text: &str| problem(text).is_none());
            self.misfit(&Wanted { kind: Kind::Text, name, example, takes }, self.value);
            return None;
        };
        match problem(text) {
            None => Some(text.to_owned()),
            Some(problem) => {
                self.wrong(self.value.span().start, problem);
                None
            }
        }
    }

    fn texts(&mut self, problem: fn(&str) -> Option<String>, example: &str) -> Vec<String> {
        let takes = Box::new(move |text: &str| problem(text).is_none());
        let (name, example) = ("a list of strings".to_owned(), vec![example.to_owned()]);
        let wanted = Wanted { kind: Kind::List, name, example, takes };
        let Some(entries) = self.value.get_ref().as_array() else {
            self.misfit(&wanted, self.value);
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.get_ref().as_str().map(|text| (text, problem(text))) {
                Some((text, None)) => texts.push(text.to_owned()),
                Some((_, Some(problem))) => self.wrong(entry.span().start, problem),
                None => self.misfit(&wanted, entry),
            }
        }
        texts
    }
}

fn variable_problem(entry: &str) -> Option<String> {
    let has_no_name = entry.is_empty() || entry.starts_with('=');
    has_no_name.then(|| format!("`{entry}` has no name; write `NAME` or `NAME=value`"))
}

fn host_problem(entry: &str) -> Option<String> {
    let grants = Grants { network: vec![entry.to_owned()], ..Grants::default() };
    grants.open().err().map(|error| error.to_string())
}

fn folder_problem(path: &str) -> Option<String> {
    let is_folder = PathBuf::from(path).is_dir();
    let whole = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    // Where a relative path leads is not to be seen in a file.
    let leads = if whole.as_os_str() == path { String::new() } else { format!(" ({})", whole.display()) };
    (!is_folder).then(|| format!("`{path}`{leads} is not a folder; create it first"))
}

fn name_problem(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("is empty; name the folder as guests see it, as in \"/data\"".to_owned());
    }
    let parts = || path.split('/').filter(|part| !part.is_empty() && *part != ".");
    if parts().any(|part| part == "..") {
        return Some(format!("`{path}` leads out of itself; name the folder without `..`, as in \"/data\""));
    }
    // Guests have no working folder that a relative name could start from.
    let absolute = parts().collect::<Vec<_>>().join("/");
    (!path.starts_with('/')).then(|| format!("`{path}` is not absolute; write \"/{absolute}\""))
}

fn access_problem(word: &str) -> Option<String> {
    const WORDS: [&str; 2] = ["read-only", "read-write"];
    if WORDS.contains(&word) {
        return None;
    }
    let hint = match word.to_ascii_lowercase().as_str() {
        "rw" | "w" | "write" => "; did you mean `read-write`?".to_owned(),
        "ro" | "r" | "read" => "; did you mean `read-only`?".to_owned(),
        _ => Hint::of(word, WORDS).to_string(),
    };
    Some(format!("`{word}` is neither read-only nor read-write{hint}"))
}
