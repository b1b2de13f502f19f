//! The client: one connection to one scheduler.

use std::{path::Path, time::Duration};

use futures_core::Stream;
use scaler_proto::{ids::ClientId, view::View};

use crate::{
    Error, Function, FunctionOptions, IntoArguments, MapOptions, MapStream, ModuleOptions, PipeReceiver, PipeSender,
    SubmitOptions, TaskFuture,
};

/// A connection to a scheduler. Cheap to clone; the last clone that is dropped disconnects.
#[derive(Clone, Debug)]
pub struct Client {}

/// Settings of a connection; see [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    name: Option<String>,
    timeout: Duration,
    connect_timeout: Duration,
    heartbeat: Duration,
}

impl ClientBuilder {
    /// What the client is called in views and logs (default: the host's name).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Without a word from the scheduler for this long everything fails (default: 60 s).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait for the first answer (default: 5 s).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Time between heartbeats (default: 2 s).
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// When the address cannot be used or no scheduler answers in time.
    pub async fn connect(self, _address: &str) -> Result<Client, Error> {
        todo!()
    }
}

impl Client {
    /// Settings first, then [`ClientBuilder::connect`].
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            name: None,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(2),
        }
    }

    /// Connects with default settings to, for instance, `tcp://127.0.0.1:8516`.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Self::builder().connect(address).await
    }

    /// The session's id, as in views and logs.
    #[must_use]
    pub fn id(&self) -> ClientId {
        todo!()
    }

    /// Looks up `module.path:function`. While no cluster is connected this waits.
    ///
    /// # Errors
    /// When the text is no target, or there is no such module or function; the error lists what there is.
    pub async fn function(&self, target: &str) -> Result<Function, Error> {
        self.function_with(target, &FunctionOptions::default()).await
    }

    /// As [`Client::function`], among the clusters that offer the capabilities, for a limited time.
    ///
    /// # Errors
    /// As [`Client::function`]; [`Error::NoCluster`] when the time is over.
    pub async fn function_with(&self, _target: &str, _options: &FunctionOptions) -> Result<Function, Error> {
        todo!()
    }

    /// Submits a call.
    ///
    /// # Errors
    /// When the arguments do not fit the function, or the client is disconnected.
    pub fn submit(&self, function: &Function, arguments: impl IntoArguments) -> Result<TaskFuture, Error> {
        self.submit_with(function, arguments, &SubmitOptions::default())
    }

    /// As [`Client::submit`], with options.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn submit_with(
        &self,
        _function: &Function,
        _arguments: impl IntoArguments,
        _options: &SubmitOptions,
    ) -> Result<TaskFuture, Error> {
        todo!()
    }

    /// Submits a call in the grammar of the command line: `module.path:function('x', y=1)`. The function is looked up
    /// on the way; if there is none, or the arguments do not fit, the future says so.
    ///
    /// # Errors
    /// When the text is no call, or the client is disconnected.
    pub fn call(&self, call: &str) -> Result<TaskFuture, Error> {
        self.call_with(call, &SubmitOptions::default())
    }

    /// As [`Client::call`], with options.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_with(&self, _call: &str, _options: &SubmitOptions) -> Result<TaskFuture, Error> {
        todo!()
    }

    /// Calls a function for each element. The input is drawn as results are taken, so memory is bounded by the options'
    /// window. An element whose arguments do not fit gives an error in its place.
    pub fn map<I>(&self, _function: &Function, _input: I, _options: MapOptions) -> MapStream<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: IntoArguments,
    {
        todo!()
    }

    /// As [`Client::map`] over a stream.
    pub fn map_stream<S>(&self, _function: &Function, _input: S, _options: MapOptions) -> MapStream<S>
    where
        S: Stream,
        S::Item: IntoArguments,
    {
        todo!()
    }

    /// A pipe for many calls of a function whose input and output are on different threads or of unknown length.
    #[must_use]
    pub fn pipe(&self, _function: &Function, _options: MapOptions) -> (PipeSender, PipeReceiver) {
        todo!()
    }

    /// Registers a module file for this client's session; its functions are then found before the clusters' own.
    ///
    /// # Errors
    /// When the file cannot be read or is no component, its preload call does not parse, or the storage does not take it.
    pub async fn register_module(&self, _path: impl AsRef<Path>, _options: &ModuleOptions) -> Result<(), Error> {
        todo!()
    }

    /// As [`Client::register_module`] with bytes; the options must have a name.
    ///
    /// # Errors
    /// As [`Client::register_module`].
    pub async fn register_module_bytes(&self, _bytes: Vec<u8>, _options: &ModuleOptions) -> Result<(), Error> {
        todo!()
    }

    /// A picture of the cluster.
    ///
    /// # Errors
    /// When the client is or gets disconnected.
    pub async fn status(&self) -> Result<View, Error> {
        todo!()
    }

    /// Ends the scheduler and all its clusters, and disconnects.
    ///
    /// # Errors
    /// [`Error::ShutdownRefused`] when the scheduler is protected; the client stays connected.
    pub async fn shutdown(&self) -> Result<(), Error> {
        todo!()
    }

    /// Cancels what is under way and leaves. Does nothing the second time.
    pub async fn disconnect(&self) {
        todo!()
    }
}

/// Asks the scheduler at `address` (or its monitor address) for a picture of the cluster, without being a client of it.
///
/// # Errors
/// When the address cannot be used or no scheduler answers in time.
pub async fn status(_address: &str, _timeout: Duration) -> Result<View, Error> {
    todo!()
}
