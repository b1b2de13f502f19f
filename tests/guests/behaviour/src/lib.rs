//! What tests need a guest to do: answer, spin, trap, eat memory, fill the output. It needs no WASI.

/// Well-behaved tasks.
#[scaler_guest::module]
pub mod work {
    use scaler_guest::log;
    use std::{hint::black_box, sync::Mutex};

    /// Does nothing.
    pub fn noop() {}

    /// Adds two numbers.
    pub fn add(a: i64, #[default(1)] b: i64) -> i64 {
        a.wrapping_add(b)
    }

    /// The same number.
    pub fn identity(value: u64) -> u64 {
        value
    }

    /// The same text.
    pub fn echo(text: String) -> String {
        text
    }

    /// The same bytes.
    pub fn echo_bytes(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    /// The sum of numbers, to see that they arrived.
    pub fn sum(numbers: Vec<f64>) -> f64 {
        numbers.iter().sum()
    }

    /// A text or its absence.
    pub fn optional(text: Option<String>) -> Option<String> {
        text
    }

    /// As many bytes, each 7.
    pub fn output(length: u64) -> Vec<u8> {
        vec![7; length as usize]
    }

    /// Bytes that count up from a first one, so that none can be lost or moved unseen.
    pub fn counting_bytes(length: u64, first: u64) -> Vec<u8> {
        (0..length).map(|index| (index + first) as u8).collect()
    }

    /// The sum of bytes.
    pub fn sum_bytes(bytes: Vec<u8>) -> u64 {
        bytes.iter().map(|byte| u64::from(*byte)).sum()
    }

    /// How many bytes arrived.
    pub fn length(bytes: Vec<u8>) -> u64 {
        bytes.len() as u64
    }

    /// Steps of arithmetic that no compiler can skip; gives their result. A step takes about a nanosecond.
    pub fn spin(steps: u64) -> u64 {
        let mut state = 1_u64;
        for step in 0..steps {
            state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
        }
        state
    }

    static COUNTER: Mutex<u64> = Mutex::new(0);

    /// Prepares the counter; meant as a preload.
    pub fn set_counter(value: u64) {
        log::info!("the counter starts at {value}");
        *COUNTER.lock().expect("no call panics while it holds the counter") = value;
    }

    /// Adds one to the counter, which outlives a call but not an instance.
    pub fn count() -> u64 {
        let mut counter = COUNTER.lock().expect("no call panics while it holds the counter");
        *counter += 1;
        *counter
    }

    /// Random numbers from the host.
    pub fn random() -> (u64, u64) {
        (scaler_guest::random::u64(), scaler_guest::random::u64())
    }

    /// Writes lines to the log.
    pub fn write_log(lines: u32, text: String) {
        for line in 0..lines {
            log::warn!("{line}: {text}");
        }
    }
}

/// Tasks that fail.
#[scaler_guest::module]
pub mod failures {
    /// Why something failed.
    pub enum Reason {
        /// Nothing is there.
        Missing,
        /// The number is too large.
        TooLarge(Bounds),
    }

    /// What would have been right.
    pub struct Bounds {
        pub low: i64,
        pub high: i64,
    }

    /// Fails with a text.
    pub fn error(message: String) -> Result<u32, String> {
        Err(message)
    }

    /// Fails with a value unless the number is from 0 to 9.
    pub fn check(number: i64) -> Result<i64, Reason> {
        match number {
            0..=9 => Ok(number),
            ..0 => Err(Reason::Missing),
            _ => Err(Reason::TooLarge(Bounds { low: 0, high: 9 })),
        }
    }

    /// Panics.
    pub fn panic(message: String) -> u32 {
        panic!("{message}")
    }

    /// Fails while it parses.
    pub fn parse(text: String) -> scaler_guest::Result<i32> {
        Ok(text.parse()?)
    }

    /// Asks for the time, which there is none of without WASI.
    pub fn clock() -> String {
        format!("{:?}", std::time::Instant::now())
    }

    /// Traps without a word.
    pub fn trap() {
        #[cfg(target_family = "wasm")]
        core::arch::wasm32::unreachable();
    }
}

/// Tasks that harm, if one lets them.
#[scaler_guest::module]
pub mod hostile {
    use std::hint::black_box;

    /// Never ends.
    pub fn spin_forever() {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }

    /// Fills memory again and again with single long instructions, which no compiled check can interrupt.
    pub fn fill_forever(mebibytes: u32) {
        let mut block: Vec<u8> = Vec::with_capacity((mebibytes as usize) << 20);
        loop {
            for byte in 0..=255_u8 {
                // SAFETY: the block has this capacity, and bytes need no initialisation to be written.
                unsafe { std::ptr::write_bytes(block.as_mut_ptr(), byte, block.capacity()) };
                black_box(&mut block);
            }
        }
    }

    /// Allocates and touches memory without end.
    pub fn allocate_forever() -> u64 {
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        loop {
            blocks.push(black_box(vec![1; 1 << 20]));
        }
    }

    /// Grows the memory itself and says how many pages it got.
    pub fn grow(pages: u32) -> i64 {
        #[cfg(target_family = "wasm")]
        return core::arch::wasm32::memory_grow(0, pages as usize) as isize as i64;
        #[cfg(not(target_family = "wasm"))]
        i64::from(pages)
    }

    /// Recurses without end.
    pub fn recurse_forever() -> u64 {
        #[expect(unconditional_recursion, reason = "the stack's end is what is tested")]
        fn deeper(depth: u64) -> u64 {
            let frame = black_box([depth; 16]);
            deeper(depth + 1) + frame[(depth % 16) as usize]
        }
        deeper(0)
    }

    /// Writes to the log without end.
    pub fn log_forever() {
        loop {
            scaler_guest::log::info!("\u{1b}[2Jmore");
        }
    }
}
