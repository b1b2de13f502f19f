//! Functions as the connection's thread knows them: who waits for which, and which calls are held until it is found.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use scaler_proto::{
    call::Call,
    client::{ClientCore, Closed, Wanted},
    ids::FunctionId,
    message::{Changed, Parked, RegisterErrorKind, RegisterFailed, Registered, TaskStats},
};
use tokio::sync::oneshot;

use crate::{
    BoundArguments, Error, Function, Outermost, SubmitOptions,
    completion::{Cell, End, Watcher},
    function::Version,
    queue::{Queue, Target},
};

/// After so long whoever watches the program's log learns what a call waits for.
const NOTICE_AFTER: Duration = Duration::from_secs(2);

/// A call that can be submitted.
pub(crate) type ReadyCall = (BoundArguments, SubmitOptions, Arc<Cell>);

/// See [the module](self).
pub(crate) struct Registry {
    queue: Arc<Queue>,
    registrations: BTreeMap<u64, Registration>,
    by_target: BTreeMap<Target, u64>,
    requests: u64,
}

struct Registration {
    target: Target,
    function: Option<Function>,
    waiters: Vec<Waiter>,
    calls: Vec<HeldCall>,
    /// Why it is parked.
    reason: String,
    /// When to say so, unless it was said.
    notice_at: Option<Instant>,
}

struct Waiter {
    reply: oneshot::Sender<Result<Function, Error>>,
    deadline: Option<(Instant, Duration)>,
}

struct HeldCall {
    call: Call,
    options: SubmitOptions,
    cell: Arc<Cell>,
}

impl Registry {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, registrations: BTreeMap::new(), by_target: BTreeMap::new(), requests: 0 }
    }

    /// Somebody wants to know a function.
    pub(crate) fn register(
        &mut self,
        target: Target,
        deadline: Option<(Instant, Duration)>,
        reply: oneshot::Sender<Result<Function, Error>>,
        core: &mut ClientCore,
    ) {
        let (request, registration) = self.registration(target, core);
        if let Some(function) = &registration.function {
            // Who asked may have gone away.
            let _ = reply.send(Ok(function.clone()));
            return;
        }
        registration.waiters.push(Waiter { reply, deadline });
        core.demand(request, registration.demand());
    }

    /// A call by name: ready at once if its function is known, else held.
    pub(crate) fn call(
        &mut self,
        call: Call,
        options: SubmitOptions,
        cell: Arc<Cell>,
        core: &mut ClientCore,
        watchers: &mut Vec<Watcher>,
    ) -> Option<ReadyCall> {
        let target = Target {
            module: call.module.clone(),
            function: call.function.clone(),
            capabilities: options.capabilities.clone(),
        };
        let (request, registration) = self.registration(target, core);
        let held = HeldCall { call, options, cell };
        if let Some(function) = &registration.function {
            return held.bind(function, watchers);
        }
        registration.calls.push(held);
        core.demand(request, registration.demand());
        None
    }

    /// Takes a held call back.
    pub(crate) fn cancel(&mut self, number: u64, core: &mut ClientCore) -> Option<Arc<Cell>> {
        let (request, position) = self.registrations.iter().find_map(|(request, registration)| {
            Some((*request, registration.calls.iter().position(|held| held.cell.number == number)?))
        })?;
        let registration = self.registrations.get_mut(&request)?;
        let held = registration.calls.swap_remove(position);
        self.demand(request, core);
        Some(held.cell)
    }

    /// The registration, and the number that the scheduler of today gives the function that a call was bound for.
    /// `None` when that is another function now.
    pub(crate) fn current(&self, bound: &Version) -> Option<(u64, FunctionId)> {
        let registration = self.registrations.get(&bound.registration);
        let Some(current) = registration.and_then(|registration| registration.function.as_ref()) else {
            // The core says that it is not registered.
            return Some((bound.registration, bound.function));
        };
        let current = current.version();
        if bound.epoch == current.epoch {
            return Some((bound.registration, bound.function));
        }
        (bound.signature_bytes == current.signature_bytes).then_some((bound.registration, current.function))
    }

    /// Takes all held calls back.
    pub(crate) fn cancel_all(&mut self, core: &mut ClientCore) -> Vec<Arc<Cell>> {
        let requests: Vec<u64> = self.registrations.keys().copied().collect();
        let mut cells = Vec::new();
        for request in requests {
            let Some(registration) = self.registrations.get_mut(&request) else { continue };
            let before = cells.len();
            cells.extend(registration.calls.drain(..).map(|held| held.cell));
            if cells.len() > before {
                self.demand(request, core);
            }
        }
        cells
    }

    /// A function was found, again or for the first time. Gives the calls that waited for it.
    pub(crate) fn registered(
        &mut self,
        registered: Registered,
        epoch: u64,
        watchers: &mut Vec<Watcher>,
    ) -> Vec<ReadyCall> {
        let request = registered.request;
        let Some(registration) = self.registrations.get_mut(&request) else { return Vec::new() };
        let name: Arc<str> = format!("{}:{}", registration.target.module, registration.target.function).into();
        let version = match Version::new(name, epoch, registered) {
            Ok(version) => version,
            Err(error) => {
                let message = format!("the scheduler sent a signature that cannot be read: {error}");
                self.failed(RegisterFailed { request, kind: RegisterErrorKind::UnknownFunction, message }, watchers);
                return Vec::new();
            }
        };
        let function = match &registration.function {
            Some(function) => {
                function.replace(version);
                function.clone()
            }
            None => registration.function.insert(Function::new(version)).clone(),
        };
        registration.notice_at = None;
        for waiter in registration.waiters.drain(..) {
            let _ = waiter.reply.send(Ok(function.clone()));
        }
        registration.calls.drain(..).filter_map(|held| held.bind(&function, watchers)).collect()
    }

    pub(crate) fn failed(&mut self, failed: RegisterFailed, watchers: &mut Vec<Watcher>) {
        let Some(registration) = self.remove(failed.request) else { return };
        for waiter in registration.waiters {
            let _ = waiter.reply.send(Err(Error::not_registered(failed.kind, failed.message.clone())));
        }
        for held in registration.calls {
            let end = End::NotRegistered { kind: failed.kind, message: failed.message.clone() };
            watchers.extend(held.cell.finish(end, TaskStats::default()).0);
        }
    }

    pub(crate) fn parked(&mut self, parked: Parked) {
        if let Some(registration) = self.registrations.get_mut(&parked.request) {
            let Target { module, function, .. } = &registration.target;
            tracing::info!("{module}:{function} waits for a cluster: {}", parked.reason);
            registration.reason = parked.reason;
            registration.notice_at = Some(Instant::now() + NOTICE_AFTER);
        }
    }

    pub(crate) fn changed(&mut self, changed: Changed, epoch: u64) {
        let Some(registration) = self.registrations.get(&changed.request) else { return };
        let Some(function) = &registration.function else { return };
        match changed.now.map(|now| Version::new(function.name().into(), epoch, now)) {
            Some(Ok(version)) => {
                tracing::info!("{} has changed: {}", function.name(), changed.message);
                function.replace(version);
            }
            Some(Err(error)) => tracing::warn!("{}: a signature that cannot be read: {error}", function.name()),
            None => tracing::warn!("{} is gone: {}", function.name(), changed.message),
        }
    }

    /// Tells those whose time is over.
    pub(crate) fn expire(&mut self, now: Instant, core: &mut ClientCore) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let requests: Vec<u64> = self.registrations.keys().copied().collect();
        for request in requests {
            let Some(registration) = self.registrations.get_mut(&request) else { continue };
            let is_due = registration.notice_at.take_if(|notice_at| *notice_at <= now).is_some();
            if is_due && registration.demand() > 0 {
                let Target { module, function, .. } = &registration.target;
                tracing::warn!("{module}:{function} waits: {}", registration.reason);
            }
            let late = |waiter: &mut Waiter| waiter.deadline.is_some_and(|(deadline, _)| deadline <= now);
            let expired: Vec<Waiter> = registration.waiters.extract_if(.., late).collect();
            if expired.is_empty() {
                continue;
            }
            for Waiter { reply, deadline } in expired {
                let Target { module, function, .. } = &registration.target;
                let error = Error::NoCluster {
                    call: format!("{module}:{function}"),
                    waited: deadline.map(|(_, waited)| waited).unwrap_or_default(),
                    reason: registration.reason.clone(),
                };
                let _ = reply.send(Err(error));
            }
            self.demand(request, core);
        }
    }

    /// Forgets those who no longer wait for an answer.
    pub(crate) fn withdraw(&mut self, core: &mut ClientCore) {
        let requests: Vec<u64> = self.registrations.keys().copied().collect();
        for request in requests {
            let Some(registration) = self.registrations.get_mut(&request) else { continue };
            let before = registration.waiters.len();
            registration.waiters.retain(|waiter| !waiter.reply.is_closed());
            if registration.waiters.len() < before {
                self.demand(request, core);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let waiters = self.registrations.values().flat_map(|registration| &registration.waiters);
        let deadlines = waiters.filter_map(|waiter| waiter.deadline.map(|(deadline, _)| deadline));
        deadlines.chain(self.registrations.values().filter_map(|registration| registration.notice_at)).min()
    }

    /// The session is over. Gives the calls that are still held.
    pub(crate) fn close(&mut self, reason: &Closed) -> Vec<Arc<Cell>> {
        let mut cells = Vec::new();
        for (_, registration) in std::mem::take(&mut self.registrations) {
            for waiter in registration.waiters {
                let _ = waiter.reply.send(Err(self.queue.closed_error(reason.clone())));
            }
            cells.extend(registration.calls.into_iter().map(|held| held.cell));
        }
        cells
    }

    fn registration(&mut self, target: Target, core: &mut ClientCore) -> (u64, &mut Registration) {
        let request = *self.by_target.entry(target.clone()).or_insert_with(|| {
            self.requests += 1;
            core.register(Wanted {
                request: self.requests,
                module: target.module.clone(),
                function: target.function.clone(),
                capabilities: target.capabilities.clone(),
            });
            self.requests
        });
        let fresh = || Registration {
            target,
            function: None,
            waiters: Vec::new(),
            calls: Vec::new(),
            reason: "the scheduler has not answered".to_owned(),
            notice_at: None,
        };
        (request, self.registrations.entry(request).or_insert_with(fresh))
    }

    fn demand(&mut self, request: u64, core: &mut ClientCore) {
        let Some(registration) = self.registrations.get(&request) else { return };
        let demand = registration.demand();
        if registration.function.is_some() {
            return;
        }
        core.demand(request, demand);
        if demand == 0 {
            self.remove(request);
        }
    }

    fn remove(&mut self, request: u64) -> Option<Registration> {
        let registration = self.registrations.remove(&request)?;
        self.by_target.remove(&registration.target);
        Some(registration)
    }
}

impl Registration {
    fn demand(&self) -> u64 {
        (self.waiters.len() + self.calls.len()) as u64
    }
}

impl HeldCall {
    /// Binds the call, or ends it with the reason why that fails.
    fn bind(self, function: &Function, watchers: &mut Vec<Watcher>) -> Option<ReadyCall> {
        let version = function.version();
        self.cell.set_version(Arc::clone(&version));
        match version.signature.bind(&self.call.args, &self.call.kwargs) {
            Ok(bytes) => Some((BoundArguments { version, bytes, objects: Vec::new() }, self.options, self.cell)),
            Err(source) => {
                let end = End::Bind { function: function.name().to_owned(), source, outermost: Outermost::Other };
                watchers.extend(self.cell.finish(end, TaskStats::default()).0);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use scaler_module::Signature;
    use scaler_net::Waker;
    use scaler_proto::{
        capability::Capabilities,
        client::ClientConfig,
        ids::{ClientId, FunctionId, ModuleHash, Time},
        message::{FunctionInfo, Identity, Role},
    };

    use super::*;

    #[test]
    fn what_waited_and_was_found_is_not_told_of_afterwards() {
        let waker = Waker::new().expect("a waker");
        let queue = Arc::new(Queue::new(ClientId(1), "tcp://127.0.0.1:1".to_owned(), waker, false));
        let (mut registry, seconds) = (Registry::new(queue), 1_000);
        let config = ClientConfig {
            id: ClientId(1),
            name: String::new(),
            build: String::new(),
            role: Role::Client,
            connect_timeout_ms: seconds,
            timeout_ms: seconds,
            heartbeat_ms: seconds,
            profiling: false,
            stream_output: false,
        };
        let mut core = ClientCore::new(config, Time(0));
        let (reply, mut answer) = oneshot::channel();
        let target = Target { module: "m".to_owned(), function: "f".to_owned(), capabilities: Capabilities::none() };
        registry.register(target, None, reply, &mut core);
        let request = *registry.registrations.keys().next().expect("a registration");
        registry.parked(Parked { request, reason: "no cluster is connected".to_owned() });
        assert!(registry.next_deadline().is_some(), "it would be told");
        let signature = Signature { parameters: Vec::new(), result: None }.to_bytes();
        let registered = Registered {
            request,
            function: FunctionId(1),
            identity: Identity { hash: ModuleHash([1; 32]), preload: None },
            path: "m".to_owned(),
            info: FunctionInfo { interface: None, name: "f".to_owned(), signature },
            workers: 1,
        };
        registry.registered(registered, 1, &mut Vec::new());
        assert!(answer.try_recv().is_ok_and(|found| found.is_ok()));
        assert_eq!(registry.next_deadline(), None, "nothing waits");
    }
}
