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
    if ["//", "--", ";", "/*"].iter().any(|start| line.starts_with(start)) {
        return "a comment begins with `#`".to_owned();
    }
    let without_comment = line.split(" #").next().unwrap_or_default().trim_end();
    let better = assigned(without_comment).or_else(|| with_colon(without_comment)).or_else(|| spaced(without_comment));
    better.unwrap_or_else(|| plain(message, line))
}

/// The parser's words for what people meet, in plain ones.
fn plain(message: &str, line: &str) -> String {
    let told = match message {
        "invalid basic string, expected `\"`" if line.contains('"') => {
            "the string has no closing quote; write `\"` at its end"
        }
        "invalid literal string, expected `'`" if line.contains('\'') => {
            "the string has no closing quote; write `'` at its end"
        }
        "unexpected key or value, expected newline, `#`" => {
            "nothing but a comment (`#`) can follow here; begin a new line"
        }
        _ if message.starts_with("missing escaped value") => {
            "a backslash begins an escape here; write `\\\\` for one, or put the string in single quotes"
        }
        _ => message,
    };
    told.to_owned()
}

/// `key = value`, where the value lacks its quotes or is spelled in another language's way.
fn assigned(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))?;
    if !is_key(key) || is_toml(value) {
        return None;
    }
    let write = |value: &str| format!("write `{key} = {value}`");
    let (doubled, ended) = (value.trim_start_matches('=').trim(), value.trim_end_matches([',', ';']).trim_end());
    let uncommented = value.split(" //").next().and_then(|value| value.split(" ;").next()).unwrap_or_default().trim();
    let straight = value.replace(['“', '”', '„'], "\"").replace(['‘', '’'], "'");
    Some(match value {
        "" => format!("`{key}` has no value; give it one, or leave the key out"),
        "None" | "null" | "nil" => format!("there is no `{value}`; leave the key out"),
        _ if is_toml(doubled) => format!("one `=` stands between key and value; {}", write(doubled)),
        _ if is_toml(ended) => format!("nothing ends a value but the line; {}", write(ended)),
        _ if is_toml(uncommented) => format!("a comment begins with `#`; {}", write(uncommented)),
        _ if is_toml(&straight) => format!("quotes are straight; {}", write(&straight)),
        _ if value.contains(['"', '\'', '=']) || value.starts_with(['[', '{']) => return None,
        _ => bare(value, write),
    })
}

/// A value that is neither a number nor true or false, and has no quotes.
fn bare(value: &str, write: impl Fn(&str) -> String) -> String {
    let yes_or_no = boolean(value).map(|value| value.to_string()).or_else(|error| error.hint().0.ok_or(()));
    if let Ok(meant) = yes_or_no {
        return format!("`{value}` is neither true nor false; {}", write(&meant));
    }
    let quoted = Value::from(value).to_string();
    match number(value) {
        Some(number) => format!("`{value}` is no number; {}, or {quoted} where text is wanted", write(&number)),
        None => format!("a string stands in quotes; {}", write(&quoted)),
    }
}

/// The number in `5s`, `5 min`, `007` or `1,000`, as TOML writes it.
fn number(value: &str) -> Option<String> {
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | '_');
    let is_grouped = value.split(',').skip(1).all(|group| group.len() == 3);
    let value = if is_grouped { value.replace(',', "") } else { value.to_owned() };
    let (number, unit) = value.split_at(value.find(|c| !is_digit(c)).unwrap_or(value.len()));
    // TOML has no numbers that begin with 0.
    let number = number.parse::<i128>().map_or_else(|_| number.to_owned(), |number| number.to_string());
    let is_unit = unit.trim().chars().all(char::is_alphabetic);
    (is_unit && is_toml(&number)).then_some(number)
}

/// `key: value`, `key := value` or `section:`.
fn with_colon(line: &str) -> Option<String> {
    let (key, value) = line.split_once(':').map(|(key, value)| (key.trim().trim_matches('"'), value.trim()))?;
    let value = value.trim_start_matches('=').trim_end_matches(',').trim();
    if !is_key(key) {
        return None;
    }
    Some(match value {
        "" => format!("the name of a section stands in brackets; write `[{key}]`"),
        value if is_toml(value) => format!("`=` stands between key and value; write `{key} = {value}`"),
        value => format!("`=` stands between key and value; write `{key} = {}`", Value::from(value)),
    })
}

/// `key value`
fn spaced(line: &str) -> Option<String> {
    let (key, value) = line.split_once(char::is_whitespace).map(|(key, value)| (key, value.trim()))?;
    let is_it = is_key(key) && is_toml(value);
    is_it.then(|| format!("`=` stands between key and value; write `{key} = {value}`"))
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
            ("protected = False", "`False` is neither true nor false; write `protected = false`"),
            ("timeout = 5s", "`5s` is no number; write `timeout = 5`, or \"5s\" where text is wanted"),
            ("attempts = 03", "`03` is no number; write `attempts = 3`, or"),
            ("host = 127.0.0.1", "a string stands in quotes; write `host = \"127.0.0.1\"`"),
            ("address: \"tcp://h:1\"", "`=` stands between key and value; write `address = \"tcp://h:1\"`"),
            ("address: tcp://h:1", "write `address = \"tcp://h:1\"`"),
            ("\"timeout\": 5,", "write `timeout = 5`"),
            ("scheduler:", "the name of a section stands in brackets; write `[scheduler]`"),
            ("{\"scheduler\": {}}", "this looks like JSON; write a section as in `[scheduler]`"),
            ("timeout = 1,000", "write `timeout = 1000`"),
            ("timeout = 1,5", "a string stands in quotes; write `timeout = \"1,5\"`"),
            ("once = ture", "`ture` is neither true nor false; write `once = true`"),
            ("timeout = 5,", "nothing ends a value but the line; write `timeout = 5`"),
            ("host = \"x\";", "nothing ends a value but the line; write `host = \"x\"`"),
            ("timeout = 5 // s", "a comment begins with `#`; write `timeout = 5`"),
            ("// a comment", "a comment begins with `#`"),
            ("timeout == 5", "one `=` stands between key and value; write `timeout = 5`"),
            ("timeout := 5", "`=` stands between key and value; write `timeout = 5`"),
            ("timeout 5", "`=` stands between key and value; write `timeout = 5`"),
            ("host = “x”", "quotes are straight; write `host = \"x\"`"),
            ("host = None", "there is no `None`; leave the key out"),
            ("timeout = ", "`timeout` has no value; give it one, or leave the key out"),
            // What is wrong is something else: the parser's words.
            ("timeout = 5 once = true", "words"),
            ("timeout = {5}", "words"),
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
        assert_eq!(told("x = {5}", 1, "invalid literal string, expected `'`"), "invalid literal string, expected `'`");
        let escape = told("x = \"C:\\logs\"", 1, "missing escaped value, expected `b`");
        assert_eq!(
            escape,
            "a backslash begins an escape here; write `\\\\` for one, or put the string in single quotes"
        );
        assert!(told("x = \"", 1, "invalid basic string, expected `\"`").contains("no closing quote"));
    }
}
