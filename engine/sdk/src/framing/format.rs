//! Recognition of contents that have no lines, by their first bytes.

mod tar;
mod wide_text;

#[cfg(test)]
mod tests;

use wide_text::Encoding;

/// Format of contents, as far as a source of lines has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text, or binary data that passes as lines.
    Plain,
    /// At least one member of gzip (RFC 1952).
    Gzip,
    /// At least one frame of zstd (RFC 8878).
    Zstd,
    /// A format that has no lines: its name, and what to do about it.
    Foreign(&'static str),
}

use Format::{Foreign, Gzip, Zstd};

/// First bytes of the formats that have some. A longer one comes before its own prefix.
const MAGIC: &[(&[u8], Format)] = &[
    // gzip (RFC 1952): its two bytes, and "deflate", the only method.
    (b"\x1f\x8b\x08", Gzip),
    (b"\x28\xb5\x2f\xfd", Zstd),
    (b"BZh91AY&SY", BZIP2),
    (
        b"\xfd7zXZ\0",
        Foreign("it is compressed with xz; decompress it first (`xz -d`), or write gzip or zstd"),
    ),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"7z\xbc\xaf\x27\x1c", Foreign("it is a 7z archive; extract it first (`7z x`)")),
    (b"Rar!\x1a\x07", Foreign("it is a rar archive; extract it first (`unrar x`)")),
    (b"\x04\x22\x4d\x18", LZ4),
    (b"\x02\x21\x4c\x18", LZ4),
    (b"\x89LZO\0\r\n\x1a\n", Foreign("it is compressed with lzop; decompress it first (`lzop -d`)")),
    (b"LZIP\x01", Foreign("it is compressed with lzip; decompress it first (`lzip -d`)")),
    (b"\x1f\x9d", Foreign("it is compressed with `compress`; decompress it first (`gzip -d`)")),
    (b"\xff\x06\0\0sNaPpY", Foreign("it is compressed with snappy; decompress it first")),
    // The name is followed by a Thrift structure, whose first field is a 32-bit integer.
    (b"PAR1\x15", Foreign("it is a Parquet file; export it as lines of JSON or as CSV")),
    (b"Obj\x01", Foreign("it is an Avro file; export it as lines of JSON (`avro-tools tojson`)")),
    (b"ARROW1\0\0", Foreign("it is an Arrow file; export it as lines of JSON or as CSV")),
    (b"SQLite format 3\0", Foreign("it is an SQLite database; export it (`sqlite3 -json FILE QUERY`)")),
    (b"\xff\xfe\0\0", UTF32),
    (b"\0\0\xfe\xff", UTF32),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
];

const BZIP2: Format =
    Foreign("it is compressed with bzip2; decompress it first (`bzip2 -d`), or write gzip or zstd");
const LZ4: Format = Foreign("it is compressed with lz4; decompress it first (`lz4 -d`), or write zstd");
const LZMA: Format =
    Foreign("it is compressed with lzma; decompress it first (`xz -d`), or write gzip or zstd");
const TAR: Format = Foreign("it is a tar archive; extract it first (`tar -x`)");
const ZIP: Format = Foreign("it is a zip archive; extract it first (`unzip`)");
const UTF16: Format =
    Foreign("it is UTF-16 text; write UTF-8, or convert it first (`iconv -f UTF-16 -t UTF-8`)");
const UTF16_LITTLE: Format = Foreign(
    "it is UTF-16 text without a byte order mark; write UTF-8, or convert it first (`iconv -f UTF-16LE -t UTF-8`)",
);
const UTF16_BIG: Format = Foreign(
    "it is UTF-16 text without a byte order mark; write UTF-8, or convert it first (`iconv -f UTF-16BE -t UTF-8`)",
);
const UTF32: Format =
    Foreign("it is UTF-32 text; write UTF-8, or convert it first (`iconv -f UTF-32 -t UTF-8`)");

impl Format {
    /// Bytes at the beginning that are enough to recognise every format.
    pub const HEAD: usize = 1024;

    /// Recognises the format of contents that begin with `head`. More than [`HEAD`](Self::HEAD) bytes are not needed.
    pub fn recognise(head: &[u8]) -> Self {
        let head = &head[..head.len().min(Self::HEAD)];
        // A zstd file may begin with frames to be skipped (RFC 8878); bzip2 names its block size.
        match head {
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
                if rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90") =>
            {
                return BZIP2;
            }
            _ => {}
        }
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *format;
        }
        if is_lzma(head) {
            LZMA
        } else if tar::begins_with_header(head) {
            TAR
        } else {
            wide_text::recognise(head).map_or(Self::Plain, |encoding| match encoding {
                Encoding::Utf16Little => UTF16_LITTLE,
                Encoding::Utf16Big => UTF16_BIG,
                Encoding::Utf32 => UTF32,
            })
        }
    }

    /// Tells whether more bytes could change the format of contents that are still this short.
    pub fn may_change(head: &[u8]) -> bool {
        let begins_magic = MAGIC.iter().any(|(magic, _)| head.len() < magic.len() && magic.starts_with(head));
        begins_magic || (head.len() < wide_text::LEAST && wide_text::may_begin(head))
    }
}

/// Tells whether `head` begins an LZMA file, the format before xz. It has no magic bytes, so all of its header must be
/// plausible: the usual properties, a dictionary of 2^n or 2^n + 2^(n-1) bytes, a size that is unknown or below
/// 256 GiB, and the zero byte that begins the compressed data.
fn is_lzma(head: &[u8]) -> bool {
    let Some((&[0x5d, d0, d1, d2, d3, ref size @ ..], [0, ..])) = head.split_first_chunk::<13>() else {
        return false;
    };
    let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
    let is_sum_of_powers = dictionary.count_ones() == 1
        || (dictionary.count_ones() == 2 && dictionary.leading_zeros() + dictionary.trailing_zeros() == 30);
    let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    dictionary >= 4096 && is_sum_of_powers && (size == u64::MAX || size < 256 << 30)
}
