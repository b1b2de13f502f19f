//! The options of the log, declared once for every command that has one.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::config::{complaints::Complaints, values::boolean, words::words};

words! {
    /// What is logged: this level and the more severe ones.
    LoggingLevel {
        /// Everything, that of the libraries below us too.
        NotSet = "NOTSET",
        /// Everything that we say.
        Debug = "DEBUG",
        /// What happens in normal operation.
        Info = "INFO",
        /// What an operator should look at.
        Warning = "WARNING",
        /// What went wrong.
        Error = "ERROR",
        /// Only what ends the process.
        Critical = "CRITICAL",
    }
}

/// What is logged, in which form, and where to.
#[derive(Clone, Debug, Args)]
pub struct LoggingSettings {
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case; NOTSET is DEBUG and what the libraries say
    #[arg(id = "logging_level", long = "logging-level", alias = "ll", value_name = "LEVEL", default_value_t = LoggingLevel::Info)]
    pub level: LoggingLevel,
    /// Files that the log goes to, all of them, with `~`, `$NAME` and `${NAME}` replaced (`-` is stdout); what guests
    /// print goes to PATH-PID of their processor instead, unless PATH is stdout or /dev/stderr
    #[arg(id = "logging_paths", long = "logging-paths", alias = "lp", value_name = "PATH", num_args = 0.., default_values = ["/dev/stdout"])]
    pub paths: Vec<PathBuf>,
    /// Log lines as JSON objects
    #[arg(id = "logging_json", long = "logging-json", default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub json: bool,
    /// The original's Python logging file: refused, the three above are what there is
    #[arg(id = "logging_config_file", long = "logging-config-file", aliases = ["lc", "lcf"], value_name = "FILE")]
    pub config_file: Option<PathBuf>,
}

impl LoggingSettings {
    /// The log of a command whose options it does not have.
    #[must_use]
    pub fn new(level: LoggingLevel, paths: Vec<PathBuf>) -> Self {
        Self { level, paths, json: false, config_file: None }
    }

    pub(in crate::config) fn validate(&self, complain: &mut Complaints) {
        complain.logging_paths(&self.paths);
        if let Some(file) = &self.config_file {
            let message = format!(
                "`{}` configures Python's logging, which is not here; leave it out and use logging_level, logging_paths \
                 and logging_json",
                file.display()
            );
            complain.about("logging_config_file", message);
        }
    }
}
