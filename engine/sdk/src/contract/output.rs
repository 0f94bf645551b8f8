//! Results of plugins: a source's batch, a rejection, a sink's delivery.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{AckHandles, AttributeValue, Attributes, Batch, Class, Client, Error, Position};

/// The number of a filter's output: 0 is the main one, 1 and up are its named outputs in the order of
/// [`crate::Filter::outputs`].
pub type Port = u16;

/// An event of a batch that cannot be processed. It goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Index of the event in the batch that the plugin received.
    pub event: usize,
    /// The problem: a lower-case sentence without a full stop.
    pub reason: String,
}

/// The outcome of one source batch: the worst of its events. The order is from best to worst.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Each event was delivered, or dropped on purpose.
    Delivered,
    /// No event is lost, but at least one is a dead letter, with this reason.
    Rejected(String),
    /// At least one event is neither: it will be read again, if the source can.
    Failed,
}

/// The attribute of a batch that says that the input of its partition was replaced. Attributes cross the C ABI unchanged.
const REPLACED_INPUT: &str = "tidegate.replaced_input";

type Done = Box<dyn FnOnce(Outcome) + Send>;

/// The result of one call of [`crate::Source::next`].
pub struct SourceBatch {
    /// The events.
    pub batch: Batch,
    /// Input that the source rejected while reading (a line over the limit): it goes to the dead letters.
    pub rejected: Vec<SourceRejection>,
    /// The handles with which the sink acknowledges the batch's entries: see [`crate::Cx::sink_acknowledges`].
    pub ack_handles: Option<AckHandles>,
    /// The client that sent the events, for a source that serves requests.
    pub client: Option<Client>,
    /// Called once, when every event of the batch has ended.
    pub done: Option<Done>,
}

/// Input that never became an event.
#[derive(Clone, Debug)]
pub struct SourceRejection {
    /// The part that is kept: all of it, or the beginning where it was too long.
    pub payload: Bytes,
    /// Its length in bytes, which may be more than the part that is kept.
    pub length: u64,
    /// The reason: a lower-case sentence without a full stop.
    pub reason: String,
}

impl SourceBatch {
    /// The same batch, with a function that is called once, from any thread, when all its events have ended. It must not
    /// block.
    #[must_use]
    pub fn on_done(mut self, done: impl FnOnce(Outcome) + Send + 'static) -> Self {
        self.done = Some(Box::new(done));
        self
    }

    /// The same batch, sent by this client.
    #[must_use]
    pub fn sent_by(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// The same batch, with the handles of its entries.
    #[must_use]
    pub fn with_ack_handles(mut self, handles: AckHandles) -> Self {
        self.ack_handles = Some(handles);
        self
    }

    /// A batch without events for a partition whose input was replaced: a file that is another one now, or was emptied.
    ///
    /// Events of a partition are numbered in the order of reading, and a transactional sink recognizes by that number the
    /// events that it has done. A source that cannot read the rest of the old input must therefore send this before the
    /// first event of the new input. The engine then continues with a number above every event that any sink has done of
    /// the old input. The partition resumes at `position`, the start of the new input.
    pub fn replaced_input(partition: impl Into<Arc<str>>, position: Position) -> Self {
        let attributes = Attributes::default().with(REPLACED_INPUT, AttributeValue::Boolean(true));
        let mut builder = Batch::builder().with_attributes(Arc::new(attributes));
        builder.set_partition(partition.into());
        builder.set_position(position);
        builder.finish().into()
    }

    /// Returns true for a [`replaced_input`](Self::replaced_input).
    pub fn is_replaced_input(&self) -> bool {
        let origin = &self.batch.runs()[0].origin;
        self.batch.is_empty() && origin.attributes.get(REPLACED_INPUT).is_some()
    }

    /// The same batch, with input that was rejected while reading.
    #[must_use]
    pub fn with_rejected(mut self, rejected: Vec<SourceRejection>) -> Self {
        self.rejected = rejected;
        self
    }
}

impl From<Batch> for SourceBatch {
    fn from(batch: Batch) -> Self {
        Self { batch, rejected: Vec::new(), ack_handles: None, client: None, done: None }
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

/// The result of a sink for a batch: every event is delivered, except those that are named here.
#[derive(Debug, Default)]
#[must_use = "it names the events that were not delivered"]
pub struct Delivery {
    rejected: Vec<Rejection>,
    retry: Option<(Vec<usize>, Error)>,
    failed: Vec<(usize, String)>,
    already_done: Vec<usize>,
}

impl Delivery {
    /// A delivery of every event.
    pub fn complete() -> Self {
        Self::default()
    }

    /// Rejects event `event`, which goes to the dead letters.
    pub fn reject(&mut self, event: usize, reason: impl Into<String>) {
        self.rejected.push(Rejection { event, reason: reason.into() });
    }

    /// Names events (in ascending order) that are not delivered; `error` says why, and when to retry them. A second call
    /// adds events, and the error of the first call stays.
    pub fn retry(&mut self, events: impl IntoIterator<Item = usize>, error: Error) {
        debug_assert!(error.class() != Class::Reject, "rejected events are named one by one");
        match &mut self.retry {
            Some((known, _)) => known.extend(events),
            None => self.retry = Some((events.into_iter().collect(), error)),
        }
    }

    /// Names an event that was tried alone and is not delivered, for a reason of its own. It is [retried](Self::retry) like
    /// the others, but its attempts are counted separately: when they are used up, it is rejected with this reason, and
    /// the others go on. Of several errors the first of these decides: a fatal one, the one with the longest pause, an
    /// ambiguous one, a misconfigured one. To be called in ascending order.
    pub fn failed(&mut self, event: usize, error: Error) {
        self.failed.push((event, error.message().to_owned()));
        match &mut self.retry {
            Some((known, first)) => {
                known.push(event);
                if weight(&error) > weight(first) {
                    *first = error;
                }
            }
            None => self.retry = Some((vec![event], error)),
        }
    }

    /// Takes the events that [failed](Self::failed) alone, with their reasons. For the engine.
    pub fn take_failed(&mut self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.failed)
    }

    /// Names an event that was not written, because another process was done with its entry before. It counts as delivered.
    /// Only for [`crate::AcknowledgingSink::ack_and_write`].
    pub fn already_done(&mut self, event: usize) {
        self.already_done.push(event);
    }

    /// The events that another process has done.
    pub fn events_already_done(&self) -> &[usize] {
        &self.already_done
    }

    /// The rejected events.
    pub fn rejected(&self) -> &[Rejection] {
        &self.rejected
    }

    /// The events to retry, and the reason.
    pub fn to_retry(&self) -> Option<(&[usize], &Error)> {
        self.retry.as_ref().map(|(events, error)| (events.as_slice(), error))
    }

    /// The rejected events and the events to retry. For the engine.
    pub fn into_parts(self) -> (Vec<Rejection>, Option<(Vec<usize>, Error)>) {
        (self.rejected, self.retry)
    }
}

/// Orders errors by their influence on the next attempt.
fn weight(error: &Error) -> (bool, Option<std::time::Duration>, u8) {
    let severity = match error.class() {
        Class::Ambiguous => 2,
        Class::Misconfigured => 1,
        _ => 0,
    };
    (error.class() == Class::Fatal, error.retry_after(), severity)
}

/// The attributes of a rejected event that leaves through `NAME.rejected`.
impl Attributes {
    /// The reason.
    pub const REASON: &'static str = "rejected_reason";
    /// The component that rejected it.
    pub const COMPONENT: &'static str = "rejected_by";
}
