//! The threads of the library: one tokio runtime for all its components that wait.
//!
//! A library has a tokio of its own, which shares nothing with the engine's. Futures are polled on the engine's
//! threads within the context of this runtime; its worker drives the sockets and timers, and runs what the components
//! spawn.

use std::sync::OnceLock;

use tokio::runtime::{Builder, EnterGuard, Runtime};

use tidegate_sdk::Error;

/// There is one in a library, as there is one allocator: the entry is a plain function, which nobody hands a value
/// that could hold it. Libraries are never unloaded, so it never ends.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Enters the context of the runtime, which is started on the first call.
pub(super) fn enter() -> Result<EnterGuard<'static>, Error> {
    if RUNTIME.get().is_none() {
        let built =
            Builder::new_multi_thread().worker_threads(1).thread_name("tidegate-plugin").enable_all().build();
        let built =
            built.map_err(|error| Error::retry(format!("the library cannot start its threads: {error}")))?;
        if let Err(second) = RUNTIME.set(built) {
            // Another instance was opened at the same time. Dropping a runtime would wait for its threads.
            second.shutdown_background();
        }
    }
    enter_if_started().ok_or_else(|| Error::fatal("the library has no threads"))
}

/// The same, if there was a reason to start it.
pub(super) fn enter_if_started() -> Option<EnterGuard<'static>> {
    RUNTIME.get().map(Runtime::enter)
}
