//! Encoding of events as lines, gzip members and zstd frames.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use tidegate_sdk::Batch;

use super::options::Compression;

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Returns the lines of these events of `batch`, compressed as one member or frame with `compression`.
pub(crate) fn encode(batch: &Batch, events: &[usize], compression: Option<Compression>) -> io::Result<Bytes> {
    let lines = lines(batch, events);
    match compression {
        None => Ok(lines),
        Some(Compression::Gzip) => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(lines.len() / 4), level);
            encoder.write_all(&lines)?;
            encoder.finish().map(Bytes::from)
        }
        Some(Compression::Zstd) => {
            let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
            compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
            compressor.compress(&lines).map(Bytes::from)
        }
    }
}

/// Range of one buffer in which events follow each other as lines.
struct CopyRange {
    buffer: usize,
    range: Range<usize>,
}

/// Returns the events as lines. Events that were read as lines are copied in ranges, or not at all if all of them are one
/// range.
fn lines(batch: &Batch, events: &[usize]) -> Bytes {
    let mut lines = Vec::new();
    let mut open: Option<CopyRange> = None;
    let take = |lines: &mut Vec<u8>, range: CopyRange| {
        make_room(lines, batch);
        lines.extend_from_slice(&batch.buffers()[range.buffer][range.range]);
    };
    for event in events {
        let span = batch.spans()[*event];
        let (buffer, start) = (span.buffer as usize, span.offset as usize);
        let end = start + span.length as usize;
        let is_line = batch.buffers()[buffer].get(end) == Some(&b'\n');
        if let Some(range) = &mut open
            && is_line
            && (range.buffer, range.range.end) == (buffer, start)
        {
            range.range.end = end + 1;
            continue;
        }
        if let Some(range) = open.take() {
            take(&mut lines, range);
        }
        if is_line {
            open = Some(CopyRange { buffer, range: start..end + 1 });
        } else {
            make_room(&mut lines, batch);
            lines.extend_from_slice(batch.payload(*event));
            lines.push(b'\n');
        }
    }
    match open {
        Some(range) if lines.is_empty() => batch.buffers()[range.buffer].slice(range.range),
        Some(range) => {
            take(&mut lines, range);
            lines.into()
        }
        None => lines.into(),
    }
}

/// Reserves memory for the whole batch, once.
fn make_room(lines: &mut Vec<u8>, batch: &Batch) {
    if lines.capacity() == 0 {
        lines.reserve(batch.bytes() + batch.len());
    }
}

/// Returns the number of bytes at the front of a compressed file that are whole members or frames. After a crash, a part of
/// one may follow, whose events do not count as delivered.
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

/// Tells whether the file is empty or begins with this compression.
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

/// Reader that counts the bytes that are consumed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_read_are_shared_and_other_events_get_line_ends() {
        let read = Bytes::from_static(b"one\ntwo\r\n\nthree\nfour");
        let mut builder = Batch::builder();
        let buffer = builder.add_buffer(read.clone());
        for (offset, length) in [(0, 3), (4, 3), (9, 0), (10, 5), (16, 4)] {
            builder.push_span(tidegate_sdk::Span { buffer, offset, length });
        }
        builder.push_copy(b"five");
        let batch = builder.finish();
        for (events, expected) in [
            (&[0, 1, 2, 3, 4, 5][..], "one\ntwo\n\nthree\nfour\nfive\n"),
            (&[2, 3], "\nthree\n"),
            (&[3, 0], "three\none\n"),
            (&[4], "four\n"),
            (&[], ""),
        ] {
            assert_eq!(lines(&batch, events), expected);
        }
        assert_eq!(lines(&batch, &[2, 3]).as_ptr(), read[9..].as_ptr(), "nothing is copied");
    }
}
