//! Lines for the task's log, which the worker keeps and shows.
//!
//! ```
//! use scaler_guest::log;
//!
//! let rows = 3;
//! log::info!("read {rows} rows");
//! log::warn("no header");
//! ```

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to know.
    Info,
    /// Something is odd, and the task goes on.
    Warn,
    /// Something failed.
    Error,
}

/// Adds a line to the log.
pub fn write(level: Level, message: impl AsRef<str>) {
    crate::host::log(level, message.as_ref());
}

macro_rules! levels {
    ($dollar:tt $($name:ident $private:ident $level:ident;)*) => { $(
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $private {
            ($dollar($dollar argument:tt)*) => {
                $crate::log::write($crate::log::Level::$level, ::std::format!($dollar($dollar argument)*))
            };
        }
        #[doc = concat!("Adds a line of level [`", stringify!($level), "`](Level::", stringify!($level), "), with the arguments of [`format!`].")]
        pub use $private as $name;

        #[doc = concat!("Adds a line of level [`", stringify!($level), "`](Level::", stringify!($level), ").")]
        pub fn $name(message: impl AsRef<str>) {
            write(Level::$level, message);
        }
    )* };
}

levels! { $
    trace __log_trace Trace;
    debug __log_debug Debug;
    info __log_info Info;
    warn __log_warn Warn;
    error __log_error Error;
}
