//! Arguments into a guest: the canonical ABI's "lower", straight from MessagePack.
//!
//! Memory is asked for first, then filled from a staged copy: a nested `realloc` may grow the guest's memory, and one
//! copy of a whole list is cheaper than a look at the memory for every field.

use std::mem::MaybeUninit;

use wasmtime::component::__internal::wasmtime_environ::component::{
    CanonicalAbiInfo, StringEncoding, TypeFlags, VariantInfo,
};
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LowerContext};
use wasmtime::component::Lower;
use wasmtime::{Error, Result, ValRaw, bail};

use super::direct::{Arguments, MAX_FLAT_ARGUMENTS};
use super::named;
use super::pack::Reader;
use super::problem::{BadArgument, Problem, Step};

type Slots = [ValRaw; MAX_FLAT_ARGUMENTS];

/// Reads all arguments; the slots are zero when it begins.
pub(super) fn arguments<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    given: Arguments<'_>,
    slots: &mut Slots,
) -> Result<()> {
    let InterfaceType::Tuple(index) = ty else { bail!("parameters are no tuple") };
    let types = cx.types;
    let parameters = &types[index];
    let mut source = Source { reader: Reader::new(given.encoded), objects: given.objects };
    source.reader.array_of(parameters.types.len())?;
    if parameters.abi.flat_count(MAX_FLAT_ARGUMENTS).is_some() {
        let mut slot = 0;
        for (index, ty) in parameters.types.iter().enumerate() {
            source
                .argument(index, |reader| flat(cx, *ty, reader, slots, &mut slot))
                .map_err(|error| within(error, Step::Parameter(index)))?;
        }
    } else {
        let size = parameters.abi.size32 as usize;
        let area = allocate(cx, parameters.abi.align32, size)?;
        let mut staged = vec![0; size];
        let mut end = 0;
        for (index, ty) in parameters.types.iter().enumerate() {
            let place = next_field(types.canonical_abi(ty), &mut end);
            source
                .argument(index, |reader| memory(cx, *ty, reader, &mut staged[place]))
                .map_err(|error| within(error, Step::Parameter(index)))?;
        }
        store(cx, area, &staged)?;
        slots[0] = ValRaw::u64(area as u64);
    }
    source.end()
}

/// Where arguments come from: the array of all, or the slice of one that is a value of its own.
struct Source<'a> {
    reader: Reader<'a>,
    /// What is left of them.
    objects: &'a [(u16, &'a [u8])],
}

impl<'a> Source<'a> {
    #[inline]
    fn argument(&mut self, index: usize, read: impl FnOnce(&mut Reader<'a>) -> Result<()>) -> Result<()> {
        match self.objects.split_first() {
            Some(((parameter, value), rest)) if usize::from(*parameter) == index => {
                self.objects = rest;
                self.reader.expect_nil()?;
                let mut reader = Reader::new(value);
                read(&mut reader)?;
                nothing_left(reader.left())
            }
            _ => read(&mut self.reader),
        }
    }

    fn end(&self) -> Result<()> {
        if let Some((parameter, _)) = self.objects.first() {
            return Err(BadArgument::from(Problem::NoPlace(*parameter)).into());
        }
        nothing_left(self.reader.left())
    }
}

fn nothing_left(left: usize) -> Result<()> {
    if left == 0 { Ok(()) } else { Err(BadArgument::from(Problem::Trailing(left)).into()) }
}

/// Adds a step to the path of a bad argument, and leaves other errors (traps in `realloc`) as they are.
#[cold]
pub(super) fn within(error: Error, step: Step) -> Error {
    match error.downcast::<BadArgument>() {
        Ok(bad) => bad.within(step).into(),
        Err(error) => error,
    }
}

/// Where the next field of a record is, and where the one after it may begin.
pub(super) fn next_field(abi: &CanonicalAbiInfo, end: &mut usize) -> std::ops::Range<usize> {
    let start = end.next_multiple_of(abi.align32 as usize);
    *end = start + abi.size32 as usize;
    start..*end
}

fn allocate<T>(cx: &mut LowerContext<'_, T>, align: u32, size: usize) -> Result<usize> {
    if u32::try_from(size).is_err() {
        return Err(BadArgument::from(Problem::TooLarge).into());
    }
    cx.realloc(0, 0, align, size)
}

fn store<T>(cx: &mut LowerContext<'_, T>, offset: usize, bytes: &[u8]) -> Result<()> {
    match cx.as_slice_mut().get_mut(offset..).and_then(|memory| memory.get_mut(..bytes.len())) {
        Some(memory) => {
            memory.copy_from_slice(bytes);
            Ok(())
        }
        None => bail!("memory of the guest shrank"),
    }
}

fn integer<N: TryFrom<u64> + TryFrom<i128>>(reader: &mut Reader<'_>, kind: &'static str) -> Result<N, BadArgument> {
    let start = reader.position();
    if let Some(value) = reader.unsigned().and_then(|value| N::try_from(value).ok()) {
        return Ok(value);
    }
    reader.back_to(start);
    let value = reader.integer()?;
    N::try_from(value).map_err(|_| Problem::Range { value, kind }.into())
}

/// The bits of a value that takes one slot and no memory, as the flat form has them; `None` for other types.
fn scalar(types: &ComponentTypes, ty: &InterfaceType, reader: &mut Reader<'_>) -> Result<Option<u64>, BadArgument> {
    let sign_extended = |value: i32| u64::from(value.cast_unsigned());
    Ok(Some(match ty {
        InterfaceType::Bool => u64::from(reader.boolean()?),
        InterfaceType::U8 => u64::from(integer::<u8>(reader, "u8")?),
        InterfaceType::U16 => u64::from(integer::<u16>(reader, "u16")?),
        InterfaceType::U32 => u64::from(integer::<u32>(reader, "u32")?),
        InterfaceType::U64 => integer::<u64>(reader, "u64")?,
        InterfaceType::S8 => sign_extended(i32::from(integer::<i8>(reader, "s8")?)),
        InterfaceType::S16 => sign_extended(i32::from(integer::<i16>(reader, "s16")?)),
        InterfaceType::S32 => sign_extended(integer::<i32>(reader, "s32")?),
        InterfaceType::S64 => integer::<i64>(reader, "s64")?.cast_unsigned(),
        InterfaceType::Float32 => u64::from(reader.float32()?),
        InterfaceType::Float64 => reader.float()?.to_bits(),
        InterfaceType::Char => u64::from(u32::from(reader.character()?)),
        InterfaceType::Enum(index) => u64::from(named::enumeration(&types[*index].names, reader)?),
        InterfaceType::Flags(index) => flags(&types[*index], reader)?,
        _ => return Ok(None),
    }))
}

fn flat<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    reader: &mut Reader<'_>,
    slots: &mut Slots,
    slot: &mut usize,
) -> Result<()> {
    let types = cx.types;
    let mut put = |bits: u64| {
        slots[*slot] = ValRaw::u64(bits);
        *slot += 1;
    };
    if let Some(bits) = scalar(types, &ty, reader)? {
        put(bits);
        return Ok(());
    }
    match ty {
        InterfaceType::String => {
            let (pointer, length) = string(cx, reader)?;
            put(pointer);
            put(length);
        }
        InterfaceType::List(index) => {
            let (pointer, length) = list(cx, types[index].element, reader)?;
            put(pointer);
            put(length);
        }
        InterfaceType::Record(index) => {
            named::fields(types, &types[index], reader, |field, reader| flat(cx, field, reader, slots, slot))?;
        }
        InterfaceType::Tuple(index) => {
            let elements = &types[index].types;
            reader.array_of(elements.len())?;
            for (index, ty) in elements.iter().enumerate() {
                flat(cx, *ty, reader, slots, slot).map_err(|error| within(error, Step::Element(index)))?;
            }
        }
        InterfaceType::Option(_) | InterfaceType::Result(_) | InterfaceType::Variant(_) => {
            // Slots that the case does not use stay zero, as they were when it began.
            let first = *slot;
            let count = usize::from(types.canonical_abi(&ty).flat_count.unwrap_or_default());
            let (case, payload) = named::case(types, &ty, reader)?;
            slots[first] = ValRaw::u64(u64::from(case));
            *slot = first + 1;
            if let Some(payload) = payload {
                flat(cx, payload, reader, slots, slot)?;
            }
            *slot = first + count;
        }
        _ => bail!("type is not supported"),
    }
    Ok(())
}

/// Writes one value into `area`, a staged copy of exactly its size.
fn memory<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, reader: &mut Reader<'_>, area: &mut [u8]) -> Result<()> {
    let types = cx.types;
    if let Some(bits) = scalar(types, &ty, reader)? {
        let size = area.len().min(8);
        area[..size].copy_from_slice(&bits.to_le_bytes()[..size]);
        return Ok(());
    }
    match ty {
        InterfaceType::String => put_pair(area, string(cx, reader)?),
        InterfaceType::List(index) => put_pair(area, list(cx, types[index].element, reader)?),
        InterfaceType::Record(index) => {
            let mut end = 0;
            named::fields(types, &types[index], reader, |field, reader| {
                let place = next_field(types.canonical_abi(&field), &mut end);
                memory(cx, field, reader, &mut area[place])
            })?;
        }
        InterfaceType::Tuple(index) => {
            let elements = &types[index].types;
            reader.array_of(elements.len())?;
            let mut end = 0;
            for (index, ty) in elements.iter().enumerate() {
                let place = next_field(types.canonical_abi(ty), &mut end);
                memory(cx, *ty, reader, &mut area[place]).map_err(|error| within(error, Step::Element(index)))?;
            }
        }
        InterfaceType::Option(_) | InterfaceType::Result(_) | InterfaceType::Variant(_) => {
            let info = variant_info(types, &ty)?;
            let (case, payload) = named::case(types, &ty, reader)?;
            let size = u32::from(info.size) as usize;
            area[..size].copy_from_slice(&case.to_le_bytes()[..size]);
            if let Some(payload) = payload {
                let start = info.payload_offset32 as usize;
                let size = types.canonical_abi(&payload).size32 as usize;
                memory(cx, payload, reader, &mut area[start..start + size])?;
            }
        }
        _ => bail!("type is not supported"),
    }
    Ok(())
}

fn put_pair(area: &mut [u8], (pointer, length): (u64, u64)) {
    area[..8].copy_from_slice(&(pointer | length << 32).to_le_bytes());
}

pub(super) fn variant_info<'t>(types: &'t ComponentTypes, ty: &InterfaceType) -> Result<&'t VariantInfo> {
    Ok(match ty {
        InterfaceType::Option(index) => &types[*index].info,
        InterfaceType::Result(index) => &types[*index].info,
        InterfaceType::Variant(index) => &types[*index].info,
        _ => bail!("type has no cases"),
    })
}

/// The bits of flags, of which there are 32 at most.
fn flags(ty: &TypeFlags, reader: &mut Reader<'_>) -> Result<u64, BadArgument> {
    if reader.is_array() {
        return named::flags(&ty.names, reader);
    }
    let bits = integer::<u32>(reader, "flags")?;
    if u64::from(bits) >> ty.names.len() != 0 {
        return Err(Problem::Range { value: i128::from(bits), kind: "the flags" }.into());
    }
    Ok(u64::from(bits))
}

/// Pointer and length as the guest's encoding counts it.
fn string<T>(cx: &mut LowerContext<'_, T>, reader: &mut Reader<'_>) -> Result<(u64, u64)> {
    let text = reader.text()?;
    if matches!(cx.options().string_encoding, StringEncoding::Utf8) {
        let pointer = allocate(cx, 1, text.len())?;
        store(cx, pointer, text.as_bytes())?;
        return Ok((pointer as u64, text.len() as u64));
    }
    let mut slots = MaybeUninit::new([ValRaw::u64(0); 2]);
    text.linear_lower_to_flat(cx, InterfaceType::String, &mut slots)?;
    // SAFETY: it was initialised above, and lowering only ever writes values.
    let [pointer, length] = unsafe { slots.assume_init() };
    Ok((u64::from(pointer.get_u32()), u64::from(length.get_u32())))
}

/// The size of numbers that are packed when they are in a list.
pub(super) fn packed_size(ty: &InterfaceType) -> Option<usize> {
    use InterfaceType::*;
    Some(match ty {
        S8 | U8 => 1,
        S16 | U16 => 2,
        S32 | U32 | Float32 => 4,
        S64 | U64 | Float64 => 8,
        _ => return None,
    })
}

fn list<T>(cx: &mut LowerContext<'_, T>, element: InterfaceType, reader: &mut Reader<'_>) -> Result<(u64, u64)> {
    if let Some(size) = packed_size(&element) {
        return numbers(cx, &element, size, reader);
    }
    let count = reader.array()?;
    let abi = cx.types.canonical_abi(&element);
    let size = abi.size32 as usize;
    let total = count.checked_mul(size).ok_or_else(|| BadArgument::from(Problem::TooLarge))?;
    let area = allocate(cx, abi.align32, total)?;
    let mut staged = vec![0; total];
    for index in 0..count {
        memory(cx, element, reader, &mut staged[index * size..(index + 1) * size])
            .map_err(|error| within(error, Step::Element(index)))?;
    }
    store(cx, area, &staged)?;
    Ok((area as u64, count as u64))
}

/// A list of numbers: packed bytes are copied at once, an array is read number by number.
fn numbers<T>(
    cx: &mut LowerContext<'_, T>,
    element: &InterfaceType,
    size: usize,
    reader: &mut Reader<'_>,
) -> Result<(u64, u64)> {
    if reader.is_binary() {
        let bytes = reader.binary()?;
        if !bytes.len().is_multiple_of(size) {
            return Err(BadArgument::from(Problem::Packed { size, length: bytes.len() }).into());
        }
        let area = allocate(cx, size as u32, bytes.len())?;
        store(cx, area, bytes)?;
        return Ok((area as u64, (bytes.len() / size) as u64));
    }
    let count = reader.array()?;
    let area = allocate(cx, size as u32, count * size)?;
    let Some(target) = cx.as_slice_mut().get_mut(area..).and_then(|memory| memory.get_mut(..count * size)) else {
        bail!("memory of the guest shrank")
    };
    fill(element, target, reader)?;
    Ok((area as u64, count as u64))
}

fn fill(element: &InterfaceType, target: &mut [u8], reader: &mut Reader<'_>) -> Result<(), BadArgument> {
    macro_rules! each {
        ($ty:ty, $read:expr) => {
            for (index, place) in target.chunks_exact_mut(size_of::<$ty>()).enumerate() {
                let value: Result<$ty, BadArgument> = $read;
                place.copy_from_slice(&value.map_err(|bad| bad.within(Step::Element(index)))?.to_le_bytes());
            }
        };
    }
    match element {
        InterfaceType::U8 => each!(u8, integer(reader, "u8")),
        InterfaceType::S8 => each!(i8, integer(reader, "s8")),
        InterfaceType::U16 => each!(u16, integer(reader, "u16")),
        InterfaceType::S16 => each!(i16, integer(reader, "s16")),
        InterfaceType::U32 => each!(u32, integer(reader, "u32")),
        InterfaceType::S32 => each!(i32, integer(reader, "s32")),
        InterfaceType::U64 => each!(u64, integer(reader, "u64")),
        InterfaceType::S64 => each!(i64, integer(reader, "s64")),
        InterfaceType::Float32 => each!(u32, reader.float32()),
        _ => each!(f64, reader.float()),
    }
    Ok(())
}
