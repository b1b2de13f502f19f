//! What a call is given: any Rust value that serde can write, names and positions, or bytes bound before.

use std::sync::Arc;

use scaler_proto::value::{Value, ValueError};
use serde::Serialize;

use crate::function::Version;

/// Arguments by position and by name.
///
/// A tuple, array, list or tuple struct gives arguments by position, a struct or map by name, `()` none, and anything
/// else is the one argument; `Arguments` mixes both.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(String, Value)>,
    failure: Option<ValueError>,
}

/// Arguments that were bound to one function, ready to be sent; see [`crate::Function::bind`].
#[derive(Clone, Debug)]
pub struct BoundArguments {
    pub(crate) version: Arc<Version>,
    pub(crate) bytes: Vec<u8>,
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

    fn convert(&mut self, value: impl Serialize) -> Option<Value> {
        Value::from_serde(&value).map_err(|error| self.failure.get_or_insert(error)).ok()
    }
}

impl IntoArguments for Arguments {
    fn into_arguments(self) -> Result<Arguments, ValueError> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

impl<T: Serialize> IntoArguments for T {
    fn into_arguments(self) -> Result<Arguments, ValueError> {
        let (positional, named) = match Value::from_serde(&self)? {
            Value::Null => (Vec::new(), Vec::new()),
            Value::List(values) => (values, Vec::new()),
            Value::Map(values) => (Vec::new(), values),
            other => (vec![other], Vec::new()),
        };
        Ok(Arguments { positional, named, failure: None })
    }
}
