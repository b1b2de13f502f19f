//! The processor of one worker, the only role that runs guests (hidden role `__processor`).
//!
//! It talks to its agent over an inherited socket pair and a shared page, takes tasks one by one and answers in
//! batches. A second thread sends answers that would otherwise wait behind a long task. Anything that goes wrong here
//! ends the process: the agent notices, blames the task that the page names, and starts another processor.

mod answers;
mod cache;
mod cpu;
pub(crate) mod page;
pub(crate) mod records;
mod storage;
mod worker;

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    sync::Arc,
};

use answers::Answers;
use page::Page;
use records::{Kind, RecordError};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use worker::Worker;

/// Where the socket to the agent is.
pub(crate) const SOCKET_FD: i32 = 3;
/// Where the shared page is.
pub(crate) const PAGE_FD: i32 = 4;
/// Most bytes read at once.
const READ_BYTES: usize = 128 * 1024;

/// Why a processor ends before its agent.
#[derive(Debug, thiserror::Error)]
enum ProcessorError {
    #[error("the agent's socket: {0}")]
    Socket(#[from] io::Error),
    #[error("the agent says what nobody understands: {0}")]
    Record(#[from] RecordError),
    #[error("the sandbox cannot start: {0}")]
    Engine(#[from] scaler_sandbox::EngineError),
    #[error(transparent)]
    Grants(#[from] scaler_sandbox::GrantError),
    #[error("the first record was a {0:?}, not the set-up")]
    NoSetup(Kind),
}

/// Runs the role.
#[must_use]
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The agent's stderr is inherited; without one nobody reads this.
            let _ = writeln!(io::stderr(), "processor {}: {error}", std::process::id());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), ProcessorError> {
    // SAFETY: the agent's spawn put both descriptors there for us, and nobody else in this process owns them.
    let (socket, page_fd) = unsafe { (UnixStream::from_raw_fd(SOCKET_FD), OwnedFd::from_raw_fd(PAGE_FD)) };
    for fd in [SOCKET_FD, PAGE_FD] {
        // SAFETY: both descriptors are open and ours, see above.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).map_err(io::Error::from)?;
    }
    let page = Page::map(&page_fd)?;
    let answers = Answers::start(socket.try_clone()?)?;
    serve(socket, page, answers)
}

fn serve(socket: UnixStream, page: Page, answers: Arc<Answers>) -> Result<(), ProcessorError> {
    let mut worker: Option<Worker> = None;
    let mut buffer: Vec<u8> = Vec::with_capacity(2 * READ_BYTES);
    let mut chunk = vec![0; READ_BYTES];
    loop {
        wait_for_records(&socket)?;
        let length = match (&socket).read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        buffer.extend_from_slice(&chunk[..length]);
        answers.begin_batch(count_tasks(&buffer)?);
        if let Some(worker) = &mut worker {
            worker.begin_batch();
        }
        let mut used = 0;
        while let Some((kind, body, length)) = records::next(&buffer[used..], records::RECORD_MAX_ALONE)? {
            used += length;
            match &mut worker {
                Some(worker) => worker.record(kind, body)?,
                None if kind == Kind::Setup => {
                    worker = Some(Worker::new(records::value(kind, body)?, page, Arc::clone(&answers))?);
                }
                None => return Err(ProcessorError::NoSetup(kind)),
            }
        }
        buffer.drain(..used);
        page.set_running(0, 0);
        answers.end_batch()?;
        if let Some(worker) = &mut worker {
            worker.rest();
        }
    }
}

/// A thread that waits in a read is woken as well whenever the agent takes an answer, a poll for input is not.
fn wait_for_records(socket: &UnixStream) -> io::Result<()> {
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn count_tasks(buffer: &[u8]) -> Result<usize, RecordError> {
    let (mut count, mut at) = (0, 0);
    while let Some((kind, _, length)) = records::next(&buffer[at..], records::RECORD_MAX_ALONE)? {
        count += usize::from(kind == Kind::Task);
        at += length;
    }
    Ok(count)
}
