//! Encodes batches for the engine, over their own bytes.

mod mapping;
mod texts;

use std::ffi::c_void;
use std::mem::offset_of;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{self as abi, Attr, Buf, NO_TIME, Str, View};

use self::mapping::Mapping;
use self::texts::Texts;
use super::call;
use tidegate_sdk::{Batch, Error, Receipts, SourceBatch, SourceRejection, Span};

/// The memory that an encoded batch points to, beside its bytes. It is reused between calls, and outlives `next`, because
/// the engine reads the batch after `next` has returned.
#[derive(Default)]
pub(super) struct Encoder {
    buffers: Vec<Buf>,
    data: Vec<View>,
    keys: Vec<View>,
    times: Vec<i64>,
    attr_end: Vec<u32>,
    attrs: Vec<Attr>,
    refused: Vec<abi::Refused>,
    /// The last batch of a source, without its buffers.
    last: Option<(Batch, Vec<SourceRejection>)>,
    receipts: Option<Box<EncodedHandles>>,
}

/// Encoded acknowledgement handles with the memory that they point to.
struct EncodedHandles {
    table: abi::AckHandles,
    _own: (Receipts, Vec<Str>, Vec<u32>),
}

// SAFETY: the pointers are only written for the engine, never read here, and point into values that are `Send`.
unsafe impl Send for Encoder {}

// A column of spans is a column of views.
const _: () = assert!(
    size_of::<Span>() == size_of::<View>()
        && offset_of!(Span, buffer) == offset_of!(View, buf)
        && offset_of!(Span, offset) == offset_of!(View, off)
        && offset_of!(Span, length) == offset_of!(View, len)
);

impl Encoder {
    /// Encodes a source's batch. Everything except the buffers is valid until the next call.
    pub(super) fn source_batch(&mut self, read: SourceBatch, seq: u64) -> Result<abi::Batch, Error> {
        let SourceBatch { mut batch, rejected, receipts, .. } = read;
        if batch.runs().len() != 1 {
            return Err(Error::fatal("a batch of a source has one origin: build it with `Batch::builder`"));
        }
        let mut own = batch.take_buffers();
        self.refuse(&rejected, &mut own);
        let mut texts = Texts::new(own.len());
        self.attributes(&batch, batch.has_own_attributes(), &mut texts);
        let origin = &batch.runs()[0].origin;
        let common = self.attrs.len();
        texts.encode(&origin.attributes, &mut self.attrs);
        own.extend(texts.finish()?);
        self.receipts = receipts.map(EncodedHandles::new);
        let mut encoded = abi::Batch {
            data: views(batch.spans()),
            key: batch.key_spans().map_or(std::ptr::null(), views),
            time: batch.timestamps().map_or(std::ptr::null(), <[i64]>::as_ptr),
            seq,
            partition: Str::new(&origin.partition),
            position: origin.position.as_ref().map_or(Buf::NONE, |position| Buf::new(position.as_bytes())),
            refused: self.refused.as_ptr(),
            n_refused: self.refused.len() as u32,
            n_common: (self.attrs.len() - common) as u32,
            ack_handles: self
                .receipts
                .as_ref()
                .map_or(std::ptr::null(), |receipts| &raw const receipts.table),
            ..nothing()
        };
        encoded.n = batch.len() as u32;
        self.last = Some((batch, rejected));
        Ok(self.over(own, encoded))
    }

    /// Encodes a filter's batch, made from events of `given`. Everything except the buffers is valid as long as both batches.
    pub(super) fn filter_batch(&mut self, batch: &Batch, given: &Batch) -> Result<abi::Batch, Error> {
        if !descends(batch, given) {
            return Err(Error::fatal(
                "the filter emitted an event that was not made from its input: use `Batch::derive`",
            ));
        }
        let Mapping { places, mut own } = Mapping::new(given.buffers(), batch.buffers());
        let mut texts = Texts::new(given.buffers().len() + own.len());
        let inherits = inherits_attributes(batch, given);
        self.attributes(batch, !inherits, &mut texts);
        own.extend(texts.finish()?);
        let encoded = abi::Batch {
            n: batch.len() as u32,
            data: translated(batch.spans(), places.as_deref(), &mut self.data),
            key: match (batch.key_spans(), given.key_spans()) {
                (Some(keys), _) => translated(keys, places.as_deref(), &mut self.keys),
                (None, Some(_)) => blank(&mut self.keys, NO_VIEW, batch.len()),
                (None, None) => std::ptr::null(),
            },
            time: match (batch.timestamps(), given.timestamps()) {
                (Some(times), _) => times.as_ptr(),
                (None, Some(_)) => blank(&mut self.times, NO_TIME, batch.len()),
                (None, None) => std::ptr::null(),
            },
            from: batch.input_indices().map_or(std::ptr::null(), <[u32]>::as_ptr),
            ..nothing()
        };
        Ok(self.over(own, encoded))
    }

    /// Encodes refused input, whose bytes become buffers.
    fn refuse(&mut self, rejected: &[SourceRejection], own: &mut Vec<Bytes>) {
        self.refused.clear();
        for refused in rejected {
            let data = View { buf: own.len() as u32, off: 0, len: refused.payload.len() as u32 };
            own.push(refused.payload.clone());
            let reason = Str::new(&refused.reason);
            self.refused.push(abi::Refused { data, length: refused.length, reason });
        }
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

    /// Adds these buffers, which the engine passes to [`release`].
    fn over(&mut self, own: Vec<Bytes>, encoded: abi::Batch) -> abi::Batch {
        self.buffers.clear();
        self.buffers.extend(own.iter().map(|buffer| Buf::new(buffer)));
        let (release, owner): (Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void) = if own.is_empty() {
            (None, std::ptr::null_mut())
        } else {
            (Some(release), Box::into_raw(Box::new(own)).cast())
        };
        abi::Batch {
            buf: self.buffers.as_ptr(),
            n_buf: self.buffers.len() as u32,
            attr_end: if self.attr_end.is_empty() { std::ptr::null() } else { self.attr_end.as_ptr() },
            attr: self.attrs.as_ptr(),
            n_attr: self.attrs.len() as u32,
            release,
            owner,
            ..encoded
        }
    }
}

impl EncodedHandles {
    fn new(receipts: Receipts) -> Box<Self> {
        let scope: Vec<Str> = receipts.scope().iter().map(|text| Str::new(text)).collect();
        let end = receipts.range().scan(0, |end, index| {
            *end += receipts.get(index).len() as u32;
            Some(*end)
        });
        let end: Vec<u32> = end.collect();
        let table = abi::AckHandles {
            struct_size: size_of::<abi::AckHandles>() as u32,
            n_scope: scope.len() as u32,
            scope: scope.as_ptr(),
            first: receipts.range().start as u32,
            n: end.len() as u32,
            bytes: receipts.bytes().as_ptr(),
            end: end.as_ptr(),
        };
        Box::new(Self { table, _own: (receipts, scope, end) })
    }
}

const NO_VIEW: View = View { buf: abi::NONE, off: 0, len: 0 };

/// Releases buffers.
///
/// # Safety
/// `owner` belongs to the buffers, and is released once.
unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: the caller guarantees it. The buffers may run code of the plugin when dropped, which may panic.
    let _ = call::caught(|| drop(unsafe { Box::from_raw(owner.cast::<Vec<Bytes>>()) }));
}

fn nothing() -> abi::Batch {
    // SAFETY: `Batch` begins with its size.
    unsafe { abi::sized() }
}

fn views(spans: &[Span]) -> *const View {
    spans.as_ptr().cast()
}

/// A column of views with the buffer numbers of the engine. `list` holds it if it has to be rewritten.
fn translated(spans: &[Span], places: Option<&[mapping::Place]>, list: &mut Vec<View>) -> *const View {
    let Some(places) = places else { return views(spans) };
    list.clear();
    list.extend(spans.iter().map(|span| {
        if span.is_none() {
            return NO_VIEW;
        }
        let place = places[span.buffer as usize];
        View { buf: place.buffer, off: span.offset + place.offset, len: span.length }
    }));
    list.as_ptr()
}

/// A column without values. Without a column the engine would inherit the values of the input.
fn blank<T: Clone>(list: &mut Vec<T>, nothing: T, count: usize) -> *const T {
    list.clear();
    list.resize(count, nothing);
    list.as_ptr()
}

/// Whether every event of `batch` was made from one of `given`.
fn descends(batch: &Batch, given: &Batch) -> bool {
    let known = given.runs();
    let mut start = 0;
    batch.runs().iter().all(|run| {
        let is_empty = std::mem::replace(&mut start, run.end) == run.end;
        is_empty || known.iter().any(|known| Arc::ptr_eq(&known.origin, &run.origin))
    })
}

/// Whether each event has the attributes of the event that it was made from, so that it can inherit them.
fn inherits_attributes(batch: &Batch, given: &Batch) -> bool {
    if !batch.has_own_attributes() && !given.has_own_attributes() {
        return true;
    }
    (0..batch.len()).all(|event| {
        let parent = given.own_attributes(batch.input_index(event) as usize);
        match (batch.own_attributes(event), parent) {
            (None, None) => true,
            (Some(own), Some(parent)) => Arc::ptr_eq(own, parent),
            _ => false,
        }
    })
}
