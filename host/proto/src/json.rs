//! JSON for [`Value`]: what the command line prints and reads.
//!
//! Written here and not with a library, because ours keeps integers exact, has a place for NaN and infinities
//! (`"NaN"`, `"Infinity"`, `"-Infinity"`), and bounds depth for text from anyone.

use std::fmt::{self, Write};

use crate::value::{DEPTH_MAX, Value, ValueError};

impl Value {
    /// The value as JSON: exact integers, `"NaN"`, `"Infinity"` and `"-Infinity"` as strings, bytes as a list of numbers.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        // Writing into a `String` cannot fail.
        let _ = write_json(&mut out, self);
        out
    }

    /// Reads JSON. `NaN` and infinities come as texts; binding takes those where a float is wanted.
    ///
    /// # Errors
    /// When the text is no JSON or nests too deep; the error has the byte offset.
    pub fn from_json(text: &str) -> Result<Self, ValueError> {
        let mut parser = Parser { text, offset: 0 };
        let value = parser.value(DEPTH_MAX)?;
        parser.blanks();
        if parser.offset == text.len() { Ok(value) } else { Err(parser.error("text after the value")) }
    }
}

fn write_json(out: &mut impl Write, value: &Value) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(number) => write!(out, "{number}"),
        Value::Float(number) if number.is_nan() => out.write_str("\"NaN\""),
        Value::Float(number) if number.is_infinite() && *number > 0.0 => out.write_str("\"Infinity\""),
        Value::Float(number) if number.is_infinite() => out.write_str("\"-Infinity\""),
        Value::Float(number) => write!(out, "{number:?}"),
        Value::Str(text) => write_text(out, text),
        Value::Bytes(bytes) => write_list(out, bytes.iter(), |out, byte| write!(out, "{byte}")),
        Value::List(entries) => write_list(out, entries.iter(), write_json),
        Value::Map(entries) => {
            out.write_char('{')?;
            for (index, (name, entry)) in entries.iter().enumerate() {
                if index > 0 {
                    out.write_char(',')?;
                }
                write_text(out, name)?;
                out.write_char(':')?;
                write_json(out, entry)?;
            }
            out.write_char('}')
        }
    }
}

fn write_list<W: Write, T>(
    out: &mut W,
    entries: impl Iterator<Item = T>,
    write_entry: impl Fn(&mut W, T) -> fmt::Result,
) -> fmt::Result {
    out.write_char('[')?;
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        write_entry(out, entry)?;
    }
    out.write_char(']')
}

/// Writes a text in double quotes with JSON's escapes, which the call grammar reads as well.
pub(crate) fn write_text(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            // DEL and the C1 block could drive a terminal as well as the C0 block can.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => write!(out, "\\u{:04x}", u32::from(character))?,
            _ => out.write_char(character)?,
        }
    }
    out.write_char('"')
}

struct Parser<'a> {
    text: &'a str,
    offset: usize,
}

impl Parser<'_> {
    fn error(&self, problem: &'static str) -> ValueError {
        ValueError::Json { problem, offset: self.offset }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let found = self.text[self.offset..].starts_with(wanted);
        if found {
            self.offset += wanted.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.blanks();
        match self.peek() {
            None => Err(self.error("the text ends where a value should be")),
            Some(b'"') => self.string().map(Value::Str),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[') => self.list(depth.checked_sub(1).ok_or(ValueError::TooDeep)?),
            Some(b'{') => self.map(depth.checked_sub(1).ok_or(ValueError::TooDeep)?),
            _ if self.eat("null") => Ok(Value::Null),
            _ if self.eat("true") => Ok(Value::Bool(true)),
            _ if self.eat("false") => Ok(Value::Bool(false)),
            _ => Err(self.error("no value starts like this")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.offset += 1;
        let mut entries = Vec::new();
        self.blanks();
        if self.eat("]") {
            return Ok(Value::List(entries));
        }
        loop {
            entries.push(self.value(depth)?);
            self.blanks();
            if self.eat("]") {
                return Ok(Value::List(entries));
            }
            if !self.eat(",") {
                return Err(self.error("`,` or `]` should be here"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.offset += 1;
        let mut entries = Vec::new();
        self.blanks();
        if self.eat("}") {
            return Ok(Value::Map(entries));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.error("a name in double quotes should be here"));
            }
            let name = self.string()?;
            self.blanks();
            if !self.eat(":") {
                return Err(self.error("`:` should be here"));
            }
            entries.push((name, self.value(depth)?));
            self.blanks();
            if self.eat("}") {
                return Ok(Value::Map(entries));
            }
            if !self.eat(",") {
                return Err(self.error("`,` or `}` should be here"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), ValueError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error("a digit should be here"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, ValueError> {
        let start = self.offset;
        let _minus = self.eat("-");
        if self.peek() == Some(b'0') {
            self.offset += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.error("a number does not start with 0"));
            }
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.eat(".") {
            integer = false;
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            integer = false;
            let _sign = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        let text = &self.text[start..self.offset];
        if integer && let Ok(number) = text.parse::<i128>() {
            return Ok(Value::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if !integer && number.is_finite() => Ok(Value::Float(number)),
            _ => Err(ValueError::Json { problem: "the number is too large", offset: start }),
        }
    }

    fn string(&mut self) -> Result<String, ValueError> {
        self.offset += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.offset..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.offset += plain;
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error("a control character must be escaped")),
                None => return Err(self.error("the text ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ValueError> {
        self.offset += 1;
        let Some(letter) = self.peek() else { return Err(self.error("the text ends inside a string")) };
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.offset += 1;
                let first = self.hex4()?;
                if (0xd800..0xdc00).contains(&first) && self.eat("\\u") {
                    let second = self.hex4()?;
                    return join_surrogates(first, second)
                        .ok_or_else(|| self.error("half of a surrogate pair is missing"));
                }
                return char::from_u32(first).ok_or_else(|| self.error("half of a surrogate pair is missing"));
            }
            _ => return Err(self.error("there is no such escape")),
        };
        self.offset += 1;
        Ok(plain)
    }

    fn hex4(&mut self) -> Result<u32, ValueError> {
        let digits =
            self.text.get(self.offset..self.offset + 4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|text| u32::from_str_radix(text, 16).ok());
        let number = number.ok_or_else(|| self.error("four hexadecimal digits should be here"))?;
        self.offset += 4;
        Ok(number)
    }
}

/// The character that JSON writes as two escapes.
pub(crate) fn join_surrogates(high: u32, low: u32) -> Option<char> {
    let high = high.checked_sub(0xd800).filter(|high| *high < 0x400)?;
    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x10000 + (high << 10) + low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_people_and_programs_expect() {
        let value = Value::Map(vec![
            ("a".to_owned(), Value::List(vec![Value::Int(u64::MAX.into()), Value::Float(1.0), Value::Float(f64::NAN)])),
            ("é\n".to_owned(), Value::Bytes(vec![0, 255])),
            ("c".to_owned(), Value::Float(f64::NEG_INFINITY)),
        ]);
        let json = "{\"a\":[18446744073709551615,1.0,\"NaN\"],\"é\\n\":[0,255],\"c\":\"-Infinity\"}";
        assert_eq!(value.to_json(), json);
        assert_eq!(Value::from("\u{1b}[31m\u{9b}").to_json(), r#""\u001b[31m\u009b""#);
    }

    #[test]
    fn reads_every_form() {
        let text = r#" { "a" : [ 1 , -0.5e+2 , true , null , "\ud83d\ude00\u00e9\/\b" ] , "b" : {} , "c": [] } "#;
        let value = Value::from_json(text).expect("json");
        assert_eq!(value.to_json(), "{\"a\":[1,-50.0,true,null,\"😀é/\\u0008\"],\"b\":{},\"c\":[]}");
    }

    #[test]
    fn errors_say_what_and_where() {
        let cases = [
            ("", 0),
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("{a:1}", 1),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("\"\\x\"", 2),
            ("\"\\ud800\"", 7),
            ("\"\\ud800\\u0041\"", 13),
            ("\"\n\"", 1),
            ("\"a", 2),
            ("1 2", 2),
            ("nul", 0),
            ("1e999", 0),
            ("\"\\u12", 3),
            ("\"\\u+123\"", 3),
        ];
        for (text, place) in cases {
            match Value::from_json(text) {
                Err(ValueError::Json { offset, .. }) => assert_eq!(offset, place, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn deep_text_is_an_error_and_no_overflow() {
        assert_eq!(Value::from_json(&"[".repeat(1_000_000)), Err(ValueError::TooDeep));
        assert_eq!(Value::from_json(&"{\"a\":".repeat(1_000_000)), Err(ValueError::TooDeep));
    }
}
