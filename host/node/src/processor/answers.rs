//! Outgoing records of a processor, sent at half a batch or after a millisecond, whichever comes first.
//!
//! While a task runs, a second thread sends what has waited long enough: no answer waits behind somebody else's long
//! task. It sleeps for good while the processor has nothing to do.

use std::{
    io::{self, Write as _},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use scaler_proto::{
    ids::{ClientId, TaskId},
    message,
};
use scaler_sandbox::{LogLevel, LogSink, LogSource};

use super::records::{self, DoneRecord, Kind, LogRecord};

/// Longest time that an answer waits.
const WAIT: Duration = Duration::from_millis(1);
/// Sent at once beyond this size.
const BYTES: usize = 32 * 1024;
/// A batch of fewer answers is not worth a system call of its own.
const ANSWERS_MIN: usize = 8;

struct Outgoing {
    socket: UnixStream,
    bytes: Vec<u8>,
    answers: usize,
    /// Sent when there are this many answers.
    goal: usize,
    sent_at: Instant,
}

/// See the module's documentation. It is also where guests' lines go.
pub(super) struct Answers {
    outgoing: Mutex<Outgoing>,
    is_busy: AtomicBool,
    flusher: OnceLock<Thread>,
    /// The task that runs, for its log lines; number 0 is none.
    client: AtomicU64,
    number: AtomicU64,
}

impl Answers {
    /// Starts the second thread.
    pub(super) fn start(socket: UnixStream) -> io::Result<Arc<Self>> {
        let outgoing = Outgoing { socket, bytes: Vec::new(), answers: 0, goal: ANSWERS_MIN, sent_at: Instant::now() };
        let answers = Arc::new(Self {
            outgoing: Mutex::new(outgoing),
            is_busy: AtomicBool::new(false),
            flusher: OnceLock::new(),
            client: AtomicU64::new(0),
            number: AtomicU64::new(0),
        });
        let shared = Arc::clone(&answers);
        let handle = thread::Builder::new().name("answers".to_owned()).spawn(move || shared.flush_while_busy())?;
        let _ = answers.flusher.set(handle.thread().clone());
        Ok(answers)
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_while_busy(&self) {
        loop {
            if !self.is_busy.load(Ordering::Acquire) {
                thread::park();
                continue;
            }
            thread::sleep(WAIT);
            let mut outgoing = self.lock();
            if !outgoing.bytes.is_empty() && outgoing.sent_at.elapsed() >= WAIT && outgoing.send().is_err() {
                // The agent is gone. The kernel ends this process as well; a busy main thread must not go on.
                std::process::exit(1);
            }
        }
    }

    /// Work begins: `tasks` of them are at hand.
    pub(super) fn begin_batch(&self, tasks: usize) {
        self.lock().goal = tasks.div_ceil(2).max(ANSWERS_MIN);
        // The answer of a single task waits for nobody; its lines wake the second thread.
        if tasks > 1 {
            self.wake_flusher();
        }
    }

    fn wake_flusher(&self) {
        if !self.is_busy.swap(true, Ordering::AcqRel)
            && let Some(flusher) = self.flusher.get()
        {
            flusher.unpark();
        }
    }

    /// Nothing is left to do: everything goes out.
    pub(super) fn end_batch(&self) -> io::Result<()> {
        self.is_busy.store(false, Ordering::Release);
        self.lock().send()
    }

    /// The task whose lines come next.
    pub(super) fn set_task(&self, task: TaskId) {
        self.client.store(task.client.0, Ordering::Relaxed);
        self.number.store(task.number, Ordering::Relaxed);
    }

    /// An outcome.
    pub(super) fn done(&self, done: &DoneRecord) -> io::Result<()> {
        let mut outgoing = self.lock();
        records::put_done(&mut outgoing.bytes, done);
        outgoing.answers += 1;
        let is_due =
            outgoing.answers >= outgoing.goal || outgoing.bytes.len() >= BYTES || outgoing.sent_at.elapsed() >= WAIT;
        if is_due { outgoing.send() } else { Ok(()) }
    }

    /// Anything else, sent at once.
    pub(super) fn say(&self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut outgoing = self.lock();
        write(&mut outgoing.bytes);
        outgoing.send()
    }
}

impl Outgoing {
    fn send(&mut self) -> io::Result<()> {
        let result = self.socket.write_all(&self.bytes);
        self.bytes.clear();
        self.answers = 0;
        self.sent_at = Instant::now();
        result
    }
}

impl LogSink for Answers {
    fn line(&self, source: LogSource, text: &str) {
        let source = match source {
            LogSource::Stdout => message::LogSource::Stdout,
            LogSource::Stderr => message::LogSource::Stderr,
            LogSource::Guest(LogLevel::Trace) => message::LogSource::Trace,
            LogSource::Guest(LogLevel::Debug) => message::LogSource::Debug,
            LogSource::Guest(LogLevel::Info) => message::LogSource::Info,
            LogSource::Guest(LogLevel::Warn) => message::LogSource::Warn,
            LogSource::Guest(LogLevel::Error) => message::LogSource::Error,
        };
        let number = self.number.load(Ordering::Relaxed);
        let client = ClientId(self.client.load(Ordering::Relaxed));
        let task = (number != 0).then_some(TaskId { client, number });
        let record = LogRecord { task, source, text: text.to_owned() };
        let mut outgoing = self.lock();
        records::put_value(&mut outgoing.bytes, Kind::Log, &record);
        if outgoing.bytes.len() >= BYTES {
            // An agent that is gone is noticed by the next answer.
            let _ = outgoing.send();
        }
        drop(outgoing);
        self.wake_flusher();
    }
}
