//! A program in a pseudo terminal, and the screen that it draws there.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::support::{LONG, wait_for};

/// A running program and its terminal.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    /// The terminal's other end, kept so that its settings can be looked at after the program has ended.
    slave: OwnedFd,
    screen: Arc<Mutex<Screen>>,
    before: libc::termios,
}

impl Terminal {
    /// Starts a program in a terminal of this size.
    pub(crate) fn start(program: &str, args: &[&str], columns: u16, rows: u16) -> Self {
        let (master, slave) = open(columns, rows);
        let before = settings(&slave);
        let end = || Stdio::from(slave.try_clone().expect("descriptor"));
        let mut command = Command::new(program);
        command.args(args).env("TERM", "xterm-256color").env_remove("COLORTERM").env_remove("NO_COLOR");
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls are allowed between fork and exec; descriptor 0 is the terminal by then.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let screen = Arc::new(Mutex::new(Screen::new(usize::from(columns), usize::from(rows))));
        let (mut reader, drawn) = (master.try_clone().expect("descriptor"), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of the terminal is an error here.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                drawn.lock().unwrap_or_else(PoisonError::into_inner).take(&bytes[..count]);
            }
        });
        Self { child, master, slave, screen, before }
    }

    /// Presses keys.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Makes the terminal another size, as a user does with its window.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).resize(usize::from(columns), usize::from(rows));
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is a terminal, and the size lives until the call returns.
        let done = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// What can be seen now.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// Waits until the screen holds all of these.
    pub(crate) fn wait(&self, wanted: &[&str]) -> String {
        let seen = || {
            let text = self.text();
            wanted.iter().all(|wanted| text.contains(wanted)).then_some(text)
        };
        let end = std::time::Instant::now() + LONG;
        loop {
            if let Some(text) = seen() {
                return text;
            }
            assert!(std::time::Instant::now() < end, "{wanted:?} is not on the screen:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("pid")
    }

    /// Waits for the end, and checks that the terminal is as it was: its settings, its first screen, its cursor.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let status = wait_for("end of the program", LONG, || self.child.try_wait().expect("wait"));
        let after = settings(&self.slave);
        assert_eq!(
            (self.before.c_iflag, self.before.c_oflag, self.before.c_lflag),
            (after.c_iflag, after.c_oflag, after.c_lflag),
            "the terminal has its settings back"
        );
        wait_for("the first screen and the cursor are back", LONG, || {
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            (!screen.alternate && screen.cursor_shown).then_some(())
        });
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(columns: u16, rows: u16) -> (File, OwnedFd) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the two numbers and the size live until the call returns; the other pointers may be null.
    let opened = unsafe {
        libc::openpty(&raw mut master, &raw mut slave, std::ptr::null_mut(), std::ptr::null(), &raw const size)
    };
    assert_eq!(opened, 0, "no pseudo terminal: {}", std::io::Error::last_os_error());
    for descriptor in [master, slave] {
        // SAFETY: the descriptor was just opened. Other programs that the tests start must not hold the terminal open.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: both were just opened and belong to nobody else.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

fn settings(terminal: &OwnedFd) -> libc::termios {
    // SAFETY: all zeroes is a value of this struct of numbers, and the descriptor is a terminal.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings), 0);
        settings
    }
}

/// What a terminal shows, as far as programs like ours use one.
struct Screen {
    columns: usize,
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    alternate: bool,
    cursor_shown: bool,
    /// The start of a sequence or of a letter whose end has not arrived.
    pending: Vec<u8>,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Self {
        let cells = vec![vec![' '; columns]; rows];
        Self { columns, cells, row: 0, column: 0, alternate: false, cursor_shown: true, pending: Vec::new() }
    }

    fn resize(&mut self, columns: usize, rows: usize) {
        *self = Self { alternate: self.alternate, cursor_shown: self.cursor_shown, ..Self::new(columns, rows) };
    }

    fn text(&self) -> String {
        let lines = self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(used) = self.step(rest) {
            rest = &rest[used..];
        }
        self.pending = rest.to_vec();
    }

    /// Takes one letter or sequence; how long it was, or `None` when its end is missing.
    fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        match *bytes.first()? {
            0x1b => self.escape(bytes),
            b'\r' => {
                self.column = 0;
                Some(1)
            }
            b'\n' => {
                self.row = (self.row + 1).min(self.cells.len() - 1);
                Some(1)
            }
            0..=0x1f => Some(1),
            first => {
                let length = match first {
                    0..=0x7f => 1,
                    0xc0..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                let letter = std::str::from_utf8(bytes.get(..length)?).expect("the program writes UTF-8");
                if let Some(cell) = self.cells.get_mut(self.row).and_then(|row| row.get_mut(self.column)) {
                    *cell = letter.chars().next().unwrap_or(' ');
                }
                self.column += 1;
                Some(length)
            }
        }
    }

    fn escape(&mut self, bytes: &[u8]) -> Option<usize> {
        if *bytes.get(1)? != b'[' {
            return Some(2);
        }
        let end = 2 + bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))?;
        let parameters = String::from_utf8_lossy(&bytes[2..end]).into_owned();
        let number =
            |place: usize| parameters.split(';').nth(place).and_then(|text| text.parse::<usize>().ok()).unwrap_or(1);
        match bytes[end] {
            b'H' | b'f' => (self.row, self.column) = (number(0) - 1, number(1) - 1),
            b'A' => self.row = self.row.saturating_sub(number(0)),
            b'B' => self.row += number(0),
            b'C' => self.column += number(0),
            b'D' => self.column = self.column.saturating_sub(number(0)),
            b'J' => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            b'K' => {
                let (row, column, columns) = (self.row, self.column, self.columns);
                if let Some(row) = self.cells.get_mut(row) {
                    row[column.min(columns)..].fill(' ');
                }
            }
            set @ (b'h' | b'l') => match parameters.as_str() {
                "?1049" => self.alternate = set == b'h',
                "?25" => self.cursor_shown = set == b'h',
                _ => {}
            },
            _ => {}
        }
        Some(end + 1)
    }
}
