//! Layering: what was typed, over the file's section, over the defaults; then the checks.
//!
//! What the file holds is written as flags, together with what was typed, and read by the one parser that the option
//! declares. So a value means the same in both places, and there is one default.

use std::{ffi::OsString, path::Path};

use clap::{Args, Command};
use scaler_proto::nearest::Hint;
use toml::{Spanned, de::DeValue};

use super::{
    argv,
    complaints::Complaints,
    effective::{self, Derived, Effective},
    file::{Document, File},
    given::{self, Given, Givens},
    mistake::{ConfigError, Gap, Mistake, Place},
    ports,
    sections::{self, LoggingSettings},
};

/// The settings of one command: a struct whose fields are its options.
pub trait Section: Args {
    /// Name of its section in the file.
    const NAME: &'static str;
    /// Name of its program.
    const COMMAND: &'static str;
    /// What the command is for, in one line.
    const ABOUT: &'static str;
    /// Settings without a default, each with a value that would do.
    const REQUIRED: &'static [(&'static str, &'static str)];
    /// Tables that only the file can hold.
    const FILE_ONLY: &'static [&'static str] = &[];

    /// Addresses of other servers, which port 0 does not lead to.
    const DIALED: &'static [&'static str] = &[];

    /// Settles options that nobody gave by those that somebody gave.
    fn settle(&mut self, _is_given: &dyn Fn(&str) -> bool) {}

    /// Checks what types cannot.
    fn validate(&self, complain: &mut Complaints);

    /// Takes one of the tables that only the file can hold.
    fn take_table(&mut self, _key: &str, _table: &Spanned<DeValue<'_>>, _complain: &mut Complaints) {}

    /// Those tables as they were understood, for whoever looks at the settings.
    fn tables(&self) -> Vec<(&'static str, serde_json::Value)> {
        Vec::new()
    }

    /// What is in effect for keys that nobody gave, where it is made from other settings or from the machine.
    fn derived(&self) -> Vec<Derived> {
        Vec::new()
    }

    /// One line for every setting that is accepted and means something else here.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// One line for every setting that is allowed and that somebody should think about.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// How to log.
    fn logging(&self) -> LoggingSettings;
}

/// Settings, and what should be said about them once there is a log.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Every option with its value, and where that came from.
    pub effective: Vec<Effective>,
    /// Lines for the log, of level WARNING.
    pub warnings: Vec<String>,
    /// Lines for the log, of level INFO.
    pub notices: Vec<String>,
}

/// The settings of a command from its arguments (the first is the program's name) and the file they name.
///
/// # Errors
/// Everything that is wrong, at once where that is possible; also when only help was asked for.
pub fn load<T: Section>(arguments: impl IntoIterator<Item = OsString>) -> Result<Loaded<T>, ConfigError> {
    let mut command = command::<T>();
    let typed = typed::<T>(&mut command, arguments)?;
    let file = typed.get("config").and_then(|given| given.words.first());
    let file = file.map(|path| File::read(Path::new(path))).transpose()?;
    let mut document = file.as_ref().map(File::document).unwrap_or_default();
    let layered = layer::<T>(&command, file.as_ref(), &document, typed);
    document.mistakes.extend(layered.mistakes);
    document.mistakes.extend(ports::nowhere::<T>(&layered.effective));
    match layered.settings {
        Some(settings) if document.mistakes.is_empty() => Ok(Loaded {
            notices: settings.notices(),
            warnings: document.warnings.into_iter().chain(settings.warnings()).collect(),
            settings,
            effective: layered.effective,
        }),
        _ => Err(ConfigError::sorted(document.mistakes)),
    }
}

/// What was typed for a command; the first word is the program's name.
pub(super) fn typed<T: Section>(
    command: &mut Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Givens, clap::Error> {
    let arguments = argv::expand(command, T::FILE_ONLY, arguments)?;
    let matches = command.try_get_matches_from_mut(arguments)?;
    Ok(given::typed(command, &matches))
}

/// The command line of a section's program.
pub(super) fn command<T: Section>() -> Command {
    let after = format!(
        "Every option is also a key of section [{}] in the TOML file given by --config, with `_` for `-`.\n\
         Flags win over the file, the file over the defaults.",
        T::NAME
    );
    let mut command = T::augment_args(Command::new(T::COMMAND))
        .about(T::ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(after)
        // As the original's: what is appended to a script's command line wins.
        .args_override_self(true)
        .mut_args(|arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default() + &notes(&arg);
            // A required setting may come from the file, which clap does not see.
            let arg = if arg.is_required_set() { arg.required(false) } else { arg };
            let arg = if argv::is_boolean(&arg) {
                arg.value_name("BOOL").num_args(0..=1).default_missing_value("true")
            } else {
                arg
            };
            arg.help(help)
        });
    command.build();
    command
}

fn notes(arg: &clap::Arg) -> String {
    let mut notes = String::new();
    for (what, spellings) in [("short", argv::short_spellings(arg)), ("also", argv::other_keys(arg))] {
        if !spellings.is_empty() {
            notes.push_str(&format!(" [{what}: {}]", spellings.join(" ")));
        }
    }
    notes
}

/// The keys that the file may hold.
pub(super) fn keys<T: Section>(command: &Command) -> Vec<&str> {
    let options = command.get_arguments().filter(|arg| !argv::is_own(arg)).map(|arg| arg.get_id().as_str());
    options.filter(|id| *id != "config").chain(T::FILE_ONLY.iter().copied()).collect()
}

/// What the layers give for one command.
pub(super) struct Layered<T> {
    /// None if something stands in the way of having any.
    pub(super) settings: Option<T>,
    pub(super) effective: Vec<Effective>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Puts the layers of one command over each other and checks the result.
pub(super) fn layer<T: Section>(
    command: &Command,
    file: Option<&File>,
    document: &Document<'_>,
    typed: Givens,
) -> Layered<T> {
    let mut mistakes = Vec::new();
    let mut broken = Vec::new();
    let mut givens = match file {
        Some(file) => from_file::<T>(command, file, document, &mut broken, &mut mistakes),
        None => Givens::new(),
    };
    // A mistake in the file is told even where a flag makes it harmless.
    givens.extend(typed);
    let mut effective = effective::list(command, &givens, &broken);
    let is_complete = T::REQUIRED.iter().all(|(key, _)| givens.contains_key(*key));
    let is_mistyped = |key: &str| mistakes.iter().any(|mistake| mistake.means(key));
    let mistyped: Vec<&str> = T::REQUIRED.iter().map(|(key, _)| *key).filter(|key| is_mistyped(key)).collect();
    let is_readable = !document.mistakes.iter().any(|mistake| matches!(mistake, Mistake::Syntax { .. }));
    for (key, example) in T::REQUIRED {
        if givens.contains_key(*key) {
            continue;
        }
        // What is lacking may be what could not be read, or what is there under a mistyped name.
        if is_readable && !broken.iter().any(|(broken, _)| broken == key) && !mistyped.contains(key) {
            let (section, key) = (T::NAME.to_owned(), (*key).to_owned());
            let (gap, example) = (gap::<T>(file, document), (*example).to_owned());
            let is_told = matches!(gap, Gap::NoSection(_))
                && document.mistakes.iter().any(|mistake| mistake.explains_gap(T::NAME, &key));
            if !is_told {
                mistakes.push(Mistake::Missing { gap, section, key, example, program: T::COMMAND });
            }
        }
        // With something in its place the rest can still be checked.
        givens.insert((*key).to_owned(), Given { words: vec![example.into()], place: Place::Default });
    }
    let settings = settle::<T>(command, file, document, &givens, &mut mistakes);
    if let Some(settings) = settings.as_ref().filter(|_| is_complete) {
        effective::complete(&mut effective, settings.derived());
    }
    for (key, value) in settings.iter().flat_map(Section::tables) {
        let found = document.section(T::NAME).iter().find(|entry| entry.key == key).zip(file);
        let place = found.map_or(Place::Default, |(entry, file)| file.place(entry.key_span.start));
        let inner = found.and_then(|(entry, file)| Some((entry.value.get_ref().as_table()?, file)));
        let inner = inner.into_iter().flat_map(|(table, file)| {
            table.iter().map(|(key, _)| (key.get_ref().to_string(), file.place(key.span().start)))
        });
        let inner = inner.collect();
        effective.push(Effective { key: key.to_owned(), value, place, derived: None, inner });
    }
    // A mistyped key on a line that is no TOML as well is worth a word; nothing else of it is.
    let is_word = |mistake: &Mistake| matches!(mistake, Mistake::UnknownKey { key, .. } if !key.is_empty());
    mistakes.retain(|mistake| is_word(mistake) || !document.is_broken(mistake.place()));
    Layered { settings, effective, mistakes }
}

fn gap<T: Section>(file: Option<&File>, document: &Document<'_>) -> Gap {
    match (file, document.place(T::NAME)) {
        (None, _) => Gap::NoFile,
        (Some(file), None) => Gap::NoSection(file.path().to_owned()),
        (Some(_), Some(place)) => Gap::Section(place.clone()),
    }
}

fn from_file<T: Section>(
    command: &Command,
    file: &File,
    document: &Document<'_>,
    broken: &mut Vec<(String, Place)>,
    mistakes: &mut Vec<Mistake>,
) -> Givens {
    let keys = keys::<T>(command);
    let section = || T::NAME.to_owned();
    let mut givens = Givens::new();
    for entry in document.section(T::NAME) {
        let place = file.place(entry.key_span.start);
        let key = entry.key.clone();
        if T::FILE_ONLY.contains(&key.as_str()) {
            continue;
        }
        let is_it = |arg: &&clap::Arg| {
            !argv::is_own(arg) && (arg.get_id() == key.as_str() || argv::other_keys(arg).contains(&key))
        };
        let Some(arg) = command.get_arguments().find(is_it).filter(|arg| arg.get_id() != "config") else {
            // The original's short flags are no keys, but known.
            let is_short = |arg: &&clap::Arg| !argv::is_own(arg) && argv::is_short_of(arg, &key);
            let short = command.get_arguments().find(is_short).map(|arg| arg.get_id().as_str());
            let short = short.filter(|id| keys.contains(id)).map(str::to_owned);
            let nearest = short.map_or_else(|| Hint::of(&key, keys.iter().copied()), |id| Hint(Some(id)));
            let owner = sections::owner_of(&key);
            mistakes.push(Mistake::UnknownKey { place, section: section(), key, nearest, owner });
            continue;
        };
        let id = arg.get_id().as_str();
        if let Some(before) = givens.get(id) {
            let message = format!("means the same as the key at {}; keep one of them", before.place);
            mistakes.push(Mistake::Value { place, section: section(), key, message });
            continue;
        }
        // What the parser made of the rest of such a line is nobody's.
        if document.is_broken(Some(&place)) {
            broken.push((id.to_owned(), place));
            continue;
        }
        match given::from_file(arg, &key, &entry.value) {
            Ok(words) => drop(givens.insert(id.to_owned(), Given { words, place })),
            Err(fault) => {
                broken.push((id.to_owned(), place));
                let place = file.place(fault.offset);
                mistakes.push(Mistake::Value { place, section: section(), key, message: fault.message });
            }
        }
    }
    givens
}

fn settle<T: Section>(
    command: &Command,
    file: Option<&File>,
    document: &Document<'_>,
    givens: &Givens,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let line = given::command_line(command, givens);
    let settings = command.clone().try_get_matches_from(line).and_then(|matches| T::from_arg_matches(&matches));
    let mut settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            // Each value was checked alone, so this is a rule between options, which only a declaration can bring in.
            let (section, message) = (T::NAME.to_owned(), error.to_string());
            mistakes.push(Mistake::Value { place: Place::Flag, section, key: String::new(), message });
            return None;
        }
    };
    let mut complaints = Complaints::default();
    for entry in document.section(T::NAME) {
        if T::FILE_ONLY.contains(&entry.key.as_str()) {
            settings.take_table(&entry.key, &entry.value, &mut complaints);
        }
    }
    settings.settle(&|key| givens.contains_key(key));
    settings.validate(&mut complaints);
    mistakes.extend(complaints.into_mistakes(T::NAME, file, givens));
    Some(settings)
}
