//! From the compiler's core module to a component.
//!
//! A guest made with the SDK carries one record a module in a custom section. They become one world, which the encoder
//! needs, and the documentation and defaults that the encoder would drop are appended. A guest made with wit-bindgen
//! carries its world itself. Same bytes in, same bytes out.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, fmt::Write};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as PREVIEW1_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageMetadata, Resolve};

/// Where the SDK's macro leaves its records.
const RECORDS_SECTION: &str = "scaler-guest";
/// Where the host looks for default values.
const DEFAULTS_SECTION: &str = "scaler-defaults";
/// What the host offers to guests of the SDK.
const HOST_WIT: &str = include_str!("../../../../guest-sdk/wit/host.wit");
const HOST_INTERFACE: &str = "scaler:guest/host@0.1.0";

/// Why a file could not become a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// The bytes are no WebAssembly.
    #[error("this is not WebAssembly: {0}")]
    NotWasm(String),
    /// The text format.
    #[error("this is WebAssembly as text: translate it with `wasm-tools parse FILE.wat -o FILE.wasm` and build that")]
    Text,
    /// Neither the SDK nor wit-bindgen described what it exports.
    #[error(
        "the module exports no interface: mark one with `#[scaler_guest::module] pub mod name {{ pub fn .. }}`, or describe it with wit-bindgen"
    )]
    NoInterface,
    /// A record is damaged, or of another version of the SDK.
    #[error("the SDK's record in the module cannot be read ({0}): is the SDK of the same version as this program?")]
    Record(String),
    /// Two modules of the crate have one name.
    #[error("two modules are both exported as `{0}`: rename one of them")]
    SameInterface(String),
    /// The text that the records make is not valid.
    #[error("what the SDK wrote about the exports is not valid: {0}")]
    Wit(String),
    /// The encoder refused the module.
    #[error("the module cannot be made a component: {0}")]
    Encode(String),
}

/// One `#[scaler_guest::module]`.
#[derive(Deserialize)]
struct Record {
    interface: String,
    /// Comments for the interface, as WIT text.
    docs: String,
    /// Types and functions, as WIT text.
    wit: String,
    defaults: Vec<RecordDefault>,
}

#[derive(Deserialize)]
struct RecordDefault {
    function: String,
    parameter: String,
    value: serde_json::Value,
}

/// An entry of the section that the host reads.
#[derive(Serialize)]
struct Default<'a> {
    interface: &'a str,
    function: &'a str,
    parameter: &'a str,
    value: &'a serde_json::Value,
}

/// Turns what a compiler or another tool made into a component; a component stays as it is.
pub(super) fn componentise(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ComponentError> {
    if is_text(bytes) {
        return Err(ComponentError::Text);
    }
    let mut core = Core::read(bytes)?;
    if core.is_component {
        return Ok(Cow::Borrowed(bytes));
    }
    if core.records.is_empty() {
        if !core.has_world {
            return Err(ComponentError::NoInterface);
        }
        return encode(bytes, core.uses_preview1).map(Cow::Owned);
    }
    let records = parse_records(&core.records)?;
    let mut resolve = Resolve::default();
    let wit = |error: anyhow::Error| ComponentError::Wit(format!("{error:#}"));
    resolve.push_str("host.wit", HOST_WIT).map_err(wit)?;
    let package = resolve.push_str("guest.wit", &world(&records)?).map_err(wit)?;
    let world = resolve.select_world(&[package], Some("root")).map_err(wit)?;
    embed_component_metadata(&mut core.without_records, &resolve, world, StringEncoding::UTF8, false)
        .map_err(|error| ComponentError::Encode(format!("{error:#}")))?;
    let mut component = encode(&core.without_records, core.uses_preview1)?;
    let docs = PackageMetadata::extract(&resolve, package).encode().map_err(wit)?;
    append_section(&mut component, PackageMetadata::SECTION_NAME, &docs);
    let defaults: Vec<Default<'_>> = records.iter().flat_map(Record::defaults).collect();
    if !defaults.is_empty() {
        let text = serde_json::to_vec(&defaults).map_err(|error| ComponentError::Record(error.to_string()))?;
        append_section(&mut component, DEFAULTS_SECTION, &text);
    }
    Ok(Cow::Owned(component))
}

/// Whether the text format stands there: after blanks, a parenthesis or a comment.
fn is_text(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    start.starts_with(b"(") || start.starts_with(b";;")
}

/// What the parser said, without the bytes that it lists.
fn first_words(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(" - expected").next().unwrap_or_default().to_owned()
}

/// What matters about a module before it is encoded.
struct Core {
    is_component: bool,
    /// The concatenated records.
    records: Vec<u8>,
    /// The module without the section that held them.
    without_records: Vec<u8>,
    /// wit-bindgen left its world in it.
    has_world: bool,
    uses_preview1: bool,
}

impl Core {
    fn read(bytes: &[u8]) -> Result<Self, ComponentError> {
        let not_wasm = |error: wasmparser::BinaryReaderError| ComponentError::NotWasm(first_words(error.message()));
        let (mut is_component, mut has_world, mut uses_preview1) = (false, false, false);
        let (mut records, mut without_records, mut copied) = (Vec::new(), Vec::new(), 0);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(not_wasm)? {
                Payload::Version { encoding, .. } => {
                    is_component = encoding == Encoding::Component;
                    if is_component {
                        break;
                    }
                }
                Payload::CustomSection(section) if section.name() == RECORDS_SECTION => {
                    records.extend_from_slice(section.data());
                    let content = section.range();
                    let section = whole_section(bytes, content.start as usize..content.end as usize);
                    without_records.extend_from_slice(&bytes[copied..section.start]);
                    copied = section.end;
                }
                Payload::CustomSection(section) if section.name().starts_with("component-type") => has_world = true,
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        uses_preview1 |= import.map_err(not_wasm)?.module == PREVIEW1;
                    }
                }
                _ => {}
            }
        }
        without_records.extend_from_slice(&bytes[copied..]);
        Ok(Self { is_component, records, without_records, has_world, uses_preview1 })
    }
}

/// A custom section with its header, given the range of its content.
fn whole_section(bytes: &[u8], content: std::ops::Range<usize>) -> std::ops::Range<usize> {
    // The header is the section's number and the content's length in LEB128, which linkers like to pad to five bytes.
    let length = content.len() as u64;
    let header = (2..=6).find(|header| {
        let Some(start) = content.start.checked_sub(*header) else { return false };
        let digits = &bytes[start + 1..content.start];
        let value = digits.iter().rev().fold(0_u64, |value, digit| value << 7 | u64::from(digit & 0x7f));
        let continued = digits.iter().rev().skip(1).all(|digit| digit & 0x80 != 0);
        let ends = digits.last().is_some_and(|digit| digit & 0x80 == 0);
        bytes[start] == 0 && value == length && continued && ends
    });
    content.start - header.unwrap_or(0)..content.end
}

fn parse_records(mut bytes: &[u8]) -> Result<Vec<Record>, ComponentError> {
    let mut records: Vec<Record> = Vec::new();
    while !bytes.is_empty() {
        let truncated = || ComponentError::Record("it is cut short".to_owned());
        let (length, rest) = bytes.split_first_chunk().ok_or_else(truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        let text = rest.get(..length).ok_or_else(truncated)?;
        records.push(serde_json::from_slice(text).map_err(|error| ComponentError::Record(error.to_string()))?);
        bytes = &rest[length..];
    }
    // The linker's order depends on its input; names do not.
    records.sort_by(|left, right| left.interface.cmp(&right.interface));
    Ok(records)
}

impl Record {
    fn defaults(&self) -> impl Iterator<Item = Default<'_>> {
        self.defaults.iter().map(|default| Default {
            interface: &self.interface,
            function: &default.function,
            parameter: &default.parameter,
            value: &default.value,
        })
    }
}

/// The world of all records. Its name is the one under which decoders put documentation back.
fn world(records: &[Record]) -> Result<String, ComponentError> {
    let mut text = format!("package root:component;\n\nworld root {{\n  import {HOST_INTERFACE};\n");
    let mut names = BTreeSet::new();
    for Record { interface, docs, wit, .. } in records {
        if !names.insert(interface) {
            return Err(ComponentError::SameInterface(interface.clone()));
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{docs}  export %{interface}: interface {{\n{wit}  }}\n");
    }
    text.push_str("}\n");
    Ok(text)
}

fn encode(core: &[u8], uses_preview1: bool) -> Result<Vec<u8>, ComponentError> {
    let mut encoder = ComponentEncoder::default();
    let encoded = (|| {
        encoder.validate(true).module(core)?;
        if uses_preview1 {
            encoder.adapter(PREVIEW1, PREVIEW1_ADAPTER)?;
        }
        encoder.encode()
    })();
    encoded.map_err(|error: anyhow::Error| ComponentError::Encode(format!("{error:#}")))
}

/// Appends a custom section to a component.
fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut content = leb128(name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    component.push(0);
    component.extend(leb128(content.len()));
    component.extend(content);
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut digits = Vec::new();
    loop {
        let digit = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            digits.push(digit);
            return digits;
        }
        digits.push(digit | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_guest_is_refused_with_a_reason() {
        assert!(matches!(componentise(b"hello").unwrap_err(), ComponentError::NotWasm(_)));
        let empty = b"\0asm\x01\0\0\0";
        assert!(matches!(componentise(empty).unwrap_err(), ComponentError::NoInterface));
        let mut damaged = empty.to_vec();
        append_section(&mut damaged, RECORDS_SECTION, &[9, 0, 0, 0, b'{']);
        assert!(matches!(componentise(&damaged).unwrap_err(), ComponentError::Record(_)));
    }

    #[test]
    fn a_component_passes_through() {
        let component = b"\0asm\x0d\0\x01\0";
        assert_eq!(&*componentise(component).unwrap(), component);
    }

    #[test]
    fn sections_are_cut_out_whole_however_their_length_is_padded() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        append_section(&mut module, "keep", b"this");
        let kept = module.len();
        append_section(&mut module, RECORDS_SECTION, &[7; 300]);
        assert_eq!(Core::read(&module).unwrap().without_records, module[..kept]);
        module.truncate(kept);
        module.extend([0, 0x93, 0x80, 0x80, 0x80, 0x00, 12]);
        module.extend_from_slice(RECORDS_SECTION.as_bytes());
        module.extend([1; 6]);
        let core = Core::read(&module).unwrap();
        assert_eq!((core.without_records, core.records), (module[..kept].to_vec(), vec![1; 6]));
    }

    #[test]
    fn two_modules_of_one_name_are_refused() {
        let record = || Record { interface: "a".into(), docs: String::new(), wit: String::new(), defaults: Vec::new() };
        assert!(matches!(world(&[record(), record()]), Err(ComponentError::SameInterface(_))));
    }
}
