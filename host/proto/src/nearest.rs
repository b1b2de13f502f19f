//! The known name that a mistyped one probably meant, and the one way in which that is asked: every message that can
//! suggest a name, of a setting or of a call, takes both from here.

use std::fmt;

/// Longer names are not typed by people, and the work is the product of the lengths.
const LENGTH_MAX: usize = 128;
/// A beginning that is shorter may be that of anything.
const PREFIX_MIN: usize = 4;
/// An ending that is shorter (`_seconds`, `_address`) is that of many names.
const ENDING_MIN: usize = 9;
/// More mistakes than this make another word, however long it is.
const MISTAKES_MAX: usize = 3;

/// A name that was probably meant; prints as `; did you mean ..?` or as nothing. A question ends a message: whatever
/// else there is to say stands before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint(pub Option<String>);

impl Hint {
    /// The nearest of `known` to `word`.
    pub fn of<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        Self(nearest(word, known).map(str::to_owned))
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, "; did you mean `{name}`?"))
    }
}

/// The nearest of `known` to `word`, if one is near enough to be meant; or one that begins or ends with it. Case, and
/// whether a name is written with `-` or `_`, make no difference.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.is_empty() || word.len() > LENGTH_MAX {
        return None;
    }
    let word = normal(word);
    let length = word.chars().count();
    let allowed = (length / 3).clamp(1, MISTAKES_MAX);
    let far = |candidate: &str| {
        let candidate = normal(candidate);
        let distance = distance(&word, &candidate);
        let is_ending = || candidate.strip_suffix(&word).is_some_and(|before| before.ends_with('_'));
        let is_meant = distance <= allowed
            || length >= PREFIX_MIN && candidate.starts_with(&word)
            || length >= ENDING_MIN && is_ending();
        is_meant.then_some(distance)
    };
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .filter_map(|candidate| Some((far(candidate)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn normal(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

/// Insertions, deletions, replacements and swaps of neighbours from `left` to `right`.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &b) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && a == right[column - 1] && left[row - 1] == b {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_away() {
        let known = ["num_of_workers", "worker_names", "preload", "debug", "dry-run", "task_timeout_seconds"];
        for (word, meant) in [
            ("num_of_worker", Some("num_of_workers")),
            ("num-of-workers", Some("num_of_workers")),
            ("Preload", Some("preload")),
            ("prelaod", Some("preload")),
            ("debgu", Some("debug")),
            ("dry_rum", Some("dry-run")),
            // Beginnings, if they are long enough to be one.
            ("num_of", Some("num_of_workers")),
            ("wor", None),
            // Endings of whole words, if they are longer than what many names end with.
            ("of_workers", Some("num_of_workers")),
            ("m_of_workers", Some("num_of_workers")),
            ("workers", None),
            ("timeout_seconds", Some("task_timeout_seconds")),
            ("imeout_seconds", None),
            ("_seconds", None),
            ("banana", None),
            ("colour", None),
            ("", None),
            // As long as a name with three mistakes more, and still another one.
            ("nam_if_werkirs", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(nearest(&"a".repeat(200), ["a"]), None);
        let long = "a".repeat(200);
        assert_eq!(nearest("aaaa", [long.as_str()]), None);
    }

    #[test]
    fn the_nearest_comes_before_one_that_only_begins_so() {
        assert_eq!(nearest("worker", ["worker_names_of_all", "workers"]), Some("workers"));
    }

    #[test]
    fn a_hint_is_a_question_or_nothing() {
        assert_eq!(Hint::of("prelaod", ["preload"]).to_string(), "; did you mean `preload`?");
        assert_eq!(Hint::of("banana", ["preload"]).to_string(), "");
    }
}
