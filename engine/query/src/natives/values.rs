//! Functions of any value.

use super::{Native, error, native, type_error};
use crate::exit::Exit;
use crate::meter;
use crate::value::{ReadOptions, Text, Val, is_number, parse_number, read, to_json, whole};

pub(super) const NATIVES: &[Native] = &[
    native("type", 0, |value, _| Ok(Val::Text(KINDS.with(|kinds| kinds[place_of_kind(&value)].clone())))),
    native("length", 0, |value, _| length(&value)),
    native("tostring", 0, |value, _| to_text(value)),
    native("tojson", 0, |value, _| Ok(Val::Text(to_json(&value)?))),
    native("fromjson", 0, |value, _| from_json(&value)),
    native("tonumber", 0, |value, _| to_number(value)),
    native("toboolean", 0, |value, _| to_boolean(&value)),
    native("toarray", 0, |value, _| match value {
        Val::Array(_) => Ok(value),
        value => Ok(Val::from(vec![value])),
    }),
    native("error", 0, |value, _| Err(Exit::Error(Box::new(value)))),
    native("have_literal_numbers", 0, |_, _| Ok(Val::Bool(true))),
    native("have_decnum", 0, |_, _| Ok(Val::Bool(true))),
    native("_as_is", 0, |value, _| Ok(value)),
];

thread_local! {
    /// The results of `type`, which are shared by all values of a kind.
    static KINDS: [Text; 6] = KIND_NAMES.map(Text::from);
}

const KIND_NAMES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

fn place_of_kind(value: &Val) -> usize {
    let kind = value.kind();
    KIND_NAMES.iter().position(|name| *name == kind).unwrap_or_default()
}

/// The depth to which JSON may be nested that `fromjson` reads.
const DEPTH: usize = 10_000;

fn length(value: &Val) -> Result<Val, Exit> {
    Ok(match value {
        Val::Null => Val::Float(0.0),
        Val::Bool(_) => return type_error(value, "has no length"),
        Val::Float(number) => Val::Float(number.abs()),
        Val::Digits(digits) => match digits.strip_prefix('-') {
            Some(_) => super::math::negate(value.clone())?,
            None => value.clone(),
        },
        Val::Text(text) => {
            meter::bytes(text.len())?;
            Val::from(text.chars().count())
        }
        Val::Array(elements) => Val::from(elements.len()),
        Val::Object(members) => Val::from(members.len()),
    })
}

/// `tostring`
pub(crate) fn to_text(value: Val) -> Result<Val, Exit> {
    match value {
        Val::Text(_) => Ok(value),
        value => Ok(Val::Text(to_json(&value)?)),
    }
}

fn from_json(value: &Val) -> Result<Val, Exit> {
    let Val::Text(text) = value else { return type_error(value, "only strings can be parsed") };
    meter::steps(text.len() / 16)?;
    meter::reserve(text.len() * 2)?;
    if text.trim().is_empty() {
        return error("Expected JSON value (while parsing '')".replace("''", &format!("'{}'", &**text)));
    }
    // A value that is nested deeper than this evaluation may nest one is for a larger one, if there is any.
    let depth = DEPTH.min(meter::depth() as usize);
    let options = ReadOptions { depth, replace_surrogates: true, nan: true };
    read(text, options).or_else(|(at, what)| {
        if depth < DEPTH && what.contains("nested deeper") {
            return Err(Exit::Limit(meter::Limit::Depth));
        }
        let shown = &text[..crate::value::floor(text, 60)];
        let dots = if shown.len() < text.len() { "..." } else { "" };
        let what =
            if what.contains("nested deeper") { "Exceeds depth limit for parsing".to_owned() } else { what };
        error(format!("{what} at byte {at} (while parsing '{shown}{dots}')"))
    })
}

fn to_number(value: Val) -> Result<Val, Exit> {
    let text = match &value {
        Val::Float(_) | Val::Digits(_) => return Ok(value),
        Val::Text(text) => text,
        _ => return type_error(&value, "cannot be parsed as a number"),
    };
    meter::bytes(text.len())?;
    if is_number(text) {
        return Ok(whole(text).unwrap_or_else(|| Val::Digits(text.clone())));
    }
    // What JSON writes in another way, such as `01`, `.5` and `nan`.
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if plain && digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        let number = parse_number(text);
        if !number.is_nan() {
            return Ok(Val::Float(number));
        }
    }
    if matches!(&**text, "nan" | "-nan" | "NaN") {
        return Ok(Val::Float(f64::NAN));
    }
    type_error(&value, "cannot be parsed as a number")
}

fn to_boolean(value: &Val) -> Result<Val, Exit> {
    match value {
        Val::Bool(_) => Ok(value.clone()),
        Val::Text(text) if matches!(&**text, "true" | "false") => Ok(Val::Bool(&**text == "true")),
        _ => type_error(value, "cannot be parsed as a boolean"),
    }
}
