//! Isolation `processor`: one instance that stays between tasks.

use std::time::Instant;

use scaler_proto::message::FailureKind;

use crate::instance::Live;
use crate::run::{before, refused, report};
use crate::{Entry, Fault, Program, Report, Task};

/// One program's instance that keeps its state between tasks.
///
/// After anything but a result or an `err` it is made anew, and the preload runs again before the next task: an
/// instance
/// that trapped, was stopped, or got arguments that do not fit, may be half way through something.
pub struct Resident {
    program: Program,
    preload: Option<(Entry, Vec<u8>)>,
    live: Option<Live>,
}

impl Resident {
    /// Nothing is started yet. `preload` is the call that every new instance begins with: the function and its
    /// arguments.
    #[must_use]
    pub fn new(program: &Program, preload: Option<(Entry, Vec<u8>)>) -> Self {
        Self { program: program.clone(), preload, live: None }
    }

    /// Makes the instance and runs the preload, unless both are there; limits and log are those of `task`, whose entry
    /// and arguments are not used.
    ///
    /// # Errors
    /// What the start or the preload failed with, the latter as [`FailureKind::Preload`].
    pub fn start(&mut self, task: &Task<'_>) -> Result<(), Fault> {
        if self.live.is_some() {
            return Ok(());
        }
        let begin = Instant::now();
        let _busy = self.program.engine().busy();
        let mut live = Live::start(&self.program, task, begin)?;
        if let Some((entry, arguments)) = &self.preload {
            let preload = Task { entry, arguments, objects: &[], ..*task };
            report(&preload, &mut live, begin).outcome.map_err(|fault| as_preload(entry, fault))?;
        }
        self.live = Some(live);
        Ok(())
    }

    /// Runs a task in the instance, which is started first if it has to be. The task's entry must be one of the same
    /// program.
    #[must_use]
    pub fn run(&mut self, task: &Task<'_>) -> Report {
        if !self.program.is_same(task.entry.program()) {
            return refused(Fault::new(FailureKind::Internal, "the task belongs to another program than the instance"));
        }
        if let Err(fault) = before(task).and_then(|()| self.start(task)) {
            return refused(fault);
        }
        // Taken out, so that it is gone unless the task ended well.
        let Some(mut live) = self.live.take() else {
            return refused(Fault::new(FailureKind::Internal, "the instance did not start"));
        };
        let begin = Instant::now();
        let _busy = self.program.engine().busy();
        live.rearm(task, begin);
        let report = report(task, &mut live, begin);
        if report.outcome.as_ref().err().is_none_or(|fault| fault.kind == FailureKind::Error) {
            self.live = Some(live);
        }
        report
    }
}

/// A fault of the preload call, named as such; a cancel and a timeout stay what they are.
fn as_preload(entry: &Entry, fault: Fault) -> Fault {
    match fault.kind {
        FailureKind::Canceled | FailureKind::Timeout => fault,
        _ => Fault {
            kind: FailureKind::Preload,
            message: format!("the preload `{}` failed: {}", entry.function(), fault.message),
            ..fault
        },
    }
}
