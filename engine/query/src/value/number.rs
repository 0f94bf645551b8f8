//! Numbers that keep the digits that they are written with.

use super::{Text, Val};
use crate::meter;

/// A whole number of at most this many digits is one floating-point number, which prints with the same digits.
const PLAIN: usize = 15;

/// The digits of a number that can be parsed without a step of their own.
const SHORT: usize = 64;

/// The floating-point number that is nearest to a number as it is written.
pub(crate) fn parse(digits: &str) -> f64 {
    if digits.len() > SHORT {
        meter::charge(digits.len() / SHORT);
    }
    digits.parse().unwrap_or(f64::NAN)
}

/// The number that `text` says, which is a number as JSON writes it: without its text where that adds nothing.
pub(crate) fn whole(text: &str) -> Option<Val> {
    plain_whole(text).map(Val::Float)
}

/// The number that `text` says, if it prints as `text` when it is calculated.
pub fn plain_whole(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.len() > PLAIN
        || digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || text == "-0"
    {
        return None;
    }
    let magnitude = digits.bytes().fold(0_u64, |number, byte| number * 10 + u64::from(byte - b'0')) as f64;
    Some(if digits.len() < text.len() { -magnitude } else { magnitude })
}

/// The negative of what is written.
pub(crate) fn negated(digits: &Text) -> Val {
    match digits.strip_prefix('-') {
        Some(_) => Val::Digits(digits.slice(1..digits.len())),
        None => Val::Digits(Text::from(format!("-{}", &**digits))),
    }
}
