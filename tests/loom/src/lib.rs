//! The ack tree of the runtime, compiled from the same file against the atomics of loom instead of those of `std`.
//!
//! Loom tries every interleaving of a few threads, and every value that a weak memory model may show them. Read
//! [`Token`] first, then `tests/ack.rs`.

// `ack` imports its atomics from `crate::sync`, as in `engine/runtime/src/lib.rs`.
use loom::sync;

#[path = "../../../engine/runtime/src/delivery/ack.rs"]
mod ack;

use tidegate_sdk::Outcome;

/// An ack token.
pub struct Token(ack::AckToken);

impl Token {
    /// The first token of a new tree.
    pub fn root(complete: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(ack::AckToken::root(complete))
    }

    /// Another token of the same tree.
    #[must_use]
    pub fn split(&self) -> Self {
        Self(self.0.split())
    }

    /// Reports the outcome. A failure is reported by dropping the token.
    pub fn answer(self, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.0.done(),
            Outcome::Rejected(reason) => self.0.rejected(reason),
            Outcome::Failed => drop(self),
        }
    }
}
