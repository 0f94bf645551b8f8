//! Entries of an outbox: numbered events, and the marks between them.

use bytes::Bytes;

use crate::coding::{Cursor, Malformed, put_bytes};

const MARK: u8 = 0x80;
const HAS_KEY: u8 = 1;
const HAS_TIMESTAMP: u8 = 2;
const HAS_ATTRIBUTES: u8 = 4;

/// An event that a filter emits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewEvent<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The key of the event.
    pub key: Option<&'a [u8]>,
    /// The timestamp of the event.
    pub timestamp: Option<i64>,
    /// Further metadata, opaque to the store.
    pub attributes: &'a [u8],
}

/// An event that is read from an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The number of the event in the outbox of its filter.
    pub number: u64,
    /// The payload.
    pub payload: Bytes,
    /// The key of the event.
    pub key: Option<Bytes>,
    /// The timestamp of the event.
    pub timestamp: Option<i64>,
    /// Further metadata, opaque to the store.
    pub attributes: Bytes,
}

/// A mark in an outbox: the watermark of the stage after the events before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMark {
    /// The watermark.
    pub watermark: i64,
    /// Further data, opaque to the store.
    pub attributes: Bytes,
}

/// An entry of an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxEntry {
    /// An event.
    Event(OutboxEvent),
    /// A mark.
    Mark(OutboxMark),
}

/// A place in an outbox. Reading moves it on; each entry is read once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCursor {
    /// The number of the next event.
    pub(crate) number: u64,
    /// Marks that were read since the event before `number`.
    pub(crate) marks: u64,
}

impl OutboxCursor {
    /// The place of the event with this number. Marks directly before the event are read first.
    pub fn at(number: u64) -> Self {
        Self { number, marks: 0 }
    }

    /// The number of the next event that is read.
    pub fn number(&self) -> u64 {
        self.number
    }
}

pub(crate) fn encode_event(out: &mut Vec<u8>, event: &NewEvent<'_>) {
    let mut flags = 0;
    if event.key.is_some() {
        flags |= HAS_KEY;
    }
    if event.timestamp.is_some() {
        flags |= HAS_TIMESTAMP;
    }
    if !event.attributes.is_empty() {
        flags |= HAS_ATTRIBUTES;
    }
    out.push(flags);
    put_bytes(out, event.payload);
    if let Some(key) = event.key {
        put_bytes(out, key);
    }
    if let Some(timestamp) = event.timestamp {
        out.extend_from_slice(&timestamp.to_le_bytes());
    }
    if !event.attributes.is_empty() {
        put_bytes(out, event.attributes);
    }
}

pub(crate) fn encode_mark(out: &mut Vec<u8>, watermark: i64, attributes: &[u8]) {
    out.push(MARK);
    out.extend_from_slice(&watermark.to_le_bytes());
    put_bytes(out, attributes);
}

/// An entry of the outbox, as slices of the bytes that it was decoded from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawOutboxEntry<'a> {
    Event(NewEvent<'a>),
    Mark(i64, &'a [u8]),
}

impl<'a> RawOutboxEntry<'a> {
    pub(crate) fn decode(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let flags = cursor.byte()?;
        if flags == MARK {
            return Ok(Self::Mark(cursor.i64()?, cursor.bytes()?));
        }
        if flags & !(HAS_KEY | HAS_TIMESTAMP | HAS_ATTRIBUTES) != 0 {
            return Err(Malformed);
        }
        let payload = cursor.bytes()?;
        let key = if flags & HAS_KEY == 0 { None } else { Some(cursor.bytes()?) };
        let timestamp = if flags & HAS_TIMESTAMP == 0 { None } else { Some(cursor.i64()?) };
        let attributes = if flags & HAS_ATTRIBUTES == 0 { &[][..] } else { cursor.bytes()? };
        Ok(Self::Event(NewEvent { payload, key, timestamp, attributes }))
    }

    /// Copies the entry. `share` turns a slice into shared bytes.
    pub(crate) fn to_entry(self, number: u64, share: impl Fn(&[u8]) -> Bytes) -> OutboxEntry {
        match self {
            Self::Event(NewEvent { payload, key, timestamp, attributes }) => {
                OutboxEntry::Event(OutboxEvent {
                    number,
                    payload: share(payload),
                    key: key.map(&share),
                    timestamp,
                    attributes: share(attributes),
                })
            }
            Self::Mark(watermark, attributes) => {
                OutboxEntry::Mark(OutboxMark { watermark, attributes: share(attributes) })
            }
        }
    }
}
