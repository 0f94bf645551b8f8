//! Records of progress that a sink stores beside the data, and handles with which a sink acknowledges for a source.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Position;

/// The path of one partition of one source to one sink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Name of the source component.
    pub source: Arc<str>,
    /// The partition; empty if the source has one.
    pub partition: Arc<str>,
}

/// The progress of a lane. Events of a partition are numbered from 0 in the order in which the source reads them, which is
/// the same each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The position at which the source resumes; `None` is its start.
    pub position: Option<Position>,
    /// The number of the first event after `position`.
    pub base: u64,
    /// The number of the first event that is not done: `base`, or more if a batch was done in part.
    pub done: u64,
}

/// A claim of all lanes of a sink.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The id of the pipeline.
    pub pipeline: Arc<str>,
    /// The name of the sink component.
    pub sink: Arc<str>,
    /// True if every record is deleted first, because the user starts over on purpose.
    pub reset: bool,
}

/// The way in which a source can read its input again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// Not at all: events that were read and not delivered are lost in a crash.
    #[default]
    Never,
    /// Its input delivers events again that were not acknowledged, in any order.
    Redelivery,
    /// Resumes at a [`Position`], and reads the same events in the same order from there.
    Position,
}

/// Handles with which a sink acknowledges the entries of one source batch. The source makes them for the sink; the engine
/// carries them and does not interpret them.
///
/// The first handles belong to the events of the batch, in their order, so [`crate::Batch::source_index`] finds the handle of
/// an event. Handles of input that never became an event may follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckHandles {
    scope: Arc<[String]>,
    list: Arc<List>,
    range: Range<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    /// The index of the first handle in the list.
    first: usize,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl List {
    /// The end of a handle among the bytes. Handles are counted from the first in the list.
    fn end(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.ends[last] as usize)
    }
}

impl AckHandles {
    /// An empty list. `scope` holds for all handles: names that the source and the sinks of its
    /// [domain](crate::Source::transaction_domain) have agreed on (of the stream, of the group).
    pub fn new(scope: &Arc<[String]>) -> Self {
        Self { scope: Arc::clone(scope), ..Self::default() }
    }

    /// An empty list for a part of a batch; its first handle will have the index `first`. For the engine.
    pub fn of_part(scope: &Arc<[String]>, first: usize) -> Self {
        let list = List { first, ..List::default() };
        Self { scope: Arc::clone(scope), list: Arc::new(list), range: first..first }
    }

    /// The names that hold for all of them.
    pub fn scope(&self) -> &[String] {
        &self.scope
    }

    /// Appends a handle.
    ///
    /// # Panics
    /// If all of them come to 4 GiB.
    pub fn push(&mut self, handle: &[u8]) {
        let list = Arc::make_mut(&mut self.list);
        list.bytes.extend_from_slice(handle);
        list.ends.push(u32::try_from(list.bytes.len()).expect("handles are shorter than 4 GiB"));
        self.range.end = list.first + list.ends.len();
    }

    /// The indices of these handles among those of the batch.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Only those with these indices, which they keep.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        Self { range, ..self.clone() }
    }

    /// The handle of the batch with this index.
    ///
    /// # Panics
    /// If there is no such handle.
    pub fn get(&self, index: usize) -> &[u8] {
        let number = index.checked_sub(self.list.first).expect("the index is in the list");
        &self.list.bytes[self.list.end(number)..self.list.end(number + 1)]
    }

    /// All of them, one after the other. For the engine.
    pub fn bytes(&self) -> &[u8] {
        let Range { start, end } = self.range;
        let List { first, bytes, .. } = &*self.list;
        &bytes[self.list.end(start - first)..self.list.end(end - first)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_found_by_their_index() {
        let scope: Arc<[String]> = ["stream".to_owned(), "group".to_owned()].into();
        let mut ack_handles = AckHandles::new(&scope);
        assert!(ack_handles.range().is_empty());
        for text in ["1-0", "", "1-12"] {
            ack_handles.push(text.as_bytes());
        }
        let all: Vec<&[u8]> = ack_handles.range().map(|index| ack_handles.get(index)).collect();
        assert_eq!(all, [b"1-0".as_slice(), b"", b"1-12"]);
        assert_eq!(ack_handles.scope(), ["stream", "group"]);
        let last = ack_handles.part(2..3);
        assert_eq!((last.range(), last.get(2)), (2..3, b"1-12".as_slice()));
        assert_eq!((ack_handles.bytes(), last.bytes()), (b"1-01-12".as_slice(), b"1-12".as_slice()));
    }

    #[test]
    fn a_part_keeps_its_numbers() {
        let mut part = AckHandles::of_part(&Arc::default(), 7);
        assert_eq!((part.range(), part.bytes()), (7..7, &b""[..]));
        ["a", "", "bc"].iter().for_each(|text| part.push(text.as_bytes()));
        assert_eq!((part.range(), part.get(7), part.get(9)), (7..10, &b"a"[..], &b"bc"[..]));
        assert_eq!(part.part(8..10).bytes(), b"bc");
    }
}
