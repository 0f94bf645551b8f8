//! A batch on its way through a topology, with the duty to answer for it.

use tidegate_sdk::{Batch, Outcome};

use crate::delivery::ack::AckToken;
use crate::metrics::component::ComponentMetrics;

/// A batch and the tokens that answer for its events: one for each of its runs.
pub(crate) struct TrackedBatch {
    batch: Batch,
    acks: Vec<AckToken>,
}

impl TrackedBatch {
    /// A batch fresh from a source; `settle` is called once when all its events have ended.
    pub(crate) fn root(batch: Batch, settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        debug_assert_eq!(batch.runs().len(), 1, "a source batch is one run");
        Self { batch, acks: vec![AckToken::root(settle)] }
    }

    /// Events that `token` answers for, all of one origin: the tree of that token waits for them.
    pub(crate) fn under(batch: Batch, token: &AckToken) -> Self {
        let acks = batch.runs().iter().map(|_| token.split()).collect();
        Self { batch, acks }
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The same events for another branch. The root waits for both.
    pub(crate) fn share(&self) -> Self {
        Self { batch: self.batch.clone(), acks: self.acks.iter().map(AckToken::split).collect() }
    }

    /// Events that were made from this parcel's events. The root waits for both.
    pub(crate) fn derive(&self, batch: Batch) -> Self {
        // The runs mostly stand in the order of those that they were made of, so the search goes on where the one
        // before it ended.
        let (known, mut from) = (self.batch.runs(), 0);
        let acks = batch.runs().iter().map(|run| {
            let same = |known: &tidegate_sdk::Run| std::sync::Arc::ptr_eq(&known.origin, &run.origin);
            let ahead = known[from..].iter().position(same).map(|at| from + at);
            let index = ahead.or_else(|| known[..from].iter().position(same));
            from = index.unwrap_or(from);
            // A filter can only derive batches from what it was given, so there always is one; were it not
            // so, the first token makes the events' fate that of the whole batch.
            self.acks[index.unwrap_or(0)].split()
        });
        let acks = acks.collect();
        Self { batch, acks }
    }

    /// The events with these indices.
    pub(crate) fn select(&self, events: impl IntoIterator<Item = usize>) -> Self {
        self.derive(self.batch.select(events))
    }

    /// One parcel of all the events of `parcels`, in order.
    pub(crate) fn merge(mut tracked_batches: Vec<Self>) -> Option<Self> {
        if tracked_batches.len() < 2 {
            return tracked_batches.pop();
        }
        let (batches, acks): (Vec<_>, Vec<_>) =
            tracked_batches.into_iter().map(|tracked| (tracked.batch, tracked.acks)).unzip();
        Some(Self { batch: Batch::concat(&batches), acks: acks.into_iter().flatten().collect() })
    }

    /// The events are safe at a sink, went on in parcels of their own, or were dropped on purpose.
    pub(crate) fn done(self) {
        self.acks.into_iter().for_each(AckToken::done);
    }

    /// The events are dropped, because nobody waits for their outcome any more.
    pub(crate) fn cancel(self, metrics: &ComponentMetrics) {
        metrics.cancelled(self.batch.len());
        tracing::debug!(component = metrics.name(), events = self.batch.len(), "dropped: the client is gone");
        self.done();
    }

    /// These events alone. The others are dropped, because nobody waits for their outcome any more.
    pub(crate) fn only(self, live: &[usize], metrics: &ComponentMetrics) -> Self {
        metrics.cancelled(self.batch.len() - live.len());
        let live = self.select(live.iter().copied());
        self.done();
        live
    }

    /// The events could not be processed, and are kept elsewhere or given up on purpose.
    pub(crate) fn rejected(self, reason: &str) {
        self.acks.into_iter().for_each(|ack| ack.rejected(reason));
    }
}
