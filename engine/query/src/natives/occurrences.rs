//! The places at which one sequence occurs in another.

use crate::exit::Exit;
use crate::meter;
use crate::value::{Array, Val};

/// The places at which `part` begins in `elements`.
pub(super) fn places_of_part(elements: &Array, part: &Array) -> Result<Val, Exit> {
    let mut places = Array::default();
    occurrences(elements, part, Val::equals, |place| places.push(Val::from(place)))?;
    Ok(Val::Array(places))
}

/// Calls `found` with each place at which `part` begins in `whole`, overlaps included, in linear time: the search of
/// Knuth, Morris and Pratt (SIAM Journal on Computing 6, 1977).
pub(super) fn occurrences<T>(
    whole: &[T],
    part: &[T],
    equal: impl Fn(&T, &T) -> bool,
    mut found: impl FnMut(usize) -> Result<(), Exit>,
) -> Result<(), Exit> {
    if part.is_empty() || part.len() > whole.len() {
        return Ok(());
    }
    let borders = borders(part, &equal)?;
    let mut matched = 0;
    for (end, element) in whole.iter().enumerate() {
        meter::step()?;
        while matched > 0 && (matched == part.len() || !equal(element, &part[matched])) {
            matched = borders[matched - 1];
        }
        if equal(element, &part[matched]) {
            matched += 1;
        }
        if matched == part.len() {
            found(end + 1 - part.len())?;
        }
    }
    Ok(())
}

/// For each beginning of `part`, the length of the longest shorter beginning with which it also ends.
fn borders<T>(part: &[T], equal: &impl Fn(&T, &T) -> bool) -> Result<Vec<usize>, Exit> {
    meter::reserve(size_of_val(part).max(part.len() * size_of::<usize>()))?;
    let mut borders = vec![0; part.len()];
    let mut length = 0;
    for end in 1..part.len() {
        meter::step()?;
        while length > 0 && !equal(&part[end], &part[length]) {
            length = borders[length - 1];
        }
        if equal(&part[end], &part[length]) {
            length += 1;
        }
        borders[end] = length;
    }
    Ok(borders)
}
