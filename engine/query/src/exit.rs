//! Reasons why an evaluation ends before its last result.

use crate::meter::Limit;
use crate::value::Val;

/// The reason why an evaluation ends early.
#[derive(Debug)]
pub(crate) enum Exit {
    /// An error, which `try` catches.
    Error(Box<Val>),
    /// `break` out of the label of this number.
    Break(u64),
    Limit(Limit),
    Halt,
    /// The receiver needs no more results.
    Enough,
}

impl Exit {
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::Error(Box::new(Val::from(message.into())))
    }
}

impl From<Limit> for Exit {
    #[inline]
    fn from(limit: Limit) -> Self {
        Self::Limit(limit)
    }
}
