//! The life of an instance: what sources, filters and sinks have in common.

use std::collections::BTreeMap;
use std::ffi::c_void;

use tidegate_abi::{self as abi, Base, Status};

use super::call::{self, Answer};
use super::given::position;
use super::link::{Link, text};

use crate::Position;

/// What one kind of component does in its life.
pub(super) trait Life: 'static {
    /// Tells what it can do.
    fn describe(&mut self, facts: &mut super::describe::Facts);
    /// Makes connections, opens files. A source resumes at these positions, by partition.
    fn open(&mut self, link: &Link, resume: BTreeMap<String, Position>) -> Answer;
    /// Makes durable what is buffered, ends connections.
    fn close(&mut self, link: &Link) -> Answer;
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
        get_extension: None,
    };
}

// SAFETY, of all below: the engine calls them with an instance of the kind whose table they are in, and with what the
// header says.

unsafe extern "C" fn describe<K: Life>(this: *mut c_void, facts: *mut abi::Facts) {
    // SAFETY: as above.
    unsafe {
        call::call::<K>(this, std::ptr::null_mut(), |_, state| {
            let mut said = super::describe::Facts::new(facts);
            state.describe(&mut said);
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
    unsafe { call::call::<K>(this, error, |link, state| state.open(link, resume(open))) }
}

/// # Safety
/// `open` is null, or valid for the call.
unsafe fn resume(open: *const abi::Open) -> BTreeMap<String, Position> {
    // SAFETY: as the caller promises.
    let places = unsafe {
        match open.as_ref() {
            Some(open) if !open.resume.is_null() => {
                std::slice::from_raw_parts(open.resume, open.n_resume as usize)
            }
            _ => &[],
        }
    };
    // SAFETY: as the caller promises.
    let place = |place: &abi::Place| unsafe { Some((text(place.partition), position(place.position)?)) };
    places.iter().filter_map(place).collect()
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
