//! Opening of a file at the position where reading continues.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tidegate_sdk::{Attributes, Error};

use super::{Announcement, BYTE_ORDER_MARK, READ, Stream};
use crate::failure::failed;
use crate::source::blocks::Blocks;
use crate::source::feed::Feed;
use crate::source::format::{self, Format};
use crate::source::framing::Framing;
use crate::source::options::SourceOptions;
use crate::source::position::{Checksum, Decompressed, FileId, FilePosition, Recent, created};

/// Bytes at the end of a file in which its last line end is searched.
const LAST_LINE: u64 = 64 << 10;

/// Start of reading in a file.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Beginning,
    /// At the beginning, in place of another file that was not read to its end.
    Replaced,
    End,
    At(FilePosition),
    /// At a position in another file, of which this one is a copy, maybe a compressed one.
    Copied(FilePosition),
}

impl Stream {
    /// Opens the stream of `file` under a name. `None` if the source must stop, or the file is not the expected copy.
    pub(crate) fn open(
        options: &SourceOptions,
        file: Arc<File>,
        name: &str,
        start: &Start,
        feed: &Feed,
    ) -> Result<Option<Self>, Error> {
        let unreadable = |error: io::Error| failed(format!("{name} cannot be read"), &error);
        let metadata = file.metadata().map_err(unreadable)?;
        let format = format::of(&file).map_err(unreadable)?;
        let why = match start {
            Start::At(position) => position.mismatch(&file, &metadata, format).map_err(unreadable)?,
            _ => None,
        };
        let mut stream = Self::at_beginning(options, file, name, feed).map_err(unreadable)?;
        match (start, why) {
            (_, Some(why)) => stream.replaces_other(why),
            (Start::Beginning, None) => {}
            (Start::Replaced, None) => stream.announcement = Announcement::Replaced,
            (Start::End, None) => stream.go_to_end(metadata.len(), feed).map_err(unreadable)?,
            (Start::At(position), None) => {
                let whole = stream.go_to(position, metadata.len(), feed).map_err(unreadable)?;
                if !whole && feed.is_stopping() {
                    return Ok(None);
                }
                let why = if !whole {
                    Some("it has fewer bytes than were read of it")
                } else if stream.has_changed(position) {
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
            (Start::Copied(position), None) => {
                let whole = stream.go_to(position, metadata.len(), feed).map_err(unreadable)?;
                if !whole || stream.has_changed(position) {
                    return Ok(None);
                }
                stream.announcement = Announcement::None;
            }
        }
        Ok(Some(stream))
    }

    fn at_beginning(options: &SourceOptions, file: Arc<File>, name: &str, feed: &Feed) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let format = format::of(&file)?;
        (&*file).rewind()?;
        Ok(Self {
            name: name.into(),
            attributes: Arc::new(Attributes::default().with("file", name)),
            format,
            id: FileId::of(&metadata),
            created: created(&metadata),
            head: Checksum::head(&file)?,
            input: format::open(format, &file)?,
            framing: Framing::new(options, feed.cx().event_size()),
            file,
            blocks: Blocks::new(READ),
            offset: 0,
            recent: Recent::default(),
            decompressed: Decompressed::default(),
            refused: Vec::new(),
            resume_at: 0,
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
            "{} is not the file that was read before: {why}; it is read from its start",
            self.name
        );
    }

    fn go_to_end(&mut self, length: u64, feed: &Feed) -> io::Result<()> {
        if self.format != Format::Plain {
            self.closed = true;
            return Ok(());
        }
        let start = length.saturating_sub(LAST_LINE);
        let mut last = vec![0; (length - start) as usize];
        self.file.read_exact_at(&mut last, start)?;
        let offset = memchr::memrchr(b'\n', &last).map_or(length, |at| start + at as u64 + 1);
        self.seek(offset, None, feed).map(drop)
    }

    /// Tells whether an archive has other contents before the position than when it was read.
    fn has_changed(&self, position: &FilePosition) -> bool {
        self.is_compressed()
            && !self.closed
            && !position.tail.is_empty()
            && self.decompressed.checksum() != position.tail
    }

    fn go_to(&mut self, position: &FilePosition, length: u64, feed: &Feed) -> io::Result<bool> {
        self.closed = position.is_closed(length);
        if self.closed {
            (self.offset, self.resume_at) = (position.offset, position.offset);
            self.torn_at = position.torn_at;
            return Ok(true);
        }
        self.seek(position.offset, position.line, feed)
    }

    /// Seeks to `offset` of the decompressed contents. False if they are shorter, or the source must stop.
    fn seek(&mut self, offset: u64, line: Option<u64>, feed: &Feed) -> io::Result<bool> {
        if offset == 0 {
            return Ok(true);
        }
        self.read_header()?;
        (&*self.file).rewind()?;
        self.input = format::open(self.format, &self.file)?;
        let framing =
            std::mem::replace(&mut self.framing, Framing::Lines(tidegate_sdk::framing::Lines::new(0)));
        self.framing = framing.resumed(feed.cx().event_size(), line);
        self.begun = true;
        (self.offset, self.resume_at) = (offset, offset);
        if self.format == Format::Plain {
            self.recent = Recent::before(&self.file, offset)?;
            return (&*self.file).seek(SeekFrom::Start(offset)).map(|_| true);
        }
        self.decompress_up_to(offset, feed)
    }

    fn decompress_up_to(&mut self, offset: u64, feed: &Feed) -> io::Result<bool> {
        let mut left = offset;
        let mut scratch = vec![0; READ.min(usize::try_from(offset).unwrap_or(READ))];
        while left > 0 && !feed.is_stopping() {
            let wanted = scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.input.read(&mut scratch[..wanted]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    left -= read as u64;
                    self.decompressed.pass(&scratch[..read]);
                    self.decompressed.consume(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error().is_none() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(left == 0)
    }

    /// Reads the names of the fields at the beginning of a CSV file.
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
