//! The link from an instance to the engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use tidegate_abi::{self as abi, Str};
use tokio_util::sync::CancellationToken;

use super::pending::PendingBatches;
use tidegate_sdk::{Cx, Size};

/// The part of an instance that any thread may use, also during a call.
pub(super) struct Link {
    host: &'static abi::Host,
    /// The number of the instance in the engine.
    pub(super) inst: u64,
    /// Wakes the engine for this instance. After the instance is destroyed, the engine ignores its number.
    pub(super) waker: Waker,
    /// The batches of a source whose outcome is not known yet.
    pub(super) pending: PendingBatches,
    draining: CancellationToken,
    stopped: AtomicBool,
    broken: OnceLock<String>,
}

struct Bell {
    host: &'static abi::Host,
    inst: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(wake) = self.host.wake {
            // SAFETY: the functions of the engine may be called from any thread, with their host.
            unsafe { wake(self.host, self.inst) }
        }
    }
}

impl Link {
    pub(super) fn new(host: &'static abi::Host, inst: u64) -> Self {
        Self {
            host,
            inst,
            waker: Arc::new(Bell { host, inst }).into(),
            pending: PendingBatches::default(),
            draining: CancellationToken::new(),
            stopped: AtomicBool::new(false),
            broken: OnceLock::new(),
        }
    }

    /// The context of a component.
    pub(super) fn cx(&self, component: &str, event_size: u64) -> Cx {
        Cx::new(component, self.draining.clone()).with_event_size(Size(event_size))
    }

    /// Begins the drain.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Makes every operation return `CANCELLED` from now on. Tasks of the component see a drain.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.draining.cancel();
        self.waker.wake_by_ref();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Marks the instance as broken by a panic.
    pub(super) fn break_down(&self, message: &str) {
        // Only the first panic is reported; later ones may follow from it.
        let _ = self.broken.set(message.to_owned());
    }

    /// The message of the panic, if there was one.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    pub(super) fn progress(&self, done: u64, total: u64) {
        if let Some(progress) = self.host.progress {
            // SAFETY: as in `wake_by_ref`.
            unsafe { progress(self.host, self.inst, done, total) }
        }
    }
}

/// Copies a text of the engine.
///
/// # Safety
/// The text is valid for the call.
pub(super) unsafe fn text(text: Str) -> String {
    // SAFETY: the caller guarantees it.
    unsafe { text.text() }.into_owned()
}
