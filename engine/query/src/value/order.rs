//! The order of values: `null`, `false`, `true`, numbers, strings, arrays, objects.

use std::cmp::Ordering;

use super::{Object, Text, Val, number};
use crate::meter;

impl Val {
    /// The place of its kind in the order.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Float(_) | Self::Digits(_) => 3,
            Self::Text(_) => 4,
            Self::Array(_) => 5,
            Self::Object(_) => 6,
        }
    }

    /// The digits that a number is written with, if they say more than the number.
    pub fn digits(&self) -> Option<&str> {
        match self {
            Self::Digits(digits) => Some(digits),
            _ => None,
        }
    }

    /// The order of two values. `nan` comes before every number, itself among them.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => {
                charge_bytes(left, right);
                left.as_bytes().cmp(right.as_bytes())
            }
            (Self::Float(_) | Self::Digits(_), Self::Float(_) | Self::Digits(_)) => {
                compare_numbers(self, other)
            }
            (Self::Array(left), Self::Array(right)) => {
                let pairs = left.iter().zip(right.iter());
                let different = pairs.map(compare_parts).find(|order| order.is_ne());
                different.unwrap_or_else(|| left.len().cmp(&right.len()))
            }
            (Self::Object(left), Self::Object(right)) => compare_objects(left, right),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// True if they are the same value.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => {
                charge_bytes(left, right);
                left == right
            }
            (Self::Array(left), Self::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right.iter()).all(equal_parts)
            }
            (Self::Object(left), Self::Object(right)) => {
                let same = |(name, value): &(Text, Self)| {
                    right.get(name).is_some_and(|other| equal_parts((value, &other)))
                };
                left.len() == right.len() && left.iter().all(same)
            }
            _ => self.compare(other).is_eq(),
        }
    }
}

/// The texts of a comparison up to this size cost no step of their own.
const SHORT: usize = 64;

/// Counts the comparison of two long texts.
fn charge_bytes(left: &str, right: &str) {
    let compared = left.len().min(right.len());
    if compared > SHORT {
        meter::charge(compared / SHORT);
    }
}

/// Compares parts of two values, each of which is a step. Once no step is left, the result does not matter any more.
/// Shared parts may make a small value look large, so that the comparison would not end.
fn compare_parts((left, right): (&Val, &Val)) -> Ordering {
    if meter::charge(1) { Ordering::Equal } else { left.compare(right) }
}

/// Like [`compare_parts`], for equality.
fn equal_parts((left, right): (&Val, &Val)) -> bool {
    !meter::charge(1) && left.equals(right)
}

fn compare_objects(left: &Object, right: &Object) -> Ordering {
    let (left, right) = (left.sorted(), right.sorted());
    let names = left.iter().map(|(name, _)| &**name).cmp(right.iter().map(|(name, _)| &**name));
    let values = || left.iter().zip(&right).map(|((_, left), (_, right))| compare_parts((left, right)));
    names.then_with(|| values().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
}

/// An order of values for sorting, in which `nan` equals itself.
pub(crate) fn total(left: &Val, right: &Val) -> Ordering {
    match left.compare(right) {
        Ordering::Less if right.compare(left).is_lt() => Ordering::Equal,
        order => order,
    }
}

/// The order of two numbers; equal ones that are written differently are compared digit by digit.
fn compare_numbers(left: &Val, right: &Val) -> Ordering {
    let number = |value: &Val| value.as_number().unwrap_or(f64::NAN);
    order_of_numbers((number(left), left.digits()), (number(right), right.digits()))
}

/// The order of two numbers, each with the digits that it is written with unless it was calculated.
pub fn order_of_numbers(left: (f64, Option<&str>), right: (f64, Option<&str>)) -> Ordering {
    match (left.0.partial_cmp(&right.0), left.1, right.1) {
        (None, ..) if left.0.is_nan() => Ordering::Less,
        (None, ..) => Ordering::Greater,
        (Some(Ordering::Equal), Some(left), Some(right)) => compare_digits(left, right),
        (Some(order), ..) => order,
    }
}

/// The exact order of two numbers that are nearest to the same floating-point number.
fn compare_digits(left: &str, right: &str) -> Ordering {
    if left == right || number::parse(left) == 0.0 {
        return Ordering::Equal;
    }
    let (left, right) = (Decimal::new(left), Decimal::new(right));
    match (left, right) {
        (Some(left), Some(right)) => left.compare(&right),
        _ => Ordering::Equal,
    }
}

/// A number other than 0 as 0.d1d2d3... times a power of ten, of which d1 is not 0.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn new(text: &str) -> Option<Self> {
        let negative = text.starts_with('-');
        let text = text.trim_start_matches('-');
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || integer.bytes().chain(fraction.bytes());
        let zeros = all().take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = all().skip(zeros).collect();
        digits.truncate(digits.iter().rposition(|digit| *digit != b'0')? + 1);
        Some(Self { negative, digits, exponent: exponent + integer.len() as i64 - zeros as i64 })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let order = self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
        if self.negative { order.reverse() } else { order }
    }
}
