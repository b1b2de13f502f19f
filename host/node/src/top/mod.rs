//! `scaler_top`: the cluster in a terminal, as it works.
//!
//! `draw` is pure; `screen` owns the terminal and gives it back however the program ends.

mod columns;
mod draw;
mod screen;
#[cfg(test)]
mod tests;
mod text;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use ratatui::{
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
};
use scaler_proto::view::View;

use self::{
    columns::{Column, Sort},
    draw::{Picture, Theme},
};
use crate::{
    config::TopSettings,
    exit,
    follow::{News, follow},
};

/// Width of a picture that goes to a file or a pipe.
const PIPE_WIDTH: u16 = 160;

/// Runs the program until it is told to stop.
///
/// # Errors
/// When no scheduler answers in time, and when there is no terminal to draw on.
pub fn run(settings: TopSettings) -> anyhow::Result<ExitCode> {
    let is_on_a_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !settings.once && !is_on_a_terminal {
        return Err(exit::coded(
            exit::USAGE,
            "this is no terminal to draw on; use `--once` for one picture as text, `--once --json` for a script",
        ));
    }
    let news = watch(settings.monitor_address.clone())?;
    let first = first_view(&news, &settings)?;
    if settings.once {
        let text = if settings.json { serde_json::to_string(&first)? + "\n" } else { plain(&first) };
        return match io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::from(exit::SUCCESS)),
            written => Ok(written.map(|()| ExitCode::from(exit::SUCCESS))?),
        };
    }
    screen::run(first, &news)
}

/// Starts the thread that watches; it ends when nobody takes its news.
fn watch(address: scaler_net::Address) -> io::Result<Receiver<News>> {
    // More than a few pictures ahead of the screen would only be old.
    let (sender, receiver) = mpsc::sync_channel(4);
    let watch = move || follow(&address, &[], |news| sender.send(news).is_ok());
    thread::Builder::new().name("watch".to_owned()).spawn(watch)?;
    Ok(receiver)
}

/// Waits for the first picture.
fn first_view(news: &Receiver<News>, settings: &TopSettings) -> anyhow::Result<View> {
    let patience = Duration::from_secs(settings.timeout);
    let end = Instant::now() + patience;
    let mut known = String::new();
    loop {
        match news.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(News::View(view)) => return Ok(*view),
            Ok(News::Silent { problem, .. }) => known = problem,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let address = &settings.monitor_address;
                let known = if known.is_empty() { known } else { format!(" ({known})") };
                return Err(exit::coded(
                    exit::UNREACHABLE,
                    format!(
                        "nothing came from {address} for {} s{known}; give the scheduler's address, or its \
                         monitor address (port + 2 unless set otherwise)",
                        patience.as_secs()
                    ),
                ));
            }
        }
    }
}

/// One picture as text, all workers in it.
fn plain(view: &View) -> String {
    let width =
        ratatui::crossterm::terminal::size().ok().filter(|_| io::stdout().is_terminal()).map(|(width, _)| width);
    let rows = u16::try_from(view.workers.len()).unwrap_or(u16::MAX - 40);
    let area = Rect::new(0, 0, width.unwrap_or(PIPE_WIDTH).max(draw::WIDTH_MIN), rows.saturating_add(20));
    let mut buffer = Buffer::empty(area);
    let top = Top { interactive: false, ..Top::default() };
    draw::draw(&top, &Picture { view, stale: None }, Theme::PLAIN, area, &mut buffer);
    let mut text = lines(&buffer).join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The rows of a buffer without the blanks at their ends.
fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let row = |y| {
        let cells = (area.left()..area.right()).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (area.top()..area.bottom()).map(row).collect()
}

/// What was chosen with the keys.
#[derive(Clone, Debug)]
struct Top {
    sort: Sort,
    /// First row of the table that is shown.
    offset: usize,
    /// Rows that fit, as of the last picture.
    page: usize,
    help: bool,
    /// Whether keys do anything.
    interactive: bool,
}

impl Default for Top {
    fn default() -> Self {
        let sort = Sort { column: Column::Cpu, descending: true };
        Self { sort, offset: 0, page: 1, help: false, interactive: true }
    }
}

impl Top {
    /// Does what a key says; whether the program goes on.
    fn key(&mut self, key: KeyEvent, workers: usize) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return !matches!(key.code, KeyCode::Char('c' | 'C'));
        }
        if std::mem::take(&mut self.help) {
            return key.code != KeyCode::Char('q');
        }
        let last = workers.saturating_sub(self.page);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Up | KeyCode::Char('k') => self.offset = self.offset.min(last).saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.offset += 1,
            KeyCode::PageUp => self.offset = self.offset.min(last).saturating_sub(self.page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.offset = self.offset.saturating_add(self.page),
            KeyCode::Home => self.offset = 0,
            KeyCode::End => self.offset = last,
            KeyCode::Char(letter) => {
                if let Some(column) = Column::of_key(letter) {
                    self.sort = self.sort.choose(column);
                    self.offset = 0;
                }
            }
            _ => {}
        }
        self.offset = self.offset.min(last);
        true
    }
}
