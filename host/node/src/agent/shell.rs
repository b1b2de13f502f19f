//! The agent's loop, and how the core's effects are performed.

mod notes;

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{self, Receiver, TryRecvError},
    },
    time::{Duration, Instant},
};

use scaler_net::{Address, Event, Link, Options, Waker, wait};
use scaler_proto::{
    agent::{self, Agent, AgentConfig, Effect, EndReason, Handed, InterruptCause, Verdict},
    call::Call,
    ids::{FunctionId, PeerId, Time},
    message::{Define, FailureKind, Identity, ModuleInfo},
    payload::Payload,
    session::Packet,
    wire,
};

use super::{
    catalogue::{Catalogue, Desk, News, fetch},
    guest_log,
    process::{Process, ProcessError, describe},
    silence::Silence,
    workshop::{Prepared, Workshop, text_of},
};
use crate::{
    config::ClusterSettings,
    exit,
    logging::{GUEST, GUEST_FILE},
    plural::counted,
    processor::{
        page::monotonic_ns,
        records::{self, Argument, Begin, ExportRecord, Kind, LogRecord, ProgramRecord, TaskRecord, failure},
    },
    ready,
    signals::Signals,
    usage::{self, Usage},
};

/// Most that is taken from the link in one turn.
const TURN_MESSAGES: usize = 256;
const TURN_BYTES: usize = 256 * 1024;
/// A processor whose socket is full is tried again after this long.
const RETRY: Duration = Duration::from_millis(1);
/// What was said last gets this long to leave.
const FLUSH: Duration = Duration::from_millis(500);

/// A worker's processor and what it was told already.
#[derive(Default)]
struct Slot {
    process: Option<Process>,
    is_ready: bool,
    is_retired: bool,
    knows_program: Vec<bool>,
    knows_export: Vec<bool>,
}

/// What a wait ended with.
struct Ready {
    has_signals: bool,
    has_news: bool,
    /// Those whose processors said something or ended.
    workers: Vec<usize>,
}

/// What came from a processor.
enum Heard {
    Fine,
    /// It cannot start, and says why.
    Refusal(String),
    /// It is gone.
    End,
}

/// See the module's documentation.
pub(super) struct Shell {
    core: Agent,
    link: Link,
    signals: Signals,
    waker: Waker,
    news: Receiver<News>,
    desk: Desk,
    workshop: Arc<Workshop>,
    names: Vec<String>,
    heartbeat: Duration,
    scheduler_address: Address,
    /// Set by the operator, or else what the scheduler says.
    storage_address: Option<Address>,
    is_storage_fixed: bool,
    slots: Vec<Slot>,
    programs: Vec<ProgramRecord>,
    by_identity: BTreeMap<Identity, u32>,
    exports: Vec<ExportRecord>,
    by_export: BTreeMap<(u32, Option<String>, String), u32>,
    functions: BTreeMap<FunctionId, u32>,
    /// Functions of registered modules that are being fetched.
    awaited: BTreeMap<Identity, Vec<Define>>,
    /// With isolation `processor`: what every processor starts before its first task.
    resident: Option<u32>,
    /// What is announced when all workers are ready.
    first_modules: Option<Vec<ModuleInfo>>,
    is_announced: bool,
    is_ready_printed: bool,
    usage: Usage,
    usage_at: Instant,
    silence: Silence,
    death_timeout: Duration,
    /// Why the cluster leaves, unless it was asked to.
    failure: Option<anyhow::Error>,
    end: Option<anyhow::Result<ExitCode>>,
}

impl Shell {
    pub(super) fn new(
        settings: &ClusterSettings,
        config: AgentConfig,
        workshop: Arc<Workshop>,
        preload: Option<Call>,
    ) -> anyhow::Result<Self> {
        let (sender, news) = mpsc::channel();
        let waker = Waker::new()?;
        let desk = Desk { sender, waker: waker.clone() };
        let signals = Signals::install()?;
        let link = Link::dial(&settings.scheduler_address, &Options::default());
        let catalogue = Catalogue::new(settings.module_path.clone(), Arc::clone(&workshop), preload);
        let watcher = desk.clone();
        std::thread::Builder::new().name("catalogue".to_owned()).spawn(move || catalogue.watch(&watcher))?;
        let names = config.workers.iter().map(|worker| worker.name.clone()).collect::<Vec<_>>();
        Ok(Self {
            slots: names.iter().map(|_| Slot::default()).collect(),
            names,
            heartbeat: Duration::from_millis(config.heartbeat_interval_ms),
            core: Agent::new(config, now()),
            link,
            signals,
            waker,
            news,
            desk,
            workshop,
            scheduler_address: settings.scheduler_address.clone(),
            storage_address: settings.object_storage_address.clone(),
            is_storage_fixed: settings.object_storage_address.is_some(),
            programs: Vec::new(),
            by_identity: BTreeMap::new(),
            exports: Vec::new(),
            by_export: BTreeMap::new(),
            functions: BTreeMap::new(),
            awaited: BTreeMap::new(),
            resident: None,
            first_modules: None,
            is_announced: false,
            is_ready_printed: false,
            usage: Usage::default(),
            usage_at: Instant::now(),
            silence: Silence::new(Instant::now()),
            death_timeout: Duration::from_secs(settings.death_timeout_seconds),
            failure: None,
            end: None,
        })
    }

    pub(super) fn run(mut self) -> anyhow::Result<ExitCode> {
        let mut events = Vec::new();
        let mut effects = Vec::new();
        loop {
            let ready = self.wait()?;
            self.link.drain(&mut events, TURN_MESSAGES, TURN_BYTES)?;
            for event in events.drain(..) {
                self.link_event(event, &mut effects);
            }
            for worker in ready.workers {
                self.listen(worker);
            }
            if ready.has_news {
                self.read_news();
            }
            if ready.has_signals {
                self.read_signals();
            }
            self.measure();
            self.look_at_silence();
            self.turn(&mut effects);
            if let Some(end) = self.end.take() {
                self.slots.clear();
                self.link.close(FLUSH);
                return end;
            }
        }
    }

    /// Waits for anything.
    fn wait(&mut self) -> anyhow::Result<Ready> {
        let deadline = self
            .core
            .next_deadline()
            .map(|at| Instant::now() + Duration::from_nanos(at.0.saturating_sub(monotonic_ns())));
        let is_blocked = self.slots.iter().any(|slot| slot.process.as_ref().is_some_and(Process::has_outgoing));
        let deadline = if is_blocked {
            let retry = Instant::now() + RETRY;
            Some(deadline.map_or(retry, |at| at.min(retry)))
        } else {
            deadline
        };
        let silence = self.silence.due().filter(|_| !self.core.is_leaving());
        let deadline = [deadline, silence].into_iter().flatten().min();
        let mut workers = Vec::with_capacity(self.slots.len());
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd(), self.waker.as_fd()];
        for (worker, slot) in self.slots.iter().enumerate() {
            if let Some(process) = &slot.process {
                fds.push(process.as_fd());
                workers.push(worker);
            }
        }
        let readiness = wait(&[&self.link], &fds, deadline)?;
        let mut flags = readiness.fds.into_iter();
        let (has_signals, has_news) = (flags.next().unwrap_or(false), flags.next().unwrap_or(false));
        let workers = workers.into_iter().zip(flags).filter(|(_, is_readable)| *is_readable);
        Ok(Ready { has_signals, has_news, workers: workers.map(|(worker, _)| worker).collect() })
    }

    fn link_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Up(peer) => self.core.connected(now(), peer, effects),
            Event::Down(peer) => self.core.disconnected(now(), peer, effects),
            Event::Message(peer, frames) => match wire::decode(frames) {
                Ok(packet) => {
                    let message = &packet.message;
                    tracing::debug!("from the scheduler: {:?} ({})", message.kind(), message.count());
                    self.core.handle(now(), peer, packet, effects);
                }
                Err(error) => {
                    tracing::warn!("the scheduler sent a message that cannot be read: {error}");
                    self.reconnect(peer, effects);
                }
            },
        }
    }

    fn reconnect(&mut self, peer: PeerId, effects: &mut Vec<Effect>) {
        self.core.disconnected(now(), peer, effects);
        self.link.redial();
    }

    /// Lets the core do what is due until it wants nothing more.
    fn turn(&mut self, effects: &mut Vec<Effect>) {
        for (worker, slot) in self.slots.iter().enumerate() {
            let Some(process) = &slot.process else { continue };
            let running = process
                .page()
                .running()
                .map(|(sequence, since)| (sequence, if since == 0 { now() } else { Time(since) }));
            self.core.processor_running(now(), worker as u16, running);
        }
        self.core.tick(now(), effects);
        while !effects.is_empty() {
            let mut is_answered = false;
            for effect in std::mem::take(effects) {
                is_answered |= self.perform(effect, effects);
            }
            if is_answered {
                self.core.tick(now(), effects);
            }
        }
        for slot in &mut self.slots {
            if let Some(process) = &mut slot.process {
                process.flush();
            }
        }
    }

    /// Performs one effect; true if the core was told something, so that it may want more.
    fn perform(&mut self, effect: Effect, effects: &mut Vec<Effect>) -> bool {
        match effect {
            Effect::Send(peer, packet) => self.send(peer, packet, effects),
            Effect::Redial => self.link.redial(),
            Effect::StorageAddress(address) => self.storage(&address),
            Effect::Prepare(define) => return self.prepare(define),
            Effect::Spawn { worker } => return self.spawn(worker),
            Effect::Hand { worker, tasks } => self.hand(worker, &tasks),
            Effect::TakeBack { worker, next } => {
                let Some(process) = self.process(worker) else { return false };
                let first = process.page().take_back(next);
                self.core.processor_took_back(now(), worker, first);
                return true;
            }
            Effect::Interrupt { worker, sequence, cause } => {
                if let Some(process) = self.process(worker) {
                    process.page().interrupt(sequence, cause == InterruptCause::Timeout);
                }
            }
            Effect::Kill { worker } => {
                if let Some(process) = self.process(worker) {
                    process.kill();
                }
            }
            Effect::Note(note) => self.note(note),
            Effect::End(reason) => self.finish(reason),
        }
        false
    }

    fn process(&mut self, worker: u16) -> Option<&mut Process> {
        self.slots.get_mut(worker as usize)?.process.as_mut()
    }

    fn send(&mut self, peer: PeerId, packet: Packet, effects: &mut Vec<Effect>) {
        tracing::debug!("to the scheduler: {:?} ({})", packet.message.kind(), packet.message.count());
        let sent = match wire::encode(packet) {
            Ok(frames) => self.link.send(peer, frames).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = sent {
            tracing::warn!("a message to the scheduler could not be sent: {reason}");
            self.reconnect(peer, effects);
        }
    }

    fn storage(&mut self, text: &str) {
        if self.is_storage_fixed {
            return;
        }
        match text.parse::<Address>() {
            Ok(address) => {
                let address = address.seen_from(&self.scheduler_address);
                let text = address.to_string();
                self.storage_address = Some(address);
                for process in self.slots.iter_mut().filter_map(|slot| slot.process.as_mut()) {
                    records::put_bytes(process.outgoing(), Kind::Storage, text.as_bytes());
                }
            }
            Err(error) => tracing::warn!("the scheduler's object storage: {error}"),
        }
    }

    /// Makes a function runnable; true if it is already, or cannot be.
    fn prepare(&mut self, define: Define) -> bool {
        let function = define.function;
        if let Some(program) = self.by_identity.get(&define.identity) {
            let export = self.export(*program, &define);
            self.functions.insert(function, export);
            self.core.function_ready(now(), function);
            return true;
        }
        if !define.stored {
            let text =
                format!("this cluster does not have the module `{}` in the version that was asked for", define.path);
            self.core.function_failed(now(), function, failure(FailureKind::Module, text));
            return true;
        }
        let waiting = self.awaited.entry(define.identity.clone()).or_default();
        waiting.push(define.clone());
        if waiting.len() == 1 {
            fetch(define, self.storage_address.clone(), Arc::clone(&self.workshop), self.desk.clone());
        }
        false
    }

    fn export(&mut self, program: u32, define: &Define) -> u32 {
        let (interface, function) = (define.info.interface.clone(), define.info.name.clone());
        let number = self.exports.len() as u32;
        match self.by_export.entry((program, interface.clone(), function.clone())) {
            std::collections::btree_map::Entry::Occupied(known) => *known.get(),
            std::collections::btree_map::Entry::Vacant(free) => {
                let signature = define.info.signature.clone();
                self.exports.push(ExportRecord { number, program, interface, function, signature });
                *free.insert(number)
            }
        }
    }

    fn program(&mut self, identity: &Identity, prepared: Prepared) -> u32 {
        let number = self.programs.len() as u32;
        let Prepared { artifact, preload } = prepared;
        self.programs.push(ProgramRecord { number, artifact, preload });
        self.by_identity.insert(identity.clone(), number);
        number
    }

    /// Starts a processor; true if that failed at once.
    fn spawn(&mut self, worker: u16) -> bool {
        let mut process = match Process::spawn() {
            Ok(process) => process,
            Err(error) => {
                let text = format!("starting a processor: {error}");
                tracing::error!(worker = self.names[worker as usize], "{text}");
                self.core.processor_died(now(), worker, None, &text);
                return true;
            }
        };
        let mut setup = self.workshop.setup().clone();
        setup.storage_address = self.storage_address.as_ref().map(ToString::to_string);
        let out = process.outgoing();
        records::put_value(out, Kind::Setup, &setup);
        let mut slot = Slot::default();
        if let Some(program) = self.resident.and_then(|number| self.programs.get(number as usize)) {
            records::put_value(out, Kind::Program, program);
            slot.knows_program.resize(program.number as usize + 1, false);
            slot.knows_program[program.number as usize] = true;
        }
        records::put_value(out, Kind::Begin, &Begin { program: self.resident });
        slot.process = Some(process);
        self.slots[worker as usize] = slot;
        false
    }

    fn hand(&mut self, worker: u16, tasks: &[Handed]) {
        let Some(slot) = self.slots.get_mut(worker as usize) else { return };
        let Some(process) = &mut slot.process else { return };
        slot.knows_export.resize(self.exports.len(), false);
        slot.knows_program.resize(self.programs.len(), false);
        for handed in tasks {
            let run = &*handed.run;
            // A function without a number was never prepared, and the core hands out none of those.
            let Some(export) = self.functions.get(&run.function).copied() else { continue };
            if !slot.knows_export[export as usize] {
                let record = &self.exports[export as usize];
                if !slot.knows_program[record.program as usize] {
                    records::put_value(process.outgoing(), Kind::Program, &self.programs[record.program as usize]);
                    slot.knows_program[record.program as usize] = true;
                }
                records::put_value(process.outgoing(), Kind::Export, record);
                slot.knows_export[export as usize] = true;
            }
            let arguments = match &run.arguments {
                Payload::Inline(bytes) => Argument::Inline(bytes),
                Payload::Stored { id, length } => Argument::Stored { id: *id, length: *length },
                Payload::Frame(_) => Argument::Inline(&[]),
            };
            let record = TaskRecord {
                sequence: handed.sequence,
                export,
                attempt: run.attempt,
                task: run.task,
                timeout_ms: handed.timeout_ms,
                inline_max: run.inline_max,
                objects: run.objects.clone(),
                arguments,
            };
            records::put_task(process.outgoing(), &record);
        }
        process.flush();
    }

    /// Takes what a processor said, and notices its end.
    fn listen(&mut self, worker: usize) {
        match self.records_of(worker) {
            Ok(Heard::Fine) => {}
            Ok(Heard::End) => self.bury(worker, None),
            Ok(Heard::Refusal(reason)) => self.retire(worker, &reason),
            Err(error) => self.bury(worker, Some(error.to_string())),
        }
        self.announce_when_ready();
    }

    fn records_of(&mut self, worker: usize) -> Result<Heard, ProcessError> {
        let slot = &mut self.slots[worker];
        let Some(process) = &mut slot.process else { return Ok(Heard::Fine) };
        let (number, pid) = (worker as u16, process.pid());
        let is_open = process.receive()?;
        while let Some((kind, body)) = process.next()? {
            match kind {
                Kind::Done => {
                    let done = records::done(body)?;
                    self.core.processor_done(now(), number, done.sequence, done.outcome, done.stats);
                }
                Kind::Log => {
                    let line: LogRecord = records::value(kind, body)?;
                    let name = &self.names[worker];
                    match self.core.guest_line(now(), Some(number), line.task, line.source, &line.text) {
                        Verdict::Passed { dropped } => {
                            if dropped > 0 {
                                let lines = counted(dropped, "line");
                                tracing::warn!(
                                    worker = name,
                                    "too many lines of guests: {lines} not passed on; the processor's own file has them, \
                                     if logging_paths names one"
                                );
                            }
                            guest_log(GUEST, name, pid, &line);
                        }
                        Verdict::Local => guest_log(GUEST_FILE, name, pid, &line),
                        Verdict::Dropped => {}
                    }
                }
                Kind::Ready => {
                    slot.is_ready = true;
                    self.core.processor_ready(now(), number, pid);
                }
                Kind::Failed => return Ok(Heard::Refusal(text_of(&records::value(kind, body)?))),
                _ => {}
            }
        }
        Ok(if is_open { Heard::Fine } else { Heard::End })
    }

    fn retire(&mut self, worker: usize, reason: &str) {
        self.slots[worker] = Slot { is_retired: true, ..Slot::default() };
        self.core.processor_retired(now(), worker as u16, &format!("the preload failed: {reason}"));
    }

    /// A processor is gone, or nobody understands it: the task that ran is to blame.
    fn bury(&mut self, worker: usize, reason: Option<String>) {
        let Some(mut process) = std::mem::take(&mut self.slots[worker]).process else { return };
        let status = process.reap();
        let description = reason.unwrap_or_else(|| describe(status));
        let running = process.page().running().map(|(sequence, _)| sequence);
        if self.core.is_leaving() {
            tracing::debug!(worker = self.names[worker], "{description}");
        } else {
            tracing::warn!(worker = self.names[worker], "{description}; it is replaced");
        }
        self.core.processor_died(now(), worker as u16, running, &description);
    }

    fn read_news(&mut self) {
        self.waker.clear();
        // In the log they are already.
        for line in self.workshop.take_lines() {
            self.core.guest_line(now(), None, None, line.source, &line.text);
        }
        loop {
            match self.news.try_recv() {
                Ok(News::Modules(modules)) => self.modules(modules),
                Ok(News::Registered(identity, result)) => self.registered(&identity, result),
                Ok(News::Unanswered(problem)) => self.unanswered(problem),
                Ok(News::PreloadFailed(reason)) => {
                    let text = format!("the preload failed, so no task is taken: {reason}");
                    self.core.give_up(now(), &text);
                    self.failure = Some(exit::coded(exit::PRELOAD, text));
                }
                // The catalogue's thread ends only after a failed preload.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
    }

    fn modules(&mut self, modules: Vec<(ModuleInfo, Prepared)>) {
        let mut infos = Vec::with_capacity(modules.len());
        for (info, prepared) in modules {
            let is_resident = prepared.preload.is_some();
            let number = match self.by_identity.get(&info.identity) {
                Some(number) => *number,
                None => self.program(&info.identity, prepared),
            };
            if is_resident {
                self.resident = Some(number);
            }
            infos.push(info);
        }
        if self.is_announced {
            self.core.announce(infos);
        } else {
            self.first_modules = Some(infos);
            self.core.start(now());
            self.announce_when_ready();
        }
    }

    /// Tasks are taken when all workers are ready, or known never to be.
    fn announce_when_ready(&mut self) {
        let is_settled = |slot: &Slot| slot.is_ready || slot.is_retired;
        if self.slots.iter().all(is_settled)
            && let Some(modules) = self.first_modules.take()
        {
            self.is_announced = true;
            self.core.announce(modules);
        }
    }

    fn registered(&mut self, identity: &Identity, result: Result<Prepared, scaler_proto::message::Failure>) {
        let waiting = self.awaited.remove(identity).unwrap_or_default();
        match result {
            Ok(prepared) => {
                let program = self.program(identity, prepared);
                for define in waiting {
                    let export = self.export(program, &define);
                    self.functions.insert(define.function, export);
                    self.core.function_ready(now(), define.function);
                }
            }
            Err(failure) => {
                tracing::warn!("a registered module cannot be used: {}", failure.message);
                for define in waiting {
                    self.core.function_failed(now(), define.function, failure.clone());
                }
            }
        }
    }

    fn read_signals(&mut self) {
        match self.signals.received() {
            0 => {}
            1 if !self.core.is_leaving() => self.core.leave(now(), "the cluster was asked to stop"),
            1 => {}
            _ => self.end = Some(Ok(ExitCode::SUCCESS)),
        }
    }

    /// Memory and CPU, once a heartbeat.
    fn measure(&mut self) {
        if self.usage_at.elapsed() < self.heartbeat {
            return;
        }
        self.usage_at = Instant::now();
        let now_ms = monotonic_ns() / 1_000_000;
        let mut pids = Vec::with_capacity(self.slots.len());
        for (worker, slot) in self.slots.iter().enumerate() {
            let Some(process) = &slot.process else { continue };
            let (cpu_permille, rss_bytes) = self.usage.of(process.pid(), now_ms);
            let is_stopped = usage::is_stopped(process.pid());
            self.core.worker_usage(worker as u16, cpu_permille, rss_bytes, is_stopped);
            pids.push(process.pid());
        }
        let own = std::process::id();
        let (cpu_permille, rss_bytes) = self.usage.of(own, now_ms);
        pids.push(own);
        self.usage.keep(&pids);
        let memory_free_bytes = usage::memory_free_bytes();
        self.core.own_usage(agent::Usage { rss_bytes, cpu_permille, memory_free_bytes });
    }

    fn print_ready(&mut self) {
        if std::mem::replace(&mut self.is_ready_printed, true) {
            return;
        }
        let pids: Vec<u32> = self.slots.iter().filter_map(|slot| slot.process.as_ref().map(Process::pid)).collect();
        let line = serde_json::json!({
            "ready": "cluster",
            "name": rustix::system::uname().nodename().to_string_lossy(),
            "workers": self.names,
            "processor_pids": pids,
            "scheduler_address": self.scheduler_address.to_string(),
        });
        if let Err(error) = ready::print(&line) {
            tracing::warn!("the ready line could not be printed: {error}");
        }
    }

    fn finish(&mut self, reason: EndReason) {
        self.end = Some(match reason {
            EndReason::Left => self.failure.take().map_or(Ok(ExitCode::SUCCESS), Err),
            EndReason::DeathTimeout => {
                let text = self.death();
                Err(exit::coded(exit::DEATH_TIMEOUT, text))
            }
            EndReason::NoWorkers(reason) => {
                Err(exit::coded(exit::PRELOAD, format!("the last worker cannot be started again: {reason}")))
            }
        });
    }
}

fn now() -> Time {
    Time(monotonic_ns())
}
