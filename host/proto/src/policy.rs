//! Pure choices of the scheduler: how much a cluster may hold, which cluster is next, what is taken back.
//!
//! Every function here is arithmetic over numbers, so that a policy can be argued about, tested and changed alone.

use std::cmp::Ordering;

/// Work that a worker may have in hand, in nanoseconds: enough to hide a round trip, little enough that workers who
/// come late still find work at the scheduler.
const DEPTH_NS: u64 = 20_000_000;
/// Tasks in hand per worker, however long they are: one that runs and one that follows it.
const DEPTH_MIN: u64 = 2;
/// Tasks in hand per worker, however short they are.
const DEPTH_MAX: u64 = 256;
/// Below this much room for a result, results go to the object storage.
pub const INLINE_SMALL: u32 = 1024;
/// The least room that is kept for a result.
const RESERVE_MIN: u64 = 64;

/// How many tasks each worker of a cluster may have in hand. `ended` counts the tasks its cluster has ended for each
/// worker: before anything is known the depth is small, and it doubles with every round.
#[must_use]
pub fn depth(mean_run_ns: Option<u64>, ended_a_worker: u64) -> u64 {
    let wanted = mean_run_ns.map_or(DEPTH_MIN, |mean| (DEPTH_NS / mean.max(1)).clamp(DEPTH_MIN, DEPTH_MAX));
    wanted.min(DEPTH_MIN + ended_a_worker)
}

/// A running mean that follows the last 16 samples or so.
#[must_use]
pub fn mean(mean: Option<u64>, sample: u64) -> u64 {
    match mean {
        None => sample,
        Some(mean) => mean - mean / 16 + sample / 16,
    }
}

/// A cluster that may take the next task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Tasks it has.
    pub assigned: u64,
    /// Workers that may run this task. Never 0.
    pub workers: u64,
    /// Tags it offers beyond those asked for; 0 where the policy does not care.
    pub spare_tags: u64,
    /// The caller's number for it; the tie breaker.
    pub key: u64,
}

impl Candidate {
    /// Whether this cluster comes before the other: fewer spare tags, fewer tasks a worker, lower number.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let (mine, others) = (self.assigned * other.workers, other.assigned * self.workers);
        self.spare_tags.cmp(&other.spare_tags).then(mine.cmp(&others)).then(self.key.cmp(&other.key))
    }
}

/// Room in the buffer of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What the buffer may hold in all.
    pub buffer: u64,
    /// What it holds and what is reserved in it for tasks that run.
    pub used: u64,
}

/// How a result may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultRoom {
    /// `Run::inline_max`.
    pub inline_max: u32,
    /// Bytes to reserve until the result is there.
    pub reserve: u32,
}

/// How much of a result may come back inside messages, and how much room to keep for it; `None` if it could not be
/// taken at all, so that its task must wait.
#[must_use]
pub fn result_room(room: Room, mean_result: u64, inline_max: u32) -> Option<ResultRoom> {
    let with = |inline_max: u32| {
        // Twice the mean, and never nothing: a result has a cost besides its bytes.
        let reserve = (2 * mean_result).clamp(RESERVE_MIN, u64::from(inline_max).max(RESERVE_MIN));
        ResultRoom { inline_max, reserve: u32::try_from(reserve).unwrap_or(u32::MAX) }
    };
    let fits = |result: &ResultRoom| room.used + u64::from(result.reserve) <= room.buffer;
    let (large, small) = (with(inline_max), with(inline_max.min(INLINE_SMALL)));
    if room.used <= room.buffer / 2 && fits(&large) {
        Some(large)
    } else {
        // An empty buffer takes one result, however small the buffer is.
        (fits(&small) || room.used == 0).then_some(small)
    }
}

/// How many tasks to ask back from a cluster with `queued` tasks that do not run, for workers that idle elsewhere.
#[must_use]
pub fn take_back(queued: u64, idle_workers: u64) -> u64 {
    queued.min(idle_workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_starts_small_grows_with_what_ended_and_follows_the_mean() {
        assert_eq!(depth(None, 0), 2);
        assert_eq!(depth(Some(10_000), 0), 2);
        assert_eq!(depth(Some(10_000), 30), 32);
        assert_eq!(depth(Some(10_000), 1_000), 256);
        assert_eq!(depth(Some(1_000_000), 1_000), 20);
        assert_eq!(depth(Some(10_000_000_000), 1_000), 2);
    }

    #[test]
    fn the_mean_settles() {
        let mut value = None;
        for _ in 0..200 {
            value = Some(mean(value, 1_000));
        }
        assert!((900..=1_000).contains(&value.expect("samples")), "{value:?}");
    }

    #[test]
    fn fewest_tasks_a_worker_first_then_the_lower_number() {
        let candidate = |assigned, workers, key| Candidate { assigned, workers, spare_tags: 0, key };
        assert_eq!(candidate(4, 8, 2).order(&candidate(3, 4, 1)), Ordering::Less);
        assert_eq!(candidate(2, 4, 2).order(&candidate(1, 2, 1)), Ordering::Greater);
        let generalist = Candidate { spare_tags: 1, ..candidate(0, 4, 0) };
        assert_eq!(generalist.order(&candidate(9, 4, 1)), Ordering::Greater, "spare tags weigh more than load");
    }

    #[test]
    fn results_go_to_the_storage_when_room_is_short_and_nowhere_when_there_is_none() {
        let room = |used| Room { buffer: 1_000_000, used };
        assert_eq!(result_room(room(0), 10, 65_536), Some(ResultRoom { inline_max: 65_536, reserve: 64 }));
        assert_eq!(result_room(room(0), 40_000, 65_536).expect("room").reserve, 65_536);
        assert_eq!(
            result_room(room(600_000), 40_000, 65_536).expect("room"),
            ResultRoom { inline_max: 1024, reserve: 1024 }
        );
        assert_eq!(result_room(room(999_999), 10, 65_536), None);
        let tiny = Room { buffer: 2_000, used: 0 };
        assert_eq!(result_room(tiny, 5_000, 65_536), Some(ResultRoom { inline_max: 1024, reserve: 1024 }));
        assert_eq!(result_room(Room { buffer: 100, ..tiny }, 5_000, 65_536).expect("one").inline_max, 1024);
    }

    #[test]
    fn no_more_is_taken_back_than_idles_or_queues() {
        assert_eq!((take_back(5, 2), take_back(1, 4), take_back(0, 4)), (2, 1, 0));
    }
}
