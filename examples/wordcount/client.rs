//! Counts the words of three texts: a map over parts of each text, then a reduction.
//!
//! `wordcount [ADDRESS [FILE ..]]` takes other texts.

use std::{fs, path::Path, time::Instant};

use scaler_client::{SchedulerClusterCombo, blocking::Client};
use serde::{Deserialize, Serialize};

const TEXTS: [&str; 3] = ["gpl-1.txt", "gpl-2.txt", "gpl-3.txt"];
/// Tasks for each text.
const PARTS: u32 = 8;
const SHOWN: usize = 12;

/// The record of the same name of `wordcount.words`.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Tally {
    word: String,
    times: u64,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    // Without an address: servers of our own, which end with `combo`.
    let combo;
    let address = match arguments.next() {
        Some(address) => address,
        None => {
            combo = SchedulerClusterCombo::start(2)?;
            combo.address().to_owned()
        }
    };
    let mut files: Vec<String> = arguments.collect();
    if files.is_empty() {
        files = TEXTS.iter().map(|name| format!("examples/wordcount/texts/{name}")).collect();
    }
    let client = Client::connect(&address)?;
    let (count, merge) = (client.function("wordcount.words:count")?, client.function("wordcount.words:merge")?);
    let started = Instant::now();
    let mut columns = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
        // The text is stored once and travels once to each worker, however many tasks use it.
        let text = client.send_object(&text, file)?;
        let parts: Vec<_> =
            (0..PARTS).map(|part| client.submit(&count, (&text, part, PARTS))).collect::<Result<_, _>>()?;
        let counts: Vec<Vec<Tally>> = parts.into_iter().map(|part| part.result()).collect::<Result<_, _>>()?;
        columns.push(client.submit(&merge, (counts,))?);
    }
    let columns: Vec<Vec<Tally>> = columns.into_iter().map(|column| column.result()).collect::<Result<_, _>>()?;
    let all: Vec<Tally> = client.submit(&merge, (&columns,))?.result()?;
    let seconds = started.elapsed().as_secs_f64();
    client.disconnect();

    let name = |file: &String| Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    print!("{:<12}{:>8}", "word", "all");
    files.iter().for_each(|file| print!("{:>10}", name(file)));
    println!();
    for Tally { word, times } in all.iter().take(SHOWN) {
        print!("{word:<12}{times:>8}");
        for column in &columns {
            print!("{:>10}", column.iter().find(|count| count.word == *word).map_or(0, |count| count.times));
        }
        println!();
    }
    let words: u64 = all.iter().map(|count| count.times).sum();
    let tasks = files.len() as u32 * (PARTS + 1) + 1;
    println!("{words} words, {} different ones, counted by {tasks} tasks in {seconds:.2} s", all.len());
    Ok(())
}
