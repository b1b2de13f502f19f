//! The log of a process: one line an event, with time, level and role, to every path that was asked for.
//!
//! What guests print is logged by their agent, because processors write nothing themselves: to the terminal like any
//! other line, but next to a file, into one of its own for each processor (`PATH-PID`), as in the original.

mod sink;

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::OnceLock,
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    fmt::{
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::{Context, SubscriberExt as _},
};

use self::sink::Sink;
use crate::config::{LoggingLevel, LoggingSettings};

/// Events of this target are CRITICAL: `tracing::error!(target: logging::CRITICAL, "..")`.
pub const CRITICAL: &str = "critical";
/// Events of this target were written by a guest; their field `pid` names its processor.
pub const GUEST: &str = "guest";
/// The same for lines that are too many for everything but the processor's own file.
pub const GUEST_FILE: &str = "guest_file";

static REACHES_STDERR: OnceLock<bool> = OnceLock::new();

/// Starts the log of this process. A path that cannot be written costs a warning, not the process.
pub fn init(role: &'static str, settings: &LoggingSettings) {
    let (mut sinks, mut troubles) = (Vec::new(), Vec::new());
    for path in &settings.paths {
        match Sink::open(path) {
            Ok(sink) => sinks.push(sink),
            Err(error) => troubles.push((path.clone(), error)),
        }
    }
    if sinks.is_empty() && !troubles.is_empty() {
        sinks.push(Sink::stderr());
    }
    let used = sinks.iter().map(|sink| format!("{sink:?}")).collect::<Vec<_>>().join(" and ");
    let _ = REACHES_STDERR.set(sinks.iter().any(Sink::reaches_stderr));
    let layer = Lines { role, level: settings.level, json: settings.json, sinks };
    // A second start in one process (tests) keeps the first log.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
    for (path, error) in troubles {
        let path = path.display();
        tracing::warn!("cannot log to `{path}`: {error}; mend logging_paths, until then the log goes to {used}");
    }
}

/// For commands that keep no log: what the client library warns of (a call that waits, a connection that is lost) goes
/// to stderr as a note.
pub fn notes() {
    // A log that is there already shows it.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(Notes));
}

/// Whether whoever reads stderr sees the log as well, so that nothing needs to be said twice.
#[must_use]
pub fn reaches_stderr() -> bool {
    REACHES_STDERR.get().copied().unwrap_or(false)
}

struct Notes;

impl<S: Subscriber> Layer<S> for Notes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::WARN && metadata.target().starts_with("scaler_client") {
            let mut fields = Fields::default();
            event.record(&mut fields);
            // Nobody may be reading.
            let _ = writeln!(io::stderr(), "note: {}", fields.message);
        }
    }
}

struct Lines {
    role: &'static str,
    level: LoggingLevel,
    json: bool,
    sinks: Vec<Sink>,
}

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = match self.level {
            LoggingLevel::NotSet => return *metadata.level() <= Level::DEBUG,
            LoggingLevel::Debug => Level::DEBUG,
            LoggingLevel::Info => Level::INFO,
            LoggingLevel::Warning => Level::WARN,
            LoggingLevel::Error => Level::ERROR,
            LoggingLevel::Critical => return metadata.target() == CRITICAL,
        };
        // The libraries below us are heard only when something is wrong.
        let ours = metadata.target().starts_with("scaler") || !metadata.target().contains("::");
        *metadata.level() <= level && (ours || *metadata.level() <= Level::WARN)
    }

    fn line(&self, metadata: &Metadata<'_>, fields: Fields) -> Line {
        let mut time = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let level = match *metadata.level() {
            _ if metadata.target() == CRITICAL => "CRITICAL",
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        if self.json {
            let mut object = Map::new();
            object.insert("time".into(), time.into());
            object.insert("level".into(), level.into());
            object.insert("role".into(), self.role.into());
            object.insert("message".into(), fields.message.into());
            object.extend(fields.others.into_iter().map(|(name, value)| (name.to_owned(), value)));
            return Line { before: String::new(), level: "", after: format!("{}\n", Value::Object(object)) };
        }
        let padding = " ".repeat("CRITICAL".len() - level.len());
        let mut after = format!("{padding} {}: {}", self.role, fields.message);
        for (name, value) in fields.others {
            let _ = match value {
                Value::String(text) => write!(after, " {name}={text}"),
                other => write!(after, " {name}={other}"),
            };
        }
        after.push('\n');
        Line { before: time + " ", level, after }
    }
}

/// A line of the log, in parts, so that a terminal can show the level in colour.
struct Line {
    before: String,
    level: &'static str,
    after: String,
}

impl Line {
    fn plain(&self) -> String {
        [&self.before, self.level, &self.after].concat()
    }

    fn coloured(&self) -> String {
        let code = match self.level {
            "CRITICAL" => "1;31",
            "ERROR" => "31",
            "WARNING" => "33",
            "INFO" => "32",
            "DEBUG" => "2",
            _ => return self.plain(),
        };
        [&self.before, "\x1b[", code, "m", self.level, "\x1b[0m", &self.after].concat()
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let is_local = metadata.target() == GUEST_FILE;
        let processor = if is_local || metadata.target() == GUEST { fields.take_pid() } else { None };
        let line = self.line(metadata, fields);
        for sink in self.sinks.iter().filter(|sink| !is_local || sink.is_file()) {
            sink.write(&line, processor);
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }

    /// The process id, which is in the file's name and needs no place in the line.
    fn take_pid(&mut self) -> Option<u64> {
        let at = self.others.iter().position(|(name, _)| *name == "pid")?;
        self.others.remove(at).1.as_u64()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn log_to(path: &Path, level: LoggingLevel, json: bool, act: impl FnOnce()) {
        let layer = Lines { role: "scheduler", level, json, sinks: vec![Sink::open(path).expect("log file")] };
        tracing::subscriber::with_default(Registry::default().with(layer), act);
    }

    fn logged(level: LoggingLevel, json: bool, act: impl FnOnce()) -> String {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("missing/folder/log");
        log_to(&path, level, json, act);
        fs::read_to_string(path).expect("log")
    }

    #[test]
    fn what_is_too_much_for_others_is_in_the_processor_s_own_file_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("log");
        log_to(&path, LoggingLevel::Info, false, || {
            for number in 0..100_u64 {
                tracing::info!(target: GUEST_FILE, pid = 7_u64 + number % 2, "line {number}");
            }
            tracing::info!(target: GUEST, pid = 7_u64, "the last");
        });
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("log");
        assert_eq!((read("log").as_str(), read("log-7").lines().count(), read("log-8").lines().count()), ("", 51, 50));
        assert!(read("log-7").ends_with("the last\n"));
    }

    #[test]
    fn lines_have_level_role_and_fields_and_missing_folders_are_made() {
        let log = logged(LoggingLevel::Info, false, || {
            tracing::warn!(target: "scaler_node", worker = "w-1", tasks = 3_u64, "lost");
            tracing::debug!(target: "scaler_node", "unseen");
            tracing::info!(target: "other::library", "unseen");
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("WARNING  scheduler: lost worker=w-1 tasks=3"), "{log}");
    }

    #[test]
    fn critical_is_a_level_of_its_own_and_json_is_one_object_a_line() {
        let log = logged(LoggingLevel::Critical, true, || {
            tracing::error!(target: "scaler_node", "unseen");
            tracing::error!(target: CRITICAL, "the end");
        });
        let value: Value = serde_json::from_str(&log).expect("one object");
        assert_eq!((&value["level"], &value["message"]), (&"CRITICAL".into(), &"the end".into()));
    }

    #[test]
    fn notset_hears_the_libraries_too() {
        let say = || tracing::debug!(target: "other::library", "heard");
        assert_eq!(logged(LoggingLevel::Debug, false, say), "");
        assert!(logged(LoggingLevel::NotSet, false, say).contains("DEBUG    scheduler: heard"));
    }

    #[test]
    fn a_guests_line_goes_to_the_file_of_its_processor() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cluster.log");
        log_to(&path, LoggingLevel::Info, false, || {
            tracing::info!(target: GUEST, pid = 77_u32, worker = "w-1", "guest: hello");
            tracing::info!(target: "scaler_node", pid = 78_u32, "started");
        });
        let (own, guest) = (fs::read_to_string(&path), fs::read_to_string(folder.path().join("cluster.log-77")));
        let (own, guest) = (own.expect("log"), guest.expect("log of the processor"));
        assert!(own.contains("started pid=78") && !own.contains("hello"), "{own}");
        assert!(guest.ends_with("scheduler: guest: hello worker=w-1\n"), "{guest}");
    }

    #[test]
    fn only_the_level_is_coloured() {
        let line = Line { before: "12:00 ".to_owned(), level: "ERROR", after: "    x: y\n".to_owned() };
        assert_eq!(line.coloured(), "12:00 \x1b[31mERROR\x1b[0m    x: y\n");
        let json = Line { before: String::new(), level: "", after: "{}\n".to_owned() };
        assert_eq!(json.coloured(), "{}\n");
    }
}
