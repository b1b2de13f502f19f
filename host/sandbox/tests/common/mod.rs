//! Guests in WAT, compiled and loaded like any other, and a log that remembers.

#![allow(dead_code, reason = "every test binary uses its own part")]

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use scaler_sandbox::{
    Engine, EngineSettings, Entry, Grants, Interrupt, Limits, LogSink, LogSource, OpenGrants, Program, Report, Task,
    compile, run,
};

/// One engine for all tests of a binary.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        Engine::new(&EngineSettings { pool_slots: 32, ..EngineSettings::default() }).expect("the sandbox works here")
    })
}

/// Compiles and loads a component from bytes.
pub(crate) fn load(component: &[u8]) -> Program {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), compile(component).expect("it compiles")).expect("it can be written");
    Program::load(engine(), file.path()).expect("it loads")
}

/// The same from WAT.
pub(crate) fn load_wat(wat: &str) -> Program {
    load(&wat::parse_str(wat).expect("valid WAT"))
}

/// Lines that guests logged.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Mutex<Vec<(LogSource, String)>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        self.0.lock().expect("no panic").iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}

impl LogSink for Lines {
    fn line(&self, source: LogSource, text: &str) {
        self.0.lock().expect("no panic").push((source, text.to_owned()));
    }
}

/// What a task runs under.
pub(crate) struct Setting {
    pub(crate) grants: Arc<OpenGrants>,
    pub(crate) limits: Limits,
    pub(crate) interrupt: Interrupt,
    pub(crate) lines: Arc<Lines>,
    pub(crate) log: Arc<dyn LogSink>,
}

impl Setting {
    pub(crate) fn new() -> Self {
        Self::with(&Grants::default())
    }

    pub(crate) fn with(grants: &Grants) -> Self {
        let lines = Arc::new(Lines::default());
        Self {
            grants: Arc::new(grants.open().expect("grants open")),
            limits: Limits { timeout: Some(Duration::from_secs(20)), memory_bytes: 64 << 20, ..Limits::default() },
            interrupt: Interrupt::never(),
            log: Arc::clone(&lines) as Arc<dyn LogSink>,
            lines,
        }
    }

    pub(crate) fn task<'a>(&'a self, entry: &'a Entry, arguments: &'a [u8]) -> Task<'a> {
        Task {
            entry,
            arguments,
            objects: &[],
            grants: &self.grants,
            limits: &self.limits,
            interrupt: &self.interrupt,
            log: &self.log,
        }
    }

    pub(crate) fn run(&self, entry: &Entry, arguments: &[u8]) -> Report {
        run(&self.task(entry, arguments))
    }
}
