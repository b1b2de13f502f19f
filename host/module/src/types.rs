//! WIT types and signatures as data: what travels to clients, and what binding works on.

use std::fmt;

use scaler_proto::{resolve::snake, value::Value};
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
///
/// The positional form of a value, which travels and which the sandbox copies into guest memory, is MessagePack:
/// bool, integers, floats, `str` for string and char; `bin` of little-endian elements for lists of integers or floats
/// (an array is read too), an array for other lists; nil or the value for an option (`[]` / `[value]` where nil could
/// be the value inside, see [`Type::needs_wrapping_in_option`]); `[0, ok]` / `[1, err]` for a result, `[index,
/// payload]` for a variant, with nil for no payload; the
/// index for an enum; an array in order for a tuple or record; an unsigned integer of bits for up to 64 flags, an
/// array of 32-bit words for more.
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
    /// Larger than [`SIGNATURE_BYTES_MAX`].
    #[error("the signature has {length} bytes, {SIGNATURE_BYTES_MAX} are the limit")]
    TooLarge {
        /// In bytes.
        length: usize,
    },
    /// Types nested deeper than [`Type::DEPTH_MAX`].
    #[error("the signature has types nested deeper than {} levels", Type::DEPTH_MAX)]
    TooDeep,
    /// Not MessagePack, or not of that shape.
    #[error("not a signature: {reason}")]
    Malformed {
        /// What the decoder says.
        reason: String,
    },
}

/// Largest signature that is read from a peer.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Signature {
    /// The form that travels in `FunctionInfo::signature`. Empty, which no reader takes, for one made by hand with a
    /// default that no WIT type could have (an integer of more than 64 bits).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// Reads what [`Signature::to_bytes`] wrote; the bytes may come from anyone.
    ///
    /// # Errors
    /// When they are no signature, or one that is too large or nests too deep.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > SIGNATURE_BYTES_MAX {
            return Err(SignatureError::TooLarge { length: bytes.len() });
        }
        let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
        // A level of type takes up to four levels of MessagePack and serde.
        reader.set_max_depth(Type::DEPTH_MAX * 4 + 16);
        let signature = Self::deserialize(&mut reader).map_err(|error| match error {
            rmp_serde::decode::Error::DepthLimitExceeded => SignatureError::TooDeep,
            error => SignatureError::Malformed { reason: error.to_string() },
        })?;
        let types = signature.parameters.iter().map(|parameter| &parameter.ty).chain(&signature.result);
        if types.map(Type::depth).max().unwrap_or(0) > Type::DEPTH_MAX {
            return Err(SignatureError::TooDeep);
        }
        Ok(signature)
    }

    /// What a successful call gives: the `ok` of a `result<T, E>`, else the result itself; `None` when there is no
    /// value.
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

    /// WIT-like text with names in snake_case and defaults: `(environment: string, debug: bool = true) -> result<_,
    /// string>`.
    #[must_use]
    pub fn describe(&self) -> String {
        self.to_string()
    }

    /// The named types it uses, each once, as WIT-like text: `record spec { strike: f64, steps: u32 }`.
    #[must_use]
    pub fn definitions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for ty in self.parameters.iter().map(|parameter| &parameter.ty).chain(&self.result) {
            ty.collect_definitions(&mut found);
        }
        found
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, Parameter { name, ty, default }) in self.parameters.iter().enumerate() {
            write!(f, "{}{}: {ty}", if index > 0 { ", " } else { "" }, snake(name))?;
            if let Some(default) = default {
                write!(f, " = {default}")?;
            }
        }
        f.write_str(")")?;
        self.result.as_ref().map_or(Ok(()), |result| write!(f, " -> {result}"))
    }
}

impl Type {
    /// Deepest nesting of types. Values may nest twice as deep, for a case name around each level.
    pub const DEPTH_MAX: usize = 48;

    /// Bytes of one element in a packed list (`bin`, little endian); only integers and floats are packed.
    #[must_use]
    pub fn packed_width(&self) -> Option<usize> {
        match self {
            Self::U8 | Self::S8 => Some(1),
            Self::U16 | Self::S16 => Some(2),
            Self::U32 | Self::S32 | Self::Float32 => Some(4),
            Self::U64 | Self::S64 | Self::Float64 => Some(8),
            _ => None,
        }
    }

    /// Least and most of an integer type.
    pub(crate) fn integer_range(&self) -> Option<(i128, i128)> {
        Some(match self {
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
            _ => return None,
        })
    }

    /// Whether an option of this type is written as `[]` / `[value]`, because its own form can be nil. Only an option's
    /// can, and not that of a wrapped one, so for options in options in options it alternates.
    #[must_use]
    pub fn needs_wrapping_in_option(&self) -> bool {
        match self {
            Self::Option(inner) => !inner.needs_wrapping_in_option(),
            _ => false,
        }
    }

    /// Levels of nesting, 1 for a scalar.
    #[must_use]
    pub fn depth(&self) -> usize {
        1 + self.children().map(Self::depth).max().unwrap_or(0)
    }

    /// The types it is made of.
    fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::List(inner) | Self::Option(inner) => Box::new(std::iter::once(&**inner)),
            Self::Result { ok, err } => Box::new(ok.iter().chain(err).map(|inner| &**inner)),
            Self::Tuple(types) => Box::new(types.iter()),
            Self::Record { fields, .. } => Box::new(fields.iter().map(|field| &field.ty)),
            Self::Variant { cases, .. } => Box::new(cases.iter().filter_map(|case| case.ty.as_ref())),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn collect_definitions(&self, found: &mut Vec<String>) {
        for child in self.children() {
            child.collect_definitions(found);
        }
        if let Some(definition) = self.definition()
            && !found.contains(&definition)
        {
            found.push(definition);
        }
    }

    /// The body of a named type as WIT-like text.
    fn definition(&self) -> Option<String> {
        let (keyword, name, entries): (_, _, Vec<String>) = match self {
            Self::Record { name, fields } => {
                ("record", name, fields.iter().map(|field| format!("{}: {}", snake(&field.name), field.ty)).collect())
            }
            Self::Variant { name, cases } => {
                let show = |case: &Case| match &case.ty {
                    Some(ty) => format!("{}({ty})", snake(&case.name)),
                    None => snake(&case.name),
                };
                ("variant", name, cases.iter().map(show).collect())
            }
            Self::Enum { name, cases } => ("enum", name, cases.iter().map(|case| snake(case)).collect()),
            Self::Flags { name, names } => ("flags", name, names.iter().map(|flag| snake(flag)).collect()),
            _ => return None,
        };
        Some(format!("{keyword} {} {{ {} }}", snake(name), entries.join(", ")))
    }
}

/// As WIT writes it, named types by their name, in snake_case.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::U8 => f.write_str("u8"),
            Self::U16 => f.write_str("u16"),
            Self::U32 => f.write_str("u32"),
            Self::U64 => f.write_str("u64"),
            Self::S8 => f.write_str("s8"),
            Self::S16 => f.write_str("s16"),
            Self::S32 => f.write_str("s32"),
            Self::S64 => f.write_str("s64"),
            Self::Float32 => f.write_str("f32"),
            Self::Float64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Result { ok: None, err: None } => f.write_str("result"),
            Self::Result { ok: Some(ok), err: None } => write!(f, "result<{ok}>"),
            Self::Result { ok: None, err: Some(err) } => write!(f, "result<_, {err}>"),
            Self::Result { ok: Some(ok), err: Some(err) } => write!(f, "result<{ok}, {err}>"),
            Self::Tuple(types) => {
                f.write_str("tuple<")?;
                for (index, inner) in types.iter().enumerate() {
                    write!(f, "{}{inner}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(">")
            }
            Self::Record { name, .. }
            | Self::Variant { name, .. }
            | Self::Enum { name, .. }
            | Self::Flags { name, .. } => f.write_str(&snake(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Signature {
        let spec = Type::Record {
            name: "option-spec".to_owned(),
            fields: vec![
                Field { name: "strike".to_owned(), ty: Type::Float64 },
                Field {
                    name: "the-kind".to_owned(),
                    ty: Type::Enum { name: "kind".to_owned(), cases: vec!["put".to_owned(), "long-call".to_owned()] },
                },
            ],
        };
        Signature {
            parameters: vec![
                Parameter { name: "specs".to_owned(), ty: Type::List(Box::new(spec)), default: None },
                Parameter { name: "dry-run".to_owned(), ty: Type::Bool, default: Some(Value::Bool(true)) },
            ],
            result: Some(Type::Result { ok: None, err: Some(Box::new(Type::String)) }),
        }
    }

    #[test]
    fn reads_like_wit_in_snake_case() {
        let signature = sample();
        assert_eq!(signature.describe(), "(specs: list<option_spec>, dry_run: bool = true) -> result<_, string>");
        assert_eq!(
            signature.definitions(),
            ["enum kind { put, long_call }", "record option_spec { strike: f64, the_kind: kind }"]
        );
    }

    #[test]
    fn travels_and_comes_back() {
        assert_eq!(Signature::from_bytes(&sample().to_bytes()), Ok(sample()));
        assert_eq!(Signature::from_bytes(&Signature::default().to_bytes()), Ok(Signature::default()));
    }

    fn nested(levels: usize) -> Signature {
        let ty = (1..levels).fold(Type::U8, |ty, level| match level % 3 {
            0 => Type::List(Box::new(ty)),
            1 => Type::Record { name: "r".to_owned(), fields: vec![Field { name: "f".to_owned(), ty }] },
            _ => Type::Result { ok: Some(Box::new(ty)), err: None },
        });
        Signature { parameters: vec![], result: Some(ty) }
    }

    #[test]
    fn depth_is_bounded_and_the_bound_is_reached() {
        let deepest = nested(Type::DEPTH_MAX);
        assert_eq!(Signature::from_bytes(&deepest.to_bytes()), Ok(deepest));
        assert_eq!(Signature::from_bytes(&nested(Type::DEPTH_MAX + 1).to_bytes()), Err(SignatureError::TooDeep));
        assert_eq!(Signature::from_bytes(&nested(500).to_bytes()), Err(SignatureError::TooDeep));
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let bytes = sample().to_bytes();
        for length in 0..bytes.len() {
            assert!(Signature::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        for place in 0..bytes.len() {
            for byte in [0, 0x81, 0x91, 0xc1, 0xdd, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] = byte;
                let _ = Signature::from_bytes(&damaged);
            }
        }
    }
}
