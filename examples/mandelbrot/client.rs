//! Draws the Mandelbrot set: the picture is cut into tiles, each tile is a task, and what comes back is put together.
//!
//! `mandelbrot [ADDRESS [FILE]]` writes FILE, `mandelbrot.png` if there is none.

use std::{fs::File, io::BufWriter, time::Instant};

use scaler_client::{MapOptions, SchedulerClusterCombo, blocking::Client};
use serde::Serialize;

const WIDTH: u32 = 1024;
const HEIGHT: u32 = 768;
const TILE: u32 = 64;

/// The record of the same name that `mandelbrot.tiles:render` takes.
#[derive(Clone, Copy, Serialize)]
struct View {
    centre_x: f64,
    centre_y: f64,
    pixel: f64,
    width: u32,
    height: u32,
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
    let file = arguments.next().unwrap_or_else(|| "mandelbrot.png".to_owned());
    let client = Client::connect(&address)?;
    let render = client.function("mandelbrot.tiles:render")?;

    let view =
        View { centre_x: -0.7455, centre_y: 0.1128, pixel: 0.0024 / f64::from(WIDTH), width: WIDTH, height: HEIGHT };
    let corners = || {
        let rows = (0..HEIGHT).step_by(TILE as usize);
        rows.flat_map(|top| (0..WIDTH).step_by(TILE as usize).map(move |left| (left, top)))
    };
    let started = Instant::now();
    // Results come in the order of the input, each as soon as those before it are there.
    let mut tiles = client.map(&render, corners().map(|(left, top)| (view, left, top, TILE, 3_000)), MapOptions::new());
    let mut picture = vec![0; (WIDTH * HEIGHT) as usize];
    let mut count = 0;
    for (left, top) in corners() {
        let Some(tile) = tiles.next_as::<Vec<u8>>() else { anyhow::bail!("the tile at {left}, {top} is missing") };
        for (row, shades) in (top..).zip(tile?.chunks(TILE as usize)) {
            let start = (row * WIDTH + left) as usize;
            picture[start..start + shades.len()].copy_from_slice(shades);
        }
        count += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    client.disconnect();
    write(&file, &picture)?;
    println!(
        "{count} tiles of {TILE}x{TILE} pixels in {seconds:.2} s ({:.0} tasks/s) -> {file}, {WIDTH}x{HEIGHT}",
        f64::from(count) / seconds
    );
    Ok(())
}

/// Writes a PNG with one byte a pixel and a palette.
fn write(file: &str, picture: &[u8]) -> anyhow::Result<()> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(file)?), WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette((0..=255).flat_map(colour).collect::<Vec<u8>>());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(picture)?;
    Ok(())
}

/// Night blue over white to amber and back; the set itself is black.
fn colour(shade: u8) -> [u8; 3] {
    const STOPS: [[f64; 3]; 6] = [
        [6.0, 14.0, 58.0],
        [24.0, 88.0, 168.0],
        [226.0, 244.0, 250.0],
        [250.0, 182.0, 48.0],
        [122.0, 32.0, 12.0],
        [6.0, 14.0, 58.0],
    ];
    let Some(place) = shade.checked_sub(1) else { return [0; 3] };
    let place = f64::from(place) / 255.0 * (STOPS.len() - 1) as f64;
    let (from, to, part) = (STOPS[place as usize], STOPS[place as usize + 1], place.fract());
    std::array::from_fn(|channel| (from[channel] + (to[channel] - from[channel]) * part).round() as u8)
}
