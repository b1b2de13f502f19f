//! `scaler map` over inputs that are larger than what may wait: the memory of client and scheduler does not grow with
//! the input, and a scheduler whose queue is full slows a map down instead of failing it.

mod support;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use scaler_client::{FailureKind, MapOptions, Value, blocking::Client};
use support::{LONG, Process, SCALER, Stack, guest, status_bytes, text, wait_for};

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
fn an_array_that_is_meant_as_the_one_argument_is_told_how_to_be_it() {
    let stack = Stack::new(1, &[], &[&guest("tests/guests/behaviour")]);
    let map_with = |function: &str, input: &str, arguments: &[&str]| {
        let path = stack.dir.path().join("input");
        fs::write(&path, input).expect("write");
        Command::new(SCALER)
            .args(["map", &stack.address(), function])
            .args(arguments)
            .stdin(File::open(&path).expect("input"))
            .output()
            .expect("scaler map")
    };
    let map = |input: &str, arguments: &[&str]| map_with("behaviour.work:sum", input, arguments);
    let out = map("[[1]]\n[1, 2, 3]\n", &[]);
    let told = text(&out.stderr);
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(2), "1.0\n"), "{told}");
    assert_eq!(told.matches("[[1, 2, 3]]").count(), 1, "{told}");
    let sentence = told.split_once("behaviour.work:sum: ").map_or("", |(_, rest)| rest.lines().next().unwrap_or(""));
    assert!(!sentence.is_empty() && told.matches(sentence).count() == 1, "{told}");
    assert!(told.contains("stdin, line 2") && !told.contains("(value,)"), "{told}");
    // For programs: what to do is told apart; and nothing is promised to what would not fit either.
    let failure = |out: &std::process::Output| {
        let last = text(&out.stderr).lines().last().unwrap_or_default().to_owned();
        serde_json::from_str::<serde_json::Value>(&last).expect("an object")["error"].clone()
    };
    let error = failure(&map("[1, 2, 3]\n", &["--json"]));
    assert_eq!((&error["type"], &error["index"]), (&"type_mismatch".into(), &0.into()), "{error}");
    assert!(error["help"].as_str().is_some_and(|help| help.contains("[[1, 2, 3]]")), "{error}");
    let error = failure(&map("[\"a\", \"b\"]\n", &["--json"]));
    assert!(error["type"] == "type_mismatch" && error["help"].is_null(), "{error}");

    // Plain text is no JSON: which line it is, and both ways out.
    let plain = map_with("behaviour.work:echo", "\"first\"\n\nthe \"second\"\n\"third\"\n", &[]);
    let told = text(&plain.stderr);
    assert_eq!((plain.status.code(), text(&plain.stdout).as_str()), (Some(2), "\"first\"\n"), "{told}");
    assert!(told.contains("error: stdin, line 3: `the \"second\"` is not JSON: "), "{told}");
    let ways =
        "help: put a string in quotes, as in \"the \\\"second\\\"\"; or `--each-line FILE` takes each line as a string";
    assert!(told.contains(ways), "{told}");
    let lines = map_with("behaviour.work:echo", "first\nthe \"second\"\n", &["--each-line", "/dev/stdin"]);
    assert_eq!(text(&lines.stdout), "\"first\"\n\"the \\\"second\\\"\"\n", "{}", text(&lines.stderr));
    let number = text(&map_with("behaviour.work:echo", "5\n", &[]).stderr);
    assert!(number.contains("argument text: 5 is not a string; write \"5\" in quotes"), "{number}");
}

#[test]
fn a_map_waits_for_room_in_the_queue_and_a_submit_is_refused() {
    let mut stack =
        Stack::scheduler(&["-mt", "3"], &[&guest("examples/bench/guest"), &guest("tests/guests/behaviour")]);
    // Short queues at the workers, however short the tasks are.
    stack.add_cluster(2, &["-wtqs", "5"]);
    let input = stack.dir.path().join("numbers");
    let numbers: String = (1..=2_000).map(|number| format!("{number}\n")).collect();
    fs::write(&input, numbers).expect("write");
    let output = Command::new(SCALER)
        .args(["map", &stack.address(), "bench.unit:square"])
        .stdin(File::open(&input).expect("input"))
        .output()
        .expect("scaler map");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let squares: Vec<u64> = text(&output.stdout).lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(squares, (1..=2_000_u64).map(|number| number * number).collect::<Vec<_>>());

    let client = Client::connect(&stack.address()).expect("connect");
    let spin = client.function("behaviour.hostile:spin_forever").expect("function");
    let futures: Vec<_> = (0..50).map(|_| client.submit(&spin, ()).expect("submit")).collect();
    // Beyond what runs and waits, the first that has ended was refused, at once.
    let refused = wait_for("a refusal", LONG, || futures.iter().find(|future| future.done()));
    let error = refused.value().expect_err("refused");
    assert!(error.task().is_some_and(|task| task.kind == FailureKind::Busy), "{error}");
    assert!(error.to_string().contains("max_number_of_tasks_waiting"), "{error}");
    client.clear().expect("clear");
    client.disconnect();
}

/// Four times what the storage takes, with a reader that stands still: nothing may fail, and nothing may pile up.
#[test]
fn large_results_wait_for_their_reader_and_not_in_the_storage() {
    const COUNT: u64 = 100;
    let folder = tempfile::tempdir().expect("folder");
    let budget = ["tcp://127.0.0.1:0", "--memory-budget-bytes", "25000000"];
    let storage = Process::start("storage", folder.path(), env!("CARGO_BIN_EXE_scaler_object_storage_server"), &budget);
    let mut stack =
        Stack::scheduler(&["-osa", &storage.address("object_storage_address")], &[&guest("tests/guests/behaviour")]);
    stack.add_cluster(2, &[]);
    let client = Client::connect(&stack.address()).expect("connect");
    let function = client.function("behaviour.work:counting_bytes").expect("function");
    // The storage's size is what bounds it, as nobody said anything.
    let options = MapOptions::new().window_bytes(2 << 20);
    let (mut sender, mut receiver) = client.pipe(options);
    let length = |index: u64| 1_000_000 + index;
    let feeder = std::thread::spawn(move || {
        for index in 0..COUNT {
            sender.send_blocking(function.bind((length(index), index)).expect("binds")).expect("the reader is there");
        }
    });
    let mut check = |index: u64| {
        let item = receiver.receive_blocking().expect("a result");
        let Value::Bytes(bytes) = item.value().unwrap_or_else(|error| panic!("element {index}: {error}")) else {
            panic!("element {index} is not bytes");
        };
        assert_eq!((item.index(), bytes.len() as u64, bytes[0]), (index, length(index), index as u8));
    };
    check(0);
    // Whoever is not read from comes to rest long before the end, and long before the storage is full.
    let ended = wait_for("the map to stand still", LONG, || {
        let is_still = ["waiting", "assigned", "running"].iter().all(|state| stack.tasks(state) == 0);
        let ended = stack.tasks("succeeded");
        (is_still && ended > 4).then_some(ended)
    });
    assert!(ended < 24, "{ended} results of a megabyte wait");
    (1..COUNT).for_each(&mut check);
    feeder.join().expect("no panic");
    client.disconnect();
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
