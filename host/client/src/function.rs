//! A function that was looked up.

use scaler_module::Signature;
use scaler_proto::message::{Identity, Registered};

use crate::{BoundArguments, Error, IntoArguments};

/// A function of a module, as the scheduler resolved it. Cheap to clone. When the module is rebuilt, the function
/// follows: later calls are bound to the new signature.
#[derive(Clone, Debug)]
pub struct Function {
    _registered: Registered,
}

impl Function {
    /// `module.path:function`, as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Parameters with names, types and defaults, and the result. `describe()` of it is for people.
    #[must_use]
    pub fn signature(&self) -> std::sync::Arc<Signature> {
        todo!()
    }

    /// Which bytes it is in, and how they were prepared.
    #[must_use]
    pub fn identity(&self) -> Identity {
        todo!()
    }

    /// Binds arguments, for calls that are made more than once or on another thread.
    ///
    /// # Errors
    /// When they do not fit; the error names function, parameter and the place inside the value.
    pub fn bind(&self, _arguments: impl IntoArguments) -> Result<BoundArguments, Error> {
        todo!()
    }
}
