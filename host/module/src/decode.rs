//! From the positional form to values with names, in snake_case.

use scaler_proto::{
    msgpack::{Item, Reader},
    resolve::snake,
    value::{Value, widen},
};

use crate::{
    misfit::{Fits, Misfit, Problem},
    types::{Case, Signature, Type},
};

/// Why bytes are no value of a type: `result[3].strike: "x" is not a number (f64)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct DecodeError {
    /// Where in the value.
    pub path: String,
    /// What is wrong there.
    pub problem: Box<Problem>,
}

impl Type {
    /// Reads a value of this type from its positional form.
    ///
    /// # Errors
    /// When the bytes are no value of this type.
    pub fn decode(&self, positional: &[u8]) -> Result<Value, DecodeError> {
        decode_named("value", self, positional)
    }
}

impl Signature {
    /// The value of a task that succeeded ([`Signature::returned`]); `Null` when the function returns nothing.
    ///
    /// # Errors
    /// As [`Type::decode`].
    pub fn decode_returned(&self, positional: &[u8]) -> Result<Value, DecodeError> {
        self.returned().map_or(Ok(Value::Null), |ty| decode_named("result", ty, positional))
    }

    /// The `err` value of a task that failed with one ([`Signature::error`]); `Null` when it carries nothing.
    ///
    /// # Errors
    /// As [`Type::decode`].
    pub fn decode_error(&self, positional: &[u8]) -> Result<Value, DecodeError> {
        self.error().map_or(Ok(Value::Null), |ty| decode_named("error", ty, positional))
    }

    /// The arguments of a bound call with their names, for logs and views.
    ///
    /// # Errors
    /// As [`Type::decode`].
    pub fn decode_arguments(&self, positional: &[u8]) -> Result<Vec<(String, Value)>, DecodeError> {
        let mut reader = Reader::new(positional);
        let read = |reader: &mut Reader<'_>| {
            let count = array(reader, "the arguments")?;
            if count != self.parameters.len() {
                let taken = self.parameters.len();
                return Misfit::fail(Problem::Length { given: count, ty: self.to_string(), taken });
            }
            let named = self.parameters.iter().map(|parameter| {
                let value = read_value(&parameter.ty, reader).map_err(|misfit| misfit.at_name(&parameter.name))?;
                Ok((snake(&parameter.name), value))
            });
            let named = named.collect::<Fits<Vec<_>>>()?;
            at_end(reader).map(|()| named)
        };
        read(&mut reader).map_err(|misfit| error("arguments", *misfit))
    }
}

fn decode_named(root: &str, ty: &Type, positional: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(positional);
    let value = read_value(ty, &mut reader).and_then(|value| at_end(&reader).map(|()| value));
    value.map_err(|misfit| error(root, *misfit))
}

fn error(root: &str, misfit: Misfit) -> DecodeError {
    DecodeError { path: misfit.path(root), problem: Box::new(misfit.problem) }
}

fn at_end(reader: &Reader<'_>) -> Fits<()> {
    match reader.remaining() {
        0 => Ok(()),
        count => Misfit::fail(Problem::Trailing { count }),
    }
}

fn item<'a>(reader: &mut Reader<'a>) -> Fits<Item<'a>> {
    reader.next_item().map_err(Misfit::boxed)
}

/// Types nest [`Type::DEPTH_MAX`] levels at most, and so does this.
fn read_value(ty: &Type, reader: &mut Reader<'_>) -> Fits<Value> {
    match ty {
        Type::List(inner) => read_list(ty, inner, reader),
        Type::Option(inner) => read_option(ty, inner, reader),
        Type::Result { ok, err } => {
            let names = [("ok", ok.as_deref()), ("err", err.as_deref())];
            let case = |index: usize| names.get(index).copied();
            read_case(ty, names.len(), case, reader)
        }
        Type::Variant { cases, .. } => {
            let case = |index: usize| cases.get(index).map(|Case { name, ty }| (name.as_str(), ty.as_ref()));
            read_case(ty, cases.len(), case, reader)
        }
        Type::Tuple(types) => {
            expect_length(ty, array(reader, "a tuple")?, types.len())?;
            let entries = types.iter().enumerate();
            let entries = entries.map(|(index, ty)| read_value(ty, reader).map_err(|misfit| misfit.at_index(index)));
            entries.collect::<Fits<Vec<_>>>().map(Value::List)
        }
        Type::Record { fields, .. } => {
            expect_length(ty, array(reader, "a record")?, fields.len())?;
            let entries = fields.iter().map(|field| {
                let value = read_value(&field.ty, reader).map_err(|misfit| misfit.at_name(&field.name))?;
                Ok((snake(&field.name), value))
            });
            entries.collect::<Fits<Vec<_>>>().map(Value::Map)
        }
        Type::Enum { cases, .. } => match item(reader)? {
            Item::UInt(index) => match usize::try_from(index).ok().and_then(|index| cases.get(index)) {
                Some(case) => Ok(Value::Str(snake(case))),
                None => Misfit::fail(Problem::CaseNumber { ty: ty.to_string(), index, count: cases.len() }),
            },
            other => wrong_item(other, "a case number"),
        },
        Type::Flags { names, .. } => read_flags(ty, names, reader),
        _ => read_scalar(ty, reader),
    }
}

fn read_scalar(ty: &Type, reader: &mut Reader<'_>) -> Fits<Value> {
    let found = item(reader)?;
    match (ty, found) {
        (Type::Bool, Item::Bool(value)) => Ok(Value::Bool(value)),
        (Type::String, Item::Str(text)) => Ok(Value::Str(text.to_owned())),
        (Type::Char, Item::Str(text)) if text.chars().count() == 1 => Ok(Value::Str(text.to_owned())),
        (Type::Float32 | Type::Float64, Item::F32(number)) => Ok(Value::Float(widen(number))),
        (Type::Float32, Item::F64(number)) if number.is_finite() && (number as f32).is_infinite() => {
            Misfit::fail(Problem::FloatRange { found: format!("{number:?}") })
        }
        (Type::Float32 | Type::Float64, Item::F64(number)) => Ok(Value::Float(number)),
        (_, Item::UInt(number)) => integer(ty, number.into()),
        (_, Item::Int(number)) => integer(ty, number.into()),
        (_, other) => wrong_item(other, &ty.to_string()),
    }
}

fn integer(ty: &Type, number: i128) -> Fits<Value> {
    match ty.integer_range() {
        Some((least, most)) if (least..=most).contains(&number) => Ok(Value::Int(number)),
        Some((least, most)) => Misfit::fail(Problem::Range { number, ty: ty.to_string(), least, most }),
        None if matches!(ty, Type::Float32 | Type::Float64) => Ok(Value::Float(number as f64)),
        None => Misfit::fail(Problem::Kind { found: number.to_string(), wanted: ty.to_string() }),
    }
}

fn read_list(ty: &Type, inner: &Type, reader: &mut Reader<'_>) -> Fits<Value> {
    match (item(reader)?, inner.packed_width()) {
        (Item::Bin(bytes), Some(width)) => unpack(inner, width, bytes),
        (Item::Array(count), _) if *inner == Type::U8 => {
            let mut bytes = Vec::with_capacity(reader.capacity(count));
            for index in 0..count as usize {
                match read_scalar(inner, reader).map_err(|misfit| misfit.at_index(index))? {
                    // Checked to be in the range of u8.
                    Value::Int(number) => bytes.push(number as u8),
                    _ => {
                        return Misfit::fail(Problem::Kind { found: "an entry".to_owned(), wanted: inner.to_string() });
                    }
                }
            }
            Ok(Value::Bytes(bytes))
        }
        (Item::Array(count), _) => {
            let mut entries = Vec::with_capacity(reader.capacity(count));
            for index in 0..count as usize {
                entries.push(read_value(inner, reader).map_err(|misfit| misfit.at_index(index))?);
            }
            Ok(Value::List(entries))
        }
        (other, _) => wrong_item(other, &ty.to_string()),
    }
}

/// A packed list: little-endian elements side by side.
fn unpack(inner: &Type, width: usize, bytes: &[u8]) -> Fits<Value> {
    if *inner == Type::U8 {
        return Ok(Value::Bytes(bytes.to_vec()));
    }
    if !bytes.len().is_multiple_of(width) {
        return Misfit::fail(Problem::Packed { length: bytes.len(), width });
    }
    let element = |chunk: &[u8]| {
        let mut wide = [0; 8];
        wide[..chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_le_bytes(wide);
        match inner {
            Type::Float32 => Value::Float(widen(f32::from_bits(bits as u32))),
            Type::Float64 => Value::Float(f64::from_bits(bits)),
            Type::S8 => Value::Int((bits as i8).into()),
            Type::S16 => Value::Int((bits as i16).into()),
            Type::S32 => Value::Int((bits as i32).into()),
            Type::S64 => Value::Int(bits.cast_signed().into()),
            _ => Value::Int(bits.into()),
        }
    };
    Ok(Value::List(bytes.chunks_exact(width).map(element).collect()))
}

fn read_option(ty: &Type, inner: &Type, reader: &mut Reader<'_>) -> Fits<Value> {
    if inner.needs_wrapping_in_option() {
        match item(reader)? {
            Item::Array(0) => return Ok(Value::Null),
            Item::Array(1) => {}
            other => return wrong_item(other, &format!("[] or [value] for {ty}")),
        }
    } else if reader.at_nil() {
        item(reader)?;
        return Ok(Value::Null);
    }
    let value = read_value(inner, reader)?;
    // With names, `none` and `some(none)` would both be null.
    Ok(if matches!(inner, Type::Option(_)) { Value::Map(vec![("some".to_owned(), value)]) } else { value })
}

fn read_case<'t>(
    ty: &Type,
    count: usize,
    case: impl Fn(usize) -> Option<(&'t str, Option<&'t Type>)>,
    reader: &mut Reader<'_>,
) -> Fits<Value> {
    expect_length(ty, array(reader, "a case")?, 2)?;
    let index = match item(reader)? {
        Item::UInt(index) => index,
        other => return wrong_item(other, "a case number"),
    };
    let found = usize::try_from(index).ok().and_then(case);
    let Some((name, payload)) = found else {
        return Misfit::fail(Problem::CaseNumber { ty: ty.to_string(), index, count });
    };
    match payload {
        Some(payload) => {
            let value = read_value(payload, reader).map_err(|misfit| misfit.at_name(name))?;
            Ok(Value::Map(vec![(snake(name), value)]))
        }
        None => match item(reader)? {
            Item::Nil => Ok(Value::Str(snake(name))),
            other => wrong_item(other, "nil for a case without a value"),
        },
    }
}

fn read_flags(ty: &Type, names: &[String], reader: &mut Reader<'_>) -> Fits<Value> {
    let words = match item(reader)? {
        Item::UInt(bits) if names.len() <= 64 => vec![bits as u32, (bits >> 32) as u32],
        Item::Array(count) if names.len() > 64 => {
            expect_length(ty, count as usize, names.len().div_ceil(32))?;
            let word = |_| match read_scalar(&Type::U32, reader)? {
                Value::Int(bits) => Ok(bits as u32),
                _ => Misfit::fail(Problem::FlagBits { ty: ty.to_string(), count: names.len() }),
            };
            (0..count).map(word).collect::<Fits<Vec<u32>>>()?
        }
        other => return wrong_item(other, &format!("the bits of {ty}")),
    };
    let is_set = |bit: usize| words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1);
    if (names.len()..words.len() * 32).any(is_set) {
        return Misfit::fail(Problem::FlagBits { ty: ty.to_string(), count: names.len() });
    }
    let set = names.iter().enumerate().filter(|(bit, _)| is_set(*bit));
    Ok(Value::List(set.map(|(_, name)| Value::Str(snake(name))).collect()))
}

fn array(reader: &mut Reader<'_>, wanted: &str) -> Fits<usize> {
    match item(reader)? {
        Item::Array(count) => Ok(count as usize),
        other => wrong_item(other, wanted),
    }
}

fn expect_length(ty: &Type, given: usize, taken: usize) -> Fits<()> {
    if given == taken { Ok(()) } else { Misfit::fail(Problem::Length { given, ty: ty.to_string(), taken }) }
}

fn wrong_item<T>(found: Item<'_>, wanted: &str) -> Fits<T> {
    let found = match found {
        Item::Nil => "nil",
        Item::Bool(_) => "a bool",
        Item::UInt(_) | Item::Int(_) => "an integer",
        Item::F32(_) | Item::F64(_) => "a float",
        Item::Str(_) => "a string",
        Item::Bin(_) => "bytes",
        Item::Array(_) => "a list",
        Item::Map(_) => "a map",
    };
    Misfit::fail(Problem::Kind { found: found.to_owned(), wanted: wanted.to_owned() })
}
