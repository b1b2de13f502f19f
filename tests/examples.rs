//! The examples as a user runs them: guest built, stack started from the example's file, client run.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    process::Command,
};

use support::{Process, SCALER, guest, install, root, text};

/// The example clients are built beside the programs.
fn client(name: &str) -> PathBuf {
    let path = Path::new(SCALER).with_file_name("examples").join(name);
    if !path.exists() {
        // `cargo test --test examples` alone does not build them.
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let out = Command::new(env!("CARGO"))
            .args(["build", "--profile", profile, "--package", "scaler", "--example", name])
            .current_dir(root())
            .output()
            .expect("cargo");
        assert!(out.status.success(), "{}", text(&out.stderr));
    }
    path
}

/// Runs an example and gives what its client printed.
fn run(name: &str) -> String {
    run_with(name, &[])
}

/// As [`run`], with arguments after the address.
fn run_with(name: &str, arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest(&format!("examples/{name}/guest"))]);
    let listeners: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("port")).collect();
    let mut file = fs::read_to_string(root().join(format!("examples/{name}/cluster.toml"))).expect("cluster.toml");
    for (port, listener) in ["8516", "8517", "8518"].iter().zip(&listeners) {
        file = file.replace(port, &listener.local_addr().expect("address").port().to_string());
    }
    let address = format!("tcp://{}", listeners[0].local_addr().expect("address"));
    drop(listeners);
    file = file.replace("examples/options/data", &root().join("examples/options/data").to_string_lossy());
    let path = dir.path().join("cluster.toml");
    fs::write(&path, file).expect("write");
    let up = Process::spawn("up", dir.path(), SCALER, &["up", "--config", &path.to_string_lossy()]);
    // The client needs no wait: it parks its look-ups until a cluster is there. Only the scheduler must be up.
    support::wait_for(&format!("the scheduler; log:\n{}", up.log()), support::LONG, || {
        support::scaler(&["status", &address, "--connect-timeout-seconds", "1"]).status.success().then_some(())
    });
    let client = Command::new(client(name)).arg(&address).args(arguments).current_dir(root()).output();
    let out = client.expect("client");
    assert!(out.status.success(), "{name}: {}\n{}", text(&out.stderr), up.log());
    text(&out.stdout)
}

#[test]
fn hello_greets() {
    let out = run("hello");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert!(lines[0].contains("world") && lines[1].contains("Good morning") && lines[4].contains("Di"), "{out}");
}

#[test]
fn preload_keeps_what_it_set() {
    let out = run("preload");
    assert_eq!(out.matches("production").count(), 2, "{out}");
    assert!(out.contains("something else"), "{out}");
}

#[test]
fn options_are_priced_and_fall_with_the_strike() {
    let out = run("options");
    let prices: Vec<f64> =
        out.lines().filter_map(|line| line.split_once("+-")?.0.rsplit(':').next()?.trim().parse().ok()).collect();
    assert_eq!(prices.len(), 5, "{out}");
    assert!(prices.windows(2).all(|pair| pair[0] > pair[1]), "{out}");
    assert!(out.contains("standard error"), "{out}");
}

/// Size and pixels of a picture with a palette.
fn pixels(path: &Path) -> (u32, u32, Vec<u8>) {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut pixels).expect("whole");
    assert_eq!(info.color_type, png::ColorType::Indexed);
    (info.width, info.height, pixels)
}

#[test]
fn mandelbrot_draws_the_picture_of_the_readme() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("mandelbrot.png");
    let out = run_with("mandelbrot", &[&file.to_string_lossy()]);
    assert!(out.starts_with("192 tiles of 64x64 pixels in ") && out.contains("tasks/s"), "{out}");
    let (width, height, drawn) = pixels(&file);
    assert_eq!((width, height), (1024, 768));
    let shades: BTreeSet<u8> = drawn.iter().copied().collect();
    assert!(shades.len() > 100, "only {} shades", shades.len());
    let committed = root().join("examples/mandelbrot/mandelbrot.png");
    assert!(fs::metadata(&committed).expect("picture").len() <= 200_000);
    // A compiler may round a logarithm differently, and nothing else.
    let others = drawn.iter().zip(pixels(&committed).2).filter(|(drawn, committed)| **drawn != *committed).count();
    assert!(others < drawn.len() / 200, "{others} of {} pixels are not those of the committed picture", drawn.len());
}

#[test]
fn wordcount_counts_as_a_plain_loop_does() {
    let out = run("wordcount");
    let names = ["gpl-1", "gpl-2", "gpl-3"];
    let texts = names.map(|name| {
        fs::read_to_string(root().join(format!("examples/wordcount/texts/{name}.txt"))).expect("text").to_lowercase()
    });
    let count = |text: &str| {
        let mut counts = BTreeMap::<String, u64>::new();
        for word in text.split(|c: char| !c.is_alphabetic() && c != '\'').map(|word| word.trim_matches('\'')) {
            *counts.entry(word.to_owned()).or_default() += u64::from(!word.is_empty());
        }
        counts.remove("");
        counts
    };
    let each = texts.each_ref().map(|text| count(text));
    let all = count(&texts.join(" "));
    let mut top: Vec<_> = all.iter().collect();
    top.sort_by_key(|(word, times)| (std::cmp::Reverse(**times), word.as_str()));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], [&["word", "all"][..], &names].concat(), "{out}");
    for (line, (word, times)) in lines[1..=12].iter().zip(top) {
        let mut expected = vec![word.clone(), times.to_string()];
        expected.extend(each.iter().map(|counts| counts.get(word).copied().unwrap_or(0).to_string()));
        assert_eq!(*line, expected, "{out}");
    }
    let words: u64 = all.values().sum();
    assert!(out.contains(&format!("{words} words, {} different ones, counted by 28 tasks", all.len())), "{out}");
}

#[test]
fn multi_shows_values_of_every_kind() {
    let out = run("multi");
    for line in [
        "chocolate   320 cents, 2 left, with [\"milk\", \"sugar\", \"whipped_cream\"]",
        "a large coffee with milk and sugar: 405 cents",
        "served: coffee 405 + chocolate 380 = 785 cents, tip 215, by the window",
        "served: coffee 405 = 405 cents, tip 0",
        "refused: nothing was ordered",
        "refused: there is no tea",
        "refused: water does not go with milk, sugar",
        "refused: 3 were asked for, 2 are left",
        "refused: 405 cents for a voucher of 10",
    ] {
        assert!(out.contains(line), "no `{line}` in\n{out}");
    }
}

/// The tour starts its own cluster.
#[test]
fn the_tour_shows_what_the_client_can() {
    let dir = tempfile::tempdir().expect("folder");
    install(dir.path(), &[&guest("examples/hello/guest")]);
    let out = Command::new(client("tour"))
        .arg(dir.path().join("modules"))
        .env("SCALER_BIN", SCALER)
        .output()
        .expect("the tour runs");
    let printed = text(&out.stdout);
    assert!(out.status.success(), "{printed}\n{}", text(&out.stderr));
    let expected = [
        "Hello, world!",
        "Good morning, Ada!",
        "it ran on ",
        "at least one of 3 has ended: true",
        "as they end: 3",
        "in order: Hello, Bo! Hello, Cy! Hello, Di!",
        "the last of a thousand",
        "as it comes: Hello, Jo!",
        "as it comes: Hello, Kay!",
        "[\"Welcome, Ed!\", \"Welcome, Flo!\"]",
        "as it should be: hello.greeting:birthdays returned an error: Gus is 101 already",
        "not sent: argument name: ",
        "canceled or done: true",
        "cleared: true",
        "awaited: \"Hello, Lou!\"\nawaited: Hello, Max!\nawaited: Hello, Ned!",
    ];
    for part in expected {
        assert!(printed.contains(part), "`{part}` in\n{printed}");
    }
}

#[test]
fn the_front_page_of_the_client_is_the_tour() {
    let tour = fs::read_to_string(root().join("examples/tour/client.rs")).expect("the tour");
    let page = fs::read_to_string(root().join("host/client/src/lib.rs")).expect("the front page");
    let code: Vec<&str> = tour.lines().skip_while(|line| line.is_empty() || line.starts_with("//!")).collect();
    let doc =
        page.lines().filter_map(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    let doc: Vec<&str> =
        doc.skip_while(|line| *line != "```no_run").skip(1).take_while(|line| *line != "```").collect();
    assert_eq!(code, doc, "copy the tour to the front page");
}

#[test]
fn without_an_address_each_client_starts_a_cluster_of_its_own() {
    let dir = tempfile::tempdir().expect("folder");
    std::os::unix::fs::symlink(root().join("examples"), dir.path().join("examples")).expect("link");
    for (name, told) in [
        ("hello", "world"),
        ("preload", "production"),
        ("options", "one-year call"),
        ("mandelbrot", "192 tiles"),
        ("wordcount", "28 tasks"),
        ("multi", "served: coffee"),
    ] {
        install(dir.path(), &[&guest(&format!("examples/{name}/guest"))]);
        let run = Command::new(client(name)).current_dir(dir.path()).env("SCALER_BIN", SCALER).output();
        let out = run.expect("client");
        assert!(out.status.success(), "{name}: {}", text(&out.stderr));
        assert!(text(&out.stdout).contains(told), "{name}: {}", text(&out.stdout));
    }
    assert!(dir.path().join("mandelbrot.png").is_file());
}
