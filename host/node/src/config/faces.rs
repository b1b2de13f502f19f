//! The settings of the two programs that show a cluster, `scaler_ui` and `scaler_top`; declared as those of the servers
//! are (see `sections`).

use std::path::PathBuf;

use clap::Args;
use scaler_net::Address;
use serde::Deserialize;

use super::{
    load::{Complaints, Section},
    sections::{LoggingLevel, LoggingSettings},
    text,
    values::boolean,
};

/// Settings of `scaler_ui`, section `[webui]`.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebUiSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The scheduler's monitor address, from its ready line (scheduler port + 2 unless set otherwise)
    #[arg(value_name = "MONITOR_ADDRESS")]
    #[serde(deserialize_with = "text::required")]
    pub monitor_address: Address,
    /// Name or IP address to serve the page on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub web_host: String,
    /// Port to serve the page on (0 takes a free one)
    #[arg(long, value_name = "PORT", default_value_t = 50001)]
    pub web_port: u32,
    /// Serve the page beyond this machine although nothing is encrypted or authenticated
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub insecure: bool,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(long, alias = "ll", value_name = "LEVEL", default_value_t = LoggingLevel::Info)]
    #[serde(deserialize_with = "text::required")]
    pub logging_level: LoggingLevel,
    /// Files that the log goes to, all of them
    #[arg(long, alias = "lp", value_name = "PATH", num_args = 0.., default_values = ["/dev/stdout"])]
    pub logging_paths: Vec<PathBuf>,
    /// Log lines as JSON objects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub logging_json: bool,
}

/// Settings of `scaler_top`, section `[top]`.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The scheduler's monitor address, from its ready line (scheduler port + 2 unless set otherwise)
    #[arg(value_name = "MONITOR_ADDRESS")]
    #[serde(deserialize_with = "text::required")]
    pub monitor_address: Address,
    /// Give up when no scheduler answers for this long at the start
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 5)]
    pub timeout: u64,
    /// Print one picture as plain text and end
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub once: bool,
    /// With --once: the picture as one JSON object, as `scaler status --json` prints it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub json: bool,
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
        complain.logging_paths(&self.logging_paths);
    }

    fn logging(&self) -> LoggingSettings {
        LoggingSettings { level: self.logging_level, paths: self.logging_paths.clone(), json: self.logging_json }
    }

    fn set_config(&mut self, file: Option<PathBuf>) {
        self.config = file;
    }
}

impl Section for TopSettings {
    const NAME: &'static str = "top";
    const COMMAND: &'static str = "scaler_top";
    const ABOUT: &'static str = "Shows a cluster in the terminal as it works";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("monitor_address", "tcp://127.0.0.1:8518")];

    fn validate(&self, complain: &mut Complaints) {
        complain.positive("timeout", self.timeout);
        if self.json && !self.once {
            complain.about("json", "prints one picture; say `--once` (`once = true`) as well".to_owned());
        }
    }

    /// The screen is the terminal's, so nothing is logged.
    fn logging(&self) -> LoggingSettings {
        LoggingSettings { level: LoggingLevel::Critical, paths: Vec::new(), json: false }
    }

    fn set_config(&mut self, file: Option<PathBuf>) {
        self.config = file;
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{ConfigError, load};

    fn read<T: Section>(words: &[&str]) -> Result<T, ConfigError> {
        load::<T>(words.iter().map(OsString::from)).map(|loaded| loaded.settings)
    }

    fn complaint<T: Section + std::fmt::Debug>(words: &[&str]) -> String {
        match read::<T>(words).expect_err("a mistake") {
            ConfigError::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_page_stays_on_this_machine_unless_told() {
        let settings: WebUiSettings = read(&["scaler_ui", "tcp://127.0.0.1:8518"]).expect("settings");
        assert_eq!((settings.web_host.as_str(), settings.web_port), ("127.0.0.1", 50001));
        let text = complaint::<WebUiSettings>(&["scaler_ui", "tcp://127.0.0.1:8518", "--web-host", "0.0.0.0"]);
        assert!(text.contains("--web-host") && text.contains("--insecure"), "{text}");
        let open = ["scaler_ui", "tcp://127.0.0.1:8518", "--web-host", "0.0.0.0", "--insecure"];
        read::<WebUiSettings>(&open).expect("meant");
        let text = complaint::<WebUiSettings>(&["scaler_ui", "tcp://127.0.0.1:8518", "--web-port", "70000"]);
        assert!(text.contains("--web-port") && text.contains("65535"), "{text}");
        let text = complaint::<WebUiSettings>(&["scaler_ui", "tcp://127.0.0.1:8518", "--web-host", "http://x"]);
        assert!(text.contains("is no host"), "{text}");
    }

    #[test]
    fn top_takes_the_short_timeout_and_refuses_json_without_once() {
        let settings: TopSettings = read(&["scaler_top", "tcp://127.0.0.1:8518", "-t", "9"]).expect("settings");
        assert_eq!(settings.timeout, 9);
        assert!(complaint::<TopSettings>(&["scaler_top", "tcp://h:1", "-t", "0"]).contains("timeout"));
        assert!(complaint::<TopSettings>(&["scaler_top", "tcp://h:1", "--json"]).contains("--once"));
        assert!(complaint::<TopSettings>(&["scaler_top"]).contains("monitor_address"));
    }
}
