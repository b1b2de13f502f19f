//! The pure half of Scaler: everything that can be decided without touching the world.
//!
//! *Pure* means: no clock, no I/O, no randomness, no async, no callback. Time and seeds are arguments, what should
//! happen comes back as data. So every history of a cluster can be replayed from a seed (`sim`, in its tests).

pub mod agent;
pub mod call;
pub mod capability;
pub mod client;
mod failures;
pub mod ids;
mod json;
pub mod message;
pub mod msgpack;
pub mod nearest;
pub mod object_stream;
pub mod objects;
pub mod payload;
pub mod policy;
pub mod resolve;
pub mod scheduler;
pub mod session;
#[cfg(test)]
mod sim;
pub mod task;
pub mod value;
pub mod view;
pub mod wire;
