//! Functions of strings.

use super::{Native, error, native, type_error, type_error_of_two};
use crate::exit::Exit;
use crate::meter;
use crate::value::{Text, Val, to_json};

pub(super) const NATIVES: &[Native] = &[
    native("utf8bytelength", 0, |value, _| match &value {
        Val::Text(text) => Ok(Val::from(text.len())),
        _ => type_error(&value, "only strings have UTF-8 byte length"),
    }),
    native("startswith", 1, |value, arguments| match (&value, &arguments[0]) {
        (Val::Text(text), Val::Text(start)) => {
            meter::bytes(text.len().min(start.len()))?;
            Ok(Val::Bool(text.starts_with(&**start)))
        }
        _ => error("startswith() requires string inputs"),
    }),
    native("endswith", 1, |value, arguments| match (&value, &arguments[0]) {
        (Val::Text(text), Val::Text(end)) => {
            meter::bytes(text.len().min(end.len()))?;
            Ok(Val::Bool(text.ends_with(&**end)))
        }
        _ => error("endswith() requires string inputs"),
    }),
    native("ltrimstr", 1, |value, arguments| without_start(value, &arguments[0])),
    native("rtrimstr", 1, |value, arguments| without_end(value, &arguments[0])),
    native("trimstr", 1, |value, arguments| without_end(without_start(value, &arguments[0])?, &arguments[0])),
    native("trim", 0, |value, _| trim(&value, true, true)),
    native("ltrim", 0, |value, _| trim(&value, true, false)),
    native("rtrim", 0, |value, _| trim(&value, false, true)),
    native("split", 1, |value, arguments| match (&value, &arguments[0]) {
        (Val::Text(text), Val::Text(separator)) => split(text, separator),
        _ => error("split input and separator must be strings"),
    }),
    native("join", 1, |value, arguments| join(&value, &arguments[0])),
    native("explode", 0, |value, _| explode(&value)),
    native("implode", 0, |value, _| implode(&value)),
    native("ascii_downcase", 0, |value, _| match &value {
        Val::Text(text) => changed(text, |text| text.make_ascii_lowercase()),
        _ => error("explode input must be a string"),
    }),
    native("ascii_upcase", 0, |value, _| match &value {
        Val::Text(text) => changed(text, |text| text.make_ascii_uppercase()),
        _ => error("explode input must be a string"),
    }),
    native("ascii", 0, |value, _| implode(&Val::from(vec![value]))),
];

fn without_start(value: Val, start: &Val) -> Result<Val, Exit> {
    if let (Val::Text(text), Val::Text(start)) = (&value, start) {
        meter::bytes(text.len().min(start.len()))?;
        if text.starts_with(&**start) {
            return Ok(Val::Text(text.slice(start.len()..text.len())));
        }
    }
    Ok(value)
}

fn without_end(value: Val, end: &Val) -> Result<Val, Exit> {
    if let (Val::Text(text), Val::Text(end)) = (&value, end) {
        meter::bytes(text.len().min(end.len()))?;
        if text.ends_with(&**end) {
            return Ok(Val::Text(text.slice(0..text.len() - end.len())));
        }
    }
    Ok(value)
}

fn trim(value: &Val, start: bool, end: bool) -> Result<Val, Exit> {
    let Val::Text(text) = value else { return error("trim input must be a string") };
    meter::bytes(text.len())?;
    let left = if start { text.len() - text.trim_start().len() } else { 0 };
    let right = if end { text.trim_end().len().max(left) } else { text.len() };
    Ok(Val::Text(text.slice(left..right)))
}

fn changed(text: &Text, change: fn(&mut String)) -> Result<Val, Exit> {
    meter::reserve(text.len())?;
    meter::steps(text.len() / 64)?;
    let mut text = text.to_string();
    change(&mut text);
    Ok(Val::from(text))
}

/// The parts of `text` between `separator`s; its characters, if that is empty.
pub(crate) fn split(text: &Text, separator: &Text) -> Result<Val, Exit> {
    if text.is_empty() {
        return Ok(Val::from(Vec::new()));
    }
    meter::bytes(text.len())?;
    let mut parts = Vec::new();
    let mut add = |from: usize, until: usize| {
        if parts.len() == parts.capacity() {
            meter::reserve(parts.capacity() * 2 * size_of::<Val>())?;
        }
        meter::step()?;
        parts.push(Val::Text(text.slice(from..until)));
        Ok::<_, Exit>(())
    };
    if separator.is_empty() {
        for (at, character) in text.char_indices() {
            add(at, at + character.len_utf8())?;
        }
    } else {
        let mut start = 0;
        for at in memchr::memmem::find_iter(text.as_bytes(), separator.as_bytes()) {
            add(start, at)?;
            start = at + separator.len();
        }
        add(start, text.len())?;
    }
    Ok(Val::from(parts))
}

fn join(value: &Val, separator: &Val) -> Result<Val, Exit> {
    let elements = match value {
        Val::Array(elements) => elements.to_vec(),
        Val::Object(members) => members.iter().map(|(_, value)| value.clone()).collect(),
        _ => return type_error(value, "cannot be iterated over").map_err(|_| cannot_iterate(value)),
    };
    let mut joined = String::new();
    for (place, element) in elements.iter().enumerate() {
        meter::step()?;
        if place > 0 {
            match separator {
                Val::Text(separator) => append(&mut joined, separator)?,
                Val::Null if joined.is_empty() => {}
                Val::Null => {}
                other => return type_error_of_two(&Val::from(joined), other, "cannot be added"),
            }
        }
        match element {
            Val::Null => {}
            Val::Text(text) => append(&mut joined, text)?,
            Val::Bool(_) | Val::Float(_) | Val::Digits(_) => append(&mut joined, &to_json(element)?)?,
            other => return type_error_of_two(&Val::from(joined), other, "cannot be added"),
        }
    }
    Ok(Val::from(joined))
}

/// The error of `.[]`.
pub(crate) fn cannot_iterate(value: &Val) -> Exit {
    Exit::error(format!("Cannot iterate over {} ({})", value.kind(), crate::value::shown(value)))
}

/// Appends to a text that grows, within the limits.
pub(crate) fn append(text: &mut String, more: &str) -> Result<(), Exit> {
    if text.len() + more.len() > text.capacity() {
        meter::reserve((text.len() + more.len()) * 2 + text.capacity())?;
    }
    if more.len() > 4096 {
        meter::steps(more.len() / 64)?;
    }
    text.push_str(more);
    Ok(())
}

fn explode(value: &Val) -> Result<Val, Exit> {
    let Val::Text(text) = value else { return error("explode input must be a string") };
    let count = text.chars().count();
    meter::reserve(count * size_of::<Val>())?;
    meter::steps(count / 4)?;
    Ok(Val::from(
        text.chars().map(|character| Val::Float(f64::from(u32::from(character)))).collect::<Vec<_>>(),
    ))
}

fn implode(value: &Val) -> Result<Val, Exit> {
    let Val::Array(codes) = value else { return error("implode input must be an array") };
    meter::reserve(codes.len() * 4)?;
    meter::steps(codes.len() / 4)?;
    let mut text = String::new();
    for code in codes.iter() {
        match code.as_number() {
            Some(number) if !number.is_nan() => {
                let code = if number < 0.0 { u32::MAX } else { number as u32 };
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => {
                return type_error(code, "can't be imploded, unicode codepoint needs to be numeric");
            }
        }
    }
    Ok(Val::from(text))
}
