//! Tiles of the Mandelbrot set: each task computes one, and knows nothing of the others.

/// Tiles of a picture.
#[scaler_guest::module]
pub mod tiles {
    /// What of the plane the picture shows.
    #[derive(Clone, Copy, Debug)]
    pub struct View {
        /// Middle of the picture, real part.
        pub centre_x: f64,
        /// Middle of the picture, imaginary part.
        pub centre_y: f64,
        /// Distance of two pixels.
        pub pixel: f64,
        /// Pixels of the whole picture from left to right.
        pub width: u32,
        /// Pixels of the whole picture from top to bottom.
        pub height: u32,
    }

    /// The shades of a square of the picture, row by row from the top, one byte a pixel: 0 inside the set, else 1 to
    /// 255 and round again, a little more for every step that the point takes longer to escape.
    ///
    /// Each pixel is the mean of nine points.
    pub fn render(view: View, left: u32, top: u32, size: u32, #[default(2_000)] steps: u32) -> Vec<u8> {
        let mut shades = Vec::with_capacity((size * size) as usize);
        for row in top..top + size {
            for column in left..left + size {
                let points: [Option<f64>; 9] = std::array::from_fn(|point| {
                    let (right, down) = ((point % 3) as f64 / 3.0 + 1.0 / 6.0, (point / 3) as f64 / 3.0 + 1.0 / 6.0);
                    let x = view.centre_x + (f64::from(column) + right - f64::from(view.width) / 2.0) * view.pixel;
                    let y = view.centre_y - (f64::from(row) + down - f64::from(view.height) / 2.0) * view.pixel;
                    super::escape(x, y, steps)
                });
                shades.push(super::shade(&points));
            }
        }
        shades
    }
}

/// Steps until the point leaves, with a fraction (Vepštas' renormalised count); `None` if it stays.
fn escape(x: f64, y: f64, steps: u32) -> Option<f64> {
    // The main cardioid and the disc left of it hold most points that never leave.
    let q = (x - 0.25) * (x - 0.25) + y * y;
    if q * (q + (x - 0.25)) <= 0.25 * y * y || (x + 1.0) * (x + 1.0) + y * y <= 0.0625 {
        return None;
    }
    let (mut a, mut b) = (0.0_f64, 0.0_f64);
    for step in 0..steps {
        let (aa, bb) = (a * a, b * b);
        if aa + bb > 1e4 {
            let fraction = ((aa + bb).ln() / 2.0).ln() / std::f64::consts::LN_2;
            return Some(f64::from(step) + 1.0 - fraction);
        }
        (a, b) = (aa - bb + x, 2.0 * a * b + y);
    }
    None
}

/// One byte for the mean of some points. The logarithm spreads the few steps far outside as widely as the many close to
/// the set; the first shade is for points that leave within 20 steps.
fn shade(points: &[Option<f64>]) -> u8 {
    let gone: Vec<f64> = points.iter().flatten().map(|steps| steps.max(1.0).ln()).collect();
    if 2 * gone.len() < points.len() {
        return 0;
    }
    let mean = gone.iter().sum::<f64>() / gone.len() as f64;
    1 + (((mean - 3.0).max(0.0) * 60.0) as u64 % 255) as u8
}

#[cfg(test)]
mod tests {
    use super::{escape, tiles};

    #[test]
    fn points_inside_stay_and_points_outside_leave() {
        assert_eq!((escape(0.0, 0.0, 100), escape(-1.0, 0.0, 100), escape(-0.1, 0.75, 500)), (None, None, None));
        assert!(escape(2.0, 2.0, 100).unwrap() < escape(-0.75, 0.1, 1_000).unwrap());
    }

    #[test]
    fn a_tile_is_the_same_as_that_part_of_a_larger_one() {
        let view = tiles::View { centre_x: -0.5, centre_y: 0.0, pixel: 0.05, width: 64, height: 64 };
        let (whole, part) = (tiles::render(view, 0, 0, 64, 100), tiles::render(view, 16, 32, 16, 100));
        let rows = (0..16).flat_map(|row| whole[(32 + row) * 64 + 16..][..16].to_vec());
        assert_eq!(rows.collect::<Vec<u8>>(), part);
        assert!(whole.contains(&0) && whole.contains(&1));
    }
}
