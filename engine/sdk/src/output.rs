//! What plugins hand back: a source's batch, a filter's output, a sink's delivery.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{AttributeValue, Attributes, Batch, Class, Client, Error, Position, Receipts};

/// Which output of a filter: 0 is the main one, 1 and up are its named outputs in the order of
/// [`crate::Filter::outputs`].
pub type Port = u16;

/// An event of the batch at hand that cannot be processed, and why. It goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Index of the event in the batch that was handed to the plugin.
    pub event: usize,
    /// What is wrong with it: a lower-case sentence without a full stop.
    pub reason: String,
}

/// How all events of one source batch ended, in the order from best to worst.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Each was delivered, or dropped on purpose.
    Delivered,
    /// None is lost, but at least one is a dead letter, with this reason.
    Rejected(String),
    /// At least one is neither: it will be read again, if the source can.
    Failed,
}

/// The attribute of a batch that says that the input of its partition was replaced. An attribute, because these cross
/// the border of a library as they are.
const REPLACED_INPUT: &str = "tidegate.replaced_input";

type Settled = Box<dyn FnOnce(Outcome) + Send>;

/// What a source hands over at a time.
pub struct SourceBatch {
    /// The events.
    pub batch: Batch,
    /// What the source had to refuse while reading (a line over the limit): straight to the dead letters.
    pub rejected: Vec<SourceRejection>,
    /// What the sink acknowledges the batch's entries with, if it does that: see [`crate::Cx::by_receipt`].
    pub receipts: Option<Receipts>,
    /// The client that sent the events, for a source that serves requests.
    pub client: Option<Client>,
    /// To be called once, when every event of the batch has ended.
    pub settled: Option<Settled>,
}

/// Input that never became an event.
#[derive(Clone, Debug)]
pub struct SourceRejection {
    /// What is kept of it; all of it, or the head where it was too long.
    pub payload: Bytes,
    /// Its length in bytes, which may be more than what is kept.
    pub length: u64,
    /// Why: a lower-case sentence without a full stop.
    pub reason: String,
}

impl SourceBatch {
    /// The same batch, with a function to call once, from any thread, when all its events have ended. It
    /// must not block.
    #[must_use]
    pub fn on_settled(mut self, settled: impl FnOnce(Outcome) + Send + 'static) -> Self {
        self.settled = Some(Box::new(settled));
        self
    }

    /// The same batch, sent by this client.
    #[must_use]
    pub fn sent_by(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// The same batch, with the receipts of its entries.
    #[must_use]
    pub fn with_receipts(mut self, receipts: Receipts) -> Self {
        self.receipts = Some(receipts);
        self
    }

    /// A batch without events for a partition whose input was replaced: a file that is another one now, or was emptied.
    ///
    /// Events of a partition are numbered in the order of reading, and a transactional sink knows by that number what
    /// it has done. So a source that cannot read the rest of the old input must send this before the first event of the
    /// new one: the engine then numbers on from beyond everything that any sink has done of the old input, and
    /// `position`, the start of the new input, is where the partition resumes.
    pub fn replaced_input(partition: impl Into<Arc<str>>, position: Position) -> Self {
        let attributes = Attributes::default().with(REPLACED_INPUT, AttributeValue::Boolean(true));
        let mut builder = Batch::builder().with_attributes(Arc::new(attributes));
        builder.set_partition(partition.into());
        builder.set_position(position);
        builder.finish().into()
    }

    /// Whether this is a [`replaced_input`](Self::replaced_input).
    pub fn is_replaced_input(&self) -> bool {
        let origin = &self.batch.runs()[0].origin;
        self.batch.is_empty() && origin.attributes.get(REPLACED_INPUT).is_some()
    }

    /// The same batch, with input that was refused while reading.
    #[must_use]
    pub fn with_rejected(mut self, rejected: Vec<SourceRejection>) -> Self {
        self.rejected = rejected;
        self
    }
}

impl From<Batch> for SourceBatch {
    fn from(batch: Batch) -> Self {
        Self { batch, rejected: Vec::new(), receipts: None, client: None, settled: None }
    }
}

impl fmt::Debug for SourceBatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SourceBatch")
            .field("events", &self.batch.len())
            .field("rejected", &self.rejected)
            .finish_non_exhaustive()
    }
}

/// Where a filter puts what it makes of one batch.
///
/// The engine settles the batch by it: events that went on are followed to their sinks, rejected ones become
/// dead letters, and those not mentioned were dropped on purpose.
#[derive(Debug, Default)]
pub struct Output {
    emitted: Vec<(Port, Batch)>,
    rejected: Vec<Rejection>,
    /// Whether the engine looks at `left`.
    resumable: bool,
    left: Option<usize>,
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

impl Output {
    /// An output with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// An output of an engine that calls again with the events that are [left](Self::leave_from).
    pub fn resumable() -> Self {
        Self { resumable: true, ..Self::default() }
    }

    /// The same output, for this attempt. For the engine.
    #[must_use]
    pub fn in_attempt(mut self, attempt: Attempt) -> Self {
        self.attempt = attempt;
        self
    }

    /// The attempt that this call is. Behind the C boundary it is always the first, and never the last.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// For an async filter that holds events up on purpose: what is put out so far goes on now, and the next
    /// call is with the events from `event` on (at least one before it is dealt with). False if the engine
    /// cannot do that: then deal with the whole batch.
    #[must_use = "if it is false, the rest of the batch is still to be dealt with"]
    pub fn leave_from(&mut self, event: usize) -> bool {
        debug_assert!(event > 0, "something is dealt with in each call");
        self.left = self.resumable.then_some(event);
        self.resumable
    }

    /// Whether [`leave_from`](Self::leave_from) works. For the engine.
    pub fn is_resumable(&self) -> bool {
        self.resumable
    }

    /// Takes the index of the first event that was left, if any was. For the engine.
    pub fn take_left(&mut self) -> Option<usize> {
        self.left.take()
    }

    /// Sends a batch on through the main output. An empty batch is not sent.
    pub fn emit(&mut self, batch: Batch) {
        self.emit_to(0, batch);
    }

    /// Sends a batch on through one output.
    pub fn emit_to(&mut self, port: Port, batch: Batch) {
        if !batch.is_empty() {
            self.emitted.push((port, batch));
        }
    }

    /// Rejects event `event` of the batch at hand. Each event is rejected at most once, and then not emitted.
    pub fn reject(&mut self, event: usize, reason: impl Into<String>) {
        self.rejected.push(Rejection { event, reason: reason.into() });
    }

    /// What was emitted, by output, in order.
    pub fn emitted(&self) -> &[(Port, Batch)] {
        &self.emitted
    }

    /// What was rejected.
    pub fn rejected(&self) -> &[Rejection] {
        &self.rejected
    }

    /// Both, leaving nothing. For the engine.
    pub fn take(&mut self) -> (Vec<(Port, Batch)>, Vec<Rejection>) {
        (std::mem::take(&mut self.emitted), std::mem::take(&mut self.rejected))
    }
}

/// What became of a batch that was handed to a sink: all delivered, but for what is named here.
#[derive(Debug, Default)]
#[must_use = "it says which events were not delivered"]
pub struct Delivery {
    rejected: Vec<Rejection>,
    again: Option<(Vec<usize>, Error)>,
    failed: Vec<(usize, String)>,
    elsewhere: Vec<usize>,
}

impl Delivery {
    /// Every event is delivered.
    pub fn complete() -> Self {
        Self::default()
    }

    /// Event `event` is bad and goes to the dead letters.
    pub fn reject(&mut self, event: usize, reason: impl Into<String>) {
        self.rejected.push(Rejection { event, reason: reason.into() });
    }

    /// These events (in ascending order) are not delivered; `error` says why and when to try them again.
    /// Called again, it adds to them, and the error of the first call stays.
    pub fn again(&mut self, events: impl IntoIterator<Item = usize>, error: Error) {
        debug_assert!(error.class() != Class::Reject, "rejected events are named one by one");
        match &mut self.again {
            Some((known, _)) => known.extend(events),
            None => self.again = Some((events.into_iter().collect(), error)),
        }
    }

    /// Event `event` was tried alone and is not delivered, for a reason of its own. It is tried
    /// [again](Self::again) like the others named there, but its attempts are counted for it alone: once they are
    /// used up, it is rejected with this reason, and the others go on. Of several errors a fatal one
    /// counts, then the one with the longest pause, then an ambiguous one, then one that somebody must act upon. To be
    /// called in ascending order.
    pub fn failed(&mut self, event: usize, error: Error) {
        self.failed.push((event, error.message().to_owned()));
        match &mut self.again {
            Some((known, first)) => {
                known.push(event);
                if weight(&error) > weight(first) {
                    *first = error;
                }
            }
            None => self.again = Some((vec![event], error)),
        }
    }

    /// Takes the events that [failed](Self::failed) alone, with their reasons. For the engine.
    pub fn take_failed(&mut self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.failed)
    }

    /// Event `event` was not written, because another process was done with its entry before: it counts as
    /// delivered. Only for [`crate::Sink::settle`].
    pub fn done_elsewhere(&mut self, event: usize) {
        self.elsewhere.push(event);
    }

    /// The events that were done by another process.
    pub fn elsewhere(&self) -> &[usize] {
        &self.elsewhere
    }

    /// What was rejected.
    pub fn rejected(&self) -> &[Rejection] {
        &self.rejected
    }

    /// What is to be tried again, and why.
    pub fn to_try_again(&self) -> Option<(&[usize], &Error)> {
        self.again.as_ref().map(|(events, error)| (events.as_slice(), error))
    }

    /// Both, for the engine.
    pub fn into_parts(self) -> (Vec<Rejection>, Option<(Vec<usize>, Error)>) {
        (self.rejected, self.again)
    }
}

/// Orders errors by what decides about the next attempt.
fn weight(error: &Error) -> (bool, Option<std::time::Duration>, u8) {
    let severity = match error.class() {
        Class::Ambiguous => 2,
        Class::Misconfigured => 1,
        _ => 0,
    };
    (error.class() == Class::Fatal, error.retry_after(), severity)
}

/// The attributes under which a rejected event travels on from `NAME.rejected`.
impl Attributes {
    /// Why the event was rejected.
    pub const REASON: &'static str = "rejected_reason";
    /// The component that rejected it.
    pub const COMPONENT: &'static str = "rejected_by";
}
