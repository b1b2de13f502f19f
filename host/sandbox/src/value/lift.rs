//! Results out of a guest: the canonical ABI's "lift", straight to MessagePack.
//!
//! Everything a guest says is checked: pointers against its memory, alignment, encodings, cases. What is read counts
//! against the limit for results, so that a small result that points a thousand times at the same bytes is bounded.

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LiftContext};
use wasmtime::component::Lift;
use wasmtime::{Result, ValRaw, bail};

use super::lower::{next_field, packed_size, variant_info};
use super::named::is_wrapped;
use super::pack;
use super::problem::BadResult;

/// Reads the result of a call: its bytes, and whether it is the `err` of a top-level `result`.
pub(super) fn result(cx: &mut LiftContext<'_>, ty: InterfaceType, slots: &[ValRaw]) -> Result<(Vec<u8>, bool)> {
    let InterfaceType::Tuple(index) = ty else { bail!("results are no tuple") };
    let types = cx.types;
    let results = &types[index];
    let mut lifter = Lifter { types, memory: cx.memory(), cx, out: Vec::new() };
    let Some(ty) = results.types.first() else {
        pack::write_nil(&mut lifter.out);
        return Ok((lifter.out, false));
    };
    let is_error = if results.abi.flat_count(1).is_some() {
        lifter.top_flat(ty, slots)?
    } else {
        let pointer = slots.first().map_or(0, |slot| slot.get_u32() as usize);
        let area = lifter.area(pointer, results.abi.size32 as usize, results.abi.align32)?;
        lifter.top_memory(ty, area)?
    };
    Ok((lifter.out, is_error))
}

struct Lifter<'c, 'a> {
    cx: &'c mut LiftContext<'a>,
    types: &'a ComponentTypes,
    memory: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Lifter<'_, 'a> {
    fn area(&self, pointer: usize, size: usize, align: u32) -> Result<&'a [u8], BadResult> {
        if !pointer.is_multiple_of(align as usize) {
            return Err(BadResult::Unaligned);
        }
        self.memory.get(pointer..).and_then(|memory| memory.get(..size)).ok_or(BadResult::OutOfBounds)
    }

    /// Counts bytes that are read out of the guest.
    fn spend(&mut self, bytes: usize) -> Result<(), BadResult> {
        self.cx.consume_fuel(bytes).map_err(|_| BadResult::TooLarge)
    }

    fn top_flat(&mut self, ty: &InterfaceType, slots: &[ValRaw]) -> Result<bool> {
        let mut slot = 0;
        let InterfaceType::Result(index) = ty else {
            self.flat(ty, slots, &mut slot)?;
            return Ok(false);
        };
        let result = &self.types[*index];
        let case = next(slots, &mut slot)? as u32;
        match self.outcome(case, &result.ok, &result.err)? {
            Some(payload) => self.flat(payload, slots, &mut slot)?,
            None => pack::write_nil(&mut self.out),
        }
        Ok(case == 1)
    }

    fn top_memory(&mut self, ty: &InterfaceType, area: &[u8]) -> Result<bool> {
        let InterfaceType::Result(index) = ty else {
            self.value(ty, area)?;
            return Ok(false);
        };
        let result = &self.types[*index];
        let case = bits(&area[..u32::from(result.info.size) as usize]) as u32;
        match self.outcome(case, &result.ok, &result.err)? {
            Some(payload) => self.value(payload, self.payload(payload, area, result.info.payload_offset32))?,
            None => pack::write_nil(&mut self.out),
        }
        Ok(case == 1)
    }

    fn outcome<'t>(
        &self,
        case: u32,
        ok: &'t Option<InterfaceType>,
        err: &'t Option<InterfaceType>,
    ) -> Result<Option<&'t InterfaceType>, BadResult> {
        match case {
            0 => Ok(ok.as_ref()),
            1 => Ok(err.as_ref()),
            _ => Err(BadResult::Case(case)),
        }
    }

    fn payload<'m>(&self, ty: &InterfaceType, area: &'m [u8], offset: u32) -> &'m [u8] {
        let size = self.types.canonical_abi(ty).size32 as usize;
        &area[offset as usize..offset as usize + size]
    }

    /// Writes a value that takes one slot and no memory; `false` for other types. Bits above its size are not looked
    /// at.
    fn scalar(&mut self, ty: &InterfaceType, bits: u64) -> Result<bool, BadResult> {
        let out = &mut self.out;
        match ty {
            InterfaceType::Bool => pack::write_boolean(out, bits as u32 != 0),
            InterfaceType::U8 => pack::write_unsigned(out, u64::from(bits as u8)),
            InterfaceType::U16 => pack::write_unsigned(out, u64::from(bits as u16)),
            InterfaceType::U32 => pack::write_unsigned(out, u64::from(bits as u32)),
            InterfaceType::U64 => pack::write_unsigned(out, bits),
            InterfaceType::S8 => pack::write_signed(out, i64::from(bits as i8)),
            InterfaceType::S16 => pack::write_signed(out, i64::from(bits as i16)),
            InterfaceType::S32 => pack::write_signed(out, i64::from(bits as i32)),
            InterfaceType::S64 => pack::write_signed(out, bits.cast_signed()),
            InterfaceType::Float32 => pack::write_float32(out, bits as u32),
            InterfaceType::Float64 => pack::write_float64(out, bits),
            InterfaceType::Char => {
                let char = char::from_u32(bits as u32).ok_or(BadResult::Char(bits as u32))?;
                pack::write_text(out, char.encode_utf8(&mut [0; 4]));
            }
            InterfaceType::Enum(index) => {
                let case = bits as u32;
                if case as usize >= self.types[*index].names.len() {
                    return Err(BadResult::Case(case));
                }
                pack::write_unsigned(out, u64::from(case));
            }
            // Bits without a name are dropped, as the canonical ABI wants it.
            InterfaceType::Flags(index) => {
                pack::write_unsigned(out, bits & ((1_u64 << self.types[*index].names.len()) - 1));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn flat(&mut self, ty: &InterfaceType, slots: &[ValRaw], slot: &mut usize) -> Result<()> {
        // Results of more than one slot come through memory, so this sees scalars, or records and cases around one.
        match ty {
            InterfaceType::String | InterfaceType::List(_) => bail!("results of two slots come through memory"),
            InterfaceType::Record(index) => {
                let fields = &self.types[*index].fields;
                pack::write_array(&mut self.out, fields.len());
                fields.iter().try_for_each(|field| self.flat(&field.ty, slots, slot))?;
            }
            InterfaceType::Tuple(index) => {
                let elements = &self.types[*index].types;
                pack::write_array(&mut self.out, elements.len());
                elements.iter().try_for_each(|ty| self.flat(ty, slots, slot))?;
            }
            InterfaceType::Option(_) | InterfaceType::Result(_) | InterfaceType::Variant(_) => {
                let first = *slot;
                let count = usize::from(self.types.canonical_abi(ty).flat_count.unwrap_or_default());
                let case = next(slots, slot)? as u32;
                if let Some(payload) = self.case(ty, case)? {
                    self.flat(&payload, slots, slot)?;
                }
                *slot = first + count;
            }
            _ => {
                let bits = next(slots, slot)?;
                if !self.scalar(ty, bits)? {
                    bail!("type is not supported");
                }
            }
        }
        Ok(())
    }

    /// Writes the value in `area`, which is exactly its size.
    fn value(&mut self, ty: &InterfaceType, area: &[u8]) -> Result<()> {
        match ty {
            InterfaceType::String => {
                let (pointer, length) = pair(area);
                self.string(pointer, length)?;
            }
            InterfaceType::List(index) => {
                let (pointer, length) = pair(area);
                let element = &self.types[*index].element;
                self.list(element, pointer, length)?;
            }
            InterfaceType::Record(index) => {
                let fields = &self.types[*index].fields;
                pack::write_array(&mut self.out, fields.len());
                let mut end = 0;
                for field in fields {
                    let place = next_field(self.types.canonical_abi(&field.ty), &mut end);
                    self.value(&field.ty, &area[place])?;
                }
            }
            InterfaceType::Tuple(index) => {
                let elements = &self.types[*index].types;
                pack::write_array(&mut self.out, elements.len());
                let mut end = 0;
                for ty in elements {
                    let place = next_field(self.types.canonical_abi(ty), &mut end);
                    self.value(ty, &area[place])?;
                }
            }
            InterfaceType::Option(_) | InterfaceType::Result(_) | InterfaceType::Variant(_) => {
                let info = variant_info(self.types, ty)?;
                let case = bits(&area[..u32::from(info.size) as usize]) as u32;
                if let Some(payload) = self.case(ty, case)? {
                    self.value(&payload, self.payload(&payload, area, info.payload_offset32))?;
                }
            }
            _ => {
                if !self.scalar(ty, bits(area))? {
                    bail!("type is not supported");
                }
            }
        }
        Ok(())
    }

    /// Writes which case it is; gives the type of the value that has to follow, if any.
    fn case(&mut self, ty: &InterfaceType, case: u32) -> Result<Option<InterfaceType>, BadResult> {
        let payload = match ty {
            InterfaceType::Option(index) => {
                let inner = self.types[*index].ty;
                let wrapped = is_wrapped(self.types, inner);
                return match (case, wrapped) {
                    (0, true) => {
                        pack::write_array(&mut self.out, 0);
                        Ok(None)
                    }
                    (0, false) => {
                        pack::write_nil(&mut self.out);
                        Ok(None)
                    }
                    (1, true) => {
                        pack::write_array(&mut self.out, 1);
                        Ok(Some(inner))
                    }
                    (1, false) => Ok(Some(inner)),
                    _ => Err(BadResult::Case(case)),
                };
            }
            InterfaceType::Result(index) => {
                let result = &self.types[*index];
                self.outcome(case, &result.ok, &result.err)?.copied()
            }
            InterfaceType::Variant(index) => {
                *self.types[*index].cases.get_index(case as usize).ok_or(BadResult::Case(case))?.1
            }
            _ => return Err(BadResult::Case(case)),
        };
        pack::write_array(&mut self.out, 2);
        pack::write_unsigned(&mut self.out, u64::from(case));
        if payload.is_none() {
            pack::write_nil(&mut self.out);
        }
        Ok(payload)
    }

    fn string(&mut self, pointer: usize, length: usize) -> Result<()> {
        if matches!(self.cx.options().string_encoding, StringEncoding::Utf8) {
            self.spend(length)?;
            let bytes = self.area(pointer, length, 1)?;
            pack::write_text(&mut self.out, std::str::from_utf8(bytes).map_err(|_| BadResult::Utf8)?);
            return Ok(());
        }
        let slots = [ValRaw::u32(pointer as u32), ValRaw::u32(length as u32)];
        // Wasmtime counts these bytes itself.
        let text = <Box<str> as Lift>::linear_lift_from_flat(self.cx, InterfaceType::String, &slots)?;
        pack::write_text(&mut self.out, &text);
        Ok(())
    }

    fn list(&mut self, element: &InterfaceType, pointer: usize, count: usize) -> Result<()> {
        let abi = self.types.canonical_abi(element);
        let size = abi.size32 as usize;
        let total = count.checked_mul(size).ok_or(BadResult::OutOfBounds)?;
        let area = self.area(pointer, total, abi.align32)?;
        self.spend(total.max(count))?;
        if packed_size(element).is_some() {
            pack::write_binary(&mut self.out, area);
            return Ok(());
        }
        pack::write_array(&mut self.out, count);
        (0..count).try_for_each(|index| self.value(element, &area[index * size..(index + 1) * size]))
    }
}

fn next(slots: &[ValRaw], slot: &mut usize) -> Result<u64> {
    let Some(value) = slots.get(*slot) else { bail!("the function returned too few slots") };
    *slot += 1;
    Ok(value.get_u64())
}

/// At most 8 bytes as a number.
fn bits(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

fn pair(area: &[u8]) -> (usize, usize) {
    let bits = bits(area);
    (bits as u32 as usize, (bits >> 32) as usize)
}
