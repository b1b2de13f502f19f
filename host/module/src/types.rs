//! WIT types and signatures as data: what travels to clients, and what binding works on.

use scaler_proto::value::Value;
use serde::{Deserialize, Serialize};

/// The parameters and the result of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// In the order of the export.
    pub parameters: Vec<Parameter>,
    /// What it returns, as exported (`result<T, E>` is not unwrapped here, see [`Signature::returned`]).
    #[serde(default)]
    pub result: Option<Type>,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name as exported, in kebab-case.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// Used when the argument is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// A WIT type without resources. Names are as exported, in kebab-case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// `bool`
    Bool,
    /// `u8`
    U8,
    /// `u16`
    U16,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `s8`
    S8,
    /// `s16`
    S16,
    /// `s32`
    S32,
    /// `s64`
    S64,
    /// `f32`
    Float32,
    /// `f64`
    Float64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Type>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result {
        /// `T`, if there is one.
        ok: Option<Box<Type>>,
        /// `E`, if there is one.
        err: Option<Box<Type>>,
    },
    /// `tuple<..>`
    Tuple(Vec<Type>),
    /// `record`
    Record {
        /// Its name.
        name: String,
        /// In order.
        fields: Vec<Field>,
    },
    /// `variant`
    Variant {
        /// Its name.
        name: String,
        /// In order.
        cases: Vec<Case>,
    },
    /// `enum`
    Enum {
        /// Its name.
        name: String,
        /// In order.
        cases: Vec<String>,
    },
    /// `flags`
    Flags {
        /// Its name.
        name: String,
        /// In order, the first is bit 0.
        names: Vec<String>,
    },
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// In kebab-case.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
}

/// A case of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// In kebab-case.
    pub name: String,
    /// Its payload, if it has one.
    #[serde(rename = "type", default)]
    pub ty: Option<Type>,
}

/// Why bytes from a peer are no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not MessagePack, or not of that shape.
    #[error("not a signature: {reason}")]
    Malformed {
        /// What the decoder says.
        reason: String,
    },
}

impl Signature {
    /// The form that travels in `FunctionInfo::signature`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads what [`Signature::to_bytes`] wrote; the bytes may come from anyone.
    ///
    /// # Errors
    /// When they are no signature, or one that is too large or nests too deep.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, SignatureError> {
        todo!()
    }

    /// What a successful call gives: the `ok` of a `result<T, E>`, else the result itself; `None` when there is no value.
    #[must_use]
    pub fn returned(&self) -> Option<&Type> {
        match &self.result {
            Some(Type::Result { ok, .. }) => ok.as_deref(),
            other => other.as_ref(),
        }
    }

    /// The `err` of a function that returns `result<T, E>`, if it carries a value.
    #[must_use]
    pub fn error(&self) -> Option<&Type> {
        match &self.result {
            Some(Type::Result { err, .. }) => err.as_deref(),
            _ => None,
        }
    }

    /// WIT-like text with names in snake_case and defaults: `(environment: string, debug: bool = true) -> result<_, string>`.
    #[must_use]
    pub fn describe(&self) -> String {
        todo!()
    }
}
