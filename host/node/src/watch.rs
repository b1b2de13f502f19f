//! A watcher: a view of the cluster that is kept up to date by the scheduler's stream of changes.
//!
//! It blocks the thread that asks it, and nothing else: a watcher that is asked seldom is told less often. After a gap
//! or a loss it begins anew by itself; until the new picture is there, the old one stays and [`Watcher::stale_since`]
//! says how old it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use scaler_net::{Address, NetError};
use scaler_proto::{
    message::{Kind, Message, Refused, Role, Topic, Update, Watch},
    view::{Changes, View},
};

use crate::line::{Line, Said};

/// A cluster as people tell it from others: its host, and so much of its id without what all ids begin with.
pub(crate) fn cluster_name(host: &str, id: &str, id_chars: usize) -> String {
    let id: String = id.strip_prefix("cluster-").unwrap_or(id).chars().take(id_chars).collect();
    if host.is_empty() { id } else { format!("{host}/{id}") }
}

/// Of a cluster's id: enough to tell two on one host apart.
pub(crate) const ID_CHARS: usize = 4;

/// What workers are called, where several clusters may have one of the same name.
pub(crate) struct WorkerNames<'v> {
    shared: BTreeSet<&'v str>,
}

impl<'v> WorkerNames<'v> {
    /// Of the workers that are there, and of those that a line or a failure tells of.
    pub(crate) fn of(view: &'v View) -> Self {
        let workers = view.workers.iter().map(|worker| (worker.name.as_str(), worker.cluster.as_str()));
        let lines = view.logs.iter().map(|line| (line.worker.as_str(), line.cluster.as_str()));
        let failures = view.failures.iter().map(|task| (task.worker.as_str(), task.cluster.as_str()));
        let mut homes = BTreeMap::new();
        let is_elsewhere = |(name, cluster): &(&'v str, &'v str)| *homes.entry(*name).or_insert(*cluster) != *cluster;
        let shared = workers.chain(lines).chain(failures).filter(is_elsewhere).map(|(name, _)| name);
        Self { shared: shared.collect() }
    }

    /// A worker's name, with the beginning of its cluster's id if others have the same; `-` if there is none.
    pub(crate) fn show(&self, worker: &str, cluster: &str) -> String {
        match worker {
            "" => "-".to_owned(),
            _ if self.shared.contains(worker) => cluster_name(worker, cluster, ID_CHARS),
            _ => worker.to_owned(),
        }
    }
}

/// Even an idle scheduler with many watchers says something in this time; after it the connection is made anew.
const SILENCE: Duration = Duration::from_secs(20);

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No scheduler answered in time.
    #[error("no scheduler answered at {address} within {} s", timeout.as_secs_f64())]
    Unreachable {
        /// Where.
        address: Address,
        /// How long it was tried.
        timeout: Duration,
    },
    /// The scheduler does not want this watcher.
    #[error("the scheduler at {address} refused: {reason}")]
    Refused {
        /// Where.
        address: Address,
        /// Its words.
        reason: String,
    },
    /// An update that cannot be read.
    #[error("the scheduler at {address} sent an update that cannot be read: {source}; update the older program")]
    Update {
        /// Where.
        address: Address,
        /// What is wrong with it.
        source: rmp_serde::decode::Error,
    },
    /// The system refused something.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// What has just changed in the view.
#[derive(Debug, Default)]
pub struct News {
    /// The whole view is new (the first one, or after a gap or a loss); `changes` is empty then.
    pub is_snapshot: bool,
    /// What was applied to the view.
    pub changes: Changes,
}

/// See the module's documentation.
pub struct Watcher {
    address: Address,
    topics: Vec<Topic>,
    line: Line,
    view: View,
    /// A snapshot of which parts are missing.
    incoming: Option<View>,
    /// Of the last update; 0 while the next must be a snapshot.
    number: u64,
    /// When the view was brought up to date last.
    updated: Instant,
    is_live: bool,
    news: News,
}

impl Watcher {
    /// Connects to a scheduler, at its monitor address or its scheduler address, and waits for the first picture.
    ///
    /// # Errors
    /// When no scheduler answers in time, or it has too many watchers.
    pub fn connect(address: &Address, topics: &[Topic], timeout: Duration) -> Result<Self, WatchError> {
        let mut watcher = Self::dial(address, topics)?;
        let deadline = Instant::now() + timeout;
        while !watcher.is_live {
            if watcher.next(Some(deadline))?.is_none() && Instant::now() >= deadline {
                return Err(WatchError::Unreachable { address: address.clone(), timeout });
            }
        }
        Ok(watcher)
    }

    /// The same without waiting: the view is empty and stale until the first news.
    ///
    /// # Errors
    /// When the system refuses a socket.
    pub fn dial(address: &Address, topics: &[Topic]) -> Result<Self, WatchError> {
        Ok(Self {
            address: address.clone(),
            topics: topics.to_vec(),
            line: Line::dial(address, Role::Monitor, "watcher")?,
            view: View::default(),
            incoming: None,
            number: 0,
            updated: Instant::now(),
            is_live: false,
            news: News::default(),
        })
    }

    /// The view as it is known.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The view is what the scheduler said a moment ago.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Since when nothing is known, `None` while the view is live.
    #[must_use]
    pub fn stale_since(&self) -> Option<Instant> {
        (!self.is_live).then_some(self.updated)
    }

    /// Waits until the view changes. `None` when the deadline came first, or the connection was lost: then the view is
    /// stale, and the next news are a snapshot.
    ///
    /// # Errors
    /// When the scheduler refuses to be watched, or what it sends cannot be read. A loss is none.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Option<&News>, WatchError> {
        self.next_or(&[], deadline)
    }

    /// The same, but `None` also when one of these descriptors can be read.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_or(&mut self, fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> Result<Option<&News>, WatchError> {
        let mut is_over = false;
        loop {
            match self.line.next()? {
                Some(Said::Welcome) => self.begin(),
                Some(Said::Refused(reason)) => return Err(self.refused(reason)),
                Some(Said::Lost) => {
                    self.incoming = None;
                    if std::mem::replace(&mut self.is_live, false) {
                        return Ok(None);
                    }
                }
                Some(Said::Message(message)) => {
                    if self.take(message)? {
                        return Ok(Some(&self.news));
                    }
                }
                None => {
                    if is_over {
                        return Ok(None);
                    }
                    // What has arrived is only found by waiting, if only for no time.
                    let now = Instant::now();
                    is_over = deadline.is_some_and(|deadline| deadline <= now);
                    let silent = self.line.heard() + SILENCE;
                    if silent <= now && self.is_live {
                        self.line.redial();
                        continue;
                    }
                    let until =
                        if self.is_live { Some(deadline.map_or(silent, |at| at.min(silent))) } else { deadline };
                    if self.line.wait(fds, until)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Ends the connection in good order; a watcher that is dropped only breaks it.
    pub fn close(self) {
        self.line.close();
    }

    /// Asks for a snapshot.
    fn begin(&mut self) {
        self.number = 0;
        self.incoming = None;
        self.line.say(Message::Watch(vec![Watch { topics: self.topics.clone() }]));
    }

    fn refused(&self, reason: String) -> WatchError {
        WatchError::Refused { address: self.address.clone(), reason }
    }

    /// Whether the view is another one now.
    fn take(&mut self, message: Message) -> Result<bool, WatchError> {
        match message {
            Message::Update(updates) => {
                let mut is_news = false;
                for update in updates {
                    is_news |= self.update(update)?;
                }
                Ok(is_news)
            }
            Message::Refused(refusals) => {
                let is_final = |refused: &Refused| refused.kind == Kind::Watch as u16;
                match refusals.into_iter().find(is_final) {
                    Some(refused) => Err(self.refused(refused.reason)),
                    None => Ok(false),
                }
            }
            _ => Ok(false),
        }
    }

    fn update(&mut self, update: Update) -> Result<bool, WatchError> {
        if update.previous != self.number && update.previous != 0 {
            // What is still on its way belongs to the time before the last `Watch`.
            if self.number != 0 {
                self.begin();
            }
            return Ok(false);
        }
        let mut changes: Changes = rmp_serde::from_slice(&update.changes)
            .map_err(|source| WatchError::Update { address: self.address.clone(), source })?;
        changes.scheduler.map_addresses(|text| Address::text_seen_from(text, &self.address));
        self.number = update.number;
        if update.previous == 0 {
            self.incoming = Some(View::default());
        }
        match &mut self.incoming {
            Some(incoming) => {
                incoming.apply(changes);
                if update.more {
                    return Ok(false);
                }
                self.view = self.incoming.take().unwrap_or_default();
                self.news = News { is_snapshot: true, changes: Changes::default() };
            }
            None => {
                self.view.apply(changes.clone());
                self.news = News { is_snapshot: false, changes };
            }
        }
        self.updated = Instant::now();
        self.is_live = true;
        Ok(true)
    }
}
