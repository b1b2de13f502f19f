//! What names mean: functions that clients registered, identities that clusters announce, and their disagreements.

use std::collections::BTreeMap;

use crate::{
    capability::Capabilities,
    ids::{ClientId, FunctionId, PeerId, Time},
    message::{
        Changed, Define, Demand, FunctionInfo, Identity, Kind, Message, ModuleInfo, Parked, Register,
        RegisterErrorKind, RegisterFailed, RegisterModule, Registered,
    },
    policy,
    resolve::{self, ResolveError},
};

use super::{
    Effect, Note, Scheduler,
    monitor::Slot,
    stranded,
    view::{NAME_BYTES, clip},
};

/// While clusters disagree about a module, the former identity holds for so long.
pub(super) const HOLD_MS: u64 = 5_000;
/// Registrations that a client may have.
const REGISTRATIONS_MAX: usize = 4_096;
/// Modules that a client may bring.
const MODULES_MAX: usize = 256;

/// A function that tasks may name by its number.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) path: String,
    pub(super) identity: Identity,
    pub(super) info: FunctionInfo,
    /// The client whose module it is in; then its bytes are in the object storage.
    pub(super) owner: Option<ClientId>,
    /// Running mean of its results' lengths.
    pub(super) mean_result_bytes: u64,
    /// Its place in the totals, once it was called.
    pub(super) slot: Option<Slot>,
}

impl Function {
    /// What a cluster must have announced to run it.
    pub(super) fn needed_module(&self) -> Option<Identity> {
        self.owner.is_none().then(|| self.identity.clone())
    }

    /// What a cluster gets from the object storage to run it.
    pub(super) fn fetched_module(&self) -> Option<Identity> {
        self.owner.is_some().then(|| self.identity.clone())
    }

    /// As people write it.
    pub(super) fn call(&self) -> String {
        clip(&resolve::target_in(&self.path, &self.info), NAME_BYTES).to_owned()
    }

    pub(super) fn define(&self, function: FunctionId) -> Define {
        Define {
            function,
            identity: self.identity.clone(),
            path: self.path.clone(),
            info: self.info.clone(),
            stored: self.owner.is_some(),
        }
    }
}

type FunctionName = (Option<ClientId>, String, Identity, Option<String>, String);

/// All functions of this epoch. Numbers are never used again.
#[derive(Debug, Default)]
pub(super) struct Functions {
    all: BTreeMap<FunctionId, Function>,
    index: BTreeMap<FunctionName, FunctionId>,
    last: u32,
}

impl Functions {
    pub(super) fn get(&self, id: FunctionId) -> Option<&Function> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: FunctionId) -> Option<&mut Function> {
        self.all.get_mut(&id)
    }

    fn number(&mut self, owner: Option<ClientId>, path: &str, identity: &Identity, info: &FunctionInfo) -> FunctionId {
        let name = (owner, path.to_owned(), identity.clone(), info.interface.clone(), info.name.clone());
        if let Some(id) = self.index.get(&name) {
            return *id;
        }
        self.last += 1;
        let id = FunctionId(self.last);
        let (path, identity, info) = (path.to_owned(), identity.clone(), info.clone());
        self.all.insert(id, Function { path, identity, info, owner, mean_result_bytes: 0, slot: None });
        self.index.insert(name, id);
        id
    }

    pub(super) fn sample_result(&mut self, id: FunctionId, length: u64) {
        if let Some(function) = self.all.get_mut(&id) {
            function.mean_result_bytes = policy::mean(Some(function.mean_result_bytes), length);
        }
    }

    /// Forgets the functions of a client's own modules.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.all.retain(|_, function| function.owner != Some(client));
        self.index.retain(|(owner, ..), _| *owner != Some(client));
    }
}

/// What a client asked a name to mean.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) module: String,
    pub(super) function: String,
    capabilities: Capabilities,
    pub(super) state: RegistrationState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistrationState {
    /// No cluster can say yet; so many calls wait for it at the client.
    Parked { held: u64 },
    /// It means that.
    Found(FunctionId),
    /// It meant something once.
    Gone,
}

/// What the clusters' module paths say about one module path.
#[derive(Debug)]
pub(super) struct Name {
    /// What it means, also while clusters disagree at first.
    identity: Identity,
    /// Since when clusters disagree.
    pub(super) split: Option<Time>,
    /// The hold has ended, and everybody was told.
    pub(super) expired: bool,
}

/// The answer to a registration.
enum Finding {
    Found { path: String, identity: Identity, info: FunctionInfo, owner: Option<ClientId> },
    Park(String),
    Failed(RegisterErrorKind, String),
}

impl Scheduler {
    pub(super) fn register(
        &mut self,
        now: Time,
        (client, peer): (ClientId, PeerId),
        registers: Vec<Register>,
        out: &mut Vec<Effect>,
    ) {
        self.note_names(now, out);
        for Register { request, module, function, capabilities } in registers {
            let registration =
                Registration { module, function, capabilities, state: RegistrationState::Parked { held: 0 } };
            let Some(record) = self.clients.get_mut(&client) else { return };
            if record.registrations.len() >= REGISTRATIONS_MAX && !record.registrations.contains_key(&request) {
                let reason = format!("{client} has {REGISTRATIONS_MAX} registrations already; use those");
                self.peers.refuse(peer, Kind::Register as u16, reason);
                continue;
            }
            let finding = self.look_up(client, &registration);
            if let Finding::Park(reason) = &finding {
                self.peers.send(peer, Message::Parked(vec![Parked { request, reason: reason.clone() }]));
            }
            if let Some(record) = self.clients.get_mut(&client) {
                record.registrations.insert(request, registration);
            }
            self.answer(client, peer, request, finding);
        }
    }

    /// Why a registration that is parked is.
    pub(super) fn what_it_waits_for(&self, client: ClientId, registration: &Registration) -> String {
        match self.look_up(client, registration) {
            Finding::Park(reason) => reason,
            // It is answered in this turn.
            Finding::Found { .. } | Finding::Failed(..) => String::new(),
        }
    }

    pub(super) fn register_module(&mut self, client: ClientId, peer: PeerId, modules: Vec<RegisterModule>) {
        for RegisterModule { module, .. } in modules {
            let Some(record) = self.clients.get_mut(&client) else { return };
            match record.modules.iter().position(|known| known.path == module.path) {
                Some(known) => record.modules[known] = module,
                None if record.modules.len() < MODULES_MAX => record.modules.push(module),
                None => {
                    let reason = format!("{client} has registered {MODULES_MAX} modules already");
                    self.peers.refuse(peer, Kind::RegisterModule as u16, reason);
                }
            }
        }
        self.resolve_again = true;
    }

    pub(super) fn demand(&mut self, client: ClientId, demands: Vec<Demand>) {
        let Some(record) = self.clients.get_mut(&client) else { return };
        for Demand { request, held } in demands {
            if held == 0 {
                record.registrations.remove(&request);
            } else if let Some(registration) = record.registrations.get_mut(&request)
                && let RegistrationState::Parked { held: known } = &mut registration.state
            {
                *known = held;
            }
        }
    }

    /// Looks at every registration again, because clusters or modules changed.
    pub(super) fn resolve_all(&mut self, now: Time, out: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.resolve_again) {
            return;
        }
        self.note_names(now, out);
        let connected: Vec<_> =
            self.clients.iter().filter_map(|(id, client)| client.peer.map(|peer| (*id, peer))).collect();
        for (id, peer) in connected {
            let Some(client) = self.clients.get(&id) else { continue };
            let findings: Vec<_> = client
                .registrations
                .iter()
                .map(|(request, registration)| (*request, self.look_up(id, registration)))
                .collect();
            for (request, finding) in findings {
                self.answer(id, peer, request, finding);
            }
        }
    }

    /// Tells a client what its registration means now, if that is news.
    fn answer(&mut self, id: ClientId, peer: PeerId, request: u64, finding: Finding) {
        let known = self.clients.get(&id).and_then(|client| client.registrations.get(&request));
        let Some((before, capabilities)) = known.map(|known| (known.state, &known.capabilities)) else { return };
        let parked = matches!(before, RegistrationState::Parked { .. });
        let after = match finding {
            Finding::Park(_) => return,
            Finding::Found { path, identity, info, owner } => {
                let workers = self.workers_for(capabilities);
                let function = self.functions.number(owner, &path, &identity, &info);
                if before == RegistrationState::Found(function) {
                    return;
                }
                let registered = Registered { request, function, identity, path, info, workers };
                let message = if parked {
                    Message::Registered(vec![registered])
                } else {
                    let message = format!("module `{}` has changed", registered.path);
                    Message::Changed(vec![Changed { request, now: Some(registered), message }])
                };
                self.peers.send(peer, message);
                Some(RegistrationState::Found(function))
            }
            Finding::Failed(kind, message) if parked => {
                self.peers.send(peer, Message::RegisterFailed(vec![RegisterFailed { request, kind, message }]));
                None
            }
            Finding::Failed(..) if before == RegistrationState::Gone => return,
            Finding::Failed(_, message) => {
                self.peers.send(peer, Message::Changed(vec![Changed { request, now: None, message }]));
                Some(RegistrationState::Gone)
            }
        };
        let Some(client) = self.clients.get_mut(&id) else { return };
        match after {
            Some(state) => {
                if let Some(registration) = client.registrations.get_mut(&request) {
                    registration.state = state;
                }
            }
            None => drop(client.registrations.remove(&request)),
        }
    }

    fn workers_for(&self, capabilities: &Capabilities) -> u32 {
        let connected = self.clusters.values().filter(|cluster| cluster.peer.is_some() && !cluster.leaving);
        let count: usize = connected.map(|cluster| cluster.workers_that_offer(capabilities)).sum();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn look_up(&self, client: ClientId, registration: &Registration) -> Finding {
        let Registration { module, function, capabilities, .. } = registration;
        let own = self.clients.get(&client).map(|client| client.modules.as_slice()).unwrap_or_default();
        let found = |owner, (module, info): (&ModuleInfo, &FunctionInfo)| Finding::Found {
            path: module.path.clone(),
            identity: module.identity.clone(),
            info: info.clone(),
            owner,
        };
        let mut own_failure = None;
        match resolve::resolve(own.iter(), module, function) {
            Ok(pair) => return found(Some(client), pair),
            Err(error) if kind_of(&error) == RegisterErrorKind::Ambiguous => {
                return Finding::Failed(RegisterErrorKind::Ambiguous, error.to_string());
            }
            Err(error) if kind_of(&error) == RegisterErrorKind::UnknownFunction => own_failure = Some(error),
            Err(_) => {}
        }
        let connected = || self.clusters.values().filter(|cluster| cluster.peer.is_some() && !cluster.leaving);
        if connected().next().is_none() {
            return Finding::Park(stranded::no_cluster());
        }
        let allowed = || connected().filter(|cluster| cluster.offers_tags(capabilities));
        if allowed().next().is_none() {
            return Finding::Park(stranded::no_worker(capabilities));
        }
        let mut by_path: BTreeMap<&str, Vec<&ModuleInfo>> = BTreeMap::new();
        for info in allowed().filter(|cluster| cluster.is_ready()).flat_map(|cluster| cluster.modules.iter().flatten())
        {
            let same = by_path.entry(&info.path).or_default();
            if same.iter().all(|known| known.identity != info.identity) {
                same.push(info);
            }
        }
        let chosen = || {
            by_path.values().filter_map(|same| {
                let holds =
                    |info: &&&ModuleInfo| self.names.get(&info.path).is_some_and(|name| name.identity == info.identity);
                same.iter().find(holds).or(same.first()).copied()
            })
        };
        match resolve::resolve(chosen(), module, function) {
            // What the client brought along stands before what the clusters have, also where it lacks something.
            Ok((module, _))
                if own_failure.is_some() && own.iter().any(|own| resolve::same(&own.path, &module.path)) =>
            {
                let error = own_failure.map(|error| error.to_string()).unwrap_or_default();
                Finding::Failed(RegisterErrorKind::UnknownFunction, error)
            }
            Ok(pair) => {
                let same = by_path.get(pair.0.path.as_str()).map(Vec::as_slice).unwrap_or_default();
                let held =
                    self.names.get(&pair.0.path).is_some_and(|name| name.identity == pair.0.identity && !name.expired);
                if same.len() > 1 && !held {
                    return Finding::Failed(RegisterErrorKind::Conflict, self.disagreement(&pair.0.path));
                }
                found(None, pair)
            }
            Err(_) if allowed().any(|cluster| !cluster.is_ready()) => {
                Finding::Park("a cluster that may have it is still starting".to_owned())
            }
            Err(error) => {
                let is_there =
                    |info: &&&ModuleInfo| resolve::resolve(std::iter::once(**info), module, function).is_ok();
                if let (None, Some(info)) = (&own_failure, by_path.values().flatten().find(is_there)) {
                    let text = format!("not every version of it has `{function}`: {}", self.disagreement(&info.path));
                    return Finding::Failed(RegisterErrorKind::Conflict, text);
                }
                let of = match &own_failure {
                    None if !capabilities.is_empty() => format!(" (of the clusters that offer `{capabilities}`)"),
                    _ => String::new(),
                };
                // What the client brought along is among what there is.
                let all = || resolve::resolve(own.iter().chain(chosen()), module, function);
                let error = own_failure.or_else(|| all().err()).unwrap_or(error);
                Finding::Failed(kind_of(&error), format!("{error}{of}"))
            }
        }
    }

    /// Notes what the clusters' announcements make of every module path.
    fn note_names(&mut self, now: Time, out: &mut Vec<Effect>) {
        let mut announced: BTreeMap<&str, Vec<&Identity>> = BTreeMap::new();
        for info in self
            .clusters
            .values()
            .filter(|cluster| cluster.is_ready())
            .flat_map(|cluster| cluster.modules.iter().flatten())
        {
            let identities = announced.entry(&info.path).or_default();
            if !identities.contains(&&info.identity) {
                identities.push(&info.identity);
            }
        }
        self.names.retain(|path, _| announced.contains_key(path.as_str()));
        let mut split = Vec::new();
        for (path, identities) in announced {
            let first = identities[0];
            let name = self.names.entry(path.to_owned()).or_insert_with(|| Name {
                identity: first.clone(),
                split: None,
                expired: false,
            });
            if identities.len() == 1 {
                *name = Name { identity: first.clone(), split: None, expired: false };
            } else if name.split.is_none() {
                name.split = Some(now);
                self.alarm = Some(now);
                split.push(path.to_owned());
            }
        }
        out.extend(split.iter().map(|path| Effect::Note(Note::ModulesDiffer { message: self.disagreement(path) })));
    }

    /// Which cluster has which version of a module.
    fn disagreement(&self, path: &str) -> String {
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, cluster) in self.clusters.iter().filter(|(_, cluster)| cluster.is_ready()) {
            for info in cluster.modules.iter().flatten().filter(|info| info.path == path) {
                let version = match &info.identity.preload {
                    Some(preload) => format!("{} prepared by {preload}", info.identity.hash),
                    None => info.identity.hash.to_string(),
                };
                versions.entry(version).or_default().push(id.to_string());
            }
        }
        let versions: Vec<String> =
            versions.into_iter().map(|(version, clusters)| format!("{version} on {}", clusters.join(", "))).collect();
        format!(
            "clusters disagree about module `{path}`: {}; give them the same file and preload",
            versions.join(", and ")
        )
    }
}

fn kind_of(error: &ResolveError) -> RegisterErrorKind {
    match error {
        ResolveError::NoModule { .. } => RegisterErrorKind::UnknownModule,
        ResolveError::NoFunction { .. } => RegisterErrorKind::UnknownFunction,
        ResolveError::Ambiguous { .. } => RegisterErrorKind::Ambiguous,
    }
}
