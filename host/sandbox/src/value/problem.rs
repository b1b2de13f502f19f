//! What can be wrong with arguments and with results.

use std::fmt;

/// Arguments that do not fit; a client's mistake.
///
/// Boxed, so that the readers of the hot path return in registers.
#[derive(Debug)]
pub(crate) struct BadArgument(Box<Detail>);

#[derive(Debug)]
struct Detail {
    /// Where, outermost first: `parameter x`, `field y`, `element 3`.
    path: Vec<Step>,
    problem: Problem,
}

/// One step from the arguments down to the value that is wrong.
#[derive(Debug)]
pub(crate) enum Step {
    /// A parameter, counted from 0.
    Parameter(usize),
    /// A field of a record.
    Field(String),
    /// A place in a tuple or list.
    Element(usize),
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the encoded value ends too early")]
    Ends,
    #[error("{0} bytes follow after the last argument")]
    Trailing(usize),
    #[error("expected {expected}, found {found}")]
    Expected { expected: &'static str, found: &'static str },
    #[error("{value} is out of the range of {kind}")]
    Range { value: i128, kind: &'static str },
    #[error("expected {expected} values, found {found}")]
    Count { expected: usize, found: usize },
    #[error("the text is not valid UTF-8")]
    Utf8,
    #[error("a list of {size}-byte numbers cannot be packed into {length} bytes")]
    Packed { size: usize, length: usize },
    #[error("there is no {what} `{name}`; there is {known}")]
    Unknown { what: &'static str, name: String, known: String },
    #[error("there is no case {index}; the last is {last}")]
    NoCase { index: u64, last: usize },
    #[error("`{0}` is missing")]
    Missing(String),
    #[error("`{0}` is given twice")]
    Twice(String),
    #[error("it is too large for the memory of the guest")]
    TooLarge,
    #[error("it is nested too deeply")]
    TooDeep,
    #[error("an object is given for parameter {0}, which is not there or was given already")]
    NoPlace(u16),
}

impl From<Problem> for BadArgument {
    #[cold]
    fn from(problem: Problem) -> Self {
        Self(Box::new(Detail { path: Vec::new(), problem }))
    }
}

impl BadArgument {
    /// For people, with the names of the parameters.
    pub(crate) fn describe(&self, parameters: &[String]) -> String {
        match self.0.path.first() {
            Some(Step::Parameter(index)) => match parameters.get(*index) {
                Some(name) => format!("argument `{name}`: {}", Tail(&self.0.path[1..], &self.0.problem)),
                None => self.to_string(),
            },
            _ => self.to_string(),
        }
    }

    /// The same, seen from one level further out.
    #[cold]
    pub(crate) fn within(mut self, step: Step) -> Self {
        self.0.path.insert(0, step);
        self
    }
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Tail(&self.0.path, &self.0.problem).fmt(f)
    }
}

struct Tail<'a>(&'a [Step], &'a Problem);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.0 {
            match step {
                Step::Parameter(index) => write!(f, "argument {}: ", index + 1)?,
                Step::Field(name) => write!(f, "field `{name}`: ")?,
                Step::Element(index) => write!(f, "element {index}: ")?,
            }
        }
        self.1.fmt(f)
    }
}

impl std::error::Error for BadArgument {}

/// A result that breaks the canonical ABI, or is larger than allowed; the guest's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadResult {
    #[error("the guest returned a pointer out of its memory")]
    OutOfBounds,
    #[error("the guest returned a pointer that is not aligned")]
    Unaligned,
    #[error("the guest returned a string that is not valid UTF-8")]
    Utf8,
    #[error("the guest returned {0:#x}, which is no character")]
    Char(u32),
    #[error("the guest returned case {0} of a type that has fewer")]
    Case(u32),
    #[error("the result is larger than allowed")]
    TooLarge,
    #[error("results of type `{0}` are not supported")]
    Unsupported(&'static str),
}
