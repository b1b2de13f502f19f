//! Where in a value something does not fit, and why: shared by binding and decoding.

use std::fmt::{self, Write};

use scaler_proto::{
    nearest::{Hint, nearest},
    resolve::snake,
    value::Value,
};

use crate::types::Type;

/// Why a value does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Another kind of value.
    #[error("{found} is not {wanted}")]
    Kind {
        /// The value, shortened.
        found: String,
        /// What the type takes, and how to write it where that is simple.
        wanted: String,
    },
    /// An integer outside of its type's range.
    #[error("{number} does not fit {ty} ({least} to {most})")]
    Range {
        /// The integer.
        number: i128,
        /// The type.
        ty: String,
        /// Least of the type.
        least: i128,
        /// Most of the type.
        most: i128,
    },
    /// A float where an integer belongs.
    #[error("{found} is a float, and {ty} takes integers")]
    FloatForInteger {
        /// The float.
        found: String,
        /// The type.
        ty: String,
    },
    /// A finite float that would become infinite.
    #[error("{found} does not fit f32")]
    FloatRange {
        /// The float.
        found: String,
    },
    /// A text of no or of several characters for a char.
    #[error("{found} is not one character")]
    NotOneCharacter {
        /// The text, shortened.
        found: String,
    },
    /// A name that is no case, field or flag of the type.
    #[error("{ty} has no {what} `{name}`; it has {known}{hint}")]
    Unknown {
        /// The type.
        ty: String,
        /// `case`, `field` or `flag`.
        what: &'static str,
        /// As given.
        name: String,
        /// The nearest of them.
        hint: Hint,
        /// All there are.
        known: String,
    },
    /// A case number that the type does not have.
    #[error("{ty} has no case number {index}; it has {count}")]
    CaseNumber {
        /// The type.
        ty: String,
        /// Counted from 0.
        index: u64,
        /// How many there are.
        count: usize,
    },
    /// A case that carries a value, without one.
    #[error("the case `{case}` carries a value of type {ty}; write {{'{case}': value}}")]
    PayloadMissing {
        /// The case.
        case: String,
        /// Its payload.
        ty: String,
    },
    /// A case that carries no value, with one.
    #[error("the case `{case}` carries no value; write '{case}'")]
    PayloadUnwanted {
        /// The case.
        case: String,
    },
    /// A field that the record needs.
    #[error("the field `{field}` of {ty} is missing")]
    FieldMissing {
        /// The field.
        field: String,
        /// The record.
        ty: String,
    },
    /// A field that is given twice.
    #[error("the field `{field}` is given twice")]
    FieldTwice {
        /// The field.
        field: String,
    },
    /// A list of another length than a tuple or record needs.
    #[error("{given} entries are given, {ty} takes {taken}")]
    Length {
        /// Entries.
        given: usize,
        /// The type.
        ty: String,
        /// Entries it takes.
        taken: usize,
    },
    /// Bytes that are no whole number of elements.
    #[error("{length} bytes are no whole number of elements of {width} bytes")]
    Packed {
        /// How many bytes.
        length: usize,
        /// Bytes of an element.
        width: usize,
    },
    /// Flag bits that no flag has.
    #[error("{ty} has {count} flags, and others are set")]
    FlagBits {
        /// The type.
        ty: String,
        /// How many flags there are.
        count: usize,
    },
    /// More elements or bytes than the wire format can count.
    #[error("{length} elements are more than a value can hold")]
    TooLong {
        /// How many.
        length: usize,
    },
    /// Not MessagePack.
    #[error(transparent)]
    Pack(#[from] scaler_proto::msgpack::PackError),
    /// The value ended before its bytes did.
    #[error("{count} bytes follow the value")]
    Trailing {
        /// How many.
        count: usize,
    },
}

/// A problem and the way to it, collected from the inside out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) problem: Problem,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Index(usize),
    Name(String),
}

/// Boxed, so that the way without errors stays small and fast.
pub(crate) type Fits<T> = Result<T, Box<Misfit>>;

impl Misfit {
    pub(crate) fn boxed(problem: impl Into<Problem>) -> Box<Self> {
        Box::new(Self { problem: problem.into(), steps: Vec::new() })
    }

    pub(crate) fn fail<T>(problem: impl Into<Problem>) -> Fits<T> {
        Err(Self::boxed(problem))
    }

    pub(crate) fn at_index(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.steps.push(Step::Index(index));
        self
    }

    pub(crate) fn at_name(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.steps.push(Step::Name(snake(name)));
        self
    }

    /// `root.field[3].case`
    pub(crate) fn path(&self, root: &str) -> String {
        let mut path = root.to_owned();
        for step in self.steps.iter().rev() {
            // Writing into a `String` cannot fail.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Name(name) => write!(path, ".{name}"),
            };
        }
        path
    }
}

pub(crate) fn wrong_kind(value: &Value, ty: &Type) -> Problem {
    let (found, mut wanted) = (excerpt(value), wanted(ty));
    let is_text = matches!(ty, Type::String) || matches!(ty, Type::Option(inner) if **inner == Type::String);
    if is_text && matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)) {
        wanted.push_str(&format!("; write \"{found}\" in quotes"));
    }
    Problem::Kind { found, wanted }
}

pub(crate) fn unknown<'a>(
    ty: &Type,
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Problem {
    let hint = nearest(name, known.clone());
    let shown: Vec<String> = known.clone().take(12).map(|name| format!("`{}`", snake(name))).collect();
    let more = known.count() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Problem::Unknown {
        ty: ty.to_string(),
        what,
        name: shorten(name),
        hint: Hint(hint.map(snake)),
        known: shown.join(", ") + &more,
    }
}

/// What a type takes, in words.
fn wanted(ty: &Type) -> String {
    match ty {
        Type::Bool => "a bool (true or false)".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Char => "a character".to_owned(),
        Type::List(inner) if **inner == Type::U8 => "bytes or a list of integers (list<u8>)".to_owned(),
        Type::List(_) => format!("a list ({ty})"),
        Type::Tuple(types) => format!("a list of {} ({ty})", types.len()),
        Type::Record { .. } => format!("a map with the fields of {ty}"),
        Type::Variant { .. } => format!("a case of {ty} ('case' or {{'case': value}})"),
        Type::Result { .. } => format!("{{'ok': value}} or {{'err': value}} ({ty})"),
        Type::Enum { .. } => format!("a case of {ty}"),
        Type::Flags { .. } => format!("a list of flags of {ty}"),
        Type::Float32 | Type::Float64 => format!("a number ({ty})"),
        Type::Option(inner) => format!("null or {}", wanted(inner)),
        _ => format!("an integer ({ty})"),
    }
}

/// The value as a literal, cut after a few characters without printing the rest.
pub(crate) fn excerpt(value: &Value) -> String {
    struct Short(String);
    impl Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for character in text.chars() {
                if self.0.len() >= 40 {
                    self.0.push_str("...");
                    return Err(fmt::Error);
                }
                self.0.push(character);
            }
            Ok(())
        }
    }
    let mut short = Short(String::new());
    // The error only means that it was cut.
    let _ = write!(short, "{value}");
    short.0
}

pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(37).chain("...".chars()).collect() }
}
