//! Small value types of settings that no other crate has, and the parsers that say in plain words what they expect.

use std::{convert::Infallible, fmt, str::FromStr};

use super::nearest::nearest;

/// A word that is not among those a setting knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// What was given.
    pub text: String,
    /// What could be.
    pub known: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not one of {}", self.text, self.known.join(", "))?;
        match nearest(&self.text, self.known.iter().copied()) {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownWord {}

/// A text that is no whole number of the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a whole number {range}")]
pub struct NotWhole {
    text: String,
    range: &'static str,
}

/// Numbers that settings are made of.
pub trait Whole: FromStr {
    /// Which numbers there are, after "a whole number".
    const RANGE: &'static str;
}

impl Whole for u32 {
    const RANGE: &'static str = "from 0 to 4294967295";
}

impl Whole for i32 {
    const RANGE: &'static str = "from -2147483648 to 2147483647";
}

impl Whole for u64 {
    const RANGE: &'static str = "of at least 0";
}

impl Whole for i64 {
    const RANGE: &'static str = "(negative ones are allowed)";
}

/// A whole number; `_` between digits is read over, as in TOML.
pub(crate) fn whole<N: Whole>(text: &str) -> Result<N, NotWhole> {
    let is_grouped = text.split('_').all(|group| !group.is_empty());
    let digits = if is_grouped { text.trim().replace('_', "") } else { text.to_owned() };
    digits.parse().map_err(|_| NotWhole { text: text.to_owned(), range: N::RANGE })
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

impl FromStr for Names {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()))
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
        for text in ["eight", "-1", "", "1.5", "_1", "18446744073709551616"] {
            let error = whole::<u64>(text).expect_err(text).to_string();
            assert_eq!(error, format!("`{text}` is not a whole number of at least 0"));
        }
        assert_eq!(whole::<i64>("-1"), Ok(-1));
    }

    #[test]
    fn a_mistyped_word_gets_the_one_that_was_meant() {
        let error = boolean("flase").expect_err("no word").to_string();
        assert_eq!(error, "`flase` is not one of true, false; did you mean `false`?");
    }
}
