//! What a call is given: any Rust value that serde can write, names and positions, or bytes bound before.

use std::sync::Arc;

use scaler_proto::{
    message::ArgumentObject,
    value::{Value, ValueError},
};
use serde::Serialize;

use crate::{
    Error, ObjectRef,
    function::Version,
    object::{meeting, number_of},
    outermost::Outermost,
    queue::Queue,
};

/// Arguments by position and by name.
///
/// A tuple, array, list or tuple struct gives arguments by position, a struct or map by name, `()` none, and anything
/// else (a case of an enum whatever it carries, bytes, so a `Vec<u8>` as well) is the one argument; `Arguments` mixes
/// both. To give a list, struct or map as the one argument, write `(value,)`.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(String, Value)>,
    /// What some of the values stand for.
    pub(crate) objects: Vec<ObjectRef>,
    /// What they were made of.
    pub(crate) outermost: Outermost,
    failure: Option<ValueError>,
}

/// Arguments that were bound to one function, ready to be sent; see [`crate::Function::bind`].
#[derive(Clone, Debug)]
pub struct BoundArguments {
    pub(crate) version: Arc<Version>,
    pub(crate) bytes: Vec<u8>,
    /// Arguments that are objects, by parameter.
    pub(crate) objects: Vec<(u16, ObjectRef)>,
}

impl BoundArguments {
    /// Whether the objects among them can still be used by that client.
    pub(crate) fn check(&self, queue: &Queue) -> Result<(), Error> {
        self.objects.iter().try_for_each(|(_, object)| object.usable_by(queue.client))
    }

    pub(crate) fn references(&self) -> Vec<ArgumentObject> {
        self.objects.iter().map(|(index, object)| object.as_argument(*index)).collect()
    }
}

/// Whatever can be the arguments of a call.
pub trait IntoArguments {
    /// The arguments.
    ///
    /// # Errors
    /// When a value has no form that can be sent.
    fn into_arguments(self) -> Result<Arguments, ValueError>;
}

impl Arguments {
    /// No arguments yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more argument by position.
    #[must_use]
    pub fn arg(mut self, value: impl Serialize) -> Self {
        if let Some(value) = self.convert(value) {
            self.positional.push(value);
        }
        self
    }

    /// An argument by name, in either spelling.
    #[must_use]
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        if let Some(value) = self.convert(value) {
            self.named.push((name.into(), value));
        }
        self
    }

    /// An object is an argument, never a part of one.
    fn with_objects_apart(self) -> Result<Self, ValueError> {
        let values = self.positional.iter().chain(self.named.iter().map(|(_, value)| value));
        if self.objects.is_empty() || values.filter(|value| number_of(value).is_some()).count() == self.objects.len() {
            return Ok(self);
        }
        let name = self.objects.first().map(ObjectRef::name).unwrap_or_default();
        let reason = format!("object `{name}` is part of an argument; it has to be an argument of its own");
        Err(ValueError::Unwritable { reason })
    }

    fn convert(&mut self, value: impl Serialize) -> Option<Value> {
        let value = meeting(&mut self.objects, || Value::from_serde(&value));
        value.map_err(|error| self.failure.get_or_insert(error)).ok()
    }
}

impl IntoArguments for Arguments {
    fn into_arguments(self) -> Result<Arguments, ValueError> {
        match self.failure {
            Some(error) => Err(error),
            None => self.with_objects_apart(),
        }
    }
}

impl<T: Serialize> IntoArguments for T {
    fn into_arguments(self) -> Result<Arguments, ValueError> {
        let outermost = Outermost::of(&self);
        let mut objects = Vec::new();
        let (positional, named) = match meeting(&mut objects, || Value::from_serde(&self))? {
            object if !objects.is_empty() && number_of(&object).is_some() => (vec![object], Vec::new()),
            case if outermost == Outermost::Case => (vec![case], Vec::new()),
            Value::Null => (Vec::new(), Vec::new()),
            Value::List(values) => (values, Vec::new()),
            Value::Map(values) => (Vec::new(), values),
            other => (vec![other], Vec::new()),
        };
        Arguments { positional, named, objects, outermost, failure: None }.with_objects_apart()
    }
}
