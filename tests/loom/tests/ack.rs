//! However the threads interleave, the root settles exactly once, last, with the worst outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Plain, Ordering};

use loom::sync::atomic::AtomicUsize;
use loom::thread;
use tidegate_loom::Token;
use tidegate_sdk::Outcome;

fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected(reason.to_owned())
}

/// Runs `model` under every interleaving. What it returns are its tokens' trees: each must have settled once.
fn every_interleaving(model: impl Fn() -> Tree + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Of three threads there are too many interleavings to try each; those with few preemptions find what
    // there is to find (M. Musuvathi and S. Qadeer, "Iterative Context Bounding", PLDI 2007).
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let tree = model();
        assert_eq!(tree.settled.load(Ordering::SeqCst), 1, "the root settles exactly once");
    });
}

struct Tree {
    settled: Arc<Plain>,
    /// How many events were dealt with. The threads count without an order of their own, so that the last
    /// answer must see all of it by the order that the tokens give.
    handled: loom::sync::Arc<AtomicUsize>,
}

impl Tree {
    /// A tree that expects to settle with `worst` after `events` events were dealt with.
    fn new(events: usize, worst: fn(&Outcome) -> bool) -> (Self, Token) {
        let tree = Self { settled: Arc::default(), handled: loom::sync::Arc::new(AtomicUsize::new(0)) };
        let (settled, handled) = (Arc::clone(&tree.settled), loom::sync::Arc::clone(&tree.handled));
        let token = Token::root(move |outcome| {
            settled.fetch_add(1, Ordering::SeqCst);
            assert_eq!(
                handled.load(Ordering::Relaxed),
                events,
                "it settles after the last event, and sees it"
            );
            assert!(worst(&outcome), "{outcome:?} is not the worst");
        });
        (tree, token)
    }

    /// A thread that deals with one event and answers for it.
    fn answer(&self, token: Token, outcome: Outcome) -> thread::JoinHandle<()> {
        let handled = loom::sync::Arc::clone(&self.handled);
        thread::spawn(move || {
            handled.fetch_add(1, Ordering::Relaxed);
            token.answer(&outcome);
        })
    }
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("it asserts nothing that does not hold");
    }
}

#[test]
fn three_threads_that_deliver() {
    every_interleaving(|| {
        let (tree, a) = Tree::new(3, |outcome| *outcome == Outcome::Delivered);
        let (b, c) = (a.split(), a.split());
        join([
            tree.answer(a, Outcome::Delivered),
            tree.answer(b, Outcome::Delivered),
            tree.answer(c, Outcome::Delivered),
        ]);
        tree
    });
}

#[test]
fn the_worst_of_three_different_answers() {
    every_interleaving(|| {
        let (tree, a) = Tree::new(3, |outcome| *outcome == Outcome::Failed);
        let (b, c) = (a.split(), a.split());
        join([
            tree.answer(a, Outcome::Delivered),
            tree.answer(b, rejected("r")),
            tree.answer(c, Outcome::Failed),
        ]);
        tree
    });
}

#[test]
fn one_of_two_reasons_is_told() {
    every_interleaving(|| {
        let told: fn(&Outcome) -> bool =
            |outcome| matches!(outcome, Outcome::Rejected(reason) if reason == "a" || reason == "b");
        let (tree, a) = Tree::new(2, told);
        let b = a.split();
        join([tree.answer(a, rejected("a")), tree.answer(b, rejected("b"))]);
        tree
    });
}

#[test]
fn a_token_is_split_while_another_answers() {
    every_interleaving(|| {
        let (tree, a) =
            Tree::new(3, |outcome| matches!(outcome, Outcome::Rejected(reason) if reason == "late"));
        let b = a.split();
        let first = tree.answer(b, Outcome::Delivered);
        // The way of a filter: derive, hand on, then answer for what came in.
        let derived = a.split();
        let second = tree.answer(derived, rejected("late"));
        tree.handled.fetch_add(1, Ordering::Relaxed);
        a.answer(&Outcome::Delivered);
        join([first, second]);
        tree
    });
}

#[test]
fn an_answer_and_an_unwinding_thread() {
    every_interleaving(|| {
        let (tree, a) = Tree::new(2, |outcome| *outcome == Outcome::Failed);
        let b = a.split();
        let delivered = tree.answer(a, Outcome::Delivered);
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
