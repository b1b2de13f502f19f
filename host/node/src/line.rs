//! A plain connection to a scheduler, for what only watches or gives an order: greeting, numbers, acknowledgements.
//!
//! It lives on the thread that made it, dials again after every loss, and acknowledges what was taken when the next
//! message is asked for: a program that is busy elsewhere gets no more of a stream than it can read.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use scaler_net::{Address, Event, Link, NetError, Options};
use scaler_proto::{
    ids::PeerId,
    message::{Ack, Goodbye, Hello, Kind, Message, Role},
    session::{Receipt, Session},
    wire::{self, Frames, WireError},
};

/// Most that is taken from the link at once.
const DRAIN_MESSAGES: usize = 64;
const DRAIN_BYTES: usize = 1 << 20;
/// What was said last gets this long to leave.
const FLUSH: Duration = Duration::from_millis(500);

/// What a line reports.
#[derive(Debug)]
pub(crate) enum Said {
    /// The scheduler has greeted; what was said before is not known to it.
    Welcome,
    /// The greeting was refused, and why.
    Refused(String),
    /// The connection is lost; another one is dialed.
    Lost,
    /// Everything else.
    Message(Message),
}

/// See the module's documentation.
pub(crate) struct Line {
    link: Link,
    hello: Hello,
    session: Session,
    peer: Option<PeerId>,
    is_welcome: bool,
    owes: bool,
    heard: Instant,
    events: Vec<Event>,
    said: VecDeque<Said>,
}

impl Line {
    pub(crate) fn dial(address: &Address, role: Role, name: &str) -> Result<Self, NetError> {
        scaler_net::raise_file_limit()?;
        let id = RandomState::new().hash_one((std::process::id(), name));
        let hello = Hello { build: env!("CARGO_PKG_VERSION").to_owned(), ..Hello::new(role, id, name) };
        Ok(Self {
            link: Link::dial(address, &Options::default()),
            hello,
            session: Session::default(),
            peer: None,
            is_welcome: false,
            owes: false,
            heard: Instant::now(),
            events: Vec::new(),
            said: VecDeque::new(),
        })
    }

    /// The last time that anything was heard.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Says something; nothing happens while there is no greeted connection.
    pub(crate) fn say(&mut self, message: Message) {
        if self.is_welcome || matches!(message, Message::Hello(_)) {
            self.send(message);
        }
    }

    /// The next thing that was said, if there is one. What was returned before counts as taken.
    pub(crate) fn next(&mut self) -> Result<Option<Said>, NetError> {
        if self.said.is_empty() {
            if std::mem::take(&mut self.owes) {
                self.say(Message::Ack(vec![Ack {}]));
            }
            let mut events = std::mem::take(&mut self.events);
            self.link.drain(&mut events, DRAIN_MESSAGES, DRAIN_BYTES)?;
            for event in events.drain(..) {
                match event {
                    Event::Up(peer) => self.up(peer),
                    Event::Down(peer) if self.peer == Some(peer) => self.lost(),
                    Event::Message(peer, frames) if self.peer == Some(peer) => self.message(frames),
                    Event::Down(_) | Event::Message(..) => {}
                }
            }
            self.events = events;
        }
        Ok(self.said.pop_front())
    }

    /// Waits until something may have been said, a descriptor is readable or the deadline has come. Returns whether
    /// it was a descriptor.
    pub(crate) fn wait(&self, fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> Result<bool, NetError> {
        Ok(scaler_net::wait(&[&self.link], fds, deadline)?.fds.contains(&true))
    }

    /// Gives the connection up and dials again.
    pub(crate) fn redial(&mut self) {
        self.lost();
        self.link.redial();
    }

    /// Says goodbye.
    pub(crate) fn close(mut self) {
        self.say(Message::Goodbye(vec![Goodbye { reason: "done".to_owned() }]));
        self.link.close(FLUSH);
    }

    fn up(&mut self, peer: PeerId) {
        self.peer = Some(peer);
        self.session = Session::default();
        self.is_welcome = false;
        self.owes = false;
        self.heard = Instant::now();
        self.say(Message::Hello(vec![self.hello.clone()]));
    }

    fn lost(&mut self) {
        self.is_welcome = false;
        self.owes = false;
        if self.peer.take().is_some() {
            self.said.push_back(Said::Lost);
        }
    }

    fn message(&mut self, frames: Frames) {
        self.heard = Instant::now();
        let packet = match wire::decode(frames) {
            Ok(packet) => packet,
            // A newer scheduler may say what nobody here has to understand.
            Err(WireError::UnknownKind { sequence, ack, .. }) => {
                if self.session.receive(sequence, ack) == Receipt::Gap {
                    self.redial();
                }
                return;
            }
            Err(error) => {
                tracing::debug!("connecting again: {error}");
                return self.redial();
            }
        };
        // A scheduler that does not know this connection cannot number its `Reset` either.
        if matches!(packet.message, Message::Reset(_)) {
            return self.redial();
        }
        match self.session.receive(packet.sequence, packet.ack) {
            Receipt::Fresh => {}
            Receipt::Repeated => return,
            Receipt::Gap => return self.redial(),
        }
        match packet.message {
            Message::Ack(_) => {}
            Message::Welcome(welcomes) => {
                if let Some(welcome) = welcomes.into_iter().next() {
                    self.is_welcome = true;
                    self.owes = true;
                    self.hello.epoch = welcome.epoch;
                    self.said.push_back(Said::Welcome);
                }
            }
            Message::Refused(refusals) if refusals.iter().any(|refused| refused.kind == Kind::Hello as u16) => {
                let reason = refusals.into_iter().next().map(|refused| refused.reason).unwrap_or_default();
                self.said.push_back(Said::Refused(reason));
            }
            Message::Goodbye(_) => self.redial(),
            message => {
                self.owes = true;
                self.said.push_back(Said::Message(message));
            }
        }
    }

    fn send(&mut self, message: Message) {
        let Some(peer) = self.peer else { return };
        let epoch = if matches!(message, Message::Hello(_)) { 0 } else { self.hello.epoch };
        let packet = self.session.stamp(epoch, message);
        let sent = wire::encode(packet).map(|frames| self.link.send(peer, frames));
        if !matches!(sent, Ok(Ok(()))) {
            self.redial();
        }
    }
}
