//! Functions of paths that are values.

use super::access::{delete_paths, update_path};
use super::{Native, error, native};
use crate::exit::Exit;
use crate::meter;
use crate::value::{Array, Val, total};

pub(super) const NATIVES: &[Native] = &[
    native("setpath", 2, |mut value, arguments| {
        let path = path_of(&arguments[0])?;
        let new = &arguments[1];
        update_path(&mut value, path, &mut |_| Ok(Some(new.clone())))?;
        Ok(value)
    }),
    native("delpaths", 1, |value, arguments| match &arguments[0] {
        Val::Array(paths) => delete(value, paths),
        _ => error("Paths must be specified as an array"),
    }),
];

/// The longest path.
const LONGEST: usize = 10_000;

/// The keys of a path.
pub(crate) fn path_of(path: &Val) -> Result<&Array, Exit> {
    match path {
        Val::Array(keys) if keys.len() > LONGEST => error("Path too deep"),
        Val::Array(keys) => Ok(keys),
        _ => error("Path must be specified as an array"),
    }
}

/// Removes what is at each path.
pub(crate) fn delete(value: Val, paths: &Array) -> Result<Val, Exit> {
    meter::reserve(paths.len() * 2 * size_of::<Val>())?;
    meter::steps(paths.len())?;
    let mut sorted: Vec<&Val> = paths.iter().collect();
    sorted.sort_by(|left, right| total(left, right));
    let mut keys = Vec::new();
    for path in sorted {
        match path {
            Val::Array(path) if path.len() > LONGEST => return error("Path too deep"),
            Val::Array(path) => keys.push(path.clone()),
            other => return error(format!("Path must be specified as array, not {}", other.kind())),
        }
    }
    match keys.first() {
        None => Ok(value),
        Some(first) if first.is_empty() => Ok(Val::Null),
        Some(_) => delete_paths(value, &keys, 0),
    }
}
