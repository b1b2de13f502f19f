//! The storage's index: which object has which content, who waits for what, and what may go.
//!
//! The bytes are the shell's; here a content is a number, a length and a fingerprint. Objects belong to owners (client
//! sessions): one that nobody has named as alive for the retention time is gone, and an object goes with the last of
//! its owners. Everything that was reserved, is held or waits is counted against a bound.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{ClientId, ObjectId, Time},
    object_stream::Info,
};

/// Requests that may wait at once.
pub const PARKED_MAX: usize = 100_000;

/// One content, shared by every object that has the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentId(pub u64);

/// One request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Some digest of a content: different digests mean different bytes, equal ones that it is worth comparing them.
pub type Fingerprint = [u8; 32];

/// What the shell has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A waiting get has its object.
    Found(Ticket, ContentId),
    /// A waiting duplicate is made.
    Linked(Ticket),
    /// A waiting request has waited long enough.
    Expired(Ticket),
    /// No object has this content any more.
    Free(ContentId),
}

/// How a request that can wait begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The object is there.
    Found(ContentId),
    /// It is not; an effect with this ticket follows.
    Parked(Ticket),
    /// It is not, and nobody wants to wait (or too many do).
    Absent,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} bytes do not fit: {used} of {budget} bytes are in use or reserved; release objects, or raise memory_budget_bytes"
)]
pub struct NoRoom {
    /// What was asked for.
    pub wanted: u64,
    /// What is held and reserved.
    pub used: u64,
    /// The bound.
    pub budget: u64,
}

/// A content that is to be an object's, reserved before.
#[derive(Clone, Copy, Debug)]
pub struct NewContent {
    /// Its bytes, as reserved.
    pub length: u64,
    /// Its digest.
    pub fingerprint: Fingerprint,
    /// A content that was found to have the same bytes.
    pub same_as: Option<ContentId>,
}

/// The index.
#[derive(Debug)]
pub struct Objects {
    budget_bytes: u64,
    retention_ms: u64,
    held_bytes: u64,
    reserved_bytes: u64,
    next: u64,
    objects: BTreeMap<ObjectId, Object>,
    contents: BTreeMap<ContentId, Content>,
    alike: BTreeMap<Fingerprint, BTreeSet<ContentId>>,
    owners: BTreeMap<ClientId, Owner>,
    /// When an owner that is not named again is gone.
    ends: BTreeSet<(Time, ClientId)>,
    parked: BTreeMap<Ticket, Parked>,
    awaited: BTreeMap<ObjectId, BTreeSet<Ticket>>,
    /// When a parked request has waited long enough.
    deadlines: BTreeSet<(Time, Ticket)>,
}

#[derive(Debug)]
struct Object {
    content: ContentId,
    owners: BTreeSet<ClientId>,
}

#[derive(Debug)]
struct Content {
    length: u64,
    fingerprint: Fingerprint,
    objects: u64,
}

#[derive(Debug)]
struct Owner {
    end: Time,
    objects: BTreeSet<ObjectId>,
}

#[derive(Debug)]
struct Parked {
    awaited: ObjectId,
    deadline: Time,
    /// For a duplicate: the id it makes, and for whom.
    link: Option<(ObjectId, ClientId)>,
}

impl Objects {
    /// An empty index.
    #[must_use]
    pub fn new(budget_bytes: u64, retention_ms: u64) -> Self {
        Self {
            budget_bytes,
            retention_ms,
            held_bytes: 0,
            reserved_bytes: 0,
            next: 0,
            objects: BTreeMap::new(),
            contents: BTreeMap::new(),
            alike: BTreeMap::new(),
            owners: BTreeMap::new(),
            ends: BTreeSet::new(),
            parked: BTreeMap::new(),
            awaited: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Takes room for a content that is about to arrive.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let used = self.held_bytes + self.reserved_bytes;
        if bytes > self.budget_bytes.saturating_sub(used) {
            return Err(NoRoom { wanted: bytes, used, budget: self.budget_bytes });
        }
        self.reserved_bytes += bytes;
        Ok(())
    }

    /// Gives back the room of a content that did not arrive.
    pub fn unreserve(&mut self, bytes: u64) {
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes);
    }

    /// Contents that may have the same bytes.
    pub fn alike(&self, fingerprint: &Fingerprint) -> impl Iterator<Item = ContentId> {
        self.alike.get(fingerprint).into_iter().flatten().copied()
    }

    /// An object's content has arrived; its room was reserved. Returns which content the object has now: the shell
    /// keeps the bytes under it unless it has them already.
    pub fn put(
        &mut self,
        now: Time,
        id: ObjectId,
        owner: ClientId,
        new: NewContent,
        out: &mut Vec<Effect>,
    ) -> ContentId {
        self.unreserve(new.length);
        let content = match new.same_as.filter(|same| self.contents.contains_key(same)) {
            Some(same) => same,
            None => self.add_content(new),
        };
        self.link(now, id, owner, content, out);
        content
    }

    /// Looks for an object; with a deadline, waits for it.
    pub fn get(&mut self, id: ObjectId, deadline: Option<Time>) -> Lookup {
        match self.objects.get(&id) {
            Some(object) => Lookup::Found(object.content),
            None => self.park(id, deadline, None),
        }
    }

    /// Gives the content of `original` another id, at once or when it arrives.
    pub fn duplicate(
        &mut self,
        now: Time,
        original: ObjectId,
        link: (ObjectId, ClientId),
        deadline: Option<Time>,
        out: &mut Vec<Effect>,
    ) -> Lookup {
        let Some(object) = self.objects.get(&original) else { return self.park(original, deadline, Some(link)) };
        let content = object.content;
        self.link(now, link.0, link.1, content, out);
        Lookup::Found(content)
    }

    /// The one who waited is gone.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.unpark(ticket);
    }

    /// Deletes an object, whoever owns it. False: there is none.
    pub fn delete(&mut self, id: ObjectId, out: &mut Vec<Effect>) -> bool {
        let Some(object) = self.objects.remove(&id) else { return false };
        for owner in object.owners {
            self.disown(owner, id);
        }
        self.drop_reference(object.content, out);
        true
    }

    /// These owners are alive.
    pub fn name_owners(&mut self, now: Time, alive: impl IntoIterator<Item = ClientId>) {
        for id in alive {
            self.extend_owner(now, id);
        }
    }

    /// Ends what has waited long enough and sweeps what belongs to nobody any more.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        while let Some((_, ticket)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.unpark(ticket);
            out.push(Effect::Expired(ticket));
        }
        while let Some((_, owner)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
            self.ends.pop_first();
            for id in self.owners.remove(&owner).map(|owner| owner.objects).unwrap_or_default() {
                let Some(object) = self.objects.get_mut(&id) else { continue };
                object.owners.remove(&owner);
                if object.owners.is_empty() {
                    self.delete(id, out);
                }
            }
        }
    }

    /// When `tick` has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let waiting = self.deadlines.first().map(|(at, _)| *at);
        waiting.into_iter().chain(self.ends.first().map(|(at, _)| *at)).min()
    }

    /// Totals.
    #[must_use]
    pub fn info(&self) -> Info {
        Info {
            objects: self.objects.len() as u64,
            contents: self.contents.len() as u64,
            bytes: self.held_bytes,
            budget_bytes: self.budget_bytes,
            parked: self.parked.len() as u64,
        }
    }

    fn add_content(&mut self, new: NewContent) -> ContentId {
        self.next += 1;
        let id = ContentId(self.next);
        self.held_bytes += new.length;
        self.contents.insert(id, Content { length: new.length, fingerprint: new.fingerprint, objects: 0 });
        self.alike.entry(new.fingerprint).or_default().insert(id);
        id
    }

    /// Makes `content` the content of `id` and answers everybody who waits for it, also through duplicates of it.
    fn link(&mut self, now: Time, id: ObjectId, owner: ClientId, content: ContentId, out: &mut Vec<Effect>) {
        let mut links = vec![(id, owner)];
        while let Some((id, owner)) = links.pop() {
            self.set(now, id, owner, content, out);
            for ticket in self.awaited.get(&id).cloned().unwrap_or_default() {
                match self.unpark(ticket).and_then(|parked| parked.link) {
                    Some(link) => {
                        links.push(link);
                        out.push(Effect::Linked(ticket));
                    }
                    None => out.push(Effect::Found(ticket, content)),
                }
            }
        }
    }

    fn set(&mut self, now: Time, id: ObjectId, owner: ClientId, content: ContentId, out: &mut Vec<Effect>) {
        if let Some(content) = self.contents.get_mut(&content) {
            content.objects += 1;
        }
        let before = match self.objects.get_mut(&id) {
            Some(object) => {
                object.owners.insert(owner);
                Some(std::mem::replace(&mut object.content, content))
            }
            None => {
                self.objects.insert(id, Object { content, owners: BTreeSet::from([owner]) });
                None
            }
        };
        let end = now.plus_ms(self.retention_ms);
        self.owners.entry(owner).or_insert_with(|| Owner { end, objects: BTreeSet::new() }).objects.insert(id);
        self.extend_owner(now, owner);
        if let Some(before) = before {
            self.drop_reference(before, out);
        }
    }

    fn extend_owner(&mut self, now: Time, id: ClientId) {
        let Some(owner) = self.owners.get_mut(&id) else { return };
        self.ends.remove(&(owner.end, id));
        owner.end = now.plus_ms(self.retention_ms);
        self.ends.insert((owner.end, id));
    }

    fn disown(&mut self, id: ClientId, object: ObjectId) {
        let Some(owner) = self.owners.get_mut(&id) else { return };
        owner.objects.remove(&object);
        if owner.objects.is_empty() {
            self.ends.remove(&(owner.end, id));
            self.owners.remove(&id);
        }
    }

    fn drop_reference(&mut self, id: ContentId, out: &mut Vec<Effect>) {
        let Some(content) = self.contents.get_mut(&id) else { return };
        content.objects -= 1;
        if content.objects > 0 {
            return;
        }
        self.held_bytes -= content.length;
        let fingerprint = content.fingerprint;
        self.contents.remove(&id);
        if let Some(alike) = self.alike.get_mut(&fingerprint) {
            alike.remove(&id);
            if alike.is_empty() {
                self.alike.remove(&fingerprint);
            }
        }
        out.push(Effect::Free(id));
    }

    fn park(&mut self, awaited: ObjectId, deadline: Option<Time>, link: Option<(ObjectId, ClientId)>) -> Lookup {
        let Some(deadline) = deadline.filter(|_| self.parked.len() < PARKED_MAX) else { return Lookup::Absent };
        self.next += 1;
        let ticket = Ticket(self.next);
        self.parked.insert(ticket, Parked { awaited, deadline, link });
        self.awaited.entry(awaited).or_default().insert(ticket);
        self.deadlines.insert((deadline, ticket));
        Lookup::Parked(ticket)
    }

    fn unpark(&mut self, ticket: Ticket) -> Option<Parked> {
        let parked = self.parked.remove(&ticket)?;
        self.deadlines.remove(&(parked.deadline, ticket));
        if let Some(tickets) = self.awaited.get_mut(&parked.awaited) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.awaited.remove(&parked.awaited);
            }
        }
        Some(parked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(0);

    fn id(number: u8) -> ObjectId {
        ObjectId([number; 32])
    }

    struct Index {
        objects: Objects,
        out: Vec<Effect>,
    }

    impl Index {
        fn new() -> Self {
            Self { objects: Objects::new(100, 1_000), out: Vec::new() }
        }

        fn put(&mut self, number: u8, owner: u64, length: u64, print: u8) -> ContentId {
            self.put_at(NOW, number, owner, length, print)
        }

        fn put_at(&mut self, now: Time, number: u8, owner: u64, length: u64, print: u8) -> ContentId {
            self.objects.reserve(length).expect("room");
            let fingerprint = [print; 32];
            let same_as = self.objects.alike(&fingerprint).next();
            let new = NewContent { length, fingerprint, same_as };
            self.objects.put(now, id(number), ClientId(owner), new, &mut self.out)
        }

        fn effects(&mut self) -> Vec<Effect> {
            std::mem::take(&mut self.out)
        }

        fn totals(&self) -> (u64, u64, u64) {
            let info = self.objects.info();
            (info.objects, info.contents, info.bytes)
        }

        fn tick(&mut self, at: Time) -> Vec<Effect> {
            self.objects.tick(at, &mut self.out);
            self.effects()
        }
    }

    fn ticket(lookup: Lookup) -> Ticket {
        let Lookup::Parked(ticket) = lookup else { panic!("parked, not {lookup:?}") };
        ticket
    }

    #[test]
    fn an_override_frees_the_old_content_once_nobody_has_it() {
        let mut index = Index::new();
        let first = index.put(1, 1, 10, 1);
        assert_eq!(index.objects.get(id(1), None), Lookup::Found(first));
        let second = index.put(1, 1, 20, 2);
        assert_eq!(index.effects(), [Effect::Free(first)]);
        assert_eq!(index.objects.get(id(1), None), Lookup::Found(second));
        assert_eq!(index.put(1, 1, 20, 2), second);
        assert_eq!((index.effects(), index.totals()), (vec![], (1, 1, 20)));
    }

    #[test]
    fn equal_contents_count_once_and_go_with_the_last_id() {
        let mut index = Index::new();
        let content = index.put(1, 1, 10, 1);
        assert_eq!(index.put(2, 1, 10, 1), content);
        index.put(3, 1, 0, 3);
        assert_eq!(index.totals(), (3, 2, 10));
        assert!(index.objects.delete(id(1), &mut index.out));
        assert!(!index.objects.delete(id(1), &mut index.out));
        assert_eq!((index.effects(), index.totals()), (vec![], (2, 2, 10)));
        assert!(index.objects.delete(id(2), &mut index.out));
        assert_eq!((index.effects(), index.totals()), (vec![Effect::Free(content)], (1, 1, 0)));
    }

    #[test]
    fn gets_wait_for_the_object_or_the_deadline() {
        let mut index = Index::new();
        assert_eq!(index.objects.get(id(1), None), Lookup::Absent);
        let first = ticket(index.objects.get(id(1), Some(NOW.plus_ms(5))));
        let second = ticket(index.objects.get(id(1), Some(NOW.plus_ms(9))));
        let canceled = ticket(index.objects.get(id(1), Some(NOW.plus_ms(9))));
        index.objects.cancel(canceled);
        assert_eq!(index.objects.next_deadline(), Some(NOW.plus_ms(5)));
        assert_eq!(index.tick(NOW.plus_ms(5)), [Effect::Expired(first)]);
        let content = index.put(1, 1, 10, 1);
        assert_eq!(index.effects(), [Effect::Found(second, content)]);
        assert_eq!(index.objects.info().parked, 0);
    }

    #[test]
    fn duplicates_wait_and_chain() {
        let mut index = Index::new();
        let owner = ClientId(1);
        let wait = Some(NOW.plus_ms(5));
        let second = ticket(index.objects.duplicate(NOW, id(1), (id(2), owner), wait, &mut index.out));
        let third = ticket(index.objects.duplicate(NOW, id(2), (id(3), owner), wait, &mut index.out));
        let circle = ticket(index.objects.duplicate(NOW, id(3), (id(1), owner), wait, &mut index.out));
        let get = ticket(index.objects.get(id(3), wait));
        let content = index.put(1, 1, 10, 1);
        let mut effects = index.effects();
        effects.sort_by_key(|effect| format!("{effect:?}"));
        let expected =
            [Effect::Found(get, content), Effect::Linked(second), Effect::Linked(third), Effect::Linked(circle)];
        assert_eq!(effects, expected);
        assert_eq!(index.totals(), (3, 1, 10));
        let found = index.objects.duplicate(NOW, id(3), (id(4), owner), None, &mut index.out);
        assert_eq!((found, index.totals()), (Lookup::Found(content), (4, 1, 10)));
        let absent = index.objects.duplicate(NOW, id(9), (id(8), owner), None, &mut index.out);
        assert_eq!(absent, Lookup::Absent);
    }

    #[test]
    fn room_is_reserved_and_given_back() {
        let mut index = Index::new();
        index.put(1, 1, 60, 1);
        index.objects.reserve(40).expect("room");
        assert_eq!(index.objects.reserve(1), Err(NoRoom { wanted: 1, used: 100, budget: 100 }));
        assert_eq!(index.objects.reserve(0), Ok(()));
        index.objects.unreserve(40);
        index.put(2, 1, 40, 2);
        index.objects.delete(id(1), &mut index.out);
        assert_eq!(index.objects.reserve(60), Ok(()));
        assert_eq!(index.objects.reserve(u64::MAX).map_err(|no| no.wanted), Err(u64::MAX));
    }

    #[test]
    fn an_object_goes_with_its_last_owner_and_not_before() {
        let mut index = Index::new();
        let shared = index.put(1, 1, 10, 1);
        index.put(1, 2, 10, 1);
        let own = index.put(2, 1, 10, 2);
        assert_eq!(index.objects.next_deadline(), Some(NOW.plus_ms(1_000)));
        index.objects.name_owners(NOW.plus_ms(600), [ClientId(2), ClientId(77)]);
        assert_eq!(index.tick(NOW.plus_ms(999)), []);
        assert_eq!(index.tick(NOW.plus_ms(1_000)), [Effect::Free(own)]);
        assert_eq!(index.totals(), (1, 1, 10));
        assert_eq!(index.tick(NOW.plus_ms(1_600)), [Effect::Free(shared)]);
        assert_eq!((index.totals(), index.objects.next_deadline()), ((0, 0, 0), None));
    }

    #[test]
    fn a_put_is_a_sign_of_life() {
        let mut index = Index::new();
        index.put(1, 1, 10, 1);
        index.put_at(NOW.plus_ms(500), 2, 1, 10, 2);
        assert_eq!(index.tick(NOW.plus_ms(1_000)), []);
        assert_eq!(index.tick(NOW.plus_ms(1_500)).len(), 2);
    }

    #[test]
    fn nothing_is_left_after_everything_is_deleted() {
        let mut index = Index::new();
        let mut random = 7_u64;
        for step in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (number, owner, print) = ((random >> 33) as u8 % 8, (random >> 45) % 3, (random >> 50) as u8 % 5);
            match (random >> 57) % 4 {
                0 => drop(index.objects.delete(id(number), &mut index.out)),
                1 => drop(index.objects.get(id(number), Some(NOW.plus_ms(step + 10)))),
                2 => {
                    let link = (id(print), ClientId(owner));
                    index.objects.duplicate(NOW, id(number), link, Some(NOW.plus_ms(step + 9)), &mut index.out);
                }
                _ => drop(index.put_at(NOW.plus_ms(step), number, owner, u64::from(print), print)),
            }
            index.objects.tick(NOW.plus_ms(step), &mut index.out);
            let of_objects: u64 = index.objects.contents.values().map(|content| content.objects).sum();
            assert_eq!(of_objects, index.objects.objects.len() as u64);
            let bytes: u64 = index.objects.contents.values().map(|content| content.length).sum();
            assert_eq!(bytes, index.totals().2);
        }
        index.objects.tick(NOW.plus_ms(1_000_000), &mut index.out);
        let objects = &index.objects;
        assert!(objects.objects.is_empty() && objects.contents.is_empty() && objects.alike.is_empty());
        assert!(objects.owners.is_empty() && objects.ends.is_empty() && objects.parked.is_empty());
        assert!(objects.awaited.is_empty() && objects.deadlines.is_empty());
        assert_eq!((objects.held_bytes, objects.reserved_bytes), (0, 0));
    }
}
