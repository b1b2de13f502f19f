//! The scheduler driven by messages: what comes out, and that nothing else does.

use super::*;
use crate::{
    capability::Capabilities,
    ids::FunctionId,
    message::{
        Attempt, Cancel, Done, Failure, FailureKind, Heartbeat, Leaving, ModuleInfo, Outcome, Query, Ready, Register,
        RegisterErrorKind, Release, ReturnReason, Returned, Run, Running, Shutdown, Stop, Submit, TaskStats,
        WorkerInfo,
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
    /// Everything but messages.
    other: Vec<Effect>,
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
        let capabilities = tags.parse().expect("tags");
        let (module, function) = ("m".to_owned(), "f".to_owned());
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
    Hello {
        role,
        id,
        name: format!("peer {id}"),
        version_min: VERSION_MIN,
        version_max: VERSION,
        build: String::new(),
        epoch: 7,
        workers: vec![],
        holds: vec![],
        ready: false,
        heartbeat_ms: 1_000,
    }
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
        number,
        function: FunctionId(1),
        arguments: Payload::Inline(vec![0x90]),
        capabilities: tags.parse().expect("tags"),
        timeout_ms: 0,
        priority: 0,
        retries: 0,
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
    Message::Returned(vec![Returned { attempt: attempt(run), reason, message: "as told".to_owned() }])
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
    assert_eq!(env.results(client), [(6, Err(FailureKind::Rejected)), (7, Err(FailureKind::Rejected))]);
    assert_eq!((env.total("waiting"), env.total("rejected")), (3, 2));
    env.nothing_else();
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
fn registrations_wait_for_clusters_and_fail_only_when_all_are_ready() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Parked(_)]));
    let agent = env.cluster_starting(1, &[""]);
    assert!(matches!(env.register(client, 2, "").as_slice(), [Message::Parked(_)]));
    assert_eq!(env.core.view(env.now).parked.len(), 2);
    env.ready(agent, vec![module("other", 1)]);
    let failures = env.take(client);
    assert_eq!(failures.len(), 2);
    for failure in failures {
        let Message::RegisterFailed(failed) = failure else { panic!("{failure:?}") };
        assert_eq!(failed[0].kind, RegisterErrorKind::UnknownModule);
        assert!(failed[0].message.contains("other"), "{}", failed[0].message);
    }
    assert!(matches!(env.register(client, 3, "gpu").as_slice(), [Message::Parked(_)]), "no such worker yet");
    env.cluster(2, &["gpu"]);
    assert!(matches!(env.take(client).as_slice(), [Message::Registered(_)]));
    env.nothing_else();
}

#[test]
fn when_clusters_disagree_the_former_holds_then_it_is_an_error() {
    let mut env = Env::new(|_| {});
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let second = env.cluster_starting(2, &[""]);
    env.ready(second, vec![module("m", 2)]);
    let beat = |env: &mut Env| {
        for peer in [first, second, client] {
            env.say(peer, Message::Heartbeat(vec![Heartbeat::default()]));
            env.inbox.entry(peer).or_default().retain(|message| !matches!(message, Message::Pulse(_)));
        }
    };
    for _ in 0..4 {
        env.pass_ms(1_000);
        beat(&mut env);
    }
    assert!(matches!(env.register(client, 2, "").as_slice(), [Message::Registered(_)]));
    env.pass_ms(1_000);
    let changed = env.take(client);
    assert!(matches!(changed.as_slice(), [Message::Changed(_), Message::Changed(_)]), "{changed:?}");
    let messages = env.register(client, 3, "");
    let [Message::RegisterFailed(failed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(failed[0].kind, RegisterErrorKind::Conflict);
    assert!(failed[0].message.contains("0101") && failed[0].message.contains("0202"), "{}", failed[0].message);
    env.say(first, Message::Modules(vec![crate::message::Modules { modules: vec![module("m", 2)] }]));
    let changed = env.take(client);
    assert_eq!(changed.len(), 2);
    assert!(
        changed.iter().all(|message| matches!(message, Message::Changed(all) if all[0].now.is_some())),
        "{changed:?}"
    );
    env.nothing_else();
}

#[test]
fn work_keeps_the_old_bytes_after_a_change() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.say(agent, Message::Modules(vec![crate::message::Modules { modules: vec![module("m", 2)] }]));
    let messages = env.take(client);
    let [Message::Changed(changed)] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(changed[0].now.as_ref().expect("now").identity, module("m", 2).identity);
    env.submit(client, [1], "");
    let messages = env.take(agent);
    let Message::Define(defines) = &messages[0] else { panic!("{messages:?}") };
    assert_eq!(defines[0].identity, module("m", 1).identity);
}

#[test]
fn a_client_s_own_module_runs_anywhere_and_is_private() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster_starting(1, &[""]);
    env.ready(agent, vec![]);
    let client = env.client(9);
    let own = crate::message::RegisterModule { module: module("m", 5), size_bytes: 100 };
    env.say(client, Message::RegisterModule(vec![own]));
    assert!(matches!(env.register(client, 1, "").as_slice(), [Message::Registered(_)]));
    env.submit(client, [1], "");
    let messages = env.take(agent);
    assert!(matches!(&messages[0], Message::Define(defines) if defines[0].stored), "{messages:?}");
    let other = env.client(8);
    assert!(matches!(env.register(other, 1, "").as_slice(), [Message::RegisterFailed(_)]));
    env.submit(other, [1], "");
    assert_eq!(env.results(other), [(1, Err(FailureKind::Rejected))]);
}

#[test]
fn shutdown_is_refused_under_protection_and_else_ends_everything() {
    let mut env = Env::new(|_| {});
    let client = env.client(9);
    env.say(client, Message::Shutdown(vec![Shutdown { request: 3 }]));
    let messages = env.take(client);
    assert!(matches!(messages.as_slice(), [Message::ShutdownReply(replies)] if !replies[0].accepted), "{messages:?}");

    let mut env = Env::new(|config| config.protected = false);
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.take(agent);
    env.say(client, Message::Shutdown(vec![Shutdown { request: 3 }]));
    let messages = env.take(client);
    let [Message::ShutdownReply(replies), Message::TaskResult(results)] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert!(replies[0].accepted);
    let Outcome::Failed(failure) = &results[0].outcome else { panic!("{results:?}") };
    assert_eq!(failure.kind, FailureKind::Aborted);
    assert!(failure.message.contains("shut the scheduler down"), "{}", failure.message);
    let messages = env.take(agent);
    assert!(matches!(messages.as_slice(), [Message::Stop(_), Message::Leave(_)]), "{messages:?}");
    assert!(env.other.is_empty(), "it waits until the client has what it is owed");
    env.say(client, Message::Ack(vec![crate::message::Ack {}]));
    assert!(matches!(env.other.as_slice(), [Effect::End { .. }]), "{:?}", env.other);
    assert!(matches!(env.take(client).as_slice(), [Message::Goodbye(_)]));
}

#[test]
fn illegal_messages_are_refused_and_cost_nothing_else() {
    let mut env = Env::new(|_| {});
    let agent = env.cluster(1, &[""]);
    let client = env.client(9);
    let run = Run {
        task: TaskId { client: ClientId(9), number: 1 },
        attempt: 1,
        function: FunctionId(1),
        arguments: Payload::Inline(vec![]),
        inline_max: 0,
        timeout_ms: 0,
        priority: 0,
        capabilities: Capabilities::none(),
    };
    env.say(client, Message::Done(vec![ok(&run)]));
    assert!(matches!(env.take(client).as_slice(), [Message::Refused(_)]));
    env.say(agent, Message::Submit(vec![submit(1, "")]));
    assert!(matches!(env.take(agent).as_slice(), [Message::Refused(_)]));
    env.done(agent, &run);
    env.say(agent, returned(&run, ReturnReason::ProcessorDied));
    let stranger = env.connect();
    env.say(stranger, Message::Query(vec![Query { request: 1 }]));
    assert!(matches!(env.take(stranger).as_slice(), [Message::Refused(_)]));
    env.say(stranger, Message::Hello(vec![Hello { version_min: 200, version_max: 201, ..hello(Role::Client, 5) }]));
    assert!(matches!(env.take(stranger).as_slice(), [Message::Refused(_)]));
    assert_eq!(std::mem::take(&mut env.other), [Effect::Drop(stranger)]);
    env.nothing_else();
    env.say(client, Message::Query(vec![Query { request: 8 }]));
    assert!(matches!(env.take(client).as_slice(), [Message::Answer(answers)] if answers[0].request == 8));
}

#[test]
fn a_gap_resets_the_connection_and_its_cluster_s_work_goes_on_elsewhere() {
    let mut env = Env::new(|_| {});
    let first = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    env.submit(client, [1], "");
    env.take(first);
    let second = env.cluster(2, &[""]);
    env.sessions.get_mut(&first).expect("session").stamp(7, Message::Ack(vec![crate::message::Ack {}]));
    env.say(first, Message::Heartbeat(vec![Heartbeat::default()]));
    assert!(matches!(env.take(first).as_slice(), [Message::Reset(_)]));
    assert_eq!(numbers(&env.runs(second)), [1]);
    env.nothing_else();
}

#[test]
fn with_a_journal_facts_come_before_what_depends_on_them() {
    let mut env = Env::new(|config| config.journal = true);
    let agent = env.cluster(1, &[""]);
    let client = env.client_with_function(9);
    let packet = env.sessions.get_mut(&client).expect("session").stamp(7, Message::Submit(vec![submit(1, "")]));
    let mut out = Vec::new();
    env.core.handle(env.now, client, packet, &mut out);
    env.core.tick(env.now, &mut out);
    assert!(matches!(out[0], Effect::Persist(Record::Accepted { .. })), "{out:?}");
    assert!(out[1..].iter().all(|effect| matches!(effect, Effect::Send(..))), "{out:?}");
    env.perform(out);
    env.other.clear();
    let runs = env.runs(agent);
    env.done(agent, &runs[0]);
    assert!(matches!(std::mem::take(&mut env.other).as_slice(), [Effect::Persist(Record::Finished { .. })]));
    env.say(client, Message::Ack(vec![crate::message::Ack {}]));
    assert!(matches!(std::mem::take(&mut env.other).as_slice(), [Effect::Persist(Record::Delivered { .. })]));
}

#[test]
fn the_monitor_door_is_for_watchers_only() {
    let mut env = Env::new(|_| {});
    for (role, welcome) in [(Role::Client, false), (Role::Monitor, true)] {
        env.last_peer += 1;
        let peer = PeerId(env.last_peer);
        env.sessions.insert(peer, Session::default());
        env.core.connected_monitor(env.now, peer, &mut Vec::new());
        env.say(peer, Message::Hello(vec![hello(role, 3)]));
        assert_eq!(matches!(env.take(peer).as_slice(), [Message::Welcome(_)]), welcome);
    }
}
