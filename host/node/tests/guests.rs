//! Builds real guests, looks at what came out, and runs it.

mod guest_support;

use guest_support::{Guest, build, error, root, target_dir};
use scaler_module::Type;
use scaler_node::guest::{self, BuildArgs, GuestError, NewArgs};
use scaler_proto::{message::FailureKind, value::Value};
use scaler_sandbox::{Access, DirectoryGrant, Grants};
use std::{env, fs, path::PathBuf, process::Command};

#[test]
fn guests_of_the_repository_build() {
    let folder = tempfile::tempdir().unwrap();
    for (guest, wasi, function) in [
        ("examples/hello/guest", false, "guest.greeting:greet"),
        ("examples/preload/guest", false, "guest.init:configure"),
        ("tests/guests/behaviour", false, "guest.hostile:recurse_forever"),
        ("tests/guests/wasi", true, "guest.files:read"),
        // An interface of a package: calls leave the package out.
        ("tests/guests/bindgen", false, "guest.echo:one_shape"),
    ] {
        let output = folder.path().join("a").join("guest.wasm");
        let built = build(&root().join(guest), &output).unwrap();
        assert_eq!(built.wasi, wasi, "{guest}");
        assert!(built.functions.iter().any(|name| name == function), "{guest}: {:?}", built.functions);
        let is_call =
            |name: &String| scaler_proto::call::Call::parse(name).is_ok_and(|call| call.module.contains("guest"));
        assert!(built.functions.iter().all(is_call), "{guest}: {:?}", built.functions);
        let bytes = fs::read(&output).unwrap();
        assert_eq!(bytes.len() as u64, built.size_bytes);
        let home = PathBuf::from(env::var_os("HOME").unwrap());
        for private in [root(), home.join(".cargo"), home.join(".cache"), home.join(".rustup")] {
            let private = private.to_string_lossy().into_owned();
            let found = bytes.windows(private.len()).any(|window| window == private.as_bytes());
            assert!(!found, "{guest} carries the path {private} of this machine");
        }
    }
}

#[test]
fn the_same_source_gives_the_same_bytes_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let read = |place: &str| {
        let path = folder.path().join(place);
        fs::create_dir_all(path.join("src")).unwrap();
        let sdk = root().join("guest-sdk").display().to_string();
        let manifest = fs::read_to_string(root().join("examples/hello/guest/Cargo.toml")).unwrap();
        fs::write(path.join("Cargo.toml"), manifest.replace("../../../guest-sdk", &sdk)).unwrap();
        fs::copy(root().join("examples/hello/guest/Cargo.lock"), path.join("Cargo.lock")).unwrap();
        fs::copy(root().join("examples/hello/guest/src/lib.rs"), path.join("src/lib.rs")).unwrap();
        let output = path.join("guest.wasm");
        build(&path, &output).unwrap();
        fs::read(output).unwrap()
    };
    assert_eq!(read("here"), read("over/there"));
}

#[test]
fn docs_names_and_defaults_reach_the_host() {
    let guest = Guest::build("tests/guests/types");
    let function = guest.function("extra", "defaults");
    assert_eq!(function.docs.as_deref(), Some("Defaults of every kind, which come back."));
    let defaults: Vec<Option<String>> = function
        .signature
        .parameters
        .iter()
        .map(|parameter| parameter.default.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(defaults.len(), 9);
    assert_eq!(defaults[1].as_deref(), Some("-3"));
    assert_eq!(defaults[8], None);
    assert_eq!(
        guest.call("extra:defaults()").unwrap().to_json(),
        r#"[true,-3,2.5,"ü","two\nlines",4,[1,2],"dark_green",null]"#
    );
    assert_eq!(guest.function("echo", "numbers").signature.parameters[5].name, "f");
}

#[test]
fn results_errors_panics_and_traps_reach_the_caller() {
    let guest = Guest::build("tests/guests/behaviour");
    assert_eq!(guest.call("work:add(2, b=40)").unwrap(), Value::Int(42));
    assert_eq!(guest.call("work:add(2)").unwrap(), Value::Int(3));
    assert_eq!(guest.call("work:sum([1, 2.5])").unwrap(), Value::Float(3.5));
    assert_eq!(guest.call("work:noop()").unwrap(), Value::Null);
    assert_eq!(guest.call("failures:check(7)").unwrap(), Value::Int(7));
    let (kind, value) = error(guest.call("failures:check(70)"));
    assert_eq!((kind, value.as_str()), (FailureKind::Error, r#"{"too_large":{"low":0,"high":9}}"#));
    let (kind, value) = error(guest.call("failures:parse('x')"));
    assert_eq!((kind, value.as_str()), (FailureKind::Error, "\"invalid digit found in string\""));
    let (kind, text) = error(guest.call("failures:panic('boom')"));
    assert_eq!(kind, FailureKind::Panic);
    assert!(text.starts_with("boom (src/lib.rs:"), "{text}");
    assert_eq!(error(guest.call("failures:trap()")).0, FailureKind::Trap);
    // Each call has an instance of its own.
    assert_eq!(guest.call("work:count()").unwrap(), Value::Int(1));
    assert_eq!(guest.call("work:count()").unwrap(), Value::Int(1));
    assert_ne!(guest.call("work:random()").unwrap(), guest.call("work:random()").unwrap());
}

#[test]
fn random_values_come_back_as_they_do_from_a_guest_of_wit_bindgen() {
    let (sdk, oracle) = (Guest::build("tests/guests/types"), Guest::build("tests/guests/bindgen"));
    let names: Vec<String> = oracle.module.functions.iter().map(|function| function.name.clone()).collect();
    assert_eq!(names.len(), 14);
    for name in names {
        let signature = &sdk.function("echo", &name).signature;
        let theirs = &oracle.function("test:types/echo", &name).signature;
        assert_eq!(signature, theirs, "{name}");
        for seed in 0..40 {
            let mut random = guest_support::Random(seed);
            let parameters = &signature.parameters;
            let values: Vec<Value> = parameters.iter().map(|parameter| random.value(&parameter.ty, 0)).collect();
            let arguments = signature.bind(&values, &[]).unwrap();
            let ours = sdk.run(Some("echo"), &name, &arguments).outcome;
            let theirs = oracle.run(Some("test:types/echo"), &name, &arguments).outcome;
            assert_eq!(ours, theirs, "{name}, seed {seed}: {values:?}");
        }
    }
}

#[test]
fn modules_of_one_crate_share_types() {
    let guest = Guest::build("tests/guests/types");
    // `echo` and `extra` both use types that `shapes` defines; each interface has them as its own.
    let point = |interface: &str, function: &str, parameter: usize| {
        guest.function(interface, function).signature.parameters[parameter].ty.clone()
    };
    assert_eq!(point("extra", "shared", 1), point("echo", "flags", 0));
    let shared = guest.call("extra:shared({'x': 1, 'y': -2.5}, ['bold', 'double_width'])").unwrap();
    assert_eq!(shared.to_json(), r#"[{"x":1.0,"y":-2.5},["bold","double_width"]]"#);
    let echoed = guest.call("echo:one_shape({'line': [{'x': 0, 'y': 1}, {'x': 2, 'y': 3}]})").unwrap();
    assert_eq!(echoed.to_json(), r#"{"line":[{"x":0.0,"y":1.0},{"x":2.0,"y":3.0}]}"#);
    let flags = guest.call("echo:flags(['italic'], [(['a', 'i'], [])], None)").unwrap();
    assert_eq!(flags.to_json(), r#"[["italic"],[[["a","i"],[]]],null]"#);
}

#[test]
fn calls_leave_no_memory_behind() {
    let guest = Guest::build("tests/guests/types");
    let mut resident = guest.resident();
    let signature = guest.function("echo", "all").signature.clone();
    let Type::Record { .. } = signature.parameters[0].ty else { panic!("`all` takes a record") };
    let mut random = guest_support::Random(1);
    let calls: Vec<Vec<u8>> = (0..20)
        .map(|_| {
            let values: Vec<Value> =
                signature.parameters.iter().map(|parameter| random.value(&parameter.ty, 0)).collect();
            signature.bind(&values, &[]).unwrap()
        })
        .collect();
    let mut pages = || guest.run_in(&mut resident, "extra", "pages", &[0x90]).outcome.unwrap();
    let mut used = Vec::new();
    used.push(pages());
    for round in 0..300 {
        for arguments in &calls {
            guest.run_in(&mut resident, "echo", "all", arguments).outcome.unwrap();
        }
        if round % 100 == 99 {
            used.push(guest.run_in(&mut resident, "extra", "pages", &[0x90]).outcome.unwrap());
        }
    }
    assert!(used[1..].windows(2).all(|pair| pair[0] == pair[1]), "the memory grows: {used:?}");
}

#[test]
fn wasi_guests_see_what_was_granted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "granted").unwrap();
    let directory =
        DirectoryGrant { host_path: folder.path().to_owned(), guest_path: "/data".into(), access: Access::ReadOnly };
    let mut guest = Guest::build("tests/guests/wasi");
    let (kind, text) = error(guest.call("files:read('/etc/passwd')"));
    assert_eq!(kind, FailureKind::Error, "{text}");
    assert_eq!(guest.call("system:variables()").unwrap(), Value::List(Vec::new()));
    assert_eq!(guest.call("system:print('x')").unwrap(), Value::Null);
    let Value::Float(milliseconds) = guest.call("system:sleep(10)").unwrap() else { panic!("sleep gives a number") };
    assert!((10.0..5000.0).contains(&milliseconds), "{milliseconds}");
    guest.grant(&Grants { directories: vec![directory], ..Grants::default() });
    assert_eq!(guest.call("files:read('/data/notes.txt')").unwrap(), Value::Str("granted".into()));
    assert_eq!(guest.call("files:list('/data')").unwrap().to_json(), r#"["notes.txt"]"#);
    assert_eq!(error(guest.call("files:write('/data/notes.txt', 'mine')")).0, FailureKind::Error);
}

#[test]
fn a_component_made_by_hand_passes_through_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = wat::parse_file(root().join("tests/guests/hand.wat")).unwrap();
    fs::write(folder.path().join("hand.wasm"), &bytes).unwrap();
    let output = folder.path().join("modules/hand.wasm");
    let built = build(&folder.path().join("hand.wasm"), &output).unwrap();
    assert_eq!((built.functions, built.wasi), (vec!["hand:add".to_owned(), "hand:divide".to_owned()], false));
    assert_eq!(fs::read(&output).unwrap(), bytes);
    let guest = Guest::load(&output);
    let arguments = |left: u8, right: u8| [0x92, left, right];
    assert_eq!(guest.run(None, "add", &arguments(40, 2)).outcome, Ok(vec![42]));
    assert_eq!(guest.run(None, "divide", &arguments(1, 0)).outcome.unwrap_err().kind, FailureKind::Trap);
}

#[test]
fn a_module_as_text_is_refused_with_the_tool_that_translates_it() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["(component)", "\n ;; a comment\n(module)"] {
        let file = folder.path().join("hand.wat");
        fs::write(&file, text).unwrap();
        let refused = build(&file, &folder.path().join("out.wasm")).unwrap_err().to_string();
        assert!(refused.contains("hand.wat") && refused.contains("wasm-tools parse"), "{refused}");
    }
}

#[test]
fn a_new_project_builds_runs_and_tests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my-task");
    let mut output = Vec::new();
    guest::new(&NewArgs { name: path.clone() }, &mut output).unwrap();
    let output = String::from_utf8(output).unwrap();
    assert!(output.contains("scaler build ") && output.contains("scaler run \"my_task.greeting:greet("), "{output}");
    let guest = Guest::build_path(&path);
    assert_eq!(guest.call("greeting:greet('world')").unwrap(), Value::Str("Hello, world!".into()));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--offline", "--quiet"]).current_dir(&path).env("CARGO_TARGET_DIR", target_dir());
    assert!(cargo.status().unwrap().success());
    let again = guest::new(&NewArgs { name: path }, &mut Vec::new());
    assert!(matches!(again, Err(GuestError::NotEmpty(_))));
}

#[test]
fn what_a_guest_calls_in_vain_is_told_with_the_line_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vain");
    guest::new(&NewArgs { name: path.clone() }, &mut Vec::new()).unwrap();
    let source = "#[scaler_guest::module]\npub mod vain {\n    pub fn now() -> String {\n        println!(\"now\");\n        \
                  format!(\"{:?}\", std::time::Instant::now())\n    }\n}\n";
    fs::write(path.join("src/lib.rs"), source).unwrap();
    let notes = || {
        let arguments = BuildArgs { path: path.clone(), output: Some(folder.path().join("vain.wasm")) };
        let mut told = Vec::new();
        guest::build_in(&arguments, Some(&target_dir()), &mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        told.lines().filter(|line| line.starts_with("note: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let manifest = fs::canonicalize(path.join("Cargo.toml")).unwrap();
    let change =
        format!("change `wasi = false` to `wasi = true` under [package.metadata.scaler] in {}", manifest.display());
    let told = notes();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("note: src/lib.rs:4: println! writes nowhere") && told[0].ends_with(&change),
        "{told:?}"
    );
    assert!(told[1].starts_with("note: src/lib.rs:5: Instant::now fails") && told[1].ends_with(&change), "{told:?}");
    // Whoever does so has what was missing.
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("wasi = false", "wasi = true")).unwrap();
    assert_eq!(notes(), Vec::<String>::new());
    assert!(Guest::load(&folder.path().join("vain.wasm")).call("vain:now()").is_ok());
}

#[test]
fn a_folder_without_a_guest_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.wasm");
    assert!(matches!(build(folder.path(), &output), Err(GuestError::NoManifest(_))));
    let manifest = "[package]\nname = \"plain\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    let refused = build(folder.path(), &output).unwrap_err().to_string();
    assert!(refused.contains("crate-type = [\"cdylib\"]"), "{refused}");
    let settings = format!("{manifest}[lib]\ncrate-type = [\"cdylib\"]\n[package.metadata.scaler]\nwasy = true\n");
    fs::write(folder.path().join("Cargo.toml"), settings).unwrap();
    let refused = build(folder.path(), &output).unwrap_err().to_string();
    assert!(refused.contains("has a key `wasy`"), "{refused}");
    assert!(!output.exists());
}

/// Lines with a remark `//~ text` must have an error with that text, and no other line may have one.
const BAD_GUEST: &str = r#"
pub mod plain {
    pub struct Outside;
}

#[scaler_guest::module]
pub mod a {
    pub fn borrows(text: &str) {} //~ a borrowed `&str` cannot cross the component boundary: take a `String`
    pub fn generic<T>(value: T) {} //~ an interface has no generics
    pub async fn waits() {} //~ cannot be `async`
    pub struct Chain { next: Option<Box<Chain>> } //~ `Box` cannot cross
    pub fn chain_of(chain: Chain) {}
    #[cfg(feature = "x")] pub fn sometimes() {} //~ `#[cfg]` on an exported function
}

#[scaler_guest::module]
pub mod b {
    pub fn wrong_default(#[default("x")] number: u8) {} //~ mismatched types
}

#[scaler_guest::module]
pub mod c {
    use super::plain::Outside;
    pub fn of_a_plain_module(value: Outside) {} //~@-1 in `plain`
}

#[scaler_guest::module]
pub mod d {
    pub struct Point { pub x: f64 }
    pub fn point() -> Point { Point { x: 0.0 } } //~ the type `Point` are both `point` in the interface
}

#[scaler_guest::module]
pub mod types {
    pub enum Shape {
        Tagged { name: String }, //~ a case with named fields has no WIT form: put them into a struct
    }
    pub struct Table {
        pub good: u8,
        pub rows: std::collections::HashMap<String, u8>, //~ `HashMap` cannot cross the component boundary: use `Vec
    }
    pub struct Unused { pub rows: std::collections::HashMap<String, u8> }
    pub struct Good { pub shape: u8 }
}

#[scaler_guest::module]
pub mod work {
    use super::types::{Good, Shape, Table};
    pub fn area(shape: Shape) -> f64 { 0.0 }
    pub fn again(shape: Vec<Shape>) {}
    pub fn rows(table: Table, good: Good) {}
    pub fn fine(good: Good) {}
}

#[scaler_guest::module]
pub mod told {
    pub struct Pair { pub left: u8, pub right: usize } //~ `usize` has no fixed size in an interface
    pub struct Fine { pub left: u8 }
    pub fn left(pair: Pair) -> u8 { pair.left }
}

#[scaler_guest::module]
pub mod of_told {
    use super::told::{Fine, Pair};
    pub fn right(pair: Pair) {}
    pub fn take(value: Fine) {}
    pub struct Holder { pub pair: Pair }
}

#[scaler_guest::module]
pub mod of_of_told {
    use super::of_told::Holder;
    pub fn hold(holder: Holder) {}
}

#[scaler_guest::module]
pub mod more_types {
    use super::types::Good;
    pub struct Better { pub good: Good }
}

#[scaler_guest::module]
pub mod of_more_types {
    use super::more_types::Better;
    pub fn fine(value: Better) {}
}

#[scaler_guest::module]
pub mod mixed {
    pub struct Far { pub good: super::types::Good } //~ is not asked for `Good`
    pub fn near() {}
}

#[scaler_guest::module]
pub mod of_mixed {
    pub fn far(value: super::mixed::Far) {}
    pub fn absent(value: super::mixed::Absent) {} //~ `super::mixed` has no type `Absent` for interfaces
}

#[scaler_guest::module]
pub mod globs {
    use crate::types::*;
    pub fn glob(value: Good) {} //~ import it by its name, `use crate::types::Good;`
}
"#;

#[test]
fn errors_point_at_the_authors_lines() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = root().join("guest-sdk").display().to_string();
    let manifest = "[package]\nname = \"bad\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n";
    fs::write(folder.path().join("Cargo.toml"), format!("{manifest}scaler-guest = {{ path = '{sdk}' }}\n")).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/lib.rs"), BAD_GUEST).unwrap();
    fs::copy(root().join("examples/hello/guest/Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["check", "--message-format=json"]).current_dir(folder.path()).env("CARGO_TARGET_DIR", target_dir());
    let output = cargo.output().unwrap();
    let mut found: Vec<(usize, String)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["message"]["level"] == "error" && !line["message"]["spans"][0].is_null())
        .map(|line| {
            let message = &line["message"];
            let line = message["spans"][0]["line_start"].as_u64().unwrap() as usize;
            (line, message["message"].as_str().unwrap().to_owned())
        })
        .collect();
    for (index, line) in BAD_GUEST.lines().enumerate() {
        let Some((_, remark)) = line.split_once("//~") else { continue };
        let (number, text) = match remark.strip_prefix("@-1 ") {
            Some(text) => (index, text),
            None => (index + 1, remark.trim()),
        };
        let place = found.iter().position(|(line, message)| *line == number && message.contains(text.trim()));
        let Some(place) = place else { panic!("no error `{text}` at line {number}; there are {found:#?}") };
        found.remove(place);
    }
    assert!(found.is_empty(), "more errors than expected: {found:#?}");
}
