//! Nanoseconds per bind and decode: `cargo test --release -p scaler-module --test speed -- --ignored --nocapture`.

use std::{hint::black_box, time::Instant};

use scaler_module::{Field, Parameter, Signature, Type};
use scaler_proto::value::Value;

fn measure(what: &str, rounds: u32, mut run: impl FnMut()) {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        (0..rounds).for_each(|_| run());
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    });
    println!("{what:<44} {:>12.1} ns", best.fold(f64::INFINITY, f64::min));
}

#[test]
#[ignore = "prints figures"]
fn nanoseconds() {
    let spec = Type::Record {
        name: "spec".to_owned(),
        fields: ["a", "b", "c"].map(|name| Field { name: name.to_owned(), ty: Type::Float64 }).to_vec(),
    };
    let cases = [
        ("one u64", Type::U64, Value::from(123_456_u64), 1_000_000),
        ("one string of 20", Type::String, Value::from("abcdefghijklmnopqrst"), 1_000_000),
        (
            "a record of 3 f64",
            spec,
            Value::Map(["a", "b", "c"].map(|name| (name.to_owned(), Value::Float(1.5))).to_vec()),
            200_000,
        ),
        ("list<f64> of 1000", Type::List(Box::new(Type::Float64)), Value::List(vec![Value::Float(1.5); 1000]), 5_000),
        ("list<u8> of 1 MiB", Type::List(Box::new(Type::U8)), Value::Bytes(vec![7; 1 << 20]), 200),
    ];
    for (what, ty, value, rounds) in cases {
        let signature = Signature {
            parameters: vec![Parameter { name: "x".to_owned(), ty: ty.clone(), default: None }],
            result: Some(ty),
        };
        let args = [value];
        let bound = signature.bind(&args, &[]).expect("binds");
        let mut out = Vec::new();
        measure(&format!("{what}: bind"), rounds, || drop(black_box(signature.bind(black_box(&args), &[]))));
        measure(&format!("{what}: bind_into"), rounds, || {
            out.clear();
            signature.bind_into(&mut out, black_box(&args), &[]).expect("binds");
        });
        measure(&format!("{what}: bind_encoded"), rounds, || {
            drop(black_box(signature.bind_encoded(black_box(&bound))))
        });
        measure(&format!("{what}: decode_returned"), rounds, || {
            drop(black_box(signature.decode_returned(black_box(&bound[1..]))))
        });
    }
}
