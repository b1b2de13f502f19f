//! The blocking client of the object storage: one stream, one request at a time.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use scaler_proto::{
    ids::{ClientId, ObjectId},
    object_stream::{
        ASK_FIRST_BYTES, INFO_BYTES, LIST_MAX, OBJECT_BYTES_MAX, REASON_BYTES_MAX, REPLY_BYTES, Reply, Request, Status,
    },
};

pub use scaler_proto::object_stream::Info;

use crate::Address;

/// How long a client waits for the other end.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For each read or write to make progress (beside the time that a `get` asked to wait).
    pub progress_timeout: Duration,
    /// For a storage that is not there (it refuses connections, or closes them) to be started again.
    pub restart_timeout: Duration,
}

/// Enough for a scheduler to start its storage again.
pub const RESTART_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two tries while the storage is not there: at first, and at most.
const TRY_PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(320)];

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            progress_timeout: Duration::from_secs(30),
            restart_timeout: Duration::ZERO,
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The object is not there and did not come in the time it was waited for.
    #[error("object {id} is not in the object storage at {address} (waited {waited_ms} ms)")]
    NotFound {
        /// Which.
        id: ObjectId,
        /// Where it was looked for.
        address: Address,
        /// How long.
        waited_ms: u64,
    },
    /// The storage has no room.
    #[error("the object storage at {address} has no room: {reason}")]
    Full {
        /// Which storage.
        address: Address,
        /// What it said.
        reason: String,
    },
    /// The storage does not do this.
    #[error("the object storage at {address} refused: {reason}")]
    Refused {
        /// Which storage.
        address: Address,
        /// What it said.
        reason: String,
    },
    /// The storage is not there, and did not come back in the time it was waited for.
    #[error(
        "there is no object storage at {address} (tried for {waited_ms} ms): {source}; see that it runs, and try again"
    )]
    Gone {
        /// Which storage.
        address: Address,
        /// How long it was tried.
        waited_ms: u64,
        /// What happened last.
        source: io::Error,
    },
    /// The connection failed.
    #[error("object storage at {address}: {source}")]
    Io {
        /// Which storage.
        address: Address,
        /// What happened.
        source: io::Error,
    },
}

/// One stream to an object storage; connects at the first request and again after a broken connection.
#[derive(Debug)]
pub struct ObjectClient {
    address: Address,
    options: ClientOptions,
    stream: Option<Stream>,
}

impl ObjectClient {
    /// A client of the storage at `address`; does not connect yet.
    #[must_use]
    pub fn new(address: Address, options: ClientOptions) -> Self {
        Self { address, options, stream: None }
    }

    /// The storage's address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Stores `bytes` under `id`, over what was there, and answers the gets that wait for it.
    pub fn put(&mut self, id: ObjectId, owner: ClientId, bytes: &[u8]) -> Result<(), ObjectError> {
        let length = bytes.len() as u64;
        if length > OBJECT_BYTES_MAX {
            let reason = format!("object {id} has {length} bytes, and {OBJECT_BYTES_MAX} is the most it takes");
            return Err(ObjectError::Refused { address: self.address.clone(), reason });
        }
        let ask_first = length > ASK_FIRST_BYTES;
        let answer = self.request(&Request::Put { id, owner, length }, Duration::ZERO, bytes, ask_first)?;
        self.expect_done(answer, id, Duration::ZERO).map(drop)
    }

    /// The whole object; waits up to `wait` for it to arrive.
    pub fn get(&mut self, id: ObjectId, wait: Duration) -> Result<Vec<u8>, ObjectError> {
        self.get_range(id, 0, u64::MAX, wait)
    }

    /// The object's bytes from `offset`, at most `length` of them (fewer when it ends before).
    pub fn get_range(
        &mut self,
        id: ObjectId,
        offset: u64,
        length: u64,
        wait: Duration,
    ) -> Result<Vec<u8>, ObjectError> {
        let request = Request::Get { id, offset, length, wait_ms: wait_ms(wait) };
        let answer = self.request(&request, wait, &[], false)?;
        self.expect_done(answer, id, wait)
    }

    /// Deletes; one flag an id: whether it existed.
    pub fn delete(&mut self, ids: &[ObjectId]) -> Result<Vec<bool>, ObjectError> {
        let mut existed = Vec::with_capacity(ids.len());
        for ids in ids.chunks(LIST_MAX) {
            let body: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
            let answer = self.request(&Request::Delete { count: ids.len() }, Duration::ZERO, &body, false)?;
            existed.extend(self.expect_done(answer, ids[0], Duration::ZERO)?.into_iter().map(|flag| flag != 0));
        }
        Ok(existed)
    }

    /// Gives the content of `original` a second id; waits up to `wait` for the original to arrive.
    pub fn duplicate(
        &mut self,
        original: ObjectId,
        id: ObjectId,
        owner: ClientId,
        wait: Duration,
    ) -> Result<(), ObjectError> {
        let request = Request::Duplicate { id, owner, wait_ms: wait_ms(wait) };
        let answer = self.request(&request, wait, &original.0, false)?;
        self.expect_done(answer, original, wait).map(drop)
    }

    /// Totals.
    pub fn info(&mut self) -> Result<Info, ObjectError> {
        let answer = self.request(&Request::Info, Duration::ZERO, &[], false)?;
        let body = self.expect_done(answer, ObjectId([0; 32]), Duration::ZERO)?;
        body.first_chunk::<INFO_BYTES>().map(Info::decode).ok_or_else(|| self.failed(broken("totals are too short")))
    }

    /// Scheduler only: these owners are alive. Objects of owners that nobody names are swept after the retention time.
    pub fn owners(&mut self, alive: &[ClientId]) -> Result<(), ObjectError> {
        for alive in alive.chunks(LIST_MAX) {
            let body: Vec<u8> = alive.iter().flat_map(|owner| owner.0.to_le_bytes()).collect();
            let answer = self.request(&Request::Owners { count: alive.len() }, Duration::ZERO, &body, false)?;
            self.expect_done(answer, ObjectId([0; 32]), Duration::ZERO)?;
        }
        Ok(())
    }

    /// Every request may be said twice, so a connection that broke since the last one costs one more try.
    fn request(
        &mut self,
        request: &Request,
        wait: Duration,
        body: &[u8],
        ask_first: bool,
    ) -> Result<(Reply, Vec<u8>), ObjectError> {
        let attempt = |client: &mut Self| client.try_request(request, wait, body, ask_first);
        let is_fresh = self.stream.is_none();
        let result = match attempt(self) {
            Err(error) if !is_fresh && is_broken(&error) => attempt(self),
            other => other,
        };
        match result {
            Err(error) if is_gone(&error) && !self.options.restart_timeout.is_zero() => self.until_restarted(attempt),
            other => other.map_err(|error| self.failed(error)),
        }
    }

    /// The storage is not there: its scheduler starts it again, but not for ever.
    fn until_restarted<T>(&mut self, attempt: impl Fn(&mut Self) -> io::Result<T>) -> Result<T, ObjectError> {
        let begun = Instant::now();
        let [mut pause, pause_max] = TRY_PAUSE;
        loop {
            thread::sleep(pause.min(self.options.restart_timeout.saturating_sub(begun.elapsed())));
            pause = (pause * 2).min(pause_max);
            match attempt(self) {
                Err(source) if is_gone(&source) => {
                    let waited = begun.elapsed();
                    if waited >= self.options.restart_timeout {
                        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                        return Err(ObjectError::Gone { address: self.address.clone(), waited_ms, source });
                    }
                }
                other => return other.map_err(|error| self.failed(error)),
            }
        }
    }

    fn try_request(
        &mut self,
        request: &Request,
        wait: Duration,
        body: &[u8],
        ask_first: bool,
    ) -> io::Result<(Reply, Vec<u8>)> {
        // Taken out: after any error the stream is in the middle of something and must not be used again.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => Stream::connect(&self.address, &self.options)?,
        };
        let header = request.encode();
        stream.set_read_timeout(self.options.progress_timeout.saturating_add(wait))?;
        if ask_first {
            stream.write_all(&header)?;
            let reply = stream.read_reply()?;
            if reply.status != Status::Proceed {
                let body = stream.read_body(&reply)?;
                self.stream = Some(stream);
                return Ok((reply, body));
            }
            stream.write_all(body)?;
        } else {
            write_both(&mut stream, &header, body)?;
        }
        let reply = stream.read_reply()?;
        let answer = stream.read_body(&reply)?;
        self.stream = Some(stream);
        Ok((reply, answer))
    }

    fn expect_done(
        &self,
        (reply, body): (Reply, Vec<u8>),
        id: ObjectId,
        wait: Duration,
    ) -> Result<Vec<u8>, ObjectError> {
        let address = self.address.clone();
        let reason = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
        match reply.status {
            Status::Done => Ok(body),
            Status::Absent => {
                let waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Err(ObjectError::NotFound { id, address, waited_ms })
            }
            Status::Full => Err(ObjectError::Full { address, reason: reason(body) }),
            Status::Refused => Err(ObjectError::Refused { address, reason: reason(body) }),
            Status::Proceed => Err(self.failed(broken("it answered `proceed` where an outcome was due"))),
        }
    }

    fn failed(&self, source: io::Error) -> ObjectError {
        let source = match source.kind() {
            // What the system calls a timeout of a blocking socket.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let seconds = self.options.progress_timeout.as_secs_f64();
                io::Error::new(io::ErrorKind::TimedOut, format!("it does not answer for {seconds} s"))
            }
            _ => source,
        };
        ObjectError::Io { address: self.address.clone(), source }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &Address, options: &ClientOptions) -> io::Result<Self> {
        let stream = match address {
            Address::Tcp { host, port } => {
                let host = if host == "*" { "127.0.0.1" } else { host };
                let mut last = broken("the host name has no address");
                let connected = (host, *port).to_socket_addrs()?.find_map(|address| {
                    TcpStream::connect_timeout(&address, options.connect_timeout).map_err(|error| last = error).ok()
                });
                let stream = connected.ok_or(last)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
            Address::Ipc { path } => Self::Unix(UnixStream::connect(path)?),
        };
        let timeout = Some(options.progress_timeout);
        match &stream {
            Self::Tcp(tcp) => tcp.set_write_timeout(timeout)?,
            Self::Unix(unix) => unix.set_write_timeout(timeout)?,
        }
        Ok(stream)
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(Some(timeout)),
            Self::Unix(unix) => unix.set_read_timeout(Some(timeout)),
        }
    }

    fn read_reply(&mut self) -> io::Result<Reply> {
        let mut header = [0; REPLY_BYTES];
        self.read_exact(&mut header)?;
        Reply::decode(&header).map_err(io::Error::other)
    }

    fn read_body(&mut self, reply: &Reply) -> io::Result<Vec<u8>> {
        let most = if reply.status == Status::Done { OBJECT_BYTES_MAX } else { REASON_BYTES_MAX };
        let length = usize::try_from(reply.length).ok().filter(|_| reply.length <= most);
        let length = length.ok_or_else(|| broken("it announced a body that is too large"))?;
        let mut body = Vec::new();
        body.try_reserve_exact(length).map_err(io::Error::other)?;
        let read = self.take(length as u64).read_to_end(&mut body)?;
        if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(body) }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            Self::Unix(unix) => unix.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(buffer),
            Self::Unix(unix) => unix.write(buffer),
        }
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write_vectored(buffers),
            Self::Unix(unix) => unix.write_vectored(buffers),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Header and body in one packet where they fit.
fn write_both(stream: &mut Stream, header: &[u8], body: &[u8]) -> io::Result<()> {
    let written = stream.write_vectored(&[IoSlice::new(header), IoSlice::new(body)])?;
    match written.checked_sub(header.len()) {
        Some(of_body) => stream.write_all(&body[of_body..]),
        None => {
            stream.write_all(&header[written..])?;
            stream.write_all(body)
        }
    }
}

fn wait_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether the connection ended, as opposed to an answer that does not come.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

/// Whether there is no storage at the address (any more), as opposed to one that answers badly.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    is_broken(error) || matches!(error.kind(), ConnectionRefused | NotFound)
}
