//! The core driven by messages, with processors played by hand.

use super::*;
use crate::{
    capability::Capabilities,
    ids::{AgentId, ClientId, ModuleHash, TaskId},
    message::{FunctionInfo, Identity, Leave, Reset, Welcome, WorkerInfo},
    payload::Payload,
    session::Session,
};

const MS: u64 = 1_000_000;
const FUNCTION: FunctionId = FunctionId(1);

struct Bench {
    agent: Agent,
    session: Session,
    peer: PeerId,
    epoch: u64,
    now: Time,
    out: Vec<Effect>,
}

impl Bench {
    /// Its workers are ready, it has announced its modules, and a scheduler has answered.
    fn new(capabilities: &[&str]) -> Self {
        let mut bench = Self::fresh(capabilities);
        bench.agent.start(Time(0));
        bench.tick();
        for worker in 0..capabilities.len() as u16 {
            bench.agent.processor_ready(Time(0), worker, 100 + u32::from(worker));
        }
        bench.agent.announce(vec![]);
        bench.connect();
        bench.say(Message::Define(vec![define()]));
        bench.agent.function_ready(bench.now, FUNCTION);
        bench.out.clear();
        bench
    }

    /// Nothing has happened yet.
    fn fresh(capabilities: &[&str]) -> Self {
        let workers = capabilities
            .iter()
            .enumerate()
            .map(|(index, tags)| WorkerInfo {
                name: format!("worker-{index}"),
                capabilities: tags.parse().unwrap(),
                queue_size: 1_000,
            })
            .collect();
        let agent = Agent::new(AgentConfig::new(AgentId(7), "host", workers), Time(0));
        Self { agent, session: Session::default(), peer: PeerId(0), epoch: 3, now: Time(0), out: vec![] }
    }

    /// A fresh connection, greeted and welcomed; returns the greeting.
    fn connect(&mut self) -> crate::message::Hello {
        self.peer = PeerId(self.peer.0 + 1);
        self.session = Session::default();
        let mut out = vec![];
        self.agent.connected(self.now, self.peer, &mut out);
        let Some(Effect::Send(_, Packet { message: Message::Hello(mut hello), sequence, .. })) = out.pop() else {
            panic!("no greeting")
        };
        self.session.receive(sequence, 0);
        self.say(Message::Welcome(vec![Welcome {
            epoch: self.epoch,
            version: 1,
            object_storage_address: None,
            protected: false,
            credit: Default::default(),
            resumed: false,
            timeout_ms: 0,
        }]));
        hello.remove(0)
    }

    fn say(&mut self, message: Message) {
        let packet = self.session.stamp(self.epoch, message);
        self.agent.handle(self.now, self.peer, packet, &mut self.out);
        self.tick();
    }

    fn tick(&mut self) {
        let before = self.out.len();
        self.agent.tick(self.now, &mut self.out);
        for effect in &self.out[before..] {
            if let Effect::Send(_, packet) = effect {
                self.session.receive(packet.sequence, packet.ack);
            }
        }
    }

    fn later(&mut self, millis: u64) {
        self.now = self.now.plus_ms(millis);
    }

    fn run(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        self.say(Message::Run(numbers.map(run).collect()));
    }

    fn done(&mut self, worker: u16, sequence: u64) {
        let stats = TaskStats { run_us: 50_000, ..TaskStats::default() };
        self.agent.processor_done(self.now, worker, sequence, Outcome::Ok(Payload::Inline(vec![1])), stats);
        self.tick();
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.out)
    }

    fn sent(&mut self) -> Vec<Message> {
        let is_of_interest = |message: &Message| !matches!(message, Message::Heartbeat(_) | Message::Ack(_));
        self.effects()
            .into_iter()
            .filter_map(|effect| if let Effect::Send(_, packet) = effect { Some(packet.message) } else { None })
            .filter(is_of_interest)
            .collect()
    }

    fn handed(&mut self) -> Vec<(u16, Vec<u64>)> {
        self.effects()
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Hand { worker, tasks } => Some((worker, tasks.iter().map(|t| t.run.task.number).collect())),
                _ => None,
            })
            .collect()
    }
}

fn define() -> Define {
    Define {
        function: FUNCTION,
        identity: Identity { hash: ModuleHash([1; 32]), preload: None },
        path: "hello".into(),
        info: FunctionInfo { interface: None, name: "f".into(), signature: vec![] },
        stored: false,
    }
}

fn run(number: u64) -> Run {
    Run {
        objects: Vec::new(),
        task: task(number),
        attempt: 1,
        function: FUNCTION,
        arguments: Payload::Inline(vec![0x90]),
        inline_max: 65_536,
        timeout_ms: 0,
        priority: 0,
        capabilities: Capabilities::none(),
    }
}

fn task(number: u64) -> TaskId {
    TaskId { client: ClientId(1), number }
}

fn attempt(number: u64) -> Attempt {
    Attempt { task: task(number), attempt: 1 }
}

fn stop(number: u64, reason: StopReason) -> Message {
    Message::Stop(vec![Stop { attempt: attempt(number), reason }])
}

fn kinds(outcomes: &[Message]) -> Vec<(u64, Option<FailureKind>)> {
    let mut all = vec![];
    for message in outcomes {
        if let Message::Done(dones) = message {
            for done in dones {
                let kind = if let Outcome::Failed(failure) = &done.outcome { Some(failure.kind) } else { None };
                all.push((done.task.number, kind));
            }
        }
    }
    all
}

fn returned(messages: &[Message]) -> Vec<(u64, ReturnReason)> {
    let mut all = vec![];
    for message in messages {
        if let Message::Returned(entries) = message {
            all.extend(entries.iter().map(|entry| (entry.attempt.task.number, entry.reason)));
        }
    }
    all
}

#[test]
fn tasks_are_shared_out_by_depth_and_the_rest_waits() {
    let mut bench = Bench::new(&["", ""]);
    bench.run(1..=12);
    assert_eq!(bench.handed(), [(0, vec![1, 2, 3, 4]), (1, vec![5, 6, 7, 8])]);
    bench.done(0, 1);
    assert_eq!(bench.handed(), [(0, vec![9])]);
}

#[test]
fn outcomes_are_kept_until_acknowledged_and_said_again_after_a_reconnect() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=2);
    bench.effects();
    bench.done(0, 1);
    assert_eq!(kinds(&bench.sent()), [(1, None)]);
    // The acknowledgement never arrives.
    let (now, peer) = (bench.now, bench.peer);
    bench.agent.disconnected(now, peer, &mut bench.out);
    let hello = bench.connect();
    assert_eq!(hello.holds, [attempt(2), attempt(1)]);
    assert!(hello.ready);
    assert_eq!(kinds(&bench.sent()), [(1, None)]);
    bench.done(0, 2);
    bench.say(Message::Pulse(vec![]));
    bench.effects();
    let (now, peer) = (bench.now, bench.peer);
    bench.agent.disconnected(now, peer, &mut bench.out);
    assert!(bench.connect().holds.is_empty());
}

#[test]
fn another_epoch_forgets_everything() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=9);
    bench.effects();
    bench.done(0, 1);
    bench.epoch = 4;
    bench.say(Message::Reset(vec![Reset { reason: "who are you?".into() }]));
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Redial)));
    bench.connect();
    let effects = bench.effects();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Note(Note::Forgotten { tasks: 8 }))), "{effects:?}");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::TakeBack { worker: 0, .. })));
    bench.agent.processor_took_back(bench.now, 0, 3);
    bench.tick();
    // What runs is interrupted, and its outcome interests nobody.
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Interrupt { worker: 0, sequence: 2, .. })));
    bench.done(0, 2);
    assert_eq!(kinds(&bench.sent()), []);
}

#[test]
fn a_queued_task_is_canceled_at_once_and_one_in_a_processor_by_the_sequence_word() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=6);
    bench.effects();
    bench.say(stop(6, StopReason::Cancel));
    assert_eq!(kinds(&bench.sent()), [(6, Some(FailureKind::Canceled))]);
    bench.say(stop(3, StopReason::Cancel));
    let effects = bench.effects();
    assert!(matches!(effects[..], [Effect::TakeBack { worker: 0, next: 5 }]), "{effects:?}");
    bench.agent.processor_took_back(bench.now, 0, 2);
    bench.tick();
    let effects = bench.effects();
    // 1 goes on, 2 and 4 are handed again with 5, which was queued, behind them.
    let handed: Vec<(u64, u64)> = effects
        .iter()
        .filter_map(|effect| if let Effect::Hand { tasks, .. } = effect { Some(tasks) } else { None })
        .flatten()
        .map(|handed| (handed.sequence, handed.run.task.number))
        .collect();
    assert_eq!(handed, [(5, 2), (6, 4), (7, 5)]);
}

#[test]
fn many_processors_are_started_over_several_turns() {
    let worker = WorkerInfo { name: "worker".to_owned(), capabilities: "".parse().unwrap(), queue_size: 1 };
    let mut agent = Agent::new(AgentConfig::new(AgentId(7), "host", vec![worker; 40]), Time(0));
    agent.start(Time(0));
    for expected in [16, 16, 8, 0] {
        assert_eq!(agent.next_deadline().is_some_and(|at| at <= Time(1)), expected != 0);
        let mut out = vec![];
        agent.tick(Time(1), &mut out);
        assert_eq!(out.iter().filter(|effect| matches!(effect, Effect::Spawn { .. })).count(), expected);
    }
}

#[test]
fn a_running_task_is_interrupted_and_then_killed() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=2);
    bench.effects();
    bench.agent.processor_running(bench.now, 0, Some((1, bench.now)));
    bench.say(stop(1, StopReason::Cancel));
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Interrupt { sequence: 1, .. })));
    bench.later(25);
    bench.tick();
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Kill { worker: 0 })));
    bench.agent.processor_died(bench.now, 0, Some(1), "killed by signal 9");
    bench.tick();
    let effects = bench.effects();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Spawn { worker: 0 })), "{effects:?}");
    bench.out = effects;
    assert_eq!(kinds(&bench.sent()), [(1, Some(FailureKind::Canceled))]);
    bench.agent.processor_ready(bench.now, 0, 200);
    bench.tick();
    assert_eq!(bench.handed(), [(0, vec![2])]);
}

#[test]
fn a_processor_that_takes_nothing_is_killed_and_its_tasks_run_elsewhere_uncharged() {
    let mut bench = Bench::new(&["", "gpu"]);
    let kill = |bench: &mut Bench| bench.effects().iter().any(|effect| matches!(effect, Effect::Kill { worker: 0 }));
    bench.run(1..=2);
    assert_eq!(bench.handed(), [(0, vec![1]), (1, vec![2])]);
    // The agent itself was stopped for a long time: nobody's fault.
    bench.later(60_000);
    bench.tick();
    assert!(!kill(&mut bench));
    // One that fetches large arguments is at work, however long that takes.
    for _ in 0..1_000 {
        bench.later(20);
        bench.agent.processor_running(bench.now, 0, Some((1, bench.now)));
        bench.agent.processor_running(bench.now, 1, Some((1, bench.now)));
        bench.tick();
    }
    assert!(!kill(&mut bench));
    bench.agent.processor_done(bench.now, 1, 1, Outcome::Ok(Payload::Inline(vec![])), TaskStats::default());
    bench.agent.processor_running(bench.now, 0, None);
    for _ in 0..249 {
        bench.later(20);
        bench.tick();
    }
    assert!(!kill(&mut bench));
    bench.later(20);
    bench.tick();
    let effects = bench.effects();
    let note = Note::Stalled { worker: 0, tasks: 1, stalled_ms: 5_000, is_stopped: false };
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Note(told) if *told == note)), "{effects:?}");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Kill { worker: 0 })), "{effects:?}");
    bench.agent.processor_died(bench.now, 0, None, "killed by signal 9");
    bench.tick();
    assert_eq!(bench.handed(), [(1, vec![1])]);
}

#[test]
fn a_processor_that_somebody_stopped_is_killed_in_the_middle_of_a_task() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=1);
    assert_eq!(bench.handed(), [(0, vec![1])]);
    bench.agent.processor_running(bench.now, 0, Some((1, bench.now)));
    let step = |bench: &mut Bench, is_stopped| {
        bench.agent.worker_usage(0, 0, 1, is_stopped);
        for _ in 0..300 {
            bench.later(20);
            bench.tick();
        }
        bench.effects()
    };
    let is_kill = |effect: &Effect| matches!(effect, Effect::Kill { worker: 0 });
    assert!(!step(&mut bench, false).iter().any(is_kill), "a task may take long");
    let effects = step(&mut bench, true);
    let is_told = |effect: &Effect| matches!(effect, Effect::Note(Note::Stalled { is_stopped: true, .. }));
    assert!(effects.iter().any(is_kill) && effects.iter().any(is_told), "{effects:?}");
    bench.agent.processor_died(bench.now, 0, Some(1), "killed by signal 9");
    bench.agent.processor_ready(bench.now, 0, 1);
    bench.tick();
    assert_eq!(kinds(&bench.sent()), [], "it runs again, and nobody is to blame");
}

#[test]
fn an_interrupt_that_was_obeyed_kills_nobody() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=2);
    bench.agent.processor_running(bench.now, 0, Some((1, bench.now)));
    bench.say(stop(1, StopReason::Cancel));
    bench.later(3);
    bench.agent.processor_done(bench.now, 0, 1, canceled(), TaskStats::default());
    bench.later(30);
    bench.agent.processor_running(bench.now, 0, Some((2, bench.now)));
    bench.tick();
    assert!(!bench.effects().iter().any(|effect| matches!(effect, Effect::Kill { .. })));
}

#[test]
fn the_shorter_timeout_counts_and_a_kill_behind_it_is_a_timeout() {
    let mut bench = Bench::new(&[""]);
    bench.agent.config.task_timeout_ms = 5_000;
    bench.say(Message::Run(vec![Run { timeout_ms: 1_000, ..run(1) }]));
    bench.agent.processor_running(bench.now, 0, Some((1, bench.now)));
    bench.effects();
    bench.later(999);
    bench.tick();
    assert!(!bench.effects().iter().any(|effect| matches!(effect, Effect::Interrupt { .. })));
    bench.later(1);
    assert!(bench.agent.next_deadline().is_some_and(|at| at <= bench.now));
    bench.tick();
    let is_timeout = |effect: &Effect| matches!(effect, Effect::Interrupt { cause: InterruptCause::Timeout, .. });
    assert!(bench.effects().iter().any(is_timeout));
    bench.later(25);
    bench.tick();
    bench.agent.processor_died(bench.now, 0, Some(1), "killed by signal 9");
    bench.tick();
    let sent = bench.sent();
    assert_eq!(kinds(&sent), [(1, Some(FailureKind::Timeout))]);
    let Some(Message::Done(dones)) = sent.first() else { panic!("{sent:?}") };
    let Outcome::Failed(failure) = &dones[0].outcome else { panic!("{dones:?}") };
    assert!(failure.message.ends_with(" s (it is the call's own timeout)"), "{}", failure.message);
    let own = |timeout_ms| bench.agent.timeout_owner(&Run { timeout_ms, ..run(2) });
    assert_eq!([own(0), own(5_001)], ["task_timeout_seconds of its cluster"; 2]);
}

#[test]
fn a_death_blames_only_the_task_that_ran() {
    let mut bench = Bench::new(&["", ""]);
    bench.run(1..=8);
    bench.effects();
    bench.agent.processor_died(bench.now, 0, Some(2), "killed by signal 11");
    bench.tick();
    let sent = bench.sent();
    assert_eq!(returned(&sent), [(2, ReturnReason::ProcessorDied)]);
    bench.agent.processor_ready(bench.now, 0, 200);
    bench.tick();
    assert_eq!(bench.handed(), [(0, vec![1, 3, 4])]);
}

#[test]
fn quick_deaths_are_answered_later_and_later() {
    let mut bench = Bench::new(&[""]);
    for wait_ms in [0, 100, 200] {
        bench.agent.processor_died(bench.now, 0, None, "exit code 1");
        if wait_ms > 0 {
            bench.later(wait_ms - 1);
            bench.tick();
            assert!(!bench.effects().iter().any(|effect| matches!(effect, Effect::Spawn { .. })), "{wait_ms}");
            bench.later(1);
        }
        bench.tick();
        assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Spawn { .. })), "{wait_ms}");
        bench.agent.processor_ready(bench.now, 0, 1);
    }
}

#[test]
fn the_last_retired_worker_ends_the_agent() {
    let mut bench = Bench::new(&["", "gpu"]);
    bench.say(Message::Run(vec![Run { capabilities: "gpu".parse().unwrap(), ..run(1) }]));
    bench.effects();
    bench.agent.processor_retired(bench.now, 1, "the preload failed");
    bench.tick();
    assert_eq!(returned(&bench.sent()), [(1, ReturnReason::CannotRun)]);
    bench.agent.processor_retired(bench.now, 0, "the preload failed");
    bench.tick();
    let effects = bench.effects();
    assert_eq!(goodbyes(&effects), ["the preload failed"]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::End(EndReason::NoWorkers(_)))));
}

/// The reasons of what was said last.
fn goodbyes(effects: &[Effect]) -> Vec<String> {
    let reason = |effect: &Effect| match effect {
        Effect::Send(_, Packet { message: Message::Goodbye(all), .. }) => Some(all[0].reason.clone()),
        _ => None,
    };
    effects.iter().filter_map(reason).collect()
}

#[test]
fn one_that_gives_up_before_it_is_welcome_says_why_first() {
    for answers in [true, false] {
        let mut bench = Bench::fresh(&[""]);
        bench.agent.give_up(bench.now, "the preload failed");
        bench.tick();
        assert!(!bench.effects().iter().any(|effect| matches!(effect, Effect::End(_))), "it may be answered yet");
        bench.later(999);
        if answers {
            bench.connect();
        }
        bench.later(1);
        bench.tick();
        let effects = bench.effects();
        assert_eq!(goodbyes(&effects).len(), usize::from(answers), "{effects:?}");
        assert!(matches!(effects.last(), Some(Effect::End(EndReason::Left))), "{effects:?}");
    }
    // Whoever is only asked to stop waits for nobody.
    let mut bench = Bench::fresh(&[""]);
    bench.agent.leave(bench.now, "SIGTERM");
    bench.tick();
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::End(EndReason::Left))));
}

#[test]
fn capabilities_gate_and_nobody_waits_behind_a_task_that_fits_nowhere_now() {
    let mut bench = Bench::new(&["", "gpu=2"]);
    let gpu = |number| Run { capabilities: "gpu=2".parse().unwrap(), ..run(number) };
    let mut runs: Vec<Run> = (1..=6).map(gpu).collect();
    runs.push(run(7));
    runs.push(Run { capabilities: "gpu=3".parse().unwrap(), ..run(8) });
    bench.say(Message::Run(runs));
    let effects = bench.effects();
    bench.out = effects.clone();
    assert_eq!(bench.handed(), [(0, vec![7]), (1, vec![1, 2, 3, 4])]);
    bench.out = effects;
    assert_eq!(returned(&bench.sent()), [(8, ReturnReason::CannotRun)]);
}

#[test]
fn what_waits_behind_a_long_task_goes_to_an_idle_worker() {
    let mut bench = Bench::new(&["", ""]);
    bench.run(1..=4);
    assert_eq!(bench.handed(), [(0, vec![1, 2]), (1, vec![3, 4])]);
    bench.done(1, 1);
    bench.done(1, 2);
    bench.effects();
    bench.agent.processor_running(bench.now, 0, Some((1, bench.now)));
    bench.later(2);
    assert!(bench.agent.next_deadline().is_some_and(|at| at <= bench.now));
    bench.tick();
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::TakeBack { worker: 0, next: 3 })));
    bench.agent.processor_took_back(bench.now, 0, 2);
    bench.tick();
    assert_eq!(bench.handed(), [(1, vec![2])]);
}

#[test]
fn urgent_tasks_overtake_what_has_not_started() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=4);
    bench.effects();
    bench.say(Message::Run(vec![Run { priority: 1, ..run(9) }]));
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::TakeBack { worker: 0, next: 5 })));
    bench.agent.processor_took_back(bench.now, 0, 2);
    bench.tick();
    assert_eq!(bench.handed(), [(0, vec![9, 2, 3])]);
}

#[test]
fn tasks_wait_for_their_module_and_fail_with_it() {
    let mut bench = Bench::new(&[""]);
    let second = Define { function: FunctionId(2), stored: true, ..define() };
    let third = Define { function: FunctionId(3), stored: true, ..define() };
    bench.say(Message::Define(vec![second, third]));
    bench.say(Message::Run(vec![Run { function: FunctionId(2), ..run(1) }, Run { function: FunctionId(3), ..run(2) }]));
    assert!(bench.handed().is_empty());
    bench.agent.function_ready(bench.now, FunctionId(2));
    let failure = Failure { kind: FailureKind::Module, message: "not a component".into(), value: None, trace: None };
    bench.agent.function_failed(bench.now, FunctionId(3), failure);
    bench.tick();
    let effects = bench.effects();
    bench.out = effects.clone();
    assert_eq!(bench.handed(), [(0, vec![1])]);
    bench.out = effects;
    assert_eq!(kinds(&bench.sent()), [(2, Some(FailureKind::Module))]);
    bench.say(Message::Run(vec![Run { function: FunctionId(9), ..run(3) }]));
    assert_eq!(returned(&bench.sent()), [(3, ReturnReason::CannotRun)]);
}

#[test]
fn long_tasks_are_reported_once() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=1);
    bench.effects();
    for _ in 0..3 {
        bench.agent.processor_running(bench.now, 0, Some((1, Time(0))));
        bench.later(99);
        bench.tick();
    }
    let reports = bench.sent().into_iter().filter(|message| matches!(message, Message::Running(_))).count();
    assert_eq!(reports, 1);
}

#[test]
fn leaving_gives_back_what_has_not_started_and_finishes_what_runs() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=6);
    bench.effects();
    bench.say(Message::Leave(vec![Leave { reason: "shutdown".into() }]));
    bench.agent.processor_took_back(bench.now, 0, 2);
    bench.tick();
    let mut given_back: Vec<u64> = returned(&bench.sent()).into_iter().map(|entry| entry.0).collect();
    given_back.sort_unstable();
    assert_eq!(given_back, [2, 3, 4, 5, 6]);
    bench.done(0, 1);
    assert_eq!(kinds(&bench.sent()), [(1, None)]);
    bench.say(Message::Pulse(vec![]));
    bench.tick();
    let effects = bench.effects();
    assert!(matches!(effects.last(), Some(Effect::End(EndReason::Left))), "{effects:?}");
}

#[test]
fn a_leaving_agent_waits_no_longer_than_it_may() {
    let mut bench = Bench::new(&[""]);
    bench.run(1..=1);
    bench.agent.leave(bench.now, "SIGTERM");
    bench.tick();
    bench.agent.processor_took_back(bench.now, 0, 2);
    bench.effects();
    bench.later(10_000);
    bench.say(Message::Pulse(vec![]));
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Kill { worker: 0 })));
    bench.agent.processor_died(bench.now, 0, Some(1), "killed by signal 9");
    bench.tick();
    assert_eq!(returned(&bench.sent()), [(1, ReturnReason::GivenBack)]);
    bench.later(1_000);
    bench.tick();
    bench.tick();
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::End(EndReason::Left))));
}

#[test]
fn without_a_scheduler_it_ends_after_the_death_timeout() {
    let mut agent = Agent::new(AgentConfig::new(AgentId(1), "host", vec![]), Time(0));
    let mut out = vec![];
    agent.tick(Time(299_999 * MS), &mut out);
    assert!(out.is_empty());
    assert_eq!(agent.next_deadline(), Some(Time(300_000 * MS)));
    agent.tick(Time(300_000 * MS), &mut out);
    assert!(matches!(out[..], [Effect::End(EndReason::DeathTimeout)]));
}

#[test]
fn a_gap_makes_the_connection_anew() {
    let mut bench = Bench::new(&[""]);
    bench.session.stamp(3, Message::Pulse(vec![]));
    bench.say(Message::Pulse(vec![]));
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Redial)));
}

#[test]
fn failures_are_told_with_their_reason_and_a_flood_of_them_is_counted() {
    let mut bench = Bench::new(&[""]);
    let ends = |bench: &mut Bench, sequence: u64, kind: FailureKind, message: &str| {
        let failure = Failure { kind, message: message.to_owned(), value: None, trace: None };
        let stats = TaskStats { run_us: 10, ..TaskStats::default() };
        bench.agent.processor_done(bench.now, 0, sequence, Outcome::Failed(failure), stats);
        bench.tick();
        let notes = bench.effects().into_iter();
        notes.filter_map(|effect| if let Effect::Note(note) = effect { Some(note) } else { None }).collect::<Vec<_>>()
    };
    bench.run(1..=40);
    let told = ends(&mut bench, 1, FailureKind::StackOverflow, "too deep\nat line 1");
    let expected = Note::Failed {
        task: task(1),
        attempt: 1,
        function: "hello:f".to_owned(),
        worker: 0,
        kind: FailureKind::StackOverflow,
        message: "too deep".to_owned(),
    };
    assert_eq!(told, [expected]);
    assert_eq!(ends(&mut bench, 2, FailureKind::Canceled, "canceled"), [], "whoever cancels knows it");
    let told: usize = (3..=30).map(|sequence| ends(&mut bench, sequence, FailureKind::Panic, "oh\x1b[2J").len()).sum();
    assert_eq!(told, 9, "ten in a second");
    bench.later(1_000);
    assert!(bench.agent.next_deadline().is_some_and(|due| due <= bench.now));
    let told = ends(&mut bench, 31, FailureKind::Panic, "oh\x1b[2J");
    assert_eq!(told[0], Note::FailedMore { count: 20 });
}
