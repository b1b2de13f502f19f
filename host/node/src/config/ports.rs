//! Two servers cannot listen at one port: what can be known of that before either is started.

use std::net::IpAddr;

use scaler_net::{Address, AddressError};

use super::{
    check::SectionReport,
    complaints::Complaints,
    effective::Effective,
    load::Section,
    mistake::{Mistake, Place},
};

/// An address that a command listens at, or knows another server at.
pub(super) struct Taken<'a> {
    /// The key that says so.
    pub(super) key: &'static str,
    pub(super) address: &'a Address,
    /// Whether somebody gave it; else it is derived.
    pub(super) is_given: bool,
}

/// Says which of a command's own addresses are the same.
pub(super) fn distinct(taken: &[Taken<'_>], complain: &mut Complaints) {
    for (index, late) in taken.iter().enumerate() {
        for early in taken[..index].iter().filter(|early| meet(early.address, late.address)) {
            // What was derived cannot be mended where it stands.
            let (wrong, other) = if late.is_given { (late, early) } else { (early, late) };
            complain.about(wrong.key, told(wrong.address, other.key, other.is_given, taken.iter().map(|t| t.address)));
        }
    }
}

fn told<'a>(address: &Address, other: &str, is_given: bool, all: impl Iterator<Item = &'a Address>) -> String {
    let how = if is_given { "" } else { " (derived)" };
    let free = all.filter_map(Address::port).max().and_then(|port| port.checked_add(1));
    let remedy = match (address, free) {
        (Address::Tcp { .. }, Some(free)) => format!("a port of its own, as in {}", address.with_port(free)),
        (Address::Tcp { .. }, None) => "a port of its own".to_owned(),
        (Address::Ipc { .. }, _) => "a path of its own".to_owned(),
    };
    format!("{address} is taken by {other}{how}; give each server {remedy}")
}

/// Whether two servers at these addresses would be at one port of one machine, as far as the texts tell.
pub(super) fn meet(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp { port, .. }, Address::Tcp { port: same, .. }) => {
            let (one, other) = (host(one), host(other));
            let is_local = |host: &Host| *host == Host::All || *host == Host::Loopback;
            port == same && *port != 0 && (one == other || is_local(&one) && is_local(&other))
        }
        (one, other) => one == other,
    }
}

#[derive(PartialEq)]
enum Host {
    /// Every interface of this machine.
    All,
    Loopback,
    Named(String),
}

fn host(address: &Address) -> Host {
    match address {
        _ if address.is_every_interface() => Host::All,
        _ if address.is_loopback() => Host::Loopback,
        Address::Tcp { host, .. } => Host::Named(host.to_ascii_lowercase()),
        Address::Ipc { path } => Host::Named(path.display().to_string()),
    }
}

/// Whether whoever dials the one address gets to who listens at the other, unless the texts leave no way: a name may be
/// any machine that can be reached at all.
pub(super) fn reaches(dialed: &Address, listening: &Address) -> bool {
    let (Address::Tcp { port, .. }, Address::Tcp { port: same, .. }) = (dialed, listening) else {
        return dialed == listening;
    };
    let is_possible = match (host(dialed), host(listening)) {
        (_, Host::All) => true,
        (Host::Named(one), Host::Named(other)) => {
            one == other || one.parse::<IpAddr>().is_err() || other.parse::<IpAddr>().is_err()
        }
        // What another machine is called does not lead to what listens only to this one.
        (Host::Named(_), Host::Loopback) => false,
        (Host::All | Host::Loopback, Host::Named(other)) => other.parse::<IpAddr>().is_err(),
        (Host::All | Host::Loopback, Host::Loopback) => true,
    };
    port == same && is_possible
}

/// Addresses of other servers with port 0, which only a server that listens can have.
pub(super) fn nowhere<T: Section>(effective: &[Effective]) -> Vec<Mistake> {
    let is_zero = |setting: &&Effective| T::DIALED.contains(&setting.key.as_str()) && has_port_zero(setting);
    let mistake = |setting: &Effective| {
        let text = setting.value.as_str().unwrap_or_default().to_owned();
        let message = AddressError::PortZero { text }.to_string();
        let (section, key) = (T::NAME.to_owned(), setting.key.clone());
        Mistake::Value { place: setting.place.clone(), section, key, message }
    };
    effective.iter().filter(is_zero).map(mistake).collect()
}

fn has_port_zero(setting: &Effective) -> bool {
    setting.value.as_str().and_then(|text| text.parse::<Address>().ok()).is_some_and(|it| it.port() == Some(0))
}

/// Whether a server of the file listens at any free port. Then only `scaler up`, which starts it, knows where it is.
pub(super) fn any_free(sections: &[SectionReport]) -> bool {
    let servers = sections.iter().filter(|section| matches!(section.name, "scheduler" | "object_storage_server"));
    servers.flat_map(|section| &section.effective).any(has_port_zero)
}

/// A server of one section, and what says so.
struct Listener {
    section: &'static str,
    key: &'static str,
    address: Address,
    place: Place,
    is_given: bool,
}

/// Servers of different sections at one port. Those of one section are told by its own check.
pub(super) fn taken_twice(sections: &[SectionReport]) -> Vec<Mistake> {
    let has_storage = sections.iter().any(|section| section.name == "object_storage_server");
    let mut listeners: Vec<Listener> = Vec::new();
    for section in sections {
        let find = |key: &str| section.effective.iter().find(|setting| setting.key == key);
        let keys: &[&'static str] = match section.name {
            "scheduler" => &["scheduler_address", "object_storage_address", "monitor_address"],
            "object_storage_server" => &["object_storage_address"],
            _ => &[],
        };
        for key in keys {
            let Some(setting) = find(key) else { continue };
            let is_given = setting.derived.is_none();
            // The scheduler listens there only if it starts the object storage itself.
            if section.name == "scheduler" && *key == "object_storage_address" && (is_given || has_storage) {
                continue;
            }
            let Some(address) = setting.value.as_str().and_then(|text| text.parse().ok()) else { continue };
            let place = setting.place.clone();
            listeners.push(Listener { section: section.name, key, address, place, is_given });
        }
        if section.name == "webui"
            && let (Some(host), Some(port)) = (find("web_host"), find("web_port"))
            && let Some(number) = port.value.as_u64().and_then(|port| u16::try_from(port).ok())
        {
            let address = Address::tcp(host.value.as_str().unwrap_or_default(), number);
            let (place, is_given) = (port.place.clone(), port.place != Place::Default);
            listeners.push(Listener { section: section.name, key: "web_port", address, place, is_given });
        }
    }
    let mut mistakes = Vec::new();
    for (index, late) in listeners.iter().enumerate() {
        // One of those that were there before is enough to know what to change.
        let taken = listeners[..index]
            .iter()
            .find(|early| early.section != late.section && meet(&early.address, &late.address));
        let Some(early) = taken else { continue };
        let (wrong, other) = if late.is_given { (late, early) } else { (early, late) };
        let all = listeners.iter().map(|listener| &listener.address);
        let message = told(&wrong.address, &format!("[{}] {}", other.section, other.key), other.is_given, all);
        let (section, key) = (wrong.section.to_owned(), wrong.key.to_owned());
        mistakes.push(Mistake::Value { place: wrong.place.clone(), section, key, message });
    }
    mistakes
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_meet_at_one_port_of_one_machine() {
        let meet = |one: &str, other: &str| super::meet(&one.parse().expect(one), &other.parse().expect(other));
        for (one, other) in [
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("tcp://localhost:1", "tcp://127.0.0.1:1"),
            ("tcp://0.0.0.0:1", "tcp://localhost:1"),
            ("tcp://*:1", "tcp://[::]:1"),
            ("tcp://Farm:1", "tcp://farm:1"),
            ("ipc:///tmp/a", "ipc:///tmp/a"),
        ] {
            assert!(meet(one, other) && meet(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("tcp://farm:1", "tcp://127.0.0.1:1"),
            ("tcp://10.0.0.1:1", "tcp://0.0.0.0:1"),
            ("ipc:///tmp/a", "ipc:///tmp/b"),
        ] {
            assert!(!meet(one, other) && !meet(other, one), "{one} {other}");
        }
    }

    #[test]
    fn who_dials_a_name_or_everywhere_may_get_there() {
        let reaches = |one: &str, other: &str| super::reaches(&one.parse().expect(one), &other.parse().expect(other));
        for (dialed, listening) in [
            ("tcp://127.0.0.1:1", "tcp://0.0.0.0:1"),
            ("tcp://farm:1", "tcp://0.0.0.0:1"),
            ("tcp://10.0.0.7:1", "tcp://*:1"),
            ("tcp://localhost:1", "tcp://127.0.0.1:1"),
            ("tcp://farm:1", "tcp://10.0.0.7:1"),
            ("tcp://10.0.0.7:1", "tcp://farm:1"),
            ("tcp://127.0.0.1:1", "tcp://farm:1"),
            ("tcp://0.0.0.0:1", "tcp://localhost:1"),
            ("ipc:///tmp/a", "ipc:///tmp/a"),
        ] {
            assert!(reaches(dialed, listening), "{dialed} {listening}");
        }
        for (dialed, listening) in [
            ("tcp://farm:2", "tcp://0.0.0.0:1"),
            ("tcp://farm:1", "tcp://127.0.0.1:1"),
            ("tcp://10.0.0.8:1", "tcp://10.0.0.7:1"),
            ("tcp://localhost:1", "tcp://10.0.0.7:1"),
            ("ipc:///tmp/a", "tcp://127.0.0.1:1"),
        ] {
            assert!(!reaches(dialed, listening), "{dialed} {listening}");
        }
    }
}
