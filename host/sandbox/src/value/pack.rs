//! Reading and writing MessagePack on the hot path: over one slice, without copies, every length checked.

use super::problem::{BadArgument, Problem};

type Read<T> = Result<T, BadArgument>;

/// How deep values may be nested when they are only skipped.
const MAX_DEPTH: usize = 128;

/// A position in an encoded value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Where it stands, for [`Self::back_to`].
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Stands again where it stood.
    pub(super) fn back_to(&mut self, position: usize) {
        self.at = position.min(self.bytes.len());
    }

    pub(super) fn peek(&self) -> Read<u8> {
        self.bytes.get(self.at).copied().ok_or_else(|| Problem::Ends.into())
    }

    fn byte(&mut self) -> Read<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..length).ok_or(Problem::Ends)?;
        self.at += length;
        Ok(taken)
    }

    fn big_endian<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = *self.bytes[self.at..].first_chunk::<N>().ok_or(Problem::Ends)?;
        self.at += N;
        Ok(bytes)
    }

    #[cold]
    fn unexpected<T>(&self, expected: &'static str) -> Read<T> {
        Err(Problem::Expected { expected, found: self.peek().map_or("nothing", name_of) }.into())
    }

    /// Non-negative integers, without a detour; `None` for everything else, nothing read.
    #[inline]
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let rest = &self.bytes[self.at..];
        let (value, length) = match *rest.first()? {
            small @ 0..=0x7f => (u64::from(small), 1),
            0xcc => (u64::from(*rest.get(1)?), 2),
            0xcd => (u64::from(u16::from_be_bytes(*rest[1..].first_chunk()?)), 3),
            0xce => (u64::from(u32::from_be_bytes(*rest[1..].first_chunk()?)), 5),
            0xcf => (u64::from_be_bytes(*rest[1..].first_chunk()?), 9),
            _ => return None,
        };
        self.at += length;
        Some(value)
    }

    /// Any integer.
    pub(super) fn integer(&mut self) -> Read<i128> {
        if let Some(value) = self.unsigned() {
            return Ok(i128::from(value));
        }
        let marker = self.peek()?;
        if !matches!(marker, 0xcc..=0xd3 | 0xe0..=0xff) {
            return self.unexpected("an integer");
        }
        self.at += 1;
        Ok(match marker {
            0xe0..=0xff => i128::from(marker.cast_signed()),
            0xd0 => i128::from(self.byte()?.cast_signed()),
            0xd1 => i128::from(i16::from_be_bytes(self.big_endian()?)),
            0xd2 => i128::from(i32::from_be_bytes(self.big_endian()?)),
            0xd3 => i128::from(i64::from_be_bytes(self.big_endian()?)),
            _ => return Err(Problem::Ends.into()),
        })
    }

    /// A float, or an integer in its place.
    pub(super) fn float(&mut self) -> Read<f64> {
        match self.peek()? {
            0xcb => {
                self.at += 1;
                Ok(f64::from_be_bytes(self.big_endian()?))
            }
            0xca => {
                self.at += 1;
                Ok(f64::from(f32::from_be_bytes(self.big_endian()?)))
            }
            0..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => Ok(self.integer()? as f64),
            _ => self.unexpected("a number"),
        }
    }

    /// The bits of a 32-bit float; a NaN keeps them.
    pub(super) fn float32(&mut self) -> Read<u32> {
        if self.peek()? == 0xca {
            self.at += 1;
            return Ok(u32::from_be_bytes(self.big_endian()?));
        }
        Ok((self.float()? as f32).to_bits())
    }

    pub(super) fn boolean(&mut self) -> Read<bool> {
        match self.peek()? {
            marker @ (0xc2 | 0xc3) => {
                self.at += 1;
                Ok(marker == 0xc3)
            }
            _ => self.unexpected("a boolean"),
        }
    }

    /// Whether a nil stood here; it is then read.
    pub(super) fn nil(&mut self) -> Read<bool> {
        let nil = self.peek()? == 0xc0;
        self.at += usize::from(nil);
        Ok(nil)
    }

    pub(super) fn expect_nil(&mut self) -> Read<()> {
        if self.nil()? { Ok(()) } else { self.unexpected("nil, since the case has no value") }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.peek(), Ok(0xa0..=0xbf | 0xd9..=0xdb))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.peek(), Ok(0x80..=0x8f | 0xde | 0xdf))
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.peek(), Ok(0x90..=0x9f | 0xdc | 0xdd))
    }

    pub(super) fn is_binary(&self) -> bool {
        matches!(self.peek(), Ok(0xc4..=0xc6))
    }

    pub(super) fn text(&mut self) -> Read<&'a str> {
        let length = match self.peek()? {
            marker @ 0xa0..=0xbf => {
                self.at += 1;
                usize::from(marker & 31)
            }
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return self.unexpected("text"),
        };
        std::str::from_utf8(self.take(length)?).map_err(|_| Problem::Utf8.into())
    }

    pub(super) fn character(&mut self) -> Read<char> {
        let here = *self;
        let mut chars = self.text()?.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(only),
            _ => here.unexpected("text of one character"),
        }
    }

    pub(super) fn binary(&mut self) -> Read<&'a [u8]> {
        let length = match self.peek()? {
            0xc4 => self.length::<1>()?,
            0xc5 => self.length::<2>()?,
            0xc6 => self.length::<4>()?,
            _ => return self.unexpected("bytes"),
        };
        self.take(length)
    }

    /// The number of elements of an array, never more than there are bytes left.
    pub(super) fn array(&mut self) -> Read<usize> {
        let count = match self.peek()? {
            marker @ 0x90..=0x9f => {
                self.at += 1;
                usize::from(marker & 15)
            }
            0xdc => self.length::<2>()?,
            0xdd => self.length::<4>()?,
            _ => return self.unexpected("an array"),
        };
        if count > self.left() { Err(Problem::Ends.into()) } else { Ok(count) }
    }

    /// An array of exactly so many elements.
    pub(super) fn array_of(&mut self, expected: usize) -> Read<()> {
        let found = self.array()?;
        if found == expected { Ok(()) } else { Err(Problem::Count { expected, found }.into()) }
    }

    /// The number of entries of a map, never more than there are bytes left.
    pub(super) fn map(&mut self) -> Read<usize> {
        let count = match self.peek()? {
            marker @ 0x80..=0x8f => {
                self.at += 1;
                usize::from(marker & 15)
            }
            0xde => self.length::<2>()?,
            0xdf => self.length::<4>()?,
            _ => return self.unexpected("a map"),
        };
        if count > self.left() / 2 { Err(Problem::Ends.into()) } else { Ok(count) }
    }

    fn length<const N: usize>(&mut self) -> Read<usize> {
        self.at += 1;
        let bytes: [u8; N] = self.big_endian()?;
        Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    /// Steps over one value.
    pub(super) fn skip(&mut self) -> Read<()> {
        self.skip_within(MAX_DEPTH)
    }

    fn skip_within(&mut self, depth: usize) -> Read<()> {
        let depth = depth.checked_sub(1).ok_or(Problem::TooDeep)?;
        let fixed = match self.peek()? {
            0..=0x7f | 0xe0..=0xff | 0xc0..=0xc3 => 1,
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            0xa0..=0xbf | 0xd9..=0xdb => return self.text().map(drop),
            0xc4..=0xc6 => return self.binary().map(drop),
            0x90..=0x9f | 0xdc | 0xdd => {
                let count = self.array()?;
                return (0..count).try_for_each(|_| self.skip_within(depth));
            }
            0x80..=0x8f | 0xde | 0xdf => {
                let count = self.map()?;
                return (0..count * 2).try_for_each(|_| self.skip_within(depth));
            }
            _ => return self.unexpected("a value"),
        };
        self.take(fixed).map(drop)
    }
}

fn name_of(marker: u8) -> &'static str {
    match marker {
        0..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => "an integer",
        0x80..=0x8f | 0xde | 0xdf => "a map",
        0x90..=0x9f | 0xdc | 0xdd => "an array",
        0xa0..=0xbf | 0xd9..=0xdb => "text",
        0xc0 => "nil",
        0xc2 | 0xc3 => "a boolean",
        0xc4..=0xc6 => "bytes",
        0xca | 0xcb => "a float",
        _ => "an extension",
    }
}

pub(super) fn write_unsigned(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if let Ok(byte) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, byte]);
    } else if let Ok(short) = u16::try_from(value) {
        let [a, b] = short.to_be_bytes();
        out.extend_from_slice(&[0xcd, a, b]);
    } else if let Ok(word) = u32::try_from(value) {
        write_marked(out, 0xce, word.to_be_bytes());
    } else {
        write_marked(out, 0xcf, value.to_be_bytes());
    }
}

pub(super) fn write_signed(out: &mut Vec<u8>, value: i64) {
    if let Ok(unsigned) = u64::try_from(value) {
        write_unsigned(out, unsigned);
    } else if value >= -32 {
        out.push((value as i8).cast_unsigned());
    } else if let Ok(byte) = i8::try_from(value) {
        out.extend_from_slice(&[0xd0, byte.cast_unsigned()]);
    } else if let Ok(short) = i16::try_from(value) {
        let [a, b] = short.to_be_bytes();
        out.extend_from_slice(&[0xd1, a, b]);
    } else if let Ok(word) = i32::try_from(value) {
        write_marked(out, 0xd2, word.to_be_bytes());
    } else {
        write_marked(out, 0xd3, value.to_be_bytes());
    }
}

fn write_marked<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.reserve(N + 1);
    out.push(marker);
    out.extend_from_slice(&bytes);
}

pub(super) fn write_float32(out: &mut Vec<u8>, bits: u32) {
    write_marked(out, 0xca, bits.to_be_bytes());
}

pub(super) fn write_float64(out: &mut Vec<u8>, bits: u64) {
    write_marked(out, 0xcb, bits.to_be_bytes());
}

pub(super) fn write_boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

pub(super) fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Counts come from guest memory below 4 GiB, so they fit 32 bits.
pub(super) fn write_array(out: &mut Vec<u8>, count: usize) {
    if count < 16 {
        out.push(0x90 | count as u8);
    } else if let Ok(short) = u16::try_from(count) {
        write_marked(out, 0xdc, short.to_be_bytes());
    } else {
        write_marked(out, 0xdd, (count as u32).to_be_bytes());
    }
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    if length < 32 {
        out.push(0xa0 | length as u8);
    } else if let Ok(byte) = u8::try_from(length) {
        out.extend_from_slice(&[0xd9, byte]);
    } else if let Ok(short) = u16::try_from(length) {
        write_marked(out, 0xda, short.to_be_bytes());
    } else {
        write_marked(out, 0xdb, (length as u32).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len();
    out.reserve(length + 5);
    if let Ok(byte) = u8::try_from(length) {
        out.extend_from_slice(&[0xc4, byte]);
    } else if let Ok(short) = u16::try_from(length) {
        write_marked(out, 0xc5, short.to_be_bytes());
    } else {
        write_marked(out, 0xc6, (length as u32).to_be_bytes());
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            let mut out = Vec::new();
            write_signed(&mut out, value);
            prop_assert_eq!(Reader::new(&out).integer().expect("an integer"), i128::from(value));
        }

        #[test]
        fn reading_rubbish_never_panics(bytes: Vec<u8>) {
            let _ = Reader::new(&bytes).skip();
            let _ = Reader::new(&bytes).integer();
            let _ = Reader::new(&bytes).float();
            let _ = Reader::new(&bytes).text();
            let _ = Reader::new(&bytes).binary();
            let _ = Reader::new(&bytes).map();
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]).array().is_err());
        assert!(Reader::new(&[0xc6, 0xff, 0xff, 0xff, 0xff, 1]).binary().is_err());
        assert!(Reader::new(&[0xdf, 0, 0, 0, 2, 1, 1]).map().is_err());
        assert!(Reader::new(&[0x91; 4_000]).skip().is_err());
    }
}
