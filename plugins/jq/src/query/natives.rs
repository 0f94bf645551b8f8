//! What the language offers: jaq's own functions, but for those that would leave the event (the environment,
//! further inputs), that would run without being counted, or that are not as strict as a pipeline is.

#![expect(clippy::needless_pass_by_value, reason = "jaq's function pointers take their argument by value")]

use std::cmp::Ordering;

use bytes::Bytes;
use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Cv, Error, Exn, RunPtr, ValX, ValXs};
use jaq_json::{Map, Val};

use super::meter::Jq;
use crate::{reader, writer};

type Native = (&'static str, usize, RunPtr<Jq>);

/// Functions that stand in for jaq's of the same name and number of arguments.
const OURS: [Native; 9] = [
    ("range", 3, range),
    ("env", 0, |_| box_once(Ok(Val::obj(Map::default())))),
    ("input", 0, |_| Box::new(std::iter::empty())),
    ("inputs", 0, |_| Box::new(std::iter::empty())),
    ("debug_empty", 0, log),
    ("stderr_empty", 0, log),
    ("fromjson", 0, from_json),
    ("tojson", 0, to_json),
    ("tonumber", 0, to_number),
];

/// How much of a value a message shows, in characters.
const SHOWN: usize = 60;

/// Every native function, each once.
pub(super) fn natives() -> impl Iterator<Item = Fun<Jq>> {
    let theirs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let taken = |name: &str, arity: usize| OURS.iter().any(|(our, count, _)| *our == name && *count == arity);
    let ours = OURS.into_iter().map(|(name, arity, pointer)| run::<Jq>((name, v(arity), pointer)));
    theirs.filter(move |(name, arguments, _)| !taken(name, arguments.len())).chain(ours)
}

/// `range($from; $to; $by)`, counting each number, since nothing else may be evaluated for it.
fn range<'a>(mut cv: Cv<'a, Jq>) -> ValXs<'a, Val> {
    let by = cv.0.pop_var();
    let to = cv.0.pop_var();
    let mut next = Some(cv.0.pop_var());
    let meter = *cv.0.data();
    let direction = by.cmp(&Val::from(0_usize));
    Box::new(std::iter::from_fn(move || {
        meter.step();
        let current = next.take()?;
        let within = match direction {
            Ordering::Greater => current < to,
            Ordering::Less => current > to,
            Ordering::Equal => current != to,
        };
        if !within {
            return None;
        }
        match current.clone() + by.clone() {
            Ok(following) => next = Some(following),
            Err(error) => return Some(Err(Exn::from(error))),
        }
        Some(Ok::<_, Exn<'a, Val>>(current))
    }))
}

/// `debug` and `stderr`: the value into the log, at the level of debugging.
fn log<'a>(cv: Cv<'a, Jq>) -> ValXs<'a, Val> {
    tracing::debug!(value = %cv.1, "jq");
    Box::new(std::iter::empty::<ValX<'a, Val>>())
}

/// The text of a value as JSON. What is wrong with it is told as the query's doing: the event itself was read.
fn from_json<'a>(cv: Cv<'a, Jq>) -> ValXs<'a, Val> {
    let text = cv.1.try_as_utf8_bytes_owned();
    bome(text.and_then(|text: Bytes| {
        reader::read(&text).map_err(|problem| {
            let problem = problem.strip_prefix("malformed JSON ").unwrap_or(&problem);
            Error::str(format!("the query cannot read {} as JSON ({problem})", shown(&cv.1)))
        })
    }))
}

fn to_number<'a>(cv: Cv<'a, Jq>) -> ValXs<'a, Val> {
    let number = match &cv.1 {
        Val::Num(_) => Some(cv.1.clone()),
        Val::TStr(text) => {
            reader::read(&text.to_vec().into()).ok().filter(|read| matches!(read, Val::Num(_)))
        }
        _ => None,
    };
    bome(number.ok_or_else(|| Error::str(format!("the query cannot make a number of {}", shown(&cv.1)))))
}

/// A value as a message shows it: the beginning of it, if it is long.
fn shown(value: &Val) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn to_json<'a>(cv: Cv<'a, Jq>) -> ValXs<'a, Val> {
    let mut text = Vec::new();
    let written = writer::write(&cv.1, &mut text, usize::MAX);
    bome(written.map(|()| Val::utf8_str(text)).map_err(Error::str))
}
