//! The known word that a mistyped one probably meant.

/// A beginning that is shorter may be that of anything.
const PREFIX_MIN: usize = 4;

/// The nearest of `known` to `word`, if one is near enough to be meant; or one that begins with it.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = normal(word);
    let length = word.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    let far = |candidate: &str| match distance(&word, &normal(candidate)) {
        distance if distance <= allowed => Some(distance),
        distance if length >= PREFIX_MIN && normal(candidate).starts_with(&word) => Some(distance),
        _ => None,
    };
    known
        .into_iter()
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
        let known = ["num_of_workers", "worker_names", "preload"];
        assert_eq!(nearest("num_of_worker", known), Some("num_of_workers"));
        assert_eq!(nearest("num-of-workers", known), Some("num_of_workers"));
        assert_eq!(nearest("prelaod", known), Some("preload"));
        assert_eq!(nearest("num_of", known), Some("num_of_workers"));
        assert_eq!(nearest("wor", known), None);
        assert_eq!(nearest("banana", known), None);
        assert_eq!(distance("abcd", "abdc"), 1);
    }
}
