//! The outermost structure of a WebAssembly binary: sections, found without trusting a single length.
//!
//! The library that decodes types reads `package-docs` sections at any depth and gives up on those that it does not
//! expect, so we find them first: ours to read are the outer ones, and all are hidden from the library.

use std::borrow::Cow;

use crate::read::ReadError;

/// Components in components, and modules in them. Tools make two or three levels.
const NESTING_MAX: usize = 16;
/// Sections in all. The largest components seen have some thousands.
const SECTIONS_MAX: usize = 200_000;

const DOCS: &[u8] = b"package-docs";
const DEFAULTS: &[u8] = b"scaler-defaults";
/// Of the same length as [`DOCS`], and of no meaning to anyone.
const HIDDEN: &[u8] = b"hidden--docs";

/// A component's bytes with what the decoder of types must not see taken out, and what was found on the way.
#[derive(Debug)]
pub(crate) struct Outline<'a> {
    /// The component without `package-docs`.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Contents of the outer `package-docs` section.
    pub(crate) docs: Option<&'a [u8]>,
    /// Contents of the outer `scaler-defaults` sections.
    pub(crate) defaults: Vec<&'a [u8]>,
}

/// What the eight bytes at the start of a binary say.
#[derive(Clone, Copy, PartialEq)]
enum Layer {
    Module,
    Component,
}

/// Walks over all sections, those of nested modules and components included.
pub(crate) fn outline(bytes: &[u8]) -> Result<Outline<'_>, ReadError> {
    if header(bytes, 0)? == Layer::Module {
        return Err(ReadError::CoreModule);
    }
    let mut outline = Outline { bytes: Cow::Borrowed(bytes), docs: None, defaults: Vec::new() };
    let mut sections = 0;
    // Where to go on, where that binary ends, what it is.
    let mut open = vec![(8, bytes.len(), Layer::Component)];
    while let Some((start, end, layer)) = open.pop() {
        if start == end {
            continue;
        }
        sections += 1;
        if sections > SECTIONS_MAX {
            return Err(ReadError::TooComplex { what: "sections", limit: SECTIONS_MAX });
        }
        let id = bytes[start];
        let (length, body) = leb(bytes, start + 1, end)?;
        let next =
            body.checked_add(length).filter(|next| *next <= end).ok_or(ReadError::Truncated { offset: start })?;
        open.push((next, end, layer));
        match (id, layer) {
            (0, _) => {
                let (name_length, name) = leb(bytes, body, next)?;
                let content = name.checked_add(name_length).filter(|content| *content <= next);
                let content = content.ok_or(ReadError::Truncated { offset: body })?;
                let outer = open.len() == 1;
                match &bytes[name..content] {
                    DOCS => {
                        if outer {
                            outline.docs = Some(&bytes[content..next]);
                        }
                        outline.bytes.to_mut()[name..content].copy_from_slice(HIDDEN);
                    }
                    DEFAULTS if outer => outline.defaults.push(&bytes[content..next]),
                    _ => {}
                }
            }
            // A core module, a component.
            (1 | 4, Layer::Component) => {
                if open.len() >= NESTING_MAX {
                    return Err(ReadError::TooComplex { what: "levels of nested components", limit: NESTING_MAX });
                }
                let inner = header(&bytes[..next], body)?;
                open.push((body + 8, next, inner));
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn header(bytes: &[u8], start: usize) -> Result<Layer, ReadError> {
    let rest = bytes.get(start..).unwrap_or_default();
    if rest.is_empty() {
        return Err(if start == 0 { ReadError::Empty } else { ReadError::Truncated { offset: start } });
    }
    if !rest.starts_with(b"\0asm") {
        return Err(not_wasm(rest));
    }
    match rest.get(4..8) {
        Some([1, 0, 0, 0]) => Ok(Layer::Module),
        Some([version, 0, 1, 0]) if *version >= 0x0d => Ok(Layer::Component),
        Some([a, b, c, d]) => Err(ReadError::Version { version: u32::from_le_bytes([*a, *b, *c, *d]) }),
        _ => Err(ReadError::Truncated { offset: start }),
    }
}

/// What a file is that is no WebAssembly, as far as its start tells.
fn not_wasm(bytes: &[u8]) -> ReadError {
    let start = &bytes[..bytes.len().min(512)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        // A character may be cut at the end of the excerpt.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match text {
        Some(text) if text.trim_start().starts_with("(component") || text.trim_start().starts_with("(module") => {
            ReadError::Wat
        }
        Some(text) if text.chars().all(|c| !c.is_control() || c.is_whitespace()) => {
            let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            ReadError::Text { start: crate::misfit::shorten(line.trim()) }
        }
        _ => ReadError::NotWasm { start: bytes.iter().take(4).copied().collect() },
    }
}

/// An unsigned LEB128 number of at most 32 bits, and where it ends.
fn leb(bytes: &[u8], start: usize, end: usize) -> Result<(usize, usize), ReadError> {
    let mut number = 0_u64;
    for (place, byte) in bytes[start..end].iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let number = u32::try_from(number).map_err(|_| ReadError::Truncated { offset: start })?;
            return Ok((number as usize, start + place + 1));
        }
    }
    Err(ReadError::Truncated { offset: start })
}
