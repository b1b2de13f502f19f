//! `scaler_top` in a terminal of its own, over a real cluster: what it shows, what keys do, what it leaves behind.

mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::{process::Command, time::Duration};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use support::{Stack, text};
use terminal::Terminal;

const TOP: &str = env!("CARGO_BIN_EXE_scaler_top");

fn monitor(stack: &Stack) -> String {
    stack.scheduler.address("monitor_address")
}

fn stack(workers: usize) -> Stack {
    Stack::new(workers, &[], &[&support::guest("tests/guests/behaviour")])
}

#[test]
fn it_shows_the_cluster_takes_keys_and_gives_the_terminal_back() {
    let mut stack = stack(2);
    stack.value("behaviour.work:add(1, 2)");
    let mut top = Terminal::start(TOP, &[&monitor(&stack)], 80, 24);
    let shown = top.wait(&["● live", "2 workers in 1 cluster", "[cpu]", "✓ succeeded", "ready"]);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    // A change arrives by itself.
    stack.value("behaviour.work:add(1, 2)");
    let succeeded = |text: &str| {
        let after = text.split("succeeded").nth(1)?.split_whitespace().next()?.to_owned();
        after.trim_end_matches('│').replace(',', "").parse::<u64>().ok()
    };
    support::wait_for("the second task is counted", support::LONG, || {
        (succeeded(&top.text()) == Some(stack.tasks("succeeded"))).then_some(())
    });
    top.keys("d");
    top.wait(&["[queued]", "sorted by queued descending"]);
    top.keys("d");
    top.wait(&["sorted by queued ascending"]);
    top.keys("?");
    top.wait(&["any key closes it", "half a round trip"]);
    top.keys("x");
    top.resize(50, 10);
    top.wait(&["Your terminal is too small to show"]);
    top.resize(150, 40);
    top.wait(&["scheduler_received", "client_manager", "os_rss_free", "worker[n]"]);
    // A cluster that is killed is shown as lost, and a scheduler that is gone as such.
    stack.clusters[0].kill();
    top.wait(&["0 workers in 0 clusters, 2 workers in 1 cluster lost", "✗ lost"]);
    stack.scheduler.kill();
    top.wait(&["stale for"]);
    top.keys("q");
    assert!(top.wait_end().success());
}

#[test]
fn every_way_to_end_it_gives_the_terminal_back() {
    let stack = stack(1);
    let monitor = monitor(&stack);
    for keys in ["\u{1b}", "\u{3}"] {
        let mut top = Terminal::start(TOP, &[&monitor], 80, 24);
        top.wait(&["● live"]);
        top.keys(keys);
        assert!(top.wait_end().success(), "{keys:?}");
    }
    let mut top = Terminal::start(TOP, &[&monitor], 80, 24);
    top.wait(&["● live"]);
    kill_process(top.pid(), Signal::TERM).expect("signal");
    assert!(top.wait_end().success());
}

#[test]
fn no_workers_is_said_with_what_to_do() {
    let stack = Stack::scheduler(&[], &[]);
    let top = Terminal::start(TOP, &[&monitor(&stack)], 80, 24);
    top.wait(&["No workers", "scaler_cluster tcp://127.0.0.1"]);
}

#[test]
fn one_picture_goes_to_a_pipe_as_text_and_as_the_json_of_status() {
    let stack = stack(2);
    stack.value("behaviour.work:add(1, 2)");
    let out = Command::new(TOP).args([&monitor(&stack), "--once"]).output().expect("runs");
    let picture = text(&out.stdout);
    assert!(
        out.status.success() && picture.contains("2 workers in 1 cluster") && picture.contains("ready"),
        "{picture}"
    );
    assert!(!picture.contains('\u{1b}'), "no colours in a pipe: {picture:?}");
    let out = Command::new(TOP).args([&monitor(&stack), "--once", "--json"]).output().expect("runs");
    let view: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let status = stack.status();
    assert_eq!(view["tasks"], status["tasks"]);
    let names = |view: &Value| {
        let workers = view["workers"].as_array().expect("workers").clone();
        workers.into_iter().map(|worker| worker["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((names(&view), names(&view).len()), (names(&status), 2));
}

#[test]
fn nobody_there_and_no_terminal_are_told_by_words_and_code() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let begun = std::time::Instant::now();
    let out = Command::new(TOP).args([&format!("tcp://{free}"), "--once", "-t", "1"]).output().expect("runs");
    let words = text(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{words}");
    assert!(words.contains("nothing came") && words.contains("monitor address"), "{words}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let out = Command::new(TOP).args([&format!("tcp://{free}")]).output().expect("runs");
    assert!(out.status.code() == Some(2) && text(&out.stderr).contains("--once"), "{}", text(&out.stderr));
}
