//! Counts words: `count` maps parts of a text to counts, `merge` reduces counts to one.

/// Words and how often they occur.
#[scaler_guest::module]
pub mod words {
    use std::collections::BTreeMap;

    /// A word and how often it occurs.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Tally {
        /// In lower case.
        pub word: String,
        /// How often it occurs.
        pub times: u64,
    }

    /// Counts the words in one of so many parts of a text, part 0 being the first. A word that lies across the border
    /// of two parts belongs to the one it begins in.
    pub fn count(text: String, part: u32, parts: u32) -> Result<Vec<Tally>, String> {
        if part >= parts {
            return Err(format!("there is no part {part} of {parts}: the first is 0"));
        }
        let border = |number: u32| text.len() as u64 * u64::from(number) / u64::from(parts);
        let (from, to) = (border(part) as usize, border(part + 1) as usize);
        let mut counts = BTreeMap::<String, u64>::new();
        for (start, word) in super::split(&text) {
            if (from..to).contains(&start) {
                *counts.entry(word.to_lowercase()).or_default() += 1;
            }
        }
        Ok(counts.into_iter().map(|(word, times)| Tally { word, times }).collect())
    }

    /// Adds counts up, the most frequent word first, of equals the first in the alphabet.
    pub fn merge(counts: Vec<Vec<Tally>>) -> Vec<Tally> {
        let mut sums = BTreeMap::<String, u64>::new();
        for count in counts.into_iter().flatten() {
            *sums.entry(count.word).or_default() += count.times;
        }
        let mut merged: Vec<Tally> = sums.into_iter().map(|(word, times)| Tally { word, times }).collect();
        merged.sort_by(|left, right| right.times.cmp(&left.times).then_with(|| left.word.cmp(&right.word)));
        merged
    }
}

/// The words of a text with the places of their first bytes: letters, with apostrophes between them.
fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_of_word = |c: char| c.is_alphabetic() || c == '\'';
    text.split(move |c| !is_of_word(c)).filter_map(move |piece| {
        let word = piece.trim_matches('\'');
        (!word.is_empty()).then(|| (word.as_ptr() as usize - text.as_ptr() as usize, word))
    })
}

#[cfg(test)]
mod tests {
    use super::words::{Tally, count, merge};

    #[test]
    fn parts_add_up_to_the_whole_wherever_the_borders_are() {
        let text = "You don't say 'you'; ÄON äon, say it - twice.".to_owned();
        let whole = merge(vec![count(text.clone(), 0, 1).unwrap()]);
        assert_eq!(whole[0], Tally { word: "say".into(), times: 2 });
        assert_eq!(whole.iter().map(|count| count.times).sum::<u64>(), 9);
        for parts in 2..=text.len() as u32 {
            let counted = (0..parts).map(|part| count(text.clone(), part, parts).unwrap()).collect();
            assert_eq!(merge(counted), whole, "{parts} parts");
        }
        assert!(count(text, 3, 3).is_err());
    }
}
