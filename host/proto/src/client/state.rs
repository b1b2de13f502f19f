//! The client core itself.

use crate::{
    client::{Call, ClientConfig, Effect, Place, Wanted},
    ids::{ObjectId, PeerId, Time},
    message::RegisterModule,
    session::Packet,
};

/// See [the module](crate::client).
#[derive(Debug)]
pub struct ClientCore {
    config: ClientConfig,
}

impl ClientCore {
    /// A session that begins now, without a connection.
    #[must_use]
    pub fn new(config: ClientConfig, now: Time) -> Self {
        let _ = now;
        Self { config }
    }
    /// The link has a connection; any older one is forgotten.
    pub fn connected(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// A packet arrived.
    pub fn handle(&mut self, _now: Time, _peer: PeerId, _packet: Packet, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// The connection is gone.
    pub fn disconnected(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// Once per batch: expires, and sends what there is to send.
    pub fn tick(&mut self, _now: Time, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// When `tick` must be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        todo!()
    }
    /// Asks for a function. Answered by `Registered`, `RegisterFailed` or first `Parked`.
    pub fn register(&mut self, _wanted: Wanted) {
        todo!()
    }
    /// How many calls wait at the caller for a registration that has no answer yet; 0 withdraws it (no answer follows).
    pub fn demand(&mut self, _request: u64, _held: u64) {
        todo!()
    }
    /// Announces a module whose bytes the caller puts into the object storage.
    pub fn register_module(&mut self, _module: RegisterModule) {
        todo!()
    }
    /// Takes a call. Numbers must rise from 1. Its one `Effect::Ended` comes out of a later `handle` or `tick`.
    pub fn submit(&mut self, _number: u64, _call: Call) {
        todo!()
    }
    /// Cancels a task; its `Effect::Ended` says whether that came in time. Unknown numbers are ignored.
    pub fn cancel(&mut self, _number: u64) {
        todo!()
    }
    /// A stored result (or object) is no longer needed.
    pub fn release(&mut self, _object: ObjectId) {
        todo!()
    }
    /// Asks for a picture of the cluster.
    pub fn query(&mut self, _request: u64) {
        todo!()
    }
    /// Asks the scheduler to end itself and all clusters.
    pub fn shutdown(&mut self, _request: u64) {
        todo!()
    }
    /// Leaves: all open tasks end as canceled, the scheduler is told, `Effect::Closed` comes last.
    pub fn leave(&mut self, _now: Time, _reason: &str, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// Where a task is; `None` when it has ended or never was.
    #[must_use]
    pub fn place(&self, _number: u64) -> Option<Place> {
        todo!()
    }
    /// Tasks that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        todo!()
    }
    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }
    /// Who this is.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }
}
