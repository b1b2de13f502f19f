//! What a round of the monitor stream costs the scheduler's core with a thousand workers, all of them changed.
//! Run with `cargo test --release -p scaler-proto --test monitor_bench -- --ignored --nocapture`.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use scaler_proto::{
    capability::Capabilities,
    ids::{PeerId, Time},
    message::{Ack, Heartbeat, Hello, Message, Ready, Role, Topic, Watch, WorkerInfo, WorkerLoad},
    scheduler::{Effect, Scheduler, SchedulerConfig},
    session::Session,
};

const AGENTS: u64 = 20;
const WORKERS: usize = 50;
const WATCHERS: u64 = 10;
const ROUNDS: u32 = 200;

struct Bench {
    core: Scheduler,
    now: Time,
    sessions: Vec<Session>,
    out: Vec<Effect>,
    /// Bytes of updates so far.
    sent: u64,
}

impl Bench {
    fn say(&mut self, peer: usize, message: Message) -> Duration {
        let packet = self.sessions[peer].stamp(1, message);
        let begun = Instant::now();
        self.core.handle(self.now, PeerId(peer as u64), packet, &mut self.out);
        self.core.tick(self.now, &mut self.out);
        let spent = begun.elapsed();
        for effect in self.out.drain(..) {
            let Effect::Send(peer, packet) = effect else { continue };
            self.sessions[peer.0 as usize].receive(packet.sequence, packet.ack);
            if let Message::Update(updates) = packet.message {
                self.sent += updates.iter().map(|update| update.changes.len() as u64).sum::<u64>();
            }
        }
        spent
    }

    fn greet(&mut self, role: Role, workers: Vec<WorkerInfo>) -> usize {
        let peer = self.sessions.len();
        self.sessions.push(Session::default());
        self.core.connected(self.now, PeerId(peer as u64), &mut self.out);
        let hello = Hello { workers, heartbeat_ms: 1_000, ..Hello::new(role, peer as u64, format!("host-{peer}")) };
        self.say(peer, Message::Hello(vec![hello]));
        peer
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn microseconds_a_round_with_a_thousand_workers() {
    let now = Time(1);
    let core = Scheduler::new(now, SchedulerConfig::default());
    let mut bench = Bench { core, now, sessions: Vec::new(), out: Vec::new(), sent: 0 };
    let agents: Vec<usize> = (0..AGENTS)
        .map(|agent| {
            let info = |index| WorkerInfo {
                name: format!("host-{agent}-{index}"),
                capabilities: Capabilities::none(),
                queue_size: 1_000,
            };
            let peer = bench.greet(Role::Agent, (0..WORKERS).map(info).collect());
            bench.say(peer, Message::Ready(vec![Ready { modules: vec![] }]));
            peer
        })
        .collect();
    let watchers: Vec<usize> = (0..WATCHERS).map(|_| bench.greet(Role::Monitor, vec![])).collect();
    for watcher in &watchers {
        bench.say(*watcher, Message::Watch(vec![Watch { topics: vec![Topic::Tasks, Topic::Logs] }]));
    }
    let (mut rounds, mut other, mut sent) = (Duration::ZERO, Duration::ZERO, 0);
    for round in 0..ROUNDS {
        for agent in &agents {
            let load = |worker: usize| WorkerLoad {
                pid: 1,
                cpu_permille: (worker as u32 + round) % 1_000,
                rss_bytes: u64::from(round) << 20,
                ..WorkerLoad::default()
            };
            let workers = (0..WORKERS).map(load).collect();
            other += bench.say(*agent, Message::Heartbeat(vec![Heartbeat { workers, ..Heartbeat::default() }]));
        }
        for _ in 0..4 {
            for watcher in &watchers {
                other += bench.say(*watcher, Message::Ack(vec![Ack {}]));
            }
        }
        bench.now = bench.now.plus_ms(1_000);
        let before = bench.sent;
        rounds += bench.say(agents[0], Message::Ack(vec![Ack {}]));
        sent += bench.sent - before;
    }
    let (round, other) = (rounds.as_micros() / u128::from(ROUNDS), other.as_micros() / u128::from(ROUNDS));
    writeln!(
        std::io::stdout(),
        "{round} us a round that tells {WATCHERS} watchers of {} changed workers ({} KiB to each); {other} us for the \
         reports and acknowledgements around it",
        AGENTS as usize * WORKERS,
        sent / u64::from(ROUNDS) / WATCHERS / 1_024,
    )
    .ok();
    assert!(sent > 0, "somebody was told something");
}
