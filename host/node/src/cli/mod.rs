//! The command line of `scaler`, and the entry points of the thin mains.
//!
//! Results go to stdout and nothing else does; what is for people goes to stderr. Servers are dispatched before clap
//! sees anything, because their options come from the settings (`roles`).

mod cancel;
mod check;
mod completions;
mod connect;
mod doctor;
mod failure;
mod inspect;
mod interrupt;
mod local;
mod logs;
mod map;
mod output;
mod roles;
mod status;
mod submit;
mod up;
mod watch;

use std::{env, ffi::OsString, io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

pub use roles::{cluster, object_storage_server, scheduler, terminal_view, web_ui};

use crate::{bench, demo, exit, guest};

/// Runs functions of WebAssembly components as tasks on a cluster, each in a sandbox of its own.
#[derive(Parser)]
#[command(name = "scaler", version, after_help = EXIT_CODES, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Commands,
}

const EXIT_CODES: &str = "\
A call is written module.path:function(arguments), with Python's or JSON's literals: \"init:configure('production', debug=false)\".

Results go to stdout and nothing else does. With --json a failure is one JSON object on the last line of stderr: \
{\"error\": {\"type\": \"guest_error\", \"message\": .., \"exit_code\": 1, \"task\": .., \"worker\": .., \"value\": ..}}. \
The README lists the types.

Exit codes: 0 success; 1 the task failed, or the server refused; 2 wrong usage or configuration, or the call never \
became a task; 3 no scheduler within --connect-timeout-seconds; 130 interrupted by Ctrl-C, with the work canceled. \
Servers: 0 stopped, 2 configuration, 4 preload failed, 5 death timeout, 1 anything else. Ctrl-C is how `up`, `watch` \
and `logs --follow` end, with 0.";

#[derive(Subcommand)]
enum Commands {
    /// Make a new guest project
    New(NewCommand),
    /// Turn a guest crate into a component
    Build(BuildCommand),
    /// Build a guest and call it, again after every change of its files
    Watch(watch::WatchArgs),
    /// Show what a component exports and imports
    Inspect(inspect::InspectArgs),
    /// Call a function in a sandbox on this machine, without a cluster
    Run(local::RunArgs),
    /// Call a function on a cluster and print its result
    Submit(submit::SubmitArgs),
    /// Call a function for every element of an input, results in input order
    Map(map::MapArgs),
    /// Show scheduler, workers, clients and tasks
    Status(status::StatusArgs),
    /// Show what guests write, with task and worker
    Logs(logs::LogsArgs),
    /// End tasks, whoever submitted them
    Cancel(cancel::CancelArgs),
    /// End a scheduler and its clusters
    Shutdown(status::ShutdownArgs),
    /// Run object storage, scheduler, cluster and page together in the foreground, as far as a file has them
    Up(up::UpArgs),
    /// Check a deployment file
    Config(check::ConfigArgs),
    /// Say what is missing on this machine, and what to do about it
    Doctor(doctor::DoctorArgs),
    /// Print a script that completes commands and flags in a shell
    Completions(completions::CompletionsArgs),
    /// Price options on a cluster of your own for some seconds, with pictures
    Demo(demo::DemoArgs),
    /// Measure no-op tasks through the real processes, beside the sandbox alone
    Bench(bench::BenchArgs),
    /// Take calls from clients and place them on clusters (`scaler_scheduler`)
    #[command(disable_help_flag = true)]
    Scheduler(RoleArgs),
    /// Run workers for a scheduler (`scaler_cluster`)
    #[command(disable_help_flag = true)]
    Cluster(RoleArgs),
    /// Keep large arguments and results (`scaler_object_storage_server`)
    #[command(name = "object_storage_server", disable_help_flag = true)]
    ObjectStorageServer(RoleArgs),
    /// Serve a page that shows a cluster as it works (`scaler_ui`)
    #[command(disable_help_flag = true)]
    Ui(RoleArgs),
    /// Show a cluster in the terminal as it works (`scaler_top`)
    #[command(disable_help_flag = true)]
    Top(RoleArgs),
}

impl Commands {
    /// Whether a failure is told as JSON.
    fn is_json(&self) -> bool {
        match self {
            Self::New(arguments) => arguments.json,
            Self::Build(arguments) => arguments.json,
            Self::Watch(arguments) => arguments.json,
            Self::Inspect(arguments) => arguments.json,
            Self::Run(arguments) => arguments.json,
            Self::Submit(arguments) => arguments.json,
            Self::Map(arguments) => arguments.json,
            Self::Status(arguments) => arguments.json,
            Self::Logs(arguments) => arguments.json,
            Self::Cancel(arguments) => arguments.json,
            Self::Shutdown(arguments) => arguments.json,
            Self::Up(arguments) => arguments.json,
            Self::Config(arguments) => arguments.is_json(),
            Self::Doctor(arguments) => arguments.json,
            Self::Bench(arguments) => arguments.is_json(),
            Self::Demo(arguments) => arguments.is_json(),
            // Nothing of these is there to be parsed, or they have options of their own.
            Self::Completions(_)
            | Self::Scheduler(_)
            | Self::Cluster(_)
            | Self::ObjectStorageServer(_)
            | Self::Ui(_)
            | Self::Top(_) => false,
        }
    }
}

/// `scaler new`.
#[derive(clap::Args)]
struct NewCommand {
    #[command(flatten)]
    new: guest::NewArgs,
    /// Say as one JSON object what was made, or what went wrong (on stderr)
    #[arg(long)]
    json: bool,
}

/// `scaler build`, once or again and again.
#[derive(clap::Args)]
struct BuildCommand {
    #[command(flatten)]
    build: guest::BuildArgs,
    /// Build again whenever a file of the guest changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Say as one JSON object what was built (with --watch one a build), or what went wrong (on stderr)
    #[arg(long)]
    json: bool,
}

/// A role's arguments are read by `roles`; here they only make the command appear in the help.
#[derive(clap::Args)]
struct RoleArgs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `scaler`, with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let first = arguments.get(1).map(OsString::as_os_str);
    if let Some(code) = roles::hidden(first) {
        return code;
    }
    if first.is_some_and(|first| first == "__storage") {
        return roles::run_storage(arguments.into_iter().skip(1));
    }
    if first.is_some_and(|first| first == bench::SANDBOX_ROLE) {
        return bench::sandbox_main(arguments.into_iter().skip(2));
    }
    if first.is_some_and(|first| first == bench::AUDIENCE_ROLE) {
        return bench::audience_main(arguments.into_iter().skip(2));
    }
    if let Some(code) = help_of_role(&arguments) {
        return code;
    }
    let as_json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    match Cli::try_parse_from(check::file_as_argument(arguments)) {
        Ok(cli) => run(cli.command),
        Err(error) if as_json && error.use_stderr() => {
            // With stderr closed there is nobody to tell.
            let _ = std::io::stderr().write_all(failure::usage(&error.render().to_string()).as_bytes());
            ExitCode::from(exit::USAGE)
        }
        Err(error) => {
            // With the output closed there is nobody to tell.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::SUCCESS })
        }
    }
}

/// `scaler help cluster`: its options are not clap's own, so that its own help must tell them.
fn help_of_role(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, help, name] = arguments else { return None };
    let line = [OsString::from(format!("scaler {}", name.to_str()?)), "-h".into()];
    match name.to_str().filter(|_| help == "help")? {
        "scheduler" => Some(roles::run_scheduler(line)),
        "cluster" => Some(roles::run_cluster(line)),
        "object_storage_server" => Some(roles::run_storage(line)),
        "ui" => Some(roles::run_ui(line)),
        "top" => Some(roles::run_top(line)),
        _ => None,
    }
}

fn run(command: Commands) -> ExitCode {
    let role = |name: &str, arguments: RoleArgs| std::iter::once(OsString::from(name)).chain(arguments.arguments);
    let as_json = command.is_json();
    let outcome = match command {
        Commands::Scheduler(arguments) => return roles::run_scheduler(role("scaler scheduler", arguments)),
        Commands::Cluster(arguments) => return roles::run_cluster(role("scaler cluster", arguments)),
        Commands::ObjectStorageServer(arguments) => {
            return roles::run_storage(role("scaler object_storage_server", arguments));
        }
        Commands::Ui(arguments) => return roles::run_ui(role("scaler ui", arguments)),
        Commands::Top(arguments) => return roles::run_top(role("scaler top", arguments)),
        Commands::New(arguments) => make(&arguments),
        Commands::Build(arguments) => build(&arguments),
        Commands::Watch(arguments) => watch::watch(&arguments),
        Commands::Inspect(arguments) => inspect::inspect(&arguments),
        Commands::Run(arguments) => local::run(&arguments),
        Commands::Submit(arguments) => submit::submit(&arguments),
        Commands::Map(arguments) => map::map(&arguments),
        Commands::Status(arguments) => status::status(&arguments),
        Commands::Logs(arguments) => logs::logs(&arguments),
        Commands::Cancel(arguments) => cancel::cancel(&arguments),
        Commands::Shutdown(arguments) => status::shutdown(&arguments),
        Commands::Up(arguments) => up::up(&arguments),
        Commands::Config(arguments) => check::config(&arguments),
        Commands::Doctor(arguments) => doctor::doctor(&arguments),
        Commands::Completions(arguments) => completions::completions(&arguments),
        Commands::Demo(arguments) => demo::demo(&arguments),
        Commands::Bench(arguments) => bench::bench(&arguments),
    };
    outcome.unwrap_or_else(|error| failure::explain(&error, as_json))
}

fn make(arguments: &NewCommand) -> anyhow::Result<ExitCode> {
    let NewCommand { new, json } = arguments;
    let mut told = Vec::new();
    guest::new(new, &mut told).map_err(anyhow::Error::new)?;
    if *json {
        let module = new.name.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
        told = format!("{}\n", serde_json::json!({"path": new.name.to_string_lossy(), "module": module})).into_bytes();
    }
    output::written(std::io::stdout().lock().write_all(&told))?;
    Ok(ExitCode::SUCCESS)
}

fn build(arguments: &BuildCommand) -> anyhow::Result<ExitCode> {
    if arguments.watch {
        return watch::build(&arguments.build, arguments.json);
    }
    let built = guest::build(&arguments.build, &mut std::io::stderr()).map_err(anyhow::Error::new)?;
    let mut stdout = std::io::stdout().lock();
    let line = if arguments.json {
        serde_json::json!({
            "path": built.path.to_string_lossy(),
            "size_bytes": built.size_bytes,
            "functions": built.functions,
            "wasi": built.wasi,
            "elapsed_ms": u64::try_from(built.elapsed.as_millis()).unwrap_or(u64::MAX),
        })
        .to_string()
    } else {
        built.path.display().to_string()
    };
    output::written(writeln!(stdout, "{line}"))?;
    Ok(ExitCode::SUCCESS)
}
