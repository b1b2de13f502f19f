//! A scheduler that follows a script, on a real socket: it answers at once, keeps what it is told to keep, and can be
//! cut off, restarted and stopped.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use scaler_module::{Parameter, Signature, Type};
use scaler_net::{Address, Event, Link, Options, PeerId, Waker, wait};
use scaler_proto::{
    ids::{FunctionId, ModuleHash},
    message::*,
    payload::Payload,
    session::{Receipt, Session},
    value::Value,
    view::View,
    wire,
};

/// What the script counts, for the tests to look at.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hellos: Vec<Hello>,
    pub(crate) submitted: Vec<u64>,
    pub(crate) canceled: u64,
    pub(crate) demands: Vec<Demand>,
    pub(crate) goodbyes: u64,
    /// Most tasks that were submitted and not answered at once.
    pub(crate) open_max: usize,
    /// Most messages that waited for an acknowledgement of the client at once.
    pub(crate) acks: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) window: u64,
    pub(crate) protected: bool,
    /// Submits are acknowledged (accepted) at once.
    pub(crate) accept: bool,
    /// Registrations are answered, else parked.
    pub(crate) clusters: bool,
    pub(crate) object_storage_address: Option<String>,
}

impl Default for Script {
    fn default() -> Self {
        Self { window: 8_192, protected: true, accept: true, clusters: true, object_storage_address: None }
    }
}

enum Order {
    Cut,
    Restart,
    Script(Script),
    AnswerHeld,
    Goodbye(String),
    Stop,
}

pub(crate) struct Scheduler {
    pub(crate) address: String,
    pub(crate) counts: Arc<Mutex<Counts>>,
    orders: Sender<Order>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Scheduler {
    pub(crate) fn start(script: Script) -> Self {
        let (orders, receiver) = mpsc::channel();
        let (ready, address) = mpsc::channel();
        let waker = Waker::new().expect("waker");
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (other, shared) = (waker.clone(), Arc::clone(&counts));
        let thread = thread::spawn(move || {
            let link = Link::bind(&"tcp://127.0.0.1:0".parse().expect("address"), &Options::default()).expect("bind");
            ready.send(link.local_address().to_string()).expect("address is wanted");
            State::new(link, script, shared).run(&receiver, &other);
        });
        let address = address.recv().expect("the scheduler listens");
        Self { address, counts, orders, waker, thread: Some(thread) }
    }

    pub(crate) fn cut(&self) {
        self.order(Order::Cut);
    }

    pub(crate) fn restart(&self) {
        self.order(Order::Restart);
    }

    pub(crate) fn script(&self, script: Script) {
        self.order(Order::Script(script));
    }

    pub(crate) fn answer_held(&self) {
        self.order(Order::AnswerHeld);
    }

    pub(crate) fn goodbye(&self, reason: &str) {
        self.order(Order::Goodbye(reason.to_owned()));
    }

    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn(&Counts) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(&self.counts.lock().expect("counts")) {
            assert!(Instant::now() < deadline, "waited for {what}: {:?}", self.counts.lock().expect("counts"));
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the scheduler runs");
        self.waker.wake();
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Peer {
    session: Session,
    client: u64,
    role: Role,
    /// Results ready to go.
    results: Vec<TaskResult>,
    owes: bool,
}

#[derive(Default)]
struct Known {
    answered: BTreeMap<u64, TaskResult>,
    open: BTreeMap<u64, Submit>,
    submitted: Credit,
}

struct State {
    link: Link,
    script: Script,
    counts: Arc<Mutex<Counts>>,
    epoch: u64,
    peers: BTreeMap<u64, Peer>,
    clients: BTreeMap<u64, Known>,
    functions: Vec<String>,
    parked: Vec<(u64, Register)>,
}

impl State {
    fn new(link: Link, script: Script, counts: Arc<Mutex<Counts>>) -> Self {
        Self {
            link,
            script,
            counts,
            epoch: 7,
            peers: BTreeMap::new(),
            clients: BTreeMap::new(),
            functions: Vec::new(),
            parked: Vec::new(),
        }
    }

    fn run(mut self, orders: &Receiver<Order>, waker: &Waker) {
        let mut events = Vec::new();
        loop {
            waker.clear();
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Cut => self.cut(),
                    Order::Restart => {
                        self.epoch += 1;
                        self.functions.clear();
                        self.functions.push("placeholder".to_owned());
                        self.clients.clear();
                        self.parked.clear();
                        self.cut();
                    }
                    Order::Script(script) => {
                        self.script = script;
                        for (peer, register) in std::mem::take(&mut self.parked) {
                            self.register(peer, register);
                        }
                    }
                    Order::AnswerHeld => self.answer_held(),
                    Order::Goodbye(reason) => {
                        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                            self.send(peer, Message::Goodbye(vec![Goodbye { reason: reason.clone() }]));
                        }
                    }
                    Order::Stop => return self.link.close(Duration::from_millis(200)),
                }
            }
            self.link.drain(&mut events, 256, 256 * 1024).expect("drain");
            let idle = events.is_empty();
            for event in events.drain(..) {
                match event {
                    Event::Up(_) => {}
                    Event::Down(peer) => drop(self.peers.remove(&peer.0)),
                    Event::Message(peer, frames) => {
                        let packet = wire::decode(frames).expect("clients speak the protocol");
                        self.handle(peer.0, packet.epoch, packet.sequence, packet.ack, packet.message);
                    }
                }
            }
            self.flush();
            if idle {
                wait(&[&self.link], &[waker.as_fd()], None).expect("wait");
            }
        }
    }

    fn cut(&mut self) {
        for (peer, mut state) in std::mem::take(&mut self.peers) {
            let reset = Message::Reset(vec![Reset { reason: "cut".to_owned() }]);
            let packet = state.session.stamp(self.epoch, reset);
            let _ = self.link.send(PeerId(peer), wire::encode(packet).expect("small"));
        }
    }

    fn handle(&mut self, peer: u64, epoch: u64, sequence: u64, ack: u64, message: Message) {
        if let Message::Hello(hellos) = &message {
            let hello = hellos[0].clone();
            let mut session = Session::default();
            assert_eq!(session.receive(sequence, ack), Receipt::Fresh);
            self.peers
                .insert(peer, Peer { session, client: hello.id, role: hello.role, results: Vec::new(), owes: false });
            let resumed = self.clients.contains_key(&hello.id);
            let known = self.clients.entry(hello.id).or_default();
            let kept: Vec<TaskResult> = known.answered.values().cloned().collect();
            let welcome = Welcome {
                epoch: self.epoch,
                version: VERSION,
                object_storage_address: self.script.object_storage_address.clone(),
                protected: self.script.protected,
                credit: Credit {
                    tasks: known.submitted.tasks - known.open.len() as u64 + self.script.window,
                    bytes: u64::MAX,
                },
                timeout_ms: 60_000,
                resumed,
            };
            self.counts.lock().expect("counts").hellos.push(hello);
            self.send(peer, Message::Welcome(vec![welcome]));
            self.peers.get_mut(&peer).expect("just inserted").results = kept;
            return;
        }
        // Words of a connection that was reset.
        let Some(state) = self.peers.get_mut(&peer) else { return };
        assert_eq!(epoch, self.epoch, "a message of another epoch: {message:?}");
        assert_eq!(state.session.receive(sequence, ack), Receipt::Fresh, "{message:?}");
        if !matches!(message, Message::Ack(_) | Message::Submit(_)) {
            state.owes = true;
        }
        match message {
            Message::Submit(entries) => self.submit(peer, entries),
            Message::Register(entries) => entries.into_iter().for_each(|register| self.register(peer, register)),
            Message::Heartbeat(entries) => {
                let pulse = Pulse { sent: entries[0].sent, object_storage_address: None };
                self.send(peer, Message::Pulse(vec![pulse]));
            }
            Message::Cancel(entries) => entries.into_iter().for_each(|cancel| self.cancel(peer, cancel.number)),
            Message::Demand(entries) => self.counts.lock().expect("counts").demands.extend(entries),
            Message::Query(entries) => {
                let view = View::default();
                let answers = entries.iter().map(|query| Answer { request: query.request, view: view.clone() });
                self.send(peer, Message::Answer(answers.collect()));
            }
            Message::Shutdown(entries) => {
                let (accepted, reason) = (!self.script.protected, "protected".to_owned());
                let reply = ShutdownReply { request: entries[0].request, accepted, reason };
                self.send(peer, Message::ShutdownReply(vec![reply]));
            }
            Message::Goodbye(_) => {
                self.counts.lock().expect("counts").goodbyes += 1;
                self.clients.remove(&self.peers[&peer].client);
                self.peers.remove(&peer);
            }
            Message::Ack(_) => self.counts.lock().expect("counts").acks += 1,
            _ => {}
        }
    }

    fn register(&mut self, peer: u64, register: Register) {
        if !self.script.clusters {
            let parked = Parked { request: register.request, reason: "no cluster is connected".to_owned() };
            self.send(peer, Message::Parked(vec![parked]));
            self.parked.push((peer, register));
            return;
        }
        let name = register.function.replace('-', "_");
        let (parameter, result) = match name.as_str() {
            "double" | "hold" => (Type::U64, Type::U64),
            "echo" | "fail" => (Type::String, Type::String),
            "blob" => (Type::List(Box::new(Type::U8)), Type::U64),
            _ => {
                let (kind, message) = (RegisterErrorKind::UnknownFunction, format!("no function `{name}`"));
                let failed = RegisterFailed { request: register.request, kind, message };
                return self.send(peer, Message::RegisterFailed(vec![failed]));
            }
        };
        let position = self.functions.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.functions.push(name.clone());
            self.functions.len() - 1
        });
        let signature = Signature {
            parameters: vec![Parameter { name: "x".to_owned(), ty: parameter, default: None }],
            result: Some(result),
        };
        let registered = Registered {
            request: register.request,
            function: FunctionId(position as u32),
            identity: Identity { hash: ModuleHash([1; 32]), preload: None },
            path: register.module,
            info: FunctionInfo { interface: Some("init".to_owned()), name, signature: signature.to_bytes() },
            // So that maps use their whole window at once.
            workers: 1_000,
        };
        self.send(peer, Message::Registered(vec![registered]));
    }

    fn submit(&mut self, peer: u64, entries: Vec<Submit>) {
        let accept = self.script.accept;
        let state = self.peers.get_mut(&peer).expect("known");
        assert_eq!(state.role, Role::Client);
        let known = self.clients.entry(state.client).or_default();
        let mut counts = self.counts.lock().expect("counts");
        for submit in entries {
            counts.submitted.push(submit.number);
            if !accept || known.open.contains_key(&submit.number) || known.answered.contains_key(&submit.number) {
                continue;
            }
            known.submitted.tasks += 1;
            state.owes = true;
            match run(&self.functions[submit.function.0 as usize], &submit) {
                Some(outcome) => {
                    let result = TaskResult { number: submit.number, outcome, stats: TaskStats::default() };
                    state.results.push(result);
                }
                None => drop(known.open.insert(submit.number, submit)),
            }
        }
        counts.open_max = counts.open_max.max(known.open.len() + state.results.len());
    }

    fn cancel(&mut self, peer: u64, number: u64) {
        let state = self.peers.get_mut(&peer).expect("known");
        let known = self.clients.entry(state.client).or_default();
        self.counts.lock().expect("counts").canceled += 1;
        if known.open.remove(&number).is_some() {
            let message = "canceled".to_owned();
            let failure = Failure { kind: FailureKind::Canceled, message, value: None, trace: None };
            state.results.push(TaskResult { number, outcome: Outcome::Failed(failure), stats: TaskStats::default() });
        }
    }

    fn answer_held(&mut self) {
        for state in self.peers.values_mut() {
            let known = self.clients.entry(state.client).or_default();
            for (number, submit) in std::mem::take(&mut known.open) {
                let outcome = run("double", &submit).expect("double answers");
                state.results.push(TaskResult { number, outcome, stats: TaskStats::default() });
            }
        }
    }

    /// One turn's results, then the credit they free, else an acknowledgement.
    fn flush(&mut self) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            let state = self.peers.get_mut(&peer).expect("known");
            let results = std::mem::take(&mut state.results);
            let owes = std::mem::take(&mut state.owes);
            if !results.is_empty() {
                let client = state.client;
                for batch in results.chunks(256) {
                    self.send(peer, Message::TaskResult(batch.to_vec()));
                }
                let known = self.clients.entry(client).or_default();
                let tasks = known.submitted.tasks - known.open.len() as u64 + self.script.window;
                self.send(peer, Message::Credit(vec![Credit { tasks, bytes: u64::MAX }]));
            } else if owes && self.script.accept {
                self.send(peer, Message::Ack(vec![Ack {}]));
            }
        }
    }

    fn send(&mut self, peer: u64, message: Message) {
        let state = self.peers.get_mut(&peer).expect("known");
        let mut packet = state.session.stamp(self.epoch, message);
        if !self.script.accept {
            packet.ack = 0;
        }
        // A peer that has just gone is noticed at the next drain.
        let _ = self.link.send(PeerId(peer), wire::encode(packet).expect("small"));
    }
}

fn run(function: &str, submit: &Submit) -> Option<Outcome> {
    let Payload::Inline(bytes) = &submit.arguments else { return None };
    let Ok(Value::List(arguments)) = Value::decode(bytes) else { panic!("arguments are an array") };
    let ok = |value: Value| Some(Outcome::Ok(Payload::Inline(value.encode().expect("encodes"))));
    match (function, &arguments[0]) {
        ("double", Value::Int(x)) => ok(Value::Int(x * 2)),
        ("echo", text) => ok(text.clone()),
        ("fail", text) => Some(Outcome::Failed(Failure {
            kind: FailureKind::Panic,
            message: format!("panicked: {text}"),
            value: None,
            trace: None,
        })),
        ("hold", _) => None,
        other => panic!("{other:?}"),
    }
}

/// The address of nobody: bound once, closed again.
pub(crate) fn nobody() -> Address {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    Address::tcp("127.0.0.1", listener.local_addr().expect("address").port())
}
