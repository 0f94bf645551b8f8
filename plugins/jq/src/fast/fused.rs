//! Several queries in a row as one program: one pass over the event finds what all of them need.
//!
//! All but the last only select: what one hands to the next is the event as it came, so that how much passed
//! between them is known without printing anything.

use std::ops::Range;

use tidegate_query::syntax;
use tidegate_sdk::Passed;

use super::expression::{Expression, Guard};
use super::found::Beyond;
use super::lower::Lowering;
use super::scan;
use super::wanted::ROOT;
use super::{Answer, Event, Program, Results, as_is};

/// Queries in a row, of which all but the last only select.
#[derive(Debug)]
pub(crate) struct FusedProgram {
    /// The conditions of each of those.
    selections: Vec<Vec<Guard>>,
    last: Program,
}

impl FusedProgram {
    /// As many of the queries as can be one program; `None` if that is less than two.
    pub(crate) fn new(queries: &[&str]) -> Option<Self> {
        let mut lowering = Lowering::new();
        let mut selections = Vec::new();
        for (index, query) in queries.iter().enumerate() {
            let term = syntax::tree(query).ok()?;
            let mut results = lowering.query(&term).ok()?;
            let is_last = index + 1 == queries.len();
            match (results.pop(), results.is_empty()) {
                (Some(Expression::Guarded(guards, value)), true)
                    if !is_last && matches!(*value, Expression::Place(ROOT)) =>
                {
                    selections.push(guards);
                }
                (last, _) => {
                    results.extend(last);
                    let last = Program::with(lowering.into_wanted(), results);
                    return (!selections.is_empty()).then_some(Self { selections, last });
                }
            }
        }
        None
    }

    /// The number of queries that it stands for.
    pub(crate) fn queries(&self) -> usize {
        self.selections.len() + 1
    }

    /// The results of the last query for the event that lies at `event` in `buffer`, which may be `limit` bytes
    /// together, and in `passed` what passed from each to the next; `None` if they are to be asked one by one.
    pub(crate) fn run<'a>(
        &self,
        buffer: &[u8],
        event: Range<usize>,
        limit: usize,
        (answer, passed): (&'a mut Answer, &mut [Passed]),
    ) -> Option<Results<'a>> {
        self.try_run(buffer, event, limit, (answer, passed)).ok()
    }

    fn try_run<'a>(
        &self,
        buffer: &[u8],
        event: Range<usize>,
        limit: usize,
        (answer, passed): (&'a mut Answer, &mut [Passed]),
    ) -> Result<Results<'a>, Beyond> {
        let bytes = event.len();
        scan::scan(buffer, event, &self.last.wanted, &mut answer.finds)?;
        let event = Event { text: buffer, finds: &answer.finds };
        for (guards, passed) in self.selections.iter().zip(passed) {
            if !event.pass(guards)? {
                return Ok(Results::NONE);
            }
            if as_is(event.finds.found[ROOT]).is_none_or(|part| part.len() != bytes) {
                return Err(Beyond);
            }
            passed.events += 1;
            passed.bytes += bytes;
        }
        self.last.results(buffer, limit, answer)
    }
}
