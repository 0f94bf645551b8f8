//! Values of an event as jq prints them: mostly the bytes that they came as.

use bytes::Bytes;
use tidegate_query::Val;

use super::{Event, Value};
use crate::fast::found::{Beyond, Found, UNUSUAL};
use crate::{reader, writer};

/// Appends `value` to `out`.
pub(super) fn print(event: Event<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Beyond> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => tidegate_query::write_number(number, out),
        Value::Digits(digits) => out.extend_from_slice(digits),
        Value::Text(text) => tidegate_query::write_text(&text, out),
        Value::Raw(found) => print_raw(found, event.raw(found), out)?,
        Value::Made(expression) => {
            if !(event.print(expression, out)?) {
                return Err(Beyond);
            }
        }
    }
    Ok(())
}

fn print_raw(found: Found, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Beyond> {
    if found.is_as_printed() {
        out.extend_from_slice(raw);
    } else if found.flags & UNUSUAL == 0 {
        compact(raw, out);
    } else {
        let value: Val = reader::read(&Bytes::copy_from_slice(raw)).map_err(|_| Beyond)?;
        writer::write(&value, out, usize::MAX).map_err(|_| Beyond)?;
    }
    Ok(())
}

/// Appends JSON text without the white space between its tokens.
fn compact(raw: &[u8], out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    let mut copied = 0;
    for (at, byte) in raw.iter().enumerate() {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            out.extend_from_slice(&raw[copied..at]);
            copied = at + 1;
        } else {
            in_string = *byte == b'"';
        }
    }
    out.extend_from_slice(&raw[copied..]);
}
