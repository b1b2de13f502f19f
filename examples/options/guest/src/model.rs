//! The model: resampled monthly returns with risk-neutral drift.

use std::sync::OnceLock;

static MODEL: OnceLock<Model> = OnceLock::new();

/// A price history and what follows from it.
pub struct Model {
    history: Vec<f64>,
    /// Growth factors of one month, with the risk-free rate as their mean.
    growth: Vec<f64>,
    volatility: f64,
    rate: f64,
}

impl Model {
    /// Reads `date,price` rows.
    pub fn from_csv(text: &str, rate: f64) -> Result<Self, String> {
        let mut history = Vec::new();
        for (row, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let price = line.rsplit(',').next().unwrap_or_default().trim();
            match price.parse::<f64>() {
                Ok(price) if price > 0.0 && price.is_finite() => history.push(price),
                _ => return Err(format!("row {}: `{price}` is no price", row + 1)),
            }
        }
        if history.len() < 3 {
            return Err(format!("{} prices are no history; three are the least", history.len()));
        }
        let returns: Vec<f64> = history.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
        let count = returns.len() as f64;
        let mean = returns.iter().sum::<f64>() / count;
        let variance = returns.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        // Dividing by the mean growth and multiplying by one month's interest makes the discounted price a martingale.
        let mean_growth = returns.iter().map(|value| value.exp()).sum::<f64>() / count;
        let shift = (rate / 12.0).exp() / mean_growth;
        let growth = returns.iter().map(|value| value.exp() * shift).collect();
        Ok(Self { history, growth, volatility: (variance * 12.0).sqrt(), rate })
    }

    pub fn history(&self) -> &[f64] {
        &self.history
    }

    pub fn last_close(&self) -> f64 {
        self.history.last().copied().unwrap_or(f64::NAN)
    }

    pub fn volatility(&self) -> f64 {
        self.volatility
    }

    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The price after so many months.
    pub fn end_of_path(&self, months: u32, random: &mut Random) -> f64 {
        (0..months).fold(self.last_close(), |price, _| price * self.growth[random.below(self.growth.len())])
    }

    /// All prices from the last close on.
    pub fn path(&self, months: u32, random: &mut Random) -> Vec<f64> {
        let mut price = self.last_close();
        let mut path = vec![price];
        for _ in 0..months {
            price *= self.growth[random.below(self.growth.len())];
            path.push(price);
        }
        path
    }
}

/// Keeps the model; a second preload in the same process changes nothing.
pub fn set(model: Model) {
    let _ = MODEL.set(model);
}

/// Uses the model, if there is one.
pub fn with<T>(work: impl FnOnce(&Model) -> T) -> Result<T, String> {
    MODEL.get().map(work).ok_or_else(|| "not configured: start the cluster with --preload \"options.pricing:configure(..)\"".to_owned())
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, fast, and the same everywhere for a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`; the bias of the multiplication is below one in 2^50 for such small bounds.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
