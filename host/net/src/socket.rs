//! What both ends share: the process's zmq context, a socket with our limits and its monitor, and the queue of a peer.

use std::{
    cell::Cell,
    collections::VecDeque,
    mem::ManuallyDrop,
    net::ToSocketAddrs,
    os::fd::BorrowedFd,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scaler_proto::{
    ids::PeerId,
    wire::{FRAMES_MAX, Frames, MESSAGE_BYTES_MAX},
};
use zmq::{DONTWAIT, Message, PollEvents, SNDMORE, SocketEvent, SocketType};

use crate::{Address, Options, SendError};

/// Messages that libzmq holds for one peer; batches make them large, so there are few.
const HIGH_WATER_MESSAGES: i32 = 1_000;
/// Notices taken in one go, so that a flood of connections does not starve the messages.
const NOTICES_MAX: usize = 256;

/// The context lives as long as the process: ending one would wait for sockets of other threads.
fn context() -> &'static zmq::Context {
    static CONTEXT: OnceLock<zmq::Context> = OnceLock::new();
    CONTEXT.get_or_init(zmq::Context::new)
}

/// How many threads of libzmq move bytes between sockets and kernel. Counts only before the first link of the process.
pub fn set_io_threads(count: u32) {
    // libzmq refuses none and too many; then its default of one stays.
    let _ = context().set_io_threads(i32::try_from(count).unwrap_or(1));
}

/// A number that no connection of this process had before.
pub(crate) fn next_peer() -> PeerId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    PeerId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a monitor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A dialed connection exists, on this file descriptor; its handshake is due.
    Reached(i32),
    /// A handshake is complete.
    Connected,
    /// The connection on this file descriptor is gone.
    Lost(i32),
    /// An attempt to connect failed.
    Failed,
    /// A connection did not get through its handshake.
    Stranger,
    /// The socket is closed, with everything it still had to send.
    Closed,
}

/// A socket and its monitor.
///
/// libzmq's only I/O thread sends the notices, and it would wait for ever for a monitor that is closed too early. So
/// either the socket is told to send no more before both are closed, or the monitor outlives the socket.
pub(crate) struct Wire {
    socket: Option<zmq::Socket>,
    monitor: ManuallyDrop<zmq::Socket>,
    monitor_is_needed: bool,
    may_have: MayHave,
    /// libzmq was seen to have room for a message, and none was sent since.
    has_room: Cell<bool>,
}

/// Whether a socket may have something to read. Asking libzmq costs a system call each time, so it is asked only after
/// the socket's descriptor told of a change, or after a send, which takes such news in without telling. Once a
/// reception finds nothing, the descriptor tells of the next change.
struct MayHave {
    messages: Cell<bool>,
    notices: Cell<bool>,
}

/// What one of a wire's descriptors tells about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Messages,
    Notices,
}

/// How a transmission ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// The peer's pipe is full: here is the message again.
    Blocked(Frames),
    Gone,
}

/// How a reception ended.
pub(crate) enum Received {
    /// Nothing is there.
    Nothing,
    Frames(Frames),
    /// More frames or bytes than a message may have; the rest was skipped.
    Oversized,
}

impl Wire {
    pub(crate) fn open(kind: SocketType, host_is_v6: bool, options: &Options) -> Result<Self, zmq::Error> {
        let socket = context().socket(kind)?;
        socket.set_linger(0)?;
        socket.set_maxmsgsize(MESSAGE_BYTES_MAX as i64)?;
        socket.set_sndhwm(HIGH_WATER_MESSAGES)?;
        socket.set_rcvhwm(HIGH_WATER_MESSAGES)?;
        socket.set_handshake_ivl(options.handshake_timeout_ms)?;
        socket.set_heartbeat_ivl(options.heartbeat_interval_ms)?;
        socket.set_heartbeat_timeout(options.heartbeat_timeout_ms)?;
        socket.set_heartbeat_ttl(options.heartbeat_timeout_ms)?;
        socket.set_backlog(1_024)?;
        if host_is_v6 {
            socket.set_ipv6(true)?;
        }
        if kind == SocketType::ROUTER {
            socket.set_router_mandatory(true)?;
        } else {
            socket.set_connect_timeout(options.handshake_timeout_ms)?;
            // Never: a new connection is a new socket.
            socket.set_reconnect_ivl(-1)?;
        }
        let endpoint = monitor_endpoint();
        let mut events = vec![
            SocketEvent::DISCONNECTED,
            SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
            SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
            SocketEvent::HANDSHAKE_FAILED_AUTH,
            SocketEvent::MONITOR_STOPPED,
        ];
        if kind != SocketType::ROUTER {
            events.extend([SocketEvent::CONNECTED, SocketEvent::HANDSHAKE_SUCCEEDED, SocketEvent::CLOSED]);
        }
        socket.monitor(&endpoint, events.into_iter().fold(0, |mask, event| mask | i32::from(event.to_raw())))?;
        let monitor = context().socket(SocketType::PAIR)?;
        monitor.set_linger(0)?;
        // libzmq's only I/O thread would wait if this were full.
        monitor.set_rcvhwm(0)?;
        monitor.connect(&endpoint)?;
        let may_have = MayHave { messages: Cell::new(true), notices: Cell::new(true) };
        let monitor = ManuallyDrop::new(monitor);
        Ok(Self { socket: Some(socket), monitor, monitor_is_needed: false, may_have, has_room: Cell::new(false) })
    }

    pub(crate) fn bind(&self, endpoint: &str) -> Result<(), zmq::Error> {
        self.socket.as_ref().map_or(Err(zmq::Error::ENOTSOCK), |socket| socket.bind(endpoint))
    }

    pub(crate) fn connect(&self, endpoint: &str) -> Result<(), zmq::Error> {
        self.socket.as_ref().map_or(Err(zmq::Error::ENOTSOCK), |socket| socket.connect(endpoint))
    }

    /// The port that a bound socket really has.
    pub(crate) fn bound_port(&self) -> Option<u16> {
        let endpoint = self.socket.as_ref()?.get_last_endpoint().ok()?.ok()?;
        endpoint.rsplit_once(':')?.1.parse().ok()
    }

    /// The descriptors to poll. They only say that something may have changed: ask [`Self::is_ready`] first.
    pub(crate) fn fds(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        let socket = self.socket.iter().map(|socket| (Source::Messages, socket));
        socket.chain([(Source::Notices, &*self.monitor)]).filter_map(|(source, socket)| {
            let fd = socket.get_fd().ok()?;
            // SAFETY: the descriptor belongs to the socket, which is open for as long as `self` is borrowed.
            Some((source, unsafe { BorrowedFd::borrow_raw(fd) }))
        })
    }

    /// A descriptor told of a change.
    pub(crate) fn look_again(&self, source: Source) {
        match source {
            Source::Messages => self.may_have.messages.set(true),
            Source::Notices => self.may_have.notices.set(true),
        }
    }

    pub(crate) fn is_ready(&self, also_writable: bool) -> bool {
        if let (true, Some(socket)) = (self.may_have.messages.get(), &self.socket) {
            let events = socket.get_events();
            let tells = |wanted| events.is_ok_and(|events| events.contains(wanted));
            self.may_have.messages.set(tells(PollEvents::POLLIN));
            self.has_room.set(tells(PollEvents::POLLOUT));
        }
        if self.may_have.notices.get() {
            self.may_have.notices.set(has(&self.monitor, PollEvents::POLLIN));
        }
        self.may_have.messages.get()
            || self.may_have.notices.get()
            // Room to write is no news of its own, so it is asked for as long as somebody waits for it.
            || also_writable && self.socket.as_ref().is_some_and(|socket| self.room(socket))
    }

    /// Whether a message can be sent to the only peer; true holds until one is.
    fn room(&self, socket: &zmq::Socket) -> bool {
        if !self.has_room.get() {
            self.has_room.set(has(socket, PollEvents::POLLOUT));
        }
        self.has_room.get()
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        while self.may_have.notices.get() && notices.len() < NOTICES_MAX {
            let Ok(event) = self.monitor.recv_bytes(DONTWAIT) else {
                self.may_have.notices.set(false);
                break;
            };
            while self.monitor.get_rcvmore().unwrap_or(false) && self.monitor.recv_bytes(DONTWAIT).is_ok() {}
            let Some((kind, value)) = event.split_first_chunk::<2>() else { continue };
            let value = value.first_chunk::<4>().map_or(-1, |value| i32::from_ne_bytes(*value));
            let is = |event: SocketEvent| u16::from_ne_bytes(*kind) == event.to_raw();
            notices.push(if is(SocketEvent::CONNECTED) {
                Notice::Reached(value)
            } else if is(SocketEvent::HANDSHAKE_SUCCEEDED) {
                Notice::Connected
            } else if is(SocketEvent::DISCONNECTED) {
                Notice::Lost(value)
            } else if is(SocketEvent::CLOSED) {
                Notice::Failed
            } else if is(SocketEvent::MONITOR_STOPPED) {
                Notice::Closed
            } else {
                Notice::Stranger
            });
        }
        notices
    }

    /// Sends a message; a `ROUTER` needs the peer's identity.
    pub(crate) fn transmit(&self, identity: Option<&[u8]>, frames: Frames) -> Sent {
        let Some(socket) = &self.socket else { return Sent::Gone };
        self.may_have.messages.set(true);
        match identity {
            Some(identity) => match socket.send(identity, DONTWAIT | SNDMORE) {
                Ok(()) => {}
                Err(zmq::Error::EAGAIN) => return Sent::Blocked(frames),
                Err(_) => return Sent::Gone,
            },
            // A failed send takes the message with it, so ask first.
            None if !self.room(socket) => return Sent::Blocked(frames),
            None => self.has_room.set(false),
        }
        let last = frames.len().saturating_sub(1);
        for (index, frame) in frames.into_iter().enumerate() {
            let flags = if index < last { DONTWAIT | SNDMORE } else { DONTWAIT };
            if socket.send(frame, flags).is_err() {
                return Sent::Gone;
            }
        }
        Sent::Yes
    }

    /// One whole message, and for a `ROUTER` before it the identity of its sender and the descriptor it came by.
    pub(crate) fn receive(&self, sender: Option<&mut Sender>) -> Result<Received, zmq::Error> {
        let Some(socket) = &self.socket else { return Ok(Received::Nothing) };
        if !self.may_have.messages.get() {
            return Ok(Received::Nothing);
        }
        let mut more = match sender {
            None => true,
            Some(sender) => {
                let Some(identity) = receive_frame(socket)? else {
                    self.may_have.messages.set(false);
                    return Ok(Received::Nothing);
                };
                let more = identity.get_more();
                sender.identity.clear();
                sender.identity.extend_from_slice(&identity);
                sender.message = identity;
                more
            }
        };
        let (mut frames, mut bytes, mut count) = (Frames::with_capacity(1), 0, 0);
        while more {
            let Some(frame) = receive_frame(socket)? else { break };
            more = frame.get_more();
            count += 1;
            bytes += frame.len();
            if count <= FRAMES_MAX && bytes <= MESSAGE_BYTES_MAX {
                frames.push(frame.to_vec());
            } else {
                frames.clear();
            }
        }
        if count == 0 {
            self.may_have.messages.set(false);
            return Ok(Received::Nothing);
        }
        let fits = count <= FRAMES_MAX && bytes <= MESSAGE_BYTES_MAX;
        Ok(if fits { Received::Frames(frames) } else { Received::Oversized })
    }

    /// Closes the socket, giving what was sent up to `flush_max` to leave, and waits until it is closed. False if it
    /// was closed before.
    pub(crate) fn close(&mut self, flush_max: Duration, wait_max: Duration) -> bool {
        let Some(socket) = self.socket.take() else { return false };
        let linger_ms = i32::try_from(flush_max.as_millis()).unwrap_or(i32::MAX);
        if socket.set_linger(linger_ms).is_err() {
            tracing::debug!("a link could not be told to flush");
        }
        drop(socket);
        self.monitor_is_needed = true;
        self.may_have.notices.set(true);
        let deadline = Instant::now() + flush_max + wait_max;
        while !self.notices().contains(&Notice::Closed) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.monitor.poll(PollEvents::POLLIN, left.as_millis() as i64 + 1).is_err() {
                return true;
            }
            self.may_have.notices.set(true);
        }
        self.monitor_is_needed = false;
        true
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            // Another monitor takes the place of ours, and its mask is empty.
            self.monitor_is_needed = socket.monitor(&monitor_endpoint(), 0).is_err();
        }
        if !self.monitor_is_needed {
            // SAFETY: this is the only place that drops it, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.monitor) };
        }
    }
}

fn has(socket: &zmq::Socket, wanted: PollEvents) -> bool {
    socket.get_events().is_ok_and(|events| events.contains(wanted))
}

fn monitor_endpoint() -> String {
    static MONITORS: AtomicU64 = AtomicU64::new(0);
    format!("inproc://scaler-monitor-{}", MONITORS.fetch_add(1, Ordering::Relaxed))
}

/// Who sent a message to a `ROUTER`.
pub(crate) struct Sender {
    pub(crate) identity: Vec<u8>,
    message: Message,
}

impl Sender {
    pub(crate) fn unknown() -> Self {
        Self { identity: Vec::new(), message: Message::new() }
    }

    /// The descriptor of the connection, by which the monitor names it as well.
    pub(crate) fn fd(&mut self) -> Option<i32> {
        self.message.gets("__fd")?.parse().ok()
    }
}

fn receive_frame(socket: &zmq::Socket) -> Result<Option<Message>, zmq::Error> {
    loop {
        match socket.recv_msg(DONTWAIT) {
            Ok(message) => return Ok(Some(message)),
            Err(zmq::Error::EAGAIN) => return Ok(None),
            Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Messages that wait for a peer whose pipe is full.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: VecDeque<Frames>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn push(&mut self, frames: Frames, bytes_max: usize) -> Result<(), SendError> {
        let bytes = size_of_message(&frames);
        if self.bytes + bytes > bytes_max {
            return Err(SendError::Full);
        }
        self.bytes += bytes;
        self.messages.push_back(frames);
        Ok(())
    }

    /// Sends from the front until the peer blocks again. `false`: the peer is gone.
    pub(crate) fn flush(&mut self, mut transmit: impl FnMut(Frames) -> Sent) -> bool {
        while let Some(frames) = self.messages.pop_front() {
            let bytes = size_of_message(&frames);
            match transmit(frames) {
                Sent::Yes => self.bytes -= bytes,
                Sent::Blocked(frames) => {
                    self.messages.push_front(frames);
                    return true;
                }
                Sent::Gone => return false,
            }
        }
        true
    }
}

/// Refuses what the other end would cut the connection for.
pub(crate) fn check_size(frames: &Frames) -> Result<(), SendError> {
    let bytes: usize = frames.iter().map(Vec::len).sum();
    if frames.is_empty() || frames.len() > FRAMES_MAX || bytes > MESSAGE_BYTES_MAX {
        return Err(SendError::TooLarge);
    }
    Ok(())
}

/// What a queued message costs: its bytes, and what the vectors around them take.
fn size_of_message(frames: &Frames) -> usize {
    frames.iter().map(|frame| frame.len() + 32).sum::<usize>() + 32
}

/// The address as libzmq wants it for listening: it takes no host names there.
pub(crate) fn bind_endpoint(address: &Address) -> std::io::Result<String> {
    let Address::Tcp { host, port } = address else { return Ok(address.to_string()) };
    if host == "*" || host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(address.to_string());
    }
    let found: Vec<_> = (host.as_str(), *port).to_socket_addrs()?.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
    match chosen {
        Some(chosen) => Ok(format!("tcp://{chosen}")),
        None => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the host name has no address")),
    }
}

/// The address as libzmq wants it for dialing: all interfaces means this machine.
pub(crate) fn dial_endpoint(address: &Address) -> String {
    match address {
        Address::Tcp { host, port } if host == "*" => format!("tcp://127.0.0.1:{port}"),
        _ => address.to_string(),
    }
}
