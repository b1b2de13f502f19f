//! The demo's pictures: PNG at twice the size, each with a title that says the finding.
//!
//! Colours are the first of Okabe and Ito's palette, which colour-blind readers can tell apart.

use std::{fs::File, io::BufWriter, path::Path};

use anyhow::{Context, Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{FontStyle, register_font},
};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1000;
const BLUE_LINE: RGBColor = RGBColor(0, 114, 178);
const ORANGE_LINE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(120, 120, 120);
const FONT: &str = "demo";

/// Simulated prices, one line a path, with the last part of the real history before them.
pub(super) struct Paths<'a> {
    /// The finding.
    pub(super) title: String,
    /// Closing prices of the past, oldest first.
    pub(super) history: &'a [f64],
    /// Simulated prices from the last close on, one list a path.
    pub(super) paths: &'a [Vec<f64>],
}

/// Option prices over strikes and maturities.
pub(super) struct Surface<'a> {
    /// The finding.
    pub(super) title: String,
    /// Strikes, ascending.
    pub(super) strikes: &'a [f64],
    /// Maturities in months, ascending.
    pub(super) maturities_months: &'a [u32],
    /// Prices, one row a maturity.
    pub(super) prices: &'a [Vec<f64>],
}

/// How the estimate settles with the number of paths.
pub(super) struct Convergence<'a> {
    /// The finding.
    pub(super) title: String,
    /// Paths used so far and the standard error of the estimate.
    pub(super) errors: &'a [(f64, f64)],
}

/// Draws the price paths.
pub(super) fn paths(file: &Path, plot: &Paths<'_>) -> Result<()> {
    draw(file, |area| {
        let days_back = plot.history.len().saturating_sub(1) as f64;
        let days_on = plot.paths.iter().map(Vec::len).max().unwrap_or(1) as f64 - 1.0;
        let all = || plot.history.iter().chain(plot.paths.iter().flatten()).copied();
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        let mut chart = ChartBuilder::on(area)
            .caption(&plot.title, (FONT, 36))
            .margin(30)
            .x_label_area_size(70)
            .y_label_area_size(110)
            .build_cartesian_2d(-days_back..days_on.max(1.0), low * 0.97..high * 1.03)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc("months from the last close")
            .y_desc("index level")
            .axis_desc_style((FONT, 26))
            .label_style((FONT, 22))
            .x_label_formatter(&|day| format!("{day:.0}"))
            .y_label_formatter(&|price| format!("{price:.0}"))
            .draw()?;
        for path in plot.paths {
            chart.draw_series(LineSeries::new(
                path.iter().enumerate().map(|(day, price)| (day as f64, *price)),
                BLUE_LINE.mix(0.28).stroke_width(2),
            ))?;
        }
        chart
            .draw_series(LineSeries::new(median(plot.paths), ORANGE_LINE.stroke_width(4)))?
            .label("median of the simulated paths")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 40, y)], ORANGE_LINE.stroke_width(4)));
        chart
            .draw_series(LineSeries::new(
                plot.history.iter().enumerate().map(|(index, price)| (index as f64 - days_back, *price)),
                BLACK.stroke_width(3),
            ))?
            .label("history")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 40, y)], BLACK.stroke_width(3)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .legend_area_size(50)
            .label_font((FONT, 24))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        Ok(())
    })
}

/// Draws the price surface as a heat map with contour-like labels.
pub(super) fn surface(file: &Path, plot: &Surface<'_>) -> Result<()> {
    draw(file, |area| {
        let (columns, rows) = (plot.strikes.len(), plot.maturities_months.len());
        let (map, bar) = area.split_horizontally(WIDTH - 220);
        let top = plot.prices.iter().flatten().copied().fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&map)
            .caption(&plot.title, (FONT, 36))
            .margin(30)
            .x_label_area_size(70)
            .y_label_area_size(110)
            .build_cartesian_2d(0.0..columns as f64, 0.0..rows as f64)?;
        let strike_at =
            |x: &f64| plot.strikes.get(*x as usize).map_or_else(String::new, |strike| format!("{strike:.0}"));
        let days_at =
            |y: &f64| plot.maturities_months.get(*y as usize).map_or_else(String::new, |days| days.to_string());
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc("strike")
            .y_desc("maturity, months")
            .axis_desc_style((FONT, 26))
            .label_style((FONT, 22))
            .x_label_formatter(&strike_at)
            .y_label_formatter(&days_at)
            .draw()?;
        let cells = plot.prices.iter().enumerate().flat_map(|(row, prices)| {
            prices.iter().enumerate().map(move |(column, price)| {
                let corner = (column as f64, row as f64);
                Rectangle::new([corner, (corner.0 + 1.0, corner.1 + 1.0)], heat(price / top.max(1e-9)).filled())
            })
        });
        chart.draw_series(cells)?;
        scale(&bar, top)
    })
}

/// Draws the standard error over the number of paths, both logarithmic, beside the theory's slope.
pub(super) fn convergence(file: &Path, plot: &Convergence<'_>) -> Result<()> {
    let (Some(first), Some(last)) = (plot.errors.first(), plot.errors.last()) else {
        return Err(anyhow!("no estimates to plot"));
    };
    draw(file, |area| {
        let high = plot.errors.iter().map(|(_, error)| *error).fold(0.0, f64::max) * 1.6;
        let low = plot.errors.iter().map(|(_, error)| *error).fold(f64::INFINITY, f64::min) / 1.6;
        let mut chart = ChartBuilder::on(area)
            .caption(&plot.title, (FONT, 36))
            .margin(30)
            .x_label_area_size(70)
            .y_label_area_size(110)
            .build_cartesian_2d((first.0 * 0.8..last.0 * 1.25).log_scale(), (low..high).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc("simulated paths")
            .y_desc("standard error of the price")
            .axis_desc_style((FONT, 26))
            .label_style((FONT, 22))
            .x_label_formatter(&|paths| thousands(*paths))
            .y_label_formatter(&|error| format!("{error:.3}"))
            .draw()?;
        chart
            .draw_series(LineSeries::new(
                plot.errors.iter().map(|(paths, _)| (*paths, first.1 * (first.0 / paths).sqrt())),
                GREY.stroke_width(3),
            ))?
            .label("theory: one over the square root of the paths")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 40, y)], GREY.stroke_width(3)));
        chart
            .draw_series(plot.errors.iter().map(|point| Circle::new(*point, 7, BLUE_LINE.filled())))?
            .label("measured")
            .legend(|(x, y)| Circle::new((x + 20, y), 7, BLUE_LINE.filled()));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .legend_area_size(50)
            .label_font((FONT, 24))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        Ok(())
    })
}

/// `12,500` for 12500.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn median(paths: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let days = paths.iter().map(Vec::len).min().unwrap_or(0);
    (0..days)
        .filter_map(|day| {
            let mut prices: Vec<f64> = paths.iter().filter_map(|path| path.get(day).copied()).collect();
            prices.sort_by(f64::total_cmp);
            prices.get(prices.len() / 2).map(|price| (day as f64, *price))
        })
        .collect()
}

fn scale(area: &DrawingArea<BitMapBackend<'_>, Shift>, top: f64) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption("price", (FONT, 26))
        .margin(30)
        .margin_bottom(100)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..1.0, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(0)
        .label_style((FONT, 22))
        .y_label_formatter(&|price| format!("{price:.0}"))
        .draw()?;
    let steps = 64;
    chart.draw_series((0..steps).map(|step| {
        let (from, to) = (f64::from(step) / f64::from(steps), f64::from(step + 1) / f64::from(steps));
        Rectangle::new([(0.0, from * top), (1.0, to * top)], heat(from).filled())
    }))?;
    Ok(())
}

/// Dark blue to yellow with even lightness steps, readable without colour vision.
fn heat(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 5] =
        [(68.0, 1.0, 84.0), (59.0, 82.0, 139.0), (33.0, 145.0, 140.0), (94.0, 201.0, 98.0), (253.0, 231.0, 37.0)];
    let place = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let (index, part) = ((place as usize).min(STOPS.len() - 2), place - (place as usize).min(STOPS.len() - 2) as f64);
    let (from, to) = (STOPS[index], STOPS[index + 1]);
    let mix = |a: f64, b: f64| (a + (b - a) * part) as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

fn draw(file: &Path, fill: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<()>) -> Result<()> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font cannot be read"))?;
    let mut pixels = vec![0; (WIDTH * HEIGHT * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
        fill(&area)?;
        area.present().map_err(|error| anyhow!("{error}"))?;
    }
    let out = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(out), WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plot_is_a_png_under_200_kb() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        let lines: Vec<Vec<f64>> = (0..40u32)
            .map(|line| (0..120u32).map(|day| 1000.0 + f64::from(day) * (f64::from(line) - 20.0) * 0.2).collect())
            .collect();
        paths(&path("paths.png"), &Paths { title: "t".into(), history: &[990.0, 1010.0, 1000.0], paths: &lines })
            .expect("paths");
        let prices: Vec<Vec<f64>> =
            (0..10).map(|row| (0..20).map(|column| f64::from(row * column)).collect()).collect();
        let strikes: Vec<f64> = (0..20).map(|step| 900.0 + f64::from(step) * 10.0).collect();
        let maturities_months: Vec<u32> = (1..=10).map(|step| step * 3).collect();
        surface(
            &path("surface.png"),
            &Surface { title: "t".into(), strikes: &strikes, maturities_months: &maturities_months, prices: &prices },
        )
        .expect("surface");
        convergence(
            &path("convergence.png"),
            &Convergence { title: "t".into(), errors: &[(1e3, 1.0), (1e4, 0.3), (1e5, 0.1)] },
        )
        .expect("convergence");
        for name in ["paths.png", "surface.png", "convergence.png"] {
            let bytes = std::fs::read(path(name)).expect("written");
            assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 200_000, "{name}: {} bytes", bytes.len());
        }
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0.0, 999.0, 1000.0, 1_234_567.0].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
