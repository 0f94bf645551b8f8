//! `.[]` and `map`: queries for the elements of an array, which become a program of their own.

use std::sync::Arc;

use tidegate_query::syntax::{Access, Kind, Term};

use super::{Lowering, Obstacle, guarded, split};
use crate::fast::expression::{Each, Expression};
use crate::fast::wanted::Wanted;

/// A term, and what is taken out of it, step by step.
pub(super) type Path<'t> = (&'t Term, Vec<&'t Access>);

impl Lowering {
    /// The results of `after` for each element of the array that the path leads to, up to its first `[]`.
    pub(super) fn each(
        &mut self,
        (base, path): &Path<'_>,
        after: Option<&Term>,
        input: &Expression,
    ) -> Result<Expression, Obstacle> {
        let at = iterator(path).ok_or("an iterator")?;
        let (guards, array) = split(self.path(base, &path[..at], input)?);
        let Expression::Place(place) = array else {
            return Err("the iterator `.[]` over what is computed".to_owned());
        };
        let span = base.span.clone();
        let here = Term { kind: Kind::Identity, span: span.clone() };
        let mut body = path[at + 1..].iter().fold(here, |term, access| Term {
            kind: Kind::Index(Box::new(term), Box::new((*access).clone())),
            span: span.clone(),
        });
        if let Some(after) = after {
            body = Term { kind: Kind::Pipe(Box::new(body), Box::new(after.clone())), span };
        }
        let mut elements = Self { wanted: Wanted::new(), each: 0, ..*self };
        let results = elements.query(&body)?;
        self.size = elements.size;
        self.each += 1;
        let each = Each { wanted: Arc::new(elements.wanted), results, number: self.each - 1 };
        Ok(guarded(guards, Expression::Each(place, Box::new(each))))
    }

    /// `map(body)`, which is `[.[] | body]`.
    pub(super) fn map(&mut self, body: &Term, input: &Expression) -> Result<Expression, Obstacle> {
        let here = Term { kind: Kind::Identity, span: body.span.clone() };
        let each = self.each(&(&here, vec![&Access::Each]), Some(body), input)?;
        let (guards, each) = split(each);
        Ok(guarded(guards, Expression::Array(vec![each])))
    }
}

/// The path that a term is. `?` after it changes nothing here: what fails is for the evaluator.
pub(super) fn path_of(term: &Term) -> Path<'_> {
    let mut path = Vec::new();
    let mut base = term;
    loop {
        match &base.kind {
            Kind::Index(inner, access) => {
                path.push(&**access);
                base = inner;
            }
            Kind::Try(inner, None) if matches!(inner.kind, Kind::Index(..)) => base = inner,
            _ => break,
        }
    }
    path.reverse();
    (base, path)
}

/// The place of the first `[]` of a path.
fn iterator(path: &[&Access]) -> Option<usize> {
    path.iter().position(|access| matches!(access, Access::Each))
}

/// The path that `term` is, if there is a `[]` in it.
pub(super) fn iterated(term: &Term) -> Option<Path<'_>> {
    let path = path_of(term);
    iterator(&path.1).map(|_| path)
}
