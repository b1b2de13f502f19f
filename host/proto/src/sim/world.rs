//! The world of one history: time, network, storage, what goes wrong and when.

mod mischief;
mod network;
mod processors;
mod watchers;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    capability::Capabilities,
    client::{self, Call, Wanted},
    ids::{ClientId, ObjectId, PeerId, TaskId, Time},
    message::{ArgumentObject, FailureKind, Message, Outcome, PutObject},
    payload::Payload,
    scheduler::{Effect, Fault, Scheduler, SchedulerConfig},
    session::Packet,
    task::State,
};

use self::watchers::WatcherNode;
use super::{
    check::{Checked, Checks, Violation, live, must},
    nodes::{AgentNode, ClientNode, Manner},
    rng::Rng,
};

/// A history that has not come to its end by then never will.
const END_MS: u64 = 120_000;
const STEPS_MAX: u64 = 400_000;
const TAGS: [&str; 4] = ["", "", "gpu", "cpu=4"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Client(usize),
    Agent(usize),
    Watcher(usize),
}

/// One connection; its number is also the `PeerId` at both ends.
struct Connection {
    node: Node,
    is_up_here: bool,
    is_up_there: bool,
    /// Swallows everything, and nobody is told.
    is_hole: bool,
    /// When the last packet arrives, by direction: order is kept.
    last: [Time; 2],
}

#[derive(Debug)]
enum Event {
    Dial(Node),
    UpAtScheduler(usize),
    ToScheduler(usize, Packet),
    ToNode(usize, Packet),
    DownAtScheduler(usize),
    DownAtNode(usize),
    Submit(usize),
    ProcessorReady { agent: usize, life: u64, worker: usize, process: u64 },
    TaskEnds { agent: usize, life: u64, worker: usize, process: u64, sequence: u64, outcome: Option<Outcome> },
    TookBack { agent: usize, life: u64, worker: usize, process: u64, first: u64 },
    ProcessorDies { agent: usize, life: u64, worker: usize, process: u64 },
    Mischief,
    Restart(usize),
    Heal,
    WatcherAcknowledges(usize, usize),
    WatcherLooks(usize),
}

pub(super) struct World {
    rng: Rng,
    now: Time,
    scheduler: Scheduler,
    clients: Vec<ClientNode>,
    agents: Vec<AgentNode>,
    watchers: Vec<WatcherNode>,
    connections: Vec<Connection>,
    queue: BTreeMap<(Time, u64), Event>,
    scheduled: u64,
    objects: BTreeSet<ObjectId>,
    checks: Checks,
    is_healed: bool,
    trace: u64,
    steps: u64,
    /// See [`Fault::HangUpUnheard`].
    hangs_up_unheard: bool,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut rng = Rng::new(seed);
        let now = Time(1_000_000);
        let config = SchedulerConfig {
            epoch: 1 + seed,
            client_timeout_ms: 3_000,
            worker_timeout_ms: 3_000,
            load_balance_ms: 100,
            result_buffer_bytes: rng.pick(&[2_000, 20_000, 1 << 20]).unwrap_or(1 << 20),
            client_window_tasks: rng.between(4, 40),
            journal: seed.is_multiple_of(2),
            ..SchedulerConfig::default()
        };
        let checks = Checks::new(config.max_attempts, config.journal);
        let mut scheduler = Scheduler::new(now, config);
        fault.into_iter().for_each(|fault| scheduler.seed(fault));
        let clients = (0..rng.between(1, 3)).map(|number| ClientNode::new(now, number, rng.between(5, 60))).collect();
        let mut world = Self {
            rng,
            now,
            scheduler,
            clients,
            agents: Vec::new(),
            watchers: Vec::new(),
            connections: Vec::new(),
            queue: BTreeMap::new(),
            scheduled: 0,
            objects: BTreeSet::new(),
            checks,
            is_healed: false,
            trace: seed,
            steps: 0,
            hangs_up_unheard: fault == Some(Fault::HangUpUnheard),
        };
        for number in 0..world.rng.between(1, 3) {
            let agent = world.agent(number, 0);
            world.agents.push(agent);
            let delay = world.rng.between(0, 300_000);
            world.after_us(delay, Event::Dial(Node::Agent(number as usize)));
        }
        for number in 0..world.clients.len() {
            let delay = world.rng.between(0, 100_000);
            world.after_us(delay, Event::Dial(Node::Client(number)));
            world.after_us(delay + 1, Event::Submit(number));
        }
        world.add_watchers();
        world.after_us(50_000, Event::Mischief);
        let chaos = world.rng.between(300_000, 2_000_000);
        world.after_us(chaos, Event::Heal);
        world
    }

    /// A cluster; the first has a worker for every tag, so that everything fits somewhere.
    fn agent(&mut self, number: u64, life: u64) -> AgentNode {
        let workers = self.rng.between(1, 3);
        let mut tags: Vec<Capabilities> = Vec::new();
        for _ in 0..workers {
            let text = self.rng.pick(&["", "gpu", "cpu=8", "cpu=2,gpu"]).unwrap_or("");
            tags.push(text.parse().expect("tags"));
        }
        if number == 0 {
            tags.push("gpu,cpu=8".parse().expect("tags"));
        }
        let queue_size = self.rng.between(1, 12) as u32;
        AgentNode::new(self.now, number, life, tags, queue_size)
    }

    fn after_us(&mut self, delay_us: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((Time(self.now.0 + delay_us * 1_000), self.scheduled), event);
    }

    /// The history; its fingerprint, or what went wrong.
    pub(super) fn run(mut self) -> Result<u64, Violation> {
        while !self.is_over() {
            self.step()?;
        }
        self.leave()?;
        Ok(self.trace)
    }

    fn is_over(&self) -> bool {
        self.is_healed
            && self.clients.iter().all(|client| client.is_dead || (client.to_submit == 0 && client.open.is_empty()))
            && live(&self.scheduler.view(self.now)) == 0
    }

    fn step(&mut self) -> Checked {
        self.steps += 1;
        must(self.now < Time(0).plus_ms(END_MS) && self.steps < STEPS_MAX, "everything ends", || {
            let view = self.scheduler.view(self.now);
            let open: Vec<_> =
                self.clients.iter().map(|client| client.open.keys().copied().collect::<Vec<_>>()).collect();
            let due = (self.scheduler.next_deadline(), self.next_node());
            format!(
                "at {:?}, next {due:?}; open at the clients: {open:?}; at the scheduler: {:?}",
                self.now, view.tasks
            )
        })?;
        let scheduler_due = self.scheduler.next_deadline();
        let next = self.queue.first_key_value().map(|((time, _), _)| *time);
        let node = self.next_node();
        let earliest = [scheduler_due, next, node.map(|(due, _)| due)].into_iter().flatten().min();
        let Some(earliest) = earliest else {
            return must(false, "everything ends", || "nothing will ever happen again".to_owned());
        };
        self.now = self.now.max(earliest);
        if next == Some(earliest) {
            let Some((_, event)) = self.queue.pop_first() else { return Ok(()) };
            self.note(&event);
            self.happen(event)?;
        } else if let Some((_, node)) = node.filter(|(due, _)| *due == earliest) {
            match node {
                Node::Client(index) => self.client_turn(index, |_, _, _| {})?,
                Node::Agent(index) => self.agent_turn(index, |_, _, _| {})?,
                // Watchers have no deadlines but events.
                Node::Watcher(_) => {}
            }
        } else {
            self.scheduler_turn(|_, _, _| {})?;
        }
        if self.steps.is_multiple_of(64) {
            let view = self.scheduler.view(self.now);
            self.checks.looking(&view)?;
        }
        Ok(())
    }

    /// Makes the event part of the history's fingerprint.
    fn note(&mut self, event: &Event) {
        if std::env::var_os("SCALER_SIM_LOG").is_some() {
            eprintln!("{:>12.6} {event:?}", self.now.0 as f64 / 1e9);
        }
        for byte in format!("{:?} {event:?}", self.now).bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn next_node(&self) -> Option<(Time, Node)> {
        let clients = self.clients.iter().enumerate().filter(|(_, client)| !client.is_dead);
        let clients = clients.filter_map(|(index, client)| Some((client.core.next_deadline()?, Node::Client(index))));
        let agents = self.agents.iter().enumerate().filter(|(_, agent)| !agent.is_dead);
        let agents = agents.filter_map(|(index, agent)| {
            let due = agent.core.next_deadline()?;
            Some((due.max(agent.stalled.unwrap_or(due)), Node::Agent(index)))
        });
        clients.chain(agents).min_by_key(|(due, _)| *due)
    }

    fn happen(&mut self, event: Event) -> Checked {
        if let Some(until) = self.stalled(&event) {
            self.scheduled += 1;
            self.queue.insert((until, self.scheduled), event);
            return Ok(());
        }
        match event {
            Event::Dial(node) => self.dial(node),
            Event::UpAtScheduler(link) => {
                self.connections[link].is_up_here = true;
                let is_watcher = matches!(self.connections[link].node, Node::Watcher(_));
                self.scheduler_turn(|core, now, out| match is_watcher && link.is_multiple_of(2) {
                    true => core.connected_monitor(now, PeerId(link as u64), out),
                    false => core.connected(now, PeerId(link as u64), out),
                })
            }
            Event::ToScheduler(link, packet) => self.reach_scheduler(link, packet),
            Event::ToNode(link, packet) => self.reach_node(link, packet),
            Event::DownAtScheduler(link) => {
                if !std::mem::take(&mut self.connections[link].is_up_here) {
                    return Ok(());
                }
                self.scheduler_turn(|core, now, out| core.disconnected(now, PeerId(link as u64), out))
            }
            Event::DownAtNode(link) => self.down_at_node(link),
            Event::Submit(index) => self.submit(index),
            Event::ProcessorReady { agent, life, worker, process } => {
                if !self.is_current(agent, life, worker, process) {
                    return Ok(());
                }
                self.agents[agent].processors[worker].is_alive = true;
                self.agent_turn(agent, |node, now, _| node.core.processor_ready(now, worker as u16, process as u32 + 1))
            }
            Event::TaskEnds { agent, life, worker, process, sequence, outcome } => {
                if self.is_current(agent, life, worker, process) {
                    self.task_ends(agent, worker, sequence, outcome)?;
                }
                Ok(())
            }
            Event::TookBack { agent, life, worker, process, first } => {
                if !self.is_current(agent, life, worker, process) {
                    return Ok(());
                }
                self.agent_turn(agent, |node, now, _| node.core.processor_took_back(now, worker as u16, first))
            }
            Event::ProcessorDies { agent, life, worker, process } => {
                if self.is_current(agent, life, worker, process) {
                    self.processor_dies(agent, worker)?;
                }
                Ok(())
            }
            Event::Mischief => self.mischief(),
            Event::Restart(index) => self.restart(index),
            Event::Heal => self.heal(),
            Event::WatcherAcknowledges(index, link) => {
                self.watcher_acknowledges(index, link);
                Ok(())
            }
            Event::WatcherLooks(index) => {
                self.watcher_looks(index);
                Ok(())
            }
        }
    }

    /// Until when the agent that an event is for does not notice anything.
    fn stalled(&self, event: &Event) -> Option<Time> {
        let index = match event {
            Event::ToNode(link, _) | Event::DownAtNode(link) => match self.connections[*link].node {
                Node::Agent(index) => index,
                Node::Client(_) | Node::Watcher(_) => return None,
            },
            Event::ProcessorReady { agent, .. }
            | Event::TaskEnds { agent, .. }
            | Event::TookBack { agent, .. }
            | Event::ProcessorDies { agent, .. }
            | Event::Dial(Node::Agent(agent)) => *agent,
            _ => return None,
        };
        self.agents[index].stalled.filter(|until| *until > self.now)
    }

    fn is_current(&self, agent: usize, life: u64, worker: usize, process: u64) -> bool {
        let node = &self.agents[agent];
        !node.is_dead && node.life == life && node.processors[worker].process == process
    }

    // --- turns

    fn scheduler_turn(&mut self, what: impl FnOnce(&mut Scheduler, Time, &mut Vec<Effect>)) -> Checked {
        let mut out = Vec::new();
        what(&mut self.scheduler, self.now, &mut out);
        self.scheduler.tick(self.now, &mut out);
        for effect in out {
            let nodes: Vec<_> = self.connections.iter().map(|connection| connection.node).collect();
            let ids: Vec<_> = self.clients.iter().map(|client| client.id).collect();
            self.checks.performing(&effect, |peer| match nodes.get(peer.0 as usize) {
                Some(Node::Client(index)) => Some(ids[*index]),
                _ => None,
            })?;
            self.objects_of_runs(&effect)?;
            match effect {
                Effect::Send(peer, packet) => {
                    if self.connections[peer.0 as usize].is_up_here {
                        self.transmit(peer.0 as usize, packet, false);
                    }
                }
                Effect::Drop(peer) => {
                    let link = peer.0 as usize;
                    self.connections[link].is_up_here = false;
                    self.after_us(50_000, Event::DownAtNode(link));
                }
                Effect::DeleteObjects(objects) => self.objects.retain(|object| !objects.contains(object)),
                Effect::Persist(_) | Effect::Note(_) | Effect::End { .. } => {}
            }
        }
        Ok(())
    }

    /// What is sent to a cluster can be run: its objects are stored.
    fn objects_of_runs(&mut self, effect: &Effect) -> Checked {
        let Effect::Send(_, Packet { message: Message::Run(runs), .. }) = effect else { return Ok(()) };
        for run in runs {
            for ArgumentObject { object, .. } in &run.objects {
                self.checks.using(*object);
                must(self.objects.contains(object), "objects", || format!("{} needs {object}", run.task))?;
            }
        }
        Ok(())
    }

    fn client_turn(
        &mut self,
        index: usize,
        what: impl FnOnce(&mut ClientNode, Time, &mut Vec<client::Effect>),
    ) -> Checked {
        if self.clients[index].is_dead {
            return Ok(());
        }
        let mut out = Vec::new();
        let client = &mut self.clients[index];
        what(client, self.now, &mut out);
        client.core.tick(self.now, &mut out);
        for effect in out {
            self.client_effect(index, effect)?;
        }
        Ok(())
    }

    fn client_effect(&mut self, index: usize, effect: client::Effect) -> Checked {
        let id = self.clients[index].id;
        match effect {
            client::Effect::Send(peer, packet) if self.clients[index].link == Some(peer.0 as usize) => {
                self.transmit(peer.0 as usize, packet, true);
            }
            client::Effect::Redial => self.redial(self.clients[index].link),
            client::Effect::Registered(registered) => self.clients[index].registered = Some(registered.function),
            client::Effect::Connected(welcome) if !welcome.resumed => {
                // As the shell does: a scheduler that does not know the session has let its objects go.
                self.objects.extend(self.clients[index].objects.keys().copied());
            }
            client::Effect::Put { number, .. } => {
                self.objects.insert(ObjectId::arguments(TaskId { client: id, number }));
            }
            client::Effect::Ended { number, outcome, .. } => {
                let was_canceled = self.clients[index].open.remove(&number);
                let mut allowed = vec![Manner::of(number).ends()];
                match was_canceled {
                    Some(true) => allowed.push(Some(FailureKind::Canceled)),
                    Some(false) => {}
                    None => must(false, "one delivery", || format!("{id}:{number} ended, but was not open"))?,
                }
                // Five clusters may be lost while a slow task runs.
                allowed.push(Some(FailureKind::WorkerLost));
                self.clients[index].objects.values_mut().for_each(|users| {
                    users.remove(&number);
                });
                let task = TaskId { client: id, number };
                self.checks.ending(task, &outcome, &allowed)?;
                if let Outcome::Ok(Payload::Stored { id: object, .. }) = outcome {
                    must(self.objects.contains(&object), "objects", || format!("the result of {task} is not stored"))?;
                    if self.rng.once_in(2) {
                        self.clients[index].core.release(object);
                    }
                }
            }
            client::Effect::Warning(text) if text.contains("goodbye") => self.clients[index].is_unheard = true,
            client::Effect::RegisterFailed(failed) => {
                must(false, "outcomes", || format!("{id} could not register: {failed:?}"))?;
            }
            client::Effect::Closed(closed) => {
                must(closed == client::Closed::Left, "outcomes", || format!("{id} closed: {closed}"))?;
            }
            _ => {}
        }
        Ok(())
    }

    // --- callers

    fn submit(&mut self, index: usize) -> Checked {
        let client = &mut self.clients[index];
        if client.is_dead || client.to_submit == 0 {
            return Ok(());
        }
        if client.submitted == 0 {
            let (module, function) = ("m".to_owned(), "f".to_owned());
            client.core.register(Wanted { request: 1, module, function, capabilities: Capabilities::none() });
        }
        let Some(function) = client.registered else {
            client.submitted = client.submitted.max(1);
            self.after_us(20_000, Event::Submit(index));
            return self.client_turn(index, |_, _, _| {});
        };
        for _ in 0..self.rng.between(1, 20) {
            let client = &mut self.clients[index];
            if client.to_submit == 0 {
                break;
            }
            client.to_submit -= 1;
            client.submitted += 1;
            let (number, task) = (client.submitted, TaskId { client: client.id, number: client.submitted });
            let capabilities: Capabilities = self.rng.pick(&TAGS).unwrap_or("").parse().expect("tags");
            let arguments = if self.rng.once_in(6) {
                Payload::Stored { id: ObjectId::arguments(task), length: 100_000 }
            } else {
                Payload::Inline(vec![0x91, 7])
            };
            let objects = self.argument_objects(index, number);
            self.checks.wanted.insert(task, capabilities.clone());
            let priority = self.rng.between(0, 2) as i32;
            let call = Call {
                registration: 1,
                function,
                arguments,
                objects,
                capabilities,
                timeout_ms: 0,
                priority,
                retries: 0,
                patient: false,
                tag: 0,
                called: self.now,
            };
            let client = &mut self.clients[index];
            client.open.insert(number, false);
            client.core.submit(number, call);
        }
        let open: Vec<u64> = self.clients[index].open.keys().copied().collect();
        if self.rng.once_in(3)
            && let Some(number) = self.rng.pick(&open)
        {
            self.clients[index].open.insert(number, true);
            self.clients[index].core.cancel(number);
        }
        self.release_some(index);
        let delay = self.rng.between(100, 100_000);
        self.after_us(delay, Event::Submit(index));
        self.client_turn(index, |_, _, _| {})
    }

    /// Objects for a task: none, one that is there, or a new one.
    fn argument_objects(&mut self, index: usize, number: u64) -> Vec<ArgumentObject> {
        if !self.rng.once_in(3) {
            return Vec::new();
        }
        let client = &mut self.clients[index];
        let known: Vec<ObjectId> = client.objects.keys().copied().collect();
        let object = match self.rng.pick(&known) {
            Some(object) if self.rng.once_in(2) => object,
            _ => {
                let object = ObjectId::of_client(client.id, number);
                self.objects.insert(object);
                client.core.put_object(PutObject { object, name: "table".to_owned(), length: 9 });
                object
            }
        };
        client.objects.entry(object).or_default().insert(number);
        vec![ArgumentObject { index: 0, object, length: 9 }]
    }

    /// Lets objects go that no open task uses.
    fn release_some(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let unused: Vec<ObjectId> =
            client.objects.iter().filter(|(_, users)| users.is_empty()).map(|(object, _)| *object).collect();
        for object in unused {
            if self.rng.once_in(3) {
                client.objects.remove(&object);
                client.core.release(object);
            }
        }
    }

    /// Clients that have left hang up when they may; what is under way on a connection is lost then.
    fn part(&mut self) -> Checked {
        for index in 0..self.clients.len() {
            // Without a connection there is nobody to say goodbye to: the scheduler finds out by itself.
            let is_connected = !self.clients[index].is_dead && !self.clients[index].core.is_gone();
            let until = self.now.plus_ms(2_000);
            while !self.hangs_up_unheard && !self.clients[index].is_dead && !self.clients[index].core.is_gone() {
                must(self.now < until, "goodbyes", || format!("{} does not come to its end", self.clients[index].id))?;
                self.step()?;
            }
            let id = self.clients[index].id;
            self.clients[index].is_dead = true;
            let is_heard = is_connected && !self.clients[index].is_unheard;
            if let (true, Some(link)) = (is_heard, self.clients[index].link.take()) {
                self.happen(Event::DownAtScheduler(link))?;
                let view = self.scheduler.view(self.now);
                must(view.clients.iter().all(|client| client.id != id.to_string()), "goodbyes", || {
                    format!("{id} has left, and the scheduler has not heard of it")
                })?;
            }
        }
        Ok(())
    }

    /// Everybody leaves; nothing may be left behind.
    fn leave(&mut self) -> Checked {
        let view = self.scheduler.view(self.now);
        self.checks.looking(&view)?;
        for client in self.clients.iter().filter(|client| !client.is_dead) {
            for number in 0..=client.submitted {
                let task = TaskId { client: client.id, number };
                must(!self.objects.contains(&ObjectId::arguments(task)), "objects", || {
                    format!("{task} has ended, its arguments are still stored")
                })?;
            }
        }
        let alive: Vec<ClientId> =
            self.clients.iter().filter(|client| !client.is_dead).map(|client| client.id).collect();
        for index in 0..self.clients.len() {
            self.client_turn(index, |client, now, out| client.core.leave(now, "done", out))?;
        }
        self.part()?;
        let limit = self.now.plus_ms(20_000);
        while self.now < limit && !self.scheduler.view(self.now).clients.is_empty() {
            self.step()?;
        }
        let view = self.scheduler.view(self.now);
        must(view.clients.is_empty(), "nothing left", || format!("clients: {:?}", view.clients))?;
        must(live(&view) == 0, "nothing left", || format!("tasks: {:?}", view.tasks))?;
        must(view.scheduler.result_buffer_bytes == 0, "nothing left", || {
            format!("{} bytes of results", view.scheduler.result_buffer_bytes)
        })?;
        let busy = view.workers.iter().filter(|worker| worker.state != "lost").map(|worker| worker.queued).sum::<u64>();
        must(busy == 0 || view.tasks[State::Assigned.name()] == 0, "nothing left", || format!("{busy} assignments"))?;
        must(view.scheduler.objects == 0, "nothing left", || format!("{} objects", view.scheduler.objects))?;
        for object in &self.objects {
            let is_left =
                alive.iter().any(|client| object.0[..8] == client.0.to_be_bytes()) && self.checks.used(object);
            must(!is_left, "nothing left", || format!("object {object}"))?;
        }
        must(self.scheduler.owners().next().is_none(), "nothing left", || "owners of objects".to_owned())?;
        self.watchers_agree()
    }
}
