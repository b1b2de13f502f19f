//! The log of a process: one line an event, with time, level and role, to every path that was asked for.

use std::{
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
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

use crate::config::{LoggingLevel, LoggingSettings};

/// Events of this target are CRITICAL: `tracing::error!(target: logging::CRITICAL, "..")`.
pub const CRITICAL: &str = "critical";

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
        sinks.push(Sink::Stderr);
    }
    let layer = Lines { role, level: settings.level, json: settings.json, sinks };
    // A second start in one process (tests) keeps the first log.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
    for (path, error) in troubles {
        let path = path.display();
        tracing::warn!("cannot log to `{path}`: {error}; the other logging_paths are used");
    }
}

struct Lines {
    role: &'static str,
    level: LoggingLevel,
    json: bool,
    sinks: Vec<Sink>,
}

enum Sink {
    Stdout,
    Stderr,
    File { path: PathBuf, file: Mutex<File> },
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("/dev/stdout") {
            return Ok(Self::Stdout);
        }
        if path == Path::new("/dev/stderr") {
            return Ok(Self::Stderr);
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self::File { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// A log that cannot be written must not stop the work, so errors end here.
    fn write(&self, line: &[u8]) {
        let _ = match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File { file, .. } => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line),
        };
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = match self.level {
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

    fn line(&self, event: &Event<'_>) -> String {
        let mut time = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let metadata = event.metadata();
        let level = match *metadata.level() {
            _ if metadata.target() == CRITICAL => "CRITICAL",
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if self.json {
            let mut object = Map::new();
            object.insert("time".into(), time.into());
            object.insert("level".into(), level.into());
            object.insert("role".into(), self.role.into());
            object.insert("message".into(), fields.message.into());
            object.extend(fields.others.into_iter().map(|(name, value)| (name.to_owned(), value)));
            return format!("{}\n", Value::Object(object));
        }
        let mut line = format!("{time} {level:<8} {}: {}", self.role, fields.message);
        for (name, value) in fields.others {
            let _ = match value {
                Value::String(text) => write!(line, " {name}={text}"),
                other => write!(line, " {name}={other}"),
            };
        }
        line.push('\n');
        line
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let line = self.line(event);
        for sink in &self.sinks {
            sink.write(line.as_bytes());
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
    use super::*;

    fn logged(level: LoggingLevel, json: bool, act: impl FnOnce()) -> String {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("missing/folder/log");
        let layer = Lines { role: "scheduler", level, json, sinks: vec![Sink::open(&path).expect("log file")] };
        tracing::subscriber::with_default(Registry::default().with(layer), act);
        fs::read_to_string(path).expect("log")
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
}
