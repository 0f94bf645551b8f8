//! Recognition of compressed files, and of formats that are refused because they have no lines.

mod decompress;
mod tar;
mod wide_text;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use decompress::Decompressor;
use wide_text::Encoding;

/// Bytes at the beginning of a file that are enough to recognise it.
const HEAD: usize = 1024;
/// Bytes that are decompressed to tell a zlib stream from text.
const PROBE: usize = 64;

/// Format of a file, as far as the source has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Plain,
    Gzip,
    Zstd,
    /// A format that has no lines: its name, and what to do about it.
    Foreign(&'static str),
}

use FileFormat::{Foreign, Gzip, Zstd};

/// First bytes of the formats that have some. A longer one comes before its own prefix.
const MAGIC: &[(&[u8], FileFormat)] = &[
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

const BZIP2: FileFormat =
    Foreign("it is compressed with bzip2; decompress it first (`bzip2 -d`), or write gzip or zstd");
const LZ4: FileFormat = Foreign("it is compressed with lz4; decompress it first (`lz4 -d`), or write zstd");
const LZMA: FileFormat =
    Foreign("it is compressed with lzma; decompress it first (`xz -d`), or write gzip or zstd");
const TAR: FileFormat = Foreign("it is a tar archive; extract it first (`tar -x`)");
const ZIP: FileFormat = Foreign("it is a zip archive; extract it first (`unzip`)");
const ZLIB: FileFormat = Foreign("it is a zlib stream without a gzip header; write gzip or zstd");
const UTF16: FileFormat =
    Foreign("it is UTF-16 text; write UTF-8, or convert it first (`iconv -f UTF-16 -t UTF-8`)");
const UTF16_LITTLE: FileFormat = Foreign(
    "it is UTF-16 text without a byte order mark; write UTF-8, or convert it first (`iconv -f UTF-16LE -t UTF-8`)",
);
const UTF16_BIG: FileFormat = Foreign(
    "it is UTF-16 text without a byte order mark; write UTF-8, or convert it first (`iconv -f UTF-16BE -t UTF-8`)",
);
const UTF32: FileFormat =
    Foreign("it is UTF-32 text; write UTF-8, or convert it first (`iconv -f UTF-32 -t UTF-8`)");
const COMPRESSED_TWICE: &str = "it is compressed twice; decompress it once (`gzip -d` or `zstd -d`)";

impl FileFormat {
    /// Recognises the format of a file by its first bytes, never by its name.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let read = file.read_at(&mut head, 0)?;
        Ok(Self::of_bytes(&head[..read]))
    }

    /// Recognises the format of contents that begin with `head`.
    pub(crate) fn of_bytes(head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD)];
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
        if is_zlib(head) {
            ZLIB
        } else if is_lzma(head) {
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

    /// Reason to refuse decompressed contents that begin with `head`.
    pub(crate) fn refusal_of_contents(head: &[u8]) -> Option<&'static str> {
        match Self::of_bytes(head) {
            Self::Plain => None,
            Foreign(reason) => Some(reason),
            Gzip | Zstd => Some(COMPRESSED_TWICE),
        }
    }

    /// Tells whether more bytes could change the format of a file that is still this short.
    pub(crate) fn may_change(file: &File) -> io::Result<bool> {
        let mut head = [0; wide_text::LEAST];
        let read = file.read_at(&mut head, 0)?;
        let head = &head[..read];
        let begins_magic = MAGIC.iter().any(|(magic, _)| head.len() < magic.len() && magic.starts_with(head));
        Ok(begins_magic || (read < wide_text::LEAST && wide_text::may_begin(head)))
    }

    /// Opens the contents of `file` from its current offset, decompressed: all members and frames of it.
    pub(crate) fn open(self, file: &Arc<File>) -> io::Result<Input> {
        Ok(match self {
            Self::Plain => Input::Plain(Arc::clone(file)),
            Gzip | Zstd => Input::Compressed(Box::new(Decompressor::new(self, file)?)),
            Foreign(reason) => Input::Foreign(reason),
        })
    }
}

/// Decompressed contents of a file.
pub(crate) enum Input {
    Plain(Arc<File>),
    Compressed(Box<Decompressor>),
    /// No contents: each read fails with this reason.
    Foreign(&'static str),
}

impl Input {
    /// Tells whether the bytes that were read end where a member or frame ends.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Compressed(unpacker) => unpacker.is_whole(),
            _ => true,
        }
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => (&**file).read(into),
            Self::Compressed(unpacker) => unpacker.read(into),
            Self::Foreign(reason) => Err(io::Error::new(io::ErrorKind::InvalidData, *reason)),
        }
    }
}

/// Tells whether `head` begins a zlib stream (RFC 1950). Its two bytes are not enough: `x^` is text too.
fn is_zlib(head: &[u8]) -> bool {
    let [0x78, flags @ (0x01 | 0x5e | 0x9c | 0xda), ..] = head else { return false };
    if (0x78 * 256 + u32::from(*flags)) % 31 != 0 {
        return false;
    }
    let mut decompressed = [0; PROBE];
    let mut stream = flate2::Decompress::new(true);
    let status = stream.decompress(head, &mut decompressed, flate2::FlushDecompress::None);
    let is_full = stream.total_out() == PROBE as u64;
    matches!(status, Ok(flate2::Status::StreamEnd)) || (status.is_ok() && is_full)
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

#[cfg(test)]
pub(crate) mod tests;
