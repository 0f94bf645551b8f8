//! Encodes batches for the engine, over their own bytes.

use std::ffi::c_void;

use bytes::Bytes;
use tidegate_abi::{self as abi, Buf, Str, View};
use tidegate_codec::{EncodedHandles, Encoder, Place};
use tidegate_sdk::{Batch, Error, SourceBatch, SourceRejection, Span};

use super::mapping::Mapping;
use crate::call;

/// The memory that an encoded batch points to, beside its bytes. It is reused between calls, and outlives `next`, because
/// the engine reads the batch after `next` has returned.
#[derive(Default)]
pub(crate) struct Encoded {
    columns: Encoder,
    buffers: Vec<Buf>,
    refused: Vec<abi::Refused>,
    /// The last batch of a source, without its buffers.
    last: Option<(Batch, Vec<SourceRejection>)>,
    handles: Option<Box<EncodedHandles>>,
}

// SAFETY: the pointers are only written for the engine, never read here, and point into values that are `Send`.
unsafe impl Send for Encoded {}

impl Encoded {
    /// Encodes a source's batch. Everything except the buffers is valid until the next call.
    pub(crate) fn source_batch(&mut self, read: SourceBatch, seq: u64) -> Result<abi::Batch, Error> {
        let SourceBatch { mut batch, rejected, ack_handles, .. } = read;
        if batch.runs().len() != 1 {
            return Err(Error::fatal("a batch of a source has one origin: build it with `Batch::builder`"));
        }
        let mut own = batch.take_buffers();
        self.refuse(&rejected, &mut own);
        self.handles = ack_handles.map(|handles| Box::new(EncodedHandles::new(&handles)));
        let (batch, rejected) = self.last.insert((batch, rejected));
        let mut table = nothing();
        let (columns, texts) = self.columns.whole(batch, own.len() as u32)?;
        columns.set(&mut table);
        own.extend((!texts.is_empty()).then_some(texts));
        for run in self.columns.runs(batch).map(|run| run.table()) {
            (table.n_common, table.partition, table.position) = (run.n_attr, run.partition, run.position);
        }
        // The engine numbers the events.
        table.from = std::ptr::null();
        table.seq = seq;
        (table.refused, table.n_refused) = (self.refused.as_ptr(), rejected.len() as u32);
        table.ack_handles = self.handles.as_ref().map_or(std::ptr::null(), |handles| handles.table());
        Ok(over(&mut self.buffers, own, table))
    }

    /// Encodes a filter's batch, made from events of `input`. Everything except the buffers is valid as long as both batches.
    pub(crate) fn filter_batch(&mut self, batch: &Batch, input: &Batch) -> Result<abi::Batch, Error> {
        let Mapping { places, mut own } = Mapping::new(input.buffers(), batch.buffers());
        let texts = (input.buffers().len() + own.len()) as u32;
        let mut table = nothing();
        let view = places.map(|places| {
            move |span: Span, _: &mut usize| {
                let place = places[span.buffer as usize];
                View { buf: place.buffer, off: span.offset + place.offset, len: span.length }
            }
        });
        let view = view.as_ref().map(|view| view as Place<'_>);
        let (columns, texts) = self.columns.derived(batch, input, texts, view)?;
        columns.set(&mut table);
        own.extend((!texts.is_empty()).then_some(texts));
        Ok(over(&mut self.buffers, own, table))
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
}

/// Adds these buffers, which the engine passes to [`release`].
fn over(buffers: &mut Vec<Buf>, own: Vec<Bytes>, table: abi::Batch) -> abi::Batch {
    buffers.clear();
    buffers.extend(own.iter().map(|buffer| Buf::new(buffer)));
    let (release, owner): (Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void) = if own.is_empty() {
        (None, std::ptr::null_mut())
    } else {
        (Some(release), Box::into_raw(Box::new(own)).cast())
    };
    abi::Batch { buf: buffers.as_ptr(), n_buf: buffers.len() as u32, release, owner, ..table }
}

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
