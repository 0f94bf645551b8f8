//! The syntax tree of a query.

use std::ops::Range;

/// A part of a query, and its place in the text.
#[derive(Clone, Debug)]
pub struct Term {
    /// The part itself.
    pub kind: Kind,
    /// Its place, in bytes.
    pub span: Range<usize>,
}

/// A part of a query.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `.`
    Identity,
    /// `..`
    RecurseDefault,
    /// A number, as it is written.
    Number(String),
    /// A text, in a format if there is a name of one.
    Text(Option<String>, Vec<Piece>),
    /// `@name`
    Format(String),
    /// A value out of another.
    Index(Box<Term>, Box<Access>),
    /// `try`, and the part after `catch`; `term?` has no `catch`.
    Try(Box<Term>, Option<Box<Term>>),
    /// `[...]`
    Array(Option<Box<Term>>),
    /// `{...}`
    Object(Vec<Pair>),
    /// `-term`
    Negate(Box<Term>),
    /// `|`
    Pipe(Box<Term>, Box<Term>),
    /// `,`
    Comma(Box<Term>, Box<Term>),
    /// An operator between two values.
    Binary(Binary, Box<Term>, Box<Term>),
    /// An operator that changes what is at the paths on its left.
    Update(Update, Box<Term>, Box<Term>),
    /// `source as patterns | body`
    As(Box<Term>, Vec<Pattern>, Box<Term>),
    /// `reduce source as patterns (init; update)`
    Reduce(Box<Term>, Vec<Pattern>, Box<(Term, Term)>),
    /// `foreach source as patterns (init; update; extract)`
    Foreach(Box<Term>, Vec<Pattern>, Box<(Term, Term, Option<Term>)>),
    /// `if`: the branches, and the part after `else`.
    If(Vec<Branch>, Option<Box<Term>>),
    /// `label $name | body`
    Label(String, Box<Term>),
    /// `break $name`
    Break(String),
    /// `def`, and what it is defined for.
    Def(Box<Definition>, Box<Term>),
    /// A call of a function.
    Call(String, Vec<Term>),
    /// `$name`, without the sign.
    Variable(String),
    /// `$__loc__`: the number of the line.
    Location(usize),
}

/// A condition, and what follows from it.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The condition.
    pub condition: Term,
    /// The part after `then`.
    pub then: Term,
}

/// A part of a text.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Literal characters.
    Plain(String),
    /// `\(...)`
    Value(Term),
}

/// The part that is taken out of a value.
#[derive(Clone, Debug)]
pub enum Access {
    /// `.name`, `."name"` and `[...]`
    At(Term),
    /// `[from:until]`
    Slice(Option<Term>, Option<Term>),
    /// `[]`
    Each,
}

/// A member of an object that is made.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The name.
    pub name: Term,
    /// The value; without one it is what the input has under the name.
    pub value: Option<Term>,
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Binary {
    Alternative,
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// An operator that changes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// `=`
    Assign,
    /// `|=`
    Modify,
    /// `+=` and the like.
    Calculate(Binary),
}

impl Update {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Assign => "=",
            Self::Modify => "|=",
            Self::Calculate(Binary::Add) => "+=",
            Self::Calculate(Binary::Subtract) => "-=",
            Self::Calculate(Binary::Multiply) => "*=",
            Self::Calculate(Binary::Divide) => "/=",
            Self::Calculate(Binary::Remainder) => "%=",
            Self::Calculate(_) => "//=",
        }
    }
}

/// A pattern of `as`.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `$name`
    Variable(String),
    /// `[...]`
    Array(Vec<Pattern>),
    /// `{...}`
    Object(Vec<(PatternKey, Option<Pattern>)>),
}

/// A name in a pattern.
#[derive(Clone, Debug)]
pub enum PatternKey {
    /// `$name`, which is also bound.
    Variable(String),
    /// A term that gives the name.
    Term(Term),
}

/// A definition of a function.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// The names of its parameters; those of values begin with `$`.
    pub parameters: Vec<String>,
    /// The operation.
    pub body: Term,
}

impl Term {
    /// The literal text that it is, if it is one.
    pub fn literal_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(None, pieces) => match &pieces[..] {
                [] => Some(""),
                [Piece::Plain(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}
