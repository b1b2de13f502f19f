//! MessagePack by hand: an infallible writer into a `Vec` and a checking reader over a slice.
//!
//! Values and the positional codec need both without an error for what cannot fail, and without trusting a length
//! that a peer wrote: a header never makes the reader allocate, only bytes that are really there do.

/// Why bytes are no MessagePack, or not what was expected at that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The bytes end inside a value.
    #[error("the MessagePack data ends early")]
    Truncated,
    /// A marker that MessagePack never uses.
    #[error("byte {offset} is no MessagePack marker")]
    Reserved {
        /// Where, counted from 0.
        offset: usize,
    },
    /// An extension type; no value of ours is one.
    #[error("byte {offset} starts a MessagePack extension, which is no value here")]
    Extension {
        /// Where, counted from 0.
        offset: usize,
    },
    /// A text that is not UTF-8.
    #[error("the text at byte {offset} is not UTF-8")]
    Utf8 {
        /// Where, counted from 0.
        offset: usize,
    },
}

/// One item: a whole scalar, or the header of a list or map whose entries follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// nil
    Nil,
    /// true, false
    Bool(bool),
    /// Any integer that is not negative.
    UInt(u64),
    /// A negative integer.
    Int(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bin(&'a [u8]),
    /// That many values follow.
    Array(u32),
    /// That many pairs of key and value follow.
    Map(u32),
}

/// Reads items one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Where the next item starts, counted from 0.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes have not been read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// A capacity for `count` entries that the remaining bytes can really hold, each being one byte at least.
    #[must_use]
    pub fn capacity(&self, count: u32) -> usize {
        (count as usize).min(self.remaining()).min(4096)
    }

    /// Whether the next item is nil, without reading it.
    #[must_use]
    pub fn at_nil(&self) -> bool {
        self.bytes.get(self.offset) == Some(&0xc0)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PackError> {
        let end = self.offset.checked_add(length).ok_or(PackError::Truncated)?;
        let taken = self.bytes.get(self.offset..end).ok_or(PackError::Truncated)?;
        self.offset = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let (taken, _) = self.bytes[self.offset..].split_first_chunk::<N>().ok_or(PackError::Truncated)?;
        self.offset += N;
        Ok(*taken)
    }

    fn text(&mut self, length: usize) -> Result<Item<'a>, PackError> {
        let offset = self.offset;
        std::str::from_utf8(self.take(length)?).map(Item::Str).map_err(|_| PackError::Utf8 { offset })
    }

    /// Reads the next item.
    ///
    /// # Errors
    /// When the bytes end or are no MessagePack.
    #[inline]
    pub fn next_item(&mut self) -> Result<Item<'a>, PackError> {
        let start = self.offset;
        let [marker] = self.fixed::<1>()?;
        Ok(match marker {
            0x00..=0x7f => Item::UInt(u64::from(marker)),
            0x80..=0x8f => Item::Map(u32::from(marker & 0x0f)),
            0x90..=0x9f => Item::Array(u32::from(marker & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Item::Nil,
            0xc1 => return Err(PackError::Reserved { offset: start }),
            0xc2 => Item::Bool(false),
            0xc3 => Item::Bool(true),
            0xc4 => {
                let length = self.length8()?;
                Item::Bin(self.take(length)?)
            }
            0xc5 => {
                let length = self.length16()?;
                Item::Bin(self.take(length)?)
            }
            0xc6 => {
                let length = self.length32()?;
                Item::Bin(self.take(length as usize)?)
            }
            0xc7..=0xc9 | 0xd4..=0xd8 => return Err(PackError::Extension { offset: start }),
            0xca => Item::F32(f32::from_be_bytes(self.fixed()?)),
            0xcb => Item::F64(f64::from_be_bytes(self.fixed()?)),
            0xcc => Item::UInt(u64::from(u8::from_be_bytes(self.fixed()?))),
            0xcd => Item::UInt(u64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Item::UInt(u64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => Item::UInt(u64::from_be_bytes(self.fixed()?)),
            0xd0 => signed(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => signed(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => signed(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => signed(i64::from_be_bytes(self.fixed()?)),
            0xd9 => {
                let length = self.length8()?;
                self.text(length)?
            }
            0xda => {
                let length = self.length16()?;
                self.text(length)?
            }
            0xdb => {
                let length = self.length32()?;
                self.text(length as usize)?
            }
            0xdc => Item::Array(self.length16()? as u32),
            0xdd => Item::Array(self.length32()?),
            0xde => Item::Map(self.length16()? as u32),
            0xdf => Item::Map(self.length32()?),
            0xe0..=0xff => Item::Int(i64::from(marker.cast_signed())),
        })
    }

    fn length8(&mut self) -> Result<usize, PackError> {
        Ok(usize::from(u8::from_be_bytes(self.fixed()?)))
    }

    fn length16(&mut self) -> Result<usize, PackError> {
        Ok(usize::from(u16::from_be_bytes(self.fixed()?)))
    }

    fn length32(&mut self) -> Result<u32, PackError> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }
}

fn signed<'a>(number: i64) -> Item<'a> {
    u64::try_from(number).map_or(Item::Int(number), Item::UInt)
}

/// Writes nil.
pub fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Writes a bool.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes an integer that is not negative, in its shortest form.
#[inline]
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        tagged(out, 0xcd, value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        tagged(out, 0xce, value.to_be_bytes());
    } else {
        tagged(out, 0xcf, value.to_be_bytes());
    }
}

/// Writes any integer in its shortest form.
#[inline]
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        write_uint(out, value);
    } else if value >= -32 {
        out.push((value as i8).cast_unsigned());
    } else if let Ok(value) = i8::try_from(value) {
        out.extend_from_slice(&[0xd0, value.cast_unsigned()]);
    } else if let Ok(value) = i16::try_from(value) {
        tagged(out, 0xd1, value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        tagged(out, 0xd2, value.to_be_bytes());
    } else {
        tagged(out, 0xd3, value.to_be_bytes());
    }
}

/// Writes a 32-bit float.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    tagged(out, 0xca, value.to_be_bytes());
}

/// Writes a 64-bit float.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    tagged(out, 0xcb, value.to_be_bytes());
}

/// Writes a text.
#[inline]
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    if length < 32 {
        out.push(0xa0 | length as u8);
    } else if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[0xd9, length]);
    } else if let Ok(length) = u16::try_from(length) {
        tagged(out, 0xda, length.to_be_bytes());
    } else {
        tagged(out, 0xdb, clamp32(length).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

/// Writes bytes.
pub fn write_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    write_bin_header(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes the header of `length` bytes, which the caller appends.
pub fn write_bin_header(out: &mut Vec<u8>, length: usize) {
    if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[0xc4, length]);
    } else if let Ok(length) = u16::try_from(length) {
        tagged(out, 0xc5, length.to_be_bytes());
    } else {
        tagged(out, 0xc6, clamp32(length).to_be_bytes());
    }
}

/// Writes the header of a list of `length` values.
#[inline]
pub fn write_array(out: &mut Vec<u8>, length: usize) {
    if length < 16 {
        out.push(0x90 | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        tagged(out, 0xdc, length.to_be_bytes());
    } else {
        tagged(out, 0xdd, clamp32(length).to_be_bytes());
    }
}

/// Writes the header of a map of `length` pairs.
pub fn write_map(out: &mut Vec<u8>, length: usize) {
    if length < 16 {
        out.push(0x80 | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        tagged(out, 0xde, length.to_be_bytes());
    } else {
        tagged(out, 0xdf, clamp32(length).to_be_bytes());
    }
}

#[inline]
fn tagged<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}

// Lengths over 4 GiB cannot be written. `Value::encode` and binding refuse such values before they come here.
fn clamp32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_their_shortest_form_and_come_back() {
        let lengths = [
            (0, 1),
            (127, 1),
            (128, 2),
            (255, 2),
            (256, 3),
            (65_536, 5),
            (1 << 32, 9),
            (-1, 1),
            (-32, 1),
            (-33, 2),
            (-129, 3),
        ];
        for (number, length) in lengths {
            let mut out = Vec::new();
            write_int(&mut out, number);
            assert_eq!(out.len(), length, "{number}");
            assert_eq!(Reader::new(&out).next_item(), Ok(signed(number)));
        }
        for number in [i64::MIN, i64::from(i32::MIN), i64::from(i32::MIN) - 1, i64::MAX] {
            let mut out = Vec::new();
            write_int(&mut out, number);
            assert_eq!(Reader::new(&out).next_item(), Ok(signed(number)));
        }
    }

    #[test]
    fn a_header_that_promises_too_much_is_truncation() {
        for bytes in
            [&[0xdb, 0xff, 0xff, 0xff, 0xff][..], &[0xc6, 0xff, 0xff, 0xff, 0xff, 1], &[0xa5, b'a'], &[0xcf, 1], &[]]
        {
            assert_eq!(Reader::new(bytes).next_item(), Err(PackError::Truncated), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]).capacity(u32::MAX), 5);
    }

    #[test]
    fn what_is_no_value_says_where() {
        assert_eq!(Reader::new(&[0xc1]).next_item(), Err(PackError::Reserved { offset: 0 }));
        assert_eq!(Reader::new(&[0xd4, 0, 0]).next_item(), Err(PackError::Extension { offset: 0 }));
        assert_eq!(Reader::new(&[0xa1, 0xff]).next_item(), Err(PackError::Utf8 { offset: 1 }));
    }

    #[test]
    fn lengths_of_every_class_come_back() {
        for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(length);
            let mut out = Vec::new();
            write_str(&mut out, &text);
            write_bin(&mut out, text.as_bytes());
            write_array(&mut out, length);
            write_map(&mut out, length);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.next_item(), Ok(Item::Str(&text)));
            assert_eq!(reader.next_item(), Ok(Item::Bin(text.as_bytes())));
            assert_eq!(reader.next_item(), Ok(Item::Array(length as u32)));
            assert_eq!(reader.next_item(), Ok(Item::Map(length as u32)));
            assert_eq!(reader.remaining(), 0);
        }
    }
}
