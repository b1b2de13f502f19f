//! The terminal: taken at the start, given back however the program ends.

use std::{
    env, io,
    process::ExitCode,
    sync::mpsc::{Receiver, TryRecvError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use scaler_proto::view::View;

use super::{
    Top,
    draw::{self, Picture, Theme},
};
use crate::{exit, follow::News, signals::Signals};

/// How long a key is waited for before news and signals are looked at.
const WAIT: Duration = Duration::from_millis(50);
/// With nothing new the picture is drawn this often all the same: times in it grow.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows what comes until a key or a signal says that it is enough.
pub(super) fn run(first: View, news: &Receiver<News>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("cannot listen for signals")?;
    // This also sets a panic hook that gives the terminal back first.
    let mut terminal = ratatui::try_init().context("cannot take the terminal")?;
    let outcome = show(&mut terminal, &mut signals, first, news);
    let restored = ratatui::try_restore();
    outcome?;
    restored.context("cannot give the terminal back")?;
    Ok(ExitCode::from(exit::SUCCESS))
}

fn show(
    terminal: &mut DefaultTerminal,
    signals: &mut Signals,
    mut view: View,
    news: &Receiver<News>,
) -> anyhow::Result<()> {
    let theme = Theme::of(|name| env::var(name).ok());
    let mut top = Top::default();
    let mut stale: Option<Duration> = None;
    let mut heard = Instant::now();
    let mut drawn: Option<Instant> = None;
    loop {
        if drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            let picture = Picture { view: &view, stale: stale.map(|_| heard.elapsed()) };
            let mut rows = 0;
            terminal
                .draw(|frame| rows = draw::draw(&top, &picture, theme, frame.area(), frame.buffer_mut()))
                .context("cannot draw on the terminal")?;
            top.page = usize::from(rows).max(1);
            drawn = Some(Instant::now());
        }
        if event::poll(WAIT).context("cannot read keys")? {
            match event::read().context("cannot read keys")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if !top.key(key, view.workers.len()) {
                        return Ok(());
                    }
                    drawn = None;
                }
                Event::Resize(..) => drawn = None,
                _ => {}
            }
        }
        if signals.received() > 0 {
            return Ok(());
        }
        loop {
            match news.try_recv() {
                Ok(News::View(new)) => {
                    (view, stale, heard, drawn) = (*new, None, Instant::now(), None);
                }
                Ok(News::Silent { silent, .. }) => stale = Some(silent),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    return Err(io::Error::other("the thread that watches has ended").into());
                }
            }
        }
    }
}
