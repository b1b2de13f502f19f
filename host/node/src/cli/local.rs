//! `scaler run`: one call in a sandbox on this machine, without a cluster.

use std::{path::PathBuf, process::ExitCode};

use scaler_proto::call::Call;

use super::{
    output::{self, Output},
    submit::call,
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The call: "module.path:function(arguments, key=value)"
    #[arg(value_name = "CALL", value_parser = call)]
    call: Call,
    /// Folder with the components
    #[arg(long, value_name = "DIR", default_value = "./modules")]
    module_path: PathBuf,
    /// Form of the result on stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Json)]
    output: Output,
}

pub(super) fn run(arguments: &RunArgs) -> anyhow::Result<ExitCode> {
    todo!()
}
