//! The scheduler's side of the object storage: the child process, if it is ours, and the orders to it.
//!
//! A helper thread starts, watches and restarts the child and dials it, so that the scheduler's loop never waits. The
//! child is killed with that thread, whatever happens to the process.

use std::{
    io::{BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use scaler_net::{
    Address, Waker,
    objects::{ClientOptions, ObjectClient, ObjectError},
};
use scaler_proto::ids::{ClientId, ObjectId};

use crate::config::SchedulerSettings;

/// Orders that may wait; beyond it deletions are left to the storage's own sweep.
const ORDERS_MAX: usize = 4_096;
/// The child must say within this time that it is ready.
const START_MAX: Duration = Duration::from_secs(10);
/// Pause before a child that died is started again.
const RESTART: Duration = Duration::from_millis(500);
/// How long the helper may take to end.
const STOP_MAX: Duration = Duration::from_secs(1);
/// A storage that does not answer for so long is spoken of.
const MISSED_MAX: Duration = Duration::from_secs(2);
/// These orders are small: who does not answer them within this time stands still.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often the child is looked after.
const WATCH: Duration = Duration::from_millis(200);

enum Order {
    Delete(Vec<ObjectId>),
    Owners(Vec<ClientId>),
    Stop,
}

/// What the helper has to tell.
#[derive(Debug)]
pub(super) enum News {
    /// The storage is somewhere else now.
    Moved(Address),
    /// Nothing answers there, and why.
    Silent(String),
    /// Something answers there, after it was silent.
    Answers,
}

/// The handle that the scheduler's loop holds.
pub(super) struct Storage {
    address: Address,
    orders: SyncSender<Order>,
    news: Receiver<News>,
    /// Closed when the helper ends.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Storage {
    /// Starts the helper and, if no address is given, waits for its child to be ready.
    pub(super) fn start(settings: &SchedulerSettings, waker: Waker) -> anyhow::Result<Self> {
        let (orders, inbox) = mpsc::sync_channel(ORDERS_MAX);
        let (teller, news) = mpsc::channel();
        let recipe = match &settings.object_storage_address {
            Some(_) => None,
            None => Some(Recipe::new(settings)?),
        };
        let given = settings.object_storage_address.clone();
        let (first, started) = mpsc::channel();
        let (lives, ended) = mpsc::channel();
        let thread = std::thread::Builder::new().name("storage".to_owned()).spawn(move || {
            let _lives: mpsc::Sender<()> = lives;
            let child = match recipe {
                None => Ok(None),
                Some(recipe) => Running::start(recipe).map(Some),
            };
            let child = match child {
                Ok(child) => child,
                Err(error) => {
                    first.send(Err(error)).ok();
                    return;
                }
            };
            let Some(address) = child.as_ref().map(|child| child.address.clone()).or(given) else { return };
            first.send(Ok(address.clone())).ok();
            Helper { address, child, inbox, client: None, standing: Standing::Answers, teller, waker }.run();
        })?;
        let address = started.recv().context("the helper thread of the object storage ended")??;
        Ok(Self { address, orders, news, ended, thread })
    }

    /// Where the storage is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// What is new about it.
    pub(super) fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(super) fn delete(&self, objects: Vec<ObjectId>) {
        if self.orders.try_send(Order::Delete(objects)).is_err() {
            tracing::warn!("the object storage does not keep up; objects are left to its own sweep");
        }
    }

    pub(super) fn owners(&self, owners: Vec<ClientId>) {
        // Said again soon; a full queue is reported by `delete`.
        self.orders.try_send(Order::Owners(owners)).ok();
    }

    /// Ends the helper and the child. A helper that waits for a storage that does not answer is left behind; the child
    /// is killed when the process ends.
    pub(super) fn stop(self) {
        self.orders.try_send(Order::Stop).ok();
        drop(self.orders);
        if self.ended.recv_timeout(STOP_MAX) == Err(RecvTimeoutError::Disconnected) && self.thread.join().is_err() {
            tracing::error!("the helper thread of the object storage panicked");
        }
    }
}

/// How the child is started.
#[derive(Clone)]
struct Recipe {
    address: Address,
    arguments: Vec<String>,
}

impl Recipe {
    fn new(settings: &SchedulerSettings) -> anyhow::Result<Self> {
        let address = settings.scheduler_address.with_port_offset(1)?;
        let mut arguments = vec![
            "--object-retention-seconds".to_owned(),
            settings.object_retention_seconds.to_string(),
            "--logging-level".to_owned(),
            settings.logging.level.to_string(),
            "--logging-json".to_owned(),
            settings.logging.json.to_string(),
            "--insecure".to_owned(),
            settings.insecure.to_string(),
            "--logging-paths".to_owned(),
        ];
        arguments.extend(settings.logging.paths.iter().map(|path| path.display().to_string()));
        Ok(Self { address, arguments })
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("__storage").arg(self.address.to_string()).args(&self.arguments);
        // A Ctrl-C in a terminal is for the scheduler alone, which ends the child after its clients were told.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let parent = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe calls are made: `prctl`, `getppid` and `_exit`.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // The parent may have gone before the signal was asked for.
                if u32::try_from(libc::getppid()).ok() != Some(parent) {
                    libc::_exit(1);
                }
                Ok(())
            });
        }
        command.spawn()
    }
}

/// A child that said that it is ready.
struct Running {
    recipe: Recipe,
    child: Child,
    address: Address,
}

impl Running {
    fn start(recipe: Recipe) -> anyhow::Result<Self> {
        let mut child = recipe.spawn().context("the object storage cannot be started")?;
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            let forward = move || forward(BufReader::new(stdout), &sender);
            std::thread::Builder::new().name("storage log".to_owned()).spawn(forward)?;
        }
        match receiver.recv_timeout(START_MAX) {
            // Port 0 became a real one; a restart takes the same again.
            Ok(address) => Ok(Self { recipe: Recipe { address: address.clone(), ..recipe }, child, address }),
            Err(error) => {
                child.kill().ok();
                let status = child.wait().context("the object storage cannot be waited for")?;
                let what = if error == RecvTimeoutError::Timeout { "did not get ready" } else { "ended at once" };
                anyhow::bail!(
                    "the scheduler's own object storage at {} {what} ({status}); \
                     another one is set with --object-storage-address",
                    recipe.address
                )
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        // It had no time to take its socket away.
        if let Address::Ipc { path } = &self.address {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Passes the child's lines on to our own stdout, except the one that says that it is ready.
fn forward(lines: impl std::io::BufRead, ready: &mpsc::Sender<Address>) {
    for line in lines.lines().map_while(Result::ok) {
        let value: Option<serde_json::Value> =
            line.starts_with('{').then(|| serde_json::from_str(&line).ok()).flatten();
        let address = value.as_ref().filter(|value| value.get("ready").is_some());
        let address = address.and_then(|value| value.get("object_storage_address")).and_then(|value| value.as_str());
        match address.and_then(|text| text.parse().ok()) {
            Some(address) => drop(ready.send(address)),
            None => drop(writeln!(std::io::stdout(), "{line}")),
        }
    }
}

/// The thread's own state.
struct Helper {
    address: Address,
    child: Option<Running>,
    inbox: Receiver<Order>,
    client: Option<ObjectClient>,
    standing: Standing,
    teller: mpsc::Sender<News>,
    waker: Waker,
}

/// Whether the storage answers.
enum Standing {
    Answers,
    /// It does not, since then; that is not worth a word yet, since servers may start in any order.
    Missed(Instant),
    /// It does not, and that was said.
    Silent,
}

impl Helper {
    fn run(mut self) {
        loop {
            match self.inbox.recv_timeout(WATCH) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Order::Delete(objects)) => self.request(|client| client.delete(&objects).map(drop)),
                // Said once a second, so that its silence is noticed even when there is nothing to say.
                Ok(Order::Owners(owners)) if owners.is_empty() => self.request(|client| client.info().map(drop)),
                Ok(Order::Owners(owners)) => self.request(|client| client.owners(&owners)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.watch();
        }
    }

    fn request(&mut self, what: impl FnOnce(&mut ObjectClient) -> Result<(), ObjectError>) {
        let begun = Instant::now();
        let address = &self.address;
        let options = || ClientOptions { progress_timeout: ANSWER_MAX, ..ClientOptions::default() };
        let client = self.client.get_or_insert_with(|| ObjectClient::new(address.clone(), options()));
        match what(client) {
            Ok(()) => {
                if let Standing::Silent = std::mem::replace(&mut self.standing, Standing::Answers) {
                    tracing::info!("the object storage at {address} answers now");
                    self.tell(News::Answers);
                }
            }
            Err(error) => {
                self.client = None;
                let problem = match &error {
                    ObjectError::Io { source, .. } => source.to_string(),
                    other => other.to_string(),
                };
                self.missed(begun, &problem);
            }
        }
    }

    /// It did not answer a request that was begun then.
    fn missed(&mut self, begun: Instant, problem: &str) {
        match self.standing {
            Standing::Answers => self.standing = Standing::Missed(begun),
            Standing::Missed(_) | Standing::Silent => {}
        }
        if let Standing::Missed(since) = self.standing
            && since.elapsed() >= MISSED_MAX
        {
            self.standing = Standing::Silent;
            let address = &self.address;
            let remedy = match self.child {
                Some(_) => "it is the scheduler's own; see its lines above".to_owned(),
                None => format!(
                    "start one there with `scaler_object_storage_server {address}`, or leave --object-storage-address \
                     out and the scheduler starts its own"
                ),
            };
            tracing::warn!(
                "no object storage answers at {address}: {problem}; values above 64 KiB cannot be passed until one \
                 does: {remedy}"
            );
            self.tell(News::Silent(problem.to_owned()));
        }
    }

    fn tell(&self, news: News) {
        // A scheduler that ends does not listen any more.
        self.teller.send(news).ok();
        self.waker.wake();
    }

    /// Starts the child again if it has died.
    fn watch(&mut self) {
        let Some(running) = &mut self.child else { return };
        let Ok(Some(status)) = running.child.try_wait() else { return };
        tracing::error!("the object storage ended ({status}); its objects are lost, it is started again");
        let recipe = running.recipe.clone();
        let until = Instant::now() + RESTART;
        while Instant::now() < until {
            // A stop that comes meanwhile is not held up.
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.child = None;
                    return self.drain_to_stop();
                }
                _ => {}
            }
        }
        match Running::start(recipe) {
            Ok(running) => {
                if running.address != self.address {
                    self.address = running.address.clone();
                    self.tell(News::Moved(running.address.clone()));
                }
                self.client = None;
                self.child = Some(running);
            }
            Err(error) => tracing::error!("{error:#}"),
        }
    }

    /// Lets the loop see the stop that was taken from it.
    fn drain_to_stop(&mut self) {
        let (_, closed) = mpsc::sync_channel(0);
        self.inbox = closed;
    }
}
