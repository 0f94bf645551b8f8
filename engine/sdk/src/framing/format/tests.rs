//! Formats by their first bytes.

use super::*;

fn refusal(bytes: &[u8]) -> &'static str {
    match Format::recognise(bytes) {
        Format::Foreign(reason) => reason,
        other => panic!("{other:?} for {bytes:x?}"),
    }
}

fn is_plain(bytes: &[u8]) -> bool {
    Format::recognise(bytes) == Format::Plain
}

/// The header that `tar` writes for a file `a.log` of 3 bytes.
fn tar_header(magic: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    for (at, field) in [
        (0, &b"a.log"[..]),
        (100, b"0000644\0"),
        (108, b"0001750\0"),
        (116, b"0001750\0"),
        (124, b"00000000003\0"),
        (136, b"14712345670\0"),
        (148, b"        "),
        (156, b"0"),
        (257, magic),
    ] {
        header[at..at + field.len()].copy_from_slice(field);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn archives_and_databases_are_refused_by_name() {
    for (bytes, name) in [
        (&b"BZh91AY&SY\xd1"[..], "bzip2"),
        (b"BZh3\x17\x72\x45\x38\x50\x90\0\0\0\0", "bzip2"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"PK\x03\x04\x14\0", "zip"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
        (b"Rar!\x1a\x07\x01\0", "rar"),
        (b"Rar!\x1a\x07\0", "rar"),
        (b"\x04\x22\x4d\x18\x64\x40", "lz4"),
        (b"\x02\x21\x4c\x18\x64\x40", "lz4"),
        (b"\x89LZO\0\r\n\x1a\n\x10", "lzop"),
        (b"LZIP\x01\x0c", "lzip"),
        (b"PAR1\x15\x04\x15\x10", "Parquet"),
        (b"Obj\x01\x04\x16avro", "Avro"),
        (b"ARROW1\0\0\xff", "Arrow"),
        (b"SQLite format 3\0\x10\0", "SQLite"),
    ] {
        assert!(refusal(bytes).contains(name), "{name}: {}", refusal(bytes));
    }
}

#[test]
fn lzma_is_refused_if_its_whole_header_is_plausible() {
    // `xz --format=lzma` of a pipe: a dictionary of 8 MiB, size unknown; and of the SDK: 24 KiB, size 6.
    let piped = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x1b\x98";
    let sized = b"\x5d\0\x60\0\0\x06\0\0\0\0\0\0\0\0\x1b\x98";
    assert!(refusal(piped).contains("lzma") && refusal(sized).contains("lzma"));
    for (at, byte) in [(0, b']' + 1), (2, 0x05), (12, 0x01), (13, b'x')] {
        let mut other = *piped;
        other[at] = byte;
        assert!(is_plain(&other), "byte {at}");
    }
    assert!(is_plain(b"]\n[1,2]\n and more text"));
}

#[test]
fn tar_is_refused_if_the_checksum_of_its_header_is_right() {
    for magic in [&b"ustar\x0000"[..], b"ustar  \0", b""] {
        let header = tar_header(magic);
        assert!(refusal(&header).contains("tar"), "{magic:?}");
        let mut changed = header.clone();
        changed[0] = b'b';
        assert!(is_plain(&changed), "a wrong checksum");
        assert!(is_plain(&header[..511]), "half a header");
    }
    let line = format!("{:<148}{:<8}{:<101}ustar\n", "a line of fixed columns", "012345", "");
    assert!(is_plain(line.repeat(3).as_bytes()));
}

#[test]
fn text_of_two_or_four_bytes_for_a_character_is_refused() {
    assert!(refusal(b"\xff\xfea\0b\0").contains("UTF-16"));
    assert!(refusal(b"\xfe\xff\0a\0b").contains("UTF-16"));
    assert!(refusal(b"\xff\xfe\0\0a\0\0\0").contains("UTF-32"));
    for text in
        ["one line\r\n", "{\"name\": \"\u{17d}ofie \u{41f}\u{440}\u{438}\", \"icon\": \"\u{1f980}\"}\n"]
    {
        for repeat in [1, 100] {
            let text = text.repeat(repeat);
            assert!(refusal(&utf16(&text, u16::to_le_bytes)).contains("UTF-16LE"), "{text}");
            assert!(refusal(&utf16(&text, u16::to_be_bytes)).contains("UTF-16BE"), "{text}");
            let quads = |to_bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
                text.chars().flat_map(|character| to_bytes(character.into())).collect()
            };
            assert!(refusal(&quads(u32::to_le_bytes)).contains("UTF-32"), "{text}");
            assert!(refusal(&quads(u32::to_be_bytes)).contains("UTF-32"), "{text}");
        }
    }
}

#[test]
fn text_and_binary_lines_that_look_like_a_format_are_plain() {
    let latin1: Vec<u8> =
        (0..1024u32).map(|at| if at % 40 == 39 { b'\n' } else { 0xc0 + (at % 60) as u8 }).collect();
    let numbers: Vec<u8> = (0..256u16).flat_map(u16::to_le_bytes).collect();
    let separated = b"one\0two\0three\0four\0five\0six\0\n".repeat(20);
    let pairs = b"a\0b\0c\0d\0e\0f\0g\0h\0\n".repeat(9);
    let random: Vec<u8> = (0..1024u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [
        &b"x^2 + y^2 = z^2 for all of these, and much more text after it that is no stream\n"[..],
        b"BZh9 is a name\n",
        b"BZ",
        b"PK was here\n",
        b"PAR1,a line of CSV\n",
        b"Obj 1\n",
        b"Rar!\n",
        b"SQLite format 3 is old\n",
        b"7z\n",
        b"x",
        b"x\x01y",
        b"\0\0x\n",
        b"a\0b\0c\0",
        b"",
        &latin1,
        &numbers,
        &separated,
        &pairs,
        &random,
    ] {
        assert!(is_plain(bytes), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn short_beginnings_of_other_formats_may_still_change() {
    for bytes in [&b"\x1f"[..], b"BZh9", b"a\0b\0", b"\0a\0b", b"a\0\0\0b\0\0\0"] {
        assert!(Format::may_change(bytes), "{bytes:?}");
    }
    for bytes in [&b"text"[..], b"a\0b\0\n", &b"a\0".repeat(16)] {
        assert!(!Format::may_change(bytes), "{bytes:?}");
    }
}
