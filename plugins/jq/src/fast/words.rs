//! Eight bytes at a time, as one number: the first byte is the lowest.
//!
//! The tests for zero bytes are those of "Bit Twiddling Hacks" (S. E. Anderson): they may mark bytes behind the
//! first one that is meant, never one before it.

/// The high bit of each byte.
pub(super) const HIGH: u64 = 0x8080_8080_8080_8080;
/// The low bit of each byte.
const LOW: u64 = 0x0101_0101_0101_0101;

/// The eight bytes at `at`, if there are that many.
#[inline]
pub(super) fn at(text: &[u8], at: usize) -> Option<u64> {
    let bytes = text.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Marks the bytes that mean something in a JSON string, or are not allowed or not printed as they are: quotes,
/// backslashes, control characters. Only the first mark is sure to be right.
#[inline]
pub(super) fn special(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(LOW) & !word;
    let quote = zero(word ^ (LOW * b'"' as u64));
    let backslash = zero(word ^ (LOW * b'\\' as u64));
    let delete = zero(word ^ (LOW * 0x7F));
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (quote | backslash | delete | control) & HIGH
}

/// The index of the first marked byte.
#[inline]
pub(super) fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// A text that is looked for at many places, where calling a function to compare it would take longer than the
/// comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    bytes: Box<[u8]>,
    /// Its first eight bytes, or all of them and zeros.
    first: u64,
    /// The bits of `first` that count.
    mask: u64,
}

impl Pattern {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        let mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        Self { bytes: bytes.into(), first: u64::from_le_bytes(first), mask }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it stands at `place` of `text`; `word` is what [`at`] tells of that place.
    #[inline]
    pub(super) fn is_at(&self, text: &[u8], place: usize, word: Option<u64>) -> bool {
        match word {
            Some(word) if word & self.mask != self.first => false,
            Some(_) if self.bytes.len() <= 8 => true,
            _ => text[place..].starts_with(&self.bytes),
        }
    }
}

/// A number that is the same for the same bytes, and seldom the same for others. Multiplying and rotating is what
/// FxHash does.
#[inline]
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x517C_C1B7_2722_0A95;
    let mut print = bytes.len() as u64;
    let mut mix = |word: u64| print = (print.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        mix(at(chunk, 0).unwrap_or(0));
    }
    let rest = chunks.remainder().iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(rest);
    print
}
