//! Functions of values, in Rust.

pub(crate) mod access;
pub(crate) mod arrays;
mod clock;
mod dates;
pub(crate) mod entries;
mod floats;
pub(crate) mod format;
pub(crate) mod math;
mod occurrences;
pub(crate) mod paths;
pub(crate) mod regex;
mod search;
pub(crate) mod strings;
mod values;

use crate::exit::Exit;
use crate::value::{Val, shown};

/// A function that is made of Rust and of values only.
pub(crate) struct Native {
    pub(crate) name: &'static str,
    pub(crate) arity: usize,
    pub(crate) function: fn(Val, &[Val]) -> Result<Val, Exit>,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.name, self.arity)
    }
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Native> {
    let tables: [&'static [Native]; 9] = [
        values::NATIVES,
        strings::NATIVES,
        arrays::NATIVES,
        entries::NATIVES,
        search::NATIVES,
        paths::NATIVES,
        math::NATIVES,
        floats::NATIVES,
        dates::NATIVES,
    ];
    tables.into_iter().flatten()
}

/// An entry of a table of functions.
const fn native(name: &'static str, arity: usize, function: fn(Val, &[Val]) -> Result<Val, Exit>) -> Native {
    Native { name, arity, function }
}

/// An error that names a value.
pub(crate) fn type_error<T>(value: &Val, message: &str) -> Result<T, Exit> {
    Err(Exit::error(format!("{} ({}) {message}", value.kind(), shown(value))))
}

/// An error that names two values.
pub(crate) fn type_error_of_two<T>(left: &Val, right: &Val, message: &str) -> Result<T, Exit> {
    let (left_kind, right_kind) = (left.kind(), right.kind());
    let (left, right) = (shown(left), shown(right));
    Err(Exit::error(format!("{left_kind} ({left}) and {right_kind} ({right}) {message}")))
}

fn error<T>(message: impl Into<String>) -> Result<T, Exit> {
    Err(Exit::error(message))
}
