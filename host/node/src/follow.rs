//! Watching a scheduler for good: what the page and the terminal view share.

use std::{
    thread,
    time::{Duration, Instant},
};

use scaler_net::Address;
use scaler_proto::{message::Topic, view::View};

use crate::{resolve, watch::Watcher};

/// How long one attempt to reach the scheduler lasts; then it is said that there is none, and the next begins.
const ATTEMPT: Duration = Duration::from_secs(2);
/// It is said at least this often whether the scheduler is still heard.
const LOOK: Duration = Duration::from_millis(500);
/// After an attempt that failed at once.
const REST: Duration = Duration::from_millis(500);

/// What is known about the scheduler.
#[derive(Debug)]
pub(crate) enum News {
    /// How things stand.
    View(Box<View>),
    /// Nothing is heard.
    Silent {
        /// Why, as far as that is known.
        problem: String,
        /// For how long.
        silent: Duration,
    },
}

/// Watches until `tell` says that nobody listens any more. The scheduler may be away at any time, the start included.
pub(crate) fn follow(address: &Address, topics: &[Topic], mut tell: impl FnMut(News) -> bool) {
    let started = Instant::now();
    let mut heard: Option<Instant> = None;
    loop {
        let begun = Instant::now();
        let problem = match Watcher::connect(address, topics, ATTEMPT) {
            Ok(mut watcher) => {
                heard = Some(Instant::now());
                if !tell(News::View(Box::new(watcher.view().clone()))) {
                    return;
                }
                match keep_up(&mut watcher, &mut heard, &mut tell) {
                    Some(problem) => problem,
                    None => return,
                }
            }
            Err(error) => resolve::problem(address, REST).unwrap_or_else(|| error.to_string()),
        };
        if !tell(News::Silent { problem, silent: heard.unwrap_or(started).elapsed() }) {
            return;
        }
        thread::sleep(REST.saturating_sub(begun.elapsed()));
    }
}

/// Tells what one watcher sees; why it can see no more, or `None` when nobody listens.
fn keep_up(watcher: &mut Watcher, heard: &mut Option<Instant>, tell: &mut impl FnMut(News) -> bool) -> Option<String> {
    loop {
        match watcher.next(Some(Instant::now() + LOOK)).map(|news| news.is_some()) {
            Ok(true) => {
                *heard = Some(Instant::now());
                if !tell(News::View(Box::new(watcher.view().clone()))) {
                    return None;
                }
            }
            Ok(false) if watcher.is_live() => {}
            Ok(false) => {
                let silent = heard.map_or(Duration::ZERO, |heard| heard.elapsed());
                if !tell(News::Silent { problem: "its connection was lost".to_owned(), silent }) {
                    return None;
                }
            }
            Err(error) => return Some(error.to_string()),
        }
    }
}
