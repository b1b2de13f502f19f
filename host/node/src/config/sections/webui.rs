//! Section `[webui]`.

use std::{net::IpAddr, path::PathBuf};

use clap::{ArgAction, Args};
use scaler_net::Address;

use super::LoggingSettings;
use crate::config::{
    complaints::Complaints,
    load::Section,
    values::{boolean, dialed, only},
};

/// Settings of `scaler_ui`, section `[webui]`.
#[derive(Clone, Debug, Args)]
pub struct WebUiSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The scheduler's address, or its monitor address (port + 2 unless set otherwise), which keeps watchers off the
    /// port of the clients
    #[arg(value_name = "MONITOR_ADDRESS", value_parser = dialed)]
    pub monitor_address: Address,
    /// Name or IP address to serve the page on; 0.0.0.0 lets other machines read it
    #[arg(long, value_name = "HOST", default_value = Self::WEB_HOST)]
    pub web_host: String,
    /// Port to serve the page on (0 takes a free one)
    #[arg(long, value_name = "PORT", default_value_t = u32::from(Self::WEB_PORT), value_parser = only(|port: u32| port <= u32::from(u16::MAX), "1 to 65535, or 0 for a free one"))]
    pub web_port: u32,
    /// Say nothing when web_host lets other machines read the page, although nothing is encrypted or authenticated
    #[arg(long, default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub insecure: bool,
    /// The log
    #[command(flatten)]
    pub logging: LoggingSettings,
}

impl WebUiSettings {
    /// Where the page is served unless it is told otherwise.
    pub const WEB_HOST: &'static str = "127.0.0.1";
    /// See [`Self::WEB_HOST`].
    pub const WEB_PORT: u16 = 50001;

    /// The command that starts a page like this one, at the port that it really has.
    #[must_use]
    pub fn command(&self, port: u16) -> String {
        let mut command = format!("scaler_ui {}", self.monitor_address);
        if self.web_host != Self::WEB_HOST {
            command += &format!(" --web-host {}", self.web_host);
        }
        if port != Self::WEB_PORT {
            command += &format!(" --web-port {port}");
        }
        if self.insecure {
            command += " --insecure";
        }
        command
    }
}

impl Section for WebUiSettings {
    const NAME: &'static str = "webui";
    const COMMAND: &'static str = "scaler_ui";
    const ABOUT: &'static str = "Serves a page that shows a cluster as it works";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("monitor_address", "tcp://127.0.0.1:8518")];
    const DIALED: &'static [&'static str] = &["monitor_address"];

    fn validate(&self, complain: &mut Complaints) {
        if let Some(problem) = host_problem(&self.web_host) {
            complain.about("web_host", problem);
        }
        self.logging.validate(complain);
    }

    fn warnings(&self) -> Vec<String> {
        let is_host = host_problem(&self.web_host).is_none();
        let is_open = is_host && !self.insecure && !Address::tcp(self.web_host.clone(), 0).is_loopback();
        let notice = format!(
            "web_host = {}: other machines can read the page, and nothing is encrypted or authenticated; `insecure = true` \
             says that this is meant",
            self.web_host
        );
        is_open.then_some(notice).into_iter().collect()
    }

    fn logging(&self) -> LoggingSettings {
        self.logging.clone()
    }
}

/// What is wrong with a text that should be a host.
fn host_problem(host: &str) -> Option<String> {
    let example = "give a name or an IP address, as in 127.0.0.1, or 0.0.0.0 for all interfaces of this machine";
    if host.is_empty() {
        return Some(format!("is empty; {example}"));
    }
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let bare = host.rsplit("://").next().unwrap_or_default().split('/').next().unwrap_or_default();
    let (name, port) = match bare.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (bare, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_name = |name: &str| {
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        // Numbers and dots alone would be an IP address, and are none.
        !name.is_empty() && name.chars().all(legal) && !name.split('.').all(is_number)
    };
    if is_name(host) {
        return None;
    }
    Some(match port {
        _ if host == "*" => format!("`*` is no host; {example}"),
        Some(port) if is_name(name) || name.parse::<IpAddr>().is_ok() => {
            format!("`{host}` is more than a host; write \"{name}\", and web_port = {port}")
        }
        None if host != name && (is_name(name) || name.parse::<IpAddr>().is_ok()) => {
            format!("`{host}` is more than a host; write \"{name}\"")
        }
        _ => format!("`{host}` is no host; {example}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{mistakes, read};

    #[test]
    fn the_page_stays_on_this_machine_unless_told() {
        let settings: WebUiSettings = read("tcp://127.0.0.1:8518");
        assert_eq!((settings.web_host.as_str(), settings.web_port), ("127.0.0.1", 50001));
        let open: WebUiSettings = read("tcp://127.0.0.1:8518 --web-host 0.0.0.0");
        assert!(open.warnings()[0].starts_with("web_host = 0.0.0.0: other machines can read the page"));
        let meant: WebUiSettings = read("tcp://127.0.0.1:8518 --web-host 0.0.0.0 --insecure");
        assert!(meant.warnings().is_empty());
        let text = mistakes::<WebUiSettings>("tcp://127.0.0.1:8518 --web-port 70000");
        assert!(text.contains("--web-port") && text.contains("65535"), "{text}");
    }

    #[test]
    fn the_command_to_start_the_page_again_restores_what_was_there() {
        let plain: WebUiSettings = read("tcp://127.0.0.1:8518");
        assert_eq!(plain.command(50001), "scaler_ui tcp://127.0.0.1:8518");
        let settings: WebUiSettings = read("tcp://127.0.0.1:8518 --web-host 0.0.0.0 --web-port 0 --insecure");
        let command = settings.command(8080);
        assert_eq!(command, "scaler_ui tcp://127.0.0.1:8518 --web-host 0.0.0.0 --web-port 8080 --insecure");
        let again: WebUiSettings = read(command.strip_prefix("scaler_ui ").expect("the program"));
        assert_eq!((again.web_host.as_str(), again.web_port, again.insecure), ("0.0.0.0", 8080, true));
    }

    #[test]
    fn what_is_no_host_is_told_in_terms_of_hosts() {
        for host in ["localhost", "farm-7.example", "::1", "10.0.0.1"] {
            assert_eq!(host_problem(host), None, "{host}");
        }
        for (host, remedy) in [
            ("http://x", "write \"x\""),
            ("tcp://0.0.0.0:80", "write \"0.0.0.0\", and web_port = 80"),
            ("localhost:8080", "write \"localhost\", and web_port = 8080"),
            ("[::1]", "write \"::1\""),
            ("*", "0.0.0.0 for all interfaces"),
            ("256.0.0.1", "is no host"),
            ("8080", "is no host"),
            ("a b", "is no host"),
            ("", "is empty"),
        ] {
            let problem = host_problem(host).unwrap_or_else(|| panic!("`{host}` is none"));
            assert!(problem.contains(remedy), "{host}: {problem}");
        }
    }
}
