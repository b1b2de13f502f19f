//! A real cluster process against a scheduler that is played here: tasks, kills, timeouts, cancel, preload, stop.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use scaler_net::{Address, Event, Link, Options, wait};
use scaler_proto::{
    capability::Capabilities,
    ids::{ClientId, FunctionId, PeerId, TaskId},
    message::{
        Attempt, Define, Done, FailureKind, Message, ModuleInfo, Outcome, ReturnReason, Returned, Run, Stop,
        StopReason, Welcome,
    },
    payload::Payload,
    session::Session,
    wire,
};

/// A component without imports: scalars only, and every way to misbehave.
const GUEST: &str = r#"
(component
  (core module $m
    (memory 1)
    (global $state (mut i64) (i64.const 0))
    (func (export "nothing"))
    (func (export "add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
    (func (export "set") (param i64) (result i64) (global.set $state (local.get 0)) (local.get 0))
    (func (export "get") (result i64) (global.get $state))
    (func (export "spin") (loop $l (br $l)))
    (func (export "fill")
      (drop (memory.grow (i32.const 7000)))
      (loop $l
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 450000000))
        (br $l)))
    (func (export "trap") unreachable)
    (func $deep (export "deep") (param i64) (result i64)
      (i64.add (local.get 0) (call $deep (i64.add (local.get 0) (i64.const 1))))))
  (core instance $i (instantiate $m))
  (func (export "nothing") (canon lift (core func $i "nothing")))
  (func (export "add") (param "a" u64) (param "b" u64) (result u64) (canon lift (core func $i "add")))
  (func (export "set") (param "value" u64) (result u64) (canon lift (core func $i "set")))
  (func (export "get") (result u64) (canon lift (core func $i "get")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "fill") (canon lift (core func $i "fill")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "deep") (param "n" u64) (result u64) (canon lift (core func $i "deep")))
)
"#;

/// A component whose instances take a millisecond or so to start.
const SLOW_START: &str = r#"
(component
  (core module $m
    (func $start (local $turns i32)
      (loop (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $turns) (i32.const 1000000)))))
    (start $start)
    (func (export "begun")))
  (core instance $i (instantiate $m))
  (func (export "begun") (canon lift (core func $i "begun"))))
"#;

const WAIT: Duration = Duration::from_secs(60);

struct Cluster {
    child: Child,
    stdout: BufReader<ChildStdout>,
    link: Link,
    peer: PeerId,
    session: Session,
    modules: Vec<ModuleInfo>,
    functions: BTreeMap<String, FunctionId>,
    dones: Vec<Done>,
    returned: Vec<Returned>,
    running: Vec<u64>,
    number: u64,
    _folder: tempfile::TempDir,
}

impl Cluster {
    fn start(workers: u32, flags: &[&str]) -> Self {
        let mut cluster = Self::launch(workers, flags);
        cluster.pump("the cluster to be ready", |cluster| !cluster.modules.is_empty());
        cluster
    }

    fn launch(workers: u32, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("modules");
        fs::create_dir(&modules).unwrap();
        fs::write(modules.join("guest.wasm"), wat::parse_str(GUEST).unwrap()).unwrap();
        fs::write(modules.join("slow.wasm"), wat::parse_str(SLOW_START).unwrap()).unwrap();
        fs::write(modules.join("broken.wasm"), "no component at all").unwrap();
        let address: Address = "tcp://127.0.0.1:0".parse().unwrap();
        let link = Link::bind(&address, &Options::default()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_scaler_cluster"))
            .arg(link.local_address().to_string())
            .args(["-n", &workers.to_string(), "--heartbeat-interval-seconds", "1"])
            .arg("--module-path")
            .arg(&modules)
            .args(flags)
            .env("XDG_CACHE_HOME", cache())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdout,
            link,
            peer: PeerId(0),
            session: Session::default(),
            modules: vec![],
            functions: BTreeMap::new(),
            dones: vec![],
            returned: vec![],
            running: vec![],
            number: 0,
            _folder: folder,
        }
    }

    /// Takes what arrives until the condition holds.
    fn pump(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !condition(self) {
            assert!(Instant::now() < deadline, "waited too long for {what}");
            wait(&[&self.link], &[], Some(Instant::now() + Duration::from_millis(50))).unwrap();
            let mut events = vec![];
            self.link.drain(&mut events, 256, 1 << 20).unwrap();
            for event in events {
                if let Event::Message(peer, frames) = event {
                    self.packet(peer, frames);
                }
            }
        }
    }

    fn packet(&mut self, peer: PeerId, frames: wire::Frames) {
        let packet = wire::decode(frames).unwrap();
        if peer != self.peer {
            self.peer = peer;
            self.session = Session::default();
        }
        self.session.receive(packet.sequence, packet.ack);
        match packet.message {
            Message::Hello(_) => self.say(Message::Welcome(vec![Welcome {
                epoch: 1,
                version: 1,
                object_storage_address: None,
                protected: false,
                credit: Default::default(),
                resumed: false,
                timeout_ms: 0,
            }])),
            Message::Ready(ready) => self.modules = ready.into_iter().flat_map(|ready| ready.modules).collect(),
            Message::Modules(modules) => self.modules = modules.into_iter().flat_map(|entry| entry.modules).collect(),
            Message::Done(dones) => self.dones.extend(dones),
            Message::Returned(returned) => self.returned.extend(returned),
            Message::Running(running) => {
                self.running.extend(running.into_iter().map(|running| running.attempt.task.number));
            }
            Message::Heartbeat(_) => self.say(Message::Pulse(vec![])),
            _ => {}
        }
    }

    fn say(&mut self, message: Message) {
        let packet = self.session.stamp(1, message);
        self.link.send(self.peer, wire::encode(packet).unwrap()).unwrap();
    }

    fn function(&mut self, name: &str) -> FunctionId {
        if let Some(function) = self.functions.get(name) {
            return *function;
        }
        let function = FunctionId(self.functions.len() as u32 + 1);
        let info = |module: &ModuleInfo| module.functions.iter().find(|function| function.name == name).cloned();
        let found = self.modules.iter().find_map(|module| Some((module.clone(), info(module)?)));
        let (module, info) = found.unwrap();
        self.functions.insert(name.to_owned(), function);
        let (identity, path) = (module.identity, module.path);
        self.say(Message::Define(vec![Define { function, identity, path, info, stored: false }]));
        function
    }

    /// Sends a task and returns its number.
    fn run(&mut self, name: &str, arguments: &[u8]) -> u64 {
        let function = self.function(name);
        self.number += 1;
        let run = run(self.number, function, arguments);
        self.say(Message::Run(vec![run]));
        self.number
    }

    fn outcome(&mut self, number: u64) -> Outcome {
        self.pump("an outcome", |cluster| cluster.dones.iter().any(|done| done.task.number == number));
        self.dones.iter().find(|done| done.task.number == number).unwrap().outcome.clone()
    }

    fn kind(&mut self, number: u64) -> FailureKind {
        match self.outcome(number) {
            Outcome::Failed(failure) => failure.kind,
            Outcome::Ok(value) => panic!("task {number} should have failed and returned {value:?}"),
        }
    }

    /// The next ready line.
    fn ready_line(&mut self) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the cluster ended");
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&line)
                && value.get("ready").is_some()
            {
                return value;
            }
        }
    }

    fn processors(&mut self) -> Vec<i32> {
        let line = self.ready_line();
        line["processor_pids"].as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap() as i32).collect()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a plain system call on a child that was not reaped yet.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the cluster does not end");
            wait(&[&self.link], &[], Some(Instant::now() + Duration::from_millis(20))).unwrap();
            self.link.drain(&mut vec![], 256, 1 << 20).unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn task(number: u64) -> TaskId {
    TaskId { client: ClientId(1), number }
}

fn run(number: u64, function: FunctionId, arguments: &[u8]) -> Run {
    Run {
        objects: Vec::new(),
        task: task(number),
        attempt: 1,
        function,
        arguments: Payload::Inline(arguments.to_vec()),
        inline_max: 65_536,
        timeout_ms: 0,
        priority: 0,
        capabilities: Capabilities::none(),
    }
}

fn inline(bytes: &[u8]) -> Outcome {
    Outcome::Ok(Payload::Inline(bytes.to_vec()))
}

#[test]
fn tasks_run_each_in_its_own_instance() {
    let mut cluster = Cluster::start(2, &[]);
    assert_eq!(cluster.modules.len(), 2, "the file that is no component is left out");
    let sum = cluster.run("add", &[0x92, 40, 2]);
    assert_eq!(cluster.outcome(sum), inline(&[42]));
    for _ in 0..4 {
        cluster.run("set", &[0x91, 7]);
    }
    let get = cluster.run("get", &[0x90]);
    assert_eq!(cluster.outcome(get), inline(&[0]));
    let (trap, deep) = (cluster.run("trap", &[0x90]), cluster.run("deep", &[0x91, 0]));
    assert_eq!(cluster.kind(trap), FailureKind::Trap);
    assert_eq!(cluster.kind(deep), FailureKind::StackOverflow);
}

#[test]
fn an_idle_processor_has_an_instance_ready_for_the_next_task() {
    let mut cluster = Cluster::start(1, &[]);
    let run_us = |cluster: &mut Cluster| {
        let number = cluster.run("begun", &[0x90]);
        cluster.outcome(number);
        let done = cluster.dones.iter().find(|done| done.task.number == number).unwrap();
        done.stats.run_us
    };
    let first_us = run_us(&mut cluster);
    // The processor may not have had the time yet, or a pause of a busy machine may be in either figure.
    let is_seen = (0..50).any(|_| run_us(&mut cluster) < first_us / 4);
    assert!(is_seen, "every task waits for its instance, the first one for {first_us} us");
}

#[test]
fn a_spinning_and_a_filling_guest_time_out_and_the_worker_goes_on() {
    let mut cluster = Cluster::start(1, &["--task-timeout-seconds", "1"]);
    for name in ["spin", "fill"] {
        let started = Instant::now();
        let number = cluster.run(name, &[0x90]);
        assert_eq!(cluster.kind(number), FailureKind::Timeout, "{name}");
        let elapsed = started.elapsed();
        assert!(elapsed >= Duration::from_millis(950) && elapsed < Duration::from_secs(4), "{name}: {elapsed:?}");
        let next = cluster.run("add", &[0x92, 1, 1]);
        assert_eq!(cluster.outcome(next), inline(&[2]));
    }
}

#[test]
fn cancel_ends_what_runs_and_what_waits() {
    let mut cluster = Cluster::start(1, &[]);
    let spinning = cluster.run("spin", &[0x90]);
    cluster.pump("the task to run", |cluster| cluster.running.contains(&spinning));
    let waiting = cluster.run("add", &[0x92, 1, 1]);
    for number in [waiting, spinning] {
        let attempt = Attempt { task: task(number), attempt: 1 };
        cluster.say(Message::Stop(vec![Stop { attempt, reason: StopReason::Cancel }]));
        assert_eq!(cluster.kind(number), FailureKind::Canceled);
    }
    let filling = cluster.run("fill", &[0x90]);
    cluster.pump("the task to run", |cluster| cluster.running.contains(&filling));
    let attempt = Attempt { task: task(filling), attempt: 1 };
    cluster.say(Message::Stop(vec![Stop { attempt, reason: StopReason::Cancel }]));
    assert_eq!(cluster.kind(filling), FailureKind::Canceled);
    let next = cluster.run("add", &[0x92, 1, 1]);
    assert_eq!(cluster.outcome(next), inline(&[2]));
    assert!(cluster.returned.is_empty());
}

#[test]
fn a_killed_processor_costs_only_the_task_that_ran() {
    let mut cluster = Cluster::start(1, &[]);
    let pid = cluster.processors()[0];
    let first = cluster.run("add", &[0x92, 1, 1]);
    cluster.outcome(first);
    let spinning = cluster.run("spin", &[0x90]);
    cluster.pump("the task to run", |cluster| cluster.running.contains(&spinning));
    let waiting: Vec<u64> = (0..3).map(|_| cluster.run("add", &[0x92, 2, 2])).collect();
    // SAFETY: a plain system call; the processor is a child of a child that lives.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    for number in waiting {
        assert_eq!(cluster.outcome(number), inline(&[4]));
    }
    cluster.pump("the task that is to blame", |cluster| !cluster.returned.is_empty());
    let returned: Vec<_> = cluster.returned.iter().map(|entry| (entry.attempt.task.number, entry.reason)).collect();
    assert_eq!(returned, [(spinning, ReturnReason::ProcessorDied)]);
}

#[test]
fn a_preload_is_seen_by_every_task_and_changed_by_none() {
    for isolation in ["task", "processor"] {
        let mut cluster = Cluster::start(2, &["--preload", "guest:set(41)", "--isolation", isolation]);
        assert_eq!(cluster.modules[0].identity.preload.as_deref(), Some("guest:set(41)"));
        let get = cluster.run("get", &[0x90]);
        assert_eq!(cluster.outcome(get), inline(&[41]), "{isolation}");
        for _ in 0..8 {
            cluster.run("set", &[0x91, 7]);
        }
        cluster.outcome(cluster.number);
        let get = cluster.run("get", &[0x90]);
        let expected = if isolation == "task" { 41 } else { 7 };
        assert_eq!(cluster.outcome(get), inline(&[expected]), "{isolation}");
    }
}

#[test]
fn a_preload_that_fails_ends_the_cluster_with_its_own_code() {
    for (preload, flags) in [
        ("nowhere:set(1)", &[][..]),
        ("guest:nothing_of_that_name()", &[]),
        ("guest:set('text')", &[]),
        ("guest:trap()", &[]),
        ("guest:trap()", &["--isolation", "processor"]),
        ("guest:spin()", &["--preload-timeout-seconds", "1"]),
    ] {
        let mut flags = flags.to_vec();
        flags.extend(["--preload", preload]);
        let mut cluster = Cluster::launch(1, &flags);
        assert_eq!(cluster.exit_code(), Some(4), "{preload}");
    }
}

#[test]
fn a_clean_stop_gives_back_what_waits() {
    let mut cluster = Cluster::start(1, &[]);
    let spinning = cluster.run("spin", &[0x90]);
    cluster.pump("the task to run", |cluster| cluster.running.contains(&spinning));
    let waiting = cluster.run("add", &[0x92, 1, 1]);
    cluster.signal(libc::SIGTERM);
    cluster
        .pump("the waiting task", |cluster| cluster.returned.iter().any(|entry| entry.attempt.task.number == waiting));
    let attempt = Attempt { task: task(spinning), attempt: 1 };
    cluster.say(Message::Stop(vec![Stop { attempt, reason: StopReason::Cancel }]));
    assert_eq!(cluster.kind(spinning), FailureKind::Canceled);
    cluster.say(Message::Pulse(vec![]));
    assert_eq!(cluster.exit_code(), Some(0));
}

#[test]
fn without_a_scheduler_it_ends_with_its_own_code() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scaler_cluster"))
        .args(["tcp://127.0.0.1:1", "-n", "1", "-ds", "1"])
        .env("XDG_CACHE_HOME", cache())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// Not a test: `cargo test --release -p scaler --test agent -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    const TASKS: u64 = 400_000;
    const WINDOW: u64 = 1_024;
    let workers = std::env::var("WORKERS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let mut cluster = Cluster::start(workers, &[]);
    let function = cluster.function("nothing");
    let (mut sent, mut ended) = (0, 0);
    let agent = cluster.child.id();
    let (started, cpu_before) = (Instant::now(), cpu_ms(agent));
    while ended < TASKS {
        let room = (WINDOW - (sent - ended)).min(TASKS - sent);
        for start in (sent..sent + room).step_by(256) {
            let batch = (start..(sent + room).min(start + 256)).map(|number| run(number + 1, function, &[0x90]));
            cluster.say(Message::Run(batch.collect()));
        }
        sent += room;
        cluster.pump("outcomes", |cluster| !cluster.dones.is_empty());
        ended += cluster.dones.len() as u64;
        assert!(cluster.dones.drain(..).all(|done| matches!(done.outcome, Outcome::Ok(_))));
    }
    let elapsed = started.elapsed();
    let per_second = TASKS as f64 / elapsed.as_secs_f64();
    let per_task = |cpu_ms: u64| cpu_ms as f64 * 1e3 / TASKS as f64;
    let pids = cluster.processors();
    let processors = pids.iter().map(|pid| cpu_ms(*pid as u32)).sum();
    eprintln!(
        "{TASKS} tasks in {elapsed:.2?}: {per_second:.0} tasks/s; CPU a task: agent {:.2} us, processors {:.2} us",
        per_task(cpu_ms(agent) - cpu_before),
        per_task(processors),
    );
    let mut respawns = vec![];
    let mut pid = pids[0];
    for _ in 0..20 {
        // SAFETY: a plain system call; the processor is a child of a child that lives.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let killed = Instant::now();
        for _ in 0..workers * 4 {
            cluster.run("nothing", &[0x90]);
        }
        let last = cluster.number;
        cluster.pump("all outcomes", |cluster| cluster.dones.len() as u64 >= u64::from(workers) * 4);
        respawns.push(killed.elapsed());
        cluster.dones.clear();
        assert!(last > 0);
        pid = newest_processor(cluster.child.id()).unwrap_or(pid);
    }
    respawns.sort();
    eprintln!("kill to all tasks answered: median {:?}, worst {:?}", respawns[10], respawns[19]);
}

fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 1_000 / rustix::param::clock_ticks_per_second()
}

fn newest_processor(agent: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).ok()?;
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).max()
}
