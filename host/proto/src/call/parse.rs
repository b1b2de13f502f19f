//! The recursive descent behind [`Call::parse`].

use super::{CALL_BYTES_MAX, Call, CallError, CallErrorKind as Kind};
use crate::{
    json::join_surrogates,
    value::{DEPTH_MAX, Value},
};

pub(super) fn call(text: &str) -> Result<Call, CallError> {
    run(text, Parser::call)
}

pub(super) fn literal(text: &str) -> Result<Value, CallError> {
    run(text, |parser| {
        parser.blanks();
        let value = parser.value(DEPTH_MAX)?;
        parser.blanks();
        if parser.at_end() { Ok(value) } else { parser.fail(Kind::Expected { wanted: "the end of the value" }) }
    })
}

fn run<'a, T>(text: &'a str, parse: impl FnOnce(&mut Parser<'a>) -> Parsed<T>) -> Result<T, CallError> {
    let parsed = if text.len() > CALL_BYTES_MAX {
        Err(Problem { kind: Kind::TooLong, offset: 0 })
    } else {
        parse(&mut Parser { text, offset: 0 })
    };
    parsed.map_err(|problem| CallError {
        kind: problem.kind,
        column: text[..problem.offset].chars().count() + 1,
        call: text.to_owned(),
    })
}

type Parsed<T> = Result<T, Problem>;

struct Problem {
    kind: Kind,
    /// In bytes; always between two characters.
    offset: usize,
}

struct Parser<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, kind: Kind) -> Parsed<T> {
        fail_at(self.offset, kind)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn at_end(&self) -> bool {
        self.offset == self.text.len()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.offset += character.len_utf8();
        Some(character)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.offset += wanted.len_utf8();
        }
        found
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.offset += rest.len() - rest.trim_start().len();
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.offset += length;
        &rest[..length]
    }

    /// A name: ASCII letters, digits, `_` and inner `-`.
    fn word(&mut self) -> &'a str {
        self.take_while(is_word)
    }

    fn call(&mut self) -> Parsed<Call> {
        self.blanks();
        let module = self.module()?;
        self.blanks();
        let function = self.function(&module)?;
        let mut call = Call { module, function, args: Vec::new(), kwargs: Vec::new(), bare: true };
        self.blanks();
        if self.eat('(') {
            call.bare = false;
            self.arguments(&mut call)?;
            self.blanks();
        }
        if self.at_end() { Ok(call) } else { self.fail(Kind::NotACall) }
    }

    fn module(&mut self) -> Parsed<String> {
        // A `:` inside the arguments is none between module and function.
        let head = self.rest().split('(').next().unwrap_or_default();
        if !head.contains(':') {
            return fail_at(self.offset + head.trim_end().len(), Kind::NoColon);
        }
        if let Some(corrected) = of_file(head) {
            return self.fail(Kind::File { corrected });
        }
        let mut module = String::new();
        loop {
            let start = self.offset;
            let segment = self.word();
            if !is_segment(segment) {
                return fail_at(start, Kind::ModulePath);
            }
            module.push_str(&snake(segment));
            match self.peek() {
                Some('.') => module.push('.'),
                Some(':') => {
                    self.offset += 1;
                    return Ok(module);
                }
                Some(c) if c.is_whitespace() && self.rest().trim_start().starts_with(':') => {
                    self.blanks();
                    self.offset += 1;
                    return Ok(module);
                }
                _ => return self.fail(Kind::ModulePath),
            }
            self.offset += 1;
        }
    }

    fn function(&mut self, module: &str) -> Parsed<String> {
        let start = self.offset;
        let word = self.word();
        if word.is_empty() {
            let expression = matches!(self.peek(), Some('[' | '{' | '"' | '\'' | '(' | '-' | '+'));
            return self.fail(if expression { Kind::NotACall } else { Kind::NoFunction });
        }
        if !is_name(word) {
            return fail_at(start, Kind::NotACall);
        }
        if self.peek() != Some('.') {
            return Ok(snake(word));
        }
        let dot = self.offset;
        let dotted = self.take_while(|c| c == '.' || is_word(c));
        match dotted.rsplit_once('.') {
            Some((path, name)) if is_name(name) && dotted[1..].split('.').all(is_name) => {
                let corrected = format!("{module}.{}{}:{}", snake(word), snake(path), snake(name));
                fail_at(dot, Kind::DottedFunction { corrected })
            }
            _ => fail_at(dot, Kind::NotACall),
        }
    }

    fn arguments(&mut self, call: &mut Call) -> Parsed<()> {
        loop {
            self.blanks();
            if self.eat(')') {
                return Ok(());
            }
            let start = self.offset;
            if let Some(name) = self.argument_name() {
                if call.kwargs.iter().any(|(known, _)| *known == name) {
                    return fail_at(start, Kind::Twice { name });
                }
                self.blanks();
                call.kwargs.push((name, self.value(DEPTH_MAX)?));
            } else {
                let value = self.value(DEPTH_MAX)?;
                if !call.kwargs.is_empty() {
                    return fail_at(start, Kind::PositionalAfterNamed);
                }
                call.args.push(value);
            }
            self.separator(')', "`,` or `)`")?;
        }
    }

    /// `name =`, if that is what follows; else nothing is read.
    fn argument_name(&mut self) -> Option<String> {
        let start = self.offset;
        let word = self.word();
        self.blanks();
        if is_name(word) && self.peek() == Some('=') && !self.rest().starts_with("==") {
            self.offset += 1;
            return Some(snake(word));
        }
        self.offset = start;
        None
    }

    /// A comma, which may be missing before the closing character. What is neither shows that the entry before was
    /// the start of something computed.
    fn separator(&mut self, close: char, wanted: &'static str) -> Parsed<()> {
        self.blanks();
        match self.peek() {
            Some(',') => {
                self.offset += 1;
                Ok(())
            }
            Some(c) if c == close => Ok(()),
            Some('+' | '-' | '*' | '/' | '%' | '<' | '>' | '.' | '[' | '(' | '|' | '&' | '^') => {
                let found = excerpt(self.rest());
                self.fail(Kind::NotALiteral { found })
            }
            _ => self.fail(Kind::Expected { wanted }),
        }
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        match self.peek() {
            None => self.fail(Kind::Expected { wanted: "a value" }),
            Some('"' | '\'') => self.text().map(Value::Str),
            Some('b' | 'B') if self.rest()[1..].starts_with(['"', '\'']) => self.bytes().map(Value::Bytes),
            Some('[') => {
                self.nested(depth, |parser, depth| parser.list(']', depth).map(|(entries, _)| Value::List(entries)))
            }
            Some('(') => self.nested(depth, |parser, depth| {
                let (mut entries, comma) = parser.list(')', depth)?;
                // `(1)` is 1 in parentheses, `(1,)` a tuple.
                Ok(if comma || entries.is_empty() { Value::List(entries) } else { entries.swap_remove(0) })
            }),
            Some('{') => self.nested(depth, Self::map),
            Some('0'..='9' | '.') => self.number(),
            Some('+' | '-') => self.number(),
            Some(c) if is_word(c) => self.keyword(),
            Some(c) if c.is_alphabetic() => {
                let found = excerpt(self.rest());
                self.fail(Kind::NotALiteral { found })
            }
            Some(_) => self.fail(Kind::Expected { wanted: "a value" }),
        }
    }

    fn nested(&mut self, depth: usize, read: impl FnOnce(&mut Self, usize) -> Parsed<Value>) -> Parsed<Value> {
        let Some(depth) = depth.checked_sub(1) else { return self.fail(Kind::TooDeep) };
        self.offset += 1;
        read(self, depth)
    }

    /// Entries up to `close`, and whether there was a comma.
    fn list(&mut self, close: char, depth: usize) -> Parsed<(Vec<Value>, bool)> {
        let mut entries = Vec::new();
        let mut comma = false;
        loop {
            self.blanks();
            if self.eat(close) {
                return Ok((entries, comma));
            }
            entries.push(self.value(depth)?);
            self.separator(close, if close == ']' { "`,` or `]`" } else { "`,` or `)`" })?;
            comma |= self.text[..self.offset].ends_with(',');
        }
    }

    fn map(&mut self, depth: usize) -> Parsed<Value> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        loop {
            self.blanks();
            if self.eat('}') {
                return Ok(Value::Map(entries));
            }
            if !matches!(self.peek(), Some('"' | '\'')) {
                return self.fail(Kind::Expected { wanted: "a name in quotes" });
            }
            let name = self.text()?;
            self.blanks();
            if !self.eat(':') {
                return self.fail(Kind::Expected { wanted: "`:`" });
            }
            self.blanks();
            entries.push((name, self.value(depth)?));
            self.separator('}', "`,` or `}`")?;
        }
    }

    fn keyword(&mut self) -> Parsed<Value> {
        let start = self.offset;
        let value = match self.word() {
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            "null" | "None" => Value::Null,
            "nan" | "NaN" => Value::Float(f64::NAN),
            "inf" | "Infinity" => Value::Float(f64::INFINITY),
            _ => return fail_at(start, Kind::NotALiteral { found: excerpt(&self.text[start..]) }),
        };
        Ok(value)
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.offset;
        let negative = self.eat('-');
        if !negative {
            self.eat('+');
        }
        let body = self.offset;
        let word = self.take_while(|c| c.is_alphanumeric() || c == '_');
        let float = match word {
            "inf" | "Infinity" => Some(f64::INFINITY),
            "nan" | "NaN" => Some(f64::NAN),
            _ => None,
        };
        if let Some(number) = float {
            return Ok(Value::Float(if negative { -number } else { number }));
        }
        if word.is_empty() && !self.rest().starts_with('.') || word.starts_with(|c: char| !c.is_ascii_digit()) {
            return fail_at(body, Kind::Expected { wanted: "a number after the sign" });
        }
        let radix = match word.get(..2) {
            Some("0x" | "0X") => 16,
            Some("0o" | "0O") => 8,
            Some("0b" | "0B") => 2,
            _ => 10,
        };
        if radix == 10 {
            self.fraction_and_exponent(word);
        }
        let written = &self.text[start..self.offset];
        let body = &self.text[body..self.offset];
        let problem = || Problem { kind: Kind::Number { text: shorten(written) }, offset: start };
        let digits = plain_digits(body, radix).ok_or_else(problem)?;
        if radix == 10 && digits.contains(['.', 'e', 'E']) {
            let number = digits.parse::<f64>().map_err(|_| problem())?;
            return Ok(Value::Float(if negative { -number } else { number }));
        }
        let digits = if radix == 10 { &digits[..] } else { &digits[2..] };
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        i128::from_str_radix(&signed, radix).map(Value::Int).map_err(|error| match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                Problem { kind: Kind::IntegerTooLarge { text: shorten(written) }, offset: start }
            }
            _ => problem(),
        })
    }

    /// Goes on over `.5`, `e+9` after the leading digits.
    fn fraction_and_exponent(&mut self, leading: &str) {
        let mut last = leading;
        if self.eat('.') {
            last = self.take_while(|c| c.is_alphanumeric() || c == '_');
        }
        if last.ends_with(['e', 'E']) && self.rest().starts_with(['+', '-']) {
            self.offset += 1;
            self.take_while(|c| c.is_alphanumeric() || c == '_');
        }
    }

    fn text(&mut self) -> Parsed<String> {
        let start = self.offset;
        let quote = self.bump();
        let mut out = String::new();
        loop {
            out.push_str(self.take_while(|c| Some(c) != quote && c != '\\'));
            let place = self.offset;
            match self.bump() {
                None => return fail_at(start, Kind::OpenText),
                Some('\\') => match self.escape(place, start, true)? {
                    Some(character) => out.push(character),
                    None => continue,
                },
                Some(_) => return Ok(out),
            }
        }
    }

    fn bytes(&mut self) -> Parsed<Vec<u8>> {
        self.offset += 1;
        let start = self.offset;
        let quote = self.bump();
        let mut out = Vec::new();
        loop {
            let place = self.offset;
            match self.bump() {
                None => return fail_at(start, Kind::OpenText),
                Some('\\') => match self.escape(place, start, false)? {
                    // Escapes in bytes give 255 at most.
                    Some(character) => out.push(u32::from(character) as u8),
                    None => continue,
                },
                character if character == quote => return Ok(out),
                Some(character) if character.is_ascii() => out.push(character as u8),
                Some(_) => return fail_at(place, Kind::NotAscii),
            }
        }
    }

    /// What follows a backslash at `place`; nothing for a line that is continued.
    fn escape(&mut self, place: usize, start: usize, text: bool) -> Parsed<Option<char>> {
        let Some(letter) = self.bump() else { return fail_at(start, Kind::OpenText) };
        let character = match letter {
            '\n' => return Ok(None),
            '\\' | '\'' | '"' | '/' => letter,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'v' => '\u{b}',
            'f' => '\u{c}',
            '0' if !self.rest().starts_with(|c: char| c.is_ascii_digit()) => '\0',
            'x' => self.hex(place, 2)?,
            'u' if text => return self.unicode(place).map(Some),
            'U' if text => self.hex(place, 8)?,
            'u' | 'U' => return fail_at(place, Kind::Escape { reason: "bytes know \\xNN only" }),
            _ => return fail_at(place, Kind::Escape { reason: "write \\\\ for a backslash" }),
        };
        Ok(Some(character))
    }

    fn hex(&mut self, place: usize, length: usize) -> Parsed<char> {
        let number = self.hex_number(place, length)?;
        let missing = Problem { kind: Kind::Escape { reason: "there is no such character" }, offset: place };
        char::from_u32(number).ok_or(missing)
    }

    fn hex_number(&mut self, place: usize, length: usize) -> Parsed<u32> {
        let reason = match length {
            2 => "two hexadecimal digits should follow",
            4 => "four hexadecimal digits should follow",
            _ => "eight hexadecimal digits should follow",
        };
        let digits = self.rest().get(..length).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let number = number.ok_or(Problem { kind: Kind::Escape { reason }, offset: place })?;
        self.offset += length;
        Ok(number)
    }

    /// `\uNNNN`, or two of them that make one character, as JSON writes it.
    fn unicode(&mut self, place: usize) -> Parsed<char> {
        let first = self.hex_number(place, 4)?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let half = Kind::Escape { reason: "half of a surrogate pair is missing" };
        if !self.rest().starts_with("\\u") {
            return fail_at(place, half);
        }
        let second_place = self.offset;
        self.offset += 2;
        let second = self.hex_number(second_place, 4)?;
        join_surrogates(first, second).map_or_else(|| fail_at(place, half), Ok)
    }
}

/// What was meant by a file's path before the `:`, if a module's name can be read from it.
fn of_file(head: &str) -> Option<String> {
    let (path, function) = head.rsplit_once(':')?;
    let (_, file) = path.rsplit_once('/')?;
    let module = file.strip_suffix(".wasm").unwrap_or(file);
    let function = function.trim();
    let is_known = |name: &str| is_segment(name) && name.chars().all(is_word);
    if !module.split('.').chain(function.split('.')).all(is_known) {
        return None;
    }
    Some(match function.rsplit_once('.') {
        Some((inner, function)) => format!("{}.{}:{}", snake(module), snake(inner), snake(function)),
        None => format!("{}:{}", snake(module), snake(function)),
    })
}

fn fail_at<T>(offset: usize, kind: Kind) -> Parsed<T> {
    Err(Problem { kind, offset })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A part of a module path; files may start with a digit.
fn is_segment(word: &str) -> bool {
    word.starts_with(|c: char| c != '-') && !word.ends_with('-')
}

fn is_name(word: &str) -> bool {
    is_segment(word) && word.starts_with(|c: char| !c.is_ascii_digit())
}

fn snake(word: &str) -> String {
    word.replace('-', "_")
}

/// The digits without `_`, if these stand between digits only and leading zeros do not make it an octal of old.
fn plain_digits(body: &str, radix: u32) -> Option<String> {
    let bytes = body.as_bytes();
    let digit = |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_alphanumeric);
    for (place, byte) in bytes.iter().enumerate() {
        if *byte == b'_' && !(digit(place.checked_sub(1)) && digit(Some(place + 1))) {
            return None;
        }
    }
    let digits = body.replace('_', "");
    if radix != 10 {
        return Some(digits);
    }
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or_default();
    let integer = whole.len() == digits.len();
    let old_octal = integer && whole.len() > 1 && whole.starts_with('0') && whole.bytes().any(|b| b != b'0');
    let legal = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    (legal && !old_octal).then_some(digits)
}

/// The start of what stands at a place, for messages.
fn excerpt(rest: &str) -> String {
    let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    match &rest[..word] {
        "" => rest.chars().take(1).collect(),
        word if rest[word.len()..].starts_with('(') => shorten(&format!("{word}(..)")),
        word => shorten(word),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(37).chain("...".chars()).collect() }
}
