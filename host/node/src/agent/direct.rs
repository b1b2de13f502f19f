//! A processor for one purpose, driven step by step: to take a snapshot, to try a preload, to run one call.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use scaler_proto::message::{Failure, FailureKind};
use serde::Serialize;

use super::{
    guest_log,
    process::{Process, ProcessError, describe},
};
use crate::{
    logging::GUEST,
    processor::records::{self, Begin, Kind, LogRecord, ProgramRecord, Setup, SnapshotRequest, Taken, failure},
};

/// Time that a processor gets beyond the guest's own limit, for its start and for what it does around the call.
const GRACE: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(super) struct Direct {
    process: Process,
    label: String,
    lines: Option<Arc<PreloadLines>>,
}

/// What preloads have written and nobody has taken yet: the first lines, as many as a scheduler may want to see.
#[derive(Debug, Default)]
pub(super) struct PreloadLines(Mutex<Vec<LogRecord>>);

/// Most lines that wait to be taken.
const LINES_MAX: usize = 256;

impl PreloadLines {
    fn keep(&self, line: LogRecord) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES_MAX {
            lines.push(line);
        }
    }

    pub(super) fn take(&self) -> Vec<LogRecord> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Direct {
    /// Starts it; the calling thread must live as long as it. `label` stands before the guest's lines in the log.
    pub(super) fn start(setup: &Setup, label: impl Into<String>) -> Result<Self, Failure> {
        let process = Process::spawn()
            .map_err(|error| failure(FailureKind::Internal, format!("starting a processor: {error}")))?;
        let mut direct = Self { process, label: label.into(), lines: None };
        direct.say(Kind::Setup, setup);
        Ok(direct)
    }

    /// Results of any size come back in one record: there is no storage for large ones.
    pub(super) fn alone(mut self) -> Self {
        self.process.allow_records(records::RECORD_MAX_ALONE);
        self
    }

    /// The guest's lines are kept there as well.
    pub(super) fn keeping(mut self, lines: &Arc<PreloadLines>) -> Self {
        self.lines = Some(Arc::clone(lines));
        self
    }

    /// Appends a record; it goes out with the next answer that is waited for.
    pub(super) fn say<T: Serialize>(&mut self, kind: Kind, value: &T) {
        records::put_value(self.process.outgoing(), kind, value);
    }

    /// As [`Self::say`] for records that are no MessagePack.
    pub(super) fn outgoing(&mut self) -> &mut Vec<u8> {
        self.process.outgoing()
    }

    /// Takes a snapshot with an instrumented program.
    pub(super) fn snapshot(
        &mut self,
        program: &ProgramRecord,
        request: &SnapshotRequest,
        timeout: Duration,
    ) -> Result<Taken, Failure> {
        self.say(Kind::Program, program);
        self.say(Kind::Snapshot, request);
        let body = self.answer(Kind::Taken, Some(timeout), "the preload")?;
        records::value(Kind::Taken, &body).map_err(|error| failure(FailureKind::Internal, error.to_string()))
    }

    /// Starts a resident program, that is: runs its preload.
    pub(super) fn begin(&mut self, program: &ProgramRecord, timeout: Duration) -> Result<(), Failure> {
        self.say(Kind::Program, program);
        self.say(Kind::Begin, &Begin { program: Some(program.number) });
        self.answer(Kind::Ready, Some(timeout), "the preload").map(drop)
    }

    /// Waits for a record of this kind. Guests' lines are logged meanwhile.
    pub(super) fn answer(&mut self, wanted: Kind, limit: Option<Duration>, what: &str) -> Result<Vec<u8>, Failure> {
        let deadline = limit.map(|limit| Instant::now() + limit + GRACE);
        let broken = |error: ProcessError| failure(FailureKind::Internal, format!("the processor: {error}"));
        loop {
            self.process.flush();
            while let Some((kind, body)) = self.process.next().map_err(broken)? {
                match kind {
                    Kind::Failed => {
                        return Err(records::value(kind, body)
                            .unwrap_or_else(|error| failure(FailureKind::Internal, error.to_string())));
                    }
                    Kind::Log => {
                        if let Ok(line) = records::value::<LogRecord>(kind, body) {
                            guest_log(GUEST, &self.label, self.process.pid(), &line);
                            if let Some(lines) = &self.lines {
                                lines.keep(line);
                            }
                        }
                    }
                    kind if kind == wanted => return Ok(body.to_vec()),
                    _ => {}
                }
            }
            let left = deadline.map_or(Duration::from_secs(3_600), |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                self.process.kill();
                let seconds = limit.unwrap_or_default().as_secs_f64();
                let text = format!("{what} ran longer than its limit of {seconds} s: its processor was killed");
                return Err(failure(FailureKind::Timeout, text));
            }
            self.process.wait(left).map_err(|error| broken(error.into()))?;
            if !self.process.receive().map_err(broken)? && !self.has_record() {
                let end = describe(self.process.reap());
                return Err(failure(FailureKind::ProcessorDied, format!("{what}: {end}")));
            }
        }
    }

    /// At the end of the stream: whether a whole record is still to be read.
    fn has_record(&self) -> bool {
        self.process.has_record()
    }
}
