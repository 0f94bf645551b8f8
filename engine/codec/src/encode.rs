//! Encodes a batch as columns.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Attr, NO_TIME, View};
use tidegate_sdk::{Batch, Error, Span};

use crate::attributes::Texts;
use crate::{Columns, RunEntry};

/// The view of a span for the other side. The number is for the function to keep between calls, from 0 for each column:
/// the spans of a column are mostly in order.
pub type Place<'a> = &'a dyn Fn(Span, &mut usize) -> View;

const NO_VIEW: View = View { buf: abi::NONE, off: 0, len: 0 };

// A column of spans is a column of views.
const _: () = assert!(
    size_of::<Span>() == size_of::<View>()
        && align_of::<Span>() == align_of::<View>()
        && std::mem::offset_of!(Span, buffer) == std::mem::offset_of!(View, buf)
        && std::mem::offset_of!(Span, offset) == std::mem::offset_of!(View, off)
        && std::mem::offset_of!(Span, length) == std::mem::offset_of!(View, len)
        && Span::NONE.buffer == abi::NONE
);

/// The memory of encoded columns, beside those that are the batch's own. It is reused from batch to batch.
#[derive(Default)]
pub struct Encoder {
    data: Vec<View>,
    keys: Vec<View>,
    times: Vec<i64>,
    from: Vec<u32>,
    attr_end: Vec<u32>,
    attrs: Vec<Attr>,
    /// The attributes of each run of the last batch.
    runs: Vec<Range<u32>>,
}

impl Encoder {
    /// Encodes a batch, and the attributes of its [`runs`](Self::runs). Returns the buffer of names and texts as well, which
    /// has number `texts`.
    ///
    /// # Errors
    /// The attributes are too large.
    pub fn whole<'a>(&'a mut self, batch: &'a Batch, texts: u32) -> Result<(Columns<'a>, Bytes), Error> {
        self.whole_at(batch, texts, None)
    }

    /// As [`whole`](Self::whole), with views as `place` says.
    pub(crate) fn whole_at<'a>(
        &'a mut self,
        batch: &'a Batch,
        texts: u32,
        place: Option<Place<'_>>,
    ) -> Result<(Columns<'a>, Bytes), Error> {
        let mut texts = Texts::new(texts);
        self.attributes(batch, batch.has_own_attributes(), &mut texts);
        self.runs.clear();
        for run in batch.runs() {
            let start = self.attrs.len() as u32;
            texts.encode(&run.origin.attributes, &mut self.attrs);
            self.runs.push(start..self.attrs.len() as u32);
        }
        let columns = Columns {
            data: views(batch.spans(), place, &mut self.data),
            key: batch.key_spans().map(|keys| views(keys, place, &mut self.keys)),
            time: batch.timestamps(),
            from: batch.source_indices().map(|indices| match indices {
                std::borrow::Cow::Borrowed(indices) => indices,
                std::borrow::Cow::Owned(indices) => {
                    self.from = indices;
                    &*self.from
                }
            }),
            attr_end: batch.has_own_attributes().then_some(&*self.attr_end),
            attr: &self.attrs,
        };
        Ok((columns, texts.finish()?))
    }

    /// The runs of the batch that was encoded last, which is `batch`.
    pub fn runs<'a>(&'a self, batch: &'a Batch) -> impl ExactSizeIterator<Item = RunEntry<'a>> {
        batch.runs().iter().zip(&self.runs).map(|(run, attributes)| RunEntry::new(run, attributes))
    }

    /// Encodes a batch that was made from `input`. A value that an event has from the event it was made from is left out,
    /// so that the other side inherits it. `place` gives the views, or spans are views already.
    ///
    /// # Errors
    /// An event was not made from `input`, or the attributes are too large.
    pub fn derived<'a>(
        &'a mut self,
        batch: &'a Batch,
        input: &Batch,
        texts: u32,
        place: Option<Place<'_>>,
    ) -> Result<(Columns<'a>, Bytes), Error> {
        if !descends(batch, input) {
            return Err(Error::fatal(
                "the filter emitted an event that was not made from its input: use `Batch::derive`",
            ));
        }
        let mut texts = Texts::new(texts);
        let inherits = inherits_attributes(batch, input);
        self.attributes(batch, !inherits, &mut texts);
        let count = batch.len();
        let columns = Columns {
            data: views(batch.spans(), place, &mut self.data),
            key: match (batch.key_spans(), input.key_spans()) {
                (Some(keys), _) => Some(views(keys, place, &mut self.keys)),
                (None, Some(_)) => Some(blank(&mut self.keys, NO_VIEW, count)),
                (None, None) => None,
            },
            time: match (batch.timestamps(), input.timestamps()) {
                (Some(times), _) => Some(times),
                (None, Some(_)) => Some(blank(&mut self.times, NO_TIME, count)),
                (None, None) => None,
            },
            from: batch.input_indices(),
            attr_end: (!inherits).then_some(&*self.attr_end),
            attr: &self.attrs,
        };
        Ok((columns, texts.finish()?))
    }

    /// Encodes the events' own attributes, if `needed`.
    fn attributes(&mut self, batch: &Batch, needed: bool, texts: &mut Texts) {
        self.attr_end.clear();
        self.attrs.clear();
        if needed {
            for event in 0..batch.len() {
                if let Some(own) = batch.own_attributes(event) {
                    texts.encode(own, &mut self.attrs);
                }
                self.attr_end.push(self.attrs.len() as u32);
            }
        }
    }
}

/// A column of spans as a column of views. `list` holds it if it has to be rewritten.
fn views<'a>(spans: &'a [Span], place: Option<Place<'_>>, list: &'a mut Vec<View>) -> &'a [View] {
    let Some(place) = place else {
        // SAFETY: both have the same layout, as checked above.
        return unsafe { std::slice::from_raw_parts(spans.as_ptr().cast(), spans.len()) };
    };
    let mut hint = 0;
    list.clear();
    list.extend(spans.iter().map(|span| if span.is_none() { NO_VIEW } else { place(*span, &mut hint) }));
    list
}

/// A column without values. Without a column the other side would inherit the values of the input.
fn blank<T: Clone>(list: &mut Vec<T>, nothing: T, count: usize) -> &[T] {
    list.clear();
    list.resize(count, nothing);
    list
}

/// True if every event of `batch` was made from one of `input`.
fn descends(batch: &Batch, input: &Batch) -> bool {
    let mut start = 0;
    let mut origins = batch.runs().iter().filter(|run| std::mem::replace(&mut start, run.end) != run.end);
    match input.runs() {
        [only] => origins.all(|run| Arc::ptr_eq(&run.origin, &only.origin)),
        known => {
            let known: HashSet<_> = known.iter().map(|run| Arc::as_ptr(&run.origin)).collect();
            origins.all(|run| known.contains(&Arc::as_ptr(&run.origin)))
        }
    }
}

/// True if each event has the attributes of the event that it was made from, so that it can inherit them.
fn inherits_attributes(batch: &Batch, input: &Batch) -> bool {
    if !batch.has_own_attributes() && !input.has_own_attributes() {
        return true;
    }
    (0..batch.len()).all(|event| {
        let parent = input.own_attributes(batch.input_index(event) as usize);
        match (batch.own_attributes(event), parent) {
            (None, None) => true,
            (Some(own), Some(parent)) => Arc::ptr_eq(own, parent),
            _ => false,
        }
    })
}
