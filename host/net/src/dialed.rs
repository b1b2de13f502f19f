//! The dialing end: one peer, and a fresh `DEALER` for every connection, so that nothing queued for a connection that
//! is lost can reach a later one. One dial tries several ways: the shortcuts of the address, then the address.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use scaler_proto::{ids::PeerId, wire::Frames};

use crate::{
    Address, Event, NetError, Options, SendError,
    bound::{is_probe, receive_error},
    shortcut,
    socket::{self, Notice, Queue, Received, Sent, Source, Wire},
};

/// A connection that lasted this long was a good one: the next pause is the shortest again.
const STABLE: Duration = Duration::from_secs(1);
/// A Unix socket is connected or refused at once. When libzmq tells neither by then, it could make no socket.
const SHORTCUT_WAIT: Duration = Duration::from_millis(500);

pub(crate) struct Dialed {
    address: Address,
    endpoint: String,
    /// Names to try before the endpoint; none once a stranger listened there.
    shortcuts: Vec<String>,
    /// How many of them this dial has tried in vain.
    passed: usize,
    options: Options,
    state: State,
    pause: Duration,
    warned: bool,
    /// A connection that ended outside of `drain`; its `Down` is due.
    ended: Option<PeerId>,
}

enum State {
    Paused { until: Instant },
    Connecting { wire: Wire, until: Instant, is_trusted: bool, is_greeted: bool },
    Up { wire: Wire, peer: PeerId, since: Instant, queue: Queue, lost: bool },
}

impl Dialed {
    pub(crate) fn new(address: &Address, options: &Options) -> Self {
        let mut dialed = Self {
            address: address.clone(),
            endpoint: socket::dial_endpoint(address),
            shortcuts: if options.use_shortcut { shortcut::of_dialed(address) } else { Vec::new() },
            passed: 0,
            options: options.clone(),
            state: State::Paused { until: Instant::now() },
            pause: Duration::from_millis(options.redial_min_ms),
            warned: false,
            ended: None,
        };
        dialed.dial();
        dialed
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn wire(&self) -> Option<&Wire> {
        match &self.state {
            State::Paused { .. } => None,
            State::Connecting { wire, .. } | State::Up { wire, .. } => Some(wire),
        }
    }

    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        if self.ended.is_some() || self.deadline().is_some_and(|at| at <= now) {
            return true;
        }
        let waits_to_send = matches!(&self.state, State::Up { queue, .. } if !queue.is_empty());
        let lost = matches!(self.state, State::Up { lost: true, .. });
        lost || self.wire().is_some_and(|wire| wire.is_ready(waits_to_send))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Paused { until } | State::Connecting { until, .. } => Some(until),
            State::Up { .. } => None,
        }
    }

    pub(crate) fn send(&mut self, id: PeerId, frames: Frames) -> Result<(), SendError> {
        socket::check_size(&frames)?;
        let State::Up { wire, peer, queue, lost: false, .. } = &mut self.state else { return Err(SendError::Gone) };
        if *peer != id {
            return Err(SendError::Gone);
        }
        if !queue.is_empty() {
            return queue.push(frames, self.options.queue_max_bytes);
        }
        match wire.transmit(None, frames) {
            Sent::Yes => Ok(()),
            Sent::Blocked(frames) => queue.push(frames, self.options.queue_max_bytes),
            Sent::Gone => {
                self.end();
                Err(SendError::Gone)
            }
        }
    }

    pub(crate) fn redial(&mut self) {
        self.end();
    }

    pub(crate) fn drain(
        &mut self,
        events: &mut Vec<Event>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<(), NetError> {
        self.take_notices(events);
        if let State::Up { wire, peer, queue, lost, .. } = &mut self.state {
            let alive = queue.flush(|frames| wire.transmit(None, frames));
            *lost |= !alive;
            let emptied = receive(wire, *peer, events, max_messages, max_bytes)?;
            if emptied.is_none_or(|empty| empty && *lost) {
                self.end();
            }
        }
        events.extend(self.ended.take().map(Event::Down));
        if self.deadline().is_some_and(|at| at <= Instant::now()) {
            match self.state {
                State::Paused { .. } => self.dial(),
                // Who is trusted and silent would be silent at the address as well.
                State::Connecting { is_trusted: false, .. } => self.fail(),
                _ => self.end(),
            }
        }
        Ok(())
    }

    pub(crate) fn close(self, flush_max: Duration) {
        let State::Up { mut wire, mut queue, .. } = self.state else { return };
        let deadline = Instant::now() + flush_max;
        while queue.flush(|frames| wire.transmit(None, frames)) && !queue.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        wire.close(deadline.saturating_duration_since(Instant::now()), Duration::from_millis(50));
    }

    fn take_notices(&mut self, events: &mut Vec<Event>) {
        let Some(wire) = self.wire() else { return };
        let mut notices = wire.notices();
        if let State::Connecting { is_trusted: false, .. } = self.state
            && !self.identify(&mut notices)
        {
            return;
        }
        for notice in notices {
            match (notice, &mut self.state) {
                (Notice::Connected, State::Connecting { is_greeted, .. }) => *is_greeted = true,
                (Notice::Lost(_) | Notice::Closed, State::Up { lost, .. }) => *lost = true,
                (Notice::Lost(_) | Notice::Failed | Notice::Stranger | Notice::Closed, State::Connecting { .. }) => {
                    self.fail();
                    return;
                }
                _ => {}
            }
            if matches!(self.state, State::Connecting { is_trusted: true, is_greeted: true, .. }) {
                let State::Connecting { wire, .. } = self.pause_until(Instant::now()) else { return };
                let peer = socket::next_peer();
                self.warned = false;
                self.state = State::Up { wire, peer, since: Instant::now(), queue: Queue::default(), lost: false };
                events.push(Event::Up(peer));
            }
        }
    }

    /// Finds out who listens at a shortcut that was reached; false: not us, so another way is under way.
    fn identify(&mut self, notices: &mut Vec<Notice>) -> bool {
        let reached = notices.iter().find_map(|notice| if let Notice::Reached(fd) = notice { Some(*fd) } else { None });
        let (State::Connecting { wire, until, is_trusted, .. }, Some(fd)) = (&mut self.state, reached) else {
            return true;
        };
        let listener = shortcut::listener_uid(fd);
        // The descriptor was this connection's unless libzmq has told of its loss meanwhile, which it does before it
        // closes it.
        wire.look_again(Source::Notices);
        notices.extend(wire.notices());
        if notices.contains(&Notice::Lost(fd)) {
            return true;
        }
        let own = rustix::process::geteuid().as_raw();
        match listener {
            Ok(uid) if shortcut::is_trusted(uid, own) => {
                *is_trusted = true;
                *until = Instant::now() + handshake_timeout(&self.options);
                return true;
            }
            Ok(uid) => {
                let name = self.shortcuts.get(self.passed);
                tracing::warn!(address = %self.address, ?name, uid, "another user listens at our shortcut; using TCP");
                self.shortcuts.clear();
                self.passed = 0;
                self.connect();
            }
            Err(error) => {
                tracing::debug!(address = %self.address, %error, "who listens at our shortcut is not known");
                self.fail();
            }
        }
        false
    }

    /// Starts with the first shortcut.
    fn dial(&mut self) {
        self.passed = 0;
        self.connect();
    }

    /// Goes on to the next way without a pause; after the last one the dial has failed.
    fn fail(&mut self) {
        if self.passed < self.shortcuts.len() {
            self.passed += 1;
            self.connect();
        } else {
            self.end();
        }
    }

    fn connect(&mut self) {
        let shortcut = self.shortcuts.get(self.passed);
        let endpoint = shortcut.unwrap_or(&self.endpoint);
        let opened = Wire::open(zmq::DEALER, endpoint.contains('['), &self.options)
            .and_then(|wire| wire.connect(endpoint).map(|()| wire));
        match opened {
            Ok(wire) => {
                let is_trusted = shortcut.is_none();
                let patience = if is_trusted { handshake_timeout(&self.options) } else { SHORTCUT_WAIT };
                let until = Instant::now() + patience;
                self.state = State::Connecting { wire, until, is_trusted, is_greeted: false };
            }
            Err(_) if shortcut.is_some() => self.fail(),
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(address = %self.address, %error, "cannot dial; trying again");
                }
                self.end();
            }
        }
    }

    /// Ends whatever there is and pauses: shortly after a good connection, longer after every failure.
    fn end(&mut self) {
        if let State::Up { peer, since, .. } = self.state {
            self.ended = Some(peer);
            if since.elapsed() > STABLE {
                self.pause = Duration::from_millis(self.options.redial_min_ms);
            }
        } else if matches!(self.state, State::Paused { until } if until > Instant::now()) {
            return;
        }
        self.pause_until(Instant::now() + jittered(self.pause));
        self.pause = (self.pause * 2).min(Duration::from_millis(self.options.redial_max_ms));
    }

    fn pause_until(&mut self, until: Instant) -> State {
        std::mem::replace(&mut self.state, State::Paused { until })
    }
}

/// Takes messages. True when there are no more, `None` when the connection cannot be trusted any more.
fn receive(
    wire: &Wire,
    peer: PeerId,
    events: &mut Vec<Event>,
    max_messages: usize,
    max_bytes: usize,
) -> Result<Option<bool>, NetError> {
    let (mut messages, mut bytes) = (0, 0);
    while messages < max_messages && bytes < max_bytes {
        match wire.receive(None).map_err(receive_error)? {
            Received::Nothing => return Ok(Some(true)),
            Received::Oversized => {
                tracing::warn!(peer = peer.0, "closed a connection: a message on it is over the limit");
                return Ok(None);
            }
            Received::Frames(frames) => {
                messages += 1;
                if !is_probe(&frames) {
                    bytes += frames.iter().map(Vec::len).sum::<usize>();
                    events.push(Event::Message(peer, frames));
                }
            }
        }
    }
    Ok(Some(false))
}

fn handshake_timeout(options: &Options) -> Duration {
    Duration::from_millis(options.handshake_timeout_ms.unsigned_abs().into())
}

/// Three quarters to all of it, so that many peers do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 256;
    pause - pause * random as u32 / 1_024
}
