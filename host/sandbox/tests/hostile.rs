//! Guests that mean harm: each ends with the right kind of failure, and the next task runs as if nothing had been.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Setting, load_wat};
use scaler_proto::message::FailureKind;
use scaler_sandbox::{Fault, Interrupt, Limits, ModuleError, Program, compile};

/// All the harm that one module can do without help from the host.
const HARM: &str = r#"
(component
  (core module $m
    (memory (export "memory") 1)
    (table $t 1 funcref)
    (func $spin (export "spin") (loop (br 0)))
    (func $deep (export "recurse") (call $deep) (call $deep))
    (func (export "hoard") (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable))
    (func (export "hoard-politely") (result i32)
      (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (memory.size))
    (func (export "hoard-tables") (loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable))
    (func $boom (export "boom") (unreachable))
    (func (export "divide") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
    (func (export "huge") (result i32)
      (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 65000)) (i32.const 0))
    (func (export "fine") (result i32) (i32.const 42)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "recurse") (canon lift (core func $i "recurse")))
  (func (export "hoard") (canon lift (core func $i "hoard")))
  (func (export "hoard-politely") (result u32) (canon lift (core func $i "hoard-politely")))
  (func (export "hoard-tables") (canon lift (core func $i "hoard-tables")))
  (func (export "boom") (canon lift (core func $i "boom")))
  (func (export "divide") (result u32) (canon lift (core func $i "divide")))
  (func (export "huge") (result (list u8)) (canon lift (core func $i "huge") (memory $memory)))
  (func (export "fine") (result u32) (canon lift (core func $i "fine"))))
"#;

fn fault(setting: &Setting, program: &Program, function: &str) -> Fault {
    let entry = program.entry(None, function).expect("it is exported");
    let fault = setting.run(&entry, &[0x90]).outcome.expect_err("it fails");
    let fine = program.entry(None, "fine").expect("it is exported");
    assert_eq!(Setting::new().run(&fine, &[0x90]).outcome, Ok(vec![42]), "after {function}");
    fault
}

#[test]
fn a_spin_loop_ends_at_its_timeout() {
    let mut setting = Setting::new();
    setting.limits.timeout = Some(Duration::from_millis(30));
    let begin = Instant::now();
    let fault = fault(&setting, &load_wat(HARM), "spin");
    assert_eq!(fault.kind, FailureKind::Timeout, "{fault:?}");
    assert!(fault.message.contains("0.03 s"), "{fault}");
    assert!(fault.trace.expect("a trace").contains("spin"));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_spin_loop_ends_when_it_is_canceled() {
    let program = load_wat(HARM);
    let entry = program.entry(None, "spin").expect("it is exported");
    let word = Arc::new(AtomicU64::new(6));
    let mut setting = Setting::new();
    setting.interrupt = Interrupt::owned(Arc::clone(&word), 7);
    thread::scope(|scope| {
        let task = scope.spawn(|| setting.run(&entry, &[0x90]));
        // The word of another task does not end this one, its own does.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {
            assert!(!task.is_finished());
            thread::yield_now();
        }
        word.store(7, Ordering::Release);
        let fault = task.join().expect("no panic").outcome.expect_err("canceled");
        assert_eq!(fault.kind, FailureKind::Canceled);
    });
}

#[test]
fn endless_recursion_is_a_stack_overflow() {
    let fault = fault(&Setting::new(), &load_wat(HARM), "recurse");
    assert_eq!(fault.kind, FailureKind::StackOverflow, "{fault:?}");
}

#[test]
fn running_over_a_stack_in_memory_is_a_stack_overflow_too() {
    // As compilers do it: the stack grows down from 4,096 to 0, every call takes 16 bytes of it.
    let program = load_wat(
        r#"(component
             (core module $m (memory 1) (global $sp (mut i32) (i32.const 4096))
               (func $deep (export "f")
                 (global.set $sp (i32.sub (global.get $sp) (i32.const 16)))
                 (i32.store (global.get $sp) (i32.const 1))
                 (call $deep)
                 (global.set $sp (i32.add (global.get $sp) (i32.const 16))))
               (func (export "g") (i32.store (i32.const -4) (i32.const 1))))
             (core instance $i (instantiate $m))
             (func (export "f") (canon lift (core func $i "f")))
             (func (export "g") (canon lift (core func $i "g"))))"#,
    );
    let kind = |function| {
        let entry = program.entry(None, function).expect("it is exported");
        Setting::new().run(&entry, &[0x90]).outcome.expect_err("it fails").kind
    };
    assert_eq!(kind("f"), FailureKind::StackOverflow);
    assert_eq!(kind("g"), FailureKind::Trap);
}

#[test]
fn endless_allocation_hits_the_memory_limit() {
    let program = load_wat(HARM);
    for function in ["hoard", "hoard-tables"] {
        let mut setting = Setting::new();
        setting.limits.memory_bytes = 1 << 20;
        let fault = fault(&setting, &program, function);
        assert_eq!(fault.kind, FailureKind::MemoryLimit, "{fault:?}");
        assert!(fault.message.contains("1048576"), "{fault}");
    }
}

#[test]
fn a_guest_that_takes_no_for_an_answer_goes_on_and_is_measured() {
    let program = load_wat(HARM);
    let entry = program.entry(None, "hoard-politely").expect("it is exported");
    let mut setting = Setting::new();
    setting.limits.memory_bytes = 10 << 20;
    let report = setting.run(&entry, &[0x90]);
    assert!(report.outcome.is_ok(), "{report:?}");
    assert!((9 << 20..=10 << 20).contains(&report.peak_memory_bytes), "{report:?}");
}

#[test]
fn a_memory_that_is_too_large_from_the_start_is_refused() {
    let program = load_wat(
        r#"(component (core module $m (memory 100) (func (export "f"))) (core instance $i (instantiate $m))
           (func (export "f") (canon lift (core func $i "f"))))"#,
    );
    let mut setting = Setting::new();
    setting.limits.memory_bytes = 1 << 20;
    let fault = setting.run(&program.entry(None, "f").expect("exported"), &[0x90]).outcome.expect_err("refused");
    assert_eq!(fault.kind, FailureKind::MemoryLimit, "{fault:?}");
}

#[test]
fn traps_say_what_and_where() {
    let program = load_wat(HARM);
    let boom = fault(&Setting::new(), &program, "boom");
    assert_eq!(boom.kind, FailureKind::Trap, "{boom:?}");
    assert!(boom.message.contains("unreachable"), "{boom}");
    assert!(boom.trace.as_ref().expect("a trace").contains("boom"), "{boom:?}");
    assert!(fault(&Setting::new(), &program, "divide").message.contains("divide by zero"));
}

#[test]
fn a_large_result_hits_the_output_limit() {
    let mut setting = Setting::new();
    setting.limits.output_bytes = 1_000;
    let fault = fault(&setting, &load_wat(HARM), "huge");
    assert_eq!(fault.kind, FailureKind::OutputLimit, "{fault:?}");
}

#[test]
fn a_small_result_that_points_often_at_the_same_bytes_hits_the_output_limit() {
    // 4,000 strings of 60,000 bytes, which are all the same bytes: 240 MB from 64 KiB of memory.
    let program = load_wat(
        r#"(component
             (core module $m (memory (export "memory") 2)
               (func (export "f") (result i32) (local $at i32)
                 (loop
                   (i32.store (local.get $at) (i32.const 65536))
                   (i32.store offset=4 (local.get $at) (i32.const 60000))
                   (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 32000))))
                 (i32.store (i32.const 40000) (i32.const 0)) (i32.store (i32.const 40004) (i32.const 4000)) (i32.const 40000)))
             (core instance $i (instantiate $m))
             (alias core export $i "memory" (core memory $memory))
             (func (export "f") (result (list string)) (canon lift (core func $i "f") (memory $memory))))"#,
    );
    let mut setting = Setting::new();
    setting.limits.output_bytes = 1 << 20;
    let fault = setting.run(&program.entry(None, "f").expect("exported"), &[0x90]).outcome.expect_err("too large");
    assert_eq!(fault.kind, FailureKind::OutputLimit, "{fault:?}");
}

/// Logs, panics and draws random numbers through the SDK's interface.
const TALK: &str = r#"
(component
  (type $host (instance
    (type $level-type (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level-type)))
    (export "log" (func (param "level" $level) (param "message" string)))
    (export "panicked" (func (param "message" string)))
    (export "random-u64" (func (result u64)))))
  (import "scaler:guest/host@0.1.0" (instance $host (type $host)))
  (core module $memory (memory (export "memory") 1) (data (i32.const 8) "hello \1b[31mworld"))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $memory))
  (core func $log (canon lower (func $host "log") (memory $memory)))
  (core func $panicked (canon lower (func $host "panicked") (memory $memory)))
  (core func $random (canon lower (func $host "random-u64")))
  (core module $m
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "panicked" (func $panicked (param i32 i32)))
    (import "host" "random" (func $random (result i64)))
    (func (export "log") (call $log (i32.const 3) (i32.const 8) (i32.const 16)))
    (func (export "flood") (loop (call $log (i32.const 2) (i32.const 8) (i32.const 16)) (br 0)))
    (func (export "panic") (call $panicked (i32.const 8) (i32.const 5)) unreachable)
    (func (export "bad") (call $log (i32.const 77) (i32.const 8) (i32.const 16)))
    (func (export "out-of-bounds") (call $log (i32.const 1) (i32.const 65530) (i32.const 16)))
    (func (export "random") (result i64) (call $random)))
  (core instance $i (instantiate $m (with "host" (instance
    (export "log" (func $log)) (export "panicked" (func $panicked)) (export "random" (func $random))))))
  (func (export "log") (canon lift (core func $i "log")))
  (func (export "flood") (canon lift (core func $i "flood")))
  (func (export "panic") (canon lift (core func $i "panic")))
  (func (export "bad") (canon lift (core func $i "bad")))
  (func (export "out-of-bounds") (canon lift (core func $i "out-of-bounds")))
  (func (export "random") (result u64) (canon lift (core func $i "random"))))
"#;

#[test]
fn words_reach_the_log_without_escape_sequences() {
    let program = load_wat(TALK);
    assert!(!program.uses_wasi());
    let setting = Setting::new();
    assert_eq!(setting.run(&program.entry(None, "log").expect("exported"), &[0x90]).outcome, Ok(vec![0xc0]));
    assert_eq!(setting.lines.text(), "hello world\n");
}

#[test]
fn a_flood_of_words_is_capped_and_ends_at_the_timeout() {
    let program = load_wat(TALK);
    let mut setting = Setting::new();
    setting.limits = Limits { timeout: Some(Duration::from_millis(50)), log_bytes: 100, ..Limits::default() };
    let fault = setting.run(&program.entry(None, "flood").expect("exported"), &[0x90]).outcome.expect_err("ends");
    assert_eq!(fault.kind, FailureKind::Timeout, "{fault:?}");
    let lines = setting.lines.0.lock().expect("no panic").len();
    assert!((2..=8).contains(&lines), "{lines} lines");
    assert!(setting.lines.text().contains("more bytes of this task's log were dropped"));
}

#[test]
fn a_panic_is_reported_with_its_text() {
    let setting = Setting::new();
    let program = load_wat(TALK);
    let fault = setting.run(&program.entry(None, "panic").expect("exported"), &[0x90]).outcome.expect_err("panics");
    assert_eq!((fault.kind, fault.message.as_str()), (FailureKind::Panic, "hello"));
}

#[test]
fn host_calls_with_bad_values_are_traps() {
    let program = load_wat(TALK);
    for function in ["bad", "out-of-bounds"] {
        let entry = program.entry(None, function).expect("exported");
        let fault = Setting::new().run(&entry, &[0x90]).outcome.expect_err("refused");
        assert_eq!(fault.kind, FailureKind::Trap, "{function}: {fault:?}");
    }
}

#[test]
fn random_numbers_differ_and_can_be_taken_away() {
    let program = load_wat(TALK);
    let entry = program.entry(None, "random").expect("exported");
    let setting = Setting::new();
    assert_ne!(setting.run(&entry, &[0x90]).outcome, setting.run(&entry, &[0x90]).outcome);
    let without = Setting::with(&scaler_sandbox::Grants { random: false, ..scaler_sandbox::Grants::default() });
    let fault = without.run(&entry, &[0x90]).outcome.expect_err("not granted");
    assert!(fault.message.contains("`random`"), "{fault}");
}

#[test]
fn imports_that_are_not_offered_are_refused_by_name() {
    let wat = r#"(component (import "acme:db/store@1.0.0" (instance (export "get" (func)))))"#;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let artifact = compile(&wat::parse_str(wat).expect("valid WAT")).expect("it compiles");
    std::fs::write(file.path(), artifact).expect("it can be written");
    let error = Program::load(common::engine(), file.path()).err().expect("refused");
    assert!(matches!(error, ModuleError::Import { .. }), "{error}");
    assert!(error.to_string().contains("`acme:db/store@1.0.0`"), "{error}");
}

#[test]
fn what_is_no_component_is_refused_with_a_remedy() {
    let core = wat::parse_str("(module)").expect("valid WAT");
    assert!(compile(&core).expect_err("refused").to_string().contains("core module"));
    assert!(compile(b"#!/bin/sh").expect_err("refused").to_string().contains("no WebAssembly"));
    assert!(compile(b"").is_err());
    let component = wat::parse_str("(component)").expect("valid WAT");
    let mut broken = component;
    broken.extend_from_slice(&[1, 200, 0]);
    assert!(matches!(compile(&broken), Err(ModuleError::Compile { .. })));
}

#[test]
fn functions_that_are_not_there_are_named() {
    let error = load_wat(HARM).entry(Some("ns:pkg/init"), "nothing").err().expect("refused");
    assert!(error.to_string().contains("ns:pkg/init.nothing"), "{error}");
}

#[test]
fn functions_of_resources_cannot_be_called() {
    let program = load_wat(
        r#"(component
             (type $r (resource (rep i32))) (export $handle "handle" (type $r))
             (core module $m (func (export "f") (param i32 i32)) (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable)))
             (core instance $i (instantiate $m))
             (alias core export $i "memory" (core memory $memory))
             (alias core export $i "realloc" (core func $realloc))
             (func (export "take") (param "x" (list (own $handle))) (canon lift (core func $i "f") (memory $memory) (realloc $realloc))))"#,
    );
    let error = program.entry(None, "take").err().expect("refused");
    assert!(matches!(error, ModuleError::NotCallable { .. }), "{error}");
    assert!(error.to_string().contains("a resource"), "{error}");
}

#[test]
fn arguments_that_do_not_fit_name_the_function() {
    let program = load_wat(HARM);
    let entry = program.entry(None, "fine").expect("exported");
    for bad in [&[0x91, 1][..], &[], &[0x90, 0], &[1]] {
        let fault = Setting::new().run(&entry, bad).outcome.expect_err("refused");
        assert_eq!(fault.kind, FailureKind::Arguments, "{fault:?}");
        assert!(fault.message.starts_with("fine: "), "{fault}");
    }
}
