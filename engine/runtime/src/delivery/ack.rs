//! Ack tree: reports the outcome of a batch to its source.
//!
//! A source batch is the root of a tree of tokens. Code that passes events on splits the token first, and answers it when
//! it is done with the events. The root ends once, with the worst answer, when the last token has answered.

use std::sync::PoisonError;

use tidegate_sdk::Outcome;

// Not from `std`: `tests/loom` compiles this file with the `sync` of loom. The unit tests are in `tests/ack.rs`, so that
// loom does not compile them.
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};

type OnEnded = Box<dyn FnOnce(Outcome) + Send>;

const DELIVERED: u8 = 0;
const REJECTED: u8 = 1;
const FAILED: u8 = 2;

/// Ack token: the obligation to answer for some events. Not `Clone`. A token that is dropped without an answer reports a
/// failure, so that an early return or a panic loses nothing.
#[must_use = "a dropped token reports that its events failed"]
pub(crate) struct AckToken {
    /// Taken by the answer.
    root: Option<Arc<Root>>,
}

struct Root {
    open: AtomicUsize,
    worst: AtomicU8,
    reason: Mutex<Option<String>>,
    on_ended: Mutex<Option<OnEnded>>,
}

impl AckToken {
    /// Creates the only token of a new tree. `on_ended` is called once, on the thread that answers last.
    pub(crate) fn root(on_ended: impl FnOnce(Outcome) + Send + 'static) -> Self {
        let root = Root {
            open: AtomicUsize::new(1),
            worst: AtomicU8::new(DELIVERED),
            reason: Mutex::new(None),
            on_ended: Mutex::new(Some(Box::new(on_ended))),
        };
        Self { root: Some(Arc::new(root)) }
    }

    /// Creates another token of the same tree, for events of another branch.
    pub(crate) fn split(&self) -> Self {
        if let Some(root) = &self.root {
            // Relaxed is enough: the count cannot reach zero while `self` is open.
            root.open.fetch_add(1, Ordering::Relaxed);
        }
        Self { root: self.root.clone() }
    }

    /// Answers that the events are safe at a sink, continue under tokens of their own, or were dropped on purpose.
    pub(crate) fn done(mut self) {
        self.answer(DELIVERED);
    }

    /// Answers that an event could not be processed, and is a dead letter or was dropped on purpose.
    pub(crate) fn rejected(mut self, reason: &str) {
        if let Some(root) = &self.root {
            let mut first = root.reason.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| reason.to_owned());
        }
        self.answer(REJECTED);
    }

    fn answer(&mut self, status: u8) {
        let Some(root) = self.root.take() else { return };
        root.worst.fetch_max(status, Ordering::AcqRel);
        if root.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            root.end();
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        self.answer(FAILED);
    }
}

impl Root {
    fn end(&self) {
        let outcome = match self.worst.load(Ordering::Acquire) {
            DELIVERED => Outcome::Delivered,
            REJECTED => {
                let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
                Outcome::Rejected(reason.unwrap_or_default())
            }
            _ => Outcome::Failed,
        };
        let on_ended = self.on_ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(on_ended) = on_ended {
            on_ended(outcome);
        }
    }
}
