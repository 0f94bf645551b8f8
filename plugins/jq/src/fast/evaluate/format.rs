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
                    Some(value) => match self.open(value)? {
                        Value::Text(value) => text.extend_from_slice(&value),
                        other => write_plain(&other, &mut text)?,
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

    /// Appends a value as a part of a string.
    fn print_inside(self, value: Value<'a>, out: &mut Vec<u8>) -> Result<(), Beyond> {
        if let Value::Raw(found) = value {
            let raw = self.raw(found);
            match raw[0] {
                // jq would write the same escapes.
                b'"' if found.flags & UNUSUAL == 0 => {
                    out.extend_from_slice(&raw[1..raw.len() - 1]);
                    return Ok(());
                }
                b'"' | b'[' | b'{' => {}
                _ => {
                    out.extend_from_slice(raw);
                    return Ok(());
                }
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
