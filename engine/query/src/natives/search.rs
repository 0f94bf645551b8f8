//! Where values are in other values.

use super::{native, type_error_of_two};
use crate::evaluate::Exit;
use crate::meter;
use crate::program::Native;
use crate::value::{Array, Text, Val};

pub(super) const NATIVES: &[Native] = &[
    native("contains", 1, |value, arguments| {
        if value.kind() == arguments[0].kind() {
            contains(&value, &arguments[0]).map(Val::Bool)
        } else {
            type_error_of_two(&value, &arguments[0], "cannot have their containment checked")
        }
    }),
    native("indices", 1, |value, arguments| indices(&value, &arguments[0])),
];

fn contains(value: &Val, part: &Val) -> Result<bool, Exit> {
    meter::step()?;
    match (value, part) {
        (Val::Object(value), Val::Object(part)) => {
            for (name, part) in part.iter() {
                match value.get(name) {
                    Some(value) if contains(value, part)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Val::Array(value), Val::Array(part)) => {
            for part in part.iter() {
                let mut found = false;
                for value in value.iter() {
                    found = contains(value, part)?;
                    if found {
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Val::Text(value), Val::Text(part)) => {
            Ok(memchr::memmem::find(value.as_bytes(), part.as_bytes()).is_some())
        }
        _ => Ok(value.kind() == part.kind() && value.equals(part)),
    }
}

fn indices(value: &Val, part: &Val) -> Result<Val, Exit> {
    match (value, part) {
        (Val::Text(text), Val::Text(part)) => places_in_text(text, part),
        (Val::Array(elements), Val::Array(part)) => places_of_part(elements, part),
        (Val::Array(elements), part) => places_of_part(elements, &Array::from(vec![part.clone()])),
        _ => super::access::index(value, part),
    }
}

/// Where `part` begins in `elements`.
pub(super) fn places_of_part(elements: &Array, part: &Array) -> Result<Val, Exit> {
    if part.is_empty() {
        return Ok(Val::Null);
    }
    let mut places = Array::default();
    for (place, window) in elements.windows(part.len()).enumerate() {
        meter::step()?;
        if window.iter().zip(part.iter()).all(|(left, right)| left.equals(right)) {
            places.push(Val::from(place))?;
        }
    }
    Ok(Val::Array(places))
}

/// Where `part` begins in `text`, in characters.
fn places_in_text(text: &Text, part: &Text) -> Result<Val, Exit> {
    let mut places = Array::default();
    if part.is_empty() {
        return Ok(Val::Array(places));
    }
    let finder = memchr::memmem::Finder::new(part.as_bytes());
    let (mut start, mut counted, mut characters) = (0, 0, 0);
    while let Some(found) = finder.find(&text.as_bytes()[start..]) {
        meter::step()?;
        let at = start + found;
        characters += text[counted..at].chars().count();
        counted = at;
        places.push(Val::from(characters))?;
        start = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    Ok(Val::Array(places))
}
