//! What tests need a guest to ask of WASI: files, standard streams, environment, clock, randomness, sleep.

/// Files.
#[scaler_guest::module]
pub mod files {
    use std::fs;

    /// The text of a file.
    pub fn read(path: String) -> scaler_guest::Result<String> {
        Ok(fs::read_to_string(path)?)
    }

    /// Writes a file.
    pub fn write(path: String, text: String) -> scaler_guest::Result<()> {
        Ok(fs::write(path, text)?)
    }

    /// Deletes a file.
    pub fn remove(path: String) -> scaler_guest::Result<()> {
        Ok(fs::remove_file(path)?)
    }

    /// The names in a folder, in order.
    pub fn list(path: String) -> scaler_guest::Result<Vec<String>> {
        let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<String> =
            entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }
}

/// Everything else.
#[scaler_guest::module]
pub mod system {
    use std::{
        collections::HashMap,
        env,
        fs::File,
        io::Write,
        process,
        sync::Mutex,
        thread,
        time::{Duration, Instant, SystemTime},
    };

    /// Writes a line to standard output and one to standard error.
    pub fn print(text: String) {
        println!("out {text}");
        eprintln!("err {text}");
    }

    /// Writes to standard output without end.
    pub fn print_forever() {
        loop {
            println!("\u{1b}[2J{}", "x".repeat(1000));
        }
    }

    /// A variable of the environment.
    pub fn variable(name: String) -> Option<String> {
        env::var(name).ok()
    }

    /// All variables of the environment.
    pub fn variables() -> Vec<(String, String)> {
        env::vars().collect()
    }

    /// Seconds since 1970.
    pub fn now() -> scaler_guest::Result<f64> {
        Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
    }

    /// Sleeps, and says for how many milliseconds.
    pub fn sleep(milliseconds: u64) -> f64 {
        let started = Instant::now();
        thread::sleep(Duration::from_millis(milliseconds));
        started.elapsed().as_secs_f64() * 1000.0
    }

    /// Sleeps, then gives the value back.
    pub fn nap(milliseconds: u64, value: u64) -> u64 {
        thread::sleep(Duration::from_millis(milliseconds));
        value
    }

    /// Keeps the processor busy, and says for how many milliseconds.
    pub fn work(milliseconds: u64) -> f64 {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(milliseconds) {
            std::hint::black_box((0..1000_u32).sum::<u32>());
        }
        started.elapsed().as_secs_f64() * 1000.0
    }

    /// A number that the standard library draws for its hash maps.
    pub fn random() -> u64 {
        use std::hash::BuildHasher;
        let map: HashMap<u8, u8> = HashMap::new();
        map.hasher().hash_one(0_u8)
    }

    /// Ends as a program would.
    pub fn exit(code: u8) {
        process::exit(i32::from(code));
    }

    static KEPT: Mutex<Option<File>> = Mutex::new(None);

    /// Opens a file and keeps it: as a preload, a state that no snapshot can hold.
    pub fn keep_open(path: String) -> scaler_guest::Result<()> {
        let file = File::options().create(true).append(true).open(path)?;
        *KEPT.lock().expect("no call panics while it holds the file") = Some(file);
        Ok(())
    }

    /// Appends to the file that was kept open.
    pub fn append(text: String) -> scaler_guest::Result<()> {
        let mut kept = KEPT.lock().expect("no call panics while it holds the file");
        let file = kept.as_mut().ok_or("no file is open")?;
        Ok(file.write_all(text.as_bytes())?)
    }
}
