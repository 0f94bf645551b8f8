//! The expected members of an event: those of an event before it.
//!
//! The events of a stream mostly have the same names in the same order. So what stood between two values
//! (`,"name":"`) is remembered, and one comparison finds it again: it has been checked, and it is known which
//! place the value after it has. What is not as expected is read as if nothing had been.

use wide::u8x16;

use super::found::SPACED;
use super::wanted::Place;

/// The longest piece of text that is remembered, in bytes.
const LONGEST: usize = 32;

/// The members after these are not remembered.
const MOST: usize = 64;

/// The interval of events that are remembered: where each event has members of its own, remembering is for nothing.
const EVERY: u32 = 64;

/// The members of an event, in order.
#[derive(Debug, Default)]
pub(super) struct Shape {
    members: Vec<Expected>,
    events: u32,
    /// The number of names before the first repeated one, once that was needed.
    distinct: Option<usize>,
}

/// The bytes before a value, from the end of the value before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    text: [u8; LONGEST],
    /// A bit for each byte of `text` that counts.
    mask: u32,
    /// The number of bytes; more than an event can have if nothing is expected.
    pub(super) length: usize,
    /// True if the last of them is the quote that a string begins with.
    pub(super) is_string: bool,
    /// True if there is white space among them.
    pub(super) flags: u8,
    /// The place of the value, if it is wanted.
    pub(super) place: Option<Place>,
    /// Of the name.
    pub(super) fingerprint: u64,
}

impl Expected {
    const NOTHING: Self = Self {
        text: [0; LONGEST],
        mask: 0,
        length: usize::MAX,
        is_string: false,
        flags: 0,
        place: None,
        fingerprint: 0,
    };

    /// The expectation where `text` stood. `None` if it is too long, or has characters that would have to
    /// be looked at again.
    pub(super) fn new(text: &[u8], place: Option<Place>, fingerprint: u64) -> Option<Self> {
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
        if text.is_empty() || text.len() > LONGEST || !text.iter().all(plain) {
            return None;
        }
        let mut expected = Self { length: text.len(), place, fingerprint, ..Self::NOTHING };
        expected.text[..text.len()].copy_from_slice(text);
        expected.mask = u32::MAX >> (LONGEST - text.len());
        expected.is_string = text.ends_with(b"\"");
        // A space within a name counts too, which only makes the event a little slower.
        expected.flags = if text.contains(&b' ') { SPACED } else { 0 };
        Some(expected)
    }

    /// True if it stands at `at` of `buffer`.
    #[inline(always)]
    fn is_at(&self, buffer: &[u8], at: usize) -> bool {
        let Some(text) = buffer.get(at..at + LONGEST) else { return false };
        let ([text, text_rest], []) = text.as_chunks::<16>() else { return false };
        let ([own, own_rest], []) = self.text.as_chunks::<16>() else { return false };
        let equal =
            |left: &[u8; 16], right: &[u8; 16]| u8x16::new(*left).simd_eq(u8x16::new(*right)).to_bitmask();
        let equal = equal(text, own) | equal(text_rest, own_rest) << 16;
        equal & self.mask == self.mask
    }
}

impl Shape {
    /// An event begins. Says whether its members are to be remembered.
    #[inline]
    pub(super) fn begin(&mut self) -> bool {
        self.events = self.events.wrapping_add(1);
        self.events % EVERY == 1
    }

    /// The bytes that are expected before value number `number`, if it stands at `at` of `buffer` and before `end`.
    #[inline(always)]
    pub(super) fn find(&self, number: usize, buffer: &[u8], at: usize, end: usize) -> Option<&Expected> {
        let expected = self.members.get(number)?;
        (end - at >= expected.length && expected.is_at(buffer, at)).then_some(expected)
    }

    /// The fingerprint of the name before value number `number`.
    pub(super) fn fingerprint(&self, number: usize) -> u64 {
        self.members[number].fingerprint
    }

    /// True if no two of the first `count` names are the same.
    pub(super) fn are_distinct(&mut self, count: usize) -> bool {
        let distinct = self.distinct.unwrap_or_else(|| {
            let before = |number: usize| self.members[..number].iter().map(|member| member.fingerprint);
            let is_repeated =
                |number: &usize| before(*number).any(|print| print == self.fingerprint(*number));
            (0..self.members.len()).find(is_repeated).unwrap_or(self.members.len())
        });
        self.distinct = Some(distinct);
        count <= distinct
    }

    /// Expects this before value number `number` from now on, or nothing.
    pub(super) fn expect(&mut self, number: usize, expected: Option<Expected>) {
        if number < MOST {
            self.distinct = None;
            if self.members.len() <= number {
                self.members.resize(number + 1, Expected::NOTHING);
            }
            self.members[number] = expected.unwrap_or(Expected::NOTHING);
        }
    }
}
