//! The shell over real sockets, with scripted peers; the cluster's real programs are tested elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use scaler_proto::{
    message::{Hello, Message, Query, Role},
    session::{Packet, Session},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A scheduler on a thread of its own, ended when dropped.
struct Served {
    main: Address,
    monitor: Address,
    halt: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    fn start() -> Self {
        let arguments = ["scaler_scheduler", "tcp://127.0.0.1:0", "--object-storage-address", "tcp://127.0.0.1:1"];
        let settings = crate::config::load::<SchedulerSettings>(arguments.map(Into::into)).expect("settings").settings;
        let halt = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = std::sync::mpsc::channel();
        let stop = Arc::clone(&halt);
        let thread = std::thread::spawn(move || {
            let mut shell = Shell::new(&settings).expect("a shell");
            sender.send((shell.addresses.main.clone(), shell.addresses.monitor.clone())).expect("a test");
            while !shell.ended {
                shell.housekeeping = shell.housekeeping.min(Instant::now() + Duration::from_millis(20));
                shell.turn(&[]).expect("a turn");
                if stop.swap(false, Ordering::SeqCst) {
                    shell.stop("the test is over");
                }
            }
            shell.close();
        });
        let (main, monitor) = receiver.recv_timeout(PATIENCE).expect("addresses");
        Self { main, monitor, halt, thread: Some(thread) }
    }

    fn stop(&mut self) {
        self.halt.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.halt.store(true, Ordering::SeqCst);
    }
}

struct Script {
    link: Link,
    session: Session,
    peer: Option<PeerId>,
    epoch: u64,
}

impl Script {
    fn dial(address: &Address) -> Self {
        let mut script =
            Self { link: Link::dial(address, &Options::default()), session: Session::default(), peer: None, epoch: 0 };
        script.until(|script, _| script.peer.is_some());
        script
    }

    /// Drains until the condition holds after some event.
    fn until(&mut self, mut holds: impl FnMut(&mut Self, Option<&Packet>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        loop {
            scaler_net::wait(&[&self.link], &[], Some(deadline)).expect("a wait");
            assert!(Instant::now() < deadline, "nothing came in time");
            self.link.drain(&mut events, 64, 1 << 20).expect("a drain");
            for event in events.drain(..) {
                let packet = match event {
                    Event::Up(peer) => {
                        self.peer = Some(peer);
                        None
                    }
                    Event::Message(_, frames) => Some(wire::decode(frames).expect("a packet")),
                    Event::Down(_) => continue,
                };
                if let Some(packet) = &packet {
                    self.session.receive(packet.sequence, packet.ack);
                    self.epoch = packet.epoch;
                }
                if holds(self, packet.as_ref()) {
                    return;
                }
            }
        }
    }

    fn say(&mut self, message: Message) {
        let packet = self.session.stamp(self.epoch, message);
        let peer = self.peer.expect("a connection");
        self.link.send(peer, wire::encode(packet).expect("frames")).expect("sent");
    }

    fn greet(&mut self, role: Role) {
        self.say(Message::Hello(vec![Hello::new(role, 5, "script")]));
    }
}

fn answers(packet: Option<&Packet>, wanted: fn(&Message) -> bool) -> bool {
    packet.is_some_and(|packet| wanted(&packet.message))
}

#[test]
fn garbage_at_both_doors_disturbs_nobody_and_a_stop_is_said() {
    let mut served = Served::start();
    let mut client = Script::dial(&served.main);
    client.greet(Role::Client);
    client.until(|_, packet| answers(packet, |message| matches!(message, Message::Welcome(_))));
    for address in [&served.main, &served.monitor] {
        let mut link = Script::dial(address);
        let peer = link.peer.expect("a connection");
        link.link.send(peer, vec![vec![0xff; 100], vec![1, 2, 3]]).expect("sent");
        let port = address.port().expect("a port");
        let mut raw = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        std::io::Write::write_all(&mut raw, &[0x5a; 300]).ok();
    }
    let mut watcher = Script::dial(&served.monitor);
    watcher.greet(Role::Monitor);
    watcher.until(|_, packet| answers(packet, |message| matches!(message, Message::Welcome(_))));
    watcher.say(Message::Query(vec![Query { request: 3 }]));
    watcher.until(|_, packet| {
        answers(packet, |message| matches!(message, Message::Answer(all) if all[0].view.clients.len() == 1))
    });
    served.halt.store(true, Ordering::SeqCst);
    client.until(|_, packet| {
        answers(packet, |message| matches!(message, Message::Goodbye(all) if all[0].reason == "the test is over"))
    });
    served.stop();
}

#[test]
fn a_client_at_the_monitor_door_is_told_where_to_go() {
    let mut served = Served::start();
    let mut client = Script::dial(&served.monitor);
    client.greet(Role::Client);
    client.until(|_, packet| {
        answers(
            packet,
            |message| matches!(message, Message::Refused(all) if all[0].reason.contains("scheduler address")),
        )
    });
    served.stop();
}
