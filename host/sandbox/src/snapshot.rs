//! Preload once, start every task from what it left behind.

use crate::{Fault, ModuleError, Report, Task};

/// Instruments a component so that its state can be read after the preload; compile the result and load it as a
/// program. Runs in the compile child.
///
/// # Errors
/// The component uses something that cannot be snapshotted.
pub fn prepare(_component: &[u8]) -> Result<Vec<u8>, ModuleError> {
    todo!()
}

/// A component that starts where the preload ended.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its bytes; compile them in the compile child.
    pub component: Vec<u8>,
    /// The preload saw nothing that may differ next time, so the snapshot may be kept on disk.
    pub cacheable: bool,
    /// What the call returned and cost.
    pub report: Report,
}

/// Runs the preload call and takes the snapshot. `component` are the bytes that were given to [`prepare`], `task.entry`
/// is an entry of the program compiled from the instrumented component.
///
/// # Errors
/// What the call failed with; or the state cannot be snapshotted (then `isolation = "processor"` is the way).
pub fn snapshot(_component: &[u8], _task: &Task<'_>) -> Result<Snapshot, Fault> {
    todo!()
}
