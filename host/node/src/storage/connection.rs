//! One connection: requests are read, answered and forgotten one after the other. A slow or broken peer costs its
//! own connection; memory is taken only for a content whose room is reserved.

use std::{fmt::Display, future::Future, io, sync::Arc, time::Duration};

use scaler_proto::{
    ids::{ClientId, ObjectId},
    object_stream::{
        ASK_FIRST_BYTES, HeaderError, ID_BYTES, OBJECT_BYTES_MAX, OWNER_BYTES, REQUEST_BYTES, Reply, Request, Status,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    content::Content,
    store::{Answer, Begun, Store},
};

/// A transfer that moves nothing for this long is given up. Between requests a peer may be silent for ever.
const PROGRESS_MAX: Duration = Duration::from_secs(60);
/// Bytes read or written in one step.
const STEP_BYTES: usize = 1 << 20;

/// Why a connection ends before its peer closes it.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("nothing moved for {} s in the middle of a transfer", PROGRESS_MAX.as_secs())]
    Stalled,
    #[error("the peer closed the connection in the middle of a request")]
    Cut,
}

/// What a stream must be able to do beside reading and writing.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Waits until there may be something to read, or the peer has closed.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Reads without waiting.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

macro_rules! streams {
    ($($stream:ident),*) => {$(
        impl Stream for $stream {
            fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
                $stream::readable(self)
            }

            fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                $stream::try_read(self, buffer)
            }
        }
    )*};
}
streams!(TcpStream, UnixStream);

/// Serves a peer until it closes, or does what it must not.
pub(super) async fn serve(mut stream: impl Stream, store: &Arc<Store>, peer: &impl Display) {
    let mut ahead = None;
    loop {
        match request(&mut stream, store, &mut ahead).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error @ ConnectionError::Header(_)) => {
                return tracing::warn!(%peer, %error, "closed a connection");
            }
            Err(error) => return tracing::debug!(%peer, %error, "a connection ended"),
        }
    }
}

/// One request; `ahead` is its first byte where that was read while the request before it waited. False: the peer has
/// closed.
async fn request(
    stream: &mut impl Stream,
    store: &Arc<Store>,
    ahead: &mut Option<u8>,
) -> Result<bool, ConnectionError> {
    let mut header = [0; REQUEST_BYTES];
    let first = match ahead.take() {
        Some(byte) => {
            header[0] = byte;
            1
        }
        None => stream.read(&mut header).await?,
    };
    if first == 0 {
        return Ok(false);
    }
    fill(stream, &mut header[first..]).await?;
    match Request::decode(&header)? {
        Request::Put { id, owner, length } => put(stream, store, id, owner, length).await?,
        Request::Get { id, offset, length, wait_ms } => {
            let begun = store.get(id, Duration::from_millis(wait_ms.into()));
            match outcome(stream, begun, ahead).await? {
                Some(Answer::Found(content)) => send(stream, &content, offset, length).await?,
                Some(_) => reply(stream, Status::Absent, &[]).await?,
                None => return Ok(false),
            }
        }
        Request::Duplicate { id, owner, wait_ms } => {
            let mut original = ObjectId([0; ID_BYTES]);
            fill(stream, &mut original.0).await?;
            let begun = store.duplicate(original, (id, owner), Duration::from_millis(wait_ms.into()));
            match outcome(stream, begun, ahead).await? {
                Some(Answer::Linked) => reply(stream, Status::Done, &[]).await?,
                Some(_) => reply(stream, Status::Absent, &[]).await?,
                None => return Ok(false),
            }
        }
        Request::Delete { count } => {
            let ids: Vec<ObjectId> = list(stream, count).await?.into_iter().map(ObjectId).collect();
            let existed: Vec<u8> = store.delete(&ids).into_iter().map(u8::from).collect();
            reply(stream, Status::Done, &existed).await?;
        }
        Request::Info => reply(stream, Status::Done, &store.info().encode()).await?,
        Request::Owners { count } => {
            let owners = list::<OWNER_BYTES>(stream, count).await?;
            store.name_owners(owners.into_iter().map(|bytes| ClientId(u64::from_le_bytes(bytes))));
            reply(stream, Status::Done, &[]).await?;
        }
    }
    Ok(true)
}

async fn put(
    stream: &mut impl Stream,
    store: &Arc<Store>,
    id: ObjectId,
    owner: ClientId,
    length: u64,
) -> Result<(), ConnectionError> {
    let asked_first = length > ASK_FIRST_BYTES;
    let refusal = match usize::try_from(length) {
        Ok(bytes) if length <= OBJECT_BYTES_MAX => match store.room(length).await {
            Ok(room) => match Content::zeroed(bytes) {
                Ok(mut content) => {
                    if asked_first {
                        reply(stream, Status::Proceed, &[]).await?;
                    }
                    fill(stream, &mut content).await?;
                    store.put(id, owner, content, room);
                    return reply(stream, Status::Done, &[]).await;
                }
                Err(error) => (Status::Full, format!("no memory for {length} bytes: {error}")),
            },
            Err(no_room) => (Status::Full, no_room.to_string()),
        },
        _ => (Status::Refused, format!("object {id} has {length} bytes, and {OBJECT_BYTES_MAX} is the most it takes")),
    };
    if !asked_first {
        skip(stream, length).await?;
    }
    reply(stream, refusal.0, refusal.1.as_bytes()).await
}

/// The outcome of a request that may wait; `None` when the peer has closed meanwhile.
async fn outcome(
    stream: &impl Stream,
    begun: Begun,
    ahead: &mut Option<u8>,
) -> Result<Option<Answer>, ConnectionError> {
    let mut waiting = match begun {
        Begun::Answered(answer) => return Ok(Some(answer)),
        Begun::Waiting(waiting) => waiting,
    };
    // Once the next request is there, the end of the stream cannot be seen any more, and the wait runs to its own end.
    while ahead.is_none() {
        tokio::select! {
            answer = waiting.answer() => return Ok(Some(answer)),
            ready = stream.readable() => ready?,
        }
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => *ahead = Some(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(waiting.answer().await))
}

async fn send(stream: &mut impl Stream, content: &[u8], offset: u64, length: u64) -> Result<(), ConnectionError> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
    let most = usize::try_from(length).unwrap_or(usize::MAX);
    let end = start.saturating_add(most).min(content.len());
    let bytes = &content[start..end];
    let header = Reply { status: Status::Done, total: content.len() as u64, length: bytes.len() as u64 }.encode();
    write_both(stream, &header, bytes).await
}

async fn reply(stream: &mut impl Stream, status: Status, body: &[u8]) -> Result<(), ConnectionError> {
    let header = Reply { length: body.len() as u64, ..Reply::of(status) }.encode();
    write_both(stream, &header, body).await
}

/// Header and body, in one packet where they fit; each step must make progress.
async fn write_both(stream: &mut impl Stream, header: &[u8], body: &[u8]) -> Result<(), ConnectionError> {
    let first = body.len().min(STEP_BYTES / 16);
    let start = [header, &body[..first]].concat();
    for step in std::iter::once(start.as_slice()).chain(body[first..].chunks(STEP_BYTES)) {
        progress(stream.write_all(step)).await?;
    }
    Ok(())
}

async fn fill(stream: &mut impl Stream, buffer: &mut [u8]) -> Result<(), ConnectionError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let end = buffer.len().min(filled + STEP_BYTES);
        match progress(stream.read(&mut buffer[filled..end])).await? {
            0 => return Err(ConnectionError::Cut),
            read => filled += read,
        }
    }
    Ok(())
}

/// Reads a refused content away, so that the refusal can be read.
async fn skip(stream: &mut impl Stream, length: u64) -> Result<(), ConnectionError> {
    let mut buffer = vec![0; 64 << 10];
    let mut left = length;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        fill(stream, &mut buffer[..step]).await?;
        left -= step as u64;
    }
    Ok(())
}

async fn list<const BYTES: usize>(stream: &mut impl Stream, count: usize) -> Result<Vec<[u8; BYTES]>, ConnectionError> {
    let mut bytes = vec![0; count * BYTES];
    fill(stream, &mut bytes).await?;
    Ok(bytes.as_chunks::<BYTES>().0.to_vec())
}

async fn progress<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, ConnectionError> {
    match timeout(PROGRESS_MAX, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ConnectionError::Stalled),
    }
}
