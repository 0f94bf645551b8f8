//! What ties an instance to the engine that made it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use tidegate_abi::{self as abi, Str};
use tokio_util::sync::CancellationToken;

use super::pending::Settling;
use tidegate_sdk::{Cx, Size};

/// The part of an instance that may be used from any thread, also while one of its calls runs.
pub(super) struct Link {
    host: &'static abi::Host,
    /// The number by which the engine knows the instance.
    pub(super) inst: u64,
    /// Wakes the engine up for this instance. Harmless after the instance is gone: the engine ignores its number.
    pub(super) waker: Waker,
    /// The batches of a source that are on their way.
    pub(super) settling: Settling,
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
            // SAFETY: the engine's functions may be called from any thread, with the host they belong to.
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
            settling: Settling::default(),
            draining: CancellationToken::new(),
            stopped: AtomicBool::new(false),
            broken: OnceLock::new(),
        }
    }

    /// What a component is given that runs behind this link.
    pub(super) fn cx(&self, component: &str, event_size: u64) -> Cx {
        Cx::new(component, self.draining.clone()).with_event_size(Size(event_size))
    }

    /// The pipeline drains.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Every operation answers from now on that it was cancelled. Tasks of the component see a drain.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.draining.cancel();
        self.waker.wake_by_ref();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The instance has panicked: nothing in it is to be relied on any more.
    pub(super) fn break_down(&self, message: &str) {
        // Only the first panic is told; those after it may follow from it.
        let _ = self.broken.set(message.to_owned());
    }

    /// What it panicked with, if it has.
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

/// A text that the engine handed over, for the length of a call.
///
/// # Safety
/// It is valid for the call.
pub(super) unsafe fn text(text: Str) -> String {
    // SAFETY: the caller guarantees it.
    unsafe { text.text() }.into_owned()
}
