//! Options of the original that mean something else here, or nothing yet: accepted with one line, or refused by name.

use std::{fmt, str::FromStr};

use scaler_proto::nearest::Hint;

use super::AllocatePolicy;
use crate::config::{complaints::Complaints, values::UnknownWord, words::words};

words! {
    /// The original's choice of a Python event loop.
    EventLoop {
        /// The only loop there is here.
        Builtin = "builtin",
        /// Accepted, and answered by one log line.
        Uvloop = "uvloop",
    }
}

words! {
    /// The original's ways to start and stop workers by demand.
    ScalingStrategy {
        /// None: whoever runs the clusters starts and stops them.
        Null = "NULL",
        /// Refused.
        Vanilla = "VANILLA",
        /// Refused.
        FixedElastic = "FIXED_ELASTIC",
    }
}

words! {
    /// The original's reader of `policy_content`.
    PolicyEngine {
        /// The form that is documented there.
        Simple = "simple",
    }
}

/// `allocate=X; scaling=Y`, as in the original from 1.15 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyContent {
    /// Where tasks go.
    pub allocate: AllocatePolicy,
    /// Whether workers are started and stopped by demand; only `no` is taken.
    pub scaling: Scaling,
}

words! {
    /// The words of `scaling=` in `policy_content`.
    Scaling {
        /// Nobody starts or stops workers but their operator.
        No = "no",
        /// Refused.
        Vanilla = "vanilla",
        /// Refused.
        FixedElastic = "fixed_elastic",
        /// Refused.
        Capability = "capability",
    }
}

/// A policy that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; write \"allocate=even_load; scaling=no\" or \"allocate=capability; scaling=no\"{hint}")]
pub struct PolicyError {
    problem: String,
    hint: Hint,
}

impl PolicyError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), hint: Hint::default() }
    }

    fn word(key: &str, error: &UnknownWord) -> Self {
        Self { problem: format!("{key}: {}", error.problem()), hint: error.hint() }
    }
}

impl FromStr for PolicyContent {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (mut allocate, mut scaling) = (None, None);
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, word) = part.split_once('=').ok_or_else(|| PolicyError::new(format!("`{part}` has no `=`")))?;
            let (key, word) = (key.trim(), word.trim());
            let is_twice = match key {
                "allocate" => allocate.replace(allocation(word)?).is_some(),
                "scaling" => {
                    let word = word.parse::<Scaling>().map_err(|error| PolicyError::word("scaling", &error))?;
                    scaling.replace(word).is_some()
                }
                _ => {
                    let hint = Hint::of(key, ["allocate", "scaling"]);
                    return Err(PolicyError { problem: format!("there is no `{key}`"), hint });
                }
            };
            if is_twice {
                return Err(PolicyError::new(format!("`{key}` is given twice")));
            }
        }
        let missing = |key: &str| PolicyError::new(format!("`{key}` is missing"));
        Ok(Self {
            allocate: allocate.ok_or_else(|| missing("allocate"))?,
            scaling: scaling.ok_or_else(|| missing("scaling"))?,
        })
    }
}

fn allocation(word: &str) -> Result<AllocatePolicy, PolicyError> {
    match word.to_ascii_lowercase().as_str() {
        // The name of it in 1.12 and in 1.15.
        "even" | "even_load" => Ok(AllocatePolicy::Even),
        "capability" => Ok(AllocatePolicy::Capability),
        _ => {
            let error = UnknownWord { text: word.to_owned(), known: &["even_load", "capability"] };
            Err(PolicyError::word("allocate", &error))
        }
    }
}

impl fmt::Display for PolicyContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allocate = match self.allocate {
            AllocatePolicy::Even => "even_load",
            AllocatePolicy::Capability => "capability",
        };
        write!(f, "allocate={allocate}; scaling={}", self.scaling)
    }
}

/// What is said where scaling was asked for.
pub(super) fn refuse_scaling(key: &'static str, value: &str, complain: &mut Complaints) {
    complain.about(
        key,
        format!(
            "`{value}` asks for workers that are started by demand, which this version does not do; leave `{key}` out, and \
             start and stop clusters yourself (`scaler_cluster`)"
        ),
    );
}

/// The line about a setting that is accepted and does something else here, if it is not at its default.
pub(super) fn notice<V: PartialEq + fmt::Display>(key: &str, value: &V, default: &V, meaning: &str) -> Option<String> {
    (value != default).then(|| format!("{key} = {value}: accepted for the original's sake; {meaning}"))
}

/// Said about uvloop.
pub(super) const ONE_LOOP: &str = "this program has one native event loop, and nothing changes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_needs_both_keys_and_says_what_it_does_not_know() {
        let parsed: PolicyContent = "allocate=even_load; scaling=no".parse().expect("a policy");
        assert_eq!(parsed, PolicyContent { allocate: AllocatePolicy::Even, scaling: Scaling::No });
        assert_eq!(parsed.to_string().parse(), Ok(parsed));
        for (text, expected) in [
            ("allocate=capability", "`scaling` is missing"),
            ("scaling=no", "`allocate` is missing"),
            ("allocate=fair; scaling=no", "`fair` is not one of even_load, capability"),
            ("allocate=even; scaling=vanila", "; did you mean `vanilla`?"),
            ("alocate=even; scaling=no", "; did you mean `allocate`?"),
            ("allocate=capabilty; scaling=no", "; did you mean `capability`?"),
            ("allocate=even; allocate=even; scaling=no", "`allocate` is given twice"),
            ("capability", "`capability` has no `=`"),
        ] {
            let error = text.parse::<PolicyContent>().expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains("scaling=no\""), "{text}: {error}");
            assert!(!error.contains("?;"), "a question ends it: {error}");
        }
    }
}
