//! The server of the page: a few files, the view as JSON, and one stream of events a browser.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures_core::Stream;
use scaler_net::Address;
use scaler_proto::view::View;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    connection::{Listener, Patience},
    feed::Feed,
    files, host,
};

/// Browsers that are told of changes at once.
const BROWSERS_MAX: usize = 256;
/// Shortest time between two updates of one browser.
const PACE: Duration = Duration::from_millis(100);
/// What one browser is sent in the long run.
const BYTES_PER_SECOND: u64 = 384 * 1024;
/// With nothing new, a browser is told so this often, and both ends see that the connection is alive.
const STILL_HERE: Duration = Duration::from_secs(10);
/// A browser that takes nothing for this long is not told anything more.
const STALLED: Duration = Duration::from_secs(120);

/// Scripts, styles and pictures come from here, nothing is inline, nobody may frame the page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the watching thread and the server share.
#[derive(Clone, Debug)]
pub struct Page {
    feed: Arc<Mutex<Feed>>,
    news: watch::Sender<u64>,
    browsers: Arc<Semaphore>,
}

impl Page {
    /// A page about the scheduler whose monitor address this is.
    #[must_use]
    pub fn new(monitor_address: &Address) -> Self {
        let feed = Feed::new(monitor_address.to_string(), now_ms());
        Self {
            news: watch::Sender::new(feed.version()),
            feed: Arc::new(Mutex::new(feed)),
            browsers: Arc::new(Semaphore::new(BROWSERS_MAX)),
        }
    }

    /// The command that starts this server again, for whoever misses it; to be told before the first browser comes.
    pub fn set_restart(&self, command: String) {
        self.feed().set_restart(command);
    }

    /// The scheduler said how things are.
    pub fn see(&self, view: View) {
        self.change(|feed| feed.see(view, now_ms()));
    }

    /// The scheduler has been silent for so long; `problem` says what is known.
    pub fn stale(&self, problem: &str, silent: Duration) {
        let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        self.change(|feed| feed.stale(problem, now_ms().saturating_sub(silent_ms)));
    }

    fn change(&self, change: impl FnOnce(&mut Feed)) {
        let version = {
            let mut feed = self.feed();
            change(&mut feed);
            feed.version()
        };
        self.news.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    #[cfg(test)]
    pub(super) fn feed_version(&self) -> u64 {
        self.feed().version()
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Serves the page until `shutdown` ends. `ready` is called once with the address that it really listens on.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    web_host: &str,
    port: u16,
    page: Page,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let refused = |error: io::Error| {
        anyhow::anyhow!("cannot serve the page on {web_host} port {port}: {error}; see --web-host and --web-port")
    };
    let listener = TcpListener::bind((web_host, port)).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let server = Arc::new(Server { page, web_host: web_host.to_owned(), machine });
    let router = Router::new().fallback(answer).with_state(server);
    let listener = Listener::new(listener, Patience::default());
    ready(address);
    tokio::select! {
        () = shutdown => Ok(()),
        served = async { axum::serve(listener, router).await } => Ok(served?),
    }
}

struct Server {
    page: Page,
    web_host: String,
    machine: String,
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let mut response = server.answer(&request);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // What is shown is of now, and the program may be replaced by another version.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Server {
    fn answer(&self, request: &Request) -> Response {
        if !self.is_for_us(request.headers()) {
            return plain(
                StatusCode::MISDIRECTED_REQUEST,
                "This server does not go by that name. Use its IP address, localhost, or start it with --web-host.\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "Nothing can be changed here; ask with GET.\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/api/view" => self.view(),
            // Nobody would read the stream, and it has no end.
            "/api/events" if request.method() == Method::HEAD => typed(StatusCode::OK, EVENTS, Body::empty()),
            "/api/events" => self.events(),
            path => match files::find(path) {
                Some((kind, text)) => typed(StatusCode::OK, kind, Body::from(text)),
                None => {
                    plain(StatusCode::NOT_FOUND, "No such page. The cluster is shown at /, as JSON at /api/view.\n")
                }
            },
        }
    }

    fn is_for_us(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(header::HOST).and_then(|header| header.to_str().ok());
        header.is_some_and(|header| host::is_ours(header, &self.web_host, &self.machine))
    }

    /// The view as `scaler status --json` prints it; how old it is goes into a header.
    fn view(&self) -> Response {
        let (view, stale_since_ms) = self.page.feed().view();
        let Some(view) = view else {
            let error = serde_json::json!({"error": "no scheduler has answered yet"}).to_string();
            return typed(StatusCode::SERVICE_UNAVAILABLE, JSON, Body::from(error));
        };
        match serde_json::to_vec(&*view) {
            Ok(body) => {
                let mut response = typed(StatusCode::OK, JSON, Body::from(body));
                if let Some(since) = stale_since_ms {
                    let name = HeaderName::from_static("scaler-stale-since-ms");
                    response.headers_mut().insert(name, HeaderValue::from(since));
                }
                response
            }
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("The view cannot be written: {error}\n")),
        }
    }

    fn events(&self) -> Response {
        let Ok(permit) = Arc::clone(&self.page.browsers).try_acquire_owned() else {
            let text = format!("{BROWSERS_MAX} browsers are looking already; close one of them.\n");
            return plain(StatusCode::SERVICE_UNAVAILABLE, &text);
        };
        // One update in flight: the next is made when the browser has taken this one.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(tell(self.page.clone(), sender, permit));
        typed(StatusCode::OK, EVENTS, Body::from_stream(Updates(receiver)))
    }
}

/// Tells one browser what is new, at its pace.
async fn tell(page: Page, sender: mpsc::Sender<Bytes>, _permit: OwnedSemaphorePermit) {
    let mut news = page.news.subscribe();
    let mut has = 0;
    loop {
        let Ok(Ok(slot)) = timeout(STALLED, sender.reserve()).await else { return };
        let text = {
            let mut feed = page.feed();
            let text = feed.text(has);
            has = feed.version();
            text
        };
        let event = Bytes::from(format!("data: {text}\n\n"));
        let rest = Duration::from_micros((event.len() as u64).saturating_mul(1_000_000) / BYTES_PER_SECOND);
        slot.send(event);
        tokio::select! {
            () = sleep(rest.max(PACE)) => {}
            () = sender.closed() => return,
        }
        tokio::select! {
            _ = news.wait_for(|version| *version > has) => {}
            () = sleep(STILL_HERE) => {}
            () = sender.closed() => return,
        }
    }
}

/// The body of a stream of events.
struct Updates(mpsc::Receiver<Bytes>);

impl Stream for Updates {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

fn plain(status: StatusCode, text: &str) -> Response {
    typed(status, "text/plain; charset=utf-8", Body::from(text.to_owned()))
}

fn typed(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
