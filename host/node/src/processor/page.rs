//! The page that agent and processor share: which task runs since when, and the words for take-back and interrupt.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap},
};

const BYTES: usize = 4096;

/// The words. All zero in a new page, which means: task 1 is next, nothing runs.
#[repr(C)]
pub(crate) struct Words {
    /// How many tasks have begun or were taken back. The processor exchanges `n - 1` for `n` before it begins task `n`;
    /// the agent exchanges what it finds for the number of the last task it handed out.
    begun: AtomicU64,
    /// The task that runs, 0 if none does.
    running: AtomicU64,
    /// Monotonic nanoseconds, 0 while its arguments are still being fetched.
    since: AtomicU64,
    /// The task that has to end.
    interrupt: AtomicU64,
    /// Why: 1 means that its time is over.
    cause: AtomicU64,
}

const TIMEOUT: u64 = 1;

/// A mapped page. It stays mapped until the process ends, because a guest's interrupt points into it.
#[derive(Clone, Copy)]
pub(crate) struct Page(&'static Words);

impl Page {
    /// A new page, and the descriptor by which a processor gets it.
    pub(crate) fn create() -> io::Result<(OwnedFd, Self)> {
        let fd = memfd_create("scaler-processor", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, BYTES as u64)?;
        let page = Self::map(&fd)?;
        Ok((fd, page))
    }

    /// The page behind a descriptor.
    pub(crate) fn map(fd: impl AsFd) -> io::Result<Self> {
        // SAFETY: a fresh shared mapping at an address of the kernel's choice; nothing else in this process is touched.
        let address =
            unsafe { mmap(std::ptr::null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)? };
        // SAFETY: the mapping is page-aligned, larger than `Words`, zeroed by the kernel, and unmapped only by
        // `release`, which consumes the agent's copy. All access goes through atomics, so the other process may write.
        Ok(Self(unsafe { &*address.cast::<Words>() }))
    }

    /// Unmaps the agent's view of a processor that is gone.
    pub(crate) fn release(self) {
        let address = std::ptr::from_ref(self.0).cast_mut().cast();
        // SAFETY: the mapping was made by `map` with this size, and the agent drops its only copy with this call.
        let _ = unsafe { rustix::mm::munmap(address, BYTES) };
    }

    /// Processor: begins a task, unless it was taken back.
    pub(crate) fn begin(self, sequence: u64) -> bool {
        self.0.begun.compare_exchange(sequence.wrapping_sub(1), sequence, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Processor: this task runs; `since` is 0 while it is still being prepared.
    pub(crate) fn set_running(self, sequence: u64, since_ns: u64) {
        self.0.since.store(since_ns, Ordering::Relaxed);
        self.0.running.store(sequence, Ordering::Release);
    }

    /// Processor: the word that ends the running task when it holds its number.
    pub(crate) fn interrupt_word(self) -> &'static AtomicU64 {
        &self.0.interrupt
    }

    /// Processor: whether the interrupt means that the time is over.
    pub(crate) fn is_timeout(self) -> bool {
        self.0.cause.load(Ordering::Relaxed) == TIMEOUT
    }

    /// Agent: which task runs since when.
    pub(crate) fn running(self) -> Option<(u64, u64)> {
        let running = self.0.running.load(Ordering::Acquire);
        let since = self.0.since.load(Ordering::Relaxed);
        // The pair is not read at once: a task that began in between is looked at next time.
        (running != 0 && self.0.running.load(Ordering::Acquire) == running).then_some((running, since))
    }

    /// Agent: takes back what has not begun, where `next` is the first number never handed out. Returns the first
    /// number that is back.
    pub(crate) fn take_back(self, next: u64) -> u64 {
        let last = next.saturating_sub(1);
        let mut begun = self.0.begun.load(Ordering::SeqCst);
        while let Err(now) = self.0.begun.compare_exchange(begun, last, Ordering::SeqCst, Ordering::SeqCst) {
            begun = now;
        }
        begun.saturating_add(1)
    }

    /// Agent: ends a task.
    pub(crate) fn interrupt(self, sequence: u64, is_timeout: bool) {
        self.0.cause.store(if is_timeout { TIMEOUT } else { 0 }, Ordering::Relaxed);
        self.0.interrupt.store(sequence, Ordering::Release);
    }
}

/// Monotonic nanoseconds, the clock of the page and of the agent's core.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_back_is_exact() {
        let (fd, agent) = Page::create().unwrap();
        let processor = Page::map(&fd).unwrap();
        assert!(processor.begin(1));
        assert_eq!(agent.take_back(5), 2);
        // 2, 3 and 4 are skipped, 5 is handed out later and begins.
        assert!((2..5).all(|sequence| !processor.begin(sequence)));
        assert!(processor.begin(5));
        assert_eq!(agent.take_back(6), 6);
    }

    #[test]
    fn races_lose_and_double_nothing() {
        for _ in 0..300 {
            let (_fd, page) = Page::create().unwrap();
            let started = std::thread::spawn(move || (1..=20).filter(|sequence| page.begin(*sequence)).count() as u64);
            let first = page.take_back(21);
            assert_eq!(started.join().unwrap(), first - 1);
        }
    }
}
