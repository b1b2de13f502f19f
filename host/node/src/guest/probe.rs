//! What there is for building guests, looked at without changing anything.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{cache, debian, manifest, toolchain};

/// The targets that guests are compiled for.
pub(crate) const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip1"];

/// What cargo calls itself, if it runs.
pub(crate) fn cargo_version() -> Option<String> {
    first_line(manifest::cargo().arg("--version"))
}

/// The compiler that `scaler build` would take for a target, if it need not get one first.
pub(crate) fn toolchain_for(target: &str) -> Option<String> {
    let has = |rustc: &PathBuf| toolchain::library_folder(rustc, target).is_some();
    let name = |rustc: &PathBuf| first_line(Command::new(rustc).arg("--version"));
    let at = |folder: PathBuf| Some(folder.join("bin/rustc")).filter(has).map(|rustc| rustc.display().to_string());
    if let Some(folder) = env::var_os(toolchain::VARIABLE).filter(|value| !value.is_empty()) {
        return at(folder.into());
    }
    let own = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    if has(&own) { name(&own) } else { at(cache::folder().join(debian::FOLDER)) }
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
