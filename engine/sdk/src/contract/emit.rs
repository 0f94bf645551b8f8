//! The output of a filter for one batch.

use std::sync::Arc;

use bytes::Bytes;

use super::output::{Port, Rejection};
use crate::{Attributes, Batch, BatchBuilder, Error, Span};

/// The output of a filter for one input batch.
///
/// A filter goes through the events of the batch in any order, and [keeps](Self::keep), [writes](Self::write) or
/// [rejects](Self::reject) them. An event that is not mentioned is dropped on purpose. The engine follows emitted events to
/// their sinks by the input event that they were made of, so every event is emitted by the index of one.
#[derive(Debug)]
pub struct Output {
    input: Batch,
    main: Option<BatchBuilder>,
    /// The builders of the named outputs.
    named: Vec<(Port, BatchBuilder)>,
    emitted: Vec<(Port, Batch)>,
    rejected: Vec<Rejection>,
    /// True if a batch was emitted that was not made of the input.
    foreign: bool,
    /// True if the engine supports `deferred`.
    resumable: bool,
    deferred: Option<usize>,
    attempt: Attempt,
}

/// The number of a call of an async filter with the same batch, for filters that judge each event alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counts the calls with this batch, from 1.
    pub number: u32,
    /// No further call follows: an error now rejects the whole batch (`retry = { attempts = N }`). A filter that
    /// can tell which events failed [rejects](Output::reject) these and lets the others go on.
    pub last: bool,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { number: 1, last: false }
    }
}

/// An output of a filter, for events that are made of input events: see [`Output::to`].
#[derive(Debug)]
pub struct Emitter<'a>(&'a mut BatchBuilder);

impl Emitter<'_> {
    /// Number of events so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if no event was added yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Emits input event `event` unchanged.
    ///
    /// # Panics
    /// If there is no such event.
    #[inline]
    pub fn keep(&mut self, event: usize) {
        self.0.keep(event);
    }

    /// Emits an event with `payload` in the place of input event `event`: same key, time, attributes and origin. Called
    /// several times for one event, it splits the event.
    ///
    /// # Panics
    /// As [`keep`](Self::keep).
    #[inline]
    pub fn write(&mut self, event: usize, payload: &[u8]) {
        self.0.write(event, payload);
    }

    /// As [`write`](Self::write), with a payload that lies in a buffer of the input or an [added](Self::add_buffer) one.
    #[inline]
    pub fn write_span(&mut self, event: usize, span: Span) {
        self.0.write_span(event, span);
    }

    /// As [`write`](Self::write), without a copy: for payloads that were made elsewhere.
    pub fn write_shared(&mut self, event: usize, payload: Bytes) {
        self.0.write_shared(event, payload);
    }

    /// Adds a buffer for [`write_span`](Self::write_span) and returns its number.
    ///
    /// # Panics
    /// If the buffer is 4 GiB or more.
    pub fn add_buffer(&mut self, buffer: Bytes) -> u32 {
        self.0.add_buffer(buffer)
    }

    /// Sets the key of the event that was emitted last.
    pub fn key(&mut self, key: &[u8]) {
        self.0.key(key);
    }

    /// As [`key`](Self::key), with a key that lies in a buffer of the input. [`Span::NONE`]: it has none.
    pub fn key_span(&mut self, span: Span) {
        self.0.key_span(span);
    }

    /// Sets the time of the event that was emitted last, in nanoseconds since 1970 (UTC).
    pub fn timestamp(&mut self, nanoseconds: i64) {
        self.0.timestamp(nanoseconds);
    }

    /// Sets the own attributes of the event that was emitted last.
    pub fn attributes(&mut self, attributes: Arc<Attributes>) {
        self.0.attributes(attributes);
    }

    /// As [`attributes`](Self::attributes); `None` removes the event's own attributes.
    pub fn own_attributes(&mut self, attributes: Option<Arc<Attributes>>) {
        self.0.own_attributes(attributes);
    }
}

impl Output {
    /// An empty output for this input batch.
    pub fn new(input: &Batch) -> Self {
        Self {
            input: input.clone(),
            main: None,
            named: Vec::new(),
            emitted: Vec::new(),
            rejected: Vec::new(),
            foreign: false,
            resumable: false,
            deferred: None,
            attempt: Attempt::default(),
        }
    }

    /// An output of an engine that calls again with the [deferred](Self::defer_from) events.
    pub fn resumable(input: &Batch) -> Self {
        Self::new(input).resumable_if(true)
    }

    /// The same output, from which events can be [deferred](Self::defer_from) if `is`. For the engine.
    #[must_use]
    pub fn resumable_if(mut self, is: bool) -> Self {
        self.resumable = is;
        self
    }

    /// The same output, for this attempt. For the engine.
    #[must_use]
    pub fn in_attempt(mut self, attempt: Attempt) -> Self {
        self.attempt = attempt;
        self
    }

    /// The attempt of this call.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The output with this number: 0 is the main one.
    #[inline]
    pub fn to(&mut self, port: Port) -> Emitter<'_> {
        if port == 0 {
            return Emitter(self.main.get_or_insert_with(|| self.input.derive()));
        }
        let index = self.named.iter().position(|(named, _)| *named == port).unwrap_or_else(|| {
            self.named.push((port, self.input.derive()));
            self.named.len() - 1
        });
        Emitter(&mut self.named[index].1)
    }

    /// As [`Emitter::keep`], to the main output.
    #[inline]
    pub fn keep(&mut self, event: usize) {
        self.to(0).keep(event);
    }

    /// As [`Emitter::write`], to the main output.
    #[inline]
    pub fn write(&mut self, event: usize, payload: &[u8]) {
        self.to(0).write(event, payload);
    }

    /// As [`Emitter::write_span`], to the main output.
    #[inline]
    pub fn write_span(&mut self, event: usize, span: Span) {
        self.to(0).write_span(event, span);
    }

    /// Emits the whole input unchanged, to the main output.
    pub fn keep_all(&mut self) {
        self.emit(self.input.clone());
    }

    /// Emits a batch that was made of the input ([`Batch::select`], [`Batch::derive`]), to the main output. An empty batch
    /// is not emitted.
    pub fn emit(&mut self, batch: Batch) {
        self.emit_to(0, batch);
    }

    /// As [`emit`](Self::emit), to one output. A batch that was not made of the input is an error of the filter, and the
    /// engine stops it: the events would be acknowledged with the wrong input.
    pub fn emit_to(&mut self, port: Port, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if !self.is_of_input(&batch) {
            self.foreign = true;
            return;
        }
        self.finish();
        self.emitted.push((port, batch));
    }

    /// Rejects input event `event`. Each event is rejected at most once, and then not emitted.
    pub fn reject(&mut self, event: usize, reason: impl Into<String>) {
        self.rejected.push(Rejection { event, reason: reason.into() });
    }

    /// For an async filter that holds events up on purpose: the output so far goes on now, and the next call is with the
    /// events from `event` on (at least one before it is processed). False if the engine does not support that: then
    /// process the whole batch.
    #[must_use = "if it is false, the rest of the batch is still to be processed"]
    pub fn defer_from(&mut self, event: usize) -> bool {
        debug_assert!(event > 0, "something is processed in each call");
        self.deferred = self.resumable.then_some(event);
        self.resumable
    }

    /// Returns true if [`defer_from`](Self::defer_from) works. For the engine.
    pub fn is_resumable(&self) -> bool {
        self.resumable
    }

    /// Takes the index of the first deferred event, if there is one. For the engine.
    pub fn take_deferred(&mut self) -> Option<usize> {
        self.deferred.take()
    }

    /// Fails if the filter emitted a batch that was not made of the input. For the engine.
    ///
    /// # Errors
    /// A fatal one.
    pub fn check(&self) -> Result<(), Error> {
        if self.foreign {
            return Err(Error::fatal(
                "the filter emitted a batch that was not made of its input; events of one call cannot be emitted in \
                 another",
            ));
        }
        Ok(())
    }

    /// The emitted batches with their outputs, in order.
    pub fn emitted(&mut self) -> &[(Port, Batch)] {
        self.finish();
        &self.emitted
    }

    /// The rejected events.
    pub fn rejected(&self) -> &[Rejection] {
        &self.rejected
    }

    /// Takes the emitted batches and the rejected events. For the engine.
    pub fn take(&mut self) -> (Vec<(Port, Batch)>, Vec<Rejection>) {
        self.finish();
        (std::mem::take(&mut self.emitted), std::mem::take(&mut self.rejected))
    }

    /// Returns true if each event of the batch has the origin of an input event.
    fn is_of_input(&self, batch: &Batch) -> bool {
        let known = self.input.runs();
        let mut start = 0;
        batch.runs().iter().all(|run| {
            let is_empty = std::mem::replace(&mut start, run.end) == run.end;
            is_empty || known.iter().any(|known| Arc::ptr_eq(&known.origin, &run.origin))
        })
    }

    /// Turns the builders into batches.
    fn finish(&mut self) {
        let main = self.main.take().map(|builder| (0, builder));
        let builders = main.into_iter().chain(std::mem::take(&mut self.named));
        let batches = builders.map(|(port, builder)| (port, builder.finish()));
        self.emitted.extend(batches.filter(|(_, batch)| !batch.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(texts: &[&str]) -> Batch {
        let mut builder = Batch::builder();
        texts.iter().for_each(|text| builder.push_copy(text.as_bytes()));
        builder.finish()
    }

    #[test]
    fn events_leave_by_their_output_with_their_origin() {
        let input = batch(&["a", "b", "c"]);
        let mut out = Output::new(&input);
        out.to(2).keep(2);
        out.keep(0);
        out.write(1, b"B");
        out.to(2).key(b"k");
        let (emitted, rejected) = out.take();
        let texts: Vec<_> = emitted.iter().map(|(port, batch)| (*port, batch.texts())).collect();
        assert_eq!(texts, [(0, vec!["a".to_owned(), "B".to_owned()]), (2, vec!["c".to_owned()])]);
        assert_eq!((emitted[1].1.key(0), emitted[1].1.source_index(0)), (Some(&b"k"[..]), 2));
        assert!(Arc::ptr_eq(emitted[0].1.origin(1), input.origin(1)) && rejected.is_empty());
        assert!(out.check().is_ok() && out.emitted().is_empty(), "nothing is left");
    }

    #[test]
    fn ready_batch_keeps_its_place_among_the_events() {
        let input = batch(&["a", "b", "c"]);
        let mut out = Output::new(&input);
        out.keep(0);
        out.emit(input.select([1]));
        out.keep(2);
        let texts: Vec<_> = out.emitted().iter().flat_map(|(_, batch)| batch.texts()).collect();
        assert_eq!(texts, ["a", "b", "c"]);
    }

    #[test]
    fn batch_of_another_input_is_an_error() {
        let (input, other) = (batch(&["a"]), batch(&["a"]));
        let mut out = Output::new(&input);
        out.emit(other.select([0]));
        assert_eq!(out.check().unwrap_err().class(), crate::Class::Fatal);
        assert!(out.emitted().is_empty());
        let mut out = Output::new(&input);
        out.emit(Batch::concat(&[input.clone(), other]));
        assert!(out.check().is_err(), "a part of it is not of the input");
    }
}
