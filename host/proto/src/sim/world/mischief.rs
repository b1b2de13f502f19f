//! What goes wrong in the world, and the end of that.

use super::{Event, Node, World};
use crate::sim::check::Checked;

impl World {
    pub(super) fn mischief(&mut self) -> Checked {
        if self.is_healed {
            return Ok(());
        }
        let delay = self.rng.between(10_000, 250_000);
        self.after_us(delay, Event::Mischief);
        let up: Vec<usize> = (0..self.connections.len()).filter(|link| self.connections[*link].is_up_there).collect();
        let agent = self.rng.between(0, self.agents.len() as u64 - 1) as usize;
        match self.rng.between(0, 11) {
            0..=3 => {
                if let Some(link) = self.rng.pick(&up) {
                    self.cut(link);
                }
            }
            4 => {
                if let Some(link) = self.rng.pick(&up) {
                    self.connections[link].is_hole = true;
                }
            }
            5..=7 => {
                let worker = self.rng.between(0, self.agents[agent].processors.len() as u64 - 1) as usize;
                // Not while a task runs: that death would be charged to a task that did nothing.
                if self.agents[agent].processors[worker].running.is_none() && !self.agents[agent].is_dead {
                    self.processor_dies(agent, worker)?;
                }
            }
            8 => self.crash(agent),
            9 => {
                let stop = self.rng.between(50, 3_000);
                self.agents[agent].stalled = Some(self.now.plus_ms(stop));
            }
            10 if self.rng.once_in(4) => {
                let index = self.rng.between(0, self.clients.len() as u64 - 1) as usize;
                self.clients[index].is_dead = true;
                if let Some(link) = self.clients[index].link.take() {
                    self.cut(link);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, index: usize) {
        let node = &mut self.agents[index];
        if node.is_dead {
            return;
        }
        node.is_dead = true;
        if let Some(link) = node.link.take() {
            self.connections[link].is_up_there = false;
            self.cut(link);
        }
        let delay = self.rng.between(10_000, 600_000);
        self.after_us(delay, Event::Restart(index));
    }

    pub(super) fn restart(&mut self, index: usize) -> Checked {
        if !self.agents[index].is_dead {
            return Ok(());
        }
        let life = self.agents[index].life + 1;
        self.agents[index] = self.agent(index as u64, life);
        self.dial(Node::Agent(index))
    }

    /// From now on nothing goes wrong any more, and everything must come to its end.
    pub(super) fn heal(&mut self) -> Checked {
        self.is_healed = true;
        for link in 0..self.connections.len() {
            if self.connections[link].is_hole {
                self.cut(link);
            }
        }
        for agent in &mut self.agents {
            agent.stalled = None;
        }
        Ok(())
    }
}
