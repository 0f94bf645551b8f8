//! The tokio runtime of the library, for all its components that wait.
//!
//! It shares nothing with the runtime of the engine. Futures are polled on threads of the engine in the context of this
//! runtime; its worker thread drives sockets and timers and runs spawned tasks.

use std::sync::OnceLock;

use tokio::runtime::{Builder, EnterGuard, Runtime};

use tidegate_sdk::Error;

/// A static, because the entry point of a library is a plain function without state. Libraries are never unloaded, so it
/// never ends.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Enters the context of the runtime, which the first call starts.
pub(super) fn enter() -> Result<EnterGuard<'static>, Error> {
    if RUNTIME.get().is_none() {
        let built =
            Builder::new_multi_thread().worker_threads(1).thread_name("tidegate-plugin").enable_all().build();
        let built =
            built.map_err(|error| Error::retry(format!("the library cannot start its threads: {error}")))?;
        if let Err(second) = RUNTIME.set(built) {
            // Another instance was opened at the same time. A drop of the runtime would wait for its threads.
            second.shutdown_background();
        }
    }
    enter_if_started().ok_or_else(|| Error::fatal("the library has no threads"))
}

/// Enters the context of the runtime if it is started.
pub(super) fn enter_if_started() -> Option<EnterGuard<'static>> {
    RUNTIME.get().map(Runtime::enter)
}
