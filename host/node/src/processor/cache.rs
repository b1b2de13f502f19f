//! Objects that tasks share, kept by the processor within a bound, so that each travels to it once.

use std::{collections::BTreeMap, sync::Arc};

use scaler_proto::ids::ObjectId;

/// The objects used last, up to a number of bytes.
#[derive(Debug)]
pub(super) struct ObjectCache {
    max_bytes: u64,
    held_bytes: u64,
    /// Counts uses.
    clock: u64,
    objects: BTreeMap<ObjectId, Held>,
    /// When each was used last.
    by_use: BTreeMap<u64, ObjectId>,
}

#[derive(Debug)]
struct Held {
    bytes: Arc<Vec<u8>>,
    used: u64,
}

impl ObjectCache {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held_bytes: 0, clock: 0, objects: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// An object that is here.
    pub(super) fn get(&mut self, id: ObjectId) -> Option<Arc<Vec<u8>>> {
        let held = self.objects.get_mut(&id)?;
        self.by_use.remove(&held.used);
        self.clock += 1;
        held.used = self.clock;
        self.by_use.insert(self.clock, id);
        Some(Arc::clone(&held.bytes))
    }

    /// Keeps an object in the place of those that were not used for the longest time. One that is too large for the
    /// whole cache is not kept.
    pub(super) fn insert(&mut self, id: ObjectId, bytes: Arc<Vec<u8>>) {
        let length = bytes.len() as u64;
        self.remove(id);
        if length > self.max_bytes {
            return;
        }
        while self.held_bytes + length > self.max_bytes
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            self.remove(*oldest);
        }
        self.clock += 1;
        self.by_use.insert(self.clock, id);
        self.held_bytes += length;
        self.objects.insert(id, Held { bytes, used: self.clock });
    }

    fn remove(&mut self, id: ObjectId) {
        if let Some(held) = self.objects.remove(&id) {
            self.by_use.remove(&held.used);
            self.held_bytes -= held.bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId([number; 32])
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_the_bound_holds() {
        let mut cache = ObjectCache::new(10);
        for number in 1..=2 {
            cache.insert(id(number), Arc::new(vec![number; 4]));
        }
        assert!(cache.get(id(1)).is_some());
        cache.insert(id(3), Arc::new(vec![3; 4]));
        assert!(cache.get(id(2)).is_none(), "2 was used before 1");
        assert!(cache.get(id(1)).is_some() && cache.get(id(3)).is_some());
        cache.insert(id(4), Arc::new(vec![4; 11]));
        assert!(cache.get(id(4)).is_none(), "it is larger than the cache");
        assert!(cache.get(id(1)).is_some() && cache.get(id(3)).is_some());
        cache.insert(id(5), Arc::new(vec![5; 10]));
        assert_eq!((cache.held_bytes, cache.objects.len(), cache.by_use.len()), (10, 1, 1));
        cache.insert(id(5), Arc::new(vec![5; 1]));
        assert_eq!(cache.held_bytes, 1);
    }
}
