//! Watchers for the benchmark: many that read everything they may have, and some that read nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use scaler_net::Address;
use scaler_proto::message::Topic;

use crate::watch::{WatchError, Watcher};

/// Each watcher is asked for news this often.
const LOOK: Duration = Duration::from_millis(50);
/// All of them must have their first picture by then.
const ARRIVAL: Duration = Duration::from_secs(60);

/// Watchers on a thread of their own; they leave when this is dropped.
pub(super) struct Audience {
    is_over: Arc<AtomicBool>,
    updates: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), WatchError>>>,
}

impl Audience {
    /// Gathers an audience, and waits until everyone has seen a picture.
    pub(super) fn gather(address: &str, reading: u16, stalled: u16) -> Result<Self> {
        let address: Address = address.parse()?;
        let (is_over, updates) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let arrived = Arc::new(AtomicBool::new(reading + stalled == 0));
        let flags = (Arc::clone(&is_over), Arc::clone(&updates), Arc::clone(&arrived));
        let thread = thread::Builder::new()
            .name("watchers".to_owned())
            .spawn(move || watch(&address, (reading, stalled), &flags.0, &flags.1, &flags.2))?;
        let audience = Self { is_over, updates, thread: Some(thread) };
        let deadline = Instant::now() + ARRIVAL;
        while !arrived.load(Ordering::Relaxed) {
            let is_alive = audience.thread.as_ref().is_some_and(|thread| !thread.is_finished());
            ensure!(is_alive && Instant::now() < deadline, "not all watchers got a picture within {ARRIVAL:?}");
            thread::sleep(LOOK);
        }
        Ok(audience)
    }

    /// Updates that all of them together have taken so far.
    pub(super) fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// Sends them home.
    pub(super) fn leave(mut self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let outcome = thread.join().map_err(|_| anyhow::anyhow!("the watchers' thread failed"))?;
        outcome.context("watching failed")
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn watch(
    address: &Address,
    (reading, stalled): (u16, u16),
    is_over: &AtomicBool,
    updates: &AtomicU64,
    arrived: &AtomicBool,
) -> Result<(), WatchError> {
    let all: Result<Vec<_>, _> =
        (0..reading + stalled).map(|_| Watcher::dial(address, &[Topic::Tasks, Topic::Logs])).collect();
    let mut all = all?;
    while !is_over.load(Ordering::Relaxed) {
        for (index, watcher) in all.iter_mut().enumerate() {
            // The stalled ones take their first picture, so that the next is on its way, and then nothing more.
            if index >= usize::from(reading) && watcher.is_live() {
                continue;
            }
            while watcher.next(Some(Instant::now()))?.is_some() {
                updates.fetch_add(1, Ordering::Relaxed);
            }
        }
        if all.iter().all(Watcher::is_live) {
            arrived.store(true, Ordering::Relaxed);
        }
        thread::sleep(LOOK);
    }
    all.into_iter().for_each(Watcher::close);
    Ok(())
}
