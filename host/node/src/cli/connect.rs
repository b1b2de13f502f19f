//! What all commands that talk to a scheduler share: the connection and the options of a call.

use std::{path::PathBuf, time::Duration};

use scaler_client::{
    Capabilities, Error, Function, FunctionOptions, ModuleOptions, SubmitOptions, View,
    blocking::{self, Client},
};
use scaler_net::{
    Address,
    objects::{ClientOptions, ObjectClient},
};
use scaler_proto::message::Topic;

use crate::{
    config::whole,
    exit, logging, resolve,
    watch::{WatchError, Watcher},
};

/// What answers no scheduler's client may be an object storage; that is asked no longer than this.
const STORAGE_WAIT: Duration = Duration::from_secs(1);

/// Nor is a resolver, for why nothing answers.
const RESOLVE_WAIT: Duration = Duration::from_secs(2);

/// How to reach the scheduler.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connection {
    /// The scheduler, as in tcp://127.0.0.1:8516
    #[arg(value_name = "ADDRESS")]
    pub(super) address: String,
    /// Give up when no scheduler answers for this long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) connect_timeout_seconds: Duration,
}

/// How to run a call.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CallOptions {
    /// What the worker must offer, as in linux,gpu=2: the tag linux, and gpu with 2 or more
    #[arg(long, value_name = "CAPABILITIES", default_value_t = Capabilities::none(), hide_default_value = true)]
    pub(super) capabilities: Capabilities,
    /// A task that runs longer fails; without a cluster, how long to wait for one
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) timeout_seconds: Option<Duration>,
    /// Higher runs first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<i32>)]
    pub(super) priority: i32,
    /// Bring this component along instead of using one of the cluster's; it is called by the file's name
    #[arg(long, value_name = "FILE")]
    pub(super) module: Option<PathBuf>,
}

impl Connection {
    pub(super) fn open(&self) -> anyhow::Result<Client> {
        logging::notes();
        // Profiling, because a failure says where the task ran.
        let builder = Client::builder().profiling(true).connect_timeout(self.connect_timeout_seconds);
        builder.connect_blocking(&self.address).map_err(|error| self.explained(error))
    }

    /// A picture of the cluster, as of now.
    pub(super) fn picture(&self) -> anyhow::Result<View> {
        blocking::status(&self.address, self.connect_timeout_seconds).map_err(|error| self.explained(error))
    }

    /// The same, kept up to date.
    pub(super) fn watch(&self, topics: &[Topic]) -> anyhow::Result<Watcher> {
        let address = self.parsed()?;
        Watcher::connect(&address, topics, self.connect_timeout_seconds).map_err(|error| match error {
            WatchError::Unreachable { .. } => self.unreachable(),
            error => error.into(),
        })
    }

    /// The address, for what talks to the scheduler without the client library.
    pub(super) fn parsed(&self) -> anyhow::Result<Address> {
        let parsed = Address::to_dial(&self.address);
        parsed.map_err(|error| exit::coded(exit::USAGE, format!("{:?} is no address: {error}", self.address)))
    }

    /// Nobody answered in time.
    pub(super) fn unreachable(&self) -> anyhow::Error {
        let (address, waited) = (self.address.clone(), self.connect_timeout_seconds);
        self.explained(Error::Unreachable { address, waited })
    }

    /// Says what is there instead of a scheduler, where that can be found out.
    fn explained(&self, error: Error) -> anyhow::Error {
        let is_unreachable = matches!(error, Error::Unreachable { .. });
        let address = self.parsed().ok().filter(|_| is_unreachable);
        if let Some(problem) = address.and_then(|address| resolve::problem(&address, RESOLVE_WAIT)) {
            let message = format!("no scheduler answers at {}: {problem}", self.address);
            return exit::helped(exit::UNREACHABLE, "unreachable", message, resolve::REMEDY);
        }
        match &error {
            Error::Unreachable { .. } if self.is_object_storage() => exit::coded(
                exit::UNREACHABLE,
                format!(
                    "no scheduler answers at {0}, but an object storage, which keeps large values; give the scheduler's \
                     address, {1}",
                    self.address,
                    self.one_below()
                ),
            ),
            _ => error.into(),
        }
    }

    /// Where the scheduler of an object storage is, if it started it itself.
    fn one_below(&self) -> String {
        let address = self.parsed().ok();
        let below =
            address.as_ref().and_then(|it| Some(it.with_port(it.port()?.checked_sub(1).filter(|port| *port > 0)?)));
        below.map_or_else(|| "from its ready line".to_owned(), |below| format!("usually {below} (port - 1)"))
    }

    fn is_object_storage(&self) -> bool {
        let options =
            ClientOptions { connect_timeout: STORAGE_WAIT, progress_timeout: STORAGE_WAIT, ..ClientOptions::default() };
        self.parsed().is_ok_and(|address| ObjectClient::new(address, options).info().is_ok())
    }
}

impl CallOptions {
    /// Looks the function up, after its module was registered if it comes along.
    pub(super) fn function(&self, client: &Client, target: &str) -> anyhow::Result<Function> {
        if let Some(path) = &self.module {
            client.register_module(path, &ModuleOptions::default())?;
        }
        let mut options = FunctionOptions::new().capabilities(self.capabilities.clone());
        options.timeout = self.timeout_seconds;
        Ok(client.function_with(target, &options)?)
    }

    pub(super) fn submit(&self) -> SubmitOptions {
        let mut options = SubmitOptions::new().capabilities(self.capabilities.clone()).priority(self.priority);
        options.timeout = self.timeout_seconds;
        options
    }
}

/// A positive number of seconds, fractions allowed.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number of seconds; give one above 0, as in 2.5");
    let seconds = text.parse::<f64>().map_err(|_| wrong())?;
    if seconds > 0.0 { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for text in ["0", "-1", "inf", "NaN", "soon", ""] {
            assert!(seconds(text).is_err_and(|error| error.contains("as in 2.5")), "{text}");
        }
    }
}
