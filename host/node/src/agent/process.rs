//! One processor process as the agent holds it: start, socket, shared page, end.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Child, Command, ExitStatus, Stdio},
};

use crate::processor::{
    PAGE_FD, SOCKET_FD,
    page::Page,
    records::{self, Kind, RecordError},
};

/// Guests yield to servers: a busy machine still answers heartbeats.
const NICE: i32 = 5;
/// Kernel buffer for each direction.
const SOCKET_BYTES: usize = 1 << 20;
/// Most bytes taken from one processor in a turn, so that one that talks much starves nobody.
const READ_BYTES: usize = 256 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a processor cannot be talked to any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    #[error("its socket: {0}")]
    Socket(#[from] io::Error),
    #[error("it said what nobody understands: {0}")]
    Record(#[from] RecordError),
}

/// A running processor. It dies with this value.
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    page: Page,
    incoming: Vec<u8>,
    /// Read into; kept, because clearing a new one costs more than reading a few answers.
    chunk: Box<[u8]>,
    taken: usize,
    outgoing: Vec<u8>,
    sent: usize,
    is_at_end: bool,
    /// Longest record that it may say.
    record_max: usize,
}

impl Process {
    /// Starts a processor. The calling thread must live as long as it: the kernel kills the processor when that
    /// thread ends.
    pub(super) fn spawn() -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        for end in [&socket, &theirs] {
            // A smaller buffer only costs speed.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BYTES);
        }
        let (page_fd, page) = Page::create()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("scaler-processor").arg("__processor").stdin(Stdio::null()).stdout(Stdio::null());
        // A Ctrl-C in a terminal is for the agent, which then lets the tasks end.
        command.process_group(0);
        let (theirs, page_fd) = (out_of_the_way(&theirs)?, out_of_the_way(&page_fd)?);
        let (theirs_raw, page_raw, parent) = (theirs.as_raw_fd(), page_fd.as_raw_fd(), std::process::id());
        // SAFETY: the closure runs between fork and exec and only makes system calls on values it owns.
        unsafe {
            command.pre_exec(move || {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                // The parent may have died before the line above.
                if libc::getppid() as u32 != parent {
                    return Err(io::Error::other("the agent is gone"));
                }
                check(libc::dup2(theirs_raw, SOCKET_FD))?;
                check(libc::dup2(page_raw, PAGE_FD))?;
                let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                check(libc::setrlimit(libc::RLIMIT_CORE, &no_core))?;
                // Without the permission it runs at the agent's own priority.
                libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
                Ok(())
            });
        }
        let child = command.spawn()?;
        Ok(Self {
            child,
            socket,
            page,
            incoming: Vec::new(),
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            is_at_end: false,
            record_max: records::RECORD_MAX,
        })
    }

    /// Lets it say more at once than a processor of a cluster may.
    pub(super) fn allow_records(&mut self, record_max: usize) {
        self.record_max = record_max;
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn page(&self) -> Page {
        self.page
    }

    /// Where records to it are appended; [`Self::flush`] sends them.
    pub(super) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Whether something could not be sent yet.
    pub(super) fn has_outgoing(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Sends as much as the socket takes. An end that is gone is found by reading.
    pub(super) fn flush(&mut self) {
        while self.has_outgoing() {
            match self.socket.write(&self.outgoing[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if !self.has_outgoing() {
            self.outgoing.clear();
            self.sent = 0;
        } else if self.sent > SOCKET_BYTES {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Takes what has arrived. False at the end of the stream: the processor is gone, but what it said before counts.
    pub(super) fn receive(&mut self) -> Result<bool, ProcessError> {
        self.incoming.drain(..self.taken);
        self.taken = 0;
        let mut total = 0;
        while total < READ_BYTES && !self.is_at_end {
            match self.socket.read(&mut self.chunk) {
                Ok(0) => self.is_at_end = true,
                Ok(length) => {
                    self.incoming.extend_from_slice(&self.chunk[..length]);
                    total += length;
                    if length < CHUNK_BYTES {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A processor that was killed with unread records resets the socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.is_at_end = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(!self.is_at_end)
    }

    /// The next whole record that has arrived.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, &[u8])>, ProcessError> {
        let Some((kind, body, length)) = records::next(&self.incoming[self.taken..], self.record_max)? else {
            return Ok(None);
        };
        self.taken += length;
        Ok(Some((kind, body)))
    }

    /// Whether [`Self::next`] has something, or an error.
    pub(super) fn has_record(&self) -> bool {
        !matches!(records::next(&self.incoming[self.taken..], self.record_max), Ok(None))
    }

    /// Waits until there is something to receive, or for the time given.
    pub(super) fn wait(&self, timeout: std::time::Duration) -> io::Result<bool> {
        let timeout =
            rustix::event::Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let flags = if self.has_outgoing() { rustix::event::PollFlags::OUT } else { rustix::event::PollFlags::empty() };
        let mut fds = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN | flags)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => Ok(true),
            result => Ok(result? > 0),
        }
    }

    /// Kills it; its end is seen by reading.
    pub(super) fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
    }

    /// Makes sure that it is gone and says how it ended.
    pub(super) fn reap(&mut self) -> Option<ExitStatus> {
        match self.child.try_wait() {
            Ok(Some(status)) => Some(status),
            _ => {
                self.kill();
                self.child.wait().ok()
            }
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reap();
        self.page.release();
    }
}

/// How a process ended, for people.
pub(super) fn describe(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status {
        None => "the processor is gone".to_owned(),
        Some(status) => match (status.signal(), status.code()) {
            (Some(signal), _) => format!("the processor was killed by signal {signal}"),
            (None, Some(code)) => format!("the processor ended with exit code {code}"),
            (None, None) => format!("the processor ended with {status}"),
        },
    }
}

/// A copy of a descriptor with a number that `dup2` to the fixed ones cannot overwrite.
fn out_of_the_way(fd: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 100)?)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
