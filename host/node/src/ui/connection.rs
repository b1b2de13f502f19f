//! Connections of browsers: a bounded number, and none that is held for nothing.
//!
//! Whoever sends no whole request gets no answer, so what counts is when something was last written to a connection.
//! The streams of events say something every few seconds and live as long as they are read.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// How long to rest after a connection could not be accepted (out of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may be of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until its first answer begins: its request must be whole by then.
    pub(super) first: Duration,
    /// Since the last that was written to it.
    pub(super) later: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(10), later: Duration::from_secs(120) }
    }
}

/// Accepts a bounded number of connections.
pub(super) struct Listener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    patience: Patience,
}

impl Listener {
    pub(super) fn new(listener: TcpListener, patience: Patience) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)), patience }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "updates may be delayed");
                    }
                    let Patience { first, later } = self.patience;
                    return (Connection { stream, end: Box::pin(sleep(first)), later, _permit: permit }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place among the bounded number.
pub(super) struct Connection {
    stream: TcpStream,
    /// When it has been of no use for too long.
    end: Pin<Box<Sleep>>,
    later: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let reason = "nothing was asked or taken for too long";
        self.end.as_mut().poll(context).map(|()| io::Error::new(io::ErrorKind::TimedOut, reason))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_end(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        match &written {
            Poll::Ready(Ok(_)) => {
                let end = Instant::now() + self.later;
                self.end.as_mut().reset(end);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if let Poll::Ready(error) = self.poll_end(context) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    async fn served(patience: Patience) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let router = Router::new().fallback(|| async { "here" });
        tokio::spawn(async move { axum::serve(Listener::new(listener, patience), router).await });
        address
    }

    #[tokio::test]
    async fn whoever_sends_no_whole_request_is_cut_off() {
        let first = Duration::from_millis(200);
        let address = served(Patience { first, later: LONG }).await;
        let begun = Instant::now();
        let mut silent = TcpStream::connect(address).await.expect("connect");
        let mut slow = TcpStream::connect(address).await.expect("connect");
        let drip = async {
            // A header that never ends, a little at a time.
            slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.expect("write");
            let mut end = [0];
            loop {
                if slow.write_all(b"x").await.is_err() {
                    return;
                }
                if let Ok(read) = timeout(Duration::from_millis(10), slow.read(&mut end)).await {
                    assert!(!matches!(read, Ok(1..)), "nothing is answered");
                    return;
                }
            }
        };
        timeout(LONG, drip).await.expect("the slow one is cut off");
        let mut rest = Vec::new();
        let read = timeout(LONG, silent.read_to_end(&mut rest)).await.expect("the silent one is cut off");
        assert!(rest.is_empty() || read.is_err());
        assert!(begun.elapsed() >= first, "nobody is cut off at once");
    }

    #[tokio::test]
    async fn a_connection_that_is_asked_again_lives_on() {
        let first = Duration::from_millis(200);
        let address = served(Patience { first, later: LONG }).await;
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let begun = Instant::now();
        let mut answers = 0;
        while begun.elapsed() < 2 * first {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
            let mut answer = [0; 1024];
            let count = timeout(LONG, stream.read(&mut answer)).await.expect("in time").expect("read");
            assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "after {answers} answers");
            answers += 1;
        }
    }
}
