//! Reading of one file, from a position to its end.

mod opening;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::SeekFrom;
use tidegate_sdk::{Attributes, Batch, BatchBuilder, Error, Position, SourceBatch, SourceRejection};

use super::blocks::Blocks;
use super::format::{self, Format, Input};
use super::framing::Framing;
use super::position::{Checksum, Decompressed, FileId, FilePosition, Recent};
use crate::failure::{failed, reason};

pub(crate) use opening::Start;

/// Bytes of one read.
const READ: usize = 1 << 20;
/// Fewest bytes of one read, because the file may have grown.
const LEAST: u64 = 4096;
/// Bytes of unreadable contents that are kept in the dead letter.
const KEPT: usize = 4096;
/// Byte order mark of UTF-8, which some editors write before text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Fewest zeros at the front of a file that are the hole of a truncation, and not text.
const HOLE: usize = 8;

/// Open file that is read: its decompressed bytes, and the events in them.
pub(crate) struct Stream {
    name: Arc<str>,
    attributes: Arc<Attributes>,
    file: Arc<File>,
    format: Format,
    id: FileId,
    created: Option<u64>,
    head: Checksum,
    input: Input,
    framing: Framing,
    /// Memory for a plain file of lines.
    blocks: Blocks,
    /// Decompressed bytes that have become events or were skipped.
    offset: u64,
    /// The last bytes that were read, as they were then.
    recent: Recent,
    /// For an archive, the bytes around `offset`.
    decompressed: Decompressed,
    /// Rejections from before an event over the limit that is being skipped. They wait for its end, because no position can
    /// be in its middle.
    refused: Vec<SourceRejection>,
    /// `offset`, or the start of the event over the limit that is being skipped.
    resume_at: u64,
    /// Tells whether the hole and the byte order mark at the front are skipped.
    begun: bool,
    /// Zeros at the front that were skipped.
    hole: u64,
    /// Tells whether nothing more is read.
    closed: bool,
    /// Length of an archive that ended within a member.
    torn_at: Option<u64>,
    /// Message before the first event.
    announcement: Announcement,
}

/// Message to the engine before the first event of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    /// No message: reading continues at a position.
    None,
    /// Identity of the file, so that a record of its first batch belongs to the file and not only to its name.
    Beginning,
    /// Notice that the file replaces another one, whose rest is gone.
    Replaced,
}

/// Reason why reading failed.
pub(crate) enum Problem {
    /// The next try may succeed.
    Failed(Error),
    /// The file is damaged, or has a format that is refused.
    Corrupt(String),
}

impl Stream {
    /// Reads more of the file. Returns the number of bytes, 0 at its end.
    pub(crate) fn fill(&mut self) -> Result<usize, Problem> {
        if self.closed {
            return Ok(0);
        }
        loop {
            let wanted = self.wanted();
            let result = match &self.framing {
                Framing::Lines(_) if wanted == READ && self.begun && !self.is_compressed() => {
                    self.fill_block()
                }
                _ => self.fill_buffer(wanted),
            };
            return match result {
                Ok(read) => Ok(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Errors of a decoder have no number. Those of the system have one.
                Err(error) if self.is_compressed() && error.raw_os_error().is_none() => {
                    Err(Problem::Corrupt(reason(&error)))
                }
                Err(error) => Err(Problem::Failed(failed(format!("{} cannot be read", self.name), &error))),
            };
        }
    }

    /// Reads up to `wanted` bytes and appends them to the pending ones.
    fn fill_buffer(&mut self, wanted: usize) -> io::Result<usize> {
        let buffer = self.framing.buffer();
        let before = buffer.len();
        buffer.resize(before + wanted, 0);
        let result = self.input.read(&mut buffer[before..]);
        buffer.truncate(before + *result.as_ref().unwrap_or(&0));
        self.recent.pass(&buffer[before..]);
        if self.format != Format::Plain {
            self.decompressed.pass(&buffer[before..]);
        }
        result
    }

    /// Reads a large block of lines, which is cut without a copy.
    fn fill_block(&mut self) -> io::Result<usize> {
        let mut block = self.blocks.take();
        let read = self.input.read(block.space())?;
        self.recent.pass(&block.space()[..read]);
        match &mut self.framing {
            Framing::Lines(lines) if read > READ / 2 => lines.put(block.share(read)),
            framing => framing.buffer().extend_from_slice(&block.space()[..read]),
        }
        Ok(read)
    }

    /// Returns the size of the next read: no more than there is, because a batch keeps all of its memory.
    fn wanted(&self) -> usize {
        if self.format != Format::Plain {
            return READ;
        }
        let length = self.file.metadata().map_or(u64::MAX, |known| known.len());
        length.saturating_sub(self.read_so_far()).clamp(LEAST, READ as u64) as usize
    }

    /// Returns the next batch of the bytes that were read; `None` if more must be read first.
    pub(crate) fn cut(&mut self) -> Option<SourceBatch> {
        if self.announcement != Announcement::None && !self.framing.buffer().is_empty() {
            return Some(self.mark());
        }
        while !self.closed {
            if let Some(reason) = self.refusal_of_contents() {
                return Some(self.end_early(reason));
            }
            if !self.begun && !self.begin() {
                return None;
            }
            let (mut builder, mut rejected) = (self.builder(), std::mem::take(&mut self.refused));
            match self.framing.cut(&mut builder, &mut rejected) {
                Ok(consumed) => {
                    self.consume(consumed);
                    if self.framing.is_within() && builder.is_empty() {
                        self.refused = rejected;
                    } else if !builder.is_empty() || !rejected.is_empty() {
                        return Some(self.batch(builder, rejected));
                    }
                    if consumed == 0 {
                        return None;
                    }
                }
                Err(reason) => return Some(self.end_early(&reason)),
            }
        }
        None
    }

    /// Reason to refuse the contents of an archive, by their first bytes.
    fn refusal_of_contents(&mut self) -> Option<&'static str> {
        let is_first = self.is_compressed() && !self.begun && self.offset == 0;
        if is_first { format::refusal_of_contents(self.framing.buffer()) } else { None }
    }

    /// Returns the rest at the end of the file.
    pub(crate) fn finish(&mut self) -> Option<SourceBatch> {
        if self.closed {
            return None;
        }
        if !self.input.is_whole() {
            self.torn_at = self.file.metadata().ok().map(|known| known.len());
            return Some(self.end_early("the archive ends within a member"));
        }
        let (mut builder, mut rejected) = (self.builder(), std::mem::take(&mut self.refused));
        match self.framing.finish(&mut builder, &mut rejected) {
            Ok(consumed) => {
                self.consume(consumed);
                let some = !builder.is_empty() || !rejected.is_empty();
                some.then(|| self.batch(builder, rejected))
            }
            Err(reason) => Some(self.end_early(&reason)),
        }
    }

    /// Returns the last line of an archive, if the archive is whole for now: a line does not continue in another member.
    pub(crate) fn finish_member(&mut self) -> Option<SourceBatch> {
        let has_rest = !self.framing.buffer().is_empty();
        let may_end = self.input.is_whole() && self.begun && !matches!(self.framing, Framing::Elements(_));
        if has_rest && may_end { self.finish() } else { None }
    }

    /// Marks the next `count` bytes as consumed.
    fn consume(&mut self, count: u64) {
        self.offset += count;
        if self.is_compressed() {
            self.decompressed.consume(usize::try_from(count).unwrap_or(usize::MAX));
        }
        if !self.framing.is_within() {
            self.resume_at = self.offset;
        }
    }

    /// Gives up the rest of the file. A rejection gives the reason.
    pub(crate) fn end_early(&mut self, reason: &str) -> SourceBatch {
        self.closed = true;
        let rest = self.framing.buffer().split();
        let reason = match self.offset {
            0 => format!("{} cannot be read: {reason}; the file is skipped", self.name),
            offset => format!(
                "{} cannot be read beyond byte {offset}: {reason}; the rest of the file is skipped",
                self.name
            ),
        };
        let payload = Bytes::copy_from_slice(&rest[..rest.len().min(KEPT)]);
        let mut rejected = std::mem::take(&mut self.refused);
        rejected.push(SourceRejection { payload, length: rest.len() as u64, reason });
        self.batch(self.builder(), rejected)
    }

    /// Returns a batch without events that only moves the position.
    pub(crate) fn mark(&mut self) -> SourceBatch {
        match std::mem::replace(&mut self.announcement, Announcement::None) {
            Announcement::Replaced => {
                SourceBatch::replaced_input(Arc::clone(&self.name), Position::new(&self.position()))
            }
            _ => self.batch(self.builder(), Vec::new()),
        }
    }

    fn builder(&self) -> BatchBuilder {
        Batch::builder().with_attributes(Arc::clone(&self.attributes))
    }

    fn batch(&mut self, mut builder: BatchBuilder, rejected: Vec<SourceRejection>) -> SourceBatch {
        builder.set_partition(Arc::clone(&self.name));
        builder.set_position(Position::new(&self.position()));
        SourceBatch::from(builder.finish()).with_rejected(rejected)
    }

    fn position(&mut self) -> FilePosition {
        // The checksums only serve to recognise the file. Without one, its other properties do.
        if self.head.is_short_head() {
            self.head = Checksum::head(&self.file).unwrap_or(self.head);
        }
        let tail = match self.format {
            Format::Plain => Checksum::before(&self.file, self.resume_at).unwrap_or_default(),
            _ if self.resume_at == self.offset => self.decompressed.checksum(),
            _ => Checksum::default(),
        };
        FilePosition {
            id: self.id,
            created: self.created,
            head: self.head,
            tail,
            offset: self.resume_at,
            closed: self.closed || self.framing.is_closed(),
            torn_at: self.torn_at,
            gone: false,
            line: self.framing.line(),
        }
    }

    /// Skips the hole and the byte order mark at the beginning. False if too little was read to know their end.
    fn begin(&mut self) -> bool {
        if self.format == Format::Plain && !self.skip_hole() {
            return false;
        }
        let buffer = self.framing.buffer();
        if buffer.starts_with(BYTE_ORDER_MARK) {
            drop(buffer.split_to(BYTE_ORDER_MARK.len()));
            self.consume(BYTE_ORDER_MARK.len() as u64);
            self.begun = true;
        } else {
            self.begun = !BYTE_ORDER_MARK.starts_with(buffer);
        }
        self.begun
    }

    /// Skips the zeros at the front of a file that was truncated while its writer continued at its old offset. False if more
    /// of them may follow.
    fn skip_hole(&mut self) -> bool {
        let buffer = self.framing.buffer();
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let only_zeros = zeros == buffer.len();
        if self.hole == 0 && zeros < HOLE {
            return zeros == 0 || !only_zeros;
        }
        drop(buffer.split_to(zeros));
        self.hole += zeros as u64;
        self.consume(zeros as u64);
        if only_zeros {
            self.jump_hole();
            return false;
        }
        if self.hole > 0 {
            let (name, hole) = (&self.name, self.hole);
            tracing::warn!(
                file = %name,
                "{name} begins with {hole} NUL bytes, which are skipped: the file was truncated while its writer continued \
                 at its old offset; open it with O_APPEND"
            );
            self.hole = 0;
        }
        true
    }

    /// Seeks to the first data after a hole, if the file system knows it.
    fn jump_hole(&mut self) {
        let at = self.read_so_far();
        let Ok(data) = rustix::fs::seek(&*self.file, SeekFrom::Data(at)) else {
            // There is no data yet, or the file system cannot tell. The offset is unchanged.
            return;
        };
        if data > at {
            self.recent.pass(&[0; 64]);
            self.hole += data - at;
            self.consume(data - at);
        }
    }

    /// Returns the offset in the file on the disk.
    pub(crate) fn read_so_far(&self) -> u64 {
        (&*self.file).stream_position().unwrap_or(0)
    }

    /// Returns the checksum of the last bytes that were read.
    pub(crate) fn recent(&self) -> Checksum {
        self.recent.checksum()
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.format != Format::Plain
    }

    /// Tells whether an archive ends within a member for now.
    pub(crate) fn is_torn(&self) -> bool {
        !self.input.is_whole()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Changes the name of the file. With `replaces_other`, another file had that name, and its rest is gone.
    pub(crate) fn rename(&mut self, name: &str, replaces_other: bool) {
        if replaces_other {
            self.announcement = Announcement::Replaced;
        }
        self.name = name.into();
        self.attributes = Arc::new(Attributes::default().with("file", name));
    }
}
