//! What a component exports, read without an engine, and the binding of arguments to it.
//!
//! [`Module::read`] takes bytes from anyone and does bounded work on them. [`Signature::bind`] turns what people write
//! (names, in either spelling, with defaults) into the positional MessagePack that travels and that the sandbox copies into guest memory;
//! [`Type::decode`] turns positional results back into named values.

mod bind;
mod decode;
mod read;
mod types;

pub use bind::BindError;
pub use decode::DecodeError;
pub use read::{Function, Import, Module, ReadError, Uncallable};
pub use types::{Case, Field, Parameter, Signature, SignatureError, Type};
