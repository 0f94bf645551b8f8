//! `.[]` and `map`: queries for the elements of an array, which become a program of their own.

use std::sync::Arc;

use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::{Opt, Part, Path};

use super::{Lowering, Obstacle, Tree, guarded, split};
use crate::fast::expression::{Each, Expression};
use crate::fast::wanted::Wanted;

impl Lowering {
    /// What `behind` makes of each element of the array that `path` leads to, up to its first `[]`.
    pub(super) fn each(
        &mut self,
        base: &Tree<'_>,
        path: &Path<Tree<'_>>,
        behind: Option<&Tree<'_>>,
        input: &Expression,
    ) -> Result<Expression, Obstacle> {
        let at = iterator(path).ok_or("an iterator")?;
        let front = Path(path.0[..at].to_vec());
        let (guards, array) = split(self.path(base, &front, input)?);
        let Expression::Place(place) = array else {
            return Err("the iterator `.[]` over what is computed".to_owned());
        };
        let rest = Term::Path(Box::new(Term::Id), Path(path.0[at + 1..].to_vec()));
        let body = match behind {
            Some(behind) => Term::BinOp(Box::new(rest), BinaryOp::Pipe(None), Box::new(behind.clone())),
            None => rest,
        };
        let mut elements = Self { wanted: Wanted::new(), each: 0, ..*self };
        let results = elements.query(&body)?;
        self.size = elements.size;
        self.each += 1;
        let each = Each { wanted: Arc::new(elements.wanted), results, number: self.each - 1 };
        Ok(guarded(guards, Expression::Each(place, Box::new(each))))
    }

    /// `map(body)`, which is `[.[] | body]`.
    pub(super) fn map(&mut self, body: &Tree<'_>, input: &Expression) -> Result<Expression, Obstacle> {
        let elements = Path(vec![(Part::Range(None, None), Opt::Essential)]);
        let each = self.each(&Term::Id, &elements, Some(body), input)?;
        let (guards, each) = split(each);
        Ok(guarded(guards, Expression::Array(vec![each])))
    }
}

/// Where the first `[]` of a path is.
pub(super) fn iterator(path: &Path<Tree<'_>>) -> Option<usize> {
    path.0.iter().position(|(part, _)| matches!(part, Part::Range(None, None)))
}

/// The path that `term` is, if there is a `[]` in it.
pub(super) fn iterated<'t, 'a>(term: &'t Tree<'a>) -> Option<(&'t Tree<'a>, &'t Path<Tree<'a>>)> {
    match term {
        Term::Path(base, path) => iterator(path).map(|_| (&**base, path)),
        _ => None,
    }
}
