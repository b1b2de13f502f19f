//! `scaler_ui` over a real cluster, looked at with a real browser.

#[path = "support/chromium.rs"]
mod chromium;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
};

use chromium::Browser;
use scaler_client::blocking::Client;
use serde_json::Value;
use support::{Process, Stack};

const UI: &str = env!("CARGO_BIN_EXE_scaler_ui");

/// Numbers on the tiles of tasks, by state.
const TILES: &str = "Object.fromEntries([...document.querySelectorAll('#tiles .tile')].map((tile) => \
    [tile.querySelector('[data-state]').dataset.state, Number(tile.querySelector('dd').textContent.replaceAll(',', ''))]))";

/// One tile of the workers.
fn workers(state: &str) -> String {
    format!(
        "Number(document.querySelector('#workers-glance [data-state={state}]').closest('.tile').lastChild.textContent)"
    )
}

/// Texts of one column of a list, from top to bottom; the list is shown first.
fn column(list: &str, column: &str) -> String {
    format!(
        "location.hash = '#{list}'; new Promise((drawn) => setTimeout(drawn, 120)).then(() => {{ \
         const table = document.querySelector('#panel-{list} table'); \
         const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent); \
         const place = heads.indexOf('{column}'); \
         return [...table.tBodies[0].rows].map((row) => row.cells[place].textContent); }})"
    )
}

fn start_ui(stack: &Stack, args: &[&str]) -> Process {
    let monitor = stack.scheduler.address("monitor_address");
    let mut all = vec![monitor.as_str(), "--web-port", "0"];
    all.extend_from_slice(args);
    Process::start("ui", stack.dir.path(), UI, &all)
}

/// Head and body of one answer.
fn get(address: &str, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").expect("an address")).expect("connect");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.to_owned(), body.to_owned())
}

fn pictures() -> PathBuf {
    // Beside the build, where a developer finds them.
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").join("ui")
}

#[test]
fn the_page_shows_the_cluster_as_it_is_and_as_it_changes() {
    let mut stack = Stack::new(2, &["--worker-names", "w-1,w-2"], &[&support::guest("tests/guests/behaviour")]);
    for _ in 0..3 {
        stack.value("behaviour.work:add(1, 2)");
    }
    stack.failure("behaviour.failures:error('<b>boom</b>')", &[]);
    let ui = start_ui(&stack, &[]);
    let address = ui.address("web_address");
    let mut browser = Browser::start();
    browser.size(1280, 720, 1, false);
    browser.dark(false);
    browser.open(&address);
    browser.value("window.firstLoad = true");

    // What it says is what the scheduler says.
    let status = stack.status();
    browser.wait("the page is live", "document.getElementById('live-word')?.textContent", |word| word == "Live");
    let shown = browser.wait("all totals", TILES, |tiles| tiles["succeeded"] == status["tasks"]["succeeded"]);
    for (state, count) in shown.as_object().expect("tiles") {
        assert_eq!(*count, status["tasks"][state], "{state}: {shown}");
    }
    assert_eq!(shown["succeeded"], 3);
    assert_eq!(browser.value(&workers("idle")), 2);
    figures_are_those_of_status(&mut browser, &stack, &status);
    let names = browser.wait("the workers", &column("workers", "Worker"), |names| {
        names.as_array().is_some_and(|names| names.len() == 2)
    });
    assert_eq!(names, serde_json::json!(["w-1", "w-2"]));
    let calls = browser.wait("the functions", &column("functions", "Function"), |calls| {
        calls.as_array().is_some_and(|calls| calls.len() == 2)
    });
    assert!(calls.to_string().contains("behaviour.work:add"), "{calls}");

    // Words of clients and guests are text, whatever they look like.
    let failure = browser.value("document.getElementById('failure').textContent");
    assert!(failure.as_str().is_some_and(|failure| failure.contains("<b>boom</b>")), "{failure}");
    stack.value("behaviour.work:write_log(1, '<img src=x onerror=alert(1)>')");
    let lines = browser.wait("the line", &column("log", "Line"), |lines| lines.to_string().contains("onerror"));
    assert!(lines.to_string().contains("<img src=x"), "{lines}");
    assert_eq!(browser.value("document.querySelectorAll('main img, main b:not(#live-word), main script').length"), 0);

    // A change is seen without asking, in the same document.
    stack.value("behaviour.work:add(1, 2)");
    browser.wait("the fifth success", TILES, |tiles| tiles["succeeded"] == 5);
    browser
        .wait("its row", &column("tasks", "Function"), |calls| calls.as_array().is_some_and(|calls| calls.len() == 6));
    assert_eq!(browser.value("window.firstLoad"), true);
    story(&mut browser);
    keyboard(&mut browser);

    // A hidden tab gets nothing, and is up to date as soon as it is looked at.
    browser.hidden(|browser| {
        browser.wait("hidden", "document.visibilityState", |state| state == "hidden");
        let before = browser.stream_events();
        stack.value("behaviour.work:add(1, 2)");
        support::wait_for("the scheduler knows", support::LONG, || (stack.tasks("succeeded") == 6).then_some(()));
        // Longer than the pace of updates, by what the scheduler itself says.
        let uptime = |stack: &Stack| stack.status()["scheduler"]["uptime_ms"].as_u64().expect("uptime");
        let from = uptime(&stack);
        support::wait_for("a second", support::LONG, || (uptime(&stack) > from + 1_000).then_some(()));
        assert_eq!(browser.stream_events(), before, "a hidden tab was sent something");
        assert_eq!(browser.value(TILES)["succeeded"], 5);
    });
    browser.wait("up to date again", TILES, |tiles| tiles["succeeded"] == 6);

    // A processor that dies is started again, and the page says so.
    let pid = stack.processor_pids()[0];
    let victim = rustix::process::Pid::from_raw(pid.cast_signed()).expect("pid");
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).expect("signal");
    browser.wait("a second start", &column("workers", "Starts"), |starts| starts.to_string().contains('2'));
    for (dark, name) in [(false, "light.png"), (true, "dark.png")] {
        browser.dark(dark);
        browser.picture(&pictures().join(name));
    }
    browser.dark(false);
    browser.size(360, 740, 2, true);
    browser.value("scrollTo(0, 0)");
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 360, "nothing sticks out on a small screen");
    browser.picture(&pictures().join("small.png"));
    browser.size(1280, 720, 1, false);

    // A cluster that dies stays visible as lost; a scheduler that dies makes the page say since when it is stale.
    stack.clusters[0].kill();
    browser.wait("two lost", &workers("lost"), |lost| *lost == 2);
    let states = browser.value(&column("workers", "State"));
    assert!(
        states.as_array().is_some_and(|states| states.iter().all(|state| state.to_string().contains("lost"))),
        "{states}"
    );
    browser.picture(&pictures().join("lost.png"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    stack.scheduler.kill();
    browser.wait("stale", "document.getElementById('live').textContent", |word| {
        word.as_str().is_some_and(|word| word.contains("Stale") && word.contains("since"))
    });
    let banner = browser.value("document.getElementById('banner').textContent");
    assert!(banner.as_str().is_some_and(|banner| banner.contains("scaler_scheduler tcp://")), "{banner}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(
        browser.hosts().into_iter().collect::<Vec<_>>(),
        std::slice::from_ref(&address),
        "nothing came from elsewhere"
    );
    drop(ui);
    browser.wait("the server is missed", "document.getElementById('live-word').textContent", |word| {
        word == "Page server gone"
    });
    // At the port where it was.
    let port = address.rsplit(':').next().expect("a port");
    let command = format!("scaler_ui {} --web-port {port}", stack.scheduler.address("monitor_address"));
    assert_eq!(browser.value("document.querySelector('#banner .command').textContent"), command);
}

/// Rows of the page by the name in their first column, with the numbers of the others.
fn numbers(browser: &mut Browser, list: &str, columns: &[&str]) -> BTreeMap<String, Vec<u64>> {
    let texts = |browser: &mut Browser, name: &str| {
        let texts = browser.value(&column(list, name));
        let texts = texts.as_array().unwrap_or_else(|| panic!("no column {name} in {list}: {texts}")).clone();
        texts.iter().map(|text| text.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    let names = texts(browser, columns[0]);
    let mut rows: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), Vec::new())).collect();
    for column in &columns[1..] {
        for (name, text) in names.iter().zip(texts(browser, column)) {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            rows.get_mut(name).expect("a row").push(digits.parse().unwrap_or_else(|_| panic!("{column}: {text}")));
        }
    }
    rows
}

/// The same of an answer of `scaler status --json`.
fn told(rows: &Value, name: &str, columns: &[&str]) -> BTreeMap<String, Vec<u64>> {
    let number = |row: &Value, column: &str| row[column].as_u64().unwrap_or_else(|| panic!("{column} of {row}"));
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| {
        let numbers = columns.iter().map(|column| number(row, column)).collect();
        (row[name].as_str().expect("a name").to_owned(), numbers)
    })
    .collect()
}

/// Rows of workers and functions have the numbers of `scaler status --json`, and of its table for people.
fn figures_are_those_of_status(browser: &mut Browser, stack: &Stack, status: &Value) {
    let shown = numbers(browser, "workers", &["Worker", "Finished", "Running", "Queued", "Starts"]);
    let mut expected = told(&status["workers"], "name", &["finished", "running", "queued", "restarts"]);
    expected.values_mut().for_each(|row| row[3] += 1);
    assert_eq!(shown, expected);
    assert_eq!(shown.values().map(|row| row[0]).sum::<u64>(), 4, "three successes and a failure: {shown:?}");
    let shown =
        numbers(browser, "functions", &["Function", "Unfinished", "Calls ended", "Failed", "Aborted", "Canceled"]);
    let keys = ["unfinished", "finished", "failed", "aborted", "canceled"];
    assert_eq!(shown, told(&status["functions"], "call", &keys));
    assert_eq!(shown["behaviour.failures:error"], [0, 1, 1, 0, 0]);
    let out = support::scaler(&["status", &stack.address(), "--functions"]);
    let table = support::text(&out.stdout);
    for (call, row) in shown {
        let cells: Vec<String> = row.iter().map(u64::to_string).collect();
        let is_same = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some(call.as_str()) && words.take(cells.len()).eq(cells.iter())
        };
        assert!(table.lines().any(is_same), "{call} {cells:?} is not in {table}");
    }
}

#[test]
fn what_runs_is_on_the_page_and_in_status_with_its_worker_and_its_age_and_losses_are_told_beside_failures() {
    let mut stack = Stack::new(1, &["--worker-names", "w-1"], &[&support::guest("tests/guests/behaviour")]);
    stack.add_cluster(1, &["--worker-names", "w-2", "-pwc", "other"]);
    let ui = start_ui(&stack, &[]);
    let mut browser = Browser::start();
    browser.size(1280, 720, 1, false);
    browser.open(&ui.address("web_address"));
    browser.wait("the page is live", "document.getElementById('live-word')?.textContent", |word| word == "Live");
    let client = Client::connect(&stack.address()).expect("a scheduler");
    let spin = client.function("behaviour.hostile:spin_forever").expect("a function");
    let options = scaler_client::SubmitOptions::new().capabilities("other".parse().expect("a tag"));
    let future = client.submit_with(&spin, (), &options).expect("taken");
    let id = future.id().to_string();
    let says = |texts: &Value, part: &str| texts.to_string().contains(part);
    browser.wait("what w-2 runs", &column("workers", "Runs"), |runs| {
        says(runs, "behaviour.hostile:spin_forever for ") && says(runs, "–")
    });
    let first = browser.value(&column("tasks", "State"));
    assert_eq!(first, serde_json::json!(["▶running"]));
    assert_eq!(browser.value(&column("tasks", "Worker")), serde_json::json!(["w-2"]));
    // Its age is counted by the page.
    browser.wait("two seconds", &column("tasks", "Run"), |age| *age == serde_json::json!(["2 s"]));
    browser.value("document.querySelector('#panel-tasks tbody tr').click()");
    let story = "document.getElementById('story').textContent";
    let told = browser.wait("its story", story, |told| says(told, "runs on w-2"));
    assert!(says(&told, &id) && says(&told, "until now") && says(&told, "scaler cancel tcp://"), "{told}");
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
        browser.size(width, 740, 1, width < 500);
        browser.dark(dark);
        browser.picture(&pictures().join(format!("running-{width}-{}.png", if dark { "dark" } else { "light" })));
    }
    browser.size(1280, 720, 1, false);
    // The same in a terminal.
    let status = stack.status();
    let rows = status["workers"].as_array().expect("workers");
    let row = rows.iter().find(|row| row["name"] == "w-2").expect("its row");
    let current = &row["current"];
    assert_eq!((&current["id"], &current["attempt"]), (&Value::from(id.as_str()), &Value::from(1)), "{current}");
    assert!(current["since_ms"].as_u64() < status["scheduler"]["uptime_ms"].as_u64(), "{current}");
    assert!(rows.iter().filter(|row| row["current"].is_object()).count() == 1, "{rows:?}");
    let out = support::scaler(&["status", &stack.address(), "--tasks"]);
    let text = support::text(&out.stdout);
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let line = words.iter().find(|line| line.first() == Some(&id.as_str())).expect("its line");
    assert_eq!((line[2], line[4], line[6]), ("running", "w-2", "s"), "{text}");
    assert!(words.iter().any(|line| line.starts_with(&["w-2"]) && line.contains(&"behaviour.hostile:spin_forever")));

    // A failure and a loss are both worth saying, and the story goes on when the task has ended.
    future.cancel();
    browser.wait("its end", story, |told| says(told, "canceled") && !says(told, "until now"));
    browser.value("document.getElementById('story').close()");
    browser.wait("nothing runs", &column("workers", "Runs"), |runs| *runs == serde_json::json!(["–", "–"]));
    client.disconnect();
    stack.failure("behaviour.failures:trap", &[]);
    stack.clusters[1].kill();
    browser.wait("one lost", &workers("lost"), |lost| *lost == 1);
    browser.wait("both", "document.getElementById('verdict-text').textContent", |verdict| {
        says(verdict, "1 of 2 tasks failed in the last") && says(verdict, "1 worker lost; 1 left.")
    });
    let both = "1 worker in 1 cluster, 1 worker in 1 cluster lost";
    browser.value(&column("workers", "Worker"));
    assert_eq!(browser.value("document.querySelector('#panel-workers .note').textContent"), both);
    let machine = browser.value("document.getElementById('machine').textContent");
    assert!(machine.as_str().is_some_and(|text| text.starts_with("1 cluster, 1 lost")), "{machine}");
    let out = support::scaler(&["status", &stack.address()]);
    assert!(support::text(&out.stdout).contains(both), "{}", support::text(&out.stdout));
    for (width, dark) in [(1280, false), (360, true)] {
        browser.size(width, 740, 1, width < 500);
        browser.dark(dark);
        browser.picture(&pictures().join(format!("lost-{width}.png")));
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_failure_stays_however_many_tasks_end_and_equal_names_of_workers_are_told_apart() {
    let args = ["--worker-names", "w-1", "-tts", "60"];
    let mut stack = Stack::new(1, &args, &[&support::guest("tests/guests/behaviour")]);
    stack.add_cluster(1, &args);
    stack.failure("behaviour.hostile:recurse_forever()", &[]);
    let client = Client::connect(&stack.address()).expect("a scheduler");
    let add = client.function("behaviour.work:add").expect("a function");
    let futures: Vec<_> = (0..1_500_i64).map(|number| client.submit(&add, (number, 1_i64)).expect("taken")).collect();
    futures.into_iter().for_each(|future| drop(future.value().expect("a sum")));
    client.disconnect();
    let ui = start_ui(&stack, &[]);
    let address = ui.address("web_address");
    let mut browser = Browser::start();
    browser.size(1280, 720, 1, false);
    browser.open(&address);
    browser.wait("all tasks", TILES, |tiles| tiles["succeeded"] == 1_500);
    let card = browser.value("document.getElementById('failure').textContent");
    let card = card.as_str().expect("a text");
    assert!(card.contains("stack overflow: ") && card.contains("behaviour.hostile:recurse_forever"), "{card}");
    let (_, body) = get(&address, "/api/view", address.strip_prefix("http://").expect("an address"));
    let view: Value = serde_json::from_str(&body).expect("JSON");
    assert!(view["recent"].as_array().expect("tasks").iter().all(|task| task["state"] == "succeeded"));
    assert!(view["failures"][0]["error"].as_str().is_some_and(|error| error.starts_with("stack overflow: ")));
    assert_eq!(view["failures"], stack.status()["failures"]);

    // The filter finds it, and says of others what is true.
    let choose = |state: &str| {
        format!(
            "(() => {{ const select = document.querySelector('#panel-tasks select'); select.value = '{state}'; \
             select.dispatchEvent(new Event('change')); }})()"
        )
    };
    browser.value(&column("tasks", "Worker"));
    browser.value(&choose("failed"));
    let calls = browser.value(&column("tasks", "Function"));
    assert_eq!(calls, serde_json::json!(["behaviour.hostile:recurse_forever"]));
    assert_eq!(browser.value("document.querySelector('#panel-tasks .note').textContent"), "1 of 1 failed");
    // Its story says where it failed and what it was held to.
    browser.value("document.querySelector('#panel-tasks tbody tr').click()");
    let told = browser.value("document.getElementById('story').textContent");
    for part in ["Where", "Time limit60", "Memory limit512 MiB", "stack overflow: "] {
        assert!(told.as_str().is_some_and(|told| told.contains(part)), "`{part}` is missing in {told}");
    }
    browser.picture(&pictures().join("story.png"));
    browser.value("document.getElementById('story').close()");
    browser.value(&choose("canceled"));
    let empty = browser.value("document.querySelector('#panel-tasks .empty').textContent");
    assert!(empty.as_str().is_some_and(|empty| empty.contains("No task was canceled since the scheduler")), "{empty}");
    browser.value(&choose(""));

    // Each worker by its cluster, since both have the same name.
    let clusters = view["workers"].as_array().expect("workers").iter().map(|worker| {
        let id = worker["cluster"].as_str().expect("an id");
        format!("w-1/{}", id.strip_prefix("cluster-").unwrap_or(id).get(..4).expect("an id"))
    });
    let expected: BTreeSet<String> = clusters.collect();
    let shown = browser.value(&column("tasks", "Worker"));
    let shown = shown.as_array().expect("texts").iter().map(|name| name.as_str().expect("a text").to_owned());
    let shown: BTreeSet<String> = shown.collect();
    assert!(expected.len() == 2 && !shown.is_empty() && shown.is_subset(&expected), "{shown:?} of {expected:?}");
    let lanes = "location.hash = '#timeline'; new Promise((drawn) => setTimeout(drawn, 120)).then(() => \
                 document.querySelector('#panel-timeline canvas').getAttribute('aria-label'))";
    let said = browser.wait("the lanes", lanes, |said| said.to_string().contains("w-1/"));
    assert!(expected.iter().all(|name| said.to_string().contains(name.as_str())), "{said} names {expected:?}");
    browser.picture(&pictures().join("lanes.png"));

    // Of very many at once not all are listed, and the page says so, as the numbers of the listed ones do.
    let client = Client::connect(&stack.address()).expect("a scheduler");
    let add = client.function("behaviour.work:add").expect("a function");
    let futures: Vec<_> = (0..4_000_i64).map(|number| client.submit(&add, (number, 1_i64)).expect("taken")).collect();
    futures.into_iter().for_each(|future| drop(future.value().expect("a sum")));
    client.disconnect();
    browser.wait("all tasks", TILES, |tiles| tiles["succeeded"] == 5_500);
    let (_, body) = get(&address, "/api/view", address.strip_prefix("http://").expect("an address"));
    let view: Value = serde_json::from_str(&body).expect("JSON");
    let listed = view["recent"].as_array().expect("tasks").iter();
    let listed: Vec<u64> = listed.map(|task| task["number"].as_u64().expect("a number")).collect();
    assert!(listed.is_sorted_by(|one, next| one < next) && listed.last() == Some(&5_501), "{listed:?}");
    let span = 5_501 - listed[0] + 1;
    let expected = if span == 1_000 {
        "last 1,000 of 5,501 ended tasks".to_owned()
    } else {
        format!("1,000 of the last {},{:03}, of 5,501 ended tasks", span / 1_000, span % 1_000)
    };
    let note = "document.querySelector('#panel-tasks .note').textContent";
    browser.value(&column("tasks", "Worker"));
    browser.wait("the note", note, |note| *note == expected);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn calls_that_a_client_holds_are_shown_and_their_wait_is_queue_time() {
    let mut stack = Stack::new(1, &[], &[&support::guest("tests/guests/behaviour")]);
    let ui = start_ui(&stack, &[]);
    let address = ui.address("web_address");
    let mut browser = Browser::start();
    browser.open(&address);
    let scheduler = stack.address();
    let call = ["submit", &scheduler, "behaviour.work:add(1, 2)", "--capabilities", "gpu"];
    let mut submit = std::process::Command::new(support::SCALER)
        .args(call)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("submit");
    let tile = "document.querySelector('#tiles [data-state=waiting]')?.closest('.tile').lastChild";
    browser.wait("one call held", &format!("{tile}?.dataset.more"), |more| *more == "+ 1 held");
    let held = browser.value(&column("clients", "Held calls"));
    assert_eq!(held, serde_json::json!(["1"]));
    browser.picture(&pictures().join("held.png"));
    let began = std::time::Instant::now();
    support::wait_for("a while", support::LONG, || (began.elapsed().as_millis() > 1_200).then_some(()));
    let waited_ms = began.elapsed().as_millis();
    stack.add_cluster(1, &["-pwc", "gpu"]);
    assert!(submit.wait().expect("submit ends").success());
    browser.wait("none held", &format!("{tile}?.dataset.more"), |more| *more == "");
    let (_, body) = get(&address, "/api/view", address.strip_prefix("http://").expect("an address"));
    let view: Value = serde_json::from_str(&body).expect("JSON");
    let queued_us = view["recent"][0]["queued_us"].as_u64().expect("a time");
    assert!(u128::from(queued_us) >= waited_ms * 1_000, "{queued_us} us, and {waited_ms} ms went by");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A click on a row tells the story of its task; its CSV has what is listed.
fn story(browser: &mut Browser) {
    browser.value("document.querySelector('#panel-tasks tbody tr').click()");
    let told = browser.value("document.getElementById('story').textContent");
    for part in ["accepted", "run on w-", "Attempt", "behaviour."] {
        assert!(told.as_str().is_some_and(|told| told.contains(part)), "`{part}` is missing in {told}");
    }
    browser.value("document.getElementById('story').close()");
    let csv = browser.value(
        "new Promise((saved) => { const keep = URL.createObjectURL; URL.createObjectURL = (blob) => { \
         blob.text().then(saved); return keep.call(URL, blob); }; \
         [...document.querySelectorAll('#panel-tasks .tools button')].find((b) => b.textContent === 'CSV').click(); \
         URL.createObjectURL = keep; })",
    );
    let csv = csv.as_str().expect("text");
    assert!(csv.starts_with("ended_unix_ms,task,function,state,run_us"), "{csv}");
    assert_eq!(csv.lines().filter(|line| line.contains("behaviour.")).count(), 6, "{csv}");
}

/// `/` searches, Escape clears, arrows walk, `p` keeps what is on the screen.
fn keyboard(browser: &mut Browser) {
    let press = |browser: &mut Browser, key: &str, text: &str| {
        let down = serde_json::json!({"type": "keyDown", "key": key, "text": text});
        browser.call("Input.dispatchKeyEvent", down);
        browser.call("Input.dispatchKeyEvent", serde_json::json!({"type": "keyUp", "key": key}));
    };
    press(browser, "/", "/");
    assert_eq!(browser.value("document.activeElement.id"), "search-tasks");
    browser.call("Input.insertText", serde_json::json!({"text": "boom"}));
    browser.wait("one is found", "document.querySelector('#panel-tasks .note').textContent", |note| {
        note == "1 of 6 found"
    });
    browser.call("Input.insertText", serde_json::json!({"text": "zzz"}));
    browser.wait("none is found", "document.querySelector('#panel-tasks .empty').textContent", |empty| {
        empty.as_str().is_some_and(|empty| empty.contains("Clear the search"))
    });
    press(browser, "Escape", "");
    browser.wait("all again", "document.querySelectorAll('#panel-tasks tbody tr').length", |rows| *rows == 6);
    press(browser, "ArrowDown", "");
    press(browser, "ArrowDown", "");
    assert_eq!(browser.value("document.querySelectorAll('#panel-tasks tr[aria-selected=true]').length"), 1);
    sort_by_keyboard(browser);
    press(browser, "p", "p");
    browser.wait("paused", "document.getElementById('live-word').textContent", |word| word == "Paused");
    press(browser, "p", "p");
    browser.wait("live again", "document.getElementById('live-word').textContent", |word| word == "Live");
}

/// The head of a column is a button: it is seen to have the focus, Enter sorts, Enter again turns the order around.
fn sort_by_keyboard(browser: &mut Browser) {
    let head = "document.querySelector('#panel-tasks thead th:nth-child(5)')";
    browser.value(&format!("{head}.querySelector('button').focus()"));
    for order in ["descending", "ascending"] {
        let enter = serde_json::json!({"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13});
        for (kind, text) in [("keyDown", "\r"), ("keyUp", "")] {
            let mut event = enter.clone();
            event["type"] = kind.into();
            event["text"] = text.into();
            browser.call("Input.dispatchKeyEvent", event);
        }
        browser.wait("sorted", &format!("{head}.getAttribute('aria-sort')"), |sort| *sort == order);
    }
    let others = "document.querySelectorAll('#panel-tasks thead th[aria-sort=none]').length";
    assert_eq!(browser.value(others), 9, "one column is the sorted one");
    assert_eq!(browser.value("getComputedStyle(document.activeElement).outlineStyle"), "solid");
}

#[test]
fn one_file_starts_storage_scheduler_cluster_and_page() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("stack.toml");
    fs::write(
        &file,
        "[scheduler]\nscheduler_address = \"tcp://127.0.0.1:0\"\nmonitor_address = \"tcp://127.0.0.1:0\"\n\
         [cluster]\nscheduler_address = \"tcp://127.0.0.1:1\"\nnum_of_workers = 1\n\
         per_worker_capabilities = \"linux,cpu=8\"\n\
         [object_storage_server]\nobject_storage_address = \"tcp://127.0.0.1:0\"\n\
         [webui]\nmonitor_address = \"tcp://127.0.0.1:1\"\nweb_port = 0\n",
    )
    .expect("write");
    let config = file.to_string_lossy().into_owned();
    let start = |name: &str, program: &str, args: &[&str]| {
        let all: Vec<&str> = ["--config", &config].into_iter().chain(args.iter().copied()).collect();
        Process::start(name, dir.path(), program, &all)
    };
    let storage = start("storage", env!("CARGO_BIN_EXE_scaler_object_storage_server"), &[]);
    let storage_address = storage.address("object_storage_address");
    let scheduler =
        start("scheduler", env!("CARGO_BIN_EXE_scaler_scheduler"), &["--object-storage-address", &storage_address]);
    // Ports of the file are 0, so only the servers know them; the flag wins over the file.
    let mut ui = start("ui", UI, &[&scheduler.address("monitor_address")]);
    let _cluster = start("cluster", env!("CARGO_BIN_EXE_scaler_cluster"), &[&scheduler.address("scheduler_address")]);
    let address = ui.address("web_address");
    let host = address.strip_prefix("http://").expect("an address").to_owned();
    let view = support::wait_for("the worker is there", support::LONG, || {
        let (head, body) = get(&address, "/api/view", &host);
        let view: Value = serde_json::from_str(&body).ok()?;
        (head.contains(" 200 ") && view["workers"][0]["state"] == "ready").then_some(view)
    });
    let out = support::scaler(&["status", &scheduler.address("scheduler_address"), "--json"]);
    let status: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for key in keys(&status) {
        assert!(view.get(&key).is_some(), "{key} of `status --json` is missing in the page's view");
    }
    assert_eq!(keys(&view["workers"][0]), keys(&status["workers"][0]));
    assert_eq!(view["workers"][0]["capabilities"], "cpu=8,linux");
    assert_eq!(view["scheduler"]["scheduler_address"], status["scheduler"]["scheduler_address"]);
    let (head, body) = get(&address, "/", &host);
    assert!(head.contains("default-src 'self'") && body.contains("<title>Scaler</title>"), "{head}");
    assert!(get(&address, "/", "evil.example").0.contains(" 421 "));
    ui.signal(rustix::process::Signal::TERM);
    assert_eq!(ui.wait_exit(support::LONG), 0);
}

#[test]
fn up_says_where_the_page_is_and_it_shows_that_stack() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("stack.toml");
    let any = "tcp://127.0.0.1:0";
    let text = format!(
        "[scheduler]\nscheduler_address = \"{any}\"\n[cluster]\nscheduler_address = \"{any}\"\nnum_of_workers = 1\n\
         [webui]\nmonitor_address = \"{any}\"\nweb_port = 0\n"
    );
    fs::write(&file, text).expect("write");
    let mut up = Process::start("up", dir.path(), support::SCALER, &["up", "--config", &file.to_string_lossy()]);
    up.wait_log("the page is at ");
    let log = up.log();
    let address = log.split("the page is at ").nth(1).and_then(|rest| rest.lines().next()).expect("an address");
    assert_eq!(address, up.address("web_address"));
    let host = address.strip_prefix("http://").expect("an address");
    assert!(get(address, "/", host).1.contains("<title>Scaler</title>"));
    support::wait_for("the stack on the page", support::LONG, || {
        let view: Value = serde_json::from_str(&get(address, "/api/view", host).1).ok()?;
        let is_there = view["scheduler"]["scheduler_address"] == up.ready["scheduler_address"];
        (is_there && view["workers"][0]["state"] == "ready").then_some(())
    });
    // Without its page the stack goes on.
    let page =
        support::children(up.pid()).into_iter().find(|pid| support::has_role(*pid, "ui")).expect("the page's process");
    let page = rustix::process::Pid::from_raw(page.cast_signed()).expect("a pid");
    rustix::process::kill_process(page, rustix::process::Signal::KILL).expect("kill");
    up.wait_log("the page ended by itself");
    let scheduler = up.address("scheduler_address");
    let status = support::scaler(&["status", &scheduler, "--json"]);
    assert!(status.status.success(), "{}", support::text(&status.stderr));
    up.signal(rustix::process::Signal::INT);
    assert_eq!(up.wait_exit(support::LONG), 0, "{}", up.log());
}

#[test]
fn the_page_waits_for_its_scheduler_and_refuses_what_is_wrong() {
    let dir = tempfile::tempdir().expect("folder");
    // Nothing listens there; the page is served all the same and says so.
    let ui = Process::start("ui", dir.path(), UI, &["tcp://127.0.0.1:9", "--web-port", "0"]);
    let address = ui.address("web_address");
    let (head, body) = get(&address, "/api/view", "localhost");
    assert!(head.contains(" 503 ") && body.contains("no scheduler has answered yet"), "{head} {body}");
    let port = address.rsplit(':').next().expect("port").to_owned();
    let mut second = Process::spawn("second", dir.path(), UI, &["tcp://127.0.0.1:9", "--web-port", &port]);
    assert_eq!(second.wait_exit(support::LONG), 1);
    assert!(second.log().contains("--web-port"), "{}", second.log());
    // A page that other machines can read is served, and said to be one.
    let open = ["tcp://127.0.0.1:9", "--web-port", "0", "--web-host", "0.0.0.0"];
    let open = Process::start("open", dir.path(), UI, &open);
    open.wait_log("web_host = 0.0.0.0: other machines can read the page");
    let port = open.address("web_address").rsplit(':').next().expect("port").to_owned();
    let (head, _) = get(&format!("http://127.0.0.1:{port}"), "/api/view", "localhost");
    assert!(head.contains(" 503 "), "{head}");
}
