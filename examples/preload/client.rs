//! What a preload leaves behind is there for every task, and no task sees what another one changed.

use scaler_client::blocking::Client;

fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:8516".to_owned());
    let client = Client::connect(&address)?;
    let environment: String = client.call("preload.init:environment()")?.result()?;
    println!("the preload set: {environment}");
    let changed: String = client.call("preload.init:overwrite('something else')")?.result()?;
    println!("a task changed it for itself: {changed}");
    let after: String = client.call("preload.init:environment()")?.result()?;
    println!("the next task sees: {after}");
    client.disconnect();
    Ok(())
}
