//! In every interleaving of the threads, the root completes exactly once, last, with the worst outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Plain, Ordering};

use loom::sync::atomic::AtomicUsize;
use loom::thread;
use tidegate_loom::Token;
use tidegate_sdk::Outcome;

fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected(reason.to_owned())
}

/// Runs `model` under every interleaving. The tree that it returns must have completed once.
fn every_interleaving(model: impl Fn() -> Tree + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Three threads have too many interleavings to try each. Those with few preemptions find almost every fault (M. Musuvathi and S. Qadeer, "Iterative Context Bounding", PLDI 2007).
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let tree = model();
        assert_eq!(tree.completed.load(Ordering::SeqCst), 1, "the root completes exactly once");
    });
}

struct Tree {
    completed: Arc<Plain>,
    /// Number of processed events. Counted with relaxed ordering, so that only the tokens order the counts before the
    /// completion.
    handled: loom::sync::Arc<AtomicUsize>,
}

impl Tree {
    /// A tree that expects to complete with the outcome `worst` after `events` processed events.
    fn new(events: usize, worst: fn(&Outcome) -> bool) -> (Self, Token) {
        let tree = Self { completed: Arc::default(), handled: loom::sync::Arc::new(AtomicUsize::new(0)) };
        let (completed, handled) = (Arc::clone(&tree.completed), loom::sync::Arc::clone(&tree.handled));
        let token = Token::root(move |outcome| {
            completed.fetch_add(1, Ordering::SeqCst);
            assert_eq!(
                handled.load(Ordering::Relaxed),
                events,
                "it completes after the last event, and sees it"
            );
            assert!(worst(&outcome), "{outcome:?} is not the worst");
        });
        (tree, token)
    }

    /// Starts a thread that processes one event and reports its outcome.
    fn report(&self, token: Token, outcome: Outcome) -> thread::JoinHandle<()> {
        let handled = loom::sync::Arc::clone(&self.handled);
        thread::spawn(move || {
            handled.fetch_add(1, Ordering::Relaxed);
            token.answer(&outcome);
        })
    }
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("no assertion of the thread fails");
    }
}

#[test]
fn three_deliveries_complete_as_delivered() {
    every_interleaving(|| {
        let (tree, a) = Tree::new(3, |outcome| *outcome == Outcome::Delivered);
        let (b, c) = (a.split(), a.split());
        join([
            tree.report(a, Outcome::Delivered),
            tree.report(b, Outcome::Delivered),
            tree.report(c, Outcome::Delivered),
        ]);
        tree
    });
}

#[test]
fn worst_of_three_outcomes_wins() {
    every_interleaving(|| {
        let (tree, a) = Tree::new(3, |outcome| *outcome == Outcome::Failed);
        let (b, c) = (a.split(), a.split());
        join([
            tree.report(a, Outcome::Delivered),
            tree.report(b, rejected("r")),
            tree.report(c, Outcome::Failed),
        ]);
        tree
    });
}

#[test]
fn either_of_two_reasons_is_reported() {
    every_interleaving(|| {
        let either: fn(&Outcome) -> bool =
            |outcome| matches!(outcome, Outcome::Rejected(reason) if reason == "a" || reason == "b");
        let (tree, a) = Tree::new(2, either);
        let b = a.split();
        join([tree.report(a, rejected("a")), tree.report(b, rejected("b"))]);
        tree
    });
}

#[test]
fn token_can_be_split_while_another_reports() {
    every_interleaving(|| {
        let (tree, a) =
            Tree::new(3, |outcome| matches!(outcome, Outcome::Rejected(reason) if reason == "late"));
        let b = a.split();
        let first = tree.report(b, Outcome::Delivered);
        // As in a filter: derive, pass on, then report for the input.
        let derived = a.split();
        let second = tree.report(derived, rejected("late"));
        tree.handled.fetch_add(1, Ordering::Relaxed);
        a.answer(&Outcome::Delivered);
        join([first, second]);
        tree
    });
}

#[test]
fn unwinding_thread_fails_the_tree() {
    every_interleaving(|| {
        let (tree, a) = Tree::new(2, |outcome| *outcome == Outcome::Failed);
        let b = a.split();
        let delivered = tree.report(a, Outcome::Delivered);
        let handled = loom::sync::Arc::clone(&tree.handled);
        handled.fetch_add(1, Ordering::Relaxed);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = b;
            std::panic::resume_unwind(Box::new("while holding a token"));
        }));
        assert!(unwound.is_err());
        join([delivered]);
        tree
    });
}
