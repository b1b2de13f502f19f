//! `[cluster.grants]`: what the operator lets tasks touch, as written in the file.

use std::{env, ffi::OsStr};

use scaler_sandbox::{DirectoryGrant, Grants};
use serde::Deserialize;

use super::load::Complaints;

/// The table as it stands in the file. Nothing is granted but the clock and random numbers unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantSettings {
    /// Environment variables: `NAME` passes the cluster's own on, `NAME=value` sets one.
    pub environment: Vec<String>,
    /// Hosts that tasks may connect to.
    pub network: Vec<String>,
    /// Clocks (`Instant` needs them).
    pub clock: bool,
    /// Random numbers (`HashMap` needs them).
    pub random: bool,
    /// `[[cluster.grants.directories]]`: folders of the host.
    pub directories: Vec<DirectoryGrant>,
}

impl Default for GrantSettings {
    fn default() -> Self {
        Self { environment: Vec::new(), network: Vec::new(), clock: true, random: true, directories: Vec::new() }
    }
}

impl GrantSettings {
    /// The grants for the sandbox. A variable that is passed on and not set is left out.
    #[must_use]
    pub fn resolve(&self) -> Grants {
        let environment = self.environment.iter().filter_map(|entry| match entry.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => Some((entry.clone(), env::var(OsStr::new(entry)).ok()?)),
        });
        Grants {
            environment: environment.collect(),
            directories: self.directories.clone(),
            network: self.network.clone(),
            clock: self.clock,
            random: self.random,
        }
    }

    pub(super) fn validate(&self, complain: &mut Complaints) {
        for entry in &self.environment {
            if entry.is_empty() || entry.starts_with('=') {
                complain.about("grants", format!("environment: `{entry}` has no name; write `NAME` or `NAME=value`"));
            }
        }
        for directory in &self.directories {
            let (host, guest) = (directory.host_path.display(), &directory.guest_path);
            if !directory.host_path.is_dir() {
                complain.about("grants", format!("directories: host_path `{host}` is not a folder; create it first"));
            }
            if guest.is_empty() {
                complain
                    .about("grants", format!("directories: guest_path of `{host}` is empty; name it as guests see it"));
            }
        }
    }
}
