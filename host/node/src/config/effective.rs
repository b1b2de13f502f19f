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
    /// What the value is made from, where nobody gave one.
    pub derived: Option<String>,
    /// Of a table: where each of its keys stands in the file.
    pub inner: Vec<(String, Place)>,
}

/// What is in effect for a key that nobody gave.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The key.
    pub key: &'static str,
    /// As in the file; null when only the running servers know it.
    pub value: Value,
    /// What it is made from; nothing for a plain default.
    pub from: Option<String>,
}

impl Derived {
    /// A value made from other settings or from the machine.
    pub fn from(key: &'static str, value: impl Into<Value>, from: impl Into<String>) -> Self {
        Self { key, value: value.into(), from: Some(from.into()) }
    }

    /// A default that the declaration cannot hold.
    pub fn default(key: &'static str, value: impl Into<Value>) -> Self {
        Self { key, value: value.into(), from: None }
    }
}

impl Effective {
    /// The value for people, on one line.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.value {
            // A thousand names made from one are not worth a thousand columns.
            Value::String(text) if self.derived.is_some() && text.chars().count() > DERIVED_CHARS_MAX => {
                text.chars().take(DERIVED_CHARS_MAX - 1).chain(['…']).collect()
            }
            Value::Null => "-".to_owned(),
            Value::String(text) if text.is_empty() => "-".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(entries) => {
                let text = |entry: &Value| entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
                let entries: Vec<_> = entries.iter().map(text).collect();
                if entries.is_empty() { "-".to_owned() } else { entries.join(" ") }
            }
            other => other.to_string(),
        }
    }

    /// The rows for people: key, value and origin; a table has one for each of its keys.
    pub(super) fn rows(&self) -> Vec<[String; 3]> {
        let Value::Object(table) = &self.value else { return vec![[self.key.clone(), self.text(), self.origin()]] };
        let row = |(key, value): (&String, &Value)| {
            let place = self.inner.iter().find(|(inner, _)| inner == key).map(|(_, place)| place.clone());
            let place = place.unwrap_or(Place::Default);
            let key = format!("{}.{key}", self.key);
            let part = Self { key, value: value.clone(), place, derived: None, inner: Vec::new() };
            [part.key.clone(), part.text(), part.origin()]
        };
        table.iter().map(row).collect()
    }

    /// Where it came from, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        if let Some(from) = &self.derived {
            return format!("derived: {from}");
        }
        match &self.place {
            Place::File { line, .. } if self.value.is_null() => format!("line {line}, see the error"),
            Place::File { line, .. } => format!("line {line}"),
            Place::Flag | Place::Argument => "flag".to_owned(),
            Place::Default => "default".to_owned(),
        }
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        if let Some(from) = &self.derived {
            return json!({"value": self.value, "source": "derived", "from": from});
        }
        match &self.place {
            Place::File { line, .. } => json!({"value": self.value, "source": "file", "line": line}),
            Place::Flag | Place::Argument => json!({"value": self.value, "source": "flag"}),
            Place::Default => json!({"value": self.value, "source": "default"}),
        }
    }
}

/// Derived values are cut off beyond this, for people.
const DERIVED_CHARS_MAX: usize = 60;

/// Puts what is in effect in the place of what nobody gave.
pub(super) fn complete(effective: &mut [Effective], derived: Vec<Derived>) {
    for Derived { key, value, from } in derived {
        let found = effective.iter_mut().find(|setting| setting.key == key && setting.place == Place::Default);
        if let Some(setting) = found {
            (setting.value, setting.derived) = (value, from);
        }
    }
}

/// All options of a command but the file's own. What is in the file and cannot be read has a place and no value.
pub(super) fn list(command: &Command, givens: &Givens, broken: &[(String, Place)]) -> Vec<Effective> {
    let options = command.get_arguments().filter(|arg| !argv::is_own(arg) && arg.get_id() != "config");
    options
        .map(|arg| {
            let key = arg.get_id().to_string();
            if let Some((_, place)) = broken.iter().find(|(broken, _)| *broken == key && !givens.contains_key(&key)) {
                return Effective { key, value: Value::Null, place: place.clone(), derived: None, inner: Vec::new() };
            }
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
            Effective { key, value, place, derived: None, inner: Vec::new() }
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
