//! Recognition of UTF-16 and UTF-32 text that has no byte order mark.
//!
//! In such text each ASCII character has its NUL bytes at the same places. Binary data and text of one byte for each
//! character must pass, so the rule is strict. There are at least eight units, and the file consists of whole ones. Each
//! is a character that text may hold. At least half of them are ASCII, and at most an eighth have a NUL byte at another
//! place than ASCII has it.

/// Fewest units that are enough to decide.
const UNITS: u32 = 8;
/// Fewest bytes that are enough to decide: those of UTF-32.
pub(super) const LEAST: usize = UNITS as usize * 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16Little,
    Utf16Big,
    Utf32,
}

/// Recognises the encoding of text that begins with `head`.
pub(super) fn recognise(head: &[u8]) -> Option<Encoding> {
    recognise_units(head, UNITS)
}

/// Tells whether text that is too short to be recognised may become UTF-16 or UTF-32 as it grows.
pub(super) fn may_begin(head: &[u8]) -> bool {
    head.contains(&0) && recognise_units(head, 1).is_some()
}

fn recognise_units(head: &[u8], least: u32) -> Option<Encoding> {
    // Without this most files are decided at once.
    memchr::memchr(0, head)?;
    let (pairs, half) = head.as_chunks::<2>();
    let (quads, part) = head.as_chunks::<4>();
    if !half.is_empty() {
        return None;
    }
    if is_text(pairs.iter().map(|pair| u16::from_le_bytes(*pair).into()), least) {
        Some(Encoding::Utf16Little)
    } else if is_text(pairs.iter().map(|pair| u16::from_be_bytes(*pair).into()), least) {
        Some(Encoding::Utf16Big)
    } else if !part.is_empty() {
        None
    } else if is_text(quads.iter().map(|quad| u32::from_le_bytes(*quad)), least)
        || is_text(quads.iter().map(|quad| u32::from_be_bytes(*quad)), least)
    {
        Some(Encoding::Utf32)
    } else {
        None
    }
}

fn is_text(units: impl Iterator<Item = u32>, least: u32) -> bool {
    let (mut count, mut ascii, mut misplaced) = (0, 0, 0);
    for unit in units {
        misplaced += u32::from(unit & 0xff == 0);
        let is_text = match unit {
            0x09 | 0x0a | 0x0d | 0x20..=0x7e => {
                ascii += 1;
                true
            }
            // Control characters, and two code points that no text holds.
            0..0xa0 | 0xfffe | 0xffff => false,
            // Halves of surrogate pairs are not checked one against the other.
            0xa0..=0x10_ffff => true,
            _ => false,
        };
        if !is_text {
            return false;
        }
        count += 1;
    }
    count >= least && ascii * 2 >= count && misplaced * 8 <= count
}
