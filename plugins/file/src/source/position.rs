//! Where the source is in a file, and whether that is still the same file.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::format::FileFormat;

/// How much of a file's beginning identifies it.
pub(crate) const HEAD: u64 = 1024;
/// How much before the offset must be unchanged.
const TAIL: u64 = 64;

/// What the file system calls a file. Reused after the file is gone, so never enough by itself.
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

/// When the file was made, in nanoseconds since 1970, where the file system keeps that: it tells files apart that had
/// the same inode one after the other.
pub(crate) fn born(metadata: &Metadata) -> Option<u64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// A place in a file, and by what to know the file again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilePosition {
    #[serde(flatten)]
    pub(crate) id: FileId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) born: Option<u64>,
    /// Of the first bytes of the file as it lies on the disk.
    pub(crate) head: Checksum,
    /// Of the bytes before the offset, unpacked.
    pub(crate) tail: Checksum,
    /// Bytes of the unpacked contents that are done.
    pub(crate) offset: u64,
    /// Nothing that follows is to be read: the array is closed, or what follows is corrupt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) closed: bool,
    /// The length of an archive that ended within a member: if it has grown, what follows is read after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) torn_at: Option<u64>,
    /// The file is gone, and that has been reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
    /// The line of the next CSV record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

/// The CRC-32 of some bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    length: u32,
    crc: u32,
}

impl Checksum {
    /// Of the beginning of `file`.
    pub(crate) fn head(file: &File) -> io::Result<Self> {
        Self::read(file, 0, HEAD)
    }

    /// Of the bytes before `offset`.
    pub(crate) fn before(file: &File, offset: u64) -> io::Result<Self> {
        let length = offset.min(TAIL);
        Self::read(file, offset - length, length)
    }

    /// Whether a larger file could have more in its head.
    pub(crate) fn is_short_head(self) -> bool {
        u64::from(self.length) < HEAD
    }

    /// Whether `file` has the same bytes at `start`.
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

/// The bytes that were read last of a file.
///
/// Kept because a file may be truncated and written anew at any moment: what it holds by the time that its
/// end is noticed need not be what was read.
#[derive(Debug, Default)]
pub(crate) struct Recent(Vec<u8>);

impl Recent {
    /// As if everything up to `offset` had been read just now.
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

/// The bytes of an archive that are not done, and some before them: they cannot be read again cheaply.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    bytes: Vec<u8>,
    /// How many of `bytes` are done.
    done: usize,
}

impl Unpacked {
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next `count` bytes are done.
    pub(crate) fn settle(&mut self, count: usize) {
        self.done = (self.done + count).min(self.bytes.len());
        let old = self.done.saturating_sub(TAIL as usize);
        self.bytes.drain(..old);
        self.done -= old;
    }

    /// Of the last bytes that are done.
    pub(crate) fn checksum(&self) -> Checksum {
        let last = &self.bytes[self.done.saturating_sub(TAIL as usize)..self.done];
        Checksum { length: last.len() as u32, crc: crc32fast::hash(last) }
    }
}

impl Checksum {
    /// Whether there was nothing to sum up, or nobody did.
    pub(crate) fn is_empty(self) -> bool {
        self.length == 0
    }
}

impl FilePosition {
    /// Whether `file` is the one that this place is in.
    pub(crate) fn is_in(&self, file: &File) -> bool {
        let mismatch = || self.mismatch(file, &file.metadata()?, FileFormat::of(file)?);
        mismatch().is_ok_and(|why| why.is_none())
    }

    /// Whether `file`, which is not packed, holds what was read before this place, though it may be another file.
    pub(crate) fn is_copied_to(&self, file: &File) -> io::Result<bool> {
        let start = self.offset - u64::from(self.tail.length).min(self.offset);
        Ok(!self.tail.is_empty() && self.head.holds(file, 0)? && self.tail.holds(file, start)?)
    }

    /// Whether an archive begins, unpacked, with these bytes of the file that this place is in.
    pub(crate) fn begins_with(&self, unpacked: &[u8]) -> bool {
        let length = self.head.length as usize;
        let head = unpacked.get(..length).map(crc32fast::hash);
        length > 0 && head == Some(self.head.crc)
    }

    /// Whether nothing of a file of this length is to be read any more.
    pub(crate) fn is_closed(&self, length: u64) -> bool {
        self.closed && self.torn_at.is_none_or(|torn| length <= torn)
    }

    /// Why `file` is not the one that this place is in; `None` if it is.
    pub(crate) fn mismatch(
        &self,
        file: &File,
        metadata: &Metadata,
        packing: FileFormat,
    ) -> io::Result<Option<&'static str>> {
        let plain = packing == FileFormat::Plain;
        Ok(if FileId::of(metadata) != self.id {
            Some("it is another file (its inode differs)")
        } else if self.born.zip(born(metadata)).is_some_and(|(then, now)| then != now) {
            Some("it is another file (it was made at another time)")
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
