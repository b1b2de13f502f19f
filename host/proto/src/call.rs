//! The one grammar for calls: `module.path:function(args, name=value)`, in `--preload`, on the command line, in the
//! client.
//!
//! Literals are Python's and JSON's, so that what people know from either works as written. The text may come from
//! anyone: depth is bounded and nothing panics (`tests/fuzz_call.rs`). Reading is in `call/parse.rs`.

mod parse;

use std::fmt::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use crate::{json::write_text, value::Value};

/// Longest call that is read, in bytes.
pub const CALL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A call as somebody wrote it, with all names in snake_case.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Dotted path without the function: `a.b.init`.
    pub module: String,
    /// The function.
    pub function: String,
    /// Arguments by position.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Vec<(String, Value)>,
    /// Written without parentheses; means the same as with empty ones.
    pub bare: bool,
}

/// Why a call could not be read. `Display` shows the place in the call with a caret under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What is wrong.
    pub kind: CallErrorKind,
    /// The call as written.
    pub call: String,
    /// Where, in characters, counted from 1.
    pub column: usize,
}

/// See [`CallError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// No `:` between module and function.
    #[error("there is no `:` between module and function; write `module.path:function(arguments)`")]
    NoColon,
    /// The module path is no list of names with dots between them.
    #[error("the module path is not names with dots between them; write `module.path:function(arguments)`")]
    ModulePath,
    /// A file stands where the module's name should.
    #[error("a module is named here, not its file; write `{corrected}`")]
    File {
        /// Module and function.
        corrected: String,
    },
    /// Nothing that could be a function follows the `:`.
    #[error("a function name should follow the `:`")]
    NoFunction,
    /// The function has dots: `module:a.b()`.
    #[error("the function after the `:` has dots; write `{corrected}`")]
    DottedFunction {
        /// With the dots where they belong.
        corrected: String,
    },
    /// What follows the `:` is an expression, but no call: `module:1 + 2`, `module:f()[0]`.
    #[error("what follows the `:` is not a call; write `function` or `function(arguments)`")]
    NotACall,
    /// An argument that has to be computed: `f(x)`, `f(g())`, `f(1 + 2)`.
    #[error("an argument must be a literal (text, number, true, null, list, tuple, dict), and `{found}` is not")]
    NotALiteral {
        /// What stands there.
        found: String,
    },
    /// A name given to two arguments.
    #[error("the argument `{name}` is given twice")]
    Twice {
        /// In snake_case.
        name: String,
    },
    /// `f(a=1, 2)`
    #[error("an argument without a name follows one with a name")]
    PositionalAfterNamed,
    /// A target that has arguments.
    #[error("arguments do not belong here; write `module.path:function` alone")]
    Arguments,
    /// Not readable: something else should stand there.
    #[error("expected {wanted}")]
    Expected {
        /// What should stand there.
        wanted: &'static str,
    },
    /// A text without its closing quote.
    #[error("the text that starts here has no closing quote")]
    OpenText,
    /// `\q`, `\x4`, `\ud800`: a backslash that means nothing.
    #[error("this escape means nothing: {reason}")]
    Escape {
        /// Why.
        reason: &'static str,
    },
    /// A character over 127 in `b'..'`.
    #[error("bytes hold characters up to \\x7f; write others as \\xNN")]
    NotAscii,
    /// `12ab`, `007`, `1__0`
    #[error("`{text}` is not a number")]
    Number {
        /// As written.
        text: String,
    },
    /// An integer of more than 127 bits.
    #[error("`{text}` is too large for any integer; write it as a float if that is what is meant")]
    IntegerTooLarge {
        /// As written.
        text: String,
    },
    /// Lists in lists beyond the bound.
    #[error("the value nests deeper than {} levels", crate::value::DEPTH_MAX)]
    TooDeep,
    /// Longer than [`CALL_BYTES_MAX`].
    #[error("the call is longer than {CALL_BYTES_MAX} bytes; large values belong into objects")]
    TooLong,
}

impl Call {
    /// Reads a call.
    ///
    /// # Errors
    /// See [`CallErrorKind`].
    pub fn parse(text: &str) -> Result<Self, CallError> {
        parse::call(text)
    }
}

/// Reads `module.path:function`, a call's target alone; gives module and function in snake_case.
///
/// # Errors
/// As [`Call::parse`], and when there are arguments.
pub fn parse_target(text: &str) -> Result<(String, String), CallError> {
    let call = parse::call(text)?;
    if call.bare {
        return Ok((call.module, call.function));
    }
    let column = text.chars().position(|c| c == '(').map_or(1, |place| place + 1);
    Err(CallError { kind: CallErrorKind::Arguments, call: text.to_owned(), column })
}

/// Reads one literal of the grammar.
///
/// # Errors
/// As [`Call::parse`].
pub fn parse_literal(text: &str) -> Result<Value, CallError> {
    parse::literal(text)
}

/// Canonical: two calls that mean the same print the same, as `module:function("text", name=true)`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}(", self.module, self.function)?;
        let mut comma = "";
        for value in &self.args {
            write!(f, "{comma}{value}")?;
            comma = ", ";
        }
        for (name, value) in &self.kwargs {
            write!(f, "{comma}{name}={value}")?;
            comma = ", ";
        }
        f.write_char(')')
    }
}

/// As a literal of the call grammar, which reads it back.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) if number.is_nan() => f.write_str("nan"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Str(text) => write_text(f, text),
            Self::Bytes(bytes) => write_bytes(f, bytes),
            Self::List(entries) => {
                f.write_char('[')?;
                for (index, entry) in entries.iter().enumerate() {
                    write!(f, "{}{entry}", if index > 0 { ", " } else { "" })?;
                }
                f.write_char(']')
            }
            Self::Map(entries) => {
                f.write_char('{')?;
                for (index, (name, entry)) in entries.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    write_text(f, name)?;
                    write!(f, ": {entry}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("b\"")?;
    for byte in bytes {
        match byte {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            b' '..=b'~' => f.write_char(char::from(*byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char('"')
}

/// How much of a long call is shown on each side of the caret, in characters.
const EXCERPT: usize = 60;

/// The message, the call (or the part around the place), and a caret under the column.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.column.saturating_sub(1);
        let start = place.saturating_sub(EXCERPT);
        write!(f, "{} (column {})\n  ", self.kind, self.column)?;
        // Whatever would move the cursor would move the caret away from its place.
        let mut rest = self.call.chars().skip(start).map(|c| if c.is_control() { ' ' } else { c });
        let mut before = if start > 0 { "...".to_owned() } else { String::new() };
        before.extend(rest.by_ref().take(place - start));
        f.write_str(&before)?;
        for character in rest.by_ref().take(EXCERPT) {
            f.write_char(character)?;
        }
        if rest.next().is_some() {
            f.write_str("...")?;
        }
        // In columns of a terminal: some characters take two, and some none.
        let indent = before.width();
        write!(f, "\n  {:indent$}^", "")
    }
}

impl std::error::Error for CallError {}

impl std::str::FromStr for Call {
    type Err = CallError;

    fn from_str(text: &str) -> Result<Self, CallError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
