//! Small value types of settings that no other crate has.

use std::{convert::Infallible, fmt, str::FromStr};

/// A word that is not among those a setting knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not one of {}", known.join(", "))]
pub struct UnknownWord {
    /// What was given.
    pub text: String,
    /// What could be.
    pub known: &'static [&'static str],
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
