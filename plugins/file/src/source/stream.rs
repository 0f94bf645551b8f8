//! One file, read from a place to its end.

mod opening;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::SeekFrom;
use tidegate_sdk::{Attributes, Batch, BatchBuilder, Error, Position, SourceBatch, SourceRejection};

use super::blocks::Blocks;
use super::format::{FileFormat, Input};
use super::framing::Framing;
use super::position::{Checksum, FileId, FilePosition, Recent, Unpacked};
use crate::failure::{failed, reason};

pub(crate) use opening::Start;

/// How much one read asks for.
const READ: usize = 1 << 20;
/// How much one read asks for where little is left; it may have grown meanwhile.
const LEAST: u64 = 4096;
/// How much of what could not be read is kept for the dead letters.
const KEPT: usize = 4096;
/// What some editors put in front of text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How many zeros at the front of a file are the hole that truncation leaves, and no text.
const HOLE: usize = 8;

/// One open file, its unpacked bytes and the events in them.
pub(crate) struct Stream {
    name: Arc<str>,
    attributes: Arc<Attributes>,
    file: Arc<File>,
    packing: FileFormat,
    id: FileId,
    born: Option<u64>,
    head: Checksum,
    input: Input,
    framing: Framing,
    /// For a plain file of lines.
    blocks: Blocks,
    /// Unpacked bytes that have become events, or were passed over on purpose.
    offset: u64,
    /// The bytes that were read last, as they were when they were read.
    recent: Recent,
    /// For an archive, what was read around `offset`.
    unpacked: Unpacked,
    /// What was refused while the next event over the limit goes by: a position in its middle would not do.
    refused: Vec<SourceRejection>,
    /// `offset`, or where the event over the limit begins that goes by.
    whole: u64,
    /// Whether the beginning of the file has been looked at for a hole and a byte order mark.
    begun: bool,
    /// The zeros at the front that were skipped.
    hole: u64,
    /// Whether nothing more is to be read.
    closed: bool,
    /// The length of an archive that was given up within a member.
    torn_at: Option<u64>,
    /// What is to be sent before the first event.
    announcement: Announcement,
}

/// What the engine is told before the first event of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    /// Nothing: reading goes on where it was left.
    None,
    /// The identity of the file, so that a record of its first batch belongs to it and not only to its name.
    Beginning,
    /// That the file takes the place of another one, whose rest is gone.
    Replaced,
}

/// Why no more could be read.
pub(crate) enum Problem {
    /// It may go through later.
    Failed(Error),
    /// The file is damaged, or is not what can be read, for this reason.
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
                // A decoder's own errors have no number; those of the system do.
                Err(error) if self.is_compressed() && error.raw_os_error().is_none() => {
                    Err(Problem::Corrupt(reason(&error)))
                }
                Err(error) => Err(Problem::Failed(failed(format!("{} cannot be read", self.name), &error))),
            };
        }
    }

    /// Reads `wanted` bytes, behind those that are left.
    fn fill_buffer(&mut self, wanted: usize) -> io::Result<usize> {
        let buffer = self.framing.buffer();
        let before = buffer.len();
        buffer.resize(before + wanted, 0);
        let result = self.input.read(&mut buffer[before..]);
        buffer.truncate(before + *result.as_ref().unwrap_or(&0));
        self.recent.pass(&buffer[before..]);
        if self.packing != FileFormat::Plain {
            self.unpacked.pass(&buffer[before..]);
        }
        result
    }

    /// Reads a large block of lines, to be cut where it lies.
    fn fill_block(&mut self) -> io::Result<usize> {
        let mut block = self.blocks.lend();
        let read = self.input.read(block.space())?;
        self.recent.pass(&block.space()[..read]);
        match &mut self.framing {
            Framing::Lines(lines) if read > READ / 2 => lines.put(block.share(read)),
            framing => framing.buffer().extend_from_slice(&block.space()[..read]),
        }
        Ok(read)
    }

    /// How much to ask for: no more than there is, because a batch holds on to all that was asked for.
    fn wanted(&self) -> usize {
        if self.packing != FileFormat::Plain {
            return READ;
        }
        let length = self.file.metadata().map_or(u64::MAX, |known| known.len());
        length.saturating_sub(self.read_so_far()).clamp(LEAST, READ as u64) as usize
    }

    /// The next batch of what was read; `None` if more must be read first.
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
                Ok(settled) => {
                    self.settle(settled);
                    if self.framing.is_within() && builder.is_empty() {
                        self.refused = rejected;
                    } else if !builder.is_empty() || !rejected.is_empty() {
                        return Some(self.batch(builder, rejected));
                    }
                    if settled == 0 {
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
        if is_first { FileFormat::refusal_of_contents(self.framing.buffer()) } else { None }
    }

    /// What is left at the end of the file.
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
            Ok(settled) => {
                self.settle(settled);
                let some = !builder.is_empty() || !rejected.is_empty();
                some.then(|| self.batch(builder, rejected))
            }
            Err(reason) => Some(self.end_early(&reason)),
        }
    }

    /// The last line of an archive, if it is whole for now: nobody goes on with a line of another member.
    pub(crate) fn finish_member(&mut self) -> Option<SourceBatch> {
        let has_rest = !self.framing.buffer().is_empty();
        let may_end = self.input.is_whole() && self.begun && !matches!(self.framing, Framing::Elements(_));
        if has_rest && may_end { self.finish() } else { None }
    }

    /// The next `count` bytes are done.
    fn settle(&mut self, count: u64) {
        self.offset += count;
        if self.is_compressed() {
            self.unpacked.settle(usize::try_from(count).unwrap_or(usize::MAX));
        }
        if !self.framing.is_within() {
            self.whole = self.offset;
        }
    }

    /// Gives the rest of the file up: a rejection says why.
    pub(crate) fn end_early(&mut self, reason: &str) -> SourceBatch {
        self.closed = true;
        let rest = self.framing.buffer().split();
        let reason = match self.offset {
            0 => format!("{} cannot be read: {reason}; the file is left out", self.name),
            offset => format!(
                "{} cannot be read beyond byte {offset}: {reason}; the rest of the file is left out",
                self.name
            ),
        };
        let payload = Bytes::copy_from_slice(&rest[..rest.len().min(KEPT)]);
        let mut rejected = std::mem::take(&mut self.refused);
        rejected.push(SourceRejection { payload, length: rest.len() as u64, reason });
        self.batch(self.builder(), rejected)
    }

    /// A batch without events that only says where the source is.
    pub(crate) fn mark(&mut self) -> SourceBatch {
        match std::mem::replace(&mut self.announcement, Announcement::None) {
            Announcement::Replaced => {
                SourceBatch::replaced_input(Arc::clone(&self.name), Position::new(&self.place()))
            }
            _ => self.batch(self.builder(), Vec::new()),
        }
    }

    fn builder(&self) -> BatchBuilder {
        Batch::builder().with_attributes(Arc::clone(&self.attributes))
    }

    fn batch(&mut self, mut builder: BatchBuilder, rejected: Vec<SourceRejection>) -> SourceBatch {
        builder.set_partition(Arc::clone(&self.name));
        builder.set_position(Position::new(&self.place()));
        SourceBatch::from(builder.finish()).with_rejected(rejected)
    }

    fn place(&mut self) -> FilePosition {
        // The checksums only serve to know the file again; without one the rest of the place does.
        if self.head.is_short_head() {
            self.head = Checksum::head(&self.file).unwrap_or(self.head);
        }
        let tail = match self.packing {
            FileFormat::Plain => Checksum::before(&self.file, self.whole).unwrap_or_default(),
            _ if self.whole == self.offset => self.unpacked.checksum(),
            _ => Checksum::default(),
        };
        FilePosition {
            id: self.id,
            born: self.born,
            head: self.head,
            tail,
            offset: self.whole,
            closed: self.closed || self.framing.is_closed(),
            torn_at: self.torn_at,
            gone: false,
            line: self.framing.line(),
        }
    }

    /// Passes over what is no text at the beginning. False if too little was read to know where that ends.
    fn begin(&mut self) -> bool {
        if self.packing == FileFormat::Plain && !self.pass_hole() {
            return false;
        }
        let buffer = self.framing.buffer();
        if buffer.starts_with(BYTE_ORDER_MARK) {
            drop(buffer.split_to(BYTE_ORDER_MARK.len()));
            self.settle(BYTE_ORDER_MARK.len() as u64);
            self.begun = true;
        } else {
            self.begun = !BYTE_ORDER_MARK.starts_with(buffer);
        }
        self.begun
    }

    /// Passes over the zeros that a file begins with after it was truncated while its writer went on at its own offset.
    /// False if there may be more of them.
    fn pass_hole(&mut self) -> bool {
        let buffer = self.framing.buffer();
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let only_zeros = zeros == buffer.len();
        if self.hole == 0 && zeros < HOLE {
            return zeros == 0 || !only_zeros;
        }
        drop(buffer.split_to(zeros));
        self.hole += zeros as u64;
        self.settle(zeros as u64);
        if only_zeros {
            self.jump_hole();
            return false;
        }
        if self.hole > 0 {
            let (name, hole) = (&self.name, self.hole);
            tracing::warn!(
                file = %name,
                "{name} begins with {hole} NUL bytes, as a file does that was truncated while its writer went on where \
                 it was; they are skipped"
            );
            self.hole = 0;
        }
        true
    }

    /// Goes to where the data begins, if the file system knows.
    fn jump_hole(&mut self) {
        let at = self.read_so_far();
        let Ok(data) = rustix::fs::seek(&*self.file, SeekFrom::Data(at)) else {
            // There is none yet, or nobody knows; the offset is as it was.
            return;
        };
        if data > at {
            self.recent.pass(&[0; 64]);
            self.hole += data - at;
            self.settle(data - at);
        }
    }

    /// How far the file has been read, in bytes as it lies on the disk.
    pub(crate) fn read_so_far(&self) -> u64 {
        (&*self.file).stream_position().unwrap_or(0)
    }

    /// Of the bytes that were read last.
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
        self.packing != FileFormat::Plain
    }

    /// Whether an archive ends within a member, so far.
    pub(crate) fn is_torn(&self) -> bool {
        !self.input.is_whole()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// From now on the file is known by this name. What was known by it may have been another file, whose rest is gone.
    pub(crate) fn rename(&mut self, name: &str, replaces_other: bool) {
        if replaces_other {
            self.announcement = Announcement::Replaced;
        }
        self.name = name.into();
        self.attributes = Arc::new(Attributes::default().with("file", name));
    }
}
