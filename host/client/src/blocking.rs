//! The same client without async: every method blocks the calling thread.

use std::{path::Path, time::Duration};

use scaler_proto::{
    ids::{ClientId, TaskId},
    message::TaskStats,
    value::Value,
    view::View,
};
use serde::de::DeserializeOwned;

use crate::{
    ClientBuilder, Error, Function, FunctionOptions, IntoArguments, MapOptions, ModuleOptions, PipeReceiver,
    PipeSender, SubmitOptions,
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
    pub fn connect_blocking(self, _address: &str) -> Result<Client, Error> {
        todo!()
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
    pub fn function_with(&self, _target: &str, _options: &FunctionOptions) -> Result<Function, Error> {
        todo!()
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

    /// See [`crate::Client::map`].
    pub fn map<I>(&self, function: &Function, input: I, options: MapOptions) -> MapIterator<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: IntoArguments,
    {
        MapIterator { inner: self.inner.map(function, input, options) }
    }

    /// See [`crate::Client::pipe`].
    #[must_use]
    pub fn pipe(&self, function: &Function, options: MapOptions) -> (PipeSender, PipeReceiver) {
        self.inner.pipe(function, options)
    }

    /// See [`crate::Client::register_module`].
    ///
    /// # Errors
    /// As there.
    pub fn register_module(&self, _path: impl AsRef<Path>, _options: &ModuleOptions) -> Result<(), Error> {
        todo!()
    }

    /// See [`crate::Client::register_module_bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn register_module_bytes(&self, _bytes: Vec<u8>, _options: &ModuleOptions) -> Result<(), Error> {
        todo!()
    }

    /// See [`crate::Client::status`].
    ///
    /// # Errors
    /// As there.
    pub fn status(&self) -> Result<View, Error> {
        todo!()
    }

    /// See [`crate::Client::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self) -> Result<(), Error> {
        todo!()
    }

    /// See [`crate::Client::disconnect`].
    pub fn disconnect(&self) {
        todo!()
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
    pub fn result<T: DeserializeOwned>(self) -> Result<T, Error> {
        todo!()
    }

    /// See [`crate::TaskFuture::result_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn result_timeout<T: DeserializeOwned>(&mut self, _timeout: Duration) -> Result<T, Error> {
        todo!()
    }

    /// See [`crate::TaskFuture::value`].
    ///
    /// # Errors
    /// As there.
    pub fn value(self) -> Result<Value, Error> {
        todo!()
    }

    /// See [`crate::TaskFuture::cancel`].
    pub fn cancel(&mut self) -> bool {
        todo!()
    }
}

impl<I> MapIterator<I> {
    /// The next result as a Rust type; `None` at the end.
    pub fn next_as<T: DeserializeOwned>(&mut self) -> Option<Result<T, Error>> {
        todo!()
    }
}

impl<I> Iterator for MapIterator<I> {
    type Item = Result<Value, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = &self.inner;
        todo!()
    }
}

/// See [`crate::status`].
///
/// # Errors
/// As there.
pub fn status(_address: &str, _timeout: Duration) -> Result<View, Error> {
    todo!()
}
