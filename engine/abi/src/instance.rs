//! Arguments and capabilities of an instance.

use std::ffi::c_void;

use crate::{Resume, Str};

/// The arguments of `open`.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Open {
    pub struct_size: u32,
    pub n_resume: u32,
    pub resume: *const Resume,
    pub sink_acknowledges: u32,
    pub reserved: u32,
}

/// The arguments of `claim`.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Claim {
    pub struct_size: u32,
    pub reset: u32,
    pub pipeline: Str,
    pub sink: Str,
}

/// The capabilities of an instance.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Capabilities {
    pub struct_size: u32,
    pub replay: u32,
    pub wants_commit: u32,
    pub wants_batch_done: u32,
    pub waits: u32,
    pub parallel: u32,
    pub transactional: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub output: Option<unsafe extern "C" fn(to: *const Capabilities, name: Str)>,
    pub explain: Option<unsafe extern "C" fn(to: *const Capabilities, text: Str)>,
    pub not_transactional: Option<unsafe extern "C" fn(to: *const Capabilities, why: Str)>,
    pub transaction_domain: Option<unsafe extern "C" fn(to: *const Capabilities, name: Str)>,
    pub no_transaction_domain: Option<unsafe extern "C" fn(to: *const Capabilities, why: Str)>,
    pub exclusive: Option<
        unsafe extern "C" fn(
            to: *const Capabilities,
            pointer: Str,
            resource: Str,
            of_same_name: u32,
            help: Str,
        ),
    >,
    pub warn: Option<
        unsafe extern "C" fn(
            to: *const Capabilities,
            pointer: Str,
            message: Str,
            help: Str,
            from: u32,
            end: u32,
        ),
    >,
}
