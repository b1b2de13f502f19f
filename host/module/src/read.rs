//! Reads a component's exports, imports, docs and defaults. The bytes may come from anyone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scaler_proto::{
    ids::ModuleHash,
    message::{FunctionInfo, Identity, ModuleInfo},
    resolve::same,
};
use serde::Serialize;
use wit_parser::{
    Function as WitFunction, FunctionKind, Resolve, Type as WitType, TypeDefKind, WorldItem, WorldKey,
    decoding::{DecodedWasm, decode},
};

use crate::{
    annotations::{Default as DefaultArgument, Docs},
    sections::outline,
    types::{Case, Field, Parameter, Signature, Type},
};

/// Largest component that is read.
pub const MODULE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Functions that a component may export.
const FUNCTIONS_MAX: usize = 10_000;
/// Types, cases and names that one signature may have when its named types are written out.
const SIGNATURE_NODES_MAX: usize = 20_000;
/// The same over all signatures of a component.
const MODULE_NODES_MAX: usize = 500_000;

/// A component, as far as calling it needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Module {
    /// blake3 of the bytes.
    pub hash: ModuleHash,
    /// Size of the bytes.
    pub size_bytes: u64,
    /// Exported functions that can be called.
    pub functions: Vec<Function>,
    /// Exported functions that cannot be called, each with the reason.
    pub uncallable: Vec<Uncallable>,
    /// Interfaces and functions it asks of the host.
    pub imports: Vec<Import>,
    /// What its author wrote about it.
    pub docs: Option<String>,
}

/// An exported function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    /// The interface as exported (`ns:pkg/init@1.0.0` or `init`), `None` for a root export.
    pub interface: Option<String>,
    /// Name as exported, in kebab-case.
    pub name: String,
    /// What its author wrote about it.
    pub docs: Option<String>,
    /// Parameters and result.
    pub signature: Signature,
}

/// An exported function that a task cannot call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncallable {
    /// As [`Function::interface`].
    pub interface: Option<String>,
    /// As [`Function::name`].
    pub name: String,
    /// Why.
    pub reason: String,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The interface (`wasi:cli/environment@0.2.6`), or the function itself for a root import.
    pub name: String,
    /// The interface's functions; empty for a root import.
    pub functions: Vec<String>,
}

/// Why bytes are no module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No bytes.
    #[error("not a component: the file is empty")]
    Empty,
    /// A text file.
    #[error("not a component: the file is text that starts with `{start}`")]
    Text {
        /// Its first line, shortened.
        start: String,
    },
    /// WebAssembly in its text format.
    #[error("not a component: the file is WebAssembly text; assemble it first, for instance with `wasm-tools parse`")]
    Wat,
    /// Something else.
    #[error("not a component: the file starts with the bytes {start:02x?} and not with `\\0asm`")]
    NotWasm {
        /// At most four bytes.
        start: Vec<u8>,
    },
    /// A core module.
    #[error(
        "not a component: the file is a core WebAssembly module; `scaler build` makes a component of a guest crate, \
        `wasm-tools component new` of a module"
    )]
    CoreModule,
    /// WebAssembly of a version that does not exist yet.
    #[error("not a component that can be read: its version is {version:#010x}")]
    Version {
        /// The second four bytes.
        version: u32,
    },
    /// A package of WIT, which describes interfaces and runs nothing.
    #[error("not a component that can run: the file is a WIT package in binary form")]
    WitPackage,
    /// The structure ends early or runs over its own end.
    #[error("the component is damaged: the section at byte {offset} does not fit")]
    Truncated {
        /// Counted from 0.
        offset: usize,
    },
    /// Not valid.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// What the decoder says.
        reason: String,
    },
    /// The decoder gave up on these bytes in a way that it should not.
    #[error("the component cannot be read: the decoder failed on it ({reason})")]
    Decoder {
        /// What it said last.
        reason: String,
    },
    /// Larger than [`MODULE_BYTES_MAX`].
    #[error("the component has {length} bytes, {MODULE_BYTES_MAX} are the limit")]
    TooLarge {
        /// In bytes.
        length: usize,
    },
    /// More of something than any real component has.
    #[error("the component has more than {limit} {what}")]
    TooComplex {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// The section of default arguments cannot be read.
    #[error("the default arguments in section `scaler-defaults` cannot be read: {reason}")]
    Defaults {
        /// What the decoder says.
        reason: String,
    },
    /// A default argument that does not fit its parameter, or whose parameter does not exist.
    #[error("the default of `{parameter}` in `{function}` cannot be used: {reason}")]
    Default {
        /// The function.
        function: String,
        /// The parameter.
        parameter: String,
        /// Why.
        reason: String,
    },
}

impl Module {
    /// Reads a component's exports.
    ///
    /// # Errors
    /// When the bytes are no component, with what they are instead.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        if bytes.len() > MODULE_BYTES_MAX {
            return Err(ReadError::TooLarge { length: bytes.len() });
        }
        let outline = outline(bytes)?;
        let (resolve, world) = decode_guarded(&outline.bytes)?;
        let world = &resolve.worlds[world];
        let docs = Docs::read(outline.docs);
        let mut reader = Reader {
            resolve: &resolve,
            docs: &docs,
            nodes_left: MODULE_NODES_MAX,
            functions: vec![],
            uncallable: vec![],
        };
        for (key, item) in &world.exports {
            match item {
                WorldItem::Function(function) => reader.export(None, function)?,
                WorldItem::Interface { id, .. } => {
                    let interface = interface_name(&resolve, key)?;
                    for function in resolve.interfaces[*id].functions.values() {
                        reader.export(Some(&interface), function)?;
                    }
                }
                WorldItem::Type { .. } => {}
            }
        }
        let Reader { mut functions, uncallable, .. } = reader;
        set_defaults(&mut functions, &DefaultArgument::read(&outline.defaults)?)?;
        Ok(Self {
            hash: ModuleHash(*blake3::hash(bytes).as_bytes()),
            size_bytes: bytes.len() as u64,
            functions,
            uncallable,
            imports: imports(&resolve, world)?,
            docs: docs.package(),
        })
    }

    /// The form in which a cluster or a client announces it: callable functions only.
    #[must_use]
    pub fn info(&self, path: impl Into<String>, preload: Option<String>) -> ModuleInfo {
        let functions = self.functions.iter().map(|function| FunctionInfo {
            interface: function.interface.clone(),
            name: function.name.clone(),
            signature: function.signature.to_bytes(),
        });
        ModuleInfo {
            path: path.into(),
            identity: Identity { hash: self.hash, preload },
            functions: functions.collect(),
        }
    }

    /// The function exported under exactly these names.
    #[must_use]
    pub fn function(&self, interface: Option<&str>, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.interface.as_deref() == interface && function.name == name)
    }
}

/// The decoder is written for bytes from one's own tools and asserts where those cannot fail; a stranger's bytes must
/// cost an error and not the process.
fn decode_guarded(bytes: &[u8]) -> Result<(Resolve, wit_parser::WorldId), ReadError> {
    match catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
        Ok(Ok(DecodedWasm::Component(resolve, world))) => Ok((resolve, world)),
        Ok(Ok(DecodedWasm::WitPackage(..))) => Err(ReadError::WitPackage),
        Ok(Err(error)) => Err(ReadError::Invalid { reason: format!("{error:#}") }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(ReadError::Decoder { reason: text.to_owned() })
        }
    }
}

fn interface_name(resolve: &Resolve, key: &WorldKey) -> Result<String, ReadError> {
    match key {
        WorldKey::Name(name) => Ok(name.clone()),
        WorldKey::Interface(id) => resolve
            .id_of(*id)
            .ok_or_else(|| ReadError::Invalid { reason: "it exports an interface without a name".to_owned() }),
    }
}

fn imports(resolve: &Resolve, world: &wit_parser::World) -> Result<Vec<Import>, ReadError> {
    let mut imports = Vec::new();
    for (key, item) in &world.imports {
        match item {
            WorldItem::Interface { id, .. } => imports.push(Import {
                name: interface_name(resolve, key)?,
                functions: resolve.interfaces[*id].functions.keys().cloned().collect(),
            }),
            WorldItem::Function(function) => {
                imports.push(Import { name: function.name.clone(), functions: Vec::new() })
            }
            WorldItem::Type { .. } => {}
        }
    }
    Ok(imports)
}

/// Gives parameters their defaults, each checked once here so that it need not be doubted later.
fn set_defaults(functions: &mut [Function], defaults: &[DefaultArgument]) -> Result<(), ReadError> {
    for default in defaults {
        let fail = |reason: String| ReadError::Default {
            function: default.function.clone(),
            parameter: default.parameter.clone(),
            reason,
        };
        let function =
            functions.iter_mut().find(|function| default.is_for(function.interface.as_deref(), &function.name));
        let function = function.ok_or_else(|| fail("there is no such function".to_owned()))?;
        let mut parameters = function.signature.parameters.iter_mut();
        let parameter = parameters.find(|parameter| same(&parameter.name, &default.parameter));
        let parameter = parameter.ok_or_else(|| fail("there is no such parameter".to_owned()))?;
        let mut scratch = Vec::new();
        parameter.ty.encode_into(&mut scratch, &default.value).map_err(|error| fail(error.to_string()))?;
        parameter.default = Some(default.value.clone());
    }
    Ok(())
}

/// Collects exports within the limits.
struct Reader<'a> {
    resolve: &'a Resolve,
    docs: &'a Docs,
    nodes_left: usize,
    functions: Vec<Function>,
    uncallable: Vec<Uncallable>,
}

impl Reader<'_> {
    fn export(&mut self, interface: Option<&str>, function: &WitFunction) -> Result<(), ReadError> {
        if self.functions.len() + self.uncallable.len() >= FUNCTIONS_MAX {
            return Err(ReadError::TooComplex { what: "exported functions", limit: FUNCTIONS_MAX });
        }
        let interface = interface.map(str::to_owned);
        let name = function.name.clone();
        match self.signature(function)? {
            Ok(signature) => {
                let docs = self.docs.function(interface.as_deref(), &name);
                self.functions.push(Function { interface, name, docs, signature });
            }
            Err(reason) => self.uncallable.push(Uncallable { interface, name, reason: reason.to_owned() }),
        }
        Ok(())
    }

    /// The signature, or why it has none.
    fn signature(&mut self, function: &WitFunction) -> Result<Result<Signature, &'static str>, ReadError> {
        match function.kind {
            FunctionKind::Freestanding => {}
            _ if function.kind.is_async() => return Ok(Err("it is an async function")),
            _ if function.kind.resource().is_some() => return Ok(Err("it belongs to a resource")),
            _ => return Ok(Err("it is a property")),
        }
        let allowance = self.nodes_left.min(SIGNATURE_NODES_MAX);
        let mut converter = Converter { resolve: self.resolve, nodes_left: allowance };
        let signature = converter.signature(function);
        self.nodes_left -= allowance - converter.nodes_left;
        if self.nodes_left == 0 {
            return Err(ReadError::TooComplex { what: "parts in the types of its functions", limit: MODULE_NODES_MAX });
        }
        Ok(signature)
    }
}

/// Writes out the types of one function; a few bytes of component can name a tree of any size.
struct Converter<'a> {
    resolve: &'a Resolve,
    nodes_left: usize,
}

impl Converter<'_> {
    fn signature(&mut self, function: &WitFunction) -> Result<Signature, &'static str> {
        let parameters = function.params.iter().map(|parameter| {
            let ty = self.ty(&parameter.ty, Type::DEPTH_MAX)?;
            Ok(Parameter { name: parameter.name.clone(), ty, default: None })
        });
        let parameters = parameters.collect::<Result<_, _>>()?;
        let result = function.result.as_ref().map(|ty| self.ty(ty, Type::DEPTH_MAX)).transpose()?;
        Ok(Signature { parameters, result })
    }

    fn spend(&mut self, nodes: usize) -> Result<(), &'static str> {
        self.nodes_left = self.nodes_left.checked_sub(nodes).ok_or("its types are too large")?;
        Ok(())
    }

    fn boxed(&mut self, ty: &WitType, depth: usize) -> Result<Box<Type>, &'static str> {
        self.ty(ty, depth).map(Box::new)
    }

    fn ty(&mut self, ty: &WitType, depth: usize) -> Result<Type, &'static str> {
        let depth = depth.checked_sub(1).ok_or("its types nest too deep")?;
        self.spend(1)?;
        Ok(match self.unaliased(ty)? {
            WitType::Bool => Type::Bool,
            WitType::U8 => Type::U8,
            WitType::U16 => Type::U16,
            WitType::U32 => Type::U32,
            WitType::U64 => Type::U64,
            WitType::S8 => Type::S8,
            WitType::S16 => Type::S16,
            WitType::S32 => Type::S32,
            WitType::S64 => Type::S64,
            WitType::F32 => Type::Float32,
            WitType::F64 => Type::Float64,
            WitType::Char => Type::Char,
            WitType::String => Type::String,
            WitType::ErrorContext => return Err("it has a type error-context"),
            WitType::Id(id) => return self.defined(id, depth),
        })
    }

    /// The type behind names for names, of which a chain may be long.
    fn unaliased(&mut self, ty: &WitType) -> Result<WitType, &'static str> {
        let mut ty = *ty;
        while let WitType::Id(id) = ty
            && let TypeDefKind::Type(inner) = self.resolve.types[id].kind
        {
            self.spend(1)?;
            ty = inner;
        }
        Ok(ty)
    }

    fn defined(&mut self, id: wit_parser::TypeId, depth: usize) -> Result<Type, &'static str> {
        let resolve = self.resolve;
        let definition = &resolve.types[id];
        let name = || definition.name.clone().unwrap_or_default();
        Ok(match &definition.kind {
            TypeDefKind::List(inner) => Type::List(self.boxed(inner, depth)?),
            TypeDefKind::Option(inner) => Type::Option(self.boxed(inner, depth)?),
            TypeDefKind::Result(result) => Type::Result {
                ok: result.ok.as_ref().map(|ty| self.boxed(ty, depth)).transpose()?,
                err: result.err.as_ref().map(|ty| self.boxed(ty, depth)).transpose()?,
            },
            TypeDefKind::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.ty(ty, depth)).collect::<Result<_, _>>()?)
            }
            TypeDefKind::Record(record) => {
                let field =
                    |field: &wit_parser::Field| Ok(Field { name: field.name.clone(), ty: self.ty(&field.ty, depth)? });
                Type::Record { name: name(), fields: record.fields.iter().map(field).collect::<Result<_, _>>()? }
            }
            TypeDefKind::Variant(variant) => {
                self.spend(variant.cases.len())?;
                let case = |case: &wit_parser::Case| {
                    let ty = case.ty.as_ref().map(|ty| self.ty(ty, depth)).transpose()?;
                    Ok(Case { name: case.name.clone(), ty })
                };
                Type::Variant { name: name(), cases: variant.cases.iter().map(case).collect::<Result<_, _>>()? }
            }
            TypeDefKind::Enum(cases) => {
                self.spend(cases.cases.len())?;
                Type::Enum { name: name(), cases: cases.cases.iter().map(|case| case.name.clone()).collect() }
            }
            TypeDefKind::Flags(flags) => {
                self.spend(flags.flags.len())?;
                Type::Flags { name: name(), names: flags.flags.iter().map(|flag| flag.name.clone()).collect() }
            }
            TypeDefKind::Resource | TypeDefKind::Handle(_) => return Err("it takes or returns a resource"),
            TypeDefKind::Future(_) | TypeDefKind::Stream(_) => return Err("it takes or returns a stream or future"),
            TypeDefKind::Map(..) => return Err("it has a type map, which is not supported yet"),
            TypeDefKind::FixedLengthList(..) => {
                return Err("it has a list of fixed length, which is not supported yet");
            }
            TypeDefKind::Unknown | TypeDefKind::Type(_) => return Err("it has a type that is not defined"),
        })
    }
}
