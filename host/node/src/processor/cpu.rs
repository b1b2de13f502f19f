//! CPU time of tasks, at the price of one system call a batch and one for each task that is not short.

/// A shorter task is taken to have used the CPU all the time: reading the clock would cost it a few percent.
const SHORT_US: u64 = 200;

/// What the main thread, on which guests run, has used.
#[derive(Debug, Default)]
pub(super) struct CpuClock {
    /// The thread's CPU time when it was read last.
    read_us: u64,
    /// What short tasks have used since then.
    since_us: u64,
}

impl CpuClock {
    /// Tasks follow, after a wait of any length.
    pub(super) fn begin(&mut self) {
        *self = Self { read_us: thread_cpu_us(), since_us: 0 };
    }

    /// What the task used that has just ended after so long.
    pub(super) fn task(&mut self, run_us: u64) -> u64 {
        if run_us < SHORT_US {
            self.since_us += run_us;
            return run_us;
        }
        let now_us = thread_cpu_us();
        let used_us = now_us.saturating_sub(self.read_us).saturating_sub(self.since_us);
        *self = Self { read_us: now_us, since_us: 0 };
        used_us.min(run_us)
    }
}

fn thread_cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn work_counts_and_sleep_does_not() {
        let mut clock = CpuClock::default();
        clock.begin();
        assert_eq!(clock.task(7), 7, "a short task is not measured");
        let (begun, before_us) = (Instant::now(), thread_cpu_us());
        thread::sleep(Duration::from_millis(30));
        let slept_us = clock.task(begun.elapsed().as_micros() as u64);
        assert!(slept_us < 15_000, "{slept_us} us for a sleep");
        while thread_cpu_us() < before_us + 20_000 {}
        let worked_us = clock.task(begun.elapsed().as_micros() as u64);
        assert!((15_000..100_000).contains(&worked_us), "{worked_us} us for 20 ms of work");
    }
}
