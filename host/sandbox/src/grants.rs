//! What a task may touch outside its own memory: nothing that is not named here.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::fs::Dir;
use scaler_proto::message::FailureKind;
use serde::{Deserialize, Serialize};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::Fault;

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
    /// Two folders under one name.
    #[error("two granted directories have the guest path `{guest_path}`; give each its own")]
    SamePath {
        /// The name.
        guest_path: String,
    },
    /// An entry that names no host.
    #[error("granted network host `{entry}` is not `name`, `address`, or either with `:port`")]
    Host {
        /// The entry.
        entry: String,
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
        let mut directories: Vec<OpenDirectory> = Vec::with_capacity(self.directories.len());
        for grant in &self.directories {
            if directories.iter().any(|directory| directory.guest_path == grant.guest_path) {
                return Err(GrantError::SamePath { guest_path: grant.guest_path.clone() });
            }
            let dir = Dir::open_ambient_dir(&grant.host_path, cap_std::ambient_authority())
                .map_err(|source| GrantError::Directory { path: grant.host_path.clone(), source })?;
            let permissions = match grant.access {
                Access::ReadOnly => FsPerms::ReadOnly,
                Access::ReadWrite => FsPerms::ReadWrite,
            };
            directories.push(OpenDirectory { dir, guest_path: grant.guest_path.clone(), permissions });
        }
        let network = self.network.iter().map(|entry| Host::parse(entry)).collect::<Result<Vec<_>, _>>()?;
        Ok(OpenGrants { grants: self.clone(), directories, network: network.into() })
    }
}

/// Grants with their folders open; share it with an `Arc`.
pub struct OpenGrants {
    grants: Grants,
    directories: Vec<OpenDirectory>,
    network: Arc<[Host]>,
}

struct OpenDirectory {
    dir: Dir,
    guest_path: String,
    permissions: FsPerms,
}

impl OpenGrants {
    pub(crate) fn clock(&self) -> bool {
        self.grants.clock
    }

    pub(crate) fn random(&self) -> bool {
        self.grants.random
    }

    pub(crate) fn has_directories(&self) -> bool {
        !self.directories.is_empty()
    }

    pub(crate) fn directories(&self) -> usize {
        self.directories.len()
    }

    pub(crate) fn has_network(&self) -> bool {
        !self.network.is_empty()
    }

    /// Binds a task's WASI to what is granted.
    pub(crate) fn give(&self, builder: &mut WasiCtxBuilder) -> Result<(), Fault> {
        builder.envs(&self.grants.environment);
        for directory in &self.directories {
            // Through the open handle: a folder that is renamed or replaced meanwhile changes nothing.
            let path = format!("/proc/self/fd/{}", directory.dir.as_raw_fd());
            builder.preopened_dir(path, &directory.guest_path, directory.permissions).map_err(|error| {
                let path = &directory.guest_path;
                Fault::new(FailureKind::Internal, format!("granted directory `{path}` is gone: {error:#}"))
            })?;
        }
        let network = Arc::clone(&self.network);
        builder.allow_ip_name_lookup(self.has_network());
        builder.socket_addr_check(move |address, purpose| {
            let network = Arc::clone(&network);
            Box::pin(async move {
                match purpose {
                    // A socket of its own, which nobody can connect to.
                    SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                        !network.is_empty() && address.port() == 0 && address.ip().is_unspecified()
                    }
                    SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
                    _ => is_granted(&network, address).await,
                }
            })
        });
        Ok(())
    }
}

/// One entry of the network grant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    fn parse(entry: &str) -> Result<Self, GrantError> {
        let bad = || GrantError::Host { entry: entry.to_owned() };
        let (name, port) = if let Some(rest) = entry.strip_prefix('[') {
            // `[::1]:80`
            let (name, rest) = rest.split_once(']').ok_or_else(bad)?;
            (name, rest.strip_prefix(':'))
        } else if entry.parse::<IpAddr>().is_ok() {
            (entry, None)
        } else {
            entry.split_once(':').map_or((entry, None), |(name, port)| (name, Some(port)))
        };
        if name.is_empty() || name.contains(['/', ' ', ':']) && name.parse::<IpAddr>().is_err() {
            return Err(bad());
        }
        let port = port.map(|port| port.parse().map_err(|_| bad())).transpose()?;
        Ok(Self { name: name.to_owned(), port })
    }
}

/// Whether an address is one of a granted host; names are looked up now, since they may move.
async fn is_granted(network: &[Host], address: SocketAddr) -> bool {
    for host in network {
        if host.port.is_some_and(|port| port != address.port()) {
            continue;
        }
        let found = match host.name.parse::<IpAddr>() {
            Ok(ip) => ip == address.ip(),
            Err(_) => tokio::net::lookup_host((host.name.as_str(), address.port()))
                .await
                .is_ok_and(|mut addresses| addresses.any(|found| found.ip() == address.ip())),
        };
        if found {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_entries_are_read_or_refused() {
        let host = |entry: &str| Host::parse(entry).map(|host| (host.name, host.port)).ok();
        assert_eq!(host("example.org"), Some(("example.org".into(), None)));
        assert_eq!(host("example.org:443"), Some(("example.org".into(), Some(443))));
        assert_eq!(host("10.0.0.1:80"), Some(("10.0.0.1".into(), Some(80))));
        assert_eq!(host("::1"), Some(("::1".into(), None)));
        assert_eq!(host("[::1]:80"), Some(("::1".into(), Some(80))));
        for bad in ["", ":80", "http://example.org", "example.org:port", "[::1"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let grant = DirectoryGrant {
            host_path: "/does/not/exist".into(),
            guest_path: "/data".into(),
            access: Access::ReadOnly,
        };
        let error = Grants { directories: vec![grant], ..Grants::default() }.open().err().expect("refused");
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }
}
