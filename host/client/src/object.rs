//! Values that are stored once and used by many tasks.

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use scaler_module::{BindError, Parameter, Type};
use scaler_proto::{
    ids::{ClientId, ObjectId},
    message::{ArgumentObject, PutObject},
    value::Value,
};
use serde::{Serialize, Serializer, ser::Error as _, ser::SerializeMap as _};

use crate::{
    Error,
    queue::{Command, Queue},
};

/// The one name in the map that stands for an object among values, until the arguments are bound.
const MARK: &str = "\u{0}scaler object";

thread_local! {
    /// The objects that were met while a value is being written; `None` when that is not for arguments.
    static MET: RefCell<Option<Vec<ObjectRef>>> = const { RefCell::new(None) };
}

/// A value that [`crate::Client::send_object`] has stored: cheap to clone, an argument of as many tasks as you like.
///
/// It is an argument of its own, by position or by name (`client.submit(&price, (&table, 0.2))`), not a part of one. It
/// fits wherever its value would; that is checked once a type. The object lives until the last clone is dropped and the
/// last task that uses it has ended, or until [`crate::Client::clear`], or until the client disconnects. The client
/// keeps the encoded value as long, so that a scheduler that was restarted gets it again.
#[derive(Clone)]
pub struct ObjectRef {
    pub(crate) inner: Arc<Stored>,
}

/// What is behind all clones.
pub(crate) struct Stored {
    pub(crate) id: ObjectId,
    name: String,
    pub(crate) bytes: Arc<Vec<u8>>,
    queue: Arc<Queue>,
    /// Not cleared.
    live: AtomicBool,
    /// Types that it was found to fit.
    fits: Mutex<Vec<Type>>,
}

impl ObjectRef {
    pub(crate) fn new(id: ObjectId, name: &str, bytes: Vec<u8>, queue: Arc<Queue>) -> Self {
        let (name, bytes) = (name.to_owned(), Arc::new(bytes));
        let stored = Stored { id, name, bytes, queue, live: AtomicBool::new(true), fits: Mutex::default() };
        Self { inner: Arc::new(stored) }
    }

    /// What it was called when it was sent.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its id in the object storage.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.inner.id
    }

    /// Its size in bytes, as it is stored.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.inner.bytes.len() as u64
    }

    pub(crate) fn announcement(&self) -> PutObject {
        PutObject { object: self.inner.id, name: self.inner.name.clone(), length: self.length() }
    }

    pub(crate) fn downgrade(&self) -> Weak<Stored> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn as_argument(&self, index: u16) -> ArgumentObject {
        ArgumentObject { index, object: self.inner.id, length: self.length() }
    }

    /// Whether that client may use it.
    pub(crate) fn usable_by(&self, client: ClientId) -> Result<(), Error> {
        if self.inner.queue.client == client && self.inner.live.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::MissingObject { name: self.inner.name.clone() })
    }

    /// Whether it fits a parameter, looked at once a type.
    pub(crate) fn check(&self, parameter: &Parameter) -> Result<(), BindError> {
        let fits = || self.inner.fits.lock().unwrap_or_else(PoisonError::into_inner);
        if fits().contains(&parameter.ty) {
            return Ok(());
        }
        // Not under the lock: this takes its time for large values.
        parameter.check(&Value::decode(&self.inner.bytes)?)?;
        fits().push(parameter.ty.clone());
        Ok(())
    }
}

impl Stored {
    /// From now on no task may use it.
    pub(crate) fn invalidate(&self) {
        self.live.store(false, Ordering::Release);
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if *self.live.get_mut() {
            // A session that is over has no objects.
            let _ = self.queue.push(Command::Release(self.id));
        }
    }
}

/// Only while arguments are made of it: an object is nothing outside the cluster.
impl Serialize for ObjectRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = MET.with_borrow_mut(|met| {
            met.as_mut().map(|met| {
                met.push(self.clone());
                met.len() - 1
            })
        });
        let number = number.ok_or_else(|| S::Error::custom("an object can only be an argument of a call"))?;
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(MARK, &number)?;
        map.end()
    }
}

/// Runs `write`, which makes a value, and adds the objects that it meets to `objects`.
pub(crate) fn meeting<T>(objects: &mut Vec<ObjectRef>, write: impl FnOnce() -> T) -> T {
    let before = MET.replace(Some(std::mem::take(objects)));
    let value = write();
    *objects = MET.replace(before).unwrap_or_default();
    value
}

/// The number of the object that a value stands for, if it does.
pub(crate) fn number_of(value: &Value) -> Option<usize> {
    match value {
        Value::Map(entries) => match &entries[..] {
            [(name, Value::Int(number))] if name == MARK => usize::try_from(*number).ok(),
            _ => None,
        },
        _ => None,
    }
}

impl fmt::Debug for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stored { id, name, bytes, .. } = &*self.inner;
        f.debug_struct("ObjectRef").field("name", name).field("id", id).field("length", &bytes.len()).finish()
    }
}
