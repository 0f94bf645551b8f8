//! Lines.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{BYTE_ORDER_MARK, Oversized};
use crate::{BatchBuilder, Position, SourceBatch, SourceRejection, Span};

/// Cuts a stream of bytes into lines: at each `\n`, with a `\r` before it removed. Empty lines are skipped.
///
/// Read into [`buffer`](Self::buffer), then [`cut`](Self::cut) into batches until nothing more comes, then
/// read again. Who reads large blocks [puts](Self::put) them in instead.
#[derive(Debug)]
pub struct Lines {
    pending: BytesMut,
    /// The number of bytes of `pending` that are known to hold no line end.
    scanned: usize,
    /// The block that was put in, which follows `pending`. If it is not empty, `pending` is empty or ends with a line
    /// end.
    block: Bytes,
    /// The number of bytes of `block` that have been cut.
    done: usize,
    /// The largest number of lines of a batch so far, an estimate for the next one.
    usual: usize,
    limit: usize,
    oversized: Option<Oversized>,
    /// The offset of [`read`](Self::read) in its input: everything before it is consumed.
    consumed: u64,
    /// True if a byte order mark may come.
    at_start: bool,
}

/// The number of bytes that [`Lines::read`] asks for at a time.
const READ: usize = 64 << 10;

impl Lines {
    /// Lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let (pending, block) = (BytesMut::new(), Bytes::new());
        let (oversized, at_start) = (None, false);
        Self { pending, scanned: 0, block, done: 0, usual: 0, limit, oversized, consumed: 0, at_start }
    }

    /// Begins another input, and skips a byte order mark at its start. Nothing is pending.
    pub fn begin_input(&mut self) {
        debug_assert!(!self.is_partial(), "the input before has ended");
        self.at_start = true;
    }

    /// The bytes that were read and not cut yet. Append to them, but not while a block that was put in has not been
    /// cut.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.pending
    }

    /// Takes what was read, to be cut where it lies: only the parts of lines that reach into the block before it,
    /// or into the one after it, are copied. The one before it has been cut.
    pub fn put(&mut self, mut block: Bytes) {
        debug_assert!(self.block.is_empty(), "the block before it has been cut");
        if self.at_start {
            self.pending.extend_from_slice(&block);
            return;
        }
        if self.is_partial() {
            let head = memchr::memchr(b'\n', &block).map_or(block.len(), |end| end + 1);
            self.pending.extend_from_slice(&block.split_to(head));
        }
        (self.block, self.done) = (block, 0);
    }

    /// Moves whole lines to `builder` until it is full or there are no more, and lines over the limit to
    /// `rejected`. Returns the number of bytes of the input that this consumes.
    pub fn cut(&mut self, builder: &mut BatchBuilder, rejected: &mut Vec<SourceRejection>) -> u64 {
        if self.at_start
            && BYTE_ORDER_MARK.starts_with(&self.pending)
            && self.pending.len() < BYTE_ORDER_MARK.len()
        {
            return 0;
        }
        let mut consumed = self.skip_mark() + self.skip_oversized(rejected);
        if self.oversized.is_some() {
            return consumed;
        }
        let before = builder.len();
        consumed += self.cut_pending(builder, rejected);
        consumed += self.cut_block(builder, rejected);
        self.usual = self.usual.max(builder.len() - before);
        // A `\r` at the end may be that of the line end, whose `\n` has not been read.
        if trimmed(&self.pending[..self.scanned]) > self.limit {
            self.oversized = Some(Oversized::new(&self.pending));
            consumed += self.pending.len() as u64;
            self.pending.clear();
            self.scanned = 0;
        }
        consumed
    }

    fn cut_pending(&mut self, builder: &mut BatchBuilder, rejected: &mut Vec<SourceRejection>) -> u64 {
        let mut spans = Vec::new();
        let (mut start, mut bytes) = (0, builder.bytes());
        while builder.len() + spans.len() < crate::BATCH_EVENTS && bytes < crate::BATCH_BYTES {
            let Some(end) = memchr::memchr(b'\n', &self.pending[start.max(self.scanned)..]) else { break };
            let end = start.max(self.scanned) + end;
            let length = trimmed(&self.pending[start..end]);
            if length > self.limit {
                rejected.push(Oversized::new(&self.pending[start..end]).finish(self.limit));
            } else if length > 0 {
                spans.push((start as u32, length as u32));
                bytes += length;
            }
            start = end + 1;
            self.scanned = start;
        }
        if start > 0 {
            let buffer = builder.add_buffer(self.pending.split_to(start).freeze());
            for (offset, length) in spans {
                builder.push_span(Span { buffer, offset, length });
            }
            self.scanned = 0;
        } else if !builder.is_full() {
            self.scanned = self.pending.len();
        }
        start as u64
    }

    /// The lines of the block, whose line ends are found in one go.
    fn cut_block(&mut self, builder: &mut BatchBuilder, rejected: &mut Vec<SourceRejection>) -> u64 {
        if self.block.is_empty() || !self.pending.is_empty() || builder.is_full() {
            return 0;
        }
        let first = self.done;
        let buffer = builder.add_buffer(self.block.clone());
        builder.reserve(self.usual.min(crate::BATCH_EVENTS));
        for end in memchr::memchr_iter(b'\n', &self.block[first..]) {
            let (start, end) = (self.done, first + end);
            let length = trimmed(&self.block[start..end]);
            if length > self.limit {
                rejected.push(Oversized::new(&self.block[start..end]).finish(self.limit));
            } else if length > 0 {
                builder.push_span(Span { buffer, offset: start as u32, length: length as u32 });
            }
            self.done = end + 1;
            if builder.is_full() {
                return (self.done - first) as u64;
            }
        }
        // The next call decides if the rest is over the limit: a batch never consumes the beginning of a line that
        // continues after its events.
        self.pending.extend_from_slice(&self.block[self.done..]);
        self.block = Bytes::new();
        (self.done - first) as u64
    }

    /// Sets the offset at which the input begins. The positions of [`read`](Self::read) count from it.
    #[must_use]
    pub fn starting_at(mut self, consumed: u64) -> Self {
        self.consumed = consumed;
        self
    }

    /// Reads from `input` until there is a line, and returns the lines that are there, and those over the limit,
    /// as a source's batch; `None` when the input has ended. The position of the batch is the number of bytes of
    /// the input before what comes next.
    ///
    /// # Errors
    /// Those of `input`. After one it may be called again.
    pub async fn read(&mut self, input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SourceBatch>> {
        let (mut builder, mut rejected) = (BatchBuilder::new(), Vec::new());
        self.consumed += self.cut(&mut builder, &mut rejected);
        let mut ended = false;
        while builder.is_empty() && rejected.is_empty() && !ended {
            self.pending.reserve(READ);
            ended = input.read_buf(&mut self.pending).await? == 0;
            self.consumed += match ended {
                true => self.finish(&mut builder, &mut rejected),
                false => self.cut(&mut builder, &mut rejected),
            };
        }
        if builder.is_empty() && rejected.is_empty() {
            return Ok(None);
        }
        builder.set_position(Position::new(&self.consumed));
        Ok(Some(SourceBatch::from(builder.finish()).with_rejected(rejected)))
    }

    /// At the end of the input: what is left is a line too, if it is not empty. Returns the number of bytes
    /// that this consumes.
    pub fn finish(&mut self, builder: &mut BatchBuilder, rejected: &mut Vec<SourceRejection>) -> u64 {
        if let Some(oversized) = self.oversized.take() {
            rejected.push(oversized.finish(self.limit));
        }
        let consumed = self.skip_mark() + self.pending.len() as u64;
        let length = trimmed(&self.pending);
        let line = self.pending.split().freeze();
        self.scanned = 0;
        if length > self.limit {
            rejected.push(Oversized::new(&line).finish(self.limit));
        } else if length > 0 {
            builder.push(line.slice(..length));
        }
        consumed
    }

    /// Returns true if a line has begun whose end has not been read.
    pub fn is_partial(&self) -> bool {
        !self.pending.is_empty() || self.oversized.is_some()
    }

    /// Returns true within a line over the limit, whose beginning is consumed and whose end is not.
    pub fn is_within(&self) -> bool {
        self.oversized.is_some()
    }

    /// Skips the byte order mark at the start of an input. Returns its length.
    fn skip_mark(&mut self) -> u64 {
        if !std::mem::take(&mut self.at_start) || !self.pending.starts_with(BYTE_ORDER_MARK) {
            return 0;
        }
        bytes::Buf::advance(&mut self.pending, BYTE_ORDER_MARK.len());
        BYTE_ORDER_MARK.len() as u64
    }

    /// Lets the rest of a line over the limit go by. Returns the number of bytes that went.
    fn skip_oversized(&mut self, rejected: &mut Vec<SourceRejection>) -> u64 {
        let Some(oversized) = &mut self.oversized else { return 0 };
        let end = memchr::memchr(b'\n', &self.pending);
        let passed = self.pending.split_to(end.unwrap_or(self.pending.len()));
        oversized.pass(&passed);
        let mut consumed = passed.len() as u64;
        if end.is_some() {
            bytes::Buf::advance(&mut self.pending, 1);
            consumed += 1;
            rejected.extend(self.oversized.take().map(|oversized| oversized.finish(self.limit)));
        }
        consumed
    }
}

fn trimmed(line: &[u8]) -> usize {
    line.len() - usize::from(line.ends_with(b"\r"))
}

#[cfg(test)]
mod tests;
