//! One file, read from a place to its end.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_sdk::{Attributes, Batch, BatchBuilder, Error, Position, SourceBatch, SourceRejection};

use super::blocks::Blocks;
use super::feed::Feed;
use super::framing::Framing;
use super::options::SourceOptions;
use super::packing::Packing;
use super::place::{Checksum, FileId, Place, Recent, Unpacked, born};
use crate::failure::{failed, reason};

/// How much one read asks for.
const READ: usize = 1 << 20;
/// How much one read asks for where little is left; it may have grown meanwhile.
const LEAST: u64 = 4096;
/// How much of what could not be read is kept for the dead letters.
const KEPT: usize = 4096;
/// How far back from the end of a file its last line end is looked for.
const LAST_LINE: u64 = 64 << 10;
/// What some editors put in front of text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where to begin in a file.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Beginning,
    /// At the beginning, in place of a file that was not read to its end.
    Replaced,
    End,
    At(Place),
}

/// One open file, its unpacked bytes and the events in them.
pub(crate) struct Stream {
    name: Arc<str>,
    attributes: Arc<Attributes>,
    file: Arc<File>,
    packing: Packing,
    id: FileId,
    born: Option<u64>,
    head: Checksum,
    input: Box<dyn Read + Send>,
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
    /// Whether the beginning of the file has been looked at for a byte order mark.
    begun: bool,
    /// Whether nothing more is to be read.
    closed: bool,
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
    /// The archive is damaged or ends too early, for this reason.
    Corrupt(String),
}

impl Stream {
    /// Opens the file at `path`, to be known as `name`. `None` if it is not there, or the source is to stop.
    pub(crate) fn open(
        options: &SourceOptions,
        path: &Path,
        name: &str,
        start: &Start,
        feed: &Feed,
    ) -> Result<Option<Self>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(format!("{name} cannot be opened"), &error)),
        };
        let unreadable = |error: io::Error| failed(format!("{name} cannot be read"), &error);
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Error::fatal(format!("{name} is not a regular file")));
        }
        let packing = Packing::of(&file).map_err(unreadable)?;
        let why = match start {
            Start::At(place) => place.mismatch(&file, &metadata, packing).map_err(unreadable)?,
            _ => None,
        };
        let name: Arc<str> = name.into();
        let file = Arc::new(file);
        let mut stream = Self {
            attributes: Arc::new(Attributes::default().with("file", &*name)),
            head: Checksum::head(&file).map_err(unreadable)?,
            input: packing.open(&file).map_err(unreadable)?,
            framing: Framing::new(options, feed.cx().event_size()),
            id: FileId::of(&metadata),
            born: born(&metadata),
            name: Arc::clone(&name),
            file,
            packing,
            blocks: Blocks::new(READ),
            offset: 0,
            recent: Recent::default(),
            unpacked: Unpacked::default(),
            refused: Vec::new(),
            whole: 0,
            begun: false,
            closed: false,
            announcement: Announcement::Beginning,
        };
        match (start, why) {
            (_, Some(why)) => stream.replaces_other(why),
            (Start::Beginning, None) => {}
            (Start::Replaced, None) => stream.announcement = Announcement::Replaced,
            (Start::End, None) => stream.go_to_end(metadata.len(), feed).map_err(unreadable)?,
            (Start::At(place), None) => {
                let whole = stream.go_to(place, feed).map_err(unreadable)?;
                if !whole && feed.is_stopping() {
                    return Ok(None);
                }
                let why = match whole {
                    false => Some("it holds less than what was read of it"),
                    true => stream.has_changed(place).then_some("what was read last has changed"),
                };
                if let Some(why) = why {
                    stream.replaces_other(why);
                    return Self::open(options, path, &name, &Start::Replaced, feed);
                }
                stream.announcement = Announcement::None;
            }
        }
        Ok(Some(stream))
    }

    fn replaces_other(&mut self, why: &str) {
        self.announcement = Announcement::Replaced;
        tracing::warn!(file = %self.name, "{} is not the file that was read before: {why}; reading it from its start", self.name);
    }

    fn go_to_end(&mut self, length: u64, feed: &Feed) -> io::Result<()> {
        if self.packing != Packing::Plain {
            self.closed = true;
            return Ok(());
        }
        let start = length.saturating_sub(LAST_LINE);
        let mut last = vec![0; (length - start) as usize];
        self.file.read_exact_at(&mut last, start)?;
        let offset = memchr::memrchr(b'\n', &last).map_or(length, |at| start + at as u64 + 1);
        self.seek(offset, None, feed).map(drop)
    }

    /// Whether an archive has other contents before the place than when it was read.
    fn has_changed(&self, place: &Place) -> bool {
        self.is_packed() && !place.closed && !place.tail.is_empty() && self.unpacked.checksum() != place.tail
    }

    fn go_to(&mut self, place: &Place, feed: &Feed) -> io::Result<bool> {
        self.closed = place.closed;
        if self.closed {
            (self.offset, self.whole) = (place.offset, place.offset);
            return Ok(true);
        }
        self.seek(place.offset, place.line, feed)
    }

    /// Goes to `offset` of the unpacked contents. False if they are shorter, or the source is to stop.
    fn seek(&mut self, offset: u64, line: Option<u64>, feed: &Feed) -> io::Result<bool> {
        if offset == 0 {
            return Ok(true);
        }
        self.read_header()?;
        (&*self.file).rewind()?;
        self.input = self.packing.open(&self.file)?;
        let framing =
            std::mem::replace(&mut self.framing, Framing::Lines(tidegate_sdk::framing::Lines::new(0)));
        self.framing = framing.resumed(feed.cx().event_size(), line);
        self.begun = true;
        (self.offset, self.whole) = (offset, offset);
        if self.packing == Packing::Plain {
            self.recent = Recent::before(&self.file, offset)?;
            return (&*self.file).seek(SeekFrom::Start(offset)).map(|_| true);
        }
        let mut left = offset;
        let mut scratch = vec![0; READ.min(offset as usize)];
        while left > 0 && !feed.is_stopping() {
            let wanted = scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.input.read(&mut scratch[..wanted]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    left -= read as u64;
                    self.unpacked.pass(&scratch[..read]);
                    self.unpacked.settle(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error().is_none() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(left == 0)
    }

    /// Reads as far as the names of the fields, which stand at the beginning of a CSV file.
    fn read_header(&mut self) -> io::Result<()> {
        while self.framing.needs_header() {
            let mut chunk = [0; 4096];
            let read = self.input.read(&mut chunk)?;
            self.framing.buffer().extend_from_slice(&chunk[..read]);
            let Framing::Csv(records) = &mut self.framing else { break };
            if !self.begun && records.buffer().starts_with(BYTE_ORDER_MARK) {
                drop(records.buffer().split_to(BYTE_ORDER_MARK.len()));
            }
            self.begun = true;
            if read == 0 || records.read_header().is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Reads more of the file. Returns the number of bytes, 0 at its end.
    pub(crate) fn fill(&mut self) -> Result<usize, Problem> {
        if self.closed {
            return Ok(0);
        }
        loop {
            let wanted = self.wanted();
            let result = match &self.framing {
                Framing::Lines(_) if wanted == READ && self.begun && !self.is_packed() => self.fill_block(),
                _ => self.fill_buffer(wanted),
            };
            return match result {
                Ok(read) => Ok(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A decoder's own errors have no number; those of the system do.
                Err(error) if self.is_packed() && error.raw_os_error().is_none() => {
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
        if self.packing != Packing::Plain {
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
        if self.packing != Packing::Plain {
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
            if !self.begun && !self.strip_byte_order_mark() {
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

    /// What is left at the end of the file.
    pub(crate) fn finish(&mut self) -> Option<SourceBatch> {
        if self.closed {
            return None;
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

    /// The next `count` bytes are done.
    fn settle(&mut self, count: u64) {
        self.offset += count;
        if self.is_packed() {
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
        let rejection = SourceRejection {
            payload: Bytes::copy_from_slice(&rest[..rest.len().min(KEPT)]),
            length: rest.len() as u64,
            reason: format!(
                "{} cannot be read beyond byte {}: {reason}; the rest of the file is left out",
                self.name, self.offset
            ),
        };
        let mut rejected = std::mem::take(&mut self.refused);
        rejected.push(rejection);
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

    fn place(&mut self) -> Place {
        // The checksums only serve to know the file again; without one the rest of the place does.
        if self.head.is_short_head() {
            self.head = Checksum::head(&self.file).unwrap_or(self.head);
        }
        let tail = match self.packing {
            Packing::Plain => Checksum::before(&self.file, self.whole).unwrap_or_default(),
            _ if self.whole == self.offset => self.unpacked.checksum(),
            _ => Checksum::default(),
        };
        Place {
            id: self.id,
            born: self.born,
            head: self.head,
            tail,
            offset: self.whole,
            closed: self.closed || self.framing.is_closed(),
            line: self.framing.line(),
        }
    }

    /// False if too little was read to know whether there is one.
    fn strip_byte_order_mark(&mut self) -> bool {
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

    /// How far the file has been read, in bytes as it lies on the disk.
    pub(crate) fn read_so_far(&self) -> u64 {
        (&*self.file).stream_position().unwrap_or(0)
    }

    /// Of the bytes that were read last.
    pub(crate) fn recent(&self) -> Checksum {
        self.recent.checksum()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn is_packed(&self) -> bool {
        self.packing != Packing::Plain
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Nothing more is to be read: an archive has ended.
    pub(crate) fn close(&mut self) {
        self.closed = true;
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
