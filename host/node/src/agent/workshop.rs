//! From a component's bytes to what processors load: compiled, and prepared by its preload call.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use scaler_module::{Module, Signature};
use scaler_proto::{
    call::Call,
    ids::ModuleHash,
    message::{Failure, FailureKind, ModuleInfo},
    resolve::resolve,
};

use super::direct::{Direct, PreloadLines};
use crate::{
    compiler::{Action, Cache, Key},
    processor::records::{LogRecord, PreloadRecord, ProgramRecord, Setup, SnapshotRequest, failure},
};

/// Compiling so much takes seconds.
const SLOW_BYTES: usize = 1 << 20;

/// A preload call, checked against the function it calls.
#[derive(Clone, Debug)]
pub(super) struct BoundPreload {
    /// In canonical print: part of the module's identity.
    pub(super) text: String,
    pub(super) record: PreloadRecord,
}

/// What processors need to know about a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) artifact: PathBuf,
    /// With isolation `processor`: the call that every new instance begins with.
    pub(super) preload: Option<PreloadRecord>,
}

/// Compiles and preloads, with one cache and one set of grants and limits. Shared between threads.
#[derive(Debug)]
pub(super) struct Workshop {
    cache: Cache,
    setup: Setup,
    lines: Arc<PreloadLines>,
}

impl Workshop {
    pub(super) fn new(setup: Setup) -> anyhow::Result<Self> {
        Ok(Self { cache: Cache::open()?, setup, lines: Arc::default() })
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What guests wrote in preloads since the last call.
    pub(super) fn take_lines(&self) -> Vec<LogRecord> {
        self.lines.take()
    }

    /// Removes what must not outlive the process.
    pub(super) fn clean(&self) {
        self.cache.clean();
    }

    /// Compiles a component and runs its preload, unless both are in the cache.
    pub(super) fn prepare(
        &self,
        name: &str,
        component: &[u8],
        hash: ModuleHash,
        preload: Option<&BoundPreload>,
    ) -> Result<Prepared, Failure> {
        match preload {
            Some(preload) if !self.setup.is_resident => {
                let artifact = self.snapshot(name, component, hash, preload)?;
                Ok(Prepared { artifact, preload: None })
            }
            preload => {
                let artifact = self.compiled(name, "component", Action::Compile, component, hash)?;
                Ok(Prepared { artifact, preload: preload.map(|preload| preload.record.clone()) })
            }
        }
    }

    /// With isolation `processor`: whether the preload of new bytes works, tried in a processor of its own.
    pub(super) fn try_preload(&self, prepared: &Prepared) -> Result<(), Failure> {
        if prepared.preload.is_none() {
            return Ok(());
        }
        let program =
            ProgramRecord { number: 0, artifact: prepared.artifact.clone(), preload: prepared.preload.clone() };
        Direct::start(&self.setup, "preload")?.keeping(&self.lines).begin(&program, self.preload_timeout())
    }

    fn preload_timeout(&self) -> Duration {
        Duration::from_millis(self.setup.preload_timeout_ms)
    }

    fn compiled(
        &self,
        name: &str,
        kind: &str,
        action: Action,
        component: &[u8],
        hash: ModuleHash,
    ) -> Result<PathBuf, Failure> {
        let key = Key::new(kind, &[&hash.0]);
        if let Some(path) = self.cache.find(&key) {
            return Ok(path);
        }
        if component.len() >= SLOW_BYTES {
            tracing::info!("compiling module `{name}` of {} MiB, which may take a while", component.len() >> 20);
        }
        let input = self.write_component(component, &hash.to_string())?;
        let result = self.cache.artifact(&key, action, &input);
        let _ = fs::remove_file(&input);
        result.map_err(|error| failure(FailureKind::Module, error.to_string()))
    }

    fn snapshot(
        &self,
        name: &str,
        component: &[u8],
        hash: ModuleHash,
        preload: &BoundPreload,
    ) -> Result<PathBuf, Failure> {
        let grants = rmp_serde::to_vec(&self.setup.grants).unwrap_or_default();
        let limit = self.setup.memory_limit_bytes.to_le_bytes();
        let function = format!("{:?}", (&preload.record.interface, &preload.record.function));
        let key = Key::new("snapshot", &[&hash.0, function.as_bytes(), &preload.record.arguments, &grants, &limit]);
        if let Some(path) = self.cache.find(&key) {
            tracing::info!("preload: its snapshot is in the cache and is used, so it does not run again");
            return Ok(path);
        }
        let artifact = self.compiled(name, "instrumented", Action::Instrument, component, hash)?;
        let input = self.write_component(component, &format!("{hash}-plain"))?;
        let output = self.cache.temporary_file(&format!("{}-snapshot.wasm", key.name()));
        let program = ProgramRecord { number: 0, artifact, preload: None };
        let request = SnapshotRequest {
            program: 0,
            component: input.clone(),
            call: preload.record.clone(),
            output: output.clone(),
        };
        let taken = Direct::start(&self.setup, "preload")?.keeping(&self.lines).snapshot(
            &program,
            &request,
            self.preload_timeout(),
        );
        let _ = fs::remove_file(&input);
        let taken = taken?;
        let compiled = if taken.is_cacheable {
            self.cache.artifact(&key, Action::Compile, &output)
        } else {
            self.cache.compile(Action::Compile, &output)
        };
        let _ = fs::remove_file(&output);
        let compiled = compiled.map_err(|error| {
            failure(FailureKind::Module, format!("the snapshot after the preload cannot be compiled: {error}"))
        })?;
        tracing::info!(
            "preload: done in {} ms, snapshot {}",
            taken.run_us / 1_000,
            if taken.is_cacheable {
                "kept in the cache"
            } else {
                "taken anew at each start, because it depends on more than its arguments"
            }
        );
        Ok(compiled)
    }

    fn write_component(&self, component: &[u8], name: &str) -> Result<PathBuf, Failure> {
        let path = self.cache.temporary_file(&format!("{name}-{:?}.wasm", std::thread::current().id()));
        fs::write(&path, component)
            .map_err(|error| failure(FailureKind::Internal, format!("writing `{}`: {error}", path.display())))?;
        Ok(path)
    }
}

/// Finds the function of a call among modules and binds the arguments to it.
pub(super) fn bind<'a>(
    call: &Call,
    modules: impl Iterator<Item = &'a ModuleInfo>,
) -> Result<(&'a ModuleInfo, Signature, PreloadRecord), String> {
    let (module, function) = resolve(modules, &call.module, &call.function).map_err(|error| error.to_string())?;
    let signature = Signature::from_bytes(&function.signature).map_err(|error| error.to_string())?;
    let arguments = signature
        .bind(&call.args, &call.kwargs)
        .map_err(|error| format!("{}:{}: {error}", call.module, call.function))?;
    let record = PreloadRecord { interface: function.interface.clone(), function: function.name.clone(), arguments };
    Ok((module, signature, record))
}

/// As [`bind`], for a preload call.
pub(super) fn bind_preload<'a>(
    call: &Call,
    modules: impl Iterator<Item = &'a ModuleInfo>,
) -> Result<(&'a ModuleInfo, BoundPreload), String> {
    let (module, _, record) = bind(call, modules)?;
    Ok((module, BoundPreload { text: call.to_string(), record }))
}

/// A failure as one text, with the value of a guest error.
pub(super) fn text_of(failure: &Failure) -> String {
    match &failure.trace {
        Some(trace) => format!("{}\n{trace}", failure.message),
        None => failure.message.clone(),
    }
}

/// A component that a client registered, with the preload call in its identity.
pub(super) fn read_registered(
    bytes: &[u8],
    path: &str,
    preload: Option<&str>,
) -> Result<Option<BoundPreload>, Failure> {
    let module = Module::read(bytes).map_err(|error| failure(FailureKind::Module, error.to_string()))?;
    let Some(text) = preload else { return Ok(None) };
    let refused = |reason: String| failure(FailureKind::Preload, format!("preload `{text}`: {reason}"));
    let call = Call::parse(text).map_err(|error| refused(error.to_string()))?;
    let info = module.info(path, Some(text.to_owned()));
    let (_, bound) = bind_preload(&call, std::iter::once(&info))
        .or_else(|first| {
            let inner = Call { module: format!("{path}.{}", call.module), ..call.clone() };
            bind_preload(&inner, std::iter::once(&info)).map_err(|_| first)
        })
        .map_err(refused)?;
    Ok(Some(bound))
}
