//! The text of a query to a syntax tree.

mod lex;
mod parse;
mod term;
mod tree;

use std::fmt;
use std::ops::Range;

pub(crate) use parse::{parse, parse_definitions};
pub use tree::{Access, Binary, Branch, Definition, Kind, Pair, Pattern, PatternKey, Piece, Term, Update};

/// A problem of a query, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place in the text, in bytes.
    pub span: Range<usize>,
    /// The description.
    pub message: String,
    /// A suggestion, such as "did you mean `select`?".
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.message, self.span.start)
    }
}

impl std::error::Error for Problem {}

/// The syntax tree of the query `text`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn tree(text: &str) -> Result<Term, Problem> {
    parse(text)
}
