//! Queries of the fast subset as expressions.

use std::sync::Arc;

use tidegate_query::Regex;
use tidegate_query::syntax::Binary;

use super::wanted::{Place, Wanted};
use super::words::Pattern;

/// An expression over one event. It has one result or none, but for [`Expression::Each`].
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// The value at a place of the event.
    Place(Place),
    /// A literal.
    Constant(Constant),
    /// An object: for each member the text before its value, such as `{"name":` or `,"age":`.
    Object(Vec<Member>),
    /// An array. Elements without a result are left out.
    Array(Vec<Expression>),
    /// The result of the second expression, if all guards pass.
    Guarded(Vec<Guard>, Box<Expression>),
    /// `if`: a condition, and both branches.
    Choice(Box<[Expression; 3]>),
    /// `//`
    Alternative(Box<[Expression; 2]>),
    /// `and`, or `or` if the value that decides alone is true.
    Logic(bool, Box<[Expression; 2]>),
    /// `not`
    Not(Box<Expression>),
    Compare(Binary, Box<[Expression; 2]>),
    /// True if the value at a place is this string, which stands in quotes, or is not, if false.
    IsText(Place, Pattern, bool),
    Calculate(Binary, Box<[Expression; 2]>),
    /// A test of a string.
    Test(Test, Box<Expression>),
    /// True if the object at the first place has the member at the second.
    Has(Place, Place),
    /// `tonumber`
    ToNumber(Box<Expression>),
    /// A text with expressions in it.
    Format(Vec<Piece>),
    /// The results of a query for each element of the array at a place. Only where there may be any number of results:
    /// as a result of the query, and in an array.
    Each(Place, Box<Each>),
    /// `empty`
    Nothing,
}

/// A member of an object that is made.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The text before its value.
    pub(super) before: Box<[u8]>,
    pub(super) value: Expression,
}

/// A part of a text with expressions in it.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// A literal text.
    Text(Box<str>),
    Value(Expression),
}

/// A query for the elements of an array.
#[derive(Clone, Debug)]
pub(super) struct Each {
    /// The values that are needed of an element.
    pub(super) wanted: Arc<Wanted>,
    /// The expressions of the results that an element may have.
    pub(super) results: Vec<Expression>,
    /// Its number among those over the same event.
    pub(super) number: usize,
}

/// A literal.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Number(f64),
    /// A number as it is written.
    Digits(Box<[u8]>),
    Text(Box<str>),
}

/// A condition for an expression to have a result.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// The condition has a result that is neither `false` nor `null`.
    True(Expression),
    /// The expression has a result. What a pipe throws away may still fail, and then the event is rejected.
    Any(Expression),
}

/// A test of a string.
#[derive(Clone, Debug)]
pub(super) enum Test {
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Contains(Box<memchr::memmem::Finder<'static>>),
    Matches(Box<Regex>),
}

impl Expression {
    /// The number of expressions that it is made of.
    pub(super) fn size(&self) -> usize {
        1 + self.parts().into_iter().map(Self::size).sum::<usize>()
    }

    /// The depth to which the arrays and objects are nested that it makes.
    pub(super) fn depth(&self) -> usize {
        let below = self.parts().into_iter().map(Self::depth).max().unwrap_or(0);
        match self {
            Self::Object(_) | Self::Array(_) => below + 1,
            _ => below,
        }
    }

    fn parts(&self) -> Vec<&Expression> {
        match self {
            Self::Place(_) | Self::Constant(_) | Self::IsText(..) | Self::Has(..) | Self::Nothing => {
                Vec::new()
            }
            Self::Object(members) => members.iter().map(|member| &member.value).collect(),
            Self::Array(elements) => elements.iter().collect(),
            Self::Guarded(guards, value) => {
                let guards = guards.iter().map(|(Guard::True(guard) | Guard::Any(guard))| guard);
                guards.chain([&**value]).collect()
            }
            Self::Choice(parts) => parts.iter().collect(),
            Self::Alternative(parts)
            | Self::Logic(_, parts)
            | Self::Compare(_, parts)
            | Self::Calculate(_, parts) => parts.iter().collect(),
            Self::Not(part) | Self::Test(_, part) | Self::ToNumber(part) => vec![part],
            Self::Format(pieces) => {
                let values = pieces.iter().map(|piece| match piece {
                    Piece::Text(_) => None,
                    Piece::Value(value) => Some(value),
                });
                values.flatten().collect()
            }
            Self::Each(_, each) => each.results.iter().collect(),
        }
    }
}
