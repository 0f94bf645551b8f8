//! Writes batches for shared memory.

use std::io;

use tidegate_abi::{Attr, View, attribute};
use tidegate_sdk::{Batch, Error, Span};

use super::{ATTRIBUTES, FROM, GIVEN, KEYS, MADE, SAME, TEXTS, TIMES};
use crate::{Columns, CopyRanges, Encoder, RunEntry};

/// Memory that is reused from area to area.
#[derive(Default)]
pub struct Scratch {
    tables: Vec<u8>,
    encoder: Encoder,
}

/// Collects the tables and the payload of an area.
pub struct Packer<'a> {
    tables: Vec<u8>,
    encoder: Encoder,
    payload: Vec<&'a [u8]>,
    length: u64,
}

impl<'a> Packer<'a> {
    /// Starts an area.
    pub fn new(scratch: Scratch) -> Self {
        let Scratch { mut tables, encoder } = scratch;
        tables.clear();
        tables.extend_from_slice(&[0; 8]);
        Self { tables, encoder, payload: Vec::new(), length: 0 }
    }

    /// Writes a number.
    pub fn number(&mut self, number: u32) {
        self.tables.extend_from_slice(&number.to_ne_bytes());
    }

    /// Writes a large number.
    pub fn long(&mut self, number: u64) {
        self.tables.extend_from_slice(&number.to_ne_bytes());
    }

    /// Writes bytes and their length into the tables.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u32);
        self.tables.extend_from_slice(bytes);
    }

    /// Appends bytes to the payload, and writes their offset and length into the tables.
    pub fn piece(&mut self, bytes: &'a [u8]) {
        self.long(self.length);
        self.number(bytes.len() as u32);
        self.take(bytes);
    }

    fn take(&mut self, bytes: &'a [u8]) {
        self.payload.push(bytes);
        self.length += bytes.len() as u64;
    }

    /// Writes a batch with its origins. Returns the places of its bytes, with which an answer to it is read.
    ///
    /// # Errors
    /// The batch or its attributes have 4 GiB or more.
    pub fn batch(&mut self, batch: &'a Batch) -> io::Result<CopyRanges> {
        let (ranges, base) = self.payload_of(batch, 0)?;
        let place = |span: Span, hint: &mut usize| View {
            buf: GIVEN,
            off: base + ranges.place(span, hint),
            len: span.length,
        };
        let mut encoder = std::mem::take(&mut self.encoder);
        let (columns, texts) = encoder.whole_at(batch, TEXTS, Some(&place)).map_err(refused)?;
        self.columns(&columns, &texts);
        let runs = encoder.runs(batch);
        self.number(runs.len() as u32);
        runs.for_each(|run| self.run(&run));
        self.encoder = encoder;
        Ok(ranges)
    }

    /// Writes a batch that was made from `input`, a batch that [`crate::Unpacker::batch`] has read.
    ///
    /// # Errors
    /// As [`batch`](Self::batch), or an event was not made from `input`.
    pub fn derived(&mut self, batch: &'a Batch, input: &Batch) -> io::Result<()> {
        if std::ptr::eq(batch.spans(), input.spans()) {
            self.number(SAME);
            return Ok(());
        }
        let (ranges, base) = self.payload_of(batch, MADE)?;
        let place = |span: Span, hint: &mut usize| match span.buffer {
            GIVEN => View { buf: GIVEN, off: span.offset, len: span.length },
            _ => View { buf: MADE, off: base + ranges.place(span, hint), len: span.length },
        };
        let mut encoder = std::mem::take(&mut self.encoder);
        let (columns, texts) = encoder.derived(batch, input, TEXTS, Some(&place)).map_err(refused)?;
        self.columns(&columns, &texts);
        self.encoder = encoder;
        Ok(())
    }

    /// Appends the bytes of a batch in the buffers from number `first` on. Returns their places, relative to the returned
    /// offset.
    fn payload_of(&mut self, batch: &'a Batch, first: u32) -> io::Result<(CopyRanges, u32)> {
        let too_large = || io::Error::other("a batch has 4 GiB or more");
        let ranges = CopyRanges::of(batch, first).ok_or_else(too_large)?;
        let base = u32::try_from(self.length).map_err(|_| too_large())?;
        for range in ranges.list() {
            let buffer = &batch.buffers()[range.buffer as usize];
            self.take(&buffer[range.start as usize..range.end as usize]);
        }
        u32::try_from(self.length).map_err(|_| too_large())?;
        Ok((ranges, base))
    }

    fn columns(&mut self, columns: &Columns<'_>, texts: &[u8]) {
        let Columns { data, key, time, from, attr_end, attr } = *columns;
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let keys = flag(key.is_some(), KEYS);
        let times = flag(time.is_some(), TIMES);
        let attributes = flag(attr_end.is_some(), ATTRIBUTES);
        self.number(keys | times | attributes | flag(from.is_some(), FROM));
        self.number(data.len() as u32);
        self.column(data, view);
        self.column(key.unwrap_or_default(), view);
        self.column(time.unwrap_or_default(), i64::to_ne_bytes);
        self.column(from.unwrap_or_default(), u32::to_ne_bytes);
        self.column(attr_end.unwrap_or_default(), u32::to_ne_bytes);
        self.number(attr.len() as u32);
        self.column(attr, attr_bytes);
        self.bytes(texts);
    }

    fn column<T: Copy, const N: usize>(&mut self, column: &[T], bytes: impl Fn(T) -> [u8; N]) {
        let start = self.tables.len();
        self.tables.resize(start + column.len() * N, 0);
        for (value, entry) in column.iter().zip(self.tables[start..].chunks_exact_mut(N)) {
            entry.copy_from_slice(&bytes(*value));
        }
    }

    fn run(&mut self, run: &RunEntry<'_>) {
        let RunEntry { end, attr, n_attr, first, sequence, source, partition, position } = *run;
        [end, attr, n_attr].into_iter().for_each(|number| self.number(number));
        self.long(first);
        self.long(sequence);
        self.bytes(source);
        self.bytes(partition);
        self.number(position.is_some().into());
        self.bytes(position.unwrap_or_default());
    }

    /// The length of the area.
    pub fn length(&self) -> u64 {
        self.tables.len() as u64 + self.length
    }

    /// Writes the area piece by piece: `write` receives the offset of each piece within the area. Returns the memory for the
    /// next area.
    pub fn write(mut self, mut write: impl FnMut(u64, &[u8])) -> Scratch {
        let mut at = self.tables.len() as u64;
        self.tables[..8].copy_from_slice(&at.to_ne_bytes());
        write(0, &self.tables);
        for piece in &self.payload {
            write(at, piece);
            at += piece.len() as u64;
        }
        Scratch { tables: self.tables, encoder: self.encoder }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "used in `map_err`")]
fn refused(error: Error) -> io::Error {
    io::Error::other(error.message().to_owned())
}

fn view(view: View) -> [u8; size_of::<View>()] {
    let mut bytes = [0; size_of::<View>()];
    bytes[..4].copy_from_slice(&view.buf.to_ne_bytes());
    bytes[4..8].copy_from_slice(&view.off.to_ne_bytes());
    bytes[8..].copy_from_slice(&view.len.to_ne_bytes());
    bytes
}

/// An attribute: its name, its type, and its value, without the padding of the ABI.
fn attr_bytes(attr: Attr) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..12].copy_from_slice(&view(attr.name));
    bytes[12..16].copy_from_slice(&attr.kind.to_ne_bytes());
    // SAFETY: the encoder has set the value that the type names, and all but a text are 8 bytes.
    unsafe {
        match attr.kind {
            attribute::TEXT => bytes[16..].copy_from_slice(&view(attr.value.text)),
            _ => bytes[16..24].copy_from_slice(&attr.value.i.to_ne_bytes()),
        }
    }
    bytes
}
