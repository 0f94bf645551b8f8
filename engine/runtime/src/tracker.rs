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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidegate_sdk::Position;

    fn record(number: u64) -> Record {
        Record { position: Some(Position::new(&number)), base: number, done: number }
    }

    #[test]
    fn never_past_a_gap() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut tracker = Tracker::default();
        for sequence in 0..4 {
            tracker.read(&a, sequence, Some(record(sequence)));
        }
        tracker.read(&b, 4, Some(record(4)));
        assert_eq!(tracker.ended("a", 2), None);
        assert_eq!(tracker.ended("b", 4), Some(record(4)));
        assert_eq!(tracker.ended("a", 0), Some(record(0)));
        assert_eq!(tracker.ended("a", 1), Some(record(2)));
        assert_eq!(tracker.ended("a", 1), None, "an ended batch is forgotten");
        assert_eq!(tracker.ended("a", 3), Some(record(3)));
        assert!(tracker.partitions.is_empty());
    }

    proptest! {
        /// In whatever order batches end, the safe position is the end of the finished prefix.
        #[test]
        fn safe_is_the_finished_prefix(order in Just((0_u64..40).collect::<Vec<_>>()).prop_shuffle()) {
            let partition: Arc<str> = "p".into();
            let mut tracker = Tracker::default();
            for sequence in 0..40_u64 {
                // Every third batch has no place of its own.
                let place = (sequence % 3 != 2).then(|| record(sequence));
                tracker.read(&partition, sequence, place);
            }
            let mut ended = [false; 40];
            let mut safe = None;
            for sequence in order {
                ended[sequence as usize] = true;
                safe = tracker.ended("p", sequence).or(safe);
                let prefix = ended.iter().take_while(|ended| **ended).count() as u64;
                let expected = (0..prefix).rev().find(|sequence| sequence % 3 != 2);
                prop_assert_eq!(&safe, &expected.map(record));
            }
        }
    }
}
