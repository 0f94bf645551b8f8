//! Reads batches from shared memory, and checks everything before use.

use std::ops::Range;

use bytes::Bytes;
use tidegate_abi::{Attr, AttrValue, NONE, View, attribute};
use tidegate_sdk::{AckHandles, Batch, SourceBatch, SourceRejection};

use super::{ATTRIBUTES, FROM, GIVEN, KEYS, MADE, SAME, TEXTS, TIMES};
use crate::{Columns, CopyRanges, EVENTS, Incoming, MetadataLimit, Names, RunEntry};

/// The limit for a name, partition, reason or position, in bytes.
const NAME: usize = 64 << 10;

/// Reads tables sequentially.
pub struct Unpacker {
    tables: Bytes,
    at: usize,
    /// The bytes that the views refer to.
    payload: Bytes,
    metadata: MetadataLimit,
}

/// The columns of one batch.
struct Table {
    data: Vec<View>,
    key: Option<Vec<View>>,
    time: Option<Vec<i64>>,
    from: Option<Vec<u32>>,
    attr_end: Option<Vec<u32>>,
    attr: Vec<Attr>,
    texts: Bytes,
}

impl Table {
    fn columns(&self) -> Columns<'_> {
        Columns {
            data: &self.data,
            key: self.key.as_deref(),
            time: self.time.as_deref(),
            from: self.from.as_deref(),
            attr_end: self.attr_end.as_deref(),
            attr: &self.attr,
        }
    }

    /// Replaces the views of attributes, which all lie in the buffer of texts, by views of buffer number `texts`.
    fn renumber(&mut self, texts: u32) {
        let moved = |view: View| if view.buf == TEXTS { View { buf: texts, ..view } } else { NOWHERE };
        for attr in &mut self.attr {
            attr.name = moved(attr.name);
            if attr.kind == attribute::TEXT {
                // SAFETY: `attr` has set the text of this type.
                attr.value = AttrValue { text: moved(unsafe { attr.value.text }) };
            }
        }
    }
}

/// A view that lies in no buffer.
const NOWHERE: View = View { buf: NONE - 1, off: 0, len: 0 };

/// The origin of some events, whose bytes lie in these ranges of the tables.
struct Entry {
    numbers: [u32; 3],
    first: u64,
    sequence: u64,
    source: Range<usize>,
    partition: Range<usize>,
    position: Option<Range<usize>>,
}

impl Entry {
    fn over<'a>(&self, tables: &'a [u8]) -> RunEntry<'a> {
        let [end, attr, n_attr] = self.numbers;
        RunEntry {
            end,
            attr,
            n_attr,
            first: self.first,
            sequence: self.sequence,
            source: &tables[self.source.clone()],
            partition: &tables[self.partition.clone()],
            position: self.position.clone().map(|range| &tables[range]),
        }
    }
}

impl Unpacker {
    /// Starts to read an area.
    ///
    /// # Errors
    /// It is not an area of a [`crate::Packer`].
    pub fn new(area: &Bytes, metadata: MetadataLimit) -> Result<Self, String> {
        let length = area.first_chunk::<8>().map_or(0, |length| u64::from_ne_bytes(*length));
        let length = usize::try_from(length).ok().filter(|length| (8..=area.len()).contains(length));
        let length = length.ok_or(CUT_OFF)?;
        Ok(Self { tables: area.slice(..length), at: 8, payload: area.slice(length..), metadata })
    }

    fn range(&mut self, length: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.tables.len());
        let range = self.at..end.ok_or(CUT_OFF)?;
        self.at = range.end;
        Ok(range)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let range = self.range(length)?;
        Ok(&self.tables[range])
    }

    /// Reads a number.
    ///
    /// # Errors
    /// The tables are cut off, here and below.
    pub fn number(&mut self) -> Result<u32, String> {
        self.take(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().expect("4 bytes are 4 bytes")))
    }

    /// Reads a large number.
    ///
    /// # Errors
    /// As [`number`](Self::number).
    pub fn long(&mut self) -> Result<u64, String> {
        self.take(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("8 bytes are 8 bytes")))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It is too long or not UTF-8.
    pub fn text(&mut self, what: &str) -> Result<String, String> {
        let range = self.blob_range(NAME, what)?;
        self.metadata.count::<()>(range.len())?;
        String::from_utf8(self.tables[range].to_vec()).map_err(|_| format!("{what} is not UTF-8"))
    }

    /// Counts a value that the caller is about to allocate.
    ///
    /// # Errors
    /// The metadata of the answer exceeds its limit.
    pub fn count<T>(&mut self) -> Result<(), String> {
        self.metadata.count::<T>(0)
    }

    /// Reads bytes of the tables.
    pub(crate) fn blob(&mut self, most: usize, what: &str) -> Result<&[u8], String> {
        let range = self.blob_range(most, what)?;
        Ok(&self.tables[range])
    }

    fn blob_range(&mut self, most: usize, what: &str) -> Result<Range<usize>, String> {
        let length = self.number()? as usize;
        if length > most {
            return Err(format!("{what} has {length} bytes, and may have {most}"));
        }
        self.range(length)
    }

    /// Reads a part of the payload.
    ///
    /// # Errors
    /// It lies outside of the payload.
    pub fn piece(&mut self) -> Result<Bytes, String> {
        let (start, length) = (self.long()?, self.number()?);
        let end = start.checked_add(length.into()).filter(|end| *end <= self.payload.len() as u64);
        let end = end.ok_or("a part of the payload lies outside of its batch")?;
        Ok(self.payload.slice(start as usize..end as usize))
    }

    /// Reads a batch of the engine.
    ///
    /// # Errors
    /// The bytes are not a batch.
    pub fn batch(&mut self, names: &mut Names) -> Result<Batch, String> {
        let (table, buffers, entries) = self.whole()?;
        let runs: Vec<RunEntry<'_>> = entries.iter().map(|entry| entry.over(&self.tables)).collect();
        Incoming::new(table.columns(), buffers, &mut self.metadata)?.batch(&runs, names)
    }

    /// Reads the batch of a source.
    ///
    /// # Errors
    /// The bytes are not a batch of one origin, or there are not enough acknowledgement handles.
    pub fn source_batch(
        &mut self,
        rejected: Vec<SourceRejection>,
        handles: Option<AckHandles>,
        event_size: usize,
    ) -> Result<SourceBatch, String> {
        let (table, buffers, entries) = self.whole()?;
        let [only] = &*entries else { return Err("a batch is not one of a source".into()) };
        let run = only.over(&self.tables);
        let incoming = Incoming::new(table.columns(), buffers, &mut self.metadata)?;
        incoming.source_batch(&run, rejected, handles, event_size)
    }

    /// Reads a batch that was made from `input`, whose bytes the other side has at the places `ranges`.
    ///
    /// # Errors
    /// The bytes are not a batch that was made from it.
    pub fn derived(&mut self, input: &Batch, ranges: &CopyRanges) -> Result<Batch, String> {
        let flags = self.number()?;
        if flags & SAME != 0 {
            return Ok(input.clone());
        }
        let mut table = self.columns(flags)?;
        let own = input.buffers().len() as u32;
        table.renumber(own + 1);
        for column in [Some(&mut table.data), table.key.as_mut()].into_iter().flatten() {
            let mut hint = 0;
            for view in column {
                *view = match view.buf {
                    GIVEN => ranges.origin(view.off, view.len, &mut hint).map_or(NOWHERE, |span| View {
                        buf: span.buffer,
                        off: span.offset,
                        len: span.length,
                    }),
                    MADE => View { buf: own, ..*view },
                    NONE => *view,
                    _ => NOWHERE,
                };
            }
        }
        let mut buffers = input.buffers().to_vec();
        buffers.extend([self.payload.clone(), table.texts.clone()]);
        Incoming::new(table.columns(), buffers, &mut self.metadata)?.derived(input)
    }

    /// The columns, buffers and origins of a batch that is not derived.
    fn whole(&mut self) -> Result<(Table, Vec<Bytes>, Vec<Entry>), String> {
        let flags = self.number()?;
        let mut table = self.columns(flags)?;
        table.renumber(1);
        let count = self.number()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            self.metadata.count::<(Entry, tidegate_sdk::Run, tidegate_sdk::Origin)>(0)?;
            entries.push(self.entry()?);
        }
        let buffers = vec![self.payload.clone(), table.texts.clone()];
        Ok((table, buffers, entries))
    }

    fn columns(&mut self, flags: u32) -> Result<Table, String> {
        let count = self.number()? as usize;
        if count > EVENTS as usize {
            return Err(format!("a batch has {count} events, and may have {EVENTS}"));
        }
        let of = |flag: u32| if flags & flag == 0 { None } else { Some(count) };
        Ok(Table {
            data: self.column(count, view)?,
            key: of(KEYS).map(|count| self.column(count, view)).transpose()?,
            time: of(TIMES)
                .map(|count| self.column(count, |bytes| i64::from_ne_bytes(*bytes)))
                .transpose()?,
            from: of(FROM).map(|count| self.column(count, |bytes| u32::from_ne_bytes(*bytes))).transpose()?,
            attr_end: of(ATTRIBUTES)
                .map(|count| self.column(count, |bytes| u32::from_ne_bytes(*bytes)))
                .transpose()?,
            attr: {
                let count = self.number()? as usize;
                self.column(count, attr)?
            },
            texts: {
                // A copy, so that the batch does not keep the tables.
                let longest = self.metadata.longest();
                Bytes::copy_from_slice(self.blob(longest, "the attributes of a batch")?)
            },
        })
    }

    fn column<T, const N: usize>(
        &mut self,
        count: usize,
        value: fn(&[u8; N]) -> T,
    ) -> Result<Vec<T>, String> {
        let bytes = self.take(count.checked_mul(N).ok_or(CUT_OFF)?)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(value).collect())
    }

    fn entry(&mut self) -> Result<Entry, String> {
        let numbers = [self.number()?, self.number()?, self.number()?];
        let (first, sequence) = (self.long()?, self.long()?);
        let source = self.blob_range(NAME, "a source")?;
        let partition = self.blob_range(NAME, "a partition")?;
        let has_position = self.number()? != 0;
        let position = self.blob_range(NAME, "a position")?;
        self.metadata.count::<()>(source.len() + partition.len() + position.len())?;
        Ok(Entry { numbers, first, sequence, source, partition, position: has_position.then_some(position) })
    }
}

const CUT_OFF: &str = "the tables of a batch are cut off";

fn view(bytes: &[u8; size_of::<View>()]) -> View {
    let number = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    View { buf: number(0), off: number(4), len: number(8) }
}

/// As [`super::pack`] writes it.
fn attr(bytes: &[u8; 28]) -> Attr {
    let (name, rest) = bytes.split_first_chunk().expect("28 bytes are more than 12");
    let (kind, value) = rest.split_first_chunk().expect("16 bytes are more than 4");
    let kind = u32::from_ne_bytes(*kind);
    let value = match kind {
        attribute::TEXT => AttrValue { text: view(value.first_chunk().expect("12 bytes are 12")) },
        _ => AttrValue { i: i64::from_ne_bytes(*value.first_chunk().expect("12 bytes are more than 8")) },
    };
    Attr { name: view(name), kind, value }
}
