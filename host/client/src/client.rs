//! The client: one connection to one scheduler.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use futures_core::Stream;
use scaler_module::Module;
use scaler_net::{Address, Waker};
use scaler_proto::{
    call::{self, Call},
    client::ClientConfig,
    ids::{ClientId, ObjectId},
    message::{LogLine, RegisterModule, Role},
    value::Value,
    view::View,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use crate::{
    BoundArguments, Error, Function, FunctionOptions, IntoArguments, MapOptions, MapStream, ModuleOptions, ObjectRef,
    PipeReceiver, PipeSender, SCALER_ADDRESS, SubmitOptions, TaskFuture,
    completion::Cell,
    driver,
    map::{IteratorInput, StreamInput},
    options::Output,
    pipe::{self, PipeShared},
    queue::{Command, Queue, Target},
    transfer::Transfer,
};

/// A connection to a scheduler. Cheap to clone; the last clone that is dropped disconnects.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    transfer: Arc<Transfer>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

/// Settings of a connection; see [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    name: Option<String>,
    timeout: Duration,
    connect_timeout: Duration,
    heartbeat: Duration,
    role: Role,
    profiling: bool,
    output: Option<Output>,
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

    /// Whether futures tell what their tasks cost and where they ran ([`TaskFuture::profiling_info`]; default: no).
    pub fn profiling(mut self, on: bool) -> Self {
        self.profiling = on;
        self
    }

    /// Whether what tasks write on their standard output and error, and log, is written to this process's (default:
    /// no). Lines may be dropped when there are too many.
    pub fn stream_output(mut self, on: bool) -> Self {
        self.output = on.then(Output::printed);
        self
    }

    /// Has each line that tasks write given to `callback` (on the thread for callbacks) instead of being printed.
    pub fn on_output(mut self, callback: impl Fn(&LogLine) + Send + Sync + 'static) -> Self {
        self.output = Some(Output::to(callback));
        self
    }

    /// Connects to the address in the environment variable [`SCALER_ADDRESS`].
    ///
    /// # Errors
    /// [`Error::NoAddress`] when it is not set; else as [`ClientBuilder::connect`].
    pub async fn connect_from_environment(self) -> Result<Client, Error> {
        let address = std::env::var(SCALER_ADDRESS).ok().filter(|address| !address.is_empty());
        self.connect(&address.ok_or(Error::NoAddress)?).await
    }

    /// Connects.
    ///
    /// # Errors
    /// When the address cannot be used or no scheduler answers in time.
    pub async fn connect(self, address: &str) -> Result<Client, Error> {
        let address = Address::to_dial(address)?;
        // Random enough to be unique: the hasher's keys come from the system.
        let id = ClientId(RandomState::new().build_hasher().finish());
        let waker = Waker::new()?;
        let queue = Arc::new(Queue::new(id, address.to_string(), waker, self.profiling));
        let transfer = Arc::new(Transfer::new(id));
        let config = ClientConfig {
            id,
            name: self.name.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned()),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            role: self.role,
            connect_timeout_ms: milliseconds(self.connect_timeout),
            timeout_ms: milliseconds(self.timeout),
            heartbeat_ms: milliseconds(self.heartbeat),
            profiling: self.profiling,
            stream_output: self.output.is_some(),
        };
        let (connected, answer) = oneshot::channel();
        let thread = driver::start(config, &address, Arc::clone(&queue), Arc::clone(&transfer), self.output, connected)
            .map_err(|source| Error::Thread { source })?;
        let (thread_id, thread) = (thread.thread().id(), Mutex::new(Some(thread)));
        let client = Client { inner: Arc::new(Inner { queue, transfer, thread, thread_id }) };
        match answer.await {
            Ok(result) => result.map(|()| client),
            Err(_) => Err(client.inner.queue.error()),
        }
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
            role: Role::Client,
            profiling: false,
            output: None,
        }
    }

    /// Connects with default settings to the address in the environment variable [`SCALER_ADDRESS`].
    ///
    /// # Errors
    /// As [`ClientBuilder::connect_from_environment`].
    pub async fn new() -> Result<Self, Error> {
        Self::builder().connect_from_environment().await
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
        self.inner.queue.client
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
    pub async fn function_with(&self, target: &str, options: &FunctionOptions) -> Result<Function, Error> {
        let (module, function) = call::parse_target(target)?;
        let target = Target { module, function, capabilities: options.capabilities.clone() };
        let deadline = options.timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
        // Before the channel, so that it is dropped after the channel's end.
        let mut withdrawal = Withdrawal { queue: &self.inner.queue, wanted: true };
        let (reply, answer) = oneshot::channel();
        self.inner.queue.push(Command::Register { target, deadline, reply })?;
        let answer = answer.await;
        withdrawal.wanted = false;
        answer.unwrap_or_else(|_| Err(self.inner.queue.error()))
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
        function: &Function,
        arguments: impl IntoArguments,
        options: &SubmitOptions,
    ) -> Result<TaskFuture, Error> {
        self.submit_bound(function.bind(arguments)?, options)
    }

    /// Submits a call whose arguments were bound before, see [`Function::bind`].
    ///
    /// # Errors
    /// When the client is disconnected; [`Error::MissingObject`] for an object that it has not sent, or has cleared.
    pub fn submit_bound(&self, arguments: BoundArguments, options: &SubmitOptions) -> Result<TaskFuture, Error> {
        arguments.check(&self.inner.queue)?;
        let version = Arc::clone(&arguments.version);
        let cell = Arc::new(Cell::new(self.inner.queue.next_number(), Some(version)));
        let options = options.clone();
        self.inner.queue.push(Command::Submit { arguments, options, cell: Arc::clone(&cell) })?;
        Ok(self.future(cell))
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
    pub fn call_with(&self, call: &str, options: &SubmitOptions) -> Result<TaskFuture, Error> {
        self.submit_call(Call::parse(call)?, options)
    }

    /// As [`Client::call_with`], for a call that was parsed (or made) before.
    ///
    /// # Errors
    /// When the client is disconnected.
    pub fn submit_call(&self, call: Call, options: &SubmitOptions) -> Result<TaskFuture, Error> {
        let cell = Arc::new(Cell::new(self.inner.queue.next_number(), None));
        let options = options.clone();
        self.inner.queue.push(Command::Call { call, options, cell: Arc::clone(&cell) })?;
        Ok(self.future(cell))
    }

    /// Stores a value once, for use as an argument of many tasks. The name is for views and errors.
    ///
    /// # Errors
    /// When the value has no form that can be sent, or the object storage does not take it.
    pub async fn send_object(&self, value: impl Serialize, name: &str) -> Result<ObjectRef, Error> {
        let encoded = Value::from_serde(&value).and_then(|value| value.encode());
        let bytes = encoded.map_err(|source| Error::Value { function: format!("object `{name}`"), source })?;
        let queue = &self.inner.queue;
        let id = ObjectId::of_client(queue.client, queue.next_number());
        let object = ObjectRef::new(id, name, bytes, Arc::clone(queue));
        queue.push(Command::Object { announcement: object.announcement(), object: object.downgrade() })?;
        self.put(id, Arc::clone(&object.inner.bytes)).await?;
        Ok(object)
    }

    /// Cancels everything that has not ended, waits for the answers, and lets all objects go: their references are of
    /// no use any more. Results that are there stay, and so do functions, modules and the connection.
    ///
    /// # Errors
    /// When the client is or gets disconnected.
    pub async fn clear(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.inner.queue.push(Command::Clear(reply))?;
        answer.await.map_err(|_| self.inner.queue.error())
    }

    /// Calls a function for each element and gives all results in the order of the input. The first failure, in time,
    /// cancels the rest.
    ///
    /// # Errors
    /// [`Error::Element`] with the index of the element that failed; why the session ended if it did.
    pub async fn map_all<T, I>(&self, function: &Function, input: I, options: MapOptions) -> Result<Vec<T>, Error>
    where
        T: DeserializeOwned,
        I: IntoIterator,
        I::Item: IntoArguments,
    {
        self.map(function, input, options.unordered()).all().await
    }

    /// Calls a function for each element. Several inputs are walked side by side by [`crate::zip()`]. The input is
    /// drawn as results are taken, so memory is bounded by the options' window. An element whose arguments do not fit
    /// gives an error in its place.
    pub fn map<I>(&self, function: &Function, input: I, options: MapOptions) -> MapStream<IteratorInput<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: IntoArguments,
    {
        MapStream::new(IteratorInput(input.into_iter()), function.clone(), self.pipe(options))
    }

    /// As [`Client::map`] over a stream.
    pub fn map_stream<S>(&self, function: &Function, input: S, options: MapOptions) -> MapStream<StreamInput<S>>
    where
        S: Stream,
        S::Item: IntoArguments,
    {
        MapStream::new(StreamInput(Box::pin(input)), function.clone(), self.pipe(options))
    }

    /// A pipe for many bound calls whose input and output are on different threads or of unknown length.
    #[must_use]
    pub fn pipe(&self, options: MapOptions) -> (PipeSender, PipeReceiver) {
        let (queue, transfer) = (Arc::clone(&self.inner.queue), Arc::clone(&self.inner.transfer));
        pipe::pipe(PipeShared::new(queue, transfer, options))
    }

    /// Registers a module file for this client's session; its functions are then found before the clusters' own. A
    /// preload call among the options runs where the module is prepared; if it fails, so do the calls, with
    /// [`crate::FailureKind::Preload`] and the reason.
    ///
    /// # Errors
    /// When the file cannot be read or is no component, has a name that no call can have ([`Error::ModuleName`]) and is
    /// given no other one, its preload call does not parse, or the storage does not take it.
    pub async fn register_module(&self, path: impl AsRef<Path>, options: &ModuleOptions) -> Result<(), Error> {
        let path = path.as_ref().to_owned();
        let name = match &options.name {
            Some(name) => name.clone(),
            None => scaler_module::module_name(&path)?,
        };
        let read = move || std::fs::read(&path).map_err(|source| Error::File { path, source });
        self.register_read(name, options, read).await
    }

    /// As [`Client::register_module`] with bytes, called by `name`.
    ///
    /// # Errors
    /// As [`Client::register_module`].
    pub async fn register_module_bytes(
        &self,
        name: &str,
        bytes: Vec<u8>,
        options: &ModuleOptions,
    ) -> Result<(), Error> {
        let name = options.name.clone().unwrap_or_else(|| name.to_owned());
        self.register_read(name, options, move || Ok(bytes)).await
    }

    async fn register_read(
        &self,
        name: String,
        options: &ModuleOptions,
        read: impl FnOnce() -> Result<Vec<u8>, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let preload = options.preload.as_deref().map(Call::parse).transpose()?.map(|call| call.to_string());
        let (reply, answer) = oneshot::channel();
        self.inner.transfer.run(move || {
            let parsed = read().and_then(|bytes| {
                let module = Module::read(&bytes).map_err(|source| Error::Module { name: name.clone(), source })?;
                Ok((module.info(name, preload), bytes))
            });
            // The caller may have gone away.
            let _ = reply.send(parsed);
        });
        let (module, bytes) = answer.await.unwrap_or_else(|_| Err(self.inner.queue.error()))?;
        let (object, bytes) = (ObjectId::module(module.identity.hash), Arc::new(bytes));
        self.put(object, Arc::clone(&bytes)).await?;
        let module = RegisterModule { module, size_bytes: bytes.len() as u64 };
        self.inner.queue.push(Command::Module { module, bytes })
    }

    async fn put(&self, object: ObjectId, bytes: Arc<Vec<u8>>) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.inner.transfer.put(object, bytes, move |result| {
            // Who asked may have gone away.
            let _ = reply.send(result);
        });
        match answer.await {
            Ok(result) => result.map_err(|reason| Error::Object { object, reason }),
            Err(_) => Err(self.inner.queue.error()),
        }
    }

    /// A picture of the cluster.
    ///
    /// # Errors
    /// When the client is or gets disconnected.
    pub async fn status(&self) -> Result<View, Error> {
        let (reply, answer) = oneshot::channel();
        self.inner.queue.push(Command::Query(reply))?;
        let mut view = answer.await.map_err(|_| self.inner.queue.error())?;
        if let Ok(dialed) = self.inner.queue.address.parse::<Address>() {
            view.scheduler.map_addresses(|text| Address::text_seen_from(text, &dialed));
        }
        Ok(view)
    }

    /// Ends the scheduler and all its clusters, and disconnects.
    ///
    /// # Errors
    /// [`Error::ShutdownRefused`] when the scheduler is protected; the client stays connected.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.inner.queue.push(Command::Shutdown(reply))?;
        answer.await.unwrap_or_else(|_| Err(self.inner.queue.error()))
    }

    /// Cancels what is under way and leaves; blocks until that is said, a second at most. Does nothing the second time.
    pub async fn disconnect(&self) {
        self.inner.leave();
    }

    fn future(&self, cell: Arc<Cell>) -> TaskFuture {
        TaskFuture::new(cell, Arc::clone(&self.inner.queue), Arc::clone(&self.inner.transfer))
    }
}

/// Takes a registration back when the caller stops waiting for its answer.
struct Withdrawal<'a> {
    queue: &'a Queue,
    wanted: bool,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if self.wanted {
            // A session that is over has no registrations.
            let _ = self.queue.push(Command::Withdraw);
        }
    }
}

impl Inner {
    fn leave(&self) {
        // Refused when the session is over already.
        let _ = self.queue.push(Command::Leave);
        // The last client may be dropped by a waker, on the connection's thread itself.
        if thread::current().id() == self.thread_id {
            return;
        }
        // Held until the thread has ended, so that whoever disconnects at the same time waits as well.
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the connection's thread panicked; please report this");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("address", &self.inner.queue.address).finish()
    }
}

/// Asks the scheduler at `address` (or its monitor address) for a picture of the cluster, without being a client of it.
///
/// # Errors
/// When the address cannot be used or no scheduler answers in time.
pub async fn status(address: &str, timeout: Duration) -> Result<View, Error> {
    let mut builder = Client::builder().connect_timeout(timeout).timeout(timeout);
    builder.role = Role::Monitor;
    builder.connect(address).await?.status().await
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
