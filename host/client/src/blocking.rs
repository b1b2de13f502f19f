//! The same client without async: every method blocks the calling thread.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use scaler_proto::{
    call::Call,
    ids::{ClientId, TaskId},
    message::TaskStats,
    value::Value,
    view::View,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BoundArguments, ClientBuilder, Error, Function, FunctionOptions, Input, IntoArguments, IteratorInput, MapOptions,
    ModuleOptions, ObjectRef, PipeItem, PipeReceiver, PipeSender, Profile, ReturnWhen, SubmitOptions, Waited,
    park::{block, block_on},
    together::{Gathering, wait_blocking},
};

/// See [`crate::Client`].
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
}

/// See [`crate::TaskFuture`].
#[derive(Clone, Debug)]
pub struct TaskFuture {
    inner: crate::TaskFuture,
}

/// Futures in the order in which they end; see [`as_completed`].
#[derive(Debug)]
pub struct AsCompleted {
    inner: crate::AsCompleted,
}

/// The results of [`Client::map`].
#[derive(Debug)]
pub struct MapIterator<I> {
    inner: crate::MapStream<I>,
}

impl ClientBuilder {
    /// As [`ClientBuilder::connect_from_environment`], blocking the thread.
    ///
    /// # Errors
    /// As there.
    pub fn connect_from_environment_blocking(self) -> Result<Client, Error> {
        Ok(Client { inner: block_on(self.connect_from_environment())? })
    }

    /// As [`ClientBuilder::connect`], blocking the thread.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect_blocking(self, address: &str) -> Result<Client, Error> {
        Ok(Client { inner: block_on(self.connect(address))? })
    }
}

impl Client {
    /// See [`crate::Client::builder`]; end with [`ClientBuilder::connect_blocking`].
    pub fn builder() -> ClientBuilder {
        crate::Client::builder()
    }

    /// See [`crate::Client::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new() -> Result<Self, Error> {
        Self::builder().connect_from_environment_blocking()
    }

    /// See [`crate::Client::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(address: &str) -> Result<Self, Error> {
        Self::builder().connect_blocking(address)
    }

    /// See [`crate::Client::id`].
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.inner.id()
    }

    /// See [`crate::Client::function`].
    ///
    /// # Errors
    /// As there.
    pub fn function(&self, target: &str) -> Result<Function, Error> {
        self.function_with(target, &FunctionOptions::default())
    }

    /// See [`crate::Client::function_with`].
    ///
    /// # Errors
    /// As there.
    pub fn function_with(&self, target: &str, options: &FunctionOptions) -> Result<Function, Error> {
        block_on(self.inner.function_with(target, options))
    }

    /// See [`crate::Client::submit`].
    ///
    /// # Errors
    /// As there.
    pub fn submit(&self, function: &Function, arguments: impl IntoArguments) -> Result<TaskFuture, Error> {
        self.submit_with(function, arguments, &SubmitOptions::default())
    }

    /// See [`crate::Client::submit_with`].
    ///
    /// # Errors
    /// As there.
    pub fn submit_with(
        &self,
        function: &Function,
        arguments: impl IntoArguments,
        options: &SubmitOptions,
    ) -> Result<TaskFuture, Error> {
        Ok(TaskFuture { inner: self.inner.submit_with(function, arguments, options)? })
    }

    /// See [`crate::Client::submit_bound`].
    ///
    /// # Errors
    /// As there.
    pub fn submit_bound(&self, arguments: BoundArguments, options: &SubmitOptions) -> Result<TaskFuture, Error> {
        Ok(TaskFuture { inner: self.inner.submit_bound(arguments, options)? })
    }

    /// See [`crate::Client::call`].
    ///
    /// # Errors
    /// As there.
    pub fn call(&self, call: &str) -> Result<TaskFuture, Error> {
        self.call_with(call, &SubmitOptions::default())
    }

    /// See [`crate::Client::call_with`].
    ///
    /// # Errors
    /// As there.
    pub fn call_with(&self, call: &str, options: &SubmitOptions) -> Result<TaskFuture, Error> {
        Ok(TaskFuture { inner: self.inner.call_with(call, options)? })
    }

    /// See [`crate::Client::submit_call`].
    ///
    /// # Errors
    /// As there.
    pub fn submit_call(&self, call: Call, options: &SubmitOptions) -> Result<TaskFuture, Error> {
        Ok(TaskFuture { inner: self.inner.submit_call(call, options)? })
    }

    /// See [`crate::Client::send_object`].
    ///
    /// # Errors
    /// As there.
    pub fn send_object(&self, value: impl Serialize, name: &str) -> Result<ObjectRef, Error> {
        block_on(self.inner.send_object(value, name))
    }

    /// See [`crate::Client::clear`].
    ///
    /// # Errors
    /// As there.
    pub fn clear(&self) -> Result<(), Error> {
        block_on(self.inner.clear())
    }

    /// See [`crate::Client::map_all`].
    ///
    /// # Errors
    /// As there.
    pub fn map_all<T, I>(&self, function: &Function, input: I, options: MapOptions) -> Result<Vec<T>, Error>
    where
        T: DeserializeOwned,
        I: IntoIterator,
        I::Item: IntoArguments,
    {
        block_on(self.inner.map_all(function, input, options))
    }

    /// See [`crate::Client::map`].
    pub fn map<I>(&self, function: &Function, input: I, options: MapOptions) -> MapIterator<IteratorInput<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: IntoArguments,
    {
        MapIterator { inner: self.inner.map(function, input, options) }
    }

    /// See [`crate::Client::pipe`].
    #[must_use]
    pub fn pipe(&self, options: MapOptions) -> (PipeSender, PipeReceiver) {
        self.inner.pipe(options)
    }

    /// See [`crate::Client::register_module`].
    ///
    /// # Errors
    /// As there.
    pub fn register_module(&self, path: impl AsRef<Path>, options: &ModuleOptions) -> Result<(), Error> {
        block_on(self.inner.register_module(path, options))
    }

    /// See [`crate::Client::register_module_bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn register_module_bytes(&self, name: &str, bytes: Vec<u8>, options: &ModuleOptions) -> Result<(), Error> {
        block_on(self.inner.register_module_bytes(name, bytes, options))
    }

    /// See [`crate::Client::status`].
    ///
    /// # Errors
    /// As there.
    pub fn status(&self) -> Result<View, Error> {
        block_on(self.inner.status())
    }

    /// See [`crate::Client::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self) -> Result<(), Error> {
        block_on(self.inner.shutdown())
    }

    /// See [`crate::Client::disconnect`].
    pub fn disconnect(&self) {
        block_on(self.inner.disconnect());
    }
}

impl TaskFuture {
    /// See [`crate::TaskFuture::id`].
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.inner.id()
    }

    /// See [`crate::TaskFuture::done`].
    #[must_use]
    pub fn done(&self) -> bool {
        self.inner.done()
    }

    /// See [`crate::TaskFuture::running`].
    #[must_use]
    pub fn running(&self) -> bool {
        self.inner.running()
    }

    /// See [`crate::TaskFuture::cancelled`].
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }

    /// See [`crate::TaskFuture::stats`].
    #[must_use]
    pub fn stats(&self) -> Option<TaskStats> {
        self.inner.stats()
    }

    /// See [`crate::TaskFuture::profiling_info`].
    ///
    /// # Errors
    /// As there.
    pub fn profiling_info(&self) -> Result<Profile, Error> {
        self.inner.profiling_info()
    }

    /// See [`crate::TaskFuture::exception`].
    #[must_use]
    pub fn exception(&self) -> Option<Error> {
        self.inner.exception_blocking(None).unwrap_or_else(Some)
    }

    /// See [`crate::TaskFuture::exception_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn exception_timeout(&self, timeout: Duration) -> Result<Option<Error>, Error> {
        self.inner.exception_blocking(Some(timeout))
    }

    /// See [`crate::TaskFuture::add_done_callback`].
    pub fn add_done_callback(&self, callback: impl FnOnce(Self) + Send + 'static) {
        self.inner.add_done_callback(|inner| callback(Self { inner }));
    }

    /// See [`crate::TaskFuture::result`].
    ///
    /// # Errors
    /// As there.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.inner.result_blocking(None)
    }

    /// See [`crate::TaskFuture::result_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn result_timeout<T: DeserializeOwned>(&self, timeout: Duration) -> Result<T, Error> {
        self.inner.result_blocking(Some(timeout))
    }

    /// See [`crate::TaskFuture::value`].
    ///
    /// # Errors
    /// As there.
    pub fn value(&self) -> Result<Value, Error> {
        self.inner.value_blocking()
    }

    /// See [`crate::TaskFuture::cancel`].
    pub fn cancel(&self) -> bool {
        block_on(self.inner.cancel())
    }
}

impl AsCompleted {
    /// See [`crate::AsCompleted::next_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<TaskFuture>, Error> {
        let next = block(Instant::now().checked_add(timeout), |context| self.inner.poll_ended(context));
        let next = next.ok_or(Error::Timeout { waited: timeout })?;
        Ok(next.map(|inner| TaskFuture { inner }))
    }
}

impl Iterator for AsCompleted {
    type Item = TaskFuture;

    fn next(&mut self) -> Option<TaskFuture> {
        block_on(self.inner.next()).map(|inner| TaskFuture { inner })
    }
}

/// See [`crate::as_completed`].
pub fn as_completed(futures: impl IntoIterator<Item = TaskFuture>) -> AsCompleted {
    AsCompleted { inner: crate::as_completed(futures.into_iter().map(|future| future.inner)) }
}

/// See [`crate::wait`].
pub fn wait(
    futures: impl IntoIterator<Item = TaskFuture>,
    timeout: Option<Duration>,
    when: ReturnWhen,
) -> Waited<TaskFuture> {
    let futures = futures.into_iter().map(|future| future.inner).collect();
    let Waited { done, not_done } = wait_blocking(futures, timeout, when);
    let wrap = |futures: Vec<crate::TaskFuture>| futures.into_iter().map(|inner| TaskFuture { inner }).collect();
    Waited { done: wrap(done), not_done: wrap(not_done) }
}

/// See [`crate::gather`].
///
/// # Errors
/// As there.
pub fn gather<T: DeserializeOwned>(futures: impl IntoIterator<Item = TaskFuture>) -> Result<Vec<T>, Error> {
    block_on(crate::gather(futures.into_iter().map(|future| future.inner)))
}

/// See [`crate::gather_timeout`].
///
/// # Errors
/// As there.
pub fn gather_timeout<T: DeserializeOwned>(
    futures: impl IntoIterator<Item = TaskFuture>,
    timeout: Duration,
) -> Result<Vec<T>, Error> {
    let mut gathering = Gathering::new(futures.into_iter().map(|future| future.inner));
    block(Instant::now().checked_add(timeout), |context| gathering.poll(context))
        .unwrap_or(Err(Error::Timeout { waited: timeout }))
}

impl<I: Input> MapIterator<I> {
    /// See [`crate::MapStream::all`].
    ///
    /// # Errors
    /// As there.
    pub fn all<T: DeserializeOwned>(self) -> Result<Vec<T>, Error> {
        block_on(self.inner.all())
    }

    /// The next result as a Rust type; `None` at the end.
    pub fn next_as<T: DeserializeOwned>(&mut self) -> Option<Result<T, Error>> {
        self.next_item().map(|item| item.result())
    }

    /// The next result with all that is known about its task; `None` at the end.
    pub fn next_item(&mut self) -> Option<PipeItem> {
        block_on(self.inner.next_item())
    }
}

impl<I: Input> Iterator for MapIterator<I> {
    type Item = Result<Value, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().map(|item| item.value())
    }
}

/// See [`crate::status`].
///
/// # Errors
/// As there.
pub fn status(address: &str, timeout: Duration) -> Result<View, Error> {
    block_on(crate::status(address, timeout))
}
