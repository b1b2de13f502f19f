//! SIGTERM and SIGINT as something that a plain poll loop can wait for, or a future.

use std::{
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use signal_hook::{consts::signal, low_level::pipe};

/// Becomes readable when the process was asked to stop. Install it once, early, and poll it beside the other
/// descriptors.
#[derive(Debug)]
pub struct Signals {
    reader: UnixStream,
    received: u32,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT of this process.
    ///
    /// # Errors
    /// When no descriptor is free or the handlers cannot be set.
    pub fn install() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        pipe::register(signal::SIGTERM, writer.try_clone()?)?;
        pipe::register(signal::SIGINT, writer)?;
        Ok(Self { reader, received: 0 })
    }

    /// How often the process has been asked to stop so far; clears the descriptor. The first time means "cleanly",
    /// from the second on the user is impatient.
    pub fn received(&mut self) -> u32 {
        let mut bytes = [0; 16];
        while let Ok(count @ 1..) = self.reader.read(&mut bytes) {
            self.received = self.received.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
        self.received
    }

    /// Ends with the first signal. The thread that waits for it ends with the process.
    pub(crate) async fn stopped(self) {
        let (sender, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            while let Err(Errno::INTR) = poll(&mut [PollFd::new(&self, PollFlags::IN)], None) {}
            drop(sender);
        });
        drop(stopped.await);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_makes_it_readable_and_is_counted() {
        let mut signals = Signals::install().expect("handlers");
        assert_eq!(signals.received(), 0);
        signal_hook::low_level::raise(signal::SIGTERM).expect("raise");
        let mut fds = [PollFd::new(&signals, PollFlags::IN)];
        assert_eq!(poll(&mut fds, None).expect("poll"), 1);
        assert_eq!(signals.received(), 1);
        signal_hook::low_level::raise(signal::SIGINT).expect("raise");
        assert_eq!(signals.received(), 2);
    }
}
