//! Values as they were given, by flag or by file, in the words of the command line: one parser reads both.

use std::{any::TypeId, collections::BTreeMap, error::Error as _, ffi::OsString, path::PathBuf};

use clap::{Arg, ArgMatches, Command, error::ErrorKind, parser::ValueSource};
use scaler_net::Address;
use scaler_proto::{call::Call, capability::Capabilities};
use toml::{Spanned, de::DeValue};

use super::{
    argv,
    form::{self, Kind, Unit, Wanted},
    mistake::Place,
    sections::PolicyContent,
    values::{Names, UnknownWord},
};

/// What was given for one option.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// One word, or any number for a list.
    pub(super) words: Vec<OsString>,
    pub(super) place: Place,
}

/// By key.
pub(super) type Givens = BTreeMap<String, Given>;

/// What is wrong with a value, and at which offset of the file.
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// The options that were typed.
pub(super) fn typed(command: &Command, matches: &ArgMatches) -> Givens {
    let is_typed = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let given = |arg: &Arg| {
        let id = arg.get_id().as_str();
        let words = matches.get_raw(id).into_iter().flatten().map(ToOwned::to_owned).collect();
        let place = if arg.is_positional() { Place::Argument } else { Place::Flag };
        (id.to_owned(), Given { words, place })
    };
    command.get_arguments().filter(is_typed).map(given).collect()
}

/// The command line that gives exactly these values.
pub(super) fn command_line(command: &Command, givens: &Givens) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![command.get_name().into()];
    let mut positionals: Vec<OsString> = Vec::new();
    for arg in command.get_arguments() {
        let Some(given) = givens.get(arg.get_id().as_str()) else { continue };
        let Some(long) = arg.get_long() else {
            positionals.extend(given.words.iter().cloned());
            continue;
        };
        if given.words.is_empty() {
            line.push(format!("--{long}").into());
        }
        for word in &given.words {
            let mut flag = OsString::from(format!("--{long}="));
            flag.push(word);
            line.push(flag);
        }
    }
    line.push("--".into());
    line.extend(positionals);
    line
}

/// A value of the file in the words of the command line, if the option can have it. `key` is how the file names it.
pub(super) fn from_file(arg: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Fault> {
    let misfit = |wrong: &Spanned<DeValue<'_>>| Fault {
        offset: wrong.span().start,
        message: wanted(arg).misfit(key, value.get_ref(), wrong.get_ref()),
    };
    let checked = |place: &Spanned<DeValue<'_>>, word: String| match check(arg, &word) {
        Ok(()) => Ok(OsString::from(word)),
        Err(message) => Err(Fault { offset: place.span().start, message }),
    };
    if !argv::is_list(arg) {
        let word = word(arg, value.get_ref()).ok_or_else(|| misfit(value))?;
        return Ok(vec![checked(value, word)?]);
    }
    let entries = value.get_ref().as_array().ok_or_else(|| misfit(value))?;
    let entry = |entry: &Spanned<DeValue<'_>>| match entry.get_ref() {
        DeValue::String(text) => checked(entry, text.to_string()),
        _ => Err(misfit(entry)),
    };
    entries.iter().map(entry).collect()
}

/// The word of a value that has the option's type.
fn word(arg: &Arg, value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Boolean(value) if argv::is_boolean(arg) => Some(value.to_string()),
        DeValue::Integer(number) if is_number(arg) => Some(form::decimal(number)),
        DeValue::String(text) if !argv::is_boolean(arg) && !is_number(arg) => Some(text.to_string()),
        _ => None,
    }
}

/// What the option takes, for whoever gave something else.
fn wanted(arg: &Arg) -> Wanted<'_> {
    let is = |kind: TypeId| arg.get_value_parser().type_id() == kind;
    let unit = match arg.get_value_names().unwrap_or_default().first().map(|name| name.as_str()) {
        Some("SECONDS") => Unit::Seconds,
        Some("BYTES") => Unit::Bytes,
        _ => Unit::Things,
    };
    let words = match refusal(arg, "?").as_ref().and_then(|error| error.source()?.downcast_ref::<UnknownWord>()) {
        Some(UnknownWord { known, .. }) => *known,
        None => &[],
    };
    let (kind, name) = match unit {
        _ if argv::is_list(arg) => (Kind::List, "a list of strings"),
        _ if argv::is_boolean(arg) => (Kind::YesOrNo, "true or false"),
        Unit::Seconds if is_number(arg) => (Kind::Whole(unit), "a whole number of seconds"),
        Unit::Bytes if is_number(arg) => (Kind::Whole(unit), "a whole number of bytes"),
        Unit::Things if is_number(arg) => (Kind::Whole(unit), "a whole number"),
        _ if is(TypeId::of::<Address>()) => (Kind::Address, "an address in quotes"),
        _ if is(TypeId::of::<Call>()) => (Kind::Text, "a call in quotes"),
        _ if is(TypeId::of::<PathBuf>()) => (Kind::Text, "a path in quotes"),
        _ if is(TypeId::of::<Names>()) || is(TypeId::of::<Capabilities>()) => (Kind::Joined, "a string"),
        _ => (Kind::Text, "a string"),
    };
    let name = match words {
        [] => name.to_owned(),
        _ if kind == Kind::YesOrNo => name.to_owned(),
        words => format!("one of {}", words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")),
    };
    // What is neither a name nor a path has no use for a number in quotes: a host, for one.
    let is_plain = is(TypeId::of::<String>()) && kind == Kind::Text;
    let takes = Box::new(move |word: &str| check(arg, word).is_ok() && !(is_plain && word.parse::<f64>().is_ok()));
    Wanted { kind, name, example: example(arg, words), takes }
}

/// A value that the option takes: its default, or what shows its form.
fn example(arg: &Arg, words: &[&str]) -> Vec<String> {
    let defaults = arg.get_default_values().iter().map(|word| word.to_string_lossy().into_owned());
    let defaults: Vec<String> = defaults.filter(|word| !word.is_empty()).collect();
    if !defaults.is_empty() || argv::is_list(arg) {
        return defaults;
    }
    let is = |kind: TypeId| arg.get_value_parser().type_id() == kind;
    let form = match arg.get_id().as_str() {
        _ if !words.is_empty() => words[0],
        "object_storage_address" => "tcp://127.0.0.1:8517",
        "monitor_address" => "tcp://127.0.0.1:8518",
        _ if is(TypeId::of::<Address>()) => "tcp://127.0.0.1:8516",
        _ if is(TypeId::of::<Call>()) => "module.path:function()",
        _ if is(TypeId::of::<Capabilities>()) => "linux,cpu=8",
        _ if is(TypeId::of::<Names>()) => "one,two",
        _ if is(TypeId::of::<PolicyContent>()) => "allocate=even_load; scaling=no",
        _ if is(TypeId::of::<PathBuf>()) => "name.conf",
        _ => "",
    };
    vec![form.to_owned()]
}

/// Whether the option takes a number.
pub(super) fn is_number(arg: &Arg) -> bool {
    let kind = arg.get_value_parser().type_id();
    [TypeId::of::<u64>(), TypeId::of::<u32>(), TypeId::of::<i64>()].iter().any(|number| kind == *number)
}

/// Lets the option's own parser read one word.
fn check(arg: &Arg, word: &str) -> Result<(), String> {
    let Some(error) = refusal(arg, word) else { return Ok(()) };
    Err(match error.source() {
        Some(reason) => reason.to_string(),
        None if error.kind() == ErrorKind::InvalidValue => "must not be empty".to_owned(),
        None => error.kind().to_string(),
    })
}

/// What the option's own parser has to say about one word, if it does not take it.
fn refusal(arg: &Arg, word: &str) -> Option<clap::Error> {
    let command = Command::new("value").disable_help_flag(true).arg(arg.clone().required(false));
    let given = Given { words: vec![word.into()], place: Place::Default };
    let line = command_line(&command, &BTreeMap::from([(arg.get_id().to_string(), given)]));
    command.try_get_matches_from(line).err()
}
