//! Objects that clients put for use in many tasks: who owns which, how many there are.
//!
//! The scheduler knows ids, names and lengths, no bytes. An object lives until its client releases it or is gone; a
//! client releases none that an unfinished task of its own still needs.

use crate::{
    ids::{ClientId, ObjectId, PeerId},
    message::{Kind, PutObject},
};

use super::Scheduler;

/// Objects that a client may have at once.
const OBJECTS_MAX: usize = 1 << 16;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;

impl Scheduler {
    /// Takes note of a client's objects. Saying it again changes nothing.
    pub(super) fn put_objects(&mut self, id: ClientId, peer: PeerId, puts: Vec<PutObject>) {
        for mut put in puts {
            let Some(client) = self.clients.get_mut(&id) else { return };
            let refusal = if !is_of(put.object, id) {
                Some(format!("object {} is not one of {id}", put.object))
            } else if client.objects.len() >= OBJECTS_MAX && !client.objects.contains_key(&put.object) {
                Some(format!("{id} has {OBJECTS_MAX} objects already; let some go"))
            } else {
                None
            };
            if let Some(reason) = refusal {
                self.peers.refuse(peer, Kind::PutObject as u16, reason);
                continue;
            }
            put.name.truncate(put.name.floor_char_boundary(NAME_BYTES_MAX));
            client.objects.insert(put.object, put);
        }
    }

    /// Objects of clients, and results that are stored for them.
    pub(super) fn object_count(&self) -> u64 {
        self.clients.values().map(|client| client.objects.len() as u64 + client.stored_count()).sum()
    }
}

/// Whether an id is what [`ObjectId::of_client`] makes for this client.
fn is_of(object: ObjectId, client: ClientId) -> bool {
    let number = object.0[8..16].try_into().map_or(0, u64::from_be_bytes);
    object == ObjectId::of_client(client, number)
}
