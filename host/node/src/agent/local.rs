//! One call in one processor, without a cluster: what `scaler run` does.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use scaler_module::{DottedName, Module, Signature, module_name};
use scaler_proto::{
    call::Call,
    ids::{ClientId, TaskId},
    message::{ModuleInfo, Outcome, TaskStats},
};

use super::{
    direct::Direct,
    setup_of,
    workshop::{Workshop, bind, text_of},
};
use crate::{
    config::ClusterSettings,
    exit,
    plural::counted,
    processor::records::{self, Argument, Begin, ExportRecord, Kind, ProgramRecord, TaskRecord},
};

/// How a local call ended.
#[derive(Clone, Debug)]
pub struct LocalOutcome {
    /// The signature of the function, to decode what it returned.
    pub signature: Signature,
    /// Its result or failure; always inline.
    pub outcome: Outcome,
    /// What it cost.
    pub stats: TaskStats,
}

/// Runs one call in a processor of its own, under the limits and grants of a cluster's settings, with the modules of
/// `settings.module_path`. A preload in the settings runs first if it is of the same module. The call ends at the lower
/// one of `timeout` and the settings' own, as a task on a cluster does.
///
/// # Errors
/// With code 2 when the call never became a task: no such module or function, or arguments that do not fit.
pub fn run_locally(settings: &ClusterSettings, call: &Call, timeout: Option<Duration>) -> anyhow::Result<LocalOutcome> {
    // That there is no folder is told below, if it matters.
    let has_folder = settings.module_path.is_dir();
    let (modules, dotted) =
        if has_folder { super::catalogue::read_all(&settings.module_path) } else { Default::default() };
    let is_known = |info: &ModuleInfo| {
        call.module.strip_prefix(&info.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_there = modules.iter().any(|(info, _)| is_known(info));
    let (info, signature, bound) = bind(call, modules.iter().map(|(info, _)| info)).map_err(|reason| {
        let is_bound = reason.starts_with(&format!("{}:{}: ", call.module, call.function));
        match is_there {
            false => {
                let looked = where_looked(&settings.module_path, modules.is_empty(), likest(dotted, &call.module));
                exit::helped(exit::USAGE, "unknown_module", reason, looked)
            }
            true if is_bound => exit::named(exit::USAGE, "type_mismatch", reason),
            true => exit::named(exit::USAGE, "unknown_function", reason),
        }
    })?;
    let file = modules.iter().find(|(other, _)| other.path == info.path).map(|(_, file)| file);
    let bytes = fs::read(file.unwrap_or(&PathBuf::new()))?;
    let module = Module::read(&bytes).map_err(|error| exit::coded(exit::USAGE, error.to_string()))?;
    let workshop = Workshop::new(setup_of(settings))?;
    let of_settings = Some(Duration::from_secs(settings.task_timeout_seconds)).filter(|limit| !limit.is_zero());
    let limit = timeout.into_iter().chain(of_settings).min();
    let outcome = run(&workshop, limit, &info.path, &module, &bytes, bound);
    workshop.clean();
    let (outcome, stats) = outcome?;
    Ok(LocalOutcome { signature, outcome, stats })
}

/// The files that were left out, first those that the call may mean.
fn likest(mut dotted: Vec<DottedName>, module: &str) -> Vec<DottedName> {
    let asked = module.replace('.', "_");
    let is_meant = |dotted: &DottedName| {
        let own = module_name(Path::new(&dotted.renamed)).unwrap_or_default();
        asked.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    dotted.sort_by_key(|dotted| !is_meant(dotted));
    dotted
}

/// Where modules were looked for, and how to have them found elsewhere.
fn where_looked(folder: &Path, is_empty: bool, dotted: Vec<DottedName>) -> String {
    let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let shown = shown.display();
    let what = match is_empty {
        true if !folder.is_dir() => format!("there is no folder {shown}"),
        true => format!("there is no module in {shown}"),
        false => format!("the modules are those in {shown}"),
    };
    let looked = format!("{what}; --module-path names another one (`scaler build` puts components into GUEST/modules)");
    match &dotted[..] {
        [] => looked,
        [one] => format!("{looked}; left out: {one}"),
        [one, more @ ..] => format!("{looked}; left out: {one}, and {} likewise", counted(more.len(), "more file")),
    }
}

fn run(
    workshop: &Workshop,
    limit: Option<Duration>,
    name: &str,
    module: &Module,
    bytes: &[u8],
    bound: records::PreloadRecord,
) -> anyhow::Result<(Outcome, TaskStats)> {
    let refused = |failure| exit::coded(exit::USAGE, text_of(&failure));
    let prepared = workshop.prepare(name, bytes, module.hash, None).map_err(refused)?;
    let direct = Direct::start(workshop.setup(), "run").map(Direct::alone);
    let mut direct = direct.map_err(|failure| anyhow::anyhow!(text_of(&failure)))?;
    direct.say(Kind::Program, &ProgramRecord { number: 0, artifact: prepared.artifact, preload: None });
    let (interface, function) = (bound.interface, bound.function);
    // Who asked has the signature, and says the error value in full.
    let export = ExportRecord { number: 0, program: 0, interface, function, signature: Vec::new() };
    direct.say(Kind::Export, &export);
    direct.say(Kind::Begin, &Begin { program: None });
    // In milliseconds, of which 0 would be no limit.
    let in_ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    let timeout_ms = limit.map_or(0, in_ms);
    records::put_task(
        direct.outgoing(),
        &TaskRecord {
            sequence: 1,
            export: 0,
            attempt: 1,
            task: TaskId { client: ClientId(0), number: 1 },
            timeout_ms,
            inline_max: u32::MAX,
            objects: Vec::new(),
            arguments: Argument::Inline(&bound.arguments),
        },
    );
    // The processor ends the guest itself at its limit; a processor that cannot is killed soon after.
    let limit = (timeout_ms != 0).then(|| Duration::from_millis(timeout_ms));
    match direct.answer(Kind::Done, limit, "the call") {
        Ok(body) => {
            let done = records::done(&body)?;
            Ok((done.outcome, done.stats))
        }
        Err(failure) => Ok((Outcome::Failed(failure), TaskStats::default())),
    }
}
