//! What a task costs in the scheduler's core alone: no codec, no sockets, batches of 64, one cluster of two workers.
//! Run with `cargo test --release -p scaler-proto --test scheduler_bench -- --ignored --nocapture`.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use scaler_proto::{
    capability::Capabilities,
    ids::{FunctionId, ModuleHash, PeerId, Time},
    message::{
        Ack, Done, FunctionInfo, Hello, Identity, Message, ModuleInfo, Outcome, Ready, Register, Role, Run, Submit,
        TaskStats, WorkerInfo,
    },
    payload::Payload,
    scheduler::{Effect, Scheduler, SchedulerConfig},
    session::Session,
};

const TASKS: u64 = 1_000_000;
const BATCH: u64 = 64;
const WINDOW: u64 = 4_096;

const AGENT: PeerId = PeerId(1);
const CLIENT: PeerId = PeerId(2);

struct Bench {
    core: Scheduler,
    now: Time,
    sessions: [Session; 2],
    out: Vec<Effect>,
    runs: Vec<Run>,
    results: u64,
    spent: Duration,
}

impl Bench {
    fn new() -> Self {
        Self {
            core: Scheduler::new(Time(1), SchedulerConfig::default()),
            now: Time(1),
            sessions: [Session::default(), Session::default()],
            out: Vec::new(),
            runs: Vec::new(),
            results: 0,
            spent: Duration::ZERO,
        }
    }

    /// One turn of the scheduler with one message; only the core's time counts.
    fn say(&mut self, peer: PeerId, message: Message) {
        let session = &mut self.sessions[peer.0 as usize - 1];
        let packet = session.stamp(1, message);
        self.now = Time(self.now.0 + 1_000);
        let begun = Instant::now();
        self.core.handle(self.now, peer, packet, &mut self.out);
        self.core.tick(self.now, &mut self.out);
        self.spent += begun.elapsed();
        for effect in self.out.drain(..) {
            let Effect::Send(peer, packet) = effect else { continue };
            self.sessions[peer.0 as usize - 1].receive(packet.sequence, packet.ack);
            match packet.message {
                Message::Run(runs) => self.runs.extend(runs),
                Message::TaskResult(results) => self.results += results.len() as u64,
                _ => {}
            }
        }
    }

    fn greet(&mut self, peer: PeerId, role: Role) {
        let info = |index: u16| WorkerInfo {
            name: format!("w{index}"),
            capabilities: Capabilities::none(),
            queue_size: 1_000,
        };
        self.core.connected(self.now, peer, &mut self.out);
        let hello = Hello { workers: vec![info(0), info(1)], ..Hello::new(role, peer.0, "") };
        self.say(peer, Message::Hello(vec![hello]));
    }

    fn prepare(&mut self) {
        self.greet(AGENT, Role::Agent);
        let functions = vec![FunctionInfo { interface: None, name: "f".to_owned(), signature: vec![] }];
        let identity = Identity { hash: ModuleHash([1; 32]), preload: None };
        let modules = vec![ModuleInfo { path: "m".to_owned(), identity, functions }];
        self.say(AGENT, Message::Ready(vec![Ready { modules }]));
        self.greet(CLIENT, Role::Client);
        let (module, function) = ("m".to_owned(), "f".to_owned());
        let register = Register { request: 1, module, function, capabilities: Capabilities::none() };
        self.say(CLIENT, Message::Register(vec![register]));
    }
}

fn submit(number: u64) -> Submit {
    Submit {
        objects: Vec::new(),
        number,
        function: FunctionId(1),
        arguments: Payload::Inline(vec![0x91, 0xcd, 0x12, 0x34]),
        capabilities: Capabilities::none(),
        timeout_ms: 0,
        priority: 0,
        retries: 0,
        held_ms: 0,
        patient: false,
    }
}

fn done(run: Run) -> Done {
    let stats = TaskStats { run_us: 5, attempt: run.attempt, ..TaskStats::default() };
    Done { task: run.task, attempt: run.attempt, outcome: Outcome::Ok(Payload::Inline(vec![0xcd, 0x12, 0x34])), stats }
}

/// Time that this thread has had on a CPU.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_a_task_in_the_core() {
    let mut bench = Bench::new();
    bench.prepare();
    bench.spent = Duration::ZERO;
    let (begun, cpu_before) = (Instant::now(), cpu_ns());
    let mut submitted = 0;
    while bench.results < TASKS {
        while submitted < TASKS && submitted - bench.results < WINDOW {
            let batch = (1..=BATCH).map(|offset| submit(submitted + offset)).collect();
            submitted += BATCH;
            bench.say(CLIENT, Message::Submit(batch));
        }
        let count = bench.runs.len().min(BATCH as usize);
        let dones = bench.runs.drain(..count).map(done).collect();
        bench.say(AGENT, Message::Done(dones));
        bench.say(CLIENT, Message::Ack(vec![Ack {}]));
    }
    // The machine may be busy: what counts is the core's share of this thread's time on a CPU.
    let share = bench.spent.as_secs_f64() / begun.elapsed().as_secs_f64();
    let per_task = (cpu_ns() - cpu_before) as f64 * share / TASKS as f64;
    writeln!(std::io::stdout(), "{per_task:.0} ns of CPU a task in the scheduler's core, {BATCH} a batch").ok();
    assert_eq!(bench.results, TASKS);
}
