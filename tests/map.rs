//! `scaler map` over a million elements: the memory of client and scheduler does not grow with the input.

mod support;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::{SCALER, Stack, guest, status_bytes};

/// Far above what it takes on a busy machine; far below for ever.
const BOUND: Duration = Duration::from_secs(240);
const MIB: f64 = 1_048_576.0;

/// Maps `0..count` to their squares, checks every line, and gives the client's peak memory and the seconds.
fn map(stack: &Stack, count: u64, output: &Path) -> (u64, f64) {
    let (address, range) = (stack.address(), format!("0..{count}"));
    let started = Instant::now();
    let mut client = Command::new(SCALER)
        .args(["map", &address, "bench.unit:square", "--range", &range])
        .stdin(Stdio::null())
        .stdout(File::create(output).expect("output"))
        .spawn()
        .expect("scaler map");
    let mut peak = 0;
    let status = loop {
        // The peak only grows, and is gone with the process: the last look counts.
        peak = peak.max(status_bytes(client.id(), "VmHWM:"));
        if let Some(status) = client.try_wait().expect("wait") {
            break status;
        }
        if started.elapsed() > BOUND {
            client.kill().expect("kill");
            panic!("{count} elements took longer than {BOUND:?}");
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let seconds = started.elapsed().as_secs_f64();
    assert!(status.success(), "{status}");
    let lines = BufReader::new(File::open(output).expect("output")).lines();
    let mut found = 0_u64;
    for (number, line) in (0_u64..).zip(lines) {
        assert_eq!(line.expect("text"), (number * number).to_string(), "element {number}");
        found += 1;
    }
    assert_eq!(found, count);
    fs::remove_file(output).expect("remove");
    (peak, seconds)
}

#[test]
fn a_million_elements_need_no_more_memory_than_a_hundred_thousand() {
    let stack = Stack::new(2, &[], &[&guest("examples/bench/guest")]);
    let output = stack.dir.path().join("squares");
    let mut peaks = Vec::new();
    for count in [100_000, 1_000_000] {
        let (client, seconds) = map(&stack, count, &output);
        let scheduler = stack.scheduler.peak_rss_bytes();
        println!(
            "{count:>9} elements: peak of the client {:.1} MiB, of the scheduler {:.1} MiB; {:.0} elements/s",
            client as f64 / MIB,
            scheduler as f64 / MIB,
            count as f64 / seconds
        );
        peaks.push((client as f64 / MIB, scheduler as f64 / MIB));
    }
    let [(client, scheduler), (client_after, scheduler_after)] = peaks[..] else { panic!("two runs: {peaks:?}") };
    assert!(client > 1.0 && scheduler > 1.0, "peaks were not measured: {peaks:?}");
    // A tenth of the elements would show in both if anything were kept for each: 900,000 times 16 bytes are 14 MiB.
    assert!(client_after < client * 1.15 + 4.0, "the client grows with its input: {peaks:?} MiB");
    assert!(scheduler_after < scheduler * 1.15 + 4.0, "the scheduler grows with the input: {peaks:?} MiB");
}
