//! Imports a batch of a library: checks everything in it before use.

pub(crate) mod handles;

use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Attr, Buf, Str, View, size_through};
use tidegate_sdk::{
    AttributeValue, Attributes, Batch, BatchBuilder, Position, SourceBatch, SourceRejection, Span,
};

use crate::boundary::export_batch::SharedBatch;
use crate::boundary::metadata::MetadataLimit;
use crate::library::tables::read;

/// The limit for events of a batch.
const EVENTS: u32 = 1 << 24;
/// The limit for buffers of a batch.
const BUFFERS: u32 = 1 << 16;
/// The limit for attributes of a batch.
const ATTRIBUTES: u32 = 1 << 24;
/// The limit for a name, partition or reason, in bytes.
const NAME: u64 = 4 << 10;
/// The limit for a position, in bytes.
const POSITION: u64 = 64 << 10;
/// The kept part of an event that exceeds the event size, in bytes.
const HEAD: usize = 64 << 10;

/// Imports a batch that a filter has emitted.
///
/// # Errors
/// The way in which it breaks the contract.
///
/// # Safety
/// `table` is null, or points to a batch whose pointers are valid as the header describes.
pub(crate) unsafe fn emitted(input: &SharedBatch, table: *const abi::Batch) -> Result<Batch, String> {
    // SAFETY: the caller guarantees it, here and below.
    let incoming = unsafe { ForeignBatch::read(table)? };
    let batch = &input.batch;
    let mut builder = batch.derive();
    if !input.texts.is_empty() {
        builder.add_buffer(input.texts.clone());
    }
    let texts = Some(&input.texts).filter(|texts| !texts.is_empty());
    let mut incoming =
        incoming.append_to(batch.buffers().iter().chain(texts).cloned().collect(), &mut builder);
    // SAFETY: as above.
    let from = unsafe { column(incoming.table.from, incoming.table.n, "from")? };
    let data = incoming.data()?;
    for (event, view) in data.iter().enumerate() {
        let made_from = from.map_or(event as u32, |from| from[event]) as usize;
        if made_from >= batch.len() {
            return Err(format!("event {event} says it was made from event {made_from} of {}", batch.len()));
        }
        builder.write_span(made_from, incoming.span(*view, || format!("event {event}"))?);
        incoming.metadata_of(event, &mut builder)?;
    }
    Ok(builder.finish())
}

/// Imports a batch that a source has read. Returns it with the source's number.
///
/// # Errors
/// The way in which it breaks the contract.
///
/// # Safety
/// As [`emitted`].
pub(crate) unsafe fn read_by_source(
    table: *const abi::Batch,
    event_size: usize,
) -> Result<(SourceBatch, u64), String> {
    // SAFETY: the caller guarantees it, here and below.
    let incoming = unsafe { ForeignBatch::read(table)? };
    let mut builder = Batch::builder();
    let mut incoming = incoming.append_to(Vec::new(), &mut builder);
    // SAFETY: as above.
    let receipts = unsafe { handles::handed_over(incoming.table.ack_handles, incoming.table.n)? };
    let (mut rejected, mut too_long) = (incoming.refused()?, Vec::new());
    for (event, view) in incoming.data()?.iter().enumerate() {
        let span = incoming.span(*view, || format!("event {event}"))?;
        if span.length as usize > event_size {
            let payload = incoming.bytes(Span { length: HEAD.min(event_size) as u32, ..span });
            let reason = format!("{} bytes are more than `event_size` allows ({event_size})", span.length);
            rejected.push(SourceRejection { payload, length: span.length.into(), reason });
            too_long.push(event);
            continue;
        }
        builder.push_span(span);
        incoming.metadata_of(event, &mut builder)?;
    }
    // SAFETY: as above.
    let partition = unsafe { text(incoming.table.partition, "the partition")? };
    builder.set_partition(partition.into());
    let position = incoming.table.position;
    if !position.p.is_null() {
        if position.n > POSITION {
            return Err(format!("a position has {} bytes, and may have {POSITION}", position.n));
        }
        // SAFETY: the caller guarantees it.
        let bytes = Bytes::copy_from_slice(unsafe { position.bytes() });
        builder.set_position(Position::from_bytes(bytes));
    }
    let common = incoming.attributes(incoming.own_end()..incoming.table.n_attr)?;
    let batch = builder.with_attributes(Arc::new(common)).finish();
    let read = SourceBatch::from(batch).with_rejected(rejected);
    let read = match receipts {
        Some(receipts) => read.with_receipts(handles::behind(receipts, &too_long)),
        None => read,
    };
    Ok((read, incoming.table.seq))
}

/// Calls `release` of the library once, when its buffers are no longer in use.
struct Release {
    release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    owner: *mut c_void,
}

// SAFETY: the contract lets `release` be called from any thread.
unsafe impl Send for Release {}
// SAFETY: shared references give no access; only the drop calls the library.
unsafe impl Sync for Release {}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: this is the only call, and no view into the buffers is left.
            unsafe { release(self.owner) };
        }
    }
}

/// A buffer of a library.
struct Buffer {
    bytes: Buf,
    _release: Arc<Release>,
}

// SAFETY: the contract says that the bytes do not change until `release`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bytes are valid until `_release` is dropped.
        unsafe { self.bytes.bytes() }
    }
}

/// A table that was read, with the duty to release its buffers.
struct ForeignBatch {
    table: abi::Batch,
    /// The buffers that views refer to: those of the input, if there is one, and the batch's own.
    buffers: Vec<Bytes>,
    ends: Option<Vec<u32>>,
    keys: Option<Vec<View>>,
    times: Option<Vec<i64>>,
    metadata: MetadataLimit,
}

impl ForeignBatch {
    /// Reads a batch and takes it over: it is released once, whatever is in it.
    unsafe fn read(table: *const abi::Batch) -> Result<Self, String> {
        // SAFETY: the caller guarantees it, here and below.
        let table = unsafe { read(table, size_through!(abi::Batch, owner), "a batch")? };
        let release = Arc::new(Release { release: table.release, owner: table.owner });
        if table.n > EVENTS || table.n_buf > BUFFERS || table.n_attr > ATTRIBUTES || table.n_refused > EVENTS
        {
            return Err(format!(
                "a batch of {} events, {} buffers and {} attributes is beyond what is allowed ({EVENTS}, {BUFFERS}, {ATTRIBUTES})",
                table.n, table.n_buf, table.n_attr
            ));
        }
        if table.n_common > table.n_attr {
            return Err(format!("{} of {} attributes cannot be common", table.n_common, table.n_attr));
        }
        let mut buffers = Vec::with_capacity(table.n_buf as usize);
        // SAFETY: as above.
        for bytes in unsafe { column(table.buf, table.n_buf, "buf")? }.unwrap_or_default() {
            if (bytes.p.is_null() && bytes.n > 0) || bytes.n > u64::from(u32::MAX) {
                return Err(format!("buffer {} is not {} bytes", buffers.len(), bytes.n));
            }
            buffers.push(Bytes::from_owner(Buffer { bytes: *bytes, _release: Arc::clone(&release) }));
        }
        if buffers.len() < table.n_buf as usize {
            return Err("`buf` is NULL".into());
        }
        // SAFETY: as above.
        let ends = unsafe { column(table.attr_end, table.n, "attr_end")? };
        let mut last = 0;
        for end in ends.into_iter().flatten() {
            if *end < last || *end > table.n_attr - table.n_common {
                return Err(format!("`attr_end` is not in order: {end} after {last}"));
            }
            last = *end;
        }
        Ok(Self {
            buffers,
            ends: ends.map(<[u32]>::to_vec),
            // SAFETY: as above.
            keys: unsafe { column(table.key, table.n, "key")? }.map(<[View]>::to_vec),
            // SAFETY: as above.
            times: unsafe { column(table.time, table.n, "time")? }.map(<[i64]>::to_vec),
            metadata: MetadataLimit::default(),
            table,
        })
    }

    /// Appends the batch's own buffers to `all`, the buffers that `builder` has.
    fn append_to(mut self, mut all: Vec<Bytes>, builder: &mut BatchBuilder) -> Self {
        for buffer in &self.buffers {
            builder.add_buffer(buffer.clone());
        }
        all.append(&mut self.buffers);
        self.buffers = all;
        self
    }

    fn data<'a>(&self) -> Result<&'a [View], String> {
        // SAFETY: the table guarantees this number of entries for the call.
        let data = unsafe { column(self.table.data, self.table.n, "data")? };
        match data {
            None if self.table.n > 0 => Err("`data` is NULL".into()),
            data => Ok(data.unwrap_or_default()),
        }
    }

    /// Checks that a view lies within its buffer.
    fn span(&self, view: View, what: impl Fn() -> String) -> Result<Span, String> {
        let end = u64::from(view.off) + u64::from(view.len);
        match self.buffers.get(view.buf as usize).map(Bytes::len) {
            Some(length) if end <= length as u64 => {
                Ok(Span { buffer: view.buf, offset: view.off, length: view.len })
            }
            Some(length) => {
                Err(format!("{} ends at byte {end} of buffer {}, which has {length}", what(), view.buf))
            }
            None => Err(format!("{} lies in buffer {} of {}", what(), view.buf, self.buffers.len())),
        }
    }

    /// The bytes of a span that [`span`](Self::span) has checked.
    fn bytes(&self, span: Span) -> Bytes {
        let start = span.offset as usize;
        self.buffers[span.buffer as usize].slice(start..start + span.length as usize)
    }

    /// Sets key, time and attributes of the event that was added last.
    fn metadata_of(&mut self, event: usize, builder: &mut BatchBuilder) -> Result<(), String> {
        if let Some(keys) = &self.keys {
            builder.key_span(match keys[event].buf {
                abi::NONE => Span::NONE,
                _ => self.span(keys[event], || format!("the key of event {event}"))?,
            });
        }
        if let Some(times) = &self.times {
            builder.timestamp(times[event]);
        }
        if let Some(ends) = &self.ends {
            let start = if event == 0 { 0 } else { ends[event - 1] };
            builder.attributes(Arc::new(self.attributes(start..ends[event])?));
        }
        Ok(())
    }

    /// The end of the attributes of single events, and the start of those of all events.
    fn own_end(&self) -> u32 {
        self.table.n_attr - self.table.n_common
    }

    fn attributes(&mut self, range: std::ops::Range<u32>) -> Result<Attributes, String> {
        // SAFETY: the table guarantees this number of entries for the call.
        let all = unsafe { column(self.table.attr, self.table.n_attr, "attr")? };
        let all = match all {
            None if self.table.n_attr > 0 => return Err("`attr` is NULL".into()),
            all => all.unwrap_or_default(),
        };
        MetadataLimit::attributes(range.len())?;
        let mut attributes = Attributes::default();
        for attribute in &all[range.start as usize..range.end as usize] {
            self.metadata.count::<(String, AttributeValue)>(0)?;
            let name = self.attribute_text(attribute.name)?;
            attributes.set(name, self.attribute_value(attribute)?);
        }
        Ok(attributes)
    }

    fn attribute_value(&mut self, attribute: &Attr) -> Result<AttributeValue, String> {
        // SAFETY: any bits are a valid value of each of these types.
        unsafe {
            Ok(match attribute.kind {
                abi::attribute::TEXT => AttributeValue::Text(self.attribute_text(attribute.value.text)?),
                abi::attribute::INTEGER => AttributeValue::Integer(attribute.value.i),
                abi::attribute::FLOAT => AttributeValue::Float(attribute.value.f),
                abi::attribute::BOOLEAN => AttributeValue::Boolean(attribute.value.i != 0),
                other => return Err(format!("{other} is not a type of an attribute")),
            })
        }
    }

    fn attribute_text(&mut self, view: View) -> Result<String, String> {
        let span = self.span(view, || "an attribute".into())?;
        self.metadata.count::<()>(span.length as usize)?;
        String::from_utf8(self.bytes(span).to_vec()).map_err(|_| "an attribute is not UTF-8".into())
    }

    fn refused(&self) -> Result<Vec<SourceRejection>, String> {
        // SAFETY: the table guarantees this number of entries for the call.
        let refused = unsafe { column(self.table.refused, self.table.n_refused, "refused")? };
        let refused = refused.unwrap_or_default().iter().map(|one| {
            let span = self.span(one.data, || "refused input".into())?;
            // SAFETY: as above.
            let reason = unsafe { text(one.reason, "a reason")? };
            Ok(SourceRejection { payload: self.bytes(span), length: one.length, reason })
        });
        refused.collect()
    }
}

/// A column of a table, if the table has it.
///
/// # Safety
/// It is NULL, or points to this number of entries.
unsafe fn column<'a, T>(entries: *const T, count: u32, what: &str) -> Result<Option<&'a [T]>, String> {
    match (entries.is_null(), entries.is_aligned()) {
        (true, _) => Ok(None),
        (false, false) => Err(format!("`{what}` is not aligned")),
        // SAFETY: the caller guarantees it.
        (false, true) => Ok(Some(unsafe { std::slice::from_raw_parts(entries, count as usize) })),
    }
}

/// Reads a text of a library.
///
/// # Safety
/// It points to as many bytes as it says.
pub(crate) unsafe fn text(text: Str, what: &str) -> Result<String, String> {
    if text.n > NAME || (text.p.is_null() && text.n > 0) {
        return Err(format!("{what} has {} bytes, and may have {NAME}", text.n));
    }
    // SAFETY: the caller guarantees it, and it is not null.
    let bytes = unsafe { text.bytes() };
    String::from_utf8(bytes.to_vec()).map_err(|_| format!("{what} is not UTF-8"))
}

#[cfg(test)]
mod tests;
