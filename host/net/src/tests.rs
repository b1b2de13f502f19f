//! Links over real sockets.

mod shortcut;

use std::{
    io::Write,
    net::TcpStream,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use crate::{Address, Event, Frames, Link, NetError, Options, PeerId, SendError, Waker, wait};

const PATIENCE: Duration = Duration::from_secs(10);

fn any_port() -> Address {
    Address::tcp("127.0.0.1", 0)
}

/// Over the address itself.
fn quick() -> Options {
    Options { redial_min_ms: 10, redial_max_ms: 50, use_shortcut: false, ..Options::default() }
}

fn server() -> End {
    End::new(Link::bind(&any_port(), &quick()).expect("bind"))
}

/// A link with what it has reported so far.
struct End {
    link: Link,
    events: Vec<Event>,
}

impl End {
    fn new(link: Link) -> Self {
        Self { link, events: Vec::new() }
    }

    fn dial(server: &End) -> Self {
        Self::new(Link::dial(server.link.local_address(), &quick()))
    }

    fn drain(&mut self) {
        self.link.drain(&mut self.events, 256, 1 << 20).expect("drain");
    }

    fn messages(&self) -> Vec<&Frames> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Message(_, frames) = event { Some(frames) } else { None })
            .collect()
    }

    fn up(&self) -> Option<PeerId> {
        self.events.iter().rev().find_map(|event| if let Event::Up(peer) = event { Some(*peer) } else { None })
    }

    fn send(&mut self, text: &[u8]) {
        let peer = self.up().expect("a connection");
        self.link.send(peer, vec![text.to_vec()]).expect("send");
    }
}

/// Drives the ends until the condition holds.
fn until(ends: &mut [&mut End], what: &str, mut condition: impl FnMut(&mut [&mut End]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        ends.iter_mut().for_each(|end| end.drain());
        if condition(ends) {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        let links: Vec<&Link> = ends.iter().map(|end| &end.link).collect();
        wait(&links, &[], Some(Instant::now() + Duration::from_millis(50))).expect("wait");
    }
}

/// A server and a client that have met.
fn met() -> (End, End) {
    let mut server = server();
    let mut client = End::dial(&server);
    meet(&mut server, &mut client);
    (server, client)
}

/// The client is up, and the server has had its first message.
fn meet(server: &mut End, client: &mut End) {
    until(&mut [server, client], "the client is up", |ends| ends[1].up().is_some());
    client.send(b"hello");
    until(&mut [server, client], "the server heard it", |ends| ends[0].messages().len() == 1);
}

#[test]
fn a_message_goes_there_and_back_with_its_frames() {
    let (mut server, mut client) = met();
    let peer = server.up().expect("up");
    assert_eq!(server.events, [Event::Up(peer), Event::Message(peer, vec![b"hello".to_vec()])]);
    let frames = vec![b"a".to_vec(), vec![], vec![7; 100_000]];
    server.link.send(peer, frames.clone()).expect("send");
    until(&mut [&mut server, &mut client], "the answer came", |ends| ends[1].messages() == [&frames]);
}

#[test]
fn ipc_works_and_a_served_socket_is_not_taken_away() {
    let path = std::env::temp_dir().join(format!("scaler-net-test-{}.sock", std::process::id()));
    let address = Address::ipc(&path);
    let mut server = End::new(Link::bind(&address, &quick()).expect("bind"));
    assert!(matches!(Link::bind(&address, &quick()), Err(NetError::InUse { .. })));
    let mut client = End::dial(&server);
    until(&mut [&mut server, &mut client], "the client is up", |ends| ends[1].up().is_some());
    client.send(b"hello");
    until(&mut [&mut server, &mut client], "the server heard it", |ends| ends[0].messages().len() == 1);
    drop(client);
    until(&mut [&mut server], "the loss was noticed", |ends| matches!(ends[0].events.last(), Some(Event::Down(_))));
    drop(server);
    assert!(!path.exists(), "the socket file is removed");
}

#[test]
fn an_address_in_use_is_named() {
    let server = server();
    let address = server.link.local_address().clone();
    assert_ne!(address.port(), Some(0));
    let error = Link::bind(&address, &quick()).err().expect("in use");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(Link::bind(&Address::tcp("no.such.host.invalid", 1), &quick()).is_err());
    Link::bind(&Address::tcp("localhost", 0), &quick()).expect("a name can be bound");
}

#[test]
fn a_lost_peer_is_down_at_once_and_after_what_it_said() {
    let (mut server, mut client) = met();
    for number in 0..500_u32 {
        client.send(&number.to_le_bytes());
    }
    client.link.close(Duration::from_secs(2));
    let closed = Instant::now();
    until(&mut [&mut server], "the loss was noticed", |ends| matches!(ends[0].events.last(), Some(Event::Down(_))));
    assert!(closed.elapsed() < Duration::from_millis(100), "{:?}", closed.elapsed());
    assert_eq!(server.messages().len(), 501);
    let peer = server.up().expect("up");
    assert_eq!(server.link.send(peer, vec![vec![1]]), Err(SendError::Gone));
}

#[test]
fn the_dialing_end_comes_back_with_a_new_peer_after_a_restart() {
    let (server, mut client) = met();
    let (address, first) = (server.link.local_address().clone(), client.up().expect("up"));
    drop(server);
    until(&mut [&mut client], "the loss was noticed", |ends| ends[0].events.last() == Some(&Event::Down(first)));
    let mut server = End::new(Link::bind(&address, &quick()).expect("the port is free again"));
    until(&mut [&mut server, &mut client], "it is up again", |ends| ends[1].up() != Some(first));
    assert_eq!(client.link.send(first, vec![vec![1]]), Err(SendError::Gone));
    client.send(b"again");
    until(&mut [&mut server, &mut client], "it is heard", |ends| ends[0].messages() == [&vec![b"again".to_vec()]]);
}

#[test]
fn redial_makes_a_fresh_connection() {
    let (mut server, mut client) = met();
    let (first, seen) = (client.up().expect("up"), server.up().expect("up"));
    client.link.redial();
    until(&mut [&mut server, &mut client], "it is up again", |ends| ends[1].up() != Some(first));
    assert_eq!(client.events.iter().filter(|event| **event == Event::Down(first)).count(), 1);
    client.send(b"again");
    until(&mut [&mut server, &mut client], "both are known", |ends| {
        ends[0].up() != Some(seen) && ends[0].events.contains(&Event::Down(seen))
    });
}

#[test]
fn strangers_at_the_port_disturb_nobody() {
    let (mut server, mut client) = met();
    let Some(port) = server.link.local_address().port() else { panic!("tcp") };
    let greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL";
    let mut random = 0x9e37_79b9_u32;
    let mut noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                random as u8
            })
            .collect()
    };
    let mut open = Vec::new();
    for round in 0..60 {
        let mut stranger = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        let bytes = match round % 4 {
            0 => noise(64),
            1 => greeting[..round % 20 % greeting.len()].to_vec(),
            2 => [greeting.as_slice(), &[0; 48], &noise(200)].concat(),
            _ => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        };
        stranger.write_all(&bytes).expect("write");
        if round % 3 == 0 {
            open.push(stranger);
        }
    }
    for number in 0..200_u32 {
        client.send(&number.to_le_bytes());
    }
    let own = server.up();
    until(&mut [&mut server, &mut client], "all was heard", |ends| {
        let of_client = |event: &&Event| matches!(event, Event::Message(peer, _) if Some(*peer) == own);
        ends[0].events.iter().filter(of_client).count() == 201
    });
    assert!(!client.events.iter().any(|event| matches!(event, Event::Down(_))));
}

#[test]
fn a_peer_that_never_reads_is_full_and_disturbs_nobody() {
    let options = Options { queue_max_bytes: 1 << 20, ..quick() };
    let mut server = End::new(Link::bind(&any_port(), &options).expect("bind"));
    let mut deaf = End::dial(&server);
    let mut client = End::dial(&server);
    until(&mut [&mut server, &mut deaf, &mut client], "both are up", |ends| {
        ends[1].up().is_some() && ends[2].up().is_some()
    });
    deaf.send(b"deaf");
    until(&mut [&mut server, &mut deaf, &mut client], "it is heard", |ends| ends[0].messages().len() == 1);
    let deaf_peer = server.up().expect("up");
    client.send(b"client");
    until(&mut [&mut server, &mut client], "it is heard", |ends| ends[0].messages().len() == 2);
    let peer = server.up().expect("up");

    let full = (0..10_000).find_map(|_| server.link.send(deaf_peer, vec![vec![0; 64 << 10]]).err());
    assert_eq!(full, Some(SendError::Full));
    let start = Instant::now();
    for _ in 0..50 {
        let seen = client.messages().len();
        server.link.send(peer, vec![b"ping".to_vec()]).expect("send");
        until(&mut [&mut server, &mut client], "the ping came", |ends| ends[1].messages().len() > seen);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    server.link.forget(deaf_peer);
    assert_eq!(server.link.send(deaf_peer, vec![vec![1]]), Err(SendError::Gone));
    drop(deaf);
    client.send(b"more");
    until(&mut [&mut server, &mut client], "it goes on", |ends| ends[0].messages().len() == 3);
    assert!(!server.events.contains(&Event::Down(deaf_peer)));
}

#[test]
fn what_waits_for_a_slow_peer_arrives_once_it_reads() {
    let (mut server, mut client) = met();
    let peer = server.up().expect("up");
    let count = 1_500;
    for number in 0..count as u32 {
        let mut frame = vec![0; 16 << 10];
        frame[..4].copy_from_slice(&number.to_le_bytes());
        server.link.send(peer, vec![frame]).expect("queued");
    }
    until(&mut [&mut server, &mut client], "all came", |ends| ends[1].messages().len() == count);
    let in_order = client.messages().iter().zip(0_u32..).all(|(frames, number)| frames[0][..4] == number.to_le_bytes());
    assert!(in_order);
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_sent() {
    let (mut server, _client) = met();
    let peer = server.up().expect("up");
    assert_eq!(server.link.send(peer, vec![vec![0; (4 << 20) + 1]]), Err(SendError::TooLarge));
    assert_eq!(server.link.send(peer, vec![vec![0]; 257]), Err(SendError::TooLarge));
    assert_eq!(server.link.send(peer, vec![]), Err(SendError::TooLarge));
}

#[test]
fn another_thread_wakes_a_wait() {
    let server = server();
    let waker = Waker::new().expect("waker");
    let other = waker.clone();
    let thread = std::thread::spawn(move || other.wake());
    let ready = wait(&[&server.link], &[waker.as_fd()], Some(Instant::now() + PATIENCE)).expect("wait");
    assert_eq!((ready.links, ready.fds), (vec![false], vec![true]));
    thread.join().expect("join");
    waker.clear();
    let start = Instant::now();
    let ready = wait(&[&server.link], &[waker.as_fd()], Some(start + Duration::from_micros(300))).expect("wait");
    assert_eq!((ready.links, ready.fds), (vec![false], vec![false]));
    assert!(start.elapsed() >= Duration::from_micros(300));
}

#[test]
fn two_hundred_peers_are_told_apart() {
    crate::raise_file_limit().expect("files");
    let mut server = server();
    let mut clients: Vec<End> = (0..200).map(|_| End::dial(&server)).collect();
    let all_up = |ends: &mut [&mut End]| ends[1..].iter().all(|end| end.up().is_some());
    {
        let mut ends: Vec<&mut End> = std::iter::once(&mut server).chain(&mut clients).collect();
        until(&mut ends, "all are up", all_up);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&(number as u32).to_le_bytes());
    }
    until(&mut [&mut server], "all are heard", |ends| ends[0].messages().len() == 200);
    let received = server.events.clone();
    for event in received {
        if let Event::Message(peer, frames) = event {
            server.link.send(peer, frames).expect("echo");
        }
    }
    let mut ends: Vec<&mut End> = std::iter::once(&mut server).chain(&mut clients).collect();
    until(&mut ends, "each has its own back", |ends| {
        ends[1..].iter().zip(0_u32..).all(|(end, number)| end.messages() == [&vec![number.to_le_bytes().to_vec()]])
    });
    clients.truncate(50);
    until(&mut [&mut server], "the losses are noticed", |ends| {
        ends[0].events.iter().filter(|event| matches!(event, Event::Down(_))).count() == 150
    });
}

/// Prints what a link does; run it with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    for use_shortcut in [false, true] {
        println!("{}", if use_shortcut { "by the shortcut" } else { "over TCP" });
        measure_with(&Options { use_shortcut, ..quick() });
    }
}

fn measure_with(options: &Options) {
    let mut server = End::new(Link::bind(&any_port(), options).expect("bind"));
    let address = server.link.local_address().clone();
    let rounds = 20_000;
    let options = options.clone();
    let client = std::thread::spawn(move || {
        let mut end = End::new(Link::dial(&address, &options));
        until(&mut [&mut end], "up", |ends| ends[0].up().is_some());
        let peer = end.up().expect("up");
        let answer = |end: &mut End| {
            end.events.clear();
            while end.events.is_empty() {
                wait(&[&end.link], &[], None).expect("wait");
                end.drain();
            }
        };
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            end.link.send(peer, vec![vec![1; 100]]).expect("send");
            answer(&mut end);
            times.push(start.elapsed());
        }
        times.sort();
        println!("round trip p50 {:?}, p99 {:?}", times[rounds / 2], times[rounds * 99 / 100]);
        for (bytes, messages) in [(100, 400_000), (10_000, 100_000), (200_000, 5_000)] {
            let start = Instant::now();
            for _ in 0..messages {
                while end.link.send(peer, vec![vec![1; bytes]]) == Err(SendError::Full) {
                    wait(&[&end.link], &[], None).expect("wait");
                    end.drain();
                }
            }
            end.link.send(peer, vec![b"done?".to_vec()]).expect("send");
            answer(&mut end);
            let seconds = start.elapsed().as_secs_f64();
            let rate = messages as f64 / seconds;
            println!("{bytes} bytes: {rate:.0} messages/s, {:.0} MB/s", rate * bytes as f64 / 1e6);
        }
    });
    let mut events = Vec::new();
    while !client.is_finished() {
        wait(&[&server.link], &[], Some(Instant::now() + Duration::from_millis(100))).expect("wait");
        server.link.drain(&mut events, 256, 256 << 10).expect("drain");
        for event in events.drain(..) {
            if let Event::Message(peer, frames) = event
                && (frames[0].len() == 5 || frames[0] == [1; 100] && server.events.len() < rounds)
            {
                server.events.push(Event::Up(peer));
                server.link.send(peer, vec![vec![2; 100]]).ok();
            }
        }
    }
    client.join().expect("join");
}
