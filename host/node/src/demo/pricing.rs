//! The demo's work: a surface of option prices as some thousand small tasks, and the pictures of it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use indicatif::ProgressBar;
use scaler_client::blocking::{Client, TaskFuture};
use serde::Deserialize;

use super::{plots, progress_bar};

/// Paths that one task simulates.
pub(super) const PATHS: u32 = 20_000;
/// Tasks for each point of the surface, each with a seed of its own.
const SEEDS: u64 = 3;
const STRIKES: u32 = 33;
const MATURITIES: u32 = 20;
/// Points of the convergence plot: 2^7 to 2^20 paths.
const CONVERGENCE: std::ops::RangeInclusive<u32> = 7..=20;

/// How far the work is.
pub(super) struct Progress<'a> {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) bar: &'a ProgressBar,
}

/// What came out.
pub(super) struct Outcome {
    pub(super) tasks: u64,
    pub(super) elapsed: Duration,
    pub(super) median_start_us: u32,
    market: Market,
    strikes: Vec<f64>,
    months: Vec<u32>,
    prices: Vec<Vec<f64>>,
    errors: Vec<(f64, f64)>,
    history: Vec<f64>,
    paths: Vec<Vec<f64>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Market {
    last_close: f64,
    volatility: f64,
    rate: f64,
    months: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Estimate {
    price: f64,
    standard_error: f64,
    #[serde(rename = "paths")]
    _paths: u32,
}

/// Prices the surface; `meanwhile` is called after each result.
pub(super) fn run(client: &Client, meanwhile: &mut dyn FnMut(Progress<'_>) -> Result<()>) -> Result<Outcome> {
    let market: Market = client.call("options.pricing:market()")?.result()?;
    let strikes: Vec<f64> =
        (0..STRIKES).map(|step| (market.last_close * (0.6 + 0.025 * f64::from(step))).round()).collect();
    let months: Vec<u32> = (1..=MATURITIES).map(|step| step * 3).collect();
    let price = client.function("options.pricing:price")?;
    let started = Instant::now();
    let mut surface: Vec<(usize, usize, TaskFuture)> = Vec::new();
    for (row, month) in months.iter().enumerate() {
        for (column, strike) in strikes.iter().enumerate() {
            for seed in 0..SEEDS {
                let seed = 1 + seed + SEEDS * (row as u64 * u64::from(STRIKES) + column as u64);
                surface.push((row, column, client.submit(&price, (*strike, *month, PATHS, seed))?));
            }
        }
    }
    let total = surface.len() as u64;
    let bar = progress_bar(total);
    let mut prices = vec![vec![0.0; strikes.len()]; months.len()];
    let mut starts = Vec::with_capacity(surface.len());
    for (done, (row, column, future)) in surface.into_iter().enumerate() {
        let estimate: Estimate =
            future.result_timeout(Duration::from_secs(60)).with_context(|| format!("task {done}"))?;
        prices[row][column] += estimate.price / SEEDS as f64;
        starts.extend(future.stats().map(|stats| stats.start_us));
        bar.inc(1);
        meanwhile(Progress { done: done as u64 + 1, total, bar: &bar })?;
    }
    let elapsed = started.elapsed();
    bar.finish_and_clear();
    starts.sort_unstable();
    let at_the_money = market.last_close.round();
    let settling: Vec<_> = CONVERGENCE
        .map(|power| Ok((1u32 << power, client.submit(&price, (at_the_money, 12u32, 1u32 << power, 7u64))?)))
        .collect::<Result<_>>()?;
    let errors = settling
        .into_iter()
        .map(|(paths, future)| Ok((f64::from(paths), future.result::<Estimate>()?.standard_error)))
        .collect::<Result<_>>()?;
    let history = client.call("options.pricing:history()")?.result()?;
    let paths = client.call("options.pricing:paths(150, 60, seed=11)")?.result()?;
    let median_start_us = starts.get(starts.len() / 2).copied().unwrap_or(0);
    Ok(Outcome { tasks: total, elapsed, median_start_us, market, strikes, months, prices, errors, history, paths })
}

/// Draws the pictures; gives their paths.
pub(super) fn draw(outcome: &Outcome, folder: &Path) -> Result<Vec<PathBuf>> {
    let files: Vec<PathBuf> =
        ["paths.png", "surface.png", "convergence.png"].iter().map(|name| folder.join(name)).collect();
    let market = &outcome.market;
    let mut ends: Vec<f64> = outcome.paths.iter().filter_map(|path| path.last().copied()).collect();
    ends.sort_by(f64::total_cmp);
    let share = |part: f64| ends.get((ends.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    plots::paths(
        &files[0],
        &plots::Paths {
            title: format!(
                "From {:.0} today, nine in ten resampled paths end between {:.0} and {:.0} in five years",
                market.last_close,
                share(0.05),
                share(0.95)
            ),
            history: &outcome.history,
            paths: &outcome.paths,
        },
    )?;
    let row = outcome.months.iter().position(|months| *months == 12).unwrap_or(0);
    let column = nearest(&outcome.strikes, market.last_close);
    plots::surface(
        &files[1],
        &plots::Surface {
            title: format!(
                "A call on the S&P 500 at {:.0} for a year costs {:.0} ({:.0} % volatility over {} months, {:.0} % rate)",
                outcome.strikes[column],
                outcome.prices[row][column],
                100.0 * market.volatility,
                market.months,
                100.0 * market.rate
            ),
            strikes: &outcome.strikes,
            maturities_months: &outcome.months,
            prices: &outcome.prices,
        },
    )?;
    let last = outcome.errors.last().copied().unwrap_or((0.0, 0.0));
    plots::convergence(
        &files[2],
        &plots::Convergence {
            title: format!("A million paths settle the one-year price to {:.2} points, as theory says", last.1),
            errors: &outcome.errors,
        },
    )?;
    Ok(files)
}

fn nearest(values: &[f64], wanted: f64) -> usize {
    let distance = |index: &usize| (values[*index] - wanted).abs();
    (0..values.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}
