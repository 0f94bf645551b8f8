//! The data that crosses the border.

use std::ffi::c_void;

use crate::{Buf, Str};

/// Bytes of one buffer of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct View {
    /// Index of the buffer, or [`NONE`](crate::NONE).
    pub buf: u32,
    /// First byte.
    pub off: u32,
    /// Number of bytes.
    pub len: u32,
}

/// A named value beside a payload.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Attr {
    /// Its name, in the batch's buffers.
    pub name: View,
    /// One of [`attribute`](crate::attribute).
    pub kind: u32,
    /// Its value.
    pub value: AttrValue,
}

/// The value of an attribute; its type says which it is.
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

/// A stretch of events that came from one place.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Run {
    /// One past the index of its last event.
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
    /// Where the source resumes after that batch.
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
    /// For each event, one past its last own attribute.
    pub attr_end: *const u32,
    /// Attributes.
    pub attr: *const Attr,
    /// Runs.
    pub run: *const Run,
    /// For each event, the index it was made from.
    pub from: *const u32,
    /// From a source: its own number for the batch.
    pub seq: u64,
    /// From a source: the partition.
    pub partition: Str,
    /// From a source: where it resumes after this batch.
    pub position: Buf,
    /// From a source: input that never became an event.
    pub refused: *const Refused,
    /// Number of these.
    pub n_refused: u32,
    /// Number of attributes, at the end of `attr`, that hold for every event.
    pub n_common: u32,
    /// Gives the buffers back.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// What it is called with.
    pub owner: *mut c_void,
    /// In a batch that a plugin is given: keeps the buffers until one more `release`.
    pub retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// Since 1.1. From a source: what the sink acknowledges its entries with.
    pub receipts: *const Receipts,
}

/// What acknowledges entries of a source's input. Since 1.1.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Receipts {
    /// Size of this struct.
    pub struct_size: u32,
    /// Number of texts in the scope.
    pub n_scope: u32,
    /// What holds for all of them.
    pub scope: *const Str,
    /// Index, in the source's batch, of the entry of the first one.
    pub first: u32,
    /// Number of receipts.
    pub n: u32,
    /// The receipts, one behind the other.
    pub bytes: *const u8,
    /// For each receipt, one past its last byte.
    pub end: *const u32,
}

/// Input that a source could not make an event of.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Refused {
    /// What is kept of it.
    pub data: View,
    /// Its length.
    pub length: u64,
    /// Why.
    pub reason: Str,
}

/// How far one lane is.
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
    /// Where the source resumes; null at its start.
    pub position: Buf,
    /// Number of the first event behind the position.
    pub base: u64,
    /// Number of the first event that is not done.
    pub done: u64,
}

/// Where to resume in one partition.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Place {
    /// The partition.
    pub partition: Str,
    /// The position.
    pub position: Buf,
}
