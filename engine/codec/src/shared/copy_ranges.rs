//! The ranges of a batch's buffers that its spans refer to: of a large buffer with one remaining event, only that event.

use tidegate_sdk::{Batch, Span};

/// The gap between two events that is copied with them, because two copies cost more than a longer one.
const GAP: u32 = 512;

/// A range of one buffer, and its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyRange {
    pub(crate) buffer: u32,
    /// The start of the range in the buffer.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The destination of its first byte, relative to the first range.
    pub(crate) at: u32,
}

impl CopyRange {
    fn precedes(&self, other: &Self) -> bool {
        (self.buffer, self.start) <= (other.buffer, other.start)
    }

    /// Extends the range by `other`, which begins after it, if the gap is small. Returns whether it did.
    fn takes(&mut self, other: &Self) -> bool {
        let near = self.buffer == other.buffer
            && self.start <= other.start
            && other.start <= self.end.saturating_add(GAP);
        if near {
            self.end = self.end.max(other.end);
        }
        near
    }
}

/// The ranges, ordered by buffer and byte, without overlaps.
#[derive(Debug, Default)]
pub struct CopyRanges(Vec<CopyRange>);

impl CopyRanges {
    /// The ranges of payloads and keys in the buffers from number `first` on. `None` if they have 4 GiB or more.
    pub(crate) fn of(batch: &Batch, first: u32) -> Option<Self> {
        let mut list: Vec<CopyRange> = Vec::new();
        let mut sorted = true;
        let keys = batch.key_spans().unwrap_or_default();
        let wanted = |span: &&Span| !span.is_none() && span.buffer >= first;
        for span in batch.spans().iter().chain(keys).filter(wanted) {
            let next =
                CopyRange { buffer: span.buffer, start: span.offset, end: span.offset + span.length, at: 0 };
            let taken = list.last_mut().is_some_and(|last| last.takes(&next));
            if !taken {
                sorted &= list.last().is_none_or(|last| last.precedes(&next));
                list.push(next);
            }
        }
        if !sorted {
            list.sort_unstable_by_key(|range| (range.buffer, range.start));
            list.dedup_by(|next, last| last.takes(next));
        }
        let mut at = 0_u32;
        for range in &mut list {
            range.at = at;
            at = at.checked_add(range.end - range.start)?;
        }
        Some(Self(list))
    }

    /// The ranges.
    pub(crate) fn list(&self) -> &[CopyRange] {
        &self.0
    }

    /// The destination of a span. `hint` is the start of the search: spans are mostly in order.
    pub(crate) fn place(&self, span: Span, hint: &mut usize) -> u32 {
        let holds = |range: &CopyRange| {
            range.buffer == span.buffer && range.start <= span.offset && span.offset <= range.end
        };
        if !self.0.get(*hint).is_some_and(holds) {
            let precedes = |range: &CopyRange| (range.buffer, range.start) <= (span.buffer, span.offset);
            *hint = self.0.partition_point(precedes) - 1;
        }
        let range = &self.0[*hint];
        range.at + (span.offset - range.start)
    }

    /// The inverse: the span of `length` bytes at the destination `at`; `None` if they are not in one range.
    pub(crate) fn origin(&self, at: u32, length: u32, hint: &mut usize) -> Option<Span> {
        let end = |range: &CopyRange| range.at + (range.end - range.start);
        let holds = |range: &CopyRange| range.at <= at && at <= end(range);
        let mut found = self.0.get(*hint).filter(|range| holds(range));
        if found.is_none_or(|range| at.checked_add(length).is_none_or(|last| last > end(range))) {
            *hint = self.0.partition_point(|range| range.at <= at).checked_sub(1)?;
            found = self.0.get(*hint).filter(|range| holds(range));
        }
        let range = found?;
        (at.checked_add(length)? <= end(range)).then(|| Span {
            buffer: range.buffer,
            offset: range.start + (at - range.at),
            length,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn batch(spans: &[(u32, u32, u32)]) -> Batch {
        let mut builder = Batch::builder();
        builder.add_buffer(Bytes::from(vec![0; 1 << 20]));
        builder.add_buffer(Bytes::from(vec![1; 1 << 20]));
        spans.iter().for_each(|(buffer, offset, length)| {
            builder.push_span(Span { buffer: *buffer, offset: *offset, length: *length });
        });
        builder.finish()
    }

    #[test]
    fn near_events_share_a_range_and_distant_bytes_are_not_copied() {
        let ranges = CopyRanges::of(&batch(&[(0, 0, 10), (0, 11, 10), (0, 5000, 7)]), 0).unwrap();
        let pieces = [(0, 21, 0), (5000, 5007, 21)];
        let pieces = pieces.map(|(start, end, at)| CopyRange { buffer: 0, start, end, at });
        assert_eq!(ranges.list(), pieces);
    }

    #[test]
    fn every_span_has_a_destination_and_an_inverse_in_any_order() {
        let spans = [(1, 9000, 5), (0, 100, 3), (1, 0, 8), (0, 101, 9), (0, 700_000, 0), (1, 4, 9000)];
        let batch = batch(&spans);
        let ranges = CopyRanges::of(&batch, 0).unwrap();
        assert_eq!(ranges.list().len(), 3);
        for hint in [0, 1, 2, 99] {
            for span in batch.spans() {
                let at = ranges.place(*span, &mut { hint });
                let back = ranges.origin(at, span.length, &mut { hint });
                // The place of an empty span does not matter.
                assert!(back == Some(*span) || span.length == 0 && back.is_some_and(|back| back.length == 0));
            }
        }
        assert_eq!(ranges.origin(0, u32::MAX, &mut 0), None);
        assert_eq!(ranges.origin(u32::MAX, 2, &mut 0), None);
        let only_second = CopyRanges::of(&batch, 1).unwrap();
        assert!(only_second.list().iter().all(|range| range.buffer == 1));
    }
}
