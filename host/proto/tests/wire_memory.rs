//! What a hostile message can make the decoder allocate: measured with a counting allocator, over handmade bombs and
//! seeded mutants.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use scaler_proto::{
    ids::{ClientId, FunctionId, ModuleHash, TaskId},
    message::{FunctionInfo, Identity, Kind, Message, ModuleInfo, Modules, Run},
    payload::Payload,
    session::Packet,
    wire::{self, ENVELOPE_BYTES, Frames, MESSAGE_BYTES_MAX},
};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as promised by our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by our caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most bytes that decoding took beyond the message itself.
fn peak_of_decoding(frames: Frames) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    drop(wire::decode(frames));
    PEAK.load(Ordering::Relaxed) - before
}

fn bomb(kind: Kind, count: u16, body: &[u8]) -> Frames {
    let packet = Packet { epoch: 1, sequence: 1, ack: 0, message: Message::Ack(vec![]) };
    let mut frames = wire::encode(packet).expect("encodes");
    frames[0].truncate(ENVELOPE_BYTES);
    frames[0][4..6].copy_from_slice(&(kind as u16).to_le_bytes());
    frames[0][6..8].copy_from_slice(&count.to_le_bytes());
    frames[0].extend_from_slice(body);
    frames
}

fn samples() -> Vec<Frames> {
    let run = |number| Run {
        objects: Vec::new(),
        task: TaskId { client: ClientId(1), number },
        attempt: 1,
        function: FunctionId(1),
        arguments: Payload::Inline(vec![1; if number == 3 { 6_000 } else { 60 }]),
        inline_max: 1,
        timeout_ms: 7,
        priority: -1,
        capabilities: "gpu,cpu=2".parse().expect("capabilities"),
    };
    let function = FunctionInfo { interface: None, name: "f".into(), signature: vec![1; 50] };
    let identity = Identity { hash: ModuleHash([1; 32]), preload: Some("init:configure()".into()) };
    let module = ModuleInfo { path: "a.b".into(), identity, functions: vec![function; 4] };
    [Message::Run((0..8).map(run).collect()), Message::Modules(vec![Modules { modules: vec![module; 3] }])]
        .map(|message| wire::encode(Packet { epoch: 1, sequence: 2, ack: 3, message }).expect("encodes"))
        .into()
}

#[test]
fn no_message_makes_the_decoder_allocate_much() {
    // Numbers alone reserve next to nothing.
    let claim = |marker: u8| [&[0x91, 0x81, 0xa7], &b"modules"[..], &[marker, 0xff, 0xff, 0xff, 0xff]].concat();
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        assert!(peak_of_decoding(bomb(Kind::Modules, 1, &claim(marker))) < 2 << 20, "marker {marker:#x}");
    }
    assert!(peak_of_decoding(bomb(Kind::Run, 65_535, &[0xdc, 0xff, 0xff])) < 64 << 10);

    // The densest legal content: small entries written without names, in a message of the largest size.
    let entries = (MESSAGE_BYTES_MAX - 200) / 5;
    let mut dense = [&[0x91, 0x93, 0xc0, 0xa0, 0xdd][..], &(entries as u32).to_be_bytes()].concat();
    dense = [&[0x91, 0x91, 0x91][..], &dense].concat();
    dense.extend(std::iter::repeat_n([0xc0, 0xa0, 0xc4, 0, 0xc0], entries).flatten());
    dense.truncate(MESSAGE_BYTES_MAX - ENVELOPE_BYTES);
    assert!(peak_of_decoding(bomb(Kind::Modules, 1, &dense)) < 32 * MESSAGE_BYTES_MAX);

    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..30_000 {
        for sample in samples() {
            let mut mutant = sample;
            let frame = random(mutant.len());
            for _ in 0..=random(3) {
                let at = random(mutant[frame].len());
                mutant[frame][at] = if random(2) == 0 { 0xc0 + random(0x40) as u8 } else { random(256) as u8 };
            }
            let bytes: usize = mutant.iter().map(Vec::len).sum();
            let peak = peak_of_decoding(mutant.clone());
            assert!(peak < (2 << 20) + 32 * bytes, "{peak} bytes for {mutant:02x?}");
        }
    }
}
