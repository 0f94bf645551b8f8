//! Expressions, evaluated for one event.
//!
//! Whatever would be an error, and the few cases that need a whole value, are [`Beyond`]: the evaluator evaluates
//! the event again from its start, and its words are the reason. So nothing that is decided here may differ from what
//! it decides, but everything may be left undecided.

mod each;
mod format;
mod print;

use std::borrow::Cow;
use std::cmp::Ordering;

use bytes::Bytes;
use tidegate_query::syntax::Binary;
use tidegate_query::{Val, order_of_numbers, plain_whole, remainder_of};

use super::expression::{Constant, Expression, Guard, Test};
use super::found::{Beyond, ESCAPED, Found, State};
use super::scan::{Finds, number_end};
use super::wanted::Place;
use super::words::{self, Pattern};
use crate::reader;

/// An event, and the values that were found in it.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    /// The buffer that it lies in.
    pub(super) text: &'a [u8],
    pub(super) finds: &'a Finds,
}

/// A value, read only as far as needed.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    /// A number as it is written.
    Digits(&'a [u8]),
    /// A string without quotes and escapes.
    Text(Cow<'a, str>),
    /// A value of the event.
    Raw(Found),
    /// An array or object that is made.
    Made(&'a Expression),
}

impl<'a> Event<'a> {
    /// The result of `expression`, or `None` if it has none.
    pub(super) fn evaluate(self, expression: &'a Expression) -> Result<Option<Value<'a>>, Beyond> {
        Ok(Some(match expression {
            Expression::Place(place) => match self.finds.found[*place] {
                Found { state: State::Absent, .. } => Value::Null,
                Found { state: State::Impossible, .. } => return Err(Beyond),
                found => Value::Raw(found),
            },
            Expression::Constant(constant) => match constant {
                Constant::Null => Value::Null,
                Constant::Bool(value) => Value::Bool(*value),
                Constant::Number(number) => Value::Number(*number),
                Constant::Digits(digits) => Value::Digits(digits),
                Constant::Text(text) => Value::Text(Cow::Borrowed(text)),
            },
            Expression::Object(members) => {
                for member in members {
                    if self.evaluate(&member.value)?.is_none() {
                        return Ok(None);
                    }
                }
                Value::Made(expression)
            }
            Expression::Array(elements) => {
                for element in elements {
                    self.results(element, |event, result| event.evaluate(result).map(drop))?;
                }
                Value::Made(expression)
            }
            Expression::Nothing => return Ok(None),
            Expression::Guarded(guards, value) => {
                if self.pass(guards)? {
                    return self.evaluate(value);
                } else {
                    return Ok(None);
                }
            }
            Expression::Choice(parts) => match self.choose(parts)? {
                Some(branch) => return self.evaluate(branch),
                None => return Ok(None),
            },
            Expression::Alternative(parts) => return self.evaluate(self.alternative(parts)?),
            other => match self.decide(other)? {
                Some(value) => value,
                None => return Ok(None),
            },
        }))
    }

    /// Results that are made of the results of others.
    fn decide(self, expression: &'a Expression) -> Result<Option<Value<'a>>, Beyond> {
        macro_rules! result_of {
            ($part:expr) => {
                match self.evaluate($part)? {
                    Some(value) => value,
                    None => return Ok(None),
                }
            };
        }
        Ok(Some(match expression {
            Expression::Logic(decisive, parts) => {
                let first = self.is_true(&result_of!(&parts[0]));
                if first == *decisive {
                    Value::Bool(first)
                } else {
                    Value::Bool(self.is_true(&result_of!(&parts[1])))
                }
            }
            Expression::Not(part) => Value::Bool(!self.is_true(&result_of!(part))),
            Expression::Compare(operation, parts) => {
                // The right side is evaluated first, as the evaluator does it: if it has no result, the left cannot fail.
                let right = result_of!(&parts[1]);
                let left = result_of!(&parts[0]);
                Value::Bool(self.compare(*operation, left, right)?)
            }
            Expression::IsText(place, text, equal) => Value::Bool(self.is_text(*place, text)? == *equal),
            Expression::Calculate(operation, parts) => {
                let right = result_of!(&parts[1]);
                let left = result_of!(&parts[0]);
                match (number(&self.open(left)?), number(&self.open(right)?)) {
                    (Some((left, _)), Some((right, _))) => Value::Number(calculate(*operation, left, right)?),
                    _ => return Err(Beyond),
                }
            }
            Expression::Test(test, part) => match self.open(result_of!(part))? {
                Value::Text(text) => Value::Bool(passes(test, &text)?),
                _ => return Err(Beyond),
            },
            Expression::Has(parent, member) => {
                let parent = self.finds.found[*parent];
                if parent.state == State::Present && self.text[parent.start()] == b'{' {
                    Value::Bool(self.finds.found[*member].state == State::Present)
                } else {
                    return Err(Beyond);
                }
            }
            Expression::ToNumber(part) => self.to_number(result_of!(part))?,
            Expression::Format(pieces) => match self.format(pieces)? {
                Some(text) => Value::Text(Cow::Owned(text)),
                None => return Ok(None),
            },
            _ => return Err(Beyond),
        }))
    }

    /// True if all of `guards` let pass.
    pub(super) fn pass(self, guards: &'a [Guard]) -> Result<bool, Beyond> {
        for guard in guards {
            let passes = match guard {
                Guard::True(condition) => self.holds(condition)?,
                Guard::Any(value) => self.evaluate(value)?.is_some(),
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if `condition` has a result that is neither `false` nor `null`.
    #[inline]
    pub(super) fn holds(self, condition: &'a Expression) -> Result<bool, Beyond> {
        if let Expression::IsText(place, text, equal) = condition {
            return Ok(self.is_text(*place, text)? == *equal);
        }
        self.holds_otherwise(condition)
    }

    #[inline(never)]
    fn holds_otherwise(self, condition: &'a Expression) -> Result<bool, Beyond> {
        Ok(self.evaluate(condition)?.is_some_and(|value| self.is_true(&value)))
    }

    pub(super) fn choose(self, parts: &'a [Expression; 3]) -> Result<Option<&'a Expression>, Beyond> {
        let condition = self.evaluate(&parts[0])?;
        Ok(condition.map(|value| if self.is_true(&value) { &parts[1] } else { &parts[2] }))
    }

    pub(super) fn alternative(self, parts: &'a [Expression; 2]) -> Result<&'a Expression, Beyond> {
        Ok(if self.holds(&parts[0])? { &parts[0] } else { &parts[1] })
    }

    /// True if a value is neither `false` nor `null`.
    fn is_true(self, value: &Value<'_>) -> bool {
        match value {
            Value::Null | Value::Bool(false) => false,
            Value::Raw(found) => !matches!(self.text[found.start()], b'n' | b'f'),
            _ => true,
        }
    }

    pub(super) fn raw(self, found: Found) -> &'a [u8] {
        &self.text[found.range()]
    }

    /// The same value, read, unless it is an array or an object.
    fn open(self, value: Value<'a>) -> Result<Value<'a>, Beyond> {
        let found = match value {
            Value::Raw(found) => found,
            other => return Ok(other),
        };
        let raw = self.raw(found);
        Ok(match raw[0] {
            b'n' => Value::Null,
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            b'"' if found.flags & ESCAPED == 0 => {
                let text = std::str::from_utf8(&raw[1..raw.len() - 1]).map_err(|_| Beyond)?;
                Value::Text(Cow::Borrowed(text))
            }
            b'"' => match reader::read(&Bytes::copy_from_slice(raw)) {
                Ok(Val::Text(text)) => Value::Text(Cow::Owned(text.to_string())),
                _ => return Err(Beyond),
            },
            b'{' | b'[' => value,
            _ => Value::Digits(raw),
        })
    }

    /// True if the value at `place` is the string `text`, which stands in quotes.
    #[inline]
    fn is_text(self, place: Place, text: &Pattern) -> Result<bool, Beyond> {
        let found = self.finds.found[place];
        Ok(match found.state {
            State::Absent => false,
            State::Impossible => return Err(Beyond),
            State::Present if found.flags & ESCAPED == 0 => {
                let start = found.start();
                text.is_at(self.text, start, words::at(self.text, start))
            }
            State::Present => self.is_escaped_text(found, text)?,
        })
    }

    #[cold]
    fn is_escaped_text(self, found: Found, text: &Pattern) -> Result<bool, Beyond> {
        Ok(match self.open(Value::Raw(found))? {
            Value::Text(value) => *value.as_bytes() == text.bytes()[1..text.bytes().len() - 1],
            _ => false,
        })
    }

    fn compare(self, operation: Binary, left: Value<'a>, right: Value<'a>) -> Result<bool, Beyond> {
        let (left, right) = (self.open(left)?, self.open(right)?);
        let order = match (&left, &right) {
            (Value::Text(left), Value::Text(right))
                if matches!(operation, Binary::Equal | Binary::NotEqual) =>
            {
                return Ok((left == right) == (operation == Binary::Equal));
            }
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Value::Text(left), Value::Text(right)) => left.cmp(right),
            _ => match (number(&left), number(&right)) {
                (Some(left), Some(right)) => order_of_numbers(left, right),
                _ => match self.rank(&left).cmp(&self.rank(&right)) {
                    // Two arrays, or two objects.
                    Ordering::Equal => return Err(Beyond),
                    order => order,
                },
            },
        };
        Ok(holds(operation, order))
    }

    /// The place of a value's kind in jq's order of values.
    fn rank(self, value: &Value<'_>) -> u8 {
        match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(_) | Value::Digits(_) => 2,
            Value::Text(_) => 3,
            Value::Raw(found) if self.text[found.start()] == b'[' => 4,
            Value::Made(Expression::Array(_)) => 4,
            Value::Raw(_) | Value::Made(_) => 5,
        }
    }

    fn to_number(self, value: Value<'a>) -> Result<Value<'a>, Beyond> {
        let Value::Raw(found) = value else { return Err(Beyond) };
        let raw = self.raw(found);
        match raw[0] {
            b'-' | b'0'..=b'9' => Ok(value),
            b'"' => {
                let digits = &raw[1..raw.len() - 1];
                if number_end(digits, 0)? == digits.len() { Ok(Value::Digits(digits)) } else { Err(Beyond) }
            }
            _ => Err(Beyond),
        }
    }

    /// Appends the result of `expression` to `out`; false if it has none. What was appended until then stays.
    pub(super) fn print(self, expression: &'a Expression, out: &mut Vec<u8>) -> Result<bool, Beyond> {
        match expression {
            Expression::Object(members) => {
                for member in members {
                    out.extend_from_slice(&member.before);
                    if !self.print(&member.value, out)? {
                        return Ok(false);
                    }
                }
                out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
            }
            Expression::Array(elements) => {
                out.push(b'[');
                let mut printed = 0;
                for element in elements {
                    self.results(element, |event, result| {
                        let before = out.len();
                        if printed > 0 {
                            out.push(b',');
                        }
                        if event.print(result, out)? {
                            printed += 1;
                        } else {
                            out.truncate(before);
                        }
                        Ok(())
                    })?;
                }
                out.push(b']');
            }
            Expression::Guarded(guards, value) => return Ok(self.pass(guards)? && self.print(value, out)?),
            Expression::Choice(parts) => match self.choose(parts)? {
                Some(branch) => return self.print(branch, out),
                None => return Ok(false),
            },
            Expression::Alternative(parts) => return self.print(self.alternative(parts)?, out),
            Expression::Format(pieces) => return self.print_format(pieces, out),
            _ => match self.evaluate(expression)? {
                Some(value) => print::print(self, value, out)?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }
}

fn passes(test: &Test, text: &str) -> Result<bool, Beyond> {
    Ok(match test {
        Test::StartsWith(start) => text.as_bytes().starts_with(start),
        Test::EndsWith(end) => text.as_bytes().ends_with(end),
        Test::Contains(finder) => finder.find(text.as_bytes()).is_some(),
        Test::Matches(regex) => regex.is_match(text).ok_or(Beyond)?,
    })
}

fn calculate(operation: Binary, left: f64, right: f64) -> Result<f64, Beyond> {
    match operation {
        Binary::Add => Ok(left + right),
        Binary::Subtract => Ok(left - right),
        Binary::Multiply => Ok(left * right),
        Binary::Divide if right != 0.0 => Ok(left / right),
        Binary::Remainder => remainder_of(left, right).ok_or(Beyond),
        _ => Err(Beyond),
    }
}

/// True if two values of this order compare as `operation` says.
fn holds(operation: Binary, order: Ordering) -> bool {
    match operation {
        Binary::Equal => order.is_eq(),
        Binary::NotEqual => order.is_ne(),
        Binary::Less => order.is_lt(),
        Binary::LessOrEqual => order.is_le(),
        Binary::Greater => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// The number that a value is, and the digits that it is written with.
fn number<'v>(value: &Value<'v>) -> Option<(f64, Option<&'v str>)> {
    match value {
        Value::Number(number) => Some((*number, None)),
        Value::Digits(digits) => {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            Some(match plain_whole(text) {
                Some(number) => (number, None),
                None => (text.parse().unwrap_or(f64::NAN), Some(text)),
            })
        }
        _ => None,
    }
}
