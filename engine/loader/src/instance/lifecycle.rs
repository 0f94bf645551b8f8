//! The calls that every kind of plugin has: `open` and `close`.

use std::collections::BTreeMap;
use std::ffi::c_void;

use tidegate_abi::{self as abi, Buf, Resume, Status, Str};
use tidegate_sdk::Position;

use crate::instance::{Call, Instance};

/// The call of `open`.
pub(crate) struct Open {
    function: Option<unsafe extern "C" fn(*mut c_void, *const abi::Open, *mut abi::Error) -> Status>,
    resume: Vec<(String, Position)>,
    places: Vec<Resume>,
    table: abi::Open,
}

// SAFETY: the pointers of the tables point to what the struct itself holds on the heap.
unsafe impl Send for Open {}

impl Open {
    pub(crate) fn of(instance: &Instance, resume: &BTreeMap<String, Position>) -> Self {
        let resume: Vec<_> = resume.iter().map(|(name, place)| (name.clone(), place.clone())).collect();
        // SAFETY: the first field of `Open` is its size.
        let table = unsafe { abi::sized() };
        Self { function: instance.core().tables.base.open, resume, places: Vec::new(), table }
    }

    /// Sets whether the sink acknowledges for the source.
    pub(crate) fn sink_acknowledges(mut self, is: bool) -> Self {
        self.table.sink_acknowledges = is.into();
        self
    }
}

impl Call for Open {
    const NAME: &'static str = "open";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        let Some(function) = self.function else { return Status::OK };
        self.places = self
            .resume
            .iter()
            .map(|(name, place)| Resume { partition: Str::new(name), position: Buf::new(place.as_bytes()) })
            .collect();
        self.table.n_resume = self.places.len() as u32;
        self.table.resume = self.places.as_ptr();
        // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
        unsafe { function(this, &raw const self.table, error) }
    }
}

/// The call of `close`.
pub(crate) struct Close(Option<unsafe extern "C" fn(*mut c_void, *mut abi::Error) -> Status>);

impl Close {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self(instance.core().tables.base.close)
    }
}

impl Call for Close {
    const NAME: &'static str = "close";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        // SAFETY: the caller guarantees it.
        self.0.map_or(Status::OK, |function| unsafe { function(this, error) })
    }
}
