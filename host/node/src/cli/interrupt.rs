//! Ctrl-C of a command that has work on a cluster: the work ends with it.
//!
//! A client that vanishes is given up after its timeout only. One that leaves takes its tasks along at once, so that is
//! what a signal makes it do; whatever the command waits for then ends. A second signal does not wait for that.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use anyhow::Context as _;
use scaler_client::blocking::Client;
use signal_hook::{consts::signal, iterator::Signals};

use super::failure::Interrupted;

/// Whether a signal came, and which.
pub(super) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// From now on SIGINT and SIGTERM let this client leave. Before, they end the process as they do any other.
    pub(super) fn watch(client: &Client) -> anyhow::Result<Self> {
        let received = Arc::new(AtomicU8::new(0));
        let mut signals = Signals::new([signal::SIGINT, signal::SIGTERM]).context("cannot wait for signals")?;
        let (client, first) = (client.clone(), Arc::clone(&received));
        let wait = move || {
            for signal in signals.forever() {
                let signal = u8::try_from(signal).unwrap_or(0);
                if first.swap(signal, Ordering::SeqCst) != 0 {
                    process::exit(128 + i32::from(signal));
                }
                client.disconnect();
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).context("cannot wait for signals")?;
        Ok(Self(received))
    }

    /// Whether it came.
    pub(super) fn is_received(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// The outcome, but of a command that was interrupted only that: what failed then failed for that reason.
    pub(super) fn unless_interrupted<T>(&self, outcome: anyhow::Result<T>, message: &str) -> anyhow::Result<T> {
        match self.0.load(Ordering::SeqCst) {
            0 => outcome,
            signal => outcome.map_err(|_| Interrupted { signal, message: message.to_owned() }.into()),
        }
    }
}
