//! `scaler map`: one function over a stream of inputs, results as JSON lines in input order, bounded memory.
//!
//! One thread reads and binds, the main thread prints; between them the client keeps a window of calls under way.
//! Output is flushed when nothing more is there, so that a fast stream costs few system calls and a slow one shows
//! each result at once.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Write},
    ops::Range,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use scaler_client::{
    BoundArguments, Error, Function, MapOptions, PipeItem, PipeReceiver, PipeSender, Value, blocking::Client,
};
use scaler_proto::value::ValueError;

use super::{
    connect::{CallOptions, Connection},
    failure::AtElement,
    interrupt::Interrupt,
    output,
};
use crate::{exit, plural::counted};

/// Longest line of input.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// Longer lines are cut off where they are shown.
const SHOWN_CHARS_MAX: usize = 60;
/// Results taken at once.
const BATCH_MAX: usize = 1024;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct MapArgs {
    #[command(flatten)]
    connection: Connection,
    /// The function, without arguments
    #[arg(value_name = "MODULE:FUNCTION")]
    function: String,
    /// Call it with each integer from A up to, not including, B
    #[arg(long, value_name = "A..B", value_parser = range, allow_hyphen_values = true, conflicts_with = "each_line")]
    range: Option<Range<i64>>,
    /// Call it with each line of a file (/dev/stdin: of the input) as a string [default: JSON lines on stdin: an array
    /// is the argument list, an object the arguments by name, anything else the one argument]
    #[arg(long, value_name = "FILE")]
    each_line: Option<PathBuf>,
    /// What is taken for a file of calls; those come from stdin
    #[arg(value_name = "FILE", hide = true)]
    input: Option<PathBuf>,
    #[command(flatten)]
    options: CallOptions,
    /// Say what goes wrong as one JSON object on the last line of stderr: {"error": {"type": .., "index": .., ..}}
    #[arg(long)]
    pub(super) json: bool,
}

/// Why the input ended before its end: `None` when somebody else has the reason.
type Stopped = Option<anyhow::Error>;

pub(super) fn map(arguments: &MapArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.input {
        let path = path.display();
        let message = format!("unexpected argument `{path}`: the calls come from stdin");
        let help = format!("write `< {path}`, or `--each-line {path}` to call it with each line as a string");
        return Err(exit::helped(exit::USAGE, "usage", message, help));
    }
    let input = Input::open(arguments)?;
    let client = arguments.connection.open()?;
    let interrupt = Interrupt::watch(&client)?;
    let (mut printed, length) = (0, input.length());
    let outcome = run(arguments, input, &client, &interrupt, &mut printed);
    client.disconnect();
    let came = length.map_or_else(|| counted(printed, "result"), |length| format!("{printed} of {length} results"));
    interrupt.unless_interrupted(outcome, &format!("interrupted after {came}; what has no result here is canceled"))?;
    Ok(ExitCode::SUCCESS)
}

/// Counts the results that were printed, also when it fails.
fn run(
    arguments: &MapArgs,
    input: Input,
    client: &Client,
    interrupt: &Interrupt,
    printed: &mut u64,
) -> anyhow::Result<()> {
    let function = arguments.options.function(client, &arguments.function)?;
    let places = input.places();
    let (sender, mut receiver) = client.pipe(MapOptions::new().submit(arguments.options.submit()));
    // Whoever parses stderr wants no bar in it.
    let bar = if arguments.json { ProgressBar::hidden() } else { progress(input.length()) };
    let reader = thread::Builder::new().name("input".to_owned()).spawn(move || feed(input, &function, sender))?;
    let outcome = print_results(&mut receiver, &places, &bar, printed);
    bar.finish_and_clear();
    // Ends the rest of the work where there is any. The reader may sit in a read of stdin for ever: do not wait for it
    // unless the output is complete.
    drop(receiver);
    outcome?;
    if interrupt.is_received() {
        anyhow::bail!("the output is not complete");
    }
    let stopped = reader.join().unwrap_or_else(|_| Some(anyhow::anyhow!("the reader of the input failed")));
    stopped.map_or(Ok(()), Err)
}

/// Prints until the end or the first failure.
fn print_results(
    receiver: &mut PipeReceiver,
    places: &Places,
    bar: &ProgressBar,
    printed: &mut u64,
) -> anyhow::Result<()> {
    let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    // On one terminal, bar and results would overwrite each other.
    let shared = io::stdout().is_terminal() && !bar.is_hidden();
    let mut items = Vec::with_capacity(BATCH_MAX);
    while receiver.receive_many_blocking(&mut items, BATCH_MAX) {
        let count = items.len();
        if let Some(first) = items.first() {
            places.printed(first.index());
        }
        let idle = count < BATCH_MAX;
        let mut print = || print_batch(&mut items, places, (&mut stdout, &mut *printed), idle);
        if shared { bar.suspend(print) } else { print() }?;
        bar.inc(count as u64);
    }
    output::written(stdout.flush())
}

fn print_batch(
    items: &mut Vec<PipeItem>,
    places: &Places,
    (stdout, printed): (&mut impl Write, &mut u64),
    idle: bool,
) -> anyhow::Result<()> {
    for item in items.drain(..) {
        let index = item.index();
        match item.value() {
            Ok(value) => {
                output::written(writeln!(stdout, "{}", value.to_json()))?;
                *printed += 1;
            }
            Err(error) => {
                output::written(stdout.flush())?;
                return Err(anyhow::Error::new(error).context(AtElement { index, place: places.of(index) }));
            }
        }
    }
    if idle { output::written(stdout.flush()) } else { Ok(()) }
}

/// Reads, binds and sends until the input ends or nobody wants more.
fn feed(mut input: Input, function: &Function, mut sender: PipeSender) -> Stopped {
    let places = input.places();
    for index in 0_u64.. {
        let bound = match input.next(function) {
            Ok(None) => return None,
            Ok(Some(bound)) => bound,
            Err(error) => return Some(error.context(AtElement { index, place: places.of(index) })),
        };
        if sender.send_blocking(bound).is_err() {
            // The receiver has the reason.
            return None;
        }
    }
    None
}

/// Where an element of the input is written, for whoever has to mend it.
#[derive(Clone)]
struct Places {
    /// What has lines: a file or stdin.
    name: Option<String>,
    /// Empty lines are no elements: from this element on, so many lines were skipped. Only what was not printed yet.
    skipped: Arc<Mutex<VecDeque<(u64, u64)>>>,
}

impl Places {
    fn new(name: Option<String>) -> Self {
        Self { name, skipped: Arc::default() }
    }

    /// An empty line stands before this element.
    fn skip(&self, index: u64) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        match skipped.back_mut() {
            Some((from, lines)) if *from == index => *lines += 1,
            last => {
                let lines = last.map_or(0, |(_, lines)| *lines) + 1;
                skipped.push_back((index, lines));
            }
        }
    }

    /// Forgets what matters only to elements before this one.
    fn printed(&self, index: u64) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        while skipped.get(1).is_some_and(|(from, _)| *from <= index) {
            skipped.pop_front();
        }
    }

    fn of(&self, index: u64) -> String {
        let Some(name) = &self.name else { return format!("element {index} of the input") };
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = skipped.iter().rev().find(|(from, _)| *from <= index).map_or(0, |(_, lines)| *lines);
        format!("{name}, line {}", index + lines + 1)
    }
}

enum Input {
    Range(Range<i64>),
    Lines { reader: BufReader<File>, path: PathBuf },
    Json { reader: BufReader<io::Stdin>, elements: u64, places: Places },
}

impl Input {
    fn open(arguments: &MapArgs) -> anyhow::Result<Self> {
        if let Some(range) = &arguments.range {
            return Ok(Self::Range(range.clone()));
        }
        let Some(path) = &arguments.each_line else {
            let reader = BufReader::with_capacity(64 << 10, io::stdin());
            return Ok(Self::Json { reader, elements: 0, places: Places::new(Some("stdin".to_owned())) });
        };
        let file = File::open(path)
            .map_err(|error| exit::coded(exit::USAGE, format!("--each-line {}: {error}", path.display())))?;
        Ok(Self::Lines { reader: BufReader::with_capacity(64 << 10, file), path: path.clone() })
    }

    fn length(&self) -> Option<u64> {
        if let Self::Range(range) = self { Some(range.end.abs_diff(range.start.min(range.end))) } else { None }
    }

    fn places(&self) -> Places {
        match self {
            Self::Range(_) => Places::new(None),
            Self::Lines { path, .. } => Places::new(Some(path.display().to_string())),
            Self::Json { places, .. } => places.clone(),
        }
    }

    fn next(&mut self, function: &Function) -> anyhow::Result<Option<BoundArguments>> {
        match self {
            Self::Range(range) => range.next().map(|number| bind(function, (number,))).transpose(),
            Self::Lines { reader, path } => {
                let place = path.display().to_string();
                line(reader, &place)?.map(|text| bind(function, (text,))).transpose()
            }
            Self::Json { reader, elements, places } => loop {
                let Some(text) = line(reader, "stdin")? else { return Ok(None) };
                if text.trim().is_empty() {
                    places.skip(*elements);
                    continue;
                }
                *elements += 1;
                let value = Value::from_json(&text).map_err(|error| not_json(&error, &text))?;
                return match value {
                    value @ (Value::List(_) | Value::Map(_)) => {
                        function.bind(value).map_err(|error| not_spread(error, function, &text))
                    }
                    value => bind(function, (value,)),
                }
                .map(Some);
            },
        }
    }
}

fn bind(function: &Function, arguments: impl scaler_client::IntoArguments) -> anyhow::Result<BoundArguments> {
    Ok(function.bind(arguments)?)
}

/// Why a line cannot be read; it may have been meant as it stands.
fn not_json(error: &ValueError, text: &str) -> anyhow::Error {
    let shown = shortened(text);
    if !matches!(error, ValueError::Json { .. }) {
        return exit::coded(exit::USAGE, format!("`{shown}`: {error}"));
    }
    let help = format!(
        "put a string in quotes, as in {}; or `--each-line FILE` takes each line as a string, without quotes \
         (`--each-line /dev/stdin` those of stdin)",
        Value::from(shown.as_str()).to_json(),
    );
    exit::helped(exit::USAGE, "usage", format!("`{shown}` is {error}"), help)
}

/// A line as it is shown.
fn shortened(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None => line.to_owned(),
    }
}

/// Why a line with several arguments does not fit; it may have been meant as the one argument.
fn not_spread(error: Error, function: &Function, text: &str) -> anyhow::Error {
    let Error::Bind { function: name, source, .. } = &error else { return error.into() };
    let value = Value::from_json(text).ok();
    let gives = match &value {
        Some(Value::Map(_)) => "an object on a line gives the arguments by name",
        _ => "an array on a line is the list of arguments",
    };
    let is_one = value.is_some_and(|value| function.bind((value,)).is_ok());
    let shown = shortened(text);
    let message = format!("{name}: {source}");
    if is_one {
        let help = format!("{gives}; write [{shown}] to give it as the one argument");
        exit::helped(exit::USAGE, "type_mismatch", message, help)
    } else {
        exit::named(exit::USAGE, "type_mismatch", message)
    }
}

/// The next line without its end.
fn line(reader: &mut impl BufRead, place: &str) -> anyhow::Result<Option<String>> {
    let mut text = Vec::new();
    let read = io::Read::take(&mut *reader, LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
    if read == 0 {
        return Ok(None);
    }
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    } else if read as u64 == LINE_BYTES_MAX {
        let message = format!("{place}: a line is longer than {LINE_BYTES_MAX} bytes; split it");
        return Err(exit::coded(exit::USAGE, message));
    }
    let text = String::from_utf8(text).map_err(|_| exit::coded(exit::USAGE, format!("{place}: not UTF-8")))?;
    Ok(Some(text))
}

fn progress(length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, form) = match length {
        Some(length) => (ProgressBar::new(length), "{wide_bar} {human_pos} of {human_len} done, {rate}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} done, {rate}, {elapsed}"),
    };
    match ProgressStyle::with_template(form) {
        Ok(style) => bar.with_style(style.with_key("rate", |state: &ProgressState, line: &mut dyn fmt::Write| {
            // A bar cannot fail for want of a figure.
            let _ = line.write_str(&rate(state.per_sec()));
        })),
        Err(_) => bar,
    }
}

/// Results a second, as exactly as anybody reads them.
fn rate(per_second: f64) -> String {
    if per_second < 99.95 {
        return format!("{per_second:.1} elements/s");
    }
    // Saturates, far above what there can be.
    format!("{} elements/s", HumanCount(per_second.round() as u64))
}

fn range(text: &str) -> Result<Range<i64>, String> {
    let number = |text: &str| text.trim().replace('_', "").parse::<i64>().ok();
    let (start, end) = text.split_once("..").ok_or_else(|| "write A..B, as in 0..1000".to_owned())?;
    match (number(start), number(end)) {
        (Some(start), Some(end)) if start <= end => Ok(start..end),
        (Some(start), Some(end)) => Err(format!("{start} is larger than {end}")),
        _ => Err("A and B must be integers, as in 0..1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_exclude_their_end_and_explain_themselves() {
        assert_eq!(range("-2..1_000"), Ok(-2..1000));
        assert!(range("5..1").is_err() && range("5").is_err() && range("a..b").is_err());
    }

    #[test]
    fn rates_have_no_more_digits_than_anybody_reads() {
        for (per_second, expected) in
            [(0.0, "0.0"), (7.04, "7.0"), (99.94, "99.9"), (99.96, "100"), (53_829.32, "53,829")]
        {
            assert_eq!(rate(per_second), format!("{expected} elements/s"));
        }
    }

    #[test]
    fn an_element_is_found_by_its_line_although_empty_lines_are_none() {
        let places = Places::new(Some("stdin".to_owned()));
        // Lines: element 0, empty, empty, element 1, empty, element 2.
        for before in [1, 1, 2] {
            places.skip(before);
        }
        for _ in 0..2 {
            assert_eq!([1, 2].map(|index| places.of(index)), ["stdin, line 4", "stdin, line 6"]);
            places.printed(1);
        }
        assert_eq!(Places::new(None).of(7), "element 7 of the input");
    }

    #[test]
    fn lines_lose_their_ends_and_the_last_one_needs_none() {
        let mut reader = BufReader::new(&b"a\r\n\nb"[..]);
        let mut lines = Vec::new();
        while let Some(text) = line(&mut reader, "test").expect("text") {
            lines.push(text);
        }
        assert_eq!(lines, ["a", "", "b"]);
        assert!(line(&mut BufReader::new(&b"\xff\n"[..]), "test").is_err());
    }
}
