//! The call of cargo that makes a guest's core module.

use super::{
    GuestError,
    manifest::{Package, cargo},
    toolchain,
};
use serde::Deserialize;
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What makes guests small and fast, for the keys that the user's manifest leaves open.
/// `strip` keeps the names of functions, which the traces of traps show.
const PROFILE: [(&str, &str); 6] = [
    ("opt-level", "3"),
    ("lto", "true"),
    ("codegen-units", "1"),
    ("panic", "\"abort\""),
    ("debug", "false"),
    ("strip", "\"debuginfo\""),
];

/// Compiles the crate and gives the path of its core module. Cargo's own output goes to stderr.
pub(super) fn compile(package: &Package, progress: &mut dyn Write) -> Result<PathBuf, GuestError> {
    let target = if package.wasi { "wasm32-wasip1" } else { "wasm32-unknown-unknown" };
    let toolchain = toolchain::find(target, progress)?;
    let target_folder = package.target_folder.join("scaler").join(&toolchain.stamp);
    let mut command = cargo();
    command
        .args(["build", "--release", "--lib", "--target", target, "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&package.manifest)
        .arg("--target-dir")
        .arg(&target_folder)
        .current_dir(&package.folder);
    for (key, value) in PROFILE {
        if !package.profile_keys.iter().any(|own| own == key) {
            command.arg("--config").arg(format!("profile.release.{key}={value}"));
        }
    }
    command.arg("--config").arg(format!("target.{target}.rustflags={}", toml_array(&remap_flags(package))));
    // Flags for the host's programs do not fit a guest.
    for name in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "CARGO_BUILD_RUSTFLAGS"]
    {
        command.env_remove(name);
    }
    toolchain.apply(&mut command);
    if is_offline_enough(package, &toolchain, target) {
        command.arg("--offline");
    }
    run(&mut command, package)
}

/// Whether all dependencies are on this machine, so that cargo needs no network even to look.
fn is_offline_enough(package: &Package, toolchain: &toolchain::Toolchain, target: &str) -> bool {
    let mut command = cargo();
    command
        .args(["metadata", "--offline", "--format-version=1", "--filter-platform", target])
        .arg("--manifest-path")
        .arg(&package.manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    toolchain.apply(&mut command);
    command.status().is_ok_and(|status| status.success())
}

/// A line of cargo's output, as far as it is read.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn run(command: &mut Command, package: &Package) -> Result<PathBuf, GuestError> {
    let no_cargo = |program: &std::ffi::OsStr| {
        let program = program.to_string_lossy().into_owned();
        move |source| GuestError::NoCargo { program, source }
    };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(no_cargo(command.get_program()))?;
    let mut module = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
            if message.reason == "compiler-artifact" && message.manifest_path == package.manifest {
                let is_module = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
                module = message.filenames.into_iter().find(is_module).or(module);
            }
        }
    }
    let status = child.wait()?;
    match module {
        Some(module) if status.success() => Ok(module),
        _ => Err(GuestError::Compile { package: package.name.clone() }),
    }
}

/// Flags that keep this machine's paths out of guests, so that a build says the same everywhere. Later ones win.
fn remap_flags(package: &Package) -> Vec<String> {
    let mut pairs: Vec<(PathBuf, String)> = Vec::new();
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute() && home.parent().is_some());
    if let Some(home) = &home {
        pairs.push((home.clone(), "/home".to_owned()));
    }
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".cargo")));
    if let Some(cargo_home) = cargo_home {
        for kind in ["registry/src", "git/checkouts"] {
            let Ok(entries) = fs::read_dir(cargo_home.join(kind)) else { continue };
            pairs.extend(entries.flatten().map(|entry| (entry.path(), "/dependencies".to_owned())));
        }
    }
    pairs.push((package.workspace.clone(), "/guest".to_owned()));
    pairs.push((package.folder.clone(), "/guest".to_owned()));
    let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for (name, path) in &package.path_dependencies {
        pairs.push((path.clone(), format!("/dependencies/{name}")));
        pairs.push((resolved(path), format!("/dependencies/{name}")));
    }
    pairs.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

fn toml_array(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| toml::Value::from(item.as_str()).to_string()).collect();
    format!("[{}]", items.join(", "))
}
