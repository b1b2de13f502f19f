//! The codec against random messages, hostile bytes and golden ones.

use std::time::Instant;

use super::{generate::Random, *};
use crate::{
    capability::Capabilities,
    ids::{ClientId, FunctionId, ObjectId, TaskId},
    message::{Ack, Done, Failure, FailureKind, Heartbeat, Run, Submit, TaskResult, TaskStats},
};

macro_rules! random_messages {
    ($($name:ident: $body:ty,)*) => {
        fn random_message(kind: Kind, random: &mut Random) -> Message {
            let count = random.below(5);
            match kind {
                $(Kind::$name => Message::$name((0..count).map(|_| random.value::<$body>()).collect()),)*
            }
        }
    };
}
for_each_kind!(random_messages);

fn packet(message: Message) -> Packet {
    Packet { epoch: 7, sequence: 258, ack: 3, message }
}

fn run(number: u64, bytes: usize) -> Run {
    Run {
        objects: Vec::new(),
        task: TaskId { client: ClientId(0x1234_5678_9abc_def0 ^ number), number },
        attempt: 1,
        function: FunctionId(3),
        arguments: Payload::Inline(vec![0xc0; bytes]),
        inline_max: 65_536,
        timeout_ms: 0,
        priority: 0,
        capabilities: Capabilities::none(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: &str) -> String {
    hex(&[&[0xa0 | text.len() as u8], text.as_bytes()].concat())
}

#[test]
fn golden_bytes_of_an_acknowledgement() {
    let frames = encode(packet(Message::Ack(vec![Ack {}]))).expect("encodes");
    let expected =
        "43530100".to_owned() + "08000100" + "0700000000000000" + "0201000000000000" + "0300000000000000" + "9180";
    assert_eq!(frames.iter().map(|frame| hex(frame)).collect::<Vec<_>>(), [expected]);
}

#[test]
fn golden_bytes_of_a_submit_with_a_small_and_a_large_argument() {
    let submit = |number, arguments| Submit {
        objects: Vec::new(),
        number,
        function: FunctionId(2),
        arguments,
        capabilities: "gpu,cpu=8".parse().expect("capabilities"),
        timeout_ms: 0,
        priority: -1,
        retries: 0,
        held_ms: 0,
        patient: false,
    };
    let large = vec![0x2a; FRAME_PAYLOAD_BYTES + 1];
    let entries = vec![submit(1, Payload::Inline(vec![0x91, 0x07])), submit(300, Payload::Inline(large.clone()))];
    let frames = encode(packet(Message::Submit(entries))).expect("encodes");
    let entry = |number: &str, arguments: &str| {
        "85".to_owned()
            + &text("number")
            + number
            + &text("function")
            + "02"
            + &text("arguments")
            + arguments
            + &text("capabilities")
            + "82"
            + &text("cpu")
            + "08"
            + &text("gpu")
            + "c0"
            + &text("priority")
            + "ff"
    };
    let body = "92".to_owned() + &entry("01", "c4029107") + &entry("cd012c", "00");
    assert_eq!(hex(&frames[0][4..8]), "16000200");
    assert_eq!(hex(&frames[0][ENVELOPE_BYTES..]), body);
    assert_eq!(frames[1..], [large]);
}

#[test]
fn golden_bytes_of_outcomes() {
    let task = TaskId { client: ClientId(5), number: 6 };
    let done = Done {
        task,
        attempt: 2,
        outcome: Outcome::Ok(Payload::Stored { id: ObjectId::result(task, 2), length: 70_000 }),
        stats: TaskStats { run_us: 9, ..TaskStats::default() },
    };
    let frames = encode(packet(Message::Done(vec![done]))).expect("encodes");
    let id = "000000000000000500000000000000060000000200000002".to_owned() + &"0".repeat(16);
    let stored = "82".to_owned() + &text("id") + "c420" + &id + &text("length") + "ce00011170";
    let body = "9184".to_owned()
        + &text("task")
        + "82"
        + &text("client")
        + "05"
        + &text("number")
        + "06"
        + &text("attempt")
        + "02"
        + &text("outcome")
        + "81"
        + &text("Ok")
        + &stored
        + &text("stats")
        + "81"
        + &text("run_us")
        + "09";
    assert_eq!(hex(&frames[0][ENVELOPE_BYTES..]), body);

    let failure = Failure { kind: FailureKind::StackOverflow, message: "deep".into(), value: None, trace: None };
    let result = TaskResult { number: 1, outcome: Outcome::Failed(failure), stats: TaskStats::default() };
    let frames = encode(packet(Message::TaskResult(vec![result]))).expect("encodes");
    let body = "9183".to_owned()
        + &text("number")
        + "01"
        + &text("outcome")
        + "81"
        + &text("Failed")
        + "84"
        + &text("kind")
        + &text("stack_overflow")
        + &text("message")
        + &text("deep")
        + &text("value")
        + "c0"
        + &text("trace")
        + "c0"
        + &text("stats")
        + "80";
    assert_eq!(hex(&frames[0][ENVELOPE_BYTES..]), body);
}

#[test]
fn every_kind_comes_back_as_it_was() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        for kind in Kind::ALL {
            let packet = Packet {
                epoch: random.next(),
                sequence: random.next(),
                ack: random.next(),
                message: random_message(*kind, &mut random),
            };
            let frames = encode(packet.clone()).expect("encodes");
            assert!(frames[1..].iter().all(|frame| frame.len() > FRAME_PAYLOAD_BYTES));
            assert_eq!(decode(frames), Ok(packet), "seed {seed}, kind {kind:?}");
        }
    }
}

#[test]
fn mutated_messages_are_refused_or_read_but_never_panic() {
    let mut refused = 0;
    for seed in 0..40 {
        let mut random = Random::new(1_000 + seed);
        for kind in Kind::ALL {
            let frames = encode(packet(random_message(*kind, &mut random))).expect("encodes");
            for _ in 0..40 {
                let mut mutant = frames.clone();
                for _ in 0..=random.below(3) {
                    let frame = random.below(mutant.len());
                    mutate(&mut mutant[frame], &mut random);
                }
                if random.below(10) == 0 {
                    mutant.pop();
                }
                refused += usize::from(decode(mutant).is_err());
            }
        }
    }
    assert!(refused > 1_000, "mutants were refused: {refused}");
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(5) {
        _ if bytes.is_empty() => bytes.push(random.next() as u8),
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next() as u8),
        // Length markers of every width, with a large length behind them.
        2 => bytes[at] = 0xc4 + random.below(0x1c) as u8,
        3 => bytes[at] = 0xff,
        _ => bytes[at] ^= 1 << random.below(8),
    }
}

#[test]
fn what_is_no_message_is_named() {
    let good = encode(packet(Message::Run(vec![run(1, FRAME_PAYLOAD_BYTES + 1)]))).expect("encodes");
    let with = |at: usize, value: u8| {
        let mut frames = good.clone();
        frames[0][at] = value;
        decode(frames)
    };
    assert_eq!(decode(vec![]), Err(WireError::Truncated { bytes: 0 }));
    assert_eq!(decode(vec![vec![0; 31]]), Err(WireError::Truncated { bytes: 31 }));
    assert!(matches!(with(0, 0), Err(WireError::Magic { .. })));
    assert_eq!(with(2, 99), Err(WireError::Version { found: 99 }));
    assert_eq!(with(5, 0xff), Err(WireError::UnknownKind { kind: 0xff29, epoch: 7, sequence: 258, ack: 3 }));
    assert_eq!(with(6, 2), Err(WireError::Count { kind: Kind::Run, claimed: 2, found: 1 }));
    assert!(matches!(with(4, Kind::Hello as u8), Err(WireError::Malformed { kind: Kind::Hello, entry: 0, .. })));
    let mut short = good.clone();
    short.pop();
    assert_eq!(decode(short), Err(WireError::FrameIndex { kind: Kind::Run, number: 0, frames: 0 }));
    assert_eq!(decode(vec![vec![0; 40]; 257]), Err(WireError::TooManyFrames { frames: 257 }));
    assert!(matches!(decode(vec![vec![0; MESSAGE_BYTES_MAX + 1]]), Err(WireError::TooLarge { .. })));
    assert!(matches!(encode(packet(Message::Run(vec![run(1, MESSAGE_BYTES_MAX)]))), Err(WireError::TooLarge { .. })));
}

#[test]
fn a_frame_belongs_to_one_payload() {
    let mut frames = encode(packet(Message::Run(vec![run(1, 5_000), run(2, 5_000)]))).expect("encodes");
    let key = frames[0].windows(10).rposition(|window| window == b"\xa9arguments").expect("key");
    assert_eq!(std::mem::replace(&mut frames[0][key + 10], 0), 1);
    assert_eq!(decode(frames), Err(WireError::FrameIndex { kind: Kind::Run, number: 0, frames: 2 }));
}

#[test]
fn more_large_payloads_than_frames_stay_inline() {
    let entries: Vec<Run> = (0..300).map(|number| run(number, 5_000)).collect();
    let sent = packet(Message::Run(entries));
    let frames = encode(sent.clone()).expect("encodes");
    assert_eq!(frames.len(), FRAMES_MAX);
    assert_eq!(decode(frames), Ok(sent));
}

#[test]
fn unknown_fields_are_ignored_and_deep_nesting_is_refused() {
    let with_field = |depth: usize| {
        let mut frames = encode(packet(Message::Heartbeat(vec![]))).expect("encodes");
        frames[0][6] = 1;
        frames[0].truncate(ENVELOPE_BYTES);
        frames[0].extend_from_slice(b"\x91\x82\xa4sent\x05\xa5later");
        frames[0].extend(std::iter::repeat_n(0x91, depth));
        frames[0].push(0xc0);
        decode(frames)
    };
    let expected = packet(Message::Heartbeat(vec![Heartbeat { sent: 5, ..Heartbeat::default() }]));
    assert_eq!(with_field(10), Ok(expected));
    assert!(matches!(with_field(1_000_000), Err(WireError::Malformed { .. })));
}

#[test]
fn a_batch_of_runs_costs_little() {
    let batch: Vec<Run> = (0..64).map(|number| run(number, 100)).collect();
    let rounds = 400;
    let best = (0..10)
        .map(|_| {
            let batches: Vec<Packet> = (0..rounds).map(|_| packet(Message::Run(batch.clone()))).collect();
            let start = Instant::now();
            for batch in batches {
                let frames = encode(batch).expect("encodes");
                assert_eq!(decode(frames).expect("decodes").message.count(), 64);
            }
            start.elapsed().as_nanos() / (rounds * 64)
        })
        .min();
    // Ten times what it takes here, so that a busy machine does not fail it.
    println!("encode and decode of a Run: {best:?} ns");
    assert!(best < Some(6_000), "{best:?} ns a task");
}
