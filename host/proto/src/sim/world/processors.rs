//! Clusters in the world: what an agent's shell and its processors would do.

use crate::{
    agent,
    ids::{ObjectId, Time},
    message::{FailureKind, Outcome, TaskStats},
    payload::Payload,
};

use super::{Event, World};
use crate::sim::{
    check::{Checked, must},
    nodes::{AgentNode, Manner, failed, interrupted},
};

impl World {
    pub(super) fn agent_turn(
        &mut self,
        index: usize,
        what: impl FnOnce(&mut AgentNode, Time, &mut Vec<agent::Effect>),
    ) -> Checked {
        if self.agents[index].is_dead {
            return Ok(());
        }
        let mut out = Vec::new();
        let node = &mut self.agents[index];
        what(node, self.now, &mut out);
        node.tell_pages(self.now);
        node.core.tick(self.now, &mut out);
        for effect in out {
            self.agent_effect(index, effect)?;
        }
        Ok(())
    }

    pub(super) fn agent_effect(&mut self, index: usize, effect: agent::Effect) -> Checked {
        let life = self.agents[index].life;
        match effect {
            agent::Effect::Send(peer, packet) if self.agents[index].link == Some(peer.0 as usize) => {
                self.transmit(peer.0 as usize, packet, true);
            }
            agent::Effect::Redial => self.redial(self.agents[index].link),
            agent::Effect::Prepare(define) => {
                self.agents[index].core.function_ready(self.now, define.function);
            }
            agent::Effect::Spawn { worker } => {
                let worker = usize::from(worker);
                self.agents[index].processors[worker].process += 1;
                let process = self.agents[index].processors[worker].process;
                let delay = self.rng.between(800, 5_000);
                self.after_us(delay, Event::ProcessorReady { agent: index, life, worker, process });
            }
            agent::Effect::Hand { worker, tasks } => {
                let worker = usize::from(worker);
                self.agents[index].processors[worker].queue.extend(tasks);
                self.start_next(index, worker)?;
            }
            agent::Effect::TakeBack { worker, next } => {
                let worker = usize::from(worker);
                let processor = &mut self.agents[index].processors[worker];
                let first = processor.queue.front().map_or(next, |handed| handed.sequence);
                processor.queue.clear();
                let process = processor.process;
                self.after_us(10, Event::TookBack { agent: index, life, worker, process, first });
            }
            agent::Effect::Interrupt { worker, sequence, cause } => {
                let worker = usize::from(worker);
                let is_deaf = self.rng.once_in(self.agents[index].deaf);
                let processor = &self.agents[index].processors[worker];
                let runs = processor.running.as_ref().is_some_and(|(handed, _)| handed.sequence == sequence);
                if runs && !is_deaf {
                    let (process, outcome) = (processor.process, Some(interrupted(cause)));
                    self.after_us(2_000, Event::TaskEnds { agent: index, life, worker, process, sequence, outcome });
                }
            }
            agent::Effect::Kill { worker } => {
                let worker = usize::from(worker);
                let process = self.agents[index].processors[worker].process;
                self.after_us(500, Event::ProcessorDies { agent: index, life, worker, process });
            }
            // A packet for a connection that is gone goes nowhere.
            agent::Effect::Send(..) | agent::Effect::StorageAddress(_) | agent::Effect::Note(_) => {}
            agent::Effect::End(reason) => {
                must(false, "outcomes", || format!("cluster {index} ended: {reason:?}"))?;
            }
        }
        Ok(())
    }

    pub(super) fn start_next(&mut self, index: usize, worker: usize) -> Checked {
        let node = &mut self.agents[index];
        let processor = &mut node.processors[worker];
        if processor.running.is_some() || !processor.is_alive {
            return Ok(());
        }
        let Some(handed) = processor.queue.pop_front() else { return Ok(()) };
        let (task, sequence, process, life) = (handed.run.task, handed.sequence, processor.process, node.life);
        processor.running = Some((handed, self.now));
        let wanted = self.checks.wanted.get(&task).cloned().unwrap_or_default();
        must(node.tags[worker].satisfy(&wanted), "tags", || {
            format!("{task} asks for `{wanted}` and runs on a worker with `{}`", self.agents[index].tags[worker])
        })?;
        let manner = Manner::of(task.number);
        let delay = manner.run_us(&mut self.rng);
        let event = if manner == Manner::Deadly {
            Event::ProcessorDies { agent: index, life, worker, process }
        } else {
            Event::TaskEnds { agent: index, life, worker, process, sequence, outcome: None }
        };
        self.after_us(delay, event);
        Ok(())
    }

    pub(super) fn task_ends(
        &mut self,
        index: usize,
        worker: usize,
        sequence: u64,
        outcome: Option<Outcome>,
    ) -> Checked {
        let processor = &mut self.agents[index].processors[worker];
        if processor.running.as_ref().is_none_or(|(handed, _)| handed.sequence != sequence) {
            return Ok(());
        }
        let Some((handed, since)) = processor.running.take() else { return Ok(()) };
        let run = &handed.run;
        let outcome = outcome.unwrap_or_else(|| match Manner::of(run.task.number) {
            Manner::Traps => failed(FailureKind::Trap),
            Manner::Large if run.inline_max < 5_000 => {
                let id = ObjectId::result(run.task, run.attempt);
                self.objects.insert(id);
                Outcome::Ok(Payload::Stored { id, length: 5_000 })
            }
            Manner::Large => Outcome::Ok(Payload::Inline(vec![1; 5_000])),
            _ => Outcome::Ok(Payload::Inline(vec![0; 8])),
        });
        let stats = TaskStats { run_us: self.now.since(since) / 1_000, ..TaskStats::default() };
        self.agent_turn(index, |node, now, _| node.core.processor_done(now, worker as u16, sequence, outcome, stats))?;
        self.start_next(index, worker)
    }

    pub(super) fn processor_dies(&mut self, index: usize, worker: usize) -> Checked {
        let processor = &mut self.agents[index].processors[worker];
        if !std::mem::take(&mut processor.is_alive) {
            return Ok(());
        }
        // Whatever was planned for this process is void; `Spawn` numbers the next one.
        processor.process += 1;
        processor.queue.clear();
        let running = processor.running.take().map(|(handed, _)| handed.sequence);
        self.agent_turn(index, |node, now, _| node.core.processor_died(now, worker as u16, running, "killed"))
    }
}
