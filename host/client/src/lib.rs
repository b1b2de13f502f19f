//! Submit calls of WebAssembly component functions to a Scaler cluster and get futures.
//!
//! A [`Client`] connects to a scheduler, looks a function up once ([`Client::function`]), and submits calls of it.
//! Arguments are ordinary Rust values, bound to the function's parameters and checked before anything is sent. Names
//! and manners are those of `concurrent.futures` and Dask: [`TaskFuture`] with `result`, `exception`, `done`,
//! `running`, `cancel` and `add_done_callback`; [`as_completed`], [`wait`] and [`gather`]; [`Client::map`] and
//! [`Client::send_object`].
//!
//! There are two faces with the same methods: this one is async and needs no particular executor (what has a time limit
//! needs tokio's timer); [`blocking`] blocks the calling thread.
//!
//! ```no_run
//! use std::{iter::repeat, time::Duration};
//!
//! use scaler_client::{
//!     Arguments, Error, FailureKind, MapOptions, ReturnWhen, SchedulerClusterCombo, SubmitOptions,
//!     blocking::{Client, as_completed, gather, wait},
//!     zip,
//! };
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Real servers on this machine, which end with this program. Elsewhere: `Client::connect("tcp://host:8516")`,
//!     // or `Client::new()` with the address in the environment variable SCALER_ADDRESS.
//!     let modules = std::env::args().nth(1).unwrap_or_else(|| "modules".to_owned());
//!     let combo = SchedulerClusterCombo::builder(2).module_path(modules).per_worker_capabilities("linux");
//!     // Clients may shut this one down; an event loop of the original's is accepted.
//!     let combo = combo.protected(false).event_loop("builtin").start()?;
//!     // Half a minute without a word from the scheduler, and everything fails; it hears of us each second.
//!     let client = Client::builder().timeout(Duration::from_secs(30)).heartbeat(Duration::from_secs(1));
//!     let client = client.profiling(true).stream_output(true).connect_blocking(combo.address())?;
//!
//!     // A call, written as everywhere in Scaler.
//!     let world: String = client.call("hello.greeting:greet('world')")?.result()?;
//!     println!("{world}");
//!
//!     // A function, looked up once, with Rust values: they are checked here, before anything is sent.
//!     let greet = client.function("hello.greeting:greet")?;
//!     let morning = client.submit(&greet, Arguments::new().arg("Ada").kwarg("word", "Good morning"))?;
//!     println!("{}", morning.result_timeout::<String>(Duration::from_secs(60))?);
//!     println!("it ran on {}", morning.profiling_info()?.worker);
//!
//!     // Futures, alone and together.
//!     let futures = ["Bo", "Cy", "Di"].into_iter().map(|name| client.submit(&greet, (name,)));
//!     let futures = futures.collect::<Result<Vec<_>, Error>>()?;
//!     futures[0].add_done_callback(|future| assert!(future.done()));
//!     let first = wait(futures.clone(), Some(Duration::from_secs(60)), ReturnWhen::FirstCompleted);
//!     println!("at least one of 3 has ended: {}", !first.done.is_empty());
//!     println!("as they end: {}", as_completed(futures.clone()).count());
//!     println!("in order: {}", gather::<String>(futures)?.join(" "));
//!
//!     // A value that is stored once and used by many tasks; a map over two inputs, drawn as results come back: a
//!     // million elements need no million-element memory.
//!     let word = client.send_object("Welcome", "word")?;
//!     let names = (0..1_000).map(|number| format!("guest {number}"));
//!     let mut greetings = client.map(&greet, zip((names, repeat(&word))), MapOptions::new());
//!     while let Some(greeting) = greetings.next_as::<String>() {
//!         if greeting?.ends_with(" 999!") {
//!             println!("the last of a thousand");
//!         }
//!     }
//!     // As they come instead of in order.
//!     let mut greetings = client.map(&greet, ["Jo", "Kay"], MapOptions::new().unordered());
//!     while let Some(greeting) = greetings.next_as::<String>() {
//!         println!("as it comes: {}", greeting?);
//!     }
//!     // All results, or the first failure at once: then the rest is canceled, and the client goes on.
//!     let both: Vec<String> = client.map_all(&greet, zip((["Ed", "Flo"], repeat(&word))), MapOptions::new())?;
//!     println!("{both:?}");
//!
//!     // What goes wrong is a type: the guest's own error with its value, a trap, a limit, a loss, a mistake.
//!     match client.call("hello.greeting:birthdays({'name': 'Gus', 'age': 101})")?.result::<u32>() {
//!         Err(Error::Task(task)) if task.kind == FailureKind::Error => println!("as it should be: {task}"),
//!         other => println!("not as it should be: {other:?}"),
//!     }
//!     if let Err(Error::Bind { source, .. }) = client.submit(&greet, (7,)) {
//!         println!("not sent: {source}");
//!     }
//!
//!     // Only on workers that offer a tag, ahead of others, for a minute at most; canceled unless it has ended.
//!     let options = SubmitOptions::new().capabilities("linux".parse()?).priority(5).timeout(Duration::from_secs(60));
//!     let future = client.submit_with(&greet, ("Hal",), &options)?;
//!     println!("canceled or done: {}", future.cancel() || future.exception().is_none());
//!
//!     client.clear()?;
//!     println!("cleared: {}", matches!(client.submit(&greet, ("Ida", &word)), Err(Error::MissingObject { .. })));
//!
//!     // The other face has the same names; any executor will do.
//!     tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(awaited(combo.address()))?;
//!
//!     client.shutdown()?;
//!     client.disconnect();
//!     combo.shutdown()?;
//!     Ok(())
//! }
//!
//! async fn awaited(address: &str) -> Result<(), Error> {
//!     let client = scaler_client::Client::connect(address).await?;
//!     let greet = client.function("hello.greeting:greet").await?;
//!     let future = client.submit(&greet, ("Lou",))?;
//!     println!("awaited: {}", future.await?);
//!     let mut greetings = client.map(&greet, ["Max", "Ned"], MapOptions::new());
//!     while let Some(greeting) = greetings.next::<String>().await {
//!         println!("awaited: {}", greeting?);
//!     }
//!     client.disconnect().await;
//!     Ok(())
//! }
//! ```
//!
//! # What goes wrong
//!
//! Everything is an [`Error`], to be matched. [`Error::never_became_a_task`] tells mistakes of the call from the rest;
//! an end of the task itself is [`Error::Task`] with a [`TaskError`], whose kind says who is to blame:
//!
//! | [`FailureKind`] | what happened |
//! |---|---|
//! | `Error` | the function returned `err(e)`; [`TaskError::value_as`] gives `e` as a type of yours |
//! | `Panic`, `Trap` | the guest panicked or trapped; the trace says where |
//! | `MemoryLimit`, `StackOverflow`, `OutputLimit`, `Timeout` | a limit ended it ([`TaskError::is_limit`]) |
//! | `Arguments`, `Module`, `Preload` | the module or its preparation is at fault |
//! | `ProcessorDied`, `WorkerLost`, `ObjectLost`, `Rejected`, `Aborted` | the cluster could not go on, and says why |
//! | `Busy` | the scheduler's queue is full (`max_number_of_tasks_waiting`); maps and pipes wait for room instead |
//! | `Internal` | a bug of ours: please report it |

#![deny(missing_docs)]

mod arguments;
pub mod blocking;
mod callbacks;
mod client;
mod combo;
mod completion;
mod driver;
mod error;
mod function;
mod future;
mod map;
mod object;
mod options;
mod outermost;
mod park;
mod pipe;
mod queue;
mod registry;
mod together;
mod transfer;
mod window;
mod zip;

pub use arguments::{Arguments, BoundArguments, IntoArguments};
pub use client::{Client, ClientBuilder, status};
pub use combo::{SchedulerClusterCombo, SchedulerClusterComboBuilder};
pub use error::{Error, SCALER_ADDRESS, TaskError};
pub use function::Function;
pub use future::{Profile, TaskFuture};
pub use map::{Input, IteratorInput, MapStream, StreamInput};
pub use object::ObjectRef;
pub use options::{FunctionOptions, MapOptions, ModuleOptions, SubmitOptions};
pub use outermost::Outermost;
pub use pipe::{PipeItem, PipeReceiver, PipeSender};
pub use scaler_module::Signature;
pub use scaler_proto::{
    call::Call,
    capability::Capabilities,
    ids::{ClientId, ObjectId, TaskId},
    message::{FailureKind, LogLine, LogSource, TaskStats},
    value::Value,
    view::View,
};
pub use together::{AsCompleted, ReturnWhen, Waited, as_completed, gather, gather_timeout, wait};
pub use zip::{Iterables, Zip, zip};
