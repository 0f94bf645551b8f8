//! The ack tree, one thread at a time; `tests/loom` has the interleavings of several.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tidegate_sdk::Outcome;

use crate::delivery::ack::AckToken;

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
fn first_reason_is_reported() {
    let (token, outcomes) = tree();
    token.split().rejected("one");
    token.rejected("two");
    assert_eq!(*outcomes.lock().unwrap(), [Outcome::Rejected("one".into())]);
}

proptest! {
    /// For any splits and answers, the root ends exactly once, at the last answer, with the worst one.
    #[test]
    fn root_ends_once_with_the_worst_answer(steps in prop::collection::vec((0_usize..8, 0_u8..4), 0..60)) {
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
