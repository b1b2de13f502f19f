//! What the client costs, measured against a scheduler that answers at once. Run with
//! `cargo test --release -p scaler-client --test throughput -- --ignored --nocapture`.

#[expect(dead_code, reason = "the other test binary uses the rest of this module")]
mod support;

use std::time::{Duration, Instant};

use scaler_client::{MapOptions, SubmitOptions, blocking};
use support::{Scheduler, Script};

#[test]
#[ignore = "measures; needs an idle machine"]
fn tasks_a_second_and_round_trip() {
    let scheduler = Scheduler::start(Script::default());
    let client = blocking::Client::connect(&scheduler.address).expect("connects");
    let double = client.function("test.init:double").expect("function");

    let started = Instant::now();
    for x in 0..200_000_u64 {
        std::hint::black_box(double.bind((x,)).expect("binds"));
    }
    println!("bind: {:.0} ns", started.elapsed().as_nanos() as f64 / 200_000.0);

    let count = 300_000_u64;
    let started = Instant::now();
    let mut results = client.map(&double, 0..count, MapOptions::new());
    let mut sum = 0;
    while let Some(item) = results.next_item() {
        sum += item.bytes().expect("result").len() as u64;
    }
    println!("map: {:.0} tasks/s ({sum} bytes)", rate(count, started));

    let (mut sender, mut receiver) = client.pipe(MapOptions::new());
    let bound = double.bind((1_u64,)).expect("binds");
    let started = Instant::now();
    let feeder = std::thread::spawn(move || (0..count).try_for_each(|_| sender.send_blocking(bound.clone())));
    let mut items = Vec::new();
    while receiver.receive_many_blocking(&mut items, 256) {
        items.clear();
    }
    feeder.join().expect("feeder").expect("all sent");
    println!("pipe: {:.0} tasks/s", rate(count, started));

    let count = 50_000_u64;
    let started = Instant::now();
    let futures: Vec<_> = (0..count).map(|x| client.submit(&double, (x,)).expect("submits")).collect();
    println!("submit: {:.0} ns", started.elapsed().as_nanos() as f64 / count as f64);
    for future in futures {
        future.result::<u64>().expect("result");
    }
    println!("submit and result: {:.0} tasks/s", rate(count, started));

    let mut trips: Vec<Duration> = (0..2_000)
        .map(|_| {
            let bound = double.bind((1_u64,)).expect("binds");
            let started = Instant::now();
            client.submit_bound(bound, &SubmitOptions::new()).expect("submits").result::<u64>().expect("result");
            started.elapsed()
        })
        .collect();
    trips.sort_unstable();
    println!("round trip: p50 {:?}, p99 {:?}", trips[1_000], trips[1_980]);
}

fn rate(count: u64, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}
