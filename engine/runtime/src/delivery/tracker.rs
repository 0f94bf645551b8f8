//! Tracker: finds the positions of a source that are safe to store.
//!
//! Batches end in any order. A position is safe when its batch and all batches of its partition before it have ended: the
//! end of the longest finished prefix, never past a gap. Pure: no clock, no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_sdk::Record;

/// Tracker of the batches of one source that are in flight, by partition.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    partitions: BTreeMap<Arc<str>, VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// The position after this batch, if the source has positions.
    record: Option<Record>,
    ended: bool,
}

impl Tracker {
    /// Adds a batch that was read. Sequence numbers grow.
    pub(crate) fn read(&mut self, partition: &Arc<str>, sequence: u64, record: Option<Record>) {
        let entries = self.partitions.entry(Arc::clone(partition)).or_default();
        debug_assert!(entries.back().is_none_or(|last| last.sequence < sequence));
        entries.push_back(Entry { sequence, record, ended: false });
    }

    /// Marks a batch as ended: each event is delivered, dropped on purpose or a dead letter. Returns the new safe position, if
    /// there is one. (A batch that failed never ends.)
    pub(crate) fn ended(&mut self, partition: &str, sequence: u64) -> Option<Record> {
        let entries = self.partitions.get_mut(partition)?;
        let index = entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        entries[index].ended = true;
        let mut safe = None;
        while entries.front().is_some_and(|first| first.ended) {
            safe = entries.pop_front().and_then(|first| first.record).or(safe);
        }
        if entries.is_empty() {
            self.partitions.remove(partition);
        }
        safe
    }
}

#[cfg(test)]
mod tests;
