//! Values to compact JSON text.

use std::io::Write;

use super::{Text, Val};
use crate::meter::{self, Limit};

/// The text of infinity: the largest number.
const LARGEST: &[u8] = b"1.7976931348623157e+308";

/// The bytes of a value that a message shows, and those of a value that is indexed.
const SHOWN: usize = 14;
const SHOWN_LONG: usize = 29;

/// Appends `value` to `out`, which then has at most `limit` bytes more or less than a value too many.
///
/// # Errors
/// If `out` is longer than `limit`, or the value is nested deeper than `depth`. What was appended stays.
pub fn write(value: &Val, out: &mut Vec<u8>, limit: usize, depth: usize) -> Result<(), WriteError> {
    if let Some(text) = canonical(value, depth)
        && out.len() + text.len() <= limit
    {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Float(number) => write_number(*number, out),
        Val::Digits(digits) => out.extend_from_slice(digits.as_bytes()),
        Val::Text(text) => {
            if out.len() + text.len() > limit {
                // What fits is what a message shows.
                write_text(&text[..floor(text, limit.saturating_sub(out.len()))], out);
                return Err(WriteError::TooLong);
            }
            write_text(text, out);
        }
        Val::Array(elements) => {
            let depth = depth.checked_sub(1).ok_or(WriteError::TooDeep)?;
            out.push(b'[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write(element, out, limit, depth)?;
            }
            out.push(b']');
        }
        Val::Object(members) => {
            let depth = depth.checked_sub(1).ok_or(WriteError::TooDeep)?;
            out.push(b'{');
            for (place, (name, member)) in members.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_text(name, out);
                out.push(b':');
                write(member, out, limit, depth)?;
            }
            out.push(b'}');
        }
    }
    if out.len() > limit { Err(WriteError::TooLong) } else { Ok(()) }
}

/// The text that an array or object was read from, if it can be copied.
fn canonical(value: &Val, depth: usize) -> Option<&str> {
    let text = match value {
        Val::Array(elements) => elements.canonical(),
        Val::Object(members) => members.canonical(),
        _ => None,
    };
    text.filter(|_| value.depth() as usize <= depth)
}

/// The reason why a value was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The text is longer than the limit.
    TooLong,
    /// The value is nested deeper than the limit.
    TooDeep,
}

/// The JSON text of a value, as `tojson` makes it.
pub(crate) fn to_json(value: &Val) -> Result<Text, Limit> {
    let mut out = Vec::new();
    let room = meter::remaining();
    write(value, &mut out, room, usize::MAX).map_err(|_| Limit::Memory)?;
    meter::steps(out.len() / 64)?;
    Ok(Text::from(String::from_utf8(out).unwrap_or_default()))
}

/// A value as a message of jq shows it: cut off after 14 bytes, with three dots at the end.
pub(crate) fn shown(value: &Val) -> String {
    shown_up_to(value, SHOWN)
}

/// A value as a message of jq about paths shows it.
pub(crate) fn shown_long(value: &Val) -> String {
    shown_up_to(value, SHOWN_LONG)
}

fn shown_up_to(value: &Val, most: usize) -> String {
    let mut out = Vec::new();
    // What is beyond the limit is not shown, so that it does not matter that it is missing.
    let whole = write(value, &mut out, 4 * most, 64).is_ok();
    let text = String::from_utf8_lossy(&out);
    if whole && text.len() <= most {
        return text.into_owned();
    }
    format!("{}...", &text[..floor(&text, most - 3)])
}

/// The last place at or before `at` where a character begins.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Appends a number: the fewest digits that say it, with an exponent where it is very large or small.
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        return out.extend_from_slice(b"null");
    }
    if number.is_infinite() {
        if number < 0.0 {
            out.push(b'-');
        }
        return out.extend_from_slice(LARGEST);
    }
    if number.fract() == 0.0 && number.abs() < 1e15 && (number != 0.0 || number.is_sign_positive()) {
        return push(out, format_args!("{}", number as i64));
    }
    let mut text = Vec::with_capacity(32);
    push(&mut text, format_args!("{number:e}"));
    let text = String::from_utf8(text).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    if number.is_sign_negative() {
        out.push(b'-');
    }
    write_digits(&digits, exponent + 1, out);
}

/// Appends 0.d1d2d3... times ten to the power `point`.
fn write_digits(digits: &[u8], point: i32, out: &mut Vec<u8>) {
    let count = digits.len() as i32;
    if digits == b"0" {
        out.push(b'0');
    } else if point <= -4 || point > count + 15 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = point - 1;
        let sign = if exponent < 0 { '-' } else { '+' };
        push(out, format_args!("e{sign}{:02}", exponent.abs()));
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
        out.extend_from_slice(digits);
    } else if point >= count {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', (point - count) as usize));
    } else {
        let (integer, fraction) = digits.split_at(point as usize);
        out.extend_from_slice(integer);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

fn push(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    out.write_fmt(arguments).unwrap_or_default();
}

/// The escape of a byte in a string: itself (0), a short escape, or `\u` and four digits (`u`).
const fn escape_of(byte: u8) -> u8 {
    match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        12 => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 | 0x7F => b'u',
        _ => 0,
    }
}

/// [`escape_of`] each byte.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = escape_of(byte as u8);
        byte += 1;
    }
    table
};

/// Appends a string in quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends the characters of a string, without quotes.
pub fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(word) = bytes[at..].first_chunk()
            && is_plain(u64::from_le_bytes(*word))
        {
            at += 8;
            continue;
        }
        let end = bytes.len().min(at + 8);
        for (place, byte) in bytes.iter().enumerate().take(end).skip(at) {
            let escape = ESCAPES[*byte as usize];
            if escape == 0 {
                continue;
            }
            out.extend_from_slice(&bytes[written..place]);
            out.extend_from_slice(&[b'\\', escape]);
            if escape == b'u' {
                push(out, format_args!("{byte:04x}"));
            }
            written = place + 1;
        }
        at = end;
    }
    out.extend_from_slice(&bytes[written..]);
}

/// True if none of eight bytes is escaped. It may be false for bytes that are not.
#[inline]
fn is_plain(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let special = controls
        | has_zero(word ^ (ONES * b'"' as u64))
        | has_zero(word ^ (ONES * b'\\' as u64))
        | has_zero(word ^ (ONES * 0x7F));
    special & HIGHS == 0
}
