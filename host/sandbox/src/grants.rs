//! What a task may touch outside its own memory: nothing that is not named here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the operator grants to every task of a cluster. The default is the clock and random numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Folders of the host.
    pub directories: Vec<DirectoryGrant>,
    /// Environment variables, with their values.
    pub environment: Vec<(String, String)>,
    /// Hosts that may be connected to: `name`, `address`, either with `:port`.
    pub network: Vec<String>,
    /// Wall clock and monotonic clock.
    pub clock: bool,
    /// Random numbers.
    pub random: bool,
}

/// One folder of the host that guests see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryGrant {
    /// Where it is.
    pub host_path: PathBuf,
    /// Under which name guests see it.
    pub guest_path: String,
    /// What they may do with it.
    #[serde(default)]
    pub access: Access,
}

/// What guests may do with a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List and read.
    #[default]
    ReadOnly,
    /// Create, write and delete as well.
    ReadWrite,
}

/// Why a grant cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// A folder that cannot be opened.
    #[error("granted directory `{}` cannot be opened: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Default for Grants {
    fn default() -> Self {
        Self { directories: Vec::new(), environment: Vec::new(), network: Vec::new(), clock: true, random: true }
    }
}

impl Grants {
    /// Opens the folders, once a processor.
    ///
    /// # Errors
    /// A folder does not exist or cannot be opened, or a network entry makes no sense.
    pub fn open(&self) -> Result<OpenGrants, GrantError> {
        todo!()
    }
}

/// Grants with their folders open; share it with an `Arc`.
pub struct OpenGrants {}
