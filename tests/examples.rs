//! The examples as a user runs them: guest built, stack started from the example's file, client run.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use support::{Process, SCALER, guest, install, root, text};

/// The example clients are built beside the programs.
fn client(name: &str) -> PathBuf {
    let path = Path::new(SCALER).with_file_name("examples").join(name);
    if !path.exists() {
        // `cargo test --test examples` alone does not build them.
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let out = Command::new(env!("CARGO"))
            .args(["build", "--profile", profile, "--package", "scaler", "--example", name])
            .current_dir(root())
            .output()
            .expect("cargo");
        assert!(out.status.success(), "{}", text(&out.stderr));
    }
    path
}

/// Runs an example and gives what its client printed.
fn run(name: &str) -> String {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest(&format!("examples/{name}/guest"))]);
    let listeners: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("port")).collect();
    let mut file = fs::read_to_string(root().join(format!("examples/{name}/cluster.toml"))).expect("cluster.toml");
    for (port, listener) in ["8516", "8517", "8518"].iter().zip(&listeners) {
        file = file.replace(port, &listener.local_addr().expect("address").port().to_string());
    }
    let address = format!("tcp://{}", listeners[0].local_addr().expect("address"));
    drop(listeners);
    file = file.replace("examples/options/data", &root().join("examples/options/data").to_string_lossy());
    let path = dir.path().join("cluster.toml");
    fs::write(&path, file).expect("write");
    let up = Process::spawn("up", dir.path(), SCALER, &["up", "--config", &path.to_string_lossy()]);
    // The client needs no wait: it parks its look-ups until a cluster is there. Only the scheduler must be up.
    support::wait_for(&format!("the scheduler; log:\n{}", up.log()), support::LONG, || {
        support::scaler(&["status", &address, "--connect-timeout-seconds", "1"]).status.success().then_some(())
    });
    let out = Command::new(client(name)).arg(&address).output().expect("client");
    assert!(out.status.success(), "{name}: {}\n{}", text(&out.stderr), up.log());
    text(&out.stdout)
}

#[test]
fn hello_greets() {
    let out = run("hello");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert!(lines[0].contains("world") && lines[1].contains("Good morning") && lines[4].contains("Di"), "{out}");
}

#[test]
fn preload_keeps_what_it_set() {
    let out = run("preload");
    assert_eq!(out.matches("production").count(), 2, "{out}");
    assert!(out.contains("something else"), "{out}");
}

#[test]
fn options_are_priced_and_fall_with_the_strike() {
    let out = run("options");
    let prices: Vec<f64> =
        out.lines().filter_map(|line| line.split_once("+-")?.0.rsplit(':').next()?.trim().parse().ok()).collect();
    assert_eq!(prices.len(), 5, "{out}");
    assert!(prices.windows(2).all(|pair| pair[0] > pair[1]), "{out}");
    assert!(out.contains("standard error"), "{out}");
}
