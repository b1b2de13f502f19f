//! The scheduler's shell: one thread that moves packets between its two links and the pure core.
//!
//! A turn: wait until something arrives or the core has a deadline, drain a batch, tell the core, tick once, perform
//! its effects. Whatever could block (the object storage) is done by a helper thread.

mod storage;

use std::{
    os::fd::AsFd,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use scaler_net::{Address, Event, Link, Options, PeerId, SendError, Waker};
use scaler_proto::{
    ids::Time,
    scheduler::{self as core, Effect, Loss, Note, Numbers, Scheduler, SchedulerConfig},
    wire::{self, Frames, WireError},
};

use self::storage::{News, Storage};
use crate::{
    config::{AllocatePolicy, SchedulerSettings},
    exit,
    plural::counted,
    ready,
    signals::Signals,
    usage::{self, Usage},
};

/// Messages and bytes taken from a link in one turn.
const DRAIN_MESSAGES: usize = 256;
/// See [`DRAIN_MESSAGES`].
const DRAIN_BYTES: usize = 256 * 1024;
/// How long goodbyes may take to leave at the end.
const FLUSH: Duration = Duration::from_millis(500);
/// Owners are named to the storage and memory is measured this often.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Set in the numbers of peers of the monitor link, so that the two links' numbers never meet.
const MONITOR_BIT: u64 = 1 << 63;

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that: an address that cannot be listened on, a storage that does not start.
pub fn run(settings: SchedulerSettings) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install()?;
    let mut shell = Shell::new(&settings)?;
    ready::print(&shell.ready_line())?;
    let mut asked = 0;
    while !shell.ended {
        let is_signal = shell.turn(&[signals.as_fd()])?;
        if is_signal {
            let received = signals.received();
            if received > 1 {
                tracing::warn!("asked to stop again: ending at once");
                break;
            }
            if received > asked {
                asked = received;
                shell.stop("the scheduler was asked to stop");
            }
        }
    }
    shell.close();
    Ok(ExitCode::from(exit::SUCCESS))
}

struct Shell {
    core: Scheduler,
    main: Link,
    monitor: Link,
    storage: Storage,
    waker: Waker,
    started: Instant,
    housekeeping: Instant,
    usage: Usage,
    effects: Vec<Effect>,
    events: Vec<Event>,
    ended: bool,
    addresses: Addresses,
}

struct Addresses {
    main: Address,
    monitor: Address,
    storage: Address,
}

impl Shell {
    fn new(settings: &SchedulerSettings) -> anyhow::Result<Self> {
        scaler_net::raise_file_limit()?;
        scaler_net::set_io_threads(settings.io_threads);
        let wanted = &settings.scheduler_address;
        let monitor_address = match &settings.monitor_address {
            Some(address) => address.clone(),
            None => wanted.with_port_offset(2)?,
        };
        let main = Link::bind(wanted, &Options::default())
            .map_err(|error| anyhow::anyhow!("the scheduler cannot listen: {error}"))?;
        let monitor = Link::bind(&monitor_address, &Options::default()).map_err(|error| {
            anyhow::anyhow!(
                "the scheduler cannot listen for watchers: {error}; another place is set with --monitor-address"
            )
        })?;
        let waker = Waker::new()?;
        let storage = Storage::start(settings, waker.clone())?;
        let addresses = Addresses {
            main: main.local_address().clone(),
            monitor: monitor.local_address().clone(),
            storage: storage.address().clone(),
        };
        let started = Instant::now();
        let core = Scheduler::new(Time(1), config_of(settings, &addresses));
        tracing::info!(
            "listening on {}, watchers on {}, objects at {}",
            addresses.main,
            addresses.monitor,
            addresses.storage
        );
        if !addresses.main.is_loopback() && addresses.storage.is_loopback() {
            tracing::warn!(
                "clients and clusters on other machines cannot reach the object storage at {}, so values above 64 KiB do \
                 not get there; give an address of this machine with --object-storage-address",
                addresses.storage
            );
        }
        Ok(Self {
            core,
            main,
            monitor,
            storage,
            waker,
            started,
            housekeeping: started,
            usage: Usage::default(),
            effects: Vec::new(),
            events: Vec::new(),
            ended: false,
            addresses,
        })
    }

    fn ready_line(&self) -> serde_json::Value {
        serde_json::json!({
            "ready": "scheduler",
            "scheduler_address": self.addresses.main.to_string(),
            "object_storage_address": self.addresses.storage.to_string(),
            "monitor_address": self.addresses.monitor.to_string(),
        })
    }

    fn now(&self) -> Time {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Time(nanos.saturating_add(1))
    }

    fn instant(&self, time: Time) -> Instant {
        self.started + Duration::from_nanos(time.0.saturating_sub(1))
    }

    /// One turn of the loop; whether one of the descriptors is readable.
    fn turn(&mut self, fds: &[std::os::fd::BorrowedFd<'_>]) -> anyhow::Result<bool> {
        let deadline =
            self.core.next_deadline().map_or(self.housekeeping, |due| self.instant(due).min(self.housekeeping));
        let mut watched = vec![self.waker.as_fd()];
        watched.extend_from_slice(fds);
        let ready = scaler_net::wait(&[&self.main, &self.monitor], &watched, Some(deadline))?;
        let now = self.now();
        self.receive(now, false)?;
        self.receive(now, true)?;
        if ready.fds.first().copied().unwrap_or(false) {
            self.waker.clear();
            while let Some(news) = self.storage.news() {
                match news {
                    News::Moved(address) => self.core.set_object_storage_address(Some(address.to_string())),
                    News::Silent(problem) => self.core.set_object_storage_problem(Some(problem)),
                    News::Answers => self.core.set_object_storage_problem(None),
                }
            }
        }
        if Instant::now() >= self.housekeeping {
            self.housekeep();
        }
        self.finish_turn(now);
        Ok(ready.fds.iter().skip(1).any(|ready| *ready))
    }

    fn receive(&mut self, now: Time, is_monitor: bool) -> anyhow::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        let link = if is_monitor { &mut self.monitor } else { &mut self.main };
        link.drain(&mut events, DRAIN_MESSAGES, DRAIN_BYTES)?;
        for event in events.drain(..) {
            if let Event::Up(peer) | Event::Down(peer) = &event {
                let what = if matches!(event, Event::Up(_)) { "connected" } else { "is gone" };
                tracing::debug!("peer {} {what}", core_peer(*peer, is_monitor).0);
            }
            match event {
                Event::Up(peer) if is_monitor => {
                    self.core.connected_monitor(now, core_peer(peer, is_monitor), &mut self.effects);
                }
                Event::Up(peer) => self.core.connected(now, peer, &mut self.effects),
                Event::Down(peer) => self.core.disconnected(now, core_peer(peer, is_monitor), &mut self.effects),
                Event::Message(peer, frames) => self.message(now, core_peer(peer, is_monitor), frames),
            }
        }
        self.events = events;
        Ok(())
    }

    fn message(&mut self, now: Time, peer: PeerId, frames: Frames) {
        match wire::decode(frames) {
            Ok(packet) => {
                tracing::debug!("from peer {}: {:?} ({})", peer.0, packet.message.kind(), packet.message.count());
                self.core.handle(now, peer, packet, &mut self.effects);
            }
            Err(WireError::UnknownKind { kind, epoch, sequence, ack }) => {
                let numbers = Numbers { epoch, sequence, ack };
                self.core.handle_unknown(now, peer, kind, numbers, &mut self.effects);
            }
            Err(error) => {
                // What else it had sent by then is not worth a line each.
                if self.core.handle_garbage(now, peer, &error.to_string(), &mut self.effects) {
                    tracing::warn!("peer {}: {error}; its connection is closed", peer.0);
                }
            }
        }
    }

    fn finish_turn(&mut self, now: Time) {
        self.core.tick(now, &mut self.effects);
        // A peer that does not take what it is sent is gone; what follows from that is performed as well.
        while !self.effects.is_empty() {
            let effects = std::mem::take(&mut self.effects);
            let mut gone = Vec::new();
            for effect in effects {
                self.perform(effect, &mut gone);
            }
            for peer in &gone {
                self.core.disconnected(now, *peer, &mut self.effects);
            }
            if !gone.is_empty() {
                self.core.tick(now, &mut self.effects);
            }
        }
    }

    fn perform(&mut self, effect: Effect, gone: &mut Vec<PeerId>) {
        match effect {
            Effect::Send(peer, packet) => {
                let kind = packet.message.kind();
                tracing::debug!("to peer {}: {kind:?} ({})", peer.0, packet.message.count());
                let (link, peer_of_link) = self.link_of(peer);
                let sent = match wire::encode(packet) {
                    Ok(frames) => link.send(peer_of_link, frames),
                    Err(error) => {
                        tracing::error!("a {kind:?} message cannot be sent: {error}");
                        return;
                    }
                };
                match sent {
                    Ok(()) => {}
                    // `Down` follows, or came before.
                    Err(SendError::Gone) => {}
                    Err(error) => {
                        tracing::warn!("peer {}: {error}; its connection is closed", peer.0);
                        link.forget(peer_of_link);
                        gone.push(peer);
                    }
                }
            }
            Effect::Drop(peer) => {
                let (link, peer) = self.link_of(peer);
                link.forget(peer);
            }
            Effect::DeleteObjects(objects) => self.storage.delete(objects),
            // There is no journal yet, so none is asked for.
            Effect::Persist(_) => {}
            Effect::Note(note) => log(note),
            Effect::End { reason } => {
                tracing::info!("ending: {reason}");
                self.ended = true;
            }
        }
    }

    fn link_of(&mut self, peer: PeerId) -> (&mut Link, PeerId) {
        if peer.0 & MONITOR_BIT == 0 {
            (&mut self.main, peer)
        } else {
            (&mut self.monitor, PeerId(peer.0 & !MONITOR_BIT))
        }
    }

    fn housekeep(&mut self) {
        self.housekeeping = Instant::now() + HOUSEKEEPING;
        self.storage.owners(self.core.owners().collect());
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (cpu_permille, rss_bytes) = self.usage.of(std::process::id(), now_ms);
        let memory_free_bytes = usage::memory_free_bytes();
        self.core.set_usage(core::Usage { rss_bytes, cpu_permille, memory_free_bytes });
    }

    fn stop(&mut self, reason: &str) {
        tracing::info!("stopping: {reason}");
        let now = self.now();
        self.core.stop(now, reason, &mut self.effects);
        self.finish_turn(now);
    }

    fn close(self) {
        self.main.close(FLUSH);
        self.monitor.close(Duration::ZERO);
        self.storage.stop();
    }
}

fn log(note: Note) {
    match note {
        Note::ClusterReady { cluster, name, workers } => {
            tracing::info!("cluster {name:?} ({cluster}) is ready with {}", counted(workers, "worker"));
        }
        Note::ClusterLeft { cluster, name, reason, tasks } => {
            tracing::info!("cluster {name:?} ({cluster}) left: {reason:?}; {} to go elsewhere", counted(tasks, "task"));
        }
        Note::ClusterLost { cluster, name, loss, tasks } => {
            let how = match loss {
                Loss::Closed => "its connection was closed",
                Loss::Silent => "it was silent for too long",
                Loss::Untrusted => "messages on its connection were lost or are not valid",
                Loss::Replaced => "it connected again",
            };
            tracing::warn!("cluster {name:?} ({cluster}) is lost: {how}; {} to go elsewhere", counted(tasks, "task"));
        }
        Note::ModulesDiffer { message } => {
            tracing::warn!("{message}; calls go to the former version for 5 s, then they fail until that is done");
        }
        Note::Canceling { task, call, by } => {
            tracing::info!("{by} cancels task {task} of {call}");
        }
        Note::Aborting { tasks, clients } => {
            let (these, whose) = (counted(tasks, "accepted task"), counted(clients, "client"));
            tracing::warn!("aborting {these} of {whose}: there is no journal; they have to be submitted again");
        }
        Note::TaskFailed { task, call, worker, cluster, kind, message } => {
            let place = if worker.is_empty() { String::new() } else { format!(" on {worker} of {cluster}") };
            tracing::info!("task {task} of {call} failed{place}: {}: {message}", kind.words());
        }
        Note::TasksFailedMore { count } => {
            let tasks = counted(count, "more task");
            tracing::info!("{tasks} failed within that second; `scaler status` shows the newest");
        }
        Note::ClientConnected { client, name, resumed } => {
            let what = if resumed { "is back" } else { "connected" };
            tracing::info!("client {name:?} ({client}) {what}");
        }
        Note::ClientLeft { client, name, silent, unfinished } => {
            let what = if silent { "was silent for too long and is forgotten" } else { "left" };
            tracing::info!("client {name:?} ({client}) {what}; {unfinished} of its tasks end with it");
        }
    }
}

fn core_peer(peer: PeerId, is_monitor: bool) -> PeerId {
    if is_monitor { PeerId(peer.0 | MONITOR_BIT) } else { peer }
}

fn config_of(settings: &SchedulerSettings, addresses: &Addresses) -> SchedulerConfig {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SchedulerConfig {
        // Raised at every start, as long as the clock of the machine does not go backwards between two.
        epoch: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX).max(1),
        scheduler_address: addresses.main.to_string(),
        object_storage_address: Some(addresses.storage.to_string()),
        monitor_address: Some(addresses.monitor.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protected: settings.protected,
        allocate_policy: match settings.allocate_policy() {
            AllocatePolicy::Even => core::AllocatePolicy::Even,
            AllocatePolicy::Capability => core::AllocatePolicy::Capability,
        },
        waiting_max: u64::try_from(settings.max_number_of_tasks_waiting).ok(),
        client_timeout_ms: settings.client_timeout_seconds.saturating_mul(1_000),
        worker_timeout_ms: settings.worker_timeout_seconds.saturating_mul(1_000),
        // Negative: never, which the core calls 0.
        load_balance_ms: u64::try_from(settings.load_balance_seconds).unwrap_or(0).saturating_mul(1_000),
        load_balance_trigger_times: settings.load_balance_trigger_times,
        max_attempts: settings.max_attempts,
        result_buffer_bytes: settings.result_buffer_bytes,
        ..SchedulerConfig::default()
    }
}

#[cfg(test)]
mod tests;
