//! `key=value key="a value" flag`, as the Go package go-logfmt writes and reads it.

use std::borrow::Cow;

use memchr::memchr;

use crate::fields::Fields;
use crate::scan::Scan;

/// Parses pairs that are separated by white space or control characters. A key without `=` is true. A key that occurs several
/// times becomes an array.
pub(crate) fn parse(line: &[u8], fields: &mut Fields) -> Result<(), String> {
    crate::scan::is_one_line(line)?;
    let mut scan = Scan::new(line);
    let mut any = false;
    loop {
        scan.while_byte(|byte| byte <= b' ');
        if scan.at_end() {
            break;
        }
        let before = scan;
        let key = scan.while_byte(is_plain);
        if key.is_empty() {
            return Err(scan.expected("a key"));
        }
        let key = std::str::from_utf8(key).ok().filter(|key| !key.contains(char::REPLACEMENT_CHARACTER));
        let key = key.ok_or_else(|| before.expected("a key in UTF-8"))?;
        any = true;
        match scan.peek() {
            Some(b'=') => {
                scan.take(1);
                fields.typed(key, &value(&mut scan)?)?;
            }
            Some(b'"') => return Err(scan.expected("`=`")),
            _ => fields.yes(key),
        }
    }
    fields.join_repeated();
    if any { Ok(()) } else { Err("the line is empty".to_owned()) }
}

/// Tells whether the byte may be part of a key, or of a value without quotes.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != b'=' && byte != b'"'
}

fn value<'a>(scan: &mut Scan<'a>) -> Result<Cow<'a, [u8]>, String> {
    if scan.peek() == Some(b'"') {
        return quoted(scan);
    }
    let value = scan.while_byte(is_plain);
    match scan.peek() {
        Some(b'=' | b'"') => Err(scan.expected("a space, or quotes around a value with `=` or `\"` in it,")),
        _ => Ok(value.into()),
    }
}

/// Parses a value in quotes. Its escapes are those of JSON, and `\'`.
fn quoted<'a>(scan: &mut Scan<'a>) -> Result<Cow<'a, [u8]>, String> {
    scan.take(1);
    let mut value = Cow::Borrowed(scan.while_byte(|byte| byte != b'"' && byte != b'\\'));
    while !scan.skip(b"\"") {
        if scan.at_end() || memchr(b'"', scan.rest()).is_none() {
            scan.take(scan.rest().len());
            return Err(scan.expected("the quote at the end of a value"));
        }
        let text = value.to_mut();
        escape(scan, text)?;
        let before = *scan;
        let plain = scan.while_byte(|byte| byte != b'"' && byte != b'\\');
        if plain.iter().any(|byte| *byte < b' ') {
            return Err(before.expected("text without control characters"));
        }
        text.extend_from_slice(plain);
    }
    Ok(value)
}

/// Resolves the escape that comes next.
fn escape(scan: &mut Scan<'_>, text: &mut Vec<u8>) -> Result<(), String> {
    text.push(match scan.rest().get(1) {
        Some(same @ (b'"' | b'\\' | b'/' | b'\'')) => *same,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => {
            let (character, length) = unicode(scan.rest())
                .ok_or_else(|| scan.expected("an escape like `\\u00e9`, or a whole surrogate pair,"))?;
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            scan.take(length);
            return Ok(());
        }
        _ => return Err(scan.expected("an escape of JSON")),
    });
    scan.take(2);
    Ok(())
}

/// Returns the character of `\uXXXX` or of a surrogate pair, and the length of the escape.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = code_unit(text)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = code_unit(&text[6..]).filter(|unit| (0xDC00..0xE000).contains(unit))?;
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 12))
}

fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}
