//! Isolation `processor`: one instance that stays between tasks.

use crate::{Entry, Fault, Program, Report, Task};

/// One program's instance that keeps its state between tasks. After a trap, a limit or a cancel it is made anew, and the
/// preload runs again before the next task.
pub struct Resident {}

impl Resident {
    /// Nothing is started yet. `preload` is the call that every new instance begins with: the function and its arguments.
    #[must_use]
    pub fn new(_program: &Program, _preload: Option<(Entry, Vec<u8>)>) -> Self {
        todo!()
    }

    /// Makes the instance and runs the preload, unless both are there; limits and log are those of `task`, whose entry
    /// and arguments are not used.
    ///
    /// # Errors
    /// What the preload failed with.
    pub fn start(&mut self, _task: &Task<'_>) -> Result<(), Fault> {
        todo!()
    }

    /// Runs a task in the instance, which is started first if it has to be.
    #[must_use]
    pub fn run(&mut self, _task: &Task<'_>) -> Report {
        todo!()
    }
}
