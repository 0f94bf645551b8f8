//! Positions in files, and recognition of the file that a position is in.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::format::{self, Format};

/// Bytes at the beginning of a file that identify it.
pub(crate) const HEAD: u64 = 1024;
/// Bytes before the offset that must be unchanged.
const TAIL: u64 = 64;

/// Device and inode of a file. They are used again when the file is gone, so they are never enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Returns the time at which a file was created, in nanoseconds since 1970, if the file system keeps it. It distinguishes
/// files that had one inode, one after the other.
pub(crate) fn created(metadata: &Metadata) -> Option<u64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Position in a file, with the properties by which the file is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilePosition {
    #[serde(flatten)]
    pub(crate) id: FileId,
    #[serde(rename = "born", default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<u64>,
    /// Checksum of the first bytes of the file, as they are on the disk.
    pub(crate) head: Checksum,
    /// Checksum of the bytes before the offset, decompressed.
    pub(crate) tail: Checksum,
    /// Bytes of the decompressed contents that are consumed.
    pub(crate) offset: u64,
    /// Nothing more is read: the array is closed, or the rest is corrupt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) closed: bool,
    /// Length of an archive that ended within a member. If it has grown, reading continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) torn_at: Option<u64>,
    /// The file is gone, and that has been reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
    /// The line of the next CSV record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

/// CRC-32 of some bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    length: u32,
    crc: u32,
}

impl Checksum {
    /// Reads the beginning of `file`.
    pub(crate) fn head(file: &File) -> io::Result<Self> {
        Self::read(file, 0, HEAD)
    }

    /// Reads the bytes before `offset`.
    pub(crate) fn before(file: &File, offset: u64) -> io::Result<Self> {
        let length = offset.min(TAIL);
        Self::read(file, offset - length, length)
    }

    /// Tells whether a longer file would have a longer head.
    pub(crate) fn is_short_head(self) -> bool {
        u64::from(self.length) < HEAD
    }

    /// Tells whether `file` has the same bytes at `start`.
    fn holds(self, file: &File, start: u64) -> io::Result<bool> {
        Ok(Self::read(file, start, self.length.into())? == self)
    }

    fn read(file: &File, start: u64, length: u64) -> io::Result<Self> {
        let mut bytes = [0; HEAD as usize];
        let wanted = &mut bytes[..length.min(HEAD) as usize];
        let mut filled = 0;
        while filled < wanted.len() {
            match file.read_at(&mut wanted[filled..], start + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(Self { length: filled as u32, crc: crc32fast::hash(&wanted[..filled]) })
    }
}

/// The last bytes that were read from a file.
///
/// A file may be truncated and written again at any moment, so its current bytes need not be those that were read.
#[derive(Debug, Default)]
pub(crate) struct Recent(Vec<u8>);

impl Recent {
    /// Reads the bytes before `offset`.
    pub(crate) fn before(file: &File, offset: u64) -> io::Result<Self> {
        let length = offset.min(TAIL);
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset - length)?;
        Ok(Self(bytes))
    }

    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(TAIL as usize)..];
        let kept = self.0.len().min(TAIL as usize - last.len());
        self.0.drain(..self.0.len() - kept);
        self.0.extend_from_slice(last);
    }

    pub(crate) fn checksum(&self) -> Checksum {
        Checksum { length: self.0.len() as u32, crc: crc32fast::hash(&self.0) }
    }
}

/// Decompressed bytes of an archive that are not consumed, and some before them: reading them again is expensive.
#[derive(Debug, Default)]
pub(crate) struct Decompressed {
    bytes: Vec<u8>,
    /// Number of `bytes` that are consumed.
    consumed: usize,
}

impl Decompressed {
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Marks the next `count` bytes as consumed.
    pub(crate) fn consume(&mut self, count: usize) {
        self.consumed = (self.consumed + count).min(self.bytes.len());
        let old = self.consumed.saturating_sub(TAIL as usize);
        self.bytes.drain(..old);
        self.consumed -= old;
    }

    /// Returns the checksum of the last bytes that are consumed.
    pub(crate) fn checksum(&self) -> Checksum {
        let last = &self.bytes[self.consumed.saturating_sub(TAIL as usize)..self.consumed];
        Checksum { length: last.len() as u32, crc: crc32fast::hash(last) }
    }
}

impl Checksum {
    /// Tells whether it is the checksum of no bytes.
    pub(crate) fn is_empty(self) -> bool {
        self.length == 0
    }
}

impl FilePosition {
    /// Tells whether `file` is the one that this position is in.
    pub(crate) fn is_in(&self, file: &File) -> bool {
        let mismatch = || self.mismatch(file, &file.metadata()?, format::of(file)?);
        mismatch().is_ok_and(|why| why.is_none())
    }

    /// Tells whether `file`, which is not compressed, has the bytes before this position, though it may be another file.
    pub(crate) fn is_copied_to(&self, file: &File) -> io::Result<bool> {
        let start = self.offset - u64::from(self.tail.length).min(self.offset);
        Ok(!self.tail.is_empty() && self.head.holds(file, 0)? && self.tail.holds(file, start)?)
    }

    /// Tells whether the file of this position begins with the decompressed bytes of an archive.
    pub(crate) fn begins_with(&self, decompressed: &[u8]) -> bool {
        let length = self.head.length as usize;
        let head = decompressed.get(..length).map(crc32fast::hash);
        length > 0 && head == Some(self.head.crc)
    }

    /// Tells whether nothing more of a file of this length is read.
    pub(crate) fn is_closed(&self, length: u64) -> bool {
        self.closed && self.torn_at.is_none_or(|torn| length <= torn)
    }

    /// Returns the reason why `file` is not the one that this position is in; `None` if it is.
    pub(crate) fn mismatch(
        &self,
        file: &File,
        metadata: &Metadata,
        format: Format,
    ) -> io::Result<Option<&'static str>> {
        let plain = format == Format::Plain;
        Ok(if FileId::of(metadata) != self.id {
            Some("it is another file (its inode differs)")
        } else if self.created.zip(created(metadata)).is_some_and(|(then, now)| then != now) {
            Some("it is another file (it was created at another time)")
        } else if plain && metadata.len() < self.offset {
            Some("it is shorter than what was read of it")
        } else if !self.head.holds(file, 0)? {
            Some("its beginning has changed")
        } else if plain
            && !self.tail.holds(file, self.offset - u64::from(self.tail.length).min(self.offset))?
        {
            Some("what was read last has changed")
        } else {
            None
        })
    }
}
