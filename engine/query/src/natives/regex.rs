//! Regular expressions in the syntax of Oniguruma, as far as two crates know it.
//!
//! Patterns that need no backtracking are for `regex`, whose searches take linear time. The others (look-around,
//! back-references) are for `fancy-regex`, with limits.

mod engine;
mod matches;
mod translate;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::OnceLock;

use engine::Engine;
pub(crate) use matches::{Places, captures_value, match_value, named_captures};
use translate::{Boundaries, End, has_end, translate};

use super::type_error;
use crate::exit::Exit;
use crate::meter;
use crate::value::{Text, Val};

/// The size of a compiled regular expression, in bytes: of a literal, and of one that data may choose.
const LARGEST: usize = 4 << 20;
const LARGEST_REMEMBERED: usize = 1 << 20;

/// The number of calculated regular expressions that a thread remembers.
const REMEMBERED: usize = 8;

/// A compiled regular expression with its modifiers.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pattern: Pattern,
    engine: Engine,
    /// The engine for texts that end with a line break, where that makes a difference; compiled for the first of them.
    last_line: Option<Box<OnceLock<Result<Engine, String>>>>,
    names: Vec<Option<Text>>,
    pub(crate) global: bool,
    /// True if empty matches are left out.
    not_empty: bool,
}

/// A regular expression as it is written, with the flags that the crates know.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    flags: String,
    /// The size of the compiled regular expression, in bytes, at most.
    largest: usize,
}

impl Pattern {
    fn translated(&self, end: End, boundaries: Boundaries) -> String {
        let translated = translate(&self.text, end, boundaries);
        if self.flags.is_empty() { translated } else { format!("(?{}){translated}", self.flags) }
    }
}

/// A regular expression that is matched in linear time.
#[derive(Clone, Debug)]
pub struct Regex {
    regex: regex::Regex,
    has_end: bool,
}

impl Regex {
    /// Compiles the regular expression of `test`. `None` if it is invalid or needs backtracking.
    pub fn linear(pattern: &str) -> Option<Self> {
        let has_end = has_end(pattern);
        let pattern = Pattern { text: pattern.to_owned(), flags: String::new(), largest: LARGEST };
        match Engine::new(&pattern, End::Text) {
            Ok(Engine::Linear(linear)) => Some(Self { regex: linear.regex, has_end }),
            _ => None,
        }
    }

    /// True if there is a match in `text`. `None` if that takes another engine: the text ends with a line break, and
    /// the regular expression with `$`.
    pub fn is_match(&self, text: &str) -> Option<bool> {
        let depends = self.has_end && text.ends_with('\n');
        (!depends).then(|| self.regex.is_match(text))
    }
}

/// The places of a match and of its groups, in bytes.
pub(crate) type Groups = Vec<Option<Range<usize>>>;

impl Matcher {
    /// # Errors
    /// As jq words them.
    pub(crate) fn new(pattern: &Val, modifiers: &Val) -> Result<Self, Exit> {
        Self::with_limit(pattern, modifiers, LARGEST)
    }

    fn with_limit(pattern: &Val, modifiers: &Val, largest: usize) -> Result<Self, Exit> {
        let Val::Text(pattern) = pattern else {
            return type_error(pattern, "cannot be matched, as it is not a string");
        };
        let flags = match modifiers {
            Val::Null => "",
            Val::Text(flags) => flags,
            other => return type_error(other, "is not a string"),
        };
        let mut crate_flags = String::new();
        let (mut global, mut not_empty) = (false, false);
        for flag in flags.chars() {
            match flag {
                'g' => global = true,
                'n' => not_empty = true,
                'i' | 'x' => crate_flags.push(flag),
                's' | 'p' => crate_flags.push('s'),
                'l' => {}
                _ => return Err(Exit::error(format!("{flags} is not a valid modifier string"))),
            }
        }
        let pattern = Pattern { text: pattern.to_string(), flags: crate_flags, largest };
        let engine = Engine::new(&pattern, End::Text).map_err(|reason| invalid(&pattern.text, &reason))?;
        let names: Vec<Option<Text>> = match &engine {
            Engine::Linear(linear) => linear.regex.capture_names().map(|name| name.map(Text::from)).collect(),
            Engine::Backtracking(engine) => {
                engine.names().into_iter().map(|name| name.map(Text::from)).collect()
            }
        };
        let last_line = has_end(&pattern.text).then(Box::default);
        Ok(Self { pattern, engine, last_line, names, global, not_empty })
    }

    /// The engine for `text`.
    fn engine(&self, text: &str) -> Result<&Engine, Exit> {
        match &self.last_line {
            Some(engine) if text.ends_with('\n') => engine
                .get_or_init(|| Engine::new(&self.pattern, End::LastLine))
                .as_ref()
                .map_err(|reason| invalid(&self.pattern.text, reason)),
            _ => Ok(&self.engine),
        }
    }

    /// Compiles a pattern that the query calculates, and remembers it for the next time.
    pub(crate) fn remembered(pattern: &Val, modifiers: &Val) -> Result<Rc<Self>, Exit> {
        thread_local! {
            static CACHE: RefCell<Vec<(String, Rc<Matcher>)>> = const { RefCell::new(Vec::new()) };
        }
        let key = match (pattern, modifiers) {
            (Val::Text(pattern), Val::Null) => format!("/{}", &**pattern),
            (Val::Text(pattern), Val::Text(flags)) => format!("{}/{}", &**flags, &**pattern),
            _ => return Self::with_limit(pattern, modifiers, LARGEST_REMEMBERED).map(Rc::new),
        };
        CACHE.with_borrow_mut(|cache| {
            if let Some(place) = cache.iter().position(|(known, _)| *known == key) {
                let found = cache.remove(place);
                let matcher = Rc::clone(&found.1);
                cache.push(found);
                return Ok(matcher);
            }
            // Compiling takes about as long as some thousand steps.
            meter::steps(1000 + key.len() * 10)?;
            let matcher = Rc::new(Self::with_limit(pattern, modifiers, LARGEST_REMEMBERED)?);
            if cache.len() == REMEMBERED {
                cache.remove(0);
            }
            cache.push((key, Rc::clone(&matcher)));
            Ok(matcher)
        })
    }

    /// The names of the groups, of which the first is the match itself.
    pub(crate) fn names(&self) -> &[Option<Text>] {
        &self.names
    }

    pub(crate) fn is_match(&self, text: &str) -> Result<bool, Exit> {
        meter::steps(text.len() / 64)?;
        if self.not_empty {
            let mut found = false;
            self.each(text, false, &mut |_| {
                found = true;
                Ok(())
            })?;
            return Ok(found);
        }
        self.engine(text)?.is_match(text)
    }

    /// Passes the groups of each match to `found`: of all matches if `global`, else of the first.
    pub(crate) fn each(
        &self,
        text: &str,
        global: bool,
        found: &mut dyn FnMut(&Groups) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let mut at = 0;
        let mut groups = Groups::new();
        let mut searches = self.engine(text)?.searches(&self.pattern, text);
        meter::steps(text.len() / 64)?;
        while at <= text.len() {
            meter::step()?;
            if !searches.next(at, &mut groups)? {
                break;
            }
            let whole = groups[0].clone().unwrap_or(at..at);
            let after = text[whole.end..].chars().next().map_or(1, char::len_utf8);
            at = if whole.is_empty() { whole.end + after } else { whole.end };
            if whole.is_empty() && self.not_empty {
                continue;
            }
            found(&groups)?;
            if !global {
                break;
            }
        }
        Ok(())
    }
}

fn invalid(pattern: &str, reason: &str) -> Exit {
    Exit::error(format!("{pattern} (at offset 0) is not a valid regex: {reason}"))
}
