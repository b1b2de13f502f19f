//! The thread that owns the connection: takes commands, drives the core, performs its effects, hands ends out in
//! batches.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use scaler_net::{Address, Event, Link, Options};
use scaler_proto::{
    client::{Call, ClientConfig, ClientCore, Closed, Effect},
    ids::{ObjectId, PeerId, Time},
    message::{Failure, FailureKind, INLINE_MAX, LogLine, Outcome, TaskStats},
    payload::Payload,
    view::View,
    wire::{self, Frames, WireError},
};
use tokio::sync::oneshot;

use crate::{
    BoundArguments, Error, SubmitOptions,
    completion::{Cell, End, Watcher},
    function::Version,
    object::{ObjectRef, Stored},
    options::Output,
    pipe::{Completion, PipeShared},
    queue::{Command, Leftovers, Queue},
    registry::Registry,
    transfer::Transfer,
};

/// Most messages and bytes that are taken from the link before the core's turn.
const BATCH_MESSAGES_MAX: usize = 256;
/// See [`BATCH_MESSAGES_MAX`].
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// How long a client that leaves waits for its last words to be sent. Without them the scheduler keeps its tasks for a
/// whole client timeout, so a busy machine gets more than a moment.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// See [the module](self).
pub(crate) struct Driver {
    queue: Arc<Queue>,
    transfer: Arc<Transfer>,
    core: ClientCore,
    link: Link,
    /// Where the scheduler was reached.
    dialed: Address,
    started: Instant,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    registry: Registry,
    /// Modules of this client, to be stored again for a scheduler that does not know them.
    modules: Vec<(ObjectId, Arc<Vec<u8>>)>,
    /// Objects of this client that are in use, for the same reason.
    objects: BTreeMap<ObjectId, Weak<Stored>>,
    clears: Vec<Clear>,
    /// Where lines go that tasks write.
    output: Option<Output>,
    requests: u64,
    queries: BTreeMap<u64, oneshot::Sender<View>>,
    shutdowns: BTreeMap<u64, oneshot::Sender<Result<(), Error>>>,
    connected: Option<oneshot::Sender<Result<(), Error>>>,
    closed: Option<Closed>,
    /// Ends of this turn, by pipe.
    completed: Vec<(Arc<PipeShared>, Vec<Completion>)>,
    watchers: Vec<Watcher>,
    unwanted: Vec<ObjectId>,
}

/// What arrives and what is to be done in one turn of the thread; kept between turns for its room.
#[derive(Default)]
struct Turn {
    events: Vec<Event>,
    effects: Vec<Effect>,
}

/// A clear that waits for the ends of what it canceled.
struct Clear {
    /// Tasks, by number.
    left: Vec<u64>,
    /// Objects to let go then.
    objects: Vec<ObjectId>,
    reply: oneshot::Sender<()>,
}

/// A task that has not ended.
struct Entry {
    sink: Sink,
    /// Arguments that go through the object storage.
    large: Option<Arc<Vec<u8>>>,
    /// They could not be stored.
    put_failure: Option<String>,
    /// Kept alive until the task has ended.
    objects: Vec<(u16, ObjectRef)>,
}

enum Sink {
    Future(Arc<Cell>),
    Pipe { pipe: Arc<PipeShared>, slot: u32 },
}

/// Starts the thread. `connected` hears of the first connection, or why there is none.
pub(crate) fn start(
    config: ClientConfig,
    address: &Address,
    queue: Arc<Queue>,
    transfer: Arc<Transfer>,
    output: Option<Output>,
    connected: oneshot::Sender<Result<(), Error>>,
) -> std::io::Result<thread::JoinHandle<()>> {
    let dialed = address.clone();
    thread::Builder::new().name("scaler-client".to_owned()).spawn(move || {
        let started = Instant::now();
        let driver = Driver {
            core: ClientCore::new(config, Time(0)),
            link: Link::dial(&dialed, &Options::default()),
            dialed,
            registry: Registry::new(Arc::clone(&queue)),
            queue,
            transfer,
            started,
            entries: Vec::new(),
            free: Vec::new(),
            modules: Vec::new(),
            objects: BTreeMap::new(),
            clears: Vec::new(),
            output,
            requests: 0,
            queries: BTreeMap::new(),
            shutdowns: BTreeMap::new(),
            connected: Some(connected),
            closed: None,
            completed: Vec::new(),
            watchers: Vec::new(),
            unwanted: Vec::new(),
        };
        driver.run();
    })
}

impl Driver {
    fn run(mut self) {
        let (mut commands, mut turn) = (Vec::new(), Turn::default());
        while self.closed.is_none() {
            self.queue.take(&mut commands);
            let was_asked = !commands.is_empty();
            for command in commands.drain(..) {
                self.command(command, &mut turn.effects);
            }
            self.registry.expire(Instant::now(), &mut self.core);
            let is_idle = self.turn(&mut turn) && !was_asked;
            if is_idle && self.closed.is_none() {
                self.wait();
            }
        }
        self.finish(turn);
    }

    /// Takes what has arrived, and does what follows from that and from the time. True if there was nothing to do.
    fn turn(&mut self, Turn { events, effects }: &mut Turn) -> bool {
        if let Err(error) = self.link.drain(events, BATCH_MESSAGES_MAX, BATCH_BYTES_MAX) {
            tracing::error!(%error, "the connection to the scheduler cannot be read");
        }
        let mut is_idle = events.is_empty();
        for event in events.drain(..) {
            self.event(event, effects);
        }
        self.core.tick(self.now(), effects);
        is_idle &= effects.is_empty();
        self.perform(effects);
        is_idle
    }

    fn now(&self) -> Time {
        self.time(Instant::now())
    }

    fn time(&self, moment: Instant) -> Time {
        Time(u64::try_from(moment.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX))
    }

    fn wait(&mut self) {
        let core = self.core.next_deadline().map(|time| self.started + Duration::from_nanos(time.0));
        let deadline = [core, self.registry.next_deadline()].into_iter().flatten().min();
        match scaler_net::wait(&[&self.link], &[self.queue.waker().as_fd()], deadline) {
            Ok(ready) => {
                if ready.fds.contains(&true) {
                    self.queue.waker().clear();
                }
            }
            Err(error) => {
                tracing::error!(%error, "waiting for the scheduler failed");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    // --- commands

    fn command(&mut self, command: Command, effects: &mut Vec<Effect>) {
        match command {
            Command::Submit { arguments, options, cell } => {
                let number = cell.number;
                self.submit(number, arguments, &options, Sink::Future(cell));
            }
            Command::Call { call, mut options, cell } => {
                options.called_at.get_or_insert_with(Instant::now);
                let ready = self.registry.call(call, options, cell, &mut self.core, &mut self.watchers);
                if let Some((arguments, options, cell)) = ready {
                    let number = cell.number;
                    self.submit(number, arguments, &options, Sink::Future(cell));
                }
            }
            Command::Pipe(pipe) => {
                for outgoing in pipe.take_outgoing() {
                    let sink = Sink::Pipe { pipe: Arc::clone(&pipe), slot: outgoing.slot };
                    self.submit(self.queue.next_number(), outgoing.arguments, &pipe.options.submit, sink);
                }
            }
            Command::ClosePipe(pipe) => self.cancel_pipe(&pipe),
            Command::Register { target, deadline, reply } => {
                self.registry.register(target, deadline, reply, &mut self.core);
            }
            Command::Withdraw => self.registry.withdraw(&mut self.core),
            Command::Cancel { number } => {
                if let Some(cell) = self.registry.cancel(number, &mut self.core) {
                    self.finish_cell(&cell, End::Lost(Closed::Left), TaskStats::default());
                } else {
                    self.core.cancel(number);
                }
            }
            Command::Release(object) => {
                self.objects.remove(&object);
                self.core.release(object);
            }
            Command::Object { announcement, object } => {
                self.objects.insert(announcement.object, object);
                self.core.put_object(announcement);
            }
            Command::Clear(reply) => self.clear(reply),
            Command::Module { module, bytes } => {
                self.modules.push((ObjectId::module(module.module.identity.hash), bytes));
                self.core.register_module(module);
            }
            Command::Query(reply) => {
                self.requests += 1;
                self.queries.insert(self.requests, reply);
                self.core.query(self.requests);
            }
            Command::Shutdown(reply) => {
                self.requests += 1;
                self.shutdowns.insert(self.requests, reply);
                self.core.shutdown(self.requests);
            }
            Command::PutFailed { number, tag, reason } => self.put_failed(number, tag, reason),
            Command::Leave => self.core.leave(self.now(), "the client disconnects", effects),
        }
    }

    fn submit(&mut self, number: u64, arguments: BoundArguments, options: &SubmitOptions, sink: Sink) {
        let references = arguments.references();
        let BoundArguments { version, bytes, objects } = arguments;
        let Some((registration, function)) = self.registry.current(&version) else {
            return self.changed(number, &version, sink);
        };
        let (arguments, large) = if bytes.len() > INLINE_MAX {
            let id = ObjectId::arguments(self.queue.task(number));
            (Payload::Stored { id, length: bytes.len() as u64 }, Some(Arc::new(bytes)))
        } else {
            (Payload::Inline(bytes), None)
        };
        let patient = matches!(sink, Sink::Pipe { .. });
        let tag = self.enter(Entry { sink, large, put_failure: None, objects });
        let call = Call {
            registration,
            function,
            arguments,
            objects: references,
            capabilities: options.capabilities.clone(),
            timeout_ms: options.timeout_ms(),
            priority: options.priority,
            retries: options.retries,
            patient,
            tag,
            called: options.called_at.map_or_else(|| self.now(), |moment| self.time(moment)),
        };
        self.core.submit(number, call);
    }

    /// The scheduler had no room for a call of a pipe. A number of its own keeps its stored arguments apart from the
    /// former ones, which the scheduler deletes.
    fn submit_again(&mut self, order: u64, mut call: Call, closed: Option<&Closed>) {
        let number = self.queue.next_number();
        if let Some(reason) = closed {
            let lost = Outcome::Failed(Failure {
                kind: FailureKind::Aborted,
                message: reason.to_string(),
                value: None,
                trace: None,
            });
            return self.ended(number, call.tag, lost, TaskStats::default(), closed);
        }
        if let Payload::Stored { id, .. } = &mut call.arguments {
            *id = ObjectId::arguments(self.queue.task(number));
        }
        self.core.submit_again_as(number, order, call);
    }

    /// The arguments were bound to a function that is another one now, under a scheduler that knows only the new one.
    fn changed(&mut self, number: u64, version: &Version, sink: Sink) {
        let message = format!("{} has changed since its arguments were bound: bind them again", version.name);
        let end = End::failed(FailureKind::Aborted, message);
        self.deliver(number, sink, end, TaskStats::default());
    }

    fn enter(&mut self, entry: Entry) -> u64 {
        let position = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[position] = Some(entry);
        position as u64
    }

    fn entry(&mut self, tag: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(tag).ok()?)?.as_mut()
    }

    fn cancel_pipe(&mut self, pipe: &Arc<PipeShared>) {
        let numbers = self.core.unfinished_with(|tag| {
            let entry = usize::try_from(tag).ok().and_then(|position| self.entries.get(position)?.as_ref());
            entry.is_some_and(|entry| matches!(&entry.sink, Sink::Pipe { pipe: other, .. } if Arc::ptr_eq(pipe, other)))
        });
        for number in numbers {
            self.core.cancel(number);
        }
    }

    /// Cancels everything that has not ended; objects may not be used from now on, and go when the answers are there.
    fn clear(&mut self, reply: oneshot::Sender<()>) {
        for cell in self.registry.cancel_all(&mut self.core) {
            self.finish_cell(&cell, End::Lost(Closed::Left), TaskStats::default());
        }
        let left = self.core.unfinished_with(|_| true);
        left.iter().for_each(|number| self.core.cancel(*number));
        let objects = std::mem::take(&mut self.objects);
        objects.values().filter_map(Weak::upgrade).for_each(|object| object.invalidate());
        self.clears.push(Clear { left, objects: objects.into_keys().collect(), reply });
    }

    /// Answers those whose tasks have all ended.
    fn finish_clears(&mut self) {
        let core = &mut self.core;
        let finished = |clear: &mut Clear| {
            while clear.left.last().is_some_and(|number| core.place(*number).is_none()) {
                clear.left.pop();
            }
            clear.left.is_empty()
        };
        let finished: Vec<Clear> = self.clears.extract_if(.., finished).collect();
        for Clear { objects, reply, .. } in finished {
            objects.into_iter().for_each(|object| self.core.release(object));
            // Who asked may have gone away.
            let _ = reply.send(());
        }
    }

    fn put_failed(&mut self, number: u64, tag: u64, reason: String) {
        if self.core.place(number).is_some()
            && let Some(entry) = self.entry(tag)
        {
            entry.put_failure = Some(reason);
            self.core.cancel(number);
        }
    }

    // --- events and effects

    fn event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let now = self.now();
        match event {
            Event::Up(peer) => self.core.connected(now, peer, effects),
            Event::Down(peer) => self.core.disconnected(now, peer, effects),
            Event::Message(peer, frames) => self.message(now, peer, frames, effects),
        }
    }

    fn message(&mut self, now: Time, peer: PeerId, frames: Frames, effects: &mut Vec<Effect>) {
        match wire::decode(frames) {
            Ok(packet) => self.core.handle(now, peer, packet, effects),
            Err(WireError::UnknownKind { kind, sequence, ack, .. }) => {
                tracing::warn!(kind, "the scheduler sent a message of a kind that this version does not know");
                self.core.skip(now, peer, sequence, ack, effects);
            }
            Err(error) => self.core.garbled(peer, &error.to_string(), effects),
        }
    }

    fn perform(&mut self, effects: &mut Vec<Effect>) {
        let closed = effects.iter().find_map(|effect| match effect {
            Effect::Closed(reason) => Some(reason.clone()),
            _ => None,
        });
        if let Some(reason) = &closed {
            self.queue.refuse(reason);
        }
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(peer, packet) => self.send(peer, packet),
                Effect::Redial => self.link.redial(),
                Effect::Connected(welcome) => {
                    if let Some(address) = &welcome.object_storage_address {
                        self.storage(address);
                    }
                    if !welcome.resumed {
                        self.modules.clone().into_iter().for_each(|(id, bytes)| self.store_again(id, bytes));
                        let objects: Vec<_> = self.objects.values().filter_map(Weak::upgrade).collect();
                        objects.iter().for_each(|object| self.store_again(object.id, Arc::clone(&object.bytes)));
                    }
                    if let Some(connected) = self.connected.take() {
                        // A caller that has gone away drops its client, which ends this thread.
                        let _ = connected.send(Ok(()));
                    }
                }
                Effect::Storage(address) => self.storage(&address),
                Effect::Registered(registered) => {
                    for (arguments, options, cell) in
                        self.registry.registered(registered, self.core.epoch(), &mut self.watchers)
                    {
                        let number = cell.number;
                        self.submit(number, arguments, &options, Sink::Future(cell));
                    }
                }
                Effect::RegisterFailed(failed) => self.registry.failed(failed, &mut self.watchers),
                Effect::Parked(parked) => self.registry.parked(parked),
                Effect::Changed(changed) => self.registry.changed(changed, self.core.epoch()),
                Effect::Put { number, tag } => self.put_arguments(number, tag),
                Effect::Refused { order, call } => self.submit_again(order, *call, closed.as_ref()),
                Effect::Ended { number, tag, outcome, stats } => {
                    self.ended(number, tag, outcome, stats, closed.as_ref())
                }
                Effect::Answered(answer) => {
                    if let Some(reply) = self.queries.remove(&answer.request) {
                        let _ = reply.send(answer.view);
                    }
                }
                Effect::ShutdownReply(reply) => {
                    if let Some(waiting) = self.shutdowns.remove(&reply.request) {
                        let refused = Err(Error::ShutdownRefused { reason: reply.reason });
                        let _ = waiting.send(if reply.accepted { Ok(()) } else { refused });
                    }
                }
                Effect::Output(lines) => self.print(lines),
                Effect::Warning(text) => tracing::warn!("{text}"),
                Effect::Closed(reason) => self.closed = Some(reason),
            }
        }
        self.hand_out();
    }

    fn send(&mut self, peer: PeerId, packet: scaler_proto::session::Packet) {
        let frames = match wire::encode(packet) {
            Ok(frames) => frames,
            Err(error) => {
                tracing::error!(%error, "a message cannot be sent; connecting again");
                return self.link.redial();
            }
        };
        if let Err(error) = self.link.send(peer, frames) {
            // The connection has a hole or is gone: start another one.
            tracing::warn!(%error, "sending to the scheduler failed");
            self.link.redial();
        }
    }

    fn storage(&self, address: &str) {
        match address.parse::<Address>() {
            Ok(address) => self.transfer.set_address(address.seen_from(&self.dialed)),
            Err(error) => tracing::warn!(%error, "the scheduler names an object storage that cannot be used"),
        }
    }

    fn store_again(&self, id: ObjectId, bytes: Arc<Vec<u8>>) {
        self.transfer.put(id, bytes, move |result| {
            if let Err(error) = result {
                tracing::warn!(%id, %error, "a module or object could not be stored again");
            }
        });
    }

    fn put_arguments(&mut self, number: u64, tag: u64) {
        let id = ObjectId::arguments(self.queue.task(number));
        let Some(bytes) = self.entry(tag).and_then(|entry| entry.large.clone()) else { return };
        let queue = Arc::clone(&self.queue);
        self.transfer.put(id, bytes, move |result| {
            if let Err(reason) = result {
                // Nobody waits any more if the session is over.
                let _ = queue.push(Command::PutFailed { number, tag, reason });
            }
        });
    }

    fn ended(&mut self, number: u64, tag: u64, mut outcome: Outcome, stats: TaskStats, closed: Option<&Closed>) {
        let position = usize::try_from(tag).unwrap_or(usize::MAX);
        let Some(entry) = self.entries.get_mut(position).and_then(Option::take) else { return };
        self.free.push(position);
        let kind = if let Outcome::Failed(failure) = &mut outcome {
            name_objects(failure, &entry.objects);
            Some(failure.kind)
        } else {
            None
        };
        let end = match (kind, entry.put_failure, closed) {
            (Some(FailureKind::Canceled), Some(reason), _) => {
                End::Storage { object: ObjectId::arguments(self.queue.task(number)), reason }
            }
            (Some(FailureKind::Aborted), _, Some(reason)) => End::Lost(reason.clone()),
            _ => End::Outcome(outcome),
        };
        self.deliver(number, entry.sink, end, stats);
    }

    fn deliver(&mut self, number: u64, sink: Sink, end: End, stats: TaskStats) {
        match sink {
            Sink::Future(cell) => self.finish_cell(&cell, end, stats),
            Sink::Pipe { pipe, slot } => {
                let completion = Completion { slot, number, end, stats };
                match self.completed.iter_mut().rev().find(|(other, _)| Arc::ptr_eq(other, &pipe)) {
                    Some((_, batch)) => batch.push(completion),
                    None => self.completed.push((pipe, vec![completion])),
                }
            }
        }
    }

    fn finish_cell(&mut self, cell: &Cell, end: End, stats: TaskStats) {
        let (watchers, unwanted) = cell.finish(end, stats);
        self.watchers.extend(watchers);
        self.unwanted.extend(unwanted);
    }

    /// Tells everybody at the end of a turn: one lock and one wake-up a pipe, one wake-up a future that is waited for.
    fn hand_out(&mut self) {
        for (pipe, mut batch) in self.completed.drain(..) {
            pipe.complete(&mut batch, &mut self.unwanted);
        }
        for object in self.unwanted.drain(..) {
            self.core.release(object);
        }
        let callbacks = &self.queue.callbacks;
        self.watchers.drain(..).for_each(|watcher| watcher.notify(callbacks));
        self.finish_clears();
    }

    /// Hands out what tasks wrote.
    fn print(&self, lines: Vec<LogLine>) {
        if let Some(output) = self.output.clone() {
            self.queue.callbacks.run(Box::new(move || lines.iter().for_each(|line| output.line(line))));
        }
    }

    /// The session is over: nothing waits for ever.
    fn finish(mut self, turn: Turn) {
        let reason = self.closed.take().unwrap_or(Closed::Left);
        let Leftovers { commands, pipes } = self.queue.close(reason.clone());
        for command in commands {
            match command {
                Command::Submit { cell, .. } | Command::Call { cell, .. } => {
                    self.finish_cell(&cell, End::Lost(reason.clone()), TaskStats::default());
                }
                // Pipes are closed below; whoever waits for an answer hears that the other end is gone.
                _ => {}
            }
        }
        for cell in self.registry.close(&reason) {
            self.finish_cell(&cell, End::Lost(reason.clone()), TaskStats::default());
        }
        self.hand_out();
        for pipe in pipes {
            pipe.close(&reason);
        }
        if let Some(connected) = self.connected.take() {
            let _ = connected.send(Err(self.queue.closed_error(reason)));
        }
        self.transfer.close();
        self.part(turn);
        self.link.close(FLUSH_MAX);
    }

    /// Stays until the scheduler has heard the goodbye, or that takes too long.
    fn part(&mut self, mut turn: Turn) {
        while !self.core.is_gone() {
            let is_idle = self.turn(&mut turn);
            let until = self.core.next_deadline().map(|time| self.started + Duration::from_nanos(time.0));
            if is_idle && !self.core.is_gone() && scaler_net::wait(&[&self.link], &[], until).is_err() {
                return;
            }
        }
    }
}

/// Calls objects by the names that their user knows.
fn name_objects(failure: &mut Failure, objects: &[(u16, ObjectRef)]) {
    if failure.kind == FailureKind::ObjectLost {
        for (_, object) in objects {
            failure.message = failure.message.replace(&object.id().to_string(), &format!("`{}`", object.name()));
        }
    }
}
