//! Checks that the events of an answer were made from events of the input.

use std::collections::HashSet;
use std::ops::Range;

use tidegate_sdk::Batch;

/// Looks up events of one batch by their source index.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// For runs that are not in source order: their source indices, built on demand.
    unordered: Vec<(usize, HashSet<u32>)>,
}

impl Lineage {
    /// Whether run number `run` of the batch has an event with each of these source indices.
    pub(crate) fn holds(&mut self, batch: &Batch, run: usize, indices: &[u32]) -> bool {
        let Some(events) = events(batch, run) else { return false };
        let Some(all) = batch.source_indices() else {
            return indices.iter().all(|index| events.contains(&(*index as usize)));
        };
        let known = &all[events];
        if known.is_sorted() {
            return in_order(known, indices);
        }
        let at = self.unordered.iter().position(|(number, _)| *number == run).unwrap_or_else(|| {
            self.unordered.push((run, known.iter().copied().collect()));
            self.unordered.len() - 1
        });
        indices.iter().all(|index| self.unordered[at].1.contains(index))
    }
}

/// The events of a run.
fn events(batch: &Batch, run: usize) -> Option<Range<usize>> {
    let end = batch.runs().get(run)?.end as usize;
    let start = run.checked_sub(1).map_or(0, |before| batch.runs()[before].end as usize);
    Some(start..end)
}

/// The events of an answer are mostly in order, so the search continues after the last one.
fn in_order(known: &[u32], indices: &[u32]) -> bool {
    let mut at = 0;
    indices.iter().all(|index| {
        while known.get(at).is_some_and(|known| known < index) {
            at += 1;
        }
        known.get(at) == Some(index) || known.binary_search(index).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(batch: &Batch, run: usize, indices: &[u32]) -> bool {
        Lineage::default().holds(batch, run, indices)
    }

    #[test]
    fn only_events_of_the_input_are_known() {
        let mut builder = Batch::builder();
        (0..10).for_each(|_| builder.push_copy(b"x"));
        let whole = builder.finish();
        assert!(holds(&whole, 0, &[0, 9, 9, 3]) && !holds(&whole, 0, &[10]) && !holds(&whole, 1, &[0]));
        let some = whole.select([2, 4, 4, 8]);
        assert!(holds(&some, 0, &[2, 8, 4]) && !holds(&some, 0, &[3]) && !holds(&some, 0, &[9]));
        let turned = whole.select([8, 2]);
        assert!(holds(&turned, 0, &[2, 8]) && !holds(&turned, 0, &[4]));
        let two = Batch::concat(&[whole.select([1, 2]), whole.select([7])]);
        assert!(holds(&two, 1, &[7]) && !holds(&two, 1, &[1]) && holds(&two, 0, &[1]));
    }
}
