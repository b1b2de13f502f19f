//! The object storage server: moves bytes between sockets and memory; what is kept and who waits is decided by
//! [`scaler_proto::objects`].

use std::{future::Future, time::Duration};

use scaler_net::Address;

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Objects whose owner nobody named as alive for this long are deleted.
    pub retention: Duration,
    /// Most bytes of contents; `None` takes three quarters of the machine's memory.
    pub budget_bytes: Option<u64>,
}

/// Serves until `shutdown` ends. `ready` is called once with the address that it really listens on.
pub async fn serve(
    _address: &Address,
    _options: &StorageOptions,
    _ready: impl FnOnce(&Address),
    _shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    todo!()
}

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that.
pub fn run(settings: crate::config::ObjectStorageSettings) -> anyhow::Result<std::process::ExitCode> {
    let _ = settings;
    todo!()
}
