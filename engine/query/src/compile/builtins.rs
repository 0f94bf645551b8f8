//! Functions of the language: those that are parts of a program by themselves, those in Rust, and those in jq.

use std::sync::OnceLock;

use super::{Compiled, Compiler, problem};
use crate::exit::Exit;
use crate::natives;
use crate::natives::math::Comparison;
use crate::natives::regex::Matcher;
use crate::program::{Boxed, Call, Kind, Node, Special};
use crate::syntax::{Definition, Problem, Term, parse_definitions};
use crate::value::{Val, shown};

/// The functions that are defined in the language itself.
const DEFINITIONS: &str = include_str!("../defined.jq");

/// The number of bindings out that leaves no bindings.
pub(crate) const OUTERMOST: usize = usize::MAX;

fn definitions() -> &'static [Definition] {
    static PARSED: OnceLock<Vec<Definition>> = OnceLock::new();
    PARSED.get_or_init(|| parse_definitions(DEFINITIONS).unwrap_or_default())
}

/// The names of all functions of the language, with the numbers of their parameters.
pub(crate) fn names() -> Vec<String> {
    let defined = definitions().iter().map(|definition| (&*definition.name, definition.parameters.len()));
    let native = natives::all().map(|native| (native.name, native.arity));
    let special = SPECIALS.iter().map(|(name, arity, _)| (*name, *arity));
    let named = native.chain(special).chain(SHORTHANDS).chain(defined);
    let shown = named.filter(|(name, _)| !name.starts_with('_'));
    shown.map(|(name, arity)| format!("{name}/{arity}")).collect()
}

/// Functions that are put together out of other parts.
const SHORTHANDS: [(&str, usize); 18] = [
    ("select", 1),
    ("map", 1),
    ("map_values", 1),
    ("with_entries", 1),
    ("recurse", 0),
    ("range", 1),
    ("any", 0),
    ("any", 1),
    ("all", 0),
    ("all", 1),
    ("env", 0),
    ("builtins", 0),
    ("first", 0),
    ("last", 0),
    ("nth", 1),
    ("input_filename", 0),
    ("values", 0),
    ("halt_error", 1),
];

const SPECIALS: [(&str, usize, Special); 45] = [
    ("empty", 0, Special::Empty),
    ("path", 1, Special::Path),
    ("del", 1, Special::Delete),
    ("getpath", 1, Special::GetPath),
    ("recurse", 1, Special::Recurse),
    ("range", 2, Special::Range),
    ("range", 3, Special::RangeBy),
    ("limit", 2, Special::Limit),
    ("skip", 2, Special::Skip),
    ("first", 1, Special::First),
    ("last", 1, Special::Last),
    ("isempty", 1, Special::IsEmpty),
    ("any", 2, Special::Any),
    ("all", 2, Special::All),
    ("until", 2, Special::Until),
    ("while", 2, Special::While),
    ("repeat", 1, Special::Repeat),
    ("sort_by", 1, Special::SortBy),
    ("group_by", 1, Special::GroupBy),
    ("unique_by", 1, Special::UniqueBy),
    ("min_by", 1, Special::MinBy),
    ("max_by", 1, Special::MaxBy),
    ("walk", 1, Special::Walk),
    ("add", 1, Special::Add),
    ("test", 1, Special::Test),
    ("test", 2, Special::Test),
    ("match", 1, Special::Match),
    ("match", 2, Special::Match),
    ("capture", 1, Special::Capture),
    ("capture", 2, Special::Capture),
    ("scan", 1, Special::Scan),
    ("scan", 2, Special::Scan),
    ("split", 2, Special::Split),
    ("splits", 1, Special::Splits),
    ("splits", 2, Special::Splits),
    ("sub", 2, Special::Sub),
    ("sub", 3, Special::Sub),
    ("gsub", 2, Special::Gsub),
    ("gsub", 3, Special::Gsub),
    ("debug", 0, Special::Log),
    ("stderr", 0, Special::Log),
    ("input", 0, Special::Input),
    ("inputs", 0, Special::Empty),
    ("halt", 0, Special::Halt),
    ("halt_error", 0, Special::Halt),
];

impl Compiler {
    pub(super) fn builtin(&mut self, name: &str, arguments: &[Term], term: &Term) -> Compiled<Kind> {
        if let Some(kind) = self.shorthand(name, arguments)? {
            return Ok(kind);
        }
        let arity = arguments.len();
        if let Some((_, _, special)) =
            SPECIALS.iter().find(|(known, count, _)| *known == name && *count == arity)
        {
            return self.special(*special, arguments);
        }
        if let Some(native) = natives::all().find(|native| native.name == name && native.arity == arity) {
            let arguments = arguments.iter().map(|term| self.term(term)).collect::<Compiled<_>>()?;
            return Ok(Kind::Native(native, arguments));
        }
        let defined =
            |definition: &&Definition| definition.name == name && definition.parameters.len() == arity;
        if let Some(definition) = definitions().iter().find(defined) {
            let function = self.defined(definition)?;
            let arguments = arguments.iter().map(|term| self.term(term)).collect::<Compiled<_>>()?;
            return Ok(Kind::Call(Call { function, skip: OUTERMOST, arguments }));
        }
        let message = match (name, arity) {
            ("input_line_number" | "modulemeta" | "get_search_list" | "$__prog_args", _) => {
                format!("`{name}` has no meaning here: a query sees one event and nothing else")
            }
            (_, 0) => format!("there is no function `{name}`"),
            (_, 1) => format!("there is no function `{name}` with 1 argument"),
            _ => format!("there is no function `{name}` with {arity} arguments"),
        };
        let problem = Problem::new(term.span.start..term.span.start + name.len(), message);
        Err(Problem { help: self.suggest_function(name, arity), ..problem })
    }

    /// The number of a function that the language defines in itself.
    fn defined(&mut self, definition: &'static Definition) -> Compiled<usize> {
        if let Some((_, number)) = self.builtins.iter().find(|(known, _)| std::ptr::eq(*known, definition)) {
            return Ok(*number);
        }
        let number = self.functions.len();
        self.functions.push(None);
        self.builtins.push((definition, number));
        let scope = self.scope.mark();
        self.scope.wall();
        let function = self.function(definition);
        self.scope.reset(scope);
        self.functions[number] = Some(function?);
        Ok(number)
    }

    fn shorthand(&mut self, name: &str, arguments: &[Term]) -> Compiled<Option<Kind>> {
        let here = || Node::boxed(Kind::Identity);
        let each = || Node::boxed(Kind::Each(Node::boxed(Kind::Identity)));
        let constant = |value: Val| Node::boxed(Kind::Constant(value));
        Ok(Some(match (name, arguments) {
            ("select", [condition]) => {
                let empty = Node::boxed(Kind::Special(Special::Empty, Vec::new()));
                Kind::If(self.boxed(condition)?, here(), empty)
            }
            ("map", [body]) => map(self.boxed(body)?),
            ("map_values", [body]) => Kind::Modify(each(), self.boxed(body)?),
            ("with_entries", [body]) => {
                let entries = self.builtin("to_entries", &[], body)?;
                let mapped = Node::boxed(map(self.boxed(body)?));
                let back = self.builtin("from_entries", &[], body)?;
                let first = Node::boxed(Kind::Pipe(Node::boxed(entries), mapped));
                Kind::Pipe(first, Node::boxed(back))
            }
            ("recurse", []) => {
                let each = Node::new(Kind::Try(each(), None));
                Kind::Special(Special::Recurse, vec![each])
            }
            ("range", [until]) => {
                let zero = Node::new(Kind::Constant(Val::Float(0.0)));
                Kind::Special(Special::Range, vec![zero, self.term(until)?])
            }
            ("any", []) => Kind::Special(Special::Any, vec![*each(), *here()]),
            ("all", []) => Kind::Special(Special::All, vec![*each(), *here()]),
            ("any", [condition]) => Kind::Special(Special::Any, vec![*each(), self.term(condition)?]),
            ("all", [condition]) => Kind::Special(Special::All, vec![*each(), self.term(condition)?]),
            ("env", []) => Kind::Constant(Val::Object(crate::value::Object::default())),
            ("builtins", []) => {
                let all: Vec<Val> = names().into_iter().map(Val::from).collect();
                Kind::Constant(Val::from(all))
            }
            ("first", []) => Kind::Index(here(), constant(Val::Float(0.0))),
            ("last", []) => Kind::Index(here(), constant(Val::Float(-1.0))),
            ("nth", [place]) => Kind::Index(here(), self.boxed(place)?),
            ("input_filename", []) => Kind::Constant(Val::Null),
            ("values", []) => {
                let empty = Node::boxed(Kind::Special(Special::Empty, Vec::new()));
                let null = constant(Val::Null);
                let condition = Kind::Compare(Comparison::NotEqual, here(), null);
                Kind::If(Node::boxed(condition), here(), empty)
            }
            ("halt_error", [status]) => {
                self.term(status)?;
                Kind::Special(Special::Halt, Vec::new())
            }
            _ => return Ok(None),
        }))
    }

    fn special(&mut self, special: Special, terms: &[Term]) -> Compiled<Kind> {
        let mut arguments = terms.iter().map(|term| self.term(term)).collect::<Compiled<Vec<_>>>()?;
        let flags = match special {
            Special::Test
            | Special::Match
            | Special::Capture
            | Special::Scan
            | Special::Split
            | Special::Splits => 1,
            Special::Sub | Special::Gsub => 2,
            _ => return Ok(Kind::Special(special, arguments)),
        };
        if arguments.len() == flags {
            arguments.push(Node::new(Kind::Constant(Val::Null)));
        }
        if let (Kind::Constant(pattern @ Val::Text(_)), Kind::Constant(modifiers)) =
            (&arguments[0].kind, &arguments[flags].kind)
        {
            return match Matcher::new(pattern, modifiers) {
                Ok(matcher) => Ok(Kind::Regex(special, Box::new(matcher), arguments)),
                Err(error) => {
                    let message = message_of(&error);
                    let reason = message.rsplit("is not a valid regex: ").next().unwrap_or_default();
                    problem(&terms[0], format!("this is not a regular expression: {reason}"))
                }
            };
        }
        Ok(Kind::Special(special, arguments))
    }
}

/// The message of an error.
fn message_of(exit: &Exit) -> String {
    match exit {
        Exit::Error(value) => value.as_text().map_or_else(|| shown(value), str::to_owned),
        other => format!("{other:?}"),
    }
}

/// `map(body)`
fn map(body: Boxed) -> Kind {
    let each = Node::boxed(Kind::Each(Node::boxed(Kind::Identity)));
    Kind::Collect(Node::boxed(Kind::Pipe(each, body)))
}
