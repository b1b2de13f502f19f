//! Preloads: what one call leaves behind is where every task begins, and where a resident instance goes on.

mod common;

use common::{Setting, engine, load, load_wat};
use scaler_proto::message::FailureKind;
use scaler_sandbox::{Program, Resident, Snapshot, prepare, snapshot};

/// Remembers a number, in a global and in memory.
const KEEPER: &str = r#"
(component
  (core module $m
    (memory (export "memory") 1 200)
    (global $kept (mut i32) (i32.const 0))
    (func (export "configure") (param i32)
      (global.set $kept (local.get 0)) (i32.store (i32.const 100) (i32.add (local.get 0) (i32.const 1))))
    (func (export "sum") (result i32) (i32.add (global.get $kept) (i32.load (i32.const 100))))
    (func (export "table")
      (drop (memory.grow (i32.const 100))) (memory.fill (i32.const 65536) (i32.const 7) (i32.const 6000000)))
    (func (export "look") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "fails") (param i32) (unreachable)))
  (core instance $i (instantiate $m))
  (func (export "configure") (param "to" u32) (canon lift (core func $i "configure")))
  (func (export "sum") (result u32) (canon lift (core func $i "sum")))
  (func (export "table") (canon lift (core func $i "table")))
  (func (export "look") (param "at" u32) (result u8) (canon lift (core func $i "look")))
  (func (export "fails") (param "x" u32) (canon lift (core func $i "fails"))))
"#;

fn preloaded(component: &[u8], setting: &Setting, function: &str, arguments: &[u8]) -> (Snapshot, Program) {
    let program = load(&prepare(component).expect("it can be instrumented"));
    let entry = program.entry(None, function).expect("exported");
    let taken = snapshot(component, &setting.task(&entry, arguments)).expect("a snapshot");
    let program = load(&taken.component);
    (taken, program)
}

#[test]
fn every_task_begins_where_the_preload_ended() {
    let bytes = wat::parse_str(KEEPER).expect("valid WAT");
    let setting = Setting::new();
    let (taken, program) = preloaded(&bytes, &setting, "configure", &[0x91, 20]);
    assert!(taken.cacheable);
    assert_eq!(taken.report.outcome, Ok(vec![0xc0]));
    let sum = program.entry(None, "sum").expect("exported");
    assert_eq!(setting.run(&sum, &[0x90]).outcome, Ok(vec![41]));
    // What a task overwrites, the next does not see.
    assert!(setting.run(&program.entry(None, "configure").expect("exported"), &[0x91, 1]).outcome.is_ok());
    assert_eq!(setting.run(&sum, &[0x90]).outcome, Ok(vec![41]));
}

#[test]
fn a_large_table_is_part_of_the_snapshot() {
    let bytes = wat::parse_str(KEEPER).expect("valid WAT");
    let setting = Setting::new();
    let (_, program) = preloaded(&bytes, &setting, "table", &[0x90]);
    let look = program.entry(None, "look").expect("exported");
    for (at, value) in [(65_535_u32, 0), (65_536, 7), (6_000_000, 7)] {
        let mut arguments = vec![0x91, 0xce];
        arguments.extend_from_slice(&at.to_be_bytes());
        assert_eq!(setting.run(&look, &arguments).outcome, Ok(vec![value]), "at {at}");
    }
}

#[test]
fn a_preload_that_fails_gives_its_reason_and_no_snapshot() {
    let bytes = wat::parse_str(KEEPER).expect("valid WAT");
    let program = load(&prepare(&bytes).expect("it can be instrumented"));
    let setting = Setting::new();
    let entry = program.entry(None, "fails").expect("exported");
    let fault = snapshot(&bytes, &setting.task(&entry, &[0x91, 1])).expect_err("it fails");
    assert_eq!(fault.kind, FailureKind::Trap, "{fault:?}");
    let fault = snapshot(&bytes, &setting.task(&entry, &[0x90])).expect_err("it fails");
    assert_eq!(fault.kind, FailureKind::Arguments, "{fault:?}");
}

#[test]
fn a_program_that_is_not_instrumented_gives_an_error() {
    let bytes = wat::parse_str(KEEPER).expect("valid WAT");
    let program = load(&bytes);
    let setting = Setting::new();
    let entry = program.entry(None, "configure").expect("exported");
    let fault = snapshot(&bytes, &setting.task(&entry, &[0x91, 1])).expect_err("refused");
    assert!(fault.message.contains("isolation = \"processor\""), "{fault}");
}

#[test]
fn a_resident_keeps_its_state_until_it_traps() {
    let program = load_wat(KEEPER);
    let entry = |name| program.entry(None, name).expect("exported");
    let (configure, sum, fails) = (entry("configure"), entry("sum"), entry("fails"));
    let setting = Setting::new();
    let mut resident = Resident::new(&program, Some((configure.clone(), vec![0x91, 20])));
    let mut run = |entry, arguments: &[u8]| resident.run(&setting.task(entry, arguments)).outcome;
    assert_eq!(run(&sum, &[0x90]), Ok(vec![41]));
    assert!(run(&configure, &[0x91, 4]).is_ok());
    assert_eq!(run(&sum, &[0x90]), Ok(vec![9]));
    assert_eq!(run(&fails, &[0x91, 0]).expect_err("it traps").kind, FailureKind::Trap);
    assert_eq!(run(&sum, &[0x90]), Ok(vec![41]));
}

#[test]
fn a_resident_whose_preload_fails_says_so() {
    let program = load_wat(KEEPER);
    let fails = program.entry(None, "fails").expect("exported");
    let setting = Setting::new();
    let mut resident = Resident::new(&program, Some((fails.clone(), vec![0x91, 0])));
    let fault = resident.start(&setting.task(&fails, &[])).expect_err("it fails");
    assert_eq!(fault.kind, FailureKind::Preload);
    assert!(fault.message.contains("`fails`"), "{fault}");
    let _ = engine();
}
