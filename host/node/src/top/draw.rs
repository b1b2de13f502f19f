//! The picture: a pure function of the view, of what was chosen with the keys, and of the size of the screen.

use std::{collections::BTreeMap, time::Duration};

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Span,
    widgets::{Block, Clear, Paragraph, Widget as _, Wrap},
};
use scaler_proto::{
    task::State,
    view::{View, WorkerView},
};

use super::{
    Top,
    columns::{Column, RUNS_CHARS},
    text,
};
use crate::{palette, plural::counted, presence::presence};

/// Smaller than this, nothing can be read.
pub(super) const WIDTH_MIN: u16 = 60;
/// See [`WIDTH_MIN`].
pub(super) const HEIGHT_MIN: u16 = 14;
/// Below this width the tasks need the room of the block of objects.
const NARROW: u16 = 76;
/// From this width on there is room for messages and clients.
const WIDE: u16 = 118;
/// Rows inside the blocks at the top, on a low and on a high screen.
const BLOCK_ROWS: [u16; 2] = [5, 9];
/// Rows for what calls wait for.
const WAITING_ROWS: u16 = 2;
/// From this height on the blocks are high.
const HIGH: u16 = 36;

/// What is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture<'p> {
    /// The last view that came.
    pub(super) view: &'p View,
    /// For how long nothing has come, once that is worth saying.
    pub(super) stale: Option<Duration>,
}

/// Which colours the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Theme {
    pub(super) colours: Colours,
    pub(super) light: bool,
}

/// See [`Theme`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    None,
    Indexed,
    True,
}

impl Theme {
    /// Without colours.
    pub(super) const PLAIN: Self = Self { colours: Colours::None, light: false };

    /// What the environment says about the terminal.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is = |name: &str, word: &str| variable(name).is_some_and(|value| value.contains(word));
        let colours = if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            Colours::None
        } else if is("COLORTERM", "truecolor") || is("COLORTERM", "24bit") {
            Colours::True
        } else if is("TERM", "256color") {
            Colours::Indexed
        } else {
            Colours::None
        };
        // As in `0;15`: black on white.
        let ground = variable("COLORFGBG").and_then(|value| value.rsplit(';').next()?.parse::<u8>().ok());
        Self { colours, light: matches!(ground, Some(7 | 15)) }
    }

    fn state(self, state: &str) -> Style {
        let look = palette::of(state);
        let [red, green, blue] = if self.light { look.light } else { look.dark };
        match self.colours {
            Colours::None => Style::new(),
            Colours::True => Style::new().fg(Color::Rgb(red, green, blue)),
            Colours::Indexed => {
                let step = |value: u8| (u16::from(value) * 5 + 127) / 255;
                let index = 16 + 36 * step(red) + 6 * step(green) + step(blue);
                Style::new().fg(Color::Indexed(u8::try_from(index).unwrap_or(15)))
            }
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Draws everything. Gives the number of rows of workers that fit, for scrolling by pages.
pub(super) fn draw(top: &Top, picture: &Picture<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) -> u16 {
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let (width, height) = (area.width, area.height);
        put(buffer, area, 0, "Your terminal is too small to show", BOLD);
        put(buffer, area, 1, &format!("{WIDTH_MIN}x{HEIGHT_MIN} is needed, this is {width}x{height}"), FAINT);
        return 0;
    }
    let inside = BLOCK_ROWS[usize::from(area.height >= HIGH)];
    let news = waiting(picture.view);
    let [title, blocks, keys, total, waits, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(inside + 2),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(if news.is_some() { WAITING_ROWS } else { 0 }),
        Constraint::Fill(1),
    ])
    .areas(area);
    draw_title(picture, theme, title, buffer);
    draw_blocks(picture.view, theme, blocks, buffer);
    if top.interactive {
        put(buffer, keys, 0, &shortcuts(top, keys.width), FAINT);
    }
    let clients = if area.width >= WIDE { 30 } else { 0 };
    let [workers, clients] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(clients)]).areas(rest);
    let rows = draw_workers(top, picture.view, theme, workers, buffer);
    put(buffer, total, 0, &totals(picture.view, rows), Style::new());
    if let Some(news) = news {
        // Lines are broken between words, which costs some room.
        let room = usize::from(waits.width * WAITING_ROWS).saturating_sub(usize::from(WIDTH_MIN) / 4);
        let news = Paragraph::new(text::cut(&news, room)).wrap(Wrap { trim: true });
        news.style(theme.state("waiting")).render(waits, buffer);
    }
    if clients.width > 0 {
        draw_clients(picture.view, clients, buffer);
    }
    if top.help {
        draw_help(area, buffer);
    }
    rest.height.saturating_sub(1)
}

fn put(buffer: &mut Buffer, area: Rect, row: u16, line: &str, style: Style) {
    if row < area.height {
        buffer.set_stringn(area.x, area.y + row, line, usize::from(area.width), style);
    }
}

fn width(line: &str) -> usize {
    Span::raw(line).width()
}

fn draw_title(picture: &Picture<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let scheduler = &picture.view.scheduler;
    let (word, style) = match picture.stale {
        Some(silent) => (format!("✗ stale for {}", text::long(silent.as_secs())), theme.state("lost").patch(BOLD)),
        None => ("● live".to_owned(), theme.state("ready")),
    };
    let left = usize::from(area.width).saturating_sub(width(&word) + 1);
    let up = text::long(scheduler.uptime_ms / 1_000);
    let address = &scheduler.scheduler_address;
    // What does not fit is left out as a whole, the least important first.
    let name = [
        format!("scaler_top {address} up {up} version {}", scheduler.version),
        format!("scaler_top {address} up {up}"),
        format!("{address} up {up}"),
    ]
    .into_iter()
    .find(|name| width(name) <= left)
    .unwrap_or_else(|| text::cut(address, left));
    put(buffer, area, 0, &name, BOLD);
    let at = area.right().saturating_sub(u16::try_from(width(&word)).unwrap_or(0));
    buffer.set_string(at, area.y, &word, style);
}

/// Lines of a block: a name at the left, a number at the right.
type Lines = Vec<(String, String, Style)>;

fn draw_blocks(view: &View, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let scheduler = &view.scheduler;
    let plain = |name: &str, value: String| (name.to_owned(), value, Style::new());
    let about = vec![
        plain("cpu", text::percent(scheduler.cpu_permille)),
        plain("rss", text::bytes(scheduler.rss_bytes)),
        plain("rss_free", text::bytes(scheduler.memory_free_bytes)),
    ];
    let objects = vec![
        plain("num_of_objs", text::count(scheduler.objects)),
        plain("clients", text::count(view.clients.len() as u64)),
    ];
    let mut tasks: Lines = State::ALL
        .into_iter()
        .map(|state| {
            let count = view.tasks.get(state.name()).copied().unwrap_or(0);
            let style = if count > 0 { theme.state(state.name()) } else { FAINT };
            (format!("{} {}", palette::of(state.name()).glyph, state.name()), text::count(count), style)
        })
        .collect();
    tasks.extend(
        view.tasks
            .iter()
            .filter(|(state, count)| **count > 0 && State::ALL.iter().all(|known| known.name() != *state))
            .map(|(state, count)| (format!("? {state}"), text::count(*count), Style::new())),
    );
    let per_second = view.history.last().map_or(0, |sample| sample.finished);
    let title = format!("task_manager {} tasks/s", text::count(per_second));
    let wide = area.width >= WIDE;
    let messages = if wide { Constraint::Fill(1) } else { Constraint::Length(0) };
    let tasks_width = if wide { Constraint::Length(48) } else { Constraint::Fill(1) };
    let objects_width = Constraint::Length(if area.width < NARROW { 0 } else { 18 });
    let [one, two, three, four, five] =
        Layout::horizontal([Constraint::Length(16), objects_width, tasks_width, messages, messages]).areas(area);
    block(buffer, one, "scheduler", &about, 1);
    if two.width > 0 {
        block(buffer, two, "object_manager", &objects, 1);
    }
    block(buffer, three, &title, &tasks, if usize::from(area.height) >= tasks.len() + 2 { 1 } else { 2 });
    if wide {
        block(buffer, four, "scheduler_sent", &most(&scheduler.sent, five.height), 1);
        block(buffer, five, "scheduler_received", &most(&scheduler.received, five.height), 1);
    }
}

/// The most frequent messages that fit.
fn most(counts: &BTreeMap<String, u64>, height: u16) -> Lines {
    let mut sorted: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    sorted.sort_by(|(one, many), (other, more)| more.cmp(many).then_with(|| one.cmp(other)));
    let fit = usize::from(height.saturating_sub(2));
    let shown = if sorted.len() > fit { fit.saturating_sub(1) } else { sorted.len() };
    let mut lines: Lines =
        sorted[..shown].iter().map(|(kind, count)| ((*kind).clone(), text::count(**count), Style::new())).collect();
    if shown < sorted.len() {
        let rest = sorted[shown..].iter().map(|(_, count)| **count).sum();
        lines.push((format!("{} more kinds", sorted.len() - shown), text::count(rest), FAINT));
    }
    lines
}

fn block(buffer: &mut Buffer, area: Rect, title: &str, lines: &Lines, columns: u16) {
    let frame = Block::bordered().title(title.to_owned());
    let inner = frame.inner(area);
    frame.render(area, buffer);
    let each = inner.width.saturating_sub(columns - 1) / columns;
    for (index, (name, value, style)) in lines.iter().enumerate() {
        let rows = inner.height.max(1);
        let (column, row) =
            (u16::try_from(index).unwrap_or(u16::MAX) / rows, u16::try_from(index).unwrap_or(u16::MAX) % rows);
        if column >= columns || inner.height == 0 {
            break;
        }
        let x = inner.x + column * (each + 1);
        let room = usize::from(each).saturating_sub(width(value) + 1);
        buffer.set_stringn(x, inner.y + row, text::cut(name, room), room, *style);
        let at = x + each.saturating_sub(u16::try_from(width(value)).unwrap_or(0));
        buffer.set_stringn(at, inner.y + row, value, usize::from(each), *style);
    }
}

fn shortcuts(top: &Top, width: u16) -> String {
    let mut line = "sort:".to_owned();
    for column in Column::ALL {
        let Some(key) = column.key() else { continue };
        let long = format!(" {}[{key}]", column.name());
        line.push_str(&long);
    }
    line.push_str("  ? help  q quit");
    if line.chars().count() <= usize::from(width) {
        return line;
    }
    let direction = if top.sort.descending { "descending" } else { "ascending" };
    let sorted = format!("sorted by {} {direction}; ", top.sort.column.name());
    // What does not fit is left out as a whole.
    [
        format!("{sorted}keys gnsCMcmFfwdl, ↑↓ scroll, ? help, q quit"),
        format!("{sorted}↑↓ scroll, ? help, q quit"),
        format!("{sorted}? help"),
    ]
    .into_iter()
    .find(|line| self::width(line) <= usize::from(width))
    .unwrap_or_else(|| "? help".to_owned())
}

/// That calls wait which nobody can run, and for what.
fn waiting(view: &View) -> Option<String> {
    let parked = view.parked.first()?;
    let more = match view.parked.len() - 1 {
        0 => String::new(),
        more => format!(" (and of {})", counted(more, "more function")),
    };
    let (held, call) = (text::count(parked.held), &parked.call);
    Some(format!("{held} waiting for {call}{more}: {}", parked.reason))
}

fn totals(view: &View, (offset, shown, all): (usize, usize, usize)) -> String {
    let mut line = presence(&view.workers);
    if shown < all {
        line.push_str(&format!(", rows {}-{}", offset + 1, offset + shown));
    }
    line
}

/// Gives the first row that is shown, how many are, and how many there are.
fn draw_workers(top: &Top, view: &View, theme: Theme, area: Rect, buffer: &mut Buffer) -> (usize, usize, usize) {
    if view.workers.is_empty() {
        put(buffer, area, 0, "No workers", BOLD);
        let address = &view.scheduler.scheduler_address;
        put(buffer, area, 1, &format!("start some with: scaler_cluster {address} -n 4"), FAINT);
        return (0, 0, 0);
    }
    let sorted = top.sort.apply(&view.workers);
    let rows = usize::from(area.height.saturating_sub(1));
    let offset = top.offset.min(sorted.len().saturating_sub(rows));
    let shown = &sorted[offset..(offset + rows).min(sorted.len())];
    let table = fit(top, (shown, view.scheduler.uptime_ms), area.width);
    let mut x = area.x;
    for (column, cells, wide) in &table {
        let head = heading(top, *column);
        let style = if *column == top.sort.column { REVERSED.patch(BOLD) } else { REVERSED };
        buffer.set_string(x, area.y, aligned(&head, *wide, column.is_number()), style);
        for (row, (cell, worker)) in cells.iter().zip(shown).enumerate() {
            let y = area.y + 1 + u16::try_from(row).unwrap_or(u16::MAX);
            let style = match column {
                Column::State => theme.state(&worker.state),
                _ if worker.state == "lost" => FAINT,
                _ => Style::new(),
            };
            buffer.set_string(x, y, aligned(cell, *wide, column.is_number()), style);
        }
        x += u16::try_from(*wide).unwrap_or(0) + 1;
        if x <= area.right() {
            buffer.set_string(x - 1, area.y, " ", REVERSED);
        }
    }
    (offset, shown.len(), sorted.len())
}

fn heading(top: &Top, column: Column) -> String {
    if column == top.sort.column { format!("[{}]", column.name()) } else { column.name().to_owned() }
}

/// The columns that fit, each with its cells and its width: whole columns go, numbers are never cut.
fn fit(top: &Top, (shown, uptime_ms): (&[&WorkerView], u64), room: u16) -> Vec<(Column, Vec<String>, usize)> {
    let mut table: Vec<_> = Column::ALL
        .into_iter()
        .map(|column| {
            let cells: Vec<String> = shown.iter().map(|worker| column.cell(worker, uptime_ms)).collect();
            let widest = cells.iter().map(|cell| width(cell)).max().unwrap_or(0).max(width(&heading(top, column)));
            (column, cells, if column == Column::Runs { RUNS_CHARS } else { widest })
        })
        .collect();
    let needs = |table: &[(Column, Vec<String>, usize)]| table.iter().map(|(.., wide)| wide + 1).sum::<usize>();
    for dispensable in Column::DISPENSABLE {
        if needs(&table) <= usize::from(room) + 1 {
            break;
        }
        if dispensable != top.sort.column {
            table.retain(|(column, ..)| *column != dispensable);
        }
    }
    let left = usize::from(room) + 1 - needs(&table).min(usize::from(room) + 1);
    if let Some((_, cells, wide)) = table.iter_mut().find(|(column, ..)| *column == Column::Runs) {
        *wide += left;
        cells.iter_mut().for_each(|cell| *cell = text::cut(cell, *wide));
    }
    table
}

fn aligned(cell: &str, wide: usize, right: bool) -> String {
    let pad = " ".repeat(wide.saturating_sub(width(cell)));
    if right { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
}

fn draw_clients(view: &View, area: Rect, buffer: &mut Buffer) {
    let mut clients: Vec<_> = view.clients.iter().collect();
    clients.sort_by(|one, other| other.unfinished.cmp(&one.unfinished).then_with(|| one.id.cmp(&other.id)));
    let lines: Lines = clients
        .iter()
        .map(|client| {
            let name = if client.name.is_empty() { &client.id } else { &client.name };
            (name.clone(), text::count(client.unfinished), Style::new())
        })
        .collect();
    block(buffer, area, "client_manager (tasks)", &lines, 1);
}

fn draw_help(area: Rect, buffer: &mut Buffer) {
    let wide = area.width.min(78);
    let high = area.height.min(19);
    let place = Rect::new(area.x + (area.width - wide) / 2, area.y + (area.height - high) / 2, wide, high);
    Clear.render(place, buffer);
    let frame = Block::bordered().title("help (any key closes it)");
    let inner = frame.inner(place);
    frame.render(place, buffer);
    put(buffer, inner, 0, "A key sorts by its column, the same again the other way round:", BOLD);
    for (row, column) in (1_u16..).zip(Column::ALL) {
        let key = column.key().map_or_else(|| " ".to_owned(), |key| key.to_string());
        put(buffer, inner, row, &format!(" {key}  {:<12}{}", column.name(), column.meaning()), Style::new());
    }
    put(buffer, inner, 15, " ↑ ↓ PgUp PgDn Home End scroll   ? help   q, Esc, Ctrl-C end", Style::new());
    put(buffer, inner, 16, " No task is ever suspended here, so the original's `suspended` is `state`.", FAINT);
}
