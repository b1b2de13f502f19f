//! `scaler logs`: what guests write, with task and worker.

use std::{
    io::{self, IsTerminal as _, Write as _},
    os::fd::{AsFd as _, BorrowedFd},
    process::ExitCode,
};

use anyhow::Result;
use rustix::fs::FileType;
use scaler_proto::{
    ids::TaskId,
    message::Topic,
    view::{LogView, View},
};

use super::{connect::Connection, output};
use crate::{
    plural::counted,
    signals::Signals,
    watch::{Watcher, WorkerNames},
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    connection: Connection,
    /// Go on with what is written from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// One JSON object a line, with its time (UTC) as `time`
    #[arg(long)]
    pub(super) json: bool,
    /// Only what this task writes
    #[arg(long, value_name = "TASK")]
    task: Option<TaskId>,
}

pub(super) fn logs(arguments: &LogsArgs) -> Result<ExitCode> {
    let mut watcher = arguments.connection.watch(&[Topic::Logs])?;
    // Until here a signal ends the command as it ends any other.
    let mut signals = Signals::install()?;
    let mut printer = Printer::new(arguments);
    printer.lines(watcher.view())?;
    if let (Some(task), false) = (&arguments.task, arguments.follow || printer.has_printed) {
        say(&format!(
            "nothing that task {task} wrote is kept; `scaler status --tasks` lists the tasks there are, and the \
             scheduler keeps the newest lines of all of them"
        ));
    }
    while arguments.follow && signals.received() == 0 {
        step(&mut watcher, &signals, &mut printer)?;
    }
    watcher.close();
    Ok(ExitCode::SUCCESS)
}

/// Waits for lines, for a signal, or for the end of whoever reads them.
fn step(watcher: &mut Watcher, signals: &Signals, printer: &mut Printer) -> Result<()> {
    let stdout = io::stdout();
    let mut fds: Vec<BorrowedFd<'_>> = vec![signals.as_fd()];
    // A pipe wakes us when its reader is gone; a terminal or a file would do so all the time.
    if is_pipe(stdout.as_fd()) {
        fds.push(stdout.as_fd());
    }
    let was_live = watcher.is_live();
    if watcher.next_or(&fds, None)?.is_some() {
        if !was_live {
            say("connected again");
        }
        return printer.lines(watcher.view());
    }
    if was_live && !watcher.is_live() {
        say("the connection is lost; connecting again");
    }
    // Whether the reader is gone is found by writing, if only nothing.
    if fds.len() > 1 && is_broken(stdout.as_fd()) { Err(output::ReaderGone.into()) } else { Ok(()) }
}

fn say(text: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Whether nobody has the other end of a pipe open.
fn is_broken(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
}

/// Prints each line once.
struct Printer {
    task: Option<String>,
    json: bool,
    is_coloured: bool,
    /// Epoch of the scheduler and number of the last line.
    printed: (u64, u64),
    has_printed: bool,
}

impl Printer {
    fn new(arguments: &LogsArgs) -> Self {
        Self {
            task: arguments.task.map(|task| task.to_string()),
            json: arguments.json,
            is_coloured: io::stdout().is_terminal() && output::wants_colours(),
            printed: (0, 0),
            has_printed: false,
        }
    }

    fn lines(&mut self, view: &View) -> Result<()> {
        let epoch = view.scheduler.epoch;
        let last = if self.printed.0 == epoch { self.printed.1 } else { 0 };
        let first = view.logs.partition_point(|line| line.number <= last);
        // Whoever reads a line again finds it at the same time.
        let started_ms = epoch / 1_000;
        let names = WorkerNames::of(view);
        let mut text = String::new();
        for line in &view.logs[first..] {
            if self.task.as_ref().is_some_and(|task| *task != line.task) {
                continue;
            }
            let at_ms = started_ms.saturating_add(line.at_ms);
            if self.json {
                let mut object = serde_json::to_value(line)?;
                object["time"] = time(at_ms).into();
                text.push_str(&object.to_string());
                text.push('\n');
            } else {
                self.line(at_ms, line, &names, &mut text);
            }
        }
        self.printed = (epoch, view.logs.last().map_or(last, |line| line.number.max(last)));
        if text.is_empty() {
            return Ok(());
        }
        self.has_printed = true;
        let mut stdout = io::stdout().lock();
        output::written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
    }

    fn line(&self, at_ms: u64, line: &LogView, names: &WorkerNames<'_>, text: &mut String) {
        if line.dropped > 0 {
            text.push_str(&format!("({} dropped here: too many)\n", counted(line.dropped, "line")));
        }
        let task = if line.task.is_empty() { "preload" } else { line.task.as_str() };
        let worker = names.show(&line.worker, &line.cluster);
        let source = &line.source;
        let head = format!("{} {worker} {task}", time_of_day(at_ms));
        if self.is_coloured {
            let colour = match source.as_str() {
                "error" => "31",
                "warn" | "stderr" => "33",
                "debug" | "trace" => "2",
                _ => "36",
            };
            text.push_str(&format!("\x1b[2m{head}\x1b[0m \x1b[{colour}m{source:<6}\x1b[0m {}\n", line.text));
        } else {
            text.push_str(&format!("{head} {source:<6} {}\n", line.text));
        }
    }
}

/// Date and time in UTC, as RFC 3339 has it.
fn time(since_1970_ms: u64) -> String {
    let days = since_1970_ms / 86_400_000;
    // Years from March on, so that the leap day is their last; 400 of them are 146,097 days.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let (month, day) = (if march < 10 { march + 3 } else { march - 9 }, day - (153 * march + 2) / 5 + 1);
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{}", time_of_day(since_1970_ms))
}

/// UTC, as in the servers' logs.
fn time_of_day(since_1970_ms: u64) -> String {
    let (seconds, milliseconds) = (since_1970_ms / 1_000 % 86_400, since_1970_ms % 1_000);
    format!("{:02}:{:02}:{:02}.{milliseconds:03}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_who_and_what() {
        let printer = Printer { task: None, json: false, is_coloured: false, printed: (0, 0), has_printed: false };
        let line = |cluster: &str| LogView {
            worker: "host-1".to_owned(),
            cluster: cluster.to_owned(),
            task: "00000000000000f1:12".to_owned(),
            source: "stdout".to_owned(),
            text: "hello".to_owned(),
            dropped: 3,
            ..LogView::default()
        };
        let told = |view: &View| {
            let mut text = String::new();
            printer.line(86_400_000 + 3_723_004, &view.logs[0], &WorkerNames::of(view), &mut text);
            text
        };
        let (one, other) = (line("cluster-0123456789abcdef"), line("cluster-fedcba9876543210"));
        let alone = View { logs: vec![one.clone(), one.clone()], ..View::default() };
        assert_eq!(
            told(&alone),
            "(3 lines dropped here: too many)\n01:02:03.004Z host-1 00000000000000f1:12 stdout hello\n"
        );
        let both = View { logs: vec![one, other], ..View::default() };
        assert!(told(&both).contains(" host-1/0123 00000000000000f1:12 "), "{}", told(&both));
    }

    #[test]
    fn times_have_their_date() {
        for (since_1970_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_740_787_200_001, "2025-03-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(since_1970_ms), expected);
        }
    }
}
