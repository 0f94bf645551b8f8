//! Functions of arrays, and what sorts and groups.

use std::cmp::Ordering;

use super::strings::cannot_iterate;
use super::{Native, error, math, native, type_error, type_error_of_two};
use crate::exit::Exit;
use crate::meter;
use crate::program::Special;
use crate::value::{Array, Val, total};

pub(super) const NATIVES: &[Native] = &[
    native("add", 0, |value, _| add(value)),
    native("flatten", 0, |value, _| flatten(&value, f64::INFINITY)),
    native("flatten", 1, |value, arguments| match arguments[0].as_number() {
        Some(depth) if depth < 0.0 => error("flatten depth must not be negative"),
        Some(depth) => flatten(&value, depth),
        None => type_error(&arguments[0], "cannot be subtracted"),
    }),
    native("reverse", 0, |value, _| reverse(value)),
    native("sort", 0, |value, _| sort_by(&value, Special::SortBy, None)),
    native("unique", 0, |value, _| match &value {
        Val::Object(members) => {
            let keys = members.iter().map(|(_, value)| Val::from(vec![value.clone()])).collect();
            not_both_arrays(Special::UniqueBy, &value, keys)
        }
        _ => sort_by(&value, Special::UniqueBy, None),
    }),
    native("min", 0, |value, _| sort_by(&value, Special::MinBy, None)),
    native("max", 0, |value, _| sort_by(&value, Special::MaxBy, None)),
    native("transpose", 0, |value, _| transpose(&value)),
    native("bsearch", 1, |value, arguments| search(&value, &arguments[0])),
];

/// The comparisons of a sort that are one step.
const COMPARISONS: usize = 4;

/// The elements of an array or the values of an object.
pub(crate) fn elements(value: Val) -> Result<Vec<Val>, Exit> {
    match value {
        Val::Array(elements) => {
            meter::reserve(elements.len() * size_of::<Val>())?;
            Ok(elements.into_items())
        }
        Val::Object(members) => {
            meter::reserve(members.len() * size_of::<Val>())?;
            Ok(members.into_members().into_iter().map(|(_, value)| value).collect())
        }
        value => Err(cannot_iterate(&value)),
    }
}

fn add(value: Val) -> Result<Val, Exit> {
    let mut sum = Val::Null;
    for element in elements(value)? {
        meter::step()?;
        sum = math::add(sum, element)?;
    }
    Ok(sum)
}

fn flatten(value: &Val, depth: f64) -> Result<Val, Exit> {
    let mut flat = Array::default();
    let elements = elements(value.clone())?;
    flatten_into(&mut flat, &elements, depth)?;
    Ok(Val::Array(flat))
}

fn flatten_into(flat: &mut Array, elements: &[Val], depth: f64) -> Result<(), Exit> {
    for element in elements {
        meter::step()?;
        match element {
            Val::Array(inner) if depth > 0.0 => flatten_into(flat, inner, depth - 1.0)?,
            element => flat.push(element.clone())?,
        }
    }
    Ok(())
}

fn reverse(value: Val) -> Result<Val, Exit> {
    match value {
        Val::Null => Ok(Val::from(Vec::new())),
        Val::Array(elements) => {
            meter::reserve(elements.len() * size_of::<Val>())?;
            meter::steps(elements.len() / 8)?;
            let mut elements = elements.into_items();
            elements.reverse();
            Ok(Val::from(elements))
        }
        Val::Text(text) if text.is_empty() => Ok(Val::from(Vec::new())),
        Val::Text(_) => super::access::cannot_index(&value, &Val::Float(0.0)),
        Val::Object(members) if members.is_empty() => Ok(Val::from(Vec::new())),
        Val::Object(_) => super::access::cannot_index(&value, &Val::Float(0.0)),
        Val::Float(_) | Val::Digits(_) if value.as_number() == Some(0.0) => Ok(Val::from(Vec::new())),
        Val::Float(_) | Val::Digits(_) => super::access::cannot_index(&value, &Val::Float(0.0)),
        Val::Bool(_) => type_error(&value, "has no length"),
    }
}

/// Sorts by the keys, which are an array for each element, or by the elements themselves; or groups them, ...
pub(crate) fn sort_by(value: &Val, special: Special, keys: Option<&[Val]>) -> Result<Val, Exit> {
    let Val::Array(elements) = value else {
        return match special {
            Special::MinBy | Special::MaxBy => Err(cannot_iterate(value)),
            _ if keys.is_some() => Err(cannot_iterate(value)),
            _ => type_error(value, "cannot be sorted, as it is not an array"),
        };
    };
    let keys = keys.unwrap_or(elements);
    let count = elements.len().min(keys.len());
    if matches!(special, Special::MinBy | Special::MaxBy) {
        return extreme(elements, keys, special == Special::MinBy);
    }
    meter::steps(count)?;
    meter::reserve(count * (size_of::<Val>() + size_of::<usize>()) * 2)?;
    let mut places: Vec<usize> = (0..count).collect();
    let mut failed = Ok(());
    let mut comparisons = 0_usize;
    places.sort_by(|left, right| {
        comparisons += 1;
        if comparisons.is_multiple_of(COMPARISONS) && failed.is_ok() {
            failed = meter::step();
        }
        if failed.is_err() { Ordering::Equal } else { total(&keys[*left], &keys[*right]) }
    });
    failed?;
    let same = |left: usize, right: usize| total(&keys[left], &keys[right]).is_eq();
    Ok(match special {
        Special::GroupBy => {
            let mut groups = Vec::new();
            for group in places.chunk_by(|left, right| same(*left, *right)) {
                meter::step()?;
                groups
                    .push(Val::from(group.iter().map(|place| elements[*place].clone()).collect::<Vec<_>>()));
            }
            Val::from(groups)
        }
        Special::UniqueBy => {
            let groups = places.chunk_by(|left, right| same(*left, *right));
            Val::from(groups.map(|group| elements[group[0]].clone()).collect::<Vec<_>>())
        }
        _ => Val::from(places.into_iter().map(|place| elements[place].clone()).collect::<Vec<_>>()),
    })
}

/// The error of sorting an object by these keys.
pub(crate) fn not_both_arrays(special: Special, object: &Val, keys: Vec<Val>) -> Result<Val, Exit> {
    let message = match special {
        Special::MinBy | Special::MaxBy => "cannot be iterated over",
        _ => "cannot be sorted, as they are not both arrays",
    };
    type_error_of_two(object, &Val::from(keys), message)
}

/// The first of the least elements, or the last of the greatest.
fn extreme(elements: &[Val], keys: &[Val], least: bool) -> Result<Val, Exit> {
    let mut found: Option<usize> = None;
    for place in 0..elements.len().min(keys.len()) {
        meter::step()?;
        let better = match found {
            None => true,
            Some(best) => keys[place].compare(&keys[best]).is_lt() == least,
        };
        if better {
            found = Some(place);
        }
    }
    Ok(found.map(|place| elements[place].clone()).unwrap_or_default())
}

fn transpose(value: &Val) -> Result<Val, Exit> {
    let rows = match value {
        Val::Array(rows) => rows.clone(),
        Val::Object(members) => members.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>().into(),
        _ => return Err(cannot_iterate(value)),
    };
    let mut longest = 0;
    for row in rows.iter() {
        match row {
            Val::Array(row) => longest = longest.max(row.len()),
            Val::Null => {}
            other => return super::access::cannot_index(other, &Val::Float(0.0)),
        }
    }
    // Short rows are filled up, so that a long one beside many short ones makes many values of few.
    meter::reserve(longest.saturating_mul(rows.len()).saturating_mul(size_of::<Val>()))?;
    meter::steps(longest.saturating_mul(rows.len()))?;
    let column = |place: usize| {
        let cell = |row: &Val| match row {
            Val::Array(row) => row.get(place).cloned().unwrap_or_default(),
            _ => Val::Null,
        };
        Val::from(rows.iter().map(cell).collect::<Vec<_>>())
    };
    Ok(Val::from((0..longest).map(column).collect::<Vec<_>>()))
}

fn search(value: &Val, wanted: &Val) -> Result<Val, Exit> {
    let Val::Array(elements) = value else { return type_error(value, "cannot be searched from") };
    let found = elements.binary_search_by(|element| element.compare(wanted));
    Ok(match found {
        Ok(place) => Val::from(place),
        Err(place) => Val::Float(-1.0 - place as f64),
    })
}
