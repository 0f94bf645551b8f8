//! The engines that search: one in linear time, one that backtracks.
//!
//! Both pay for their work in steps. A search in linear time looks at each byte a fixed number of times, but a loop
//! of searches may look at the same bytes again for each match: `a*b|a` reads to the end of a text of `a`s before it
//! matches one of them. So a loop over a long text counts how far each search has looked beyond its match.

use std::sync::OnceLock;
use std::time::Instant;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::{Anchored, Input, nfa::thompson, util::syntax};

use super::translate::{Boundaries, End};
use super::{Groups, Pattern};
use crate::exit::Exit;
use crate::meter;

#[derive(Clone, Debug)]
pub(super) enum Engine {
    Linear(Linear),
    Backtracking(Box<Backtracking>),
}

impl Engine {
    /// Compiles a pattern for texts in which `$` means `end`.
    ///
    /// # Errors
    /// The defect of the pattern.
    pub(super) fn new(pattern: &Pattern, end: End) -> Result<Self, String> {
        let translated = pattern.translated(end, Boundaries::Unicode);
        let linear = regex::RegexBuilder::new(&translated)
            .size_limit(pattern.largest)
            .dfa_size_limit(pattern.largest)
            .build();
        let reason = match linear {
            Ok(regex) => return Ok(Self::Linear(Linear { regex, reach: OnceLock::new() })),
            Err(error) => error.to_string(),
        };
        let last_line = || reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let backtracking = Backtracking::new(translated, pattern.largest).ok_or_else(last_line)?;
        Ok(Self::Backtracking(Box::new(backtracking)))
    }

    pub(super) fn is_match(&self, text: &str) -> Result<bool, Exit> {
        match self {
            Self::Linear(linear) => Ok(linear.regex.is_match(text)),
            Self::Backtracking(engine) => engine.search(text, |regex| regex.is_match(text)),
        }
    }

    /// A loop of searches through `text`.
    pub(super) fn searches<'a>(&'a self, pattern: &'a Pattern, text: &'a str) -> Searches<'a> {
        Searches { engine: self, pattern, text, again: 0, counter: None }
    }
}

/// A loop of searches through one text.
pub(super) struct Searches<'a> {
    engine: &'a Engine,
    pattern: &'a Pattern,
    text: &'a str,
    /// The bytes that the searches may have looked at more than once.
    again: usize,
    counter: Option<Cache>,
}

/// The number of bytes that a loop may look at more than once before they are counted.
const UNCOUNTED: usize = 1 << 20;

/// The bytes of a search that are one step.
const BYTES_PER_STEP: usize = 4;

impl Searches<'_> {
    /// Finds the first match at or after `at`, and the places of its groups.
    pub(super) fn next(&mut self, at: usize, groups: &mut Groups) -> Result<bool, Exit> {
        groups.clear();
        match self.engine {
            Engine::Linear(linear) => {
                if !linear.find(self.text, at, groups) {
                    return Ok(false);
                }
                let whole = groups[0].clone().unwrap_or(at..at);
                self.again = self.again.saturating_add(self.text.len() - whole.end);
                if self.again > UNCOUNTED {
                    self.count(linear, whole.start, whole.end)?;
                }
                Ok(true)
            }
            Engine::Backtracking(engine) => {
                let found = engine.search(self.text, |regex| regex.captures_from_pos(self.text, at))?;
                let Some(captures) = found else { return Ok(false) };
                groups.extend(captures.iter().map(|group| group.map(|group| group.range())));
                Ok(true)
            }
        }
    }

    /// Counts the bytes after `end` that a search reads whose match begins at `start`.
    fn count(&mut self, linear: &Linear, start: usize, end: usize) -> Result<(), Exit> {
        let Some(automaton) = linear.reach(self.pattern) else {
            return Ok(meter::steps(self.text.len() / 64)?);
        };
        let cache = self.counter.get_or_insert_with(|| automaton.create_cache());
        let reach = reach(automaton, cache, self.text, start);
        Ok(meter::steps(reach.saturating_sub(end) / BYTES_PER_STEP)?)
    }
}

/// The place at which a search decides that its match begins at `start`.
fn reach(automaton: &DFA, cache: &mut Cache, text: &str, start: usize) -> usize {
    let input = Input::new(text).range(start..).anchored(Anchored::Yes);
    let Ok(mut state) = automaton.start_state_forward(cache, &input) else { return text.len() };
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match automaton.next_state(cache, state, byte) {
            Ok(next) if next.is_dead() => return at,
            Ok(next) => state = next,
            Err(_) => return text.len(),
        }
    }
    text.len()
}

/// An engine whose searches take linear time.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) regex: regex::Regex,
    /// The automaton that tells how far a search looks; built for the first long loop.
    reach: OnceLock<Option<Box<DFA>>>,
}

impl Linear {
    fn find(&self, text: &str, at: usize, groups: &mut Groups) -> bool {
        if self.regex.captures_len() == 1 {
            let found = self.regex.find_at(text, at);
            groups.extend(found.iter().map(|found| Some(found.range())));
            return found.is_some();
        }
        let Some(captures) = self.regex.captures_at(text, at) else { return false };
        groups.extend(captures.iter().map(|group| group.map(|group| group.range())));
        true
    }

    fn reach(&self, pattern: &Pattern) -> Option<&DFA> {
        let build = || {
            // Boundaries of words as in ASCII: an automaton has no others, and how far it looks hardly differs.
            let translated = pattern.translated(End::Text, Boundaries::Ascii);
            let limit = Some(pattern.largest);
            let built = DFA::builder()
                .syntax(syntax::Config::new().utf8(false))
                .thompson(thompson::Config::new().utf8(false).nfa_size_limit(limit))
                .build(&translated);
            built.ok().map(Box::new)
        };
        self.reach.get_or_init(build).as_deref()
    }
}

/// An engine that backtracks, for look-around and back-references.
///
/// It reports neither how often it backtracks nor how much its parts in linear time read. So each search is given a
/// low limit first and a higher one if that does not do, and its time is counted as steps in between.
#[derive(Clone, Debug)]
pub(super) struct Backtracking {
    pattern: String,
    largest: usize,
    /// The engine with each of [`LIMITS`].
    limited: [OnceLock<Option<fancy_regex::Regex>>; LIMITS.len()],
}

/// The number of times that a search may backtrack, at each of its tries.
const LIMITS: [usize; 5] = [16, 256, 4096, 65_536, 1_000_000];

/// The limit of the first try for a short text.
const USUAL: usize = 3;

/// The bytes that the first try may read: each time that it backtracks, at most the whole text.
const FIRST_TRY: usize = 64 << 20;

/// The time that is a step.
const NANOSECONDS_PER_STEP: u128 = 100;

impl Backtracking {
    fn new(pattern: String, largest: usize) -> Option<Self> {
        let engine = Self { pattern, largest, limited: Default::default() };
        engine.limited(USUAL).is_some().then_some(engine)
    }

    fn limited(&self, number: usize) -> Option<&fancy_regex::Regex> {
        let build = || {
            let mut builder = fancy_regex::RegexBuilder::new(&self.pattern);
            builder.backtrack_limit(LIMITS[number]);
            builder.delegate_size_limit(self.largest).delegate_dfa_size_limit(self.largest).build().ok()
        };
        self.limited[number].get_or_init(build).as_ref()
    }

    pub(super) fn names(&self) -> Vec<Option<String>> {
        let names =
            |regex: &fancy_regex::Regex| regex.capture_names().map(|name| name.map(str::to_owned)).collect();
        self.limited(USUAL).map(names).unwrap_or_default()
    }

    fn search<T>(
        &self,
        text: &str,
        run: impl Fn(&fancy_regex::Regex) -> fancy_regex::Result<T>,
    ) -> Result<T, Exit> {
        let fits = |limit: &usize| limit.saturating_mul(text.len()) <= FIRST_TRY;
        let mut number = LIMITS[..=USUAL].iter().rposition(fits).unwrap_or(0);
        loop {
            let Some(regex) = self.limited(number) else {
                return Err(Exit::error("Regex failure: the regular expression is too large"));
            };
            let started = Instant::now();
            let found = run(regex);
            let took = usize::try_from(started.elapsed().as_nanos() / NANOSECONDS_PER_STEP);
            // A thread that has to wait for a processor pays no more than for the work that is possible.
            let most = LIMITS[number].saturating_mul(text.len() / 64 + 1);
            meter::steps(took.unwrap_or(usize::MAX).min(most))?;
            match found {
                Err(fancy_regex::Error::RuntimeError(fancy_regex::RuntimeError::BacktrackLimitExceeded))
                    if number + 1 < LIMITS.len() =>
                {
                    number += 1;
                }
                found => return found.map_err(|error| Exit::error(format!("Regex failure: {error}"))),
            }
        }
    }
}
