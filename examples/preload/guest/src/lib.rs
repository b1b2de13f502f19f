//! A guest that is prepared once before it takes tasks.
//!
//! `scaler_cluster tcp://127.0.0.1:8516 --preload "preload.init:configure('production', debug=false)"` runs `configure`
//! before the cluster announces itself. Every task then starts from the state that it left; what a task changes is
//! gone when the task ends.

/// Set-up of a worker, and a look at what it left.
#[scaler_guest::module]
pub mod init {
    use scaler_guest::log;
    use std::sync::{LazyLock, Mutex, MutexGuard};

    struct State {
        environment: String,
        debug: bool,
    }

    static STATE: Mutex<Option<State>> = Mutex::new(None);

    /// Expensive to make: squares of the first numbers.
    static TABLE: LazyLock<Vec<u64>> = LazyLock::new(|| (0..100_000).map(|number| number * number).collect());

    fn state() -> MutexGuard<'static, Option<State>> {
        STATE.lock().expect("no call panics while it holds the state")
    }

    /// Prepares a worker without asking anything.
    pub fn setup() {
        *state() = Some(State { environment: "development".into(), debug: true });
        log::info!("set up with a table of {} numbers", TABLE.len());
    }

    /// Prepares a worker for an environment: `production`, `staging` or `development`.
    pub fn configure(environment: String, #[default(true)] debug: bool) -> Result<(), String> {
        if !["production", "staging", "development"].contains(&environment.as_str()) {
            return Err(format!("there is no environment `{environment}`"));
        }
        log::info!("configured for {environment} with a table of {} numbers", TABLE.len());
        *state() = Some(State { environment, debug });
        Ok(())
    }

    /// The environment that the preload set; empty without a preload.
    pub fn environment() -> String {
        state().as_ref().map(|state| state.environment.clone()).unwrap_or_default()
    }

    /// Whether the preload asked for debugging.
    pub fn debug() -> bool {
        state().as_ref().is_some_and(|state| state.debug)
    }

    /// Changes the environment and gives what it is then. The next task does not see it.
    pub fn overwrite(environment: String) -> String {
        let debug = debug();
        *state() = Some(State { environment, debug });
        self::environment()
    }

    /// Looks a square up in the table.
    pub fn square(number: u32) -> Option<u64> {
        TABLE.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::init;

    #[test]
    fn configures_known_environments_only() {
        assert!(init::configure("moon".into(), false).is_err());
        assert_eq!(init::configure("production".into(), false), Ok(()));
        assert_eq!((init::environment().as_str(), init::debug()), ("production", false));
        assert_eq!(init::square(12), Some(144));
    }
}
