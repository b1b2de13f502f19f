//! Connections and the packets on them: late, twice or never, but in their order; and the ends of connections.

use super::{Connection, Event, Node, World};
use crate::{
    ids::{ClientId, PeerId, Time},
    session::Packet,
    sim::check::Checked,
};

impl World {
    pub(super) fn dial(&mut self, node: Node) -> Checked {
        let is_free = match node {
            Node::Client(index) => !self.clients[index].is_dead && self.clients[index].link.is_none(),
            Node::Agent(index) => !self.agents[index].is_dead && self.agents[index].link.is_none(),
            Node::Watcher(index) => self.watchers[index].link.is_none(),
        };
        if !is_free {
            return Ok(());
        }
        let link = self.connections.len();
        self.connections.push(Connection {
            node,
            is_up_here: false,
            is_up_there: true,
            is_hole: false,
            last: [self.now; 2],
        });
        // The scheduler hears of it before its first message.
        self.after_us(0, Event::UpAtScheduler(link));
        let peer = PeerId(link as u64);
        match node {
            Node::Client(index) => {
                self.clients[index].link = Some(link);
                self.client_turn(index, |client, now, out| client.core.connected(now, peer, out))
            }
            Node::Agent(index) => {
                self.agents[index].link = Some(link);
                self.checks.queues.insert(peer, self.agents[index].queues);
                self.checks.tags.insert(peer, self.agents[index].tags.clone());
                self.agent_turn(index, |agent, now, out| agent.core.connected(now, peer, out))
            }
            Node::Watcher(index) => {
                self.watcher_connected(index, link);
                Ok(())
            }
        }
    }

    /// Sends a packet one way, maybe late, twice or never.
    pub(super) fn transmit(&mut self, link: usize, packet: Packet, to_scheduler: bool) {
        // The first packets of a connection are never lost: what queues overflow with comes later.
        let copies = if self.is_healed || packet.sequence <= 2 {
            1
        } else if self.rng.once_in(400) {
            0
        } else {
            1 + u64::from(self.rng.once_in(200))
        };
        for _ in 0..copies {
            let slowest = if self.rng.once_in(50) { 30_000 } else { 1_500 };
            let delay = self.rng.between(20, slowest);
            let connection = &mut self.connections[link];
            let last = &mut connection.last[usize::from(to_scheduler)];
            let arrival = Time((self.now.0 + delay * 1_000).max(last.0 + 1));
            *last = arrival;
            let packet = packet.clone();
            let event = if to_scheduler { Event::ToScheduler(link, packet) } else { Event::ToNode(link, packet) };
            self.scheduled += 1;
            self.queue.insert((arrival, self.scheduled), event);
        }
    }

    pub(super) fn cut(&mut self, link: usize) {
        let (here, there) = (self.rng.between(0, 40_000), self.rng.between(0, 40_000));
        self.after_us(here, Event::DownAtScheduler(link));
        self.after_us(there, Event::DownAtNode(link));
    }

    pub(super) fn reach_scheduler(&mut self, link: usize, packet: Packet) -> Checked {
        let connection = &self.connections[link];
        if !connection.is_up_here || connection.is_hole {
            return Ok(());
        }
        let peer = PeerId(link as u64);
        let client = self.client_of(peer);
        let (deaths, ack) = (self.checks.arriving(peer, client, &packet.message)?, packet.ack);
        self.scheduler_turn(|core, now, out| core.handle(now, peer, packet, out))?;
        self.checks.heard(peer, deaths, client, ack);
        Ok(())
    }

    pub(super) fn reach_node(&mut self, link: usize, packet: Packet) -> Checked {
        let connection = &self.connections[link];
        if !connection.is_up_there || connection.is_hole {
            return Ok(());
        }
        let peer = PeerId(link as u64);
        match connection.node {
            Node::Client(index) => {
                self.client_turn(index, |client, now, out| client.core.handle(now, peer, packet, out))
            }
            Node::Agent(index) => self.agent_turn(index, |agent, now, out| agent.core.handle(now, peer, packet, out)),
            Node::Watcher(index) => self.watcher_hears(index, link, packet),
        }
    }

    pub(super) fn down_at_node(&mut self, link: usize) -> Checked {
        if !std::mem::take(&mut self.connections[link].is_up_there) {
            return Ok(());
        }
        let (node, peer) = (self.connections[link].node, PeerId(link as u64));
        let delay = self.rng.between(1_000, 80_000);
        match node {
            Node::Client(index) if self.clients[index].link == Some(link) => {
                self.clients[index].link = None;
                self.after_us(delay, Event::Dial(node));
                self.client_turn(index, |client, now, out| client.core.disconnected(now, peer, out))
            }
            Node::Agent(index) if self.agents[index].link == Some(link) => {
                self.agents[index].link = None;
                self.after_us(delay, Event::Dial(node));
                self.agent_turn(index, |agent, now, out| agent.core.disconnected(now, peer, out))
            }
            Node::Watcher(index) if self.watchers[index].link == Some(link) => {
                self.watchers[index].link = None;
                self.after_us(delay, Event::Dial(node));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A node closes its own connection.
    pub(super) fn redial(&mut self, link: Option<usize>) {
        if let Some(link) = link {
            self.after_us(0, Event::DownAtNode(link));
            let delay = self.rng.between(10, 20_000);
            self.after_us(delay, Event::DownAtScheduler(link));
        }
    }

    pub(super) fn client_of(&self, peer: PeerId) -> Option<ClientId> {
        match self.connections.get(peer.0 as usize)?.node {
            Node::Client(index) => Some(self.clients[index].id),
            Node::Agent(_) | Node::Watcher(_) => None,
        }
    }
}
