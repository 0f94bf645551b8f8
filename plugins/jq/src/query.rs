//! A compiled query: the one place that decides how a query runs.

mod compile;
mod meter;
mod natives;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use bytes::Bytes;
use jaq_core::{Ctx, Exn, Vars};
use jaq_json::Val;

use crate::fast;
use crate::reader;
use crate::room::Room;
use meter::{Exhausted, Jq, Meter};

/// The longest message of a query that becomes the reason of a rejection, in bytes.
const LONGEST_REASON: usize = 400;

/// A compiled query. It does not change; every evaluation begins afresh.
pub(crate) struct Query {
    text: String,
    /// For jaq. Where there is a fast program, it is made for the first event that needs it: compiling all that jq
    /// defines takes longer than the rest of a start.
    program: OnceLock<Program>,
    /// The same, for events that can be answered from their bytes; or what stands in the way.
    fast: Result<fast::Program, String>,
    /// The variables that the query mentions, in the order in which values are handed to it.
    variables: Vec<&'static str>,
}

enum Program {
    /// `.`: the value as it was read.
    Identity,
    /// Whatever jaq makes of it.
    Jaq(Box<jaq_core::Filter<Jq>>),
}

/// Why an evaluation ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The event is to be evaluated again in a larger room.
    TooSmall,
    /// The event cannot be processed, for this reason.
    Rejected(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Rejected(reason)
    }
}

/// Whether an evaluation is to go on with the next result.
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

    /// The query as a program of the fast subset.
    ///
    /// # Errors
    /// What stands in the way, such as "the function `map`".
    pub(crate) fn fast(&self) -> Result<&fast::Program, &str> {
        self.fast.as_ref().map_err(String::as_str)
    }

    fn program(&self) -> Result<&Program, Stop> {
        if let Some(program) = self.program.get() {
            return Ok(program);
        }
        let program = self.compile_for_jaq()?;
        Ok(self.program.get_or_init(|| program))
    }

    /// Reads the event `payload` and hands the results for it to `each`, one by one.
    pub(crate) fn evaluate(
        &self,
        payload: &Bytes,
        variable: impl Fn(&str) -> Val,
        room: Room,
        each: impl FnMut(Val) -> Result<Flow, Stop>,
    ) -> Result<(), Stop> {
        self.run(reader::read(payload)?, variable, room, each)
    }

    /// Hands the results for `value` to `each`, one by one.
    pub(crate) fn run(
        &self,
        value: Val,
        variable: impl Fn(&str) -> Val,
        room: Room,
        mut each: impl FnMut(Val) -> Result<Flow, Stop>,
    ) -> Result<(), Stop> {
        let filter = match self.program()? {
            Program::Identity => return each(value).map(drop),
            Program::Jaq(filter) => filter,
        };
        // What an interrupted evaluation leaves behind is dropped here and now: values and iterators of jaq,
        // and results that the caller forgets when the evaluation has failed.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let meter = Meter::new(&filter.lut, room);
            let variables = Vars::new(self.variables.iter().map(|name| variable(name)));
            for result in filter.id.run((Ctx::<Jq>::new(&meter, variables), value)) {
                let result = result.map_err(|exception| Stop::Rejected(reason(exception)))?;
                if each(result)? == Flow::Enough {
                    break;
                }
            }
            Ok(())
        }));
        outcome.unwrap_or_else(|panic| Err(interrupted(panic.as_ref(), room)))
    }
}

/// What it means that an evaluation was left by unwinding.
fn interrupted(panic: &(dyn std::any::Any + Send), room: Room) -> Stop {
    let Some(exhausted) = panic.downcast_ref::<Exhausted>() else {
        return Stop::Rejected(
            "the query failed inside jaq; it is a defect of jaq, not of the event".to_owned(),
        );
    };
    match exhausted {
        _ if !room.last => Stop::TooSmall,
        Exhausted::Steps => Stop::Rejected(crate::limit::over_steps(room.steps)),
        Exhausted::Stack => Stop::Rejected("the query recurses too deep for this event".to_owned()),
    }
}

/// A runtime error of a query in jq's words.
fn reason(exception: Exn<'_, Val>) -> String {
    let Ok(error) = exception.get_err() else {
        return "the query called `halt`: use `empty` to drop an event and `error` to reject it".to_owned();
    };
    let text = match error.into_val() {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        value => format!("the query ended with the error {value}"),
    };
    let whole_characters = |length: &usize| text.is_char_boundary(*length);
    match (0..=LONGEST_REASON).rev().find(whole_characters) {
        Some(end) if text.len() > LONGEST_REASON => format!("{}... ({} bytes)", &text[..end], text.len()),
        _ => text,
    }
}
