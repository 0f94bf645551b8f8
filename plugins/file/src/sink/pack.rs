//! Events to the bytes of a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

use tidegate_sdk::Batch;

use super::options::Compression;

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// The lines of these events of `batch`, compressed as one member or frame if asked.
pub(crate) fn pack(batch: &Batch, events: &[usize], compression: Option<Compression>) -> io::Result<Vec<u8>> {
    let length = events.iter().map(|event| batch.payload(*event).len() + 1).sum();
    let mut lines = Vec::with_capacity(length);
    for event in events {
        lines.extend_from_slice(batch.payload(*event));
        lines.push(b'\n');
    }
    match compression {
        None => Ok(lines),
        Some(Compression::Gzip) => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(length / 4), level);
            encoder.write_all(&lines)?;
            encoder.finish()
        }
        Some(Compression::Zstd) => {
            let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
            compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
            compressor.compress(&lines)
        }
    }
}

/// How many bytes at the front of a compressed file are whole members or frames: what a crash has left behind
/// them is half of one, which nobody was told is delivered.
pub(crate) fn whole_length(file: &File, compression: Compression) -> io::Result<u64> {
    let mut reader = Counted { inner: BufReader::with_capacity(256 << 10, file), passed: 0 };
    let mut whole = 0;
    while !reader.fill_buf()?.is_empty() {
        let read = match compression {
            Compression::Gzip => pass(flate2::bufread::GzDecoder::new(&mut reader)),
            Compression::Zstd => pass(zstd::stream::read::Decoder::with_buffer(&mut reader)?.single_frame()),
        };
        match read {
            Ok(()) => whole = reader.passed,
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(whole)
}

/// Whether the file begins as one that is compressed like this, as far as it goes.
pub(crate) fn begins_like(file: &File, compression: Compression) -> io::Result<bool> {
    let magic: &[u8] = match compression {
        Compression::Gzip => b"\x1f\x8b",
        Compression::Zstd => b"\x28\xb5\x2f\xfd",
    };
    let mut first = [0; 4];
    let read = file.read_at(&mut first, 0)?.min(magic.len());
    Ok(magic.starts_with(&first[..read]))
}

fn pass(mut member: impl Read) -> io::Result<()> {
    io::copy(&mut member, &mut io::sink()).map(drop)
}

/// Counts what is consumed.
struct Counted<R> {
    inner: R,
    passed: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.passed += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.passed += amount as u64;
        self.inner.consume(amount);
    }
}
