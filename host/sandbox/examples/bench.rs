//! What a task costs in a fresh instance: `cargo run --release -p scaler-sandbox --example bench [COMPONENT]`.
//!
//! Prints microseconds of CPU a task (a busy machine changes them little) for four functions, with one thread and with
//! two, and for a function without arguments of a component: its path, interface and function.

use std::io::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use scaler_sandbox::{
    Engine, EngineSettings, Entry, Grants, Interrupt, Limits, LogSink, LogSource, Program, Task, compile, run,
};

const GUEST: &str = r#"
(component
  (core module $m
    (memory (export "memory") 40)
    (table 10 funcref)
    (func $one (result i32) (i32.const 1))
    (elem (i32.const 1) $one)
    (data (i32.const 100) "some data, so that there is an image")
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3))) (local.get $at))
    (func (export "noop"))
    (func (export "square") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "noop") (canon lift (core func $i "noop")))
  (func (export "square") (param "x" u64) (result u64) (canon lift (core func $i "square")))
  (func (export "text") (param "x" string) (result string) (canon lift (core func $i "echo") (memory $memory) (realloc $realloc)))
  (func (export "bytes") (param "x" (list u8)) (result (list u8)) (canon lift (core func $i "echo") (memory $memory) (realloc $realloc))))
"#;

struct Silent;

impl LogSink for Silent {
    fn line(&self, _: LogSource, _: &str) {}
}

fn load(engine: &Engine, component: &[u8]) -> Result<Program, Box<dyn std::error::Error>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), compile(component)?)?;
    Ok(Program::load(engine, file.path())?)
}

/// Runs tasks for a while and gives microseconds a task.
fn measure(entry: &Entry, arguments: &[u8]) -> Result<f64, String> {
    let grants = Arc::new(Grants::default().open().map_err(|error| error.to_string())?);
    let (limits, interrupt) =
        (Limits { timeout: Some(Duration::from_secs(10)), ..Limits::default() }, Interrupt::never());
    let log: Arc<dyn LogSink> = Arc::new(Silent);
    let task =
        Task { entry, arguments, objects: &[], grants: &grants, limits: &limits, interrupt: &interrupt, log: &log };
    let mut medians = Vec::new();
    for _ in 0..9 {
        let (begin, cpu, mut count) = (Instant::now(), thread_cpu_us(), 0);
        while begin.elapsed() < Duration::from_millis(150) {
            for _ in 0..16 {
                run(&task).outcome.map_err(|fault| fault.to_string())?;
                count += 1;
            }
        }
        medians.push((thread_cpu_us() - cpu) / f64::from(count));
    }
    medians.sort_by(f64::total_cmp);
    Ok(medians[medians.len() / 2])
}

fn thread_cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let engine = Engine::new(&EngineSettings::default())?;
    writeln!(out, "{}", engine.describe())?;
    let guest = wat::parse_str(GUEST)?;
    let text = b"\x91\xb4twenty bytes of text".to_vec();
    let mut bytes = vec![0x91, 0xc6, 0, 0x10, 0, 0];
    bytes.resize(6 + (1 << 20), 7);
    let program = load(&engine, &guest)?;
    let mut cases: Vec<(String, Entry, Vec<u8>)> = Vec::new();
    for (name, arguments) in [("noop", vec![0x90]), ("square", vec![0x91, 9]), ("text", text), ("bytes", bytes)] {
        cases.push((name.into(), program.entry(None, name)?, arguments));
    }
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let [path, interface, function] = &given[..] {
        let program = load(&engine, &std::fs::read(path)?)?;
        cases.push((format!("{interface}.{function}"), program.entry(Some(interface), function)?, vec![0x90]));
    }
    writeln!(out, "{:<20} {:>12} {:>22}", "us a task", "one thread", "each of two threads")?;
    for (name, entry, arguments) in &cases {
        let alone = measure(entry, arguments)?;
        let (first, second) = thread::scope(|scope| {
            let other = scope.spawn(|| measure(entry, arguments));
            (measure(entry, arguments), other.join().unwrap_or_else(|_| Err("the thread panicked".into())))
        });
        writeln!(out, "{name:<20} {alone:>12.2} {:>10.2} {:>11.2}", first?, second?)?;
    }
    Ok(())
}
