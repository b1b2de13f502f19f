//! Prices a strip of call options, each with its standard error, and shows what an error of a task looks like.

use scaler_client::{SchedulerClusterCombo, blocking::Client};
use serde::Deserialize;

#[derive(Deserialize)]
struct Market {
    last_close: f64,
    volatility: f64,
}

#[derive(Deserialize)]
struct Estimate {
    price: f64,
    standard_error: f64,
}

fn main() -> anyhow::Result<()> {
    // Without an address: servers of our own, which end with `combo`.
    let combo;
    let address = match std::env::args().nth(1) {
        Some(address) => address,
        None => {
            combo = SchedulerClusterCombo::builder(2)
                .cluster_args(["--config", "examples/options/cluster.toml"])
                .start()?;
            combo.address().to_owned()
        }
    };
    let client = Client::connect(&address)?;
    let market: Market = client.call("options.pricing:market()")?.result()?;
    println!("last close {:.2}, volatility {:.1} %", market.last_close, 100.0 * market.volatility);
    let price = client.function("options.pricing:price")?;
    let strikes: Vec<f64> = (8..=12).map(|tenth| (market.last_close * f64::from(tenth) / 10.0).round()).collect();
    let futures: Vec<_> =
        strikes.iter().map(|strike| client.submit(&price, (*strike, 12, 50_000))).collect::<Result<_, _>>()?;
    for (strike, future) in strikes.iter().zip(futures) {
        let estimate: Estimate = future.result()?;
        println!("one-year call at {strike:>6.0}: {:>7.2} +- {:.2}", estimate.price, estimate.standard_error);
    }
    // One path has no standard error: the task fails with the guest's own words.
    if let Err(error) = client.submit(&price, (1000.0, 12, 1))?.result::<Estimate>() {
        println!("as it should be: {error}");
    }
    client.disconnect();
    Ok(())
}
