//! The listening end: one `ROUTER`, many peers, each known by the identity that libzmq gave its connection.
//!
//! libzmq does not say which peer a lost connection was. The monitor names the connection's file descriptor, and so
//! does every message, so the suspect is known; a probe (an empty frame, which the other end ignores) settles it,
//! since a descriptor may already belong to the next connection.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use scaler_proto::{ids::PeerId, wire::Frames};

use crate::{
    Address, Event, NetError, Options, SendError, shortcut,
    socket::{self, Notice, Queue, Received, Sender, Sent, Wire},
};

/// How long the connections stay open after the last message of a clean close.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// Pause between two tries to reach a peer whose pipe is full.
const RETRY: Duration = Duration::from_millis(2);
/// Pause after the first probe of a suspect; doubles with each one, since a busy libzmq takes its time.
const PROBE: Duration = Duration::from_millis(2);
/// Probes that go through (or find the pipe full) before a suspect is cleared: about four seconds.
const PROBES_MAX: u32 = 11;

pub(crate) struct Bound {
    wire: Wire,
    address: Address,
    options: Options,
    peers: BTreeMap<PeerId, Peer>,
    by_identity: HashMap<Vec<u8>, PeerId>,
    /// Peers whose connection may be gone.
    suspects: BTreeMap<PeerId, Suspect>,
    /// Peers that a send found missing; reported after what they still delivered.
    missing: Vec<PeerId>,
    /// When to try the peers with waiting messages again.
    retry_at: Option<Instant>,
    blocked: Vec<PeerId>,
    strangers: u64,
}

struct Peer {
    identity: Vec<u8>,
    fd: Option<i32>,
    queue: Queue,
    forgotten: bool,
}

struct Suspect {
    /// Probes that said otherwise.
    probes: u32,
    next: Instant,
}

impl Bound {
    pub(crate) fn new(address: &Address, options: &Options) -> Result<Self, NetError> {
        let failed = |source| NetError::Bind { address: address.clone(), source };
        refuse_served_socket(address)?;
        let endpoint = socket::bind_endpoint(address).map_err(failed)?;
        let wire = Wire::open(zmq::ROUTER, endpoint.contains('['), options).map_err(|error| failed(error.into()))?;
        wire.bind(&endpoint).map_err(|error| match error {
            zmq::Error::EADDRINUSE => NetError::InUse { address: address.clone() },
            other => failed(other.into()),
        })?;
        let port = wire.bound_port();
        if options.use_shortcut {
            bind_shortcut(&wire, &endpoint, port);
        }
        let address = port.map_or_else(|| address.clone(), |port| address.with_port(port));
        Ok(Self {
            wire,
            address,
            options: options.clone(),
            peers: BTreeMap::new(),
            by_identity: HashMap::new(),
            suspects: BTreeMap::new(),
            missing: Vec::new(),
            retry_at: None,
            blocked: Vec::new(),
            strangers: 0,
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        !self.missing.is_empty() || self.deadline().is_some_and(|at| at <= now) || self.wire.is_ready(false)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.suspects.values().map(|suspect| suspect.next).chain(self.retry_at).min()
    }

    pub(crate) fn send(&mut self, id: PeerId, frames: Frames) -> Result<(), SendError> {
        socket::check_size(&frames)?;
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.forgotten) else { return Err(SendError::Gone) };
        if !peer.queue.is_empty() {
            return peer.queue.push(frames, self.options.queue_max_bytes);
        }
        match self.wire.transmit(Some(&peer.identity), frames) {
            Sent::Yes => Ok(()),
            Sent::Blocked(frames) => {
                peer.queue.push(frames, self.options.queue_max_bytes)?;
                self.blocked.push(id);
                self.retry_at.get_or_insert(Instant::now() + RETRY);
                Ok(())
            }
            Sent::Gone => {
                self.missing.push(id);
                Err(SendError::Gone)
            }
        }
    }

    pub(crate) fn forget(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.forgotten = true;
            peer.queue = Queue::default();
        }
    }

    pub(crate) fn drain(
        &mut self,
        events: &mut Vec<Event>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<(), NetError> {
        // Notices first: whatever a lost peer delivered is then already in the socket, and is taken before its `Down`.
        for notice in self.wire.notices() {
            match notice {
                Notice::Lost(fd) => self.suspect(fd),
                Notice::Stranger => self.count_stranger(),
                Notice::Reached(_) | Notice::Connected | Notice::Failed | Notice::Closed => {}
            }
        }
        if self.receive(events, max_messages, max_bytes)? {
            for id in std::mem::take(&mut self.missing) {
                self.remove(id, events);
            }
            self.probe(events);
        }
        self.retry();
        Ok(())
    }

    /// Sends what waits until nothing does or the time is over, then closes.
    pub(crate) fn close(mut self, flush_max: Duration) {
        let deadline = Instant::now() + flush_max;
        while !self.blocked.is_empty() && Instant::now() < deadline {
            std::thread::sleep(RETRY);
            self.retry_at = None;
            self.retry();
        }
        // libzmq drops what a peer has received and not read yet when the connection ends, so the last words get a
        // moment to be read.
        std::thread::sleep(LAST_WORDS.min(deadline.saturating_duration_since(Instant::now())));
        self.end(deadline.saturating_duration_since(Instant::now()));
    }

    /// Closes the socket and waits until the address is free again.
    fn end(&mut self, flush_max: Duration) {
        if self.wire.close(flush_max, Duration::from_millis(500))
            && let Address::Ipc { path } = &self.address
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(address = %self.address, %error, "the socket file was not removed");
        }
    }

    /// Takes messages; true when there are no more.
    fn receive(&mut self, events: &mut Vec<Event>, max_messages: usize, max_bytes: usize) -> Result<bool, NetError> {
        let mut sender = Sender::unknown();
        let (mut messages, mut bytes) = (0, 0);
        while messages < max_messages && bytes < max_bytes {
            let received = self.wire.receive(Some(&mut sender)).map_err(receive_error)?;
            let frames = match received {
                Received::Nothing => return Ok(true),
                Received::Frames(frames) => Some(frames),
                Received::Oversized => None,
            };
            messages += 1;
            let id = match self.by_identity.get(&sender.identity) {
                Some(id) => *id,
                None => self.add(&mut sender, events),
            };
            let forgotten = self.peers.get(&id).is_none_or(|peer| peer.forgotten);
            match frames {
                _ if forgotten => {}
                Some(frames) if is_probe(&frames) => {}
                Some(frames) => {
                    bytes += frames.iter().map(Vec::len).sum::<usize>();
                    events.push(Event::Message(id, frames));
                }
                None => {
                    tracing::warn!(peer = id.0, address = %self.address, "dropped a peer: its message is over the limit");
                    self.forget(id);
                    events.push(Event::Down(id));
                }
            }
        }
        Ok(false)
    }

    fn add(&mut self, sender: &mut Sender, events: &mut Vec<Event>) -> PeerId {
        let (id, fd) = (socket::next_peer(), sender.fd());
        if let Some(fd) = fd {
            // Whoever had this descriptor before is gone.
            self.suspect(fd);
        }
        let identity = sender.identity.clone();
        self.by_identity.insert(identity.clone(), id);
        self.peers.insert(id, Peer { identity, fd, queue: Queue::default(), forgotten: false });
        events.push(Event::Up(id));
        id
    }

    fn remove(&mut self, id: PeerId, events: &mut Vec<Event>) {
        self.suspects.remove(&id);
        let Some(peer) = self.peers.remove(&id) else { return };
        self.by_identity.remove(&peer.identity);
        if !peer.forgotten {
            events.push(Event::Down(id));
        }
    }

    fn suspect(&mut self, fd: i32) {
        for (id, peer) in &self.peers {
            if peer.fd.is_none_or(|its| its == fd) {
                self.suspects.insert(*id, Suspect { probes: 0, next: Instant::now() });
            }
        }
    }

    fn probe(&mut self, events: &mut Vec<Event>) {
        let now = Instant::now();
        for (id, mut suspect) in std::mem::take(&mut self.suspects) {
            let Some(peer) = self.peers.get(&id) else { continue };
            if suspect.next > now {
                self.suspects.insert(id, suspect);
            } else if self.wire.transmit(Some(&peer.identity), vec![Vec::new()]) == Sent::Gone {
                self.remove(id, events);
            } else if suspect.probes < PROBES_MAX {
                suspect.next = now + PROBE * (1 << suspect.probes);
                suspect.probes += 1;
                self.suspects.insert(id, suspect);
            }
        }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        for id in std::mem::take(&mut self.blocked) {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let identity = &peer.identity;
            if !peer.queue.flush(|frames| self.wire.transmit(Some(identity), frames)) {
                self.missing.push(id);
            } else if !peer.queue.is_empty() {
                self.blocked.push(id);
            }
        }
        self.retry_at = (!self.blocked.is_empty()).then_some(now + RETRY);
    }

    fn count_stranger(&mut self) {
        self.strangers += 1;
        if self.strangers.is_power_of_two() {
            let count = self.strangers;
            tracing::warn!(address = %self.address, count, "connections that do not speak our protocol were closed");
        }
    }
}

impl Drop for Bound {
    /// The address is free again afterwards.
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

pub(crate) fn is_probe(frames: &Frames) -> bool {
    matches!(frames.as_slice(), [only] if only.is_empty())
}

pub(crate) fn receive_error(error: zmq::Error) -> NetError {
    NetError::System { what: "receive from a link", source: error.into() }
}

/// Listens at the name that stands for the endpoint, too. Without it peers come by the endpoint, so that is no failure.
fn bind_shortcut(wire: &Wire, endpoint: &str, port: Option<u16>) {
    let Some(port) = port else { return };
    let listens: Option<Address> = endpoint.parse().ok();
    let Some(name) = listens.and_then(|address| shortcut::of_listener(&address.with_port(port))) else { return };
    if let Err(error) = wire.bind(&name) {
        tracing::debug!(endpoint, name, %error, "peers on this machine have no shortcut and use TCP");
    }
}

/// libzmq would take a unix socket away from whoever serves it.
fn refuse_served_socket(address: &Address) -> Result<(), NetError> {
    match address {
        Address::Ipc { path } if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(NetError::InUse { address: address.clone() })
        }
        _ => Ok(()),
    }
}
