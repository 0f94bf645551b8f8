//! Shared memory of the engine and one child: one side writes, the other reads.
//!
//! The engine copies what it reads, so later writes of the child do not reach an event. The child reads in place, and the
//! engine does not overwrite areas that the child retains.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use memmap2::{Mmap, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use tidegate_codec::{Packer, Scratch};

use crate::process::frame::Area;

/// The initial size of a region, in bytes; it doubles as needed.
const LEAST: u64 = 1 << 20;
/// The limit for a region, in bytes.
const MOST: u64 = 8 << 30;

/// Creates an empty region in memory. It can grow and cannot shrink.
pub(crate) fn create(name: &str) -> io::Result<File> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK)?;
    Ok(File::from(file))
}

/// The writing side.
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

    /// Grows the region to at least `size` bytes.
    ///
    /// # Errors
    /// There is not enough memory.
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

    /// Writes `bytes` at `offset`, within the reserved size.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let map = self.map.as_ref().filter(|map| offset + bytes.len() as u64 <= map.len() as u64);
        let map = map.expect("the range is reserved");
        // SAFETY: the bytes lie within the mapping, as checked above; this process has no reference to them, and the file
        // cannot shrink.
        unsafe {
            let to = map.as_mut_ptr().add(offset as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}

/// Copies an area.
///
/// # Errors
/// The area is not within the region, or is longer than `limit`.
pub(crate) fn copy_out(file: &File, area: Area, limit: u64) -> io::Result<Bytes> {
    let length = area.end.checked_sub(area.start).filter(|length| *length <= limit);
    let length = length.ok_or_else(|| io::Error::other("a batch has an invalid length"))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, area.start)?;
    Ok(bytes.into())
}

/// The reading side in the child.
pub(crate) struct Reader {
    file: File,
    map: Option<Arc<Mmap>>,
    lent: Vec<(Area, Weak<Leased>)>,
}

/// An area that is in use.
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

    /// The bytes of an area, in place.
    ///
    /// # Errors
    /// The area is not within the region.
    pub(crate) fn area(&mut self, area: Area) -> io::Result<Bytes> {
        if area.is_empty() {
            return Ok(Bytes::new());
        }
        let map = match &self.map {
            Some(map) if area.end <= map.len() as u64 => Arc::clone(map),
            // SAFETY: the file cannot shrink, and the engine does not write to areas that are in use, which `held`
            // reports.
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

    /// The area that covers all areas in use.
    pub(crate) fn held(&mut self) -> Area {
        self.lent.retain(|(_, lease)| lease.strong_count() > 0);
        let areas = self.lent.iter().map(|(area, _)| *area);
        areas
            .reduce(|one, other| Area { start: one.start.min(other.start), end: one.end.max(other.end) })
            .unwrap_or_default()
    }
}

/// Writes the area of a packer beside the retained area. Returns it with the memory for the next area.
///
/// # Errors
/// There is not enough memory.
pub(crate) fn put(packer: Packer<'_>, region: &mut Writer, held: Area) -> io::Result<(Area, Scratch)> {
    let length = packer.length();
    let start = place(held, length);
    region.reserve(start + length)?;
    let scratch = packer.write(|at, bytes| region.write(start + at, bytes));
    Ok((Area { start, end: start + length }, scratch))
}

/// The offset for `size` bytes beside the retained area.
fn place(held: Area, size: u64) -> u64 {
    const LINE: u64 = 64;
    if held.is_empty() || size <= held.start { 0 } else { held.end.next_multiple_of(LINE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_read_and_areas_in_use_are_reported() {
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
        assert_eq!(&bytes[..], b"234", "the old mapping lives as long as its bytes");
        drop(bytes);
        assert!(reader.held().is_empty());
        assert_eq!(&copy_out(&file, Area { start: 8, end: 10 }, 2).unwrap()[..], b"89");
        assert!(copy_out(&file, Area { start: 8, end: 10 }, 1).is_err());
        assert!(copy_out(&file, Area { start: 0, end: 1 << 30 }, 1 << 40).is_err());
        assert!(reader.area(Area { start: 0, end: 1 << 30 }).is_err());
    }

    #[test]
    fn region_does_not_shrink() {
        let file = create("test").unwrap();
        file.set_len(100).unwrap();
        assert!(file.set_len(50).is_err());
    }

    #[test]
    fn batch_is_placed_beside_the_retained_area() {
        assert_eq!(place(Area::default(), 100), 0);
        assert_eq!(place(Area { start: 100, end: 200 }, 100), 0);
        assert_eq!(place(Area { start: 100, end: 200 }, 101), 256);
    }
}
