//! Section `[webui]`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use scaler_net::Address;

use super::LoggingSettings;
use crate::config::{
    complaints::Complaints,
    load::Section,
    values::{boolean, whole},
};

/// Settings of `scaler_ui`, section `[webui]`.
#[derive(Clone, Debug, Args)]
pub struct WebUiSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The scheduler's monitor address, from its ready line (scheduler port + 2 unless set otherwise)
    #[arg(value_name = "MONITOR_ADDRESS")]
    pub monitor_address: Address,
    /// Name or IP address to serve the page on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub web_host: String,
    /// Port to serve the page on (0 takes a free one)
    #[arg(long, value_name = "PORT", default_value_t = 50001, value_parser = whole::<u32>)]
    pub web_port: u32,
    /// Serve the page beyond this machine although nothing is encrypted or authenticated
    #[arg(long, default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub insecure: bool,
    /// The log
    #[command(flatten)]
    pub logging: LoggingSettings,
}

impl Section for WebUiSettings {
    const NAME: &'static str = "webui";
    const COMMAND: &'static str = "scaler_ui";
    const ABOUT: &'static str = "Serves a page that shows a cluster as it works";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("monitor_address", "tcp://127.0.0.1:8518")];

    fn validate(&self, complain: &mut Complaints) {
        if self.web_port > u32::from(u16::MAX) {
            complain.about("web_port", format!("{} is no port; give 1 to 65535, or 0 for a free one", self.web_port));
        }
        // A host with its port, or a whole address, is the likeliest mistake.
        if self.web_host.is_empty() || self.web_host.contains("://") || self.web_host.contains('/') {
            let host = &self.web_host;
            complain.about("web_host", format!("`{host}` is no host; give a name or an IP address, as in 127.0.0.1"));
        } else {
            let port = u16::try_from(self.web_port).unwrap_or(0);
            complain.listens("web_host", &Address::tcp(self.web_host.clone(), port), self.insecure);
        }
        self.logging.validate(complain);
    }

    fn logging(&self) -> LoggingSettings {
        self.logging.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{mistakes, read};

    #[test]
    fn the_page_stays_on_this_machine_unless_told() {
        let settings: WebUiSettings = read("tcp://127.0.0.1:8518");
        assert_eq!((settings.web_host.as_str(), settings.web_port), ("127.0.0.1", 50001));
        let text = mistakes::<WebUiSettings>("tcp://127.0.0.1:8518 --web-host 0.0.0.0");
        assert!(text.contains("--web-host") && text.contains("--insecure"), "{text}");
        read::<WebUiSettings>("tcp://127.0.0.1:8518 --web-host 0.0.0.0 --insecure");
        let text = mistakes::<WebUiSettings>("tcp://127.0.0.1:8518 --web-port 70000");
        assert!(text.contains("--web-port") && text.contains("65535"), "{text}");
        let text = mistakes::<WebUiSettings>("tcp://127.0.0.1:8518 --web-host http://x");
        assert!(text.contains("is no host"), "{text}");
    }
}
