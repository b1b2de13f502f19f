//! What a Scaler task author depends on: a plain Rust module of plain functions becomes the interface of a component.
//!
//! ```
//! /// Greetings.
//! #[scaler_guest::module]
//! pub mod greetings {
//!     /// Greets somebody.
//!     pub fn greet(name: String, #[default("Hello")] word: String) -> String {
//!         format!("{word}, {name}!")
//!     }
//! }
//!
//! assert_eq!(greetings::greet("Ada".into(), "Hello".into()), "Hello, Ada!");
//! ```
//!
//! `scaler build` turns the crate (`crate-type = ["cdylib"]`) into a component; `scaler run "greetings:greet('Ada')"`
//! calls it. In a native build the module is nothing but the Rust you wrote, so `cargo test` works as ever.
//!
//! - Every `pub fn` of the module is exported. Parameters and results are `bool`, `char`, integers of 8 to 64 bits,
//!   `f32`, `f64`, `String`, `Vec<T>`, `Option<T>`, `Result<T, E>`, tuples, and `pub` structs and enums of this module
//!   or of another `#[module]` of the crate (`use super::shapes::Point;`). A `pub` struct of `bool`s with the attribute
//!   `#[flags]` crosses as flags; callers write and read the names of those that are set.
//! - A function that returns `Err(e)` fails its task with `e` as a value; with [`Result`] any error works with `?`.
//! - A panic fails the task with the panic's message.
//! - Doc comments, parameter names and `#[default(..)]` travel with the component.

#![deny(missing_docs)]

extern crate self as scaler_guest;

#[doc(hidden)]
pub mod abi;
mod host;
#[doc(hidden)]
pub mod layout;
pub mod log;
pub mod random;

/// Exports the functions of a module; see the [crate's documentation](crate).
pub use scaler_guest_macros::module;

#[doc(hidden)]
pub use scaler_guest_macros::__continue_module;

/// The result of a function that fails with a message: `?` works on whatever can be displayed.
///
/// ```
/// fn parse(text: String) -> scaler_guest::Result<i32> {
///     Ok(text.trim().parse()?)
/// }
///
/// assert_eq!(parse(" 7".into()).unwrap(), 7);
/// assert_eq!(parse("x".into()).unwrap_err().message(), "invalid digit found in string");
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as its message; a `string` for the caller.
///
/// It is made from whatever can be displayed (`?`, `.into()`) and therefore cannot be `Display` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    /// The text that the caller gets.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<E: std::fmt::Display> From<E> for Error {
    fn from(error: E) -> Self {
        // The alternate form prints the whole chain of the errors that have one.
        Self { message: format!("{error:#}") }
    }
}
