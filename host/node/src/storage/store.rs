//! The index with the bytes and the waiting requests beside it, shared by all connections. The lock is held for index
//! work only, never while bytes move or memory is returned.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scaler_proto::{
    ids::{ClientId, ObjectId, Time},
    object_stream::Info,
    objects::{ContentId, Effect, Lookup, NewContent, NoRoom, Objects, Ticket},
};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout_at,
};

use super::{StorageOptions, content::Content};

/// Contents with the same fingerprint that are compared byte by byte before a new one is kept beside them.
const COMPARED_MAX: usize = 4;
/// Comparing more than this is told to the runtime, so that other connections go on.
const COMPARED_AT_ONCE_BYTES: usize = 1 << 20;

pub(super) struct Store {
    start: Instant,
    inner: Mutex<Inner>,
    /// The index's next deadline may have come nearer.
    sooner: Notify,
    /// There is more room than before.
    roomier: Notify,
    room_wait: Duration,
    waiting_for_room: AtomicU64,
}

struct Inner {
    index: Objects,
    contents: BTreeMap<ContentId, Arc<Content>>,
    waiters: BTreeMap<Ticket, oneshot::Sender<Answer>>,
}

/// What a request that can wait ends with.
pub(super) enum Answer {
    Found(Arc<Content>),
    Linked,
    Absent,
}

/// How a request that can wait begins.
pub(super) enum Begun {
    Answered(Answer),
    Waiting(Waiting),
}

/// A parked request; it is withdrawn when this is dropped.
pub(super) struct Waiting {
    store: Arc<Store>,
    ticket: Ticket,
    answer: oneshot::Receiver<Answer>,
}

/// Room for a content that is about to arrive; given back when this is dropped before the put.
pub(super) struct Room {
    store: Arc<Store>,
    bytes: u64,
    is_used: bool,
}

impl Store {
    pub(super) fn new(options: &StorageOptions) -> Self {
        let retention_ms = u64::try_from(options.retention.as_millis()).unwrap_or(u64::MAX);
        let index = Objects::new(options.budget_bytes, retention_ms);
        let inner = Inner { index, contents: BTreeMap::new(), waiters: BTreeMap::new() };
        Self {
            start: Instant::now(),
            inner: Mutex::new(inner),
            sooner: Notify::new(),
            roomier: Notify::new(),
            room_wait: options.room_wait,
            waiting_for_room: AtomicU64::new(0),
        }
    }

    /// Takes room, and waits a while until there is some.
    pub(super) async fn room(self: &Arc<Self>, bytes: u64) -> Result<Room, NoRoom> {
        let deadline = tokio::time::Instant::now() + self.room_wait;
        loop {
            // Before the look, so that nothing is missed between the two.
            let mut roomier = pin!(self.roomier.notified());
            roomier.as_mut().enable();
            match self.reserve(bytes) {
                Err(no_room) if no_room.wanted <= no_room.budget => {
                    self.waiting_for_room.fetch_add(1, Ordering::Relaxed);
                    let waited = timeout_at(deadline, roomier).await;
                    self.waiting_for_room.fetch_sub(1, Ordering::Relaxed);
                    waited.map_err(|_| no_room)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Room, NoRoom> {
        self.lock().index.reserve(bytes)?;
        Ok(Room { store: Arc::clone(self), bytes, is_used: false })
    }

    pub(super) fn put(&self, id: ObjectId, owner: ClientId, content: Content, mut room: Room) {
        let fingerprint = content.fingerprint();
        let same_as = self.find_same(&content, &fingerprint);
        let new = NewContent { length: room.bytes, fingerprint, same_as };
        room.is_used = true;
        self.change(|inner, now, effects| {
            let kept = inner.index.put(now, id, owner, new, effects);
            inner.contents.entry(kept).or_insert_with(|| Arc::new(content));
        });
        self.sooner.notify_one();
    }

    pub(super) fn get(self: &Arc<Self>, id: ObjectId, wait: Duration) -> Begun {
        let deadline = self.deadline(wait);
        self.begin(|inner, _, _| inner.index.get(id, deadline), Answer::Found)
    }

    pub(super) fn duplicate(self: &Arc<Self>, original: ObjectId, link: (ObjectId, ClientId), wait: Duration) -> Begun {
        let deadline = self.deadline(wait);
        let begin = |inner: &mut Inner, now, effects: &mut Vec<Effect>| {
            inner.index.duplicate(now, original, link, deadline, effects)
        };
        self.begin(begin, |_| Answer::Linked)
    }

    pub(super) fn delete(&self, ids: &[ObjectId]) -> Vec<bool> {
        self.change(|inner, _, effects| ids.iter().map(|id| inner.index.delete(*id, effects)).collect())
    }

    pub(super) fn name_owners(&self, alive: impl IntoIterator<Item = ClientId>) {
        self.change(|inner, now, _| inner.index.name_owners(now, alive));
    }

    pub(super) fn info(&self) -> Info {
        let mut info = self.lock().index.info();
        info.parked += self.waiting_for_room.load(Ordering::Relaxed);
        info
    }

    /// Lets waiting requests expire and sweeps, for ever.
    pub(super) async fn keep_time(&self) {
        loop {
            let next = self.lock().index.next_deadline();
            match next {
                None => self.sooner.notified().await,
                Some(at) => {
                    let at = self.start + Duration::from_nanos(at.0);
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = self.sooner.notified() => {}
                    }
                }
            }
            self.change(|inner, now, effects| inner.index.tick(now, effects));
        }
    }

    fn begin(
        self: &Arc<Self>,
        lookup: impl FnOnce(&mut Inner, Time, &mut Vec<Effect>) -> Lookup,
        found: impl FnOnce(Arc<Content>) -> Answer,
    ) -> Begun {
        let begun = self.change(|inner, now, effects| match lookup(inner, now, effects) {
            Lookup::Found(content) => match inner.contents.get(&content) {
                Some(content) => Begun::Answered(found(Arc::clone(content))),
                None => Begun::Answered(Answer::Absent),
            },
            Lookup::Absent => Begun::Answered(Answer::Absent),
            Lookup::Parked(ticket) => {
                let (sender, answer) = oneshot::channel();
                inner.waiters.insert(ticket, sender);
                Begun::Waiting(Waiting { store: Arc::clone(self), ticket, answer })
            }
        });
        self.sooner.notify_one();
        begun
    }

    /// Changes the index and does what follows from it. What is freed goes after the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Inner, Time, &mut Vec<Effect>) -> T) -> T {
        let now = Time(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let (mut effects, mut freed) = (Vec::new(), Vec::<Arc<Content>>::new());
        let mut inner = self.lock();
        let result = change(&mut inner, now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Found(ticket, content) => {
                    let found = inner.contents.get(&content).map(Arc::clone);
                    inner.answer(ticket, found.map_or(Answer::Absent, Answer::Found));
                }
                Effect::Linked(ticket) => inner.answer(ticket, Answer::Linked),
                Effect::Expired(ticket) => inner.answer(ticket, Answer::Absent),
                Effect::Free(content) => freed.extend(inner.contents.remove(&content)),
            }
        }
        drop(inner);
        if !freed.is_empty() {
            self.roomier.notify_waiters();
        }
        drop(freed);
        result
    }

    /// A content that is kept already and has the same bytes.
    fn find_same(&self, content: &Content, fingerprint: &[u8; 32]) -> Option<ContentId> {
        let candidates: Vec<(ContentId, Arc<Content>)> = {
            let inner = self.lock();
            let alike = inner.index.alike(fingerprint).take(COMPARED_MAX);
            alike.filter_map(|id| inner.contents.get(&id).map(|content| (id, Arc::clone(content)))).collect()
        };
        let compare = || candidates.iter().find(|(_, candidate)| ***candidate == **content).map(|(id, _)| *id);
        if candidates.is_empty() || content.len() <= COMPARED_AT_ONCE_BYTES {
            compare()
        } else {
            tokio::task::block_in_place(compare)
        }
    }

    fn deadline(&self, wait: Duration) -> Option<Time> {
        let at = self.start.elapsed().saturating_add(wait);
        (!wait.is_zero()).then(|| Time(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// A panic while the lock was held would have left a whole index, so there is nothing to poison.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(waiter) = self.waiters.remove(&ticket) {
            // The one who waited may have gone in this moment.
            drop(waiter.send(answer));
        }
    }
}

impl Waiting {
    pub(super) async fn answer(&mut self) -> Answer {
        (&mut self.answer).await.unwrap_or(Answer::Absent)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.store.lock();
        inner.index.cancel(self.ticket);
        inner.waiters.remove(&self.ticket);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.is_used {
            self.store.lock().index.unreserve(self.bytes);
            self.store.roomier.notify_waiters();
        }
    }
}
