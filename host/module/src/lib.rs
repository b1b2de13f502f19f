//! What a component exports, read without an engine, and the binding of arguments to it.
//!
//! [`Module::read`] takes bytes from anyone and does bounded work on them. [`Signature::bind`] turns what people write
//! (names, in either spelling, with defaults) into the positional MessagePack that travels and that the sandbox copies
//! into guest memory; [`Signature::decode_returned`] turns results back into values with names.

mod annotations;
mod bind;
mod decode;
mod file;
mod misfit;
mod read;
mod sections;
mod types;

pub use bind::{BindError, BoundAround};
pub use decode::DecodeError;
pub use file::{DottedName, module_name};
pub use misfit::Problem;
pub use read::{Function, Import, MODULE_BYTES_MAX, Module, ReadError, Uncallable};
pub use types::{Case, Field, Parameter, SIGNATURE_BYTES_MAX, Signature, SignatureError, Type};
