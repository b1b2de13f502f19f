//! Sizes and alignments of values in the canonical ABI, computed at compile time.

/// Size and alignment of a type in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes it takes, a multiple of `align`.
    pub size: usize,
    /// A power of two.
    pub align: usize,
}

impl Layout {
    /// Nothing: the payload of a case without one.
    pub const EMPTY: Self = Self::new(0, 1);

    /// A layout as given.
    pub const fn new(size: usize, align: usize) -> Self {
        Self { size, align }
    }

    /// The layout of a record or tuple: its fields in order.
    pub const fn record(fields: &[Layout]) -> Self {
        let (mut size, mut align, mut index) = (0, 1, 0);
        while index < fields.len() {
            size = align_up(size, fields[index].align) + fields[index].size;
            align = max(align, fields[index].align);
            index += 1;
        }
        Self::new(align_up(size, align), align)
    }
}

/// The layout of a variant, an enum, an option or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Of the whole.
    pub layout: Layout,
    /// Bytes of the case's number: 1, 2 or 4.
    pub discriminant_size: usize,
    /// Where the payload starts.
    pub payload_offset: usize,
}

impl Variant {
    /// The layout of a variant with these payloads, one a case.
    pub const fn new(payloads: &[Layout]) -> Self {
        let discriminant_size = match payloads.len() {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let (mut size, mut align, mut index) = (0, 1, 0);
        while index < payloads.len() {
            size = max(size, payloads[index].size);
            align = max(align, payloads[index].align);
            index += 1;
        }
        let payload_offset = align_up(discriminant_size, align);
        let align = max(align, discriminant_size);
        Self { layout: Layout::new(align_up(payload_offset + size, align), align), discriminant_size, payload_offset }
    }

    /// Reads the case's number.
    ///
    /// # Safety
    /// `pointer` must point to a stored value of this layout.
    pub unsafe fn load(&self, pointer: *const u8) -> u32 {
        // SAFETY: the caller's promise; the pointer is aligned at least as the discriminant is.
        unsafe {
            match self.discriminant_size {
                1 => u32::from(*pointer),
                2 => u32::from(*pointer.cast::<u16>()),
                _ => *pointer.cast::<u32>(),
            }
        }
    }

    /// Writes the case's number.
    ///
    /// # Safety
    /// `pointer` must point to writable memory of this layout.
    pub unsafe fn store(&self, pointer: *mut u8, case: u32) {
        // SAFETY: the caller's promise; the pointer is aligned at least as the discriminant is.
        unsafe {
            match self.discriminant_size {
                1 => *pointer = case as u8,
                2 => *pointer.cast::<u16>() = case as u16,
                _ => *pointer.cast::<u32>() = case,
            }
        }
    }
}

/// The layout of that many flags, 32 at most: a bit each.
pub const fn flags(count: usize) -> Layout {
    match count {
        0..=8 => Layout::new(1, 1),
        9..=16 => Layout::new(2, 2),
        _ => Layout::new(4, 4),
    }
}

/// The next multiple of a power of two.
pub const fn align_up(offset: usize, align: usize) -> usize {
    (offset + align - 1) & !(align - 1)
}

/// The larger one.
pub const fn max(left: usize, right: usize) -> usize {
    if left > right { left } else { right }
}

/// The largest one, or 0.
pub const fn max_of(numbers: &[usize]) -> usize {
    let (mut largest, mut index) = (0, 0);
    while index < numbers.len() {
        largest = max(largest, numbers[index]);
        index += 1;
    }
    largest
}

/// The sum.
pub const fn sum_of(numbers: &[usize]) -> usize {
    let (mut sum, mut index) = (0, 0);
    while index < numbers.len() {
        sum += numbers[index];
        index += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTE: Layout = Layout::new(1, 1);
    const LONG: Layout = Layout::new(8, 8);

    #[test]
    fn records_pad_between_fields_and_at_the_end() {
        assert_eq!(Layout::record(&[]), Layout::EMPTY);
        assert_eq!(Layout::record(&[BYTE, LONG, BYTE]), Layout::new(24, 8));
    }

    #[test]
    fn variants_have_the_smallest_discriminant() {
        assert_eq!(Variant::new(&[Layout::EMPTY; 256]).layout, Layout::new(1, 1));
        assert_eq!(Variant::new(&[Layout::EMPTY; 257]).layout, Layout::new(2, 2));
        let option = Variant::new(&[Layout::EMPTY, LONG]);
        assert_eq!((option.layout, option.payload_offset), (Layout::new(16, 8), 8));
    }

    #[test]
    fn flags_take_the_smallest_integer_that_holds_them() {
        let sizes = [1, 8, 9, 16, 17, 32].map(|count| flags(count).size);
        assert_eq!(sizes, [1, 1, 2, 2, 4, 4]);
    }
}
