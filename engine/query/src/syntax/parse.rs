//! Operators, definitions and patterns: a Pratt parser. What stands between operators is in `term.rs`.

use std::ops::Range;

use super::Problem;
use super::lex::{self, Token, Word};
use super::tree::{Binary, Definition, Kind, Pattern, PatternKey, Term, Update};

/// Parts of a query may be nested this deep.
const DEPTH: usize = 1000;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    /// The word that comes next.
    pub(super) token: Token,
    /// The end of the last word.
    pub(super) end: usize,
    pub(super) depth: usize,
    /// True if an `as` that follows belongs to `reduce` or `foreach`.
    source: bool,
}

pub(super) type Parsed<T> = Result<T, Problem>;

/// An operator; [`Self::of`] gives it with its strength.
enum Operator {
    Pipe,
    Comma,
    Binary(Binary),
    Update(Update),
}

impl Operator {
    fn of(sign: &str) -> Option<(Self, u8)> {
        let binary = |operation, strength| Some((Self::Binary(operation), strength));
        let update = |update| Some((Self::Update(update), 4));
        match sign {
            "|" => Some((Self::Pipe, 1)),
            "," => Some((Self::Comma, 2)),
            "//" => binary(Binary::Alternative, 3),
            "=" => update(Update::Assign),
            "|=" => update(Update::Modify),
            "+=" => update(Update::Calculate(Binary::Add)),
            "-=" => update(Update::Calculate(Binary::Subtract)),
            "*=" => update(Update::Calculate(Binary::Multiply)),
            "/=" => update(Update::Calculate(Binary::Divide)),
            "%=" => update(Update::Calculate(Binary::Remainder)),
            "//=" => update(Update::Calculate(Binary::Alternative)),
            "or" => binary(Binary::Or, 5),
            "and" => binary(Binary::And, 6),
            "==" => binary(Binary::Equal, 7),
            "!=" => binary(Binary::NotEqual, 7),
            "<" => binary(Binary::Less, 7),
            "<=" => binary(Binary::LessOrEqual, 7),
            ">" => binary(Binary::Greater, 7),
            ">=" => binary(Binary::GreaterOrEqual, 7),
            "+" => binary(Binary::Add, 8),
            "-" => binary(Binary::Subtract, 8),
            "*" => binary(Binary::Multiply, 9),
            "/" => binary(Binary::Divide, 9),
            "%" => binary(Binary::Remainder, 9),
            _ => None,
        }
    }
}

/// The weakest operator of a query, and the weakest inside the value of an object's member.
pub(super) const ANY: u8 = 1;
pub(super) const NO_COMMA: u8 = 3;

/// The syntax tree of a query.
pub(crate) fn parse(text: &str) -> Parsed<Term> {
    let mut parser = Parser::new(text)?;
    if parser.is("import") || parser.is("include") {
        let message = "modules cannot be loaded: write the definitions into the query";
        return Err(Problem::new(parser.token.span, message));
    }
    let term = parser.query()?;
    match parser.token.word {
        Word::End => Ok(term),
        _ if parser.sign_is(")") || parser.sign_is("]") || parser.sign_is("}") => {
            Err(parser.problem(&format!("{} means nothing here", parser.quoted())))
        }
        _ => Err(parser.problem(&format!("{} is one too many here", parser.quoted()))),
    }
}

/// The definitions that are all of `text`.
pub(crate) fn parse_definitions(text: &str) -> Parsed<Vec<Definition>> {
    let mut parser = Parser::new(text)?;
    let mut definitions = Vec::new();
    while parser.token.word != Word::End {
        definitions.push(parser.definition()?);
    }
    Ok(definitions)
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        Ok(Self { text, token: lex::next(text, 0)?, end: 0, depth: 0, source: false })
    }

    /// The text of the word that comes next.
    pub(super) fn word(&self) -> &'a str {
        &self.text[self.token.span.clone()]
    }

    pub(super) fn is(&self, keyword: &str) -> bool {
        self.token.word == Word::Name && self.word() == keyword
    }

    pub(super) fn sign_is(&self, sign: &str) -> bool {
        self.token.word == Word::Sign && self.word() == sign
    }

    /// Goes on after the word, and returns the word.
    pub(super) fn advance(&mut self) -> Parsed<Token> {
        self.end = self.token.span.end;
        let next = lex::next(self.text, self.end)?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Goes on after the sign or keyword, if it comes next.
    pub(super) fn accept(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is(word) || self.sign_is(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word)? { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    /// Like [`Self::expect`], for the end of what began at `opening`.
    pub(super) fn close(&mut self, word: &str, opening: Range<usize>) -> Parsed<()> {
        if self.token.word == Word::End {
            let message = format!("`{}` is never closed", &self.text[opening.clone()]);
            return Err(Problem::new(opening, message));
        }
        self.expect(word)
    }

    pub(super) fn expected(&self, what: &str) -> Problem {
        let place = match self.token.word {
            Word::End => "at the end of the query".to_owned(),
            _ => format!("before {}", self.quoted()),
        };
        self.problem(&format!("{what} is expected {place}"))
    }

    /// A problem at the word that comes next; at the end of the text, its last character is underlined.
    pub(super) fn problem(&self, message: &str) -> Problem {
        let message = message.to_owned();
        if self.token.word != Word::End {
            return Problem::new(self.token.span.clone(), message);
        }
        let trimmed = self.text.trim_end();
        let last = trimmed.char_indices().last().map_or(0, |(at, _)| at);
        Problem::new(last..trimmed.len(), message)
    }

    /// The first characters of what comes next.
    fn quoted(&self) -> String {
        let rest = &self.text[self.token.span.start..];
        let end = rest.char_indices().nth(20).map_or(rest.len(), |(at, _)| at);
        format!("`{}`", rest[..end].trim_end())
    }

    pub(super) fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.problem(&format!("the query is nested deeper than {DEPTH}")));
        }
        let result = work(self);
        self.depth -= 1;
        result
    }

    pub(super) fn query(&mut self) -> Parsed<Term> {
        self.nested(ANY)
    }

    /// An expression in which `as` means what it does on its own.
    pub(super) fn nested(&mut self, weakest: u8) -> Parsed<Term> {
        let source = std::mem::replace(&mut self.source, false);
        let term = self.expression(weakest)?;
        self.source = source;
        Ok(term)
    }

    /// The source of `reduce` and `foreach`.
    pub(super) fn source(&mut self) -> Parsed<Term> {
        let source = std::mem::replace(&mut self.source, true);
        let term = self.expression(NO_COMMA)?;
        self.source = source;
        Ok(term)
    }

    /// An expression whose operators are as strong as `weakest`, or stronger.
    fn expression(&mut self, weakest: u8) -> Parsed<Term> {
        self.deeper(|parser| {
            let depth = parser.depth;
            let result = parser.operators(weakest);
            parser.depth = depth;
            result
        })
    }

    fn operators(&mut self, weakest: u8) -> Parsed<Term> {
        let mut left = self.operand()?;
        let mut nonassociative = 0;
        while let Some((operator, strength)) =
            matches!(self.token.word, Word::Sign | Word::Name).then(|| Operator::of(self.word())).flatten()
        {
            if strength < weakest {
                break;
            }
            if strength == nonassociative {
                return Err(self.problem(&format!("{} is one too many here", self.quoted())));
            }
            nonassociative = if matches!(strength, 4 | 7) { strength } else { 0 };
            self.advance()?;
            // What is left of a chain gets deeper with each operator.
            self.depth += 1;
            let to_the_right = matches!(strength, 1 | 3);
            let right = self.expression(if to_the_right { strength } else { strength + 1 })?;
            let span = left.span.start..right.span.end;
            let (left_box, right) = (Box::new(left), Box::new(right));
            let kind = match operator {
                Operator::Pipe => Kind::Pipe(left_box, right),
                Operator::Comma => Kind::Comma(left_box, right),
                Operator::Binary(operation) => Kind::Binary(operation, left_box, right),
                Operator::Update(update) => Kind::Update(update, left_box, right),
            };
            left = Term { kind, span };
        }
        Ok(left)
    }

    /// A term, or one of the forms that reach as far to the right as they can.
    fn operand(&mut self) -> Parsed<Term> {
        let start = self.token.span.start;
        if self.is("def") {
            let definition = self.definition()?;
            let body = self.query()?;
            let span = start..body.span.end;
            return Ok(Term { kind: Kind::Def(Box::new(definition), Box::new(body)), span });
        }
        if self.is("label") {
            self.advance()?;
            let name = self.variable()?;
            self.expect("|")?;
            let body = self.query()?;
            let span = start..body.span.end;
            return Ok(Term { kind: Kind::Label(name, Box::new(body)), span });
        }
        let term = self.term()?;
        if self.source || !self.is("as") {
            return Ok(term);
        }
        self.advance()?;
        let patterns = self.patterns()?;
        self.expect("|")?;
        let body = self.query()?;
        let span = start..body.span.end;
        Ok(Term { kind: Kind::As(Box::new(term), patterns, Box::new(body)), span })
    }

    fn definition(&mut self) -> Parsed<Definition> {
        self.expect("def")?;
        if self.token.word != Word::Name {
            return Err(self.expected("a name"));
        }
        let name = self.word().to_owned();
        self.advance()?;
        let mut parameters = Vec::new();
        let opening = self.token.span.clone();
        if self.accept("(")? {
            loop {
                match self.token.word {
                    Word::Name => parameters.push(self.word().to_owned()),
                    Word::Variable => parameters.push(format!("${}", self.variable_name())),
                    _ => return Err(self.expected("the name of a parameter")),
                }
                self.advance()?;
                if !self.accept(";")? {
                    break;
                }
            }
            self.close(")", opening)?;
        }
        self.expect(":")?;
        let body = self.query()?;
        self.expect(";")?;
        Ok(Definition { name, parameters, body })
    }

    /// The name of the variable that comes next, without its sign.
    pub(super) fn variable_name(&self) -> String {
        self.word().trim_start_matches('$').trim_start().to_owned()
    }

    pub(super) fn variable(&mut self) -> Parsed<String> {
        if self.token.word != Word::Variable {
            return Err(self.expected("a variable, such as `$name`,"));
        }
        let name = self.variable_name();
        self.advance()?;
        Ok(name)
    }

    /// Patterns with `?//` between them.
    pub(super) fn patterns(&mut self) -> Parsed<Vec<Pattern>> {
        let mut patterns = vec![self.pattern()?];
        while self.accept("?//")? {
            patterns.push(self.pattern()?);
        }
        Ok(patterns)
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        self.deeper(|parser| {
            let opening = parser.token.span.clone();
            if parser.accept("[")? {
                let mut elements = Vec::new();
                loop {
                    elements.push(parser.pattern()?);
                    if !parser.accept(",")? {
                        break;
                    }
                }
                parser.close("]", opening)?;
                Ok(Pattern::Array(elements))
            } else if parser.accept("{")? {
                let mut members = Vec::new();
                loop {
                    members.push(parser.member_pattern()?);
                    if !parser.accept(",")? {
                        break;
                    }
                }
                parser.close("}", opening)?;
                Ok(Pattern::Object(members))
            } else {
                parser.variable().map(Pattern::Variable)
            }
        })
    }

    fn member_pattern(&mut self) -> Parsed<(PatternKey, Option<Pattern>)> {
        if self.token.word == Word::Variable {
            let key = PatternKey::Variable(self.variable()?);
            let pattern = if self.accept(":")? { Some(self.pattern()?) } else { None };
            return Ok((key, pattern));
        }
        let span = self.token.span.clone();
        let key = match self.token.word {
            Word::Name => {
                let pieces = vec![super::Piece::Plain(self.word().to_owned())];
                self.advance()?;
                Term { kind: Kind::Text(None, pieces), span }
            }
            Word::Quote | Word::Format => self.term()?,
            _ if self.sign_is("(") => {
                self.advance()?;
                let key = self.query()?;
                self.close(")", span)?;
                key
            }
            _ => return Err(self.expected("a name or a variable")),
        };
        self.expect(":")?;
        Ok((PatternKey::Term(key), Some(self.pattern()?)))
    }
}
