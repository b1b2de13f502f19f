//! Values as people write and read them: arguments, results, defaults, error values.
//!
//! A [`Value`] knows no WIT type. Binding to a signature (crate `scaler-module`) turns it into the positional form
//! that travels; here are its other forms: MessagePack with names, serde, and in `json` and `call` its texts.

use std::fmt;

use rmp_serde::config::BytesMode;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
    ser::{self, SerializeMap, SerializeSeq},
};

use crate::msgpack::{self, Item, PackError, Reader};

/// Deepest nesting of lists and maps that is read from any source. Types nest at most half as deep, so that a case
/// name around each level still fits.
pub const DEPTH_MAX: usize = 128;

/// A value without a type. Tuples are lists; maps keep the order in which they were written.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// `null` / `None`.
    #[default]
    Null,
    /// `true` / `false`.
    Bool(bool),
    /// An integer. Wide enough for every WIT integer, exact always.
    Int(i128),
    /// A float.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list or tuple.
    List(Vec<Value>),
    /// Names and values.
    Map(Vec<(String, Value)>),
}

/// Why a value could not be read or converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// The bytes are no MessagePack.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The value ended before its bytes did.
    #[error("{count} bytes follow the value")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A map whose keys are no texts.
    #[error("a map has a key that is no text; only texts can be names")]
    KeyNotText,
    /// An integer that MessagePack cannot hold.
    #[error("the integer {number} needs more than 64 bits")]
    IntegerTooLarge {
        /// The integer.
        number: i128,
    },
    /// The text is no JSON.
    #[error("not JSON: {problem} at byte {offset}")]
    Json {
        /// What is wrong.
        problem: &'static str,
        /// Where, counted from 0.
        offset: usize,
    },
    /// A Rust value that serde could not turn into a value.
    #[error("the value cannot be written: {reason}")]
    Unwritable {
        /// What serde says.
        reason: String,
    },
    /// The value does not have the shape of the Rust type that was asked for.
    #[error("the value does not have the expected shape: {reason}")]
    Shape {
        /// What serde says.
        reason: String,
    },
}

impl Value {
    /// Reads one MessagePack value that fills `bytes`.
    ///
    /// # Errors
    /// When the bytes are no MessagePack, end early, go on, or nest too deep.
    pub fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        match reader.remaining() {
            0 => Ok(value),
            count => Err(ValueError::Trailing { count }),
        }
    }

    /// Reads the next MessagePack value.
    ///
    /// # Errors
    /// When the bytes are no MessagePack, end early, or nest too deep.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, ValueError> {
        read_value(reader, DEPTH_MAX)
    }

    /// The value as MessagePack with names.
    ///
    /// # Errors
    /// When an integer needs more than 64 bits.
    pub fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let mut out = Vec::with_capacity(16);
        self.write(&mut out)?;
        Ok(out)
    }

    /// Appends the value as MessagePack with names.
    ///
    /// # Errors
    /// When an integer needs more than 64 bits.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), ValueError> {
        match self {
            Self::Null => msgpack::write_nil(out),
            Self::Bool(value) => msgpack::write_bool(out, *value),
            Self::Int(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => msgpack::write_uint(out, number),
                (_, Ok(number)) => msgpack::write_int(out, number),
                _ => return Err(ValueError::IntegerTooLarge { number: *number }),
            },
            Self::Float(number) => msgpack::write_f64(out, *number),
            Self::Str(text) => msgpack::write_str(out, text),
            Self::Bytes(bytes) => msgpack::write_bin(out, bytes),
            Self::List(entries) => {
                msgpack::write_array(out, entries.len());
                entries.iter().try_for_each(|entry| entry.write(out))?;
            }
            Self::Map(entries) => {
                msgpack::write_map(out, entries.len());
                for (name, entry) in entries {
                    msgpack::write_str(out, name);
                    entry.write(out)?;
                }
            }
        }
        Ok(())
    }

    /// The value of anything that serde can write: structs become maps, enums their case name or `{case: payload}`, and
    /// lists of `u8` bytes, so that a large one costs what it is long.
    ///
    /// # Errors
    /// When `T`'s `Serialize` fails or makes something that is no value (a map with keys that are no texts).
    pub fn from_serde<T: Serialize + ?Sized>(source: &T) -> Result<Self, ValueError> {
        let mut bytes = Vec::new();
        let mut writer = rmp_serde::Serializer::new(&mut bytes).with_struct_map().with_bytes(BytesMode::ForceIterables);
        source.serialize(&mut writer).map_err(|error| ValueError::Unwritable { reason: error.to_string() })?;
        Self::decode(&bytes)
    }

    /// The value as any type that serde can read.
    ///
    /// # Errors
    /// When the value does not have `T`'s shape.
    pub fn to_serde<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        rmp_serde::from_slice(&self.encode()?).map_err(|error| ValueError::Shape { reason: error.to_string() })
    }

    /// What kind of value it is, for messages: `an integer`, `a list`, ..
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

fn read_value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, ValueError> {
    Ok(match reader.next_item()? {
        Item::Nil => Value::Null,
        Item::Bool(value) => Value::Bool(value),
        Item::UInt(number) => Value::Int(number.into()),
        Item::Int(number) => Value::Int(number.into()),
        Item::F32(number) => Value::Float(widen(number)),
        Item::F64(number) => Value::Float(number),
        Item::Str(text) => Value::Str(text.to_owned()),
        Item::Bin(bytes) => Value::Bytes(bytes.to_vec()),
        Item::Array(count) => {
            let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
            let mut entries = Vec::with_capacity(reader.capacity(count));
            for _ in 0..count {
                entries.push(read_value(reader, depth)?);
            }
            Value::List(entries)
        }
        Item::Map(count) => {
            let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
            let mut entries = Vec::with_capacity(reader.capacity(count));
            for _ in 0..count {
                let Item::Str(name) = reader.next_item()? else { return Err(ValueError::KeyNotText) };
                entries.push((name.to_owned(), read_value(reader, depth)?));
            }
            Value::Map(entries)
        }
    })
}

/// The `f64` that reads like this `f32`: `0.1` stays `0.1` instead of `0.10000000149011612`, and narrows back to the
/// same bits.
#[must_use]
pub fn widen(number: f32) -> f64 {
    let exact = f64::from(number);
    if !number.is_finite() || exact.fract() == 0.0 {
        return exact;
    }
    match number.to_string().parse::<f64>() {
        Ok(shortest) if shortest as f32 == number => shortest,
        _ => exact,
    }
}

macro_rules! from_integers {
    ($($name:ty),*) => {$(
        impl From<$name> for Value {
            fn from(number: $name) -> Self { Self::Int(number.into()) }
        }
    )*};
}
from_integers!(u8, u16, u32, u64, i8, i16, i32, i64, i128);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<Vec<Self>> for Value {
    fn from(entries: Vec<Self>) -> Self {
        Self::List(entries)
    }
}

/// As MessagePack with names.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => serializer.serialize_u64(number),
                (_, Ok(number)) => serializer.serialize_i64(number),
                _ => Err(ser::Error::custom(ValueError::IntegerTooLarge { number: *number })),
            },
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(entries) => {
                let mut list = serializer.serialize_seq(Some(entries.len()))?;
                entries.iter().try_for_each(|entry| list.serialize_element(entry))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(name, entry)| map.serialize_entry(name, entry))?;
                map.end()
            }
        }
    }
}

/// From any format that describes itself; nesting is bounded by the format's own reader.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_f32<E: de::Error>(self, number: f32) -> Result<Value, E> {
        Ok(Value::Float(widen(number)))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Str(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Value::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Side {
        Put,
        Barrier { level: f64 },
        Pair(u8, u8),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        side: Side,
        strikes: Vec<u32>,
        note: Option<String>,
        #[serde(with = "serde_bytes")]
        blob: Vec<u8>,
        raw: Vec<u8>,
    }

    #[test]
    fn rust_types_become_values_with_names_and_come_back() {
        for side in [Side::Put, Side::Barrier { level: -0.5 }, Side::Pair(1, 255)] {
            let order = Order { side, strikes: vec![1, 300], note: None, blob: vec![0, 255], raw: vec![7; 3] };
            let value = Value::from_serde(&order).expect("an order is a value");
            assert_eq!(value.to_serde::<Order>().expect("an order"), order);
        }
        assert_eq!(Value::from_serde(&vec![7_u8; 3]), Ok(Value::Bytes(vec![7; 3])));
        assert_eq!(Value::from_serde(&[(7_u8, 8_i8); 1]).expect("a list").to_string(), "[[7, 8]]");
        assert_eq!(Value::from_serde(&vec![true, false]).expect("a list").to_string(), "[true, false]");
        assert_eq!(Value::from_serde(&vec![-1_i8]).expect("a list").to_string(), "[-1]");
        let value = Value::from_serde(&Side::Barrier { level: 1.0 }).expect("a case");
        assert_eq!(value.to_string(), r#"{"Barrier": {"level": 1.0}}"#);
    }

    #[test]
    fn maps_need_texts_as_keys() {
        assert_eq!(Value::from_serde(&BTreeMap::from([(1, 2)])), Err(ValueError::KeyNotText));
    }

    #[test]
    fn integers_outside_of_64_bits_are_refused_not_rounded() {
        let number = i128::from(u64::MAX) + 1;
        assert_eq!(Value::Int(number).encode(), Err(ValueError::IntegerTooLarge { number }));
        for number in [i128::from(u64::MAX), i128::from(i64::MIN)] {
            let bytes = Value::Int(number).encode().expect("fits");
            assert_eq!(Value::decode(&bytes), Ok(Value::Int(number)));
        }
    }

    #[test]
    fn hostile_bytes_cost_neither_stack_nor_memory() {
        assert_eq!(Value::decode(&vec![0x91; 1_000_000]), Err(ValueError::TooDeep));
        assert_eq!(Value::decode(&[0xdd, 0xff, 0xff, 0xff, 0xff]), Err(ValueError::Pack(PackError::Truncated)));
        assert_eq!(Value::decode(&[0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1]), Err(ValueError::Pack(PackError::Truncated)));
        assert_eq!(Value::decode(&[0xc0, 0xc0]), Err(ValueError::Trailing { count: 1 }));
        assert_eq!(Value::decode(&[0x81, 0x01, 0x01]), Err(ValueError::KeyNotText));
    }

    #[test]
    fn a_value_reads_itself_through_serde() {
        let value = Value::Map(vec![
            ("a".to_owned(), Value::List(vec![Value::Null, Value::Int(-3), Value::Float(0.5)])),
            ("b".to_owned(), Value::Bytes(vec![1])),
        ]);
        assert_eq!(value.to_serde::<Value>(), Ok(value.clone()));
        assert_eq!(Value::from_serde(&value), Ok(value));
    }

    #[test]
    fn floats_of_32_bits_read_as_they_were_written() {
        assert_eq!(widen(0.1), 0.1);
        assert_eq!(widen(16_777_216.0), 16_777_216.0);
        for bits in (0..u32::MAX).step_by(65_521) {
            let number = f32::from_bits(bits);
            assert!(number.is_nan() || (widen(number) as f32).to_bits() == bits, "{number}");
        }
    }
}
