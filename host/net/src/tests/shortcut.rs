//! Links whose address says TCP, and whose ends are on one machine.

use std::{
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use super::*;
use crate::socket::{Received, Wire};

fn by_shortcut() -> Options {
    Options { use_shortcut: true, ..quick() }
}

fn listen(address: &Address) -> End {
    End::new(Link::bind(address, &by_shortcut()).expect("bind"))
}

fn dial(address: &Address) -> End {
    End::new(Link::dial(address, &by_shortcut()))
}

fn port_of(server: &End) -> u16 {
    server.link.local_address().port().expect("tcp")
}

/// Connections to a name, and to a port, as the kernel lists them.
fn connections(host: &str, port: u16) -> (usize, usize) {
    let name = format!(" @scaler-{host}-{port}");
    let unix = std::fs::read_to_string("/proc/net/unix").expect("list");
    let unix = unix.lines().filter(|line| line.ends_with(&name) && line.split_whitespace().nth(5) == Some("03"));
    let port = format!(":{port:04X}");
    let tcp = std::fs::read_to_string("/proc/net/tcp").expect("list");
    let tcp = tcp.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    (unix.count(), tcp.filter(|columns| columns[1].ends_with(&port) && columns[3] == "01").count())
}

fn name_on(host: &str, port: u16) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("scaler-{host}-{port}")).expect("a name")
}

#[test]
fn messages_take_the_shortcut_where_both_ends_want_it() {
    for (listens, dials, expected) in [(true, true, (1, 0)), (true, false, (0, 1)), (false, true, (0, 1))] {
        let options = |use_shortcut| Options { use_shortcut, redial_min_ms: 60_000, redial_max_ms: 60_000, ..quick() };
        let mut server = End::new(Link::bind(&any_port(), &options(listens)).expect("bind"));
        // A failed dial would pause for longer than the test waits: the names in vain are no failed dial.
        let mut client = End::new(Link::dial(server.link.local_address(), &options(dials)));
        meet(&mut server, &mut client);
        let peer = server.up().expect("up");
        let frames = vec![b"a".to_vec(), vec![], vec![7; 1_000_000]];
        server.link.send(peer, frames.clone()).expect("send");
        until(&mut [&mut server, &mut client], "the answer came", |ends| ends[1].messages() == [&frames]);
        assert_eq!(connections("127.0.0.1", port_of(&server)), expected, "listens {listens}, dials {dials}");
    }
}

#[test]
fn whoever_listens_on_all_interfaces_is_met_at_every_loopback_address() {
    for everywhere in ["*", "0.0.0.0"] {
        let mut server = listen(&Address::tcp(everywhere, 0));
        let port = port_of(&server);
        let hosts = ["127.0.0.1", "localhost", "127.0.0.9", "*", "0.0.0.0"];
        let mut clients: Vec<End> = hosts.iter().map(|host| dial(&Address::tcp(*host, port))).collect();
        for client in &mut clients {
            until(&mut [&mut server, client], "the client is up", |ends| ends[1].up().is_some());
        }
        assert_eq!(connections("any", port), (hosts.len(), 0), "{everywhere}");
    }
    let mut server = listen(&Address::tcp("localhost", 0));
    let mut client = dial(server.link.local_address());
    meet(&mut server, &mut client);
    assert_eq!(connections("127.0.0.1", port_of(&server)), (1, 0));
}

#[test]
fn servers_with_one_port_on_two_addresses_do_not_mix() {
    let mut first = listen(&Address::tcp("127.0.0.1", 0));
    let port = port_of(&first);
    let mut second = listen(&Address::tcp("127.0.0.2", port));
    let mut of_second = dial(second.link.local_address());
    meet(&mut second, &mut of_second);
    assert!(first.events.is_empty());
    let mut of_first = dial(first.link.local_address());
    meet(&mut first, &mut of_first);
    assert_eq!((first.messages().len(), second.messages().len()), (1, 1));
    assert_eq!((connections("127.0.0.1", port).0, connections("127.0.0.2", port).0), (1, 1));
}

#[test]
fn the_dialing_end_comes_back_by_the_shortcut_after_a_restart() {
    let mut server = listen(&any_port());
    let mut client = dial(server.link.local_address());
    meet(&mut server, &mut client);
    let (address, first) = (server.link.local_address().clone(), client.up().expect("up"));
    drop(server);
    until(&mut [&mut client], "the loss was noticed", |ends| ends[0].events.last() == Some(&Event::Down(first)));
    // The dialing end is between two attempts now, or in the middle of one.
    let mut server = listen(&address);
    until(&mut [&mut server, &mut client], "it is up again", |ends| ends[1].up() != Some(first));
    assert_eq!(client.link.send(first, vec![vec![1]]), Err(SendError::Gone));
    client.send(b"again");
    until(&mut [&mut server, &mut client], "it is heard", |ends| ends[0].messages() == [&vec![b"again".to_vec()]]);
    client.link.redial();
    until(&mut [&mut server, &mut client], "it is up once more", |ends| {
        matches!(ends[1].events.last(), Some(Event::Up(_)))
            && ends[0].events.contains(&Event::Down(ends[0].up().unwrap()))
    });
    assert_eq!(connections("127.0.0.1", port_of(&server)), (1, 0));
}

#[test]
fn a_peer_lost_on_the_shortcut_is_down_at_once_and_after_what_it_said() {
    let mut server = listen(&any_port());
    let (mut client, mut other) = (dial(server.link.local_address()), dial(server.link.local_address()));
    meet(&mut server, &mut client);
    let peer = server.up().expect("up");
    until(&mut [&mut server, &mut other], "the other is up", |ends| ends[1].up().is_some());
    for number in 0..500_u32 {
        client.send(&number.to_le_bytes());
    }
    client.link.close(Duration::from_secs(2));
    let closed = Instant::now();
    until(&mut [&mut server], "the loss was noticed", |ends| ends[0].events.last() == Some(&Event::Down(peer)));
    assert!(closed.elapsed() < Duration::from_millis(100), "{:?}", closed.elapsed());
    assert_eq!(server.messages().len(), 501);
    other.send(b"still here");
    until(&mut [&mut server, &mut other], "it is heard", |ends| ends[0].messages().len() == 502);
    let own = other.up().expect("up");
    drop(server);
    until(&mut [&mut other], "the server's end was noticed", |ends| ends[0].events.last() == Some(&Event::Down(own)));
}

#[test]
fn after_a_close_port_and_name_are_free() {
    let ends: [fn(Link); 2] = [drop, |link| link.close(Duration::from_millis(100))];
    for end in ends {
        let mut server = listen(&any_port());
        let mut client = dial(server.link.local_address());
        meet(&mut server, &mut client);
        let port = port_of(&server);
        assert!(UnixListener::bind_addr(&name_on("127.0.0.1", port)).is_err(), "the name is the server's");
        end(server.link);
        UnixListener::bind_addr(&name_on("127.0.0.1", port)).expect("the name is free");
        // As libzmq does it: connections that have ended do not keep the port.
        let again = Link::bind(&Address::tcp("127.0.0.1", port), &quick());
        again.expect("the port is free");
    }
}

#[test]
fn a_name_that_others_use_for_something_else_is_passed_over() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let foreign = UnixListener::bind_addr(&name_on("127.0.0.1", port)).expect("take the name");
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = foreign.accept().expect("accept");
        stream.write_all(b"220 this is another protocol\r\n").expect("write");
        foreign
    });
    let mut server = listen(&Address::tcp("127.0.0.1", port));
    let mut client = dial(server.link.local_address());
    meet(&mut server, &mut client);
    let _foreign = greeter.join().expect("join");
    assert_eq!(connections("127.0.0.1", port).1, 1);
    assert_eq!(client.events.len(), 1, "{:?}", client.events);
}

/// The listener of a name speaks our protocol. Where root runs the test it is another user's, and then it must hear
/// nothing; otherwise only our own user can be tried, who is trusted.
#[test]
fn who_listens_at_the_name_decides_whether_it_is_used() {
    let is_root = rustix::process::geteuid().is_root();
    let mut server = End::new(Link::bind(&any_port(), &quick()).expect("bind"));
    let port = port_of(&server);
    let squatter = std::thread::spawn(move || {
        if is_root {
            // Of this thread only, as the kernel has it.
            let nobody_special = rustix::process::Uid::from_raw(54_321);
            rustix::thread::set_thread_res_uid(nobody_special, nobody_special, nobody_special).expect("another user");
        }
        let wire = Wire::open(zmq::ROUTER, false, &quick()).expect("open");
        wire.bind(&format!("ipc://@scaler-127.0.0.1-{port}")).expect("take the name");
        wire
    });
    let squatter = squatter.join().expect("join");
    let mut client = dial(server.link.local_address());
    let heard = |end: &mut End| {
        end.drain();
        squatter.look_again(crate::socket::Source::Messages);
        matches!(squatter.receive(Some(&mut crate::socket::Sender::unknown())), Ok(Received::Frames(_)))
    };
    until(&mut [&mut server, &mut client], "the client is up", |ends| ends[1].up().is_some());
    client.send(b"hello");
    if is_root {
        until(&mut [&mut server, &mut client], "the server heard it", |ends| ends[0].messages().len() == 1);
        client.link.redial();
        until(&mut [&mut server, &mut client], "it is up again", |ends| ends[1].events.len() == 3);
        client.send(b"hello again");
        until(&mut [&mut server, &mut client], "the server heard it", |ends| ends[0].messages().len() == 2);
        assert!(!heard(&mut client), "a stranger was told something");
        assert_eq!(connections("127.0.0.1", port), (0, 1));
    } else {
        until(&mut [&mut client], "our own user's listener heard it", |ends| heard(ends[0]));
    }
}
