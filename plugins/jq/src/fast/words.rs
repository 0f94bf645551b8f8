//! Eight bytes at a time, as one number: the first byte is the lowest.

/// The eight bytes at `at`, if there are that many.
#[inline]
pub(super) fn at(text: &[u8], at: usize) -> Option<u64> {
    let bytes = text.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
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
    /// Its last eight bytes, if it has that many.
    last: u64,
}

impl Pattern {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        let mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        let last = bytes.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
        Self { bytes: bytes.into(), first: u64::from_le_bytes(first), mask, last }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True if it stands at `place` of `text`; `word` is what [`at`] tells of that place.
    #[inline]
    pub(super) fn is_at(&self, text: &[u8], place: usize, word: Option<u64>) -> bool {
        match word {
            Some(word) if word & self.mask != self.first => false,
            Some(_) if self.bytes.len() <= 8 => true,
            Some(_) if self.bytes.len() <= 16 => at(text, place + self.bytes.len() - 8) == Some(self.last),
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
