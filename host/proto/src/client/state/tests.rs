//! The client core driven by messages, with the scheduler's part played by the test.

mod room;

use super::*;
use crate::{
    capability::Capabilities,
    client::ClientConfig,
    ids::{ClientId, FunctionId, ModuleHash},
    message::{
        ArgumentObject, Changed, FunctionInfo, Identity, Parked, Pulse, Refused, RegisterFailed, Release, Reset, Role,
        TaskResult, VERSION, Welcome,
    },
    payload::Payload,
};

/// The core, the scheduler's end of its connection, and a clock.
struct Pair {
    core: ClientCore,
    session: Session,
    peer: PeerId,
    epoch: u64,
    now: Time,
    /// Everything that was not a message.
    events: Vec<Effect>,
    sent: Vec<Message>,
}

impl Pair {
    fn new() -> Self {
        let config = ClientConfig {
            id: ClientId(1),
            name: "test".to_owned(),
            build: "0".to_owned(),
            role: Role::Client,
            connect_timeout_ms: 5_000,
            timeout_ms: 60_000,
            heartbeat_ms: 2_000,
            profiling: false,
            stream_output: false,
        };
        Self {
            core: ClientCore::new(config, Time(0)),
            session: Session::default(),
            peer: PeerId(0),
            epoch: 3,
            now: Time(0),
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Connected, with credit for `tasks` tasks, and function 5 registered as request 1.
    fn ready(tasks: u64) -> Self {
        let mut pair = Self::new();
        pair.connect(tasks, false);
        pair.core.register(wanted(1));
        pair.turn();
        pair.say(Message::Registered(vec![registered(1, 5)]));
        pair.turn();
        pair.sent.clear();
        pair.events.clear();
        pair
    }

    fn connect(&mut self, tasks: u64, resumed: bool) {
        self.peer = PeerId(self.peer.0 + 1);
        self.session = Session::default();
        let mut out = Vec::new();
        self.core.connected(self.now, self.peer, &mut out);
        self.take(out);
        assert!(matches!(self.sent.last(), Some(Message::Hello(_))), "greets first: {:?}", self.sent);
        let credit = Credit { tasks, bytes: 1 << 20 };
        let welcome = Welcome {
            epoch: self.epoch,
            version: VERSION,
            object_storage_address: None,
            protected: false,
            credit,
            timeout_ms: 60_000,
            resumed,
        };
        self.say(Message::Welcome(vec![welcome]));
        self.turn();
    }

    fn lose(&mut self) {
        let mut out = Vec::new();
        self.core.disconnected(self.now, self.peer, &mut out);
        self.take(out);
        self.sent.clear();
    }

    fn say(&mut self, message: Message) {
        let packet = self.session.stamp(self.epoch, message);
        let mut out = Vec::new();
        self.core.handle(self.now, self.peer, packet, &mut out);
        self.take(out);
    }

    fn acknowledge(&mut self) {
        self.say(Message::Ack(vec![Ack {}]));
    }

    fn turn(&mut self) {
        let mut out = Vec::new();
        self.core.tick(self.now, &mut out);
        self.take(out);
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.plus_ms(millis);
        self.turn();
    }

    fn take(&mut self, out: Vec<Effect>) {
        for effect in out {
            match effect {
                Effect::Send(peer, packet) => {
                    assert_eq!(peer, self.peer);
                    assert_eq!(self.session.receive(packet.sequence, packet.ack), Receipt::Fresh);
                    self.sent.push(packet.message);
                }
                Effect::Warning(_) | Effect::Connected(_) => {}
                other => self.events.push(other),
            }
        }
    }

    fn submit(&mut self, number: u64) {
        let call = call(number, Payload::Inline(vec![0x91, 1]));
        self.core.submit(number, Call { called: self.now, ..call });
    }

    fn submitted(&mut self) -> Vec<u64> {
        let sent = std::mem::take(&mut self.sent);
        let entries = sent.into_iter().filter_map(|message| match message {
            Message::Submit(entries) => Some(entries),
            _ => None,
        });
        entries.flatten().map(|submit| submit.number).collect()
    }

    fn ended(&mut self) -> Vec<(u64, Option<FailureKind>)> {
        let events = std::mem::take(&mut self.events);
        let ends = events.into_iter().filter_map(|event| match event {
            Effect::Ended { number, tag, outcome, .. } => {
                assert_eq!(tag, number + 100, "the mark comes back");
                Some((number, if let Outcome::Failed(failure) = outcome { Some(failure.kind) } else { None }))
            }
            _ => None,
        });
        ends.collect()
    }

    fn answer(&mut self, numbers: &[u64]) {
        self.say(Message::TaskResult(numbers.iter().map(|number| succeeded(*number)).collect()));
    }
}

fn wanted(request: u64) -> Wanted {
    Wanted { request, module: "m".to_owned(), function: "f".to_owned(), capabilities: Capabilities::none() }
}

fn registered(request: u64, function: u32) -> Registered {
    Registered {
        request,
        function: FunctionId(function),
        identity: Identity { hash: ModuleHash([0; 32]), preload: None },
        path: "m".to_owned(),
        info: FunctionInfo { interface: None, name: "f".to_owned(), signature: vec![1] },
        workers: 1,
    }
}

fn call(number: u64, arguments: Payload) -> Call {
    Call {
        registration: 1,
        function: FunctionId(5),
        arguments,
        objects: Vec::new(),
        capabilities: Capabilities::none(),
        timeout_ms: 0,
        priority: 0,
        retries: 0,
        patient: false,
        tag: number + 100,
        called: Time(0),
    }
}

fn succeeded(number: u64) -> TaskResult {
    TaskResult { number, outcome: Outcome::Ok(Payload::Inline(vec![0xc0])), stats: TaskStats::default() }
}

#[test]
fn credit_bounds_what_is_sent_and_the_rest_follows_in_order() {
    let mut pair = Pair::ready(2);
    (1..=4).for_each(|number| pair.submit(number));
    pair.turn();
    assert_eq!(pair.submitted(), [1, 2]);
    assert_eq!((pair.core.place(2), pair.core.place(3)), (Some(Place::Submitted), Some(Place::Held)));
    pair.acknowledge();
    assert_eq!(pair.core.place(2), Some(Place::Accepted));
    pair.say(Message::Credit(vec![Credit { tasks: 3, bytes: 1 << 20 }]));
    pair.turn();
    assert_eq!(pair.submitted(), [3]);
    // An older, smaller credit takes nothing back.
    pair.say(Message::Credit(vec![Credit { tasks: 1, bytes: 0 }, Credit { tasks: 4, bytes: 1 << 20 }]));
    pair.turn();
    assert_eq!(pair.submitted(), [4]);
}

#[test]
fn bytes_count_as_well_and_batches_are_split() {
    let mut pair = Pair::ready(1_000);
    let bytes = vec![0; 60_000];
    for number in 1..=20 {
        pair.core.submit(number, call(number, Payload::Inline(bytes.clone())));
    }
    pair.turn();
    let batches: Vec<usize> = pair.sent.iter().map(Message::count).collect();
    assert_eq!(batches, [4, 4, 4, 4, 1], "a mebibyte of credit, 256 KiB a message");
    (21..=320).for_each(|number| pair.submit(number));
    pair.sent.clear();
    pair.say(Message::Credit(vec![Credit { tasks: 1_000, bytes: 1 << 30 }]));
    pair.turn();
    assert_eq!(pair.submitted().len(), 303);
}

#[test]
fn a_result_arrives_once_and_is_acknowledged_late_but_in_time() {
    let mut pair = Pair::ready(10);
    pair.submit(1);
    pair.turn();
    pair.sent.clear();
    pair.answer(&[1]);
    pair.answer(&[1]);
    assert_eq!(pair.ended(), [(1, None)]);
    pair.turn();
    assert!(pair.sent.is_empty(), "nothing at once");
    assert!(pair.core.next_deadline().is_some_and(|deadline| deadline <= pair.now.plus_ms(10)));
    pair.wait(10);
    assert!(matches!(pair.sent[..], [Message::Ack(_)]));
    pair.wait(10);
    assert_eq!(pair.sent.len(), 1, "once");
    for _ in 0..64 {
        pair.answer(&[1]);
    }
    pair.turn();
    assert_eq!(pair.sent.len(), 2, "64 messages are not kept waiting");
    pair.acknowledge();
    pair.say(Message::Pulse(vec![Pulse { sent: 0, object_storage_address: Some("tcp://h:1".to_owned()) }]));
    assert_eq!(pair.events, [Effect::Storage("tcp://h:1".to_owned())]);
    pair.wait(20);
    assert_eq!(pair.sent.len(), 2, "an acknowledgement is not acknowledged");
}

#[test]
fn a_reconnect_submits_again_what_has_no_result() {
    let mut pair = Pair::ready(3);
    (1..=4).for_each(|number| pair.submit(number));
    pair.turn();
    pair.acknowledge();
    pair.answer(&[2]);
    pair.core.cancel(3);
    pair.core.release(ObjectId([9; 32]));
    pair.turn();
    pair.lose();
    pair.connect(3, true);
    let again: Vec<Message> = std::mem::take(&mut pair.sent);
    assert!(again.iter().any(|message| matches!(message, Message::Register(_))));
    assert!(again.contains(&Message::Release(vec![Release { object: ObjectId([9; 32]) }])), "{again:?}");
    assert!(again.contains(&Message::Cancel(vec![crate::message::Cancel { number: 3 }])), "{again:?}");
    pair.sent = again;
    assert_eq!(pair.submitted(), [1, 3], "4 has no credit: 1 to 3 are still counted");
    pair.answer(&[1, 2, 3]);
    assert_eq!(pair.ended(), [(2, None), (1, None), (3, None)]);
}

#[test]
fn a_scheduler_that_forgot_the_session_counts_from_zero() {
    let mut pair = Pair::ready(2);
    (1..=3).for_each(|number| pair.submit(number));
    pair.turn();
    pair.acknowledge();
    pair.answer(&[1]);
    pair.lose();
    pair.connect(2, false);
    assert_eq!(pair.submitted(), [2, 3]);
    assert_eq!(pair.core.place(2), Some(Place::Submitted), "accepted by a scheduler that does not know it any more");
}

#[test]
fn a_new_epoch_aborts_the_accepted_and_submits_the_others_by_their_new_number() {
    let mut pair = Pair::ready(2);
    pair.submit(1);
    pair.turn();
    pair.acknowledge();
    pair.submit(2);
    pair.submit(3);
    pair.turn();
    pair.lose();
    pair.epoch += 1;
    pair.connect(2, false);
    assert_eq!(pair.ended(), [(1, Some(FailureKind::Aborted))]);
    assert_eq!(pair.submitted(), [] as [u64; 0], "the function is looked up first");
    pair.say(Message::Registered(vec![registered(1, 8)]));
    pair.turn();
    let functions: Vec<FunctionId> = pair
        .sent
        .iter()
        .flat_map(|message| if let Message::Submit(entries) = message { entries.as_slice() } else { &[] })
        .map(|submit| submit.function)
        .collect();
    assert_eq!(functions, [FunctionId(8), FunctionId(8)]);
    assert!(matches!(pair.events[..], [Effect::Registered(_)]), "said again: {:?}", pair.events);
}

#[test]
fn after_a_reconnection_nobody_holds_calls_for_an_answer_that_was_given() {
    let mut pair = Pair::ready(1);
    pair.lose();
    pair.connect(1, true);
    pair.turn();
    pair.sent.clear();
    // Its cluster is not there any more.
    pair.say(Message::Parked(vec![Parked { request: 1, reason: String::new() }]));
    pair.turn();
    assert!(!pair.sent.iter().any(|message| matches!(message, Message::Demand(_))), "{:?}", pair.sent);
}

#[test]
fn a_call_says_how_long_it_was_held() {
    let mut pair = Pair::ready(1);
    pair.submit(1);
    pair.submit(2);
    pair.turn();
    pair.wait(1_500);
    pair.say(Message::Credit(vec![Credit { tasks: 2, bytes: 1 << 20 }]));
    pair.turn();
    let sent = std::mem::take(&mut pair.sent);
    let submits = sent.into_iter().filter_map(|message| match message {
        Message::Submit(entries) => Some(entries),
        _ => None,
    });
    let held: Vec<_> = submits.flatten().map(|submit| (submit.number, submit.held_ms)).collect();
    assert_eq!(held, [(1, 0), (2, 1_500)]);
}

#[test]
fn a_function_that_changed_with_the_epoch_ends_its_held_calls() {
    let mut pair = Pair::ready(0);
    pair.submit(1);
    pair.turn();
    pair.lose();
    pair.epoch += 1;
    pair.connect(2, false);
    let mut other = registered(1, 5);
    other.info.signature = vec![2];
    pair.say(Message::Registered(vec![other]));
    pair.turn();
    assert_eq!(pair.ended(), [(1, Some(FailureKind::Aborted))]);
    assert_eq!(pair.core.unfinished(), 0);
}

#[test]
fn cancel_is_local_until_the_call_is_sent() {
    let mut pair = Pair::ready(1);
    pair.submit(1);
    pair.submit(2);
    pair.turn();
    pair.sent.clear();
    pair.core.cancel(2);
    pair.core.cancel(1);
    pair.core.cancel(1);
    pair.core.cancel(99);
    pair.turn();
    assert_eq!(pair.ended(), [(2, Some(FailureKind::Canceled))]);
    assert_eq!(pair.sent, [Message::Cancel(vec![crate::message::Cancel { number: 1 }])]);
    pair.answer(&[1]);
    assert_eq!(pair.ended(), [(1, None)], "the result was faster");
}

#[test]
fn parked_registrations_tell_their_demand_and_can_be_withdrawn() {
    let mut pair = Pair::new();
    pair.connect(1, false);
    pair.core.register(wanted(1));
    pair.core.register(wanted(2));
    pair.turn();
    pair.sent.clear();
    pair.core.demand(1, 3);
    pair.turn();
    assert!(pair.sent.is_empty(), "not before it is parked");
    pair.say(Message::Parked(vec![Parked { request: 1, reason: "no cluster".to_owned() }]));
    pair.turn();
    assert_eq!(pair.sent, [Message::Demand(vec![crate::message::Demand { request: 1, held: 3 }])]);
    pair.core.demand(1, 4);
    pair.core.demand(2, 0);
    pair.turn();
    let last = pair.sent.last().cloned();
    let expected = [(2, 0), (1, 4)].map(|(request, held)| crate::message::Demand { request, held });
    assert_eq!(last, Some(Message::Demand(expected.to_vec())));
    // The answer to a withdrawn registration is nobody's.
    pair.events.clear();
    pair.say(Message::Registered(vec![registered(2, 1)]));
    assert!(pair.events.is_empty());
    pair.say(Message::Registered(vec![registered(1, 1)]));
    assert!(matches!(pair.events[..], [Effect::Registered(_)]));
}

#[test]
fn changes_are_passed_on_and_failures_forget() {
    let mut pair = Pair::ready(1);
    let changed = Changed { request: 1, now: Some(registered(1, 6)), message: "rebuilt".to_owned() };
    pair.say(Message::Changed(vec![changed.clone()]));
    assert_eq!(pair.events, [Effect::Changed(changed)]);
    pair.events.clear();
    let failed = RegisterFailed {
        request: 1,
        kind: crate::message::RegisterErrorKind::UnknownModule,
        message: "none".to_owned(),
    };
    pair.say(Message::RegisterFailed(vec![failed]));
    pair.submit(1);
    pair.turn();
    assert_eq!(pair.ended(), [(1, Some(FailureKind::Rejected))]);
}

#[test]
fn stored_arguments_are_announced_when_their_call_is_sent() {
    let mut pair = Pair::ready(1);
    for number in [1, 2] {
        pair.core.submit(number, call(number, Payload::Stored { id: ObjectId([7; 32]), length: 1 << 20 }));
    }
    pair.turn();
    assert_eq!(pair.events, [Effect::Put { number: 1, tag: 101 }], "2 waits for credit");
}

#[test]
fn silence_fails_everything_with_the_last_words() {
    let mut pair = Pair::ready(1);
    pair.submit(1);
    pair.turn();
    pair.say(Message::Goodbye(vec![Goodbye { reason: "stopping".to_owned() }]));
    assert!(pair.events.contains(&Effect::Redial));
    pair.lose();
    pair.wait(59_000);
    assert!(!pair.core.is_over());
    pair.wait(2_000);
    let closed = pair.events.last().cloned();
    let expected = Closed::Silent { silent_ms: 61_000, said: Some("stopping".to_owned()) };
    assert_eq!(closed, Some(Effect::Closed(expected)));
    assert_eq!(pair.ended(), [(1, Some(FailureKind::Aborted))]);
    assert_eq!(pair.core.next_deadline(), None);
}

#[test]
fn heartbeats_keep_the_contact() {
    let mut pair = Pair::ready(1);
    for _ in 0..100 {
        pair.wait(2_000);
        assert!(matches!(pair.sent.pop(), Some(Message::Heartbeat(_))));
        pair.say(Message::Pulse(vec![Pulse { sent: 0, object_storage_address: None }]));
    }
    assert!(!pair.core.is_over());
}

#[test]
fn nobody_answers_or_the_answer_is_no() {
    let mut pair = Pair::new();
    pair.wait(5_000);
    assert_eq!(pair.events, [Effect::Closed(Closed::NeverConnected { waited_ms: 5_000 })]);
    let mut pair = Pair::new();
    pair.peer = PeerId(1);
    let mut out = Vec::new();
    pair.core.connected(pair.now, pair.peer, &mut out);
    pair.take(out);
    pair.say(Message::Refused(vec![Refused { kind: Kind::Hello as u16, reason: "too old".to_owned() }]));
    assert_eq!(pair.events, [Effect::Closed(Closed::Refused { reason: "too old".to_owned() })]);
}

#[test]
fn gaps_resets_and_other_epochs_ask_for_a_new_connection() {
    let messages: [fn(&mut Pair); 3] = [
        |pair| {
            pair.session.stamp(0, Message::Ack(vec![Ack {}]));
            pair.acknowledge();
        },
        |pair| pair.say(Message::Reset(vec![Reset { reason: "who are you".to_owned() }])),
        |pair| {
            pair.epoch = 99;
            pair.acknowledge();
        },
    ];
    for message in messages {
        let mut pair = Pair::ready(1);
        message(&mut pair);
        assert_eq!(pair.events, [Effect::Redial]);
        // Words of the old connection are not heard any more.
        pair.answer(&[1]);
        assert_eq!(pair.events, [Effect::Redial]);
    }
}

#[test]
fn leaving_cancels_says_goodbye_and_ends() {
    let mut pair = Pair::ready(1);
    pair.submit(1);
    pair.submit(2);
    pair.turn();
    pair.sent.clear();
    let mut out = Vec::new();
    pair.core.leave(pair.now, "done", &mut out);
    pair.core.leave(pair.now, "done", &mut out);
    pair.take(out);
    assert_eq!(pair.sent, [Message::Goodbye(vec![Goodbye { reason: "done".to_owned() }])]);
    assert_eq!(pair.events.last(), Some(&Effect::Closed(Closed::Left)));
    assert_eq!(pair.ended(), [(1, Some(FailureKind::Canceled)), (2, Some(FailureKind::Canceled))]);
    pair.submit(3);
    pair.turn();
    assert!(pair.sent.len() == 1 && pair.core.unfinished() == 0);
}

#[test]
fn a_shutdown_counts_when_the_scheduler_is_gone_without_an_answer() {
    let mut pair = Pair::ready(1);
    pair.core.shutdown(4);
    pair.turn();
    assert!(matches!(pair.sent[..], [Message::Shutdown(_)]));
    pair.lose();
    pair.wait(999);
    assert!(pair.events.is_empty());
    pair.wait(1);
    assert!(
        matches!(&pair.events[..], [Effect::ShutdownReply(reply), Effect::Closed(Closed::ShutDown)] if reply.accepted)
    );
    let mut pair = Pair::ready(1);
    pair.core.shutdown(4);
    pair.turn();
    pair.say(Message::ShutdownReply(vec![ShutdownReply {
        request: 4,
        accepted: false,
        reason: "protected".to_owned(),
    }]));
    assert!(matches!(&pair.events[..], [Effect::ShutdownReply(reply)] if !reply.accepted));
    assert!(!pair.core.is_over());
}

#[test]
fn questions_are_asked_again_on_the_next_connection() {
    let mut pair = Pair::ready(1);
    pair.core.query(1);
    pair.turn();
    pair.lose();
    pair.connect(1, true);
    assert!(pair.sent.contains(&Message::Query(vec![crate::message::Query { request: 1 }])));
    pair.say(Message::Answer(vec![crate::message::Answer { request: 1, view: crate::view::View::default() }]));
    pair.say(Message::Answer(vec![crate::message::Answer { request: 1, view: crate::view::View::default() }]));
    assert!(matches!(pair.events[..], [Effect::Answered(_)]));
}

fn put(number: u64) -> PutObject {
    PutObject { object: ObjectId::of_client(ClientId(1), number), name: "table".to_owned(), length: 9 }
}

#[test]
fn objects_are_announced_before_the_tasks_that_use_them_and_again_on_a_new_connection() {
    let mut pair = Pair::ready(10);
    let (first, second) = (put(1), put(2));
    pair.core.put_object(first.clone());
    pair.core.put_object(second.clone());
    let objects = vec![ArgumentObject { index: 0, object: first.object, length: 9 }];
    pair.core.submit(1, Call { objects: objects.clone(), ..call(1, Payload::Inline(vec![0x91, 0xc0])) });
    pair.turn();
    assert_eq!(pair.sent[0], Message::PutObject(vec![first.clone(), second.clone()]));
    let Message::Submit(submits) = &pair.sent[1] else { panic!("{:?}", pair.sent) };
    assert_eq!(submits[0].objects, objects);
    pair.core.release(second.object);
    pair.turn();
    pair.lose();
    pair.connect(10, true);
    assert!(
        pair.sent.contains(&Message::PutObject(vec![first])),
        "what was released is not said again: {:?}",
        pair.sent
    );
    assert!(pair.sent.contains(&Message::Release(vec![Release { object: second.object }])));
}

#[test]
fn heartbeats_come_often_enough_for_an_impatient_scheduler() {
    let mut pair = Pair::new();
    pair.core.connected(pair.now, pair.peer, &mut Vec::new());
    assert_eq!(pair.core.next_deadline(), Some(Time(0).plus_ms(5_000)), "the greeting is waited for");
    let welcome = Welcome {
        epoch: 3,
        version: VERSION,
        object_storage_address: None,
        protected: false,
        credit: Credit::default(),
        timeout_ms: 900,
        resumed: false,
    };
    let mut out = Vec::new();
    let packet = Session::default().stamp(3, Message::Welcome(vec![welcome]));
    pair.core.handle(pair.now, pair.peer, packet, &mut out);
    // What is owed is said first.
    pair.core.tick(pair.now.plus_ms(10), &mut out);
    assert_eq!(pair.core.next_deadline(), Some(Time(0).plus_ms(300)));
}
