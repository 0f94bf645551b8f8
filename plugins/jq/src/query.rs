//! A compiled query: the one place that decides how a query runs.

mod compile;

use std::sync::OnceLock;

use bytes::Bytes;
use tidegate_query::{Failure, Limit, Limits, Val};
use tidegate_sdk::ConfigError;

use crate::fast;
use crate::reader;
use crate::room::{Room, Unfinished};

/// The longest message of a query that becomes the reason of a rejection, in bytes.
const LONGEST_REASON: usize = 400;

/// A compiled query. It does not change; every evaluation begins from scratch.
pub(crate) struct Query {
    text: String,
    /// For the evaluator. Where there is a fast program, it is made for the first event that needs it.
    program: OnceLock<tidegate_query::Query>,
    /// The same, for events that can be answered from their bytes; or the obstacle.
    fast: Result<fast::Program, String>,
    /// The variables that the query mentions, in the order in which values are handed to it.
    variables: Vec<&'static str>,
    /// Sure mistakes in it.
    mistakes: Vec<ConfigError>,
}

/// Why an evaluation ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The event was not evaluated to its end.
    Unfinished(Unfinished),
    /// The event cannot be processed, for this reason.
    Rejected(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Rejected(reason)
    }
}

/// The decision after a result.
#[derive(PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Enough,
}

impl Query {
    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Sure mistakes of a query that can be compiled, at their places.
    pub(crate) fn mistakes(&self) -> &[ConfigError] {
        &self.mistakes
    }

    /// The query as a program of the fast subset.
    ///
    /// # Errors
    /// The obstacle, such as "the function `sort`".
    pub(crate) fn fast(&self) -> Result<&fast::Program, &str> {
        self.fast.as_ref().map_err(String::as_str)
    }

    fn program(&self) -> Result<&tidegate_query::Query, Stop> {
        if let Some(program) = self.program.get() {
            return Ok(program);
        }
        let program = self.compile_for_evaluator()?;
        Ok(self.program.get_or_init(|| program))
    }

    /// Reads the event `payload` and hands the results for it to `each`, one by one.
    pub(crate) fn evaluate(
        &self,
        payload: &Bytes,
        variable: impl Fn(&str) -> Val,
        room: &Room,
        each: impl FnMut(Val) -> Result<Flow, Stop>,
    ) -> Result<(), Stop> {
        self.run(reader::read(payload)?, variable, room, each)
    }

    /// Hands the results for `value` to `each`, one by one.
    pub(crate) fn run(
        &self,
        value: Val,
        variable: impl Fn(&str) -> Val,
        room: &Room,
        mut each: impl FnMut(Val) -> Result<Flow, Stop>,
    ) -> Result<(), Stop> {
        let program = self.program()?;
        let variables = self.variables.iter().map(|name| variable(name)).collect();
        let log = |value: &Val| tracing::debug!(value = %shown(value), "jq");
        let mut stopped = Ok(());
        let outcome = program.evaluate(value, variables, &room.limits, &log, |result| match each(result) {
            Ok(Flow::Next) => tidegate_query::Flow::Next,
            Ok(Flow::Enough) => tidegate_query::Flow::Enough,
            Err(stop) => {
                stopped = Err(stop);
                tidegate_query::Flow::Enough
            }
        });
        stopped?;
        outcome.map_err(|failure| stop(failure, &room.limits, room.last))
    }
}

/// A value as the log shows it.
fn shown(value: &Val) -> String {
    let mut out = Vec::new();
    // What is too long for the log is cut off.
    let whole = tidegate_query::write(value, &mut out, LONGEST_REASON, reader::DEPTH).is_ok();
    let text = String::from_utf8_lossy(&out).into_owned();
    if whole { text } else { format!("{}...", start_of(&text)) }
}

/// The meaning of a failure for the event.
fn stop(failure: Failure, limits: &Limits, last: bool) -> Stop {
    Stop::Rejected(match failure {
        Failure::Limit(Limit::Depth | Limit::Stack | Limit::Steps) if !last => {
            return Stop::Unfinished(Unfinished::NeedsMoreRoom);
        }
        Failure::Limit(Limit::Interrupt) => return Stop::Unfinished(Unfinished::Interrupted),
        Failure::Limit(Limit::Steps) => crate::limit::over_steps(limits.steps),
        Failure::Limit(Limit::Memory) => crate::limit::over_memory(limits.memory),
        Failure::Limit(Limit::Depth) => {
            format!("the query nests a value deeper than {} for this event", limits.depth)
        }
        Failure::Limit(Limit::Stack) => "the query recurses too deep for this event".to_owned(),
        Failure::Halt => {
            "the query called `halt`: use `empty` to drop an event and `error` to reject it".to_owned()
        }
        Failure::Error(Val::Text(text)) => reason(&text),
        Failure::Error(value) => reason(&format!("the query ended with the error {}", shown(&value))),
    })
}

/// A message, cut off if it is long.
fn reason(text: &str) -> String {
    if text.len() <= LONGEST_REASON {
        return text.to_owned();
    }
    let start = start_of(text);
    format!("{start}... ({} bytes)", text.len())
}

/// As much of a text as a message may have.
fn start_of(text: &str) -> &str {
    let end = (0..=LONGEST_REASON.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
