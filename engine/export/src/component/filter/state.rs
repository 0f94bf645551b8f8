//! Saves and restores the state of a filter: the extension `tidegate.state/1`.

use std::ffi::c_void;

use tidegate_abi::{self as abi, Buf, Status};

use super::{Kind, State};
use crate::call::{self, Answer};
use crate::link::Link;
use crate::operation::drive;
use tidegate_sdk::{Error, STATE_BYTES};

impl State {
    /// # Safety
    /// `keep` is valid for the call.
    unsafe fn save(&mut self, link: &Link, keep: *const abi::StateWriter) -> Answer {
        let saved = match &mut self.kind {
            Kind::Plain(filter) => filter.save(),
            Kind::Waiting(waiting) => {
                let cx = waiting.cx.clone();
                drive(link, &mut waiting.filter, &mut waiting.saving, |mut filter| {
                    Box::pin(async move {
                        let saved = filter.save(&cx).await;
                        (filter, saved)
                    })
                })?
            }
        }?;
        let Some(saved) = saved else { return Ok(Status::OK) };
        // SAFETY: the caller guarantees it; the bytes live until `put` returns.
        let put = unsafe { (*keep).put.map(|put| put(keep, Buf::new(&saved))) };
        match put {
            Some(Status::OK) => Ok(Status::OK),
            _ => Err(Error::fatal(format!(
                "the engine refused the state of {} bytes; the limit is {STATE_BYTES}",
                saved.len()
            ))
            .into()),
        }
    }

    /// # Safety
    /// `state` is valid until the operation has ended.
    unsafe fn restore(&mut self, link: &Link, state: Buf) -> Answer {
        // SAFETY: the caller guarantees it; it is read when the operation begins.
        let bytes = || unsafe { state.bytes() };
        let restored = match &mut self.kind {
            Kind::Plain(filter) => filter.restore(bytes()),
            Kind::Waiting(waiting) => {
                let cx = waiting.cx.clone();
                drive(link, &mut waiting.filter, &mut waiting.restoring, |mut filter| {
                    let state = bytes().to_vec();
                    Box::pin(async move {
                        let restored = filter.restore(&state, &cx).await;
                        (filter, restored)
                    })
                })?
            }
        };
        restored?;
        Ok(Status::OK)
    }
}

/// The functions of the extension.
pub(super) static OPS: abi::State = abi::State {
    struct_size: size_of::<abi::State>() as u32,
    reserved: 0,
    save: Some(save),
    restore: Some(restore),
};

// SAFETY, of both below: the engine passes an instance of a filter and valid arguments.

unsafe extern "C" fn save(
    this: *mut c_void,
    keep: *const abi::StateWriter,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<State>(this, error, |link, state| state.save(link, keep)) }
}

unsafe extern "C" fn restore(this: *mut c_void, state: Buf, error: *mut abi::Error) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<State>(this, error, |link, filter| filter.restore(link, state)) }
}
