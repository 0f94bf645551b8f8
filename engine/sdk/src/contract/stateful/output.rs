//! The output of a stateful filter between two commits.

use std::ops::Range;
use std::sync::Arc;

use super::super::output::{Port, Rejection};
use crate::{Attributes, Batch};

/// Bytes of output after which a filter that works in pieces stops.
const FULL_BYTES: usize = 4 << 20;

/// Events of output after which a filter that works in pieces stops.
const FULL_EVENTS: usize = 65_536;

/// The output of a [`StatefulFilter`](crate::StatefulFilter) for one call.
///
/// An emitted event belongs to no input event: it may be a result of thousands of them. It gets its own number in the
/// order of emission, through all outputs of the filter, and becomes visible with the commit that contains it.
#[derive(Debug, Default)]
pub struct StateOutput {
    bytes: Vec<u8>,
    events: Vec<Slot>,
    rejected: Vec<Rejection>,
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Slot {
    port: Port,
    time: Option<i64>,
    payload: Range<usize>,
    key: Option<Range<usize>>,
    attributes: Option<Arc<Attributes>>,
}

/// Event that was emitted.
#[derive(Clone, Copy, Debug)]
pub struct Emitted<'a> {
    /// The output.
    pub port: Port,
    /// The time in nanoseconds since 1970 (UTC).
    pub time: Option<i64>,
    /// The payload.
    pub payload: &'a [u8],
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The event's own attributes.
    pub attributes: Option<&'a Arc<Attributes>>,
}

/// A result that could not be made: it becomes a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The parts of the result, as JSON.
    pub payload: Vec<u8>,
    /// The reason: a lower-case sentence without a full stop.
    pub reason: String,
}

impl StateOutput {
    /// Emits an event through output `port`.
    pub fn emit(&mut self, port: Port, time: Option<i64>, key: Option<&[u8]>, payload: &[u8]) {
        let payload = self.store(payload);
        let key = key.map(|key| self.store(key));
        self.events.push(Slot { port, time, payload, key, attributes: None });
    }

    /// Emits event `event` of an input batch through output `port`, unchanged.
    ///
    /// # Panics
    /// If there is no such event.
    pub fn keep(&mut self, port: Port, batch: &Batch, event: usize) {
        self.write(port, batch, event, batch.payload(event));
    }

    /// As [`keep`](Self::keep), with another payload: same key, time and attributes.
    ///
    /// # Panics
    /// As [`keep`](Self::keep).
    pub fn write(&mut self, port: Port, batch: &Batch, event: usize, payload: &[u8]) {
        self.emit(port, batch.timestamp(event), batch.key(event), payload);
        let own = batch.own_attributes(event);
        let shared = &batch.origin(event).attributes;
        let attributes = match own {
            Some(own) if shared.is_empty() => Some(Arc::clone(own)),
            Some(own) => {
                let mut all = (**shared).clone();
                own.iter().for_each(|(name, value)| all.set(name.to_owned(), value.clone()));
                Some(Arc::new(all))
            }
            None if shared.is_empty() => None,
            None => Some(Arc::clone(shared)),
        };
        if let Some(last) = self.events.last_mut() {
            last.attributes = attributes;
        }
    }

    /// Sets the attributes of the event that was emitted last.
    pub fn attributes(&mut self, attributes: Arc<Attributes>) {
        if let Some(last) = self.events.last_mut() {
            last.attributes = Some(attributes);
        }
    }

    /// Rejects event `event` of the batch that is processed. The state must not have changed by it.
    pub fn reject(&mut self, event: usize, reason: impl Into<String>) {
        self.rejected.push(Rejection { event, reason: reason.into() });
    }

    /// Keeps a result that could not be made as a dead letter. `payload` holds its parts as JSON (key, window, aggregates).
    pub fn fail(&mut self, payload: Vec<u8>, reason: impl Into<String>) {
        self.failed.push(Failed { payload, reason: reason.into() });
    }

    /// Returns true if a filter that works in pieces should stop here.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.events.len() + self.failed.len() >= FULL_EVENTS
    }

    /// Number of emitted events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns true if no event was emitted.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes of the emitted payloads and keys.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The emitted events, in order.
    pub fn iter(&self) -> impl Iterator<Item = Emitted<'_>> {
        self.events.iter().map(|slot| Emitted {
            port: slot.port,
            time: slot.time,
            payload: &self.bytes[slot.payload.clone()],
            key: slot.key.clone().map(|key| &self.bytes[key]),
            attributes: slot.attributes.as_ref(),
        })
    }

    /// The rejected events of the batch.
    pub fn rejected(&self) -> &[Rejection] {
        &self.rejected
    }

    /// The results that could not be made.
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// Takes the rejected events and failed results. For the engine.
    pub fn take_failures(&mut self) -> (Vec<Rejection>, Vec<Failed>) {
        (std::mem::take(&mut self.rejected), std::mem::take(&mut self.failed))
    }

    /// Forgets everything and keeps the memory. For the engine.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.events.clear();
        self.rejected.clear();
        self.failed.clear();
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emitted_events_are_read_in_order_through_all_outputs() {
        let mut input = Batch::builder();
        input.push_copy(b"x");
        input.timestamp(7);
        let input = input.finish();
        let mut out = StateOutput::default();
        out.emit(0, Some(5), Some(b"k"), b"one");
        out.keep(1, &input, 0);
        out.fail(b"{}".to_vec(), "no");
        let first = out.iter().next().unwrap();
        assert_eq!((first.port, first.time, first.key), (0, Some(5), Some(&b"k"[..])));
        let last = out.iter().last().unwrap();
        assert_eq!((last.port, last.time, last.key, last.payload), (1, Some(7), None, &b"x"[..]));
        assert_eq!((out.len(), out.failed().len(), out.is_full()), (2, 1, false));
        out.clear();
        assert!(out.is_empty() && out.failed().is_empty());
    }
}
