//! Builds real guests and looks at what came out.

use scaler_node::guest::{self, BuildArgs, Built, GuestError};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The repository.
fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// One folder for the intermediates of all tests, so that the SDK is compiled once.
fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests")
}

fn build(path: &Path, output: &Path) -> Result<Built, GuestError> {
    let arguments = BuildArgs { path: path.to_owned(), output: Some(output.to_owned()) };
    guest::build_in(&arguments, Some(&target_dir()), &mut std::io::stderr())
}

#[test]
fn guests_of_the_repository_build() {
    let folder = tempfile::tempdir().unwrap();
    for (guest, wasi, function) in [
        ("examples/hello/guest", false, "greeting:greet"),
        ("examples/preload/guest", false, "init:configure"),
        ("tests/guests/behaviour", false, "hostile:recurse_forever"),
        ("tests/guests/wasi", true, "files:read"),
    ] {
        let output = folder.path().join("a").join("guest.wasm");
        let built = build(&root().join(guest), &output).unwrap();
        assert_eq!(built.wasi, wasi, "{guest}");
        assert!(built.functions.iter().any(|name| name == function), "{guest}: {:?}", built.functions);
        let bytes = fs::read(&output).unwrap();
        assert_eq!(bytes.len() as u64, built.size_bytes);
        for private in [root(), PathBuf::from(env::var_os("HOME").unwrap())] {
            let private = private.to_string_lossy().into_owned();
            let found = bytes.windows(private.len()).any(|window| window == private.as_bytes());
            assert!(!found, "{guest} carries the path {private} of this machine");
        }
    }
}
