//! The functions of the two sides.

use std::ffi::{c_char, c_void};

use crate::{Batch, Buf, Claim, Error, Facts, Open, Receipts, Record, Status, Str};

/// Where a filter puts what it makes of the batch at hand.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Out {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub emit: Option<unsafe extern "C" fn(out: *const Out, port: u32, batch: *const Batch) -> Status>,
    pub reject: Option<unsafe extern "C" fn(out: *const Out, event: u32, why: *const Error) -> Status>,
    pub leave_from: Option<unsafe extern "C" fn(out: *const Out, event: u32) -> Status>,
}

/// What became of the events that a sink was given.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Report {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub reject: Option<unsafe extern "C" fn(report: *const Report, event: u32, why: *const Error) -> Status>,
    pub again: Option<unsafe extern "C" fn(report: *const Report, event: u32, why: *const Error) -> Status>,
    pub elsewhere: Option<unsafe extern "C" fn(report: *const Report, event: u32) -> Status>,
}

/// Where a sink puts the records that it finds.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Records {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub found: Option<unsafe extern "C" fn(records: *const Records, record: *const Record) -> Status>,
}

/// What all instances can do.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Base {
    pub struct_size: u32,
    pub reserved: u32,
    pub describe: Option<unsafe extern "C" fn(this: *mut c_void, facts: *mut Facts)>,
    pub open: Option<unsafe extern "C" fn(this: *mut c_void, open: *const Open, error: *mut Error) -> Status>,
    pub drain: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub close: Option<unsafe extern "C" fn(this: *mut c_void, error: *mut Error) -> Status>,
    pub stop: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub destroy: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub get_extension: Option<unsafe extern "C" fn(this: *mut c_void, id: *const c_char) -> *const c_void>,
}

/// What a source can do.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
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
    pub settled: Option<unsafe extern "C" fn(this: *mut c_void, seq: u64, outcome: u32, reason: Str)>,
}

/// What a filter can do.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
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

/// What a sink can do.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
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
    pub settle: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            batch: *const Batch,
            receipts: *const Receipts,
            report: *const Report,
            error: *mut Error,
        ) -> Status,
    >,
}

/// Where a filter puts what it remembers.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Keep {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub put: Option<unsafe extern "C" fn(keep: *const Keep, part: Buf) -> Status>,
}

/// How a filter hands over what it remembers, and takes it over.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct State {
    pub struct_size: u32,
    pub reserved: u32,
    pub save: Option<unsafe extern "C" fn(this: *mut c_void, keep: *const Keep, error: *mut Error) -> Status>,
    pub restore: Option<unsafe extern "C" fn(this: *mut c_void, state: Buf, error: *mut Error) -> Status>,
}
