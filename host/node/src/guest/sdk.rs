//! The SDK that this program carries, unpacked into the user's cache, where guest projects name it by its path.
//!
//! A cache may be cleaned at any time, and a project may come to another machine: a build looks whether the path still
//! leads to an SDK. What this program would put there itself it puts there again; any other path is the author's, and
//! is told with the line to write. The author's file is never changed.

use super::{GuestError, cache, write};
use include_dir::{Dir, DirEntry, include_dir};
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk");

/// The name under which cargo knows it.
const PACKAGE: &str = "scaler-guest";

/// The SDK in the user's cache: made once for each version, named after its content, and made whole again if something
/// has cleaned there.
pub(super) fn unpack() -> Result<PathBuf, GuestError> {
    let files = files(&SDK);
    let folder = own_folder(&files);
    if is_whole(&folder, &files) {
        return Ok(folder);
    }
    let cache = cache::folder();
    fs::create_dir_all(&cache).map_err(GuestError::file("create", &cache))?;
    let in_cache = || {
        let scratch = tempfile::Builder::new().prefix(".sdk-").tempdir_in(&cache);
        scratch.map_err(GuestError::file("create a folder in", &cache))
    };
    let scratch = in_cache()?;
    for (path, content) in &files {
        write(&scratch.path().join(path), content)?;
    }
    // A workspace of its own: else cargo looks for one in the folders above.
    let manifest = scratch.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(GuestError::file("read", &manifest))?;
    write(&manifest, format!("{text}\n[workspace]\nmembers = [\"macros\"]\n").as_bytes())?;
    // What is left of an old one makes room; it goes with its scratch folder.
    let old = in_cache()?;
    let _ = fs::rename(&folder, old.path().join("sdk"));
    let scratch = scratch.keep();
    match fs::rename(&scratch, &folder) {
        Ok(()) => Ok(folder),
        // Another program was faster.
        Err(_) if is_whole(&folder, &files) => {
            let _ = fs::remove_dir_all(&scratch);
            Ok(folder)
        }
        Err(source) => {
            let _ = fs::remove_dir_all(&scratch);
            Err(GuestError::File { action: "create", path: folder, source })
        }
    }
}

/// Sees to it that a guest's dependency on the SDK leads to one.
///
/// # Errors
/// When it leads nowhere and not to our own place either; then our own SDK is there, to be written into the manifest.
pub(super) fn look_for(manifest: &Path) -> Result<(), GuestError> {
    let Some((manifest, text, named)) = named_in(manifest) else { return Ok(()) };
    let path = manifest.parent().unwrap_or(Path::new("/")).join(&named.path);
    let own = own_folder(&files(&SDK));
    if path == own {
        return unpack().map(drop);
    }
    if path.join("Cargo.toml").exists() {
        return Ok(());
    }
    let own = unpack()?;
    let line = text[..named.start].bytes().filter(|byte| *byte == b'\n').count() + 1;
    let before = text[..named.start].rsplit('\n').next().unwrap_or_default();
    let after = text[named.end..].lines().next().unwrap_or_default();
    let value = toml::Value::from(own.to_string_lossy().into_owned());
    let remedy = format!("{before}{value}{after}").trim().to_owned();
    Err(GuestError::NoSdk { manifest, line, path, remedy })
}

/// Where a manifest says that the SDK is.
struct Named {
    path: PathBuf,
    /// Place of the value in the text, quotes included.
    start: usize,
    end: usize,
}

/// What a package says about its SDK.
enum Said {
    Here(Named),
    /// `workspace = true`
    InWorkspace,
}

/// The manifest that names the SDK's path, with its text: the package's own, or that of its workspace. What cannot be
/// read is for cargo to tell.
fn named_in(manifest: &Path) -> Option<(PathBuf, String, Named)> {
    let text = fs::read_to_string(manifest).ok()?;
    match said(&text)? {
        Said::Here(named) => Some((manifest.to_owned(), text, named)),
        Said::InWorkspace => manifest.ancestors().skip(2).find_map(|folder| {
            let root = folder.join("Cargo.toml");
            let text = fs::read_to_string(&root).ok()?;
            let named = said_for_all(&text)?;
            Some((root, text, named))
        }),
    }
}

fn said(text: &str) -> Option<Said> {
    let tables = DeTable::parse(text).ok()?;
    let entry = dependency(get(tables.get_ref(), "dependencies")?)?;
    let of_workspace = get(table(entry)?, "workspace").is_some_and(|value| value.get_ref().as_bool() == Some(true));
    if of_workspace { Some(Said::InWorkspace) } else { named(entry).map(Said::Here) }
}

fn said_for_all(text: &str) -> Option<Named> {
    let tables = DeTable::parse(text).ok()?;
    named(dependency(get(table(get(tables.get_ref(), "workspace")?)?, "dependencies")?)?)
}

fn named(entry: &Spanned<DeValue<'_>>) -> Option<Named> {
    let value = get(table(entry)?, "path")?;
    let path = value.get_ref().as_str()?.into();
    Some(Named { path, start: value.span().start, end: value.span().end })
}

/// The entry of the SDK, which may have another name in the project.
fn dependency<'v, 't>(dependencies: &'v Spanned<DeValue<'t>>) -> Option<&'v Spanned<DeValue<'t>>> {
    let is_sdk = |name: &str, value: &Spanned<DeValue<'_>>| {
        let package =
            table(value).and_then(|table| get(table, "package")).and_then(|package| package.get_ref().as_str());
        package.unwrap_or(name) == PACKAGE
    };
    let entry = table(dependencies)?.iter().find(|(name, value)| is_sdk(name.get_ref(), value))?;
    Some(entry.1)
}

fn table<'v, 't>(value: &'v Spanned<DeValue<'t>>) -> Option<&'v DeTable<'t>> {
    if let DeValue::Table(table) = value.get_ref() { Some(table) } else { None }
}

fn get<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<&'v Spanned<DeValue<'t>>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}

/// Where it is unpacked.
fn own_folder(files: &[(&Path, &[u8])]) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in files {
        hasher.update(path.as_os_str().as_encoded_bytes()).update(&[0]);
        hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
    }
    let hash = &hasher.finalize().to_hex()[..8];
    cache::folder().join(format!("sdk-{}-{hash}", env!("CARGO_PKG_VERSION")))
}

/// Whether every file is there. Their content is nobody's to change.
fn is_whole(folder: &Path, files: &[(&Path, &[u8])]) -> bool {
    files.iter().all(|(path, content)| {
        // The manifest has grown when it was unpacked.
        fs::metadata(folder.join(path)).is_ok_and(|there| there.is_file() && there.len() >= content.len() as u64)
    })
}

/// The files of the carried SDK in a fixed order, without what a build may have left between them.
fn files<'a>(folder: &'a Dir<'a>) -> Vec<(&'a Path, &'a [u8])> {
    let mut found = Vec::new();
    for entry in folder.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        match entry {
            DirEntry::Dir(folder) if name != "target" && name != "tests" => found.extend(files(folder)),
            DirEntry::File(file) if name != "Cargo.lock" => found.push((file.path(), file.contents())),
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carried_sdk_is_complete() {
        let files = files(&SDK);
        for wanted in
            ["Cargo.toml", "src/lib.rs", "src/abi.rs", "macros/Cargo.toml", "macros/src/lib.rs", "wit/host.wit"]
        {
            assert!(files.iter().any(|(path, content)| *path == Path::new(wanted) && !content.is_empty()), "{wanted}");
        }
        assert!(!files.iter().any(|(path, _)| path.starts_with("target") || path.starts_with("macros/target")));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_with_the_line_to_write() {
        let folder = tempfile::tempdir().expect("folder");
        let (root, member) = (folder.path().join("Cargo.toml"), folder.path().join("a/Cargo.toml"));
        write(&member, b"").expect("folder");
        let of_workspace = "[workspace.dependencies]\nscaler-guest = { path = '/nowhere/sdk' }\n";
        for (own, above, line, end) in [
            (
                "[dependencies]\nscaler-guest = { path = \"/no/sdk\", features = [] } # sdk",
                "",
                2,
                "features = [] } # sdk",
            ),
            ("[dependencies.sdk]\npackage = 'scaler-guest'\npath = '../nowhere'", "", 3, ""),
            ("[dependencies]\nscaler-guest.workspace = true\n", of_workspace, 2, " }"),
        ] {
            fs::write(&member, own).expect("file");
            fs::write(&root, above).expect("file");
            let error = look_for(&member).expect_err(own);
            let GuestError::NoSdk { manifest, line: told, path, remedy } = &error else { panic!("{error}") };
            let wanted = if above.is_empty() { &member } else { &root };
            assert_eq!((manifest, *told, path.exists()), (wanted, line, false), "{error}");
            let sdk = unpack().expect("the SDK");
            assert!(remedy.contains(&format!("path = \"{}\"", sdk.display())) && remedy.ends_with(end), "{error}");
            // Whoever does what it says has it.
            let mended: Vec<&str> = [own, above][usize::from(!above.is_empty())].lines().collect();
            let mended = [&mended[..line - 1], &[remedy.as_str()], &mended[line..]].concat().join("\n");
            fs::write(wanted, mended).expect("file");
            look_for(&member).expect("it is mended");
        }
        for fine in ["", "[dependencies]\nscaler-guest = '1'", "[dependencies]\nserde = { path = '/no' }", "= broken"] {
            fs::write(&member, fine).expect("file");
            look_for(&member).expect(fine);
        }
    }
}
