//! What tasks write, on its way to the client that submitted them and asked for it: one message at a time, and what is
//! over the bound is counted and dropped, so that a client that does not read costs a fixed amount.

use std::collections::VecDeque;

use crate::{
    ids::{AgentId, Time},
    message::LogLine,
};

use super::{Scheduler, monitor::Ran, view::clip};

/// Lines and bytes that may wait for one client.
const LINES_MAX: usize = 2_048;
/// See [`LINES_MAX`].
const BYTES_MAX: usize = 256 * 1024;
/// Longest line that is kept; processors cut theirs at the same length.
const LINE_BYTES: usize = 16 * 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Output {
    waiting: VecDeque<LogLine>,
    bytes: usize,
    /// Lines that were dropped since the last one that waits.
    dropped: u64,
    /// Number of the message that carries the last batch.
    in_flight: Option<u64>,
}

impl Output {
    fn push(&mut self, line: &LogLine) {
        let bytes = self.bytes + line.text.len();
        if self.waiting.len() >= LINES_MAX || bytes > BYTES_MAX {
            self.dropped += 1 + line.dropped;
            return;
        }
        self.bytes = bytes;
        let dropped = line.dropped + std::mem::take(&mut self.dropped);
        self.waiting.push_back(LogLine { dropped, ..line.clone() });
    }

    /// Something can be sent now.
    pub(super) fn is_due(&self) -> bool {
        self.in_flight.is_none() && !self.waiting.is_empty()
    }

    /// What is due, for a message of that number.
    pub(super) fn take(&mut self, sequence: u64) -> Option<Vec<LogLine>> {
        if !self.is_due() {
            return None;
        }
        self.in_flight = Some(sequence);
        self.bytes = 0;
        Some(self.waiting.drain(..).collect())
    }

    /// The client has everything up to that message; whether that makes something due.
    pub(super) fn acknowledged(&mut self, number: u64) -> bool {
        let is_taken = self.in_flight.is_some_and(|sequence| sequence <= number);
        if is_taken {
            self.in_flight = None;
        }
        is_taken && self.is_due()
    }

    /// A new connection: what was on its way is lost, as lines may be.
    pub(super) fn reconnected(&mut self) {
        self.in_flight = None;
    }
}

impl Scheduler {
    /// Guests of a cluster wrote something.
    pub(super) fn log_lines(&mut self, now: Time, id: AgentId, lines: Vec<LogLine>) {
        for mut line in lines {
            let Some(cluster) = self.clusters.get(&id) else { return };
            let length = clip(&line.text, LINE_BYTES).len();
            line.text.truncate(length);
            let worker = cluster.workers.get(usize::from(line.worker));
            let worker = worker.map_or_else(Default::default, |worker| std::sync::Arc::clone(&worker.name));
            if let Some(task) = line.task
                && let Some(client) = self.clients.get_mut(&task.client)
                && let Some(output) = &mut client.output
            {
                output.push(&line);
                if let Some(peer) = client.peer {
                    self.peers.gather(peer);
                }
            }
            self.keep_line(now, &Ran { cluster: id, worker }, line);
        }
    }
}
