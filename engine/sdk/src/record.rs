//! What a sink stores beside the data, so that nothing comes twice: how far a lane is, or which entries of the
//! source's input are done with.

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

/// How far a lane is. Events of a partition are numbered from 0 in the order in which the source reads them,
/// which is the same each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where the source resumes; `None` is its start.
    pub position: Option<Position>,
    /// The number of the first event behind `position`.
    pub base: u64,
    /// The number of the first event that is not done: `base`, or more if a batch was done in part.
    pub done: u64,
}

/// Who claims lanes.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The id of the pipeline.
    pub pipeline: Arc<str>,
    /// The name of the sink component.
    pub sink: Arc<str>,
    /// Forget every record first: the user starts over on purpose.
    pub afresh: bool,
}

/// Whether a source can read again what it has read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// It cannot: what was read and not delivered is lost in a crash.
    #[default]
    Never,
    /// Its input delivers again what was not acknowledged, in any order.
    Redelivery,
    /// It resumes at a [`Position`], and reads the same events in the same order from there.
    Position,
}

/// What acknowledges the entries of one source batch, written down by the source for the sink that does it. The
/// engine carries it from one to the other and does not look inside.
///
/// The first receipts are those of the batch's events, in their order, so that [`crate::Batch::source_index`]
/// finds the receipt of an event. Behind them may stand those of input that never became an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    scope: Arc<[String]>,
    list: Arc<List>,
    range: Range<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    /// The index of the first receipt that is there.
    first: usize,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl List {
    /// Where a receipt ends among the bytes, counted from the first that is there.
    fn end(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.ends[last] as usize)
    }
}

impl Receipts {
    /// Receipts without the first one yet. `scope` is what holds for all of them: names that the source and the
    /// sinks of its [domain](crate::Source::domain) have agreed on (of the stream, of the group).
    pub fn new(scope: &Arc<[String]>) -> Self {
        Self { scope: Arc::clone(scope), ..Self::default() }
    }

    /// Those of a part of a batch, without the first one yet, which is number `first`. For the engine.
    pub fn of_part(scope: &Arc<[String]>, first: usize) -> Self {
        let list = List { first, ..List::default() };
        Self { scope: Arc::clone(scope), list: Arc::new(list), range: first..first }
    }

    /// What holds for all of them.
    pub fn scope(&self) -> &[String] {
        &self.scope
    }

    /// Adds one behind the last.
    ///
    /// # Panics
    /// If all of them come to 4 GiB.
    pub fn push(&mut self, receipt: &[u8]) {
        let list = Arc::make_mut(&mut self.list);
        list.bytes.extend_from_slice(receipt);
        list.ends.push(u32::try_from(list.bytes.len()).expect("receipts are shorter than 4 GiB"));
        self.range.end = list.first + list.ends.len();
    }

    /// Which of the batch's receipts these are.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Only those with these indices, which they keep.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        Self { range, ..self.clone() }
    }

    /// The receipt of the batch with this index.
    ///
    /// # Panics
    /// If there is no such receipt.
    pub fn get(&self, index: usize) -> &[u8] {
        let number = index.checked_sub(self.list.first).expect("there is such a receipt");
        &self.list.bytes[self.list.end(number)..self.list.end(number + 1)]
    }

    /// All of them, one behind the other. For the engine.
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
    fn receipts_are_found_by_their_index() {
        let scope: Arc<[String]> = ["stream".to_owned(), "group".to_owned()].into();
        let mut receipts = Receipts::new(&scope);
        assert!(receipts.range().is_empty());
        for text in ["1-0", "", "1-12"] {
            receipts.push(text.as_bytes());
        }
        let all: Vec<&[u8]> = receipts.range().map(|index| receipts.get(index)).collect();
        assert_eq!(all, [b"1-0".as_slice(), b"", b"1-12"]);
        assert_eq!(receipts.scope(), ["stream", "group"]);
        let last = receipts.part(2..3);
        assert_eq!((last.range(), last.get(2)), (2..3, b"1-12".as_slice()));
        assert_eq!((receipts.bytes(), last.bytes()), (b"1-01-12".as_slice(), b"1-12".as_slice()));
    }

    #[test]
    fn a_part_keeps_its_numbers() {
        let mut part = Receipts::of_part(&Arc::default(), 7);
        assert_eq!((part.range(), part.bytes()), (7..7, &b""[..]));
        ["a", "", "bc"].iter().for_each(|text| part.push(text.as_bytes()));
        assert_eq!((part.range(), part.get(7), part.get(9)), (7..10, &b"a"[..], &b"bc"[..]));
        assert_eq!(part.part(8..10).bytes(), b"bc");
    }
}
