//! The fate of a batch, told to its source.
//!
//! A source batch is the root of a tree of tokens. Whoever passes events on splits the token first; whoever
//! is done with them answers. The root settles once, with the worst answer, when the last token has answered.

use std::sync::PoisonError;

use tidegate_sdk::Outcome;

// Not of `std`: `tests/loom` compiles this file against the `sync` of loom. For its sake the tests are in
// `tests/ack.rs`.
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};

type Settle = Box<dyn FnOnce(Outcome) + Send>;

const DELIVERED: u8 = 0;
const REJECTED: u8 = 1;
const FAILED: u8 = 2;

/// The duty to answer for some events. Not `Clone`; dropped without an answer, it means failed, so that an
/// early return or a panic loses nothing.
#[must_use = "dropping a token means that its events failed"]
pub(crate) struct AckToken {
    /// Taken by the answer.
    root: Option<Arc<Root>>,
}

struct Root {
    open: AtomicUsize,
    worst: AtomicU8,
    reason: Mutex<Option<String>>,
    settle: Mutex<Option<Settle>>,
}

impl AckToken {
    /// The only token of a new tree. `settle` is called once, from whichever thread answers last.
    pub(crate) fn root(settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        let root = Root {
            open: AtomicUsize::new(1),
            worst: AtomicU8::new(DELIVERED),
            reason: Mutex::new(None),
            settle: Mutex::new(Some(Box::new(settle))),
        };
        Self { root: Some(Arc::new(root)) }
    }

    /// Another token of the same tree, for events that go another way.
    pub(crate) fn split(&self) -> Self {
        if let Some(root) = &self.root {
            // Relaxed is enough: the count cannot reach zero while `self` is open.
            root.open.fetch_add(1, Ordering::Relaxed);
        }
        Self { root: self.root.clone() }
    }

    /// The events are safe at a sink, went on under tokens of their own, or were dropped on purpose.
    pub(crate) fn done(mut self) {
        self.answer(DELIVERED);
    }

    /// An event could not be processed, and is kept elsewhere or given up on purpose.
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
            root.settle();
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        self.answer(FAILED);
    }
}

impl Root {
    fn settle(&self) {
        let outcome = match self.worst.load(Ordering::Acquire) {
            DELIVERED => Outcome::Delivered,
            REJECTED => {
                let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
                Outcome::Rejected(reason.unwrap_or_default())
            }
            _ => Outcome::Failed,
        };
        let settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(settle) = settle {
            settle(outcome);
        }
    }
}
