//! A value of the wrong type, told in one way for every setting: what is wanted, what is there, and the line to write,
//! with what was probably meant where that can be told and an example where not.

use scaler_net::Address;
use toml::{
    Value,
    de::{DeInteger, DeValue},
};

use super::values::boolean;

/// Longer texts are cut off where they are shown.
const SHOWN_CHARS_MAX: usize = 40;

/// What a setting takes.
pub(super) struct Wanted<'a> {
    pub(super) kind: Kind,
    /// After "expected".
    pub(super) name: String,
    /// A value that would do, entry by entry.
    pub(super) example: Vec<String>,
    /// Whether the setting takes such a word.
    pub(super) takes: Box<dyn Fn(&str) -> bool + 'a>,
}

/// The types of settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    YesOrNo,
    Whole(Unit),
    Text,
    /// A text whose entries are separated by commas.
    Joined,
    Address,
    /// A list of texts.
    List,
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Things,
    Seconds,
    Bytes,
}

impl Wanted<'_> {
    /// What to say where something else stands; `wrong` is what is wrong in `value`, or all of it.
    pub(super) fn misfit(&self, key: &str, value: &DeValue<'_>, wrong: &DeValue<'_>) -> String {
        let is_entry = !std::ptr::eq(value, wrong);
        let found = if is_entry { format!("a list with {}", shown(wrong)) } else { shown(value) };
        let meant = self.meant(value).filter(|words| words.iter().all(|word| (self.takes)(word)));
        let words = meant.unwrap_or_else(|| self.example.clone());
        format!("expected {}, not {found}; write `{key} = {}`", self.name, self.toml(&words))
    }

    fn toml(&self, words: &[String]) -> String {
        match self.kind {
            Kind::YesOrNo | Kind::Whole(_) => words.concat(),
            Kind::Text | Kind::Joined | Kind::Address => Value::from(words.concat()).to_string(),
            Kind::List => Value::from(words.to_vec()).to_string(),
        }
    }

    /// The words that a value of another type probably means.
    fn meant(&self, value: &DeValue<'_>) -> Option<Vec<String>> {
        let one = |word: Option<String>| Some(vec![word?]);
        match (self.kind, value) {
            (Kind::List, DeValue::Array(entries)) => entries.iter().map(|entry| text(entry.get_ref())).collect(),
            (Kind::Joined, DeValue::Array(entries)) => {
                let words: Option<Vec<String>> = entries.iter().map(|entry| text(entry.get_ref())).collect();
                one(words.map(|words| words.join(",")))
            }
            (Kind::Joined, DeValue::Table(table)) => {
                let pair = |name: &str, value: &DeValue<'_>| Some(format!("{name}={}", decimal(value.as_integer()?)));
                let pairs: Option<Vec<String>> =
                    table.iter().map(|(name, value)| pair(name.get_ref(), value.get_ref())).collect();
                one(pairs.map(|pairs| pairs.join(",")))
            }
            (Kind::Address, _) if address(value, &self.example).is_some() => one(address(value, &self.example)),
            (_, DeValue::Array(entries)) => match &entries[..] {
                [entry] => self.meant(entry.get_ref()),
                _ => None,
            },
            (Kind::YesOrNo, DeValue::Boolean(value)) => Some(vec![value.to_string()]),
            (Kind::YesOrNo, value) => one(boolean(text(value)?.trim()).ok().map(|value| value.to_string())),
            (Kind::Whole(unit), DeValue::String(text)) => one(counted(text, unit)),
            (Kind::Whole(_), DeValue::Float(number)) => one(number.as_str().parse().ok().and_then(whole)),
            (_, value) => one(text(value)),
        }
    }
}

/// A value as people speak of it.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > SHOWN_CHARS_MAX => {
            let start: String = text.chars().take(SHOWN_CHARS_MAX - 2).collect();
            format!("the string {start:?}..")
        }
        DeValue::String(text) => format!("the string {text:?}"),
        DeValue::Integer(number) => decimal(number),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => format!("the datetime {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A scalar as a text. Yes and no are none: nothing that takes texts is called so.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(decimal(number)),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// An integer in the words of the command line. What is too long even for us is refused by the option, which knows its
/// range.
pub(super) fn decimal(number: &DeInteger<'_>) -> String {
    let parsed = i128::from_str_radix(number.as_str(), number.radix());
    parsed.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string())
}

/// A number with its unit, as in `5s`, `1.5 min` or `512 MiB`, in the unit of the setting.
fn counted(text: &str, unit: Unit) -> Option<String> {
    let text = text.trim();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '_' | '.' | '+' | '-');
    let (number, suffix) = text.split_at(text.find(|c| !is_number(c)).unwrap_or(text.len()));
    let factor: i128 = match (unit, suffix.trim().to_ascii_lowercase().as_str()) {
        (_, "") => 1,
        (Unit::Seconds, "s" | "sec" | "secs" | "second" | "seconds") => 1,
        (Unit::Seconds, "m" | "min" | "mins" | "minute" | "minutes") => 60,
        (Unit::Seconds, "h" | "hour" | "hours") => 3_600,
        (Unit::Seconds, "d" | "day" | "days") => 86_400,
        (Unit::Bytes, "b" | "byte" | "bytes") => 1,
        (Unit::Bytes, "kb") => 1_000,
        (Unit::Bytes, "mb") => 1_000_000,
        (Unit::Bytes, "gb") => 1_000_000_000,
        (Unit::Bytes, "k" | "kib") => 1 << 10,
        (Unit::Bytes, "m" | "mib") => 1 << 20,
        (Unit::Bytes, "g" | "gib") => 1 << 30,
        _ => return None,
    };
    let digits = number.replace('_', "");
    match digits.parse::<i128>() {
        Ok(number) => Some(number.checked_mul(factor)?.to_string()),
        // No factor is so large that it would lose a digit here.
        Err(_) => whole(digits.parse::<f64>().ok()? * factor as f64),
    }
}

/// The whole number that a part of one is rounded up to.
fn whole(number: f64) -> Option<String> {
    let rounded = if number > 0.0 { number.ceil() } else { number.floor() };
    (rounded.abs() < 1e15).then(|| (rounded as i64).to_string())
}

/// An address from its port, from host and port as a list, or from a table of both.
fn address(value: &DeValue<'_>, example: &[String]) -> Option<String> {
    let port = |value: &DeValue<'_>| text(value)?.parse::<u16>().ok();
    let (host, port) = match value {
        DeValue::Integer(_) => ("127.0.0.1".to_owned(), port(value)?),
        DeValue::Array(entries) => match &entries[..] {
            [host, at] => (host.get_ref().as_str()?.to_owned(), port(at.get_ref())?),
            _ => return None,
        },
        DeValue::Table(table) => {
            let find = |names: &[&str]| {
                table
                    .iter()
                    .find(|(name, _)| names.contains(&name.get_ref().as_ref()))
                    .map(|(_, value)| value.get_ref())
            };
            let host = find(&["host", "ip", "address"])?.as_str()?.to_owned();
            let usual = || example.first()?.parse::<Address>().ok()?.port();
            (host, find(&["port"]).map_or_else(usual, port)?)
        }
        _ => return None,
    };
    let text = match host.parse::<Address>() {
        Ok(whole) => whole.with_port(port).to_string(),
        Err(_) => Address::tcp(host.rsplit("://").next()?, port).to_string(),
    };
    text.parse::<Address>().ok().map(|_| text)
}

#[cfg(test)]
mod tests;
