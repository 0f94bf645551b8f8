//! Hex dump of bytes that are no text.

use std::fmt::Write;

/// Formats sixteen bytes per line: offset, bytes, ASCII characters.
pub(crate) fn hexdump(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 5);
    for (line, chunk) in bytes.chunks(16).enumerate() {
        // Writing to text never fails.
        let _ = write!(text, "{:08x} ", line * 16);
        for index in 0..16 {
            let gap = if index == 8 { "  " } else { " " };
            let _ = match chunk.get(index) {
                Some(byte) => write!(text, "{gap}{byte:02x}"),
                None => write!(text, "{gap}  "),
            };
        }
        let shown = chunk
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' });
        text.push_str("  |");
        text.extend(shown);
        text.push_str("|\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_line_up() {
        let expected = "\
00000000  00 41 20 ff 78 78 78 78  78 78 78 78 78 78 78 78  |.A .xxxxxxxxxxxx|
00000010  7a                                                |z|
";
        let mut bytes = b"\0A \xff".to_vec();
        bytes.extend_from_slice(b"xxxxxxxxxxxxz");
        assert_eq!(hexdump(&bytes), expected);
        assert_eq!(hexdump(b""), "");
    }
}
