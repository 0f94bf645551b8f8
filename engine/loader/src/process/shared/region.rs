//! Memory that the engine and one child share: one of the two writes, the other reads.
//!
//! What the engine reads it copies out at once, by a read of the file, so nothing that the child does to the bytes later
//! can reach an event. The child reads in place: the engine overwrites nothing that the child holds on to.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use memmap2::{Mmap, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};

use crate::process::frame::Area;

/// A region begins with so many bytes, and doubles.
const LEAST: u64 = 1 << 20;
/// No region is larger, in bytes: what needs more, holds on to too much.
const MOST: u64 = 8 << 30;

/// A region without a size, in memory only. It can grow and cannot shrink.
pub(crate) fn create(name: &str) -> io::Result<File> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK)?;
    Ok(File::from(file))
}

/// The side that writes.
pub(crate) struct Writer {
    file: File,
    map: Option<MmapRaw>,
}

impl Writer {
    pub(crate) fn new(file: File) -> Self {
        Self { file, map: None }
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Sees to it that there are `size` bytes.
    ///
    /// # Errors
    /// There is not so much memory.
    pub(crate) fn reserve(&mut self, size: u64) -> io::Result<()> {
        let has = self.map.as_ref().map_or(0, |map| map.len() as u64);
        if size <= has {
            return Ok(());
        }
        if size > MOST {
            return Err(io::Error::other(format!("more than {MOST} bytes would have to be shared")));
        }
        let size = size.next_power_of_two().max(LEAST);
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size)?;
        self.map = Some(MmapRaw::map_raw(&self.file)?);
        Ok(())
    }

    /// Writes `bytes` at `offset`, which was reserved before.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let map = self.map.as_ref().filter(|map| offset + bytes.len() as u64 <= map.len() as u64);
        let map = map.expect("what is written was reserved");
        // SAFETY: the bytes lie within the mapping, which was just seen; nobody in this process has a reference to them,
        // and the file cannot shrink.
        unsafe {
            let to = map.as_mut_ptr().add(offset as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}

/// A copy of an area, taken at once.
///
/// # Errors
/// The area is not within the region, or is longer than `limit`.
pub(crate) fn copy_out(file: &File, area: Area, limit: u64) -> io::Result<Bytes> {
    let length = area.end.checked_sub(area.start).filter(|length| *length <= limit);
    let length = length.ok_or_else(|| io::Error::other("a batch has no length that can be"))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, area.start)?;
    Ok(bytes.into())
}

/// The side that reads in place, in the child.
pub(crate) struct Reader {
    file: File,
    map: Option<Arc<Mmap>>,
    lent: Vec<(Area, Weak<Leased>)>,
}

/// InstanceContext holds on to an area.
struct Leased {
    map: Arc<Mmap>,
    area: Area,
}

struct Lease(Arc<Leased>);

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        &self.0.map[self.0.area.start as usize..self.0.area.end as usize]
    }
}

impl Reader {
    pub(crate) fn new(file: File) -> Self {
        Self { file, map: None, lent: Vec::new() }
    }

    /// The bytes of an area, where they are.
    ///
    /// # Errors
    /// The area is not within the region.
    pub(crate) fn area(&mut self, area: Area) -> io::Result<Bytes> {
        if area.is_empty() {
            return Ok(Bytes::new());
        }
        let map = match &self.map {
            Some(map) if area.end <= map.len() as u64 => Arc::clone(map),
            // SAFETY: the file cannot shrink, and the engine writes to no area that it has lent and that was not given
            // back, which is what `held` tells it of.
            _ => Arc::new(unsafe { Mmap::map(&self.file)? }),
        };
        if area.end > map.len() as u64 {
            return Err(io::Error::other("a batch lies outside of the region"));
        }
        self.map = Some(Arc::clone(&map));
        let leased = Arc::new(Leased { map, area });
        self.lent.push((area, Arc::downgrade(&leased)));
        Ok(Bytes::from_owner(Lease(leased)))
    }

    /// What somebody still holds on to, as one area around it all.
    pub(crate) fn held(&mut self) -> Area {
        self.lent.retain(|(_, lease)| lease.strong_count() > 0);
        let areas = self.lent.iter().map(|(area, _)| *area);
        areas
            .reduce(|one, other| Area { start: one.start.min(other.start), end: one.end.max(other.end) })
            .unwrap_or_default()
    }
}

/// Where `size` bytes can go, beside what is held.
pub(crate) fn place(held: Area, size: u64) -> u64 {
    const LINE: u64 = 64;
    match held.is_empty() || size <= held.start {
        true => 0,
        false => held.end.next_multiple_of(LINE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_held_is_told() {
        let file = create("test").unwrap();
        let mut writer = Writer::new(file.try_clone().unwrap());
        let mut reader = Reader::new(file.try_clone().unwrap());
        writer.reserve(10).unwrap();
        writer.write(0, b"0123456789");
        let bytes = reader.area(Area { start: 2, end: 5 }).unwrap();
        assert_eq!(&bytes[..], b"234");
        assert_eq!(reader.held(), Area { start: 2, end: 5 });
        writer.reserve(LEAST + 1).unwrap();
        writer.write(LEAST, b"x");
        assert_eq!(&reader.area(Area { start: LEAST, end: LEAST + 1 }).unwrap()[..], b"x");
        assert_eq!(&bytes[..], b"234", "the old mapping is there as long as it is needed");
        drop(bytes);
        assert!(reader.held().is_empty());
        assert_eq!(&copy_out(&file, Area { start: 8, end: 10 }, 2).unwrap()[..], b"89");
        assert!(copy_out(&file, Area { start: 8, end: 10 }, 1).is_err());
        assert!(copy_out(&file, Area { start: 0, end: 1 << 30 }, 1 << 40).is_err());
        assert!(reader.area(Area { start: 0, end: 1 << 30 }).is_err());
    }

    #[test]
    fn a_region_does_not_shrink() {
        let file = create("test").unwrap();
        file.set_len(100).unwrap();
        assert!(file.set_len(50).is_err());
    }

    #[test]
    fn a_batch_goes_beside_what_is_held() {
        assert_eq!(place(Area::default(), 100), 0);
        assert_eq!(place(Area { start: 100, end: 200 }, 100), 0);
        assert_eq!(place(Area { start: 100, end: 200 }, 101), 256);
    }
}
