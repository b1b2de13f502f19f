//! Values as they were given, by flag or by file, in the words of the command line: one parser reads both.

use std::{collections::BTreeMap, error::Error as _, ffi::OsString};

use clap::{Arg, ArgMatches, Command, error::ErrorKind, parser::ValueSource};
use scaler_proto::capability::Capabilities;
use toml::{Spanned, de::DeValue};

use super::{
    argv,
    mistake::Place,
    values::{Names, boolean},
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

/// A value of the file in the words of the command line, if the option can have it.
pub(super) fn from_file(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Fault> {
    let fault = |message: String| Fault { offset: value.span().start, message };
    if !argv::is_list(arg) {
        let word = word(arg, value.get_ref()).map_err(fault)?;
        check(arg, &word).map_err(fault)?;
        return Ok(vec![word.into()]);
    }
    let entries = match value.get_ref() {
        DeValue::Array(entries) => entries,
        DeValue::String(text) => return Err(fault(format!("this is a list; write [\"{text}\"]"))),
        other => return Err(fault(format!("this is a list, as in [\"one\", \"two\"], not {}", kind(other)))),
    };
    let mut words = Vec::with_capacity(entries.len());
    for entry in entries {
        let fault = |message: String| Fault { offset: entry.span().start, message };
        let DeValue::String(text) = entry.get_ref() else {
            return Err(fault(format!("every entry of this list is text in quotes, not {}", kind(entry.get_ref()))));
        };
        check(arg, text).map_err(fault)?;
        words.push(text.as_ref().into());
    }
    Ok(words)
}

fn word(arg: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let expected = if argv::is_boolean(arg) {
        "true or false"
    } else if is_number(arg) {
        "a whole number"
    } else {
        "text in quotes"
    };
    match (value, expected) {
        (DeValue::Boolean(value), "true or false") => Ok(value.to_string()),
        (DeValue::String(text), "true or false") => Err(match boolean(text) {
            Ok(value) => format!("\"{text}\" is text; write {value} without quotes"),
            Err(_) => format!("expected {expected}, not \"{text}\""),
        }),
        (DeValue::Integer(number), "a whole number") => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            // What is too long even for that is refused by the option, which knows its range.
            Ok(parsed.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()))
        }
        (DeValue::String(text), "a whole number") if text.trim().parse::<i128>().is_ok() => {
            Err(format!("\"{text}\" is text; write {} without quotes", text.trim()))
        }
        (DeValue::String(text), "text in quotes") => Ok(text.to_string()),
        (DeValue::Integer(number), "text in quotes") => {
            Err(check(arg, &number.to_string()).err().unwrap_or_else(|| format!("this is text; write \"{number}\"")))
        }
        (DeValue::String(text), _) => Err(format!("expected {expected}, not \"{text}\"")),
        (DeValue::Array(entries), _) => Err(match in_one(arg, entries) {
            Some(one) => format!("this is no list; write {one}"),
            None => format!("expected {expected}, not a list"),
        }),
        (DeValue::Table(table), _) if is_joined(arg) => {
            let pairs: Option<Vec<String>> = table
                .iter()
                .map(|(name, value)| Some(format!("{}={}", name.get_ref(), number(value.get_ref())?)))
                .collect();
            let text = pairs.map(|pairs| pairs.join(",")).filter(|text| check(arg, text).is_ok());
            Err(text.map_or_else(|| format!("expected {expected}, not a table"), |text| format!("write \"{text}\"")))
        }
        (other, _) => Err(format!("expected {expected}, not {}", kind(other))),
    }
}

/// Whether the option is one text whose entries are separated by commas.
fn is_joined(arg: &Arg) -> bool {
    use std::any::TypeId;
    let kind = arg.get_value_parser().type_id();
    kind == TypeId::of::<Names>() || kind == TypeId::of::<Capabilities>()
}

/// A list as the one value that was probably meant, as the file has it.
fn in_one(arg: &Arg, entries: &[Spanned<DeValue<'_>>]) -> Option<String> {
    let words: Option<Vec<String>> = entries.iter().map(|entry| word(arg, entry.get_ref()).ok()).collect();
    let words = words.filter(|words| !words.is_empty() && (words.len() == 1 || is_joined(arg)))?;
    let text = words.join(",");
    check(arg, &text).ok()?;
    Some(if argv::is_boolean(arg) || is_number(arg) { text } else { format!("\"{text}\"") })
}

fn number(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else { return None };
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Whether the option takes a number.
pub(super) fn is_number(arg: &Arg) -> bool {
    use std::any::TypeId;
    let kind = arg.get_value_parser().type_id();
    [TypeId::of::<u64>(), TypeId::of::<u32>(), TypeId::of::<i64>()].iter().any(|number| kind == *number)
}

fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Lets the option's own parser read one word.
fn check(arg: &Arg, word: &str) -> Result<(), String> {
    let command = Command::new("value").disable_help_flag(true).arg(arg.clone().required(false));
    let given = Given { words: vec![word.into()], place: Place::Default };
    let line = command_line(&command, &BTreeMap::from([(arg.get_id().to_string(), given)]));
    match command.try_get_matches_from(line) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.source() {
            Some(reason) => reason.to_string(),
            None if error.kind() == ErrorKind::InvalidValue => "must not be empty".to_owned(),
            None => error.kind().to_string(),
        }),
    }
}
