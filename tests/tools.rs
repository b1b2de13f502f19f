//! `scaler bench` and `scaler demo` with their real processes.

mod support;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use support::{SCALER, scaler, text};

#[test]
fn bench_prints_figures_that_make_sense() {
    let _alone = alone();
    let out = scaler(&["bench", "--tasks", "2000", "--round-trips", "100", "-n", "2", "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).expect("one JSON object on stdout");
    let figure = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("no figure {key} in {report}"));
    assert_eq!((figure("tasks"), figure("workers")), (2000.0, 2.0));
    for key in ["tasks_per_second", "sandbox_tasks_per_second", "round_trip_p50_us", "scheduler_peak_rss_bytes"] {
        assert!(figure(key) > 10.0, "{key} in {report}");
    }
    assert!(figure("round_trip_p50_us") <= figure("round_trip_p99_us"), "{report}");
    let costs = report["cpu_us_per_task"].as_array().expect("costs");
    let processes: Vec<&str> = costs.iter().filter_map(|cost| cost["process"].as_str()).collect();
    assert!(processes.len() >= 4 && costs.iter().all(|cost| cost["cpu_us"].as_f64().is_some()), "{report}");
}

/// What is measured here must not share the machine with the other tests of this file.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How little they cost exactly is a benchmark's question (`scaler bench --watchers 200 --stalled-watchers 1`, on a
/// machine that does nothing else). 200 watchers have an update every two seconds: each phase sees several.
#[test]
fn an_audience_of_200_and_one_that_never_reads_do_not_hold_up_the_work() {
    let _alone = alone();
    let audience = ["--watchers", "200", "--stalled-watchers", "1", "--rounds", "2", "--round-seconds", "3"];
    let out = scaler(&[&["bench", "--tasks", "2000", "--round-trips", "100", "--json"], &audience[..]].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).expect("one JSON object on stdout");
    let phases = report["watched"].as_array().unwrap_or_else(|| panic!("nobody watched in {report}"));
    let phase = |watchers: u64, stalled: u64| {
        let phase = phases.iter().find(|phase| phase["watchers"] == watchers && phase["stalled"] == stalled);
        phase.unwrap_or_else(|| panic!("no phase of {watchers} and {stalled} in {report}"))
    };
    let best = |phase: &Value| {
        let rounds = phase["rounds"].as_array().expect("rounds").iter().filter_map(Value::as_f64);
        rounds.fold(0.0, f64::max)
    };
    let scheduler_us = |phase: &Value| {
        let costs = phase["cpu_us_per_task"].as_array().expect("costs");
        let cost = costs.iter().find(|cost| cost["process"] == "scheduler").expect("the scheduler's");
        cost["cpu_us"].as_f64().expect("a number")
    };
    let quiet = phase(0, 0);
    assert_eq!(quiet["updates"], 0, "{report}");
    assert!(best(quiet) > 0.0, "{report}");
    for watched in [phase(200, 0), phase(200, 1)] {
        // As many as there are, and more: each of them, about once in each of both rounds.
        assert!(watched["updates"].as_u64() >= Some(200), "{report}");
        assert!(best(watched) > 0.6 * best(quiet), "{report}");
        // A busy machine makes everything slower; what the scheduler needs for a task is the same on it.
        assert!(scheduler_us(watched) < 1.5 * scheduler_us(quiet), "{report}");
    }
}

/// Width and height of a whole PNG file.
fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes[12..16] == *b"IHDR", "{}", path.display());
    assert!(bytes.ends_with(b"IEND\xaeB`\x82"), "{} is cut off", path.display());
    assert!(bytes.len() > 10_000, "{} has {} bytes: nothing is drawn in it", path.display(), bytes.len());
    let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (number(16), number(20))
}

#[test]
fn demo_loses_nothing_and_leaves_its_pictures() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("folder");
    let output = folder.path().join("pictures");
    let out = Command::new(SCALER)
        .args(["demo", "--output", &output.to_string_lossy()])
        .current_dir(folder.path())
        .output()
        .expect("scaler demo");
    let told = text(&out.stdout);
    assert!(out.status.success(), "{told}\n{}", text(&out.stderr));
    assert!(told.contains("every result arrived once"), "{told}");
    assert_eq!(told.matches("kill -9").count(), 2, "the kills are told off a terminal as well: {told}");
    for name in ["paths.png", "surface.png", "convergence.png"] {
        assert_eq!(png_size(&output.join(name)), (1600, 1000), "{name}");
    }
    // For programs: the figures on stdout, the story on stderr.
    let out = Command::new(SCALER)
        .args(["demo", "--json", "--output", &output.to_string_lossy()])
        .current_dir(folder.path())
        .output()
        .expect("scaler demo");
    let told = text(&out.stderr);
    assert!(out.status.success(), "{told}");
    let figures: Value = serde_json::from_slice(&out.stdout).expect("one JSON object on stdout");
    for key in ["tasks", "elapsed_seconds", "tasks_per_second", "sandbox_start_p50_us", "demo_seconds"] {
        assert!(figures[key].as_f64() > Some(0.0), "{key} in {figures}");
    }
    assert_eq!(figures["pictures"].as_array().map(Vec::len), Some(3), "{figures}");
    assert!(told.contains("every result arrived once") && told.matches("kill -9").count() == 2, "{told}");
}
