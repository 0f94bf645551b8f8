//! Writes a batch into shared memory: its columns as plain tables, followed by one copy of its bytes.
//!
//! ```text
//! length of the tables (8 bytes) | tables | payload
//! ```
//!
//! Numbers are in the byte order of the machine. A span is three numbers: payload, offset, length. Payload 0 is that of the
//! engine's batch, payload 1 that of the answer.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tidegate_sdk::{AttributeValue, Attributes, Batch, Run, Span};

use crate::process::frame::Area;
use crate::process::shared::copy_ranges::CopyRanges;
use crate::process::shared::region::{Writer, place};

/// Flag of a batch with keys.
pub(crate) const KEYS: u32 = 1;
/// Flag of a batch with times.
pub(crate) const TIMES: u32 = 2;
/// Flag of a batch with source indices.
pub(crate) const LINEAGE: u32 = 4;
/// Flag of a batch with attributes of single events.
pub(crate) const ATTRIBUTES: u32 = 8;
/// Flag of a batch that is the unchanged input. No columns follow.
pub(crate) const SAME: u32 = 16;

/// The set of an event without attributes of its own.
pub(crate) const NO_SET: u32 = u32::MAX;

/// The type of an attribute.
pub(crate) const TEXT: u32 = 0;
/// As above.
pub(crate) const INTEGER: u32 = 1;
/// As above.
pub(crate) const FLOAT: u32 = 2;
/// As above.
pub(crate) const BOOLEAN: u32 = 3;

/// The distinct attribute sets of a batch, numbered in the same order on both sides.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) list: Vec<Arc<Attributes>>,
    known: HashMap<usize, u32>,
}

impl Sets {
    pub(crate) fn add(&mut self, set: &Arc<Attributes>) -> u32 {
        let Self { list, known } = self;
        *known.entry(Arc::as_ptr(set) as usize).or_insert_with(|| {
            list.push(Arc::clone(set));
            (list.len() - 1) as u32
        })
    }
}

/// The input that a batch of an answer refers to.
pub(crate) struct Input<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) sets: &'a mut Sets,
}

/// Collects the tables and payload for a region.
pub(crate) struct Packer<'a> {
    tables: Vec<u8>,
    payload: Vec<&'a [u8]>,
    length: u64,
}

impl<'a> Packer<'a> {
    /// Starts, reusing memory of the last batch.
    pub(crate) fn new(mut scratch: Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(&[0; 8]);
        Self { tables: scratch, payload: Vec::new(), length: 0 }
    }

    pub(crate) fn number(&mut self, number: u32) {
        self.tables.extend_from_slice(&number.to_ne_bytes());
    }

    pub(crate) fn long(&mut self, number: u64) {
        self.tables.extend_from_slice(&number.to_ne_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u32);
        self.tables.extend_from_slice(bytes);
    }

    /// Appends bytes to the payload, and their offset and length to the tables.
    pub(crate) fn piece(&mut self, bytes: &'a [u8]) {
        self.long(self.length);
        self.number(bytes.len() as u32);
        self.take(bytes);
    }

    fn take(&mut self, bytes: &'a [u8]) {
        self.payload.push(bytes);
        self.length += bytes.len() as u64;
    }

    /// Writes a batch. Returns the tables to interpret an answer to it.
    pub(crate) fn batch(&mut self, batch: &'a Batch) -> io::Result<(CopyRanges, Sets)> {
        let mut sets = Sets::default();
        let ranges = self.columns(batch, 0, &mut sets)?;
        self.number(batch.runs().len() as u32);
        for run in batch.runs() {
            self.run(run);
        }
        Ok((ranges, sets))
    }

    /// Writes a batch that was made from the input.
    pub(crate) fn derived(&mut self, batch: &'a Batch, given: &mut Input<'_>) -> io::Result<()> {
        if std::ptr::eq(batch.spans(), given.batch.spans()) {
            self.number(SAME);
            return Ok(());
        }
        self.columns(batch, 1, given.sets)?;
        self.number(batch.runs().len() as u32);
        let mut from = 0;
        let origins = given.batch.runs();
        for run in batch.runs() {
            let same = |known: &Run| Arc::ptr_eq(&known.origin, &run.origin);
            let next = origins[from..].iter().position(same).map(|at| at + from);
            let found = next.or_else(|| origins.iter().position(same));
            from = found.ok_or_else(|| io::Error::other("an event has an unknown origin"))?;
            self.number(run.end);
            self.number(from as u32);
        }
        Ok(())
    }

    fn columns(&mut self, batch: &'a Batch, first: u32, sets: &mut Sets) -> io::Result<CopyRanges> {
        let too_large = || io::Error::other("a batch has 4 GiB or more");
        let ranges = CopyRanges::of(batch, first).ok_or_else(too_large)?;
        let base = u32::try_from(self.length).map_err(|_| too_large())?;
        for range in ranges.list() {
            let buffer = &batch.buffers()[range.buffer as usize];
            self.take(&buffer[range.start as usize..range.end as usize]);
        }
        u32::try_from(self.length).map_err(|_| too_large())?;
        let lineage = batch.source_indices();
        let has = |there: bool, flag| if there { flag } else { 0 };
        let keys = has(batch.key_spans().is_some(), KEYS);
        let times = has(batch.timestamps().is_some(), TIMES);
        let attributes = has(batch.has_own_attributes(), ATTRIBUTES);
        self.number(keys | times | attributes | has(lineage.is_some(), LINEAGE));
        self.number(batch.len() as u32);
        self.spans(batch.spans(), first, base, &ranges);
        self.spans(batch.key_spans().unwrap_or_default(), first, base, &ranges);
        for time in batch.timestamps().unwrap_or_default() {
            self.tables.extend_from_slice(&time.to_ne_bytes());
        }
        for index in lineage.unwrap_or_default() {
            self.tables.extend_from_slice(&index.to_ne_bytes());
        }
        if batch.has_own_attributes() {
            self.own_attributes(batch, sets);
        }
        Ok(ranges)
    }

    fn spans(&mut self, spans: &[Span], first: u32, base: u32, ranges: &CopyRanges) {
        let mut hint = 0;
        let start = self.tables.len();
        self.tables.resize(start + size_of_val(spans), 0);
        for (span, entry) in spans.iter().zip(self.tables[start..].chunks_exact_mut(size_of::<Span>())) {
            let (payload, offset) = match *span {
                span if span.is_none() => (u32::MAX, 0),
                span if span.buffer < first => (0, span.offset),
                span => (first, base + ranges.place(span, &mut hint)),
            };
            entry[..4].copy_from_slice(&payload.to_ne_bytes());
            entry[4..8].copy_from_slice(&offset.to_ne_bytes());
            entry[8..].copy_from_slice(&span.length.to_ne_bytes());
        }
    }

    fn own_attributes(&mut self, batch: &Batch, sets: &mut Sets) {
        let known = sets.list.len();
        let own =
            (0..batch.len()).map(|event| batch.own_attributes(event).map_or(NO_SET, |set| sets.add(set)));
        let own: Vec<u32> = own.collect();
        let added: Vec<_> = sets.list[known..].to_vec();
        self.number(added.len() as u32);
        added.iter().for_each(|set| self.set(set));
        own.into_iter().for_each(|set| self.number(set));
    }

    fn set(&mut self, set: &Attributes) {
        self.number(set.iter().count() as u32);
        for (name, value) in set.iter() {
            self.bytes(name.as_bytes());
            let (kind, bits) = match value {
                AttributeValue::Text(_) => (TEXT, 0),
                AttributeValue::Integer(number) => (INTEGER, number.cast_unsigned()),
                AttributeValue::Float(number) => (FLOAT, number.to_bits()),
                AttributeValue::Boolean(yes) => (BOOLEAN, (*yes).into()),
            };
            self.number(kind);
            match value {
                AttributeValue::Text(text) => self.bytes(text.as_bytes()),
                _ => self.long(bits),
            }
        }
    }

    fn run(&mut self, run: &Run) {
        let origin = &run.origin;
        self.number(run.end);
        self.long(origin.first);
        self.long(origin.sequence);
        self.bytes(origin.source.as_bytes());
        self.bytes(origin.partition.as_bytes());
        self.number(origin.position.is_some().into());
        self.bytes(origin.position.as_ref().map_or(&[], |position| position.as_bytes()));
        self.set(&origin.attributes);
    }

    /// Writes everything beside the retained area. Returns the area, and the memory for the next batch.
    pub(crate) fn write(mut self, region: &mut Writer, held: Area) -> io::Result<(Area, Vec<u8>)> {
        let length = self.tables.len() as u64;
        self.tables[..8].copy_from_slice(&length.to_ne_bytes());
        let whole = length + self.length;
        let start = place(held, whole);
        region.reserve(start + whole)?;
        region.write(start, &self.tables);
        let mut at = start + length;
        for piece in &self.payload {
            region.write(at, piece);
            at += piece.len() as u64;
        }
        Ok((Area { start, end: at }, self.tables))
    }
}
