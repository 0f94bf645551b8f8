//! From the syntax tree of a query to an expression, as far as the query is of the fast subset.

mod each;

use tidegate_query::syntax::{Access, Binary, Branch, Kind, Pair, Piece as Part, Term};
use tidegate_query::{Regex, Val};

use super::expression::{Constant, Expression, Guard, Member, Piece, Test};
use super::wanted::{ROOT, Wanted, quoted};
use super::words::Pattern;
use each::{iterated, path_of};

/// Deeper queries are not looked at: they are for the evaluator.
const DEPTH: usize = 100;

/// A pipe puts its left side into its right side, which can make a long expression out of a short query.
const LARGEST: usize = 5000;

/// An obstacle to the fast path, as the object of a sentence: "the function `map`".
pub(super) type Obstacle = String;

/// Turns terms into expressions, and collects the places that they need.
pub(super) struct Lowering {
    wanted: Wanted,
    depth: usize,
    size: usize,
    /// The number of [`Each`] over the event itself.
    each: usize,
}

impl Lowering {
    pub(super) fn new() -> Self {
        Self { wanted: Wanted::new(), depth: 0, size: 0, each: 0 }
    }

    /// The places that the expressions so far need.
    pub(super) fn into_wanted(self) -> Wanted {
        self.wanted
    }

    /// An expression for each result of the query `term` for an event.
    pub(super) fn query(&mut self, term: &Term) -> Result<Vec<Expression>, Obstacle> {
        let mut results = Vec::new();
        self.results(term, &Expression::Place(ROOT), &mut results)?;
        for result in &results {
            self.mark_printed(result);
        }
        Ok(results)
    }

    /// Marks the places whose values become part of what is printed. Too many are no mistake.
    fn mark_printed(&mut self, expression: &Expression) {
        match expression {
            Expression::Place(place) => self.wanted.mark_printed(*place),
            Expression::Object(members) => members.iter().for_each(|member| self.mark_printed(&member.value)),
            Expression::Array(elements) => elements.iter().for_each(|element| self.mark_printed(element)),
            Expression::Guarded(_, value) => self.mark_printed(value),
            Expression::Choice(parts) => parts[1..].iter().for_each(|part| self.mark_printed(part)),
            Expression::Alternative(parts) => parts.iter().for_each(|part| self.mark_printed(part)),
            Expression::ToNumber(part) => self.mark_printed(part),
            // What is printed of elements was marked where their query was lowered.
            _ => {}
        }
    }

    fn results(
        &mut self,
        term: &Term,
        input: &Expression,
        results: &mut Vec<Expression>,
    ) -> Result<(), Obstacle> {
        self.nested(|this| match &term.kind {
            Kind::Index(..) | Kind::Try(..) if iterated(term).is_some() => {
                let path = iterated(term).ok_or("an iterator")?;
                results.push(this.each(&path, None, input)?);
                Ok(())
            }
            Kind::Pipe(left, right) if iterated(left).is_some() => {
                let path = iterated(left).ok_or("an iterator")?;
                results.push(this.each(&path, Some(right), input)?);
                Ok(())
            }
            Kind::Comma(left, right) => {
                this.results(left, input, results)?;
                this.results(right, input, results)
            }
            Kind::Pipe(left, right) => {
                let (guards, value) = this.piped(left, input)?;
                let first = results.len();
                this.results(right, &value, results)?;
                for result in &mut results[first..] {
                    let guards = guards.iter().map(|guard| this.copy_guard(guard));
                    let guards = guards.collect::<Result<_, _>>()?;
                    *result = guarded(guards, std::mem::replace(result, Expression::Nothing));
                }
                Ok(())
            }
            _ => {
                results.push(this.term(term, input)?);
                Ok(())
            }
        })
    }

    /// A text with expressions in it.
    fn format(&mut self, parts: &[Part], input: &Expression) -> Result<Expression, Obstacle> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Value(term) => {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                    pieces.push(Piece::Value(self.term(term, input)?));
                }
            }
        }
        pieces.push(Piece::Text(text.into()));
        Ok(Expression::Format(pieces))
    }

    fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Obstacle>) -> Result<T, Obstacle> {
        self.depth += 1;
        self.size += 1;
        if self.depth > DEPTH || self.size > LARGEST {
            return Err("its size".to_owned());
        }
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn copy(&mut self, expression: &Expression) -> Result<Expression, Obstacle> {
        self.size += expression.size();
        if self.size > LARGEST { Err("its size".to_owned()) } else { Ok(expression.clone()) }
    }

    fn copy_guard(&mut self, guard: &Guard) -> Result<Guard, Obstacle> {
        Ok(match guard {
            Guard::True(condition) => Guard::True(self.copy(condition)?),
            Guard::Any(value) => Guard::Any(self.copy(value)?),
        })
    }

    /// The left side of a pipe: what it demands, and the value that the right side works on.
    fn piped(&mut self, term: &Term, input: &Expression) -> Result<(Vec<Guard>, Expression), Obstacle> {
        let (mut guards, value) = split(self.term(term, input)?);
        if !matches!(value, Expression::Constant(_) | Expression::Place(ROOT)) {
            guards.push(Guard::Any(self.copy(&value)?));
        }
        Ok((guards, value))
    }

    fn term(&mut self, term: &Term, input: &Expression) -> Result<Expression, Obstacle> {
        self.nested(|this| match &term.kind {
            Kind::Identity => this.copy(input),
            Kind::Number(text) => Ok(Expression::Constant(number(text))),
            Kind::Negate(term) => match this.term(term, input)? {
                Expression::Constant(Constant::Number(number)) => {
                    Ok(Expression::Constant(Constant::Number(-number)))
                }
                Expression::Constant(Constant::Digits(digits)) => {
                    let negated = match digits.strip_prefix(b"-") {
                        Some(digits) => digits.into(),
                        None => [b"-", &*digits].concat().into(),
                    };
                    Ok(Expression::Constant(Constant::Digits(negated)))
                }
                _ => Err("the sign `-`".to_owned()),
            },
            Kind::Text(None, parts) => match term.literal_text() {
                Some(text) => Ok(Expression::Constant(Constant::Text(text.into()))),
                None => this.format(parts, input),
            },
            Kind::Array(None) => Ok(Expression::Array(Vec::new())),
            Kind::Array(Some(elements)) => {
                let mut results = Vec::new();
                this.results(elements, input, &mut results)?;
                Ok(Expression::Array(results))
            }
            Kind::Object(members) => this.object(members, input),
            Kind::Index(..) => {
                let (base, path) = path_of(term);
                this.path(base, &path, input)
            }
            Kind::Try(inner, None) if matches!(inner.kind, Kind::Index(..)) => this.term(inner, input),
            Kind::Pipe(left, right) => {
                let (guards, value) = this.piped(left, input)?;
                Ok(guarded(guards, this.term(right, &value)?))
            }
            Kind::Binary(operation, left, right) => {
                let parts = Box::new([this.term(left, input)?, this.term(right, input)?]);
                Ok(this.operation(*operation, parts))
            }
            Kind::If(branches, otherwise) => this.choice(branches, otherwise.as_deref(), input),
            Kind::Call(name, arguments) => this.call(name, arguments, input, term),
            _ => Err(obstacle(term)),
        })
    }

    fn object(&mut self, members: &[Pair], input: &Expression) -> Result<Expression, Obstacle> {
        let mut made: Vec<Member> = Vec::new();
        for Pair { name, value } in members {
            let name = name.literal_text().ok_or("a name in an object that is not a plain text")?.to_owned();
            if made.iter().any(|member| member.name == name) {
                return Err(format!("the name `{name}`, which an object has twice"));
            }
            let value = match value {
                Some(value) => self.term(value, input)?,
                None => {
                    let input = self.copy(input)?;
                    let (guards, value) = self.index(Vec::new(), input, &name)?;
                    guarded(guards, value)
                }
            };
            let mut before = vec![if made.is_empty() { b'{' } else { b',' }];
            tidegate_query::write_text(&name, &mut before);
            before.push(b':');
            made.push(Member { name, before: before.into(), value });
        }
        Ok(Expression::Object(made))
    }

    fn path(&mut self, base: &Term, path: &[&Access], input: &Expression) -> Result<Expression, Obstacle> {
        let (mut guards, mut value) = split(self.term(base, input)?);
        for access in path {
            let Access::At(index) = access else {
                return Err("a slice, or the iterator `.[]` where one value is asked for".to_owned());
            };
            (guards, value) = match (index.literal_text(), &index.kind) {
                (Some(name), _) => self.index(guards, value, name)?,
                (None, Kind::Number(text)) => match (text.parse::<usize>(), value) {
                    (Ok(index), Expression::Place(place)) => {
                        (guards, Expression::Place(self.wanted.element(place, index)))
                    }
                    _ => return Err(format!("the index `{text}`")),
                },
                _ => return Err("an index that is computed".to_owned()),
            };
        }
        Ok(guarded(guards, value))
    }

    /// The member `name` of `value`, and what that demands beside `guards`.
    fn index(
        &mut self,
        mut guards: Vec<Guard>,
        value: Expression,
        name: &str,
    ) -> Result<(Vec<Guard>, Expression), Obstacle> {
        match value {
            Expression::Place(place) => match self.wanted.member(place, name) {
                Some(place) => Ok((guards, Expression::Place(place))),
                None => Err(format!("the name `{name}`, which JSON writes in another way")),
            },
            Expression::Object(members) => {
                let member = members.iter().find(|member| member.name == name);
                let value = match member {
                    Some(member) => self.copy(&member.value)?,
                    None => Expression::Constant(Constant::Null),
                };
                guards.push(Guard::Any(Expression::Object(members)));
                let (more, value) = split(value);
                guards.extend(more);
                Ok((guards, value))
            }
            _ => Err(format!("the path `.{name}` of what is computed")),
        }
    }

    fn operation(&self, operation: Binary, parts: Box<[Expression; 2]>) -> Expression {
        match operation {
            Binary::Alternative => Expression::Alternative(parts),
            Binary::Or => Expression::Logic(true, parts),
            Binary::And => Expression::Logic(false, parts),
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                Expression::Calculate(operation, parts)
            }
            operation => comparison(operation, *parts),
        }
    }

    fn choice(
        &mut self,
        branches: &[Branch],
        otherwise: Option<&Term>,
        input: &Expression,
    ) -> Result<Expression, Obstacle> {
        let mut choice = match otherwise {
            Some(term) => self.term(term, input)?,
            None => self.copy(input)?,
        };
        for Branch { condition, then } in branches.iter().rev() {
            let parts = [self.term(condition, input)?, self.term(then, input)?, choice];
            choice = Expression::Choice(Box::new(parts));
        }
        Ok(choice)
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[Term],
        input: &Expression,
        term: &Term,
    ) -> Result<Expression, Obstacle> {
        let text = arguments.first().and_then(Term::literal_text);
        match (name, arguments, text) {
            ("select", [condition], _) => {
                let condition = self.term(condition, input)?;
                Ok(guarded(vec![Guard::True(condition)], self.copy(input)?))
            }
            ("map", [body], _) => self.map(body, input),
            ("not", [], _) => Ok(Expression::Not(Box::new(self.copy(input)?))),
            ("empty", [], _) => Ok(Expression::Nothing),
            ("null", [], _) => Ok(Expression::Constant(Constant::Null)),
            ("true", [], _) => Ok(Expression::Constant(Constant::Bool(true))),
            ("false", [], _) => Ok(Expression::Constant(Constant::Bool(false))),
            ("tonumber", [], _) => Ok(Expression::ToNumber(Box::new(self.copy(input)?))),
            ("has", [_], Some(name)) => match input {
                Expression::Place(place) => match self.wanted.member(*place, name) {
                    Some(member) => Ok(Expression::Has(*place, member)),
                    None => Err(format!("the name `{name}`, which JSON writes in another way")),
                },
                _ => Err("`has` of what is computed".to_owned()),
            },
            (_, [_], Some(text)) => match test(name, text) {
                Some(test) => Ok(Expression::Test(test, Box::new(self.copy(input)?))),
                None => Err(obstacle(term)),
            },
            _ => Err(obstacle(term)),
        }
    }
}

/// The test `name` for `text`.
fn test(name: &str, text: &str) -> Option<Test> {
    let bytes = || text.as_bytes().into();
    match name {
        "startswith" => Some(Test::StartsWith(bytes())),
        "endswith" => Some(Test::EndsWith(bytes())),
        "contains" => {
            let finder = memchr::memmem::Finder::new(text).into_owned();
            Some(Test::Contains(Box::new(finder)))
        }
        "test" => Regex::linear(text).map(|regex| Test::Matches(Box::new(regex))),
        _ => None,
    }
}

/// `value`, if `guards` and its own let it pass.
fn guarded(mut guards: Vec<Guard>, value: Expression) -> Expression {
    let (more, value) = split(value);
    guards.extend(more);
    if guards.is_empty() { value } else { Expression::Guarded(guards, Box::new(value)) }
}

fn split(expression: Expression) -> (Vec<Guard>, Expression) {
    match expression {
        Expression::Guarded(guards, value) => (guards, *value),
        other => (Vec::new(), other),
    }
}

/// A comparison; the most frequent one, of a member with a text, takes a short cut.
fn comparison(operation: Binary, parts: [Expression; 2]) -> Expression {
    let equal = operation == Binary::Equal;
    match &parts {
        [Expression::Place(place), Expression::Constant(Constant::Text(text))]
        | [Expression::Constant(Constant::Text(text)), Expression::Place(place)]
            if equal || operation == Binary::NotEqual =>
        {
            match quoted(text) {
                Some(quoted) => Expression::IsText(*place, Pattern::new(&quoted), equal),
                None => Expression::Compare(operation, Box::new(parts)),
            }
        }
        _ => Expression::Compare(operation, Box::new(parts)),
    }
}

/// A number in a query.
fn number(text: &str) -> Constant {
    match tidegate_query::number(text) {
        Val::Digits(digits) => Constant::Digits(digits.as_bytes().into()),
        value => Constant::Number(value.as_number().unwrap_or(f64::NAN)),
    }
}

/// The name of a term that is not of the subset.
fn obstacle(term: &Term) -> Obstacle {
    match &term.kind {
        Kind::RecurseDefault => "`..`".to_owned(),
        Kind::Text(..) | Kind::Format(_) => "a text with a format".to_owned(),
        Kind::Label(..) | Kind::Break(_) => "`label`".to_owned(),
        Kind::Reduce(..) => "`reduce`".to_owned(),
        Kind::Foreach(..) => "`foreach`".to_owned(),
        Kind::Try(..) => "`try` (`?` after a path is fine)".to_owned(),
        Kind::Def(..) => "`def`".to_owned(),
        Kind::As(..) => "a variable (`as`)".to_owned(),
        Kind::Comma(..) => "the operator `,`".to_owned(),
        Kind::Update(update, ..) => format!("the operator `{}`", update.sign()),
        Kind::Variable(name) => format!("the variable `${name}`"),
        Kind::Location(_) => "the variable `$__loc__`".to_owned(),
        Kind::Call(name, arguments) => match arguments.len() {
            0 => format!("the function `{name}`"),
            _ => format!("the function `{name}` with these arguments"),
        },
        _ => "a part of the query".to_owned(),
    }
}
