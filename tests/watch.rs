//! `scaler watch` and `scaler build --watch` as a developer uses them: real edits, a compile error, a call that never
//! ends.

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use support::{LONG, Process, SCALER, children, has_role, scaler, text, wait_for};

/// A new guest project in a folder.
fn project(folder: &Path) -> PathBuf {
    let path = folder.join("my-task");
    let made = scaler(&["new", &path.to_string_lossy()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    path
}

/// Replaces a piece of the guest's source.
fn edit(project: &Path, from: &str, to: &str) {
    let path = project.join("src/lib.rs");
    let source = fs::read_to_string(&path).expect("source");
    assert!(source.contains(from), "no `{from}` in {source}");
    fs::write(&path, source.replace(from, to)).expect("write");
}

fn stop(mut watch: Process) {
    watch.signal(Signal::INT);
    assert_eq!(watch.wait_exit(Duration::from_secs(10)), 0, "Ctrl-C is a clean end");
}

#[test]
fn watch_calls_again_after_every_edit_and_survives_mistakes() {
    let folder = tempfile::tempdir().expect("folder");
    let project = project(folder.path());
    let call = "my_task.greeting:greet('world')";
    let watch = Process::spawn("watch", folder.path(), SCALER, &["watch", &project.to_string_lossy(), call]);
    watch.wait_log("\"Hello, world!\"");
    edit(&project, "{word}, {name}!", "{word} there, {name}!");
    watch.wait_log("\"Hello there, world!\"");
    assert!(watch.log().contains("lib.rs changed"), "{}", watch.log());
    // A compile error is shown, and the next edit mends it.
    edit(&project, "format!(", "fromat!(");
    watch.wait_log("cannot find macro `fromat`");
    watch.wait_log("waiting for a change");
    edit(&project, "fromat!(\"{word} there", "format!(\"{word} again");
    watch.wait_log("\"Hello again, world!\"");
    // A call that fails is shown with its reason.
    edit(&project, "format!(\"{word} again, {name}!\")", "panic!(\"no greeting for {name} {word}\")");
    watch.wait_log("no greeting for world Hello");
    // A call that never ends is ended by the next edit.
    edit(&project, "panic!(\"no greeting for {name} {word}\")", "loop { std::hint::black_box((&name, &word)); }");
    wait_for("the endless call to run", LONG, || is_busy(watch.pid()).then_some(()));
    edit(&project, "loop { std::hint::black_box((&name, &word)); }", "format!(\"At last {word}, {name}!\")");
    watch.wait_log("\"At last Hello, world!\"");
    stop(watch);
}

/// Whether the processor of the `scaler run` below this process has used half a second of a CPU.
fn is_busy(watch: u32) -> bool {
    let calls = children(watch).into_iter().filter(|pid| has_role(*pid, "run"));
    calls.flat_map(children).any(|pid| user_ticks(pid) > 50)
}

/// CPU time in hundredths of a second.
fn user_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

#[test]
fn build_watch_writes_the_component_again() {
    let folder = tempfile::tempdir().expect("folder");
    let project = project(folder.path());
    let output = folder.path().join("out/task.wasm");
    let arguments = ["build", &project.to_string_lossy(), "--watch", "-o", &output.to_string_lossy()];
    let watch = Process::spawn("build", folder.path(), SCALER, &arguments);
    let first = wait_for("the component", LONG, || fs::read(&output).ok());
    edit(&project, "pub fn greet(", "pub fn welcome(");
    watch.wait_log("task.greeting:welcome");
    let second = wait_for("another component", LONG, || fs::read(&output).ok().filter(|second| *second != first));
    assert!(second.windows(7).any(|window| window == b"welcome"));
    stop(watch);
}

/// A cache with everything that the user's has but the SDK: getting a compiler may take long.
fn cache(folder: &Path, name: &str) -> PathBuf {
    let base = folder.join(name);
    let own = base.join("scaler");
    fs::create_dir_all(&own).expect("folder");
    let users = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let users =
        users.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache"))).map(|base| base.join("scaler"));
    for entry in users.and_then(|users| fs::read_dir(users).ok()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().contains("sdk-") {
            std::os::unix::fs::symlink(entry.path(), own.join(name)).expect("link");
        }
    }
    base
}

/// The SDK in a cache.
fn sdk(cache: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(cache.join("scaler")).expect("cache").flatten();
    entries.find(|entry| entry.file_name().to_string_lossy().starts_with("sdk-")).map(|entry| entry.path())
}

#[test]
fn a_project_outlives_its_cache_and_says_on_another_machine_what_to_write() {
    let folder = tempfile::tempdir().expect("folder");
    let (here, there) = (cache(folder.path(), "here"), cache(folder.path(), "there"));
    let run = |cache: &Path, arguments: &[&str]| {
        let mut command = Command::new(SCALER);
        command.args(arguments).current_dir(folder.path()).env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
        command.output().expect("scaler")
    };
    assert!(run(&here, &["new", "z"]).status.success());
    let kept = sdk(&here).expect("the SDK");
    for is_whole in [false, true] {
        // All of it is gone, and then a file.
        if is_whole { fs::remove_file(kept.join("src/lib.rs")) } else { fs::remove_dir_all(&kept) }.expect("remove");
        let built = run(&here, &["build", "z"]);
        assert!(built.status.success() && kept.join("src/lib.rs").exists(), "{}", text(&built.stderr));
    }
    fs::remove_dir_all(&kept).expect("remove");
    let manifest = folder.path().join("z/Cargo.toml");
    let before = fs::read_to_string(&manifest).expect("manifest");
    for command in [&["build", "z"][..], &["watch", "z", "z.greeting:greet('x')"]] {
        let refused = run(&there, command);
        let told = text(&refused.stderr);
        let own = sdk(&there).expect("it is there before it is named");
        let line = format!("    scaler-guest = {{ path = \"{}\" }}\n", own.display());
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("z/Cargo.toml:10: ") && told.contains(&line), "{told}");
        assert_eq!(fs::read_to_string(&manifest).expect("manifest"), before, "the file is the author's");
    }
    let own = sdk(&there).expect("the SDK");
    fs::write(&manifest, before.replace(kept.to_str().expect("text"), own.to_str().expect("text"))).expect("write");
    let built = run(&there, &["build", "z"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
}

#[test]
fn watch_says_what_is_wrong_with_its_arguments() {
    let folder = tempfile::tempdir().expect("folder");
    let refused = scaler(&["watch", &folder.path().to_string_lossy(), "a.b:c()"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("there is no Cargo.toml"), "{}", text(&refused.stderr));
    let refused = scaler(&["watch", "a.b:c("]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}
