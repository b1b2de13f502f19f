//! The way past the kernel's TCP for peers on one machine.
//!
//! Users type `tcp://127.0.0.1:8516`, but a message takes 7.5 us through TCP on the loopback interface and 2 us through
//! a Unix socket. So a link that listens where this machine's loopback addresses reach it listens at an abstract Unix
//! socket as well, and a link that dials such an address tries that name first. An abstract name has no file, vanishes
//! with its socket and lives in the network namespace, exactly as a port does: whom a peer meets at the name it would
//! have met at the port. IPv6 and the machine's outside addresses stay with TCP.
//!
//! In one thing the two differ: while a server owns its port, nobody else can, but a server without the shortcut leaves
//! its name to anybody. Therefore the dialing end asks the kernel who listens before anything of ours is sent or
//! believed, and goes over TCP if that is somebody else.

use std::{io, net::Ipv4Addr};

use crate::Address;

/// What the kernel says of a user that this user namespace does not know (and, as it happens, of `nobody`).
const UNKNOWN_UID: u32 = 65_534;

/// The name where a link that listens at this address listens as well. The address has an IP, not a host name, and its
/// real port.
pub(crate) fn of_listener(address: &Address) -> Option<String> {
    let Address::Tcp { host, port } = address else { return None };
    if host == "*" {
        return Some(name(None, *port));
    }
    let ip: Ipv4Addr = host.parse().ok()?;
    (ip.is_loopback() || ip.is_unspecified()).then(|| name(ip.is_loopback().then_some(ip), *port))
}

/// The names to try before dialing this address, best first.
pub(crate) fn of_dialed(address: &Address) -> Vec<String> {
    let Address::Tcp { host, port } = address else { return Vec::new() };
    let ip = match host.parse() {
        // As the kernel takes it.
        Ok(ip) if Ipv4Addr::is_unspecified(&ip) => Ipv4Addr::LOCALHOST,
        Ok(ip) => ip,
        Err(_) if host == "*" || host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST,
        Err(_) => return Vec::new(),
    };
    if ip.is_loopback() { vec![name(Some(ip), *port), name(None, *port)] } else { Vec::new() }
}

/// The name as libzmq takes it; without an IP, of whoever listens on all interfaces.
fn name(ip: Option<Ipv4Addr>, port: u16) -> String {
    match ip {
        Some(ip) => format!("ipc://@scaler-{ip}-{port}"),
        None => format!("ipc://@scaler-any-{port}"),
    }
}

/// Whether what listens at a name is ours: run by the same user, or by the system.
pub(crate) fn is_trusted(listener_uid: u32, own_uid: u32) -> bool {
    listener_uid != UNKNOWN_UID && (listener_uid == own_uid || listener_uid == 0)
}

/// The user whose process listens at the other end of a connected Unix socket. The descriptor may be closed, or
/// another's, by now; then the answer is an error or means nothing.
pub(crate) fn listener_uid(fd: i32) -> io::Result<u32> {
    // Not `rustix`: its answer cannot hold the process id 0, which is what a process of another namespace has.
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` to `found`, whose fields are plain numbers, and only reads of `fd`.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut found).cast(), &raw mut bytes) };
    match result {
        0 if bytes as usize == size_of::<libc::ucred>() => Ok(found.uid),
        0 => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    };

    use super::*;

    fn at(text: &str) -> Address {
        text.parse().expect(text)
    }

    #[test]
    fn only_what_loopback_reaches_has_a_name() {
        for (text, expected) in [
            ("tcp://127.0.0.1:8516", Some("ipc://@scaler-127.0.0.1-8516")),
            ("tcp://127.0.0.2:8516", Some("ipc://@scaler-127.0.0.2-8516")),
            ("tcp://*:8516", Some("ipc://@scaler-any-8516")),
            ("tcp://0.0.0.0:8516", Some("ipc://@scaler-any-8516")),
            ("tcp://10.0.0.1:8516", None),
            ("tcp://[::1]:8516", None),
            ("tcp://[::]:8516", None),
            ("ipc:///tmp/a.sock", None),
        ] {
            assert_eq!(of_listener(&at(text)).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_dialing_end_tries_the_exact_address_and_then_all_interfaces() {
        let of = |ip: &str| vec![format!("ipc://@scaler-{ip}-1"), "ipc://@scaler-any-1".to_owned()];
        for (text, expected) in [
            ("tcp://127.0.0.1:1", of("127.0.0.1")),
            ("tcp://127.8.9.1:1", of("127.8.9.1")),
            ("tcp://LocalHost:1", of("127.0.0.1")),
            ("tcp://*:1", of("127.0.0.1")),
            ("tcp://0.0.0.0:1", of("127.0.0.1")),
            ("tcp://10.0.0.1:1", vec![]),
            ("tcp://[::1]:1", vec![]),
            ("tcp://farm:1", vec![]),
            ("ipc:///tmp/a.sock", vec![]),
        ] {
            assert_eq!(of_dialed(&at(text)), expected, "{text}");
        }
    }

    #[test]
    fn only_the_same_user_and_the_system_are_trusted() {
        for (listener, own, expected) in [
            (1000, 1000, true),
            (0, 1000, true),
            (0, 0, true),
            (1000, 0, false),
            (1001, 1000, false),
            (UNKNOWN_UID, 1000, false),
            (UNKNOWN_UID, UNKNOWN_UID, false),
        ] {
            assert_eq!(is_trusted(listener, own), expected, "{listener} for {own}");
        }
    }

    #[test]
    fn the_kernel_says_who_listens() {
        let address = SocketAddr::from_abstract_name(format!("scaler-test-uid-{}", std::process::id())).expect("name");
        let _listener = UnixListener::bind_addr(&address).expect("bind");
        let stream = UnixStream::connect_addr(&address).expect("connect");
        assert_eq!(listener_uid(stream.as_raw_fd()).expect("uid"), rustix::process::geteuid().as_raw());
        assert!(listener_uid(-1).is_err());
    }
}
