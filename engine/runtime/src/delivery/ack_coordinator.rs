//! Coordinator of acknowledgements: collects everything that was made of a source batch, until the sink can acknowledge it.
//!
//! An entry of the input is acknowledged in one transaction with everything that was made of it. So the sink waits until
//! each event of the source batch has reached it, was dropped on purpose, or is a durable dead letter. The ack tree of the
//! batch reports that: here the end of its root does not end the batch, but completes it for the sink.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tidegate_sdk::{AckHandles, Batch, Outcome};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::delivery::ack::AckToken;
use crate::delivery::tracked_batch::TrackedBatch;

/// The largest number of source batches in flight to one sink. A process that reads far ahead takes work from the other
/// processes of its group.
const BATCHES: usize = 8;

/// Coordinator of the source batches in flight to one sink.
pub(crate) struct AckCoordinator {
    collected: Mutex<HashMap<Key, Vec<Batch>>>,
    permits: Arc<Semaphore>,
    completed: mpsc::Sender<CompletedBatch>,
    queue: AsyncMutex<mpsc::Receiver<CompletedBatch>>,
}

/// The source and the number of a batch.
type Key = (Arc<str>, u64);

/// Permit of one batch in flight, released when the batch has ended.
pub(crate) struct InFlightPermit {
    _permit: OwnedSemaphorePermit,
}

/// Everything that was made of one source batch, for the sink to acknowledge. Dropping it fails the batch.
pub(crate) struct CompletedBatch {
    /// The events that reached the sink, if any.
    pub(crate) tracked: TrackedBatch,
    /// A handle for each entry of the batch.
    pub(crate) ack_handles: AckHandles,
    /// Answers for the entries of which no event reached the sink.
    pub(crate) entries: AckToken,
}

impl AckCoordinator {
    pub(crate) fn new() -> Self {
        let (completed, queue) = mpsc::channel(BATCHES);
        let permits = Arc::new(Semaphore::new(BATCHES));
        Self { collected: Mutex::default(), permits, completed, queue: AsyncMutex::new(queue) }
    }

    /// Waits until another batch may be in flight.
    pub(crate) async fn admit(&self) -> InFlightPermit {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        InFlightPermit { _permit: permit.expect("the semaphore is never closed") }
    }

    /// Starts to collect for a batch that a source returned. `on_ended` is called once, after the sink has acknowledged it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        batch: Batch,
        ack_handles: AckHandles,
        permit: InFlightPermit,
        on_ended: impl FnOnce(Outcome) + Send + 'static,
    ) -> TrackedBatch {
        let origin = &batch.runs()[0].origin;
        let key = (Arc::clone(&origin.source), origin.sequence);
        self.collected().insert(key.clone(), Vec::new());
        let all = Arc::clone(self);
        let ended = move |outcome| {
            drop(permit);
            on_ended(outcome);
        };
        TrackedBatch::root(batch, move |outcome| all.complete(&key, ack_handles, outcome, ended))
    }

    /// Collects events that reached the sink.
    pub(crate) fn collect(&self, tracked: TrackedBatch) {
        let batch = tracked.batch();
        let mut start = 0;
        for run in batch.runs() {
            let end = run.end as usize;
            let key = (Arc::clone(&run.origin.source), run.origin.sequence);
            if let Some(collected) = self.collected().get_mut(&key) {
                let whole = end - start == batch.len();
                collected.push(if whole { batch.clone() } else { batch.select(start..end) });
            }
            start = end;
        }
        tracked.done();
    }

    /// Completes a batch: nothing more will be made of it.
    fn complete(
        &self,
        key: &Key,
        ack_handles: AckHandles,
        outcome: Outcome,
        ended: impl FnOnce(Outcome) + Send + 'static,
    ) {
        let mut collected = self.collected().remove(key).unwrap_or_default();
        let entries = AckToken::root(ended);
        match outcome {
            Outcome::Delivered => {}
            Outcome::Rejected(reason) => entries.split().rejected(&reason),
            Outcome::Failed => return,
        }
        let batch = match collected.len() {
            1 => collected.pop().unwrap_or_else(|| Batch::concat(&[])),
            _ => Batch::concat(&collected),
        };
        let tracked = TrackedBatch::under(batch, &entries);
        // The queue has a slot for each permit. If the sink is gone, the batch is dropped and fails.
        drop(self.completed.try_send(CompletedBatch { tracked, ack_handles, entries }));
    }

    /// The next completed batch; `None` when `idle` is cancelled, because every batch has ended then.
    pub(crate) async fn next(&self, idle: &CancellationToken) -> Option<CompletedBatch> {
        tokio::select! {
            biased;
            completed = async { self.queue.lock().await.recv().await } => completed,
            () = idle.cancelled() => None,
        }
    }

    fn collected(&self) -> MutexGuard<'_, HashMap<Key, Vec<Batch>>> {
        self.collected.lock()
    }
}

#[cfg(test)]
mod tests;
