//! Compiled queries: trees in which names are numbers.

use crate::natives::Native;
use crate::natives::format::Format;
use crate::natives::math::{Comparison, Math};
use crate::natives::regex::Matcher;
use crate::value::{Text, Val};

/// A compiled query.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) main: Node,
    pub(crate) functions: Vec<Function>,
}

/// A function that the query, or the language itself, defines.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Node,
    /// True if it always has one result, if its parameters do.
    pub(crate) single: bool,
}

/// The way in which a parameter is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// `$name`: each of its values in turn.
    Value,
    /// `name`: as it is, with the variables around it.
    Filter,
}

/// A part of a program.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// True if it always has exactly one result, or fails.
    pub(crate) single: bool,
}

pub(crate) type Boxed = Box<Node>;

/// The operation of a part of a program.
#[derive(Debug)]
pub(crate) enum Kind {
    Identity,
    Constant(Val),
    /// `.a.b.c`
    Fields(Vec<Text>),
    /// `base[key]`
    Index(Boxed, Boxed),
    /// `base[from:until]`
    Slice(Boxed, Option<Boxed>, Option<Boxed>),
    /// `base[]`
    Each(Boxed),
    Try(Boxed, Option<Boxed>),
    Collect(Boxed),
    /// `{name: value, ...}`
    Object(Vec<(Node, Node)>),
    Negate(Boxed),
    Pipe(Boxed, Boxed),
    Comma(Boxed, Boxed),
    Calculate(Math, Boxed, Boxed),
    Compare(Comparison, Boxed, Boxed),
    And(Boxed, Boxed),
    Or(Boxed, Boxed),
    Alternative(Boxed, Boxed),
    If(Boxed, Boxed, Boxed),
    Bind(Boxed, Patterns, Boxed),
    Reduce(Box<Reduce>),
    Foreach(Box<Foreach>),
    Label(Boxed),
    /// The number of bindings between it and the label.
    Break(usize),
    /// The number of bindings between it and the variable.
    Variable(usize),
    /// The number of bindings between it and the parameter.
    Parameter(usize),
    Call(Call),
    Format(Format),
    Interpolate(Format, Vec<Piece>),
    Native(&'static Native, Vec<Node>),
    Special(Special, Vec<Node>),
    /// A regular expression that is known, in `test`, `match`, ...
    Regex(Special, Box<Matcher>, Vec<Node>),
    /// `=`
    Assign(Boxed, Boxed),
    /// `|=`
    Modify(Boxed, Boxed),
    /// `+=`, ...
    ModifyWith(Math, Boxed, Boxed),
    /// `//=`
    ModifyMissing(Boxed, Boxed),
}

/// A part of a text.
#[derive(Debug)]
pub(crate) enum Piece {
    Plain(Text),
    Value(Node),
}

/// A call of a function.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: usize,
    /// The number of bindings between the call and the definition.
    pub(crate) skip: usize,
    pub(crate) arguments: Vec<Node>,
}

/// Patterns with `?//` between them.
#[derive(Debug)]
pub(crate) struct Patterns {
    pub(crate) patterns: Vec<Pattern>,
    /// If there are several: for each of them, which of all names its variables have.
    pub(crate) names: Vec<Vec<usize>>,
    /// The number of names, if there are several patterns.
    pub(crate) count: usize,
}

/// A pattern. Its variables are bound in the order in which they are written.
#[derive(Debug)]
pub(crate) enum Pattern {
    Variable,
    Array(Vec<Pattern>),
    Object(Vec<Member>),
}

/// A member of the pattern of an object.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Node,
    /// True if the value is also bound to a variable.
    pub(crate) bound: bool,
    pub(crate) pattern: Option<Pattern>,
}

#[derive(Debug)]
pub(crate) struct Reduce {
    pub(crate) source: Node,
    pub(crate) patterns: Patterns,
    pub(crate) init: Node,
    pub(crate) update: Node,
}

#[derive(Debug)]
pub(crate) struct Foreach {
    pub(crate) source: Node,
    pub(crate) patterns: Patterns,
    pub(crate) init: Node,
    pub(crate) update: Node,
    pub(crate) extract: Option<Node>,
}

/// A function that does more with its arguments, or its results, than a native one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Empty,
    Path,
    Delete,
    GetPath,
    Recurse,
    Range,
    RangeBy,
    Limit,
    Skip,
    First,
    Last,
    IsEmpty,
    Any,
    All,
    Until,
    While,
    Repeat,
    SortBy,
    GroupBy,
    UniqueBy,
    MinBy,
    MaxBy,
    Walk,
    Add,
    Test,
    Match,
    Capture,
    Scan,
    Split,
    Splits,
    Sub,
    Gsub,
    Log,
    Input,
    Halt,
}

impl Node {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, single: false }
    }

    pub(crate) fn boxed(kind: Kind) -> Boxed {
        Box::new(Self::new(kind))
    }

    /// Finds out of each part whether it has exactly one result. `functions` says it of the functions.
    pub(crate) fn mark(&mut self, functions: &[bool]) -> bool {
        let mut parts_single = true;
        self.each_part(&mut |part| parts_single &= part.mark(functions));
        self.single = match &self.kind {
            Kind::Each(_)
            | Kind::Try(..)
            | Kind::Comma(..)
            | Kind::Foreach(_)
            | Kind::Label(_)
            | Kind::Break(_)
            | Kind::Parameter(_) => false,
            // Their parts may have any number of results.
            Kind::Collect(_) => true,
            Kind::Reduce(reduce) => reduce.init.single,
            Kind::Alternative(left, right) => left.single && right.single,
            Kind::Bind(_, patterns, _) => parts_single && patterns.patterns.len() == 1,
            Kind::Call(call) => {
                // A filter is marked by what it is where it is called.
                functions[call.function] && parts_single
            }
            Kind::Modify(..) => true,
            Kind::Assign(_, value) | Kind::ModifyWith(_, _, value) | Kind::ModifyMissing(_, value) => {
                value.single
            }
            Kind::Special(special, _) | Kind::Regex(special, ..) => {
                special.is_single()
                    && match special {
                        Special::Sub | Special::Gsub | Special::Test | Special::Split | Special::GetPath => {
                            parts_single
                        }
                        _ => true,
                    }
            }
            _ => parts_single,
        };
        self.single
    }

    /// Calls `work` with each part of it.
    fn each_part(&mut self, work: &mut dyn FnMut(&mut Self)) {
        match &mut self.kind {
            Kind::Index(left, right)
            | Kind::Pipe(left, right)
            | Kind::Comma(left, right)
            | Kind::Calculate(_, left, right)
            | Kind::Compare(_, left, right)
            | Kind::And(left, right)
            | Kind::Or(left, right)
            | Kind::Alternative(left, right)
            | Kind::Assign(left, right)
            | Kind::Modify(left, right)
            | Kind::ModifyWith(_, left, right)
            | Kind::ModifyMissing(left, right) => [left, right].into_iter().for_each(|part| work(part)),
            Kind::Slice(base, from, until) => {
                work(base);
                from.iter_mut().chain(until).for_each(|part| work(part));
            }
            Kind::Each(part) | Kind::Collect(part) | Kind::Negate(part) | Kind::Label(part) => work(part),
            Kind::Try(body, caught) => {
                work(body);
                caught.iter_mut().for_each(|part| work(part));
            }
            Kind::Object(members) => members.iter_mut().for_each(|(name, value)| {
                work(name);
                work(value);
            }),
            Kind::If(condition, then, otherwise) => {
                [condition, then, otherwise].into_iter().for_each(|part| work(part));
            }
            Kind::Bind(source, patterns, body) => {
                work(source);
                patterns.patterns.iter_mut().for_each(|pattern| pattern.each_part(work));
                work(body);
            }
            Kind::Reduce(reduce) => {
                work(&mut reduce.source);
                reduce.patterns.patterns.iter_mut().for_each(|pattern| pattern.each_part(work));
                work(&mut reduce.init);
                work(&mut reduce.update);
            }
            Kind::Foreach(foreach) => {
                work(&mut foreach.source);
                foreach.patterns.patterns.iter_mut().for_each(|pattern| pattern.each_part(work));
                work(&mut foreach.init);
                work(&mut foreach.update);
                foreach.extract.iter_mut().for_each(work);
            }
            Kind::Call(call) => call.arguments.iter_mut().for_each(work),
            Kind::Interpolate(_, pieces) => {
                for piece in pieces {
                    if let Piece::Value(value) = piece {
                        work(value);
                    }
                }
            }
            Kind::Native(_, arguments) | Kind::Special(_, arguments) | Kind::Regex(_, _, arguments) => {
                arguments.iter_mut().for_each(work);
            }
            _ => {}
        }
    }
}

impl Pattern {
    fn each_part(&mut self, work: &mut dyn FnMut(&mut Node)) {
        match self {
            Self::Variable => {}
            Self::Array(elements) => elements.iter_mut().for_each(|element| element.each_part(work)),
            Self::Object(members) => {
                for member in members {
                    work(&mut member.name);
                    member.pattern.iter_mut().for_each(|pattern| pattern.each_part(work));
                }
            }
        }
    }
}

impl Special {
    /// True if it has exactly one result, provided that the arguments do that it evaluates once.
    fn is_single(self) -> bool {
        matches!(
            self,
            Self::Delete
                | Self::GetPath
                | Self::IsEmpty
                | Self::Any
                | Self::All
                | Self::SortBy
                | Self::GroupBy
                | Self::UniqueBy
                | Self::MinBy
                | Self::MaxBy
                | Self::Add
                | Self::Test
                | Self::Split
                | Self::Log
                | Self::Halt
        )
    }
}

impl Program {
    /// Finds out which functions and parts have exactly one result: all do until one is found that does not.
    pub(crate) fn mark(&mut self) {
        let mut single = vec![true; self.functions.len()];
        loop {
            let mut changed = false;
            for place in 0..self.functions.len() {
                let marked = self.functions[place].body.mark(&single) && single[place];
                changed |= marked != single[place];
                single[place] = marked;
                self.functions[place].single = marked;
            }
            if !changed {
                break;
            }
        }
        self.main.mark(&single);
    }
}
