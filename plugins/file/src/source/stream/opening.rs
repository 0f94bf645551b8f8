//! Opening a file at the place where reading goes on.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tidegate_sdk::{Attributes, Error};

use super::{Announcement, BYTE_ORDER_MARK, READ, Stream};
use crate::failure::failed;
use crate::source::blocks::Blocks;
use crate::source::feed::Feed;
use crate::source::format::FileFormat;
use crate::source::framing::Framing;
use crate::source::options::SourceOptions;
use crate::source::position::{Checksum, FileId, FilePosition, Recent, Unpacked, born};

/// How far back from the end of a file its last line end is looked for.
const LAST_LINE: u64 = 64 << 10;

/// Where to begin in a file.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Beginning,
    /// At the beginning, in place of a file that was not read to its end.
    Replaced,
    End,
    At(FilePosition),
    /// At a place in another file, of which this one is a copy, maybe a compressed one.
    Copied(FilePosition),
}

impl Stream {
    /// Opens the stream of `file`, to be known as `name`. `None` if the source is to stop, or the file is not the copy
    /// that it should be.
    pub(crate) fn open(
        options: &SourceOptions,
        file: Arc<File>,
        name: &str,
        start: &Start,
        feed: &Feed,
    ) -> Result<Option<Self>, Error> {
        let unreadable = |error: io::Error| failed(format!("{name} cannot be read"), &error);
        let metadata = file.metadata().map_err(unreadable)?;
        let packing = FileFormat::of(&file).map_err(unreadable)?;
        let why = match start {
            Start::At(place) => place.mismatch(&file, &metadata, packing).map_err(unreadable)?,
            _ => None,
        };
        let mut stream = Self::at_beginning(options, file, name, feed).map_err(unreadable)?;
        match (start, why) {
            (_, Some(why)) => stream.replaces_other(why),
            (Start::Beginning, None) => {}
            (Start::Replaced, None) => stream.announcement = Announcement::Replaced,
            (Start::End, None) => stream.go_to_end(metadata.len(), feed).map_err(unreadable)?,
            (Start::At(place), None) => {
                let whole = stream.go_to(place, metadata.len(), feed).map_err(unreadable)?;
                if !whole && feed.is_stopping() {
                    return Ok(None);
                }
                let why = if !whole {
                    Some("it holds less than what was read of it")
                } else if stream.has_changed(place) {
                    Some("what was read last has changed")
                } else {
                    None
                };
                if let Some(why) = why {
                    stream.replaces_other(why);
                    return Self::open(options, stream.file, name, &Start::Replaced, feed);
                }
                stream.announcement = Announcement::None;
            }
            (Start::Copied(place), None) => {
                let whole = stream.go_to(place, metadata.len(), feed).map_err(unreadable)?;
                if !whole || stream.has_changed(place) {
                    return Ok(None);
                }
                stream.announcement = Announcement::None;
            }
        }
        Ok(Some(stream))
    }

    fn at_beginning(options: &SourceOptions, file: Arc<File>, name: &str, feed: &Feed) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let packing = FileFormat::of(&file)?;
        (&*file).rewind()?;
        Ok(Self {
            name: name.into(),
            attributes: Arc::new(Attributes::default().with("file", name)),
            packing,
            id: FileId::of(&metadata),
            born: born(&metadata),
            head: Checksum::head(&file)?,
            input: packing.open(&file)?,
            framing: Framing::new(options, feed.cx().event_size()),
            file,
            blocks: Blocks::new(READ),
            offset: 0,
            recent: Recent::default(),
            unpacked: Unpacked::default(),
            refused: Vec::new(),
            whole: 0,
            begun: false,
            hole: 0,
            closed: false,
            torn_at: None,
            announcement: Announcement::Beginning,
        })
    }

    fn replaces_other(&mut self, why: &str) {
        self.announcement = Announcement::Replaced;
        tracing::warn!(
            file = %self.name,
            "{} is not the file that was read before: {why}; reading it from its start",
            self.name
        );
    }

    fn go_to_end(&mut self, length: u64, feed: &Feed) -> io::Result<()> {
        if self.packing != FileFormat::Plain {
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
    fn has_changed(&self, place: &FilePosition) -> bool {
        self.is_compressed()
            && !self.closed
            && !place.tail.is_empty()
            && self.unpacked.checksum() != place.tail
    }

    fn go_to(&mut self, place: &FilePosition, length: u64, feed: &Feed) -> io::Result<bool> {
        self.closed = place.is_closed(length);
        if self.closed {
            (self.offset, self.whole) = (place.offset, place.offset);
            self.torn_at = place.torn_at;
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
        if self.packing == FileFormat::Plain {
            self.recent = Recent::before(&self.file, offset)?;
            return (&*self.file).seek(SeekFrom::Start(offset)).map(|_| true);
        }
        self.unpack_up_to(offset, feed)
    }

    fn unpack_up_to(&mut self, offset: u64, feed: &Feed) -> io::Result<bool> {
        let mut left = offset;
        let mut scratch = vec![0; READ.min(usize::try_from(offset).unwrap_or(READ))];
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
}
