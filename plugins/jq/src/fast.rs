//! The fast subset of the language: queries that are answered from the bytes of an event, in one pass over them.
//!
//! Most queries of pipelines select by a few values and pass a few on. For these no value is built: the event is
//! checked to its end, the places of the values that the query needs are noted, conditions look at the bytes
//! there, and results are those bytes. What the subset does not cover, query or event, is for the evaluator, which
//! also words every error. Both give the same results, byte by byte; `tests/fast.rs` holds them against each other.
//!
//! The README of this crate describes these queries to users.
//!
//! Read [`Program`] first, then `lower.rs` (which queries), `scan.rs` (the pass), `evaluate.rs` (the answers).

mod evaluate;
mod expression;
mod found;
mod fused;
mod lower;
mod necessary;
mod scan;
mod shape;
mod wanted;
mod words;

use std::ops::Range;

use tidegate_query::syntax;
use tidegate_sdk::Span;

use crate::reader::DEPTH;
use evaluate::Event;
use expression::Expression;
use found::{Beyond, Found, State};
pub(crate) use fused::FusedProgram;
use lower::Lowering;
pub(crate) use necessary::Candidates;
use scan::Finds;
use wanted::Wanted;

/// A query that is of the fast subset.
#[derive(Debug)]
pub(crate) struct Program {
    wanted: Wanted,
    /// The expressions of the results that the query may have, in order.
    results: Vec<Expression>,
    /// The depth to which the arrays and objects are nested that the query makes.
    depth: usize,
}

/// The results of a program for an event, in memory that is used again for its next one. Not for another program: it
/// remembers how events look to this one.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    finds: Finds,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// The results for one event.
#[derive(Debug)]
pub(crate) enum Results<'a> {
    /// A single result, which stands in the buffer as it is printed.
    Part(Range<usize>),
    /// These texts, if any.
    Texts(Texts<'a>),
}

/// Texts, one after the other.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    text: &'a [u8],
    ends: &'a [usize],
}

impl Results<'_> {
    const NONE: Self = Self::Texts(Texts { text: &[], ends: &[] });

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Part(_) => 1,
            Self::Texts(texts) => texts.ends.len(),
        }
    }
}

impl<'a> Texts<'a> {
    pub(crate) fn new(text: &'a [u8], ends: &'a [usize]) -> Self {
        Self { text, ends }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let text = self.text;
        starts.zip(self.ends).map(move |(start, end)| &text[start..*end])
    }
}

impl Program {
    /// The program for the query of this syntax tree.
    ///
    /// # Errors
    /// The obstacle, such as "the function `sort`".
    pub(crate) fn of(tree: &syntax::Term) -> Result<Self, String> {
        let mut lowering = Lowering::new();
        let results = lowering.query(tree)?;
        Ok(Self::with(lowering.into_wanted(), results))
    }

    fn with(wanted: Wanted, results: Vec<Expression>) -> Self {
        let depth = results.iter().map(Expression::depth).max().unwrap_or(0);
        Self { wanted, results, depth }
    }

    /// The results for the event that lies at `event` in `buffer`, which may be `limit` bytes together; `None` if
    /// it is for the evaluator.
    pub(crate) fn run<'a>(
        &self,
        buffer: &[u8],
        event: Range<usize>,
        limit: usize,
        answer: &'a mut Answer,
    ) -> Option<Results<'a>> {
        self.try_run(buffer, event, limit, answer).ok()
    }

    /// True if any result for the event that lies at `event` in `buffer` is neither `false` nor `null`; `None` if
    /// it is for the evaluator.
    pub(crate) fn matches(&self, buffer: &[u8], event: Range<usize>, answer: &mut Answer) -> Option<bool> {
        scan::scan(buffer, event, &self.wanted, &mut answer.finds).ok()?;
        let event = Event { text: buffer, finds: &answer.finds };
        let mut matches = false;
        for result in &self.results {
            let holds = |event: Event<'_>, result: &Expression| {
                // The parts after a match are not evaluated, so that it cannot fail.
                matches = matches || event.holds(result)?;
                Ok(())
            };
            event.results(result, holds).ok()?;
            if matches {
                return Some(true);
            }
        }
        Some(false)
    }

    fn try_run<'a>(
        &self,
        buffer: &[u8],
        event: Range<usize>,
        limit: usize,
        answer: &'a mut Answer,
    ) -> Result<Results<'a>, Beyond> {
        scan::scan(buffer, event, &self.wanted, &mut answer.finds)?;
        self.results(buffer, limit, answer)
    }

    /// The results for an event that was scanned.
    fn results<'a>(
        &self,
        buffer: &[u8],
        limit: usize,
        answer: &'a mut Answer,
    ) -> Result<Results<'a>, Beyond> {
        let event = Event { text: buffer, finds: &answer.finds };
        let results = match &self.results[..] {
            [Expression::Guarded(guards, _)] if !event.pass(guards)? => return Ok(Results::NONE),
            [Expression::Guarded(_, value)] => std::slice::from_ref(&**value),
            results => results,
        };
        if let [Expression::Place(place)] = results
            && let Some(part) = as_is(event.finds.found[*place])
        {
            return if part.len() <= limit { Ok(Results::Part(part)) } else { Err(Beyond) };
        }
        answer.text.clear();
        answer.ends.clear();
        if answer.finds.deepest + self.depth > DEPTH {
            return Err(Beyond);
        }
        let (text, ends) = (&mut answer.text, &mut answer.ends);
        for result in results {
            event.results(result, |event, result| {
                let before = text.len();
                if event.print(result, text)? {
                    ends.push(text.len());
                } else {
                    text.truncate(before);
                }
                if text.len() > limit { Err(Beyond) } else { Ok(()) }
            })?;
        }
        if answer.text.len() <= limit {
            Ok(Results::Texts(Texts::new(&answer.text, &answer.ends)))
        } else {
            Err(Beyond)
        }
    }
}

/// The place of a value in the buffer, if it is there and is printed as it stands.
fn as_is(found: Found) -> Option<Range<usize>> {
    (found.state == State::Present && found.is_as_printed()).then(|| found.range())
}

/// The place of `span` in its buffer.
pub(crate) fn range(span: Span) -> Range<usize> {
    let start = span.offset as usize;
    start..start + span.length as usize
}
