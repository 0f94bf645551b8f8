//! Searches for values in other values.

use super::occurrences::{occurrences, places_of_part};
use super::{Native, native, type_error_of_two};
use crate::exit::Exit;
use crate::meter;
use crate::value::{Array, Text, Val};

pub(super) const NATIVES: &[Native] = &[
    native("contains", 1, |value, arguments| {
        let are_different =
            matches!((&value, &arguments[0]), (Val::Bool(left), Val::Bool(right)) if left != right);
        if value.kind() == arguments[0].kind() && !are_different {
            contains(&value, &arguments[0]).map(Val::Bool)
        } else {
            type_error_of_two(&value, &arguments[0], "cannot have their containment checked")
        }
    }),
    native("indices", 1, |value, arguments| indices(&value, &arguments[0])),
];

/// The longest text, in bytes, that is searched for place by place, which is fastest where it is rare.
const SHORT: usize = 64;

fn contains(value: &Val, part: &Val) -> Result<bool, Exit> {
    meter::step()?;
    match (value, part) {
        (Val::Object(value), Val::Object(part)) => {
            for (name, part) in part.iter() {
                match value.get(name) {
                    Some(value) if contains(&value, part)? => {}
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
            meter::bytes(value.len())?;
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

/// The places at which `part` begins in `text`, in characters.
fn places_in_text(text: &Text, part: &Text) -> Result<Val, Exit> {
    let mut places = Array::default();
    if part.is_empty() {
        return Ok(Val::Array(places));
    }
    meter::bytes(text.len())?;
    let (mut counted, mut characters) = (0, 0);
    let mut add = |at: usize| {
        characters += text[counted..at].chars().count();
        counted = at;
        places.push(Val::from(characters))
    };
    if part.len() > SHORT {
        occurrences(text.as_bytes(), part.as_bytes(), u8::eq, add)?;
        return Ok(Val::Array(places));
    }
    let finder = memchr::memmem::Finder::new(part.as_bytes());
    let mut start = 0;
    while let Some(found) = finder.find(&text.as_bytes()[start..]) {
        meter::step()?;
        let at = start + found;
        add(at)?;
        start = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    Ok(Val::Array(places))
}
