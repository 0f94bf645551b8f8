//! Names, keys and entries of objects.

use super::strings::cannot_iterate;
use super::{Native, error, native, type_error};
use crate::exit::Exit;
use crate::meter;
use crate::value::{Object, Text, Val, shown};

pub(super) const NATIVES: &[Native] = &[
    native("keys", 0, |value, _| keys(&value, true)),
    native("keys_unsorted", 0, |value, _| keys(&value, false)),
    native("has", 1, |value, arguments| has(&value, &arguments[0])),
    native("to_entries", 0, |value, _| to_entries(value)),
    native("from_entries", 0, |value, _| from_entries(value)),
];

fn keys(value: &Val, sorted: bool) -> Result<Val, Exit> {
    match value {
        Val::Object(members) => {
            meter::reserve(members.len() * size_of::<Val>())?;
            meter::steps(members.len())?;
            let name = |(name, _): &(Text, Val)| Val::Text(name.clone());
            Ok(Val::from(if sorted {
                members.sorted().into_iter().map(name).collect::<Vec<_>>()
            } else {
                members.iter().map(name).collect()
            }))
        }
        Val::Array(elements) => {
            meter::reserve(elements.len() * size_of::<Val>())?;
            meter::steps(elements.len() / 8)?;
            Ok(Val::from((0..elements.len()).map(Val::from).collect::<Vec<_>>()))
        }
        _ => type_error(value, "has no keys"),
    }
}

fn has(value: &Val, key: &Val) -> Result<Val, Exit> {
    Ok(Val::Bool(match (value, key) {
        (Val::Null, _) => false,
        (Val::Object(members), Val::Text(name)) => members.has(name),
        (Val::Array(elements), Val::Float(_) | Val::Digits(_)) => {
            let place = key.as_number().unwrap_or(f64::NAN).trunc();
            place >= 0.0 && place < elements.len() as f64
        }
        _ => {
            let (value, key) = (value.kind(), key.kind());
            return error(format!("Cannot check whether {value} has a {key} key"));
        }
    }))
}

fn to_entries(value: Val) -> Result<Val, Exit> {
    let Val::Object(members) = value else {
        let unsorted = keys(&value, false)?;
        return match (value, unsorted) {
            (Val::Array(elements), Val::Array(keys)) => {
                let pairs = keys.iter().cloned().zip(elements.iter().cloned());
                let mut entries = crate::value::Array::default();
                for (key, value) in pairs {
                    meter::step()?;
                    entries.push(entry(key, value))?;
                }
                Ok(Val::Array(entries))
            }
            (value, _) => type_error(&value, "has no keys"),
        };
    };
    let mut entries = crate::value::Array::default();
    for (name, value) in members.into_members() {
        meter::step()?;
        entries.push(entry(Val::Text(name), value))?;
    }
    Ok(Val::Array(entries))
}

thread_local! {
    /// The names of an entry, which are shared by all of them.
    static NAMES: (Text, Text) = (Text::from("key"), Text::from("value"));
}

fn entry(key: Val, value: Val) -> Val {
    let (key_name, value_name) = NAMES.with(Clone::clone);
    Val::Object(Object::from_iter([(key_name, key), (value_name, value)]))
}

fn from_entries(value: Val) -> Result<Val, Exit> {
    let entries = match value {
        Val::Array(_) | Val::Object(_) => super::arrays::elements(value)?,
        value => return Err(cannot_iterate(&value)),
    };
    let mut object = Object::with_capacity(0);
    for entry in entries {
        meter::step()?;
        let field = |names: &[&str]| {
            for name in names {
                let found = super::access::index(&entry, &Val::from(*name))?;
                if found.is_true() {
                    return Ok(found);
                }
            }
            super::access::index(&entry, &Val::from(names[names.len() - 1]))
        };
        let key = field(&["key", "Key", "name", "Name"])?;
        let value = match has(&entry, &Val::from("value"))? {
            Val::Bool(true) => super::access::index(&entry, &Val::from("value"))?,
            _ => super::access::index(&entry, &Val::from("Value"))?,
        };
        match key {
            Val::Text(name) => object.set(name, value)?,
            key => return error(format!("Cannot use {} ({}) as object key", key.kind(), shown(&key))),
        }
    }
    Ok(Val::Object(object))
}
