//! `scaler status` and `scaler shutdown`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use scaler_client::View;
use scaler_proto::{
    message::first_line,
    task::State,
    view::{FunctionView, SchedulerView},
};

use super::{
    connect::Connection,
    output::{self, microseconds},
};
use crate::{
    plural::counted,
    presence::presence,
    watch::{ID_CHARS, WorkerNames, cluster_name},
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    connection: Connection,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    shown: Shown,
}

/// What is shown to people on top of the cluster; JSON has it all.
#[derive(Clone, Debug, Default, clap::Args)]
struct Shown {
    /// Show the functions that were called, with their times
    #[arg(long)]
    functions: bool,
    /// Show tasks that have not ended, with the ids that `scaler cancel` takes
    #[arg(long)]
    tasks: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ShutdownArgs {
    #[command(flatten)]
    connection: Connection,
    /// Say as one JSON object what was shut down
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn status(arguments: &StatusArgs) -> anyhow::Result<ExitCode> {
    let view = arguments.connection.picture()?;
    let text = if arguments.json { serde_json::to_string(&view)? + "\n" } else { picture(&view, &arguments.shown) };
    output::written(io::stdout().lock().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn shutdown(arguments: &ShutdownArgs) -> anyhow::Result<ExitCode> {
    arguments.connection.open()?.shutdown()?;
    if arguments.json {
        let line = serde_json::json!({ "shutdown": true, "scheduler_address": arguments.connection.address });
        output::written(writeln!(io::stdout().lock(), "{line}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the storage is, and what is wrong with it.
fn storage(scheduler: &SchedulerView) -> Option<String> {
    let address = scheduler.object_storage_address.clone()?;
    Some(match &scheduler.object_storage_problem {
        Some(problem) => format!("{address} does not answer: {problem}"),
        None => address,
    })
}

/// The view for people.
fn picture(view: &View, shown: &Shown) -> String {
    let scheduler = &view.scheduler;
    let mut text = String::new();
    let none = || "-".to_owned();
    let tasks = view.tasks.iter().filter(|(_, count)| **count > 0).map(|(state, count)| format!("{count} {state}"));
    let tasks: Vec<String> = tasks.collect();
    // Writing into a `String` cannot fail.
    let _ = writeln!(
        text,
        "scheduler  {} version {} up {} cpu {}% memory {}\nstorage    {}\nmonitor    {}\npolicy     {}, {}\ntasks      {}",
        scheduler.scheduler_address,
        scheduler.version,
        duration(scheduler.uptime_ms),
        scheduler.cpu_permille / 10,
        bytes(scheduler.rss_bytes),
        storage(scheduler).unwrap_or_else(none),
        scheduler.monitor_address.clone().unwrap_or_else(none),
        scheduler.allocate_policy,
        if scheduler.protected { "protected" } else { "clients may shut it down" },
        if tasks.is_empty() { "none".to_owned() } else { tasks.join(", ") },
    );
    for parked in &view.parked {
        let _ = writeln!(text, "waiting    {} of {}: {}", counted(parked.held, "call"), parked.call, parked.reason);
    }
    if let Some(failure) = view.failures.last() {
        let ago = duration(scheduler.uptime_ms.saturating_sub(failure.ended_ms));
        let on = match failure.worker.as_str() {
            "" => String::new(),
            worker => format!(" on {}", WorkerNames::of(view).show(worker, &failure.cluster)),
        };
        let why = first_line(failure.error.as_deref().unwrap_or("no reason was given"));
        let _ = writeln!(text, "failure    {ago} ago, {}{on}: {why} (task {})", failure.call, failure.id);
    }
    let _ = writeln!(text, "\n{}", presence(&view.workers));
    let workers = view.workers.iter().map(|worker| {
        [
            worker.name.clone(),
            cluster_name(&worker.host, &worker.cluster, ID_CHARS),
            worker.state.clone(),
            if worker.capabilities.is_empty() { none() } else { worker.capabilities.clone() },
            worker.queued.to_string(),
            worker.running.to_string(),
            worker.finished.to_string(),
            worker.restarts.to_string(),
            format!("{}%", worker.cpu_permille / 10),
            bytes(worker.rss_bytes),
            duration(worker.last_seen_ms),
            worker.pid.to_string(),
            worker.current.as_ref().map_or_else(none, |task| {
                let age_ms = scheduler.uptime_ms.saturating_sub(task.since_ms);
                format!("{} for {}", task.call, duration(age_ms))
            }),
        ]
    });
    table(
        &mut text,
        [
            "worker",
            "cluster",
            "state",
            "capabilities",
            "queued",
            "running",
            "finished",
            "restarts",
            "cpu",
            "memory",
            "seen",
            "pid",
            "runs",
        ],
        workers,
    );
    if !view.clients.is_empty() {
        let _ = writeln!(text, "\n{}", counted(view.clients.len() as u64, "client"));
        let clients = view.clients.iter().map(|client| {
            let seen = duration(client.last_seen_ms);
            [
                client.id.clone(),
                client.name.clone(),
                client.unfinished.to_string(),
                client.held.to_string(),
                client.undelivered.to_string(),
                seen,
            ]
        });
        table(&mut text, ["client", "name", "unfinished", "held", "undelivered", "seen"], clients);
    }
    if shown.functions {
        functions(&mut text, &view.functions);
    }
    if shown.tasks {
        unfinished(&mut text, view);
    }
    text
}

fn unfinished(text: &mut String, view: &View) {
    let alive = State::ALL.into_iter().filter(|state| !state.is_terminal());
    let all: u64 = alive.filter_map(|state| view.tasks.get(state.name())).sum();
    let listed = view.unfinished.len() as u64;
    let note = if listed < all { format!(", {listed} of them here") } else { String::new() };
    let have = if all == 1 { "has" } else { "have" };
    let _ = writeln!(text, "\n{} that {have} not ended{note}", counted(all, "task"));
    let rows = view.unfinished.iter().map(|task| {
        let host =
            if task.host.is_empty() { "-".to_owned() } else { cluster_name(&task.host, &task.cluster, ID_CHARS) };
        let worker = if task.worker.is_empty() { "-".to_owned() } else { task.worker.clone() };
        let runs = task.running_ms.map_or_else(|| "-".to_owned(), duration);
        let attempt = task.attempt.to_string();
        [task.id.clone(), task.call.clone(), task.state.clone(), host, worker, runs, attempt, duration(task.age_ms)]
    });
    table(text, ["task", "function", "state", "cluster", "worker", "runs for", "attempt", "age"], rows);
}

fn functions(text: &mut String, functions: &[FunctionView]) {
    let _ = writeln!(text, "\n{}", counted(functions.len() as u64, "function"));
    let rows = functions.iter().map(|function| {
        let ran = (function.finished - function.canceled).max(1);
        [
            function.call.clone(),
            function.unfinished.to_string(),
            function.finished.to_string(),
            function.failed.to_string(),
            function.aborted.to_string(),
            function.canceled.to_string(),
            microseconds(function.run_us / ran),
            microseconds(function.run_us_p99),
            microseconds(function.start_us / ran),
            bytes(function.peak_memory_bytes),
        ]
    });
    let head =
        ["function", "unfinished", "finished", "failed", "aborted", "canceled", "mean", "p99", "start", "peak memory"];
    table(text, head, rows);
}

fn table<const N: usize>(text: &mut String, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(head[column].chars().count())
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in std::iter::once(&head.map(str::to_owned)).chain(&rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
}

fn duration(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use scaler_proto::view::{RunningView, TaskView, UnfinishedView, WorkerView};

    use super::*;

    #[test]
    fn what_runs_and_what_ended_without_a_worker_are_told() {
        let current = RunningView { call: "m:spin".to_owned(), since_ms: 5_000, ..RunningView::default() };
        let worker = WorkerView { state: "ready".to_owned(), current: Some(current), ..WorkerView::default() };
        let error = Some("aborted: its client was silent for too long".to_owned());
        let failure = TaskView { id: "9:1".to_owned(), call: "m:spin".to_owned(), error, ..TaskView::default() };
        let task = |worker: &str, running_ms| UnfinishedView {
            id: "9:2".to_owned(),
            worker: worker.to_owned(),
            running_ms,
            age_ms: 63_000,
            ..UnfinishedView::default()
        };
        let view = View {
            scheduler: SchedulerView { uptime_ms: 67_000, ..SchedulerView::default() },
            workers: vec![worker, WorkerView { state: "lost".to_owned(), ..WorkerView::default() }],
            unfinished: vec![task("w-1", Some(62_000)), task("", None)],
            failures: vec![failure],
            ..View::default()
        };
        let text = picture(&view, &Shown { tasks: true, ..Shown::default() });
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(words.iter().any(|line| line.ends_with(&["m:spin", "for", "62", "s"])), "{text}");
        assert!(words.contains(&vec!["9:2", "-", "w-1", "62", "s", "0", "63", "s"]), "{text}");
        assert!(words.contains(&vec!["9:2", "-", "-", "-", "0", "63", "s"]), "{text}");
        assert!(text.contains(" ago, m:spin: aborted: its client was silent for too long (task 9:1)"), "{text}");
        assert!(text.contains("\n1 worker in 1 cluster, 1 worker in 1 cluster lost\n"), "{text}");
    }

    #[test]
    fn the_picture_names_workers_and_aligns_columns() {
        let worker = |name: &str, queued| WorkerView {
            name: name.to_owned(),
            state: "ready".to_owned(),
            queued,
            ..Default::default()
        };
        let view = View { workers: vec![worker("a", 1), worker("a-longer-name", 1000)], ..View::default() };
        let text = picture(&view, &Shown::default());
        let columns: Vec<usize> = text.lines().filter_map(|line| line.find("ready")).collect();
        assert!(columns.len() == 2 && columns[0] == columns[1], "{text}");
    }
}
