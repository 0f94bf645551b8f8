//! From requests to batches: the queue in which requests wait for the pipeline, and how they leave it.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_sdk::{Attributes, BATCH_BYTES, BATCH_EVENTS, Batch, Client, Outcome, SourceBatch, Span};
use tokio::sync::{mpsc, oneshot};

use super::answer::Refusal;
use super::decode::Decoded;
use crate::budget::Reserved;

/// A request that waits for the pipeline to take its events.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) decoded: Decoded,
    pub(super) attributes: Arc<Attributes>,
    /// Where its outcome is told; `None` if nobody waits for it.
    pub(super) share: Option<Share>,
    /// The client, as the engine knows it.
    pub(super) client: Client,
    /// Its part of the budget, given back when the pipeline has taken it.
    pub(super) _reserved: Reserved,
}

/// The way into the queue, until it is closed.
#[derive(Debug)]
pub(super) struct Intake(Mutex<Option<mpsc::Sender<Waiting>>>);

/// The right of one request to be queued, even if the intake closes while its body is read.
#[derive(Debug)]
pub(super) struct Entry(mpsc::Sender<Waiting>);

/// The way out of the queue.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) queue: mpsc::Receiver<Waiting>,
    /// A request that is more than one batch, and how many of its events are gone.
    rest: Option<(Waiting, usize)>,
}

/// A queue for `limit` requests.
pub(super) fn queue(limit: usize) -> (Intake, Handover) {
    let (sender, queue) = mpsc::channel(limit);
    (Intake(Mutex::new(Some(sender))), Handover { queue, rest: None })
}

impl Intake {
    /// Lets a request in whose body is to be read.
    pub(super) fn enter(&self) -> Result<Entry, Refusal> {
        let sender = self.0.lock().clone();
        match sender {
            None => Err(Refusal::stopping()),
            Some(sender) if sender.capacity() == 0 => Err(full()),
            Some(sender) => Ok(Entry(sender)),
        }
    }

    /// Lets no more in. The queue ends when those that were let in have been queued.
    pub(super) fn close(&self) {
        drop(self.0.lock().take());
    }

    /// Whether requests are let in.
    pub(super) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }
}

impl Entry {
    pub(super) fn queue(self, waiting: Waiting) -> Result<(), Refusal> {
        self.0.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => Refusal::stopping(),
        })
    }
}

fn full() -> Refusal {
    Refusal::unavailable("as many requests wait for the pipeline as may; try again later")
}

impl Handover {
    /// The next batch of a request that was handed over in part. The rest of one whose client is gone is dropped.
    pub(super) fn rest(&mut self) -> Option<SourceBatch> {
        let (waiting, from) = self.rest.take()?;
        (!waiting.client.is_gone()).then(|| self.one(waiting, from))
    }

    /// The batch that begins with `first`. Requests whose outcome nobody waits for share a batch with those
    /// behind them.
    pub(super) fn batch(&mut self, first: Waiting) -> SourceBatch {
        if first.share.is_some() || !fits(&first, 0, 0) {
            return self.one(first, 0);
        }
        match self.queue.try_recv() {
            Ok(second) => self.merged(first, second),
            Err(_) => self.one(first, 0),
        }
    }

    /// The events of one request from number `from` on, or as many as are one batch.
    fn one(&mut self, waiting: Waiting, from: usize) -> SourceBatch {
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
        let share = waiting.share.as_ref().map(Share::another);
        if !is_last {
            self.rest = Some((waiting, taken));
        } else if let Some(share) = waiting.share {
            share.settle(Outcome::Delivered);
        }
        match share {
            Some(share) => batch.on_done(move |outcome| share.settle(outcome)),
            None => batch,
        }
    }

    /// Both, and what waits behind them, as long as it is one batch. Each event has its request's attributes.
    fn merged(&mut self, first: Waiting, second: Waiting) -> SourceBatch {
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
            next = match builder.is_full() {
                true => second.take(),
                false => second.take().or_else(|| self.queue.try_recv().ok()),
            };
        }
        SourceBatch::from(builder.finish()).sent_by(Client::answered())
    }
}

/// Whether the events of `waiting` fit into a batch beside so many.
fn fits(waiting: &Waiting, events: usize, bytes: usize) -> bool {
    events + waiting.decoded.events.spans().len() <= BATCH_EVENTS
        && bytes + waiting.decoded.body.len() <= BATCH_BYTES
}

/// One of those who tell how a request ended. The worst of what they tell is sent when the last is gone; one
/// that is gone without a word has failed.
#[derive(Debug)]
pub(super) struct Share {
    reply: Arc<Reply>,
    told: bool,
}

#[derive(Debug)]
struct Reply {
    sender: Option<oneshot::Sender<Outcome>>,
    worst: Mutex<Outcome>,
}

impl Share {
    /// The first share, and where the outcome arrives.
    pub(super) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        let reply = Reply { sender: Some(sender), worst: Mutex::new(Outcome::Delivered) };
        (Self { reply: Arc::new(reply), told: false }, receiver)
    }

    fn another(&self) -> Self {
        Self { reply: Arc::clone(&self.reply), told: false }
    }

    fn settle(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        self.told = true;
        let mut worst = self.reply.worst.lock();
        if outcome > *worst {
            *worst = outcome;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Outcome::Failed);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let worst = self.worst.get_mut();
        let outcome = std::mem::replace(worst, Outcome::Failed);
        if let Some(sender) = self.sender.take() {
            // Whoever waited may be gone: the client left, or its time was up.
            let _ = sender.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
