//! What the parser says about a value, in the words of somebody who writes the file.

use super::nearest::nearest;

/// The message without the names of our types, and with the key that was probably meant.
pub(super) fn reword(message: &str) -> String {
    for (ours, theirs) in [
        (", expected u32", ", expected a whole number from 0 to 4294967295"),
        (", expected u64", ", expected a whole number of at least 0"),
        (", expected i64", ", expected a whole number"),
        (", expected a sequence", ", expected a list, as in [\"one\", \"two\"]"),
    ] {
        if let Some(start) = message.strip_suffix(ours) {
            return format!("{start}{theirs}");
        }
    }
    // As in: unknown field `clok`, expected one of `clock`, `random`
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    match quoted.next().filter(|_| is_unknown).and_then(|word| nearest(word, quoted)) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_types_are_not_named_and_the_nearest_key_is() {
        let text = reword("invalid value: integer `-5`, expected u64");
        assert_eq!(text, "invalid value: integer `-5`, expected a whole number of at least 0");
        let text = reword("unknown field `clok`, expected one of `environment`, `clock`");
        assert!(text.ends_with("`clock`; did you mean `clock`?"), "{text}");
        for same in ["unknown field `banana`, expected `clock`", "invalid type: string \"a`clok`\", expected a boolean"]
        {
            assert_eq!(reword(same), same);
        }
    }
}
