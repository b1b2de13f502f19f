//! The same client without async: every method blocks the calling thread.

use std::{path::Path, time::Duration};

use scaler_proto::{
    call::Call,
    ids::{ClientId, TaskId},
    message::TaskStats,
    value::Value,
    view::View,
};
use serde::de::DeserializeOwned;

use crate::{
    BoundArguments, ClientBuilder, Error, Function, FunctionOptions, Input, IntoArguments, IteratorInput, MapOptions,
    ModuleOptions, PipeItem, PipeReceiver, PipeSender, SubmitOptions, park::block_on,
};

/// See [`crate::Client`].
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
}

/// See [`crate::TaskFuture`].
#[derive(Debug)]
pub struct TaskFuture {
    inner: crate::TaskFuture,
}

/// The results of [`Client::map`].
#[derive(Debug)]
pub struct MapIterator<I> {
    inner: crate::MapStream<I>,
}

impl ClientBuilder {
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

    /// See [`crate::TaskFuture::result`].
    ///
    /// # Errors
    /// As there.
    pub fn result<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        self.inner.result_blocking(None)
    }

    /// See [`crate::TaskFuture::result_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn result_timeout<T: DeserializeOwned>(&mut self, timeout: Duration) -> Result<T, Error> {
        self.inner.result_blocking(Some(timeout))
    }

    /// See [`crate::TaskFuture::value`].
    ///
    /// # Errors
    /// As there.
    pub fn value(mut self) -> Result<Value, Error> {
        self.inner.value_blocking()
    }

    /// See [`crate::TaskFuture::cancel`].
    pub fn cancel(&mut self) -> bool {
        block_on(self.inner.cancel())
    }
}

impl<I: Input> MapIterator<I> {
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
