//! One end of the control plane.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use scaler_proto::{ids::PeerId, wire::Frames};

use crate::{
    Address,
    bound::Bound,
    dialed::Dialed,
    socket::{Source, Wire},
};

/// Limits and intervals of a link; the defaults are right for everything but tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that wait for one peer before a send says [`SendError::Full`].
    pub queue_max_bytes: usize,
    /// The link's own heartbeat: a ping this often.
    pub heartbeat_interval_ms: i32,
    /// A peer that answers no ping for this long is gone.
    pub heartbeat_timeout_ms: i32,
    /// A connection that has not finished its greeting by then is closed.
    pub handshake_timeout_ms: i32,
    /// First pause before dialing again; doubles up to `redial_max_ms`.
    pub redial_min_ms: u64,
    /// Longest pause before dialing again.
    pub redial_max_ms: u64,
    /// Peers on one machine meet at a Unix socket although the address says `tcp://127.0.0.1:8516`. Both ends must want
    /// it; whatever is in the way, they meet at the address.
    pub use_shortcut: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_max_bytes: 64 << 20,
            heartbeat_interval_ms: 2_000,
            heartbeat_timeout_ms: 6_000,
            handshake_timeout_ms: 5_000,
            redial_min_ms: 100,
            redial_max_ms: 5_000,
            use_shortcut: true,
        }
    }
}

/// What a link reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection exists. A bound link says so with the peer's first message.
    Up(PeerId),
    /// One whole message.
    Message(PeerId, Frames),
    /// The connection is gone; everything it delivered came before this.
    Down(PeerId),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer does not read and its queue is full. The message is lost, so the connection's numbering has a hole:
    /// [`Link::forget`] the peer.
    #[error("the peer does not read, and its queue is full")]
    Full,
    /// There is no such connection (any more).
    #[error("the peer is not connected any more")]
    Gone,
    /// A frame or the message is larger than the other end would take.
    #[error("the message is larger than a link takes")]
    TooLarge,
}

/// Why a link cannot work.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Something else listens there.
    #[error("cannot listen on {address}: it is in use; stop what listens there, or choose another address")]
    InUse {
        /// Where.
        address: Address,
    },
    /// Listening failed.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: Address,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused something that a link needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One end of the control plane: many peers when bound, one when dialed. Stays on the thread that made it.
pub struct Link {
    end: End,
}

enum End {
    Bound(Bound),
    Dialed(Dialed),
}

impl Link {
    /// Listens. Port 0 becomes a real port, see [`Self::local_address`]. See [`Options::use_shortcut`] for where else.
    pub fn bind(address: &Address, options: &Options) -> Result<Self, NetError> {
        Bound::new(address, options).map(|bound| Self { end: End::Bound(bound) })
    }

    /// Connects, and connects again after every loss, until dropped. Never fails at once: the address may be dialed
    /// before anybody listens there.
    #[must_use]
    pub fn dial(address: &Address, options: &Options) -> Self {
        Self { end: End::Dialed(Dialed::new(address, options)) }
    }

    /// Where a bound link really listens (or what a dialed one dials).
    #[must_use]
    pub fn local_address(&self) -> &Address {
        match &self.end {
            End::Bound(bound) => bound.address(),
            End::Dialed(dialed) => dialed.address(),
        }
    }

    /// Sends a message, or queues it for its peer. Never blocks.
    pub fn send(&mut self, peer: PeerId, frames: Frames) -> Result<(), SendError> {
        match &mut self.end {
            End::Bound(bound) => bound.send(peer, frames),
            End::Dialed(dialed) => dialed.send(peer, frames),
        }
    }

    /// Takes what has arrived, up to about `max_messages` and `max_bytes`, and does the link's housekeeping (dialing,
    /// sending what waits). Never blocks. Call it after every [`crate::wait`].
    pub fn drain(&mut self, events: &mut Vec<Event>, max_messages: usize, max_bytes: usize) -> Result<(), NetError> {
        match &mut self.end {
            End::Bound(bound) => bound.drain(events, max_messages, max_bytes),
            End::Dialed(dialed) => dialed.drain(events, max_messages, max_bytes),
        }
    }

    /// Dialed links: gives up the connection and dials a fresh one. `Down` and later `Up` follow.
    pub fn redial(&mut self) {
        if let End::Dialed(dialed) = &mut self.end {
            dialed.redial();
        }
    }

    /// Bound links: nothing of this peer is delivered or kept any more, and no `Down` follows.
    pub fn forget(&mut self, peer: PeerId) {
        if let End::Bound(bound) = &mut self.end {
            bound.forget(peer);
        }
    }

    /// Ends the link, but gives what was sent (a goodbye) up to `flush_max` to leave.
    pub fn close(self, flush_max: Duration) {
        match self.end {
            End::Bound(bound) => bound.close(flush_max),
            End::Dialed(dialed) => dialed.close(flush_max),
        }
    }

    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        match &self.end {
            End::Bound(bound) => bound.is_ready(now),
            End::Dialed(dialed) => dialed.is_ready(now),
        }
    }

    pub(crate) fn look_again(&self, source: Source) {
        if let Some(wire) = self.wire() {
            wire.look_again(source);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.end {
            End::Bound(bound) => bound.deadline(),
            End::Dialed(dialed) => dialed.deadline(),
        }
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        self.wire().into_iter().flat_map(Wire::fds)
    }

    fn wire(&self) -> Option<&Wire> {
        match &self.end {
            End::Bound(bound) => Some(bound.wire()),
            End::Dialed(dialed) => dialed.wire(),
        }
    }
}
