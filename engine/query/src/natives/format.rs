//! Formats: `@csv` and the like.

use super::strings::append;
use super::type_error;
use crate::exit::Exit;
use crate::meter;
use crate::value::{Text, Val, to_json};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Csv,
    Tsv,
    Html,
    Uri,
    UriDecoded,
    Sh,
    Base64,
    Base64Decoded,
    Base32,
    Base32Decoded,
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &[u8; 16] = b"0123456789ABCDEF";

impl Format {
    pub(crate) const NAMES: [(&'static str, Self); 12] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("tsv", Self::Tsv),
        ("html", Self::Html),
        ("uri", Self::Uri),
        ("urid", Self::UriDecoded),
        ("sh", Self::Sh),
        ("base64", Self::Base64),
        ("base64d", Self::Base64Decoded),
        ("base32", Self::Base32),
        ("base32d", Self::Base32Decoded),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// The value in this format.
    pub(crate) fn apply(self, value: &Val) -> Result<Text, Exit> {
        match self {
            Self::Json => return Ok(to_json(value)?),
            Self::Csv | Self::Tsv => return self.row(value),
            Self::Sh => return shell(value),
            _ => {}
        }
        let text = match value {
            Val::Text(text) => text.clone(),
            value => to_json(value)?,
        };
        meter::steps(text.len() / 16)?;
        match self {
            Self::Html => {
                let mut out = String::new();
                append(&mut out, "")?;
                for part in text.split_inclusive(['<', '>', '&', '\'', '"']) {
                    let plain = part.trim_end_matches(['<', '>', '&', '\'', '"']);
                    append(&mut out, plain)?;
                    append(&mut out, part[plain.len()..].chars().next().map_or("", html))?;
                }
                Ok(Text::from(out))
            }
            Self::Uri => {
                meter::reserve(text.len() * 3)?;
                let mut out = String::with_capacity(text.len());
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        out.push(char::from(byte));
                    } else {
                        out.push('%');
                        out.push(char::from(HEX[usize::from(byte >> 4)]));
                        out.push(char::from(HEX[usize::from(byte & 15)]));
                    }
                }
                Ok(Text::from(out))
            }
            Self::UriDecoded => decode_uri(&text),
            Self::Base64 => encode(text.as_bytes(), BASE64, 6, 4),
            Self::Base32 => encode(text.as_bytes(), BASE32, 5, 8),
            Self::Base64Decoded => decode(&text, BASE64, 6, "is not valid base64 data"),
            Self::Base32Decoded => decode(&text, BASE32, 5, "is not valid base32 data"),
            _ => Ok(text),
        }
    }

    fn row(self, value: &Val) -> Result<Text, Exit> {
        let csv = self == Self::Csv;
        let Val::Array(cells) = value else {
            let name = if csv { "csv" } else { "tsv" };
            return type_error(value, &format!("cannot be {name}-formatted, only array"));
        };
        let mut row = String::new();
        for (place, cell) in cells.iter().enumerate() {
            meter::step()?;
            if place > 0 {
                append(&mut row, if csv { "," } else { "\t" })?;
            }
            match cell {
                Val::Null => {}
                Val::Float(number) if number.is_nan() => {}
                Val::Bool(_) | Val::Float(_) | Val::Digits(_) => append(&mut row, &to_json(cell)?)?,
                Val::Text(text) if csv => {
                    append(&mut row, "\"")?;
                    escape(&mut row, text, |byte| if byte == b'"' { "\"\"" } else { "" })?;
                    append(&mut row, "\"")?;
                }
                Val::Text(text) => escape(&mut row, text, |byte| match byte {
                    b'\t' => "\\t",
                    b'\r' => "\\r",
                    b'\n' => "\\n",
                    b'\\' => "\\\\",
                    0 => "\\0",
                    _ => "",
                })?,
                _ => return type_error(cell, "is not valid in a csv row"),
            }
        }
        Ok(Text::from(row))
    }
}

fn html(character: char) -> &'static str {
    match character {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '\'' => "&apos;",
        _ => "&quot;",
    }
}

/// Appends `text`, in which `replace` gives what stands for a byte, or an empty text if it stays.
fn escape(out: &mut String, text: &str, replace: fn(u8) -> &'static str) -> Result<(), Exit> {
    meter::steps(text.len() / 64)?;
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let replacement = replace(byte);
        if !replacement.is_empty() {
            append(out, &text[written..at])?;
            append(out, replacement)?;
            written = at + 1;
        }
    }
    append(out, &text[written..])
}

fn shell(value: &Val) -> Result<Text, Exit> {
    let single = [value.clone()];
    let words = match value {
        Val::Array(words) => &words[..],
        _ => &single,
    };
    let mut line = String::new();
    for (place, word) in words.iter().enumerate() {
        meter::step()?;
        if place > 0 {
            append(&mut line, " ")?;
        }
        match word {
            Val::Text(text) => {
                append(&mut line, "'")?;
                escape(&mut line, text, |byte| if byte == b'\'' { "'\\''" } else { "" })?;
                append(&mut line, "'")?;
            }
            Val::Array(_) | Val::Object(_) => return type_error(word, "can not be escaped for shell"),
            word => append(&mut line, &to_json(word)?)?,
        }
    }
    Ok(Text::from(line))
}

fn decode_uri(text: &Text) -> Result<Text, Exit> {
    meter::reserve(text.len())?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let invalid = || type_error(&Val::Text(text.clone()), "is not a valid uri encoding");
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return invalid(),
        }
    }
    String::from_utf8(bytes).map(Text::from).or_else(|_| invalid())
}

/// Groups of `bits` bits as digits, filled up with `=` to whole groups of `group` digits.
fn encode(bytes: &[u8], digits: &[u8], bits: u32, group: usize) -> Result<Text, Exit> {
    meter::reserve(bytes.len() * 2 + 8)?;
    let mut out = String::with_capacity(bytes.len() * 8 / bits as usize + group);
    let (mut buffer, mut count) = (0_u32, 0);
    let mask = (1 << bits) - 1;
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        count += 8;
        while count >= bits {
            count -= bits;
            out.push(char::from(digits[(buffer >> count & mask) as usize]));
        }
    }
    if count > 0 {
        out.push(char::from(digits[(buffer << (bits - count) & mask) as usize]));
    }
    while !out.len().is_multiple_of(group) {
        out.push('=');
    }
    Ok(Text::from(out))
}

fn decode(text: &Text, digits: &[u8], bits: u32, invalid: &str) -> Result<Text, Exit> {
    meter::reserve(text.len())?;
    let mut places = [u8::MAX; 256];
    for (place, digit) in digits.iter().enumerate() {
        places[usize::from(*digit)] = place as u8;
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut buffer, mut count, mut read) = (0_u32, 0, 0);
    for byte in text.bytes().take_while(|byte| *byte != b'=') {
        let place = places[usize::from(byte)];
        if place == u8::MAX {
            return type_error(&Val::Text(text.clone()), invalid);
        }
        buffer = buffer << bits | u32::from(place);
        count += bits;
        read += 1;
        if count >= 8 {
            count -= 8;
            out.push((buffer >> count) as u8);
        }
    }
    if bits == 6 && read % 4 == 1 {
        return type_error(&Val::Text(text.clone()), "trailing base64 byte found");
    }
    meter::reserve(out.len() * 3)?;
    Ok(Text::from(match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => text_of_bytes(error.as_bytes()),
    }))
}

/// Decodes UTF-8 as jq does: each sequence that is none, however long it claims to be, becomes one U+FFFD.
fn text_of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let claimed = match first {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        let length = match rest.get(1..claimed) {
            // A sequence that the end cuts off goes on to the end.
            None => rest.len(),
            Some(others) => {
                let is_other = |byte: &&u8| matches!(**byte, 0x80..=0xBF);
                1 + others.iter().take_while(is_other).count()
            }
        };
        let (sequence, after) = rest.split_at(length);
        match std::str::from_utf8(sequence) {
            Ok(character) if length == claimed => text.push_str(character),
            _ => text.push(char::REPLACEMENT_CHARACTER),
        }
        rest = after;
    }
    text
}
