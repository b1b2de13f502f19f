//! Large arguments and results of a processor: fetched from and put into the object storage.

use std::time::Duration;

use scaler_net::{
    Address,
    objects::{ClientOptions, ObjectClient, ObjectError, RESTART_TIMEOUT},
};
use scaler_proto::{
    ids::{ClientId, ObjectId},
    message::{Failure, FailureKind},
};

use super::records::failure;

/// How long arguments are waited for that their client is still putting.
const ARGUMENTS_WAIT: Duration = Duration::from_secs(60);
/// An object is stored before a task names it; only after a restart its client may be storing it again.
const OBJECT_WAIT: Duration = Duration::from_secs(5);

/// The storage, once its address is known.
#[derive(Default)]
pub(super) struct Storage(Option<ObjectClient>);

impl Storage {
    /// It is there from now on.
    pub(super) fn set_address(&mut self, text: &str) {
        // The agent has read the address; one that is none leaves the processor without storage.
        self.0 = text.parse::<Address>().ok().map(|address| ObjectClient::new(address, options()));
    }

    /// Stored arguments.
    pub(super) fn get(&mut self, id: ObjectId) -> Result<Vec<u8>, Failure> {
        self.client()?.get(id, ARGUMENTS_WAIT).map_err(|error| described(&error, "the task's arguments"))
    }

    /// An argument that is an object of its own; counted from 1.
    pub(super) fn get_object(&mut self, id: ObjectId, argument: usize) -> Result<Vec<u8>, Failure> {
        self.client()?.get(id, OBJECT_WAIT).map_err(|error| described(&error, &format!("argument {argument}")))
    }

    /// A large result.
    pub(super) fn put(&mut self, id: ObjectId, owner: ClientId, bytes: &[u8]) -> Result<(), Failure> {
        self.client()?.put(id, owner, bytes).map_err(|error| described(&error, "the task's result"))
    }

    fn client(&mut self) -> Result<&mut ObjectClient, Failure> {
        self.0.as_mut().ok_or_else(|| {
            failure(
                FailureKind::ObjectLost,
                "the scheduler has no object storage, and the value is too large without one",
            )
        })
    }
}

fn described(error: &ObjectError, what: &str) -> Failure {
    // For want of room it is the cluster that could not go on: the task has kept to its limits.
    let kind = match error {
        ObjectError::Full { .. } => FailureKind::Aborted,
        _ => FailureKind::ObjectLost,
    };
    failure(kind, format!("{what}: {error}"))
}

/// While its scheduler starts the storage again, tasks wait rather than fail.
fn options() -> ClientOptions {
    ClientOptions { restart_timeout: RESTART_TIMEOUT, ..ClientOptions::default() }
}
