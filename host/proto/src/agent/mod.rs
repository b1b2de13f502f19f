//! The cluster agent: its queue, which worker gets what and when, cancel, timeouts, blame, give-back, leaving.

mod effect;

pub use effect::{AgentConfig, Effect, EndReason, Handed, InterruptCause, Note};

use crate::{
    ids::{FunctionId, PeerId, Time},
    message::{Failure, ModuleInfo, Outcome, TaskStats},
    session::Packet,
};

/// The state machine of one agent. Every method may be followed by [`Agent::tick`], which performs what became due.
pub struct Agent {}

impl Agent {
    /// An agent that has no connection and no processor yet.
    #[must_use]
    pub fn new(_config: AgentConfig, _now: Time) -> Self {
        todo!()
    }
    /// Starts the processors of all workers.
    pub fn start(&mut self, _now: Time) {
        todo!()
    }
    /// The link is up.
    pub fn connected(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// The scheduler said something.
    pub fn handle(&mut self, _now: Time, _peer: PeerId, _packet: Packet, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// The link is down.
    pub fn disconnected(&mut self, _now: Time, _peer: PeerId, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// The preload succeeded (first call), or the modules of the module path changed.
    pub fn announce(&mut self, _modules: Vec<ModuleInfo>) {
        todo!()
    }
    /// Answers [`Effect::Prepare`].
    pub fn function_ready(&mut self, _now: Time, _function: FunctionId) {
        todo!()
    }
    /// Answers [`Effect::Prepare`]: its tasks fail with this.
    pub fn function_failed(&mut self, _now: Time, _function: FunctionId, _failure: Failure) {
        todo!()
    }
    /// A processor takes tasks.
    pub fn processor_ready(&mut self, _now: Time, _worker: u16, _pid: u32) {
        todo!()
    }
    /// A processor ended a task.
    pub fn processor_done(&mut self, _now: Time, _worker: u16, _sequence: u64, _outcome: Outcome, _stats: TaskStats) {
        todo!()
    }
    /// What the shared page says: which task runs, and since when. To be called before `tick` for busy workers.
    pub fn processor_running(&mut self, _now: Time, _worker: u16, _running: Option<(u64, Time)>) {
        todo!()
    }
    /// Answers [`Effect::TakeBack`]: tasks from `first` on had not started and never will there.
    pub fn processor_took_back(&mut self, _now: Time, _worker: u16, _first: u64) {
        todo!()
    }
    /// A processor is gone; `running` is the task that the shared page names.
    pub fn processor_died(&mut self, _now: Time, _worker: u16, _running: Option<u64>, _description: &str) {
        todo!()
    }
    /// A worker's processor cannot be started again (its preload fails).
    pub fn processor_retired(&mut self, _now: Time, _worker: u16, _reason: &str) {
        todo!()
    }
    /// Figures of a processor for the next heartbeat.
    pub fn worker_usage(&mut self, _worker: u16, _cpu_permille: u32, _rss_bytes: u64) {
        todo!()
    }
    /// Resident memory of the agent itself, for the next heartbeat.
    pub fn own_usage(&mut self, _rss_bytes: u64) {
        todo!()
    }
    /// Takes no more work: gives back what has not started, finishes what runs, then ends.
    pub fn leave(&mut self, _now: Time, _reason: &str) {
        todo!()
    }
    /// Performs what is due: feeds processors, sends batches, checks timeouts.
    pub fn tick(&mut self, _now: Time, _out: &mut Vec<Effect>) {
        todo!()
    }
    /// When `tick` has to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        todo!()
    }
}
