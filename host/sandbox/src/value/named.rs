//! Where names are legal beside positions: fields, cases, enums and flags. The slower way of simple clients.

use wasmtime::Result;
use wasmtime::component::__internal::wasmtime_environ::component::TypeRecord;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

use super::lower::within;
use super::option_is_wrapped;
use super::pack::Reader;
use super::problem::{BadArgument, Problem, Step};

/// Whether a name that somebody wrote is the one of the interface: `snake_case` and `kebab-case` are the same.
fn is_same(written: &str, name: &str) -> bool {
    written.len() == name.len() && written.bytes().zip(name.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

fn position<'n>(
    names: impl Iterator<Item = &'n String> + Clone,
    written: &str,
    what: &'static str,
) -> Result<usize, BadArgument> {
    names.clone().position(|name| is_same(written, name)).ok_or_else(|| {
        let known: Vec<String> = names.map(|name| format!("`{}`", name.replace('-', "_"))).collect();
        Problem::Unknown { what, name: written.to_owned(), known: known.join(", ") }.into()
    })
}

fn index(count: usize, reader: &mut Reader<'_>) -> Result<u32, BadArgument> {
    let start = reader.position();
    match reader.unsigned() {
        Some(index) if index < count as u64 => Ok(index as u32),
        Some(index) => Err(Problem::NoCase { index, last: count.saturating_sub(1) }.into()),
        None => {
            reader.back_to(start);
            let value = reader.integer()?;
            Err(Problem::Range { value, kind: "cases" }.into())
        }
    }
}

/// The number of an enum's case, from a number or a name.
pub(super) fn enumeration<'n, N>(names: N, reader: &mut Reader<'_>) -> Result<u32, BadArgument>
where
    N: IntoIterator<Item = &'n String, IntoIter: ExactSizeIterator + Clone>,
{
    let names = names.into_iter();
    if reader.is_text() {
        return Ok(position(names, reader.text()?, "case")? as u32);
    }
    index(names.len(), reader)
}

/// The bits of flags that are written as an array of names.
pub(super) fn flags<'n, N>(names: N, reader: &mut Reader<'_>) -> Result<u64, BadArgument>
where
    N: IntoIterator<Item = &'n String, IntoIter: ExactSizeIterator + Clone>,
{
    let names = names.into_iter();
    let mut bits = 0;
    for _ in 0..reader.array()? {
        bits |= 1 << position(names.clone(), reader.text()?, "flag")?;
    }
    Ok(bits)
}

/// Calls `lower` for every field of a record, in the order of the type, with a reader that stands at its value.
pub(super) fn fields<'r>(
    types: &ComponentTypes,
    record: &TypeRecord,
    reader: &mut Reader<'r>,
    mut lower: impl FnMut(InterfaceType, &mut Reader<'r>) -> Result<()>,
) -> Result<()> {
    if !reader.is_map() {
        reader.array_of(record.fields.len())?;
        for field in &record.fields {
            lower(field.ty, reader).map_err(|error| within(error, Step::Field(field.name.clone())))?;
        }
        return Ok(());
    }
    let mut places = vec![None; record.fields.len()];
    for _ in 0..reader.map()? {
        let name = reader.text()?;
        let field = position(record.fields.iter().map(|field| &field.name), name, "field")?;
        if places[field].replace(reader.position()).is_some() {
            return Err(BadArgument::from(Problem::Twice(name.to_owned())).into());
        }
        reader.skip()?;
    }
    let end = reader.position();
    for (field, place) in record.fields.iter().zip(places) {
        let mut value = match place {
            Some(place) => {
                reader.back_to(place);
                *reader
            }
            None => absent(types, &field.ty)
                .ok_or_else(|| BadArgument::from(Problem::Missing(field.name.replace('-', "_"))))?,
        };
        lower(field.ty, &mut value).map_err(|error| within(error, Step::Field(field.name.clone())))?;
    }
    reader.back_to(end);
    Ok(())
}

/// What stands for a field that was not given: none, if it is an option.
fn absent(types: &ComponentTypes, ty: &InterfaceType) -> Option<Reader<'static>> {
    let InterfaceType::Option(index) = ty else { return None };
    let wrapped = is_wrapped(types, types[*index].ty);
    Some(Reader::new(if wrapped { &[0x90] } else { &[0xc0] }))
}

/// See [`option_is_wrapped`].
pub(super) fn is_wrapped(types: &ComponentTypes, inner: InterfaceType) -> bool {
    option_is_wrapped(inner, |ty| if let InterfaceType::Option(index) = ty { Some(types[*index].ty) } else { None })
}

/// The case of an option, result or variant, and the type of the value that the reader now stands at, if any.
pub(super) fn case(
    types: &ComponentTypes,
    ty: &InterfaceType,
    reader: &mut Reader<'_>,
) -> Result<(u32, Option<InterfaceType>), BadArgument> {
    match ty {
        InterfaceType::Option(index) => {
            let inner = types[*index].ty;
            let some = if is_wrapped(types, inner) {
                match reader.array()? {
                    0 => false,
                    1 => true,
                    found => return Err(Problem::Count { expected: 1, found }.into()),
                }
            } else {
                !reader.nil()?
            };
            Ok(if some { (1, Some(inner)) } else { (0, None) })
        }
        InterfaceType::Result(index) => {
            let result = &types[*index];
            let names = ["ok".to_owned(), "err".to_owned()];
            choose(names.iter(), |case| if case == 0 { result.ok } else { result.err }, reader)
        }
        InterfaceType::Variant(index) => {
            let cases = &types[*index].cases;
            choose(cases.keys(), |case| cases.get_index(case).and_then(|(_, ty)| *ty), reader)
        }
        _ => Err(Problem::Expected { expected: "a type with cases", found: "another" }.into()),
    }
}

/// `[case, value]`, `{'case': value}`, or `'case'` alone when it has no value.
fn choose<'n>(
    names: impl ExactSizeIterator<Item = &'n String> + Clone,
    payload_of: impl Fn(usize) -> Option<InterfaceType>,
    reader: &mut Reader<'_>,
) -> Result<(u32, Option<InterfaceType>), BadArgument> {
    if reader.is_text() {
        let case = position(names, reader.text()?, "case")?;
        return match payload_of(case) {
            None => Ok((case as u32, None)),
            Some(_) => Err(Problem::Expected { expected: "a value for the case", found: "its name alone" }.into()),
        };
    }
    let case = if reader.is_map() {
        match reader.map()? {
            1 => position(names, reader.text()?, "case")? as u32,
            found => return Err(Problem::Count { expected: 1, found }.into()),
        }
    } else {
        reader.array_of(2)?;
        if reader.is_text() { position(names, reader.text()?, "case")? as u32 } else { index(names.len(), reader)? }
    };
    let payload = payload_of(case as usize);
    if payload.is_none() {
        reader.expect_nil()?;
    }
    Ok((case, payload))
}
