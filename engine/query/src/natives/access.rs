//! Parts of values: what an index, a name or a slice stands for, and how it is changed.

use crate::exit::Exit;
use crate::meter;
use crate::natives::error;
use crate::value::{Array, Object, Text, Val, shown};

/// The largest index at which an array is extended.
const LARGEST_INDEX: f64 = 536_870_911.0;

/// `value[key]`
pub(crate) fn index(value: &Val, key: &Val) -> Result<Val, Exit> {
    match (value, key) {
        (Val::Object(members), Val::Text(name)) => Ok(members.get(name).unwrap_or_default()),
        (Val::Array(elements), Val::Float(_) | Val::Digits(_)) => {
            Ok(place(elements.len(), key).map(|place| elements[place].clone()).unwrap_or_default())
        }
        (Val::Array(elements), Val::Object(range)) => {
            let (from, until) = bounds(elements.len(), range)?;
            slice_of_array(elements, from, until)
        }
        (Val::Text(text), Val::Object(range)) => slice_of_text(text, range),
        (Val::Array(elements), Val::Array(part)) => super::occurrences::places_of_part(elements, part),
        (Val::Null, Val::Text(_) | Val::Float(_) | Val::Digits(_) | Val::Object(_)) => Ok(Val::Null),
        _ => cannot_index(value, key),
    }
}

/// `value.name`
#[inline]
pub(crate) fn member(value: &Val, name: &Text) -> Result<Val, Exit> {
    match value {
        Val::Object(members) => Ok(members.get(name).unwrap_or_default()),
        Val::Null => Ok(Val::Null),
        _ => cannot_index(value, &Val::Text(name.clone())),
    }
}

#[cold]
pub(crate) fn cannot_index<T>(value: &Val, key: &Val) -> Result<T, Exit> {
    match key {
        Val::Text(name) if name.len() < 30 => {
            error(format!("Cannot index {} with string \"{}\"", value.kind(), &**name))
        }
        _ => error(format!("Cannot index {} with {}", value.kind(), key.kind())),
    }
}

/// The element that a number means, if there is one.
fn place(length: usize, key: &Val) -> Option<usize> {
    let number = key.as_number().filter(|number| !number.is_nan())?.trunc();
    let place = if number < 0.0 { number + length as f64 } else { number };
    (place >= 0.0 && place < length as f64).then_some(place as usize)
}

/// The keys that stand for a slice.
pub(crate) fn range(from: Val, until: Val) -> Val {
    let members = [(Text::from("start"), from), (Text::from("end"), until)];
    Val::Object(members.into_iter().collect())
}

/// The beginning and the end of a slice of something of this length.
fn bounds(length: usize, range: &Object) -> Result<(usize, usize), Exit> {
    let bound = |name: &str, missing: f64| match range.get(name) {
        None => error("Array/string slice indices must be integers"),
        Some(Val::Null) => Ok(missing),
        Some(value) => match value.as_number() {
            Some(number) if number.is_nan() => Ok(missing),
            Some(number) => Ok(number),
            None => error("Start and end indices of an array slice must be numbers"),
        },
    };
    let total = length as f64;
    let from_end = |number: f64| if number < 0.0 { (number + total).max(0.0) } else { number.min(total) };
    let from = from_end(bound("start", 0.0)?).floor();
    let until = from_end(bound("end", total)?).ceil().min(total);
    Ok((from as usize, until.max(from) as usize))
}

fn slice_of_array(elements: &Array, from: usize, until: usize) -> Result<Val, Exit> {
    if from == 0 && until == elements.len() {
        return Ok(Val::Array(elements.clone()));
    }
    meter::steps((until - from) / 8)?;
    meter::reserve((until - from) * size_of::<Val>())?;
    Ok(Val::from(elements[from..until].to_vec()))
}

fn slice_of_text(text: &Text, range: &Object) -> Result<Val, Exit> {
    meter::steps(text.len() / 64)?;
    if text.is_ascii() {
        let (from, until) = bounds(text.len(), range)?;
        return Ok(Val::Text(text.slice(from..until)));
    }
    let (from, until) = bounds(text.chars().count(), range)?;
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let start = places.nth(from).unwrap_or(text.len());
    let end = if until == from { start } else { places.nth(until - from - 1).unwrap_or(text.len()) };
    Ok(Val::Text(text.slice(start..end)))
}

/// A change of a part of a value; `None` removes the part.
pub(crate) type Change<'a> = &'a mut dyn FnMut(Val) -> Result<Option<Val>, Exit>;

/// Changes `value[key]` to what `change` makes of it.
///
/// No other value shares the part while it is being changed, so that it can be changed in place.
pub(crate) fn update(value: &mut Val, key: &Val, change: Change<'_>) -> Result<(), Exit> {
    match (&mut *value, key) {
        (Val::Object(members), Val::Text(name)) => {
            let part = members.take(name)?.unwrap_or_default();
            match change(part)? {
                Some(part) => members.set(name.clone(), part),
                None if members.has(name) => members.retain(|found| *found != **name),
                None => Ok(()),
            }
        }
        (Val::Array(elements), Val::Float(_) | Val::Digits(_)) => {
            let place = place_to_set(elements.len(), key)?;
            let mut elements = elements.items_mut()?;
            let part = elements.take(place);
            match change(part)? {
                Some(part) => elements.set(place, part)?,
                None if place < elements.raw().len() => drop(elements.raw().remove(place)),
                None => {}
            }
            Ok(())
        }
        (Val::Array(elements), Val::Object(range)) => {
            let (from, until) = bounds(elements.len(), range)?;
            let part = slice_of_array(elements, from, until)?;
            match change(part)? {
                Some(Val::Array(part)) => splice(elements, from, until, &part),
                None => splice(elements, from, until, &Array::default()),
                Some(_) => error("A slice of an array can only be assigned another array"),
            }
        }
        (Val::Null, Val::Text(_)) => {
            if let Some(part) = change(Val::Null)? {
                let mut made = Val::Object(Object::default());
                update(&mut made, key, &mut |_| Ok(Some(part.clone())))?;
                *value = made;
            }
            Ok(())
        }
        (Val::Null, Val::Float(_) | Val::Digits(_) | Val::Object(_)) => {
            if let Some(part) = change(Val::Null)? {
                let mut made = Val::Array(Array::default());
                update(&mut made, key, &mut |_| Ok(Some(part.clone())))?;
                *value = made;
            }
            Ok(())
        }
        (Val::Text(_), Val::Object(_)) => error("Cannot update string slices"),
        (Val::Array(_), Val::Array(_)) => error("Cannot update field at array index of array"),
        _ => cannot_index(value, key),
    }
}

fn place_to_set(length: usize, key: &Val) -> Result<usize, Exit> {
    let number = key.as_number().unwrap_or(f64::NAN);
    if number.is_nan() {
        return error("Cannot set array element at NaN index");
    }
    let number = number.trunc();
    let place = if number < 0.0 { number + length as f64 } else { number };
    if place < 0.0 {
        error("Out of bounds negative array index")
    } else if place > LARGEST_INDEX {
        error("Array index too large")
    } else {
        Ok(place as usize)
    }
}

fn splice(elements: &mut Array, from: usize, until: usize, part: &Array) -> Result<(), Exit> {
    meter::reserve((elements.len() + part.len()) * size_of::<Val>())?;
    meter::steps((elements.len() + part.len()) / 8)?;
    let mut all = std::mem::take(elements).into_items();
    all.splice(from..until, part.iter().cloned());
    *elements = Array::from(all);
    Ok(())
}

/// `getpath`: nothing is missing below `null`.
pub(crate) fn get_path(value: &Val, path: &[Val]) -> Result<Val, Exit> {
    let mut value = value.clone();
    for key in path {
        meter::step()?;
        value = index(&value, key)?;
    }
    Ok(value)
}

/// Changes what is at `path`.
pub(crate) fn update_path(value: &mut Val, path: &[Val], change: Change<'_>) -> Result<(), Exit> {
    meter::step()?;
    match path.split_first() {
        None => {
            *value = change(std::mem::take(value))?.unwrap_or_default();
            Ok(())
        }
        Some((key, [])) => update(value, key, change),
        Some((key, rest)) => update(value, key, &mut |mut part| {
            update_path(&mut part, rest, change)?;
            Ok(Some(part))
        }),
    }
}

/// Removes what is at `paths`, which are sorted and not empty, from the place `depth` of each on.
pub(crate) fn delete_paths(value: Val, paths: &[Array], depth: usize) -> Result<Val, Exit> {
    let (mut value, mut keys) = (value, Vec::new());
    let mut rest = paths;
    while let Some(first) = rest.first() {
        meter::step()?;
        let key = &first[depth];
        let same = rest.iter().take_while(|path| path[depth].equals(key)).count();
        let (group, others) = rest.split_at(same.max(1));
        rest = others;
        if first.len() == depth + 1 {
            keys.push(key.clone());
            continue;
        }
        if matches!(index(&value, key)?, Val::Null) {
            continue;
        }
        update(&mut value, key, &mut |part| delete_paths(part, group, depth + 1).map(Some))?;
    }
    delete_keys(value, &keys)
}

fn delete_keys(value: Val, keys: &[Val]) -> Result<Val, Exit> {
    match value {
        value if keys.is_empty() => Ok(value),
        Val::Null => Ok(Val::Null),
        Val::Object(mut members) => {
            if let Some(key) = keys.iter().find(|key| key.as_text().is_none()) {
                return error(format!("Cannot delete field at object index of {}", key.kind()));
            }
            meter::steps(members.len() + keys.len())?;
            match keys {
                [Val::Text(name)] if !members.has(name) => {}
                [Val::Text(name)] => members.retain(|found| *found != **name)?,
                _ => {
                    let names: hashbrown::HashSet<&str> = keys.iter().filter_map(Val::as_text).collect();
                    members.retain(|found| !names.contains(found))?;
                }
            }
            Ok(Val::Object(members))
        }
        Val::Array(elements) => {
            let mut gone = vec![false; elements.len()];
            for key in keys {
                match key {
                    Val::Float(_) | Val::Digits(_) => {
                        if let Some(place) = place(elements.len(), key) {
                            gone[place] = true;
                        }
                    }
                    Val::Object(range) => {
                        let (from, until) = bounds(elements.len(), range)?;
                        gone[from..until].fill(true);
                    }
                    _ => return error(format!("Cannot delete {} element of array", key.kind())),
                }
            }
            meter::steps(elements.len())?;
            meter::reserve(elements.len() * size_of::<Val>())?;
            let mut gone = gone.into_iter();
            let mut elements = elements.into_items();
            elements.retain(|_| !gone.next().unwrap_or(false));
            Ok(Val::from(elements))
        }
        value => {
            error(format!("Cannot delete field at {} index of {}", kind_of_field(keys), shown_kind(&value)))
        }
    }
}

fn kind_of_field(keys: &[Val]) -> &'static str {
    match keys.first() {
        Some(Val::Text(_)) => "object",
        _ => "array",
    }
}

fn shown_kind(value: &Val) -> String {
    match value {
        Val::Null | Val::Array(_) | Val::Object(_) => shown(value),
        value => value.kind().to_owned(),
    }
}
