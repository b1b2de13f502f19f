//! Waiting: several links, other file descriptors and a deadline, in one call.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use crate::{Link, NetError};

/// What is ready after a [`wait`]; all false when the deadline came first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// One flag a link: it should be drained.
    pub links: Vec<bool>,
    /// One flag a file descriptor: it can be read, or its other end is closed.
    pub fds: Vec<bool>,
}

/// Waits until a link has something, a file descriptor can be read, or the deadline has come (`None`: for ever).
pub fn wait(_links: &[&Link], _fds: &[BorrowedFd<'_>], _deadline: Option<Instant>) -> Result<Readiness, NetError> {
    todo!()
}

/// Ends a [`wait`] from another thread: give its descriptor to `wait`.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A new one, not woken.
    pub fn new() -> Result<Self, NetError> {
        todo!()
    }

    /// Makes the current or the next `wait` return.
    pub fn wake(&self) {
        todo!()
    }

    /// Takes the wake-up back; call it before looking at what the waker announced.
    pub fn clear(&self) {
        todo!()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Raises the limit of open files to what the system allows and returns it. zmq aborts without descriptors, so every
/// role calls this first; fewer than 64 are refused.
pub fn raise_file_limit() -> Result<u64, NetError> {
    todo!()
}
