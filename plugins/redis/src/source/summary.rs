//! The state of a stream as a whole: the reply to XINFO STREAM. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::server::resp::{Cursor, Item, Malformed};
use crate::server::slot::checksum;
use crate::source::page::{Id, Refusal, opening};

/// The state of a stream as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The number of entries.
    pub(crate) length: u64,
    /// The largest id that the stream has ever had.
    pub(crate) newest: Id,
    /// The first entry.
    pub(crate) first: Option<Mark>,
    /// The number of entries that were ever added. Redis 7 and later count them.
    pub(crate) added: Option<u64>,
    /// The largest id that was deleted, other than by trimming. Redis 7 and later know it.
    pub(crate) deleted: Option<Id>,
}

/// An entry, by its id and the checksum of its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark(pub(crate) Id, pub(crate) u16);

impl Summary {
    /// Parses the reply to XINFO STREAM. `None` if there is no stream.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Option<Self>, Refusal> {
        let mut cursor = Cursor::new(bytes);
        let length = match opening(bytes, &mut cursor) {
            Err(Refusal::Error(text)) if text.starts_with("ERR no such key") => return Ok(None),
            length => length?.ok_or(Malformed)?,
        };
        let mut summary = Self::default();
        for _ in 0..length / 2 {
            let name = cursor.bulk()?;
            match &bytes[name] {
                b"length" => summary.length = number(&mut cursor)?,
                b"entries-added" => summary.added = Some(number(&mut cursor)?),
                b"last-generated-id" => summary.newest = Id::parse(&bytes[cursor.bulk()?])?,
                b"max-deleted-entry-id" => summary.deleted = Some(Id::parse(&bytes[cursor.bulk()?])?),
                b"first-entry" => summary.first = first(bytes, &mut cursor)?,
                _ => cursor.skip()?,
            }
        }
        Ok(Some(summary))
    }

    /// The number of entries that were removed: trimmed or deleted.
    pub(crate) fn removed(&self) -> Option<u64> {
        self.added.map(|added| added.saturating_sub(self.length))
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<u64, Malformed> {
    match cursor.next()? {
        Item::Integer(number) => u64::try_from(number).map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

fn first(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Option<Mark>, Malformed> {
    if cursor.array()? != Some(2) {
        return Ok(None);
    }
    let id = Id::parse(&bytes[cursor.bulk()?])?;
    let start = cursor.at();
    cursor.skip()?;
    Ok(Some(Mark(id, checksum(&bytes[start..cursor.at()]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let reply = b"*10\r\n$6\r\nlength\r\n:2\r\n$15\r\nradix-tree-keys\r\n:1\r\n$17\r\nlast-generated-id\r\n$3\r\n9-1\r\n\
            $13\r\nentries-added\r\n:7\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        let summary = Summary::parse(&Bytes::from_static(reply)).unwrap().unwrap();
        assert_eq!((summary.length, summary.newest, summary.removed()), (2, Id(9, 1), Some(5)));
        assert_eq!(summary.first.unwrap().0, Id(3, 0));
        let other = String::from_utf8_lossy(reply).replace("$1\r\nb", "$1\r\nc");
        let other = Summary::parse(&Bytes::from(other)).unwrap().unwrap();
        assert_ne!(other.first, summary.first, "the contents differ");
    }

    #[test]
    fn missing_stream_is_no_error() {
        assert_eq!(Summary::parse(&Bytes::from_static(b"-ERR no such key\r\n")), Ok(None));
        let refused = Summary::parse(&Bytes::from_static(b"-WRONGTYPE no\r\n"));
        assert_eq!(refused, Err(Refusal::Error("WRONGTYPE no".to_owned())));
        assert_eq!(Summary::parse(&Bytes::from_static(b"*2\r\n:1\r\n:1\r\n")), Err(Refusal::Malformed));
    }
}
