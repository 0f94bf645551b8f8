//! Bytes to events: lines, the elements of a JSON array, and records of CSV. All are incremental, share the bytes they were
//! fed, and are bounded by the size of one event.

mod csv;
mod elements;
mod format;
mod lines;

pub use csv::{CsvReader, CsvStep};
pub use elements::{Elements, elements_of};
pub use format::Format;
pub use lines::Lines;

use bytes::Bytes;

use crate::{Size, SourceRejection};

/// The byte order mark that some editors and servers put before text. The mark is no part of the text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `input`, a whole input, without the byte order mark that it may begin with.
pub fn without_mark(input: &[u8]) -> &[u8] {
    input.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input)
}

/// The number of bytes of an event over the limit that are kept for the dead letters.
const HEAD: usize = 4096;

/// An event over the limit while it goes by: its head, its length and a hash, not its bytes.
#[derive(Debug)]
struct Oversized {
    head: Bytes,
    length: u64,
    hash: crc32fast::Hasher,
}

impl Oversized {
    fn new(start: &[u8]) -> Self {
        let mut oversized = Self {
            head: Bytes::copy_from_slice(&start[..start.len().min(HEAD)]),
            length: 0,
            hash: crc32fast::Hasher::new(),
        };
        oversized.pass(start);
        oversized
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn finish(self, limit: usize) -> SourceRejection {
        let reason = format!(
            "one event of {} (CRC-32 {:08x}) is over the limit of {}; only its head is kept",
            Size(self.length),
            self.hash.finalize(),
            Size(limit as u64)
        );
        SourceRejection { payload: self.head, length: self.length, reason }
    }
}
