//! How many there are of something, in words.

use std::fmt::Display;

/// "1 task", "2 tasks".
pub(crate) fn counted(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [counted(0, "call"), counted(1, "task"), counted(2_u64, "worker")],
            ["0 calls", "1 task", "2 workers"]
        );
    }
}
