//! Waiting: several links, other file descriptors and a deadline, in one call.

use std::{
    cell::Cell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{Link, NetError, linger::linger};

/// Fewer descriptors than this and a server cannot work.
const FILES_MIN: u64 = 64;

/// What is ready after a [`wait`]; all false when the deadline came first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// One flag a link: it should be drained.
    pub links: Vec<bool>,
    /// One flag a file descriptor: it can be read, or its other end is closed.
    pub fds: Vec<bool>,
}

/// Waits until a link has something, a file descriptor can be read, or the deadline has come (`None`: for ever).
pub fn wait(links: &[&Link], fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> Result<Readiness, NetError> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let mut owners = Vec::with_capacity(2 * links.len());
    for link in links {
        for (source, fd) in link.fds() {
            polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            owners.push((*link, source));
        }
    }
    let deadline = links.iter().filter_map(|link| link.deadline()).chain(deadline).min();
    let mut readiness = Readiness { links: vec![false; links.len()], fds: vec![false; fds.len()] };
    loop {
        // A link's descriptors only tell of changes, so the links are asked before and after each sleep.
        let is_ready = ask(links, &mut readiness);
        let timeout = match deadline {
            _ if is_ready => Some(Duration::ZERO),
            Some(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            None => None,
        };
        if is_ready && fds.is_empty() {
            return Ok(readiness);
        }
        sleep(&mut polled, timeout)
            .map_err(|error| NetError::System { what: "wait for links", source: error.into() })?;
        for ((link, source), polled) in owners.iter().zip(&polled[fds.len()..]) {
            if !polled.revents().is_empty() {
                link.look_again(*source);
            }
        }
        for (flag, polled) in readiness.fds.iter_mut().zip(&polled) {
            *flag = !polled.revents().is_empty();
        }
        let some_fd = readiness.fds.contains(&true);
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let has_work = ask(links, &mut readiness) || some_fd;
        HAD_WORK.set(has_work);
        if has_work || is_over {
            return Ok(readiness);
        }
    }
}

thread_local! {
    /// The thread's last wait gave it something to do.
    static HAD_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Sleeps until a descriptor is ready or the time is over; stays awake for a moment first if there was work before.
fn sleep(polled: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<(), Errno> {
    let mut look = |timeout: Option<Duration>| match poll(polled, timeout.map(timespec).as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    };
    if timeout != Some(Duration::ZERO) && HAD_WORK.take() {
        let found = linger(|| match look(Some(Duration::ZERO)) {
            Ok(false) => None,
            other => Some(other),
        });
        if let Some(found) = found {
            return found.map(drop);
        }
    }
    look(timeout).map(drop)
}

fn ask(links: &[&Link], readiness: &mut Readiness) -> bool {
    let now = Instant::now();
    for (flag, link) in readiness.links.iter_mut().zip(links) {
        *flag = link.is_ready(now);
    }
    readiness.links.contains(&true)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Ends a [`wait`] from another thread: give its descriptor to `wait`.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A new one, not woken.
    pub fn new() -> Result<Self, NetError> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|error| NetError::System { what: "make a waker", source: error.into() })?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Makes the current or the next `wait` return.
    pub fn wake(&self) {
        // The only failure is a counter that is full, and then it is awake.
        rustix::io::write(&self.event, &1_u64.to_ne_bytes()).ok();
    }

    /// Takes the wake-up back; call it before looking at what the waker announced.
    pub fn clear(&self) {
        // The only failure is a counter that is zero already.
        rustix::io::read(&self.event, &mut [0; 8]).ok();
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
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        tracing::warn!("the limit of open files could not be raised");
    }
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < FILES_MIN => Err(NetError::System {
            what: "work with so few open files (raise `ulimit -n`)",
            source: std::io::Error::other(format!("the limit is {files}")),
        }),
        Some(files) => Ok(files),
        None => Ok(u64::MAX),
    }
}
