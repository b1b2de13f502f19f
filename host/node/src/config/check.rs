//! A whole deployment file at once: the settings of all its commands, all its mistakes, and what does not fit together.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use scaler_net::Address;
use serde_json::{Map, Value, json};

use super::{
    effective::Effective,
    file::{File, KNOWN_SECTIONS},
    given::Given,
    mistake::{self, ConfigError, Mistake, Place},
    ports, sections,
};

/// Origins of longer values stand farther right than those of the others.
const VALUE_CHARS_MAX: usize = 60;

/// What a file says.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The sections of ours that it has.
    pub sections: Vec<SectionReport>,
    /// All that is wrong, in the order of the file.
    pub mistakes: Vec<Mistake>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// What a file says to one command.
#[derive(Debug)]
pub struct SectionReport {
    /// The section's name.
    pub name: &'static str,
    /// The program that reads it.
    pub program: &'static str,
    /// Every option with its value.
    pub effective: Vec<Effective>,
    /// What is accepted and means something else here.
    pub notices: Vec<String>,
}

/// A command with what is typed behind its name.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'l> {
    /// The program's name.
    pub program: &'l str,
    /// Its arguments.
    pub arguments: &'l [OsString],
}

/// Reads a file for all commands; one of them may have been given arguments as well.
///
/// # Errors
/// When the file, or the command line, cannot be read; mistakes in it are in the report.
pub fn check(path: &Path, line: Option<CommandLine<'_>>) -> Result<Report, ConfigError> {
    let is_meant = |program: &str| line.filter(|line| line.program == program);
    let mut all = Vec::new();
    for section in sections::all() {
        let words = |line: CommandLine<'_>| [&[line.program.into()], line.arguments].concat();
        let typed = is_meant(section.program).map(|line| (section.typed)(words(line))).transpose()?;
        all.push((section, typed));
    }
    let file = File::read(path)?;
    let mut document = file.document();
    let (mut mistakes, mut sections, mut nowhere) = (Vec::new(), Vec::new(), Vec::new());
    for (section, typed) in all {
        // Who is given arguments is started, whether or not the file has something for it.
        if !document.has(section.name) && typed.is_none() {
            continue;
        }
        let mut typed = typed.unwrap_or_default();
        let other = typed.remove("config").filter(|given| !given.words.iter().any(|other| is_same(other, path)));
        if let Some(Given { place, .. }) = other {
            let message = format!("names another file than {}, which is checked here; leave it out", path.display());
            let (section, key) = (section.name.to_owned(), "config".to_owned());
            mistakes.push(Mistake::Value { place, section, key, message });
        }
        let checked = (section.check)(&file, &document, typed);
        mistakes.extend(checked.mistakes);
        nowhere.extend(checked.nowhere);
        let warning = |line| format!("{}: [{}] {line}", path.display(), section.name);
        document.warnings.extend(checked.warnings.into_iter().map(warning));
        sections.push(SectionReport {
            name: section.name,
            program: section.program,
            effective: checked.effective,
            notices: checked.notices,
        });
    }
    mistakes.append(&mut document.mistakes);
    let is_foreign = |name: &&&str| document.has(name) && sections.iter().all(|section| section.name != **name);
    let foreign = KNOWN_SECTIONS.iter().filter(is_foreign).map(|name| {
        format!("{}: [{name}] is for a command of the original that is not here; it is read over", path.display())
    });
    let foreign: Vec<String> = foreign.collect();
    let mut warnings = document.warnings;
    warnings.extend(foreign);
    if sections.is_empty() && mistakes.is_empty() {
        let names = sections::all().map(|section| format!("[{}]", section.name)).join(", ");
        warnings.push(format!("{}: there is no section of ours; they are {names}", path.display()));
    }
    warnings.extend(contradictions(&sections));
    warnings.extend(missing_folder(&sections));
    mistakes.extend(ports::taken_twice(&sections));
    let any_free = ports::any_free(&sections);
    nowhere.retain(|mistake| !any_free || !matches!(mistake.place(), Some(Place::File { .. })));
    mistakes.extend(nowhere);
    tell_storage(&mut sections);
    Ok(Report { path: path.to_owned(), sections, mistakes: mistake::sorted(mistakes), warnings })
}

fn is_same(other: &OsString, path: &Path) -> bool {
    let (other, path) = (fs::canonicalize(other), fs::canonicalize(path));
    other.is_ok_and(|other| path.is_ok_and(|path| other == path))
}

/// Addresses of one deployment that do not meet.
fn contradictions(sections: &[SectionReport]) -> Vec<String> {
    let find = |section: &str, key: &str| {
        let section = sections.iter().find(|known| known.name == section)?;
        let effective = section.effective.iter().find(|known| known.key == key)?;
        let address: Address = effective.value.as_str()?.parse().ok()?;
        Some((address, effective.place.clone()))
    };
    let scheduler = find("scheduler", "scheduler_address");
    let monitor = find("scheduler", "monitor_address");
    let own_storage = sections.iter().find(|known| known.name == "scheduler").is_some_and(|section| {
        section.effective.iter().any(|known| known.key == "object_storage_address" && known.derived.is_some())
    });
    let storage = find("object_storage_server", "object_storage_address");
    let mut warnings = Vec::new();
    for (section, key, what, server) in [
        ("cluster", "scheduler_address", "the scheduler listens at", &scheduler),
        ("cluster", "object_storage_address", "the object storage server listens at", &storage),
        (
            "scheduler",
            "object_storage_address",
            "the object storage server listens at",
            &storage.clone().filter(|_| !own_storage),
        ),
        ("webui", "monitor_address", "the scheduler serves watchers at", &monitor),
        ("top", "monitor_address", "the scheduler serves watchers at", &monitor),
    ] {
        let (Some((client, place)), Some((server, _))) = (find(section, key), server) else { continue };
        // Port 0 is any port, and only the ready line tells which.
        let is_open = client.port() == Some(0) || server.port() == Some(0);
        // Watchers are served at the scheduler's own address too.
        let is_open = is_open
            || key == "monitor_address" && scheduler.as_ref().is_some_and(|(it, _)| ports::reaches(&client, it));
        if !ports::reaches(&client, server) && !is_open {
            warnings.push(format!("{place}: [{section}] {key} is {client}, but {what} {server} in this file"));
        }
    }
    if let (Some((address, place)), Some(_), true) = (&storage, &scheduler, own_storage) {
        warnings.push(format!(
            "{place}: the scheduler of this file starts a storage of its own; with object_storage_address = \
             \"{address}\" in [scheduler] it uses this one"
        ));
    }
    warnings
}

/// A cluster whose modules are nowhere, as far as this machine tells. Nobody promised the folder of the default.
fn missing_folder(sections: &[SectionReport]) -> Option<String> {
    let cluster = sections.iter().find(|known| known.name == "cluster")?;
    let setting = cluster.effective.iter().find(|known| known.key == "module_path")?;
    let folder = setting.value.as_str().filter(|folder| !Path::new(folder).is_dir())?;
    let place = Some(&setting.place).filter(|place| **place != Place::Default)?;
    Some(format!(
        "{place}: [cluster] module_path: there is no folder {folder} here; a cluster takes it as empty until there is"
    ))
}

/// A cluster asks its scheduler for the object storage; where the file has both, that is known.
fn tell_storage(sections: &mut [SectionReport]) {
    let value = |section: &str, key: &str| {
        let section = sections.iter().find(|known| known.name == section)?;
        section.effective.iter().find(|known| known.key == key).map(|known| known.value.clone())
    };
    let (Some(cluster), Some(scheduler)) =
        (value("cluster", "scheduler_address"), value("scheduler", "scheduler_address"))
    else {
        return;
    };
    let Some(storage) = value("scheduler", "object_storage_address").filter(|_| cluster == scheduler) else { return };
    let settings = sections.iter_mut().filter(|known| known.name == "cluster").flat_map(|known| &mut known.effective);
    for setting in settings.filter(|setting| setting.key == "object_storage_address" && setting.derived.is_some()) {
        setting.value = storage.clone();
        setting.derived = Some("[scheduler] object_storage_address, which the scheduler tells".to_owned());
    }
}

impl Report {
    /// For people: every setting with its origin.
    #[must_use]
    pub fn picture(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            text.push_str(&format!("[{}] of {}\n", section.name, section.program));
            let rows: Vec<[String; 3]> = section.effective.iter().flat_map(Effective::rows).collect();
            let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let (keys, values) = (width(0), width(1).min(VALUE_CHARS_MAX));
            for [key, value, origin] in &rows {
                text.push_str(&format!("  {key:<keys$}  {value:<values$}  {origin}\n"));
            }
            for notice in &section.notices {
                text.push_str(&format!("  note: {notice}\n"));
            }
            text.push('\n');
        }
        text
    }

    /// For programs: one object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let sections: Map<String, Value> = self
            .sections
            .iter()
            .map(|section| {
                let settings: Map<String, Value> =
                    section.effective.iter().map(|setting| (setting.key.clone(), setting.to_json())).collect();
                let report = json!({"program": section.program, "settings": settings, "notices": section.notices});
                (section.name.to_owned(), report)
            })
            .collect();
        json!({
            "file": self.path.to_string_lossy(),
            "ok": self.mistakes.is_empty(),
            "sections": sections,
            "mistakes": self.mistakes.iter().map(mistake_json).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

fn mistake_json(mistake: &Mistake) -> Value {
    let (line, column) = match mistake.place() {
        Some(Place::File { line, column, .. }) => (Some(line), Some(column)),
        _ => (None, None),
    };
    json!({
        "line": line,
        "column": column,
        "section": mistake.section(),
        "key": mistake.key(),
        "message": mistake.to_string(),
    })
}
