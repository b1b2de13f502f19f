//! WIT's spelling of Rust names, documentation comments, and JSON strings.

use quote::ToTokens;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, Meta, Result};

/// An error at the user's tokens.
pub(crate) fn fail<T>(at: impl ToTokens, message: impl std::fmt::Display) -> Result<T> {
    Err(Error::new_spanned(at, message))
}

/// The name in WIT: `snake_case` and `CamelCase` become `kebab-case`.
pub(crate) fn kebab(name: &Ident) -> Result<String> {
    let text = name.to_string();
    let text = text.strip_prefix("r#").unwrap_or(&text);
    let characters: Vec<char> = text.chars().collect();
    let mut words = String::new();
    for (index, &character) in characters.iter().enumerate() {
        let previous = index.checked_sub(1).map(|index| characters[index]);
        let next_is_lower = characters.get(index + 1).is_some_and(|next| next.is_lowercase());
        let starts_word = character.is_uppercase()
            && previous.is_some_and(|previous| previous != '_' && (!previous.is_uppercase() || next_is_lower));
        if (character == '_' || starts_word) && !words.is_empty() && !words.ends_with('-') {
            words.push('-');
        }
        if character != '_' {
            words.extend(character.to_lowercase());
        }
    }
    let words = words.trim_end_matches('-');
    if words.starts_with(|first: char| first.is_ascii_lowercase()) && words.is_ascii() {
        return Ok(words.to_owned());
    }
    fail(name, format!("`{text}` has no WIT name: it must be of ASCII letters and digits and start with a letter"))
}

/// The documentation comment as WIT comments, each line indented.
pub(crate) fn docs(attributes: &[Attribute], indent: &str) -> String {
    let mut text = String::new();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value else { continue };
        if !pair.path.is_ident("doc") {
            continue;
        }
        let lines = line.value();
        for line in lines.split('\n') {
            let line = line.strip_prefix(' ').unwrap_or(line);
            // WIT's lexer refuses control characters and those that change the direction of text.
            let line = line.replace(|c: char| c.is_control() && c != '\t' || is_deceptive(c), "");
            let separator = if line.is_empty() { "" } else { " " };
            text += &format!("{indent}///{separator}{line}\n");
        }
    }
    text
}

/// Characters that WIT's lexer refuses in any place.
fn is_deceptive(character: char) -> bool {
    let moves = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let deprecated = ['\u{149}', '\u{673}', '\u{f77}', '\u{f79}', '\u{17a3}', '\u{17a4}', '\u{17b4}', '\u{17b5}'];
    moves || deprecated.contains(&character)
}

/// A JSON string.
pub(crate) fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            character if u32::from(character) < 0x20 => quoted += &format!("\\u{:04x}", u32::from(character)),
            character => quoted.push(character),
        }
    }
    quoted + "\""
}

/// Refuses attributes that would make the interface depend on the build.
pub(crate) fn no_cfg(attributes: &[Attribute], what: &str) -> Result<()> {
    match attributes.iter().find(|attribute| attribute.path().is_ident("cfg")) {
        None => Ok(()),
        Some(attribute) => fail(
            attribute,
            format!("`#[cfg]` on {what}: an interface is the same in every build; use `cfg!` in the code instead"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;

    #[test]
    fn names_become_kebab_case() {
        for (rust, wit) in [
            ("monte_carlo", "monte-carlo"),
            ("HTTPServer", "http-server"),
            ("OutOfRange", "out-of-range"),
            ("step_2", "step-2"),
            ("Vec3d", "vec3d"),
            ("_x__y_", "x-y"),
            ("A", "a"),
        ] {
            assert_eq!(kebab(&Ident::new(rust, Span::call_site())).unwrap(), wit);
        }
        assert_eq!(kebab(&Ident::new_raw("type", Span::call_site())).unwrap(), "type");
        for rust in ["_", "größe", "_1"] {
            let name = syn::parse_str::<Ident>(rust).unwrap_or(Ident::new("ß", Span::call_site()));
            assert!(kebab(&name).is_err(), "{rust}");
        }
    }

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(json("a\"b\\c\n\u{1}ü"), "\"a\\\"b\\\\c\\n\\u0001ü\"");
    }
}
