//! A tour of the client: everything once, on a cluster that it starts itself.
//!
//! `scaler build examples/hello/guest -o modules/hello.wasm`, then `cargo run --release --example tour -- modules`. The
//! same code is the front page of the library's documentation; a test sees to that.

use std::{iter::repeat, time::Duration};

use scaler_client::{
    Arguments, Error, FailureKind, MapOptions, ReturnWhen, SchedulerClusterCombo, SubmitOptions,
    blocking::{Client, as_completed, gather, wait},
    zip,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Real servers on this machine, which end with this program. Elsewhere: `Client::connect("tcp://host:8516")`,
    // or `Client::new()` with the address in the environment variable SCALER_ADDRESS.
    let modules = std::env::args().nth(1).unwrap_or_else(|| "modules".to_owned());
    let combo = SchedulerClusterCombo::builder(2).module_path(modules).per_worker_capabilities("linux");
    // Clients may shut this one down; an event loop of the original's is accepted.
    let combo = combo.protected(false).event_loop("builtin").start()?;
    // Half a minute without a word from the scheduler, and everything fails; it hears of us each second.
    let client = Client::builder().timeout(Duration::from_secs(30)).heartbeat(Duration::from_secs(1));
    let client = client.profiling(true).stream_output(true).connect_blocking(combo.address())?;

    // A call, written as everywhere in Scaler.
    let world: String = client.call("hello.greeting:greet('world')")?.result()?;
    println!("{world}");

    // A function, looked up once, with Rust values: they are checked here, before anything is sent.
    let greet = client.function("hello.greeting:greet")?;
    let morning = client.submit(&greet, Arguments::new().arg("Ada").kwarg("word", "Good morning"))?;
    println!("{}", morning.result_timeout::<String>(Duration::from_secs(60))?);
    println!("it ran on {}", morning.profiling_info()?.worker);

    // Futures, alone and together.
    let futures = ["Bo", "Cy", "Di"].into_iter().map(|name| client.submit(&greet, (name,)));
    let futures = futures.collect::<Result<Vec<_>, Error>>()?;
    futures[0].add_done_callback(|future| assert!(future.done()));
    let first = wait(futures.clone(), Some(Duration::from_secs(60)), ReturnWhen::FirstCompleted);
    println!("at least one of 3 has ended: {}", !first.done.is_empty());
    println!("as they end: {}", as_completed(futures.clone()).count());
    println!("in order: {}", gather::<String>(futures)?.join(" "));

    // A value that is stored once and used by many tasks; a map over two inputs, drawn as results come back: a
    // million elements need no million-element memory.
    let word = client.send_object("Welcome", "word")?;
    let names = (0..1_000).map(|number| format!("guest {number}"));
    let mut greetings = client.map(&greet, zip((names, repeat(&word))), MapOptions::new());
    while let Some(greeting) = greetings.next_as::<String>() {
        if greeting?.ends_with(" 999!") {
            println!("the last of a thousand");
        }
    }
    // As they come instead of in order.
    let mut greetings = client.map(&greet, ["Jo", "Kay"], MapOptions::new().unordered());
    while let Some(greeting) = greetings.next_as::<String>() {
        println!("as it comes: {}", greeting?);
    }
    // All results, or the first failure at once: then the rest is canceled, and the client goes on.
    let both: Vec<String> = client.map_all(&greet, zip((["Ed", "Flo"], repeat(&word))), MapOptions::new())?;
    println!("{both:?}");

    // What goes wrong is a type: the guest's own error with its value, a trap, a limit, a loss, a mistake.
    match client.call("hello.greeting:birthdays({'name': 'Gus', 'age': 101})")?.result::<u32>() {
        Err(Error::Task(task)) if task.kind == FailureKind::Error => println!("as it should be: {task}"),
        other => println!("not as it should be: {other:?}"),
    }
    if let Err(Error::Bind { source, .. }) = client.submit(&greet, (7,)) {
        println!("not sent: {source}");
    }

    // Only on workers that offer a tag, ahead of others, for a minute at most; canceled unless it has ended.
    let options = SubmitOptions::new().capabilities("linux".parse()?).priority(5).timeout(Duration::from_secs(60));
    let future = client.submit_with(&greet, ("Hal",), &options)?;
    println!("canceled or done: {}", future.cancel() || future.exception().is_none());

    client.clear()?;
    println!("cleared: {}", matches!(client.submit(&greet, ("Ida", &word)), Err(Error::MissingObject { .. })));

    // The other face has the same names; any executor will do.
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(awaited(combo.address()))?;

    client.shutdown()?;
    client.disconnect();
    combo.shutdown()?;
    Ok(())
}

async fn awaited(address: &str) -> Result<(), Error> {
    let client = scaler_client::Client::connect(address).await?;
    let greet = client.function("hello.greeting:greet").await?;
    let future = client.submit(&greet, ("Lou",))?;
    println!("awaited: {}", future.await?);
    let mut greetings = client.map(&greet, ["Max", "Ned"], MapOptions::new());
    while let Some(greeting) = greetings.next::<String>().await {
        println!("awaited: {}", greeting?);
    }
    client.disconnect().await;
    Ok(())
}
