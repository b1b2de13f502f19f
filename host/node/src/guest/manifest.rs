//! What cargo says about a guest crate.

use super::{GuestError, is_manifest, sdk};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A crate that `scaler build` can compile.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: PathBuf,
    pub(super) manifest: PathBuf,
    /// The workspace's folder, where profiles and the lock file are.
    pub(super) workspace: PathBuf,
    /// Where cargo puts intermediates.
    pub(super) target_folder: PathBuf,
    /// Whether the guest uses WASI.
    pub(super) wasi: bool,
    /// Folders of the dependencies given by path, with their names.
    pub(super) path_dependencies: Vec<(String, PathBuf)>,
    /// Keys that the workspace sets for the release profile itself.
    pub(super) profile_keys: Vec<String>,
}

/// The part of `cargo metadata` that is read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

/// The cargo to call: the one that called us, else the one on PATH.
pub(super) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Reads the crate in a folder, or of a manifest.
pub(super) fn read(path: &Path) -> Result<Package, GuestError> {
    let manifest = if is_manifest(path) { path.to_owned() } else { path.join("Cargo.toml") };
    let Ok(manifest) = fs::canonicalize(&manifest) else { return Err(GuestError::NoManifest(path.to_owned())) };
    // Cargo reads nothing of a project whose SDK is not there, and cannot say why it is not.
    sdk::look_for(&manifest)?;
    let metadata = metadata(&manifest)?;
    let same = |package: &MetadataPackage| {
        fs::canonicalize(&package.manifest_path).is_ok_and(|candidate| candidate == manifest)
    };
    let Some(package) = metadata.packages.into_iter().find(same) else {
        return Err(GuestError::NoPackage(manifest));
    };
    let is_cdylib = |target: &Target| target.crate_types.iter().any(|kind| kind == "cdylib");
    if !package.targets.iter().any(is_cdylib) {
        return Err(GuestError::NotCdylib { package: package.name, path: manifest });
    }
    let wasi = wasi(&package, &manifest)?;
    let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
    let path_dependencies = package.dependencies.into_iter();
    let path_dependencies =
        path_dependencies.filter_map(|dependency| Some((dependency.name, dependency.path?))).collect();
    Ok(Package {
        name: package.name,
        folder,
        manifest,
        profile_keys: profile_keys(&metadata.workspace_root),
        workspace: metadata.workspace_root,
        target_folder: metadata.target_directory,
        wasi,
        path_dependencies,
    })
}

fn metadata(manifest: &Path) -> Result<Metadata, GuestError> {
    let mut command = cargo();
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    let output = command.stdin(Stdio::null()).output().map_err(|source| GuestError::NoCargo {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    let failed = |message: String| GuestError::Metadata { path: manifest.to_owned(), message };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// `[package.metadata.scaler] wasi`, by default true.
fn wasi(package: &MetadataPackage, manifest: &Path) -> Result<bool, GuestError> {
    let setting = |message: String| GuestError::Setting { path: manifest.to_owned(), message };
    let Some(settings) = package.metadata.as_ref().and_then(|metadata| metadata.get("scaler")) else {
        return Ok(true);
    };
    let settings = settings.as_object().ok_or_else(|| setting("is no table".to_owned()))?;
    if let Some(key) = settings.keys().find(|key| *key != "wasi") {
        return Err(setting(format!("has a key `{key}`")));
    }
    match settings.get("wasi") {
        None => Ok(true),
        Some(value) => value.as_bool().ok_or_else(|| setting(format!("has `wasi = {value}`"))),
    }
}

/// What the user decided about release builds; the rest is ours.
fn profile_keys(workspace: &Path) -> Vec<String> {
    let text = fs::read_to_string(workspace.join("Cargo.toml")).unwrap_or_default();
    let Ok(manifest) = text.parse::<toml::Table>() else { return Vec::new() };
    let profile = manifest.get("profile").and_then(|profiles| profiles.get("release"));
    profile.and_then(toml::Value::as_table).map(|profile| profile.keys().cloned().collect()).unwrap_or_default()
}
