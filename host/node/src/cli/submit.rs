//! `scaler submit`: one call on a cluster.

use std::{process::ExitCode, time::Instant};

use scaler_client::{Arguments, Value, blocking::Client};
use scaler_proto::call::Call;

use super::{
    connect::{CallOptions, Connection},
    interrupt::Interrupt,
    output::{self, Output},
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    connection: Connection,
    /// The call: "module.path:function(arguments, key=value)"
    #[arg(value_name = "CALL", value_parser = call)]
    call: Call,
    #[command(flatten)]
    options: CallOptions,
    /// Form of the result on stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Json)]
    output: Output,
    /// Say what goes wrong as one JSON object on the last line of stderr: {"error": {"type": .., "message": .., ..}}
    #[arg(long)]
    pub(super) json: bool,
}

/// A call; the error begins on a line of its own, so that its caret points where it should.
pub(super) fn call(text: &str) -> Result<Call, String> {
    Call::parse(text).map_err(|error| format!("\n{error}"))
}

/// The arguments as they were written.
pub(super) fn arguments(call: &Call) -> Arguments {
    let positional = call.args.iter().fold(Arguments::new(), |arguments, value| arguments.arg(value));
    call.kwargs.iter().fold(positional, |arguments, (name, value)| arguments.kwarg(name.clone(), value))
}

pub(super) fn submit(arguments_: &SubmitArgs) -> anyhow::Result<ExitCode> {
    let client = arguments_.connection.open()?;
    let interrupt = Interrupt::watch(&client)?;
    let value = result(&client, arguments_);
    client.disconnect();
    let value = interrupt.unless_interrupted(value, "interrupted; the task is canceled")?;
    output::print(arguments_.output, &value)?;
    Ok(ExitCode::SUCCESS)
}

fn result(client: &Client, arguments_: &SubmitArgs) -> anyhow::Result<Value> {
    let SubmitArgs { call, options, output, .. } = arguments_;
    let called = Instant::now();
    let target = format!("{}:{}", call.module, call.function);
    let function = options.function(client, &target)?;
    output::check_form(*output, &target, &function.signature())?;
    Ok(client.submit_with(&function, arguments(call), &options.submit().called_at(called))?.value()?)
}
