//! The ack tree of the runtime, the same file, compiled against the atomics of loom instead of those of `std`.
//!
//! Never runs a pipeline, and is no part of what is built: loom tries every interleaving of a few threads,
//! and every value that a weak memory may show them.
//!
//! Read [`Token`] first, then `tests/ack.rs`.

// What `ack` takes its atomics from, as in `engine/runtime/src/lib.rs`.
use loom::sync;

#[path = "../../../engine/runtime/src/delivery/ack.rs"]
mod ack;

use tidegate_sdk::Outcome;

/// An ack token.
pub struct Token(ack::AckToken);

impl Token {
    /// The only token of a new tree.
    pub fn root(settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(ack::AckToken::root(settle))
    }

    /// Another token of the same tree.
    #[must_use]
    pub fn split(&self) -> Self {
        Self(self.0.split())
    }

    /// Answers as `outcome` says; a failure is a drop.
    pub fn answer(self, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.0.done(),
            Outcome::Rejected(reason) => self.0.rejected(reason),
            Outcome::Failed => drop(self),
        }
    }
}
