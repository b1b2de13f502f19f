//! Submit calls of WebAssembly component functions to a Scaler cluster and get futures.
//!
//! A [`Client`] connects to a scheduler, looks a function up once ([`Client::function`]), and submits calls of it.
//! Arguments are ordinary Rust values, bound to the function's parameters and checked before anything is sent.
//!
//! ```no_run
//! use scaler_client::{Arguments, Client, MapOptions, SubmitOptions};
//!
//! # async fn example() -> Result<(), scaler_client::Error> {
//! let client = Client::connect("tcp://127.0.0.1:8516").await?;
//!
//! // One call, written as everywhere in Scaler.
//! let environment: String = client.call("preload.init:environment()")?.result().await?;
//!
//! // A function, looked up once and called with Rust values.
//! let price = client.function("options.pricing:price").await?;
//! let future = client.submit(&price, (100.0, 0.2))?;
//! let named = client.submit(&price, Arguments::new().arg(100.0).kwarg("volatility", 0.3))?;
//! println!("{} {:?} {:?}", environment, future.result::<f64>().await?, named.await?);
//!
//! // A stream of calls: the input is drawn as results come back, so a million elements need no million-element memory.
//! let mut results = client.map(&price, (0..1_000_000).map(|spot| (f64::from(spot), 0.2)), MapOptions::default());
//! while let Some(value) = results.next::<f64>().await {
//!     println!("{}", value?);
//! }
//!
//! // Only on workers that offer a GPU, ahead of others, for a second at most.
//! let options = SubmitOptions::new().capabilities("gpu=1".parse()?).priority(5).timeout(std::time::Duration::from_secs(1));
//! client.submit_with(&price, (100.0, 0.2), &options)?.cancel().await;
//! client.disconnect().await;
//! # Ok(())
//! # }
//! ```
//!
//! The futures need no particular executor; those with a time limit in their name need tokio's timer. Without async,
//! use
//! [`blocking::Client`], which has the same methods.

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
mod park;
mod pipe;
mod queue;
mod registry;
mod together;
mod transfer;
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
pub use together::{AsCompleted, ReturnWhen, Waited, as_completed, gather, wait};
pub use zip::{Iterables, Zip, zip};
