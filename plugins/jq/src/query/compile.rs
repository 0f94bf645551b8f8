//! The text of a query to a query, or to the exact place where it is wrong.

use std::sync::OnceLock;

use jaq_core::load::{self, Arena, File, Loader, lex, parse, span};
use jaq_core::{Compiler, compile::Undefined};
use tidegate_sdk::ConfigError;

use super::{Program, Query, natives};
use crate::fast;
use crate::room::on_stack;

/// The longest query, in bytes.
const LONGEST: usize = 32 << 10;

/// Compiling recurses, at most once a byte, with less stack than this.
const STACK_A_BYTE: usize = 16 << 10;

/// The variables of every query: what would show the environment is empty.
const EMPTY_OBJECTS: [&str; 2] = ["$ENV", "$__loc__"];

/// What jq defines and jaq does not.
const MISSING: &str = include_str!("missing.jq");

/// Where in the text something is wrong, and what.
struct Flaw {
    start: usize,
    end: usize,
    message: String,
}

impl Query {
    /// How much stack compiling these queries, one after the other, may take, in bytes.
    pub(crate) fn stack(texts: &[&str]) -> usize {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        (1 << 20) + longest * STACK_A_BYTE
    }

    /// Compiles `text`, the value of the option `pointer`. It may use the variables `offered`.
    ///
    /// # Errors
    /// The first thing that is wrong, underlined.
    pub(crate) fn compile(text: &str, pointer: &str, offered: &[&'static str]) -> Result<Self, ConfigError> {
        if text.len() > LONGEST {
            let message = format!("the query is longer than {LONGEST} bytes");
            return Err(ConfigError::at(pointer, message));
        }
        let mentioned = |name: &&'static str| text.contains(*name);
        let variables: Vec<_> = offered.iter().copied().chain(EMPTY_OBJECTS).filter(mentioned).collect();
        let stack = Self::stack(&[text]);
        let compiled = on_stack(stack, || {
            let fast = fast::Program::new(text);
            // Whatever the fast subset covers is sound.
            let program = match fast {
                Ok(_) => OnceLock::new(),
                Err(_) => OnceLock::from(program(text, &variables)?),
            };
            Ok((program, fast))
        });
        let compiled = compiled.map_err(|error| ConfigError::at(pointer, error.to_string()))?;
        match compiled {
            Ok((program, fast)) => Ok(Self { text: text.to_owned(), program, fast, variables }),
            Err(flaw) => Err(config_error(flaw, pointer, offered)),
        }
    }

    /// The program for jaq of a query that has a fast one.
    pub(super) fn compile_for_jaq(&self) -> Result<Program, String> {
        let compiled = on_stack(Self::stack(&[&self.text]), || program(&self.text, &self.variables));
        compiled.map_err(|error| error.to_string())?.map_err(|flaw| flaw.message)
    }
}

fn config_error(flaw: Flaw, pointer: &str, offered: &[&'static str]) -> ConfigError {
    let help = match offered {
        [] => "the manual of the language is at https://jqlang.github.io/jq/manual".to_owned(),
        names => format!(
            "the manual of the language is at https://jqlang.github.io/jq/manual; here it also has {}",
            names.join(", ")
        ),
    };
    ConfigError::at(pointer, flaw.message).range(flaw.start..flaw.end).help(help)
}

fn program(text: &str, variables: &[&'static str]) -> Result<Program, Flaw> {
    if text.trim() == "." {
        return Ok(Program::Identity);
    }
    let missing = load::parse(MISSING, |parser| parser.defs()).unwrap_or_default();
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).chain(missing);
    let definitions = definitions.filter(|definition| definition.name != "tonumber");
    let arena = Arena::default();
    let modules = Loader::new(definitions)
        .load(&arena, File { code: text, path: () })
        .map_err(|errors| first(text, errors, load_flaw))?;
    load::import(&modules, |_| Err(String::new())).map_err(|errors| first(text, errors, load_flaw))?;
    let filter = Compiler::default()
        .with_funs(natives::natives())
        .with_global_vars(variables.iter().copied())
        .compile(modules)
        .map_err(|errors| first(text, errors, compile_flaw))?;
    Ok(Program::Jaq(Box::new(filter)))
}

/// Of all flaws the one that comes first in the text.
fn first<E>(text: &str, errors: load::Errors<&str, (), E>, flaws: fn(&str, E) -> Vec<Flaw>) -> Flaw {
    let all = errors.into_iter().flat_map(|(_, error)| flaws(text, error));
    all.min_by_key(|flaw| flaw.start)
        .unwrap_or_else(|| flaw(text, text, "the query does not compile".to_owned()))
}

/// A flaw at `part` of `text`; at the end of the text, its last character is underlined.
fn flaw(text: &str, part: &str, message: String) -> Flaw {
    let place = span(text, part);
    let last = text.trim_end().char_indices().last().map_or(0, |(at, _)| at);
    match place.is_empty() {
        true => Flaw { start: last.min(place.start), end: text.trim_end().len(), message },
        false => Flaw { start: place.start, end: place.end, message },
    }
}

fn load_flaw(text: &str, error: load::Error<&str>) -> Vec<Flaw> {
    match error {
        load::Error::Io(files) => {
            let message = "modules cannot be loaded: write the definitions into the query";
            files.into_iter().map(|(path, _)| flaw(text, path, message.to_owned())).collect()
        }
        load::Error::Lex(errors) => errors.into_iter().map(|error| lex_flaw(text, error)).collect(),
        load::Error::Parse(errors) => errors.into_iter().map(|error| parse_flaw(text, error)).collect(),
    }
}

fn lex_flaw(text: &str, (expected, found): lex::Error<&str>) -> Flaw {
    let message = match expected {
        lex::Expect::Delim(opening) => return flaw(text, opening, format!("`{opening}` is never closed")),
        lex::Expect::Token => format!("{} means nothing here", quoted(found)),
        other => format!("a {} is expected {}", other.as_str(), before(found)),
    };
    // The rest of the text is what was found; its first character is where it goes wrong.
    let length = found.chars().next().map_or(0, char::len_utf8);
    flaw(text, &found[..length], message)
}

fn parse_flaw(text: &str, (expected, found): parse::Error<&str>) -> Flaw {
    let message = match expected {
        parse::Expect::Just(word) => format!("`{word}` is expected {}", before(found)),
        parse::Expect::Nothing => format!("{} is one too many here", quoted(found)),
        parse::Expect::Term => format!("an expression is expected {}", before(found)),
        other => format!("{} is expected {}", other.as_str(), before(found)),
    };
    flaw(text, found, message)
}

fn compile_flaw(text: &str, errors: Vec<(&str, Undefined)>) -> Vec<Flaw> {
    let message = |name: &str, kind: &Undefined| match kind {
        Undefined::Filter(0) => format!("there is no function `{name}`"),
        Undefined::Filter(1) => format!("there is no function `{name}` with 1 argument"),
        Undefined::Filter(count) => format!("there is no function `{name}` with {count} arguments"),
        other => format!("there is no {} `{name}`", other.as_str()),
    };
    errors.into_iter().map(|(name, kind)| flaw(text, name, message(name, &kind))).collect()
}

fn before(found: &str) -> String {
    match found.is_empty() {
        true => "at the end of the query".to_owned(),
        false => format!("before {}", quoted(found)),
    }
}

/// The first word or so of what was found.
fn quoted(found: &str) -> String {
    let end = found.char_indices().nth(20).map_or(found.len(), |(at, _)| at);
    format!("`{}`", found[..end].trim_end())
}
