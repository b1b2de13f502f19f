//! Capability tags: what workers offer and tasks ask for (`linux,cpu=8`).
//!
//! The tags gate placement under every policy. A bare name only has to be there; a number on a task is a threshold
//! that the worker's number must reach. Nothing is consumed: counted reservations are another thing.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A set of tags, each with a quantity or without one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(BTreeMap<String, Option<i64>>);

/// Why a capability string could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// An entry without a name.
    #[error("capabilities `{text}`: entry {position} has no name; write `name` or `name=number`, separated by commas")]
    NoName {
        /// The whole text.
        text: String,
        /// Counted from 1.
        position: usize,
    },
    /// A quantity that is no integer.
    #[error("capability `{name}`: `{value}` is not an integer; write `{name}` or, for instance, `{name}=2`")]
    NotAnInteger {
        /// The tag.
        name: String,
        /// What stood after `=`.
        value: String,
    },
    /// A tag that is given twice.
    #[error("capability `{name}` is given twice; keep one of them")]
    Twice {
        /// The tag.
        name: String,
    },
}

impl Capabilities {
    /// No tags.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is no tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<i64>)> {
        self.0.iter().map(|(name, quantity)| (name.as_str(), *quantity))
    }

    /// Adds a tag, or replaces its quantity.
    pub fn insert(&mut self, name: impl Into<String>, quantity: Option<i64>) {
        self.0.insert(name.into(), quantity);
    }

    /// Whether a worker that offers `self` may run a task that asks for `wanted`.
    ///
    /// A wanted number is a threshold; an offered tag without a number is unlimited.
    #[must_use]
    pub fn satisfy(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|(name, quantity)| match (self.0.get(name), quantity) {
            (None, _) => false,
            (Some(None), _) | (Some(_), None) => true,
            (Some(Some(offered)), Some(wanted)) => offered >= wanted,
        })
    }
}

impl FromStr for Capabilities {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let mut tags = BTreeMap::new();
        if text.trim().is_empty() {
            return Ok(Self(tags));
        }
        for (index, entry) in text.split(',').enumerate() {
            let (name, value) = entry.split_once('=').map_or((entry, None), |(name, value)| (name, Some(value.trim())));
            let name = name.trim();
            if name.is_empty() {
                return Err(CapabilityError::NoName { text: text.to_owned(), position: index + 1 });
            }
            let number = value
                .map(|value| {
                    let error = |_| CapabilityError::NotAnInteger { name: name.to_owned(), value: value.to_owned() };
                    value.parse::<i64>().map_err(error)
                })
                .transpose()?;
            // The original writes "no quantity" as -1.
            let quantity = number.filter(|number| *number != -1);
            if tags.insert(name.to_owned(), quantity).is_some() {
                return Err(CapabilityError::Twice { name: name.to_owned() });
            }
        }
        Ok(Self(tags))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, quantity)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match quantity {
                None => write!(f, "{comma}{name}")?,
                Some(number) => write!(f, "{comma}{name}={number}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> Capabilities {
        text.parse().expect("valid capabilities")
    }

    #[test]
    fn blanks_are_trimmed_and_the_print_is_canonical() {
        assert_eq!(caps(" gpu=2, linux ").to_string(), "gpu=2,linux");
        assert_eq!(caps("linux=-1").to_string(), "linux");
        assert_eq!(caps(""), Capabilities::none());
    }

    #[test]
    fn errors_quote_what_was_wrong() {
        assert!("gpu=two".parse::<Capabilities>().expect_err("no integer").to_string().contains("`two`"));
        assert!("linux,,gpu".parse::<Capabilities>().expect_err("empty").to_string().contains("entry 2"));
        assert!("linux,=".parse::<Capabilities>().expect_err("no name").to_string().contains("entry 2 has no name"));
        assert!("a,a=1".parse::<Capabilities>().expect_err("twice").to_string().contains("`a`"));
    }

    #[test]
    fn a_number_is_a_threshold_and_a_name_a_presence() {
        let worker = caps("linux,cpu=8,gpu");
        for (wanted, fits) in [
            ("", true),
            ("linux", true),
            ("cpu=8", true),
            ("cpu=9", false),
            ("cpu", true),
            ("gpu=4", true),
            ("windows", false),
        ] {
            assert_eq!(worker.satisfy(&caps(wanted)), fits, "{wanted}");
        }
    }
}
