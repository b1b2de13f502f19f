//! Small value types of settings that no other crate has, and the parsers that say in plain words what they expect.

use std::{fmt, str::FromStr};

use scaler_net::{Address, AddressError};
use scaler_proto::nearest::Hint;

/// A word that is not among those a setting knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// What was given.
    pub text: String,
    /// What could be.
    pub known: &'static [&'static str],
}

impl UnknownWord {
    /// What is wrong, without what was probably meant: that comes last, whatever else there is to say.
    pub(super) fn problem(&self) -> String {
        format!("`{}` is not one of {}", self.text, self.known.join(", "))
    }

    /// What was probably meant.
    pub(super) fn hint(&self) -> Hint {
        Hint::of(&self.text, self.known.iter().copied())
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.problem(), self.hint())
    }
}

impl std::error::Error for UnknownWord {}

/// A text that is no whole number of the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; give {range}", wrong(text))]
pub struct NotWhole {
    text: String,
    /// What could be, after "give".
    range: String,
}

fn wrong(text: &str) -> String {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("{text} is out of range") } else { format!("`{text}` is not a whole number") }
}

/// Numbers that settings are made of.
pub trait Whole: FromStr + Ord + Copy + fmt::Display + Send + Sync + 'static {
    /// The smallest.
    const MIN: Self;
    /// The largest.
    const MAX: Self;
}

macro_rules! whole_numbers {
    ($($number:ident)*) => {$(
        impl Whole for $number {
            const MIN: Self = $number::MIN;
            const MAX: Self = $number::MAX;
        }
    )*};
}

whole_numbers!(u32 i32 u64 i64);

/// A whole number; `_` between digits is read over, as in TOML.
pub(crate) fn whole<N: Whole>(text: &str) -> Result<N, NotWhole> {
    at_least(N::MIN)(text)
}

/// A reader of whole numbers from `least` on.
pub(super) fn at_least<N: Whole>(least: N) -> impl Fn(&str) -> Result<N, NotWhole> + Clone + Send + Sync + 'static {
    move |text| {
        let number = parsed(text).filter(|number| *number >= least);
        number.ok_or_else(|| {
            // The upper end is news only to those who passed it, and to those who have no lower one.
            let is_long = text.trim_start_matches('-').len() >= N::MAX.to_string().len();
            let is_long = is_long || least == N::MIN && least.to_string().starts_with('-');
            let range = if is_long { format!("{least} to {}", N::MAX) } else { format!("at least {least}") };
            NotWhole { text: text.to_owned(), range }
        })
    }
}

/// A reader of the whole numbers that `is_one` takes; `range` says which these are, after "give".
pub(super) fn only<N: Whole>(
    is_one: impl Fn(N) -> bool + Clone + Send + Sync + 'static,
    range: impl Into<String>,
) -> impl Fn(&str) -> Result<N, NotWhole> + Clone + Send + Sync + 'static {
    let range = range.into();
    move |text| {
        let number = parsed(text).filter(|number| is_one(*number));
        number.ok_or_else(|| NotWhole { text: text.to_owned(), range: range.clone() })
    }
}

fn parsed<N: Whole>(text: &str) -> Option<N> {
    let is_grouped = text.split('_').all(|group| !group.is_empty());
    let digits = if is_grouped { text.trim().replace('_', "") } else { text.to_owned() };
    digits.parse().ok()
}

/// The address of a server that is somewhere already. Port 0 is complained of where the whole file is known, whose own
/// servers may choose it.
pub(super) fn dialed(text: &str) -> Result<Address, AddressError> {
    match Address::to_dial(text) {
        Err(AddressError::PortZero { text }) => text.parse(),
        address => address,
    }
}

/// Names separated by commas; blanks around them do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// The names in order.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// A list of names with nothing between two of its commas, or at an end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {position} of `{text}` is empty; {}", remedy(.others))]
pub struct EmptyName {
    text: String,
    /// Counted from 1.
    position: usize,
    others: Names,
}

fn remedy(others: &Names) -> String {
    match others.as_slice() {
        [] => "write names with commas between them, or leave them out".to_owned(),
        _ => format!("give it a name, or write `{others}`"),
    }
}

impl FromStr for Names {
    type Err = EmptyName;

    fn from_str(text: &str) -> Result<Self, EmptyName> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().position(String::is_empty) {
            None => Ok(Self(names)),
            Some(at) => {
                let others = Self(names.into_iter().filter(|name| !name.is_empty()).collect());
                Err(EmptyName { text: text.to_owned(), position: at + 1, others })
            }
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// `true` or `false` in the spellings that people use, Python's among them.
pub(super) fn boolean(text: &str) -> Result<bool, UnknownWord> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(UnknownWord { text: text.to_owned(), known: &["true", "false"] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_what_they_could_be() {
        assert_eq!(whole::<u64>("1_000"), Ok(1000));
        for (text, expected) in [
            ("eight", "`eight` is not a whole number; give at least 0"),
            ("1.5", "`1.5` is not a whole number; give at least 0"),
            ("_1", "`_1` is not a whole number; give at least 0"),
            ("", "`` is not a whole number; give at least 0"),
            ("-1", "-1 is out of range; give at least 0"),
            ("18446744073709551616", "18446744073709551616 is out of range; give 0 to 18446744073709551615"),
        ] {
            assert_eq!(whole::<u64>(text).expect_err(text).to_string(), expected);
        }
        assert_eq!(whole::<i64>("-1"), Ok(-1));
        let error = whole::<i32>("high").expect_err("a word").to_string();
        assert_eq!(error, "`high` is not a whole number; give -2147483648 to 2147483647");
        let port = only(|port: u32| port < 65_536, "1 to 65535, or 0 for a free one");
        assert_eq!(port("0"), Ok(0));
        let error = port("65536").expect_err("no port").to_string();
        assert_eq!(error, "65536 is out of range; give 1 to 65535, or 0 for a free one");
        assert_eq!(at_least(1_u32)("0").expect_err("zero").to_string(), "0 is out of range; give at least 1");
    }

    #[test]
    fn a_mistyped_word_gets_the_one_that_was_meant() {
        let error = boolean("flase").expect_err("no word").to_string();
        assert_eq!(error, "`flase` is not one of true, false; did you mean `false`?");
    }
}
