//! The life cycle of an instance, common to sources, filters and sinks.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};

use tidegate_abi::{self as abi, Base, Status};

use super::batch::decode::position;
use super::call::{self, Answer};
use super::capabilities::Capabilities;
use super::link::{Link, text};

use tidegate_sdk::Position;

/// The life cycle of one kind of component.
pub(super) trait Life: 'static {
    /// Describes what it can do.
    fn describe(&mut self, capabilities: &mut Capabilities);
    /// Connects, opens files.
    fn open(&mut self, link: &Link, opening: Opening) -> Answer;
    /// Flushes buffers, disconnects.
    fn close(&mut self, link: &Link) -> Answer;
    /// The constant table of an extension, the same for every instance of the kind; null if there is none.
    fn extension(_id: &CStr) -> *const c_void {
        std::ptr::null()
    }
}

/// The arguments of `open`.
#[derive(Default)]
pub(super) struct Opening {
    /// The positions at which a source resumes, by partition.
    pub(super) resume: BTreeMap<String, Position>,
    /// True if the sink acknowledges for the source.
    pub(super) sink_acknowledges: bool,
}

/// The functions of every instance of `K`.
pub(super) struct Table<K>(std::marker::PhantomData<K>);

impl<K: Life> Table<K> {
    pub(super) const BASE: Base = Base {
        struct_size: size_of::<Base>() as u32,
        reserved: 0,
        describe: Some(describe::<K>),
        open: Some(open::<K>),
        drain: Some(drain::<K>),
        close: Some(close::<K>),
        stop: Some(stop::<K>),
        destroy: Some(destroy::<K>),
        get_extension: Some(get_extension::<K>),
    };
}

// SAFETY, of all below: the engine passes an instance of the kind that the table belongs to, and valid arguments.

unsafe extern "C" fn describe<K: Life>(this: *mut c_void, to: *mut abi::Capabilities) {
    // SAFETY: as above.
    unsafe {
        call::call::<K>(this, std::ptr::null_mut(), |_, state| {
            let mut capabilities = Capabilities::new(to);
            state.describe(&mut capabilities);
            capabilities.finish();
            Ok(Status::OK)
        });
    }
}

unsafe extern "C" fn open<K: Life>(
    this: *mut c_void,
    open: *const abi::Open,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<K>(this, error, |link, state| state.open(link, opening(open))) }
}

/// # Safety
/// `open` is null, or valid for the call as far as its size reaches.
unsafe fn opening(open: *const abi::Open) -> Opening {
    if open.is_null() {
        return Opening::default();
    }
    // SAFETY: the caller guarantees it; a field that an older engine does not have is zero.
    let (open, positions) = unsafe {
        let open = abi::read(open);
        let positions: &[abi::Resume] = if open.resume.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(open.resume, open.n_resume as usize)
        };
        (open, positions)
    };
    // SAFETY: the caller guarantees it.
    let resume = |one: &abi::Resume| unsafe { Some((text(one.partition), position(one.position)?)) };
    Opening {
        resume: positions.iter().filter_map(resume).collect(),
        sink_acknowledges: open.sink_acknowledges != 0,
    }
}

unsafe extern "C" fn drain<K: Life>(this: *mut c_void) {
    // SAFETY: as above.
    unsafe { call::signal::<K>(this, Link::drain) }
}

unsafe extern "C" fn close<K: Life>(this: *mut c_void, error: *mut abi::Error) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<K>(this, error, |link, state| state.close(link)) }
}

unsafe extern "C" fn stop<K: Life>(this: *mut c_void) {
    // SAFETY: as above.
    unsafe { call::signal::<K>(this, Link::stop) }
}

unsafe extern "C" fn destroy<K: Life>(this: *mut c_void) {
    // SAFETY: as above, and this is the last call.
    unsafe { call::destroy::<K>(this) }
}

unsafe extern "C" fn get_extension<K: Life>(_this: *mut c_void, id: *const c_char) -> *const c_void {
    if id.is_null() {
        return std::ptr::null();
    }
    // SAFETY: as above; the id ends with NUL.
    K::extension(unsafe { CStr::from_ptr(id) })
}
