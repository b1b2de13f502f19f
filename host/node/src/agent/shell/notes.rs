//! What the agent's log says of what the core did, and of a scheduler that does not answer.

use std::time::{Duration, Instant};

use scaler_proto::agent::{InterruptCause, Note};

use super::Shell;
use crate::{agent::catalogue::News, plural::counted, resolve};

/// A resolver that takes longer is not waited for; it is asked again the next time.
const RESOLVE_WAIT: Duration = Duration::from_secs(10);
/// At the end nobody waits for it long.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Shell {
    pub(super) fn note(&mut self, note: Note) {
        match note {
            Note::Connected { epoch } => {
                self.silence.broken();
                tracing::info!("connected to {}, epoch {epoch}", self.scheduler_address);
            }
            Note::Announced => {
                let count = self.names.len();
                tracing::info!("{count} {}", if count == 1 { "worker takes tasks" } else { "workers take tasks" });
                self.print_ready();
            }
            Note::Disconnected => {
                self.silence.begins(Instant::now());
                tracing::warn!("the connection to {} is lost", self.scheduler_address);
            }
            Note::Refused { reason } => {
                self.silence.broken();
                tracing::warn!("the scheduler refused: {reason}");
            }
            Note::Reset { reason } => tracing::warn!("connecting again: {reason}"),
            Note::SchedulerEnded { reason } => {
                let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
                tracing::info!("the scheduler at {} has ended{reason}", self.scheduler_address);
            }
            Note::Forgotten { tasks } => {
                let tasks = counted(tasks, "task");
                tracing::warn!("the scheduler was restarted and does not know what is at hand; {tasks} dropped");
            }
            // The error that the process ends with says it.
            Note::Leaving { .. } if self.failure.is_some() => {}
            Note::Leaving { reason } => tracing::info!("leaving: {reason}"),
            Note::Retired { worker, reason } => {
                tracing::error!(worker = self.names[worker as usize], "takes no more tasks: {reason}");
            }
            Note::Failed { task, attempt, function, worker, kind, message } => {
                let attempt = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                let text = format!("task {task} of {function} failed{attempt}: {}: {message}", kind.words());
                match self.names.get(worker as usize) {
                    Some(name) => tracing::info!(worker = name, "{text}"),
                    None => tracing::info!("{text}"),
                }
            }
            Note::FailedMore { count } => {
                let tasks = counted(count, "more task");
                tracing::info!("{tasks} failed within that second; `scaler status` shows the newest");
            }
            Note::Stalled { worker, stalled_ms, is_stopped: true, .. } => {
                let why = format!("somebody stopped it {stalled_ms} ms ago (SIGSTOP); what it had at hand runs again");
                tracing::warn!(worker = self.names[worker as usize], "killing the processor: {why}");
            }
            Note::Stalled { worker, tasks, stalled_ms, .. } => {
                let tasks = if tasks == 1 { "the task".to_owned() } else { format!("any of the {tasks} tasks") };
                let why = format!("it has not begun {tasks} at hand for {stalled_ms} ms");
                tracing::warn!(worker = self.names[worker as usize], "killing the processor: {why}");
            }
            Note::Killing { worker, cause } => {
                let why = match cause {
                    InterruptCause::Cancel => "its task was canceled and did not end",
                    InterruptCause::Timeout => "its task's time was over and it did not end",
                };
                tracing::info!(worker = self.names[worker as usize], "killing the processor: {why}");
            }
        }
    }

    /// Says that nobody answers, when that is due. The name is looked up first, beside the loop.
    pub(super) fn look_at_silence(&mut self) {
        if self.core.is_leaving() || self.silence.says(Instant::now()).is_none() {
            return;
        }
        let (address, desk) = (self.scheduler_address.clone(), self.desk.clone());
        let look = move || {
            let problem = resolve::problem(&address, RESOLVE_WAIT);
            desk.say(News::Unanswered(problem));
        };
        if let Err(error) = std::thread::Builder::new().name("silence".to_owned()).spawn(look) {
            tracing::debug!("no thread to look the scheduler's name up: {error}");
            self.unanswered(None);
        }
    }

    /// Nobody answers, and perhaps it is known why.
    pub(super) fn unanswered(&self, problem: Option<String>) {
        let Some(silent) = self.silence.lasts(Instant::now()) else { return };
        let rest = self.death_timeout.saturating_sub(silent).as_millis().div_ceil(1000);
        let (address, remedy) = (&self.scheduler_address, remedy(problem.as_ref()));
        let problem = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
        tracing::warn!(
            "no scheduler answers at {address}{problem}; trying for {rest} s more (death_timeout_seconds); {remedy}"
        );
    }

    /// Why a cluster without a scheduler ends.
    pub(super) fn death(&self) -> String {
        let problem = resolve::problem(&self.scheduler_address, LAST_WAIT);
        let (address, remedy) = (&self.scheduler_address, remedy(problem.as_ref()));
        let problem = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
        let seconds = self.death_timeout.as_secs();
        format!("no scheduler at {address} for {seconds} s, the death timeout{problem}; {remedy}")
    }
}

fn remedy(problem: Option<&String>) -> &'static str {
    if problem.is_some() { resolve::REMEDY } else { "is it running, and is this its scheduler_address?" }
}
