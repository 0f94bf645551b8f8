//! Recognition and decompression of the formats of files.

mod decompress;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use decompress::Decompressor;
pub(crate) use tidegate_sdk::framing::Format;

/// Bytes that are decompressed to distinguish a zlib stream from text.
const PROBE: usize = 64;

const ZLIB: Format = Format::Foreign("it is a zlib stream without a gzip header; write gzip or zstd");
const COMPRESSED_TWICE: &str = "it is compressed twice; decompress it once (`gzip -d` or `zstd -d`)";

/// Recognises the format of a file by its first bytes, never by its name.
pub(crate) fn of(file: &File) -> io::Result<Format> {
    let mut head = [0; Format::HEAD];
    let read = file.read_at(&mut head, 0)?;
    Ok(of_bytes(&head[..read]))
}

/// Recognises the format of contents that begin with `head`.
fn of_bytes(head: &[u8]) -> Format {
    match Format::recognise(head) {
        Format::Plain if is_zlib(&head[..head.len().min(Format::HEAD)]) => ZLIB,
        format => format,
    }
}

/// Returns the reason to refuse decompressed contents that begin with `head`.
pub(crate) fn refusal_of_contents(head: &[u8]) -> Option<&'static str> {
    match of_bytes(head) {
        Format::Plain => None,
        Format::Foreign(reason) => Some(reason),
        Format::Gzip | Format::Zstd => Some(COMPRESSED_TWICE),
    }
}

/// Tells whether more bytes could change the format of a file that is still this short.
pub(crate) fn may_change(file: &File) -> io::Result<bool> {
    let mut head = [0; 64];
    let read = file.read_at(&mut head, 0)?;
    Ok(Format::may_change(&head[..read]))
}

/// Opens the contents of `file` from its current offset, decompressed: all members and frames of it.
pub(crate) fn open(format: Format, file: &Arc<File>) -> io::Result<Input> {
    Ok(match format {
        Format::Plain => Input::Plain(Arc::clone(file)),
        Format::Gzip | Format::Zstd => Input::Compressed(Box::new(Decompressor::new(format, file)?)),
        Format::Foreign(reason) => Input::Foreign(reason),
    })
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
            Self::Compressed(decompressor) => decompressor.is_whole(),
            _ => true,
        }
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => (&**file).read(into),
            Self::Compressed(decompressor) => decompressor.read(into),
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn zlib_streams_of_every_level_are_refused() {
        for level in 0..=9 {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(b"one line of a file, and the next line of it\n".repeat(9).as_slice()).unwrap();
            let format = of_bytes(&encoder.finish().unwrap());
            assert!(matches!(format, Format::Foreign(reason) if reason.contains("zlib")), "level {level}");
        }
        for text in [
            "x^2 + y^2 = z^2 for all of these, and much more text after it that is no stream\n",
            "x",
            "x\u{1}y",
        ] {
            assert_eq!(of_bytes(text.as_bytes()), Format::Plain, "{text}");
        }
    }
}
