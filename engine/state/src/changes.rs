//! Changes of one filter, collected for a commit.

use bytes::Bytes;
use tidegate_sdk::{Lane, Position, Record};

use crate::coding::{Cursor, Malformed, put_bytes, put_varint};
use crate::error::EntryTooLarge;
use crate::filter::FilterId;
use crate::options::MAX_ENTRY;
use crate::outbox::{NewEvent, encode_event, encode_mark};

/// Kinds of entries. The store keeps its own bookkeeping beside the filter's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// State of the filter.
    State = 0,
    /// Record of an input lane: source, partition.
    Record = 1,
    /// Clock of a source partition: source, partition.
    Clock = 2,
    /// Named bytes of the runtime.
    Meta = 3,
    /// Bookkeeping of the store, by name.
    System = 4,
}

/// Bit of an entry's tag that marks a deletion.
const DELETED: u8 = 0x80;
/// Names of [`Kind::System`].
pub(crate) const FINISHED: &[u8] = b"finished";

/// Clock of a source partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Greatest event time that was seen.
    pub greatest: Option<i64>,
    /// True if the partition is silent.
    pub silent: bool,
    /// True if the partition has ended.
    pub ended: bool,
}

/// Changes of one filter, collected for a commit. A later change of the same entry replaces an earlier one.
#[derive(Clone, Debug)]
pub struct Changes {
    pub(crate) filter: FilterId,
    pub(crate) entries: Vec<u8>,
    pub(crate) events: Vec<u8>,
    pub(crate) event_count: u32,
}

impl Changes {
    /// Begins an empty commit of `filter`.
    pub fn new(filter: FilterId) -> Self {
        Self { filter, entries: Vec::new(), events: Vec::new(), event_count: 0 }
    }

    /// The filter that changes.
    pub fn filter(&self) -> FilterId {
        self.filter
    }

    /// True if nothing changes.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty()
    }

    /// Size in bytes of the changes as they are written.
    pub fn size(&self) -> usize {
        self.entries.len() + self.events.len()
    }

    /// Number of events so far.
    pub fn events(&self) -> u32 {
        self.event_count
    }

    /// Removes every change, and keeps the buffers.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.events.clear();
        self.event_count = 0;
    }

    /// Sets an entry of the state.
    ///
    /// # Errors
    /// If the entry is larger than 64 KiB. Nothing is added.
    pub fn put(&mut self, key: &[u8], sub_key: &[u8], value: &[u8]) -> Result<(), EntryTooLarge> {
        self.write(Kind::State, key, sub_key, Some(value))
    }

    /// Deletes an entry of the state. Deleting an entry that does not exist changes nothing.
    pub fn delete(&mut self, key: &[u8], sub_key: &[u8]) {
        // An entry of this size was never accepted, so there is nothing to delete.
        let _ = self.write(Kind::State, key, sub_key, None);
    }

    /// Appends an event to the outbox. Events of a filter are numbered from 0 in the order of the calls.
    pub fn emit(&mut self, event: NewEvent<'_>) {
        encode_event(&mut self.events, &event);
        self.event_count += 1;
    }

    /// Appends a mark to the outbox. It takes no number.
    pub fn mark(&mut self, watermark: i64, attributes: &[u8]) {
        encode_mark(&mut self.events, watermark, attributes);
    }

    /// Sets the record of an input lane.
    ///
    /// # Errors
    /// If the position is larger than 64 KiB.
    pub fn record(&mut self, lane: &Lane, record: &Record) -> Result<(), EntryTooLarge> {
        let value = encode_record(record);
        self.write(Kind::Record, lane.source.as_bytes(), lane.partition.as_bytes(), Some(&value))
    }

    /// Sets the clock of a source partition.
    ///
    /// # Errors
    /// If the name of the partition is larger than 64 KiB.
    pub fn clock(&mut self, lane: &Lane, clock: Clock) -> Result<(), EntryTooLarge> {
        let value = encode_clock(clock);
        self.write(Kind::Clock, lane.source.as_bytes(), lane.partition.as_bytes(), Some(&value))
    }

    /// Deletes the record and the clock of a partition that is gone.
    pub fn forget(&mut self, lane: &Lane) {
        for kind in [Kind::Record, Kind::Clock] {
            let _ = self.write(kind, lane.source.as_bytes(), lane.partition.as_bytes(), None);
        }
    }

    /// Sets named bytes, such as the cursor of a closing in pieces; `None` deletes them.
    ///
    /// # Errors
    /// If name and bytes are larger than 64 KiB.
    pub fn meta(&mut self, name: &str, value: Option<&[u8]>) -> Result<(), EntryTooLarge> {
        self.write(Kind::Meta, name.as_bytes(), b"", value)
    }

    /// Notes that the run has ended, so that what is emitted at the end of the input comes once.
    pub fn finished(&mut self, finished: bool) {
        let value: Option<&[u8]> = if finished { Some(b"") } else { None };
        let _ = self.write(Kind::System, FINISHED, b"", value);
    }

    fn write(
        &mut self,
        kind: Kind,
        key: &[u8],
        sub_key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), EntryTooLarge> {
        let size = key.len() + sub_key.len() + value.map_or(0, <[u8]>::len);
        if size > MAX_ENTRY {
            return Err(EntryTooLarge::new(key, size));
        }
        encode_entry(&mut self.entries, kind, key, sub_key, value);
        Ok(())
    }
}

/// Appends an entry; without a value it is a deletion.
pub(crate) fn encode_entry(out: &mut Vec<u8>, kind: Kind, key: &[u8], sub_key: &[u8], value: Option<&[u8]>) {
    let deleted = if value.is_some() { 0 } else { DELETED };
    out.push(kind as u8 | deleted);
    put_bytes(out, key);
    put_bytes(out, sub_key);
    if let Some(value) = value {
        put_bytes(out, value);
    }
}

/// An entry, or its deletion, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) sub_key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> RawEntry<'a> {
    /// Decodes the next entry.
    pub(crate) fn decode(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let tag = cursor.byte()?;
        let kind = match tag & !DELETED {
            0 => Kind::State,
            1 => Kind::Record,
            2 => Kind::Clock,
            3 => Kind::Meta,
            4 => Kind::System,
            _ => return Err(Malformed),
        };
        let (key, sub_key) = (cursor.bytes()?, cursor.bytes()?);
        let value = if tag & DELETED == 0 { Some(cursor.bytes()?) } else { None };
        Ok(Self { kind, key, sub_key, value })
    }
}

fn encode_record(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, record.base);
    put_varint(&mut out, record.done);
    if let Some(position) = &record.position {
        out.push(1);
        out.extend_from_slice(position.as_bytes());
    } else {
        out.push(0);
    }
    out
}

pub(crate) fn decode_record(bytes: &[u8]) -> Result<Record, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let (base, done) = (cursor.varint()?, cursor.varint()?);
    let position = match cursor.byte()? {
        0 => None,
        _ => Some(Position::from_bytes(Bytes::copy_from_slice(cursor.take(cursor.remaining())?))),
    };
    Ok(Record { position, base, done })
}

fn encode_clock(clock: Clock) -> Vec<u8> {
    let flags = u8::from(clock.silent) | u8::from(clock.ended) << 1 | u8::from(clock.greatest.is_some()) << 2;
    let mut out = vec![flags];
    if let Some(greatest) = clock.greatest {
        out.extend_from_slice(&greatest.to_le_bytes());
    }
    out
}

pub(crate) fn decode_clock(bytes: &[u8]) -> Result<Clock, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let flags = cursor.byte()?;
    let greatest = if flags & 4 == 0 { None } else { Some(cursor.i64()?) };
    Ok(Clock { greatest, silent: flags & 1 != 0, ended: flags & 2 != 0 })
}
