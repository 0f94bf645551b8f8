//! Callbacks of a source for the outcomes of its batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tidegate_sdk::Outcome;

/// The limit for batches of one source with a callback. At the limit, the source is not read until one has finished.
const LIMIT: usize = 1 << 16;

type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// The callbacks by the number of their batch.
#[derive(Default)]
pub(super) struct PendingBatches {
    waiting: Mutex<HashMap<u64, Callback>>,
    /// True while the source waits for a batch to finish.
    held_up: AtomicBool,
}

impl PendingBatches {
    /// Returns true if the source has to wait. If so, the next batch that finishes wakes it.
    pub(super) fn is_full(&self) -> bool {
        let waiting = self.lock();
        let full = waiting.len() >= LIMIT;
        if full {
            self.held_up.store(true, Ordering::Relaxed);
        }
        full
    }

    /// Adds the callback of batch `seq`.
    pub(super) fn add(&self, seq: u64, callback: Callback) {
        self.lock().insert(seq, callback);
    }

    /// Calls the callback of batch `seq` on this thread, if there is one.
    pub(super) fn finish(&self, seq: u64, outcome: Outcome, waker: &Waker) {
        let mut waiting = self.lock();
        let callback = waiting.remove(&seq);
        let held_up = self.held_up.swap(false, Ordering::Relaxed);
        drop(waiting);
        if held_up {
            waker.wake_by_ref();
        }
        if let Some(callback) = callback {
            callback(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Callback>> {
        // No code panics while the lock is held, and the map would stay valid.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
