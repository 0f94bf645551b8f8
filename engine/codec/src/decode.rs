//! Decodes columns of the other side: checks them, and makes a batch over the same bytes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Attr, View, attribute};
use tidegate_sdk::{
    AckHandles, AttributeValue, Attributes, Batch, BatchBuilder, Origin, Parts, Position, Run, SourceBatch,
    SourceRejection, Span,
};

use crate::limits::HEAD;
use crate::{Columns, MetadataLimit, NAME, RunEntry, handles};

/// The names of the last batch. The next batch mostly has the same, and then nothing is allocated.
#[derive(Default)]
pub struct Names {
    source: Arc<str>,
    partition: Arc<str>,
}

/// Columns of the other side, with the buffers that their views name.
pub struct Incoming<'a> {
    columns: Columns<'a>,
    buffers: Vec<Bytes>,
    metadata: &'a mut MetadataLimit,
    /// The range of the last event's own attributes: neighbours with equal attributes share them.
    last: (Range<usize>, Option<Arc<Attributes>>),
    /// True if attributes of unknown type are left out.
    is_older: bool,
}

impl<'a> Incoming<'a> {
    /// Columns over these buffers.
    ///
    /// # Errors
    /// The ends of the events' attributes are not in order.
    pub fn new(
        columns: Columns<'a>,
        buffers: Vec<Bytes>,
        metadata: &'a mut MetadataLimit,
    ) -> Result<Self, String> {
        let mut last = 0;
        for end in columns.attr_end.into_iter().flatten() {
            if *end < last || *end as usize > columns.attr.len() {
                return Err(format!("`attr_end` is not in order: {end} after {last}"));
            }
            last = *end;
        }
        Ok(Self { columns, buffers, metadata, last: (0..0, None), is_older: false })
    }

    /// Makes the batch that the engine has passed to a plugin. In it, an event's input index is its own.
    ///
    /// # Errors
    /// A column is not one of a batch.
    pub fn batch(mut self, runs: &[RunEntry<'_>], names: &mut Names) -> Result<Batch, String> {
        self.is_older = true;
        let Columns { data, key, time, from, attr_end, .. } = self.columns;
        let mut events = Vec::with_capacity(data.len());
        for (event, view) in data.iter().enumerate() {
            events.push(self.span(*view, || format!("event {event}"))?);
        }
        let keys = key.map(|keys| (0..keys.len()).map(|event| self.key(keys[event], event)).collect());
        let attributes = attr_end.map(|ends| (0..ends.len()).map(|event| self.own(event)).collect());
        let covers = runs.iter().map(|run| run.end).is_sorted();
        if !covers || runs.last().map_or(0, |run| run.end as usize) != data.len() {
            return Err("the origins of a batch do not cover its events".into());
        }
        Ok(Batch::from_parts(Parts {
            events,
            keys: keys.transpose()?,
            timestamps: time.map(<[i64]>::to_vec),
            attributes: attributes.transpose()?,
            lineage: None,
            sources: from.map(Into::into),
            runs: self.runs(runs, names)?,
            buffers: self.buffers,
        }))
    }

    /// Makes the batch that a filter has made from `input`, whose buffers come first among the buffers.
    ///
    /// # Errors
    /// A column is not one of a batch, or an event was not made from one of `input`.
    pub fn derived(mut self, input: &Batch) -> Result<Batch, String> {
        let mut builder = input.derive();
        for buffer in &self.buffers[input.buffers().len()..] {
            builder.add_buffer(buffer.clone());
        }
        let Columns { data, from, .. } = self.columns;
        for (event, view) in data.iter().enumerate() {
            let made_from = from.map_or(event as u32, |from| from[event]) as usize;
            if made_from >= input.len() {
                return Err(format!(
                    "event {event} says it was made from event {made_from} of {}",
                    input.len()
                ));
            }
            builder.write_span(made_from, self.span(*view, || format!("event {event}"))?);
            self.metadata_of(event, &mut builder)?;
        }
        Ok(builder.finish())
    }

    /// Makes the batch that a source has read, of one origin. Events over `event_size` bytes become rejected input.
    ///
    /// # Errors
    /// A column is not one of a batch, or there are not enough acknowledgement handles.
    pub fn source_batch(
        mut self,
        run: &RunEntry<'_>,
        mut rejected: Vec<SourceRejection>,
        handles: Option<AckHandles>,
        event_size: usize,
    ) -> Result<SourceBatch, String> {
        let Columns { data, .. } = self.columns;
        if let Some(handles) = &handles {
            handles::check(handles, data.len())?;
        }
        let (mut builder, mut too_long) = (Batch::builder(), Vec::new());
        for buffer in &self.buffers {
            builder.add_buffer(buffer.clone());
        }
        for (event, view) in data.iter().enumerate() {
            let span = self.span(*view, || format!("event {event}"))?;
            if span.length as usize > event_size {
                let payload = self.bytes(Span { length: HEAD.min(event_size) as u32, ..span });
                let reason =
                    format!("{} bytes are more than `event_size` allows ({event_size})", span.length);
                rejected.push(SourceRejection { payload, length: span.length.into(), reason });
                too_long.push(event);
                continue;
            }
            builder.push_span(span);
            self.metadata_of(event, &mut builder)?;
        }
        if run.partition.len() as u64 > NAME {
            return Err(format!("the partition has {} bytes, and may have {NAME}", run.partition.len()));
        }
        builder.set_partition(utf8(run.partition, "the partition")?.into());
        if let Some(position) = run.position {
            builder.set_position(Position::from_bytes(Bytes::copy_from_slice(position)));
        }
        let common = self.attributes_of(run)?;
        let read = SourceBatch::from(builder.with_attributes(Arc::new(common)).finish());
        let read = read.with_rejected(rejected);
        Ok(match handles {
            Some(handles) => read.with_ack_handles(handles::move_last(handles, &too_long)),
            None => read,
        })
    }

    /// The bytes of a view.
    ///
    /// # Errors
    /// It does not lie within a buffer.
    pub fn piece(&self, view: View, what: &str) -> Result<Bytes, String> {
        Ok(self.bytes(self.span(view, || what.to_owned())?))
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

    fn key(&self, view: View, event: usize) -> Result<Span, String> {
        match view.buf {
            abi::NONE => Ok(Span::NONE),
            _ => self.span(view, || format!("the key of event {event}")),
        }
    }

    /// The bytes of a span that [`span`](Self::span) has checked.
    fn bytes(&self, span: Span) -> Bytes {
        let start = span.offset as usize;
        self.buffers[span.buffer as usize].slice(start..start + span.length as usize)
    }

    /// Sets key, time and attributes of the event that was added last.
    fn metadata_of(&mut self, event: usize, builder: &mut BatchBuilder) -> Result<(), String> {
        if let Some(keys) = self.columns.key {
            builder.key_span(self.key(keys[event], event)?);
        }
        if let Some(times) = self.columns.time {
            builder.timestamp(times[event]);
        }
        if self.columns.attr_end.is_some() {
            let own = self.own(event)?;
            builder.own_attributes(own);
        }
        Ok(())
    }

    /// The own attributes of an event. The events are asked for in order.
    fn own(&mut self, event: usize) -> Result<Option<Arc<Attributes>>, String> {
        let Columns { attr_end: Some(ends), attr, .. } = self.columns else { return Ok(None) };
        let start = event.checked_sub(1).map_or(0, |before| ends[before]) as usize;
        let range = start..ends[event] as usize;
        if !same(&attr[range.clone()], &attr[self.last.0.clone()]) {
            self.metadata.count::<Attributes>(size_of::<Arc<Attributes>>())?;
            self.last = (range.clone(), Some(Arc::new(self.attributes(&attr[range.clone()])?)));
        }
        Ok(self.last.1.clone().filter(|_| !range.is_empty()))
    }

    fn attributes(&mut self, attrs: &[Attr]) -> Result<Attributes, String> {
        self.metadata.attributes(attrs.len())?;
        let mut attributes = Attributes::default();
        for attr in attrs {
            self.metadata.count::<(String, AttributeValue)>(0)?;
            let name = self.attribute_text(attr.name)?;
            // SAFETY: any bits are a valid value of each of these types.
            let value = unsafe {
                match attr.kind {
                    attribute::TEXT => AttributeValue::Text(self.attribute_text(attr.value.text)?),
                    attribute::INTEGER => AttributeValue::Integer(attr.value.i),
                    attribute::FLOAT => AttributeValue::Float(attr.value.f),
                    attribute::BOOLEAN => AttributeValue::Boolean(attr.value.i != 0),
                    // A type of a newer minor.
                    _ if self.is_older => continue,
                    other => return Err(format!("{other} is not a type of an attribute")),
                }
            };
            attributes.set(name, value);
        }
        Ok(attributes)
    }

    fn attribute_text(&mut self, view: View) -> Result<String, String> {
        let span = self.span(view, || "an attribute".into())?;
        self.metadata.count::<()>(span.length as usize)?;
        String::from_utf8(self.bytes(span).to_vec()).map_err(|_| "an attribute is not UTF-8".into())
    }

    fn attributes_of(&mut self, run: &RunEntry<'_>) -> Result<Attributes, String> {
        let attrs = self.columns.attr;
        let end = run.attr as usize + run.n_attr as usize;
        let range = attrs.get(run.attr as usize..end);
        self.attributes(range.ok_or("the attributes of an origin are not in the batch")?)
    }

    fn runs(&mut self, runs: &[RunEntry<'_>], names: &mut Names) -> Result<Vec<Run>, String> {
        // Runs of the same source batch share their origin, which identifies it. Most batches have a single run and need
        // no lookup.
        let mut known: HashMap<(&[u8], u64), Arc<Origin>> = HashMap::new();
        let mut list = Vec::with_capacity(runs.len());
        for run in runs {
            let shared = if runs.len() > 1 { known.get(&(run.source, run.sequence)) } else { None };
            let origin = match shared {
                Some(origin) => Arc::clone(origin),
                None => {
                    let origin = Arc::new(self.origin(run, names)?);
                    if runs.len() > 1 {
                        known.insert((run.source, run.sequence), Arc::clone(&origin));
                    }
                    origin
                }
            };
            list.push(Run { end: run.end, origin });
        }
        Ok(list)
    }

    fn origin(&mut self, run: &RunEntry<'_>, names: &mut Names) -> Result<Origin, String> {
        let common = self.attributes_of(run)?;
        Ok(Origin {
            source: familiar(&mut names.source, run.source, "a source")?,
            sequence: run.sequence,
            partition: familiar(&mut names.partition, run.partition, "a partition")?,
            position: run.position.map(|bytes| Position::from_bytes(Bytes::copy_from_slice(bytes))),
            first: run.first,
            attributes: if common.is_empty() { Arc::default() } else { Arc::new(common) },
            // Known only to the engine.
            before: None,
            events: 0,
            client: None,
        })
    }
}

/// True if two lists of attributes refer to the same bytes.
fn same(one: &[Attr], other: &[Attr]) -> bool {
    let equal = |(one, other): (&Attr, &Attr)| {
        // SAFETY: any bits are a valid value of each of these types; a float is compared by its bits.
        one.name == other.name
            && one.kind == other.kind
            && unsafe {
                match one.kind {
                    attribute::TEXT => one.value.text == other.value.text,
                    _ => one.value.i == other.value.i,
                }
            }
    };
    one.len() == other.len() && one.iter().zip(other).all(equal)
}

fn familiar(known: &mut Arc<str>, text: &[u8], what: &str) -> Result<Arc<str>, String> {
    if known.as_bytes() != text {
        *known = utf8(text, what)?.into();
    }
    Ok(Arc::clone(known))
}

fn utf8<'a>(text: &'a [u8], what: &str) -> Result<&'a str, String> {
    std::str::from_utf8(text).map_err(|_| format!("{what} is not UTF-8"))
}
