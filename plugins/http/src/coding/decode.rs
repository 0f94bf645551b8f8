//! Streaming decoders: each stage writes to the next, the last to the target, which may refuse more.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use super::Coding;

/// The size of the buffers between stages: the largest number of bytes decoded before the target is asked.
const BUFFER: usize = 8 << 10;

/// The largest window of zstd, as a power of two: 8 MiB (RFC 9659).
const ZSTD_WINDOW: u32 = 23;

/// Decodes its input, and writes it to a target.
pub(crate) enum Decoder<W: Write> {
    /// The input is passed on.
    Plain(W),
    /// A coding is decoded, then those before it.
    Coded(Box<Stage<W>>),
}

/// The decoder of one coding.
pub(crate) enum Stage<W: Write> {
    Gzip(MultiGzDecoder<Decoder<W>>),
    Deflate(Deflate<Decoder<W>>),
    Brotli(Box<DecompressorWriter<Decoder<W>>>),
    Zstd(Zstd<Decoder<W>>),
}

impl<W: Write> Decoder<W> {
    /// Makes a decoder of a body with these codings, in the order in which they were applied.
    ///
    /// # Errors
    /// If a decoder cannot be made.
    pub(crate) fn new(codings: &[Coding], target: W) -> io::Result<Self> {
        // The coding that was applied first is decoded last, right before the target.
        let mut decoder = Self::Plain(target);
        for coding in codings {
            let stage = match coding {
                Coding::Gzip => Stage::Gzip(MultiGzDecoder::new(decoder)),
                Coding::Deflate => Stage::Deflate(Deflate::new(decoder)),
                Coding::Brotli => Stage::Brotli(Box::new(DecompressorWriter::new(decoder, BUFFER))),
                Coding::Zstd => Stage::Zstd(Zstd::new(decoder)?),
            };
            decoder = Self::Coded(Box::new(stage));
        }
        Ok(decoder)
    }

    /// Decodes the rest. To be called once, after the last byte.
    ///
    /// # Errors
    /// If the input is truncated, or the target refuses more.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Self::Coded(stage) = self else { return Ok(()) };
        match &mut **stage {
            Stage::Gzip(decoder) => {
                decoder.try_finish()?;
                decoder.get_mut().finish()
            }
            Stage::Deflate(decoder) => {
                ended(decoder.ended)?;
                decoder.inner.finish()
            }
            Stage::Brotli(decoder) => {
                decoder.close()?;
                decoder.get_mut().finish()
            }
            Stage::Zstd(decoder) => {
                ended(decoder.ended)?;
                decoder.inner.finish()
            }
        }
    }

    /// Returns the target.
    pub(crate) fn target(&mut self) -> &mut W {
        match self {
            Self::Plain(target) => target,
            Self::Coded(stage) => match &mut **stage {
                Stage::Gzip(decoder) => decoder.get_mut().target(),
                Stage::Deflate(decoder) => decoder.inner.target(),
                Stage::Brotli(decoder) => decoder.get_mut().target(),
                Stage::Zstd(decoder) => decoder.inner.target(),
            },
        }
    }
}

impl<W: Write> Write for Decoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(target) => target.write(bytes),
            Self::Coded(stage) => match &mut **stage {
                Stage::Gzip(decoder) => decoder.write(bytes),
                Stage::Deflate(decoder) => decoder.write(bytes),
                Stage::Brotli(decoder) => decoder.write(bytes),
                Stage::Zstd(decoder) => decoder.write(bytes),
            },
        }
    }

    /// Does nothing, because decoded bytes are written at once.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ended(ended: bool) -> io::Result<()> {
    if ended {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it breaks off before its end"))
    }
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// `deflate`, with a zlib header or without.
pub(crate) struct Deflate<W> {
    inner: W,
    /// `None` until the first two bytes have arrived, which show if there is a header.
    work: Option<Decompress>,
    start: Vec<u8>,
    ended: bool,
}

impl<W: Write> Deflate<W> {
    fn new(inner: W) -> Self {
        Self { inner, work: None, start: Vec::new(), ended: false }
    }

    fn inflate(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(work) = &mut self.work else { return Ok(()) };
        let mut buffer = [0; BUFFER];
        loop {
            if self.ended && !bytes.is_empty() {
                return Err(malformed("bytes follow its end"));
            }
            let (read, written) = (work.total_in(), work.total_out());
            let status = work.decompress(bytes, &mut buffer, FlushDecompress::None);
            let status = status.map_err(|error| malformed(&error.to_string()))?;
            let (read, written) = ((work.total_in() - read) as usize, (work.total_out() - written) as usize);
            bytes = &bytes[read..];
            self.inner.write_all(&buffer[..written])?;
            self.ended |= status == Status::StreamEnd;
            if (bytes.is_empty() && written < BUFFER) || (read == 0 && written == 0) {
                return if bytes.is_empty() { Ok(()) } else { Err(malformed("it cannot be decoded")) };
            }
        }
    }
}

impl<W: Write> Write for Deflate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.work.is_some() {
            self.inflate(bytes)?;
            return Ok(bytes.len());
        }
        self.start.extend_from_slice(bytes);
        let [first, second, ..] = self.start[..] else { return Ok(bytes.len()) };
        let header = first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
        self.work = Some(Decompress::new(header));
        let start = std::mem::take(&mut self.start);
        self.inflate(&start)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `zstd`: one frame or several.
pub(crate) struct Zstd<W> {
    inner: W,
    work: ZstdDecoder<'static>,
    ended: bool,
}

impl<W: Write> Zstd<W> {
    fn new(inner: W) -> io::Result<Self> {
        let mut work = ZstdDecoder::new()?;
        work.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))?;
        Ok(Self { inner, work, ended: false })
    }
}

impl<W: Write> Write for Zstd<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = [0; BUFFER];
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(&mut buffer[..]);
            let left = self.work.run(&mut input, &mut output)?;
            let written = output.pos();
            self.inner.write_all(&buffer[..written])?;
            // A new frame begins with the next byte after an end.
            self.ended = left == 0;
            if input.pos() == bytes.len() && written < BUFFER {
                return Ok(bytes.len());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
