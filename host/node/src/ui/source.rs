//! The thread that watches the scheduler for all browsers.

use std::{io, thread};

use scaler_net::Address;
use scaler_proto::message::Topic;

use super::Page;
use crate::follow::{News, follow};

/// Watches until the process ends.
pub(super) fn start(address: Address, page: Page) -> io::Result<()> {
    let watch = move || {
        let mut is_lost = None;
        follow(&address, &[Topic::Tasks, Topic::Logs], |news| {
            let lost = matches!(news, News::Silent { .. });
            if is_lost.replace(lost) != Some(lost) {
                match &news {
                    News::View(_) => tracing::info!("watching the scheduler at {address}"),
                    News::Silent { problem, .. } => {
                        tracing::warn!("no scheduler answers at {address}; trying again all the time; {problem}");
                    }
                }
            }
            match news {
                News::View(view) => page.see(*view),
                News::Silent { problem, silent } => page.stale(&problem, silent),
            }
            true
        });
    };
    thread::Builder::new().name("watch".to_owned()).spawn(watch).map(drop)
}
