//! Events that were sent, and the verdict on those that arrived. Pure: without files and servers.

use std::fmt::{self, Write as _};

/// Bytes of an event without its line end. All events have the same width, so that half of one is never a valid event.
pub(crate) const WIDTH: usize = 64;

/// The event with this number, as JSON: `{"id":"000000000042","sum":"…","pad":"…"}`. It holds a checksum of
/// its number, which reveals events that were torn or joined.
pub(crate) fn event(number: u64) -> String {
    let id = id(number);
    let mut text = String::with_capacity(WIDTH);
    // Writing to a string cannot fail.
    let _ = write!(text, r#"{{"id":"{id}","sum":"{:08x}","pad":""#, crc32fast::hash(id.as_bytes()));
    while text.len() < WIDTH - 2 {
        text.push((b'a' + (number + text.len() as u64) as u8 % 26) as char);
    }
    text.push_str("\"}");
    text
}

/// The number of an event, as it is written in the event.
pub(crate) fn id(number: u64) -> String {
    format!("{number:012}")
}

/// The number of an event; `None` if the bytes are not exactly an event.
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    let id = payload.get(7..19)?;
    let number = std::str::from_utf8(id).ok()?.parse().ok()?;
    (event(number).as_bytes() == payload).then_some(number)
}

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that were sent.
    pub sent: u64,
    /// Events that did not arrive.
    pub lost: u64,
    /// Arrivals of events that had arrived before.
    pub duplicated: u64,
    /// First arrivals after an event with a larger number.
    pub out_of_order: u64,
    /// Arrivals that are not an event that was sent: halves, mixtures, inventions.
    pub torn: u64,
}

impl Tally {
    /// The sum of two tallies.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            out_of_order: self.out_of_order + other.out_of_order,
            torn: self.torn + other.torn,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, duplicated, out_of_order, torn } = self;
        write!(
            formatter,
            "{sent} sent, {lost} lost, {duplicated} duplicated, {out_of_order} out of order, {torn} torn"
        )
    }
}

/// Checks the content of a destination, in its order.
#[derive(Debug)]
pub(crate) struct Checker {
    /// True for each number that arrived.
    seen: Vec<bool>,
    largest: Option<u64>,
    tally: Tally,
    /// Examples of torn and reordered events, for the report.
    examples: Vec<String>,
}

/// Maximum number of examples.
const EXAMPLES: usize = 5;

impl Checker {
    /// A checker of the events 0 to `sent`.
    pub(crate) fn new(sent: u64) -> Self {
        let tally = Tally { sent, ..Tally::default() };
        Self { seen: vec![false; sent as usize], largest: None, tally, examples: Vec::new() }
    }

    /// Checks the next arrival.
    pub(crate) fn arrived(&mut self, payload: &[u8]) {
        let number = number(payload).filter(|number| *number < self.tally.sent);
        let Some(number) = number else {
            self.tally.torn += 1;
            return self.keep(|| format!("torn: {:?}", String::from_utf8_lossy(payload)));
        };
        if std::mem::replace(&mut self.seen[number as usize], true) {
            self.tally.duplicated += 1;
            return;
        }
        if let Some(largest) = self.largest.filter(|largest| *largest > number) {
            self.tally.out_of_order += 1;
            self.keep(|| format!("out of order: {number} after {largest}"));
        }
        self.largest = self.largest.max(Some(number));
    }

    /// The tally of all arrivals, with examples.
    pub(crate) fn finish(mut self) -> (Tally, Vec<String>) {
        let missing: Vec<u64> = (0..self.tally.sent).filter(|number| !self.seen[*number as usize]).collect();
        self.tally.lost = missing.len() as u64;
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            self.examples.push(format!("lost: {} between {first} and {last}", missing.len()));
        }
        (self.tally, self.examples)
    }

    fn keep(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

#[cfg(test)]
mod tests;
