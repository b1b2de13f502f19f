//! Layering: what was typed, over the file's section, over the defaults; then the checks.

use std::{any::TypeId, ffi::OsString, fmt::Display, path::PathBuf};

use clap::{ArgAction, ArgMatches, Args, Command, parser::ValueSource};
use scaler_net::Address;
use serde::{Deserialize as _, de::DeserializeOwned};
use toml::{Spanned, Table, Value, de::DeTable};

use super::{
    argv,
    file::{Entry, File},
    mistake::{ConfigError, Mistake, Place},
    nearest::nearest,
    sections::LoggingSettings,
    wording::reword,
};

/// The settings of one command: a struct whose fields are its options.
pub trait Section: Args + DeserializeOwned {
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

    /// Checks what types cannot.
    fn validate(&self, complain: &mut Complaints);

    /// One line for every setting that is accepted and means something else here.
    fn notices(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// How to log.
    fn logging(&self) -> LoggingSettings;

    /// Remembers the file that the settings came from, so that a child can be given the same.
    fn set_config(&mut self, file: Option<PathBuf>);
}

/// Settings, and what should be said about them once there is a log.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Lines for the log, of level WARNING.
    pub warnings: Vec<String>,
    /// Lines for the log, of level INFO.
    pub notices: Vec<&'static str>,
}

/// What a check has to say, each about one key.
#[derive(Debug, Default)]
pub struct Complaints(Vec<(&'static str, String)>);

impl Complaints {
    /// Something about a key.
    pub fn about(&mut self, key: &'static str, message: String) {
        self.0.push((key, message));
    }

    /// The value must not be zero.
    pub fn positive(&mut self, key: &'static str, value: u64) {
        if value == 0 {
            self.about(key, "must be positive; give at least 1".to_owned());
        }
    }

    /// The value must reach a bound.
    pub fn at_least<N: PartialOrd + Display>(&mut self, key: &'static str, value: N, least: N) {
        if value < least {
            self.about(key, format!("{value} is too small; give at least {least}"));
        }
    }

    /// The value must not pass a bound; beyond it, `instead` helps.
    pub fn at_most<N: PartialOrd + Display>(&mut self, key: &'static str, value: N, most: N, instead: &str) {
        if value > most {
            self.about(key, format!("{value} is too many; give at most {most}, and {instead}"));
        }
    }

    /// Another address is made from this one, unless it is given itself under the key `own`.
    pub fn derives(&mut self, key: &'static str, address: &Address, offset: u16, own: &str) {
        if let Err(error) = address.with_port_offset(offset) {
            self.about(key, format!("`{own}` is not given and derived from it: {error}"));
        }
    }

    /// Whoever listens beyond this machine must say that it is meant.
    pub fn listens(&mut self, key: &'static str, address: &Address, insecure: bool) {
        if !insecure && !address.is_loopback() {
            let message = format!(
                "{address} can be reached from other machines, and nothing is encrypted or authenticated yet; use \
                 127.0.0.1, or say `--insecure` (`insecure = true`)"
            );
            self.about(key, message);
        }
    }

    /// A list flag is greedy: it may have swallowed the address.
    pub fn logging_paths(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if path.to_string_lossy().contains("://") {
                let path = path.display();
                self.about("logging_paths", format!("`{path}` is an address, not a path; put it before the flag"));
            }
        }
    }
}

/// The settings of a command from its arguments (the first is the program's name) and the file they name.
///
/// # Errors
/// Everything that is wrong, at once where that is possible; also when only help was asked for.
pub fn load<T: Section>(arguments: impl IntoIterator<Item = OsString>) -> Result<Loaded<T>, ConfigError> {
    let mut command = command::<T>();
    let arguments = argv::expand(&command, arguments);
    let matches = command.try_get_matches_from_mut(arguments)?;
    let typed = table(&command, &matches, ValueSource::CommandLine);
    let defaults = table(&command, &matches, ValueSource::DefaultValue);
    let config = matches.get_one::<PathBuf>("config").cloned();
    let file = config.as_deref().map(File::read).transpose()?;

    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let mut layers = Layers { merged: defaults, places: Vec::new(), broken: Vec::new() };
    if let Some(file) = &file {
        let entries = file.section(T::NAME, &mut mistakes, &mut warnings);
        layers.add_file::<T>(&command, file, entries, &typed, &mut mistakes);
    }
    layers.places.retain(|(key, _)| !typed.contains_key(key));
    layers.places.extend(typed.keys().map(|key| (key.clone(), Place::Flag)));
    layers.merged.extend(typed);
    if mistakes.iter().any(|mistake| matches!(mistake, Mistake::Syntax { .. })) {
        // What the rest of the settings lacks may be what could not be read.
        return Err(ConfigError::sorted(mistakes));
    }
    for (key, example) in T::REQUIRED {
        if !layers.merged.contains_key(*key) {
            if !layers.broken.iter().any(|broken| broken == key) {
                let (section, key) = (T::NAME.to_owned(), (*key).to_owned());
                mistakes.push(Mistake::Missing { section, key, example: (*example).to_owned() });
            }
            // With something in its place the rest can still be checked.
            layers.merged.insert((*key).to_owned(), Value::String((*example).to_owned()));
        }
    }
    let settings = layers.settle::<T>(&mut mistakes);
    match settings {
        Some(mut settings) if mistakes.is_empty() => {
            settings.set_config(config);
            Ok(Loaded { notices: settings.notices(), settings, warnings })
        }
        _ => Err(ConfigError::sorted(mistakes)),
    }
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
        .mut_args(|arg| {
            let shorts = argv::short_spellings(&arg);
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let arg = if shorts.is_empty() { arg } else { arg.help(format!("{help} [short: {}]", shorts.join(" "))) };
            // A required setting may come from the file, which clap does not see.
            if arg.is_required_set() { arg.required(false) } else { arg }
        });
    command.build();
    command
}

/// The keys that the file may hold.
pub(super) fn keys<T: Section>(command: &Command) -> Vec<&str> {
    let options = command.get_arguments().map(|arg| arg.get_id().as_str());
    options.filter(|id| !matches!(*id, "config" | "help" | "version")).chain(T::FILE_ONLY.iter().copied()).collect()
}

/// The values of one source, as the file would hold them.
fn table(command: &Command, matches: &ArgMatches, source: ValueSource) -> Table {
    let mut table = Table::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if matches!(id, "config" | "help" | "version") || matches.value_source(id) != Some(source) {
            continue;
        }
        let kind = arg.get_value_parser().type_id();
        let text = |raw: &std::ffi::OsStr| Value::String(raw.to_string_lossy().into_owned());
        let value = if argv::is_boolean(arg) {
            matches.get_one::<bool>(id).copied().map(Value::Boolean)
        } else if kind == TypeId::of::<u64>() {
            matches.get_one::<u64>(id).map(|number| Value::Integer(i64::try_from(*number).unwrap_or(i64::MAX)))
        } else if kind == TypeId::of::<u32>() {
            matches.get_one::<u32>(id).map(|number| Value::Integer(i64::from(*number)))
        } else if kind == TypeId::of::<i64>() {
            matches.get_one::<i64>(id).copied().map(Value::Integer)
        } else if matches!(arg.get_action(), ArgAction::Append) {
            Some(Value::Array(matches.get_raw(id).into_iter().flatten().map(text).collect()))
        } else {
            matches.get_raw(id).and_then(|mut raw| raw.next()).map(text)
        };
        table.extend(value.map(|value| (id.to_owned(), value)));
    }
    table
}

struct Layers {
    merged: Table,
    places: Vec<(String, Place)>,
    broken: Vec<String>,
}

impl Layers {
    fn add_file<T: Section>(
        &mut self,
        command: &Command,
        file: &File,
        entries: Vec<Entry<'_>>,
        typed: &Table,
        mistakes: &mut Vec<Mistake>,
    ) {
        let keys = keys::<T>(command);
        let section = || T::NAME.to_owned();
        let mut base = self.merged.clone();
        base.extend(typed.clone());
        base.extend(T::REQUIRED.iter().map(|(key, value)| ((*key).to_owned(), Value::String((*value).to_owned()))));
        for Entry { key, key_span, value } in entries {
            let place = file.place(key_span.start);
            if !keys.contains(&key.as_str()) {
                let nearest = nearest(&key, keys.iter().copied()).map(str::to_owned);
                mistakes.push(Mistake::UnknownKey { place, section: section(), key, nearest });
                continue;
            }
            match check::<T>(&base, &key, &key_span, value) {
                Ok(value) => {
                    self.merged.insert(key.clone(), value);
                    self.places.push((key, place));
                }
                Err((offset, message)) => {
                    let message = reword(&message);
                    self.broken.push(key.clone());
                    let place = file.place(offset.unwrap_or(key_span.start));
                    mistakes.push(Mistake::Value { place, section: section(), key, message });
                }
            }
        }
    }

    fn settle<T: Section>(&self, mistakes: &mut Vec<Mistake>) -> Option<T> {
        let section = || T::NAME.to_owned();
        let settings = match T::deserialize(self.merged.clone()) {
            Ok(settings) => settings,
            Err(error) => {
                let message = error.message().to_owned();
                mistakes.push(Mistake::Value { place: Place::Flag, section: section(), key: String::new(), message });
                return None;
            }
        };
        let mut complaints = Complaints::default();
        settings.validate(&mut complaints);
        for (key, message) in complaints.0 {
            let place =
                self.places.iter().find(|(known, _)| known == key).map_or(Place::Default, |(_, place)| place.clone());
            mistakes.push(Mistake::Value { place, section: section(), key: key.to_owned(), message });
        }
        Some(settings)
    }
}

type Fault = (Option<usize>, String);

/// Whether the section takes this value for this key; if not, at which offset of the file and why.
fn check<T: Section>(
    base: &Table,
    key: &str,
    key_span: &std::ops::Range<usize>,
    value: Spanned<toml::de::DeValue<'_>>,
) -> Result<Value, Fault> {
    let plain = Value::deserialize(toml::de::ValueDeserializer::from(value.clone()))
        .map_err(|error| (error.span().map(|span| span.start), error.message().to_owned()))?;
    let mut merged = base.clone();
    merged.insert(key.to_owned(), plain.clone());
    let Err(error) = T::deserialize(merged) else { return Ok(plain) };
    // Once more with nothing but this key, now from the document itself: this one knows where inside the value.
    let mut alone = DeTable::new();
    alone.insert(Spanned::new(key_span.clone(), key.to_owned().into()), value);
    let located = T::deserialize(toml::Deserializer::from(Spanned::new(0..0, alone))).err();
    match located.and_then(|error| Some((error.span()?, error.message().to_owned()))) {
        Some((inner, message)) if !inner.is_empty() => Err((Some(inner.start), message)),
        _ => Err((None, error.message().to_owned())),
    }
}
