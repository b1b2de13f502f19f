//! Memory and CPU of processes and of the machine, read from `/proc` now and then; for views, so what cannot be read
//! is 0.

use std::{collections::BTreeMap, fs};

/// Remembers CPU times, to tell the use since the last look.
#[derive(Default)]
pub(crate) struct Usage {
    /// Process id to (CPU milliseconds, monotonic milliseconds).
    seen: BTreeMap<u32, (u64, u64)>,
}

impl Usage {
    /// CPU use in thousandths of one core since the last look, and resident bytes. Zero for a process that is gone.
    pub(crate) fn of(&mut self, pid: u32, now_ms: u64) -> (u32, u64) {
        let (Some(cpu_ms), Some(rss_bytes)) = (cpu_ms(pid), rss_bytes(pid)) else {
            self.seen.remove(&pid);
            return (0, 0);
        };
        let before = self.seen.insert(pid, (cpu_ms, now_ms));
        let permille =
            before.map_or(0, |(cpu, at)| cpu_ms.saturating_sub(cpu) * 1_000 / now_ms.saturating_sub(at).max(1));
        (u32::try_from(permille).unwrap_or(u32::MAX), rss_bytes)
    }

    /// Forgets processes that are not among these.
    pub(crate) fn keep(&mut self, pids: &[u32]) {
        self.seen.retain(|pid, _| pids.contains(pid));
    }
}

/// Whether somebody stopped a process. One that a debugger holds is not meant.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the state follows it.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// Memory that the machine has left for programs, without swapping.
pub(crate) fn memory_free_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1_024
}

fn rss_bytes(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')')?.1;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_missing_one_none() {
        let mut usage = Usage::default();
        assert!(usage.of(std::process::id(), 1).1 > 0);
        assert_eq!(usage.of(u32::MAX, 1), (0, 0));
    }

    #[test]
    fn the_machine_has_some_memory_left() {
        assert!(memory_free_bytes() > 1 << 20);
    }
}
