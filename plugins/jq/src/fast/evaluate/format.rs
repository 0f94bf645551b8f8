//! Texts with expressions in them.

use jaq_json::Num;

use super::{Beyond, Event, Value};
use crate::fast::expression::Piece;
use crate::fast::scan::UNUSUAL;
use crate::writer;

impl<'a> Event<'a> {
    /// The text; `None` if one of its expressions has no result.
    pub(super) fn format(self, pieces: &'a [Piece]) -> Result<Option<Vec<u8>>, Beyond> {
        let mut text = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.extend_from_slice(plain),
                Piece::Value(value) => match self.evaluate(value)? {
                    Some(value) => match (self.digits(&value), value) {
                        (Some(digits), _) => text.extend_from_slice(digits),
                        (None, value) => match self.open(value)? {
                            Value::Text(value) => text.extend_from_slice(&value),
                            other => write_plain(&other, &mut text)?,
                        },
                    },
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text))
    }

    /// Appends the text in quotes; false if one of its expressions has no result.
    pub(super) fn print_format(self, pieces: &'a [Piece], out: &mut Vec<u8>) -> Result<bool, Beyond> {
        out.push(b'"');
        for piece in pieces {
            match piece {
                Piece::Text(plain) => writer::write_escaped(out, plain),
                Piece::Value(value) => match self.evaluate(value)? {
                    Some(value) => self.print_inside(value, out)?,
                    None => return Ok(false),
                },
            }
        }
        out.push(b'"');
        Ok(true)
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
            Value::Text(text) => writer::write_escaped(out, &text),
            other => write_plain(&other, out)?,
        }
        Ok(())
    }
}

/// Appends a value that is no string. Arrays and objects are for jaq, which escapes what it prints once more.
fn write_plain(value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Beyond> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(Num::Float(float)) if !float.is_finite() => return Err(Beyond),
        Value::Number(number) => writer::write_number(out, number),
        _ => return Err(Beyond),
    }
    Ok(())
}
