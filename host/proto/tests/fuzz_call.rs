//! A seeded mutation fuzzer for everything in this crate that reads text or values from strangers: hundreds of
//! thousands of damaged inputs in a few seconds, the same ones in every run. Whole messages of every kind are damaged
//! in the same way by the tests of `wire`.

use scaler_proto::{
    call::{Call, parse_literal, parse_target},
    value::Value,
};

const ROUNDS: usize = 200_000;

const SEEDS: &[&str] = &[
    "mymod.init:configure('production', debug=false)",
    "a-b.c_d:e-f(1_000, 0xff, -2.5e+10, .5, nan, -Infinity, None, True)",
    r#"m:f({"k": [1, (2,), {'x': b'\x00\xff'}], 'é': "\ud83d\ude00\n"}, k=[[[[()]]]], )"#,
    r"m:f('\U0001F600\x41\t\0\\', b'\'', x=(1), y=9999999999999999999999999999999999999)",
    "m:setup",
];
#[rustfmt::skip]
const TOKENS: &[&str] = &[
    "(", ")", "[", "]", "{", "}", ",", ":", "=", "'", "\"", "\\", "\\x", "\\u", "\\ud800", "b'", "0x", "_", "-", "+", ".", "e",
    "é", "😀", "\0", "nan", "None", "1e999", "((((((((((", "[[[[[[[[[[", " ", "\n",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

fn damage(random: &mut Random, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..1 + random.below(5) {
        let place = random.below(characters.len() + 1);
        match random.below(4) {
            0 => drop(characters.splice(place..place, random.pick(TOKENS).chars())),
            1 if place < characters.len() => drop(characters.remove(place)),
            2 if random.below(4) == 0 => characters.truncate(place),
            _ => {
                let other: Vec<char> = random.pick(SEEDS).chars().collect();
                let start = random.below(other.len());
                characters.splice(place..place, other[start..].iter().take(12).copied());
            }
        }
    }
    characters.into_iter().collect()
}

#[test]
fn damaged_calls_are_read_or_refused_with_their_place() {
    let mut random = Random(0x5ca1_e70a_57ab_1e01);
    let mut read = 0;
    for _ in 0..ROUNDS {
        let seed = random.pick(SEEDS);
        let text = damage(&mut random, seed);
        let _ = (parse_target(&text), parse_literal(&text), Value::from_json(&text));
        match Call::parse(&text) {
            Ok(call) => {
                read += 1;
                let printed = call.to_string();
                let again = Call::parse(&printed).unwrap_or_else(|error| panic!("{text:?} printed as {error}"));
                assert_eq!(again.to_string(), printed, "{text:?}");
            }
            Err(error) => {
                assert!(error.column <= text.chars().count() + 1, "{text:?}");
                assert!(error.to_string().ends_with('^'), "{text:?}");
            }
        }
    }
    assert!(read > ROUNDS / 100, "only {read} of {ROUNDS} inputs were calls: the damage is too wild to test anything");
}

#[test]
fn damaged_messagepack_is_read_or_refused() {
    let mut random = Random(0x0b5e_55ed_0b5e_55ed);
    let calls = SEEDS.iter().filter_map(|seed| Call::parse(seed).ok());
    let seeds = calls.map(|call| Value::List(call.args).encode().expect("seeds fit"));
    let seeds: Vec<Vec<u8>> = seeds.filter(|bytes| bytes.len() > 1).collect();
    let mut read = 0;
    for _ in 0..ROUNDS {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..1 + random.below(3) {
            let place = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[place] = random.below(256) as u8,
                1 => bytes.insert(place, [0x91, 0x81, 0xdd, 0xdf, 0xc6, 0xdb, 0xc1, 0xd4][random.below(8)]),
                _ => bytes[place] ^= 1 << random.below(8),
            }
        }
        if let Ok(value) = Value::decode(&bytes) {
            read += 1;
            let again = value.encode().expect("what was read can be written");
            assert_eq!(Value::decode(&again).map(|value| value.to_string()), Ok(value.to_string()), "{bytes:02x?}");
        }
    }
    assert!(read > ROUNDS / 100, "only {read} of {ROUNDS} inputs were values");
}
