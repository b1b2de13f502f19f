//! Who may ask: a page of somebody else must not reach us by pointing a name of its own at our address.

use std::net::IpAddr;

/// Whether the `Host` of a request is one that we serve under: an IP address, `localhost`, the host that we were told
/// to serve on, or this machine's name. Any other name was made by somebody who wants a browser to take us for his
/// server (DNS rebinding).
pub(super) fn is_ours(header: &str, web_host: &str, machine: &str) -> bool {
    let Some(name) = without_port(header) else { return false };
    let unbracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let same = |ours: &str| !ours.is_empty() && unbracketed.eq_ignore_ascii_case(ours);
    unbracketed.parse::<IpAddr>().is_ok() || ["localhost", web_host, machine].into_iter().any(same)
}

fn without_port(header: &str) -> Option<&str> {
    match header.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((name, port)) if !port.contains(']') => port.parse::<u16>().is_ok().then_some(name),
        _ => Some(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_ours_are_refused() {
        let ours = |header| is_ours(header, "farm.example", "node-7");
        for header in
            ["127.0.0.1:50001", "[::1]:50001", "[::1]", "localhost:1", "LocalHost", "farm.example:80", "node-7:50001"]
        {
            assert!(ours(header), "{header}");
        }
        for header in ["", ":50001", "evil.example", "evil.example:50001", "127.0.0.1.evil.example", "localhost:x"] {
            assert!(!ours(header), "{header}");
        }
        assert!(!is_ours("", "", ""));
    }
}
