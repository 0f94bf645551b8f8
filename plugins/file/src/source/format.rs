//! How a file is packed, by its first bytes, and what is recognised only to be refused.

mod decompress;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use decompress::Decompressor;

/// How much of the beginning of a file tells what it is.
const HEAD: usize = 512;
/// How much of a stream is unpacked to see whether it is one.
const PROBE: usize = 64;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Plain,
    Gzip,
    Zstd,
    /// Something else whose bytes are no lines: what it is, and what to do.
    Foreign(&'static str),
}

/// The first bytes of what is recognised, longest first where one begins like another.
const MAGIC: &[(&[u8], FileFormat)] = &[
    // A gzip header (RFC 1952): the magic bytes and "deflate", the only method there is.
    (b"\x1f\x8b\x08", FileFormat::Gzip),
    (b"\x28\xb5\x2f\xfd", FileFormat::Zstd),
    (b"BZh91AY&SY", BZIP2),
    (
        b"\xfd7zXZ\0",
        FileFormat::Foreign("it is compressed with xz; unpack it first (`xz -d`), or write gzip or zstd"),
    ),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"7z\xbc\xaf\x27\x1c", FileFormat::Foreign("it is a 7z archive; unpack it first")),
    (
        b"\x04\x22\x4d\x18",
        FileFormat::Foreign("it is compressed with lz4; unpack it first (`lz4 -d`), or write zstd"),
    ),
    (b"LZIP\x01", FileFormat::Foreign("it is compressed with lzip; unpack it first (`lzip -d`)")),
    (b"\x1f\x9d", FileFormat::Foreign("it is compressed with `compress`; unpack it first (`gzip -d`)")),
    (b"\xff\x06\0\0sNaPpY", FileFormat::Foreign("it is compressed with snappy; unpack it first")),
    (b"\xff\xfe\0\0", UTF32),
    (b"\0\0\xfe\xff", UTF32),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
];

const BZIP2: FileFormat =
    FileFormat::Foreign("it is compressed with bzip2; unpack it first (`bzip2 -d`), or write gzip or zstd");
const ZIP: FileFormat = FileFormat::Foreign("it is a zip archive; unpack it first (`unzip`)");
const ZLIB: FileFormat = FileFormat::Foreign("it is a zlib stream without a gzip header; write gzip or zstd");
const UTF16: FileFormat =
    FileFormat::Foreign("it is UTF-16 text; write UTF-8, or convert it first (`iconv -f UTF-16 -t UTF-8`)");
const UTF32: FileFormat =
    FileFormat::Foreign("it is UTF-32 text; write UTF-8, or convert it first (`iconv -f UTF-32 -t UTF-8`)");

impl FileFormat {
    /// How this file is packed, whatever it is called.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let read = file.read_at(&mut head, 0)?;
        Ok(Self::of_bytes(&head[..read]))
    }

    /// How what begins with these bytes is packed.
    pub(crate) fn of_bytes(head: &[u8]) -> Self {
        // A zstd file may begin with frames to be skipped (RFC 8878); bzip2 names its block size.
        match head {
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
                if rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90") =>
            {
                return BZIP2;
            }
            _ => {}
        }
        let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
        match known {
            Some((_, packing)) => *packing,
            None if is_zlib(head) => ZLIB,
            None => Self::Plain,
        }
    }

    /// Whether more bytes could make something else of a file that holds no more than these.
    pub(crate) fn may_change(file: &File) -> io::Result<bool> {
        let mut head = [0; 16];
        let read = file.read_at(&mut head, 0)?;
        let head = &head[..read];
        Ok(MAGIC.iter().any(|(magic, _)| head.len() < magic.len() && magic.starts_with(head)))
    }

    /// The file's contents from where it stands, unpacked. Members and frames behind the first are read too.
    pub(crate) fn open(self, file: &Arc<File>) -> io::Result<Input> {
        Ok(match self {
            Self::Plain => Input::Plain(Arc::clone(file)),
            Self::Gzip | Self::Zstd => Input::Packed(Box::new(Decompressor::new(self, file)?)),
            Self::Foreign(what) => Input::Foreign(what),
        })
    }
}

/// The contents of a file.
pub(crate) enum Input {
    Plain(Arc<File>),
    Packed(Box<Decompressor>),
    /// Nothing: an attempt to read says what the file is.
    Foreign(&'static str),
}

impl Input {
    /// Whether what has been read may be all: an archive ends where a member ends.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Packed(unpacker) => unpacker.is_whole(),
            _ => true,
        }
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => (&**file).read(into),
            Self::Packed(unpacker) => unpacker.read(into),
            Self::Foreign(what) => Err(io::Error::new(io::ErrorKind::InvalidData, *what)),
        }
    }
}

/// Whether a stream begins here that is compressed as RFC 1950 says. Its two bytes are not enough: `x^` is text too.
fn is_zlib(head: &[u8]) -> bool {
    let [0x78, flags @ (0x01 | 0x5e | 0x9c | 0xda), ..] = head else { return false };
    if (0x78 * 256 + u32::from(*flags)) % 31 != 0 {
        return false;
    }
    let mut unpacked = [0; PROBE];
    let mut stream = flate2::Decompress::new(true);
    let status = stream.decompress(head, &mut unpacked, flate2::FlushDecompress::None);
    let all = stream.total_out() == PROBE as u64;
    matches!(status, Ok(flate2::Status::StreamEnd)) || (status.is_ok() && all)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn foreign(bytes: &[u8]) -> &'static str {
        match FileFormat::of_bytes(bytes) {
            FileFormat::Foreign(what) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_text_is_recognised() {
        assert!(foreign(b"BZh91AY&SY\xd1").contains("bzip2"));
        assert!(foreign(b"BZh3\x17\x72\x45\x38\x50\x90\0\0\0\0").contains("bzip2"), "an empty one");
        assert!(foreign(b"\xfd7zXZ\0\0\x04").contains("xz"));
        assert!(foreign(b"PK\x03\x04\x14\0").contains("zip"));
        assert!(foreign(b"\xff\xfea\0b\0").contains("UTF-16"));
        assert!(foreign(b"\xfe\xff\0a\0b").contains("UTF-16"));
        assert!(foreign(b"\xff\xfe\0\0a\0\0\0").contains("UTF-32"));
        for level in 0..=9 {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(b"one line of a file, and the next line of it\n".repeat(9).as_slice()).unwrap();
            assert!(foreign(&encoder.finish().unwrap()).contains("zlib"), "level {level}");
        }
    }

    #[test]
    fn text_that_looks_a_little_like_it_stays_text() {
        for text in [
            "x^2 + y^2 = z^2 for all of these, and much more text behind it that is no stream\n",
            "BZh9 is a name\n",
            "BZ",
            "PK was here\n",
            "7z\n",
            "x",
            "x\u{1}y",
            "",
        ] {
            assert_eq!(FileFormat::of_bytes(text.as_bytes()), FileFormat::Plain, "{text}");
        }
    }
}
