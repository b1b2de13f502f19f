//! Where users' callbacks run: on a thread of their own, one after the other, so that a slow one holds up no result.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// See [the module](self). The thread begins with the first callback and ends, when this is dropped, after the last.
#[derive(Default)]
pub(crate) struct Callbacks {
    sender: Mutex<Option<Sender<Callback>>>,
}

impl Callbacks {
    /// Lets a callback run soon.
    pub(crate) fn run(&self, callback: Callback) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match &*sender {
            Some(sender) => sender.send(callback).err().map(|refused| refused.0),
            None => Some(callback),
        };
        let Some(callback) = refused else { return };
        let (fresh, receiver) = mpsc::channel();
        let started = thread::Builder::new().name("scaler-callbacks".to_owned()).spawn(move || work(&receiver));
        match started {
            Ok(_) => {
                let _ = fresh.send(callback);
                *sender = Some(fresh);
            }
            Err(error) => {
                drop(sender);
                tracing::error!("no thread for callbacks ({error}); this one runs on the connection's");
                call(callback);
            }
        }
    }
}

fn work(callbacks: &Receiver<Callback>) {
    callbacks.iter().for_each(call);
}

/// Runs a callback; a panic in it is logged and goes no further.
pub(crate) fn call(callback: Callback) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(callback)) {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!("a callback panicked: {}", text.unwrap_or("(no text)"));
    }
}
