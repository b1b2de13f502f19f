//! Tidiness as tests: documentation in step with the code, walls between crates, headers, lengths, no traces of the
//! machine it was written on.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Longest line, in characters; string literals and texts of tests are left alone, as rustfmt does.
const LINE_CHARS_MAX: usize = 120;
/// Longest file of code; tests may be longer.
const FILE_LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// All files of the project below a folder, without build results.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if matches!(name, "target" | ".git" | "modules") {
            continue;
        }
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Paths relative to the root, with their texts; binary files are left out.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    let relative = |path: &Path| path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
    found.iter().filter_map(|path| Some((relative(path), fs::read_to_string(path).ok()?))).collect()
}

fn sources() -> Vec<(String, String)> {
    texts().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

fn none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

#[test]
fn the_readme_holds_the_settings_as_they_are_declared() {
    const BEGIN: &str = "<!-- settings: generated, see tests/tidy.rs -->\n";
    const END: &str = "<!-- end of settings -->";
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the mark where the settings begin");
    let (_, after) = rest.split_once(END).expect("the README has the mark where the settings end");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", scaler_node::config::markdown_tables());
    if env::var_os("SCALER_UPDATE_README").is_some() {
        fs::write(&path, &expected).expect("write README.md");
        return;
    }
    assert!(readme == expected, "the settings in README.md are old; run this test with SCALER_UPDATE_README=1");
}

#[test]
fn every_file_says_why_it_exists() {
    let offenders: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    none("files without a module header", &offenders);
}

#[test]
fn lines_and_files_are_short() {
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        let is_test = path.contains("tests");
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_CHARS_MAX && !line.contains('"') && !is_test {
                offenders.push(format!("{path}:{}: longer than {LINE_CHARS_MAX} characters", index + 1));
            }
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !is_test {
            offenders.push(format!("{path}: {lines} lines; split it by idea"));
        }
    }
    none("too long", &offenders);
}

#[test]
fn nothing_tells_of_the_machine_it_was_written_on() {
    // Put together here, so that this file does not accuse itself.
    let traces = [["/", "root", "/"].concat(), ["/", "home", "/"].concat(), ["/", "work", "/"].concat()];
    // An absolute path begins where no name goes on.
    let absolute = |text: &str, at: usize| {
        !text[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || "/.)}_-".contains(before))
    };
    let tells =
        |text: &str| traces.iter().any(|trace| text.match_indices(trace.as_str()).any(|(at, _)| absolute(text, at)));
    let offenders: Vec<_> = texts().into_iter().filter(|(_, text)| tells(text)).map(|(path, _)| path).collect();
    none("files with paths of a machine", &offenders);
}

#[test]
fn every_dependency_has_its_reason() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let section = text.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    let lines = section.expect("the section").lines().filter(|line| !line.trim().is_empty());
    let offenders: Vec<_> = lines
        .filter(|line| !line.starts_with('#') && !line.contains("path = ") && !line.contains(" # "))
        .map(str::to_owned)
        .collect();
    none("dependencies without a reason", &offenders);
}

/// What a crate's manifest names: its own dependencies, without those of its tests.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(manifest)).expect(manifest);
    let table: toml::Table = text.parse().expect(manifest);
    let section = table.get("dependencies").and_then(toml::Value::as_table);
    section.into_iter().flat_map(|section| section.keys().cloned()).collect()
}

#[test]
fn each_wall_between_crates_stands() {
    const CRATES: [&str; 6] = ["proto", "module", "net", "sandbox", "client", "node"];
    let manifest = |name: &str| dependencies(&format!("host/{name}/Cargo.toml"));
    let allowed = ["serde", "serde_bytes", "rmp-serde", "rmp", "thiserror", "unicode-width"].map(str::to_owned);
    let pure = manifest("proto");
    none(
        "proto is pure: only values, their codec and the width of characters",
        &pure.iter().filter(|name| !allowed.contains(name)).cloned().collect::<Vec<_>>(),
    );
    for name in CRATES {
        let named = manifest(name);
        assert!(name == "net" || !named.iter().any(|other| other.starts_with("zmq")), "{name} names zmq");
        assert!(name == "sandbox" || !named.iter().any(|other| other.starts_with("wasmtime")), "{name} names wasmtime");
    }
    // Every arrow points down.
    let below: &[(&str, &[&str])] = &[
        ("proto", &[]),
        ("module", &["proto"]),
        ("net", &["proto"]),
        ("sandbox", &["module", "proto"]),
        ("client", &["module", "net", "proto"]),
        ("node", &["client", "sandbox", "module", "net", "proto"]),
    ];
    for (name, below) in below {
        for other in manifest(name).iter().filter_map(|other| other.strip_prefix("scaler-")) {
            assert!(below.contains(&other), "{name} must not depend on {other}");
        }
    }
}

#[test]
fn the_client_library_pulls_no_engine() {
    for name in ["scaler-client", "scaler-module", "scaler-net"] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", name])
            .current_dir(root())
            .output()
            .expect("cargo");
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && tree.contains("scaler-proto"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let engine = tree.lines().find(|line| line.starts_with("wasmtime") || line.starts_with("cranelift"));
        assert_eq!(engine, None, "{name}");
    }
}

#[test]
fn the_programs_that_run_no_guests_hold_no_engine() {
    // As in the symbols of functions. A few hundred small functions of wasmtime's runtime stay in every program, because
    // it marks them as used; what they would serve is not there.
    let holds = |program: &str| {
        let bytes = fs::read(program).expect(program);
        let needle = b"17cranelift_codegen";
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    assert!(holds(env!("CARGO_BIN_EXE_scaler_cluster")), "the check finds an engine where there is one");
    assert!(!holds(env!("CARGO_BIN_EXE_scaler_scheduler")));
    assert!(!holds(env!("CARGO_BIN_EXE_scaler_object_storage_server")));
    assert!(!holds(env!("CARGO_BIN_EXE_scaler_ui")));
    assert!(!holds(env!("CARGO_BIN_EXE_scaler_top")));
}
