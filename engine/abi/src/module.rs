//! A library, its plugins, and what an instance is told.

use std::ffi::{c_char, c_void};

use crate::{Base, Error, Place, Status, Str};

/// The one exported function.
pub type Entry = unsafe extern "C" fn(host_minor: u32, host_features: u64) -> *const Module;

/// A library.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Module {
    pub struct_size: u32,
    pub abi_minor: u32,
    pub min_host_minor: u32,
    pub flags: u32,
    pub need_features: u64,
    pub id: Str,
    pub version: Str,
    pub n_components: u32,
    pub reserved: u32,
    pub components: *const *const Component,
    pub init: Option<unsafe extern "C" fn(host: *const Host, error: *mut Error) -> Status>,
    pub get_extension: Option<unsafe extern "C" fn(id: *const c_char) -> *const c_void>,
}

/// One plugin.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Component {
    pub struct_size: u32,
    pub kind: u32,
    pub caps: u32,
    pub reserved: u32,
    pub name: Str,
    pub summary: Str,
    pub sample: Str,
    pub schema: Str,
    pub create: Option<
        unsafe extern "C" fn(
            component: *const Component,
            create: *const Create,
            this: *mut *mut c_void,
            error: *mut Error,
        ) -> Status,
    >,
    pub base: *const Base,
    pub ops: *const c_void,
}

/// What an instance is made of.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Create {
    pub struct_size: u32,
    pub reserved: u32,
    pub host: *const Host,
    pub inst: u64,
    pub event_size: u64,
    pub name: Str,
    pub options: Str,
}

/// What an instance is told when it is opened.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Open {
    pub struct_size: u32,
    pub n_resume: u32,
    pub resume: *const Place,
    pub by_receipt: u32,
    pub reserved: u32,
}

/// Who claims lanes.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Claim {
    pub struct_size: u32,
    pub afresh: u32,
    pub pipeline: Str,
    pub sink: Str,
}

/// What an instance says of itself.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Facts {
    pub struct_size: u32,
    pub replay: u32,
    pub commits: u32,
    pub settles: u32,
    pub waits: u32,
    pub parallel: u32,
    pub transactional: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub output: Option<unsafe extern "C" fn(facts: *const Facts, name: Str)>,
    pub explain: Option<unsafe extern "C" fn(facts: *const Facts, text: Str)>,
    pub why_not: Option<unsafe extern "C" fn(facts: *const Facts, text: Str)>,
    pub domain: Option<unsafe extern "C" fn(facts: *const Facts, text: Str)>,
    pub no_domain: Option<unsafe extern "C" fn(facts: *const Facts, why: Str)>,
}

/// What the engine does for plugins.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "the header tells what each is")]
pub struct Host {
    pub struct_size: u32,
    pub abi_minor: u32,
    pub version: Str,
    pub ctx: *mut c_void,
    pub log: Option<unsafe extern "C" fn(host: *const Host, inst: u64, level: u32, message: Str)>,
    pub log_level: Option<unsafe extern "C" fn(host: *const Host) -> u32>,
    pub wake: Option<unsafe extern "C" fn(host: *const Host, inst: u64)>,
    pub wake_after: Option<unsafe extern "C" fn(host: *const Host, inst: u64, nanoseconds: u64)>,
    pub progress: Option<unsafe extern "C" fn(host: *const Host, inst: u64, done: u64, total: u64)>,
    pub get_extension: Option<unsafe extern "C" fn(host: *const Host, id: *const c_char) -> *const c_void>,
}

// SAFETY: the tables are constant, and their pointers point to what is constant; what the functions may be called
// from is part of the contract.
unsafe impl Sync for Module {}
// SAFETY: as above.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Component {}
// SAFETY: as above.
unsafe impl Send for Component {}
// SAFETY: its functions may be called from any thread.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}
