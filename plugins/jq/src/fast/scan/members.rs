//! The members of objects: those of the event itself, which are expected to be as in an event before it, and
//! those of the objects in it.

use std::ops::Range;

use super::{End, MOST_NAMES, Scanner};
use crate::fast::found::{Beyond, ESCAPED, State, UNUSUAL};
use crate::fast::shape::Expected;
use crate::fast::wanted::{Node, Place, ROOT};
use crate::fast::words;

/// A name that was read.
#[derive(Clone, Copy)]
struct Name {
    /// Of its value, if that is wanted.
    place: Option<Place>,
    end: usize,
}

impl Name {
    fn unwanted(end: usize) -> Self {
        Self { place: None, end }
    }
}

/// The next part of the event.
enum Next {
    /// A member, whose value ends here.
    Value(usize),
    /// The brace that closes it, which ends here.
    Closed(usize),
}

impl<'a> Scanner<'a> {
    /// The event itself.
    pub(super) fn root(&mut self, at: usize) -> End {
        let wanted = self.wanted;
        let node = wanted.node(ROOT).ok_or(Beyond)?;
        if self.byte(at) != b'{' {
            return self.wanted_value(at, ROOT, false);
        }
        self.mark_elements(node, State::Impossible);
        self.flags = 0;
        self.enter()?;
        let end = self.members(at, node)?;
        self.note(ROOT, at, end, self.flags);
        Ok(end)
    }

    /// The members of the event, from the brace that opens it.
    fn members(&mut self, mut at: usize, node: &'a Node) -> End {
        let remember = self.shape.begin();
        let mut number = 0;
        // Names are compared one by one only from the first that is not as expected.
        let mut strays = false;
        loop {
            let expected = self.shape.find(number, self.buffer, at, self.text.len());
            at = match expected {
                Some(expected) => {
                    let expected = *expected;
                    if strays {
                        self.note_fingerprint(0, expected.fingerprint);
                    }
                    self.expected_value(at, &expected, node.printed)?
                }
                None if number > 0 && self.byte(at) == b'}' => {
                    if node.printed && !strays && !self.shape.are_distinct(number) {
                        self.flags |= UNUSUAL;
                    }
                    return Ok(at + 1);
                }
                None => {
                    if node.printed && !strays {
                        strays = true;
                        self.note_expected(number);
                    }
                    match self.next_member(at, number, node, remember)? {
                        Next::Value(end) => end,
                        Next::Closed(end) => return Ok(end),
                    }
                }
            };
            number += 1;
        }
    }

    /// The value after the expected bytes at `at`.
    #[inline(always)]
    fn expected_value(&mut self, at: usize, expected: &Expected, exact: bool) -> End {
        let at = at + expected.length;
        self.flags |= expected.flags;
        match (expected.is_string, expected.place) {
            (true, None) => self.string(at - 1),
            (true, Some(place)) => self.wanted_string(at - 1, place),
            (false, place) => {
                let at = self.space(at);
                self.member_value(at, place, exact)
            }
        }
    }

    /// The next member of the event, from the end of the value before it, or the brace that closes it.
    #[inline(never)]
    fn next_member(
        &mut self,
        start: usize,
        number: usize,
        node: &'a Node,
        remember: bool,
    ) -> Result<Next, Beyond> {
        let at = self.space(start);
        let at = match (self.byte(at), number) {
            (b'{', 0) | (b',', 1..) => self.space(at + 1),
            (b'}', 1..) => return Ok(Next::Closed(at + 1)),
            _ => return Err(Beyond),
        };
        if number == 0 && self.byte(at) == b'}' {
            return Ok(Next::Closed(at + 1));
        }
        let name = self.name(at, Some(node))?;
        if node.printed {
            self.note_name(0, at..name.end);
        }
        let value = self.colon(name.end)?;
        if remember {
            // A string whose parts are wanted is an error to ask for, which is not what is expected.
            let is_string = self.byte(value) == b'"';
            let is_leaf = |place| self.wanted.node(place).is_some_and(Node::is_leaf);
            let known = (!is_string || name.place.is_none_or(is_leaf)).then(|| {
                let text = &self.text[start..value + usize::from(is_string)];
                Expected::new(text, name.place, words::fingerprint(&self.text[at..name.end]))
            });
            self.shape.expect(number, known.flatten());
        }
        self.member_value(value, name.place, node.printed).map(Next::Value)
    }

    /// A name and its value. If the object must be known exactly, `first_name` is where its names begin.
    #[inline(always)]
    pub(super) fn member(&mut self, start: usize, node: Option<&'a Node>, first_name: Option<usize>) -> End {
        let name = self.name(start, node)?;
        if let Some(first_name) = first_name {
            self.note_name(first_name, start..name.end);
        }
        let at = if self.has(name.end, *b":\"") { name.end + 1 } else { self.colon(name.end)? };
        self.member_value(at, name.place, first_name.is_some())
    }

    #[inline(always)]
    fn name(&mut self, start: usize, node: Option<&'a Node>) -> Result<Name, Beyond> {
        if self.byte(start) != b'"' {
            return Err(Beyond);
        }
        let known = node.and_then(|node| self.known_name(start, node));
        let is_any_wanted = node.is_some_and(|node| !node.members.is_empty());
        match known {
            Some(name) => Ok(name),
            None if is_any_wanted => self.other_name(start),
            None => self.string(start).map(Name::unwanted),
        }
    }

    #[inline(always)]
    fn member_value(&mut self, at: usize, place: Option<Place>, exact: bool) -> End {
        match place {
            Some(place) => self.wanted_value(at, place, exact),
            None if self.byte(at) == b'"' => self.string(at),
            None => self.value(at, None, exact),
        }
    }

    fn colon(&mut self, at: usize) -> End {
        let at = self.space(at);
        match self.byte(at) {
            b':' => Ok(self.space(at + 1)),
            _ => Err(Beyond),
        }
    }

    /// The name that begins at `start`, if it is one that `node` wants.
    #[inline(always)]
    fn known_name(&self, start: usize, node: &Node) -> Option<Name> {
        if !node.may_want(self.byte(start + 1)) {
            return None;
        }
        let word = words::at(self.text, start);
        // What is equal to a name of the query is UTF-8 as that is.
        let known = node.members.iter().find(|(name, _)| name.is_at(self.text, start, word));
        known.map(|(name, place)| Name { place: Some(*place), end: start + name.bytes().len() })
    }

    /// A name that is none of the wanted ones, as it is written.
    #[inline(always)]
    fn other_name(&mut self, start: usize) -> Result<Name, Beyond> {
        let outer = std::mem::take(&mut self.flags);
        let end = self.string(start)?;
        if self.flags & ESCAPED != 0 {
            // It may be one of them, written in another way.
            return Err(Beyond);
        }
        self.flags |= outer;
        Ok(Name::unwanted(end))
    }

    /// Notes the name that stands at `name`, of the object whose first noted name is `first`.
    fn note_name(&mut self, first: usize, name: Range<usize>) {
        self.note_fingerprint(first, words::fingerprint(&self.text[name]));
    }

    /// Notes the first `count` names of the event, which were all as expected.
    #[inline(never)]
    fn note_expected(&mut self, count: usize) {
        for number in 0..count {
            self.note_fingerprint(0, self.shape.fingerprint(number));
        }
    }

    fn note_fingerprint(&mut self, first: usize, fingerprint: u64) {
        let others = &self.names[first..];
        if others.len() >= MOST_NAMES || others.contains(&fingerprint) {
            self.flags |= UNUSUAL;
        } else {
            self.names.push(fingerprint);
        }
    }
}
