//! Why nobody answers at an address: its name may lead nowhere, which a connection that is tried again and again
//! never says.

use std::{
    net::{IpAddr, ToSocketAddrs as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use scaler_net::Address;

/// What is wrong with the name in an address, if that is known within `patience`. Resolvers may take long.
pub(crate) fn problem(address: &Address, patience: Duration) -> Option<String> {
    let Address::Tcp { host, port } = address else { return None };
    if host == "*" || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let (name, port) = (host.clone(), *port);
    let resolve = move || {
        let error = (name.as_str(), port).to_socket_addrs().err();
        // Nobody may be waiting any more.
        let _ = sender.send(error.map(|error| told(&name, &error.to_string())));
    };
    thread::Builder::new().name("resolve".to_owned()).spawn(resolve).ok()?;
    receiver.recv_timeout(patience).ok().flatten()
}

fn told(name: &str, error: &str) -> String {
    // The standard library says first that it was looking an address up.
    let reason = error.rsplit("information: ").next().unwrap_or(error);
    format!("the name `{name}` cannot be resolved ({reason})")
}

/// What to do about such a name.
pub(crate) const REMEDY: &str = "is the name spelled correctly? An IP address needs no resolver";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_nowhere_is_told_and_an_ip_address_is_none() {
        let problem = |text: &str| problem(&text.parse().expect(text), Duration::from_secs(30));
        let told = problem("tcp://nohost.invalid:1").expect("no such name");
        assert!(told.starts_with("the name `nohost.invalid` cannot be resolved ("), "{told}");
        for address in ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc:///nowhere"] {
            assert_eq!(problem(address), None, "{address}");
        }
    }
}
