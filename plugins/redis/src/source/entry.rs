//! Events out of the entries of a stream.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_sdk::framing::without_mark;
use tidegate_sdk::{Attributes, Batch, BatchBuilder, SourceRejection, Span, json};

use crate::source::options::{Form, Options};
use crate::source::page::{Entry, Page};

/// Makes events out of entries, as the options say.
#[derive(Clone)]
pub(crate) struct Entries {
    stream: String,
    form: Form,
    field: String,
    max_deliveries: Option<u64>,
    /// True if an event has the number of its deliveries as an attribute.
    counts_deliveries: bool,
}

impl Entries {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            stream: options.stream.clone(),
            form: options.form,
            field: options.field.clone(),
            max_deliveries: options.max_deliveries,
            counts_deliveries: options.group.is_some(),
        }
    }

    /// A builder for the events of a page, and the number of the buffer with its bytes.
    pub(crate) fn builder(&self, page: &Page) -> (BatchBuilder, u32) {
        let common = Attributes::default().with("stream", self.stream.as_str());
        let mut builder = Batch::builder().with_attributes(Arc::new(common));
        let buffer = builder.add_buffer(page.bytes.clone());
        (builder, buffer)
    }

    /// Adds the event of an entry.
    pub(crate) fn push(
        &self,
        page: &Page,
        entry: &Entry,
        (builder, buffer): (&mut BatchBuilder, u32),
        event_size: usize,
    ) -> Result<(), SourceRejection> {
        let payload = self.payload(page, entry);
        if let Err(reason) = self.check(&payload, entry, event_size) {
            let reason = format!("{reason} (entry {} of `{}`)", entry.id, self.stream);
            let length = payload.len() as u64;
            let mut payload = payload.into_bytes(page);
            payload.truncate(event_size);
            return Err(SourceRejection { payload, length, reason });
        }
        match payload {
            Payload::There(Range { start, end }) => {
                builder.push_span(Span { buffer, offset: start as u32, length: (end - start) as u32 });
            }
            Payload::Made(text) | Payload::Line(text) => builder.push_copy(&text),
        }
        let mut own = Attributes::default().with("id", entry.id.to_string());
        if self.counts_deliveries {
            own = own.with("deliveries", i64::try_from(entry.deliveries).unwrap_or(i64::MAX));
        }
        builder.attributes(Arc::new(own));
        Ok(())
    }

    /// The payload of an entry: the field, or all fields if they are wanted or the field is missing.
    fn payload(&self, page: &Page, entry: &Entry) -> Payload {
        let field = self.field.as_bytes();
        let found = match self.form {
            Form::Payload => page.fields(entry).find(|(name, _)| page.bytes[name.clone()] == *field),
            Form::Fields => None,
        };
        let Some((_, value)) = found else { return Payload::Made(object(page, entry)) };
        let text = without_mark(&page.bytes[value.clone()]);
        match json::one_line_if_json(text) {
            Cow::Borrowed(_) => Payload::There(value.end - text.len()..value.end),
            Cow::Owned(line) => Payload::Line(line),
        }
    }

    /// Checks an entry before it becomes an event.
    fn check(&self, payload: &Payload, entry: &Entry, event_size: usize) -> Result<(), String> {
        if matches!((payload, self.form), (Payload::Made(_), Form::Payload)) {
            return Err(format!("the entry has no field `{}`", self.field));
        }
        let (length, longest) = (payload.len(), event_size);
        if length > longest {
            return Err(format!("the event has {length} bytes, and `event_size` allows {longest}"));
        }
        match self.max_deliveries {
            Some(most) if entry.deliveries > most => {
                Err(format!("it was delivered {} times, and `max_deliveries` is {most}", entry.deliveries))
            }
            _ => Ok(()),
        }
    }
}

/// The payload of an event.
enum Payload {
    /// A part of the reply.
    There(Range<usize>),
    /// A part of the reply that is JSON over several lines, as one line.
    Line(Vec<u8>),
    /// All fields of the entry, as a JSON object.
    Made(Vec<u8>),
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Self::There(range) => range.len(),
            Self::Made(text) | Self::Line(text) => text.len(),
        }
    }

    fn into_bytes(self, page: &Page) -> Bytes {
        match self {
            Self::There(range) => page.bytes.slice(range),
            Self::Made(text) | Self::Line(text) => text.into(),
        }
    }
}

/// All fields of an entry as a JSON object of texts. A field that occurs several times becomes an array of its values.
fn object(page: &Page, entry: &Entry) -> Vec<u8> {
    let mut members: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in page.fields(entry) {
        let (name, value) = (&page.bytes[name], &page.bytes[value]);
        let place = *places.entry(name).or_insert(members.len());
        match members.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => members.push((name, vec![value])),
        }
    }
    let mut json = vec![b'{'];
    for (index, (name, values)) in members.iter().enumerate() {
        json.extend_from_slice(if index == 0 { b"" } else { b"," });
        json::write_text(&mut json, &String::from_utf8_lossy(name));
        json.extend_from_slice(if values.len() == 1 { b":" } else { b":[" });
        for (index, value) in values.iter().enumerate() {
            json.extend_from_slice(if index == 0 { b"" } else { b"," });
            json::write_text(&mut json, &String::from_utf8_lossy(value));
        }
        json.extend_from_slice(if values.len() == 1 { b"" } else { b"]" });
    }
    json.push(b'}');
    json
}
