//! The low road for many calls of one function: bound arguments in on one thread, results out on another, in batches,
//! with a bounded number of calls and bytes between them.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt, future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use scaler_proto::{
    client::Closed,
    ids::{ObjectId, TaskId},
    message::TaskStats,
    value::Value,
};
use serde::de::DeserializeOwned;

use crate::{
    BoundArguments, Error, MapOptions,
    completion::{About, End},
    function::Version,
    park,
    queue::{Command, Queue},
    transfer::Transfer,
    window::{Size, Window},
};

/// Most results that a receiver takes under one lock.
const TAKE_MAX: usize = 256;

/// The entrance; see [`crate::Client::pipe`]. Dropping it ends the input.
pub struct PipeSender {
    shared: Arc<PipeShared>,
    /// Calls that fit for certain, so that most need no look at the window.
    room: usize,
}

/// The exit; see [`crate::Client::pipe`]. Dropping it cancels what is under way.
pub struct PipeReceiver {
    shared: Arc<PipeShared>,
    taken: VecDeque<PipeItem>,
}

/// One call's end.
pub struct PipeItem {
    index: u64,
    number: u64,
    queue: Arc<Queue>,
    version: Option<Arc<Version>>,
    end: End,
    stats: TaskStats,
}

/// What the two ends and the connection's thread share.
pub(crate) struct PipeShared {
    queue: Arc<Queue>,
    transfer: Arc<Transfer>,
    pub(crate) options: MapOptions,
    state: Mutex<State>,
}

/// A call that the connection's thread is to submit.
pub(crate) struct Outgoing {
    pub(crate) slot: u32,
    pub(crate) arguments: BoundArguments,
}

/// A task of a pipe that ended.
pub(crate) struct Completion {
    pub(crate) slot: u32,
    pub(crate) number: u64,
    pub(crate) end: End,
    pub(crate) stats: TaskStats,
}

struct State {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Ordered: every slot in use, by input. Otherwise: those that can be taken.
    order: VecDeque<u32>,
    /// Ends whose value waits to be fetched, by input.
    stored: BTreeSet<(u64, u32)>,
    outgoing: Vec<Outgoing>,
    /// The connection's thread knows that there is something in `outgoing`.
    announced: bool,
    window: Window,
    /// Bytes fetched or being fetched, not taken.
    fetched: u64,
    next_index: u64,
    ended: bool,
    abandoned: bool,
    closed: Option<Closed>,
    /// The receiver has heard why the session ended before the input did.
    told: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

struct Slot {
    index: u64,
    number: u64,
    /// Of its arguments.
    bytes: u64,
    /// Its result, until it is taken.
    size: Size,
    fetched: u64,
    version: Option<Arc<Version>>,
    stage: Stage,
    stats: TaskStats,
}

enum Stage {
    Pending,
    Fetching(End),
    Ended(End),
}

impl PipeShared {
    pub(crate) fn new(queue: Arc<Queue>, transfer: Arc<Transfer>, options: MapOptions) -> Self {
        let state = State {
            slots: Vec::new(),
            free: Vec::new(),
            order: VecDeque::new(),
            stored: BTreeSet::new(),
            outgoing: Vec::new(),
            announced: false,
            window: Window::new(&options),
            fetched: 0,
            next_index: 0,
            ended: false,
            abandoned: false,
            closed: None,
            told: false,
            sender: None,
            receiver: None,
        };
        Self { queue, transfer, options, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready with the number of calls that fit now.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Poll::Ready(Err(self.queue.closed_error(reason.clone())));
        }
        if state.abandoned {
            return Poll::Ready(Err(self.queue.closed_error(Closed::Left)));
        }
        let room = state.window.room();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        state.sender = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes a call (or, in its place, why it is none). Says whether a result can be taken; fails when nobody would see
    /// one, as the receiver knows that the session is over.
    fn push(self: &Arc<Self>, call: Result<BoundArguments, Error>) -> Result<bool, Error> {
        let call = call.and_then(|arguments| arguments.check(&self.queue).map(|()| arguments));
        let mut state = self.lock();
        if let (true, Some(reason)) = (state.told, &state.closed) {
            return Err(self.queue.closed_error(reason.clone()));
        }
        let bytes = call.as_ref().map_or(0, |arguments| arguments.bytes.len() as u64);
        let version = call.as_ref().ok().map(|arguments| Arc::clone(&arguments.version));
        let index = state.next_index;
        state.next_index += 1;
        state.window.enter(bytes, version.as_ref().map_or(0, |version| version.workers));
        let position = state.occupy(Slot { index, bytes, version, ..Slot::empty() });
        if self.options.ordered {
            state.order.push_back(position);
        }
        let closed = state.closed.clone();
        match (call, closed) {
            (Ok(_), Some(reason)) => self.refuse(&mut state, position, End::Lost(reason)),
            (Ok(arguments), None) => state.outgoing.push(Outgoing { slot: position, arguments }),
            (Err(error), _) => self.refuse(&mut state, position, End::from(error)),
        }
        let announce = !state.outgoing.is_empty() && !std::mem::replace(&mut state.announced, true);
        let ready = state.front_is_ready();
        let waker = if ready { state.receiver.take() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        if announce && self.queue.push(Command::Pipe(Arc::clone(self))).is_err() {
            self.close(&self.queue.closed());
            return Ok(true);
        }
        Ok(ready)
    }

    /// The calls to submit.
    pub(crate) fn take_outgoing(&self) -> Vec<Outgoing> {
        let mut state = self.lock();
        state.announced = false;
        if state.abandoned { Vec::new() } else { std::mem::take(&mut state.outgoing) }
    }

    /// Takes the ends of a batch. Objects that nobody wants go to `unwanted`.
    pub(crate) fn complete(self: &Arc<Self>, batch: &mut Vec<Completion>, unwanted: &mut Vec<ObjectId>) {
        let mut state = self.lock();
        for Completion { slot, number, end, stats } in batch.drain(..) {
            let stored = end.stored();
            if state.abandoned {
                unwanted.extend(stored.map(|(object, _)| object));
                continue;
            }
            let Some(place) = state.slots.get_mut(slot as usize) else { continue };
            let (index, size) = (place.index, end.size());
            (place.number, place.stats, place.size) = (number, stats, size);
            if stored.is_some() {
                place.stage = Stage::Ended(end);
                state.stored.insert((index, slot));
            } else {
                self.settle(&mut state, slot, Stage::Ended(end));
            }
            state.window.end(Some(size));
        }
        self.fetch(state);
    }

    /// A call that never becomes a task has its end.
    fn refuse(&self, state: &mut State, slot: u32, end: End) {
        state.window.end(None);
        self.settle(state, slot, Stage::Ended(end));
    }

    /// The end of a call can be told.
    fn settle(&self, state: &mut State, slot: u32, stage: Stage) {
        state.slots[slot as usize].stage = stage;
        if !self.options.ordered {
            state.order.push_back(slot);
        }
    }

    /// Starts the fetches that the window allows (the next in order always), then wakes the receiver if it has
    /// something, and the sender if there is room.
    fn fetch(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.window.set_budget(self.transfer.budget_bytes());
        let head = if self.options.ordered { state.order.front().copied() } else { None };
        let mut jobs = Vec::new();
        while let Some(&(index, slot)) = state.stored.first() {
            let Some((object, length)) = state.slots[slot as usize].stored() else {
                state.stored.remove(&(index, slot));
                continue;
            };
            let fits = state.fetched == 0 || state.fetched + length <= self.options.window_bytes as u64;
            if !fits && head != Some(slot) {
                break;
            }
            state.stored.remove(&(index, slot));
            state.fetched += length;
            let place = &mut state.slots[slot as usize];
            place.fetched = length;
            place.stage = match std::mem::replace(&mut place.stage, Stage::Pending) {
                Stage::Ended(end) => Stage::Fetching(end),
                other => other,
            };
            jobs.push((slot, object, length));
        }
        let receiver = if state.front_is_ready() { state.receiver.take() } else { None };
        let sender = if state.window.is_calm() { state.sender.take() } else { None };
        drop(state);
        receiver.into_iter().chain(sender).for_each(Waker::wake);
        for (slot, object, length) in jobs {
            let shared = Arc::clone(self);
            self.transfer.get(object, length, move |result| shared.fetched(slot, object, result));
        }
    }

    fn fetched(&self, slot: u32, object: ObjectId, result: Result<Vec<u8>, String>) {
        let mut state = self.lock();
        if !state.abandoned {
            let place = &mut state.slots[slot as usize];
            let stored = std::mem::take(&mut place.size.stored);
            if let Stage::Fetching(mut end) = std::mem::replace(&mut place.stage, Stage::Pending) {
                end.fetched(object, result);
                self.settle(&mut state, slot, Stage::Ended(end));
            }
            state.window.fetched(stored);
        }
        let receiver = if state.front_is_ready() { state.receiver.take() } else { None };
        let sender = if state.window.is_calm() { state.sender.take() } else { None };
        drop(state);
        receiver.into_iter().chain(sender).for_each(Waker::wake);
        // Best effort: a session that is over needs no release.
        let _ = self.queue.push(Command::Release(object));
    }

    /// Ready with whether there is something in `taken` (if not, this is the end).
    fn poll_take(
        self: &Arc<Self>,
        taken: &mut VecDeque<PipeItem>,
        max: usize,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        while taken.len() < max && state.front_is_ready() {
            let Some(position) = state.order.pop_front() else { break };
            let slot = state.vacate(position);
            state.window.leave(slot.bytes, slot.size);
            state.fetched -= slot.fetched;
            let end = match slot.stage {
                Stage::Ended(end) | Stage::Fetching(end) => end,
                Stage::Pending => continue,
            };
            let queue = Arc::clone(&self.queue);
            let (index, number, version, stats) = (slot.index, slot.number, slot.version, slot.stats);
            taken.push_back(PipeItem { index, number, queue, version, end, stats });
        }
        if !taken.is_empty() {
            self.fetch(state);
            return Poll::Ready(true);
        }
        if state.window.calls() == 0 && (state.ended || state.told) {
            return Poll::Ready(false);
        }
        if let (0, Some(reason)) = (state.window.calls(), state.closed.clone()) {
            // In the place of the input's next element: else this would look like the end of all.
            state.told = true;
            let (index, queue, stats) = (state.next_index, Arc::clone(&self.queue), TaskStats::default());
            taken.push_back(PipeItem { index, number: 0, queue, version: None, end: End::Over(reason), stats });
            return Poll::Ready(true);
        }
        state.receiver = Some(context.waker().clone());
        // The head may be an end that waits for its value.
        self.fetch(state);
        Poll::Pending
    }

    /// The session is over: what was not submitted fails, nothing more is taken.
    pub(crate) fn close(&self, reason: &Closed) {
        let mut state = self.lock();
        state.closed = Some(reason.clone());
        for outgoing in std::mem::take(&mut state.outgoing) {
            self.refuse(&mut state, outgoing.slot, End::Lost(reason.clone()));
        }
        let wakers = [state.receiver.take(), state.sender.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl State {
    fn occupy(&mut self, slot: Slot) -> u32 {
        if let Some(position) = self.free.pop() {
            self.slots[position as usize] = slot;
            return position;
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    fn vacate(&mut self, position: u32) -> Slot {
        self.free.push(position);
        std::mem::replace(&mut self.slots[position as usize], Slot::empty())
    }

    fn front_is_ready(&self) -> bool {
        self.order.front().is_some_and(|position| match &self.slots[*position as usize].stage {
            Stage::Pending | Stage::Fetching(_) => false,
            Stage::Ended(end) => end.stored().is_none(),
        })
    }
}

impl Slot {
    fn empty() -> Self {
        Self {
            index: 0,
            number: 0,
            bytes: 0,
            size: Size::default(),
            fetched: 0,
            version: None,
            stage: Stage::Pending,
            stats: TaskStats::default(),
        }
    }

    fn stored(&self) -> Option<(ObjectId, u64)> {
        if let Stage::Ended(end) = &self.stage { end.stored() } else { None }
    }
}

/// The two ends of a pipe.
pub(crate) fn pipe(shared: PipeShared) -> (PipeSender, PipeReceiver) {
    let shared = Arc::new(shared);
    shared.queue.attach(&shared);
    (PipeSender { shared: Arc::clone(&shared), room: 0 }, PipeReceiver { shared, taken: VecDeque::new() })
}

impl PipeSender {
    /// Puts a call in; waits while the window is full.
    ///
    /// # Errors
    /// When the receiver is gone or the client disconnected.
    pub async fn send(&mut self, arguments: BoundArguments) -> Result<(), Error> {
        future::poll_fn(|context| self.poll_room(context)).await?;
        self.push(Ok(arguments)).map(drop)
    }

    /// As [`PipeSender::send`], blocking the thread.
    ///
    /// # Errors
    /// As [`PipeSender::send`].
    pub fn send_blocking(&mut self, arguments: BoundArguments) -> Result<(), Error> {
        if self.room == 0 {
            park::block_on(future::poll_fn(|context| self.poll_room(context)))?;
        }
        self.push(Ok(arguments)).map(drop)
    }

    /// Ready when a call can be put in.
    pub(crate) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.room == 0 {
            match self.shared.poll_room(context) {
                Poll::Ready(Ok(room)) => self.room = room.min(TAKE_MAX),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a call in, after [`PipeSender::poll_room`]. Says whether a result can be taken.
    ///
    /// # Errors
    /// When the receiver knows that the session is over.
    pub(crate) fn push(&mut self, call: Result<BoundArguments, Error>) -> Result<bool, Error> {
        let bytes = call.as_ref().map_or(0, |arguments| arguments.bytes.len());
        // Large arguments ask for another look at the window's bytes.
        self.room =
            if bytes > self.shared.options.window_bytes / (2 * TAKE_MAX) { 0 } else { self.room.saturating_sub(1) };
        self.shared.push(call)
    }
}

impl Drop for PipeSender {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        let waker = state.receiver.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl PipeReceiver {
    /// The next result; `None` when the sender is gone and everything was received. When the session ends before the
    /// input does, the last item is the error that says why.
    pub async fn receive(&mut self) -> Option<PipeItem> {
        future::poll_fn(|context| self.poll_receive(context)).await
    }

    /// As [`PipeReceiver::receive`], blocking the thread.
    pub fn receive_blocking(&mut self) -> Option<PipeItem> {
        if let Some(item) = self.taken.pop_front() {
            return Some(item);
        }
        park::block_on(self.receive())
    }

    /// Waits for at least one result and takes all that are there, up to `max`; `false` at the end.
    pub fn receive_many_blocking(&mut self, items: &mut Vec<PipeItem>, max: usize) -> bool {
        let Some(first) = self.receive_blocking() else { return false };
        items.push(first);
        let more = self.taken.len().min(max.saturating_sub(1));
        items.extend(self.taken.drain(..more));
        true
    }

    /// Whether results are in hand that need no waiting.
    pub(crate) fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<PipeItem>> {
        if self.taken.is_empty() && self.shared.poll_take(&mut self.taken, TAKE_MAX, context).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.taken.pop_front())
    }
}

impl Drop for PipeReceiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.abandoned = true;
        state.outgoing.clear();
        let objects: Vec<ObjectId> = state.slots.iter().filter_map(Slot::stored).map(|(object, _)| object).collect();
        let idle = state.window.calls() == 0;
        let waker = state.sender.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        // Best effort: with the session over there is nothing to cancel and nothing to release.
        for object in objects {
            let _ = self.shared.queue.push(Command::Release(object));
        }
        if !idle {
            let _ = self.shared.queue.push(Command::ClosePipe(Arc::clone(&self.shared)));
        }
    }
}

impl PipeItem {
    /// Position in the input, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The task (number 0 if the call never became one).
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.queue.task(self.number)
    }

    /// What it cost and where it ran.
    #[must_use]
    pub fn stats(&self) -> &TaskStats {
        &self.stats
    }

    /// The result in positional MessagePack.
    ///
    /// # Errors
    /// Why there is none.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        self.end.bytes(&self.about())
    }

    /// The result with the names of its type.
    ///
    /// # Errors
    /// When there is none, or the bytes are no value of that type.
    pub fn value(&self) -> Result<Value, Error> {
        self.end.value(&self.about())
    }

    /// The result as a Rust type.
    ///
    /// # Errors
    /// When there is none, or it does not have the type's shape.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let function = || self.version.as_ref().map(|version| version.name.to_string()).unwrap_or_default();
        self.value()?.to_serde().map_err(|source| Error::Shape { function: function(), source })
    }

    fn about(&self) -> About<'_> {
        About { queue: &self.queue, number: self.number, version: self.version.as_ref(), stats: &self.stats }
    }
}

impl fmt::Debug for PipeSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for PipeReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeReceiver").finish_non_exhaustive()
    }
}

impl fmt::Debug for PipeItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeItem").field("index", &self.index).field("end", &self.end).finish_non_exhaustive()
    }
}
