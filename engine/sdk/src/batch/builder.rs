//! The builder of batches: a source builds one from new bytes, a filter from another batch.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::batch::{Attributes, Batch, Columns, Origin, Run, Span};
use crate::{BATCH_BYTES, BATCH_EVENTS, Position};

const NO_TIME: i64 = i64::MIN;

/// Collects the events of one batch.
///
/// A source pushes fresh payloads. A filter gets one from [`Batch::derive`] and, going through the batch's
/// events in any order, [`keep`](Self::keep)s them or [`write`](Self::write)s new payloads in their place.
/// Whatever is not mentioned is dropped on purpose.
#[derive(Debug)]
pub struct BatchBuilder {
    columns: Columns,
    parent: Option<Batch>,
    /// Payloads that were written rather than shared; becomes the last buffer.
    written: BytesMut,
    written_buffer: u32,
    origin: Origin,
    /// The parent's run that the builder's last run stands for.
    last_run: usize,
    /// True if an event lies in a buffer of the parent.
    shares: bool,
}

impl BatchBuilder {
    pub(crate) fn new() -> Self {
        Self {
            columns: Columns::default(),
            parent: None,
            written: BytesMut::new(),
            written_buffer: u32::MAX,
            origin: Origin::default(),
            last_run: usize::MAX,
            shares: false,
        }
    }

    pub(crate) fn from_batch(batch: &Batch) -> Self {
        let mut builder = Self::new();
        builder.columns.buffers.clone_from(&batch.columns.buffers);
        builder.columns.sources.clone_from(&batch.columns.sources);
        builder.columns.events.reserve(batch.len());
        builder.columns.lineage = Some(Vec::with_capacity(batch.len()));
        builder.parent = Some(batch.clone());
        builder
    }

    /// Number of events so far.
    pub fn len(&self) -> usize {
        self.columns.events.len()
    }

    /// Returns true if no event was added yet.
    pub fn is_empty(&self) -> bool {
        self.columns.events.is_empty()
    }

    /// Payload bytes so far.
    pub fn bytes(&self) -> usize {
        self.columns.bytes
    }

    /// Returns true if the batch has reached the size that a source aims at, and should be returned.
    pub fn is_full(&self) -> bool {
        self.len() >= BATCH_EVENTS || self.bytes() >= BATCH_BYTES
    }

    /// Reserves memory for `events` more events.
    pub fn reserve(&mut self, events: usize) {
        self.columns.events.reserve(events);
    }

    /// Adds a buffer for [`push_span`](Self::push_span) and returns its number.
    ///
    /// # Panics
    /// If the buffer is 4 GiB or more.
    pub fn add_buffer(&mut self, buffer: Bytes) -> u32 {
        assert!(u32::try_from(buffer.len()).is_ok(), "a buffer is shorter than 4 GiB");
        self.columns.buffers.push(buffer);
        (self.columns.buffers.len() - 1) as u32
    }

    /// Adds an event whose payload lies in a buffer that was added before.
    ///
    /// # Panics
    /// If the span is not within the buffer.
    pub fn push_span(&mut self, span: Span) {
        let buffer = &self.columns.buffers[span.buffer as usize];
        assert!(span.offset as usize + span.length as usize <= buffer.len(), "the span lies in its buffer");
        self.push_event(span);
    }

    /// Adds an event whose payload is `bytes`, without a copy.
    pub fn push(&mut self, bytes: Bytes) {
        let length = bytes.len() as u32;
        let buffer = self.add_buffer(bytes);
        self.push_event(Span { buffer, offset: 0, length });
    }

    /// Adds an event whose payload is a copy of `payload`: for many small events that do not share a buffer.
    pub fn push_copy(&mut self, payload: &[u8]) {
        let span = self.copy(payload);
        self.push_event(span);
    }

    /// Keeps event `event` of the batch that this one is made from.
    ///
    /// # Panics
    /// If the builder is not from [`Batch::derive`], or there is no such event.
    pub fn keep(&mut self, event: usize) {
        let span = self.parent().columns.events[event];
        self.shares = true;
        self.derive_event(event, span);
    }

    /// Puts an event with `payload` in the place of event `event`: same key, time, attributes and origin.
    /// Called several times for one event, it splits it.
    ///
    /// # Panics
    /// As [`keep`](Self::keep).
    pub fn write(&mut self, event: usize, payload: &[u8]) {
        let span = self.copy(payload);
        self.derive_event(event, span);
    }

    /// As [`write`](Self::write), with a payload that lies within the batch that this one is made from.
    pub fn write_span(&mut self, event: usize, span: Span) {
        self.shares = true;
        self.derive_event(event, span);
    }

    /// As [`write`](Self::write), without a copy: for payloads that were made elsewhere.
    pub fn write_shared(&mut self, event: usize, payload: Bytes) {
        let length = payload.len() as u32;
        let buffer = self.add_buffer(payload);
        self.derive_event(event, Span { buffer, offset: 0, length });
    }

    /// Gives the event that was added last this key.
    pub fn key(&mut self, key: &[u8]) {
        let span = self.copy(key);
        self.key_span(span);
    }

    /// As [`key`](Self::key), with a key that lies in a buffer of the batch. [`Span::NONE`]: it has none.
    pub fn key_span(&mut self, span: Span) {
        let count = self.len();
        let keys = self.columns.keys.get_or_insert_with(Vec::new);
        keys.resize(count, Span::NONE);
        if let Some(last) = keys.last_mut() {
            *last = span;
        }
    }

    /// Gives the event that was added last this time, in nanoseconds since 1970 (UTC).
    pub fn timestamp(&mut self, nanoseconds: i64) {
        let count = self.len();
        let times = self.columns.timestamps.get_or_insert_with(Vec::new);
        times.resize(count, NO_TIME);
        if let Some(last) = times.last_mut() {
            *last = nanoseconds;
        }
    }

    /// Gives the event that was added last these attributes of its own.
    pub fn attributes(&mut self, attributes: Arc<Attributes>) {
        self.own_attributes(Some(attributes));
    }

    /// As [`attributes`](Self::attributes); `None` takes the event's own attributes away.
    pub fn own_attributes(&mut self, attributes: Option<Arc<Attributes>>) {
        let count = self.len();
        let column = self.columns.attributes.get_or_insert_with(Vec::new);
        column.resize(count, None);
        if let Some(last) = column.last_mut() {
            *last = attributes;
        }
    }

    /// For sources: attributes of every event of the batch.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Arc<Attributes>) -> Self {
        self.origin.attributes = attributes;
        self
    }

    /// For sources: which part of the input the batch is from.
    pub fn set_partition(&mut self, partition: Arc<str>) {
        self.origin.partition = partition;
    }

    /// For sources: where to resume after this batch.
    pub fn set_position(&mut self, position: Position) {
        self.origin.position = Some(position);
    }

    /// The batch.
    pub fn finish(mut self) -> Batch {
        let count = self.len();
        if !self.written.is_empty() {
            self.columns.buffers[self.written_buffer as usize] = self.written.freeze();
        }
        if !self.shares
            && self.columns.keys.is_none()
            && let Some(parent) = &self.parent
        {
            // Nothing of the parent is held on to: its memory is free as soon as the parent is gone.
            self.columns.buffers[..parent.columns.buffers.len()].fill(Bytes::new());
        }
        if let Some(keys) = &mut self.columns.keys {
            keys.resize(count, Span::NONE);
        }
        if let Some(times) = &mut self.columns.timestamps {
            times.resize(count, NO_TIME);
        }
        if let Some(attributes) = &mut self.columns.attributes {
            attributes.resize(count, None);
        }
        if self.parent.is_none() && self.columns.runs.is_empty() {
            self.columns.runs.push(Run { end: count as u32, origin: Arc::new(self.origin) });
        }
        Batch { columns: Arc::new(self.columns) }
    }

    /// Appends all events of `batch`. Buffers that both share are held once.
    pub(crate) fn append(&mut self, batch: &Batch) {
        let source = &batch.columns;
        let start = self.len();
        let shift = self.columns.buffers.len() as u32;
        let shifted = |span: Span| match span.is_none() {
            true => span,
            false => Span { buffer: span.buffer + shift, ..span },
        };
        self.columns.buffers.extend(source.buffers.iter().cloned());
        self.columns.events.extend(source.events.iter().map(|span| shifted(*span)));
        if let Some(keys) = &source.keys {
            let column = self.columns.keys.get_or_insert_with(Vec::new);
            column.resize(start, Span::NONE);
            column.extend(keys.iter().map(|span| shifted(*span)));
        }
        if let Some(times) = &source.timestamps {
            let column = self.columns.timestamps.get_or_insert_with(Vec::new);
            column.resize(start, NO_TIME);
            column.extend(times);
        }
        if let Some(attributes) = &source.attributes {
            let column = self.columns.attributes.get_or_insert_with(Vec::new);
            column.resize(start, None);
            column.extend(attributes.iter().cloned());
        }
        self.append_lineage(batch, start == 0);
        let runs = source.runs.iter();
        self.columns
            .runs
            .extend(runs.map(|run| Run { end: run.end + start as u32, origin: Arc::clone(&run.origin) }));
        self.columns.bytes += source.bytes;
    }

    fn append_lineage(&mut self, batch: &Batch, is_first: bool) {
        let lineage = self.columns.lineage.get_or_insert_with(Vec::new);
        let sources = &mut self.columns.sources;
        if batch.is_empty() {
            return;
        }
        if is_first {
            sources.clone_from(&batch.columns.sources);
        }
        let shared = sources.as_ref().map(Arc::as_ptr) == batch.columns.sources.as_ref().map(Arc::as_ptr);
        if shared {
            lineage.extend((0..batch.len()).map(|event| batch.input_index(event)));
            return;
        }
        // Events of two batches that were given: all that they have in common is where their sources had them.
        if let Some(sources) = sources.take() {
            lineage.iter_mut().for_each(|index| *index = sources[*index as usize]);
        }
        lineage.extend((0..batch.len()).map(|event| batch.source_index(event)));
    }

    fn parent(&self) -> &Batch {
        self.parent.as_ref().expect("the builder comes from `Batch::derive`")
    }

    fn push_event(&mut self, span: Span) {
        self.columns.events.push(span);
        self.columns.bytes += span.length as usize;
    }

    fn derive_event(&mut self, event: usize, span: Span) {
        self.push_event(span);
        let count = self.columns.events.len();
        let parent = self.parent.as_ref().expect("the builder comes from `Batch::derive`");
        let source = &parent.columns;
        if let Some(keys) = &source.keys {
            let column = self.columns.keys.get_or_insert_with(Vec::new);
            column.resize(count, Span::NONE);
            column[count - 1] = keys[event];
        }
        if let Some(times) = &source.timestamps {
            let column = self.columns.timestamps.get_or_insert_with(Vec::new);
            column.resize(count, NO_TIME);
            column[count - 1] = times[event];
        }
        if let Some(attributes) = &source.attributes {
            let column = self.columns.attributes.get_or_insert_with(Vec::new);
            column.resize(count, None);
            column[count - 1].clone_from(&attributes[event]);
        }
        let index = parent.input_index(event);
        self.columns.lineage.get_or_insert_with(Vec::new).push(index);
        let run = if source.runs.len() == 1 { 0 } else { parent.run_of(event) };
        if run == self.last_run {
            if let Some(last) = self.columns.runs.last_mut() {
                last.end = count as u32;
            }
        } else {
            let origin = Arc::clone(&source.runs[run].origin);
            self.columns.runs.push(Run { end: count as u32, origin });
            self.last_run = run;
        }
    }

    fn copy(&mut self, payload: &[u8]) -> Span {
        let length = payload.len() as u32;
        let full = self.written.len() + payload.len() > u32::MAX as usize;
        if self.written_buffer == u32::MAX || full {
            if full {
                let filled = std::mem::take(&mut self.written).freeze();
                self.columns.buffers[self.written_buffer as usize] = filled;
            }
            self.columns.buffers.push(Bytes::new());
            self.written_buffer = (self.columns.buffers.len() - 1) as u32;
            // What is written is mostly a part of what was read.
            self.written
                .reserve(self.parent.as_ref().map_or(0, |parent| parent.bytes() / 8).max(payload.len()));
        }
        let offset = self.written.len() as u32;
        self.written.extend_from_slice(payload);
        Span { buffer: self.written_buffer, offset, length }
    }
}

impl Batch {
    /// Every payload as text, bytes that are not UTF-8 replaced. For tests.
    pub fn texts(&self) -> Vec<String> {
        self.payloads().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
    }
}
