//! Bytes of arguments and results: inside the message, or a reference to the object storage.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::ids::ObjectId;

/// An encoded value. On the wire: MessagePack `bin` for inline bytes, a map `{id, length}` for a stored object, and an
/// unsigned integer for the number of a frame of its own (the codec of [`crate::wire`] moves inline bytes over 4 KiB
/// there and back, so nobody else meets that form).
#[derive(Clone, PartialEq)]
pub enum Payload {
    /// The bytes themselves.
    Inline(Vec<u8>),
    /// In the object storage.
    Stored {
        /// Which object.
        id: ObjectId,
        /// Its size in bytes.
        length: u64,
    },
    /// In frame number `n` of the same transport message, counted from 0 after the body. Only between codec and wire.
    Frame(u32),
}

impl Payload {
    /// Size of the value in bytes, wherever it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Stored { length, .. } => *length,
            Self::Frame(_) => 0,
        }
    }

    /// Bytes it occupies inside messages.
    #[must_use]
    pub fn inline_length(&self) -> u64 {
        if let Self::Inline(bytes) = self { bytes.len() as u64 } else { 0 }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(bytes) if bytes.len() <= 32 => write!(f, "Inline({bytes:02x?})"),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::Stored { id, length } => write!(f, "Stored({id}, {length} bytes)"),
            Self::Frame(number) => write!(f, "Frame({number})"),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Inline(bytes) => serializer.serialize_bytes(bytes),
            Self::Frame(number) => serializer.serialize_u32(*number),
            Self::Stored { id, length } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("id", id)?;
                map.serialize_entry("length", length)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PayloadVisitor;
        impl<'de> Visitor<'de> for PayloadVisitor {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes, a frame number, or a map with `id` and `length`")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload::Inline(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Payload, E> {
                Ok(Payload::Inline(bytes))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Payload, E> {
                u32::try_from(number).map(Payload::Frame).map_err(|_| E::custom("frame number out of range"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
                let (mut id, mut length) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "id" => id = Some(map.next_value()?),
                        "length" => length = Some(map.next_value()?),
                        _ => drop(map.next_value::<de::IgnoredAny>()?),
                    }
                }
                Ok(Payload::Stored {
                    id: id.ok_or_else(|| de::Error::missing_field("id"))?,
                    length: length.ok_or_else(|| de::Error::missing_field("length"))?,
                })
            }
        }
        deserializer.deserialize_any(PayloadVisitor)
    }
}
