//! From what people write to the positional form, checked against the signature.
//!
//! One walk over type and value writes the bytes; the way to a misfit is put together only when there is one, so that
//! binding costs little more than the encoding itself.

use scaler_proto::{
    msgpack::{self, Item, Reader},
    nearest::{Hint, nearest},
    resolve::{same, snake},
    value::{Value, ValueError},
};

use crate::{
    misfit::{self, Fits, Misfit, Problem},
    types::{Case, Field, Parameter, Signature, Type},
};

/// Why arguments do not fit a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// More arguments by position than parameters.
    #[error("{}, the function takes {taken}: {signature}", counted(*given))]
    TooMany {
        /// By position.
        given: usize,
        /// Parameters.
        taken: usize,
        /// For people.
        signature: String,
    },
    /// Parameters without an argument, a default, or an option type.
    #[error("missing argument {names}; the function takes {signature}")]
    Missing {
        /// Quoted, with commas.
        names: String,
        /// For people.
        signature: String,
    },
    /// A name that no parameter has.
    #[error("there is no parameter `{name}`; the function takes {signature}{hint}")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest parameter.
        hint: Hint,
        /// For people.
        signature: String,
    },
    /// An argument that is given twice, by position and by name or twice by name.
    #[error("the argument `{name}` is given twice")]
    Twice {
        /// The parameter.
        name: String,
    },
    /// A value that does not fit its type: `argument options.strikes[3]: 300 does not fit u8 (0 to 255)`.
    #[error("argument {path}: {problem}")]
    Value {
        /// From the parameter to the place in its value.
        path: String,
        /// What is wrong there.
        problem: Box<Problem>,
    },
    /// Encoded arguments that are no MessagePack.
    #[error("the arguments cannot be read: {0}")]
    Encoded(#[from] ValueError),
    /// Encoded arguments that are neither a list nor a map.
    #[error("the arguments are {found}; they must be a list by position or a map by name")]
    NotArguments {
        /// What they are.
        found: &'static str,
    },
}

fn counted(given: usize) -> String {
    format!("{given} {} given", if given == 1 { "argument is" } else { "arguments are" })
}

/// Arguments with nil at the places of objects, and what each of those places is for, by parameter.
pub type BoundAround<T> = (Vec<u8>, Vec<(usize, T)>);

impl Signature {
    /// Checks arguments and turns them into the positional form, a MessagePack array of all parameters.
    ///
    /// # Errors
    /// When something is missing, too much, unknown, or does not fit its type; names where, down to the element.
    pub fn bind(&self, args: &[Value], kwargs: &[(String, Value)]) -> Result<Vec<u8>, BindError> {
        let mut out = Vec::with_capacity(64);
        self.bind_into(&mut out, args, kwargs)?;
        Ok(out)
    }

    /// As [`Signature::bind`], appended to a buffer that can be used again. After an error its tail means nothing.
    ///
    /// # Errors
    /// As [`Signature::bind`].
    pub fn bind_into(&self, out: &mut Vec<u8>, args: &[Value], kwargs: &[(String, Value)]) -> Result<(), BindError> {
        self.write_arguments(out, args, kwargs, Form::Named)
    }

    /// As [`Signature::bind`] for arguments that are MessagePack already: an array by position or a map by name, each
    /// argument in named or positional form. What simple clients send becomes what the sandbox takes at full speed.
    /// Inside options of options the positional form is taken to be meant.
    ///
    /// # Errors
    /// As [`Signature::bind`].
    pub fn bind_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, BindError> {
        if self.is_positional_scalars(arguments) {
            return Ok(arguments.to_vec());
        }
        let mut out = Vec::with_capacity(arguments.len());
        match Value::decode(arguments)? {
            Value::List(args) => self.write_arguments(&mut out, &args, &[], Form::Wire)?,
            Value::Map(kwargs) => self.write_arguments(&mut out, &[], &kwargs, Form::Wire)?,
            other => return Err(BindError::NotArguments { found: other.kind() }),
        }
        Ok(out)
    }

    /// As [`Signature::bind`], where some values stand for objects that are stored elsewhere: `object` says which, and
    /// what it gives comes back with the parameter that it is for. At those places nil is written; whether an object
    /// fits its parameter is told by [`Parameter::check`].
    ///
    /// # Errors
    /// As [`Signature::bind`].
    pub fn bind_around<T>(
        &self,
        args: &[Value],
        kwargs: &[(String, Value)],
        object: impl Fn(&Value) -> Option<T>,
    ) -> Result<BoundAround<T>, BindError> {
        let mut out = Vec::with_capacity(64);
        let mut objects = Vec::new();
        msgpack::write_array(&mut out, self.parameters.len());
        for (index, (parameter, value)) in self.parameters.iter().zip(self.assign(args, kwargs)?).enumerate() {
            match value.and_then(&object) {
                Some(object) => {
                    msgpack::write_nil(&mut out);
                    objects.push((index, object));
                }
                None => write_given(&mut out, parameter, value, Form::Named)?,
            }
        }
        Ok((out, objects))
    }

    fn write_arguments(
        &self,
        out: &mut Vec<u8>,
        args: &[Value],
        kwargs: &[(String, Value)],
        form: Form,
    ) -> Result<(), BindError> {
        msgpack::write_array(out, self.parameters.len());
        if kwargs.is_empty() && args.len() == self.parameters.len() {
            return self
                .parameters
                .iter()
                .zip(args)
                .try_for_each(|(parameter, value)| write_argument(out, parameter, value, form));
        }
        for (parameter, value) in self.parameters.iter().zip(self.assign(args, kwargs)?) {
            write_given(out, parameter, value, form)?;
        }
        Ok(())
    }

    /// The value given for each parameter, or `None` where the default or none does.
    fn assign<'v>(
        &self,
        args: &'v [Value],
        kwargs: &'v [(String, Value)],
    ) -> Result<Vec<Option<&'v Value>>, BindError> {
        if args.len() > self.parameters.len() {
            let taken = self.parameters.len();
            return Err(BindError::TooMany { given: args.len(), taken, signature: self.describe() });
        }
        let mut given: Vec<Option<&Value>> = args.iter().map(Some).collect();
        given.resize(self.parameters.len(), None);
        for (name, value) in kwargs {
            let Some(index) = self.parameters.iter().position(|parameter| same(&parameter.name, name)) else {
                // What is given already is not what was meant.
                let is_free = |(index, parameter): &(usize, &Parameter)| {
                    *index >= args.len() && !kwargs.iter().any(|(other, _)| same(&parameter.name, other))
                };
                let free = self.parameters.iter().enumerate().filter(is_free);
                let hint = nearest(name, free.map(|(_, parameter)| parameter.name.as_str()));
                return Err(BindError::Unknown {
                    name: misfit::shorten(name),
                    hint: Hint(hint.map(snake)),
                    signature: self.describe(),
                });
            };
            if given[index].replace(value).is_some() {
                return Err(BindError::Twice { name: snake(name) });
            }
        }
        let optional = |parameter: &Parameter| parameter.default.is_some() || matches!(parameter.ty, Type::Option(_));
        let missing =
            self.parameters.iter().zip(&given).filter(|(parameter, value)| value.is_none() && !optional(parameter));
        let missing: Vec<String> = missing.map(|(parameter, _)| format!("`{}`", snake(&parameter.name))).collect();
        if missing.is_empty() {
            return Ok(given);
        }
        Err(BindError::Missing { names: missing.join(", "), signature: self.describe() })
    }

    /// Whether encoded arguments are already what binding would make of them, told without building values: the case
    /// of calls with a few scalars, texts or packed lists.
    fn is_positional_scalars(&self, arguments: &[u8]) -> bool {
        let mut reader = Reader::new(arguments);
        let count = self.parameters.len();
        if !matches!(reader.next_item(), Ok(Item::Array(given)) if given as usize == count) {
            return false;
        }
        let fits = |parameter: &Parameter| {
            let Ok(item) = reader.next_item() else { return false };
            match (&parameter.ty, item) {
                (Type::Bool, Item::Bool(_))
                | (Type::String, Item::Str(_))
                | (Type::Float32, Item::F32(_))
                | (Type::Float64, Item::F64(_)) => true,
                (Type::List(inner), Item::Bin(bytes)) => {
                    inner.packed_width().is_some_and(|width| bytes.len().is_multiple_of(width))
                }
                (ty, Item::UInt(number)) => in_range(ty, number.into()),
                (ty, Item::Int(number)) => in_range(ty, number.into()),
                _ => false,
            }
        };
        self.parameters.iter().all(fits) && reader.remaining() == 0
    }
}

impl Parameter {
    /// Whether a value fits.
    ///
    /// # Errors
    /// When it does not; names the parameter and the place in the value.
    pub fn check(&self, value: &Value) -> Result<(), BindError> {
        write_argument(&mut Vec::new(), self, value, Form::Stored)
    }
}

impl Type {
    /// Checks one value and appends its positional form.
    ///
    /// # Errors
    /// When it does not fit; names where.
    pub fn encode_into(&self, out: &mut Vec<u8>, value: &Value) -> Result<(), BindError> {
        write(out, self, value, Form::Named).map_err(|misfit| value_error("value", *misfit))
    }
}

/// Which spellings of a value are taken.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// What people write.
    Named,
    /// That, where bytes are bytes and no list of small numbers, because the sandbox takes them as they are.
    Stored,
    /// That, and the positional form.
    Wire,
}

fn in_range(ty: &Type, number: i128) -> bool {
    ty.integer_range().is_some_and(|(least, most)| (least..=most).contains(&number))
}

/// What is given for a parameter, or what stands for it.
fn write_given(out: &mut Vec<u8>, parameter: &Parameter, value: Option<&Value>, form: Form) -> Result<(), BindError> {
    match (value, &parameter.default) {
        (Some(value), _) => write_argument(out, parameter, value, form),
        (None, Some(default)) => write_argument(out, parameter, default, Form::Named),
        // `assign` has seen to it that only options are left.
        (None, None) => write_argument(out, parameter, &Value::Null, Form::Named),
    }
}

#[inline]
fn write_argument(out: &mut Vec<u8>, parameter: &Parameter, value: &Value, form: Form) -> Result<(), BindError> {
    write(out, &parameter.ty, value, form).map_err(|misfit| value_error(&snake(&parameter.name), *misfit))
}

#[cold]
fn value_error(root: &str, misfit: Misfit) -> BindError {
    BindError::Value { path: misfit.path(root), problem: Box::new(misfit.problem) }
}

fn write(out: &mut Vec<u8>, ty: &Type, value: &Value, form: Form) -> Fits<()> {
    match (ty, value) {
        (Type::Bool, Value::Bool(value)) => msgpack::write_bool(out, *value),
        (Type::String, Value::Str(text)) => {
            countable(text.len())?;
            msgpack::write_str(out, text);
        }
        (Type::Char, Value::Str(text)) => {
            if text.chars().count() != 1 {
                return Misfit::fail(Problem::NotOneCharacter { found: misfit::excerpt(value) });
            }
            msgpack::write_str(out, text);
        }
        (Type::Float64, _) => msgpack::write_f64(out, float(ty, value)?),
        (Type::Float32, _) => msgpack::write_f32(out, narrow(float(ty, value)?)?),
        (Type::List(inner), _) => write_list(out, ty, inner, value, form)?,
        (Type::Option(inner), _) => write_option(out, inner, value, form)?,
        (Type::Tuple(_), Value::Bytes(bytes)) if form == Form::Named => write(out, ty, &spread(bytes), form)?,
        (Type::Tuple(types), Value::List(entries)) => {
            expect_length(ty, entries.len(), types.len())?;
            msgpack::write_array(out, types.len());
            for (index, (ty, entry)) in types.iter().zip(entries).enumerate() {
                write(out, ty, entry, form).map_err(|misfit| misfit.at_index(index))?;
            }
        }
        (Type::Record { fields, .. }, _) => write_record(out, ty, fields, value, form)?,
        (Type::Variant { cases, .. }, _) => {
            let cases = cases.iter().map(|Case { name, ty }| (name.as_str(), ty.as_ref()));
            write_case(out, ty, cases, value, form)?;
        }
        (Type::Result { ok, err }, _) => {
            write_case(out, ty, [("ok", ok.as_deref()), ("err", err.as_deref())].into_iter(), value, form)?;
        }
        (Type::Enum { cases, .. }, Value::Str(name)) => match cases.iter().position(|case| same(case, name)) {
            Some(index) => msgpack::write_uint(out, index as u64),
            None => {
                return Misfit::fail(misfit::unknown(ty, "case", name, cases.iter().map(String::as_str)));
            }
        },
        (Type::Enum { cases, .. }, Value::Int(index)) if form == Form::Wire => {
            msgpack::write_uint(out, case_index(ty, cases.len(), *index)? as u64);
        }
        (Type::Flags { names, .. }, _) => write_flags(out, ty, names, value, form)?,
        _ => write_integer(out, ty, value)?,
    }
    Ok(())
}

fn write_integer(out: &mut Vec<u8>, ty: &Type, value: &Value) -> Fits<()> {
    let number = integer(ty, value)?;
    // The range of every integer type lies within that of u64 and i64.
    match u64::try_from(number) {
        Ok(number) => msgpack::write_uint(out, number),
        Err(_) => msgpack::write_int(out, number as i64),
    }
    Ok(())
}

fn integer(ty: &Type, value: &Value) -> Fits<i128> {
    let Some((least, most)) = ty.integer_range() else { return Misfit::fail(misfit::wrong_kind(value, ty)) };
    match value {
        Value::Int(number) if (least..=most).contains(number) => Ok(*number),
        Value::Int(number) => Misfit::fail(Problem::Range { number: *number, ty: ty.to_string(), least, most }),
        Value::Float(_) => Misfit::fail(Problem::FloatForInteger { found: misfit::excerpt(value), ty: ty.to_string() }),
        _ => Misfit::fail(misfit::wrong_kind(value, ty)),
    }
}

/// A number for a float; JSON has no other place for the special ones than a text.
fn float(ty: &Type, value: &Value) -> Fits<f64> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Str(text) => match text.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Misfit::fail(misfit::wrong_kind(value, ty)),
        },
        _ => Misfit::fail(misfit::wrong_kind(value, ty)),
    }
}

fn narrow(number: f64) -> Fits<f32> {
    let narrowed = number as f32;
    if narrowed.is_infinite() && number.is_finite() {
        return Misfit::fail(Problem::FloatRange { found: format!("{number:?}") });
    }
    Ok(narrowed)
}

fn write_list(out: &mut Vec<u8>, ty: &Type, inner: &Type, value: &Value, form: Form) -> Fits<()> {
    match (inner.packed_width(), value) {
        (Some(_), Value::Bytes(bytes)) if *inner == Type::U8 => {
            countable(bytes.len())?;
            msgpack::write_bin(out, bytes);
        }
        (Some(width), Value::Bytes(bytes)) if form == Form::Wire => {
            countable(bytes.len())?;
            if !bytes.len().is_multiple_of(width) {
                return Misfit::fail(Problem::Packed { length: bytes.len(), width });
            }
            msgpack::write_bin(out, bytes);
        }
        (_, Value::Bytes(bytes)) if form == Form::Named => write_list(out, ty, inner, &spread(bytes), form)?,
        (Some(width), Value::List(entries)) => {
            countable(entries.len().saturating_mul(width))?;
            msgpack::write_bin_header(out, entries.len() * width);
            for (index, entry) in entries.iter().enumerate() {
                pack(out, inner, width, entry).map_err(|misfit| misfit.at_index(index))?;
            }
        }
        (None, Value::List(entries)) => {
            countable(entries.len())?;
            msgpack::write_array(out, entries.len());
            for (index, entry) in entries.iter().enumerate() {
                write(out, inner, entry, form).map_err(|misfit| misfit.at_index(index))?;
            }
        }
        (None, Value::Map(entries)) => write_pairs(out, ty, inner, entries, form)?,
        _ => return Misfit::fail(misfit::wrong_kind(value, ty)),
    }
    Ok(())
}

/// A list of `u8` was given for something else that is written as a list.
fn spread(bytes: &[u8]) -> Value {
    Value::List(bytes.iter().map(|byte| Value::Int((*byte).into())).collect())
}

/// One little-endian element of a packed list.
fn pack(out: &mut Vec<u8>, inner: &Type, width: usize, value: &Value) -> Fits<()> {
    match inner {
        Type::Float32 => out.extend_from_slice(&narrow(float(inner, value)?)?.to_le_bytes()),
        Type::Float64 => out.extend_from_slice(&float(inner, value)?.to_le_bytes()),
        _ => out.extend_from_slice(&integer(inner, value)?.to_le_bytes()[..width]),
    }
    Ok(())
}

/// WIT has no maps, `list<tuple<string, T>>` stands for them; so a map may be given for it.
fn write_pairs(out: &mut Vec<u8>, ty: &Type, inner: &Type, entries: &[(String, Value)], form: Form) -> Fits<()> {
    let Type::Tuple(types) = inner else { return Misfit::fail(misfit::wrong_kind(&Value::Map(entries.to_vec()), ty)) };
    let [Type::String, ty_of_value] = &types[..] else {
        return Misfit::fail(misfit::wrong_kind(&Value::Map(entries.to_vec()), ty));
    };
    countable(entries.len())?;
    msgpack::write_array(out, entries.len());
    for (name, value) in entries {
        msgpack::write_array(out, 2);
        msgpack::write_str(out, name);
        write(out, ty_of_value, value, form).map_err(|misfit| misfit.at_name(name))?;
    }
    Ok(())
}

fn write_option(out: &mut Vec<u8>, inner: &Type, value: &Value, form: Form) -> Fits<()> {
    let wrapped = inner.needs_wrapping_in_option();
    let inside = match value {
        Value::Null => None,
        Value::List(entries) if wrapped && form == Form::Wire && entries.is_empty() => None,
        Value::List(entries) if wrapped && form == Form::Wire && entries.len() == 1 => Some(&entries[0]),
        // With names, every option in an option is told apart like this.
        Value::Map(entries) if matches!((inner, &entries[..]), (Type::Option(_), [(name, _)]) if name == "some") => {
            Some(&entries[0].1)
        }
        value => Some(value),
    };
    match (wrapped, inside) {
        (true, inside) => msgpack::write_array(out, usize::from(inside.is_some())),
        (false, None) => msgpack::write_nil(out),
        (false, Some(_)) => {}
    }
    inside.map_or(Ok(()), |value| write(out, inner, value, form))
}

fn write_record(out: &mut Vec<u8>, ty: &Type, fields: &[Field], value: &Value, form: Form) -> Fits<()> {
    let entries = match value {
        Value::Map(entries) => entries,
        Value::List(entries) => {
            expect_length(ty, entries.len(), fields.len())?;
            msgpack::write_array(out, fields.len());
            for (field, entry) in fields.iter().zip(entries) {
                write(out, &field.ty, entry, form).map_err(|misfit| misfit.at_name(&field.name))?;
            }
            return Ok(());
        }
        _ => return Misfit::fail(misfit::wrong_kind(value, ty)),
    };
    msgpack::write_array(out, fields.len());
    let mut used = 0;
    for (index, field) in fields.iter().enumerate() {
        // Most maps come in the order of the fields.
        let here = entries.get(index).filter(|(name, _)| same(name, &field.name));
        let found = here.or_else(|| entries.iter().find(|(name, _)| same(name, &field.name)));
        match (found, &field.ty) {
            (Some((_, entry)), ty) => {
                used += 1;
                write(out, ty, entry, form).map_err(|misfit| misfit.at_name(&field.name))?;
            }
            (None, Type::Option(inner)) => write_option(out, inner, &Value::Null, form)?,
            (None, _) => {
                return Misfit::fail(Problem::FieldMissing { field: snake(&field.name), ty: ty.to_string() });
            }
        }
    }
    if used == entries.len() { Ok(()) } else { Err(Misfit::boxed(surplus_field(ty, fields, entries))) }
}

/// What is wrong with a map that has more entries than its record has fields.
#[cold]
fn surplus_field(ty: &Type, fields: &[Field], entries: &[(String, Value)]) -> Problem {
    let known = fields.iter().map(|field| field.name.as_str());
    let unknown = entries.iter().find(|(name, _)| !known.clone().any(|field| same(field, name)));
    match unknown {
        Some((name, _)) => misfit::unknown(ty, "field", name, known),
        None => {
            let twice = known.filter(|field| entries.iter().filter(|(name, _)| same(field, name)).count() > 1);
            Problem::FieldTwice { field: twice.map(snake).next().unwrap_or_default() }
        }
    }
}

fn write_case<'t>(
    out: &mut Vec<u8>,
    ty: &Type,
    mut cases: impl ExactSizeIterator<Item = (&'t str, Option<&'t Type>)> + Clone,
    value: &Value,
    form: Form,
) -> Fits<()> {
    let (name, payload) = match value {
        Value::Str(name) => (name, None),
        Value::Map(entries) if entries.len() == 1 => (&entries[0].0, Some(&entries[0].1)),
        Value::List(entries) if form == Form::Wire && entries.len() == 2 => {
            let Value::Int(index) = entries[0] else { return Misfit::fail(misfit::wrong_kind(value, ty)) };
            let index = case_index(ty, cases.len(), index)?;
            let case = cases.nth(index).unwrap_or_default();
            return write_payload(out, index, case, Some(&entries[1]), form);
        }
        _ => return Misfit::fail(misfit::wrong_kind(value, ty)),
    };
    match cases.clone().enumerate().find(|(_, (case, _))| same(case, name)) {
        Some((index, case)) => write_payload(out, index, case, payload, form),
        None => Misfit::fail(misfit::unknown(ty, "case", name, cases.map(|(case, _)| case))),
    }
}

fn write_payload(
    out: &mut Vec<u8>,
    index: usize,
    (case, ty): (&str, Option<&Type>),
    payload: Option<&Value>,
    form: Form,
) -> Fits<()> {
    msgpack::write_array(out, 2);
    msgpack::write_uint(out, index as u64);
    match (ty, payload) {
        (None, None | Some(Value::Null)) => msgpack::write_nil(out),
        (None, Some(_)) => return Misfit::fail(Problem::PayloadUnwanted { case: snake(case) }),
        (Some(ty), Some(value)) => write(out, ty, value, form).map_err(|misfit| misfit.at_name(case))?,
        (Some(Type::Option(inner)), None) => write_option(out, inner, &Value::Null, form)?,
        (Some(ty), None) => return Misfit::fail(Problem::PayloadMissing { case: snake(case), ty: ty.to_string() }),
    }
    Ok(())
}

fn case_index(ty: &Type, count: usize, index: i128) -> Fits<usize> {
    match usize::try_from(index) {
        Ok(index) if index < count => Ok(index),
        _ => {
            let index = u64::try_from(index).unwrap_or(u64::MAX);
            Misfit::fail(Problem::CaseNumber { ty: ty.to_string(), index, count })
        }
    }
}

fn write_flags(out: &mut Vec<u8>, ty: &Type, names: &[String], value: &Value, form: Form) -> Fits<()> {
    let mut words = vec![0_u32; names.len().div_ceil(32).max(2)];
    let mut set = |name: &str, on: bool| match names.iter().position(|known| same(known, name)) {
        Some(bit) => {
            words[bit / 32] |= u32::from(on) << (bit % 32);
            Ok(())
        }
        None => Misfit::fail(misfit::unknown(ty, "flag", name, names.iter().map(String::as_str))),
    };
    match value {
        Value::Str(name) => set(name, true)?,
        Value::Int(bits) if form == Form::Wire && names.len() <= 64 => match u64::try_from(*bits) {
            Ok(bits) if names.len() == 64 || bits >> names.len() == 0 => {
                msgpack::write_uint(out, bits);
                return Ok(());
            }
            _ => return Misfit::fail(Problem::FlagBits { ty: ty.to_string(), count: names.len() }),
        },
        Value::List(entries)
            if form == Form::Wire && names.len() > 64 && matches!(entries.first(), Some(Value::Int(_))) =>
        {
            return write_flag_words(out, ty, names.len(), entries);
        }
        Value::List(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                let Value::Str(name) = entry else {
                    return Err(Misfit::boxed(misfit::wrong_kind(entry, ty)).at_index(index));
                };
                set(name, true).map_err(|misfit| misfit.at_index(index))?;
            }
        }
        Value::Map(entries) => {
            for (name, entry) in entries {
                let Value::Bool(on) = entry else {
                    return Err(Misfit::boxed(misfit::wrong_kind(entry, &Type::Bool)).at_name(name));
                };
                set(name, *on)?;
            }
        }
        _ => return Misfit::fail(misfit::wrong_kind(value, ty)),
    }
    if names.len() <= 64 {
        msgpack::write_uint(out, u64::from(words[1]) << 32 | u64::from(words[0]));
        return Ok(());
    }
    msgpack::write_array(out, words.len());
    words.into_iter().for_each(|word| msgpack::write_uint(out, word.into()));
    Ok(())
}

fn write_flag_words(out: &mut Vec<u8>, ty: &Type, count: usize, entries: &[Value]) -> Fits<()> {
    expect_length(ty, entries.len(), count.div_ceil(32))?;
    msgpack::write_array(out, entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let word = integer(&Type::U32, entry).map_err(|misfit| misfit.at_index(index))?;
        let used = count - index * 32;
        if used < 32 && word >> used != 0 {
            return Misfit::fail(Problem::FlagBits { ty: ty.to_string(), count });
        }
        write_integer(out, &Type::U32, entry)?;
    }
    Ok(())
}

fn expect_length(ty: &Type, given: usize, taken: usize) -> Fits<()> {
    if given == taken { Ok(()) } else { Misfit::fail(Problem::Length { given, ty: ty.to_string(), taken }) }
}

/// Headers of MessagePack count to 2^32 - 1.
fn countable(length: usize) -> Fits<()> {
    if u32::try_from(length).is_ok() { Ok(()) } else { Misfit::fail(Problem::TooLong { length }) }
}
