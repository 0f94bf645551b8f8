//! Decompression of gzip and zstd files that may still grow.
//!
//! A file that ends within a member may be incomplete, and one that ends after a member may get another. So the end of the
//! file is never an error here. Reading continues when there is more, and [`Decompressor::is_whole`] tells whether the
//! bytes so far end with a member.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::Operation;

use super::Format;

/// Bytes of one read.
const CHUNK: usize = 64 << 10;
/// Most steps without progress: the end of a stream takes one.
const STUCK: u32 = 3;
/// Longest header of a gzip member, with the names in it.
const HEADER: usize = 64 << 10;

/// Decompressor of a file, from its current offset.
pub(crate) struct Decompressor {
    file: Arc<File>,
    decoder: Decoder,
    chunk: Box<[u8]>,
    /// Part of `chunk` that is not decompressed yet.
    rest: std::ops::Range<usize>,
    /// Tells whether the decoder may hold output for which there was no room.
    held_back: bool,
}

enum Decoder {
    Gzip(Gzip),
    Zstd { decoder: zstd::stream::raw::Decoder<'static>, within: bool },
}

impl Decompressor {
    /// # Errors
    /// If there is no memory for a decoder.
    pub(crate) fn new(format: Format, file: &Arc<File>) -> io::Result<Self> {
        let decoder = if format == Format::Zstd {
            Decoder::Zstd { decoder: zstd::stream::raw::Decoder::new()?, within: false }
        } else {
            Decoder::Gzip(Gzip::new())
        };
        let chunk = vec![0; CHUNK].into();
        Ok(Self { file: Arc::clone(file), decoder, chunk, rest: 0..0, held_back: false })
    }

    /// Tells whether the bytes that were read end where a member or frame ends.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_empty()
            && match &self.decoder {
                Decoder::Gzip(gzip) => gzip.state == State::Between,
                Decoder::Zstd { within, .. } => !within,
            }
    }
}

impl Read for Decompressor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut stuck = 0;
        loop {
            if self.rest.is_empty() && !self.held_back {
                let read = (&*self.file).read(&mut self.chunk)?;
                self.rest = 0..read;
                if read == 0 {
                    return Ok(0);
                }
            }
            let input = &self.chunk[self.rest.clone()];
            let (taken, given) = self.decoder.step(input, into)?;
            self.rest.start += taken;
            self.held_back = given == into.len();
            if given > 0 {
                return Ok(given);
            }
            stuck = if taken == 0 && !self.rest.is_empty() { stuck + 1 } else { 0 };
            if stuck > STUCK {
                return Err(damaged("the decoder makes no progress"));
            }
        }
    }
}

impl Decoder {
    /// Decompresses a part of `input`. Returns the number of bytes that were read, and that were written to `into`.
    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        match self {
            Self::Gzip(gzip) => gzip.step(input, into),
            Self::Zstd { decoder, within } => {
                let done = decoder.run_on_buffers(input, into)?;
                if done.bytes_read > 0 || done.bytes_written > 0 {
                    *within = done.remaining > 0;
                }
                Ok((done.bytes_read, done.bytes_written))
            }
        }
    }
}

/// Decoder of the members of a gzip file (RFC 1952).
struct Gzip {
    state: State,
    /// Header or trailer, as far as it was read.
    frame: Vec<u8>,
    stream: Decompress,
    sum: crc32fast::Hasher,
    length: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Between,
    Header,
    Body,
    Trailer,
}

impl Gzip {
    fn new() -> Self {
        let (sum, stream) = (crc32fast::Hasher::new(), Decompress::new(false));
        Self { state: State::Between, frame: Vec::new(), stream, sum, length: 0 }
    }

    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        match self.state {
            State::Between => {
                // Tapes and some tools add zeros at the end.
                let zeros = input.iter().take_while(|byte| **byte == 0).count();
                if zeros == input.len() {
                    return Ok((zeros, 0));
                }
                self.state = State::Header;
                self.header(&input[zeros..]).map(|taken| (zeros + taken, 0))
            }
            State::Header => self.header(input).map(|taken| (taken, 0)),
            State::Body => self.body(input, into),
            State::Trailer => self.trailer(input).map(|taken| (taken, 0)),
        }
    }

    fn header(&mut self, input: &[u8]) -> io::Result<usize> {
        let before = self.frame.len();
        self.frame.extend_from_slice(&input[..input.len().min(HEADER - before)]);
        match header_length(&self.frame)? {
            Some(length) => {
                self.frame.clear();
                self.stream.reset(false);
                (self.sum, self.length) = (crc32fast::Hasher::new(), 0);
                self.state = State::Body;
                Ok(length - before)
            }
            None if self.frame.len() == HEADER => Err(damaged("the header of a member is too long")),
            None => Ok(self.frame.len() - before),
        }
    }

    fn body(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        let (taken, given) = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(input, into, FlushDecompress::None);
        let status = status.map_err(|_| damaged("corrupt deflate stream"))?;
        let taken = (self.stream.total_in() - taken) as usize;
        let given = (self.stream.total_out() - given) as usize;
        self.sum.update(&into[..given]);
        self.length = self.length.wrapping_add(given as u32);
        if status == Status::StreamEnd {
            self.state = State::Trailer;
        }
        Ok((taken, given))
    }

    fn trailer(&mut self, input: &[u8]) -> io::Result<usize> {
        let taken = input.len().min(8 - self.frame.len());
        self.frame.extend_from_slice(&input[..taken]);
        if self.frame.len() == 8 {
            let mut expected = self.sum.clone().finalize().to_le_bytes().to_vec();
            expected.extend(self.length.to_le_bytes());
            if self.frame != expected {
                return Err(damaged("the checksum of a member is wrong"));
            }
            self.frame.clear();
            self.state = State::Between;
        }
        Ok(taken)
    }
}

/// Returns the length of the header of a member; `None` if it is not complete.
fn header_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let magic = &[0x1f, 0x8b, 8][..];
    if !magic.starts_with(&bytes[..bytes.len().min(3)]) {
        return Err(damaged("the bytes after a member are not another one"));
    }
    let Some(flags) = bytes.get(3).copied() else { return Ok(None) };
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(length) = bytes.get(at..at + 2) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        let Some(end) = bytes.get(at..).and_then(|rest| memchr::memchr(0, rest)) else { return Ok(None) };
        at += end + 1;
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}

/// Returns an error of the contents, which has no system error number.
fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests;
