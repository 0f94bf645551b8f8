//! Tables of functions.

use std::ffi::{c_char, c_void};

use crate::{AckHandles, Batch, Buf, Capabilities, Claim, Error, Open, Record, Status, Str};

/// The output of a filter.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Out {
    pub struct_size: u32,
    pub attempt: u32,
    pub ctx: *mut c_void,
    pub emit: Option<unsafe extern "C" fn(out: *const Out, port: u32, batch: *const Batch) -> Status>,
    pub reject: Option<unsafe extern "C" fn(out: *const Out, event: u32, why: *const Error) -> Status>,
    pub defer_from: Option<unsafe extern "C" fn(out: *const Out, event: u32) -> Status>,
    pub is_last_attempt: u32,
    pub reserved: u32,
}

/// The report of a sink on its batch.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Report {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub reject: Option<unsafe extern "C" fn(report: *const Report, event: u32, why: *const Error) -> Status>,
    pub retry: Option<unsafe extern "C" fn(report: *const Report, event: u32, why: *const Error) -> Status>,
    pub failed: Option<unsafe extern "C" fn(report: *const Report, event: u32, why: *const Error) -> Status>,
    pub already_done: Option<unsafe extern "C" fn(report: *const Report, event: u32) -> Status>,
}

/// Receives the records of a sink.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Records {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub found: Option<unsafe extern "C" fn(records: *const Records, record: *const Record) -> Status>,
}

/// The functions of every kind of plugin.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Base {
    pub struct_size: u32,
    pub reserved: u32,
    pub describe: Option<unsafe extern "C" fn(this: *mut c_void, to: *mut Capabilities)>,
    pub open: Option<unsafe extern "C" fn(this: *mut c_void, open: *const Open, error: *mut Error) -> Status>,
    pub drain: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub close: Option<unsafe extern "C" fn(this: *mut c_void, error: *mut Error) -> Status>,
    pub stop: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub destroy: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub get_extension: Option<unsafe extern "C" fn(this: *mut c_void, id: *const c_char) -> *const c_void>,
}

/// The functions of a source.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Source {
    pub struct_size: u32,
    pub reserved: u32,
    pub next: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            max_wait_ns: u64,
            batch: *mut Batch,
            error: *mut Error,
        ) -> Status,
    >,
    pub commit: Option<
        unsafe extern "C" fn(this: *mut c_void, partition: Str, position: Buf, error: *mut Error) -> Status,
    >,
    pub batch_done: Option<unsafe extern "C" fn(this: *mut c_void, seq: u64, outcome: u32, reason: Str)>,
}

/// The functions of a filter.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Filter {
    pub struct_size: u32,
    pub reserved: u32,
    pub route: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            batch: *const Batch,
            port: *mut u16,
            out: *const Out,
            error: *mut Error,
        ) -> Status,
    >,
    pub process: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            batch: *const Batch,
            out: *const Out,
            error: *mut Error,
        ) -> Status,
    >,
}

/// The functions of a sink.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Sink {
    pub struct_size: u32,
    pub reserved: u32,
    pub write: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            batch: *const Batch,
            report: *const Report,
            error: *mut Error,
        ) -> Status,
    >,
    pub claim: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            claim: *const Claim,
            records: *const Records,
            error: *mut Error,
        ) -> Status,
    >,
    pub commit: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            batch: *const Batch,
            record: *const Record,
            report: *const Report,
            error: *mut Error,
        ) -> Status,
    >,
    pub ack_and_write: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            batch: *const Batch,
            handles: *const AckHandles,
            report: *const Report,
            error: *mut Error,
        ) -> Status,
    >,
}

/// Receives the state of a filter.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct StateWriter {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub put: Option<unsafe extern "C" fn(to: *const StateWriter, part: Buf) -> Status>,
}

/// Saves and restores the state of a filter.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct State {
    pub struct_size: u32,
    pub reserved: u32,
    pub save:
        Option<unsafe extern "C" fn(this: *mut c_void, to: *const StateWriter, error: *mut Error) -> Status>,
    pub restore: Option<unsafe extern "C" fn(this: *mut c_void, state: Buf, error: *mut Error) -> Status>,
}
