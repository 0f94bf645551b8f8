//! A single pass over the text of an event: it is checked to its end, as strictly as [`crate::reader`] does, and the
//! places of the wanted values are noted on the way.
//!
//! Where the pass is not sure, it gives up ([`Beyond`]), and the evaluator looks at the event.

mod members;
mod strings;

use std::cell::RefCell;
use std::ops::Range;

use super::found::{Beyond, Found, SPACED, State};
use super::shape::Shape;
use super::wanted::{Node, Place, Wanted};
use crate::reader::DEPTH;
use tidegate_query::Marks;

/// Names of one object that are compared with each other. An object with more counts as unusual.
const MOST_NAMES: usize = 64;

/// Memory that is used again for each event.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// The values that were found, by place.
    pub(super) found: Vec<Found>,
    /// The depth to which the event is nested.
    pub(super) deepest: usize,
    /// Fingerprints of the names of the objects that are open.
    names: Vec<u64>,
    shape: Shape,
    /// For the elements of arrays, by the number of their query.
    elements: RefCell<Vec<Finds>>,
}

impl Finds {
    /// Lends the memory for elements number `number`. It is to be given back.
    pub(super) fn lend(&self, number: usize) -> Finds {
        let mut elements = self.elements.borrow_mut();
        if elements.len() <= number {
            elements.resize_with(number + 1, Finds::default);
        }
        std::mem::take(&mut elements[number])
    }

    pub(super) fn give_back(&self, number: usize, finds: Finds) {
        if let Some(place) = self.elements.borrow_mut().get_mut(number) {
            *place = finds;
        }
    }
}

/// Looks through the event for all that is `wanted`. It lies in `buffer` at `event`; values are noted by their
/// places in the buffer.
pub(super) fn scan(
    buffer: &[u8],
    event: Range<usize>,
    wanted: &Wanted,
    finds: &mut Finds,
) -> Result<(), Beyond> {
    if u32::try_from(buffer.len()).is_err() {
        return Err(Beyond);
    }
    let mut scanner = Scanner::new(buffer, event.end, wanted, finds);
    let at = scanner.space(event.start);
    let at = scanner.root(at)?;
    if scanner.space(at) != event.end {
        return Err(Beyond);
    }
    scanner.check_encoding()?;
    let deepest = scanner.deepest;
    finds.deepest = deepest;
    Ok(())
}

/// Looks through the value that begins at `at`, of an array that was scanned before and ends at `end`. Returns
/// where the next one begins; `None` if it is the last.
pub(super) fn scan_element(
    buffer: &[u8],
    (at, end): (usize, usize),
    wanted: &Wanted,
    finds: &mut Finds,
) -> Result<Option<usize>, Beyond> {
    let mut scanner = Scanner::new(buffer, end, wanted, finds);
    let at = scanner.root(at)?;
    let at = scanner.space(at);
    Ok((scanner.byte(at) == b',').then(|| scanner.space(at + 1)))
}

/// The place of the first element of the array that was found at `array`; `None` if it has none.
pub(super) fn first_element(buffer: &[u8], array: Range<usize>) -> Option<usize> {
    let inner = &buffer[array.start + 1..array.end - 1];
    let at = inner.iter().position(|byte| !byte.is_ascii_whitespace())?;
    Some(array.start + 1 + at)
}

impl<'a> Scanner<'a> {
    fn new(buffer: &'a [u8], end: usize, wanted: &'a Wanted, finds: &'a mut Finds) -> Self {
        finds.forget(wanted.len());
        Self {
            buffer,
            text: &buffer[..end],
            depth: 0,
            deepest: 0,
            flags: 0,
            marks: Marks::NONE,
            first_high: usize::MAX,
            high_end: 0,
            wanted,
            found: &mut finds.found,
            names: &mut finds.names,
            shape: &mut finds.shape,
        }
    }
}

impl Finds {
    fn forget(&mut self, places: usize) {
        self.names.clear();
        if self.found.len() == places {
            self.found.fill(Found::default());
        } else {
            self.found.clear();
            self.found.resize(places, Found::default());
        }
    }
}

/// The byte that stands for the end of the event. It is nowhere allowed.
const END: u8 = 0;

/// The end of what was read.
type End = Result<usize, Beyond>;

/// Reads an event. Each method takes the place at which it begins and returns the one at which it ended, so that the
/// place stays in a register.
struct Scanner<'a> {
    buffer: &'a [u8],
    /// The buffer up to the end of the event.
    text: &'a [u8],
    depth: usize,
    deepest: usize,
    /// The flags of the innermost wanted value so far.
    flags: u8,
    /// Of the bytes around the last string.
    marks: Marks,
    /// The first byte that is not ASCII, and the place after the last, up to `marks`.
    first_high: usize,
    high_end: usize,
    wanted: &'a Wanted,
    found: &'a mut [Found],
    names: &'a mut Vec<u64>,
    shape: &'a mut Shape,
}

impl<'a> Scanner<'a> {
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(END)
    }

    /// True if these two bytes stand at `at`.
    #[inline(always)]
    fn has(&self, at: usize, bytes: [u8; 2]) -> bool {
        self.text.get(at..).and_then(<[u8]>::first_chunk) == Some(&bytes)
    }

    /// The next byte that is not white space.
    #[inline(always)]
    fn space(&mut self, at: usize) -> usize {
        if self.byte(at) > b' ' { at } else { self.skip_space(at) }
    }

    #[cold]
    fn skip_space(&mut self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\r' | b'\n') {
            at += 1;
            self.flags |= SPACED;
        }
        at
    }

    /// A value whose place is to be noted.
    fn wanted_value(&mut self, at: usize, place: Place, exact: bool) -> End {
        let wanted = self.wanted;
        let node = wanted.node(place).ok_or(Beyond)?;
        let outer = std::mem::take(&mut self.flags);
        if !node.is_leaf() {
            self.begin_below(at, place, node);
        }
        let end = self.value(at, Some(node), exact || node.printed)?;
        self.note(place, at, end, self.flags);
        self.flags |= outer;
        Ok(end)
    }

    #[inline(always)]
    fn note(&mut self, place: Place, start: usize, end: usize, flags: u8) {
        // The text is shorter than 4 GiB.
        let (start, end) = (start as u32, end as u32);
        self.found[place] = Found { state: State::Present, flags, start, end };
    }

    /// Notes in advance which values cannot be found below the current one.
    fn begin_below(&mut self, at: usize, place: Place, node: &Node) {
        if self.found[place].state != State::Absent {
            // The same name again: the last one counts, and what was found in the earlier one does not.
            self.mark_below(node, State::Absent);
        }
        match self.byte(at) {
            b'{' => self.mark_elements(node, State::Impossible),
            b'[' => self.mark_members(node, State::Impossible),
            b'n' => {}
            _ => self.mark_below(node, State::Impossible),
        }
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

    fn value(&mut self, at: usize, node: Option<&'a Node>, exact: bool) -> End {
        match self.byte(at) {
            b'"' => self.string(at),
            b'-' | b'0'..=b'9' => number_end(self.text, at),
            b'{' => self.object(at, node, exact),
            b'[' => self.array(at, node, exact),
            b't' => self.word(at, b"true"),
            b'f' => self.word(at, b"false"),
            b'n' => self.word(at, b"null"),
            _ => Err(Beyond),
        }
    }

    fn word(&mut self, at: usize, word: &[u8]) -> End {
        if self.text[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Beyond) }
    }

    fn enter(&mut self) -> Result<(), Beyond> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > DEPTH { Err(Beyond) } else { Ok(()) }
    }

    fn array(&mut self, at: usize, node: Option<&'a Node>, exact: bool) -> End {
        self.enter()?;
        let mut at = self.space(at + 1);
        let elements = node.map_or(&[][..], |node| &node.elements);
        let mut index = 0;
        while index > 0 || self.byte(at) != b']' {
            at = match elements.iter().find(|(wanted, _)| *wanted == index) {
                Some((_, place)) => self.wanted_value(at, *place, exact)?,
                None => self.value(at, None, exact)?,
            };
            at = self.space(at);
            match self.byte(at) {
                b',' => at = self.space(at + 1),
                b']' => break,
                _ => return Err(Beyond),
            }
            index += 1;
        }
        self.depth -= 1;
        Ok(at + 1)
    }

    fn object(&mut self, at: usize, node: Option<&'a Node>, exact: bool) -> End {
        self.enter()?;
        let mut at = self.space(at + 1);
        let first_name = self.names.len();
        let mut is_first = true;
        while !is_first || self.byte(at) != b'}' {
            at = self.member(at, node, exact.then_some(first_name))?;
            if self.has(at, *b",\"") {
                at += 1;
            } else {
                at = self.space(at);
                match self.byte(at) {
                    b',' => at = self.space(at + 1),
                    b'}' => break,
                    _ => return Err(Beyond),
                }
            }
            is_first = false;
        }
        self.names.truncate(first_name);
        self.depth -= 1;
        Ok(at + 1)
    }
}

/// The end of the number that begins at `at`.
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

/// The end of the digits that begin at `at`, of which there is at least one.
#[inline]
fn digits_end(text: &[u8], at: usize) -> Result<usize, Beyond> {
    let mut end = at;
    while text.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    if end == at { Err(Beyond) } else { Ok(end) }
}
