//! The bytes of one content. Large ones are mappings of their own, so that their memory returns to the system at
//! once, whatever allocator the program uses.

use std::{ops, ptr::NonNull, slice};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use scaler_proto::objects::Fingerprint;

/// Contents from here on are mapped.
const MAPPED_BYTES_MIN: usize = 64 << 10;
/// Mappings from here on ask for huge pages: a page fault for every 4 KiB is half of the cost of a put.
const HUGE_BYTES_MIN: usize = 4 << 20;
/// Contents up to here are hashed whole, larger ones in samples.
const HASHED_BYTES_MAX: usize = 64 << 10;
const SAMPLES: usize = 32;
const SAMPLE_BYTES: usize = 256;

/// Bytes that are filled once and then only read.
pub(super) struct Content(Memory);

enum Memory {
    Small(Box<[u8]>),
    Mapped(Mapping),
}

impl Content {
    /// Zeros to be filled.
    pub(super) fn zeroed(length: usize) -> std::io::Result<Self> {
        if length < MAPPED_BYTES_MIN {
            return Ok(Self(Memory::Small(vec![0; length].into_boxed_slice())));
        }
        Ok(Self(Memory::Mapped(Mapping::new(length)?)))
    }

    /// Different for most different contents and the same for the same ones; cheap also for large ones.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let bytes: &[u8] = self;
        if bytes.len() <= HASHED_BYTES_MAX {
            return *blake3::hash(bytes).as_bytes();
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes.len().to_le_bytes());
        let last = bytes.len() - SAMPLE_BYTES;
        for sample in 0..SAMPLES {
            let start = last / (SAMPLES - 1) * sample;
            hasher.update(&bytes[start..start + SAMPLE_BYTES]);
        }
        hasher.update(&bytes[last..]);
        *hasher.finalize().as_bytes()
    }
}

impl ops::Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Small(bytes) => bytes,
            Memory::Mapped(mapping) => mapping.bytes(),
        }
    }
}

impl ops::DerefMut for Content {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Small(bytes) => bytes,
            Memory::Mapped(mapping) => mapping.bytes_mut(),
        }
    }
}

/// An anonymous private mapping.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is owned memory like a `Box<[u8]>`; nothing in it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: shared access only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(length: usize) -> std::io::Result<Self> {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let mapping = Self { start, length };
        if length >= HUGE_BYTES_MIN {
            // SAFETY: the range is the mapping just made, and this advice changes no content. A kernel without huge
            // pages refuses it, and nothing is lost.
            unsafe { madvise(mapping.start.as_ptr().cast(), length, Advice::LinuxHugepage) }.ok();
        }
        Ok(mapping)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has `length` readable, initialised (zeroed) bytes and lives as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, writable, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and no slice of it can outlive `self`.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.length) } {
            tracing::error!(%error, bytes = self.length, "memory of an object could not be returned");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(length: usize, at: usize) -> Content {
        let mut content = Content::zeroed(length).expect("memory");
        if let Some(byte) = content.get_mut(at) {
            *byte = 1;
        }
        content
    }

    #[test]
    fn contents_of_all_sizes_begin_as_zeros_and_keep_what_is_written() {
        for length in [0, 1, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN, HUGE_BYTES_MIN + 5] {
            let content = filled(length, length.saturating_sub(1));
            assert_eq!(content.len(), length);
            assert_eq!(content.iter().map(|byte| u64::from(*byte)).sum::<u64>(), u64::from(length > 0));
        }
    }

    #[test]
    fn fingerprints_tell_small_contents_and_the_ends_of_large_ones_apart() {
        let of = |length, at| filled(length, at).fingerprint();
        assert_ne!(of(1_000, 500), of(1_000, 501));
        assert_ne!(of(1 << 20, 0), of(1 << 20, (1 << 20) - 1));
        assert_ne!(of(1 << 20, 0), of((1 << 20) + 1, 0));
        assert_eq!(of(1 << 20, 0), of(1 << 20, 0));
    }
}
