//! The modules of the module path, on a thread of its own: found, read, compiled, preloaded, and looked at again.
//!
//! New bytes are preloaded before they are announced; if that fails, the old ones stay and the log says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
    time::{Duration, SystemTime},
};

use scaler_module::{DottedName, Module, module_name};
use scaler_net::{
    Address, Waker,
    objects::{ClientOptions, ObjectClient},
};
use scaler_proto::{
    call::Call,
    ids::ObjectId,
    message::{Define, Failure, FailureKind, Identity, ModuleInfo},
};

use super::workshop::{Prepared, Workshop, bind_preload, read_registered, text_of};
use crate::{compiler::MODULE_BYTES_MAX, processor::records::failure};

/// How often the module path is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Folders within folders.
const DEPTH_MAX: usize = 16;
/// How long a registered module is waited for that its client is still putting.
const MODULE_WAIT: Duration = Duration::from_secs(60);

/// What the thread tells the agent.
pub(super) enum News {
    /// No scheduler answers, and perhaps it is known why. This comes from another thread.
    Unanswered(Option<String>),
    /// The modules of the module path, complete.
    Modules(Vec<(ModuleInfo, Prepared)>),
    /// The preload failed before anything was announced.
    PreloadFailed(String),
    /// A registered module.
    Registered(Identity, Result<Prepared, Failure>),
}

/// Where news go: into the channel, and the agent is woken.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) sender: Sender<News>,
    pub(super) waker: Waker,
}

impl Desk {
    pub(super) fn say(&self, news: News) -> bool {
        let is_heard = self.sender.send(news).is_ok();
        self.waker.wake();
        is_heard
    }
}

/// A file as it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

struct Entry {
    stamp: Stamp,
    /// The last bytes that were good.
    module: Option<(ModuleInfo, Prepared)>,
}

/// A component that was read and not prepared yet.
struct Fresh {
    path: String,
    bytes: Vec<u8>,
    module: Module,
}

/// See the module's documentation.
pub(super) struct Catalogue {
    root: PathBuf,
    workshop: Arc<Workshop>,
    preload: Option<Call>,
    /// The module that the preload prepares, once it is known.
    prepared_path: Option<String>,
    entries: BTreeMap<String, Entry>,
    is_missing: bool,
    /// Files with names that no call can have, of which the log has told.
    told: BTreeSet<PathBuf>,
}

/// What lies in a module path.
#[derive(Default)]
struct Found {
    /// Components, named by their dotted path.
    modules: Vec<(String, PathBuf)>,
    /// Files that would be such if their names had no dots.
    dotted: Vec<DottedName>,
}

impl Catalogue {
    pub(super) fn new(root: PathBuf, workshop: Arc<Workshop>, preload: Option<Call>) -> Self {
        let (entries, told) = (BTreeMap::new(), BTreeSet::new());
        Self { root, workshop, preload, prepared_path: None, entries, is_missing: false, told }
    }

    /// Runs until nobody listens any more.
    pub(super) fn watch(mut self, desk: &Desk) {
        let fresh = self.look();
        if let Err(reason) = self.first(fresh) {
            desk.say(News::PreloadFailed(reason));
            return;
        }
        while desk.say(News::Modules(self.modules())) {
            loop {
                std::thread::sleep(LOOK_AGAIN);
                let before = self.entries.len();
                let fresh = self.look();
                if !fresh.is_empty() || self.entries.len() != before {
                    fresh.into_iter().for_each(|fresh| self.renew(fresh));
                    break;
                }
            }
        }
    }

    fn modules(&self) -> Vec<(ModuleInfo, Prepared)> {
        self.entries.values().filter_map(|entry| entry.module.clone()).collect()
    }

    /// Prepares everything for the first time. The preload decides whether the cluster starts at all.
    fn first(&mut self, fresh: Vec<Fresh>) -> Result<(), String> {
        let infos: Vec<ModuleInfo> = fresh.iter().map(|fresh| fresh.module.info(&fresh.path, None)).collect();
        let mut bound = None;
        if let Some(call) = &self.preload {
            let (args, kwargs) =
                (list(call.args.iter()), list(call.kwargs.iter().map(|(name, value)| format!("{name}={value}"))));
            tracing::info!("preloading: {}:{} with args=[{args}] kwargs=[{kwargs}]", call.module, call.function);
            let (module, preload) = bind_preload(call, infos.iter())?;
            self.prepared_path = Some(module.path.clone());
            bound = Some(preload);
        }
        for fresh in fresh {
            let is_target = Some(&fresh.path) == self.prepared_path.as_ref();
            let preload = bound.as_ref().filter(|_| is_target);
            match self.workshop.prepare(&fresh.path, &fresh.bytes, fresh.module.hash, preload) {
                Ok(prepared) => self.keep(&fresh, preload.map(|preload| preload.text.clone()), prepared),
                Err(failure) if is_target => return Err(text_of(&failure)),
                Err(failure) => tracing::error!("module `{}` is left out: {}", fresh.path, text_of(&failure)),
            }
        }
        Ok(())
    }

    /// Prepares bytes that changed while the cluster runs.
    fn renew(&mut self, fresh: Fresh) {
        let is_target = Some(&fresh.path) == self.prepared_path.as_ref();
        match self.prepare_again(&fresh, is_target) {
            Ok((preload, prepared)) => {
                tracing::info!("module `{}` is now {}", fresh.path, fresh.module.hash);
                self.keep(&fresh, preload, prepared);
            }
            Err(reason) => {
                let has_old = self.entries.get(&fresh.path).is_some_and(|entry| entry.module.is_some());
                let rest = if has_old { "the old bytes stay" } else { "it is left out" };
                tracing::error!("module `{}` changed, but {rest}: {reason}", fresh.path);
            }
        }
    }

    fn prepare_again(&self, fresh: &Fresh, is_target: bool) -> Result<(Option<String>, Prepared), String> {
        let info = fresh.module.info(&fresh.path, None);
        let bound = match &self.preload {
            Some(call) if is_target => Some(bind_preload(call, std::iter::once(&info))?.1),
            _ => None,
        };
        let prepared = self
            .workshop
            .prepare(&fresh.path, &fresh.bytes, fresh.module.hash, bound.as_ref())
            .and_then(|prepared| self.workshop.try_preload(&prepared).map(|()| prepared))
            .map_err(|failure| text_of(&failure))?;
        Ok((bound.map(|bound| bound.text), prepared))
    }

    fn keep(&mut self, fresh: &Fresh, preload: Option<String>, prepared: Prepared) {
        if let Some(entry) = self.entries.get_mut(&fresh.path) {
            entry.module = Some((fresh.module.info(&fresh.path, preload), prepared));
        }
    }

    /// Walks the module path and reads what is new or changed. What is gone is forgotten.
    fn look(&mut self) -> Vec<Fresh> {
        let mut found = Found::default();
        match walk(&self.root, &mut String::new(), 0, &mut found) {
            Ok(()) => self.is_missing = false,
            Err(_) if self.is_missing => {}
            Err(error) => {
                self.is_missing = true;
                let root = self.root.display();
                tracing::warn!("module_path `{root}`: {error}; it counts as empty and is looked at again");
            }
        }
        let Found { modules: mut found, dotted } = found;
        self.tell_dotted(&dotted);
        self.entries.retain(|path, _| {
            let is_there = found.iter().any(|(name, _)| name == path);
            if !is_there {
                tracing::info!("module `{path}` is not in the module path any more");
            }
            is_there
        });
        found.sort();
        found.into_iter().filter_map(|(path, file)| self.read(path, &file)).collect()
    }

    /// Says of each file once that it is left out for its name.
    fn tell_dotted(&mut self, dotted: &[DottedName]) {
        for dotted in dotted {
            if self.told.insert(dotted.file.clone()) {
                tracing::warn!("left out: {dotted}");
            }
        }
        self.told.retain(|file| dotted.iter().any(|dotted| dotted.file == *file));
    }

    fn read(&mut self, path: String, file: &Path) -> Option<Fresh> {
        let metadata = fs::metadata(file).ok()?;
        let stamp = Stamp { modified: metadata.modified().ok(), length: metadata.len() };
        if self.entries.get(&path).is_some_and(|entry| entry.stamp == stamp) {
            return None;
        }
        let known = self.entries.entry(path.clone()).or_insert(Entry { stamp, module: None });
        known.stamp = stamp;
        let shown = file.display();
        if stamp.length > MODULE_BYTES_MAX {
            tracing::error!(
                "`{shown}` is left out: {} bytes are more than the {MODULE_BYTES_MAX} of a module",
                stamp.length
            );
            return None;
        }
        let read = fs::read(file).map_err(|error| error.to_string());
        let read = read.and_then(|bytes| {
            let module = Module::read(&bytes).map_err(|error| error.to_string())?;
            Ok((bytes, module))
        });
        match read {
            // The same bytes with another date.
            Ok((_, module)) if known.module.as_ref().is_some_and(|(info, _)| info.identity.hash == module.hash) => None,
            Ok((bytes, module)) => {
                for function in &module.uncallable {
                    tracing::debug!("`{path}`: `{}` cannot be called: {}", function.name, function.reason);
                }
                Some(Fresh { path, bytes, module })
            }
            Err(reason) => {
                let rest = if known.module.is_some() { "the old bytes stay" } else { "it is left out" };
                tracing::error!("`{shown}` is no module, so {rest}: {reason}");
                None
            }
        }
    }
}

/// Finds the components under a folder.
fn walk(folder: &Path, prefix: &mut String, depth: usize, found: &mut Found) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let length = prefix.len();
        if path.is_dir() {
            if depth < DEPTH_MAX && !name.contains('.') {
                prefix.push_str(name);
                prefix.push('.');
                if let Err(error) = walk(&path, prefix, depth + 1, found) {
                    tracing::debug!("`{}` cannot be listed: {error}", path.display());
                }
            }
        } else if let Some(stem) = name.strip_suffix(".wasm").filter(|stem| !stem.is_empty()) {
            match module_name(&path) {
                Ok(_) => found.modules.push((format!("{prefix}{stem}"), path.clone())),
                Err(dotted) => found.dotted.push(dotted),
            }
        }
        prefix.truncate(length);
    }
    Ok(())
}

/// All modules of a folder, only read, and the files that would be some under other names; for `scaler run`.
pub(super) fn read_all(root: &Path) -> (Vec<(ModuleInfo, PathBuf)>, Vec<DottedName>) {
    let mut found = Found::default();
    if let Err(error) = walk(root, &mut String::new(), 0, &mut found) {
        tracing::warn!("module_path `{}`: {error}; it counts as empty", root.display());
    }
    let Found { modules: mut found, mut dotted } = found;
    found.sort();
    dotted.sort_by(|one, other| one.file.cmp(&other.file));
    let read = |(path, file): (String, PathBuf)| match fs::read(&file)
        .map_err(|error| error.to_string())
        .and_then(|bytes| Module::read(&bytes).map_err(|error| error.to_string()))
    {
        Ok(module) => Some((module.info(path, None), file)),
        Err(reason) => {
            tracing::warn!("`{}` is no module and is left out: {reason}", file.display());
            None
        }
    };
    (found.into_iter().filter_map(read).collect(), dotted)
}

/// Fetches and prepares a module that a client registered, on a thread of its own.
pub(super) fn fetch(define: Define, storage: Option<Address>, workshop: Arc<Workshop>, desk: Desk) {
    let identity = define.identity.clone();
    let work = {
        let desk = desk.clone();
        move || {
            let result = fetched(&define, storage, &workshop);
            desk.say(News::Registered(define.identity, result));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("module".to_owned()).spawn(work) {
        let failure = failure(FailureKind::Internal, format!("starting a thread: {error}"));
        desk.say(News::Registered(identity, Err(failure)));
    }
}

fn fetched(define: &Define, storage: Option<Address>, workshop: &Workshop) -> Result<Prepared, Failure> {
    let hash = define.identity.hash;
    let storage = storage.ok_or_else(|| {
        failure(FailureKind::ObjectLost, "the scheduler has no object storage to get the module from")
    })?;
    let bytes = ObjectClient::new(storage, ClientOptions::default())
        .get(ObjectId::module(hash), MODULE_WAIT)
        .map_err(|error| failure(FailureKind::ObjectLost, format!("module `{}`: {error}", define.path)))?;
    if blake3::hash(&bytes).as_bytes() != &hash.0 {
        let text = format!("module `{}`: the bytes in the object storage are not those of {hash}", define.path);
        return Err(failure(FailureKind::Module, text));
    }
    if bytes.len() as u64 > MODULE_BYTES_MAX {
        let text = format!("module `{}` has {} bytes, more than a module may have", define.path, bytes.len());
        return Err(failure(FailureKind::Module, text));
    }
    let preload = read_registered(&bytes, &define.path, define.identity.preload.as_deref())?;
    let prepared = workshop.prepare(&define.path, &bytes, hash, preload.as_ref()).map_err(|failure| Failure {
        kind: if preload.is_some() && failure.kind != FailureKind::Module {
            FailureKind::Preload
        } else {
            failure.kind
        },
        message: format!("module `{}`: {}", define.path, failure.message),
        ..failure
    })?;
    workshop.try_preload(&prepared)?;
    Ok(prepared)
}

fn list(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
