//! How a command says that it failed: lines for people, or with `--json` one object on the last line of stderr.
//!
//! stdout holds results and nothing else in both forms, so that a pipe into `jq` never meets a failure in the place of
//! a result; the exit code is the same in both.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use scaler_client::{Error, TaskError, Value};
use scaler_proto::message::{Failure, TaskStats, failure_line};
use serde_json::{Map, json};

use super::output::{ReaderGone, microseconds};
use crate::{exit, guest::GuestError};

/// What Rust's standard library says in a guest whose target has no such thing.
const NO_SYSTEM: [&str; 3] =
    ["not implemented on this platform", "operation not supported on this platform", "can't sleep"];
/// What to do about it.
const WITHOUT_WASI: &str = "the standard library has no clock, no sleep and no files in a guest without WASI: change \
                            `wasi = false` to `wasi = true` under [package.metadata.scaler] in its Cargo.toml and \
                            build it again (threads there are in no guest)";

/// A call in a sandbox of this machine that failed.
#[derive(Debug)]
pub(super) struct LocalFailure {
    /// `module:function`.
    pub(super) target: String,
    pub(super) failure: Failure,
    /// The guest's error value.
    pub(super) value: Option<Value>,
    pub(super) stats: TaskStats,
}

impl fmt::Display for LocalFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { kind, message, .. } = &self.failure;
        f.write_str(&failure_line(&self.target, *kind, message, self.value.as_ref()))
    }
}

impl std::error::Error for LocalFailure {}

/// The element of an input that failed, as context of its error.
#[derive(Debug)]
pub(super) struct AtElement {
    /// Counted from 0.
    pub(super) index: u64,
    /// Where it is written.
    pub(super) place: String,
}

impl fmt::Display for AtElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// The command was ended by a signal.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) signal: u8,
    /// What became of its work.
    pub(super) message: String,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Interrupted {}

/// Tells why a command failed, and gives its exit code.
pub(super) fn explain(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    let told = Told::of(error);
    let text = if as_json { told.object() } else { told.lines() };
    // With stderr closed there is nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(told.code)
}

/// Wrong usage, as clap words it, in the same form.
pub(super) fn usage(message: &str) -> String {
    let text = message.trim().trim_start_matches("error: ");
    // Tips and the command's form follow after an empty line.
    let (message, hint) = text.split_once("\n\n").map_or((text, None), |(message, rest)| (message, Some(rest.trim())));
    let (message, hint) = (message.to_owned(), hint.map(Cow::Borrowed));
    Told { code: exit::USAGE, kind: "usage", message, hint, id: None, task: None, element: None }.object()
}

/// Everything that is known about a failure.
struct Told<'e> {
    code: u8,
    /// One of the words that the README lists.
    kind: &'static str,
    message: String,
    hint: Option<Cow<'e, str>>,
    /// A call without a cluster has no id.
    id: Option<String>,
    task: Option<Ended<'e>>,
    element: Option<&'e AtElement>,
}

/// A task that failed.
struct Ended<'e> {
    value: Option<&'e Value>,
    trace: Option<&'e str>,
    stats: &'e TaskStats,
}

impl<'e> Told<'e> {
    fn of(error: &'e anyhow::Error) -> Self {
        let code = exit::code_of(error);
        let coded = cause::<exit::Coded>(error);
        let named = coded.and_then(|coded| coded.kind);
        let hint = coded.and_then(|coded| coded.help.as_deref()).map(Cow::Borrowed);
        let kind = named.unwrap_or(match code {
            exit::USAGE => "usage",
            exit::UNREACHABLE => "unreachable",
            _ => "failed",
        });
        let element = error.downcast_ref::<AtElement>();
        let mut told = Self { code, kind, message: chain(error), hint, id: None, task: None, element };
        if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
            (told.code, told.kind) = (128 + interrupted.signal, "interrupted");
        } else if let Some(client) = cause::<Error>(error) {
            (told.code, told.kind, told.hint) = (code_of(client), kind_of(client), hint_of(client).map(Cow::Borrowed));
            (told.id, told.task) = match innermost(client) {
                Error::Task(task) => (Some(task.task.to_string()), Some(Ended::of(task))),
                Error::Canceled { task, .. } => (Some(task.to_string()), None),
                _ => (None, None),
            };
        } else if let Some(local) = cause::<LocalFailure>(error) {
            told.kind = local.failure.kind.name();
            let trace = local.failure.trace.as_deref();
            told.task = Some(Ended { value: local.value.as_ref(), trace, stats: &local.stats });
        } else if let Some(guest) = cause::<GuestError>(error) {
            (told.code, told.kind) = match guest {
                guest if guest.is_usage() => (exit::USAGE, "usage"),
                GuestError::Compile { .. } => (exit::FAILED, "compile"),
                GuestError::Toolchain(_) => (exit::FAILED, "toolchain"),
                _ => (exit::FAILED, "failed"),
            };
        }
        if told.hint.is_none() && told.lacks_wasi() {
            told.hint = Some(Cow::Borrowed(WITHOUT_WASI));
        }
        told
    }

    /// Whether a task failed because its standard library has no system below it.
    fn lacks_wasi(&self) -> bool {
        let Some(task) = &self.task else { return false };
        let value = task.value.map(Value::to_json).unwrap_or_default();
        NO_SYSTEM.iter().any(|words| self.message.contains(words) || value.contains(words))
    }

    fn lines(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        if let Some(task) = &self.task {
            let TaskStats { attempt, run_us, worker_name, cluster, .. } = task.stats;
            let mut parts: Vec<String> = self.id.iter().map(|id| format!("task {id}")).collect();
            parts.push(self.kind.replace('_', " "));
            let of = if cluster.is_empty() { "" } else { " of " };
            parts.extend((!worker_name.is_empty()).then(|| format!("on {worker_name}{of}{cluster}")));
            parts.extend((self.id.is_some() && *attempt > 0).then(|| format!("attempt {attempt}")));
            parts.extend((*run_us > 0).then(|| format!("ran {}", microseconds(*run_us))));
            text.push_str(&format!("  {}\n", parts.join(", ")));
            if let Some(value) = task.value.map(Value::to_json).filter(|value| !self.tells(value)) {
                text.push_str(&format!("  value: {value}\n"));
            }
            for line in task.trace.iter().flat_map(|trace| trace.lines()) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("help: {hint}\n"));
        }
        text
    }

    /// Whether the message shows that value, or the text that it is, to the end.
    fn tells(&self, json: &str) -> bool {
        let text = serde_json::from_str::<String>(json);
        self.message.ends_with(text.as_deref().unwrap_or(json))
    }

    fn object(&self) -> String {
        let mut error = Map::new();
        error.insert("type".to_owned(), self.kind.into());
        error.insert("message".to_owned(), self.message.as_str().into());
        error.insert("exit_code".to_owned(), self.code.into());
        error.extend(self.id.as_ref().map(|id| ("task".to_owned(), id.as_str().into())));
        if let Some(task) = &self.task {
            let TaskStats { attempt, run_us, worker_name, cluster, .. } = task.stats;
            for (key, name) in [("worker", worker_name), ("cluster", cluster)] {
                error.extend((!name.is_empty()).then(|| (key.to_owned(), name.as_str().into())));
            }
            error.extend((*attempt > 0).then(|| ("attempt".to_owned(), (*attempt).into())));
            error.insert("run_us".to_owned(), (*run_us).into());
            error.extend(task.value.map(|value| ("value".to_owned(), plain(value))));
            error.extend(task.trace.map(|trace| ("trace".to_owned(), trace.into())));
        }
        if let Some(AtElement { index, place }) = self.element {
            error.insert("index".to_owned(), (*index).into());
            error.insert("place".to_owned(), place.as_str().into());
        }
        error.extend(self.hint.as_deref().map(|hint| ("help".to_owned(), hint.into())));
        json!({ "error": error }).to_string() + "\n"
    }
}

impl<'e> Ended<'e> {
    fn of(error: &'e TaskError) -> Self {
        let TaskError { value, trace, stats, .. } = error;
        Self { value: value.as_ref(), trace: trace.as_deref(), stats }
    }
}

/// A value as it is printed as a result: integers stay exact, NaN is a text.
fn plain(value: &Value) -> serde_json::Value {
    let text = value.to_json();
    serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
}

fn cause<T: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(|cause| cause.downcast_ref::<T>())
}

/// The error and its causes, without those that the text before them already tells.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told == cause || told.ends_with(&format!(": {cause}")) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Unreachable { .. } => exit::UNREACHABLE,
        error if error.never_became_a_task() => exit::USAGE,
        _ => exit::FAILED,
    }
}

fn innermost(error: &Error) -> &Error {
    if let Error::Element { source, .. } = error { innermost(source) } else { error }
}

fn kind_of(error: &Error) -> &'static str {
    match innermost(error) {
        Error::Task(task) => task.kind.name(),
        Error::Canceled { .. } => "canceled",
        Error::Timeout { .. } => "timeout",
        Error::Unreachable { .. } => "unreachable",
        Error::Disconnected { .. } => "disconnected",
        Error::UnknownModule { .. } => "unknown_module",
        Error::UnknownFunction { .. } => "unknown_function",
        Error::Ambiguous { .. } => "ambiguous",
        Error::NoCluster { .. } => "no_cluster",
        Error::Bind { .. } | Error::Value { .. } | Error::Shape { .. } | Error::Decode { .. } => "type_mismatch",
        Error::Object { .. } | Error::MissingObject { .. } => "object_lost",
        Error::ShutdownRefused { .. } => "refused",
        Error::Module { .. } => "module",
        error if error.never_became_a_task() => "usage",
        _ => "failed",
    }
}

fn hint_of(error: &Error) -> Option<&'static str> {
    match error {
        Error::Unreachable { .. } => Some("is the scheduler running, and is this its scheduler_address?"),
        // The scheduler's own words say which cluster to start.
        Error::NoCluster { .. } => Some("`scaler status ADDRESS` shows what is there"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("f: no such file")
            .context("element 3")
            .expect_err("an error");
        assert_eq!(chain(&error), "element 3: f: no such file");
    }

    #[test]
    fn a_failed_task_is_told_in_both_forms() {
        let stats = TaskStats {
            run_us: 1_500_000,
            attempt: 2,
            worker_name: "w-1".to_owned(),
            cluster: "cluster-0a".to_owned(),
            ..TaskStats::default()
        };
        let value = Value::List(vec![Value::Int(1), Value::Float(f64::NAN)]);
        let task = Ended { value: Some(&value), trace: None, stats: &stats };
        let element = AtElement { index: 4, place: "names.txt, line 5".to_owned() };
        let told = Told {
            code: 1,
            kind: "guest_error",
            message: "names.txt, line 5: no such thing".to_owned(),
            hint: None,
            id: Some("00000000000000f1:12".to_owned()),
            task: Some(task),
            element: Some(&element),
        };
        assert_eq!(
            told.lines(),
            "error: names.txt, line 5: no such thing\n  task 00000000000000f1:12, guest error, on w-1 of cluster-0a, \
             attempt 2, ran 1.50 s\n  value: [1,\"NaN\"]\n"
        );
        let object: serde_json::Value = serde_json::from_str(&told.object()).expect("JSON");
        assert_eq!(
            object,
            json!({"error": {
                "type": "guest_error", "message": "names.txt, line 5: no such thing", "exit_code": 1,
                "task": "00000000000000f1:12", "worker": "w-1", "cluster": "cluster-0a", "attempt": 2, "run_us": 1_500_000,
                "value": [1, "NaN"], "index": 4, "place": "names.txt, line 5",
            }})
        );
    }

    #[test]
    fn an_interrupted_command_ends_as_shells_expect() {
        let error = anyhow::Error::new(Interrupted { signal: 2, message: "interrupted".to_owned() });
        let told = Told::of(&error);
        assert_eq!((told.code, told.kind), (130, "interrupted"));
    }
}
