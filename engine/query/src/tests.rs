//! The crate as its users see it.

mod judge;
mod language;
mod limits;
mod lint;
mod suggest;

use crate::{Failure, Flow, Limits, Query, ReadOptions, Val};

/// The results of a query as JSON, or why there are none.
pub(crate) fn results(query: &str, input: &str) -> Result<Vec<String>, String> {
    run(query, input, &Limits::default())
}

pub(crate) fn run(query: &str, input: &str, limits: &Limits) -> Result<Vec<String>, String> {
    match run_to_the_end(query, input, limits) {
        (results, None) => Ok(results),
        (_, Some(reason)) => Err(reason),
    }
}

/// The results of a query, and the reason why there are no more.
pub(crate) fn run_to_the_end(query: &str, input: &str, limits: &Limits) -> (Vec<String>, Option<String>) {
    let mut results = Vec::new();
    let outcome = collect(query, input, limits, &mut results);
    (results, outcome.err())
}

fn collect(query: &str, input: &str, limits: &Limits, results: &mut Vec<String>) -> Result<(), String> {
    let query = Query::new(query, &[]).map_err(|problem| problem.to_string())?;
    let options = ReadOptions { depth: 10_001, replace_surrogates: true, nan: true };
    let input = crate::read(input, options).map_err(|(at, what)| format!("{what} at {at}"))?;
    let each = |value: Val| {
        let mut out = Vec::new();
        crate::write(&value, &mut out, usize::MAX, usize::MAX).unwrap();
        results.push(String::from_utf8(out).unwrap());
        Flow::Next
    };
    match query.evaluate(input, Vec::new(), limits, &|_| {}, each) {
        Ok(()) => Ok(()),
        Err(Failure::Error(Val::Text(text))) => Err(text.to_string()),
        Err(failure) => Err(failure.to_string()),
    }
}

/// Runs `work` on a thread with a large stack.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    crate::on_stack(1 << 30, work).unwrap()
}
