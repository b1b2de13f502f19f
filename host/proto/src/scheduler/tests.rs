//! The scheduler driven by messages: what comes out, and that nothing else does.

mod departures;
mod ends;
mod monitor;
mod names;
mod objects;
mod orders;
mod sessions;
mod stranded;
mod workers;

use super::*;
use crate::{
    capability::Capabilities,
    ids::{FunctionId, TaskId},
    message::{
        Attempt, Cancel, Demand, Done, Failure, FailureKind, FunctionInfo, Heartbeat, Identity, Leaving, ModuleInfo,
        Outcome, Query, Ready, Register, RegisterErrorKind, Release, ReturnReason, Returned, Run, Running, Shutdown,
        Stop, Submit, TaskResult, TaskStats, WorkerInfo, WorkerLoad,
    },
    payload::Payload,
    session::Session,
};

/// A scheduler and whoever talks to it, on a clock of their own.
struct Env {
    core: Scheduler,
    now: Time,
    sessions: BTreeMap<PeerId, Session>,
    inbox: BTreeMap<PeerId, Vec<Message>>,
    /// Everything but messages and notes.
    other: Vec<Effect>,
    notes: Vec<Note>,
    last_peer: u64,
}

impl Env {
    fn new(change: impl FnOnce(&mut SchedulerConfig)) -> Self {
        let mut config = SchedulerConfig { epoch: 7, ..SchedulerConfig::default() };
        change(&mut config);
        let now = Time(1);
        Self {
            core: Scheduler::new(now, config),
            now,
            sessions: BTreeMap::new(),
            inbox: BTreeMap::new(),
            other: Vec::new(),
            notes: Vec::new(),
            last_peer: 0,
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(peer, packet) => {
                    if let Some(session) = self.sessions.get_mut(&peer) {
                        session.receive(packet.sequence, packet.ack);
                    }
                    if !matches!(packet.message, Message::Ack(_)) {
                        self.inbox.entry(peer).or_default().push(packet.message);
                    }
                }
                Effect::Note(note) => self.notes.push(note),
                other => self.other.push(other),
            }
        }
    }

    fn tick(&mut self) {
        let mut out = Vec::new();
        self.core.tick(self.now, &mut out);
        self.perform(out);
    }

    fn pass_ms(&mut self, millis: u64) {
        self.now = self.now.plus_ms(millis);
        self.tick();
    }

    fn say(&mut self, peer: PeerId, message: Message) {
        let packet = self.sessions.get_mut(&peer).expect("a session").stamp(7, message);
        let mut out = Vec::new();
        self.core.handle(self.now, peer, packet, &mut out);
        self.perform(out);
        self.tick();
    }

    fn connect(&mut self) -> PeerId {
        self.last_peer += 1;
        let peer = PeerId(self.last_peer);
        self.sessions.insert(peer, Session::default());
        let mut out = Vec::new();
        self.core.connected(self.now, peer, &mut out);
        self.perform(out);
        peer
    }

    fn cut(&mut self, peer: PeerId) {
        let mut out = Vec::new();
        self.core.disconnected(self.now, peer, &mut out);
        self.perform(out);
        self.sessions.remove(&peer);
        self.tick();
    }

    /// What a peer was sent since the last look.
    fn take(&mut self, peer: PeerId) -> Vec<Message> {
        self.inbox.remove(&peer).unwrap_or_default()
    }

    fn greet(&mut self, hello: Hello) -> PeerId {
        let peer = self.connect();
        self.say(peer, Message::Hello(vec![hello]));
        assert!(matches!(self.take(peer).first(), Some(Message::Welcome(_))));
        peer
    }

    fn client(&mut self, id: u64) -> PeerId {
        self.greet(hello(Role::Client, id))
    }

    /// An agent that is past its preload and has module `m` with function `f`.
    fn cluster(&mut self, id: u64, workers: &[&str]) -> PeerId {
        let peer = self.cluster_starting(id, workers);
        self.ready(peer, vec![module("m", 1)]);
        peer
    }

    fn cluster_starting(&mut self, id: u64, workers: &[&str]) -> PeerId {
        let workers = workers.iter().enumerate().map(|(index, tags)| WorkerInfo {
            name: format!("w{index}"),
            capabilities: tags.parse().expect("tags"),
            queue_size: 1000,
        });
        self.greet(Hello { workers: workers.collect(), ..hello(Role::Agent, id) })
    }

    fn ready(&mut self, peer: PeerId, modules: Vec<ModuleInfo>) {
        self.say(peer, Message::Ready(vec![Ready { modules }]));
    }

    fn register(&mut self, peer: PeerId, request: u64, tags: &str) -> Vec<Message> {
        self.register_named(peer, request, "f", tags)
    }

    fn register_function(&mut self, peer: PeerId, request: u64, function: &str) -> Vec<Message> {
        self.register_named(peer, request, function, "")
    }

    fn register_named(&mut self, peer: PeerId, request: u64, function: &str, tags: &str) -> Vec<Message> {
        let capabilities = tags.parse().expect("tags");
        let (module, function) = ("m".to_owned(), function.to_owned());
        self.say(peer, Message::Register(vec![Register { request, module, function, capabilities }]));
        self.take(peer)
    }

    /// A client that has registered `m:f`.
    fn client_with_function(&mut self, id: u64) -> PeerId {
        let peer = self.client(id);
        assert!(matches!(self.register(peer, 1, "").as_slice(), [Message::Registered(_)]));
        peer
    }

    fn submit(&mut self, peer: PeerId, numbers: impl IntoIterator<Item = u64>, tags: &str) {
        let submits = numbers.into_iter().map(|number| submit(number, tags)).collect();
        self.say(peer, Message::Submit(submits));
    }

    fn runs(&mut self, peer: PeerId) -> Vec<Run> {
        let messages = self.take(peer);
        let runs = messages.into_iter().filter_map(|message| match message {
            Message::Run(runs) => Some(runs),
            Message::Define(_) => None,
            other => panic!("unexpected {other:?}"),
        });
        runs.flatten().collect()
    }

    fn results(&mut self, peer: PeerId) -> Vec<(u64, Result<(), FailureKind>)> {
        let messages = self.take(peer);
        let results = messages.into_iter().filter_map(|message| match message {
            Message::TaskResult(results) => Some(results),
            Message::Credit(_) => None,
            other => panic!("unexpected {other:?}"),
        });
        let short = |result: TaskResult| match result.outcome {
            Outcome::Ok(_) => (result.number, Ok(())),
            Outcome::Failed(failure) => (result.number, Err(failure.kind)),
        };
        results.flatten().map(short).collect()
    }

    fn done(&mut self, peer: PeerId, run: &Run) {
        self.say(peer, Message::Done(vec![ok(run)]));
    }

    fn total(&self, state: &str) -> u64 {
        self.core.view(self.now).tasks[state]
    }

    /// No message and no other effect is left that the test has not looked at.
    fn nothing_else(&mut self) {
        assert!(self.inbox.values().all(Vec::is_empty), "{:?}", self.inbox);
        assert!(self.other.is_empty(), "{:?}", self.other);
    }
}

fn hello(role: Role, id: u64) -> Hello {
    Hello { epoch: 7, heartbeat_ms: 1_000, ..Hello::new(role, id, format!("peer {id}")) }
}

fn module(path: &str, content: u8) -> ModuleInfo {
    ModuleInfo {
        path: path.to_owned(),
        identity: Identity { hash: crate::ids::ModuleHash([content; 32]), preload: None },
        functions: vec![FunctionInfo { interface: None, name: "f".to_owned(), signature: vec![] }],
    }
}

fn submit(number: u64, tags: &str) -> Submit {
    Submit {
        objects: Vec::new(),
        number,
        function: FunctionId(1),
        arguments: Payload::Inline(vec![0x90]),
        capabilities: tags.parse().expect("tags"),
        timeout_ms: 0,
        priority: 0,
        retries: 0,
        held_ms: 0,
        patient: false,
    }
}

fn ok(run: &Run) -> Done {
    let stats = TaskStats { run_us: 10, ..TaskStats::default() };
    Done { task: run.task, attempt: run.attempt, outcome: Outcome::Ok(Payload::Inline(vec![1])), stats }
}

fn failed(run: &Run, kind: FailureKind) -> Done {
    let failure = Failure { kind, message: "as told".to_owned(), value: None, trace: None };
    Done { outcome: Outcome::Failed(failure), ..ok(run) }
}

fn attempt(run: &Run) -> Attempt {
    Attempt { task: run.task, attempt: run.attempt }
}

fn returned(run: &Run, reason: ReturnReason) -> Message {
    Message::Returned(vec![Returned {
        attempt: attempt(run),
        reason,
        message: "as told".to_owned(),
        stats: TaskStats::default(),
    }])
}

fn numbers(runs: &[Run]) -> Vec<u64> {
    runs.iter().map(|run| run.task.number).collect()
}

#[test]
fn a_task_takes_four_messages_and_leaves_nothing_behind() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let messages = env.take(agent);
    assert!(matches!(messages.as_slice(), [Message::Define(_), Message::Run(_)]), "{messages:?}");
    let Some(Message::Run(runs)) = messages.into_iter().nth(1) else { panic!("no run") };
    env.done(agent, &runs[0]);
    assert_eq!(env.results(client), [(1, Ok(()))]);
    env.submit(client, [2], "");
    assert_eq!(env.runs(agent).len(), 1, "the function is defined once");
    env.nothing_else();
    assert_eq!((env.total("succeeded"), env.total("assigned")), (1, 1));
}

#[test]
fn submitting_again_is_harmless_and_a_kept_result_is_sent_again() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1, 1], "");
    let runs = env.runs(agent);
    assert_eq!(numbers(&runs), [1]);
    env.cut(client);
    env.done(agent, &runs[0]);
    let peer = env.connect();
    env.say(peer, Message::Hello(vec![hello(Role::Client, 9)]));
    assert!(matches!(env.take(peer).as_slice(), [Message::Welcome(_), Message::TaskResult(_)]));
    let mut packet = env.sessions.get_mut(&peer).expect("session").stamp(7, Message::Submit(vec![submit(1, "")]));
    packet.ack = 1;
    env.core.handle(env.now, peer, packet, &mut Vec::new());
    env.tick();
    assert_eq!(env.runs(agent), []);
    env.nothing_else();
    assert_eq!(env.total("succeeded"), 1);
}

#[test]
fn a_result_is_kept_until_it_is_acknowledged() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let runs = env.runs(agent);
    env.done(agent, &runs[0]);
    assert_eq!(env.core.view(env.now).clients[0].undelivered, 1);
    env.say(client, Message::Heartbeat(vec![Heartbeat::default()]));
    assert_eq!(env.core.view(env.now).clients[0].undelivered, 0);
}

#[test]
fn a_task_that_fits_nowhere_blocks_nobody() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["linux,cpu=8"]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "gpu");
    env.submit(client, [2], "cpu=9");
    env.submit(client, [3], "cpu=8");
    assert_eq!(numbers(&env.runs(agent)), [3]);
    let gpu = env.cluster(2, &["gpu"]);
    assert_eq!(numbers(&env.runs(gpu)), [1]);
    env.nothing_else();
    assert_eq!(env.total("waiting"), 1);
}

#[test]
fn higher_priority_runs_first_and_equals_in_order() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=4, "");
    env.say(client, Message::Submit(vec![Submit { priority: 5, ..submit(9, "") }]));
    let runs = env.runs(agent);
    assert_eq!(numbers(&runs), [1, 2], "two a worker while nothing is known about the run time");
    env.done(agent, &runs[0]);
    assert_eq!(numbers(&env.runs(agent)), [9, 3], "the credit has grown with the first answer");
}

#[test]
fn credit_follows_the_mean_run_time() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=4_000, "");
    let mut held = env.runs(agent);
    assert_eq!(held.len(), 4);
    for _ in 0..8 {
        let dones = held.drain(..).map(|run| ok(&run)).collect();
        env.say(agent, Message::Done(dones));
        held = env.runs(agent);
    }
    assert_eq!(held.len(), 512, "256 a worker at 10 us");
    let slow = |run: &Run| Done { stats: TaskStats { run_us: 1_000_000, ..TaskStats::default() }, ..ok(run) };
    env.say(agent, Message::Done(held.iter().map(slow).collect()));
    assert_eq!(env.runs(agent).len(), 4, "two a worker at a second");
}

#[test]
fn only_deaths_are_charged_and_the_third_is_the_last() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    for round in 1..=3 {
        let runs = env.runs(agent);
        assert_eq!(runs.len(), 1, "round {round}");
        env.say(agent, returned(&runs[0], ReturnReason::GivenBack));
        let runs = env.runs(agent);
        env.say(agent, returned(&runs[0], ReturnReason::ProcessorDied));
    }
    assert_eq!(env.results(client), [(1, Err(FailureKind::ProcessorDied))]);
    env.nothing_else();
}

#[test]
fn a_task_s_own_failure_is_tried_again_only_if_the_client_asked() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.say(client, Message::Submit(vec![Submit { retries: 1, ..submit(1, "") }, submit(2, "")]));
    let runs = env.runs(agent);
    env.say(agent, Message::Done(runs.iter().map(|run| failed(run, FailureKind::Trap)).collect()));
    assert_eq!(env.results(client), [(2, Err(FailureKind::Trap))]);
    let runs = env.runs(agent);
    assert_eq!((numbers(&runs), runs[0].attempt), (vec![1], 2));
    env.say(agent, Message::Done(vec![failed(&runs[0], FailureKind::Trap)]));
    assert_eq!(env.results(client), [(1, Err(FailureKind::Trap))]);
    env.nothing_else();
}

#[test]
fn cancel_of_what_waits_is_answered_at_once_and_of_what_runs_by_its_cluster() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=3, "");
    let runs = env.runs(agent);
    env.say(client, Message::Cancel([3, 1, 2, 44].map(|number| Cancel { number }).to_vec()));
    assert_eq!(env.results(client), [(3, Err(FailureKind::Canceled))]);
    let stops: Vec<_> = runs.iter().map(|run| Stop { attempt: attempt(run), reason: StopReason::Cancel }).collect();
    assert_eq!(env.take(agent), [Message::Stop(stops)]);
    // The first crossed with its result, the second came back.
    env.done(agent, &runs[0]);
    env.say(agent, returned(&runs[1], ReturnReason::GivenBack));
    assert_eq!(env.results(client), [(1, Ok(())), (2, Err(FailureKind::Canceled))]);
    env.nothing_else();
}

#[test]
fn a_lost_cluster_s_tasks_go_elsewhere_at_once_and_uncharged() {
    let mut env = Env::new(|_| {});
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=2, "");
    let lost = env.runs(first);
    let second = env.cluster(2, &[""]);
    env.cut(first);
    let runs = env.runs(second);
    assert_eq!(numbers(&runs), [1, 2]);
    assert!(runs.iter().all(|run| run.attempt == 2));
    // It comes back, and its first answer too; the attempt that is elsewhere is not needed any more.
    let back = env.greet(Hello {
        workers: vec![WorkerInfo { name: "w".to_owned(), capabilities: Capabilities::none(), queue_size: 9 }],
        holds: lost.iter().map(attempt).collect(),
        ..hello(Role::Agent, 1)
    });
    env.take(back);
    env.done(back, &lost[0]);
    assert_eq!(env.results(client), [(1, Ok(()))]);
    assert_eq!(
        env.take(second),
        [Message::Stop(vec![Stop { attempt: attempt(&runs[0]), reason: StopReason::Discard }])]
    );
    env.done(second, &runs[0]);
    env.nothing_else();
    assert_eq!(env.total("succeeded"), 1);
}

#[test]
fn a_cluster_that_comes_back_keeps_what_nobody_else_has() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=2, "");
    let runs = env.runs(agent);
    env.cut(agent);
    let unknown = Attempt { task: TaskId { client: ClientId(9), number: 77 }, attempt: 1 };
    let peer = env.connect();
    let workers = vec![WorkerInfo { name: "w".to_owned(), capabilities: Capabilities::none(), queue_size: 9 }];
    let holds = vec![attempt(&runs[0]), unknown];
    env.say(peer, Message::Hello(vec![Hello { workers, holds, ready: true, ..hello(Role::Agent, 1) }]));
    let messages = env.take(peer);
    assert!(matches!(&messages[0], Message::Welcome(_)), "{messages:?}");
    assert_eq!(messages[1], Message::Stop(vec![Stop { attempt: unknown, reason: StopReason::Discard }]));
    let Message::Run(again) = &messages[3] else { panic!("{messages:?}") };
    assert_eq!((numbers(again), again[0].attempt), (vec![2], 2), "only what it no longer holds");
    env.done(peer, &runs[0]);
    assert_eq!(env.results(client), [(1, Ok(()))]);
}

#[test]
fn silence_is_a_loss_after_two_intervals_and_the_cluster_is_forgotten_later() {
    let mut env = Env::new(|_| {});
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.take(first);
    let second = env.cluster(2, &[""]);
    env.pass_ms(1_999);
    env.say(second, Message::Heartbeat(vec![Heartbeat::default()]));
    env.take(second);
    assert_eq!(env.core.next_deadline(), Some(Time(1).plus_ms(2_000)));
    env.pass_ms(1);
    assert_eq!(numbers(&env.runs(second)), [1]);
    env.say(first, Message::Heartbeat(vec![Heartbeat::default()]));
    assert!(matches!(env.take(first).as_slice(), [Message::Reset(_)]));
    env.say(first, Message::Heartbeat(vec![Heartbeat::default()]));
    assert_eq!(env.take(first), [], "told once");
    assert_eq!(env.core.view(env.now).workers.len(), 2);
    for _ in 0..60 {
        env.pass_ms(1_000);
        env.say(second, Message::Heartbeat(vec![Heartbeat::default()]));
    }
    assert_eq!(env.core.view(env.now).workers.len(), 1);
}

#[test]
fn the_fifth_loss_while_running_aborts() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let mut agent = agent;
    for round in 1..=5 {
        let runs = env.runs(agent);
        assert_eq!(runs.len(), 1, "round {round}");
        env.say(agent, Message::Running(vec![Running { attempt: attempt(&runs[0]), worker: 0 }]));
        assert_eq!(env.total("running"), 1);
        env.cut(agent);
        agent = env.cluster(1 + round, &[""]);
    }
    assert_eq!(env.results(client), [(1, Err(FailureKind::WorkerLost))]);
    env.nothing_else();
}

#[test]
fn idle_workers_get_what_queues_elsewhere_youngest_first() {
    let mut env = Env::new(|_| {});
    let busy = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=4, "");
    let runs = env.runs(busy);
    assert_eq!(runs.len(), 4);
    let idle = env.cluster(2, &[""]);
    for peer in [busy, idle] {
        env.say(peer, Message::Heartbeat(vec![Heartbeat::default()]));
        env.take(peer);
    }
    env.pass_ms(1_000);
    env.nothing_else();
    for peer in [busy, idle] {
        env.say(peer, Message::Heartbeat(vec![Heartbeat::default()]));
        env.take(peer);
    }
    env.pass_ms(1_000);
    let stop = Stop { attempt: attempt(&runs[3]), reason: StopReason::TakeBack };
    assert_eq!(env.take(busy), [Message::Stop(vec![stop])], "one idle worker, one task, the youngest");
    env.pass_ms(999);
    env.nothing_else();
    env.say(busy, returned(&runs[3], ReturnReason::GivenBack));
    assert_eq!(numbers(&env.runs(idle)), [4]);
    env.nothing_else();
}

#[test]
fn a_leaving_cluster_gets_nothing_more() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    let runs = env.runs(agent);
    env.say(agent, Message::Leaving(vec![Leaving { reason: "asked to".to_owned() }]));
    env.say(agent, returned(&runs[0], ReturnReason::GivenBack));
    env.submit(client, [2], "");
    env.nothing_else();
    let other = env.cluster(2, &[""]);
    assert_eq!(numbers(&env.runs(other)), [1, 2]);
}

#[test]
fn beyond_the_bound_tasks_are_rejected_and_say_so() {
    let mut env = Env::new(|config| config.waiting_max = Some(3));
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=7, "");
    assert_eq!(numbers(&env.runs(agent)), [1, 2], "what runs at once does not count");
    assert_eq!(env.results(client), [(6, Err(FailureKind::Busy)), (7, Err(FailureKind::Busy))]);
    assert_eq!((env.total("waiting"), env.total("rejected")), (3, 2));
    env.nothing_else();
}

#[test]
fn what_can_run_at_once_is_taken_however_few_may_wait() {
    let mut env = Env::new(|config| config.waiting_max = Some(0));
    let client = env.client(9);
    let agent = env.cluster(1, &["", "gpu"]);
    assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Registered(_)]));
    env.submit(client, 1..=9, "");
    let runs = env.runs(agent);
    assert!(!runs.is_empty() && env.total("waiting") == 0, "{runs:?}");
    let refused = env.results(client);
    assert_eq!(refused.len() + runs.len(), 9);
    assert!(refused.iter().all(|(_, result)| *result == Err(FailureKind::Busy)), "{refused:?}");
    assert_eq!(env.total("rejected"), refused.len() as u64);
    // A call that its client submits again later only waits.
    env.say(client, Message::Submit(vec![Submit { patient: true, ..submit(20, "") }]));
    assert_eq!(env.results(client), [(20, Err(FailureKind::Busy))]);
    assert_eq!(env.total("rejected"), refused.len() as u64);
    runs.iter().for_each(|run| env.done(agent, run));
    env.submit(client, [21], "");
    assert_eq!(numbers(&env.runs(agent)), [21]);
}

#[test]
fn unknown_functions_are_rejected() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    env.submit(client, [1], "");
    assert_eq!(env.results(client), [(1, Err(FailureKind::Rejected))]);
    env.nothing_else();
}

#[test]
fn results_go_to_the_storage_when_the_buffer_is_short_and_wait_when_it_is_full() {
    let mut env = Env::new(|config| config.result_buffer_bytes = 1_000);
    let agent = env.cluster(1, &["", "", "", ""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=30, "");
    let runs = env.runs(agent);
    assert_eq!(runs.len(), 8);
    assert_eq!(runs[0].inline_max, crate::message::INLINE_MAX as u32);
    let big = |run: &Run| Done { outcome: Outcome::Ok(Payload::Inline(vec![0; 100])), ..ok(run) };
    env.say(agent, Message::Done(runs[..4].iter().map(big).collect()));
    assert_eq!(env.runs(agent).len(), 1, "what is kept and what is reserved fills the buffer");
    assert_eq!(env.results(client).len(), 4);
    env.say(client, Message::Heartbeat(vec![Heartbeat::default()]));
    let more = env.runs(agent);
    assert!(!more.is_empty() && more.last().expect("runs").inline_max == crate::policy::INLINE_SMALL, "{more:?}");
}

#[test]
fn stored_arguments_and_results_are_deleted_when_nobody_needs_them() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let task = TaskId { client: ClientId(9), number: 1 };
    let arguments = Payload::Stored { id: ObjectId::arguments(task), length: 1 << 20 };
    env.say(client, Message::Submit(vec![Submit { arguments, ..submit(1, "") }, submit(2, "")]));
    let runs = env.runs(agent);
    let stored = |run: &Run| {
        let outcome = Outcome::Ok(Payload::Stored { id: ObjectId::result(run.task, run.attempt), length: 1 << 20 });
        Done { outcome, ..ok(run) }
    };
    env.say(agent, Message::Done(runs.iter().map(stored).collect()));
    assert_eq!(std::mem::take(&mut env.other), [Effect::DeleteObjects(vec![ObjectId::arguments(task)])]);
    assert_eq!(env.results(client).len(), 2);
    let object = ObjectId::result(task, 1);
    let foreign = ObjectId::of_client(ClientId(8), 1);
    env.say(client, Message::Release(vec![Release { object }, Release { object: foreign }]));
    assert_eq!(std::mem::take(&mut env.other), [Effect::DeleteObjects(vec![object])]);
    env.say(client, Message::Goodbye(vec![Goodbye { reason: "done".to_owned() }]));
    let rest = ObjectId::result(TaskId { number: 2, ..task }, 1);
    assert_eq!(std::mem::take(&mut env.other), [Effect::Drop(client), Effect::DeleteObjects(vec![rest])]);
}

#[test]
fn a_silent_client_is_forgotten_with_its_tasks() {
    let mut env = Env::new(|config| config.client_timeout_ms = 5_000);
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=3, "");
    let runs = env.runs(agent);
    env.cut(client);
    for _ in 0..5 {
        env.pass_ms(1_000);
        env.say(agent, Message::Heartbeat(vec![Heartbeat::default()]));
    }
    let messages = env.take(agent);
    let stops: Vec<_> = runs.iter().map(|run| Stop { attempt: attempt(run), reason: StopReason::Discard }).collect();
    assert!(messages.contains(&Message::Stop(stops)), "{messages:?}");
    let view = env.core.view(env.now);
    assert_eq!((view.clients.len(), view.tasks["waiting"], view.tasks["assigned"]), (0, 0, 0));
    env.done(agent, &runs[0]);
    env.nothing_else();
}

#[test]
fn the_view_shows_no_more_tasks_than_there_are() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &["", ""]);
    let client = env.client_with_function(9);
    env.submit(client, 1..=3, "");
    let runs = env.runs(agent);
    let shown = |env: &Env| -> Vec<(u64, u64)> {
        env.core.view(env.now).workers.iter().map(|worker| (worker.queued, worker.running)).collect()
    };
    assert_eq!(shown(&env), [(2, 0), (1, 0)], "not reported yet: spread evenly");
    let load = WorkerLoad { queued: 100, running: 1, ..WorkerLoad::default() };
    let workers = vec![load.clone(), load];
    env.say(agent, Message::Heartbeat(vec![Heartbeat { workers, ..Heartbeat::default() }]));
    assert_eq!(shown(&env), [(2, 0), (1, 0)], "as reported, but none is known to run for long");
    env.say(agent, Message::Done(runs.iter().map(ok).collect()));
    assert_eq!(shown(&env), [(0, 0), (0, 0)], "the report is older than the end of the tasks");
}
