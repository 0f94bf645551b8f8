//! The entry of every function of the ABI: catches panics, and rejects calls on an instance that has panicked.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, TryLockError};

use tidegate_abi::{self as abi, Status};

use super::link::Link;
use super::{log, threads};
use tidegate_sdk::{Class, ConfigError, Error};

/// An instance. The `*mut c_void` of the ABI is a `Box` of this.
pub(super) struct Instance<K> {
    link: Link,
    /// Never contended, because calls on one instance do not overlap.
    state: Mutex<K>,
}

/// The reason why a call has no result.
pub(super) enum Refusal {
    /// A status without a message, which may not be a failure.
    Status(Status),
    Config(ConfigError),
    Error(Error),
    Panic(String),
}

/// The result of a call.
pub(super) type Answer = Result<Status, Refusal>;

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

// `stop` and `batch_done` may come from other threads during a call.
const _: () = {
    const fn may_be_shared<T: Send + Sync>() {}
    may_be_shared::<Link>();
};

impl<K: Send> Instance<K> {
    /// Passes an instance to the engine, which returns it to `destroy`.
    pub(super) fn into_raw(link: Link, state: K) -> *mut c_void {
        Box::into_raw(Box::new(Self { link, state: Mutex::new(state) })).cast()
    }
}

/// Runs a call and reports its failure in `error`.
///
/// # Safety
/// `this` is an instance of `K` from `into_raw` that is not destroyed; `error` is null or valid for the call.
pub(super) unsafe fn call<K>(
    this: *mut c_void,
    error: *mut abi::Error,
    work: impl FnOnce(&Link, &mut K) -> Answer,
) -> Status {
    // SAFETY: the caller guarantees it. All references are shared, so `stop` and `batch_done` may come meanwhile.
    let instance = unsafe { &*this.cast::<Instance<K>>() };
    let answer = guard(&instance.link, || instance.locked(work));
    // SAFETY: the caller guarantees it.
    unsafe { write_error(answer, error) }
}

/// Runs a call without a result, which may come from any thread.
///
/// # Safety
/// As [`call`].
pub(super) unsafe fn signal<K>(this: *mut c_void, work: impl FnOnce(&Link)) {
    // SAFETY: the caller guarantees it.
    let instance = unsafe { &*this.cast::<Instance<K>>() };
    let _ = guard(&instance.link, || {
        let _context = threads::enter_if_started();
        work(&instance.link);
        Ok(Status::OK)
    });
}

/// Drops an instance. After a panic, the rest of it is leaked.
///
/// # Safety
/// As [`call`], and `this` is not used afterwards.
pub(super) unsafe fn destroy<K>(this: *mut c_void) {
    // SAFETY: it was created by `into_raw`, and is passed back once.
    let instance = unsafe { Box::from_raw(this.cast::<Instance<K>>()) };
    let _log = log::within(instance.link.inst);
    let _ = caught(move || {
        let _context = threads::enter_if_started();
        instance.link.drain();
        drop(instance);
    });
}

/// Runs a call that has no instance yet, and reports its failure in `error`.
///
/// # Safety
/// `error` is null or valid for the call.
pub(super) unsafe fn create(inst: u64, error: *mut abi::Error, work: impl FnOnce() -> Answer) -> Status {
    let _log = log::within(inst);
    let answer = caught(work).unwrap_or_else(|message| Err(Refusal::Panic(message)));
    // SAFETY: the caller guarantees it.
    unsafe { write_error(answer, error) }
}

impl<K> Instance<K> {
    fn locked(&self, work: impl FnOnce(&Link, &mut K) -> Answer) -> Answer {
        match self.state.try_lock() {
            Ok(mut state) => work(&self.link, &mut state),
            Err(TryLockError::Poisoned(_)) => Err(Refusal::Panic("it panicked before".into())),
            Err(TryLockError::WouldBlock) => {
                Err(Error::fatal("the engine made two calls on one instance at a time").into())
            }
        }
    }
}

fn guard(link: &Link, work: impl FnOnce() -> Answer) -> Answer {
    if let Some(message) = link.broken() {
        return Err(Refusal::Panic(message.to_owned()));
    }
    let _log = log::within(link.inst);
    caught(work).unwrap_or_else(|message| {
        link.break_down(&message);
        Err(Refusal::Panic(message))
    })
}

/// The result of `work`, or the message of its panic.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _expected = log::expecting_a_panic();
    // A state that a panic left inconsistent is not used again: `Link::broken` prevents it.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = log::last_panic().unwrap_or_else(|| log::said(&*payload));
        // Dropping another payload runs code of the plugin, which may panic again without being caught.
        if !payload.is::<String>() && !payload.is::<&str>() {
            std::mem::forget(payload);
        }
        message
    })
}

/// Writes the failure of a call into the struct of the engine, and returns the status.
///
/// # Safety
/// `error` is null or valid for the call.
unsafe fn write_error(answer: Answer, error: *mut abi::Error) -> Status {
    let said = match answer {
        Ok(status) | Err(Refusal::Status(status)) => return status,
        Err(Refusal::Config(wrong)) => {
            let help = wrong.help.as_deref().unwrap_or_default();
            abi::Error::new(Status::CONFIG, &wrong.message).at(&wrong.pointer, wrong.range, help)
        }
        Err(Refusal::Error(failed)) => error_of(&failed),
        Err(Refusal::Panic(message)) => {
            abi::Error::new(Status::PANIC, &format!("the plugin panicked: {message}"))
        }
    };
    // SAFETY: the caller guarantees it. The struct of the engine may be longer, and keeps its size.
    unsafe {
        if !error.is_null() {
            abi::write(error, &said);
        }
    }
    said.code
}

/// Converts an error for the ABI.
pub(super) fn error_of(error: &Error) -> abi::Error {
    let code = match error.class() {
        Class::Retry => Status::RETRY,
        Class::Busy => Status::BUSY,
        Class::Ambiguous => Status::AMBIGUOUS,
        Class::Misconfigured => Status::MISCONFIGURED,
        Class::Reject => Status::REJECT,
        Class::Replay => Status::REPLAY,
        Class::Fatal | Class::Broken => Status::FATAL,
    };
    let pause = error.retry_after().map_or(0, |pause| u32::try_from(pause.as_millis()).unwrap_or(u32::MAX));
    abi::Error { retry_after_ms: pause, ..abi::Error::new(code, error.message()) }
}
