//! Bulk at memcpy speed: lists of scalars through the direct way, beside `Val` and a bare copy in the same run.

use std::time::{Duration, Instant};

use super::*;

/// `echo` of one list, which always lies at the same place: 12 MiB in and as much out without growing.
fn component_of(element: &str) -> String {
    format!(
        r#"(component
  (core module $m
    (memory (export "memory") 256)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "echo") (param "x" (list {element})) (result (list {element}))
    (canon lift (core func $i "echo") (memory $memory) (realloc $realloc))))"#
    )
}

/// The least of several runs: what the machine's other work cannot make faster.
fn least(rounds: u32, mut run: impl FnMut()) -> Duration {
    let times = (0..rounds).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed()
    });
    times.min().unwrap_or_default()
}

#[test]
fn lists_of_scalars_move_at_memcpy_speed() {
    let engine = engine();
    for (name, count) in [("u8", 1 << 20), ("u32", 1 << 18), ("f64", 100_000)] {
        let (mut store, alive) = instance(&engine, &component_of(name));
        let func = alive.get_func(&mut store, "echo").expect("exported");
        let mut packed = Vec::new();
        let Val::List(values) = list(&Ty::Plain(name), count, &mut Dice(7), &mut packed) else {
            panic!("a list was promised")
        };
        let arguments = [&[0x91][..], &packed].concat();
        assert!(
            direct(&mut store, func, &arguments).expect("it is called") == packed,
            "list<{name}> came back different"
        );

        let mut copy = vec![0_u8; packed.len()];
        let bare = least(50, || {
            copy.copy_from_slice(std::hint::black_box(&packed));
            let again = std::hint::black_box(&copy).clone();
            std::hint::black_box(again);
        });
        let fast = least(50, || {
            let back = direct(&mut store, func, std::hint::black_box(&arguments)).expect("it is called");
            std::hint::black_box(back);
        });
        let values = [Val::List(values)];
        let slow = least(3, || {
            let back = by_val(&mut store, func, std::hint::black_box(&values)).expect("it is called");
            std::hint::black_box(back);
        });
        let (bare, fast, slow) = (bare.as_secs_f64() * 1e3, fast.as_secs_f64() * 1e3, slow.as_secs_f64() * 1e3);
        println!(
            "list<{name}> of {count}, in and out: two copies {bare:.3} ms, direct {fast:.3} ms, `Val` {slow:.2} ms \
             ({:.0} times slower)",
            slow / fast
        );
        assert!(slow > 8.0 * fast, "list<{name}>: `Val` takes {slow:.3} ms, the direct way {fast:.3} ms");
        // Loose: a busy machine may evict what is copied; one value after the other would be 50 times a copy.
        assert!(fast < 15.0 * bare, "list<{name}>: a copy takes {bare:.3} ms, the direct way {fast:.3} ms");
    }
}
