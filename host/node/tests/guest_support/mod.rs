//! Guests of the repository, built once a run and called as a processor calls them.

use scaler_module::{Function, Module, Type};
use scaler_node::guest::{self, BuildArgs, Built, GuestError};
use scaler_proto::{call::Call, message::FailureKind, value::Value};
use scaler_sandbox::{
    Engine, EngineSettings, Entry, Fault, Grants, Interrupt, Limits, LogSink, LogSource, OpenGrants, Program, Report,
    Resident, Task, compile, run,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The repository.
pub(crate) fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// One folder for the intermediates of all tests, so that the SDK is compiled once.
pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests")
}

/// `scaler build`.
pub(crate) fn build(path: &Path, output: &Path) -> Result<Built, GuestError> {
    let arguments = BuildArgs { path: path.to_owned(), output: Some(output.to_owned()) };
    guest::build_in(&arguments, Some(&target_dir()), &mut std::io::stderr())
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&EngineSettings { pool_slots: 16, ..EngineSettings::default() }).unwrap())
}

struct Silent;

impl LogSink for Silent {
    fn line(&self, _: LogSource, _: &str) {}
}

/// A guest that was built and can be called.
pub(crate) struct Guest {
    pub(crate) module: Module,
    program: Program,
    grants: Arc<OpenGrants>,
    limits: Limits,
    interrupt: Interrupt,
    log: Arc<dyn LogSink>,
}

impl Guest {
    /// Builds a guest of the repository.
    pub(crate) fn build(path: &str) -> Self {
        Self::build_path(&root().join(path))
    }

    /// Builds any guest.
    pub(crate) fn build_path(path: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("guest.wasm");
        build(path, &component).unwrap();
        Self::load(&component)
    }

    /// Loads a component.
    pub(crate) fn load(component: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("guest.cwasm");
        let bytes = fs::read(component).unwrap();
        fs::write(&artifact, compile(&bytes).unwrap()).unwrap();
        Self {
            module: Module::read(&bytes).unwrap(),
            program: Program::load(engine(), &artifact).unwrap(),
            grants: Arc::new(Grants::default().open().unwrap()),
            limits: Limits { timeout: Some(Duration::from_secs(60)), ..Limits::default() },
            interrupt: Interrupt::never(),
            log: Arc::new(Silent),
        }
    }

    /// Lets later calls touch something.
    pub(crate) fn grant(&mut self, grants: &Grants) {
        self.grants = Arc::new(grants.open().unwrap());
    }

    pub(crate) fn function(&self, interface: &str, name: &str) -> &Function {
        self.module.function(Some(interface), name).unwrap()
    }

    fn task<'a>(&'a self, entry: &'a Entry, arguments: &'a [u8]) -> Task<'a> {
        let Self { grants, limits, interrupt, log, .. } = self;
        Task { entry, arguments, objects: &[], grants, limits, interrupt, log }
    }

    /// Calls a function with bound arguments in an instance of its own.
    pub(crate) fn run(&self, interface: Option<&str>, name: &str, arguments: &[u8]) -> Report {
        let entry = self.program.entry(interface, name).unwrap();
        run(&self.task(&entry, arguments))
    }

    /// One instance for many calls.
    pub(crate) fn resident(&self) -> Resident {
        Resident::new(&self.program, None)
    }

    /// As `run`, in the instance that is kept.
    pub(crate) fn run_in(&self, resident: &mut Resident, interface: &str, name: &str, arguments: &[u8]) -> Report {
        let entry = self.program.entry(Some(interface), name).unwrap();
        resident.run(&self.task(&entry, arguments))
    }

    /// Calls as people write it, without the module's name: `interface:function(..)`.
    pub(crate) fn call(&self, text: &str) -> Result<Value, (Fault, Option<Value>)> {
        let call = Call::parse(text).unwrap();
        let function = self.function(&call.module, &call.function.replace('_', "-"));
        let arguments = function.signature.bind(&call.args, &call.kwargs).unwrap();
        match self.run(Some(&call.module), &function.name, &arguments).outcome {
            Ok(result) => Ok(function.signature.decode_returned(&result).unwrap()),
            Err(fault) => {
                let value = fault.value.as_ref().map(|value| function.signature.decode_error(value).unwrap());
                Err((fault, value))
            }
        }
    }
}

/// Kind of a failure, and its value as JSON or else its message.
pub(crate) fn error(outcome: Result<Value, (Fault, Option<Value>)>) -> (FailureKind, String) {
    let (fault, value) = outcome.unwrap_err();
    (fault.kind, value.map_or(fault.message, |value| value.to_json()))
}

/// SplitMix64, so that a seed names a value.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn length(&mut self, depth: u32) -> usize {
        self.below(if depth > 3 { 2 } else { 5 })
    }

    fn char(&mut self) -> char {
        ['a', '\0', 'ü', '€', '😀', '\u{10ffff}'][self.below(6)]
    }

    /// A value of a type.
    pub(crate) fn value(&mut self, ty: &Type, depth: u32) -> Value {
        let depth = depth + 1;
        match ty {
            Type::Bool => Value::Bool(self.next() & 1 == 1),
            Type::U8 => Value::Int((self.next() as u8).into()),
            Type::U16 => Value::Int((self.next() as u16).into()),
            Type::U32 => Value::Int((self.next() as u32).into()),
            Type::U64 => Value::Int(self.next().into()),
            Type::S8 => Value::Int((self.next() as i8).into()),
            Type::S16 => Value::Int((self.next() as i16).into()),
            Type::S32 => Value::Int((self.next() as i32).into()),
            Type::S64 => Value::Int((self.next() as i64).into()),
            Type::Float32 => Value::Float(f64::from(self.next() as i16) / 8.0),
            Type::Float64 => Value::Float(self.next() as i64 as f64 / 3.0),
            Type::Char => Value::Str(self.char().to_string()),
            Type::String => {
                let length = self.length(depth);
                Value::Str((0..length).map(|_| self.char()).collect())
            }
            Type::List(element) => {
                let length = self.length(depth);
                Value::List((0..length).map(|_| self.value(element, depth)).collect())
            }
            Type::Option(inner) if self.below(3) > 0 => match self.value(inner, depth) {
                // A value that could be mistaken for nothing is written with its case.
                value @ (Value::Null | Value::Map(_)) if matches!(**inner, Type::Option(_)) => {
                    Value::Map(vec![("some".into(), value)])
                }
                value => value,
            },
            Type::Option(_) => Value::Null,
            Type::Result { ok, err } => {
                let (name, ty) = if self.below(2) == 0 { ("ok", ok) } else { ("err", err) };
                let payload = ty.as_ref().map_or(Value::Null, |ty| self.value(ty, depth));
                Value::Map(vec![(name.into(), payload)])
            }
            Type::Tuple(elements) => Value::List(elements.iter().map(|ty| self.value(ty, depth)).collect()),
            Type::Record { fields, .. } => {
                let fields = fields.iter().map(|field| (field.name.clone(), self.value(&field.ty, depth)));
                Value::Map(fields.collect())
            }
            Type::Variant { cases, .. } => {
                let case = &cases[self.below(cases.len())];
                match &case.ty {
                    Some(ty) => Value::Map(vec![(case.name.clone(), self.value(ty, depth))]),
                    None => Value::Str(case.name.clone()),
                }
            }
            Type::Enum { cases, .. } => Value::Str(cases[self.below(cases.len())].clone()),
            Type::Flags { names, .. } => {
                let set = names.iter().filter(|_| self.next() & 1 == 1);
                Value::List(set.map(|name| Value::Str(name.clone())).collect())
            }
        }
    }
}
