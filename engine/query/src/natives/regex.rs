//! Regular expressions in the syntax of Oniguruma, as far as two crates know it.
//!
//! What needs no backtracking is for `regex`, whose time is linear. The rest (look-around, references back) is for
//! `fancy-regex`, which gives up after a fixed number of steps.

mod matches;
mod translate;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

pub(crate) use matches::{Places, captures_value, match_value, named_captures};

use super::type_error;
use crate::evaluate::Exit;
use crate::meter;
use crate::value::{Text, Val};

/// The size of a compiled regular expression, in bytes: of a literal, and of one that data may choose.
const LARGEST: usize = 4 << 20;
const LARGEST_REMEMBERED: usize = 1 << 20;

/// How often `fancy-regex` may go back.
const BACKTRACKS: usize = 1_000_000;

/// How many regular expressions that are not literals a thread remembers.
const REMEMBERED: usize = 8;

/// A compiled regular expression with its modifiers.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    engine: Engine,
    names: Vec<Option<Text>>,
    pub(crate) global: bool,
    /// Whether empty matches are left out.
    not_empty: bool,
}

#[derive(Clone, Debug)]
enum Engine {
    Linear(regex::Regex),
    Fancy(fancy_regex::Regex),
}

/// A regular expression that is matched in linear time.
#[derive(Clone, Debug)]
pub struct Regex(regex::Regex);

impl Regex {
    /// The regular expression that `test` takes `pattern` for; nothing if it is none, or needs backtracking.
    pub fn linear(pattern: &str) -> Option<Self> {
        match compile(&translate::translate(pattern), LARGEST) {
            Ok(Engine::Linear(regex)) => Some(Self(regex)),
            _ => None,
        }
    }

    /// Whether there is a match in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
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
        let mut prefix = String::new();
        let (mut global, mut not_empty) = (false, false);
        for flag in flags.chars() {
            match flag {
                'g' => global = true,
                'n' => not_empty = true,
                'i' | 'x' => prefix.push(flag),
                's' | 'p' => prefix.push('s'),
                'l' => {}
                _ => return Err(Exit::error(format!("{flags} is not a valid modifier string"))),
            }
        }
        // The dot of Oniguruma's Perl syntax does not match a line break, as here.
        let mut translated = translate::translate(pattern);
        if !prefix.is_empty() {
            translated = format!("(?{prefix}){translated}");
        }
        let engine = compile(&translated, largest).map_err(|reason| {
            Exit::error(format!("{} (at offset 0) is not a valid regex: {reason}", &**pattern))
        })?;
        let names: Vec<Option<Text>> = match &engine {
            Engine::Linear(regex) => regex.capture_names().map(|name| name.map(Text::from)).collect(),
            Engine::Fancy(regex) => regex.capture_names().map(|name| name.map(Text::from)).collect(),
        };
        Ok(Self { engine, names, global, not_empty })
    }

    /// One for a pattern that is found out only now; it is remembered for the next time.
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
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Fancy(regex) => regex.is_match(text).map_err(failed),
        }
    }

    /// Hands the groups of each match to `found`: of all of them, if `global`, or of the first.
    pub(crate) fn each(
        &self,
        text: &str,
        global: bool,
        found: &mut dyn FnMut(Groups) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let mut at = 0;
        meter::steps(text.len() / 64)?;
        while at <= text.len() {
            meter::step()?;
            let Some(groups) = self.groups(text, at)? else { break };
            let whole = groups[0].clone().unwrap_or(at..at);
            let after = text[whole.end..].chars().next().map_or(1, char::len_utf8);
            at = if whole.is_empty() { whole.end + after } else { whole.end };
            if whole.is_empty() && self.not_empty {
                continue;
            }
            found(groups)?;
            if !global {
                break;
            }
        }
        Ok(())
    }

    fn groups(&self, text: &str, at: usize) -> Result<Option<Groups>, Exit> {
        Ok(match &self.engine {
            Engine::Linear(regex) => regex
                .captures_at(text, at)
                .map(|captures| captures.iter().map(|group| group.map(|group| group.range())).collect()),
            // Going back takes its time, of which nothing is known but the length of the text.
            Engine::Fancy(regex) => meter::steps(text.len() / 8)
                .and_then(|()| regex.captures_from_pos(text, at).map_err(failed))?
                .map(|captures| captures.iter().map(|group| group.map(|group| group.range())).collect()),
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn failed(error: fancy_regex::Error) -> Exit {
    Exit::error(format!("Regex failure: {error}"))
}

fn compile(pattern: &str, largest: usize) -> Result<Engine, String> {
    let linear = regex::RegexBuilder::new(pattern).size_limit(largest).dfa_size_limit(largest).build();
    let reason = match linear {
        Ok(regex) => return Ok(Engine::Linear(regex)),
        Err(error) => error.to_string(),
    };
    let fancy = fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACKS)
        .delegate_size_limit(largest)
        .delegate_dfa_size_limit(largest)
        .build();
    match fancy {
        Ok(regex) => Ok(Engine::Fancy(regex)),
        Err(_) => Err(reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()),
    }
}
