//! `scaler_ui`: a page that shows a cluster as it works.
//!
//! One thread watches the scheduler (`source`) and keeps the `feed`: what is there, and since which version. Every
//! browser is a number, the version it has; it is told what changed since, at its own pace. So one that does not read
//! costs nothing but its connection, and a hundred cost the scheduler as much as one.

mod connection;
mod feed;
mod files;
mod host;
mod server;
mod source;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;

use crate::{config::WebUiSettings, exit, ready, signals::Signals};

pub use server::{Page, serve};

/// Runs the role until it is told to stop.
///
/// # Errors
/// What ends it before that: an address that cannot be listened on.
pub fn run(settings: WebUiSettings) -> anyhow::Result<ExitCode> {
    scaler_net::raise_file_limit()?;
    let signals = Signals::install().context("cannot listen for signals")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the page's thread")?;
    let page = Page::new(&settings.monitor_address);
    source::start(settings.monitor_address.clone(), page.clone()).context("cannot start the watching thread")?;
    let port = u16::try_from(settings.web_port).unwrap_or(0);
    let print_ready = |address: SocketAddr| {
        page.set_restart(settings.command(address.port()));
        tracing::info!("serving the page at http://{address}");
        let line = serde_json::json!({ "ready": "webui", "web_address": format!("http://{address}") });
        if let Err(error) = ready::print(&line) {
            tracing::warn!(%error, "the ready line could not be written");
        }
    };
    let served = runtime.block_on(serve(&settings.web_host, port, page.clone(), print_ready, signals.stopped()));
    // Streams to browsers have no end of their own.
    runtime.shutdown_background();
    served?;
    tracing::info!("the page is not served any more");
    Ok(ExitCode::from(exit::SUCCESS))
}
