//! What a preload leaves behind is there for every task, and no task sees what another one changed.

use scaler_client::{SchedulerClusterCombo, blocking::Client};

fn main() -> anyhow::Result<()> {
    // Without an address: servers of our own, which end with `combo`.
    let combo;
    let address = match std::env::args().nth(1) {
        Some(address) => address,
        None => {
            combo = SchedulerClusterCombo::builder(2)
                .cluster_args(["--config", "examples/preload/cluster.toml"])
                .start()?;
            combo.address().to_owned()
        }
    };
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
