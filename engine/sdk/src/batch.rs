//! The batch: shared bytes, and spans that say where each event lies in them.

use std::borrow::Cow;
use std::sync::Arc;

mod builder;
mod client;
mod position;

use bytes::Bytes;

pub use builder::BatchBuilder;
pub use client::Client;
pub use position::Position;

/// The place of an event's payload: `length` bytes at `offset` of the batch's buffer number `buffer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// Index of the buffer.
    pub buffer: u32,
    /// First byte, counted from the start of the buffer.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
}

impl Span {
    /// "There is none": what an event without a key has in the column of keys.
    pub const NONE: Span = Span { buffer: u32::MAX, offset: 0, length: 0 };

    /// Returns true for [`Span::NONE`].
    pub fn is_none(self) -> bool {
        self.buffer == u32::MAX
    }
}

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Boolean(bool),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// Named values that travel beside a payload: the file it came from, the path of the request. A short list,
/// in the order in which the names were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(Cow<'static, str>, AttributeValue)>);

impl Attributes {
    /// Sets `name`, in place of an earlier value of that name.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<AttributeValue>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The same attributes and one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<AttributeValue>) -> Self {
        self.set(name, value);
        self
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value of `name`, if it is set and text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(AttributeValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Every name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Returns true if no attribute is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The origin of events: one batch of one source.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Name of the source component. Set by the engine.
    pub source: Arc<str>,
    /// Number of the batch within its source, from 0, without gaps. Set by the engine.
    pub sequence: u64,
    /// The independent part of the source's input that it is from (a file, a stream); empty if there is one.
    pub partition: Arc<str>,
    /// The source's place in that partition *after* this batch; `None` if the source cannot go back.
    pub position: Option<Position>,
    /// Its place before this batch; `None` at the start. Set by the engine.
    pub before: Option<Position>,
    /// The number of the batch's first event within its partition. Set by the engine.
    pub first: u64,
    /// The number of events that the batch had when it was read. Set by the engine.
    pub events: u32,
    /// The client that sent the events, if the source serves requests. Set by the engine.
    pub client: Option<Client>,
    /// Attributes that hold for every event of the batch.
    pub attributes: Arc<Attributes>,
}

/// A stretch of events of one batch that share their origin.
#[derive(Clone, Debug)]
pub struct Run {
    /// The index after the run's last event. A run may be empty.
    pub end: u32,
    /// The origin of the events. Two runs are of the same source batch exactly if this is the same allocation.
    pub origin: Arc<Origin>,
}

/// The parts of a batch, for [`Batch::from_parts`]. A column that is `None` has no value for any event.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Parts {
    /// The buffers.
    pub buffers: Vec<Bytes>,
    /// The span of each payload.
    pub events: Vec<Span>,
    /// The span of each key.
    pub keys: Option<Vec<Span>>,
    /// The time of each event.
    pub timestamps: Option<Vec<i64>>,
    /// The attributes that each event has for itself.
    pub attributes: Option<Vec<Option<Arc<Attributes>>>>,
    /// The index that each event had in its source's batch.
    pub lineage: Option<Vec<u32>>,
    /// In a shared library: the source index of each event of the batch that the engine passed in. `lineage` then holds
    /// indices into that batch.
    pub sources: Option<Arc<[u32]>>,
    /// The origins of the events.
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) buffers: Vec<Bytes>,
    pub(crate) events: Vec<Span>,
    pub(crate) keys: Option<Vec<Span>>,
    pub(crate) timestamps: Option<Vec<i64>>,
    pub(crate) attributes: Option<Vec<Option<Arc<Attributes>>>>,
    pub(crate) lineage: Option<Vec<u32>>,
    /// As [`Parts::sources`].
    pub(crate) sources: Option<Arc<[u32]>>,
    pub(crate) runs: Vec<Run>,
    pub(crate) bytes: usize,
}

/// Events that move together: shared buffers, and for each event the span of its payload, in order.
///
/// A batch does not change once it is built. Cloning one is a reference count; dropping, selecting, slicing
/// and reordering events makes a new batch over the same bytes (see [`Batch::derive`]).
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) columns: Arc<Columns>,
}

impl Batch {
    /// A builder for a source's next batch, over no buffer yet.
    pub fn builder() -> BatchBuilder {
        BatchBuilder::new()
    }

    /// A builder whose events are made from this batch's events, over the same buffers.
    pub fn derive(&self) -> BatchBuilder {
        BatchBuilder::from_batch(self)
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.columns.events.len()
    }

    /// Returns true if the batch has no events.
    pub fn is_empty(&self) -> bool {
        self.columns.events.is_empty()
    }

    /// Sum of the lengths of the payloads, in bytes.
    pub fn bytes(&self) -> usize {
        self.columns.bytes
    }

    /// The memory that the batch holds: payload bytes and columns, in bytes. Counts against a memory budget.
    pub fn cost(&self) -> usize {
        self.columns.bytes + self.columns.events.len() * size_of::<Span>()
    }

    /// The buffers that the spans refer to.
    pub fn buffers(&self) -> &[Bytes] {
        &self.columns.buffers
    }

    /// The span of each event.
    pub fn spans(&self) -> &[Span] {
        &self.columns.events
    }

    /// The bytes that `span` means in this batch.
    ///
    /// # Panics
    /// If the span is not of this batch.
    pub fn slice(&self, span: Span) -> &[u8] {
        let start = span.offset as usize;
        &self.columns.buffers[span.buffer as usize][start..start + span.length as usize]
    }

    /// The payload of event `event`.
    ///
    /// # Panics
    /// If there is no such event.
    pub fn payload(&self, event: usize) -> &[u8] {
        self.slice(self.columns.events[event])
    }

    /// The payload of event `event`, sharing the batch's buffer.
    pub fn shared_payload(&self, event: usize) -> Bytes {
        let span = self.columns.events[event];
        let start = span.offset as usize;
        self.columns.buffers[span.buffer as usize].slice(start..start + span.length as usize)
    }

    /// Every payload, in order.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.columns.events.iter().map(|span| self.slice(*span))
    }

    /// The key of event `event`, if it has one.
    pub fn key(&self, event: usize) -> Option<&[u8]> {
        let span = *self.columns.keys.as_ref()?.get(event)?;
        (!span.is_none()).then(|| self.slice(span))
    }

    /// The time of event `event` in nanoseconds since 1970 (UTC), if it has one.
    pub fn timestamp(&self, event: usize) -> Option<i64> {
        let time = *self.columns.timestamps.as_ref()?.get(event)?;
        (time != i64::MIN).then_some(time)
    }

    /// The attributes that event `event` has for itself, beside those of its [`Origin`].
    pub fn own_attributes(&self, event: usize) -> Option<&Arc<Attributes>> {
        self.columns.attributes.as_ref()?.get(event)?.as_ref()
    }

    /// Returns true if any event may have attributes of its own.
    pub fn has_own_attributes(&self) -> bool {
        self.columns.attributes.is_some()
    }

    /// The attribute `name` of event `event`: its own, or else its origin's.
    pub fn attribute(&self, event: usize, name: &str) -> Option<&AttributeValue> {
        self.own_attributes(event)
            .and_then(|own| own.get(name))
            .or_else(|| self.origin(event).attributes.get(name))
    }

    /// The stretches of events of one origin, in order. They cover the batch without gaps.
    pub fn runs(&self) -> &[Run] {
        &self.columns.runs
    }

    /// The number of the run that event `event` is in.
    pub fn run_of(&self, event: usize) -> usize {
        self.columns.runs.partition_point(|run| run.end as usize <= event)
    }

    /// The origin of event `event`.
    pub fn origin(&self, event: usize) -> &Arc<Origin> {
        &self.columns.runs[self.run_of(event)].origin
    }

    /// The index that event `event` (or the event it was made from) had in its source's batch.
    pub fn source_index(&self, event: usize) -> u32 {
        let index = self.input_index(event);
        match &self.columns.sources {
            Some(sources) => sources[index as usize],
            None => index,
        }
    }

    /// The index that event `event` (or the event it was made from) has in the batch that the engine passed in, in a
    /// shared library; elsewhere the same as [`source_index`](Self::source_index).
    #[doc(hidden)]
    pub fn input_index(&self, event: usize) -> u32 {
        match &self.columns.lineage {
            Some(lineage) => lineage[event],
            None => event as u32,
        }
    }

    /// The span of each event's key, [`Span::NONE`] where there is none; `None` if no event has one.
    pub fn key_spans(&self) -> Option<&[Span]> {
        self.columns.keys.as_deref()
    }

    /// The time of each event, `i64::MIN` where there is none; `None` if no event has one.
    pub fn timestamps(&self) -> Option<&[i64]> {
        self.columns.timestamps.as_deref()
    }

    /// [`source_index`](Self::source_index) of each event; `None` if that is the event's own index.
    pub fn source_indices(&self) -> Option<Cow<'_, [u32]>> {
        match (&self.columns.lineage, &self.columns.sources) {
            (None, None) => None,
            (Some(indices), None) => Some(indices.into()),
            (None, Some(sources)) => Some(Cow::Borrowed(sources)),
            (Some(_), Some(_)) => Some((0..self.len()).map(|event| self.source_index(event)).collect()),
        }
    }

    /// [`input_index`](Self::input_index) of each event; `None` if that is the event's own index.
    #[doc(hidden)]
    pub fn input_indices(&self) -> Option<&[u32]> {
        self.columns.lineage.as_deref()
    }

    /// The events with these indices, in this order, over the same bytes.
    pub fn select(&self, events: impl IntoIterator<Item = usize>) -> Batch {
        let mut builder = self.derive();
        for event in events {
            builder.keep(event);
        }
        builder.finish()
    }

    /// Concatenates `batches` into one batch over the same bytes. The runs stay separate, so each event keeps its
    /// origin.
    pub fn concat(batches: &[Batch]) -> Batch {
        let mut builder = BatchBuilder::new();
        for batch in batches {
            builder.append(batch);
        }
        builder.finish()
    }

    /// The same batch with the engine's part of its origin filled in. For the engine and the test kit.
    #[doc(hidden)]
    #[must_use]
    pub fn with_origin(mut self, mut fill: impl FnMut(&mut Origin)) -> Batch {
        for run in &mut Arc::make_mut(&mut self.columns).runs {
            fill(Arc::make_mut(&mut run.origin));
        }
        self
    }

    /// A batch of these columns, as they came from elsewhere. For the engine.
    ///
    /// # Panics
    /// If a column has not one entry an event, or the runs do not cover the events. That spans lie in their buffers is
    /// for the caller to see to.
    #[doc(hidden)]
    #[must_use]
    pub fn from_parts(parts: Parts) -> Batch {
        let Parts { buffers, events, keys, timestamps, attributes, lineage, sources, runs } = parts;
        let count = events.len();
        let whole = |length: Option<usize>| length.is_none_or(|length| length == count);
        assert!(whole(keys.as_ref().map(Vec::len)), "one key an event");
        assert!(whole(timestamps.as_ref().map(Vec::len)), "one time an event");
        assert!(whole(attributes.as_ref().map(Vec::len)), "one entry of attributes an event");
        assert!(whole(lineage.as_ref().map(Vec::len)), "one source index an event");
        assert_eq!(runs.last().map_or(0, |run| run.end as usize), count, "the runs cover the events");
        let bytes = events.iter().map(|span| span.length as usize).sum();
        let columns =
            Columns { buffers, events, keys, timestamps, attributes, lineage, sources, runs, bytes };
        Batch { columns: Arc::new(columns) }
    }

    /// The same batch as number `sequence` of `source`. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn stamped(self, source: &Arc<str>, sequence: u64) -> Batch {
        self.with_origin(|origin| {
            origin.source = Arc::clone(source);
            origin.sequence = sequence;
        })
    }

    /// Takes the buffers out of the batch. If the batch is shared, it keeps its buffers and returns references to them.
    #[doc(hidden)]
    pub fn take_buffers(&mut self) -> Vec<Bytes> {
        match Arc::get_mut(&mut self.columns) {
            Some(columns) => std::mem::take(&mut columns.buffers),
            None => self.columns.buffers.clone(),
        }
    }

    /// The same batch with `attributes` as each event's own, in place of what it had.
    #[must_use]
    pub fn with_own_attributes(mut self, attributes: Vec<Option<Arc<Attributes>>>) -> Batch {
        assert_eq!(attributes.len(), self.len(), "one entry an event");
        Arc::make_mut(&mut self.columns).attributes = Some(attributes);
        self
    }
}

#[cfg(test)]
mod tests;
