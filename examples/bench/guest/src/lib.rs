//! The guest of `scaler bench`: functions that do as little as possible, so that everything else is measured.

/// Calls that cost next to nothing.
#[scaler_guest::module]
pub mod unit {
    /// Does nothing.
    pub fn noop() {}

    /// Squares a number.
    pub fn square(number: u64) -> u64 {
        number.wrapping_mul(number)
    }
}
