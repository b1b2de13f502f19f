//! Hostile guests and peers: each is ended or refused with its reason, and the same worker at once does the next task.

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{LONG, Stack, guest, text, wait_for};

#[test]
fn limits_end_a_task_and_the_worker_goes_on() {
    let stack = Stack::new(
        1,
        &["--task-timeout-seconds", "1", "--task-memory-limit-bytes", "268435456"],
        &[&guest("tests/guests/behaviour")],
    );
    let next = || assert_eq!(stack.value("behaviour.work:add(1, 2)"), json!(3));
    next();
    for (call, expected) in [
        ("behaviour.hostile:spin_forever()", "the task ran longer than its limit of 1 s: it was stopped after "),
        ("behaviour.hostile:allocate_forever()", "memory"),
        ("behaviour.hostile:recurse_forever()", "stack"),
        ("behaviour.failures:panic('out of luck')", "out of luck"),
        ("behaviour.failures:error('no such thing')", "no such thing"),
        ("behaviour.failures:trap()", "unreachable"),
    ] {
        let started = Instant::now();
        let error = stack.failure(call, &[]).to_lowercase();
        assert!(error.contains(expected), "{call}: `{expected}` in {error}");
        let is_told = error.contains("(it is task_timeout_seconds of its cluster)");
        assert_eq!(is_told, call.contains("spin"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(15), "{call} took {:?}", started.elapsed());
        next();
    }
    // None of these is the processor's death.
    assert_eq!(stack.status()["workers"][0]["restarts"], json!(0));
}

/// Seconds that a task with a limit of one ran, as its failure says.
fn stopped_after(error: &str) -> f64 {
    let words = "the task ran longer than its limit of 1 s: it was stopped after ";
    let (_, after) = error.split_once(words).unwrap_or_else(|| panic!("no timeout: {error}"));
    let seconds = after.split_once(" s").and_then(|(seconds, _)| seconds.parse().ok());
    seconds.unwrap_or_else(|| panic!("no seconds: {error}"))
}

#[test]
fn a_fill_that_no_epoch_can_stop_is_ended_by_a_kill() {
    let stack = Stack::new(
        1,
        &["--task-timeout-seconds", "1", "--task-memory-limit-bytes", "4294967296"],
        &[&guest("tests/guests/behaviour")],
    );
    let started = Instant::now();
    let error = stack.failure("behaviour.hostile:fill_forever(2000)", &[]);
    // The same words as where the epoch does it, and the time that was really used.
    assert!((1.0..10.0).contains(&stopped_after(&error)), "{error}");
    assert!(!error.contains(", 0 us"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    assert_eq!(stack.value("behaviour.work:add(1, 2)"), json!(3));
}

#[test]
fn a_timeout_of_the_task_itself_counts_too() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let error = stack.failure("behaviour.hostile:spin_forever()", &["--timeout-seconds", "1"]);
    assert!((1.0..10.0).contains(&stopped_after(&error)), "{error}");
}

#[test]
fn a_guest_sees_only_what_was_granted() {
    let modules = [&*guest("tests/guests/wasi")];
    let stack = Stack::new(1, &[], &modules);
    let error = stack.failure("wasi.files:read('/etc/passwd')", &[]);
    assert!(!error.contains("root:"), "{error}");
    assert_eq!(stack.value("wasi.system:variables()"), json!([]));

    let mut stack = Stack::scheduler(&[], &modules);
    let (folder, scratch) = (stack.dir.path().join("granted"), stack.dir.path().join("scratch"));
    for path in [&folder, &scratch] {
        fs::create_dir(path).expect("folder");
    }
    fs::write(folder.join("note.txt"), "granted text").expect("note");
    fs::write(stack.dir.path().join("secret.txt"), "secret").expect("secret");
    std::os::unix::fs::symlink("../secret.txt", folder.join("escape.txt")).expect("link");
    let config = stack.dir.path().join("grants.toml");
    fs::write(
        &config,
        format!(
            "[cluster]\n[cluster.grants]\nenvironment = [\"STAGE=test\"]\n\
             [[cluster.grants.directories]]\nhost_path = {folder:?}\nguest_path = \"/data\"\naccess = \"read-only\"\n\
             [[cluster.grants.directories]]\nhost_path = {scratch:?}\nguest_path = \"/scratch\"\naccess = \"read-write\"\n"
        ),
    )
    .expect("configuration");
    stack.add_cluster(1, &["--config", &config.to_string_lossy()]);
    assert_eq!(stack.value("wasi.files:read('/data/note.txt')"), json!("granted text"));
    for call in [
        "wasi.files:read('/data/escape.txt')",
        "wasi.files:read('/data/../secret.txt')",
        "wasi.files:write('/data/new.txt', 'x')",
    ] {
        let error = stack.failure(call, &[]);
        assert!(!error.contains("secret\""), "{call}: {error}");
    }
    stack.value("wasi.files:write('/scratch/new.txt', 'written')");
    assert_eq!(fs::read_to_string(scratch.join("new.txt")).expect("written"), "written");
    assert!(stack.value("wasi.system:variables()").to_string().contains("STAGE"));
}

#[test]
fn output_of_a_guest_reaches_the_workers_log_without_escape_sequences() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/wasi")]);
    stack.value("wasi.system:print('one line \\x1b[31mred')");
    stack.clusters[0].wait_log("one line");
    assert!(!stack.clusters[0].log().contains('\u{1b}'), "{}", stack.clusters[0].log());
}

#[test]
fn garbage_at_every_port_disturbs_nobody() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for key in ["scheduler_address", "object_storage_address", "monitor_address"] {
        let address = stack.scheduler.address(key);
        for round in 0..60usize {
            let mut peer = TcpStream::connect(address.trim_start_matches("tcp://")).expect("connect");
            let bytes: Vec<u8> = (0..1 + round * 17)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed as u8
                })
                .collect();
            // Every third looks like a ZMTP greeting that stops half-way.
            let greeting = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0][..], b"NULL"].concat();
            let _ = peer.write_all(if round % 3 == 0 { &greeting[..round % greeting.len()] } else { &bytes });
            if round % 2 == 0 {
                let _ = peer.set_read_timeout(Some(Duration::from_millis(5)));
                let _ = peer.read(&mut [0; 64]);
            }
        }
    }
    assert_eq!(stack.value("behaviour.work:add(20, 22)"), json!(42));
    let big = stack.submit("behaviour.work:counting_bytes(1000000, 0)", &["--output", "raw"]);
    assert_eq!(big.stdout.len(), 1_000_000, "{}", text(&big.stderr));
}

#[test]
fn a_file_that_is_no_component_is_named_in_the_log_and_others_go_on() {
    let mut stack = Stack::scheduler(&[], &[&guest("tests/guests/behaviour")]);
    let modules = stack.dir.path().join("modules");
    fs::write(modules.join("junk.wasm"), b"this is no component").expect("junk");
    fs::write(modules.join("core.wasm"), b"\0asm\x01\0\0\0").expect("core module");
    stack.add_cluster(1, &[]);
    stack.clusters[0].wait_log("junk");
    stack.clusters[0].wait_log("core.wasm");
    assert_eq!(stack.value("behaviour.work:add(1, 2)"), json!(3));
    let out = support::scaler(&["inspect", &modules.join("junk.wasm").to_string_lossy()]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("component"), "{}", text(&out.stderr));
}

#[test]
fn a_flood_of_output_is_capped_and_a_huge_result_is_a_limit() {
    let stack = Stack::new(
        1,
        &["--task-output-limit-bytes", "1000000"],
        &[&guest("tests/guests/behaviour"), &guest("tests/guests/wasi")],
    );
    let error = stack.failure("behaviour.work:counting_bytes(5000000, 0)", &[]);
    assert!(error.contains("output") || error.contains("limit"), "{error}");
    stack.failure("wasi.system:print_forever()", &["--timeout-seconds", "1"]);
    let size = stack.clusters[0].log().len();
    assert!(size < 4 << 20, "the log holds {size} bytes");
    wait_for("work goes on", LONG, || stack.submit("behaviour.work:add(1, 2)", &[]).status.success().then_some(()));
}
