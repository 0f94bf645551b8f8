//! Values that a pass over an event found, and what it noted about them.

use std::ops::Range;

/// The event, or what a query asks of it, is more than the fast path covers: it is for the evaluator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beyond;

/// There is white space inside the value.
pub(super) const SPACED: u8 = 1;
/// There is a backslash in the value.
pub(super) const ESCAPED: u8 = 2;
/// jq may print the value as another text, even without its white space: escapes that it does not write, the
/// same name twice in an object.
pub(super) const UNUSUAL: u8 = 4;

/// A wanted value, as far as it was found. So aligned, it is cleared and written as one word.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
pub(super) struct Found {
    pub(super) state: State,
    pub(super) flags: u8,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Found {
    /// The place in the event.
    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The place at which it begins.
    #[inline]
    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    /// True if jq prints this value as it stands.
    pub(super) fn is_as_printed(self) -> bool {
        self.flags & (SPACED | UNUSUAL) == 0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// The value is not there, which reads as `null`.
    #[default]
    Absent,
    /// The value is there, between `start` and `end`.
    Present,
    /// The value is wanted of one that cannot have it, which is an error.
    Impossible,
}
