//! The server in this process, its clients over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Instant,
};

use scaler_net::objects::{ClientOptions, ObjectClient, ObjectError};
use scaler_proto::{
    ids::{ClientId, ObjectId},
    object_stream::{Info, Request},
};

use tokio::sync::oneshot;

use super::*;

const OWNER: ClientId = ClientId(1);
const PATIENCE: Duration = Duration::from_secs(20);
const NO_WAIT: Duration = Duration::ZERO;

struct Server {
    address: Address,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        Self::with(Address::tcp("127.0.0.1", 0), 1 << 30, Duration::from_secs(60))
    }

    fn with(address: Address, budget_bytes: u64, retention: Duration) -> Self {
        Self::of(address, StorageOptions { retention, budget_bytes, room_wait: Duration::from_millis(50) })
    }

    fn of(address: Address, options: StorageOptions) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
            let ready = move |address: &Address| ready.send(address.clone()).expect("the test waits");
            let served = serve(&address, &options, ready, async { drop(stopped.await) });
            runtime.block_on(served).expect("serves");
            runtime.shutdown_timeout(Duration::from_millis(100));
        });
        let address = is_ready.recv_timeout(PATIENCE).expect("ready");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn client(&self) -> ObjectClient {
        ObjectClient::new(self.address.clone(), ClientOptions::default())
    }

    fn raw(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.address.port().expect("tcp"))).expect("connect")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends cleanly");
        }
    }
}

fn id(number: u8) -> ObjectId {
    ObjectId([number; 32])
}

fn totals(client: &mut ObjectClient) -> (u64, u64, u64) {
    let info = client.info().expect("info");
    (info.objects, info.contents, info.bytes)
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A get on a thread of its own that is known to wait.
fn waiting_get(server: &Server, number: u8) -> JoinHandle<Result<Vec<u8>, ObjectError>> {
    let mut client = server.client();
    let parked = client.info().expect("info").parked;
    let mut observer = server.client();
    let thread = thread::spawn(move || client.get(id(number), PATIENCE));
    until("the get waits", || observer.info().expect("info").parked > parked);
    thread
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn set_get_override_empty_and_ranges() {
    let server = Server::start();
    let mut client = server.client();
    client.put(id(1), OWNER, b"first").expect("put");
    assert_eq!(client.get(id(1), NO_WAIT).expect("get"), b"first");
    client.put(id(1), OWNER, b"second").expect("put");
    assert_eq!(client.get(id(1), NO_WAIT).expect("get"), b"second");
    client.put(id(2), OWNER, b"").expect("put");
    assert_eq!(client.get(id(2), NO_WAIT).expect("get"), b"");
    for (offset, length, expected) in [(0, 3, "sec"), (4, 99, "nd"), (6, 1, ""), (u64::MAX, u64::MAX, "")] {
        let range = client.get_range(id(1), offset, length, NO_WAIT).expect("range");
        assert_eq!(range, expected.as_bytes(), "{offset} {length}");
    }
    let error = client.get(id(9), Duration::from_millis(20)).expect_err("absent");
    assert!(matches!(error, ObjectError::NotFound { waited_ms: 20, .. }) && error.to_string().contains("0909"));
    assert_eq!(client.get(id(1), NO_WAIT).expect("the stream goes on"), b"second");
}

#[test]
fn gets_before_the_set_are_answered_by_it() {
    let server = Server::start();
    let waiting: Vec<_> = (0..3).map(|_| waiting_get(&server, 1)).collect();
    let mut client = server.client();
    client.put(id(2), OWNER, b"other").expect("others go on");
    client.put(id(1), OWNER, b"here").expect("put");
    for thread in waiting {
        assert_eq!(thread.join().expect("join").expect("get"), b"here");
    }
    assert_eq!(client.info().expect("info").parked, 0);
}

#[test]
fn deletes_say_what_existed_and_a_second_id_keeps_the_content() {
    let server = Server::start();
    let mut client = server.client();
    client.put(id(1), OWNER, b"content").expect("put");
    client.duplicate(id(1), id(2), OWNER, NO_WAIT).expect("duplicate");
    assert_eq!(client.delete(&[id(1), id(7)]).expect("delete"), [true, false]);
    assert_eq!(client.delete(&[id(1)]).expect("delete"), [false]);
    assert!(matches!(client.get(id(1), NO_WAIT), Err(ObjectError::NotFound { .. })));
    assert_eq!(client.get(id(2), NO_WAIT).expect("get"), b"content");
    assert_eq!(client.delete(&[]).expect("nothing"), [false; 0]);
}

#[test]
fn duplicates_wait_for_the_original_in_chains() {
    let server = Server::start();
    let mut observer = server.client();
    let chain: Vec<_> = [(1, 2), (2, 3)]
        .into_iter()
        .map(|(from, to)| {
            let mut client = server.client();
            let parked = observer.info().expect("info").parked;
            let thread = thread::spawn(move || client.duplicate(id(from), id(to), OWNER, PATIENCE));
            until("the duplicate waits", || observer.info().expect("info").parked > parked);
            thread
        })
        .collect();
    let get = waiting_get(&server, 3);
    observer.put(id(1), OWNER, b"original").expect("put");
    for thread in chain {
        thread.join().expect("join").expect("duplicate");
    }
    assert_eq!(get.join().expect("join").expect("get"), b"original");
    assert_eq!(totals(&mut observer), (3, 1, 8));
    let absent = observer.duplicate(id(8), id(9), OWNER, Duration::from_millis(5));
    assert!(matches!(absent, Err(ObjectError::NotFound { .. })));
}

#[test]
fn equal_contents_count_once_after_every_step() {
    let server = Server::start();
    let mut client = server.client();
    let large = noise(3 << 20, 1);
    let mut other = large.clone();
    // In a place that no sample sees, so that only the comparison tells.
    other[100_001] ^= 1;
    client.put(id(1), OWNER, &large).expect("put");
    assert_eq!(totals(&mut client), (1, 1, 3 << 20));
    client.put(id(2), OWNER, &large).expect("put");
    assert_eq!(totals(&mut client), (2, 1, 3 << 20));
    client.put(id(3), OWNER, &other).expect("put");
    assert_eq!(totals(&mut client), (3, 2, 6 << 20));
    assert_eq!(client.get(id(3), NO_WAIT).expect("get"), other);
    client.delete(&[id(1)]).expect("delete");
    assert_eq!(totals(&mut client), (2, 2, 6 << 20));
    client.delete(&[id(2)]).expect("delete");
    assert_eq!(totals(&mut client), (1, 1, 3 << 20));
    client.put(id(3), OWNER, b"").expect("put");
    assert_eq!(totals(&mut client), (1, 1, 0));
}

#[test]
fn a_dropped_get_and_a_half_sent_set_disturb_nobody() {
    let server = Server::start();
    let mut client = server.client();
    let mut half = server.raw();
    half.write_all(&Request::Put { id: id(1), owner: OWNER, length: 1_000 }.encode()).expect("write");
    half.write_all(&[7; 500]).expect("write");
    let mut waiting = server.raw();
    let get = Request::Get { id: id(1), offset: 0, length: u64::MAX, wait_ms: u32::MAX };
    waiting.write_all(&get.encode()).expect("write");
    until("the get waits", || client.info().expect("info").parked == 1);
    drop((half, waiting));
    until("the dropped get is forgotten", || client.info().expect("info").parked == 0);
    assert_eq!(totals(&mut client), (0, 0, 0));
    client.put(id(1), OWNER, b"whole").expect("put");
    assert_eq!(client.get(id(1), NO_WAIT).expect("get"), b"whole");
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.client();
    let mut raw = server.raw();
    let get = Request::Get { id: id(1), offset: 0, length: u64::MAX, wait_ms: u32::MAX }.encode();
    raw.write_all(&[get, get].concat()).expect("write");
    until("the first get waits", || client.info().expect("info").parked == 1);
    client.put(id(1), OWNER, b"here").expect("put");
    let mut answers = [0; 2 * (32 + 4)];
    raw.read_exact(&mut answers).expect("both answers");
    assert_eq!((&answers[32..36], &answers[68..]), (&b"here"[..], &b"here"[..]));
}

#[test]
fn random_bytes_close_only_their_connection() {
    let server = Server::start();
    let mut client = server.client();
    client.put(id(1), OWNER, b"content").expect("put");
    for seed in 0..40 {
        let mut stranger = server.raw();
        // The server may close while we still write.
        drop(stranger.write_all(&noise(64 + seed as usize * 10, seed)));
        stranger.set_read_timeout(Some(PATIENCE)).expect("timeout");
        assert!(matches!(stranger.read(&mut [0; 1]), Ok(0) | Err(_)), "closed");
    }
    drop(server.raw().write_all(&noise(10, 3)));
    assert_eq!(client.get(id(1), NO_WAIT).expect("get"), b"content");
}

#[test]
fn a_full_storage_says_so_and_takes_what_fits() {
    let server = Server::with(Address::tcp("127.0.0.1", 0), 5 << 20, Duration::from_secs(60));
    let mut client = server.client();
    let large = noise(4 << 20, 2);
    client.put(id(1), OWNER, &large).expect("put");
    for length in [2 << 20, (1 << 20) + 1] {
        let error = client.put(id(2), OWNER, &large[..length]).expect_err("full");
        assert!(
            matches!(&error, ObjectError::Full { reason, .. } if reason.contains("memory_budget_bytes")),
            "{error}"
        );
    }
    client.put(id(2), OWNER, &large[..1 << 20]).expect("fits");
    let error = client.put(id(3), OWNER, b"x").expect_err("full");
    assert!(matches!(error, ObjectError::Full { .. }));
    client.delete(&[id(1)]).expect("delete");
    client.put(id(3), OWNER, &large[..3 << 20]).expect("fits again");
}

#[test]
fn a_put_waits_for_room_until_something_is_deleted() {
    let options = StorageOptions { retention: PATIENCE, budget_bytes: 5 << 20, room_wait: PATIENCE };
    let server = Server::of(Address::tcp("127.0.0.1", 0), options);
    let mut client = server.client();
    let large = noise(4 << 20, 2);
    client.put(id(1), OWNER, &large).expect("put");
    // More than there will ever be is refused at once.
    let begun = Instant::now();
    let error = client.put(id(2), OWNER, &noise(6 << 20, 3)).expect_err("never");
    assert!(error.to_string().contains("memory_budget_bytes") && begun.elapsed() < PATIENCE / 2, "{error}");
    let (mut other, content) = (server.client(), noise(3 << 20, 4));
    let waiting = thread::spawn(move || other.put(id(3), OWNER, &content));
    until("the put waits", || client.info().expect("info").parked == 1);
    client.delete(&[id(1)]).expect("delete");
    waiting.join().expect("no panic").expect("put");
    assert_eq!(client.get(id(3), NO_WAIT).expect("get"), noise(3 << 20, 4));
    assert_eq!(client.info().expect("info").parked, 0);
}

#[test]
fn a_storage_that_stands_still_is_told_as_that() {
    // It takes connections, and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = Address::tcp("127.0.0.1", listener.local_addr().expect("address").port());
    let options = ClientOptions { progress_timeout: Duration::from_millis(100), ..ClientOptions::default() };
    let error = ObjectClient::new(address, options).info().expect_err("silence");
    assert!(error.to_string().contains("it does not answer for 0.1 s"), "{error}");
}

#[test]
fn more_than_four_gigabytes_are_refused_by_name() {
    let server = Server::start();
    let mut raw = server.raw();
    raw.write_all(&Request::Put { id: id(0xab), owner: OWNER, length: (4 << 30) + 1 }.encode()).expect("write");
    let mut header = [0; 32];
    raw.read_exact(&mut header).expect("reply");
    let reply = scaler_proto::object_stream::Reply::decode(&header).expect("reply");
    let mut reason = vec![0; reply.length as usize];
    raw.read_exact(&mut reason).expect("reason");
    let reason = String::from_utf8(reason).expect("text");
    assert!(reason.contains("abab") && reason.contains("4294967296"), "{reason}");
    // The connection goes on.
    raw.write_all(&Request::Info.encode()).expect("write");
    raw.read_exact(&mut header).expect("reply");
}

#[test]
fn objects_of_owners_that_nobody_names_are_swept() {
    let server = Server::with(Address::tcp("127.0.0.1", 0), 1 << 20, Duration::from_millis(300));
    let mut client = server.client();
    client.put(id(1), ClientId(1), b"kept").expect("put");
    client.put(id(2), ClientId(2), b"swept").expect("put");
    until("the unnamed owner's object is gone", || {
        client.owners(&[ClientId(1)]).expect("owners");
        totals(&mut client).0 == 1
    });
    assert_eq!(client.get(id(1), NO_WAIT).expect("get"), b"kept");
    until("the other is gone as well", || totals(&mut client) == (0, 0, 0));
}

#[test]
fn a_unix_socket_works_and_is_removed_at_the_end() {
    let folder = tempfile::tempdir().expect("folder");
    let address = Address::ipc(folder.path().join("objects.sock"));
    // Left behind by one that was killed.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("objects.sock")).expect("bind"));
    let server = Server::with(address.clone(), 1 << 20, Duration::from_secs(60));
    let mut client = server.client();
    client.put(id(1), OWNER, b"content").expect("put");
    assert_eq!(client.get(id(1), NO_WAIT).expect("get"), b"content");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let options = StorageOptions { retention: PATIENCE, budget_bytes: 1, room_wait: PATIENCE };
    let error = runtime.block_on(serve(&address, &options, |_| {}, async {})).expect_err("in use");
    assert!(error.to_string().contains("in use"), "{error}");
    drop(server);
    assert!(!folder.path().join("objects.sock").exists());
}

#[test]
fn the_client_comes_back_after_a_restart_and_names_the_address_when_it_cannot() {
    let server = Server::start();
    let address = server.address.clone();
    let mut client = server.client();
    client.put(id(1), OWNER, b"content").expect("put");
    drop(server);
    let error = client.get(id(1), NO_WAIT).expect_err("gone");
    assert!(matches!(error, ObjectError::Io { .. }) && error.to_string().contains(&address.to_string()), "{error}");
    let server = Server::with(address, 1 << 20, PATIENCE);
    client.put(id(1), OWNER, b"again").expect("put");
    drop(server);
    let server = Server::with(client.address().clone(), 1 << 20, PATIENCE);
    assert!(matches!(client.get(id(1), NO_WAIT), Err(ObjectError::NotFound { .. })));
    drop(server);
}

#[test]
fn a_patient_client_waits_for_a_storage_that_is_started_again_but_not_for_ever() {
    let server = Server::start();
    let address = server.address.clone();
    let patient = |restart_timeout| {
        ObjectClient::new(address.clone(), ClientOptions { restart_timeout, ..ClientOptions::default() })
    };
    let mut client = patient(PATIENCE);
    client.put(id(1), OWNER, b"content").expect("put");
    drop(server);
    let (begins, begun) = mpsc::channel();
    let put = thread::spawn(move || {
        begins.send(()).expect("the test waits");
        client.put(id(2), OWNER, b"again").map(|()| client)
    });
    begun.recv().expect("the put begins");
    // By the time that another one has given up, the put was refused as well.
    let error = patient(Duration::from_millis(150)).get(id(1), NO_WAIT).expect_err("gone");
    let told = error.to_string();
    assert!(matches!(error, ObjectError::Gone { waited_ms: 150.., .. }), "{told}");
    assert!(told.contains(&address.to_string()), "{told}");
    let server = Server::with(address, 1 << 20, PATIENCE);
    let mut client = put.join().expect("no panic").expect("put");
    assert_eq!(client.get(id(2), NO_WAIT).expect("get"), b"again");
    drop(server);
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    text.split_whitespace().nth(1).expect("resident").parse::<u64>().expect("pages") * 4_096
}

#[test]
fn large_values_come_back_byte_for_byte_and_their_memory_returns() {
    let server = Server::start();
    let mut client = server.client();
    for (number, length) in [(1, 20 << 20), (2, 200 << 20)] {
        let value = noise(length, number.into());
        client.put(id(number), OWNER, &value).expect("put");
        let got = client.get(id(number), NO_WAIT).expect("get");
        assert!(got == value, "{length} bytes come back");
    }
    assert_eq!(
        client.info().expect("info"),
        Info { objects: 2, contents: 2, bytes: 220 << 20, budget_bytes: 1 << 30, parked: 0 }
    );
    let before = resident_bytes();
    client.delete(&[id(1), id(2)]).expect("delete");
    until("the memory is back", || resident_bytes() + (150 << 20) < before);
}

#[test]
fn a_slow_reader_does_not_disturb_others() {
    let server = Server::start();
    let mut client = server.client();
    client.put(id(1), OWNER, &noise(50 << 20, 5)).expect("put");
    let readers: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut reader = server.raw();
            let get = Request::Get { id: id(1), offset: 0, length: u64::MAX, wait_ms: 0 };
            reader.write_all(&get.encode()).expect("write");
            reader
        })
        .collect();
    let before = resident_bytes();
    let start = Instant::now();
    for _ in 0..100 {
        client.put(id(2), OWNER, b"small").expect("put");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(resident_bytes() < before + (100 << 20));
    drop(readers);
}

/// Prints what the storage does; run it with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let server = Server::start();
    for length in [100, 64 << 10, 10_000_000, 100_000_000] {
        let value = noise(length, 3);
        let mut client = server.client();
        let rounds = (300_000_000 / length).min(5_000);
        let start = Instant::now();
        for round in 0..rounds {
            let mut value = &value[..];
            if round % 2 == 1 {
                value = &value[..length - 1];
            }
            client.put(id(1), OWNER, value).expect("put");
        }
        let put = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for _ in 0..rounds {
            client.get(id(1), NO_WAIT).expect("get");
        }
        let get = start.elapsed().as_secs_f64();
        let rate = |seconds: f64| (length * rounds) as f64 / seconds / 1e6;
        let each = |seconds: f64| seconds / rounds as f64 * 1e6;
        println!(
            "{length} bytes: put {:.0} MB/s ({:.0} us), get {:.0} MB/s ({:.0} us)",
            rate(put),
            each(put),
            rate(get),
            each(get)
        );
    }
}
