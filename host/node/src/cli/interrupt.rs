//! Ctrl-C of a command that has work on a cluster: the work ends with it.
//!
//! A client that vanishes is given up after its timeout only. One that leaves takes its tasks along at once, so that is
//! what a signal makes it do; whatever the command waits for then ends. A second signal does not wait for that.

use std::{
    process,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use scaler_client::blocking::Client;
use signal_hook::{consts::signal, iterator::Signals};

use super::failure::Interrupted;

/// How long the scheduler may take to hear that the client leaves; then its timeout must do.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// A signal this long after the first is a second one.
const IMPATIENT_AFTER: Duration = Duration::from_millis(300);

/// Whether a signal came, and what became of it.
pub(super) struct Interrupt(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    /// 0: none came.
    signal: u8,
    /// The client has left. Until then the process must not end, or nobody would hear of it.
    has_left: bool,
}

impl Interrupt {
    /// From now on SIGINT and SIGTERM let this client leave. Before, they end the process as they do any other.
    pub(super) fn watch(client: &Client) -> anyhow::Result<Self> {
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let mut signals = Signals::new([signal::SIGINT, signal::SIGTERM]).context("cannot wait for signals")?;
        let (client, told) = (client.clone(), Self(Arc::clone(&state)));
        let wait = move || {
            let mut first: Option<Instant> = None;
            for signal in signals.forever() {
                match first {
                    None => first = Some(Instant::now()),
                    // Whoever signals (`timeout`) may tell the process and its group.
                    Some(at) if at.elapsed() < IMPATIENT_AFTER => continue,
                    Some(_) => process::exit(128 + signal),
                }
                told.change(|state| state.signal = u8::try_from(signal).unwrap_or(0));
                // On a thread of its own, so that a second signal is heard meanwhile.
                let (client, told) = (client.clone(), Self(Arc::clone(&told.0)));
                let leave = move || {
                    client.disconnect();
                    told.change(|state| state.has_left = true);
                };
                if thread::Builder::new().name("leaving".to_owned()).spawn(leave).is_err() {
                    process::exit(128 + signal);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).context("cannot wait for signals")?;
        Ok(Self(state))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (state, changed) = &*self.0;
        let changed_to = change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
        changed_to
    }

    /// Whether it came.
    pub(super) fn is_received(&self) -> bool {
        self.change(|state| state.signal) != 0
    }

    /// The outcome, but of a command that was interrupted only that: what failed then failed for that reason.
    pub(super) fn unless_interrupted<T>(&self, outcome: anyhow::Result<T>, message: &str) -> anyhow::Result<T> {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_leaving = |state: &mut State| state.signal != 0 && !state.has_left;
        let waited = changed.wait_timeout_while(state, GOODBYE_MAX, is_leaving);
        let signal = waited.unwrap_or_else(PoisonError::into_inner).0.signal;
        match outcome {
            Err(_) if signal != 0 => Err(Interrupted { signal, message: message.to_owned() }.into()),
            outcome => outcome,
        }
    }
}
