//! The picture as text, in several sizes.

use std::time::Duration;

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use scaler_proto::view::{ClientView, ParkedView, RunningView, Sample, SchedulerView, View, WorkerView};

use super::{
    Top,
    columns::Column,
    draw::{Colours, Picture, Theme, draw},
    lines, plain,
};

fn worker(index: u64) -> WorkerView {
    WorkerView {
        name: format!("host-{index}"),
        cluster: "5c3f9a7e0b1d2c4f".to_owned(),
        host: "render".to_owned(),
        state: "ready".to_owned(),
        queued: index,
        running: 1,
        free: 1_000 - index,
        cpu_permille: 500 + u32::try_from(index).unwrap_or(0),
        rss_bytes: 45 << 20,
        memory_free_bytes: 12 << 30,
        agent_cpu_permille: 31,
        agent_rss_bytes: 23 << 20,
        lag_us: 230,
        ..WorkerView::default()
    }
}

fn view(workers: u64) -> View {
    View {
        scheduler: SchedulerView {
            scheduler_address: "tcp://127.0.0.1:8516".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_ms: 3_723_000,
            cpu_permille: 123,
            objects: 4,
            sent: [("Run", 12_345), ("Welcome", 3), ("TaskResult", 12_340)]
                .map(|(kind, n)| (kind.to_owned(), n))
                .into(),
            ..SchedulerView::default()
        },
        workers: (0..workers).map(worker).collect(),
        clients: vec![ClientView { name: "notebook".to_owned(), unfinished: 77, ..ClientView::default() }],
        tasks: [("waiting", 1_234_567), ("running", 8), ("succeeded", 3_412_077), ("failed", 2)]
            .map(|(state, count)| (state.to_owned(), count))
            .into(),
        history: vec![Sample { finished: 98_765, ..Sample::default() }],
        ..View::default()
    }
}

fn screen(top: &Top, view: &View, stale: Option<Duration>, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let picture = Picture { view, stale };
    let draw = |frame: &mut ratatui::Frame<'_>| {
        draw(top, &picture, Theme::PLAIN, frame.area(), frame.buffer_mut());
    };
    terminal.draw(draw).expect("drawn");
    lines(terminal.backend().buffer())
}

fn key(top: &mut Top, code: KeyCode) -> bool {
    top.key(KeyEvent::new(code, KeyModifiers::NONE), 1_000)
}

#[test]
fn calls_that_wait_are_told_of_however_narrow_the_screen() {
    let reason = "no connected cluster has a worker that offers `gpu`; one that does is started with more".to_owned();
    let parked = vec![ParkedView { call: "mandelbrot.tiles:render".to_owned(), held: 24_578, reason }];
    let view = View { parked, ..view(2) };
    let told = |width, height| {
        let lines = screen(&Top::default(), &view, None, width, height);
        let first = lines.iter().position(|line| line.starts_with("24,578 waiting for mandelbrot")).expect("the news");
        format!("{} {}", lines[first].trim_end(), lines[first + 1].trim_end())
    };
    assert!(told(80, 24).ends_with(" offers `gpu`; one that does is started with more"), "{}", told(80, 24));
    assert!(told(60, 14).ends_with('…') && told(60, 14).contains("offers"), "{}", told(60, 14));
}

#[test]
fn eighty_columns_show_the_essential() {
    let screen = screen(&Top::default(), &view(3), None, 80, 24);
    let text = screen.join("\n");
    for needed in [
        "tcp://127.0.0.1:8516",
        "● live",
        "cpu      12.3%",
        "task_manager 98,765 tasks/s",
        "1,234,567",
        "3,412,077",
        "num_of_objs    4",
        "3 workers in 1 cluster",
        "[cpu]",
        "queued",
        "host-2",
        "? help",
    ] {
        assert!(text.contains(needed), "`{needed}` is missing in\n{text}");
    }
    assert!(screen.iter().all(|line| line.chars().count() <= 80), "{text}");
    // Numbers are whole or not there at all.
    let head = screen.iter().position(|line| line.contains("[cpu]")).expect("the table's head");
    let first = &screen[head + 1];
    assert!(first.contains("50.2%") && first.contains("45M"), "{first}");
    assert!(!text.contains("agt_rss "), "a narrow screen goes without it\n{text}");
}

#[test]
fn a_wide_screen_shows_everything() {
    let text = screen(&Top::default(), &view(3), None, 160, 40).join("\n");
    for needed in
        ["scheduler_sent", "12,345", "client_manager", "notebook", "agt_cpu", "os_rss_free", "ITL", "111", "lag[l]"]
    {
        assert!(text.contains(needed), "`{needed}` is missing in\n{text}");
    }
    assert!(text.find("Run").expect("Run") < text.find("Welcome").expect("Welcome"), "the most frequent first\n{text}");
}

#[test]
fn a_wide_screen_says_which_call_a_worker_runs_for_how_long_and_a_narrow_one_is_as_it_was() {
    let mut view = view(2);
    let idle = screen(&Top::default(), &view, None, 80, 24);
    let call = "mandelbrot.tiles:render_a_very_long_name_of_a_function".to_owned();
    view.workers[1].current = Some(RunningView { call, since_ms: 3_648_000, ..RunningView::default() });
    assert_eq!(screen(&Top::default(), &view, None, 80, 24), idle);
    let text = screen(&Top::default(), &view, None, 160, 40).join("\n");
    assert!(text.contains(" ITL runs ") && text.contains("111 1m 15s mandelbrot.tiles:render_"), "{text}");
    view.workers[1].state = "lost".to_owned();
    let text = screen(&Top::default(), &view, None, 160, 40).join("\n");
    assert!(text.contains("\n1 worker in 1 cluster, 1 worker in 1 cluster lost"), "{text}");
}

#[test]
fn the_column_in_use_is_marked_and_stays_on_a_narrow_screen() {
    let mut top = Top::default();
    assert!(key(&mut top, KeyCode::Char('M')));
    assert_eq!(top.sort.column, Column::AgentRss);
    let text = screen(&top, &view(3), None, 80, 24).join("\n");
    assert!(text.contains("[agt_rss]") && text.contains("23M"), "{text}");
}

#[test]
fn nothing_there_and_no_room_are_said() {
    let text = screen(&Top::default(), &view(0), None, 80, 24).join("\n");
    assert!(text.contains("No workers") && text.contains("scaler_cluster tcp://127.0.0.1:8516 -n 4"), "{text}");
    let text = screen(&Top::default(), &view(3), None, 59, 24).join("\n");
    assert!(text.contains("Your terminal is too small to show") && text.contains("60x14"), "{text}");
    // Even a tiny screen is drawn on without harm.
    for (width, height) in [(1, 1), (80, 1), (1, 80), (60, 14)] {
        screen(&Top { help: true, ..Top::default() }, &view(3), None, width, height);
    }
}

#[test]
fn the_smallest_screen_names_every_state_and_says_how_to_go_on() {
    let screen = screen(&Top::default(), &view(3), None, 60, 14);
    let text = screen.join("\n");
    for needed in ["waiting  1,234,567", "assigned", "returning", "canceled", "aborted", "? help, q quit"] {
        assert!(text.contains(needed), "`{needed}` is missing in\n{text}");
    }
    assert!(screen.iter().all(|line| line.chars().count() <= 60), "{text}");
}

#[test]
fn staleness_is_told_with_its_age() {
    let text = screen(&Top::default(), &view(1), Some(Duration::from_secs(75)), 80, 24).join("\n");
    assert!(text.contains("stale for 1m 15s") && !text.contains("live"), "{text}");
}

#[test]
fn a_thousand_workers_scroll_and_the_rows_say_where() {
    let mut top = Top { page: 10, ..Top::default() };
    key(&mut top, KeyCode::Char('d'));
    key(&mut top, KeyCode::PageDown);
    assert_eq!(top.offset, 10);
    let text = screen(&top, &view(1_000), None, 80, 24).join("\n");
    assert!(text.contains("1000 workers in 1 cluster, rows 11-23") && text.contains("host-989"), "{text}");
    key(&mut top, KeyCode::End);
    key(&mut top, KeyCode::Down);
    assert_eq!(top.offset, 990);
    let last = screen(&top, &view(1_000), None, 80, 24).join("\n");
    assert!(last.contains("host-0 "), "{last}");
}

#[test]
fn help_covers_and_any_key_closes_it() {
    let mut top = Top::default();
    key(&mut top, KeyCode::Char('?'));
    let text = screen(&top, &view(3), None, 80, 24).join("\n");
    assert!(text.contains("any key closes it") && text.contains("half a round trip"), "{text}");
    assert!(key(&mut top, KeyCode::Esc) && !top.help);
    assert!(!key(&mut top, KeyCode::Esc) && !key(&mut top, KeyCode::Char('q')));
    assert!(!top.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 3));
}

#[test]
fn one_picture_as_text_has_every_worker() {
    let text = plain(&view(300));
    assert!((0..300).all(|index| text.contains(&format!("host-{index} "))), "{text}");
    assert!(!text.contains("scroll") && text.ends_with('\n') && !text.ends_with("\n\n"));
}

#[test]
fn colours_follow_the_terminal() {
    let theme = |variables: &[(&str, &str)]| {
        Theme::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    };
    assert_eq!(theme(&[("TERM", "xterm-256color")]).colours, Colours::Indexed);
    assert_eq!(theme(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]).colours, Colours::True);
    assert_eq!(theme(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), Theme::PLAIN);
    assert!(theme(&[("TERM", "dumb")]).colours == Colours::None && theme(&[("COLORFGBG", "0;15")]).light);
}
