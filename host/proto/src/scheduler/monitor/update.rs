//! The bodies of updates: what changed since a watcher's last one, cut into parts of bounded size.

use super::{Cursor, RECENT_MAX, Topics};
use crate::{
    ids::Time,
    scheduler::{Scheduler, seeded::Fault},
    view::{Changes, ClientView, FunctionView, HISTORY_MAX, LogView, ParkedView, TaskView, View, WorkerView},
};

/// Most bytes of one update.
pub(super) const UPDATE_BYTES_MAX: usize = 256 * 1024;

/// One update, for all watchers whose last one was `previous`.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) previous: u64,
    pub(super) more: bool,
    pub(super) changes: Vec<u8>,
}

/// What parts weigh together.
pub(super) fn bytes(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.changes.len()).sum()
}

/// Puts changes into as many parts as they need.
struct Packer {
    /// What every part begins with.
    head: Changes,
    head_bytes: usize,
    full: Vec<Changes>,
    current: Changes,
    current_bytes: usize,
}

impl Packer {
    fn new(head: Changes) -> Self {
        let parked: usize = head.parked.iter().map(weight_of_parked).sum();
        let head_bytes = 8 * 1024 + parked;
        Self { current: head.clone(), head, head_bytes, full: Vec::new(), current_bytes: head_bytes }
    }

    /// The part that has room for something that heavy.
    fn part(&mut self, bytes: usize) -> &mut Changes {
        if self.current_bytes + bytes > UPDATE_BYTES_MAX {
            self.full.push(std::mem::replace(&mut self.current, self.head.clone()));
            self.current_bytes = self.head_bytes;
        }
        self.current_bytes += bytes;
        &mut self.current
    }

    fn all<T>(
        &mut self,
        entries: impl Iterator<Item = T>,
        weight: impl Fn(&T) -> usize,
        list: impl Fn(&mut Changes) -> &mut Vec<T>,
    ) {
        for entry in entries {
            let bytes = weight(&entry);
            list(self.part(bytes)).push(entry);
        }
    }

    fn finish(mut self) -> Vec<Changes> {
        self.full.push(self.current);
        self.full
    }
}

impl Scheduler {
    /// What is new since that cursor (`None`: everything), and where whoever has it is then.
    pub(super) fn parts(&mut self, now: Time, since: Option<Cursor>, topics: Topics) -> (Vec<Part>, Cursor) {
        let rows = &self.monitor.rows;
        let since = since.filter(|cursor| rows.reaches_back_to(cursor.stamp));
        let most_tasks = if since.is_some() { self.monitor.tasks_max() } else { RECENT_MAX };
        let from = since.unwrap_or_default();
        let View { scheduler, tasks, parked, .. } = self.head(now);
        let mut packer = Packer::new(Changes { scheduler, tasks, parked, ..Changes::default() });
        if since.is_some() && !self.seeded.is(Fault::HideDepartures) {
            packer.all(rows.workers_gone(from.stamp), weight_of_gone, |part| &mut part.workers_gone);
            packer.all(rows.clients_gone(from.stamp), |name| 8 + name.len(), |part| &mut part.clients_gone);
        }
        packer.all(rows.workers(now, from.stamp), weight_of_worker, |part| &mut part.workers);
        packer.all(rows.clients(now, from.stamp), weight_of_client, |part| &mut part.clients);
        packer.all(rows.clusters_seen(now, from.stamp), weight_of_seen, |part| &mut part.clusters_seen);
        packer.all(rows.clients_seen(now, from.stamp), weight_of_seen, |part| &mut part.clients_seen);
        let monitor = &self.monitor;
        packer.all(monitor.totals.since(from.stamp), weight_of_function, |part| &mut part.functions);
        packer.all(
            monitor.samples.since(from.samples, HISTORY_MAX).copied(),
            |_| SAMPLE_BYTES,
            |part| &mut part.history,
        );
        if topics.tasks {
            let ended = monitor.ended.since(from.ended, most_tasks);
            let views = ended.map(|ended| ended.view(self.started, &monitor.totals));
            packer.all(views, weight_of_task, |part| &mut part.recent);
            let failures = monitor.failures.since(from.failures, most_tasks);
            let views = failures.map(|ended| ended.view(self.started, &monitor.totals));
            packer.all(views, weight_of_task, |part| &mut part.failures);
        }
        if topics.logs {
            packer.all(monitor.lines.since(from.lines), weight_of_line, |part| &mut part.logs);
        }
        let (mut number, mut previous) = (self.monitor.number, since.map_or(0, |cursor| cursor.number));
        let encode = |changes: Changes| {
            number += 1;
            // Only a map's key that is no string cannot be written, and there is none.
            let changes = rmp_serde::to_vec_named(&changes).unwrap_or_default();
            Part { number, previous: std::mem::replace(&mut previous, number), more: true, changes }
        };
        let mut parts: Vec<_> = packer.finish().into_iter().map(encode).collect();
        if let Some(last) = parts.last_mut() {
            last.more = false;
        }
        self.monitor.number = number;
        let monitor = &self.monitor;
        let cursor = Cursor {
            number,
            stamp: monitor.rows.stamp(),
            ended: monitor.ended.end(),
            failures: monitor.failures.end(),
            samples: monitor.samples.end(),
            lines: monitor.lines.end(),
        };
        (parts, cursor)
    }
}

// Upper bounds of what entries take as MessagePack: names of fields, numbers at full width, texts as they are.

const SAMPLE_BYTES: usize = 146;

fn weight_of_parked(parked: &ParkedView) -> usize {
    48 + parked.call.len() + parked.reason.len()
}

fn weight_of_gone((cluster, name): &(String, String)) -> usize {
    16 + cluster.len() + name.len()
}

fn weight_of_seen((id, _): &(String, u64)) -> usize {
    24 + id.len()
}

fn weight_of_worker(worker: &WorkerView) -> usize {
    let WorkerView { name, cluster, host, state, capabilities, current, .. } = worker;
    let current = current.as_ref().map_or(0, |task| 64 + task.id.len() + task.call.len());
    440 + current + name.len() + cluster.len() + host.len() + state.len() + capabilities.len()
}

fn weight_of_client(client: &ClientView) -> usize {
    128 + client.id.len() + client.name.len()
}

fn weight_of_function(function: &FunctionView) -> usize {
    226 + function.call.len()
}

fn weight_of_task(task: &TaskView) -> usize {
    let TaskView { id, call, state, worker, cluster, capabilities, error, trace, .. } = task;
    let error = error.as_ref().map_or(0, String::len) + trace.as_ref().map_or(0, String::len);
    312 + id.len() + call.len() + state.len() + worker.len() + cluster.len() + capabilities.len() + error
}

fn weight_of_line(line: &LogView) -> usize {
    let LogView { task, worker, cluster, source, text, .. } = line;
    128 + task.len() + worker.len() + cluster.len() + source.len() + text.len()
}
