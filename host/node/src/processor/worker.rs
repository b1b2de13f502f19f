//! What a processor does with each record: load programs, run tasks, take a snapshot.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use scaler_module::Signature;
use scaler_proto::{
    ids::ObjectId,
    message::{ArgumentObject, ERROR_VALUE, Failure, FailureKind, Outcome, TaskStats, timeout_message},
    payload::Payload,
    value::Value,
};
use scaler_sandbox::{
    Engine, EngineSettings, Entry, Fault, Interrupt, Limits, LogSink, OpenGrants, Program, Report, Resident, Standby,
    Task, snapshot,
};

use super::{
    ProcessorError,
    answers::Answers,
    cache::ObjectCache,
    cpu::CpuClock,
    page::{Page, monotonic_ns},
    records::{
        self, Argument, Begin, DoneRecord, ExportRecord, Kind, PreloadRecord, ProgramRecord, Setup, SnapshotRequest,
        Taken, TaskRecord, failure,
    },
    storage::Storage,
};

/// Longest text of a failure.
const TEXT_BYTES: usize = 16 * 1024;

/// A program, or why it cannot be loaded; and the instance that stays, with isolation `processor`.
struct Loaded {
    program: Result<Program, Failure>,
    resident: Option<Resident>,
    /// The call that every new instance begins with.
    preload: Option<Entry>,
}

struct Export {
    program: u32,
    entry: Result<Entry, Failure>,
    signature: Vec<u8>,
}

/// The place of an argument, and the object that goes there.
type PlacedObject = (u16, Arc<Vec<u8>>);

/// See the module's documentation.
pub(super) struct Worker {
    setup: Setup,
    engine: Engine,
    grants: Arc<OpenGrants>,
    page: Page,
    answers: Arc<Answers>,
    log: Arc<dyn LogSink>,
    storage: Storage,
    cache: ObjectCache,
    programs: BTreeMap<u32, Loaded>,
    exports: Vec<Option<Export>>,
    limits: Limits,
    cpu: CpuClock,
    standby: Standby,
    /// What the standby has run since the last rest.
    recent: Option<Entry>,
}

impl Worker {
    pub(super) fn new(setup: Setup, page: Page, answers: Arc<Answers>) -> Result<Self, ProcessorError> {
        let engine =
            Engine::new(&EngineSettings { memory_max_bytes: setup.memory_limit_bytes, ..EngineSettings::default() })?;
        let mut storage = Storage::default();
        if let Some(address) = &setup.storage_address {
            storage.set_address(address);
        }
        let limits = Limits {
            memory_bytes: setup.memory_limit_bytes,
            output_bytes: setup.output_limit_bytes,
            ..Limits::default()
        };
        let log: Arc<dyn LogSink> = Arc::clone(&answers) as Arc<dyn LogSink>;
        let grants = Arc::new(setup.grants.open()?);
        Ok(Self {
            setup,
            engine,
            grants,
            page,
            answers,
            log,
            storage,
            cache: ObjectCache::new(limits.memory_bytes),
            programs: BTreeMap::new(),
            exports: Vec::new(),
            limits,
            cpu: CpuClock::default(),
            standby: Standby::default(),
            recent: None,
        })
    }

    /// Records follow, after a wait.
    pub(super) fn begin_batch(&mut self) {
        self.cpu.begin();
    }

    /// Nothing is at hand: time to get ready for the next task, which is taken to be like the last one.
    pub(super) fn rest(&mut self) {
        if let Some(entry) = self.recent.take() {
            self.standby.refresh(&entry, &self.grants, &self.limits);
        }
    }

    /// Does what a record says.
    pub(super) fn record(&mut self, kind: Kind, body: &[u8]) -> Result<(), ProcessorError> {
        match kind {
            Kind::Task => self.task(&records::task(body)?)?,
            Kind::Program => self.program(records::value(kind, body)?),
            Kind::Export => self.export(records::value(kind, body)?),
            Kind::Storage => self.storage.set_address(&String::from_utf8_lossy(body)),
            Kind::Begin => self.begin(&records::value(kind, body)?)?,
            Kind::Snapshot => self.snapshot(&records::value(kind, body)?)?,
            // The rest is what a processor says itself.
            Kind::Setup | Kind::Ready | Kind::Failed | Kind::Taken | Kind::Done | Kind::Log => {}
        }
        Ok(())
    }

    fn program(&mut self, record: ProgramRecord) {
        let program = Program::load(&self.engine, &record.artifact)
            .map_err(|error| failure(FailureKind::Module, error.to_string()));
        let loaded = program.and_then(|program| {
            let (resident, preload) =
                if self.setup.is_resident { resident(&program, record.preload.as_ref())? } else { (None, None) };
            Ok(Loaded { program: Ok(program), resident, preload })
        });
        let loaded = loaded.unwrap_or_else(|failure| Loaded { program: Err(failure), resident: None, preload: None });
        self.programs.insert(record.number, loaded);
    }

    fn export(&mut self, record: ExportRecord) {
        let entry = match self.programs.get(&record.program).map(|loaded| &loaded.program) {
            Some(Ok(program)) => program
                .entry(record.interface.as_deref(), &record.function)
                .map_err(|error| failure(FailureKind::Module, error.to_string())),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(failure(FailureKind::Internal, "the agent named a program that it never sent")),
        };
        let number = record.number as usize;
        if self.exports.len() <= number {
            self.exports.resize_with(number + 1, || None);
        }
        self.exports[number] = Some(Export { program: record.program, entry, signature: record.signature });
    }

    /// Says that tasks may come, after the resident's preload.
    fn begin(&mut self, begin: &Begin) -> Result<(), ProcessorError> {
        let Some(number) = begin.program else {
            self.answers.say(|out| records::put_bytes(out, Kind::Ready, &[]))?;
            return Ok(());
        };
        let result = match self.programs.get_mut(&number) {
            Some(Loaded { program: Err(failure), .. }) => Err(failure.clone()),
            Some(Loaded { resident: Some(resident), preload: Some(entry), .. }) => {
                let task = Task {
                    entry,
                    arguments: &[],
                    objects: &[],
                    grants: &self.grants,
                    limits: &preload_limits(&self.limits, &self.setup),
                    interrupt: &Interrupt::never(),
                    log: &self.log,
                };
                resident.start(&task).map_err(of_fault)
            }
            _ => Ok(()),
        };
        match result {
            Ok(()) => self.answers.say(|out| records::put_bytes(out, Kind::Ready, &[]))?,
            Err(failure) => self.answers.say(|out| records::put_value(out, Kind::Failed, &in_short(failure)))?,
        }
        Ok(())
    }

    /// Runs the preload in the instrumented program and leaves the snapshot in a file.
    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<(), ProcessorError> {
        match self.take(request) {
            Ok(taken) => self.answers.say(|out| records::put_value(out, Kind::Taken, &taken))?,
            Err(failure) => self.answers.say(|out| records::put_value(out, Kind::Failed, &in_short(failure)))?,
        }
        Ok(())
    }

    fn take(&self, request: &SnapshotRequest) -> Result<Taken, Failure> {
        let program = match self.programs.get(&request.program).map(|loaded| &loaded.program) {
            Some(Ok(program)) => program,
            Some(Err(failure)) => return Err(failure.clone()),
            None => return Err(failure(FailureKind::Internal, "the agent asked for a snapshot of nothing")),
        };
        let PreloadRecord { interface, function, arguments } = &request.call;
        let entry = program
            .entry(interface.as_deref(), function)
            .map_err(|error| failure(FailureKind::Module, error.to_string()))?;
        let io = |what: &str, error: &std::io::Error| failure(FailureKind::Internal, format!("{what}: {error}"));
        let component = fs::read(&request.component).map_err(|error| io("reading the component", &error))?;
        let task = Task {
            entry: &entry,
            arguments,
            objects: &[],
            grants: &self.grants,
            limits: &preload_limits(&self.limits, &self.setup),
            interrupt: &Interrupt::never(),
            log: &self.log,
        };
        let taken = snapshot(&component, &task).map_err(of_fault)?;
        fs::write(&request.output, &taken.component).map_err(|error| io("writing the snapshot", &error))?;
        Ok(Taken { is_cacheable: taken.cacheable, run_us: taken.report.run_us })
    }

    fn task(&mut self, record: &TaskRecord<'_>) -> Result<(), ProcessorError> {
        if !self.page.begin(record.sequence) {
            return Ok(());
        }
        self.answers.set_task(record.task);
        let (outcome, stats) = match self.run(record) {
            Ok((report, outcome)) => {
                let Report { start_us, run_us, peak_memory_bytes, .. } = report;
                let cpu_us = self.cpu.task(run_us);
                (outcome, TaskStats { start_us, run_us, peak_memory_bytes, cpu_us, ..TaskStats::default() })
            }
            Err(failure) => (Outcome::Failed(failure), TaskStats::default()),
        };
        self.answers.done(&DoneRecord { sequence: record.sequence, stats, outcome })?;
        Ok(())
    }

    fn run(&mut self, record: &TaskRecord<'_>) -> Result<(Report, Outcome), Failure> {
        let held = self.objects(record)?;
        let objects: Vec<(u16, &[u8])> = held.iter().map(|(index, bytes)| (*index, bytes.as_slice())).collect();
        let fetched;
        let arguments = match record.arguments {
            Argument::Inline(bytes) => bytes,
            Argument::Stored { id, .. } => {
                self.page.set_running(record.sequence, 0);
                fetched = self.storage.get(id)?;
                &fetched
            }
        };
        let export = self
            .exports
            .get(record.export as usize)
            .and_then(Option::as_ref)
            .ok_or_else(|| failure(FailureKind::Internal, "the agent named a function that it never sent"))?;
        let entry = export.entry.as_ref().map_err(Failure::clone)?;
        self.limits.timeout = (record.timeout_ms != 0).then(|| Duration::from_millis(record.timeout_ms));
        let interrupt = Interrupt::mapped(self.page.interrupt_word(), record.sequence);
        let task = Task {
            entry,
            arguments,
            objects: &objects,
            grants: &self.grants,
            limits: &self.limits,
            interrupt: &interrupt,
            log: &self.log,
        };
        self.page.set_running(record.sequence, monotonic_ns());
        let resident = self.programs.get_mut(&export.program).and_then(|loaded| loaded.resident.as_mut());
        let mut report = match resident {
            Some(resident) => resident.run(&task),
            None => {
                self.recent = Some(entry.clone());
                self.standby.run(&task)
            }
        };
        let outcome = match std::mem::replace(&mut report.outcome, Ok(Vec::new())) {
            Ok(bytes) => Outcome::Ok(self.payload(record, bytes)?),
            Err(mut fault) => {
                say_value(&mut fault, &export.signature);
                Outcome::Failed(self.fault(record, fault, report.run_us)?)
            }
        };
        Ok((report, outcome))
    }

    /// The arguments that are objects of their own, from the cache or the storage.
    fn objects(&mut self, record: &TaskRecord<'_>) -> Result<Vec<PlacedObject>, Failure> {
        let mut held = Vec::with_capacity(record.objects.len());
        for ArgumentObject { index, object, length } in &record.objects {
            let bytes = match self.cache.get(*object) {
                Some(bytes) => bytes,
                None => {
                    self.page.set_running(record.sequence, 0);
                    let bytes = Arc::new(self.storage.get_object(*object, usize::from(*index) + 1)?);
                    self.cache.insert(*object, Arc::clone(&bytes));
                    bytes
                }
            };
            if bytes.len() as u64 != *length {
                let text = format!("object {object} has {} bytes, and {length} were announced", bytes.len());
                return Err(failure(FailureKind::ObjectLost, text));
            }
            held.push((*index, bytes));
        }
        held.sort_by_key(|(index, _)| *index);
        Ok(held)
    }

    fn payload(&mut self, record: &TaskRecord<'_>, bytes: Vec<u8>) -> Result<Payload, Failure> {
        if bytes.len() <= record.inline_max as usize {
            return Ok(Payload::Inline(bytes));
        }
        let id = ObjectId::result(record.task, record.attempt);
        self.storage.put(id, record.task.client, &bytes)?;
        Ok(Payload::Stored { id, length: bytes.len() as u64 })
    }

    fn fault(&mut self, record: &TaskRecord<'_>, mut fault: Fault, ran_us: u64) -> Result<Failure, Failure> {
        if fault.kind == FailureKind::Canceled && self.page.is_timeout() {
            fault.kind = FailureKind::Timeout;
            fault.message = timeout_message(record.timeout_ms, ran_us);
        }
        let value = fault.value.take().map(|bytes| self.payload(record, bytes)).transpose()?;
        Ok(Failure { value, ..of_fault(fault) })
    }
}

fn resident(program: &Program, preload: Option<&PreloadRecord>) -> Result<(Option<Resident>, Option<Entry>), Failure> {
    let Some(call) = preload else { return Ok((Some(Resident::new(program, None)), None)) };
    let entry = program
        .entry(call.interface.as_deref(), &call.function)
        .map_err(|error| failure(FailureKind::Module, error.to_string()))?;
    Ok((Some(Resident::new(program, Some((entry.clone(), call.arguments.clone())))), Some(entry)))
}

/// Lets the message say what the error value says, for views and logs, which have no signature to read it with.
fn say_value(fault: &mut Fault, signature: &[u8]) {
    /// A longer one is for whoever asked.
    const VALUE_BYTES_MAX: usize = 4 << 10;
    let Some(bytes) = fault.value.as_ref().filter(|bytes| bytes.len() <= VALUE_BYTES_MAX) else { return };
    if fault.message != ERROR_VALUE {
        return;
    }
    let value = Signature::from_bytes(signature).ok().and_then(|signature| signature.decode_error(bytes).ok());
    fault.message = match value {
        None | Some(Value::Null) => return,
        // A case without a payload.
        Some(Value::Str(text)) => text,
        Some(value) => value.to_json(),
    };
}

/// Why a preload failed, as a log takes it: nobody gets its error value.
fn in_short(mut failure: Failure) -> Failure {
    const BYTES: usize = 64 << 10;
    for text in [Some(&mut failure.message), failure.trace.as_mut()].into_iter().flatten() {
        if text.len() > BYTES {
            text.truncate(text.floor_char_boundary(BYTES));
            text.push_str(" ..");
        }
    }
    Failure { value: None, ..failure }
}

fn preload_limits(limits: &Limits, setup: &Setup) -> Limits {
    Limits { timeout: Some(Duration::from_millis(setup.preload_timeout_ms)), ..limits.clone() }
}

fn of_fault(fault: Fault) -> Failure {
    let value = fault.value.map(Payload::Inline);
    Failure { kind: fault.kind, message: short(fault.message), value, trace: fault.trace.map(short) }
}

/// A guest's panic message may have any length, a message between processes may not.
fn short(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push_str(" ...");
    }
    text
}
