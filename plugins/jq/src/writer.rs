//! A value to compact JSON text, as `jq -c` prints it.

use std::io::Write;

use jaq_json::{Num, Val};

use crate::reader::DEPTH;

/// The largest number that jq prints, which stands for infinity.
const LARGEST: &[u8] = b"1.7976931348623157e+308";

/// Appends `value` to `out`, which may not grow over `limit` bytes.
///
/// # Errors
/// If the value is not JSON (an object with a number for a key), nested too deep, or too long. What was
/// appended until then stays.
pub(crate) fn write(value: &Val, out: &mut Vec<u8>, limit: usize) -> Result<(), String> {
    Writer { out, limit, depth: 0 }.value(value)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    depth: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Val) -> Result<(), String> {
        match value {
            Val::Null => self.out.extend_from_slice(b"null"),
            Val::Bool(true) => self.out.extend_from_slice(b"true"),
            Val::Bool(false) => self.out.extend_from_slice(b"false"),
            Val::Num(number) => write_number(self.out, number),
            Val::TStr(text) => write_string(self.out, text),
            Val::BStr(_) => return Err("the result has a byte string, which JSON cannot hold".to_owned()),
            Val::Arr(elements) => {
                self.enter(b'[')?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value(element)?;
                }
                self.leave(b']');
            }
            Val::Obj(members) => {
                self.enter(b'{')?;
                for (index, (name, member)) in members.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    match name {
                        Val::TStr(text) => write_string(self.out, text),
                        _ => return Err("object keys must be strings".to_owned()),
                    }
                    self.out.push(b':');
                    self.value(member)?;
                }
                self.leave(b'}');
            }
        }
        match self.out.len() > self.limit {
            true => Err(crate::limit::over_bytes(self.limit)),
            false => Ok(()),
        }
    }

    fn enter(&mut self, bracket: u8) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("the result is nested deeper than {DEPTH}"));
        }
        self.out.push(bracket);
        Ok(())
    }

    fn leave(&mut self, bracket: u8) {
        self.depth -= 1;
        self.out.push(bracket);
    }
}

/// Appends a number.
pub(crate) fn write_number(out: &mut Vec<u8>, number: &Num) {
    match number {
        Num::Dec(text) => out.extend_from_slice(text.as_bytes()),
        Num::Float(float) if float.is_nan() => out.extend_from_slice(b"null"),
        Num::Float(float) if float.is_infinite() => {
            if *float < 0.0 {
                out.push(b'-');
            }
            out.extend_from_slice(LARGEST);
        }
        other => write!(out, "{other}").expect("writing to memory does not fail"),
    }
}

/// What stands for this byte in a string: itself (0), a short escape, or `\u` and four digits (`u`).
fn escape_of(byte: u8) -> u8 {
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

/// Appends a string in quotes. Bytes that are not UTF-8 (out of `@base64d`) become U+FFFD.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let ascii = text.is_ascii();
    match ascii || std::str::from_utf8(text).is_ok() {
        true => write_escaped(out, text),
        false => write_escaped(out, String::from_utf8_lossy(text).as_bytes()),
    }
    out.push(b'"');
}

/// Appends the characters of a string, without quotes. They are UTF-8.
pub(crate) fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut written = 0;
    for (at, byte) in text.iter().enumerate() {
        let escape = escape_of(*byte);
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&text[written..at]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            write!(out, "{byte:04x}").expect("writing to memory does not fail");
        }
        written = at + 1;
    }
    out.extend_from_slice(&text[written..]);
}
