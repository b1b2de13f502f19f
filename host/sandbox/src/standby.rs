//! One instance ahead: what a task would wait for is done before it comes, and what is left of it undone afterwards.
//!
//! Making an instance and giving its memory back cost more than a short call. A processor with nothing to do does both
//! then, so that a lone call waits for neither (about a fifteenth of its round trip on one machine). The instance is as
//! fresh as one that is made for the task: nothing has run in it but its start, and only where that cannot be told from
//! outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};

use crate::instance::Live;
use crate::run::{before, failed_start, refused, report, start_micros};
use crate::{Entry, Interrupt, Limits, LogSink, LogSource, OpenGrants, Program, Report, Task};

/// Longest start that is made ahead: the next task may be for another program.
const START_MAX: Duration = Duration::from_millis(20);

/// Runs tasks like [`run`](crate::run()), each in a fresh instance, and keeps one ready for the next.
#[derive(Default)]
pub struct Standby {
    ready: Option<Ready>,
    spent: Option<Live>,
    /// Its start is to be seen from outside, fails or takes long: that belongs to the task.
    unsuited: Option<Program>,
}

struct Ready {
    program: Program,
    live: Live,
    /// What making it took.
    start_us: u32,
}

impl Standby {
    /// Runs a task in a fresh instance: the one that is ready if it is of the task's program, else a new one. What is
    /// left of the instance is undone at the next call of either method.
    #[must_use]
    pub fn run(&mut self, task: &Task<'_>) -> Report {
        self.spent = None;
        let begin = Instant::now();
        let program = task.entry.program();
        let _busy = program.engine().busy();
        if let Err(fault) = before(task) {
            return refused(fault);
        }
        let (mut live, made_us) = match self.ready.take_if(|ready| ready.program.is_same(program)) {
            Some(Ready { mut live, start_us, .. }) => {
                live.rearm(task, begin);
                (live, Some(start_us))
            }
            None => match Live::start(program, task, begin) {
                Ok(live) => (live, None),
                Err(fault) => return Report { outcome: Err(fault), ..failed_start(begin) },
            },
        };
        let mut report = report(task, &mut live, begin);
        report.start_us = made_us.unwrap_or(report.start_us);
        self.spent = Some(live);
        report
    }

    /// Undoes what the last task left and makes an instance of the entry's program; to be called when there is nothing
    /// else to do. Grants and limits are those that its tasks will have.
    ///
    /// Nothing is made of a program whose start writes to the log, looks at the clock, random numbers or files, fails,
    /// or takes more than 20 ms: that is left to the task, in whose name it happens then.
    pub fn refresh(&mut self, entry: &Entry, grants: &Arc<OpenGrants>, limits: &Limits) {
        self.spent = None;
        let program = entry.program();
        let is_same = |other: &Program| other.is_same(program);
        if self.ready.as_ref().is_some_and(|ready| is_same(&ready.program))
            || self.unsuited.as_ref().is_some_and(is_same)
        {
            return;
        }
        self.ready = None;
        let begin = Instant::now();
        let _busy = program.engine().busy();
        let heard = Arc::new(Heard::default());
        let log = Arc::clone(&heard) as Arc<dyn LogSink>;
        let limits = Limits { timeout: Some(START_MAX), ..limits.clone() };
        let interrupt = Interrupt::never();
        let task =
            Task { entry, arguments: &[], objects: &[], grants, limits: &limits, interrupt: &interrupt, log: &log };
        let Ok(mut live) = Live::start(program, &task, begin) else {
            self.unsuited = Some(program.clone());
            return;
        };
        let start_us = start_micros(begin);
        live.finish();
        let state = live.task();
        let is_visible = heard.0.load(Ordering::Relaxed)
            || state.saw_the_world
            || state.panic.is_some()
            || state.memory.denied.is_some();
        if is_visible || begin.elapsed() > START_MAX {
            self.unsuited = Some(program.clone());
        } else {
            self.ready = Some(Ready { program: program.clone(), live, start_us });
        }
    }
}

/// Whether anything was said.
#[derive(Default)]
struct Heard(AtomicBool);

impl LogSink for Heard {
    fn line(&self, _: LogSource, _: &str) {
        self.0.store(true, Ordering::Relaxed);
    }
}
