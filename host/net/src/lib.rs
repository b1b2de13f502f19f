//! The only crate that names zmq: links between processes, and the blocking client of the object storage.
//!
//! A [`Link`] belongs to the one thread that made it. That thread waits ([`wait`]) on its links, on other file
//! descriptors and on a [`Waker`], drains what arrived as [`Event`]s, and sends. A connection is a [`PeerId`] that is
//! never used again: the dialing end opens a fresh socket for every connection, so nothing stale reaches a later one.
//! On one machine a connection takes a Unix socket although the address says `tcp`, see [`Options::use_shortcut`].

mod address;
mod bound;
mod dialed;
mod linger;
mod link;
pub mod objects;
mod shortcut;
mod socket;
#[cfg(test)]
mod tests;
mod wait;

pub use address::{Address, AddressError};
pub use link::{Event, Link, NetError, Options, SendError};
pub use scaler_proto::{ids::PeerId, wire::Frames};
pub use socket::set_io_threads;
pub use wait::{Readiness, Waker, raise_file_limit, wait};
