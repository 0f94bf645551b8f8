//! The fate of a batch, told to its source.
//!
//! A source batch is the root of a tree of tokens. Whoever passes events on splits the token first; whoever
//! is done with them answers. The root settles once, with the worst answer, when the last token has answered.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_sdk::Outcome;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A token and where its tree's outcomes arrive.
    fn tree() -> (AckToken, Arc<Mutex<Vec<Outcome>>>) {
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&outcomes);
        (AckToken::root(move |outcome| sink.lock().unwrap().push(outcome)), outcomes)
    }

    #[test]
    fn a_dropped_token_means_failed() {
        let (token, outcomes) = tree();
        let other = token.split();
        token.done();
        assert!(outcomes.lock().unwrap().is_empty());
        drop(other);
        assert_eq!(*outcomes.lock().unwrap(), [Outcome::Failed]);
    }

    #[test]
    fn a_panic_that_holds_a_token_means_failed() {
        let (token, outcomes) = tree();
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = token;
            panic!("while holding a token");
        }));
        assert!(unwound.is_err());
        assert_eq!(*outcomes.lock().unwrap(), [Outcome::Failed]);
    }

    #[test]
    fn the_first_reason_is_told() {
        let (token, outcomes) = tree();
        token.split().rejected("one");
        token.rejected("two");
        assert_eq!(*outcomes.lock().unwrap(), [Outcome::Rejected("one".into())]);
    }

    proptest! {
        /// However the tree is split and answered, its root settles exactly once, at the end, with the worst.
        #[test]
        fn settles_once_with_the_worst(steps in prop::collection::vec((0_usize..8, 0_u8..4), 0..60)) {
            let (token, outcomes) = tree();
            let mut open = vec![token];
            let mut worst = Outcome::Delivered;
            for (at, action) in steps {
                let at = at % open.len();
                let token = match action {
                    0 => { let more = open[at].split(); open.push(more); continue }
                    _ if open.len() == 1 => continue,
                    _ => open.swap_remove(at),
                };
                let outcome = match action {
                    1 => { token.done(); Outcome::Delivered }
                    2 => { token.rejected("r"); Outcome::Rejected("r".into()) }
                    _ => { drop(token); Outcome::Failed }
                };
                worst = worst.max(outcome);
                prop_assert!(outcomes.lock().unwrap().is_empty());
            }
            for token in open {
                token.done();
            }
            prop_assert_eq!(&*outcomes.lock().unwrap(), &[worst]);
        }
    }
}
