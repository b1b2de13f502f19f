//! European call options by Monte Carlo over resampled price history.
//!
//! The model resamples the monthly log returns of a real index (Efron's bootstrap, *Annals of Statistics* 7, 1979), so
//! that its fat tails stay in, and shifts them so that the expected growth is the risk-free rate. The price of a call
//! is
//! the discounted mean of its payoff over simulated paths, with the standard error of that mean (Boyle, "Options: a
//! Monte Carlo approach", *Journal of Financial Economics* 4, 1977).
//!
//! `pricing.configure` reads the history once, as the cluster's preload. Every task starts from a snapshot of that
//! state, so none reads the file again.

mod model;

/// Prices of European calls.
#[scaler_guest::module]
pub mod pricing {
    use crate::model::{Model, Random, set, with};

    /// What the history says.
    pub struct MarketData {
        /// Last close, in index points; the start of every path.
        pub last_close: f64,
        /// Standard deviation of the log returns, a year.
        pub volatility: f64,
        /// Risk-free rate, a year, continuously compounded.
        pub rate: f64,
        /// Months of history.
        pub months: u32,
    }

    /// An estimate of a price.
    pub struct Estimate {
        /// Discounted mean payoff, in index points.
        pub price: f64,
        /// Standard error of the price.
        pub standard_error: f64,
        /// Paths that were simulated.
        pub paths: u32,
    }

    /// Reads a price history: a CSV file with the columns `date` and `price`, one row a month.
    pub fn configure(history: String, #[default(0.03)] rate: f64) -> Result<(), String> {
        let text = std::fs::read_to_string(&history).map_err(|error| format!("{history}: {error}"))?;
        let model = Model::from_csv(&text, rate)?;
        scaler_guest::log::info(&format!("{history}: {} months of history", model.history().len()));
        set(model);
        Ok(())
    }

    /// What the history says.
    pub fn market() -> Result<MarketData, String> {
        with(|model| MarketData {
            last_close: model.last_close(),
            volatility: model.volatility(),
            rate: model.rate(),
            months: model.history().len() as u32,
        })
    }

    /// Prices a call with this strike that expires in so many months. The same seed gives the same estimate.
    pub fn price(
        strike: f64,
        months: u32,
        #[default(10_000)] paths: u32,
        #[default(1)] seed: u64,
    ) -> Result<Estimate, String> {
        if paths < 2 {
            return Err(format!("{paths} paths have no standard error; simulate two at least"));
        }
        with(|model| {
            let mut random = Random::new(seed);
            let (mut sum, mut sum_of_squares) = (0.0, 0.0);
            for _ in 0..paths {
                let payoff = (model.end_of_path(months, &mut random) - strike).max(0.0);
                sum += payoff;
                sum_of_squares += payoff * payoff;
            }
            let count = f64::from(paths);
            let mean = sum / count;
            let variance = ((sum_of_squares / count - mean * mean) * count / (count - 1.0)).max(0.0);
            let discount = (-model.rate() * f64::from(months) / 12.0).exp();
            Estimate { price: discount * mean, standard_error: discount * (variance / count).sqrt(), paths }
        })
    }

    /// Closing prices of the past, oldest first.
    pub fn history() -> Result<Vec<f64>, String> {
        with(|model| model.history().to_vec())
    }

    /// Simulated paths, month by month from the last close on.
    pub fn paths(count: u32, months: u32, #[default(1)] seed: u64) -> Result<Vec<Vec<f64>>, String> {
        with(|model| {
            let mut random = Random::new(seed);
            (0..count).map(|_| model.path(months, &mut random)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::pricing;

    #[test]
    fn prices_fall_with_the_strike_and_the_error_with_the_paths() {
        let file = std::env::temp_dir().join(format!("history-{}.csv", std::process::id()));
        std::fs::write(&file, include_str!("../../data/sp500.csv")).unwrap();
        pricing::configure(file.to_string_lossy().into_owned(), 0.03).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(pricing::market().unwrap().months, 123);
        let low = pricing::price(1000.0, 12, 20_000, 1).unwrap();
        let high = pricing::price(1300.0, 12, 20_000, 1).unwrap();
        assert!(low.price > high.price);
        let rough = pricing::price(1000.0, 12, 200, 1).unwrap();
        assert!(rough.standard_error > 5.0 * low.standard_error);
        // A strike of zero is the index itself: its discounted expectation is today's price.
        let index = pricing::price(0.0, 12, 100_000, 2).unwrap();
        assert!((index.price - pricing::market().unwrap().last_close).abs() < 4.0 * index.standard_error);
    }
}
