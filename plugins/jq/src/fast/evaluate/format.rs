//! Texts with expressions in them.

use super::{Beyond, Event, Value};
use crate::fast::expression::Piece;
use crate::fast::found::UNUSUAL;

impl<'a> Event<'a> {
    /// The text; `None` if one of its expressions has no result.
    pub(super) fn format(self, pieces: &'a [Piece]) -> Result<Option<String>, Beyond> {
        let mut text = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(plain) => text.extend_from_slice(plain.as_bytes()),
                Piece::Value(value) => match self.evaluate(value)? {
                    Some(value) => match (self.digits(&value), value) {
                        (Some(digits), _) => text.extend_from_slice(digits),
                        (None, value) => match self.open(value)? {
                            Value::Text(value) => text.extend_from_slice(value.as_bytes()),
                            other => write_plain(&other, &mut text)?,
                        },
                    },
                    None => return self.without_result(&pieces[place + 1..]).map(|()| None),
                },
            }
        }
        String::from_utf8(text).map(Some).map_err(|_| Beyond)
    }

    /// Appends the text in quotes; false if one of its expressions has no result.
    pub(super) fn print_format(self, pieces: &'a [Piece], out: &mut Vec<u8>) -> Result<bool, Beyond> {
        out.push(b'"');
        for (place, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(plain) => tidegate_query::write_escaped(plain, out),
                Piece::Value(value) => match self.evaluate(value)? {
                    Some(value) => self.print_inside(value, out)?,
                    None => return self.without_result(&pieces[place + 1..]).map(|()| false),
                },
            }
        }
        out.push(b'"');
        Ok(true)
    }

    /// Evaluates the parts after an expression without a result. The evaluator begins at the end of a text, so that
    /// these may fail.
    fn without_result(self, pieces: &'a [Piece]) -> Result<(), Beyond> {
        for piece in pieces.iter().rev() {
            if let Piece::Value(value) = piece
                && self.evaluate(value)?.is_none()
            {
                break;
            }
        }
        Ok(())
    }

    /// The text of a number that was not computed. It keeps its digits in a text, as it does in a result.
    fn digits(self, value: &Value<'a>) -> Option<&'a [u8]> {
        match value {
            Value::Digits(digits) => Some(digits),
            Value::Raw(found) => Some(self.raw(*found)).filter(|raw| matches!(raw[0], b'-' | b'0'..=b'9')),
            _ => None,
        }
    }

    /// Appends a value as a part of a string.
    fn print_inside(self, value: Value<'a>, out: &mut Vec<u8>) -> Result<(), Beyond> {
        if let Some(digits) = self.digits(&value) {
            out.extend_from_slice(digits);
            return Ok(());
        }
        if let Value::Raw(found) = value {
            let raw = self.raw(found);
            // jq would write the same escapes.
            if raw[0] == b'"' && found.flags & UNUSUAL == 0 {
                out.extend_from_slice(&raw[1..raw.len() - 1]);
                return Ok(());
            }
        }
        match self.open(value)? {
            Value::Text(text) => tidegate_query::write_escaped(&text, out),
            other => write_plain(&other, out)?,
        }
        Ok(())
    }
}

/// Appends a value that is no string. Arrays and objects are for the evaluator, which escapes what it prints once more.
fn write_plain(value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Beyond> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(float) if !float.is_finite() => return Err(Beyond),
        Value::Number(number) => tidegate_query::write_number(*number, out),
        _ => return Err(Beyond),
    }
    Ok(())
}
