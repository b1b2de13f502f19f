//! A headless Chromium, driven over its DevTools protocol. The protocol runs over two pipes, so nothing but a JSON
//! parser is needed, and no port is open.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// One answer of the browser; the first takes longest.
const ANSWER: Duration = Duration::from_secs(60);

/// A browser with one tab.
pub(crate) struct Browser {
    child: Child,
    writer: fs::File,
    messages: Receiver<Value>,
    session: String,
    target: String,
    last: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

/// The program; installed where that is possible, else the test fails and says what to do.
fn program() -> PathBuf {
    let find = || {
        let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
    };
    if let Some(found) = find() {
        return found;
    }
    if rustix::process::geteuid().is_root() {
        let install = "apt-get update && apt-get install -y --no-install-recommends chromium";
        let out = Command::new("sh").args(["-c", install]).stdin(Stdio::null()).output().expect("sh runs");
        if let Some(found) = find() {
            return found;
        }
        eprintln!("{}", String::from_utf8_lossy(&out.stderr));
    }
    panic!("this test needs Chromium: `apt-get install chromium` as root, or put `chromium` on PATH");
}

impl Browser {
    /// Starts one and opens an empty tab.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().expect("folder");
        let (their_in, our_out) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        let (our_in, their_out) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        // Out of the way of 3 and 4, where the browser looks for its ends.
        let their_in = rustix::io::fcntl_dupfd_cloexec(&their_in, 10).expect("descriptor");
        let their_out = rustix::io::fcntl_dupfd_cloexec(&their_out, 10).expect("descriptor");
        let (read, write) = (their_in.as_raw_fd(), their_out.as_raw_fd());
        let mut command = Command::new(program());
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        // SAFETY: dup2 may be called between fork and exec, and both descriptors are open until then.
        unsafe {
            command.pre_exec(move || {
                if libc::dup2(read, 3) < 0 || libc::dup2(write, 4) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the browser starts");
        drop((their_in, their_out));
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(fs::File::from(our_in));
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|count| count > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            writer: fs::File::from(our_out),
            messages,
            session: String::new(),
            target: String::new(),
            last: 0,
            events: Vec::new(),
            _profile: profile,
        };
        browser.target = browser.new_tab();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": browser.target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn new_tab(&mut self) -> String {
        let made = self.call("Target.createTarget", json!({"url": "about:blank"}));
        made["targetId"].as_str().expect("a tab").to_owned()
    }

    /// Asks the browser and gives its answer; what happens meanwhile is kept as events.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_empty() && !method.starts_with("Target.") {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.writer.write_all(&bytes).expect("the browser reads");
        let end = Instant::now() + ANSWER;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut message =
                self.messages.recv_timeout(left).unwrap_or_else(|error| panic!("no answer to {method}: {error}"));
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// Shows an address.
    pub(crate) fn open(&mut self, address: &str) {
        let answer = self.call("Page.navigate", json!({"url": address}));
        assert!(answer.get("errorText").is_none(), "{address}: {answer}");
    }

    /// The value of an expression, promises awaited.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression has a value that `wanted` takes, and gives it.
    pub(crate) fn wait(&mut self, what: &str, expression: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + super::support::LONG;
        loop {
            let value = self.value(expression);
            if wanted(&value) {
                return value;
            }
            assert!(Instant::now() < end, "waited in vain: {what}; the last value was {value}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// The size of the window, and whether it is a small device.
    pub(crate) fn size(&mut self, width: u32, height: u32, scale: u32, mobile: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the system's setting says.
    pub(crate) fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Writes what can be seen as a PNG file.
    pub(crate) fn picture(&mut self, path: &Path) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = base64(shot["data"].as_str().expect("a picture"));
        assert!(bytes.starts_with(b"\x89PNG"), "not a PNG");
        fs::write(path, bytes).expect("the picture is written");
    }

    /// Puts another tab before the page, does something, and comes back.
    pub(crate) fn hidden(&mut self, act: impl FnOnce(&mut Self)) {
        let other = self.new_tab();
        self.call("Target.activateTarget", json!({ "targetId": other }));
        act(self);
        self.call("Target.closeTarget", json!({ "targetId": other }));
        self.call("Target.activateTarget", json!({"targetId": self.target}));
    }

    /// How many events of the page's streams have arrived.
    pub(crate) fn stream_events(&mut self) -> usize {
        self.value("0");
        self.events.iter().filter(|event| event["method"] == "Network.eventSourceMessageReceived").count()
    }

    /// Hosts that were asked for anything.
    pub(crate) fn hosts(&self) -> BTreeSet<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = requests.filter_map(|event| event["params"]["request"]["url"].as_str());
        urls.map(|url| url.split('/').take(3).collect::<Vec<_>>().join("/")).collect()
    }

    /// What went to the console, and errors that nobody caught. A stream that breaks because the server ended is none.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let told = ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"];
        let complaints = self.events.iter().filter(|event| told.iter().any(|method| event["method"] == *method));
        complaints.map(|event| event["params"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Bytes from their base64 form.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| -> u32 {
        match byte {
            b'A'..=b'Z' => u32::from(byte - b'A'),
            b'a'..=b'z' => u32::from(byte - b'a') + 26,
            b'0'..=b'9' => u32::from(byte - b'0') + 52,
            b'+' => 62,
            _ => 63,
        }
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, byte| bits << 6 | digit(*byte)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
