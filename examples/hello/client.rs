//! The smallest client: one call, a call with a name, and a map over many.

use scaler_client::{Arguments, Client, MapOptions, SchedulerClusterCombo};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Without an address: servers of our own, which end with `combo`.
    let combo;
    let address = match std::env::args().nth(1) {
        Some(address) => address,
        None => {
            combo = SchedulerClusterCombo::start(2)?;
            combo.address().to_owned()
        }
    };
    let client = Client::connect(&address).await?;

    // A call, written as everywhere in Scaler.
    let greeting: String = client.call("hello.greeting:greet('world')")?.result().await?;
    println!("{greeting}");

    // A function, looked up once, with Rust values; its arguments are checked here, before anything is sent.
    let greet = client.function("hello.greeting:greet").await?;
    let named = Arguments::new().arg("Ada").kwarg("word", "Good morning");
    println!("{}", client.submit(&greet, named)?.result::<String>().await?);

    // Results come in the order of the input, as soon as they are there.
    let mut greetings = client.map(&greet, ["Bo", "Cy", "Di"].map(|name| (name,)), MapOptions::new());
    while let Some(greeting) = greetings.next::<String>().await {
        println!("{}", greeting?);
    }
    client.disconnect().await;
    Ok(())
}
