//! Saves and restores the state of a filter of a library: the extension `tidegate.state/1`.
//!
//! The bytes are not interpreted. Their size is limited as they arrive.

use std::ffi::c_void;
use std::panic::AssertUnwindSafe;

use tidegate_abi::{self as abi, Buf, StateWriter, Status};
use tidegate_sdk::{Error, STATE_BYTES};

use crate::factory::broke_contract;
use crate::instance::{Call, Instance};

/// The extension of an instance, if it has one.
///
/// # Safety
/// `this` is an instance with this base.
unsafe fn table(base: &abi::Base, this: *mut c_void) -> Result<Option<abi::State>, String> {
    let Some(get_extension) = base.get_extension else { return Ok(None) };
    // SAFETY: the caller guarantees it, and the id ends with NUL.
    let table = unsafe { get_extension(this, abi::STATE.as_ptr()) };
    if table.is_null() {
        return Ok(None);
    }
    // SAFETY: the id defines the type of the table, which is constant.
    let table = unsafe {
        abi::read_checked(table.cast::<abi::State>(), size_of::<abi::State>(), "the table of its state")
    };
    table.map(Some)
}

/// The call of `save`.
pub(crate) struct Save {
    base: abi::Base,
    keep: StateWriter,
    saved: Option<Vec<u8>>,
    broken: Option<String>,
}

// SAFETY: the pointer of `keep` points to the call itself, which is boxed.
unsafe impl Send for Save {}

impl Save {
    pub(crate) fn of(instance: &Instance) -> Box<Self> {
        let base = instance.core().tables.base;
        // SAFETY: the first field of `StateWriter` is its size.
        let keep = unsafe { abi::sized() };
        Box::new(Self { base, keep, saved: None, broken: None })
    }

    /// The saved state, if there is one.
    pub(crate) fn result(self) -> Result<Option<Vec<u8>>, Error> {
        match self.broken {
            Some(why) => Err(broke_contract(why)),
            None => Ok(self.saved),
        }
    }

    fn put(&mut self, part: &[u8]) -> Result<(), String> {
        let saved = self.saved.get_or_insert_default();
        if part.len() > STATE_BYTES - saved.len() {
            return Err(format!("its state has more than {STATE_BYTES} bytes"));
        }
        saved.extend_from_slice(part);
        Ok(())
    }
}

impl Call for Box<Save> {
    const NAME: &'static str = "save";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        // Only the parts of the call that ends the operation count.
        self.saved = None;
        self.keep.ctx = (&raw mut **self).cast();
        self.keep.put = Some(put);
        // SAFETY: the caller guarantees it.
        match unsafe { table(&self.base, this) } {
            Ok(Some(abi::State { save: Some(save), .. })) => {
                let keep = &raw const self.keep;
                // SAFETY: the caller guarantees it, and `keep` is here until the operation ends.
                unsafe { save(this, keep, error) }
            }
            Ok(_) => Status::OK,
            Err(why) => {
                self.broken = Some(why);
                Status::OK
            }
        }
    }
}

unsafe extern "C" fn put(keep: *const StateWriter, part: Buf) -> Status {
    // SAFETY: the plugin passes the struct that it received. Its context is the call, which no other code accesses
    // meanwhile.
    let Some(save) = (unsafe { keep.as_ref().and_then(|keep| keep.ctx.cast::<Save>().as_mut()) }) else {
        return Status::FATAL;
    };
    let work = AssertUnwindSafe(|| {
        if part.n > STATE_BYTES as u64 || (part.p.is_null() && part.n > 0) {
            return Err(format!("{} bytes at once are not a part of a state", part.n));
        }
        // SAFETY: the plugin guarantees this number of bytes for the call.
        save.put(unsafe { part.bytes() })
    });
    // A panic must not cross the ABI.
    match std::panic::catch_unwind(work).unwrap_or_else(|_| Err("the state could not be processed".into())) {
        Ok(()) => Status::OK,
        Err(why) => {
            save.broken.get_or_insert(why);
            Status::FATAL
        }
    }
}

/// The call of `restore`.
pub(crate) struct Restore {
    base: abi::Base,
    state: Vec<u8>,
    broken: Option<String>,
}

impl Restore {
    pub(crate) fn of(instance: &Instance, state: &[u8]) -> Self {
        Self { base: instance.core().tables.base, state: state.to_vec(), broken: None }
    }

    pub(crate) fn result(self) -> Result<(), Error> {
        self.broken.map_or(Ok(()), |why| Err(broke_contract(why)))
    }
}

impl Call for Restore {
    const NAME: &'static str = "restore";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        // SAFETY: the caller guarantees it.
        match unsafe { table(&self.base, this) } {
            Ok(Some(abi::State { restore: Some(restore), .. })) => {
                // SAFETY: the caller guarantees it, and the bytes are here until the operation ends.
                unsafe { restore(this, Buf::new(&self.state), error) }
            }
            Ok(_) => {
                *error = abi::Error::new(Status::UNSUPPORTED, "the plugin does not restore a state");
                Status::UNSUPPORTED
            }
            Err(why) => {
                self.broken = Some(why);
                Status::OK
            }
        }
    }
}
