//! Section `[top]`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use scaler_net::Address;

use super::{LoggingLevel, LoggingSettings};
use crate::config::{
    complaints::Complaints,
    load::Section,
    values::{at_least, boolean, dialed},
};

/// Settings of `scaler_top`, section `[top]`.
#[derive(Clone, Debug, Args)]
pub struct TopSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The scheduler's address, or its monitor address (port + 2 unless set otherwise), which keeps watchers off the
    /// port of the clients
    #[arg(value_name = "MONITOR_ADDRESS", value_parser = dialed)]
    pub monitor_address: Address,
    /// Give up when no scheduler answers for this long at the start
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 5, value_parser = at_least(1_u64))]
    pub timeout: u64,
    /// Print one picture as plain text and end
    #[arg(long, default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub once: bool,
    /// With --once: the picture as one JSON object, as `scaler status --json` prints it
    #[arg(long, default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub json: bool,
}

impl Section for TopSettings {
    const NAME: &'static str = "top";
    const COMMAND: &'static str = "scaler_top";
    const ABOUT: &'static str = "Shows a cluster in the terminal as it works";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("monitor_address", "tcp://127.0.0.1:8518")];
    const DIALED: &'static [&'static str] = &["monitor_address"];

    fn validate(&self, complain: &mut Complaints) {
        if self.json && !self.once {
            complain.about("json", "prints one picture; say `--once` (`once = true`) as well".to_owned());
        }
    }

    /// The screen is the terminal's, so nothing is logged.
    fn logging(&self) -> LoggingSettings {
        LoggingSettings::new(LoggingLevel::Critical, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{mistakes, read};

    #[test]
    fn top_takes_the_short_timeout_and_refuses_json_without_once() {
        let settings: TopSettings = read("tcp://127.0.0.1:8518 -t 9");
        assert_eq!(settings.timeout, 9);
        assert!(mistakes::<TopSettings>("tcp://h:1 -t 0").contains("timeout"));
        assert!(mistakes::<TopSettings>("tcp://h:1 --json").contains("--once"));
        assert!(mistakes::<TopSettings>("").contains("monitor_address"));
    }
}
