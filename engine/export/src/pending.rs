//! The functions that a source wants called when its batches have ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tidegate_sdk::Outcome;

/// So many batches of one source may be on their way with a function to call at their end. Then the source is not
/// asked for another before one has ended.
const LIMIT: usize = 1 << 16;

type Settled = Box<dyn FnOnce(Outcome) + Send>;

/// The functions by the number of their batch.
#[derive(Default)]
pub(super) struct Settling {
    waiting: Mutex<HashMap<u64, Settled>>,
    /// Whether the source is held up until one has ended.
    held_up: AtomicBool,
}

impl Settling {
    /// Whether the source has to wait. If so, the one that ends next wakes it up.
    pub(super) fn is_full(&self) -> bool {
        let waiting = self.lock();
        let full = waiting.len() >= LIMIT;
        if full {
            self.held_up.store(true, Ordering::Relaxed);
        }
        full
    }

    /// Keeps the function of batch `seq`.
    pub(super) fn keep(&self, seq: u64, settled: Settled) {
        self.lock().insert(seq, settled);
    }

    /// Calls the function of batch `seq`, if there is one, on this thread.
    pub(super) fn settle(&self, seq: u64, outcome: Outcome, waker: &Waker) {
        let mut waiting = self.lock();
        let settled = waiting.remove(&seq);
        let held_up = self.held_up.swap(false, Ordering::Relaxed);
        drop(waiting);
        if held_up {
            waker.wake_by_ref();
        }
        if let Some(settled) = settled {
            settled(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Settled>> {
        // Nothing panics while it is held; were it so, a map is still a map.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
