//! Texts without which an event has no result, and the events of a batch that have one.

use memchr::memmem::Finder;
use tidegate_sdk::{Batch, Span};

use super::Program;
use super::expression::{Expression, Guard, Test};
use super::wanted::quoted;

/// The number of texts that are searched for, at most.
const MOST: usize = 8;

/// Finds the events of a batch that a query may have a result for.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// The texts, of which an event must have one, and the backslash: with it, a text may be written in another way.
    finders: Vec<Finder<'static>>,
}

impl Candidates {
    /// For `program`; `None` if there is no text that an event must have.
    pub(crate) fn new(program: &Program) -> Option<Self> {
        let texts = any_of(program.results.iter().map(of_result))?;
        let finders = texts.iter().map(|text| Finder::new(text).into_owned());
        Some(Self { finders: finders.chain([Finder::new(b"\\")]).collect() })
    }

    /// The texts that are looked for.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        let texts = &self.finders[..self.finders.len() - 1];
        texts.iter().map(|finder| String::from_utf8_lossy(finder.needle()).into_owned())
    }

    /// Puts the indices of the events that have one of the texts into `found`.
    pub(crate) fn find(&self, batch: &Batch, found: &mut Vec<usize>) {
        found.clear();
        let spans = batch.spans();
        let follows = |one: &Span, next: &Span| one.buffer == next.buffer && end(one) <= next.offset as usize;
        let mut first = 0;
        for row in spans.chunk_by(follows) {
            let buffer = &batch.buffers()[row[0].buffer as usize];
            self.find_in(buffer, row, |index| found.push(first + index));
            first += row.len();
        }
    }

    /// Looks through `spans`, which follow one another in `buffer`, in one go.
    fn find_in(&self, buffer: &[u8], spans: &[Span], mut found: impl FnMut(usize)) {
        let Some(last) = spans.last() else { return };
        let text = &buffer[..end(last)];
        // The next place of each text, from the current event on.
        let mut next_hits = [0; MOST + 1];
        let hits = &mut next_hits[..self.finders.len()];
        let (mut next, mut known) = (0, false);
        while let Some(span) = spans.get(next) {
            let from = span.offset as usize;
            for (hit, finder) in hits.iter_mut().zip(&self.finders) {
                if !known || *hit < from {
                    *hit = finder.find(&text[from..]).map_or(usize::MAX, |hit| from + hit);
                }
            }
            known = true;
            let hit = hits.iter().copied().min().unwrap_or(usize::MAX);
            next += spans[next..].partition_point(|span| end(span) <= hit);
            if spans.get(next).is_some_and(|span| span.offset as usize <= hit) {
                found(next);
                next += 1;
            }
        }
    }
}

fn end(span: &Span) -> usize {
    span.offset as usize + span.length as usize
}

type Texts = Vec<Box<[u8]>>;

/// Of what has a result if one of these has.
fn any_of(parts: impl Iterator<Item = Option<Texts>>) -> Option<Texts> {
    let texts = parts.collect::<Option<Vec<_>>>()?.concat();
    (1..=MOST).contains(&texts.len()).then_some(texts)
}

/// Of what has a result only if all of these have: the texts that are likely to be seldom.
fn all_of(parts: impl Iterator<Item = Option<Texts>>) -> Option<Texts> {
    let shortest = |texts: &Texts| texts.iter().map(|text| text.len()).min();
    parts.flatten().max_by_key(|texts| (shortest(texts), std::cmp::Reverse(texts.len())))
}

fn of_result(result: &Expression) -> Option<Texts> {
    match result {
        Expression::Guarded(guards, _) => all_of(guards.iter().map(of_guard)),
        _ => None,
    }
}

fn of_guard(guard: &Guard) -> Option<Texts> {
    match guard {
        Guard::True(condition) => of_condition(condition),
        Guard::Any(_) => None,
    }
}

fn of_condition(condition: &Expression) -> Option<Texts> {
    match condition {
        Expression::IsText(_, text, true) => Some(vec![text.bytes().into()]),
        Expression::Test(test, _) => {
            let text = match test {
                Test::StartsWith(text) | Test::EndsWith(text) => text,
                Test::Contains(finder) => finder.needle(),
                Test::Matches(_) => return None,
            };
            let plain = !text.is_empty() && std::str::from_utf8(text).ok().and_then(quoted).is_some();
            plain.then(|| vec![text.into()])
        }
        Expression::Guarded(guards, value) => {
            all_of(guards.iter().map(of_guard).chain([of_condition(value)]))
        }
        Expression::Logic(true, parts) => any_of(parts.iter().map(of_condition)),
        Expression::Logic(false, parts) => all_of(parts.iter().map(of_condition)),
        _ => None,
    }
}
