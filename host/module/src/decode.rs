//! From the positional form to values with names, in snake_case.

use scaler_proto::value::Value;

use crate::types::{Signature, Type};

/// Why bytes are no value of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The value ends early.
    #[error("the value ends early")]
    Truncated,
}

impl Type {
    /// Reads a value of this type from its positional form.
    ///
    /// # Errors
    /// When the bytes are no value of this type.
    pub fn decode(&self, _positional: &[u8]) -> Result<Value, DecodeError> {
        todo!()
    }
}

impl Signature {
    /// The value of a task that succeeded ([`Signature::returned`]); `Null` when the function returns nothing.
    ///
    /// # Errors
    /// As [`Type::decode`].
    pub fn decode_returned(&self, _positional: &[u8]) -> Result<Value, DecodeError> {
        todo!()
    }

    /// The `err` value of a task that failed with one ([`Signature::error`]).
    ///
    /// # Errors
    /// As [`Type::decode`].
    pub fn decode_error(&self, _positional: &[u8]) -> Result<Value, DecodeError> {
        todo!()
    }

    /// The arguments of a bound call with their names, for logs and views.
    ///
    /// # Errors
    /// As [`Type::decode`].
    pub fn decode_arguments(&self, _positional: &[u8]) -> Result<Vec<(String, Value)>, DecodeError> {
        todo!()
    }
}
