//! Operators between values.

use super::{Native, error, native, type_error, type_error_of_two};
use crate::exit::Exit;
use crate::meter;
use crate::value::{Object, Text, Val, negated};

/// An operation between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Math {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub(super) const NATIVES: &[Native] = &[
    native("_negate", 0, |value, _| negate(value)),
    native("not", 0, |value, _| Ok(Val::Bool(!value.is_true()))),
];

/// The result of an operator.
pub(crate) fn calculate(operation: Math, left: Val, right: Val) -> Result<Val, Exit> {
    if let (Val::Float(left), Val::Float(right)) = (&left, &right) {
        match operation {
            Math::Add => return Ok(Val::Float(left + right)),
            Math::Subtract => return Ok(Val::Float(left - right)),
            Math::Multiply => return Ok(Val::Float(left * right)),
            _ => {}
        }
    }
    match operation {
        Math::Add => add(left, right),
        Math::Subtract => subtract(&left, &right),
        Math::Multiply => multiply(left, right),
        Math::Divide => divide(&left, &right),
        Math::Remainder => remainder(&left, &right),
    }
}

/// Two numbers, if both are.
fn numbers(left: &Val, right: &Val) -> Option<(f64, f64)> {
    Some((left.as_number()?, right.as_number()?))
}

/// `+`
pub(crate) fn add(left: Val, right: Val) -> Result<Val, Exit> {
    if let Some((left, right)) = numbers(&left, &right) {
        return Ok(Val::Float(left + right));
    }
    match (left, right) {
        (Val::Null, other) | (other, Val::Null) => Ok(other),
        (Val::Text(mut left), Val::Text(right)) => {
            meter::reserve(left.len() + 2 * right.len())?;
            meter::steps(right.len() / 64)?;
            left.append(&right);
            Ok(Val::Text(left))
        }
        (Val::Array(left), Val::Array(right)) if left.is_empty() => Ok(Val::Array(right)),
        (Val::Array(mut left), Val::Array(right)) => {
            meter::steps(right.len())?;
            let mut elements = left.items_mut()?;
            for element in right.into_items() {
                elements.push(element)?;
            }
            drop(elements);
            Ok(Val::Array(left))
        }
        (Val::Object(left), Val::Object(right)) if left.is_empty() => Ok(Val::Object(right)),
        (Val::Object(mut left), Val::Object(right)) => {
            meter::steps(right.len())?;
            for (name, value) in right.into_members() {
                left.set(name, value)?;
            }
            Ok(Val::Object(left))
        }
        (left, right) => type_error_of_two(&left, &right, "cannot be added"),
    }
}

fn subtract(left: &Val, right: &Val) -> Result<Val, Exit> {
    if let Some((left, right)) = numbers(left, right) {
        return Ok(Val::Float(left - right));
    }
    match (left, right) {
        (Val::Array(left), Val::Array(right)) => {
            let mut kept = Vec::new();
            for element in left.iter() {
                meter::steps(right.len())?;
                if !right.iter().any(|other| other.equals(element)) {
                    kept.push(element.clone());
                }
            }
            Ok(Val::from(kept))
        }
        _ => type_error_of_two(left, right, "cannot be subtracted"),
    }
}

fn multiply(left: Val, right: Val) -> Result<Val, Exit> {
    if let Some((left, right)) = numbers(&left, &right) {
        return Ok(Val::Float(left * right));
    }
    match (left, right) {
        (Val::Text(text), number @ (Val::Float(_) | Val::Digits(_)))
        | (number @ (Val::Float(_) | Val::Digits(_)), Val::Text(text)) => {
            repeat(&text, number.as_number().unwrap_or(f64::NAN))
        }
        (Val::Object(left), Val::Object(right)) => merge(left, right).map(Val::Object),
        (left, right) => type_error_of_two(&left, &right, "cannot be multiplied"),
    }
}

/// A text, repeated.
fn repeat(text: &Text, times: f64) -> Result<Val, Exit> {
    if times < 0.0 || times.is_nan() {
        return Ok(Val::Null);
    }
    let bytes = text.len() as f64 * times.trunc();
    // What does not fit into a number of bytes is over every limit.
    meter::reserve(if bytes < 1e15 { bytes as usize } else { usize::MAX })?;
    meter::steps(bytes as usize / 64)?;
    Ok(Val::from(text.repeat(if text.is_empty() { 0 } else { times as usize })))
}

/// Members of both, of which objects are merged as well.
fn merge(mut left: Object, right: Object) -> Result<Object, Exit> {
    meter::steps(right.len())?;
    for (name, value) in right.into_members() {
        let merged = match (left.get(&name), value) {
            (Some(Val::Object(_)), Val::Object(right)) => match left.take(&name)? {
                Some(Val::Object(inner)) => Val::Object(merge(inner, right)?),
                _ => Val::Object(right),
            },
            (_, value) => value,
        };
        left.set(name, merged)?;
    }
    Ok(left)
}

fn divide(left: &Val, right: &Val) -> Result<Val, Exit> {
    if let Some((dividend, divisor)) = numbers(left, right) {
        if divisor == 0.0 {
            return type_error_of_two(left, right, "cannot be divided because the divisor is zero");
        }
        return Ok(Val::Float(dividend / divisor));
    }
    match (left, right) {
        (Val::Text(text), Val::Text(separator)) => super::strings::split(text, separator),
        _ => type_error_of_two(left, right, "cannot be divided"),
    }
}

fn remainder(left: &Val, right: &Val) -> Result<Val, Exit> {
    let Some((dividend, divisor)) = numbers(left, right) else {
        return type_error_of_two(left, right, "cannot be divided (remainder)");
    };
    match remainder_of(dividend, divisor) {
        Some(remainder) => Ok(Val::Float(remainder)),
        None => type_error_of_two(left, right, "cannot be divided (remainder) because the divisor is zero"),
    }
}

/// The remainder of two numbers without their fractions; nothing if the divisor is 0.
pub fn remainder_of(dividend: f64, divisor: f64) -> Option<f64> {
    if dividend.is_nan() || divisor.is_nan() {
        return Some(f64::NAN);
    }
    // Numbers beyond 64 bits are the largest of those.
    let (dividend, divisor) = (dividend as i64, divisor as i64);
    let magnitude = dividend.unsigned_abs().checked_rem(divisor.unsigned_abs())? as f64;
    Some(if dividend < 0 && magnitude > 0.0 { -magnitude } else { magnitude })
}

/// `-value`
pub(crate) fn negate(value: Val) -> Result<Val, Exit> {
    match value {
        Val::Float(number) => Ok(Val::Float(-number)),
        Val::Digits(digits) => Ok(negated(&digits)),
        value => type_error(&value, "cannot be negated"),
    }
}

/// The result of a comparison.
pub(crate) fn compare(comparison: Comparison, left: &Val, right: &Val) -> bool {
    if let (Val::Float(left), Val::Float(right)) = (left, right)
        && !left.is_nan()
        && !right.is_nan()
    {
        return match comparison {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        };
    }
    match comparison {
        Comparison::Equal => left.equals(right),
        Comparison::NotEqual => !left.equals(right),
        Comparison::Less => left.compare(right).is_lt(),
        Comparison::LessOrEqual => left.compare(right).is_le(),
        Comparison::Greater => left.compare(right).is_gt(),
        Comparison::GreaterOrEqual => left.compare(right).is_ge(),
    }
}

/// The number that an argument must be.
pub(crate) fn number_of(value: &Val) -> Result<f64, Exit> {
    match value.as_number() {
        Some(number) => Ok(number),
        None => type_error(value, "number required"),
    }
}

/// The number of results that `limit` and `skip` are given.
pub(crate) fn count_of(value: &Val, name: &str) -> Result<f64, Exit> {
    match value.as_number() {
        Some(number) if number >= 0.0 => Ok(number),
        // In the order of values these are below the numbers, as `nan` is.
        None if !matches!(value, Val::Null | Val::Bool(_)) => {
            type_error_of_two(value, &Val::Float(1.0), "cannot be subtracted")
        }
        _ => error(format!("{name} doesn't support negative count")),
    }
}
