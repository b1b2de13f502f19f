//! The blocking client of the object storage: one stream, one request at a time.

use std::{io, time::Duration};

use scaler_proto::{
    ids::{ClientId, ObjectId},
    object_stream::Info,
};

use crate::Address;

/// How long a client waits for the other end.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For each read or write to make progress (beside the time that a `get` asked to wait).
    pub progress_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), progress_timeout: Duration::from_secs(30) }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The object is not there and did not come in the time it was waited for.
    #[error("object {id} is not in the object storage at {address} (waited {waited_ms} ms)")]
    NotFound {
        /// Which.
        id: ObjectId,
        /// Where it was looked for.
        address: Address,
        /// How long.
        waited_ms: u64,
    },
    /// The storage has no room.
    #[error("the object storage at {address} has no room: {reason}")]
    Full {
        /// Which storage.
        address: Address,
        /// What it said.
        reason: String,
    },
    /// The storage does not do this.
    #[error("the object storage at {address} refused: {reason}")]
    Refused {
        /// Which storage.
        address: Address,
        /// What it said.
        reason: String,
    },
    /// The connection failed.
    #[error("object storage at {address}: {source}")]
    Io {
        /// Which storage.
        address: Address,
        /// What happened.
        source: io::Error,
    },
}

/// One stream to an object storage; connects at the first request and again after a broken connection.
pub struct ObjectClient {}

impl ObjectClient {
    /// A client of the storage at `address`; does not connect yet.
    #[must_use]
    pub fn new(_address: Address, _options: ClientOptions) -> Self {
        todo!()
    }

    /// The storage's address.
    #[must_use]
    pub fn address(&self) -> &Address {
        todo!()
    }

    /// Stores `bytes` under `id`, over what was there, and answers the gets that wait for it.
    pub fn put(&mut self, _id: ObjectId, _owner: ClientId, _bytes: &[u8]) -> Result<(), ObjectError> {
        todo!()
    }

    /// The whole object; waits up to `wait` for it to arrive.
    pub fn get(&mut self, _id: ObjectId, _wait: Duration) -> Result<Vec<u8>, ObjectError> {
        todo!()
    }

    /// The object's bytes from `offset`, at most `length` of them (fewer when it ends before).
    pub fn get_range(
        &mut self,
        _id: ObjectId,
        _offset: u64,
        _length: u64,
        _wait: Duration,
    ) -> Result<Vec<u8>, ObjectError> {
        todo!()
    }

    /// Deletes; one flag an id: whether it existed.
    pub fn delete(&mut self, _ids: &[ObjectId]) -> Result<Vec<bool>, ObjectError> {
        todo!()
    }

    /// Gives the content of `original` a second id; waits up to `wait` for the original to arrive.
    pub fn duplicate(
        &mut self,
        _original: ObjectId,
        _id: ObjectId,
        _owner: ClientId,
        _wait: Duration,
    ) -> Result<(), ObjectError> {
        todo!()
    }

    /// Totals.
    pub fn info(&mut self) -> Result<Info, ObjectError> {
        todo!()
    }

    /// Scheduler only: these owners are alive. Objects of owners that nobody names are swept after the retention time.
    pub fn owners(&mut self, _alive: &[ClientId]) -> Result<(), ObjectError> {
        todo!()
    }
}
