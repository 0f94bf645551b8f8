//! Runs of events with the same origin.

use tidegate_abi::{self as abi, Buf, Str};
use tidegate_sdk::Run;

use crate::limits::POSITION;

/// A run without pointers: the index after its last event, the range of its attributes, and its origin.
#[derive(Clone, Copy, Debug)]
pub struct RunEntry<'a> {
    /// The index after its last event.
    pub end: u32,
    /// The index of its first attribute in the column of attributes.
    pub attr: u32,
    /// The number of its attributes.
    pub n_attr: u32,
    /// The number of the source batch's first event in its partition.
    pub first: u64,
    /// The number of the source batch in its source.
    pub sequence: u64,
    /// The name of the source component, in UTF-8.
    pub source: &'a [u8],
    /// The partition, in UTF-8.
    pub partition: &'a [u8],
    /// The position at which the source resumes after that batch.
    pub position: Option<&'a [u8]>,
}

impl<'a> RunEntry<'a> {
    /// The entry of a run whose attributes lie in this range.
    pub(crate) fn new(run: &'a Run, attributes: &std::ops::Range<u32>) -> Self {
        let origin = &run.origin;
        Self {
            end: run.end,
            attr: attributes.start,
            n_attr: attributes.end - attributes.start,
            first: origin.first,
            sequence: origin.sequence,
            source: origin.source.as_bytes(),
            partition: origin.partition.as_bytes(),
            position: origin.position.as_ref().map(|position| &position.as_bytes()[..]),
        }
    }

    /// The entry of the only run of a source's table, which names its origin in fields of its own.
    ///
    /// # Errors
    /// The position is too long.
    ///
    /// # Safety
    /// Texts and position point to as many bytes as they say, which do not change for `'a`.
    pub unsafe fn of_source(table: &abi::Batch) -> Result<Self, String> {
        let position = table.position;
        if position.n > POSITION {
            return Err(format!("a position has {} bytes, and may have {POSITION}", position.n));
        }
        // SAFETY: the caller guarantees it.
        let (partition, position) = unsafe { (bytes(table.partition), position_of(position)) };
        Ok(Self {
            end: table.n,
            attr: table.n_attr - table.n_common,
            n_attr: table.n_common,
            first: 0,
            sequence: 0,
            source: &[],
            partition,
            position,
        })
    }

    /// Reads a run of a table.
    ///
    /// # Safety
    /// As [`of_source`](Self::of_source).
    pub unsafe fn read(run: &abi::Run) -> Self {
        // SAFETY: the caller guarantees it.
        let (source, partition, position) =
            unsafe { (bytes(run.source), bytes(run.partition), position_of(run.position)) };
        let abi::Run { end, attr, n_attr, first, sequence, .. } = *run;
        Self { end, attr, n_attr, first, sequence, source, partition, position }
    }

    /// The run for a table.
    pub fn table(&self) -> abi::Run {
        let text = |text: &[u8]| Str { p: text.as_ptr(), n: text.len() as u64 };
        abi::Run {
            end: self.end,
            attr: self.attr,
            n_attr: self.n_attr,
            reserved: 0,
            first: self.first,
            sequence: self.sequence,
            source: text(self.source),
            partition: text(self.partition),
            position: self.position.map_or(Buf::NONE, Buf::new),
        }
    }
}

/// # Safety
/// The text points to as many bytes as it says, which do not change for `'a`.
unsafe fn bytes<'a>(text: Str) -> &'a [u8] {
    // SAFETY: the caller guarantees it.
    unsafe { text.bytes() }
}

/// # Safety
/// As [`bytes`].
unsafe fn position_of<'a>(position: Buf) -> Option<&'a [u8]> {
    // SAFETY: the caller guarantees it.
    (!position.p.is_null()).then(|| unsafe { position.bytes() })
}
