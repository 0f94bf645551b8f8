//! The bytes that mean something in a JSON string, found 64 at a time.
//!
//! A string is passed over by one look at a number that has a bit for each byte, however long it is: there is no
//! loop over its bytes whose end the processor would have to guess.

use wide::{i8x16, u8x16};

/// The bytes of a block: as many as a `u64` has bits.
pub const BLOCK: usize = 64;

/// The meaning of the 64 bytes from `start` on. Bit 0 stands for the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// The place of the first byte.
    pub start: usize,
    /// Quotes, backslashes and control characters, with DEL: bytes that end a string, are not allowed in one or may be
    /// printed in another way. Places after the end of the buffer too.
    pub special: u64,
    /// Bytes that are not ASCII.
    pub high: u64,
}

impl Marks {
    /// The marks of no byte. Every place is after them.
    pub const NONE: Self = Self { start: usize::MAX - BLOCK, special: 0, high: 0 };

    /// The marks of the bytes of `buffer` from `start` on; `None` if it ends within them.
    #[inline(always)]
    pub fn within(buffer: &[u8], start: usize) -> Option<Self> {
        let block = buffer.get(start..)?.first_chunk()?;
        Some(Self::of(block, start))
    }

    /// The marks at the end of the buffer. Places after the end count as control characters.
    #[cold]
    pub fn at_end(buffer: &[u8], start: usize) -> Self {
        let mut block = [0; BLOCK];
        let rest = buffer.get(start..).unwrap_or_default();
        block[..rest.len()].copy_from_slice(rest);
        Self::of(&block, start)
    }

    #[inline(always)]
    fn of(block: &[u8; BLOCK], start: usize) -> Self {
        let (quote, backslash) = (u8x16::splat(b'"'), u8x16::splat(b'\\'));
        let (one, after_controls) = (u8x16::splat(1), i8x16::splat(0x21));
        let (mut special, mut high) = (0, 0);
        for (index, part) in block.as_chunks::<16>().0.iter().enumerate() {
            let bytes = u8x16::new(*part);
            let strings = bytes.simd_eq(quote) | bytes.simd_eq(backslash);
            // Less than none are the control characters, and DEL, which is less than none once it is counted up. So is
            // what is not ASCII, which is taken out below.
            let controls = (bytes + one).cast_signed().saturating_sub(after_controls);
            special |= u64::from((strings.cast_signed() | controls).to_bitmask()) << (16 * index);
            high |= u64::from(bytes.to_bitmask()) << (16 * index);
        }
        Self { start, special: special & !high, high }
    }

    /// The first special byte from `at` on, if there is one among these bytes, and `at` is one of them.
    #[inline(always)]
    pub fn special_from(&self, at: usize) -> Option<usize> {
        let offset = at.wrapping_sub(self.start);
        if offset >= BLOCK {
            return None;
        }
        let marks = self.special >> offset;
        (marks != 0).then(|| at + marks.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each bit says of its byte what a look at the byte says.
        #[test]
        fn marks_say_what_the_bytes_are(buffer in prop::collection::vec(any::<u8>(), 0..200), start in 0_usize..200) {
            let marks = Marks::within(&buffer, start).unwrap_or_else(|| Marks::at_end(&buffer, start));
            for offset in 0..BLOCK {
                let byte = buffer.get(start + offset).copied().unwrap_or(0);
                let special = byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7F);
                prop_assert_eq!(marks.special >> offset & 1 == 1, special);
                prop_assert_eq!(marks.high >> offset & 1 == 1, byte >= 0x80);
            }
        }
    }
}
