//! Section `[object_storage_server]`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use scaler_net::Address;

use super::LoggingSettings;
use crate::config::{
    complaints::Complaints,
    effective::Derived,
    load::Section,
    values::{at_least, boolean},
};

/// Settings of `scaler_object_storage_server`, section `[object_storage_server]`.
#[derive(Clone, Debug, Args)]
pub struct ObjectStorageSettings {
    /// TOML file with the settings; flags win over it
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where scheduler, clients and clusters connect (tcp://host:port or ipc://path)
    #[arg(value_name = "OBJECT_STORAGE_ADDRESS")]
    pub object_storage_address: Address,
    /// Most bytes of objects kept at once; a put beyond it waits for room, and is refused after 20 s
    /// [default: half of the machine's memory]
    #[arg(long, value_name = "BYTES", default_value_t = default_budget(), hide_default_value = true, value_parser = at_least(1_u64))]
    pub memory_budget_bytes: u64,
    /// Objects that nobody owns are swept after this time
    #[arg(long, alias = "ot", value_name = "SECONDS", default_value_t = 60, value_parser = at_least(1_u64))]
    pub object_retention_seconds: u64,
    /// Listen beyond this machine although nothing is encrypted or authenticated
    #[arg(long, default_value_t = false, value_parser = boolean, action = ArgAction::Set)]
    pub insecure: bool,
    /// The log
    #[command(flatten)]
    pub logging: LoggingSettings,
}

fn default_budget() -> u64 {
    let info = rustix::system::sysinfo();
    // A 32-bit `unsigned long` counts units of `mem_unit` bytes.
    (u64::from(info.mem_unit.max(1)).saturating_mul(info.totalram as u64) / 2).max(64 << 20)
}

impl Section for ObjectStorageSettings {
    const NAME: &'static str = "object_storage_server";
    const COMMAND: &'static str = "scaler_object_storage_server";
    const ABOUT: &'static str = "Keeps large arguments and results for scheduler, clients and clusters";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("object_storage_address", "tcp://127.0.0.1:8517")];

    fn validate(&self, complain: &mut Complaints) {
        complain.listens("object_storage_address", &self.object_storage_address, self.insecure);
        self.logging.validate(complain);
    }

    fn derived(&self) -> Vec<Derived> {
        vec![Derived::from("memory_budget_bytes", self.memory_budget_bytes, "half of this machine's memory")]
    }

    fn logging(&self) -> LoggingSettings {
        self.logging.clone()
    }
}
