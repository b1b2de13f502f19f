//! The columns of the table of workers: what they show, how they sort, by which key.

use std::cmp::Ordering;

use scaler_proto::view::WorkerView;

use super::text;
use crate::watch::cluster_name;

/// A column; names and keys are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Group,
    Worker,
    State,
    AgentCpu,
    AgentRss,
    Cpu,
    Rss,
    OsRssFree,
    Free,
    Sent,
    Queued,
    Lag,
    Itl,
    Runs,
}

/// Workers that were silent for longer have their last known lag marked as such.
const OLD_MS: u64 = 5_000;
/// Longest names in a row.
const GROUP_CHARS: usize = 10;
const WORKER_CHARS: usize = 20;
/// What a worker runs is cut to what is left on the screen, at least and at most this.
pub(super) const RUNS_CHARS: usize = 20;
const RUNS_CHARS_MAX: usize = 48;

impl Column {
    /// From left to right.
    pub(super) const ALL: [Self; 14] = [
        Self::Group,
        Self::Worker,
        Self::State,
        Self::AgentCpu,
        Self::AgentRss,
        Self::Cpu,
        Self::Rss,
        Self::OsRssFree,
        Self::Free,
        Self::Sent,
        Self::Queued,
        Self::Lag,
        Self::Itl,
        Self::Runs,
    ];

    /// What a narrow screen does without, first things first; the column that is sorted by stays.
    pub(super) const DISPENSABLE: [Self; 8] =
        [Self::Runs, Self::Itl, Self::AgentRss, Self::AgentCpu, Self::OsRssFree, Self::Free, Self::Lag, Self::Group];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Worker => "worker",
            Self::State => "state",
            Self::AgentCpu => "agt_cpu",
            Self::AgentRss => "agt_rss",
            Self::Cpu => "cpu",
            Self::Rss => "rss",
            Self::OsRssFree => "os_rss_free",
            Self::Free => "free",
            Self::Sent => "sent",
            Self::Queued => "queued",
            Self::Lag => "lag",
            Self::Itl => "ITL",
            Self::Runs => "runs",
        }
    }

    /// The key that sorts by it.
    pub(super) fn key(self) -> Option<char> {
        Some(match self {
            Self::Group => 'g',
            Self::Worker => 'n',
            Self::State => 's',
            Self::AgentCpu => 'C',
            Self::AgentRss => 'M',
            Self::Cpu => 'c',
            Self::Rss => 'm',
            Self::OsRssFree => 'F',
            Self::Free => 'f',
            Self::Sent => 'w',
            Self::Queued => 'd',
            Self::Lag => 'l',
            Self::Itl | Self::Runs => return None,
        })
    }

    pub(super) fn of_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.key() == Some(key))
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Group => "the cluster's agent: name of its host and start of its id",
            Self::Worker => "name of the worker",
            Self::State => "starting, ready, leaving, retired or lost",
            Self::AgentCpu => "CPU of its agent, of one core",
            Self::AgentRss => "resident memory of its agent",
            Self::Cpu => "CPU of its processor, of one core",
            Self::Rss => "resident memory of its processor",
            Self::OsRssFree => "memory that its machine has left",
            Self::Free => "tasks that may still be assigned to it",
            Self::Sent => "tasks assigned to it, running or not",
            Self::Queued => "of these, tasks that do not run yet",
            Self::Lag => "half a round trip; (last) when it was not heard for 5 s",
            Self::Itl => "1 each: Initialised, has a Task, takes more (no Lock)",
            Self::Runs => "for how long it has been running which call; wide screens only",
        }
    }

    /// Numbers stand at the right and are never cut; words may be.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Self::Group | Self::Worker | Self::State | Self::Itl | Self::Runs)
    }

    /// What it shows of a worker, at so much time since the scheduler's start.
    pub(super) fn cell(self, worker: &WorkerView, uptime_ms: u64) -> String {
        match self {
            Self::Group => text::cut(&group(worker), GROUP_CHARS),
            Self::Worker => text::cut(&worker.name, WORKER_CHARS),
            Self::State => format!("{} {}", crate::palette::of(&worker.state).glyph, worker.state),
            Self::AgentCpu => text::percent(worker.agent_cpu_permille),
            Self::AgentRss => text::bytes(worker.agent_rss_bytes),
            Self::Cpu => text::percent(worker.cpu_permille),
            Self::Rss => text::bytes(worker.rss_bytes),
            Self::OsRssFree => text::bytes(worker.memory_free_bytes),
            Self::Free => text::count(worker.free),
            Self::Sent => text::count(sent(worker)),
            Self::Queued => text::count(worker.queued),
            Self::Lag => {
                let lag = text::duration_us(u64::from(worker.lag_us));
                if worker.last_seen_ms > OLD_MS { format!("(last) {lag}") } else { lag }
            }
            Self::Itl => {
                let flag = |is: bool| if is { '1' } else { '0' };
                let ready = worker.state == "ready";
                [flag(ready), flag(sent(worker) > 0), flag(ready && worker.free > 0)].iter().collect()
            }
            Self::Runs => worker.current.as_ref().map_or_else(String::new, |task| {
                let age = text::long(uptime_ms.saturating_sub(task.since_ms) / 1_000);
                // The age first: it stays when the name is cut.
                text::cut(&format!("{age} {}", task.call), RUNS_CHARS_MAX)
            }),
        }
    }

    fn order(self, one: &WorkerView, other: &WorkerView) -> Ordering {
        match self {
            Self::Group => group(one).cmp(&group(other)),
            Self::Worker => text::natural(&one.name, &other.name),
            Self::State => one.state.cmp(&other.state),
            Self::AgentCpu => one.agent_cpu_permille.cmp(&other.agent_cpu_permille),
            Self::AgentRss => one.agent_rss_bytes.cmp(&other.agent_rss_bytes),
            Self::Cpu => one.cpu_permille.cmp(&other.cpu_permille),
            Self::Rss => one.rss_bytes.cmp(&other.rss_bytes),
            Self::OsRssFree => one.memory_free_bytes.cmp(&other.memory_free_bytes),
            Self::Free => one.free.cmp(&other.free),
            Self::Sent => sent(one).cmp(&sent(other)),
            Self::Queued => one.queued.cmp(&other.queued),
            Self::Lag => one.lag_us.cmp(&other.lag_us),
            Self::Itl | Self::Runs => Ordering::Equal,
        }
    }
}

fn group(worker: &WorkerView) -> String {
    cluster_name(&worker.host, &worker.cluster, usize::MAX)
}

fn sent(worker: &WorkerView) -> u64 {
    worker.queued.saturating_add(worker.running)
}

/// By what the table is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) column: Column,
    pub(super) descending: bool,
}

impl Sort {
    /// What a key makes of it: another column, or the same one the other way round.
    pub(super) fn choose(self, column: Column) -> Self {
        if self.column == column {
            return Self { column, descending: !self.descending };
        }
        Self { column, descending: column.is_number() }
    }

    /// The workers in order; equal ones by name, so that rows do not jump.
    pub(super) fn apply(self, workers: &[WorkerView]) -> Vec<&WorkerView> {
        let mut sorted: Vec<&WorkerView> = workers.iter().collect();
        sorted.sort_by(|one, other| {
            let order = self.column.order(one, other);
            let order = if self.descending { order.reverse() } else { order };
            order.then_with(|| text::natural(&one.name, &other.name)).then_with(|| one.cluster.cmp(&other.cluster))
        });
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, cpu_permille: u32, queued: u64) -> WorkerView {
        WorkerView { name: name.to_owned(), cpu_permille, queued, ..WorkerView::default() }
    }

    fn names(sort: Sort, workers: &[WorkerView]) -> Vec<&str> {
        sort.apply(workers).iter().map(|worker| worker.name.as_str()).collect()
    }

    #[test]
    fn the_same_key_again_reverses_and_equal_rows_stay_by_name() {
        let workers = [worker("w-10", 5, 1), worker("w-9", 5, 0), worker("w-1", 900, 0)];
        let mut sort = Sort { column: Column::Cpu, descending: true };
        assert_eq!(names(sort, &workers), ["w-1", "w-9", "w-10"]);
        sort = sort.choose(Column::Cpu);
        assert_eq!(names(sort, &workers), ["w-9", "w-10", "w-1"]);
        sort = sort.choose(Column::Queued);
        assert_eq!(names(sort, &workers), ["w-10", "w-1", "w-9"]);
        sort = sort.choose(Column::Worker);
        assert_eq!(names(sort, &workers), ["w-1", "w-9", "w-10"]);
    }

    #[test]
    fn every_key_of_the_original_sorts_by_a_column_of_its_own() {
        for key in "gnCMcmFfwdsl".chars() {
            let column = Column::of_key(key).unwrap_or_else(|| panic!("{key}"));
            assert_eq!(column.key(), Some(key));
        }
        assert_eq!(Column::of_key('x'), None);
    }

    #[test]
    fn a_silent_worker_has_its_last_lag() {
        let mut worker = WorkerView { lag_us: 1_500, ..WorkerView::default() };
        assert_eq!(Column::Lag.cell(&worker, 0), "1.5ms");
        worker.last_seen_ms = 5_001;
        assert_eq!(Column::Lag.cell(&worker, 0), "(last) 1.5ms");
    }
}
