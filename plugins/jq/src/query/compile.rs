//! The text of a query to a query, or to the exact place where it is wrong.

use std::sync::OnceLock;

use tidegate_query::syntax::Term;
use tidegate_query::{COMPILE_STACK, Problem};
use tidegate_sdk::ConfigError;

use super::Query;
use crate::fast;
use crate::room::on_stack;

/// The longest query, in bytes.
const LONGEST: usize = 32 << 10;

impl Query {
    /// Compiles `text`, the value of the option `pointer`. It may use the variables `offered`.
    ///
    /// # Errors
    /// The first thing that is wrong, underlined.
    pub(crate) fn compile(text: &str, pointer: &str, offered: &[&'static str]) -> Result<Self, ConfigError> {
        Self::checked(text, pointer, offered, tidegate_query::lint)
    }

    /// Compiles a query whose result only counts as true or false.
    ///
    /// # Errors
    /// The first thing that is wrong, underlined.
    pub(crate) fn condition(
        text: &str,
        pointer: &str,
        offered: &[&'static str],
    ) -> Result<Self, ConfigError> {
        Self::checked(text, pointer, offered, tidegate_query::lint_condition)
    }

    fn checked(
        text: &str,
        pointer: &str,
        offered: &[&'static str],
        lint: fn(&Term) -> Vec<Problem>,
    ) -> Result<Self, ConfigError> {
        if text.len() > LONGEST {
            let message = format!("the query is longer than {LONGEST} bytes");
            return Err(ConfigError::at(pointer, message));
        }
        let mentioned = |name: &&'static str| text.contains(*name);
        let variables: Vec<_> = offered.iter().copied().filter(mentioned).collect();
        let compiled = on_stack(COMPILE_STACK, || {
            let tree = tidegate_query::syntax::tree(text)?;
            let fast = fast::Program::of(&tree);
            // Whatever the fast subset covers is sound.
            let program = match fast {
                Ok(_) => OnceLock::new(),
                Err(_) => OnceLock::from(tidegate_query::Query::of(&tree, &bare(&variables))?),
            };
            Ok::<_, Problem>((program, fast, lint(&tree)))
        });
        let compiled = compiled.map_err(|error| ConfigError::at(pointer, error.to_string()))?;
        match compiled {
            Ok((program, fast, mistakes)) => {
                let at = |problem: Problem| ConfigError::at(pointer, problem.message).range(problem.span);
                let mistakes = mistakes.into_iter().map(at).collect();
                Ok(Self { text: text.to_owned(), program, fast, variables, mistakes })
            }
            Err(problem) => Err(config_error(problem, pointer, offered)),
        }
    }

    /// The program for the evaluator of a query that has a fast one.
    pub(super) fn compile_for_evaluator(&self) -> Result<tidegate_query::Query, String> {
        let compiled =
            on_stack(COMPILE_STACK, || tidegate_query::Query::new(&self.text, &bare(&self.variables)));
        compiled.map_err(|error| error.to_string())?.map_err(|problem| problem.message)
    }
}

/// The names of variables without their sign.
fn bare(variables: &[&'static str]) -> Vec<&'static str> {
    variables.iter().map(|name| name.trim_start_matches('$')).collect()
}

fn config_error(problem: Problem, pointer: &str, offered: &[&'static str]) -> ConfigError {
    let help = match offered {
        _ if problem.help.is_some() => problem.help.unwrap_or_default(),
        [] => "the manual of the language is at https://jqlang.github.io/jq/manual".to_owned(),
        names => format!(
            "the manual of the language is at https://jqlang.github.io/jq/manual; here it also has {}",
            names.join(", ")
        ),
    };
    ConfigError::at(pointer, problem.message).range(problem.span).help(help)
}
