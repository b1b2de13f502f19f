//! Watchers for the benchmark: many that read everything they may have, and some that read nothing.
//!
//! They are a process of their own, so that what they use is not taken for the cluster's: elsewhere they run on the
//! machines of those who watch. They take and acknowledge every update as the page and `scaler_top` do, and draw
//! nothing.

use std::{
    ffi::OsString,
    io::Write as _,
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use scaler_net::Address;
use scaler_proto::message::{Message, Role, Topic, Watch};

use crate::{
    line::{Line, Said},
    ready,
    stack::{Server, cpu_time},
};

/// Name of the hidden role.
pub const ROLE: &str = "__audience";

/// Each watcher looks for news this often.
const LOOK: Duration = Duration::from_millis(100);
/// All of them must have their first picture by then.
const ARRIVAL: Duration = Duration::from_secs(50);

/// Watchers in a process of their own; they leave when this is dropped.
pub(super) struct Audience(Option<Server>);

impl Audience {
    /// Gathers an audience, and waits until everyone has seen a picture.
    pub(super) fn gather(folder: &Path, address: &str, reading: u16, stalled: u16) -> Result<Self> {
        if reading + stalled == 0 {
            return Ok(Self(None));
        }
        let arguments = [address, &reading.to_string(), &stalled.to_string()];
        let mut server = Server::spawn(ROLE, "audience", folder, &arguments)?;
        server.wait_ready()?;
        Ok(Self(Some(server)))
    }

    /// CPU time that all of them together have used so far.
    pub(super) fn cpu(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |server| cpu_time(server.pid()))
    }

    /// Sends them home.
    pub(super) fn leave(self) -> Result<()> {
        self.0.map_or(Ok(()), |mut server| server.stop().map(drop))
    }
}

/// The child: arguments are the address, the number of watchers that read and of those that do not. It ends when it
/// is told to, or with its parent.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    match watch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn watch(arguments: &[String]) -> Result<()> {
    let [address, reading, stalled] = arguments else { bail!("{ROLE} needs an address and two numbers") };
    let address: Address = address.parse()?;
    let (reading, stalled): (u16, u16) = (reading.parse()?, stalled.parse()?);
    let deadline = Instant::now() + ARRIVAL;
    let mut all = Vec::new();
    for number in 0..reading + stalled {
        all.push(Seat::take(&address, number >= reading).context("cannot connect a watcher")?);
    }
    let mut is_ready = false;
    loop {
        for seat in &mut all {
            seat.look()?;
        }
        if !is_ready && all.iter().all(|seat| seat.has_seen) {
            is_ready = true;
            ready::print(&serde_json::json!({ "ready": "audience" }))?;
        }
        ensure!(is_ready || Instant::now() < deadline, "not all watchers got a picture within {ARRIVAL:?}");
        thread::sleep(LOOK);
    }
}

/// One watcher.
struct Seat {
    line: Line,
    is_stalled: bool,
    /// It has had a whole picture.
    has_seen: bool,
}

impl Seat {
    fn take(address: &Address, is_stalled: bool) -> Result<Self> {
        Ok(Self { line: Line::dial(address, Role::Monitor, "watcher")?, is_stalled, has_seen: false })
    }

    /// Takes and acknowledges what there is. A stalled one takes its first picture, so that the next is on its way,
    /// and then nothing more.
    fn look(&mut self) -> Result<()> {
        if self.is_stalled && self.has_seen {
            return Ok(());
        }
        // What has arrived is only found by waiting, if only for no time.
        self.line.wait(&[], Some(Instant::now()))?;
        while let Some(said) = self.line.next()? {
            match said {
                Said::Welcome => {
                    self.line.say(Message::Watch(vec![Watch { topics: vec![Topic::Tasks, Topic::Logs] }]));
                }
                Said::Refused(reason) => bail!("the scheduler refused a watcher: {reason}"),
                Said::Message(Message::Refused(refusals)) => bail!("the scheduler refused a watcher: {refusals:?}"),
                Said::Message(Message::Update(updates)) => self.has_seen |= updates.iter().any(|update| !update.more),
                Said::Message(_) | Said::Lost => {}
            }
        }
        Ok(())
    }
}
