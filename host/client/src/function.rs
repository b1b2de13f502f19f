//! A function that was looked up.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use scaler_module::{BindError, Signature, SignatureError};
use scaler_proto::{
    ids::FunctionId,
    message::{Identity, Registered},
    value::Value,
};

use crate::{Arguments, BoundArguments, Error, IntoArguments, ObjectRef, object::number_of};

/// A function of a module, as the scheduler resolved it. Cheap to clone. When the module is rebuilt, the function
/// follows: later calls are bound to the new signature.
#[derive(Clone)]
pub struct Function {
    name: Arc<str>,
    version: Arc<RwLock<Arc<Version>>>,
}

/// What a function was at one time.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: Arc<str>,
    pub(crate) registration: u64,
    /// Of the scheduler that gave the number.
    pub(crate) epoch: u64,
    pub(crate) function: FunctionId,
    pub(crate) identity: Identity,
    pub(crate) signature: Arc<Signature>,
    pub(crate) signature_bytes: Vec<u8>,
    /// Workers that could run it when it was looked up.
    pub(crate) workers: usize,
}

impl Version {
    pub(crate) fn new(name: Arc<str>, epoch: u64, registered: Registered) -> Result<Self, SignatureError> {
        Ok(Self {
            name,
            registration: registered.request,
            epoch,
            function: registered.function,
            identity: registered.identity,
            signature: Arc::new(Signature::from_bytes(&registered.info.signature)?),
            signature_bytes: registered.info.signature,
            workers: registered.workers as usize,
        })
    }

    pub(crate) fn decode(&self, result: &[u8]) -> Result<Value, Error> {
        self.signature
            .decode_returned(result)
            .map_err(|source| Error::Decode { function: self.name.to_string(), source })
    }
}

impl Function {
    pub(crate) fn new(version: Version) -> Self {
        Self { name: Arc::clone(&version.name), version: Arc::new(RwLock::new(Arc::new(version))) }
    }

    pub(crate) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, version: Version) {
        *self.version.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(version);
    }

    /// `module.path:function`, as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Parameters with names, types and defaults, and the result. `describe()` of it is for people.
    #[must_use]
    pub fn signature(&self) -> Arc<Signature> {
        Arc::clone(&self.version().signature)
    }

    /// Which bytes it is in, and how they were prepared.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.version().identity.clone()
    }

    /// Binds arguments, for calls that are made more than once or on another thread.
    ///
    /// # Errors
    /// When they do not fit; the error names function, parameter and the place inside the value.
    pub fn bind(&self, arguments: impl IntoArguments) -> Result<BoundArguments, Error> {
        let version = self.version();
        let arguments =
            arguments.into_arguments().map_err(|source| Error::Value { function: self.name.to_string(), source })?;
        let (bytes, objects) = bind(&version.signature, &arguments).map_err(|source| Error::Bind {
            function: self.name.to_string(),
            source,
            outermost: arguments.outermost,
        })?;
        Ok(BoundArguments { version, bytes, objects })
    }
}

type Bound = (Vec<u8>, Vec<(u16, ObjectRef)>);

fn bind(signature: &Signature, arguments: &Arguments) -> Result<Bound, BindError> {
    let Arguments { positional, named, objects, .. } = arguments;
    if objects.is_empty() {
        return Ok((signature.bind(positional, named)?, Vec::new()));
    }
    let object = |value: &Value| number_of(value).and_then(|number| objects.get(number));
    let (bytes, places) = signature.bind_around(positional, named, object)?;
    let mut bound = Vec::with_capacity(places.len());
    for (index, object) in places {
        object.check(&signature.parameters[index])?;
        // Functions have far fewer parameters than a number of 16 bits counts.
        bound.push((u16::try_from(index).unwrap_or(u16::MAX), object.clone()));
    }
    Ok((bytes, bound))
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}
