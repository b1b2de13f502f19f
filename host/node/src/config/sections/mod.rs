//! The settings of the commands: one struct a command, each option declared once.
//!
//! The documentation of a field is its help text and its row in the README; its clap default is the only default; its
//! name is the TOML key. An alias without a hyphen is a short flag of the original (`-osa`), one with a hyphen another
//! name of flag and key, see [`super::argv`].

mod cluster;
mod logging;
mod object_storage;
mod original;
mod scheduler;
mod top;
mod webui;

pub use cluster::{ClusterSettings, Isolation};
pub use logging::{LoggingLevel, LoggingSettings};
pub use object_storage::ObjectStorageSettings;
pub use original::{EventLoop, PolicyContent, PolicyEngine, PolicyError, Scaling, ScalingStrategy};
pub use scheduler::{AllocatePolicy, SchedulerSettings};
pub use top::TopSettings;
pub use webui::WebUiSettings;

use std::{any::TypeId, ffi::OsString};

use clap::{Arg, Command};
use scaler_proto::nearest::nearest;

use super::{
    effective::Effective,
    file::{Document, File},
    given::Givens,
    load::{Section, command, keys, layer, typed},
    mistake::Mistake,
    ports,
    values::{NotWhole, only},
};

/// More threads of libzmq only wait for each other.
const IO_THREADS_MAX: u32 = 64;

fn io_threads(instead: &str) -> impl Fn(&str) -> Result<u32, NotWhole> + Clone + Send + Sync + 'static + use<> {
    let range = format!("1 to {IO_THREADS_MAX}, and rather start more {instead}");
    only(|threads| (1..=IO_THREADS_MAX).contains(&threads), range)
}

/// One command and its section, without the type of its settings.
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    pub(super) command: fn() -> Command,
    pub(super) file_only: &'static [&'static str],
    /// What its command line gives; the first word is the program's name.
    pub(super) typed: fn(Vec<OsString>) -> Result<Givens, clap::Error>,
    /// What a file gives for it, under what was typed.
    pub(super) check: fn(&File, &Document<'_>, Givens) -> Checked,
    keys: fn() -> Vec<String>,
}

/// What a file gives for one command.
pub(super) struct Checked {
    pub(super) effective: Vec<Effective>,
    pub(super) mistakes: Vec<Mistake>,
    /// Mistakes, unless `scaler up` puts the servers' own addresses in their place.
    pub(super) nowhere: Vec<Mistake>,
    pub(super) notices: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// All commands that take settings, in the order in which they are documented.
pub(super) fn all() -> [Described; 5] {
    fn described<T: Section>() -> Described {
        Described {
            name: T::NAME,
            program: T::COMMAND,
            command: command::<T>,
            file_only: T::FILE_ONLY,
            typed: |arguments| typed::<T>(&mut command::<T>(), arguments),
            check: |file, document, typed| {
                let layered = layer::<T>(&command::<T>(), Some(file), document, typed);
                let (effective, mistakes) = (layered.effective, layered.mistakes);
                let nowhere = ports::nowhere::<T>(&effective);
                let told = layered.settings.map(|settings| (settings.notices(), settings.warnings()));
                let (notices, warnings) = told.unwrap_or_default();
                Checked { effective, mistakes, nowhere, notices, warnings }
            },
            keys: || keys::<T>(&command::<T>()).into_iter().map(str::to_owned).collect(),
        }
    }
    [
        described::<SchedulerSettings>(),
        described::<ClusterSettings>(),
        described::<ObjectStorageSettings>(),
        described::<WebUiSettings>(),
        described::<TopSettings>(),
    ]
}

/// The programs with their command lines, as `-h` shows them.
#[must_use]
pub fn commands() -> Vec<(&'static str, Command)> {
    all().iter().map(|section| (section.program, (section.command)())).collect()
}

/// The values that an option may have, where these are a few words.
#[must_use]
pub fn words_of(arg: &Arg) -> Option<&'static [&'static str]> {
    let kind = arg.get_value_parser().type_id();
    let all = [
        (TypeId::of::<bool>(), ["true", "false"].as_slice()),
        (TypeId::of::<AllocatePolicy>(), AllocatePolicy::WORDS),
        (TypeId::of::<EventLoop>(), EventLoop::WORDS),
        (TypeId::of::<Isolation>(), Isolation::WORDS),
        (TypeId::of::<LoggingLevel>(), LoggingLevel::WORDS),
        (TypeId::of::<PolicyEngine>(), PolicyEngine::WORDS),
        (TypeId::of::<ScalingStrategy>(), ScalingStrategy::WORDS),
    ];
    all.into_iter().find(|(known, _)| kind == *known).map(|(_, words)| words)
}

/// The section that has such a key, if only one has.
pub(super) fn owner_of(key: &str) -> Option<&'static str> {
    match owners_of(key)[..] {
        [owner] => Some(owner),
        _ => None,
    }
}

/// The sections that have such a key.
pub(super) fn owners_of(key: &str) -> Vec<&'static str> {
    all()
        .iter()
        .filter(|section| (section.keys)().iter().any(|known| known == key))
        .map(|section| section.name)
        .collect()
}

/// The key of any section that is nearest to this one, with the first section that has it.
pub(super) fn nearest_key(key: &str) -> Option<(String, &'static str)> {
    let all = all().map(|section| ((section.keys)(), section.name));
    let found = nearest(key, all.iter().flat_map(|(keys, _)| keys).map(String::as_str))?;
    all.iter().find(|(keys, _)| keys.iter().any(|known| known == found)).map(|(_, name)| (found.to_owned(), *name))
}
