//! The cluster agent: its queue, which worker gets what and when, cancel, timeouts, blame, give-back, leaving.
//!
//! The scheduler picks the cluster, the agent binds late: a processor gets about a millisecond of work, the rest waits
//! in the agent's own queue (`queue`). What a processor has in hand can be taken back exactly, as long as it has not
//! started ([`Effect::TakeBack`]). `supervise` looks after processors, `uplink` after the connection, `lines` bounds
//! what guests write, `failures` how much the log says of tasks that fail.

mod effect;
mod lines;
mod queue;
mod supervise;
#[cfg(test)]
mod tests;
mod uplink;
mod worker;

use std::collections::BTreeMap;

pub use effect::{AgentConfig, Effect, EndReason, Handed, InterruptCause, Note, Usage};
use lines::Lines;
pub use lines::Verdict;
use queue::{Place, Tasks};
use uplink::Uplink;
use worker::Worker;

use crate::{
    failures::Failures,
    ids::{FunctionId, PeerId, Time},
    message::{
        Attempt, Define, Done, Failure, FailureKind, Message, ModuleInfo, Outcome, ReturnReason, Returned, Run, Stop,
        StopReason, TaskStats, first_line, timeout_message,
    },
    resolve::target_in,
    session::{Packet, Receipt},
};

/// A refused greeting is tried again after this long.
const REFUSED_RETRY_MS: u64 = 2_000;

/// A function as the scheduler numbers it.
#[derive(Debug)]
struct Function {
    define: Define,
    state: FunctionState,
}

#[derive(Debug)]
enum FunctionState {
    /// Being prepared; these tasks wait for it.
    Pending(Vec<u32>),
    Ready,
    Failed(Failure),
}

/// The agent takes no more work.
#[derive(Clone, Debug)]
struct Departure {
    reason: String,
    deadline: Time,
    is_announced: bool,
    /// A scheduler that has not answered yet is waited for, as long as for acknowledgements: it shall know why.
    waits_for_welcome: bool,
    /// Everything is finished and sent; only acknowledgements are missing.
    finished: Option<Time>,
}

/// The state machine of one agent. Every method may be followed by [`Agent::tick`], which performs what became due.
pub struct Agent {
    config: AgentConfig,
    uplink: Uplink,
    functions: BTreeMap<FunctionId, Function>,
    tasks: Tasks,
    workers: Vec<Worker>,
    modules: Option<Vec<ModuleInfo>>,
    departure: Option<Departure>,
    is_started: bool,
    is_ended: bool,
    last_retirement: String,
    usage: Usage,
    lines: Lines,
    failures: Failures,
    /// When the last tick was.
    looked: Time,
    /// Effects that arose outside `tick`.
    pending: Vec<Effect>,
    /// Reused by `feed`.
    order: Vec<u16>,
}

impl Agent {
    /// An agent that has no connection and no processor yet.
    #[must_use]
    pub fn new(config: AgentConfig, now: Time) -> Self {
        Self {
            uplink: Uplink::new(now),
            functions: BTreeMap::new(),
            tasks: Tasks::new(config.workers.iter().map(|worker| worker.capabilities.clone()).collect()),
            workers: config.workers.iter().map(|_| Worker::new()).collect(),
            modules: None,
            departure: None,
            is_started: false,
            is_ended: false,
            last_retirement: String::new(),
            usage: Usage::default(),
            lines: Lines::new(now, config.workers.len()),
            failures: Failures::default(),
            looked: now,
            pending: Vec::new(),
            order: Vec::new(),
            config,
        }
    }

    /// Starts the processors of all workers.
    pub fn start(&mut self, _now: Time) {
        self.is_started = true;
    }

    /// The link is up.
    pub fn connected(&mut self, now: Time, peer: PeerId, out: &mut Vec<Effect>) {
        let held: Vec<u32> = self.tasks.iter().map(|(slot, _)| slot).collect();
        let mut holds = Vec::with_capacity(held.len());
        for slot in held {
            let Some(task) = self.tasks.get_mut(slot) else { continue };
            task.reported = false;
            if task.stop != Some(StopReason::Discard) {
                holds.push(task.attempt());
            }
        }
        let hello = self.uplink.connected(now, peer, &self.config, holds, self.modules.is_some());
        out.push(Effect::Send(peer, hello));
    }

    /// The link is down.
    pub fn disconnected(&mut self, now: Time, peer: PeerId, out: &mut Vec<Effect>) {
        if self.uplink.is_of(peer) {
            self.uplink.disconnected(now);
            out.push(Effect::Note(Note::Disconnected));
        }
    }

    /// The scheduler said something.
    pub fn handle(&mut self, now: Time, peer: PeerId, packet: Packet, out: &mut Vec<Effect>) {
        if !self.uplink.is_of(peer) {
            return;
        }
        match self.uplink.receive(now, &packet) {
            Receipt::Fresh => self.message(now, packet, out),
            Receipt::Repeated => {}
            Receipt::Gap => self.redial(now, "messages of this connection are missing", out),
        }
    }

    fn message(&mut self, now: Time, packet: Packet, out: &mut Vec<Effect>) {
        match packet.message {
            Message::Welcome(welcomes) => {
                for welcome in welcomes {
                    if self.uplink.welcome(now, &welcome, out) {
                        self.forget_all(out);
                    }
                }
            }
            Message::Refused(refusals) => {
                for refused in refusals {
                    if !self.uplink.is_welcome() {
                        self.uplink.retry_at = Some(now.plus_ms(REFUSED_RETRY_MS));
                    }
                    out.push(Effect::Note(Note::Refused { reason: refused.reason }));
                }
            }
            Message::Reset(resets) => {
                let reason = resets.into_iter().next().map_or_else(String::new, |reset| reset.reason);
                self.redial(now, &reason, out);
            }
            Message::Goodbye(goodbyes) => {
                let reason = goodbyes.into_iter().next().map_or_else(String::new, |goodbye| goodbye.reason);
                self.uplink.disconnected(now);
                out.push(Effect::Note(Note::SchedulerEnded { reason }));
                out.push(Effect::Redial);
            }
            _ if !self.uplink.is_welcome() || packet.epoch != self.uplink.epoch() => {
                self.redial(now, "an order of another epoch of the scheduler", out);
            }
            Message::Define(defines) => defines.into_iter().for_each(|define| self.define(define, out)),
            Message::Run(runs) => runs.into_iter().for_each(|run| self.run(run)),
            Message::Stop(stops) => stops.into_iter().for_each(|stop| self.stop(now, stop)),
            Message::Leave(leaves) => {
                let reason = leaves.into_iter().next().map_or_else(String::new, |leave| leave.reason);
                self.leave(now, &reason);
            }
            Message::Pulse(pulses) => pulses.into_iter().for_each(|pulse| self.uplink.pulse(now, pulse.sent)),
            // Acknowledgements are in the envelope; the rest is not for agents.
            _ => {}
        }
    }

    fn redial(&mut self, now: Time, reason: &str, out: &mut Vec<Effect>) {
        self.uplink.disconnected(now);
        out.push(Effect::Note(Note::Reset { reason: reason.to_owned() }));
        out.push(Effect::Redial);
    }

    /// Another scheduler: nothing that the agent has in hand is known any more.
    fn forget_all(&mut self, out: &mut Vec<Effect>) {
        self.functions.clear();
        self.uplink.forget();
        let slots: Vec<u32> = self.tasks.iter().map(|(slot, _)| slot).collect();
        if !slots.is_empty() {
            out.push(Effect::Note(Note::Forgotten { tasks: slots.len() }));
        }
        for slot in slots {
            self.discard(slot);
        }
    }

    fn discard(&mut self, slot: u32) {
        let Some(task) = self.tasks.get_mut(slot) else { return };
        if let Place::Handed { worker, .. } = task.place {
            task.stop = Some(StopReason::Discard);
            self.workers[worker as usize].wants_take_back = true;
        } else {
            self.tasks.remove(slot);
        }
    }

    fn define(&mut self, define: Define, out: &mut Vec<Effect>) {
        if self.functions.get(&define.function).is_some_and(|known| known.define == define) {
            return;
        }
        out.push(Effect::Prepare(define.clone()));
        self.functions.insert(define.function, Function { define, state: FunctionState::Pending(Vec::new()) });
    }

    fn run(&mut self, run: Run) {
        let attempt = Attempt { task: run.task, attempt: run.attempt };
        if self.tasks.find(attempt).is_some() {
            return;
        }
        if self.departure.is_some() {
            return self.give_back(attempt, ReturnReason::GivenBack, String::new());
        }
        let function = run.function;
        if !self.functions.contains_key(&function) {
            return self.give_back(attempt, ReturnReason::CannotRun, "its function was not defined here".to_owned());
        }
        let slot = self.tasks.insert(run);
        let workers = &self.workers;
        if !self.tasks.fits_any(slot, |worker| !workers[worker].is_retired()) {
            self.tasks.remove(slot);
            return self.give_back(
                attempt,
                ReturnReason::CannotRun,
                "no worker here offers its capabilities".to_owned(),
            );
        }
        match self.functions.get_mut(&function).map(|function| &mut function.state) {
            Some(FunctionState::Pending(waiting)) => waiting.push(slot),
            Some(FunctionState::Failed(failure)) => {
                let failure = failure.clone();
                self.fail(slot, failure);
            }
            _ => {
                self.tasks.enqueue(slot, false);
                self.make_way(slot);
            }
        }
    }

    fn stop(&mut self, now: Time, stop: Stop) {
        let Some(slot) = self.tasks.find(stop.attempt) else {
            if stop.reason == StopReason::Discard {
                self.uplink.discard(stop.attempt);
            }
            return;
        };
        let Some(task) = self.tasks.get_mut(slot) else { return };
        let Place::Handed { worker, sequence } = task.place else {
            self.tasks.remove(slot);
            match stop.reason {
                StopReason::Cancel => self.finish(stop.attempt, canceled(), TaskStats::nowhere()),
                StopReason::TakeBack => self.give_back(stop.attempt, ReturnReason::GivenBack, String::new()),
                StopReason::Discard => {}
            }
            return;
        };
        let state = &mut self.workers[worker as usize];
        let has_started = state.running.is_some_and(|running| running.0 >= sequence);
        if stop.reason == StopReason::TakeBack {
            if !has_started && task.stop.is_none() {
                task.stop = Some(StopReason::TakeBack);
                state.wants_take_back = true;
            }
            return;
        }
        task.stop = Some(stop.reason);
        if has_started {
            self.interrupt(now, worker, sequence, InterruptCause::Cancel);
        } else {
            state.wants_take_back = true;
        }
    }

    /// The preload succeeded (first call), or the modules of the module path changed.
    pub fn announce(&mut self, modules: Vec<ModuleInfo>) {
        self.modules = Some(modules);
        self.uplink.modules_changed = true;
    }

    /// Answers [`Effect::Prepare`].
    pub fn function_ready(&mut self, _now: Time, function: FunctionId) {
        let Some(function) = self.functions.get_mut(&function) else { return };
        if let FunctionState::Pending(waiting) = std::mem::replace(&mut function.state, FunctionState::Ready) {
            let number = function.define.function;
            for slot in waiting {
                let is_waiting = |task: &queue::Task| task.place == Place::Waiting && task.run.function == number;
                if self.tasks.get(slot).is_some_and(is_waiting) {
                    self.tasks.enqueue(slot, false);
                }
            }
        }
    }

    /// Answers [`Effect::Prepare`]: its tasks fail with this.
    pub fn function_failed(&mut self, _now: Time, function: FunctionId, failure: Failure) {
        let Some(entry) = self.functions.get_mut(&function) else { return };
        let before = std::mem::replace(&mut entry.state, FunctionState::Failed(failure.clone()));
        if let FunctionState::Pending(waiting) = before {
            for slot in waiting {
                let is_waiting = |task: &queue::Task| task.place == Place::Waiting && task.run.function == function;
                if self.tasks.get(slot).is_some_and(is_waiting) {
                    self.fail(slot, failure.clone());
                }
            }
        }
    }

    /// Takes no more work: gives back what has not started, finishes what runs, then ends.
    pub fn leave(&mut self, now: Time, reason: &str) {
        self.leave_saying(now, reason, false);
    }

    /// As [`Agent::leave`], for a cluster that cannot work: a scheduler that is about to answer is told why first.
    pub fn give_up(&mut self, now: Time, reason: &str) {
        self.leave_saying(now, reason, true);
    }

    fn leave_saying(&mut self, now: Time, reason: &str, waits_for_welcome: bool) {
        if self.departure.is_some() {
            return;
        }
        self.pending.push(Effect::Note(Note::Leaving { reason: reason.to_owned() }));
        self.departure = Some(Departure {
            reason: reason.to_owned(),
            deadline: now.plus_ms(self.config.drain_ms),
            is_announced: false,
            waits_for_welcome,
            finished: None,
        });
        let slots: Vec<u32> = self.tasks.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            match self.tasks.get(slot).map(|task| task.place) {
                Some(Place::Handed { worker, .. }) => self.workers[worker as usize].wants_take_back = true,
                Some(_) => {
                    if let Some(task) = self.tasks.remove(slot) {
                        self.give_back(task.attempt(), ReturnReason::GivenBack, String::new());
                    }
                }
                None => {}
            }
        }
    }

    /// Whether the agent was asked to leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.departure.is_some()
    }

    /// Performs what is due: feeds processors, sends batches, checks timeouts.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.is_ended {
            return;
        }
        let step_ns = now.since(std::mem::replace(&mut self.looked, now));
        out.append(&mut self.pending);
        out.extend(self.failures.rest(now).map(|count| Effect::Note(Note::FailedMore { count })));
        self.supervise(now, step_ns, out);
        self.feed(out);
        self.depart(now, out);
        let beat = if !self.is_ended && self.uplink.heartbeat_is_due(now) { Some(self.heartbeat(now)) } else { None };
        let redial_reason = self.uplink.flush(now, &self.config, self.modules.as_deref(), beat, out);
        if let Some(reason) = redial_reason {
            self.redial(now, reason, out);
        }
        let is_alone_too_long =
            self.uplink.alone_since().is_some_and(|since| now.since(since) >= self.config.death_timeout_ms * 1_000_000);
        if is_alone_too_long && !self.is_ended {
            self.end(EndReason::DeathTimeout, out);
        }
    }

    /// When `tick` has to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.is_ended {
            return None;
        }
        if !self.pending.is_empty() {
            return Some(Time(0));
        }
        let departure = self.departure.as_ref().map(|departure| match departure.finished {
            Some(since) => since.plus_ms(supervise::GOODBYE_MS),
            None => departure.deadline,
        });
        let alone = self.uplink.alone_since().map(|since| since.plus_ms(self.config.death_timeout_ms));
        let failures = self.failures.next_deadline();
        [self.uplink.next_deadline(&self.config), self.supervision_deadline(), departure, alone, failures]
            .into_iter()
            .flatten()
            .min()
    }

    fn end(&mut self, reason: EndReason, out: &mut Vec<Effect>) {
        self.is_ended = true;
        out.append(&mut self.pending);
        out.extend(self.failures.rest_at_last().map(|count| Effect::Note(Note::FailedMore { count })));
        out.push(Effect::End(reason));
    }

    /// An attempt has an outcome of its own.
    fn conclude(&mut self, run: &Run, mut outcome: Outcome, stats: TaskStats) {
        let attempt = Attempt { task: run.task, attempt: run.attempt };
        if let Outcome::Failed(failure) = &mut outcome
            && failure.kind == FailureKind::Timeout
        {
            failure.message.push_str(&format!(" (it is {})", self.timeout_owner(run)));
        }
        if let Outcome::Failed(failure) = &outcome
            && !failure.kind.is_canceled()
            && self.failures.is_told(self.looked)
        {
            let define = self.functions.get(&run.function).map(|function| &function.define);
            self.pending.push(Effect::Note(Note::Failed {
                task: attempt.task,
                attempt: attempt.attempt,
                function: define.map_or_else(String::new, |define| target_in(&define.path, &define.info)),
                worker: stats.worker,
                kind: failure.kind,
                message: first_line(&failure.message),
            }));
        }
        self.finish(attempt, outcome, stats);
    }

    /// An attempt has an outcome.
    fn finish(&mut self, attempt: Attempt, outcome: Outcome, mut stats: TaskStats) {
        stats.attempt = attempt.attempt;
        self.uplink.dones.push(Done { task: attempt.task, attempt: attempt.attempt, outcome, stats });
    }

    fn fail(&mut self, slot: u32, failure: Failure) {
        if let Some(task) = self.tasks.remove(slot) {
            let outcome = Outcome::Failed(failure);
            self.conclude(&task.run, outcome, TaskStats::nowhere());
        }
    }

    fn give_back(&mut self, attempt: Attempt, reason: ReturnReason, message: String) {
        self.uplink.returned.push(Returned { attempt, reason, message, stats: TaskStats::default() });
    }
}

fn canceled() -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Canceled,
        message: "the task was canceled".to_owned(),
        value: None,
        trace: None,
    })
}

fn timed_out(timeout_ms: u64, ran_us: u64) -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Timeout,
        message: timeout_message(timeout_ms, ran_us),
        value: None,
        trace: None,
    })
}
