//! Random numbers, fresh from the host in every task.
//!
//! A generator that a preload seeded starts from the same state in every task, because tasks start from a snapshot
//! taken after the preload. These functions do not: the host is asked each time. For many numbers seed a generator of
//! your own with [`u64()`] in the task.

/// A number of 64 random bits.
pub fn u64() -> u64 {
    crate::host::random_u64()
}

/// A number from 0 (included) to 1 (excluded), of 53 random bits.
pub fn f64() -> f64 {
    (u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Fills a buffer with random bytes.
pub fn fill(buffer: &mut [u8]) {
    for chunk in buffer.chunks_mut(8) {
        chunk.copy_from_slice(&u64().to_le_bytes()[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ_and_lie_in_their_range() {
        assert_ne!(super::u64(), super::u64());
        assert!((0..1000).map(|_| super::f64()).all(|number| (0.0..1.0).contains(&number)));
        let mut buffer = [0; 13];
        super::fill(&mut buffer);
        assert_ne!(buffer, [0; 13]);
    }
}
