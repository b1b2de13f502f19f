//! The settings as they are in the end, each with where it came from.

use std::ffi::OsString;

use clap::Command;
use serde_json::{Value, json};

use super::{
    argv,
    given::{Givens, is_number},
    mistake::Place,
};

/// One option of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Its key in the file.
    pub key: String,
    /// As in the file: text, number, yes or no, list; null when it has no value.
    pub value: Value,
    /// Where it came from.
    pub place: Place,
}

impl Effective {
    /// The value for people, on one line.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.value {
            Value::Null => "-".to_owned(),
            Value::String(text) if text.is_empty() => "-".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(entries) => {
                let entries: Vec<_> = entries.iter().map(|entry| entry.as_str().unwrap_or_default()).collect();
                if entries.is_empty() { "-".to_owned() } else { entries.join(" ") }
            }
            other => other.to_string(),
        }
    }

    /// Where it came from, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.place {
            Place::File { line, .. } => format!("line {line}"),
            Place::Flag | Place::Argument => "command line".to_owned(),
            Place::Default => "default".to_owned(),
        }
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.place {
            Place::File { line, .. } => json!({"value": self.value, "source": "file", "line": line}),
            Place::Flag | Place::Argument => json!({"value": self.value, "source": "flag"}),
            Place::Default => json!({"value": self.value, "source": "default"}),
        }
    }
}

/// All options of a command but the file's own.
pub(super) fn list(command: &Command, givens: &Givens) -> Vec<Effective> {
    let options = command.get_arguments().filter(|arg| !argv::is_own(arg) && arg.get_id() != "config");
    options
        .map(|arg| {
            let key = arg.get_id().to_string();
            let (words, place) = match givens.get(&key) {
                Some(given) => (given.words.clone(), given.place.clone()),
                None => (arg.get_default_values().iter().map(OsString::from).collect(), Place::Default),
            };
            let text = |word: &OsString| word.to_string_lossy().into_owned();
            let value = if argv::is_list(arg) {
                Value::Array(words.iter().map(|word| text(word).into()).collect())
            } else {
                words.first().map_or(Value::Null, |word| plain(arg, &text(word)))
            };
            Effective { key, value, place }
        })
        .collect()
}

fn plain(arg: &clap::Arg, word: &str) -> Value {
    let parsed = if argv::is_boolean(arg) {
        super::values::boolean(word).ok().map(Value::Bool)
    } else if is_number(arg) {
        let digits = word.replace('_', "");
        digits.parse::<i64>().ok().map(Value::from).or_else(|| digits.parse::<u64>().ok().map(Value::from))
    } else {
        None
    };
    parsed.unwrap_or_else(|| word.into())
}
