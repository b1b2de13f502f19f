//! `scaler bench` and `scaler demo` with their real processes.

mod support;

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use support::{SCALER, scaler, text};

#[test]
fn bench_prints_figures_that_make_sense() {
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

/// How little they cost is a benchmark's question (`scaler bench --watchers 200 --stalled-watchers 1`, on a machine that
/// does nothing else); that they cannot stop the work is this one's.
#[test]
fn an_audience_of_200_and_one_that_never_reads_do_not_stop_the_work() {
    let audience = ["--watchers", "200", "--stalled-watchers", "1"];
    let out = scaler(&[&["bench", "--tasks", "20000", "--round-trips", "100", "--json"], &audience[..]].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).expect("one JSON object on stdout");
    let phases = report["watched"].as_array().unwrap_or_else(|| panic!("nobody watched in {report}"));
    let speed = |watchers: u64, stalled: u64| {
        let phase = phases.iter().find(|phase| phase["watchers"] == watchers && phase["stalled"] == stalled);
        phase.and_then(|phase| phase["tasks_per_second"].as_f64()).unwrap_or_else(|| panic!("{watchers} in {report}"))
    };
    let alone = speed(0, 0);
    assert!(speed(200, 0) * 10.0 > alone && speed(200, 1) * 10.0 > alone, "{report}");
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
    for name in ["paths.png", "surface.png", "convergence.png"] {
        assert_eq!(png_size(&output.join(name)), (1600, 1000), "{name}");
    }
}
