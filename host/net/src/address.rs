//! Where a server listens or a peer dials: `tcp://host:port` or `ipc://path`, one type for control plane and objects.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A socket path that the kernel takes (`sockaddr_un` has room for 107 bytes and a zero).
const PATH_BYTES_MAX: usize = 107;

/// An address of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// `tcp://host:port`
    Tcp {
        /// A name, an IPv4 address, an IPv6 address without brackets, or `*` for all interfaces.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// `ipc://path`: a unix socket on this machine.
    Ipc {
        /// The socket file.
        path: PathBuf,
    },
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `://`.
    #[error("address `{text}` has no scheme; write, for instance, `{}`", with_scheme(.text))]
    NoScheme {
        /// The whole text.
        text: String,
    },
    /// A scheme that we do not speak.
    #[error("address `{text}`: unknown scheme `{scheme}`; use `tcp` or `ipc`")]
    UnknownScheme {
        /// The whole text.
        text: String,
        /// What stood before `://`.
        scheme: String,
    },
    /// `inproc` cannot work between processes.
    #[error(
        "address `{text}`: `inproc` reaches only threads of one process, and ours are separate ones; use `ipc` or `tcp`"
    )]
    Inproc {
        /// The whole text.
        text: String,
    },
    /// Nothing between `://` and the port.
    #[error("address `{text}` has no host; write, for instance, `tcp://127.0.0.1:8516`")]
    NoHost {
        /// The whole text.
        text: String,
    },
    /// No port.
    #[error("address `{text}` has no port; write, for instance, `{text}:8516`, or port 0 for any free one")]
    NoPort {
        /// The whole text.
        text: String,
    },
    /// No port, where somebody wants to connect.
    #[error("address `{text}` has no port; write, for instance, `{text}:8516`")]
    NoPortToDial {
        /// The whole text.
        text: String,
    },
    /// A colon too many.
    #[error("address `{text}` ends with a colon; write `{meant}`")]
    Colon {
        /// The whole text.
        text: String,
        /// The address before it.
        meant: String,
    },
    /// Port 0, where somebody wants to connect.
    #[error("{text}: port 0 is any free port, for who listens; give the port that the server's ready line shows")]
    PortZero {
        /// The whole text.
        text: String,
    },
    /// A port that is no number from 0 to 65535.
    #[error("address `{text}`: port `{port}` is not a number from 0 to 65535")]
    BadPort {
        /// The whole text.
        text: String,
        /// What stood in its place.
        port: String,
    },
    /// Characters that no host name has.
    #[error("address `{text}`: `{host}` is not a host name or IP address (IPv6 addresses go in brackets)")]
    BadHost {
        /// The whole text.
        text: String,
        /// What stood in its place.
        host: String,
    },
    /// `ipc://` without a path.
    #[error("address `{text}` has no path; write, for instance, `ipc:///tmp/scaler.sock`")]
    NoPath {
        /// The whole text.
        text: String,
    },
    /// A path that the kernel cannot take.
    #[error("address `{text}`: a socket path has at most {PATH_BYTES_MAX} bytes, this one has {bytes}")]
    PathTooLong {
        /// The whole text.
        text: String,
        /// Its length.
        bytes: usize,
    },
    /// The derived port does not exist.
    #[error("address `{text}`: port + {offset} is above 65535; choose a lower port, or set the other address yourself")]
    PortOverflow {
        /// The whole text.
        text: String,
        /// What was to be added.
        offset: u16,
    },
}

/// What was probably meant by a text without a scheme; always an address that can be used.
fn with_scheme(text: &str) -> String {
    const HOST: &str = "127.0.0.1";
    let port = |text: &str| text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.trim_start_matches(':').trim_start_matches("//");
    let guess = match text {
        _ if port(text) => format!("tcp://{HOST}:{text}"),
        _ if text.starts_with(['/', '.']) => format!("ipc://{text}"),
        _ if text.contains(':') => format!("tcp://{text}"),
        _ => format!("tcp://{text}:8516"),
    };
    if guess.parse::<Address>().is_ok() { guess } else { format!("tcp://{HOST}:8516") }
}

impl Address {
    /// A TCP address.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp { host: host.into(), port }
    }

    /// A unix socket.
    #[must_use]
    pub fn ipc(path: impl Into<PathBuf>) -> Self {
        Self::Ipc { path: path.into() }
    }

    /// The address of a server that is somewhere already. Unlike one to listen at, it needs a port.
    ///
    /// # Errors
    /// As [`Address::from_str`], and when the port is 0.
    pub fn to_dial(text: &str) -> Result<Self, AddressError> {
        let address: Self = text.parse().map_err(|error| match error {
            AddressError::NoPort { text } => AddressError::NoPortToDial { text },
            error => error,
        })?;
        match address.port() {
            Some(0) => Err(AddressError::PortZero { text: address.to_string() }),
            _ => Ok(address),
        }
    }

    /// The derived address of a companion server: port plus `offset`, while port 0 stays 0. A unix socket gets
    /// `.offset` appended to its path, and `offset` 0 changes nothing.
    pub fn with_port_offset(&self, offset: u16) -> Result<Self, AddressError> {
        match self {
            Self::Tcp { host, port: 0 } => Ok(Self::tcp(host.clone(), 0)),
            Self::Tcp { host, port } => match port.checked_add(offset) {
                Some(port) => Ok(Self::tcp(host.clone(), port)),
                None => Err(AddressError::PortOverflow { text: self.to_string(), offset }),
            },
            Self::Ipc { .. } if offset == 0 => Ok(self.clone()),
            Self::Ipc { .. } => format!("{self}.{offset}").parse(),
        }
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Self::Ipc { .. } => true,
        }
    }

    /// Whether it stands for every interface of a machine (`0.0.0.0`, `::`, `*`).
    #[must_use]
    pub fn is_every_interface(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => host == "*" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()),
            Self::Ipc { .. } => false,
        }
    }

    /// Where a peer finds this address that reached its machine at `dialed`. Every interface is a place to listen at
    /// and none to connect to: it becomes the host that was dialed, or this machine if that was a unix socket.
    #[must_use]
    pub fn seen_from(&self, dialed: &Self) -> Self {
        let Self::Tcp { port, .. } = self else { return self.clone() };
        if !self.is_every_interface() {
            return self.clone();
        }
        match dialed {
            Self::Tcp { host, .. } if !dialed.is_every_interface() => Self::tcp(host.clone(), *port),
            _ => Self::tcp("127.0.0.1", *port),
        }
    }

    /// The same for a text; one that is no address stays as it is.
    #[must_use]
    pub fn text_seen_from(text: &str, dialed: &Self) -> String {
        text.parse::<Self>().map_or_else(|_| text.to_owned(), |address| address.seen_from(dialed).to_string())
    }

    /// The port of a TCP address.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Ipc { .. } => None,
        }
    }

    /// The same host with another port; a unix socket stays as it is.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        match self {
            Self::Tcp { host, .. } => Self::tcp(host.clone(), port),
            Self::Ipc { .. } => self.clone(),
        }
    }

    fn parse_tcp(text: &str, rest: &str) -> Result<Self, AddressError> {
        let text = || text.to_owned();
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, after) = bracketed
                .split_once(']')
                .ok_or_else(|| AddressError::BadHost { text: text(), host: rest.to_owned() })?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(AddressError::BadHost { text: text(), host: host.to_owned() });
            }
            (host, after.strip_prefix(':').ok_or_else(|| AddressError::NoPort { text: text() })?)
        } else {
            rest.rsplit_once(':').ok_or_else(|| {
                if rest.is_empty() {
                    AddressError::NoHost { text: text() }
                } else {
                    AddressError::NoPort { text: text() }
                }
            })?
        };
        if host.is_empty() {
            return Err(AddressError::NoHost { text: text() });
        }
        if port.is_empty() {
            let meant = text().trim_end_matches(':').to_owned();
            return Err(match meant.parse::<Self>() {
                Ok(_) => AddressError::Colon { text: text(), meant },
                Err(_) => AddressError::NoPort { text: meant },
            });
        }
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = host == "*" || host.chars().all(legal) || rest.starts_with('[');
        if !is_name {
            return Err(AddressError::BadHost { text: text(), host: host.to_owned() });
        }
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => Ok(Self::tcp(host, port)),
            _ => Err(AddressError::BadPort { text: text(), port: port.to_owned() }),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(AddressError::NoScheme { text: text.to_owned() });
        };
        match scheme {
            "tcp" => Self::parse_tcp(text, rest),
            "ipc" if rest.is_empty() => Err(AddressError::NoPath { text: text.to_owned() }),
            "ipc" if rest.len() > PATH_BYTES_MAX => {
                Err(AddressError::PathTooLong { text: text.to_owned(), bytes: rest.len() })
            }
            "ipc" => Ok(Self::ipc(rest)),
            "inproc" => Err(AddressError::Inproc { text: text.to_owned() }),
            _ => Err(AddressError::UnknownScheme { text: text.to_owned(), scheme: scheme.to_owned() }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc { path } => write!(f, "ipc://{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Address>().expect_err(text).to_string()
    }

    #[test]
    fn what_to_write_for_an_address_with_a_colon_too_many_is_an_address() {
        let told = error("tcp://127.0.0.1:33400:");
        assert_eq!(told, "address `tcp://127.0.0.1:33400:` ends with a colon; write `tcp://127.0.0.1:33400`");
    }

    #[test]
    fn prints_what_it_parsed() {
        for text in [
            "tcp://127.0.0.1:8516",
            "tcp://localhost:0",
            "tcp://[::1]:80",
            "tcp://*:65535",
            "ipc:///tmp/a b.sock",
            "ipc://relative",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn errors_name_what_is_missing() {
        assert!(error("127.0.0.1:8516").contains("tcp://127.0.0.1:8516"));
        for (text, meant) in [
            ("5", "`tcp://127.0.0.1:5`"),
            (":8516", "`tcp://127.0.0.1:8516`"),
            ("farm", "`tcp://farm:8516`"),
            ("/tmp/scaler.sock", "`ipc:///tmp/scaler.sock`"),
            ("a b", "`tcp://127.0.0.1:8516`"),
        ] {
            assert!(error(text).ends_with(&format!("write, for instance, {meant}")), "{}", error(text));
        }
        assert!(error("tcp://127.0.0.1").contains("no port"));
        assert!(error("tcp://127.0.0.1:").contains("no port"));
        assert!(error("tcp://:8516").contains("no host"));
        assert!(error("tcp://").contains("no host"));
        assert!(error("tcp://h:70000").contains("`70000`"));
        assert!(error("tcp://h:+1").contains("`+1`"));
        assert!(error("tcp://a b:1").contains("`a b`"));
        assert!(error("tcp://::1:80").contains("brackets"));
        assert!(error("tcp://[::1]").contains("no port"));
        assert!(error("http://h:1").contains("`http`"));
        assert!(error("inproc://x").contains("separate"));
        assert!(error("ipc://").contains("no path"));
        assert!(error(&format!("ipc://{}", "x".repeat(108))).contains("107"));
        assert!(error("").contains("no scheme"));
    }

    #[test]
    fn nobody_dials_port_zero() {
        let error = |text: &str| Address::to_dial(text).expect_err(text).to_string();
        assert!(error("tcp://farm:0").contains("ready line"));
        assert!(error("tcp://farm").ends_with("`tcp://farm:8516`"));
        for text in ["tcp://farm:8516", "ipc:///tmp/s"] {
            assert_eq!(Address::to_dial(text), text.parse());
        }
    }

    #[test]
    fn derived_addresses_keep_port_zero_and_do_not_wrap() {
        let at = |text: &str| text.parse::<Address>().expect(text);
        assert_eq!(at("tcp://h:8516").with_port_offset(1), Ok(at("tcp://h:8517")));
        assert_eq!(at("tcp://h:0").with_port_offset(2), Ok(at("tcp://h:0")));
        assert_eq!(at("ipc:///tmp/s").with_port_offset(1), Ok(at("ipc:///tmp/s.1")));
        assert!(at("tcp://h:65535").with_port_offset(1).expect_err("overflow").to_string().contains("65535"));
    }

    #[test]
    fn every_interface_is_seen_where_it_was_dialed() {
        let seen = |text: &str, dialed: &str| Address::text_seen_from(text, &dialed.parse().expect(dialed));
        for every in ["tcp://0.0.0.0:8517", "tcp://*:8517", "tcp://[::]:8517"] {
            assert_eq!(seen(every, "tcp://farm:8516"), "tcp://farm:8517");
            assert_eq!(seen(every, "tcp://[fe80::1]:8516"), "tcp://[fe80::1]:8517");
            assert_eq!(seen(every, "ipc:///tmp/s"), "tcp://127.0.0.1:8517");
            assert_eq!(seen(every, "tcp://0.0.0.0:8516"), "tcp://127.0.0.1:8517");
        }
        for own in ["tcp://store:1", "tcp://127.0.0.1:1", "ipc:///tmp/o", "nonsense"] {
            assert_eq!(seen(own, "tcp://farm:8516"), own);
        }
    }

    #[test]
    fn loopback_is_what_only_this_machine_reaches() {
        for (text, expected) in [
            ("tcp://127.0.0.1:1", true),
            ("tcp://127.8.9.1:1", true),
            ("tcp://localhost:1", true),
            ("tcp://[::1]:1", true),
            ("ipc:///x", true),
            ("tcp://0.0.0.0:1", false),
            ("tcp://*:1", false),
            ("tcp://example.org:1", false),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).is_loopback(), expected, "{text}");
        }
    }
}
