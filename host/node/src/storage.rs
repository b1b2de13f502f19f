//! The object storage server: moves bytes between sockets and memory; what is kept and who waits is decided by
//! [`scaler_proto::objects`].

use std::{io, os::unix::net::UnixStream as StdUnixStream, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use scaler_net::{Address, NetError, raise_file_limit};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, lookup_host},
    sync::Semaphore,
};

use crate::{config::ObjectStorageSettings, ready, signals::Signals};

mod connection;
mod content;
mod store;
#[cfg(test)]
mod tests;

use store::Store;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;
/// Threads that move bytes; more gain nothing, since memory is the limit.
const THREADS: usize = 2;
/// How long to rest after a connection could not be accepted (out of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Objects whose owner nobody named as alive for this long are deleted.
    pub retention: Duration,
    /// Most bytes of contents.
    pub budget_bytes: u64,
    /// So long a put waits for room before it is refused.
    pub room_wait: Duration,
}

/// Less than peers wait for an answer. Whoever makes results faster than they are fetched is held up and does not fail.
const ROOM_WAIT: Duration = Duration::from_secs(20);

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that.
pub fn run(settings: ObjectStorageSettings) -> anyhow::Result<ExitCode> {
    raise_file_limit()?;
    let signals = Signals::install().context("cannot listen for signals")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("cannot start the storage's threads")?;
    let options = StorageOptions {
        retention: Duration::from_secs(settings.object_retention_seconds),
        budget_bytes: settings.memory_budget_bytes,
        room_wait: ROOM_WAIT,
    };
    let print_ready = |address: &Address| {
        tracing::info!(%address, budget_bytes = options.budget_bytes, "object storage is ready");
        let line =
            serde_json::json!({ "ready": "object_storage_server", "object_storage_address": address.to_string() });
        if let Err(error) = ready::print(&line) {
            tracing::warn!(%error, "the ready line could not be written");
        }
    };
    let served = runtime.block_on(serve(&settings.object_storage_address, &options, print_ready, signals.stopped()));
    // Connections in the middle of a transfer end here; their clients see a closed stream.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served?;
    tracing::info!("object storage stopped");
    Ok(ExitCode::SUCCESS)
}

/// Serves until `shutdown` ends. `ready` is called once with the address that it really listens on.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: &Address,
    options: &StorageOptions,
    ready: impl FnOnce(&Address),
    shutdown: impl Future<Output = ()>,
) -> Result<(), NetError> {
    let listener = Listener::bind(address).await?;
    let store = Arc::new(Store::new(options));
    ready(&listener.address);
    tokio::select! {
        () = shutdown => {}
        () = listener.accept(&store) => {}
        () = store.keep_time() => {}
    }
    Ok(())
}

struct Listener {
    address: Address,
    socket: Socket,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn bind(address: &Address) -> Result<Self, NetError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => NetError::InUse { address: address.clone() },
            _ => NetError::Bind { address: address.clone(), source },
        };
        match address {
            Address::Tcp { host, port } => {
                let host = if host == "*" { "0.0.0.0" } else { host };
                let found: Vec<_> = lookup_host((host, *port)).await.map_err(failed)?.collect();
                let socket = TcpListener::bind(found.as_slice()).await.map_err(failed)?;
                let port = socket.local_addr().map_err(failed)?.port();
                Ok(Self { address: address.with_port(port), socket: Socket::Tcp(socket) })
            }
            Address::Ipc { path } => {
                if StdUnixStream::connect(path).is_ok() {
                    return Err(NetError::InUse { address: address.clone() });
                }
                // Nobody answers, so what is there was left behind. Anything but a socket stays, and the bind fails.
                if path.metadata().is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())) {
                    std::fs::remove_file(path).map_err(failed)?;
                }
                let socket = UnixListener::bind(path).map_err(failed)?;
                Ok(Self { address: address.clone(), socket: Socket::Unix(socket) })
            }
        }
    }

    async fn accept(&self, store: &Arc<Store>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            let store = Arc::clone(store);
            let accepted = match &self.socket {
                Socket::Tcp(socket) => socket.accept().await.map(|(stream, peer)| {
                    no_delay(&stream);
                    tokio::spawn(async move {
                        connection::serve(stream, &store, &peer).await;
                        drop(permit);
                    });
                }),
                Socket::Unix(socket) => socket.accept().await.map(|(stream, _)| {
                    tokio::spawn(async move {
                        connection::serve(stream, &store, &"a unix socket").await;
                        drop(permit);
                    });
                }),
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Ipc { path } = &self.address
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(address = %self.address, %error, "the socket file was not removed");
        }
    }
}

fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "replies may be delayed");
    }
}
