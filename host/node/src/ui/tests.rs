//! The server over real connections, with a view made by hand.

use std::{net::SocketAddr, time::Duration};

use scaler_net::Address;
use scaler_proto::view::{SchedulerView, TaskView, View, WorkerView};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

use super::{Page, serve};

const LONG: Duration = Duration::from_secs(20);

fn view(queued: u64) -> View {
    View {
        scheduler: SchedulerView {
            epoch: 7,
            scheduler_address: "tcp://127.0.0.1:8516".to_owned(),
            ..Default::default()
        },
        workers: vec![WorkerView { name: "<b>w</b>".to_owned(), queued, ..WorkerView::default() }],
        ..View::default()
    }
}

async fn start(page: &Page) -> SocketAddr {
    let (sender, address) = oneshot::channel();
    let page = page.clone();
    tokio::spawn(async move {
        let ready = |address| sender.send(address).expect("the test waits");
        serve("127.0.0.1", 0, page, ready, std::future::pending()).await.expect("served");
    });
    address.await.expect("an address")
}

fn page() -> Page {
    Page::new(&"tcp://127.0.0.1:1".parse::<Address>().expect("an address"))
}

/// The head and the body of an answer whose connection is closed after it.
async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = String::new();
    timeout(LONG, stream.read_to_string(&mut answer)).await.expect("in time").expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_ascii_lowercase(), body.to_owned())
}

struct Browser(BufReader<TcpStream>);

impl Browser {
    async fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let request = format!("GET /api/events HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("write");
        Self(BufReader::new(stream))
    }

    async fn status(&mut self) -> String {
        let mut line = String::new();
        timeout(LONG, self.0.read_line(&mut line)).await.expect("in time").expect("read");
        line
    }

    async fn event(&mut self) -> Value {
        loop {
            let mut line = String::new();
            let count = timeout(LONG, self.0.read_line(&mut line)).await.expect("in time").expect("read");
            assert!(count > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }
}

#[tokio::test]
async fn everything_is_served_under_a_strict_policy() {
    let address = start(&page()).await;
    let host = address.to_string();
    for (path, kind) in [("/", "text/html"), ("/main.js", "text/javascript"), ("/states.css", "text/css")] {
        let (head, body) = ask(address, "GET", path, &host).await;
        assert!(head.starts_with("http/1.1 200") && head.contains(kind) && !body.is_empty(), "{path}: {head}");
    }
    let (head, body) = ask(address, "GET", "/nothing", &host).await;
    assert!(head.starts_with("http/1.1 404") && body.contains("/api/view"), "{head} {body}");
    for needed in [
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(needed), "{needed} is missing in {head}");
    }
    let (head, _) = ask(address, "POST", "/api/view", &host).await;
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
}

#[tokio::test]
async fn a_name_of_somebody_else_is_refused() {
    let address = start(&page()).await;
    let (head, _) = ask(address, "GET", "/api/view", "evil.example").await;
    assert!(head.starts_with("http/1.1 421"), "{head}");
    let (head, _) = ask(address, "GET", "/", "").await;
    assert!(!head.starts_with("http/1.1 200"), "{head}");
    let (head, _) = ask(address, "GET", "/", "localhost").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn the_view_is_the_one_that_came_last() {
    let page = page();
    let address = start(&page).await;
    let host = address.to_string();
    let (head, _) = ask(address, "GET", "/api/view", &host).await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    page.see(view(3));
    let (head, body) = ask(address, "GET", "/api/view", &host).await;
    assert!(head.starts_with("http/1.1 200") && !head.contains("scaler-stale-since-ms"), "{head}");
    assert_eq!(serde_json::from_str::<View>(&body).expect("a view"), view(3));
    page.stale("gone", Duration::from_secs(1));
    let (head, _) = ask(address, "GET", "/api/view", &host).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("scaler-stale-since-ms"), "{head}");
}

#[tokio::test]
async fn a_browser_gets_a_snapshot_and_then_changes() {
    let page = page();
    page.see(view(1));
    let address = start(&page).await;
    let mut browser = Browser::open(address).await;
    let snapshot = browser.event().await;
    assert_eq!((&snapshot["full"], &snapshot["workers"][0]["queued"]), (&true.into(), &1.into()));
    // Text, however it reads: the page sets it as text only.
    assert_eq!(snapshot["workers"][0]["name"], "<b>w</b>");
    page.see(view(2));
    let change = browser.event().await;
    assert_eq!((&change["full"], &change["workers"][0]["queued"]), (&false.into(), &2.into()));
    page.stale("its connection was closed", Duration::ZERO);
    let stale = browser.event().await;
    assert_eq!((&stale["problem"], &stale["workers"]), (&"its connection was closed".into(), &Value::Array(vec![])));
    assert!(stale["stale_since_ms"].is_u64());
}

#[tokio::test]
async fn a_browser_that_does_not_read_holds_up_nobody_and_skips_what_it_missed() {
    let page = page();
    let address = start(&page).await;
    let (mut stalled, mut reading) = (Browser::open(address).await, Browser::open(address).await);
    reading.event().await;
    // Far more than the buffers of a connection take: about half a megabyte each.
    let large = |number: usize| View {
        recent: (0..1_000)
            .map(|task| TaskView {
                id: format!("{number}:{task}"),
                error: Some("e".repeat(400)),
                ..TaskView::default()
            })
            .collect(),
        ..view(number as u64)
    };
    let mut told = 0;
    let newest = 60;
    for number in 0..=newest {
        page.see(large(number));
        if number % 10 == 0 {
            told = timeout(LONG, reading.event()).await.expect("the other reads on")["version"].as_u64().expect("one");
        }
    }
    let version = page.feed_version();
    assert!(told <= version);
    let mut events = 0;
    loop {
        let event = stalled.event().await;
        events += 1;
        if event["version"].as_u64() == Some(version) {
            assert_eq!(event["workers"][0]["queued"], newest);
            break;
        }
    }
    assert!(events < newest, "{events} events: nothing was skipped");
}

#[tokio::test]
async fn too_many_browsers_are_told_so() {
    let address = start(&page()).await;
    let mut browsers = Vec::new();
    for _ in 0..256 {
        let mut browser = Browser::open(address).await;
        assert!(browser.status().await.contains("200"));
        browsers.push(browser);
    }
    let mut refused = Browser::open(address).await;
    assert!(refused.status().await.contains("503"));
    drop(browsers.pop());
    timeout(LONG, async {
        // The server notices at its next look at that connection.
        while !Browser::open(address).await.status().await.contains("200") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("a place is free again");
}
