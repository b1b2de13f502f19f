//! What a line that is no TOML was probably meant to be: the parser says what it expected, people want the line to
//! write.

use toml::{Table, Value};

use super::values::boolean;

/// What to say about the line `number` (counted from 1) of `text` instead of the parser's `message`; its own words
/// where nothing better is known.
pub(super) fn told(text: &str, number: usize, message: &str) -> String {
    let line = text.lines().nth(number - 1).unwrap_or_default().trim_start_matches('\u{feff}').trim();
    if number == 1 && line.starts_with('{') {
        return "this looks like JSON; write a section as in `[scheduler]`, and below it its keys as in `key = \"value\"`"
            .to_owned();
    }
    let without_comment = line.split(" #").next().unwrap_or_default().trim_end();
    let better = assigned(without_comment).or_else(|| with_colon(without_comment));
    better.unwrap_or_else(|| match message {
        "invalid basic string, expected `\"`" => "the string has no closing quote; write `\"` at its end".to_owned(),
        "invalid literal string, expected `'`" => "the string has no closing quote; write `'` at its end".to_owned(),
        _ if message.starts_with("missing escaped value") => {
            "a backslash begins an escape here; write `\\\\` for one, or put the string in single quotes".to_owned()
        }
        _ => message.to_owned(),
    })
}

/// `key = value`, where the value lacks its quotes or is spelled in another language's way.
fn assigned(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))?;
    let is_bare = !value.is_empty() && !value.contains(['"', '\'']) && !value.starts_with(['[', '{', '=']);
    if !is_key(key) || !is_bare || is_toml(value) {
        return None;
    }
    let quoted = Value::from(value).to_string();
    if let Ok(value) = boolean(value) {
        return Some(format!("`{key}` can be true or false; write `{key} = {value}`"));
    }
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | '_');
    let number = value.split(|c| !is_digit(c)).next().unwrap_or_default();
    // TOML has no numbers that begin with 0.
    let number = number.parse::<i128>().map_or_else(|_| number.to_owned(), |number| number.to_string());
    let number = Some(number).filter(|number| is_toml(number));
    Some(match number {
        Some(number) => {
            format!("`{value}` is no number; write `{key} = {number}`, or `{key} = {quoted}` where text is wanted")
        }
        None => format!("a string stands in quotes; write `{key} = {quoted}`"),
    })
}

/// `key: value` or `section:`.
fn with_colon(line: &str) -> Option<String> {
    let (key, value) = line.split_once(':').map(|(key, value)| (key.trim().trim_matches('"'), value.trim()))?;
    let value = value.trim_end_matches(',');
    if !is_key(key) {
        return None;
    }
    Some(match value {
        "" => format!("the name of a section stands in brackets; write `[{key}]`"),
        value if is_toml(value) => format!("`=` stands between key and value; write `{key} = {value}`"),
        value => format!("`=` stands between key and value; write `{key} = {}`", Value::from(value)),
    })
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn is_toml(value: &str) -> bool {
    format!("key = {value}").parse::<Table>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_toml_is_told_with_the_one_to_write() {
        for (line, expected) in [
            (
                "address = tcp://127.0.0.1:1 # the server",
                "a string stands in quotes; write `address = \"tcp://127.0.0.1:1\"`",
            ),
            ("  level = INFO", "write `level = \"INFO\"`"),
            ("path = C:\\logs", "write `path = 'C:\\logs'`"),
            ("protected = False", "`protected` can be true or false; write `protected = false`"),
            ("timeout = 5s", "`5s` is no number; write `timeout = 5`, or `timeout = \"5s\"` where text is wanted"),
            ("attempts = 03", "`03` is no number; write `attempts = 3`, or"),
            ("host = 127.0.0.1", "a string stands in quotes; write `host = \"127.0.0.1\"`"),
            ("address: \"tcp://h:1\"", "`=` stands between key and value; write `address = \"tcp://h:1\"`"),
            ("address: tcp://h:1", "write `address = \"tcp://h:1\"`"),
            ("\"timeout\": 5,", "write `timeout = 5`"),
            ("scheduler:", "the name of a section stands in brackets; write `[scheduler]`"),
            ("{\"scheduler\": {}}", "this looks like JSON; write a section as in `[scheduler]`"),
            // What is wrong is something else: the parser's words.
            ("timeout = ", "words"),
            ("timeout = [1, 2", "words"),
            ("timeout = \"5", "words"),
            ("a b = 5", "words"),
            ("", "words"),
        ] {
            let told = told(&format!("{line}\n"), 1, "words");
            assert!(told.contains(expected), "{line}: {told}");
            // What is proposed is TOML.
            for form in told.split('`').filter(|form| form.contains(" = ") && !line.starts_with('{')) {
                assert!(form.parse::<Table>().is_ok(), "{line}: {told}");
            }
        }
        assert_eq!(told("", 3, "words"), "words");
        let escape = told("x = \"C:\\logs\"", 1, "missing escaped value, expected `b`");
        assert_eq!(
            escape,
            "a backslash begins an escape here; write `\\\\` for one, or put the string in single quotes"
        );
        assert!(told("x = \"", 1, "invalid basic string, expected `\"`").contains("no closing quote"));
    }
}
