//! Reads a batch from shared memory: checks everything in its tables before use.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_sdk::{AttributeValue, Attributes, Batch, Origin, Parts, Position, Run, Span};

use crate::boundary::metadata::{METADATA_BYTES, MetadataLimit};
use crate::process::shared::copy_ranges::CopyRanges;
use crate::process::shared::lineage::Lineage;
use crate::process::shared::pack::{
    ATTRIBUTES, BOOLEAN, FLOAT, INTEGER, KEYS, LINEAGE, NO_SET, SAME, Sets, TEXT, TIMES,
};

/// The limit for events of a batch.
pub(crate) const EVENTS: usize = 1 << 24;
/// The limit for a name, partition or reason, in bytes.
const NAME: usize = 64 << 10;

/// The input that an answer refers to.
pub(crate) struct InputBatch<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) ranges: &'a CopyRanges,
    pub(crate) sets: Sets,
    pub(crate) lineage: Lineage,
}

/// Reads tables sequentially.
pub(crate) struct Unpacker {
    tables: Bytes,
    at: usize,
    /// The bytes that the spans refer to.
    payload: Bytes,
    metadata: MetadataLimit,
}

impl Unpacker {
    /// Starts to read an area.
    pub(crate) fn new(area: &Bytes) -> Result<Self, String> {
        let length = area.first_chunk::<8>().map_or(0, |length| u64::from_ne_bytes(*length));
        let length = usize::try_from(length).ok().filter(|length| (8..=area.len()).contains(length));
        let length = length.ok_or("the tables of a batch are cut off")?;
        Ok(Self {
            tables: area.slice(..length),
            at: 8,
            payload: area.slice(length..),
            metadata: MetadataLimit::default(),
        })
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.tables.len());
        let end = end.ok_or("the tables of a batch are cut off")?;
        let bytes = &self.tables[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    pub(crate) fn number(&mut self) -> Result<u32, String> {
        self.take(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().expect("4 bytes are 4 bytes")))
    }

    pub(crate) fn long(&mut self) -> Result<u64, String> {
        self.take(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("8 bytes are 8 bytes")))
    }

    pub(crate) fn text(&mut self, what: &str) -> Result<String, String> {
        String::from_utf8(self.counted(NAME, what)?).map_err(|_| format!("{what} is not UTF-8"))
    }

    /// Counts a value that the caller is about to allocate.
    ///
    /// # Errors
    /// The metadata of the answer exceeds its limit.
    pub(crate) fn count<T>(&mut self) -> Result<(), String> {
        self.metadata.count::<T>(0)
    }

    /// A copy of bytes of the tables, counted as metadata.
    fn counted(&mut self, most: usize, what: &str) -> Result<Vec<u8>, String> {
        let length = self.blob(most, what)?.len();
        self.metadata.count::<()>(length)?;
        Ok(self.tables[self.at - length..self.at].to_vec())
    }

    /// Bytes of the tables.
    pub(crate) fn blob(&mut self, most: usize, what: &str) -> Result<&[u8], String> {
        let length = self.number()? as usize;
        if length > most {
            return Err(format!("{what} has {length} bytes, and may have {most}"));
        }
        self.take(length)
    }

    /// A part of the payload.
    pub(crate) fn piece(&mut self) -> Result<Bytes, String> {
        let (start, length) = (self.long()?, self.number()?);
        let end = start.checked_add(length.into()).filter(|end| *end <= self.payload.len() as u64);
        let end = end.ok_or("a part of the payload lies outside of its batch")?;
        Ok(self.payload.slice(start as usize..end as usize))
    }

    /// Reads a batch, over the bytes in place.
    pub(crate) fn batch(&mut self) -> Result<(Batch, Sets), String> {
        let flags = self.number()?;
        let (payload, mut sets) = (self.payload.clone(), Sets::default());
        let place = |span: Span| (span.buffer == 0 && within(span, &payload)).then_some(span);
        let mut parts = self.columns(flags, &mut sets, place)?;
        parts.buffers.push(payload);
        for _ in 0..self.number()? {
            let run = self.run()?;
            parts.runs.push(run);
        }
        covered(&parts)?;
        Ok((Batch::from_parts(parts), sets))
    }

    /// Reads a batch that was made from the input.
    pub(crate) fn derived(&mut self, input: &mut InputBatch<'_>) -> Result<Batch, String> {
        let flags = self.number()?;
        if flags & SAME != 0 {
            return Ok(input.batch.clone());
        }
        let (payload, mut hint) = (self.payload.clone(), 0);
        let own = input.batch.buffers().len() as u32;
        let place = |span: Span| match span.buffer {
            0 => input.ranges.origin(span.offset, span.length, &mut hint),
            1 if within(span, &payload) => Some(Span { buffer: own, ..span }),
            _ => None,
        };
        let mut parts = self.columns(flags, &mut input.sets, place)?;
        parts.buffers.extend_from_slice(input.batch.buffers());
        if !self.payload.is_empty() {
            parts.buffers.push(self.payload.clone());
        }
        let runs = input.batch.runs();
        let mut start = 0;
        for _ in 0..self.number()? {
            self.metadata.count::<Run>(0)?;
            let (end, number) = (self.number()?, self.number()? as usize);
            let known = runs.get(number).ok_or("an event has an unknown origin")?;
            let events = start as usize..end as usize;
            let lineage = parts.lineage.as_ref().and_then(|lineage| lineage.get(events));
            let lineage =
                lineage.ok_or("the events of a batch do not name the events they were made from")?;
            if !input.lineage.holds(input.batch, number, lineage) {
                return Err("an event names an event that is not in the input".into());
            }
            parts.runs.push(Run { end, origin: Arc::clone(&known.origin) });
            start = end;
        }
        covered(&parts)?;
        Ok(Batch::from_parts(parts))
    }

    fn columns(
        &mut self,
        flags: u32,
        sets: &mut Sets,
        mut place: impl FnMut(Span) -> Option<Span>,
    ) -> Result<Parts, String> {
        let count = self.number()? as usize;
        if count > EVENTS {
            return Err(format!("a batch has {count} events, and may have {EVENTS}"));
        }
        let events = self.spans(count, &mut place)?;
        let keys = match flags & KEYS {
            0 => None,
            _ => Some(self.spans(count, |span| if span.is_none() { Some(span) } else { place(span) })?),
        };
        let timestamps = match flags & TIMES {
            0 => None,
            _ => Some(chunks(self.take(count * 8)?).map(i64::from_ne_bytes).collect()),
        };
        let lineage = match flags & LINEAGE {
            0 => None,
            _ => Some(chunks(self.take(count * 4)?).map(u32::from_ne_bytes).collect()),
        };
        let attributes = match flags & ATTRIBUTES {
            0 => None,
            _ => Some(self.own_attributes(count, sets)?),
        };
        Ok(Parts { events, keys, timestamps, lineage, attributes, ..Parts::default() })
    }

    fn spans(
        &mut self,
        count: usize,
        mut place: impl FnMut(Span) -> Option<Span>,
    ) -> Result<Vec<Span>, String> {
        let entries = chunks::<{ size_of::<Span>() }>(self.take(count * size_of::<Span>())?);
        let number = |entry: &[u8; size_of::<Span>()], at: usize| {
            u32::from_ne_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        let mut spans = Vec::with_capacity(count);
        for entry in entries {
            let (buffer, offset, length) = (number(&entry, 0), number(&entry, 4), number(&entry, 8));
            match place(Span { buffer, offset, length }) {
                Some(span) => spans.push(span),
                None => return Err(format!("event {} lies outside of its batch", spans.len())),
            }
        }
        Ok(spans)
    }

    fn own_attributes(
        &mut self,
        count: usize,
        sets: &mut Sets,
    ) -> Result<Vec<Option<Arc<Attributes>>>, String> {
        for _ in 0..self.number()? {
            self.metadata.count::<Attributes>(size_of::<Arc<Attributes>>())?;
            let set = Arc::new(self.set()?);
            sets.add(&set);
        }
        let mut own = Vec::with_capacity(count);
        for set in chunks(self.take(count * 4)?).map(u32::from_ne_bytes) {
            own.push(match set {
                NO_SET => None,
                set => Some(Arc::clone(
                    sets.list.get(set as usize).ok_or("an event has an unknown set of attributes")?,
                )),
            });
        }
        Ok(own)
    }

    fn set(&mut self) -> Result<Attributes, String> {
        let (mut set, count) = (Attributes::default(), self.number()?);
        MetadataLimit::attributes(count as usize)?;
        for _ in 0..count {
            self.metadata.count::<(String, AttributeValue)>(0)?;
            let name = self.text("the name of an attribute")?;
            let value = match self.number()? {
                TEXT => {
                    let text = self.counted(METADATA_BYTES, "an attribute")?;
                    AttributeValue::Text(String::from_utf8(text).map_err(|_| "an attribute is not UTF-8")?)
                }
                INTEGER => AttributeValue::Integer(self.long()?.cast_signed()),
                FLOAT => AttributeValue::Float(f64::from_bits(self.long()?)),
                BOOLEAN => AttributeValue::Boolean(self.long()? != 0),
                other => return Err(format!("{other} is not a type of an attribute")),
            };
            set.set(name, value);
        }
        Ok(set)
    }

    fn run(&mut self) -> Result<Run, String> {
        self.metadata.count::<Run>(size_of::<Origin>())?;
        let (end, first, sequence) = (self.number()?, self.long()?, self.long()?);
        let (source, partition) = (self.text("a source")?, self.text("a partition")?);
        let there = self.number()? != 0;
        let position = Bytes::from(self.counted(NAME, "a position")?);
        let origin = Origin {
            source: source.into(),
            sequence,
            partition: partition.into(),
            position: there.then(|| Position::from_bytes(position)),
            first,
            attributes: Arc::new(self.set()?),
            ..Origin::default()
        };
        Ok(Run { end, origin: Arc::new(origin) })
    }
}

fn within(span: Span, payload: &Bytes) -> bool {
    span.offset as usize + span.length as usize <= payload.len()
}

/// The entries of a column.
fn chunks<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("a chunk is as long as it was asked for"))
}

/// Checks that the runs cover the events in order.
fn covered(parts: &Parts) -> Result<(), String> {
    let ends = parts.runs.iter().map(|run| run.end as usize);
    let last = parts.runs.last().map_or(0, |run| run.end as usize);
    if ends.is_sorted() && last == parts.events.len() {
        return Ok(());
    }
    Err("the origins of a batch do not cover its events".into())
}
