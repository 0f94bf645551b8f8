//! Terms: the operands of operators.

use super::Problem;
use super::lex::{self, Word};
use super::parse::{NO_COMMA, Parsed, Parser};
use super::tree::{Access, Branch, Kind, Pair, Piece, Term};

/// Names that cannot be called.
const KEYWORDS: [&str; 19] = [
    "as", "and", "catch", "def", "elif", "else", "end", "foreach", "if", "import", "include", "label",
    "module", "or", "reduce", "then", "try", "__loc__", "break",
];

fn text_of(name: &str) -> Kind {
    Kind::Text(None, vec![Piece::Plain(name.to_owned())])
}

impl Parser<'_> {
    /// A term with all of its suffixes.
    pub(super) fn term(&mut self) -> Parsed<Term> {
        self.deeper(|parser| {
            let depth = parser.depth;
            let result = parser.first_term().and_then(|term| parser.suffixes(term));
            parser.depth = depth;
            result
        })
    }

    fn first_term(&mut self) -> Parsed<Term> {
        let span = self.token.span.clone();
        let start = span.start;
        let kind = match self.token.word {
            Word::Number => Kind::Number(self.advance().map(|token| self.text[token.span].to_owned())?),
            Word::Quote => return self.text(None),
            Word::Format => {
                let name = self.word()[1..].to_owned();
                self.advance()?;
                if self.token.word == Word::Quote {
                    let text = self.text(Some(name))?;
                    return Ok(Term { span: start..text.span.end, kind: text.kind });
                }
                Kind::Format(name)
            }
            Word::Field => {
                let name = text_of(&self.word()[1..]);
                self.advance()?;
                let access = Access::At(Term { kind: name, span: start + 1..self.end });
                Kind::Index(Box::new(Term { kind: Kind::Identity, span: start..start + 1 }), Box::new(access))
            }
            Word::Variable => {
                let name = self.variable()?;
                if name == "__loc__" {
                    Kind::Location(self.text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1)
                } else {
                    Kind::Variable(name)
                }
            }
            Word::Name => self.named()?,
            Word::Sign => self.signed()?,
            Word::End => return Err(self.expected("an expression")),
        };
        Ok(Term { kind, span: start..self.end.max(span.start) })
    }

    /// A term that begins with a sign.
    fn signed(&mut self) -> Parsed<Kind> {
        let opening = self.token.span.clone();
        match self.word() {
            "." => {
                self.advance()?;
                let here = Term { kind: Kind::Identity, span: opening.clone() };
                if self.token.word == Word::Quote {
                    let name = self.text(None)?;
                    return Ok(Kind::Index(Box::new(here), Box::new(Access::At(name))));
                }
                if self.sign_is("[") {
                    return self.bracket(here);
                }
                Ok(Kind::Identity)
            }
            ".." => self.advance().map(|_| Kind::RecurseDefault),
            "-" => {
                self.advance()?;
                Ok(Kind::Negate(Box::new(self.term()?)))
            }
            "(" => {
                self.advance()?;
                let term = self.query()?;
                self.close(")", opening)?;
                Ok(term.kind)
            }
            "[" => {
                self.advance()?;
                if self.accept("]")? {
                    return Ok(Kind::Array(None));
                }
                let elements = self.query()?;
                self.close("]", opening)?;
                Ok(Kind::Array(Some(Box::new(elements))))
            }
            "{" => self.object(),
            _ => Err(self.expected("an expression")),
        }
    }

    /// `reduce` or `foreach`, of which only the latter may have an extraction.
    fn fold(&mut self, each: bool) -> Parsed<Kind> {
        self.advance()?;
        let source = Box::new(self.source()?);
        self.expect("as")?;
        let patterns = self.patterns()?;
        let opening = self.token.span.clone();
        self.expect("(")?;
        let init = self.query()?;
        self.expect(";")?;
        let update = self.query()?;
        let extract = if each && self.accept(";")? { Some(self.query()?) } else { None };
        self.close(")", opening)?;
        Ok(if each {
            Kind::Foreach(source, patterns, Box::new((init, update, extract)))
        } else {
            Kind::Reduce(source, patterns, Box::new((init, update)))
        })
    }

    /// A term that begins with a name.
    fn named(&mut self) -> Parsed<Kind> {
        match self.word() {
            "if" => self.branches(),
            "try" => {
                self.advance()?;
                let body = self.term()?;
                let caught = if self.accept("catch")? { Some(Box::new(self.term()?)) } else { None };
                Ok(Kind::Try(Box::new(body), caught))
            }
            "reduce" => self.fold(false),
            "foreach" => self.fold(true),
            "break" => {
                self.advance()?;
                if self.token.word != Word::Variable {
                    return Err(self.problem("break requires a label to break to"));
                }
                self.variable().map(Kind::Break)
            }
            "def" | "label" => self.query().map(|term| term.kind),
            name if KEYWORDS.contains(&name) => Err(self.expected("an expression")),
            name => {
                let name = name.to_owned();
                self.advance()?;
                let opening = self.token.span.clone();
                let mut arguments = Vec::new();
                if self.accept("(")? {
                    loop {
                        arguments.push(self.query()?);
                        if !self.accept(";")? {
                            break;
                        }
                    }
                    self.close(")", opening)?;
                }
                Ok(Kind::Call(name, arguments))
            }
        }
    }

    fn branches(&mut self) -> Parsed<Kind> {
        let mut branches = Vec::new();
        while branches.is_empty() || self.is("elif") {
            self.advance()?;
            let condition = self.query()?;
            self.expect("then")?;
            branches.push(Branch { condition, then: self.query()? });
        }
        let otherwise = if self.accept("else")? { Some(Box::new(self.query()?)) } else { None };
        if !self.accept("end")? {
            let missing = if otherwise.is_some() { "end" } else { "else or end" };
            return Err(self.expected(missing));
        }
        Ok(Kind::If(branches, otherwise))
    }

    /// The parts that are taken out of `term`, and `?` after them.
    fn suffixes(&mut self, mut term: Term) -> Parsed<Term> {
        let mut indexed = !self.text[term.span.start..].starts_with('(');
        loop {
            let start = term.span.start;
            let kind = match self.token.word {
                Word::Field => {
                    let span = self.token.span.start + 1..self.token.span.end;
                    let name = Term { kind: text_of(&self.text[span.clone()]), span };
                    self.advance()?;
                    Kind::Index(Box::new(term), Box::new(Access::At(name)))
                }
                Word::Sign => match self.word() {
                    "?" => {
                        self.advance()?;
                        if indexed { optional(term) } else { Kind::Try(Box::new(term), None) }
                    }
                    "?//" => {
                        // After a term this is `?` and `//`.
                        self.end = self.token.span.start + 1;
                        self.token.span.start = self.end;
                        Kind::Try(Box::new(term), None)
                    }
                    "[" => self.bracket(term)?,
                    "." => {
                        self.advance()?;
                        if self.token.word == Word::Quote {
                            let name = self.text(None)?;
                            Kind::Index(Box::new(term), Box::new(Access::At(name)))
                        } else if self.sign_is("[") {
                            self.bracket(term)?
                        } else {
                            return Err(self.expected("a name in quotes or `[`"));
                        }
                    }
                    _ => return Ok(term),
                },
                _ => return Ok(term),
            };
            self.depth += 1;
            if self.depth > 1000 {
                return Err(self.problem("the query is nested deeper than 1000"));
            }
            indexed = matches!(kind, Kind::Index(..));
            term = Term { kind, span: start..self.end };
        }
    }

    /// `[...]` after a term.
    fn bracket(&mut self, term: Term) -> Parsed<Kind> {
        let opening = self.token.span.clone();
        self.expect("[")?;
        let access = if self.accept("]")? {
            return Ok(Kind::Index(Box::new(term), Box::new(Access::Each)));
        } else if self.accept(":")? {
            Access::Slice(None, Some(self.query()?))
        } else {
            let first = self.query()?;
            if !self.accept(":")? {
                Access::At(first)
            } else if self.sign_is("]") {
                Access::Slice(Some(first), None)
            } else {
                Access::Slice(Some(first), Some(self.query()?))
            }
        };
        self.close("]", opening)?;
        Ok(Kind::Index(Box::new(term), Box::new(access)))
    }

    fn object(&mut self) -> Parsed<Kind> {
        let opening = self.token.span.clone();
        self.expect("{")?;
        let mut pairs = Vec::new();
        while !self.accept("}")? {
            if self.token.word == Word::End {
                return self.close("}", opening).map(|()| Kind::Identity);
            }
            pairs.push(self.pair()?);
            if !self.sign_is("}") {
                if self.token.word == Word::End {
                    return self.close("}", opening).map(|()| Kind::Identity);
                }
                self.expect(",")?;
            }
        }
        Ok(Kind::Object(pairs))
    }

    fn pair(&mut self) -> Parsed<Pair> {
        let span = self.token.span.clone();
        let (name, shorthand) = match self.token.word {
            Word::Name => {
                let name = text_of(self.word());
                self.advance()?;
                (Term { kind: name, span }, None)
            }
            Word::Variable => {
                let name = self.variable()?;
                let kind = if name == "__loc__" {
                    Kind::Location(self.text[..span.start].bytes().filter(|byte| *byte == b'\n').count() + 1)
                } else {
                    Kind::Variable(name.clone())
                };
                let value = Term { kind, span: span.clone() };
                if self.accept(":")? {
                    // The name of the member is what the variable holds.
                    return Ok(Pair { name: value, value: Some(self.member_value()?) });
                }
                (Term { kind: text_of(&name), span }, Some(value))
            }
            Word::Number => {
                let number = self.word().to_owned();
                self.advance()?;
                (Term { kind: Kind::Number(number), span }, None)
            }
            Word::Quote | Word::Format => {
                let name = self.first_term()?;
                (name, None)
            }
            _ if self.sign_is("(") => {
                self.advance()?;
                let name = self.query()?;
                self.close(")", span)?;
                self.expect(":")?;
                let value = self.member_value()?;
                return Ok(Pair { name, value: Some(value) });
            }
            _ => return Err(self.expected("a name")),
        };
        if shorthand.is_none() && self.accept(":")? {
            return Ok(Pair { name, value: Some(self.member_value()?) });
        }
        Ok(Pair { name, value: shorthand })
    }

    /// The value of a member: terms with `|` between them, or any operator but the comma.
    fn member_value(&mut self) -> Parsed<Term> {
        let first = self.nested(NO_COMMA)?;
        if !self.accept("|")? {
            return Ok(first);
        }
        let rest = self.deeper(Self::member_value)?;
        let span = first.span.start..rest.span.end;
        Ok(Term { kind: Kind::Pipe(Box::new(first), Box::new(rest)), span })
    }

    /// A text in quotes, at whose opening one the parser is.
    fn text(&mut self, format: Option<String>) -> Parsed<Term> {
        let opening = self.token.span.clone();
        let mut at = opening.end;
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        loop {
            let rest = &self.text[at..];
            let Some(length) = rest.find(['"', '\\']) else {
                return Err(Problem::new(opening, "`\"` is never closed"));
            };
            plain.push_str(&rest[..length]);
            at += length;
            if rest.as_bytes()[length] == b'"' {
                break;
            }
            if rest[length..].starts_with("\\(") {
                if !plain.is_empty() {
                    pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                }
                let inner = at + 1..at + 2;
                self.token = lex::next(self.text, at + 2)?;
                pieces.push(Piece::Value(self.query()?));
                if !self.sign_is(")") {
                    self.close(")", inner)?;
                }
                at = self.token.span.end;
            } else {
                at = self.escape(at, &mut plain)?;
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        self.end = at + 1;
        self.token = lex::next(self.text, at + 1)?;
        Ok(Term { kind: Kind::Text(format, pieces), span: opening.start..at + 1 })
    }

    /// Appends what the escape at `at` stands for; gives back where it ends.
    fn escape(&self, at: usize, plain: &mut String) -> Parsed<usize> {
        let bytes = &self.text.as_bytes()[at..];
        let character = match bytes.get(1) {
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(*same),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(at, plain),
            _ => {
                let length = self.text[at + 1..].chars().next().map_or(0, char::len_utf8);
                let message = format!("`{}` is not an escape", &self.text[at..at + 1 + length]);
                return Err(Problem::new(at..at + 1 + length, message));
            }
        };
        plain.push(character);
        Ok(at + 2)
    }

    fn unicode(&self, at: usize, plain: &mut String) -> Parsed<usize> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            digits
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let Some(high) = unit(at) else {
            let message = "`\\u` needs four hexadecimal digits".to_owned();
            return Err(Problem::new(at..at + 2, message));
        };
        if (0xD800..0xDC00).contains(&high)
            && let Some(low) = unit(at + 6)
            && (0xDC00..0xE000).contains(&low)
        {
            let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            plain.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return Ok(at + 12);
        }
        plain.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(at + 6)
    }
}

/// `?` after a part that is taken out of a value: it is only for that step, not for those before it.
fn optional(term: Term) -> Kind {
    let span = term.span.clone();
    match term.kind {
        Kind::Index(base, access)
            if !matches!(base.kind, Kind::Identity)
                && match &*access {
                    Access::Each => true,
                    Access::At(key) => key.literal_text().is_some(),
                    Access::Slice(..) => false,
                } =>
        {
            let here = Box::new(Term { kind: Kind::Identity, span: span.clone() });
            let step = Term { kind: Kind::Index(here, access), span: span.clone() };
            let caught = Term { kind: Kind::Try(Box::new(step), None), span };
            Kind::Pipe(base, Box::new(caught))
        }
        kind => Kind::Try(Box::new(Term { kind, span }), None),
    }
}
