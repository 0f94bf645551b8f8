//! Syntax trees to programs: names are resolved, constants folded.

mod builtins;
mod patterns;
mod scope;
mod suggest;

use crate::meter;
use crate::natives::format::Format;
use crate::natives::math::{Comparison, Math};
use crate::program::{Boxed, Call, Foreach, Function, Kind, Node, Parameter, Piece, Program, Reduce};
use crate::syntax::{self, Access, Binary, Branch, Definition, Pair, Problem, Term, Update};
use crate::value::{Text, Val, parse_number, whole};
use scope::{Found, Scope};

/// The number of parts that a program may have, with what it calls of the language's own definitions.
const LARGEST: usize = 100_000;

/// The program of a query that may use the variables `variables`.
pub(crate) fn compile(term: &Term, variables: &[&str]) -> Result<Program, Problem> {
    let mut compiler =
        Compiler { functions: Vec::new(), scope: Scope::default(), builtins: Vec::new(), size: 0 };
    for name in variables {
        compiler.scope.variable(name);
    }
    let main = compiler.term(term)?;
    let functions = compiler.functions.into_iter().flatten().collect();
    let mut program = Program { main, functions };
    program.mark();
    Ok(program)
}

pub(crate) struct Compiler {
    /// A function is nothing until its body is compiled.
    functions: Vec<Option<Function>>,
    scope: Scope,
    /// The functions of the language that were compiled: names with the number of parameters, and numbers.
    builtins: Vec<(&'static Definition, usize)>,
    size: usize,
}

type Compiled<T> = Result<T, Problem>;

fn problem<T>(term: &Term, message: String) -> Compiled<T> {
    Err(Problem::new(term.span.clone(), message))
}

/// The value of a number that is written in a query.
pub fn number(text: &str) -> Val {
    let usual = text.trim_end_matches('.');
    match whole(usual) {
        Some(value) => value,
        None if crate::value::is_number(usual) => Val::Digits(Text::from(usual)),
        None => Val::Float(parse_number(text)),
    }
}

impl Compiler {
    fn boxed(&mut self, term: &Term) -> Compiled<Boxed> {
        self.term(term).map(Box::new)
    }

    fn optional(&mut self, term: Option<&Term>) -> Compiled<Option<Boxed>> {
        term.map(|term| self.boxed(term)).transpose()
    }

    /// The part of the program for `term`.
    pub(crate) fn term(&mut self, term: &Term) -> Compiled<Node> {
        self.size += 1;
        if self.size > LARGEST {
            return problem(term, format!("the query has more than {LARGEST} parts"));
        }
        self.kind(term).map(Node::new)
    }

    fn kind(&mut self, term: &Term) -> Compiled<Kind> {
        use syntax::Kind as Tree;
        Ok(match &term.kind {
            Tree::Identity => Kind::Identity,
            Tree::RecurseDefault => return self.call("recurse", &[], term),
            Tree::Number(text) => Kind::Constant(number(text)),
            Tree::Text(format, pieces) => self.text(format.as_deref(), pieces, term)?,
            Tree::Format(name) => Kind::Format(self.format(name, term)?),
            Tree::Index(base, access) => self.index(base, access)?,
            Tree::Try(body, caught) => Kind::Try(self.boxed(body)?, self.optional(caught.as_deref())?),
            Tree::Array(None) => Kind::Constant(Val::Array(crate::value::Array::default())),
            Tree::Array(Some(elements)) => Kind::Collect(self.boxed(elements)?),
            Tree::Object(pairs) => self.object(pairs)?,
            Tree::Negate(term) => match self.term(term)?.kind {
                Kind::Constant(Val::Float(number)) => Kind::Constant(Val::Float(-number)),
                Kind::Constant(Val::Digits(digits)) => Kind::Constant(crate::value::negated(&digits)),
                kind => Kind::Negate(Node::boxed(kind)),
            },
            Tree::Pipe(left, right) => Kind::Pipe(self.boxed(left)?, self.boxed(right)?),
            Tree::Comma(left, right) => Kind::Comma(self.boxed(left)?, self.boxed(right)?),
            Tree::Binary(operation, left, right) => {
                let (left, right) = (self.boxed(left)?, self.boxed(right)?);
                binary(*operation, left, right)
            }
            Tree::Update(update, left, right) => {
                let (left, right) = (self.boxed(left)?, self.boxed(right)?);
                match update {
                    Update::Assign => Kind::Assign(left, right),
                    Update::Modify => Kind::Modify(left, right),
                    Update::Calculate(Binary::Alternative) => Kind::ModifyMissing(left, right),
                    Update::Calculate(operation) => Kind::ModifyWith(math(*operation), left, right),
                }
            }
            Tree::If(branches, otherwise) => self.branches(branches, otherwise.as_deref())?,
            Tree::Break(name) => match self.scope.find_label(name) {
                Some(distance) => Kind::Break(distance),
                None => {
                    let problem = Problem::new(term.span.clone(), format!("there is no label `${name}`"));
                    return Err(Problem { help: self.suggest_label(name), ..problem });
                }
            },
            Tree::Call(name, arguments) => self.call(name, arguments, term)?,
            Tree::Variable(name) => self.variable(name, term)?,
            Tree::Location(line) => {
                let members = [("file", Val::from("<top-level>")), ("line", Val::from(*line))];
                let members = members.into_iter().map(|(name, value)| (Text::from(name), value));
                Kind::Constant(Val::Object(members.collect()))
            }
            _ => return self.binding(term),
        })
    }

    /// The terms that bring names into scope.
    fn binding(&mut self, term: &Term) -> Compiled<Kind> {
        use syntax::Kind as Tree;
        Ok(match &term.kind {
            Tree::As(source, patterns, body) => {
                let source = self.boxed(source)?;
                let scope = self.scope.mark();
                let patterns = self.patterns(patterns)?;
                let body = self.boxed(body)?;
                self.scope.reset(scope);
                Kind::Bind(source, patterns, body)
            }
            Tree::Reduce(source, patterns, parts) => {
                let (source, init) = (self.term(source)?, self.term(&parts.0)?);
                let scope = self.scope.mark();
                let patterns = self.patterns(patterns)?;
                let update = self.term(&parts.1)?;
                self.scope.reset(scope);
                Kind::Reduce(Box::new(Reduce { source, patterns, init, update }))
            }
            Tree::Foreach(source, patterns, parts) => {
                let (source, init) = (self.term(source)?, self.term(&parts.0)?);
                let scope = self.scope.mark();
                let patterns = self.patterns(patterns)?;
                let update = self.term(&parts.1)?;
                let extract = parts.2.as_ref().map(|term| self.term(term)).transpose()?;
                self.scope.reset(scope);
                Kind::Foreach(Box::new(Foreach { source, patterns, init, update, extract }))
            }
            Tree::Label(name, body) => {
                let scope = self.scope.mark();
                self.scope.label(name);
                let body = self.boxed(body)?;
                self.scope.reset(scope);
                Kind::Label(body)
            }
            Tree::Def(definition, body) => {
                let scope = self.scope.mark();
                self.define(definition)?;
                let body = self.term(body)?;
                self.scope.reset(scope);
                body.kind
            }
            _ => return problem(term, "this means nothing".to_owned()),
        })
    }

    fn variable(&mut self, name: &str, term: &Term) -> Compiled<Kind> {
        match self.scope.find_variable(name) {
            Some(distance) => Ok(Kind::Variable(distance)),
            None if name == "ENV" => Ok(Kind::Constant(Val::Object(crate::value::Object::default()))),
            None => {
                let problem = Problem::new(term.span.clone(), format!("there is no variable `${name}`"));
                Err(Problem { help: self.suggest_variable(name), ..problem })
            }
        }
    }

    fn format(&self, name: &str, term: &Term) -> Compiled<Format> {
        Format::named(name).ok_or_else(|| {
            let problem = Problem::new(term.span.clone(), format!("`@{name}` is not a valid format"));
            Problem { help: suggest::suggest_format(name), ..problem }
        })
    }

    fn text(&mut self, format: Option<&str>, pieces: &[syntax::Piece], term: &Term) -> Compiled<Kind> {
        let format = format.map_or(Ok(Format::Text), |name| self.format(name, term))?;
        match pieces {
            [] => return Ok(Kind::Constant(Val::from(""))),
            [syntax::Piece::Plain(text)] => return Ok(Kind::Constant(Val::from(text.as_str()))),
            _ => {}
        }
        let pieces = pieces.iter().map(|piece| {
            Ok(match piece {
                syntax::Piece::Plain(text) => Piece::Plain(Text::from(text.as_str())),
                syntax::Piece::Value(term) => Piece::Value(self.term(term)?),
            })
        });
        Ok(Kind::Interpolate(format, pieces.collect::<Compiled<_>>()?))
    }

    fn object(&mut self, pairs: &[Pair]) -> Compiled<Kind> {
        let mut members = Vec::new();
        for Pair { name, value } in pairs {
            let compiled = self.term(name)?;
            if let Kind::Constant(value) = &compiled.kind
                && value.as_text().is_none()
            {
                let (kind, shown) = (value.kind(), crate::value::shown(value));
                return problem(name, format!("Cannot use {kind} ({shown}) as object key"));
            }
            let value = match value {
                Some(value) => self.term(value)?,
                None => {
                    let name = self.term(name)?;
                    Node::new(field(Node::new(Kind::Identity), name))
                }
            };
            members.push((compiled, value));
        }
        let constant = |node: &Node| matches!(node.kind, Kind::Constant(_));
        let plain = |(name, value): &(Node, Node)| {
            matches!(name.kind, Kind::Constant(Val::Text(_))) && constant(value)
        };
        if !members.iter().all(plain) {
            return Ok(Kind::Object(members));
        }
        let members = members.into_iter().filter_map(|(name, value)| match (name.kind, value.kind) {
            (Kind::Constant(Val::Text(name)), Kind::Constant(value)) => Some((name, value)),
            _ => None,
        });
        Ok(Kind::Constant(Val::Object(members.collect())))
    }

    fn branches(&mut self, branches: &[Branch], otherwise: Option<&Term>) -> Compiled<Kind> {
        let mut last = match otherwise {
            Some(term) => self.term(term)?,
            None => Node::new(Kind::Identity),
        };
        for branch in branches.iter().rev() {
            let (condition, then) = (self.boxed(&branch.condition)?, self.boxed(&branch.then)?);
            last = Node::new(Kind::If(condition, then, Box::new(last)));
        }
        Ok(last.kind)
    }

    fn index(&mut self, base: &Term, access: &Access) -> Compiled<Kind> {
        let base = self.boxed(base)?;
        Ok(match access {
            Access::Each => Kind::Each(base),
            Access::At(key) => {
                let key = self.term(key)?;
                field(*base, key)
            }
            Access::Slice(from, until) => {
                Kind::Slice(base, self.optional(from.as_ref())?, self.optional(until.as_ref())?)
            }
        })
    }

    /// Compiles a definition and makes it known from here on.
    fn define(&mut self, definition: &Definition) -> Compiled<()> {
        let number = self.functions.len();
        self.functions.push(None);
        self.scope.function(&definition.name, definition.parameters.len(), number);
        let scope = self.scope.mark();
        let function = self.function(definition)?;
        self.scope.reset(scope);
        self.functions[number] = Some(function);
        Ok(())
    }

    /// The function of a definition, whose parameters come into scope.
    fn function(&mut self, definition: &Definition) -> Compiled<Function> {
        let mut parameters = Vec::new();
        for name in &definition.parameters {
            match name.strip_prefix('$') {
                Some(name) => {
                    self.scope.value_parameter(name);
                    parameters.push(Parameter::Value);
                }
                None => {
                    self.scope.filter_parameter(name);
                    parameters.push(Parameter::Filter);
                }
            }
        }
        Ok(Function { parameters, body: self.term(&definition.body)?, single: false })
    }

    fn call(&mut self, name: &str, arguments: &[Term], term: &Term) -> Compiled<Kind> {
        match (name, arguments) {
            ("null", []) => return Ok(Kind::Constant(Val::Null)),
            ("true", []) => return Ok(Kind::Constant(Val::Bool(true))),
            ("false", []) => return Ok(Kind::Constant(Val::Bool(false))),
            _ => {}
        }
        match self.scope.find_function(name, arguments.len()) {
            Some(Found::Filter(distance)) => Ok(Kind::Parameter(distance)),
            Some(Found::Value(distance)) => Ok(Kind::Variable(distance)),
            Some(Found::Function(function, skip)) => {
                let arguments = arguments.iter().map(|term| self.term(term)).collect::<Compiled<_>>()?;
                Ok(Kind::Call(Call { function, skip, arguments }))
            }
            None => self.builtin(name, arguments, term),
        }
    }
}

/// The operator between two parts, calculated if both are constants.
fn binary(operation: Binary, left: Boxed, right: Boxed) -> Kind {
    if let (Kind::Constant(left), Kind::Constant(right)) = (&left.kind, &right.kind)
        && matches!(operation, Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide)
        && let (Some(_), Some(_)) = (left.as_number(), right.as_number())
        && meter::reserve(0).is_ok()
        && let Ok(value) = crate::natives::math::calculate(math(operation), left.clone(), right.clone())
    {
        return Kind::Constant(value);
    }
    match operation {
        Binary::Alternative => Kind::Alternative(left, right),
        Binary::Or => Kind::Or(left, right),
        Binary::And => Kind::And(left, right),
        Binary::Equal => Kind::Compare(Comparison::Equal, left, right),
        Binary::NotEqual => Kind::Compare(Comparison::NotEqual, left, right),
        Binary::Less => Kind::Compare(Comparison::Less, left, right),
        Binary::LessOrEqual => Kind::Compare(Comparison::LessOrEqual, left, right),
        Binary::Greater => Kind::Compare(Comparison::Greater, left, right),
        Binary::GreaterOrEqual => Kind::Compare(Comparison::GreaterOrEqual, left, right),
        operation => Kind::Calculate(math(operation), left, right),
    }
}

fn math(operation: Binary) -> Math {
    match operation {
        Binary::Subtract => Math::Subtract,
        Binary::Multiply => Math::Multiply,
        Binary::Divide => Math::Divide,
        Binary::Remainder => Math::Remainder,
        _ => Math::Add,
    }
}

/// `base[key]`, in its short form if the key is a literal name and the base such a path.
fn field(base: Node, key: Node) -> Kind {
    match (base.kind, key.kind) {
        (Kind::Identity, Kind::Constant(Val::Text(name))) => Kind::Fields(vec![name]),
        (Kind::Fields(mut names), Kind::Constant(Val::Text(name))) => {
            names.push(name);
            Kind::Fields(names)
        }
        (base, key) => Kind::Index(Node::boxed(base), Node::boxed(key)),
    }
}
