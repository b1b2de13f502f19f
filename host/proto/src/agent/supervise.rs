//! Processors: feeding, take-back, interrupts and kills, deaths and who is to blame for them.

use super::{
    Agent, Effect, EndReason, Handed, InterruptCause, Note, Usage, canceled, timed_out,
    worker::{FAILED_STARTS_MAX, Interrupt, KillCause, Processor},
};
use crate::{
    ids::Time,
    message::{
        Heartbeat, Outcome, RUNNING_REPORT_MS, ReturnReason, Returned, Run, Running, StopReason, TaskStats, WorkerLoad,
    },
};

/// How often a busy processor's page is looked at, and how often when others could take its waiting tasks.
const LOOK_MS: u64 = 20;
const LOOK_CLOSELY_MS: u64 = 2;
/// A task older than this gives up what waits behind it to workers without work.
const BALANCE_AFTER_MS: u64 = 2;
/// Processors started in one turn: each costs time in which no signal is read.
const SPAWNS_MAX: u32 = 16;
/// A processor that has tasks in hand and runs none for so long is stopped, wedged or lost in the kernel: from the end
/// of one task to the begin of the next it needs microseconds, and while it fetches arguments the page names the task.
const STALL_MS: u64 = 5_000;
/// What counts of the time between two looks: the agent may have been stopped itself.
const STEP_NS_MAX: u64 = 1_000_000_000;
/// A leaving agent waits so long for the last acknowledgements.
pub(super) const GOODBYE_MS: u64 = 1_000;

impl Agent {
    /// A processor takes tasks.
    pub fn processor_ready(&mut self, now: Time, worker: u16, pid: u32) {
        let Some(worker) = self.workers.get_mut(worker as usize) else { return };
        if worker.processor == Processor::Starting {
            worker.processor = Processor::Ready;
            worker.pid = pid;
            worker.ready_since = now;
            // Views show the new processor at once, not an interval later.
            self.uplink.heartbeat_now(now);
        }
    }

    /// A processor ended a task.
    pub fn processor_done(&mut self, _now: Time, worker: u16, sequence: u64, outcome: Outcome, mut stats: TaskStats) {
        let Some(state) = self.workers.get_mut(worker as usize) else { return };
        let Ok(index) = state.in_flight.binary_search_by_key(&sequence, |entry| entry.0) else { return };
        let slot = match index {
            0 => state.in_flight.pop_front(),
            _ => state.in_flight.remove(index),
        };
        if state.interrupt.is_some_and(|interrupt| interrupt.sequence <= sequence) {
            state.interrupt = None;
        }
        if state.running.is_some_and(|running| running.0 <= sequence) {
            state.running = None;
        }
        state.is_stuck = false;
        state.stalled_ns = 0;
        state.quick_deaths = 0;
        state.measure(stats.run_us + u64::from(stats.start_us));
        if let Some((_, slot)) = slot
            && let Some(task) = self.tasks.remove(slot)
            && task.stop != Some(StopReason::Discard)
        {
            stats.worker = worker;
            self.conclude(&task.run, outcome, stats);
        }
    }

    /// What the shared page says: which task runs, and since when. To be called before `tick` for busy workers.
    pub fn processor_running(&mut self, _now: Time, worker: u16, running: Option<(u64, Time)>) {
        let Some(worker) = self.workers.get_mut(worker as usize) else { return };
        worker.running = running.filter(|running| worker.slot_of(running.0).is_some());
    }

    /// Answers [`Effect::TakeBack`]: tasks from `first` on had not started and never will there.
    pub fn processor_took_back(&mut self, now: Time, worker: u16, first: u64) {
        let index = worker as usize;
        if !self.workers.get_mut(index).is_some_and(|state| std::mem::take(&mut state.take_back_pending)) {
            return;
        }
        while let Some((_, slot)) = self.workers[index].in_flight.pop_back_if(|entry| entry.0 >= first) {
            self.requeue(slot);
        }
        // Of what has started, only the last can still run.
        let Some((sequence, slot)) = self.workers[index].in_flight.back().copied() else {
            self.workers[index].is_stuck = false;
            return;
        };
        for (_, slot) in self.workers[index].in_flight.clone() {
            if let Some(task) = self.tasks.get_mut(slot) {
                task.stop = task.stop.filter(|stop| *stop != StopReason::TakeBack);
            }
        }
        if self.tasks.get(slot).is_some_and(|task| task.stop.is_some()) {
            self.interrupt(now, worker, sequence, InterruptCause::Cancel);
        }
    }

    /// A task that has not started comes back: to the queue, or away if that was asked for.
    fn requeue(&mut self, slot: u32) {
        let Some(task) = self.tasks.get_mut(slot) else { return };
        let attempt = task.attempt();
        match task.stop {
            None if self.departure.is_none() => self.tasks.enqueue(slot, true),
            stop => {
                self.tasks.remove(slot);
                match stop {
                    Some(StopReason::Cancel) => self.finish(attempt, canceled(), TaskStats::nowhere()),
                    Some(StopReason::Discard) => {}
                    None | Some(StopReason::TakeBack) => {
                        self.give_back(attempt, ReturnReason::GivenBack, String::new());
                    }
                }
            }
        }
    }

    /// A processor is gone; `running` is the task that the shared page names.
    pub fn processor_died(&mut self, now: Time, worker: u16, running: Option<u64>, description: &str) {
        let Some(state) = self.workers.get_mut(worker as usize) else { return };
        if state.is_retired() {
            return;
        }
        let killing = state.killing;
        // Since when, for the tasks whose time was over.
        let ran_us = state.running.map_or(0, |(_, since)| now.since(since) / 1_000);
        let in_flight = state.lost(now);
        let failed_starts = state.failed_starts;
        // From the back, so that what comes back to the front of the queue keeps its order.
        for (sequence, slot) in in_flight.into_iter().rev() {
            if Some(sequence) == running {
                self.blame(slot, (worker, sequence, ran_us), killing, description);
            } else {
                if let Some(task) = self.tasks.get_mut(slot) {
                    task.stop = task.stop.filter(|stop| *stop != StopReason::TakeBack || self.departure.is_some());
                }
                self.requeue(slot);
            }
        }
        if failed_starts >= FAILED_STARTS_MAX {
            self.processor_retired(
                now,
                worker,
                &format!("its processor died {failed_starts} times before it was ready: {description}"),
            );
        }
    }

    /// The task that ran when its processor died.
    fn blame(&mut self, slot: u32, ran: (u16, u64, u64), killing: Option<KillCause>, description: &str) {
        let (worker, sequence, ran_us) = ran;
        let Some(task) = self.tasks.get(slot) else { return };
        let (attempt, stop, run) = (task.attempt(), task.stop, task.run.clone());
        let stats = TaskStats { run_us: ran_us, worker, ..TaskStats::default() };
        match (stop, killing) {
            (Some(StopReason::Discard), _) => drop(self.tasks.remove(slot)),
            (Some(StopReason::Cancel), _) => {
                self.tasks.remove(slot);
                self.finish(attempt, canceled(), stats);
            }
            (_, Some(KillCause::Disobedient { sequence: meant, cause: InterruptCause::Timeout }))
                if meant == sequence =>
            {
                self.tasks.remove(slot);
                let outcome = timed_out(self.timeout_ms(&run), ran_us);
                self.conclude(&run, outcome, stats);
            }
            // We killed the processor for another reason: nobody is to blame.
            (_, Some(_)) => self.requeue(slot),
            (_, None) => {
                self.tasks.remove(slot);
                let (reason, message) = (ReturnReason::ProcessorDied, description.to_owned());
                self.uplink.returned.push(Returned { attempt, reason, message, stats });
            }
        }
    }

    /// A worker's processor cannot be started again (its preload fails).
    pub fn processor_retired(&mut self, now: Time, worker: u16, reason: &str) {
        let Some(state) = self.workers.get_mut(worker as usize) else { return };
        if state.is_retired() {
            return;
        }
        let in_flight = state.lost(now);
        state.processor = Processor::Retired;
        for (_, slot) in in_flight.into_iter().rev() {
            self.requeue(slot);
        }
        self.pending.push(Effect::Note(Note::Retired { worker, reason: reason.to_owned() }));
        reason.clone_into(&mut self.last_retirement);
        let workers = &self.workers;
        let homeless: Vec<u32> = self
            .tasks
            .iter()
            .filter(|(slot, _)| !self.tasks.fits_any(*slot, |worker| !workers[worker].is_retired()))
            .map(|(slot, _)| slot)
            .collect();
        for slot in homeless {
            if let Some(task) = self.tasks.remove(slot) {
                self.give_back(
                    task.attempt(),
                    ReturnReason::CannotRun,
                    format!("the last worker for it is retired: {reason}"),
                );
            }
        }
    }

    /// Figures of a processor for the next heartbeat.
    pub fn worker_usage(&mut self, worker: u16, cpu_permille: u32, rss_bytes: u64, is_stopped: bool) {
        if let Some(worker) = self.workers.get_mut(worker as usize) {
            worker.cpu_permille = cpu_permille;
            worker.rss_bytes = rss_bytes;
            worker.is_stopped = is_stopped;
        }
    }

    /// What the agent itself uses, for the next heartbeat.
    pub fn own_usage(&mut self, usage: Usage) {
        self.usage = usage;
    }

    pub(super) fn heartbeat(&self, now: Time) -> Heartbeat {
        let Usage { rss_bytes, cpu_permille, memory_free_bytes } = self.usage;
        let workers = self.loads();
        Heartbeat { sent: now.0, workers, rss_bytes, cpu_permille, memory_free_bytes, ..Heartbeat::default() }
    }

    fn loads(&self) -> Vec<WorkerLoad> {
        let load = |worker: &super::Worker| {
            let running = u32::from(!worker.in_flight.is_empty());
            WorkerLoad {
                pid: worker.pid,
                queued: worker.in_flight.len() as u32 - running,
                running,
                restarts: worker.restarts,
                cpu_permille: worker.cpu_permille,
                rss_bytes: worker.rss_bytes,
                retired: worker.is_retired(),
            }
        };
        self.workers.iter().map(load).collect()
    }

    fn timeout_ms(&self, run: &Run) -> u64 {
        match (run.timeout_ms, self.config.task_timeout_ms) {
            (0, timeout_ms) | (timeout_ms, 0) => timeout_ms,
            (own, cluster) => own.min(cluster),
        }
    }

    /// Who has to change something if a task was stopped too early.
    pub(super) fn timeout_owner(&self, run: &Run) -> &'static str {
        if run.timeout_ms != 0 && run.timeout_ms == self.timeout_ms(run) {
            "the call's own timeout"
        } else {
            "task_timeout_seconds of its cluster"
        }
    }

    /// Interrupts a task that has started, once.
    pub(super) fn interrupt(&mut self, now: Time, worker: u16, sequence: u64, cause: InterruptCause) {
        let state = &mut self.workers[worker as usize];
        if state.interrupt.is_some_and(|interrupt| interrupt.sequence == sequence) {
            return;
        }
        let kill_at = now.plus_ms(self.config.kill_after_ms);
        state.interrupt = Some(Interrupt { sequence, cause, kill_at });
        self.pending.push(Effect::Interrupt { worker, sequence, cause });
    }

    /// A task of higher priority came: what waits in processors and is less urgent makes way for it.
    pub(super) fn make_way(&mut self, slot: u32) {
        let Some(priority) = self.tasks.get(slot).map(|task| task.run.priority) else { return };
        for worker in 0..self.workers.len() {
            let Some((_, last)) = self.workers[worker].in_flight.back().copied() else { continue };
            let is_less_urgent = self.tasks.get(last).is_some_and(|task| task.run.priority < priority);
            if is_less_urgent && self.workers[worker].has_waiting() && self.tasks.fits(slot, worker as u16) {
                self.workers[worker].wants_take_back = true;
            }
        }
    }

    /// Starts, watches, interrupts and kills.
    pub(super) fn supervise(&mut self, now: Time, step_ns: u64, out: &mut Vec<Effect>) {
        let mut spawns = 0;
        for worker in 0..self.workers.len() as u16 {
            // The deadline of those left out is over, so that the next turn goes on with them.
            if spawns < SPAWNS_MAX && self.spawn(now, worker) {
                spawns += 1;
            }
            self.watch(now, worker);
            self.watch_progress(worker, step_ns.min(STEP_NS_MAX));
        }
        self.balance(now);
        for (worker, state) in self.workers.iter_mut().enumerate() {
            if std::mem::take(&mut state.wants_take_back) && !state.take_back_pending && !state.in_flight.is_empty() {
                state.take_back_pending = true;
                self.pending.push(Effect::TakeBack { worker: worker as u16, next: state.next_sequence });
            }
        }
        out.append(&mut self.pending);
        if !self.workers.is_empty() && self.workers.iter().all(super::Worker::is_retired) && self.departure.is_none() {
            let reason = std::mem::take(&mut self.last_retirement);
            self.uplink.say_goodbye(&reason, out);
            self.end(EndReason::NoWorkers(reason), out);
        }
    }

    /// Starts the worker's processor if that is due; true if it was.
    fn spawn(&mut self, now: Time, worker: u16) -> bool {
        let state = &mut self.workers[worker as usize];
        let is_due = match state.processor {
            Processor::None => self.is_started,
            Processor::BackOff(at) => now >= at,
            _ => false,
        };
        if !is_due || self.departure.is_some() {
            return false;
        }
        if state.processor != Processor::None {
            state.restarts += 1;
        }
        state.processor = Processor::Starting;
        self.pending.push(Effect::Spawn { worker });
        true
    }

    /// The running task's age: report, timeout, and the kill behind an interrupt.
    fn watch(&mut self, now: Time, worker: u16) {
        let state = &mut self.workers[worker as usize];
        if let Some(interrupt) = state.interrupt
            && now >= interrupt.kill_at
            && state.killing.is_none()
        {
            if state.running.is_some_and(|running| running.0 == interrupt.sequence) {
                let Interrupt { sequence, cause, .. } = interrupt;
                state.killing = Some(KillCause::Disobedient { sequence, cause });
                self.pending.push(Effect::Note(Note::Killing { worker, cause }));
                self.pending.push(Effect::Kill { worker });
            } else {
                // It has ended, its answer is on the way.
                state.interrupt = Some(Interrupt { kill_at: now.plus_ms(self.config.kill_after_ms), ..interrupt });
            }
        }
        let Some((sequence, since)) = state.running else { return };
        let Some(slot) = state.slot_of(sequence) else { return };
        let Some(task) = self.tasks.get_mut(slot) else { return };
        if !task.reported && task.stop.is_none() && now.since(since) >= RUNNING_REPORT_MS * 1_000_000 {
            task.reported = true;
            let attempt = task.attempt();
            self.uplink.running.push(Running { attempt, worker });
        }
        let run = task.run.clone();
        let timeout_ms = self.timeout_ms(&run);
        if timeout_ms != 0 && now.since(since) >= timeout_ms * 1_000_000 {
            self.interrupt(now, worker, sequence, InterruptCause::Timeout);
        }
    }

    /// Kills a processor that does not take what it was given, or that somebody stopped: nothing else would ever end
    /// that.
    fn watch_progress(&mut self, worker: u16, step_ns: u64) {
        let state = &mut self.workers[worker as usize];
        let is_idle = state.in_flight.is_empty() || state.running.is_some() && !state.is_stopped;
        if state.processor != Processor::Ready || is_idle || state.killing.is_some() {
            state.stalled_ns = 0;
            return;
        }
        state.stalled_ns += step_ns;
        let stalled_ms = state.stalled_ns / 1_000_000;
        if stalled_ms >= STALL_MS {
            state.killing = Some(KillCause::Stalled);
            let (tasks, is_stopped) = (state.in_flight.len(), state.is_stopped);
            self.pending.push(Effect::Note(Note::Stalled { worker, tasks, stalled_ms, is_stopped }));
            self.pending.push(Effect::Kill { worker });
        }
    }

    /// Takes back what waits behind long tasks while other workers have nothing to do.
    fn balance(&mut self, now: Time) {
        if self.tasks.queued() > 0 || self.departure.is_some() || !self.has_idle_worker() {
            return;
        }
        for state in &mut self.workers {
            let is_old = state.running.is_some_and(|running| now.since(running.1) >= BALANCE_AFTER_MS * 1_000_000);
            if is_old && state.has_waiting() && !state.is_stuck && !state.take_back_pending {
                state.wants_take_back = true;
                state.is_stuck = true;
            }
        }
    }

    fn has_idle_worker(&self) -> bool {
        self.workers.iter().any(|state| state.takes_tasks() && state.in_flight.is_empty())
    }

    /// Fills processors up to their depth, the emptiest first, so that all have about the same number.
    pub(super) fn feed(&mut self, out: &mut Vec<Effect>) {
        if self.tasks.queued() == 0 || self.departure.is_some() {
            return;
        }
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0..self.workers.len() as u16).filter(|worker| self.workers[*worker as usize].takes_tasks()));
        order.sort_by_key(|worker| self.workers[*worker as usize].in_flight.len());
        let in_flight: usize = order.iter().map(|worker| self.workers[*worker as usize].in_flight.len()).sum();
        let level = (in_flight + self.tasks.queued()).div_ceil(order.len().max(1));
        for &worker in &order {
            let index = worker as usize;
            let goal = self.workers[index].depth().min(level);
            let mut tasks = Vec::new();
            while self.workers[index].in_flight.len() < goal {
                let sequence = self.workers[index].next_sequence;
                let Some(slot) = self.tasks.take_for(worker, sequence) else { break };
                let Some(run) = self.tasks.get(slot).map(|task| task.run.clone()) else { break };
                self.workers[index].next_sequence += 1;
                self.workers[index].in_flight.push_back((sequence, slot));
                let timeout_ms = self.timeout_ms(&run);
                tasks.push(Handed { sequence, run, timeout_ms });
            }
            if !tasks.is_empty() {
                out.push(Effect::Hand { worker, tasks });
            }
        }
        self.order = order;
    }

    /// Goes on with leaving.
    pub(super) fn depart(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(departure) = self.departure.clone() else { return };
        let is_announced = departure.is_announced || self.uplink.say_leaving(&departure.reason, out);
        self.departure = Some(super::Departure { is_announced, ..departure.clone() });
        if !self.tasks.is_empty() {
            if now >= departure.deadline {
                self.kill_busy(out);
            }
            return;
        }
        let finished =
            *self.departure.as_mut().map_or(&mut None, |departure| &mut departure.finished).get_or_insert(now);
        let is_over = now.since(finished) >= GOODBYE_MS * 1_000_000;
        let waits = departure.waits_for_welcome && !is_announced;
        let is_finished = self.uplink.is_settled() || !self.uplink.is_welcome();
        if is_over || (is_finished && !waits) {
            self.uplink.say_goodbye(&departure.reason, out);
            self.end(EndReason::Left, out);
        }
    }

    fn kill_busy(&mut self, out: &mut Vec<Effect>) {
        for (worker, state) in self.workers.iter_mut().enumerate() {
            if !state.in_flight.is_empty() && state.killing.is_none() {
                state.killing = Some(KillCause::Drain);
                out.push(Effect::Kill { worker: worker as u16 });
            }
        }
    }

    pub(super) fn supervision_deadline(&self) -> Option<Time> {
        let can_balance = self.tasks.queued() == 0 && self.departure.is_none() && self.has_idle_worker();
        let is_leaving = self.departure.is_some();
        self.workers.iter().filter_map(|state| self.worker_deadline(state, can_balance, is_leaving)).min()
    }

    fn worker_deadline(&self, state: &super::Worker, can_balance: bool, is_leaving: bool) -> Option<Time> {
        match state.processor {
            Processor::None => return (self.is_started && !is_leaving).then_some(Time(0)),
            Processor::BackOff(at) => return (!is_leaving).then_some(at),
            Processor::Starting | Processor::Retired => return None,
            Processor::Ready => {}
        }
        if state.in_flight.is_empty() {
            return None;
        }
        if state.wants_take_back && !state.take_back_pending {
            return Some(Time(0));
        }
        let looked = self.looked;
        let look_ms = if can_balance && state.has_waiting() && !state.is_stuck { LOOK_CLOSELY_MS } else { LOOK_MS };
        let mut deadline = looked.plus_ms(look_ms);
        if let Some(interrupt) = state.interrupt
            && state.killing.is_none()
        {
            deadline = deadline.min(interrupt.kill_at);
        }
        if let Some((sequence, since)) = state.running
            && let Some(task) = state.slot_of(sequence).and_then(|slot| self.tasks.get(slot))
        {
            let timeout_ms = self.timeout_ms(&task.run);
            if timeout_ms != 0 && state.interrupt.is_none() {
                deadline = deadline.min(since.plus_ms(timeout_ms));
            }
        }
        Some(deadline)
    }
}
