//! Recognition of tar archives.

/// Length of a header.
const HEADER: usize = 512;
/// Field that holds the checksum: the sum of all bytes of the header, with this field counted as spaces.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Field that holds the name of the first file, filled up with NUL bytes.
const NAME: std::ops::Range<usize> = 0..100;
/// Offset of the word that POSIX and GNU archives have, and older ones have not.
const MAGIC: usize = 257;

/// Tells whether `head` begins with the header of a tar archive: its checksum is right, and it has the word `ustar`, or
/// a NUL byte in the name as archives before POSIX have.
pub(super) fn begins_with_header(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEADER) else { return false };
    let is_marked = header[MAGIC..].starts_with(b"ustar") || header[NAME].contains(&0);
    is_marked && stored_checksum(&header[CHECKSUM]) == Some(checksum(header))
}

fn checksum(header: &[u8]) -> u32 {
    let spaces = CHECKSUM.len() as u32 * u32::from(b' ');
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&header[..CHECKSUM.start]) + spaces + sum(&header[CHECKSUM.end..])
}

/// Parses octal digits between spaces and NUL bytes.
fn stored_checksum(field: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(field).ok()?;
    u32::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}
