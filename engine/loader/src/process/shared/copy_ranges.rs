//! Which bytes of a batch's buffers its spans mean: of a large buffer with one event left in it, only that event.

use tidegate_sdk::{Batch, Span};

/// Bytes between two events that are taken along, because two copies would cost more than one that is longer.
const GAP: u32 = 512;

/// A piece of one buffer, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyRange {
    pub(crate) buffer: u32,
    /// Its bytes in the buffer.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where its first byte goes, counted from that of the first stretch.
    pub(crate) at: u32,
}

impl CopyRange {
    fn precedes(&self, other: &Self) -> bool {
        (self.buffer, self.start) <= (other.buffer, other.start)
    }

    /// Whether `other`, which begins behind it, is so near that it becomes part of it.
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

/// The pieces, in order of buffer and byte; none overlaps another.
#[derive(Debug, Default)]
pub(crate) struct CopyRanges(Vec<CopyRange>);

impl CopyRanges {
    /// What the batch's payloads and keys mean of the buffers from number `first` on. `None` if that is 4 GiB or more.
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
            list.sort_unstable_by_key(|stretch| (stretch.buffer, stretch.start));
            list.dedup_by(|next, last| last.takes(next));
        }
        let mut at = 0_u32;
        for stretch in &mut list {
            stretch.at = at;
            at = at.checked_add(stretch.end - stretch.start)?;
        }
        Some(Self(list))
    }

    /// The pieces.
    pub(crate) fn list(&self) -> &[CopyRange] {
        &self.0
    }

    /// Where a span of the batch goes. `hint` is where the search begins: spans come mostly in order.
    pub(crate) fn place(&self, span: Span, hint: &mut usize) -> u32 {
        let holds = |stretch: &CopyRange| {
            stretch.buffer == span.buffer && stretch.start <= span.offset && span.offset <= stretch.end
        };
        if !self.0.get(*hint).is_some_and(holds) {
            let behind = |stretch: &CopyRange| (stretch.buffer, stretch.start) <= (span.buffer, span.offset);
            *hint = self.0.partition_point(behind) - 1;
        }
        let stretch = &self.0[*hint];
        stretch.at + (span.offset - stretch.start)
    }

    /// The way back: what `length` bytes at `at` are in the batch's own buffers; `None` if they are not in one piece.
    pub(crate) fn origin(&self, at: u32, length: u32, hint: &mut usize) -> Option<Span> {
        let end = |stretch: &CopyRange| stretch.at + (stretch.end - stretch.start);
        let holds = |stretch: &CopyRange| stretch.at <= at && at <= end(stretch);
        let mut found = self.0.get(*hint).filter(|stretch| holds(stretch));
        if found.is_none_or(|stretch| at.checked_add(length).is_none_or(|last| last > end(stretch))) {
            *hint = self.0.partition_point(|stretch| stretch.at <= at).checked_sub(1)?;
            found = self.0.get(*hint).filter(|stretch| holds(stretch));
        }
        let stretch = found?;
        (at.checked_add(length)? <= end(stretch)).then(|| Span {
            buffer: stretch.buffer,
            offset: stretch.start + (at - stretch.at),
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
    fn neighbours_are_one_piece_and_what_is_far_away_is_not_copied() {
        let stretches = CopyRanges::of(&batch(&[(0, 0, 10), (0, 11, 10), (0, 5000, 7)]), 0).unwrap();
        let pieces = [(0, 21, 0), (5000, 5007, 21)];
        let pieces = pieces.map(|(start, end, at)| CopyRange { buffer: 0, start, end, at });
        assert_eq!(stretches.list(), pieces);
    }

    #[test]
    fn whatever_the_order_each_span_has_its_place_and_the_way_back() {
        let spans = [(1, 9000, 5), (0, 100, 3), (1, 0, 8), (0, 101, 9), (0, 700_000, 0), (1, 4, 9000)];
        let batch = batch(&spans);
        let stretches = CopyRanges::of(&batch, 0).unwrap();
        assert_eq!(stretches.list().len(), 3);
        for hint in [0, 1, 2, 99] {
            for span in batch.spans() {
                let at = stretches.place(*span, &mut { hint });
                let back = stretches.origin(at, span.length, &mut { hint });
                // Where nothing is does not matter.
                assert!(back == Some(*span) || span.length == 0 && back.is_some_and(|back| back.length == 0));
            }
        }
        assert_eq!(stretches.origin(0, u32::MAX, &mut 0), None);
        assert_eq!(stretches.origin(u32::MAX, 2, &mut 0), None);
        let only_second = CopyRanges::of(&batch, 1).unwrap();
        assert!(only_second.list().iter().all(|stretch| stretch.buffer == 1));
    }
}
