//! What became of source batches whose entries a sink acknowledges: gathered until all of it is known, and then
//! settled together.
//!
//! An entry is acknowledged in one step with everything that was made of it. So the sink waits until each event
//! of the source batch has reached it, was dropped on purpose, or is a dead letter that is durable. That is
//! what the batch's ack tree tells: here its root is not the end of the batch, but what makes it due.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_sdk::{AckHandles, Batch, Outcome};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::delivery::ack::AckToken;
use crate::delivery::tracked_batch::TrackedBatch;

/// How many source batches may be on their way to one sink. A process that reads far ahead keeps from the other
/// processes of its group what they could be working on.
const BATCHES: usize = 8;

/// The source batches on their way to one sink.
pub(crate) struct AckCoordinator {
    gathered: Mutex<HashMap<Key, Vec<Batch>>>,
    room: Arc<Semaphore>,
    due: mpsc::Sender<CompletedBatch>,
    waiting: AsyncMutex<mpsc::Receiver<CompletedBatch>>,
}

/// The source and the number of a batch.
type Key = (Arc<str>, u64);

/// A place for one more batch, which it gives back when it has ended.
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// All that became of one source batch, to be settled by the sink. Dropped, it means that the batch failed.
pub(crate) struct CompletedBatch {
    /// The events that reached the sink; perhaps none.
    pub(crate) tracked: TrackedBatch,
    /// For each entry of the batch.
    pub(crate) ack_handles: AckHandles,
    /// Answers for the entries of which no event reached the sink.
    pub(crate) entries: AckToken,
}

impl AckCoordinator {
    pub(crate) fn new() -> Self {
        let (due, waiting) = mpsc::channel(BATCHES);
        let room = Arc::new(Semaphore::new(BATCHES));
        Self { gathered: Mutex::default(), room, due, waiting: AsyncMutex::new(waiting) }
    }

    /// Waits until another batch may be on its way.
    pub(crate) async fn room(&self) -> Room {
        let room = Arc::clone(&self.room).acquire_owned().await;
        Room { _permit: room.expect("the semaphore is never closed") }
    }

    /// A batch fresh from its source. `settle` is called once when the sink has settled it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        batch: Batch,
        ack_handles: AckHandles,
        room: Room,
        settle: impl FnOnce(Outcome) + Send + 'static,
    ) -> TrackedBatch {
        let origin = &batch.runs()[0].origin;
        let key = (Arc::clone(&origin.source), origin.sequence);
        self.gathered().insert(key.clone(), Vec::new());
        let coordinator = Arc::clone(self);
        let ended = move |outcome| {
            drop(room);
            settle(outcome);
        };
        TrackedBatch::root(batch, move |outcome| coordinator.known(&key, ack_handles, outcome, ended))
    }

    /// Events that reached the sink.
    pub(crate) fn gather(&self, tracked: TrackedBatch) {
        let batch = tracked.batch();
        let mut start = 0;
        for run in batch.runs() {
            let end = run.end as usize;
            let key = (Arc::clone(&run.origin.source), run.origin.sequence);
            if let Some(gathered) = self.gathered().get_mut(&key) {
                let whole = end - start == batch.len();
                gathered.push(if whole { batch.clone() } else { batch.select(start..end) });
            }
            start = end;
        }
        tracked.done();
    }

    /// Nothing more will become of a batch.
    fn known(
        &self,
        key: &Key,
        ack_handles: AckHandles,
        outcome: Outcome,
        ended: impl FnOnce(Outcome) + Send + 'static,
    ) {
        let mut gathered = self.gathered().remove(key).unwrap_or_default();
        let entries = AckToken::root(ended);
        match outcome {
            Outcome::Delivered => {}
            Outcome::Rejected(reason) => entries.split().rejected(&reason),
            Outcome::Failed => return,
        }
        let batch = match gathered.len() {
            1 => gathered.pop().unwrap_or_else(|| Batch::concat(&[])),
            _ => Batch::concat(&gathered),
        };
        let tracked = TrackedBatch::under(batch, &entries);
        // There is a place for each batch that has room. If nobody takes it, the sink is gone, and it fails.
        drop(self.due.try_send(CompletedBatch { tracked, ack_handles, entries }));
    }

    /// The next batch of which all is known; `None` once `idle` resolves: every batch has ended.
    pub(crate) async fn next(&self, idle: &CancellationToken) -> Option<CompletedBatch> {
        tokio::select! {
            biased;
            due = async { self.waiting.lock().await.recv().await } => due,
            () = idle.cancelled() => None,
        }
    }

    fn gathered(&self) -> MutexGuard<'_, HashMap<Key, Vec<Batch>>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
