//! A proxy before an object storage that takes note of what is asked for and of how much comes back.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use scaler_proto::{
    ids::ObjectId,
    object_stream::{ID_BYTES, OWNER_BYTES, REQUEST_BYTES, Request},
};

/// What passes; the proxy lives as long as the test's process.
pub(crate) struct Traffic {
    address: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    /// One entry an id of each request to delete.
    deleted: Mutex<Vec<ObjectId>>,
    bytes_back: AtomicU64,
}

impl Traffic {
    /// Begins to pass on what comes to a storage.
    pub(crate) fn before(storage: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let address = format!("tcp://{}", listener.local_addr().expect("address"));
        let (target, seen) = (storage.trim_start_matches("tcp://").to_owned(), Arc::new(Seen::default()));
        let (there, back) = (Arc::clone(&seen), Arc::clone(&seen));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("option");
                }
                let (from, to) = (near.try_clone().expect("stream"), far.try_clone().expect("stream"));
                let (there, back) = (Arc::clone(&there), Arc::clone(&back));
                thread::spawn(move || {
                    // Whoever ends a connection ends it at both ends.
                    let _ = requests(&from, &to, &there);
                    let _ = to.shutdown(Shutdown::Write);
                });
                thread::spawn(move || {
                    let _ = replies(&far, &near, &back);
                    let _ = near.shutdown(Shutdown::Write);
                });
            }
        });
        Self { address, seen }
    }

    /// Where the storage seems to be.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Bytes that came back so far.
    pub(crate) fn bytes_back(&self) -> u64 {
        self.seen.bytes_back.load(Ordering::Relaxed)
    }

    /// The objects of at least that many bytes that were stored, the first first.
    pub(crate) fn stored(&self, bytes: u64) -> Vec<ObjectId> {
        let requests = self.seen.requests.lock().expect("no panic");
        let large = requests.iter().filter_map(|request| match request {
            Request::Put { id, length, .. } if *length >= bytes => Some(*id),
            _ => None,
        });
        large.collect()
    }

    /// How often an object was fetched; each fetch, of whatever parts, begins at its first byte.
    pub(crate) fn fetched(&self, of: ObjectId) -> usize {
        let requests = self.seen.requests.lock().expect("no panic");
        requests.iter().filter(|request| matches!(request, Request::Get { id, offset: 0, .. } if *id == of)).count()
    }

    /// How often it was asked to delete an object.
    pub(crate) fn deleted(&self, of: ObjectId) -> usize {
        self.seen.deleted.lock().expect("no panic").iter().filter(|id| **id == of).count()
    }
}

fn requests(mut from: &TcpStream, mut to: &TcpStream, seen: &Seen) -> std::io::Result<()> {
    loop {
        let mut header = [0; REQUEST_BYTES];
        from.read_exact(&mut header)?;
        let request = Request::decode(&header).expect("a request of the object stream");
        seen.requests.lock().expect("no panic").push(request);
        // Before its body: a large one waits for an answer.
        to.write_all(&header)?;
        let body = match request {
            Request::Put { length, .. } => length,
            Request::Delete { count } => (count * ID_BYTES) as u64,
            Request::Owners { count } => (count * OWNER_BYTES) as u64,
            Request::Duplicate { .. } => ID_BYTES as u64,
            Request::Get { .. } | Request::Info => 0,
        };
        if let Request::Delete { .. } = request {
            let mut ids = vec![0; body as usize];
            from.read_exact(&mut ids)?;
            let ids_of = ids.chunks_exact(ID_BYTES).filter_map(|id| id.try_into().ok()).map(ObjectId);
            seen.deleted.lock().expect("no panic").extend(ids_of);
            to.write_all(&ids)?;
        } else {
            std::io::copy(&mut from.take(body), &mut to)?;
        }
    }
}

fn replies(mut from: &TcpStream, mut to: &TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length])?;
        seen.bytes_back.fetch_add(length as u64, Ordering::Relaxed);
    }
}
