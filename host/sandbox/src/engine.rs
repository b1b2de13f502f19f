//! One engine a process: how instances are allocated, and the ticker that makes every loop interruptible.

/// What an engine is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Instances the pool holds; also the number of modules that stay warm.
    pub pool_slots: u32,
    /// The largest memory a task may ever have.
    pub memory_max_bytes: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { pool_slots: 200, memory_max_bytes: 4 << 30 }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The self-test found that a spin loop does not end.
    #[error("the sandbox's self-test failed: {0}")]
    SelfTest(&'static str),
}

/// The machinery that all programs of a process share. Ends its ticker thread when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Makes the engine, its ticker, and proves that a spin loop dies.
    ///
    /// # Errors
    /// The machine cannot run it, or the self-test failed.
    pub fn new(_settings: &EngineSettings) -> Result<Self, EngineError> {
        todo!()
    }

    /// How instances are allocated, for the log and for `status`: `pooling, copy-on-write, pagemap_scan`.
    #[must_use]
    pub fn describe(&self) -> &str {
        todo!()
    }

    /// What compiled code depends on besides the component's bytes: engine version and settings. For cache keys; needs
    /// no engine.
    #[must_use]
    pub fn fingerprint() -> String {
        todo!()
    }
}
