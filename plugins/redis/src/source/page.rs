//! The replies to reads of a stream. Entries point into the reply. Pure.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::server::resp::{Cursor, Item, Malformed};

/// The id of an entry: milliseconds, and a number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u64, pub(crate) u64);

impl Id {
    /// Parses an id.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        let (time, number) = text.split_once('-').ok_or(Malformed)?;
        Ok(Self(time.parse().map_err(|_| Malformed)?, number.parse().map_err(|_| Malformed)?))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.0, self.1)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).map_err(|Malformed| D::Error::custom("it is not the id of an entry"))
    }
}

/// An entry of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    /// The number of its deliveries, including this one.
    pub(crate) deliveries: u64,
    /// The position of its fields: names and values in turn.
    fields: Range<usize>,
    count: usize,
}

/// The entries of one read.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The reply.
    pub(crate) bytes: Bytes,
    pub(crate) entries: Vec<Entry>,
    /// Pending entries that are no longer in the stream.
    pub(crate) trimmed: Vec<Id>,
    /// The last id in the reply.
    pub(crate) last: Option<Id>,
    /// The id at which the next take-over continues.
    pub(crate) next: Id,
}

/// A reply without entries.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// An error of the server.
    Error(String),
    /// A reply that does not fit the command.
    Malformed,
}

impl From<Malformed> for Refusal {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl Page {
    /// Parses the reply to XREADGROUP or XREAD.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, Refusal> {
        let mut page = Self { bytes: bytes.clone(), ..Self::default() };
        let mut cursor = Cursor::new(bytes);
        match opening(bytes, &mut cursor)? {
            None | Some(0) => return Ok(page),
            Some(1) => {}
            Some(_) => return Err(Refusal::Malformed),
        }
        if cursor.array()? != Some(2) {
            return Err(Refusal::Malformed);
        }
        cursor.skip()?;
        page.entries(bytes, &mut cursor)?;
        Ok(page)
    }

    /// Parses the reply to XAUTOCLAIM.
    pub(crate) fn claimed(bytes: &Bytes) -> Result<Self, Refusal> {
        let mut page = Self { bytes: bytes.clone(), ..Self::default() };
        let mut cursor = Cursor::new(bytes);
        let parts = opening(bytes, &mut cursor)?.unwrap_or(0);
        if parts < 2 {
            return Err(Refusal::Malformed);
        }
        page.next = Id::parse(&bytes[cursor.bulk()?])?;
        page.entries(bytes, &mut cursor)?;
        // Redis 7 removes trimmed entries from the pending ones, and names them.
        for _ in 0..if parts > 2 { cursor.array()?.unwrap_or(0) } else { 0 } {
            let id = cursor.bulk()?;
            page.trimmed.push(Id::parse(&bytes[id])?);
        }
        Ok(page)
    }

    fn entries(&mut self, bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
        for _ in 0..cursor.array()?.unwrap_or(0) {
            // Redis 6.2 answers null for a claimed entry that was trimmed.
            let Some(2) = cursor.array()? else { continue };
            let id = Id::parse(&bytes[cursor.bulk()?])?;
            self.last = Some(id);
            let Some(count) = cursor.array()? else {
                self.trimmed.push(id);
                continue;
            };
            let start = cursor.at();
            for _ in 0..count {
                cursor.bulk()?;
            }
            self.entries.push(Entry { id, deliveries: 1, fields: start..cursor.at(), count });
        }
        Ok(())
    }

    /// The positions of an entry's names and values in the reply.
    pub(crate) fn fields(&self, entry: &Entry) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let mut cursor = Cursor::from(&self.bytes, entry.fields.start);
        // The parse has read all of them, so none is missing.
        (0..entry.count / 2).map_while(move |_| Some((cursor.bulk().ok()?, cursor.bulk().ok()?)))
    }
}

/// Parses the reply to XPENDING: ids and their numbers of deliveries.
pub(crate) fn deliveries(bytes: &Bytes) -> Result<Vec<(Id, u64)>, Refusal> {
    let mut cursor = Cursor::new(bytes);
    let mut found = Vec::new();
    for _ in 0..opening(bytes, &mut cursor)?.unwrap_or(0) {
        if cursor.array()? != Some(4) {
            return Err(Refusal::Malformed);
        }
        let id = Id::parse(&bytes[cursor.bulk()?])?;
        cursor.skip()?;
        cursor.skip()?;
        let Item::Integer(count) = cursor.next()? else { return Err(Refusal::Malformed) };
        found.push((id, count.unsigned_abs()));
    }
    Ok(found)
}

/// Parses the start of a reply that is an array. Returns its length, or `None` for null.
pub(crate) fn opening(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Option<usize>, Refusal> {
    match cursor.next()? {
        Item::Array(length) => Ok(Some(length)),
        Item::Null => Ok(None),
        Item::Line { error: true, text } => {
            Err(Refusal::Error(String::from_utf8_lossy(&bytes[text]).into_owned()))
        }
        _ => Err(Refusal::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lie_in_the_reply() {
        let reply = b"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$2\r\nxy\r\n*2\r\n$3\r\n2-5\r\n*-1\r\n";
        let page = Page::read(&Bytes::from_static(reply)).unwrap();
        assert_eq!((page.trimmed.as_slice(), page.last), ([Id(2, 5)].as_slice(), Some(Id(2, 5))));
        let (name, value) = page.fields(&page.entries[0]).next().unwrap();
        assert_eq!((&page.bytes[name], &page.bytes[value]), (b"a".as_slice(), b"xy".as_slice()));
        assert!(Page::read(&Bytes::from_static(b"*-1\r\n")).unwrap().entries.is_empty());
    }

    #[test]
    fn other_replies_are_refused() {
        let error = Page::read(&Bytes::from_static(b"-NOGROUP none\r\n")).unwrap_err();
        assert_eq!(error, Refusal::Error("NOGROUP none".to_owned()));
        for reply in ["+OK\r\n", "*2\r\n:1\r\n:2\r\n", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$1\r\nx\r\n*0\r\n"]
        {
            assert_eq!(Page::read(&Bytes::from(reply)).unwrap_err(), Refusal::Malformed, "{reply}");
        }
    }
}
