//! From what people write to the positional form, checked against the signature.

use scaler_proto::value::Value;

use crate::types::Signature;

/// Why arguments do not fit a signature.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// More arguments by position than parameters.
    #[error("too many arguments: {given} given, the function takes {taken}: {signature}")]
    TooMany {
        /// By position.
        given: usize,
        /// Parameters.
        taken: usize,
        /// For people.
        signature: String,
    },
}

impl Signature {
    /// Checks arguments and turns them into the positional form, a MessagePack array of all parameters.
    ///
    /// # Errors
    /// When something is missing, too much, unknown, or does not fit its type; names where, down to the element.
    pub fn bind(&self, _args: &[Value], _kwargs: &[(String, Value)]) -> Result<Vec<u8>, BindError> {
        todo!()
    }

    /// As [`Signature::bind`] for arguments that are MessagePack already: an array by position or a map by name, each
    /// argument in named or positional form. What simple clients send becomes what the sandbox takes at full speed.
    ///
    /// # Errors
    /// As [`Signature::bind`].
    pub fn bind_encoded(&self, _arguments: &[u8]) -> Result<Vec<u8>, BindError> {
        todo!()
    }
}
