//! Instances made ahead are as fresh as others, and what a start does that can be noticed happens in a task's name.

mod common;

use std::sync::{Arc, atomic::AtomicU64};
use std::time::{Duration, Instant};

use common::{Lines, Setting, load_wat};
use scaler_proto::message::FailureKind;
use scaler_sandbox::{Entry, Interrupt, Standby};

/// Counts calls, after a start of a millisecond or so that sets the counter to 10.
const COUNTER: &str = r#"
(component
  (core module $m
    (global $calls (mut i32) (i32.const 0))
    (func $start (local $turns i32)
      (loop (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $turns) (i32.const 1000000))))
      (global.set $calls (i32.const 10)))
    (start $start)
    (func (export "next") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls)))
  (core instance $i (instantiate $m))
  (func (export "next") (result u32) (canon lift (core func $i "next"))))
"#;

/// A module whose start is `start`, with the host's log at hand, and a function `fine` that gives 42.
fn starting_with(start: &str) -> String {
    format!(
        r#"
(component
  (type $host (instance
    (type $level-type (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level-type)))
    (export "log" (func (param "level" $level) (param "message" string)))))
  (import "scaler:guest/host@0.1.0" (instance $host (type $host)))
  (core module $memory (memory (export "memory") 1) (data (i32.const 8) "hello"))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $memory))
  (core func $log (canon lower (func $host "log") (memory $memory)))
  (core module $m
    (import "host" "log" (func $log (param i32 i32 i32)))
    (func $start {start})
    (start $start)
    (func (export "fine") (result i32) (i32.const 42)))
  (core instance $i (instantiate $m (with "host" (instance (export "log" (func $log))))))
  (func (export "fine") (result u32) (canon lift (core func $i "fine"))))
"#
    )
}

fn entry_of(wat: &str, function: &str) -> Entry {
    load_wat(wat).entry(None, function).expect("exported")
}

fn refresh(standby: &mut Standby, entry: &Entry, setting: &Setting) {
    standby.refresh(entry, &setting.grants, &setting.limits);
}

#[test]
fn every_task_has_an_instance_of_its_own_made_ahead_or_not() {
    let (setting, entry) = (Setting::new(), entry_of(COUNTER, "next"));
    let mut standby = Standby::default();
    for refreshes in [0, 1, 0, 0, 2, 1] {
        (0..refreshes).for_each(|_| refresh(&mut standby, &entry, &setting));
        assert_eq!(standby.run(&setting.task(&entry, &[0x90])).outcome, Ok(vec![11]), "after {refreshes} refreshes");
    }
}

#[test]
fn a_task_does_not_wait_for_an_instance_that_is_ready() {
    let (setting, entry) = (Setting::new(), entry_of(COUNTER, "next"));
    // On a busy machine either figure may contain a pause, or the start may take too long to be made ahead.
    let is_seen = (0..50).any(|_| {
        let mut standby = Standby::default();
        let first = standby.run(&setting.task(&entry, &[0x90]));
        refresh(&mut standby, &entry, &setting);
        let second = standby.run(&setting.task(&entry, &[0x90]));
        assert!(second.start_us > 0, "the start has its cost, whenever it was");
        second.run_us < first.run_us / 4
    });
    assert!(is_seen, "the start of an instance is part of the task, though there was time before");
}

#[test]
fn an_instance_is_only_for_tasks_of_its_program() {
    let setting = Setting::new();
    let (counter, other) = (entry_of(COUNTER, "next"), entry_of(&starting_with(""), "fine"));
    let mut standby = Standby::default();
    refresh(&mut standby, &counter, &setting);
    assert_eq!(standby.run(&setting.task(&other, &[0x90])).outcome, Ok(vec![42]));
    refresh(&mut standby, &other, &setting);
    assert_eq!(standby.run(&setting.task(&counter, &[0x90])).outcome, Ok(vec![11]));
}

#[test]
fn a_start_that_speaks_does_so_once_a_task_and_in_its_log() {
    let entry = entry_of(&starting_with("(call $log (i32.const 2) (i32.const 8) (i32.const 5))"), "fine");
    let mut standby = Standby::default();
    for _ in 0..3 {
        let setting = Setting::new();
        assert_eq!(standby.run(&setting.task(&entry, &[0x90])).outcome, Ok(vec![42]));
        assert_eq!(setting.lines.text(), "hello\n");
        refresh(&mut standby, &entry, &setting);
        let Lines(lines) = &*setting.lines;
        assert_eq!(lines.lock().expect("no panic").len(), 1, "nobody's line");
    }
}

#[test]
fn a_start_without_end_is_given_up_and_is_the_tasks_timeout() {
    let entry = entry_of(&starting_with("(loop (br 0))"), "fine");
    let mut setting = Setting::new();
    setting.limits.timeout = Some(Duration::from_millis(100));
    let mut standby = Standby::default();
    let begin = Instant::now();
    refresh(&mut standby, &entry, &setting);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let fault = standby.run(&setting.task(&entry, &[0x90])).outcome.expect_err("it never starts");
    assert_eq!(fault.kind, FailureKind::Timeout, "{fault:?}");
}

#[test]
fn a_start_that_traps_is_the_tasks_fault() {
    let (setting, entry) = (Setting::new(), entry_of(&starting_with("unreachable"), "fine"));
    let mut standby = Standby::default();
    refresh(&mut standby, &entry, &setting);
    let fault = standby.run(&setting.task(&entry, &[0x90])).outcome.expect_err("it cannot start");
    assert_eq!(fault.kind, FailureKind::Trap, "{fault:?}");
}

#[test]
fn limits_and_cancels_hold_in_an_instance_that_was_ready() {
    let wat = r#"(component (core module $m (memory (export "memory") 1)
        (func (export "hoard") (result i32)
          (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (memory.size))
        (func (export "spin") (loop (br 0))))
      (core instance $i (instantiate $m))
      (func (export "hoard") (result u32) (canon lift (core func $i "hoard")))
      (func (export "spin") (canon lift (core func $i "spin"))))"#;
    let program = load_wat(wat);
    let [hoard, spin] = ["hoard", "spin"].map(|name| program.entry(None, name).expect("exported"));
    let mut setting = Setting::new();
    setting.limits.memory_bytes = 10 << 20;
    let mut standby = Standby::default();
    refresh(&mut standby, &hoard, &setting);
    let report = standby.run(&setting.task(&hoard, &[0x90]));
    assert!((9 << 20..=10 << 20).contains(&report.peak_memory_bytes), "{report:?}");
    refresh(&mut standby, &hoard, &setting);
    setting.limits.timeout = Some(Duration::from_millis(50));
    let fault = standby.run(&setting.task(&spin, &[0x90])).outcome.expect_err("it never ends");
    assert_eq!(fault.kind, FailureKind::Timeout, "{fault:?}");
    refresh(&mut standby, &hoard, &setting);
    setting.interrupt = Interrupt::owned(Arc::new(AtomicU64::new(1)), 1);
    let fault = standby.run(&setting.task(&spin, &[0x90])).outcome.expect_err("canceled");
    assert_eq!(fault.kind, FailureKind::Canceled, "{fault:?}");
}
