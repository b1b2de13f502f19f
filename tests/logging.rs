//! What servers log, in which form, and where to.

mod support;

use std::{
    fs::{self, File},
    io::Read as _,
    os::fd::{FromRawFd as _, OwnedFd},
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;
use support::{LONG, Process, SCALER, Stack, guest, wait_for};

const STORAGE: &str = env!("CARGO_BIN_EXE_scaler_object_storage_server");
const CLUSTER: &str = env!("CARGO_BIN_EXE_scaler_cluster");

/// Both ends of a new terminal.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: the two numbers are written, everything else may be null.
    let result = unsafe { libc::openpty(&mut ours, &mut theirs, none, none.cast(), none.cast()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: openpty has just made both, and nobody else knows them.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// What a cluster that ends at once says on a terminal.
fn last_words(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let (mut ours, theirs) = terminal();
    let mut command = Command::new(CLUSTER);
    command
        .args(["tcp://127.0.0.1:1", "-n", "1", "--preload", "nowhere.init:setup", "--module-path"])
        .arg(folder.path())
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().expect("terminal"))
        .stderr(theirs);
    let mut child = command.spawn().expect("cluster");
    drop(command);
    let mut said = Vec::new();
    // The terminal ends with an error when nobody holds its other side any more.
    let _ = ours.read_to_end(&mut said);
    assert_eq!(child.wait().expect("cluster").code(), Some(4));
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_terminal_gets_colours_unless_somebody_minds_and_is_told_an_end_once() {
    let coloured = last_words(&[]);
    assert!(coloured.contains("\x1b[1;31mCRITICAL\x1b[0m cluster: "), "{coloured:?}");
    assert_eq!(coloured.matches("the preload failed").count(), 1, "{coloured}");
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let plain = last_words(&variables);
        assert!(plain.contains("CRITICAL cluster: ") && !plain.contains('\x1b'), "{variables:?}: {plain:?}");
    }
}

#[test]
fn an_end_is_on_stderr_too_when_the_log_goes_elsewhere() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("cluster.log");
    let output = Command::new(CLUSTER)
        .args(["tcp://127.0.0.1:1", "-n", "1", "--preload", "nowhere.init:setup", "--module-path"])
        .arg(folder.path())
        .arg("--logging-paths")
        .arg(&log)
        .stdin(Stdio::null())
        .output()
        .expect("cluster");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.matches("the preload failed").count()), (Some(4), 1), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    let log = fs::read_to_string(log).expect("log");
    assert!(log.contains("CRITICAL cluster: the preload failed"), "{log}");
}

/// A cluster that ends at once, with these logging paths.
fn ended(paths: &[&str], home: &Path) -> Output {
    Command::new(CLUSTER)
        .args(["tcp://127.0.0.1:1", "-n", "1", "--preload", "nowhere.init:setup", "--module-path"])
        .arg(home)
        .arg("--logging-paths")
        .args(paths)
        .env("HOME", home)
        .env("SCALER_TEST_LOGS", home.join("logs"))
        .env_remove("SCALER_TEST_UNSET")
        .stdin(Stdio::null())
        .output()
        .expect("cluster")
}

#[test]
fn paths_are_expanded_without_a_shell_and_files_grow() {
    let folder = tempfile::tempdir().expect("folder");
    let home = folder.path();
    let paths = ["-", "~/a.log", "$SCALER_TEST_LOGS/b.log", "${SCALER_TEST_LOGS}/c.log"];
    for run in 1..=2 {
        let output = ended(&paths, home);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.code() == Some(4) && stdout.contains("CRITICAL cluster: the preload failed"),
            "{output:?}"
        );
        for path in ["a.log", "logs/b.log", "logs/c.log"] {
            let log = fs::read_to_string(home.join(path)).expect(path);
            assert_eq!(log.matches("CRITICAL cluster: the preload failed").count(), run, "{path}: {log}");
        }
    }
    let output = ended(&["$SCALER_TEST_UNSET/a.log"], home);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let told = "--logging-paths: `$SCALER_TEST_UNSET/a.log`: the variable `SCALER_TEST_UNSET` is not set; set it";
    assert!(output.status.code() == Some(2) && stderr.contains(told), "{output:?}");
}

#[test]
fn a_path_that_cannot_be_opened_says_where_the_log_goes() {
    let folder = tempfile::tempdir().expect("folder");
    let home = folder.path().to_str().expect("text");
    let output = ended(&[home], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&format!("cannot log to `{home}`: ")), "{stderr}");
    assert!(stderr.contains("; mend logging_paths, until then the log goes to stderr\n"), "{stderr}");
    let output = ended(&[home, "~/a.log", "-"], folder.path());
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains(&format!("until then the log goes to {home}/a.log and stdout\n")), "{stdout}");
}

#[test]
fn several_paths_get_the_same_lines_and_levels_are_read_in_any_case() {
    let folder = tempfile::tempdir().expect("folder");
    let (first, second) = (folder.path().join("a/first.log"), folder.path().join("b/second.log"));
    let paths = [first.to_str().expect("text"), second.to_str().expect("text")];
    let arguments = ["-ll", "debug", "-lp", paths[0], paths[1], "/dev/stderr", "tcp://127.0.0.1:0", "--logging-json"];
    let mut storage = Process::start("storage", folder.path(), STORAGE, &arguments);
    storage.signal(Signal::TERM);
    assert_eq!(storage.wait_exit(LONG), 0);
    let texts = [&first, &second].map(|path| fs::read_to_string(path).expect("log"));
    assert!(!texts[0].is_empty() && texts[0] == texts[1], "{texts:?}");
    for line in texts[0].lines() {
        let event: Value = serde_json::from_str(line).expect("one object a line");
        assert!(event["level"].is_string() && event["role"] == "object_storage_server", "{line}");
        assert!(storage.log().contains(line), "/dev/stderr has it too");
    }
}

#[test]
fn a_stack_without_workers_says_so_and_one_that_fails_says_it_once() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("stack.toml");
    let up = ["up", "--config", file.to_str().expect("text")];
    let scheduler = "[scheduler]\nscheduler_address = 'tcp://127.0.0.1:0'\n";
    fs::write(&file, scheduler).expect("file");
    let mut stack = Process::start("up", folder.path(), SCALER, &up);
    stack.wait_log("has no section [cluster]");
    stack.signal(Signal::INT);
    assert_eq!(stack.wait_exit(LONG), 0);
    let cluster = "[cluster]\nscheduler_address = 'tcp://127.0.0.1:0'\nnum_of_workers = 1\npreload = 'nowhere:f'\n";
    fs::write(&file, format!("{scheduler}{cluster}")).expect("file");
    let mut stack = Process::spawn("fails", folder.path(), SCALER, &up);
    assert_eq!(stack.wait_exit(LONG), 4);
    let log = stack.log();
    // The scheduler may have been told as well, and then says so in a line of its own.
    let told = log.lines().filter(|line| !line.starts_with("scheduler") && line.contains("the preload failed"));
    assert_eq!(told.count(), 1, "{log}");
    assert!(log.contains("cluster ended by itself"), "{log}");
}

#[test]
fn what_guests_print_has_a_file_for_each_processor() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("cluster.log");
    let path = log.to_str().expect("text");
    let stack = Stack::new(1, &["-lp", path, "/dev/stdout"], &[&guest("tests/guests/behaviour")]);
    stack.value("behaviour.work:write_log(1, 'a line of the guest')");
    let pid = stack.processor_pids()[0];
    let beside = folder.path().join(format!("cluster.log-{pid}"));
    wait_for("the processor's file", LONG, || {
        fs::read_to_string(&beside).ok().filter(|text| text.contains("a line of the guest"))
    });
    // On the terminal it is a line like any other.
    stack.clusters[0].wait_log("a line of the guest");
    let own = fs::read_to_string(&log).expect("log");
    assert!(own.contains("1 worker takes tasks") && !own.contains("a line of the guest"), "{own}");
}
