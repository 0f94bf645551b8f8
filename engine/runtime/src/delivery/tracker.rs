//! Which positions of a source are safe to keep.
//!
//! Batches end in any order. A position is safe when its batch and every batch of its partition before it
//! has ended: the end of the longest finished prefix, never past a gap. Pure: no clock, no input or output.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_sdk::Record;

/// The batches of one source that are on their way, by partition.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    partitions: BTreeMap<Arc<str>, VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Where the source is behind this batch, if it can come back.
    record: Option<Record>,
    ended: bool,
}

impl Tracker {
    /// A batch was read. Sequence numbers grow.
    pub(crate) fn read(&mut self, partition: &Arc<str>, sequence: u64, record: Option<Record>) {
        let entries = self.partitions.entry(Arc::clone(partition)).or_default();
        debug_assert!(entries.back().is_none_or(|last| last.sequence < sequence));
        entries.push_back(Entry { sequence, record, ended: false });
    }

    /// Every event of a batch is delivered, dropped on purpose or kept as a dead letter. Returns where
    /// the source may resume now, if that made a new place safe. (A batch that failed never ends.)
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
