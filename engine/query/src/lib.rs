//! The jq language over JSON values: a parser, a compiler and an evaluator within limits.
//!
//! A [`Query`] is compiled once and evaluated as often as there are inputs. Each evaluation has [`Limits`]: steps,
//! memory, nesting and native stack. One that comes to a limit fails, and nothing else is harmed. A query sees its
//! input and the variables that it is given: it reads no file, no environment and no further input.
//!
//! ```
//! use tidegate_query::{Flow, Limits, Query, Val};
//!
//! let query = Query::new(".a[] + 1", &[]).unwrap();
//! let input = tidegate_query::read(r#"{"a":[1,2]}"#, tidegate_query::ReadOptions::STRICT).unwrap();
//! let mut results = Vec::new();
//! query
//!     .evaluate(input, Vec::new(), &Limits::default(), &|_| {}, |value| {
//!         results.push(value);
//!         Flow::Next
//!     })
//!     .unwrap();
//! assert!(results[1].equals(&Val::from(3.0)));
//! ```
//!
//! Read `syntax.rs`, `compile.rs`, `program.rs` and `evaluate.rs` in this order; `value.rs` says what a value is, and
//! `meter.rs` how the limits hold.

#![forbid(unsafe_code)]
#![warn(clippy::match_bool)]

mod compile;
mod evaluate;
mod exit;
mod lint;
mod meter;
mod natives;
mod program;
mod stack;
pub mod syntax;
mod value;

use std::fmt;

pub use compile::number;
use evaluate::{Bound, Env, Machine};
use exit::Exit;
pub use lint::{lint, lint_condition};
pub use meter::{Interrupt, Limit, Limits};
pub use natives::math::remainder_of;
pub use natives::regex::Regex;
use program::Program;
pub use stack::{COMPILE_STACK, on_stack};
pub use syntax::Problem;
pub use value::{
    Array, BLOCK, Marks, Object, ReadOptions, Text, Val, WriteError, order_of_numbers, plain_whole, read,
    write, write_escaped, write_number, write_text,
};

/// A compiled query.
#[derive(Debug)]
pub struct Query {
    program: Program,
    /// True for `.`, which needs no evaluation.
    identity: bool,
}

/// The decision after a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next result is wanted.
    Next,
    /// The evaluation ends.
    Enough,
}

/// The reason why an evaluation failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// An error of the query, which is any value; those of the language are texts.
    Error(Val),
    /// A limit.
    Limit(Limit),
    /// `halt` or `halt_error`, which have no meaning for one input of many.
    Halt,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(Val::Text(text)) => formatter.write_str(text),
            Self::Error(value) => write!(formatter, "(not a string): {}", value::shown(value)),
            Self::Limit(Limit::Steps) => formatter.write_str("the query takes too many steps"),
            Self::Limit(Limit::Memory) => formatter.write_str("the query needs too much memory"),
            Self::Limit(Limit::Depth) => formatter.write_str("the query nests a value too deep"),
            Self::Limit(Limit::Stack) => formatter.write_str("the query recurses too deep"),
            Self::Limit(Limit::Interrupt) => formatter.write_str("the evaluation was interrupted"),
            Self::Halt => formatter.write_str("the query called `halt`"),
        }
    }
}

impl std::error::Error for Failure {}

impl Query {
    /// Compiles `text`, which may use the variables `variables` (without their sign).
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn new(text: &str, variables: &[&str]) -> Result<Self, Problem> {
        Self::of(&syntax::tree(text)?, variables)
    }

    /// Compiles a syntax tree.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn of(tree: &syntax::Term, variables: &[&str]) -> Result<Self, Problem> {
        let program = compile::compile(tree, variables)?;
        let identity = matches!(program.main.kind, program::Kind::Identity);
        Ok(Self { program, identity })
    }

    /// Passes each result for `input` to `each`, with the values of the variables in the order of [`Self::new`].
    /// `log` receives what `debug` is given.
    ///
    /// # Errors
    /// The reason why it failed. Results before the failure were passed on.
    pub fn evaluate(
        &self,
        input: Val,
        variables: Vec<Val>,
        limits: &Limits,
        log: &dyn Fn(&Val),
        mut each: impl FnMut(Val) -> Flow,
    ) -> Result<(), Failure> {
        if self.identity {
            each(input);
            return Ok(());
        }
        let meter = meter::Meter::start(limits);
        let machine = Machine::new(&self.program, log);
        let env = variables.into_iter().fold(Env::default(), |env, value| env.with(Bound::Value(value)));
        let outcome = machine.run(&self.program.main, &env, input, &mut |value| {
            // An operation that cannot fail may have exceeded a limit, and its result is not valid.
            meter::check()?;
            match each(value) {
                Flow::Next => Ok(()),
                Flow::Enough => Err(Exit::Enough),
            }
        });
        drop(meter);
        match outcome {
            Ok(()) | Err(Exit::Enough) => Ok(()),
            Err(Exit::Error(value)) => Err(Failure::Error(*value)),
            Err(Exit::Break(_)) => Err(Failure::Error(Val::from("break"))),
            Err(Exit::Limit(limit)) => Err(Failure::Limit(limit)),
            Err(Exit::Halt) => Err(Failure::Halt),
        }
    }
}

#[cfg(test)]
mod tests;
