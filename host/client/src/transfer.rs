//! Threads that move large values to and from the object storage, and do other slow work, beside the connection.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use scaler_net::{
    Address,
    objects::{ClientOptions, ObjectClient, RESTART_TIMEOUT},
};
use scaler_proto::ids::{ClientId, ObjectId};

/// Most transfers at once; each holds one value and one connection.
const THREADS_MAX: usize = 4;
/// How long a transfer waits for the scheduler to name the storage.
const ADDRESS_WAIT: Duration = Duration::from_secs(10);
/// A stored result was put before its task was reported as done, so it is there, or it is lost.
const GET_WAIT: Duration = Duration::from_secs(2);

type Done<T> = Box<dyn FnOnce(Result<T, String>) + Send>;

enum Job {
    Put { id: ObjectId, bytes: Arc<Vec<u8>>, done: Done<()> },
    Get { id: ObjectId, length: u64, done: Done<Vec<u8>> },
    Run(Box<dyn FnOnce() + Send>),
}

/// See [the module](self).
pub(crate) struct Transfer {
    shared: Arc<Shared>,
}

struct Shared {
    owner: ClientId,
    state: Mutex<State>,
    changed: Condvar,
    /// Most bytes that the storage takes, as far as it has said.
    budget_bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    address: Option<Address>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfer {
    pub(crate) fn new(owner: ClientId) -> Self {
        let budget_bytes = AtomicU64::new(u64::MAX);
        Self { shared: Arc::new(Shared { owner, state: Mutex::default(), changed: Condvar::new(), budget_bytes }) }
    }

    /// Most bytes that the storage takes, known with the first value that was fetched.
    pub(crate) fn budget_bytes(&self) -> u64 {
        self.shared.budget_bytes.load(Ordering::Relaxed)
    }

    /// Where the storage is from now on.
    pub(crate) fn set_address(&self, address: Address) {
        self.shared.lock().address = Some(address);
        self.shared.changed.notify_all();
    }

    /// Stores a value. `done` is called on one of the threads.
    pub(crate) fn put(
        &self,
        id: ObjectId,
        bytes: Arc<Vec<u8>>,
        done: impl FnOnce(Result<(), String>) + Send + 'static,
    ) {
        self.start(Job::Put { id, bytes, done: Box::new(done) });
    }

    /// Fetches a value. `done` is called on one of the threads.
    pub(crate) fn get(&self, id: ObjectId, length: u64, done: impl FnOnce(Result<Vec<u8>, String>) + Send + 'static) {
        self.start(Job::Get { id, length, done: Box::new(done) });
    }

    /// Does something slow.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        self.start(Job::Run(Box::new(work)));
    }

    /// Ends the threads when they have nothing left to do; later work fails at once.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }

    fn start(&self, job: Job) {
        let mut state = self.shared.lock();
        if state.closed {
            drop(state);
            return job.fail("the client is disconnected");
        }
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() || state.threads >= THREADS_MAX {
            drop(state);
            self.shared.changed.notify_all();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name("scaler-transfer".to_owned()).spawn(move || work(&shared));
        if let Err(error) = spawned {
            let mut state = self.shared.lock();
            state.threads -= 1;
            if state.threads == 0 {
                let jobs = std::mem::take(&mut state.jobs);
                drop(state);
                jobs.into_iter().for_each(|job| job.fail(&format!("cannot start a thread for transfers: {error}")));
            }
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Job {
    fn fail(self, reason: &str) {
        match self {
            Self::Put { done, .. } => done(Err(reason.to_owned())),
            Self::Get { done, .. } => done(Err(reason.to_owned())),
            Self::Run(work) => work(),
        }
    }
}

fn work(shared: &Shared) {
    let mut client: Option<ObjectClient> = None;
    loop {
        let mut state = shared.lock();
        let job = loop {
            if let Some(job) = state.jobs.pop_front() {
                break job;
            }
            if state.closed {
                return;
            }
            state.idle += 1;
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        };
        drop(state);
        if let Job::Run(work) = job {
            work();
            continue;
        }
        let Some(address) = wait_for_address(shared) else {
            job.fail("the scheduler has named no object storage; is it running?");
            continue;
        };
        let client = match &mut client {
            Some(client) if *client.address() == address => client,
            other => {
                // Its scheduler starts a storage that ended again; what can wait for that waits.
                let options = ClientOptions { restart_timeout: RESTART_TIMEOUT, ..ClientOptions::default() };
                let client = other.insert(ObjectClient::new(address, options));
                // Whoever fetches has results there, and is to leave room for others.
                if let (Job::Get { .. }, Ok(info)) = (&job, client.info()) {
                    shared.budget_bytes.store(info.budget_bytes, Ordering::Relaxed);
                }
                client
            }
        };
        match job {
            Job::Put { id, bytes, done } => {
                done(client.put(id, shared.owner, &bytes).map_err(|error| error.to_string()));
            }
            Job::Get { id, length, done } => done(match client.get(id, GET_WAIT) {
                Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
                Ok(bytes) => Err(format!("it has {} bytes instead of {length}", bytes.len())),
                Err(error) => Err(error.to_string()),
            }),
            Job::Run(work) => work(),
        }
    }
}

fn wait_for_address(shared: &Shared) -> Option<Address> {
    let deadline = Instant::now() + ADDRESS_WAIT;
    let mut state = shared.lock();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if state.address.is_some() || state.closed || left.is_zero() {
            return state.address.clone();
        }
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}
