//! What can be said about calls, maps, functions and modules beside the thing itself.

use std::{
    fmt,
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use scaler_proto::{
    capability::Capabilities,
    message::{LogLine, LogSource},
};

/// Where lines go that tasks write.
#[derive(Clone)]
pub(crate) struct Output(Arc<dyn Fn(&LogLine) + Send + Sync>);

impl Output {
    pub(crate) fn to(callback: impl Fn(&LogLine) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    /// To this process's own standard output and error.
    pub(crate) fn printed() -> Self {
        Self::to(print)
    }

    pub(crate) fn line(&self, line: &LogLine) {
        (self.0)(line);
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

/// Standard output stays apart from everything else. An output that is closed is nobody's error.
fn print(line: &LogLine) {
    let text = &line.text;
    let written = match line.source {
        LogSource::Stdout => writeln!(io::stdout(), "{text}"),
        LogSource::Stderr => writeln!(io::stderr(), "{text}"),
        LogSource::Trace => writeln!(io::stderr(), "TRACE {text}"),
        LogSource::Debug => writeln!(io::stderr(), "DEBUG {text}"),
        LogSource::Info => writeln!(io::stderr(), "INFO {text}"),
        LogSource::Warn => writeln!(io::stderr(), "WARN {text}"),
        LogSource::Error => writeln!(io::stderr(), "ERROR {text}"),
    };
    drop(written);
}

/// How a call is to be run. The default: anywhere, no limit but the cluster's, priority 0, no retries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubmitOptions {
    /// Tags that the worker must offer; `cpu=8` is met by 8 or more, `cpu` by any number.
    pub capabilities: Capabilities,
    /// Ends the task's run after this long; `None` leaves it to the cluster.
    pub timeout: Option<Duration>,
    /// Higher runs first.
    pub priority: i32,
    /// How often a failure of the task itself (error, trap, limit) is tried again.
    pub retries: u32,
    /// When the call was made; `None`: when it is submitted. See [`SubmitOptions::called_at`].
    pub called_at: Option<Instant>,
}

/// How a function is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionOptions {
    /// Only clusters with workers that offer this count; `cpu=8` is met by 8 or more, `cpu` by any number.
    pub capabilities: Capabilities,
    /// How long to wait while no connected cluster can say what the function is; `None`: for ever.
    pub timeout: Option<Duration>,
}

/// How a stream of calls is run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapOptions {
    /// Results in the order of the input (the default), or as they come.
    pub ordered: bool,
    /// Most calls under way at once, from being drawn from the input until the result is taken.
    pub window: usize,
    /// Most bytes of arguments under way at once, most bytes of small results that wait to be taken, and most bytes of
    /// large results fetched ahead.
    pub window_bytes: usize,
    /// Most bytes of large results that wait in the object storage to be fetched, and no more than an eighth of what it
    /// takes. While it is full no more calls are made. Results as large as this keep no more than 8 calls under way:
    /// more of it keeps more workers busy.
    pub window_stored_bytes: u64,
    /// For each call.
    pub submit: SubmitOptions,
}

/// How a module is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleOptions {
    /// The dotted path to call it by; `None`: the file's name without its extension.
    pub name: Option<String>,
    /// A call that prepares it, run once before its tasks (`init:configure('production')`).
    pub preload: Option<String>,
}

impl SubmitOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tags that the worker must offer; `cpu=8` is met by 8 or more, `cpu` by any number.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Ends the task's run after this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Higher runs first.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How often a failure of the task itself is tried again.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// When the call was made, if that was before it is submitted: while its function was looked up. What a call waited
    /// before the scheduler had it counts as queue time ([`Profile::queued`](crate::Profile::queued)).
    #[must_use]
    pub fn called_at(mut self, moment: Instant) -> Self {
        self.called_at = Some(moment);
        self
    }

    pub(crate) fn timeout_ms(&self) -> u64 {
        self.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1))
    }
}

impl FunctionOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only clusters with workers that offer this count; `cpu=8` is met by 8 or more, `cpu` by any number.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// How long to wait while no connected cluster can say what the function is.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            ordered: true,
            window: 8_192,
            window_bytes: 32 << 20,
            window_stored_bytes: 256 << 20,
            submit: SubmitOptions::default(),
        }
    }
}

impl MapOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Results as they come instead of in the order of the input.
    #[must_use]
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Most calls under way at once (at least 1).
    #[must_use]
    pub fn window(mut self, calls: usize) -> Self {
        self.window = calls.max(1);
        self
    }

    /// Most bytes of arguments under way at once, most bytes of small results that wait to be taken, and most bytes of
    /// large results fetched ahead.
    #[must_use]
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes;
        self
    }

    /// Most bytes of large results that wait in the object storage to be fetched.
    #[must_use]
    pub fn window_stored_bytes(mut self, bytes: u64) -> Self {
        self.window_stored_bytes = bytes;
        self
    }

    /// How each call is to be run.
    #[must_use]
    pub fn submit(mut self, options: SubmitOptions) -> Self {
        self.submit = options;
        self
    }
}

impl ModuleOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The dotted path to call it by.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A call that prepares it.
    #[must_use]
    pub fn preload(mut self, call: impl Into<String>) -> Self {
        self.preload = Some(call.into());
        self
    }
}
