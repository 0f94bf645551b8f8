//! The data of calls: batches, records, acknowledgement handles.

use std::ffi::c_void;

use crate::{Buf, Str};

/// A range of bytes in one buffer of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct View {
    /// Index of the buffer, or [`NONE`](crate::NONE).
    pub buf: u32,
    /// Offset of its first byte.
    pub off: u32,
    /// Number of bytes.
    pub len: u32,
}

/// A named value of an event.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Attr {
    /// Its name, in the batch's buffers.
    pub name: View,
    /// A constant of [`attribute`](crate::attribute).
    pub kind: u32,
    /// Its value.
    pub value: AttrValue,
}

/// The value of an attribute, as [`Attr::kind`] says.
#[derive(Clone, Copy)]
#[repr(C)]
pub union AttrValue {
    /// Text in the batch's buffers.
    pub text: View,
    /// A whole number; 0 or 1 for a boolean.
    pub i: i64,
    /// A number with a fraction.
    pub f: f64,
}

/// A run of consecutive events with the same origin.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Run {
    /// Index after its last event.
    pub end: u32,
    /// Index of its first attribute.
    pub attr: u32,
    /// Number of its attributes.
    pub n_attr: u32,
    /// Zero.
    pub reserved: u32,
    /// Number of the source batch's first event in its partition.
    pub first: u64,
    /// Number of the source batch in its source.
    pub sequence: u64,
    /// Name of the source component.
    pub source: Str,
    /// The partition.
    pub partition: Str,
    /// Position at which the source resumes after that batch.
    pub position: Buf,
}

/// Events that move together.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Batch {
    /// Size of this struct.
    pub struct_size: u32,
    /// Number of events.
    pub n: u32,
    /// Number of buffers.
    pub n_buf: u32,
    /// Number of runs.
    pub n_run: u32,
    /// Number of attributes.
    pub n_attr: u32,
    /// Zero.
    pub reserved: u32,
    /// The buffers.
    pub buf: *const Buf,
    /// Payloads.
    pub data: *const View,
    /// Keys.
    pub key: *const View,
    /// Times, in nanoseconds since 1970.
    pub time: *const i64,
    /// For each event, the index after its last own attribute.
    pub attr_end: *const u32,
    /// Attributes.
    pub attr: *const Attr,
    /// Runs.
    pub run: *const Run,
    /// For each event, the index of the event it was made from.
    pub from: *const u32,
    /// From a source: the source's number for the batch.
    pub seq: u64,
    /// From a source: the partition.
    pub partition: Str,
    /// From a source: the position after this batch.
    pub position: Buf,
    /// From a source: input that could not become an event.
    pub refused: *const Refused,
    /// Number of `refused`.
    pub n_refused: u32,
    /// Number of attributes, at the end of `attr`, that apply to every event.
    pub n_common: u32,
    /// Releases the buffers.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// The argument of `release` and `retain`.
    pub owner: *mut c_void,
    /// In a batch that a plugin receives: keeps the buffers until one more `release`.
    pub retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// From a source: the handles with which the sink acknowledges its entries.
    pub ack_handles: *const AckHandles,
}

/// Handles with which a sink acknowledges entries of a source's input.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AckHandles {
    /// Size of this struct.
    pub struct_size: u32,
    /// Number of texts in the scope.
    pub n_scope: u32,
    /// Values that apply to all handles.
    pub scope: *const Str,
    /// Index, in the source's batch, of the entry of the first handle.
    pub first: u32,
    /// Number of handles.
    pub n: u32,
    /// The handles, concatenated.
    pub bytes: *const u8,
    /// For each handle, the offset after its last byte.
    pub end: *const u32,
}

/// Input that a source could not turn into an event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Refused {
    /// The part that is kept.
    pub data: View,
    /// The full length.
    pub length: u64,
    /// The reason.
    pub reason: Str,
}

/// The progress of one lane.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Record {
    /// Size of this struct.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Name of the source component.
    pub source: Str,
    /// The partition.
    pub partition: Str,
    /// Position at which the source resumes; null at its start.
    pub position: Buf,
    /// Number of the first event after the position.
    pub base: u64,
    /// Number of the first event that is not written.
    pub done: u64,
}

/// The position at which one partition resumes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Resume {
    /// The partition.
    pub partition: Str,
    /// The position.
    pub position: Buf,
}
