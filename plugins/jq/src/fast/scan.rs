//! One pass over the text of an event: it is checked to its end, as strictly as [`crate::reader`] does, and the
//! places of the wanted values are noted on the way.
//!
//! What the pass cannot be sure of it does not decide: it gives up ([`Beyond`]), and jaq looks at the event.

use std::ops::Range;

use super::wanted::{Node, Place, ROOT, Wanted};
use super::words::{self, Pattern};
use crate::reader::DEPTH;

/// The event, or what a query asks of it, is more than the fast path covers: it is for jaq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beyond;

/// There is white space inside the value.
pub(super) const SPACED: u8 = 1;
/// There is a backslash in the value.
pub(super) const ESCAPED: u8 = 2;
/// jq may print the value as another text, even without its white space: escapes that it does not write, the
/// same name twice in an object.
pub(super) const UNUSUAL: u8 = 4;

/// Names of one object that are compared with each other. An object with more counts as unusual.
const MOST_NAMES: usize = 64;

/// What is known about a wanted value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) state: State,
    pub(super) flags: u8,
    start: u32,
    end: u32,
}

impl Found {
    /// Where it stands in the event.
    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Where it begins.
    #[inline]
    pub(super) fn start(self) -> usize {
        self.start as usize
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It is not there, which reads as `null`.
    #[default]
    Absent,
    /// It is there, between `start` and `end`.
    Present,
    /// It is looked for in a value that cannot have it: asking for it is an error.
    Impossible,
}

/// Memory that is used again for each event.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// What was found, by place.
    pub(super) found: Vec<Found>,
    /// How deep the event is nested.
    pub(super) deepest: usize,
    /// Fingerprints of the names of the objects that are open.
    names: Vec<u64>,
}

/// Looks through `text` for all that is `wanted`.
pub(super) fn scan(text: &[u8], wanted: &Wanted, finds: &mut Finds) -> Result<(), Beyond> {
    if u32::try_from(text.len()).is_err() {
        return Err(Beyond);
    }
    finds.found.clear();
    finds.found.resize(wanted.len(), Found::default());
    finds.names.clear();
    let mut scanner = Scanner {
        text,
        at: 0,
        depth: 0,
        deepest: 0,
        flags: 0,
        high: 0,
        wanted,
        found: &mut finds.found,
        names: &mut finds.names,
    };
    scanner.space();
    scanner.wanted_value(ROOT, false)?;
    scanner.space();
    if scanner.at != text.len() {
        return Err(Beyond);
    }
    let ascii = scanner.high & words::HIGH == 0;
    finds.deepest = scanner.deepest;
    match ascii || std::str::from_utf8(text).is_ok() {
        true => Ok(()),
        false => Err(Beyond),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    deepest: usize,
    /// What is true of the innermost wanted value so far.
    flags: u8,
    /// All bytes of strings, one over the other: has a high bit if any of them has.
    high: u64,
    wanted: &'a Wanted,
    found: &'a mut [Found],
    names: &'a mut Vec<u64>,
}

impl<'a> Scanner<'a> {
    /// The byte at hand; 0, which is nowhere allowed, at the end.
    #[inline]
    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is not white space. The scanner stays before it.
    #[inline]
    fn space(&mut self) -> u8 {
        let byte = self.byte();
        match byte > b' ' {
            true => byte,
            false => self.skip_space(),
        }
    }

    #[cold]
    fn skip_space(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
            self.flags |= SPACED;
        }
        self.byte()
    }

    /// A value whose place is to be noted.
    fn wanted_value(&mut self, place: Place, exact: bool) -> Result<(), Beyond> {
        let wanted = self.wanted;
        let node = wanted.node(place).ok_or(Beyond)?;
        if self.found[place].state != State::Absent {
            // The same name again: the last one counts, and what was found in the earlier one does not.
            self.mark_below(node, State::Absent);
        }
        let start = self.at;
        let outer = std::mem::take(&mut self.flags);
        match self.byte() {
            b'{' => self.mark_elements(node, State::Impossible),
            b'[' => self.mark_members(node, State::Impossible),
            b'n' => {}
            _ => self.mark_below(node, State::Impossible),
        }
        self.value(Some(node), exact || node.printed)?;
        // The text is shorter than 4 GiB.
        let (start, end) = (start as u32, self.at as u32);
        self.found[place] = Found { state: State::Present, flags: self.flags, start, end };
        self.flags |= outer;
        Ok(())
    }

    fn mark_below(&mut self, node: &Node, state: State) {
        self.mark_members(node, state);
        self.mark_elements(node, state);
    }

    fn mark_members(&mut self, node: &Node, state: State) {
        for (_, place) in &node.members {
            self.mark(*place, state);
        }
    }

    fn mark_elements(&mut self, node: &Node, state: State) {
        for (_, place) in &node.elements {
            self.mark(*place, state);
        }
    }

    fn mark(&mut self, place: Place, state: State) {
        self.found[place].state = state;
        let wanted = self.wanted;
        if let Some(node) = wanted.node(place) {
            self.mark_below(node, state);
        }
    }

    #[inline]
    fn value(&mut self, node: Option<&'a Node>, exact: bool) -> Result<(), Beyond> {
        match self.byte() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(node, exact),
            b'[' => self.array(node, exact),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => Err(Beyond),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Beyond> {
        match self.text[self.at..].starts_with(word) {
            true => self.at += word.len(),
            false => return Err(Beyond),
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Beyond> {
        self.at += 1;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > DEPTH { Err(Beyond) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn array(&mut self, node: Option<&'a Node>, exact: bool) -> Result<(), Beyond> {
        self.enter()?;
        if self.space() == b']' {
            self.leave();
            return Ok(());
        }
        let elements = node.map_or(&[][..], |node| &node.elements);
        let mut index = 0;
        loop {
            match elements.iter().find(|(wanted, _)| *wanted == index) {
                Some((_, place)) => self.wanted_value(*place, exact)?,
                None => self.value(None, exact)?,
            }
            match self.space() {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(Beyond),
            }
            self.space();
            index += 1;
        }
        self.leave();
        Ok(())
    }

    fn object(&mut self, node: Option<&'a Node>, exact: bool) -> Result<(), Beyond> {
        self.enter()?;
        if self.space() == b'}' {
            self.leave();
            return Ok(());
        }
        let members = node.map_or(&[][..], |node| &node.members);
        let first_name = self.names.len();
        loop {
            let start = self.at;
            let place = self.name(members)?;
            if exact {
                self.note_name(first_name, start);
            }
            if self.space() != b':' {
                return Err(Beyond);
            }
            self.at += 1;
            self.space();
            match place {
                Some(place) => self.wanted_value(place, exact)?,
                None => self.value(None, exact)?,
            }
            match self.space() {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(Beyond),
            }
            self.space();
        }
        self.names.truncate(first_name);
        self.leave();
        Ok(())
    }

    /// The name of a member, and its place if it is one of `members`.
    #[inline]
    fn name(&mut self, members: &[(Pattern, Place)]) -> Result<Option<Place>, Beyond> {
        if self.byte() != b'"' {
            return Err(Beyond);
        }
        let word = words::at(self.text, self.at);
        for (name, place) in members {
            // What is equal to a name of the query is UTF-8 as that is.
            if name.is_at(self.text, self.at, word) {
                self.at += name.bytes().len();
                return Ok(Some(*place));
            }
        }
        let outer = std::mem::take(&mut self.flags);
        self.string()?;
        if self.flags & ESCAPED != 0 && !members.is_empty() {
            // It may be one of them, written in another way.
            return Err(Beyond);
        }
        self.flags |= outer;
        Ok(None)
    }

    /// Notes the name between `start` and here, of the object whose first noted name is `first`.
    fn note_name(&mut self, first: usize, start: usize) {
        let fingerprint = words::fingerprint(&self.text[start..self.at]);
        let others = &self.names[first..];
        if others.len() >= MOST_NAMES || others.contains(&fingerprint) {
            self.flags |= UNUSUAL;
        } else {
            self.names.push(fingerprint);
        }
    }

    #[inline]
    fn string(&mut self) -> Result<(), Beyond> {
        let mut at = self.at + 1;
        let text = self.text;
        let mut high = 0;
        loop {
            while let Some(word) = words::at(text, at) {
                high |= word;
                let special = words::special(word);
                if special != 0 {
                    at += words::first(special);
                    break;
                }
                at += 8;
            }
            match text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    self.high |= high;
                    return Ok(());
                }
                Some(b'\\') => at = self.escape(at)?,
                None | Some(0..0x20) => return Err(Beyond),
                Some(0x7F) => {
                    self.flags |= UNUSUAL;
                    at += 1;
                }
                Some(byte) => {
                    high |= u64::from(*byte);
                    at += 1;
                }
            }
        }
    }

    /// The escape at `at`; where it ends.
    #[cold]
    fn escape(&mut self, at: usize) -> Result<usize, Beyond> {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.flags |= ESCAPED;
                Ok(at + 2)
            }
            Some(b'/') => {
                self.flags |= ESCAPED | UNUSUAL;
                Ok(at + 2)
            }
            Some(b'u') => {
                self.flags |= ESCAPED | UNUSUAL;
                let digits = self.text.get(at + 2..at + 6).ok_or(Beyond)?;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(at + 6) } else { Err(Beyond) }
            }
            _ => Err(Beyond),
        }
    }

    fn number(&mut self) -> Result<(), Beyond> {
        self.at = number_end(self.text, self.at)?;
        Ok(())
    }
}

/// Where the number that begins at `at` ends.
pub(super) fn number_end(text: &[u8], mut at: usize) -> Result<usize, Beyond> {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    if byte(at) == b'-' {
        at += 1;
    }
    at = match byte(at) {
        b'0' => at + 1,
        _ => digits_end(text, at)?,
    };
    if byte(at) == b'.' {
        at = digits_end(text, at + 1)?;
    }
    if matches!(byte(at), b'e' | b'E') {
        at += 1;
        if matches!(byte(at), b'+' | b'-') {
            at += 1;
        }
        at = digits_end(text, at)?;
    }
    Ok(at)
}

/// Where the digits that begin at `at` end: there is one at least.
#[inline]
fn digits_end(text: &[u8], at: usize) -> Result<usize, Beyond> {
    let mut end = at;
    while text.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    if end == at { Err(Beyond) } else { Ok(end) }
}
