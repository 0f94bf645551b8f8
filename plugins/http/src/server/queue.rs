//! The queue of requests that wait for the pipeline, and the batches made of them.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_sdk::{Attributes, BATCH_BYTES, BATCH_EVENTS, Batch, Client, Outcome, SourceBatch, Span};
use tokio::sync::{mpsc, oneshot};

use super::decode::Decoded;
use super::response::ErrorResponse;
use crate::budget::Reservation;

/// A request that waits for the pipeline.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) decoded: Decoded,
    pub(super) attributes: Arc<Attributes>,
    /// Receives the outcome; `None` if the client does not wait for it.
    pub(super) share: Option<OutcomeShare>,
    /// The client, as the engine knows it.
    pub(super) client: Client,
    /// The reservation in the budget, returned when the pipeline takes the request.
    pub(super) _reserved: Reservation,
}

/// The sending end of the queue, until it is closed.
#[derive(Debug)]
pub(super) struct RequestQueue(Mutex<Option<mpsc::Sender<QueuedRequest>>>);

/// The permission to queue one request, even if the queue closes while its body is read.
#[derive(Debug)]
pub(super) struct QueueEntry(mpsc::Sender<QueuedRequest>);

/// The receiving end of the queue, which makes batches.
#[derive(Debug)]
pub(super) struct BatchReader {
    pub(super) receiver: mpsc::Receiver<QueuedRequest>,
    /// A request of more than one batch, and the number of its events that were emitted.
    rest: Option<(QueuedRequest, usize)>,
}

/// Makes a queue for `limit` requests.
pub(super) fn channel(limit: usize) -> (RequestQueue, BatchReader) {
    let (sender, receiver) = mpsc::channel(limit);
    (RequestQueue(Mutex::new(Some(sender))), BatchReader { receiver, rest: None })
}

impl RequestQueue {
    /// Admits a request whose body is about to be read.
    pub(super) fn enter(&self) -> Result<QueueEntry, ErrorResponse> {
        let sender = self.0.lock().clone();
        match sender {
            None => Err(ErrorResponse::stopping()),
            Some(sender) if sender.capacity() == 0 => Err(full()),
            Some(sender) => Ok(QueueEntry(sender)),
        }
    }

    /// Admits no more requests. The queue ends when the admitted ones have been queued.
    pub(super) fn close(&self) {
        drop(self.0.lock().take());
    }

    /// Returns whether requests are admitted.
    pub(super) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }
}

impl QueueEntry {
    pub(super) fn push(self, waiting: QueuedRequest) -> Result<(), ErrorResponse> {
        self.0.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => ErrorResponse::stopping(),
        })
    }
}

fn full() -> ErrorResponse {
    ErrorResponse::unavailable("too many requests wait for the pipeline; try again later")
}

impl BatchReader {
    /// Returns the next batch of a request that was emitted in part. The rest is dropped if its client has left.
    pub(super) fn rest(&mut self) -> Option<SourceBatch> {
        let (waiting, from) = self.rest.take()?;
        (!waiting.client.is_gone()).then(|| self.one(waiting, from))
    }

    /// Returns the batch that begins with `first`. Requests whose clients do not wait share a batch with the requests
    /// after them.
    pub(super) fn batch(&mut self, first: QueuedRequest) -> SourceBatch {
        if first.share.is_some() || !fits(&first, 0, 0) {
            return self.one(first, 0);
        }
        match self.receiver.try_recv() {
            Ok(second) => self.merged(first, second),
            Err(_) => self.one(first, 0),
        }
    }

    /// Returns the events of one request from number `from` on, as many as fit into a batch.
    fn one(&mut self, waiting: QueuedRequest, from: usize) -> SourceBatch {
        let mut builder = Batch::builder().with_attributes(Arc::clone(&waiting.attributes));
        let buffer = builder.add_buffer(waiting.decoded.body.clone());
        let spans = waiting.decoded.events.spans();
        for span in &spans[from..] {
            builder.push_span(Span { buffer, ..*span });
            if builder.is_full() {
                break;
            }
        }
        let taken = from + builder.len();
        let is_last = taken == spans.len();
        let batch = SourceBatch::from(builder.finish()).sent_by(waiting.client.clone());
        let share = waiting.share.as_ref().map(OutcomeShare::another);
        if !is_last {
            self.rest = Some((waiting, taken));
        } else if let Some(share) = waiting.share {
            share.finish(Outcome::Delivered);
        }
        match share {
            Some(share) => batch.on_done(move |outcome| share.finish(outcome)),
            None => batch,
        }
    }

    /// Merges both requests and those after them, as many as fit into a batch. Each event has its request's attributes.
    fn merged(&mut self, first: QueuedRequest, second: QueuedRequest) -> SourceBatch {
        let mut builder = Batch::builder();
        let mut next = Some(first);
        let mut second = Some(second);
        while let Some(waiting) = next {
            if !fits(&waiting, builder.len(), builder.bytes()) {
                self.rest = Some((waiting, 0));
                break;
            }
            let buffer = builder.add_buffer(waiting.decoded.body);
            for span in waiting.decoded.events.spans() {
                builder.push_span(Span { buffer, ..*span });
                builder.attributes(Arc::clone(&waiting.attributes));
            }
            next = if builder.is_full() {
                second.take()
            } else {
                second.take().or_else(|| self.receiver.try_recv().ok())
            };
        }
        SourceBatch::from(builder.finish()).sent_by(Client::answered())
    }
}

/// Returns whether the events of a request fit into a batch with this number of events and bytes.
fn fits(waiting: &QueuedRequest, events: usize, bytes: usize) -> bool {
    events + waiting.decoded.events.spans().len() <= BATCH_EVENTS
        && bytes + waiting.decoded.body.len() <= BATCH_BYTES
}

/// A share in the outcome of a request. When the last share is gone, the worst of the outcomes is sent. A share that is
/// dropped without an outcome has failed.
#[derive(Debug)]
pub(super) struct OutcomeShare {
    reply: Arc<Reply>,
    is_recorded: bool,
}

#[derive(Debug)]
struct Reply {
    sender: Option<oneshot::Sender<Outcome>>,
    worst: Mutex<Outcome>,
}

impl OutcomeShare {
    /// Returns the first share, and the receiver of the outcome.
    pub(super) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        let reply = Reply { sender: Some(sender), worst: Mutex::new(Outcome::Delivered) };
        (Self { reply: Arc::new(reply), is_recorded: false }, receiver)
    }

    fn another(&self) -> Self {
        Self { reply: Arc::clone(&self.reply), is_recorded: false }
    }

    fn finish(mut self, outcome: Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: Outcome) {
        self.is_recorded = true;
        let mut worst = self.reply.worst.lock();
        if outcome > *worst {
            *worst = outcome;
        }
    }
}

impl Drop for OutcomeShare {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.record(Outcome::Failed);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let worst = self.worst.get_mut();
        let outcome = std::mem::replace(worst, Outcome::Failed);
        if let Some(sender) = self.sender.take() {
            // The receiver may be gone: the client left, or its time limit passed.
            let _ = sender.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
