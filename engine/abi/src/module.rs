//! A library, its plugins, and the functions of the engine.

use std::ffi::{c_char, c_void};

use crate::{Base, Error, Status, Str};

/// The exported function.
pub type Entry = unsafe extern "C" fn(host_minor: u32, host_features: u64) -> *const Module;

/// A library.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
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

/// A plugin of a library.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
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

/// The arguments of `create`.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Create {
    pub struct_size: u32,
    pub reserved: u32,
    pub host: *const Host,
    pub inst: u64,
    pub event_size: u64,
    pub name: Str,
    pub options: Str,
}

/// The functions of the engine.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "documented in the header")]
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

// SAFETY: the tables and all that they point to are constant, and the contract says from which threads the functions may
// be called.
unsafe impl Sync for Module {}
// SAFETY: as above.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Component {}
// SAFETY: as above.
unsafe impl Send for Component {}
// SAFETY: the functions may be called from any thread.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}
