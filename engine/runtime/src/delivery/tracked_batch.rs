//! A batch on its way through a graph, with the tokens that answer for its events.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_sdk::{Batch, Origin, Outcome, Run};

use crate::delivery::ack::AckToken;
use crate::metrics::component::ComponentMetrics;

/// A batch and one ack token for each of its runs.
pub(crate) struct TrackedBatch {
    batch: Batch,
    acks: Vec<AckToken>,
}

impl TrackedBatch {
    /// Starts the ack tree of a batch that a source returned. `on_ended` is called once, when all its events have
    /// ended.
    pub(crate) fn root(batch: Batch, on_ended: impl FnOnce(Outcome) + Send + 'static) -> Self {
        debug_assert_eq!(batch.runs().len(), 1, "a source batch is one run");
        Self { batch, acks: vec![AckToken::root(on_ended)] }
    }

    /// Tracks a batch with tokens split from `token`, whose tree waits for all of them.
    pub(crate) fn under(batch: Batch, token: &AckToken) -> Self {
        let acks = batch.runs().iter().map(|_| token.split()).collect();
        Self { batch, acks }
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Copies the batch for another branch. The root waits for both.
    pub(crate) fn share(&self) -> Self {
        Self { batch: self.batch.clone(), acks: self.acks.iter().map(AckToken::split).collect() }
    }

    /// Tracks a batch that was made from this batch's events. The root waits for both.
    pub(crate) fn derive(&self, batch: Batch) -> Self {
        let mut runs = RunLookup::new(self.batch.runs());
        // A filter derives batches from its input only, so each run has a match. Without one, the first token makes
        // the fate of the run that of the whole batch.
        let acks = batch.runs().iter().map(|run| self.acks[runs.find(&run.origin).unwrap_or(0)].split());
        let acks = acks.collect();
        Self { batch, acks }
    }

    /// Tracks the events with these indices as a batch of their own.
    pub(crate) fn select(&self, events: impl IntoIterator<Item = usize>) -> Self {
        self.derive(self.batch.select(events))
    }

    /// Merges batches into one, in order.
    pub(crate) fn merge(mut parts: Vec<Self>) -> Option<Self> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let (batches, acks): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.batch, part.acks)).unzip();
        Some(Self { batch: Batch::concat(&batches), acks: acks.into_iter().flatten().collect() })
    }

    /// Answers that the events are safe at a sink, continue in derived batches, or were dropped on purpose.
    pub(crate) fn done(self) {
        self.acks.into_iter().for_each(AckToken::done);
    }

    /// Drops all events because their clients are gone.
    pub(crate) fn cancel(self, metrics: &ComponentMetrics) {
        metrics.cancelled(self.batch.len());
        tracing::debug!(component = metrics.name(), events = self.batch.len(), "dropped: the client is gone");
        self.done();
    }

    /// Keeps the events with the indices in `live`, and drops the others because their clients are gone.
    pub(crate) fn only(self, live: &[usize], metrics: &ComponentMetrics) -> Self {
        metrics.cancelled(self.batch.len() - live.len());
        let live = self.select(live.iter().copied());
        self.done();
        live
    }

    /// Answers that the events could not be processed, and are dead letters or were dropped on purpose.
    pub(crate) fn rejected(self, reason: &str) {
        self.acks.into_iter().for_each(|ack| ack.rejected(reason));
    }
}

/// Lookup of runs by their origin, in constant time for each.
///
/// Derived runs mostly follow the order of their input, so the next run is compared first. The table is built at the
/// first run that is elsewhere.
struct RunLookup<'a> {
    runs: &'a [Run],
    next: usize,
    table: Option<HashMap<*const Origin, usize>>,
    /// Runs that were looked at.
    #[cfg(test)]
    steps: usize,
}

impl<'a> RunLookup<'a> {
    fn new(runs: &'a [Run]) -> Self {
        Self {
            runs,
            next: 0,
            table: None,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// The index of a run with this origin. Runs of one origin are of one ack tree, so any of them will do.
    fn find(&mut self, origin: &Arc<Origin>) -> Option<usize> {
        for index in [self.next, self.next + 1] {
            #[cfg(test)]
            {
                self.steps += 1;
            }
            if self.runs.get(index).is_some_and(|run| Arc::ptr_eq(&run.origin, origin)) {
                self.next = index;
                return Some(index);
            }
        }
        if self.table.is_none() {
            #[cfg(test)]
            {
                self.steps += self.runs.len();
            }
            let entry = |(index, run): (usize, &Run)| (Arc::as_ptr(&run.origin), index);
            self.table = Some(self.runs.iter().enumerate().map(entry).collect());
        }
        let index = self.table.as_ref()?.get(&Arc::as_ptr(origin)).copied()?;
        self.next = index;
        Some(index)
    }
}

#[cfg(test)]
mod tests;
