//! Permits for the events that a filter works on at once, in several batches.

use std::sync::Arc;

use tidegate_sdk::Batch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dataflow::context::SegmentContext;
use crate::dataflow::failure::Failure;

/// Permits of one batch.
#[derive(Default)]
pub(super) struct EventPermits {
    events: Option<(Arc<Semaphore>, u32)>,
    permit: Option<OwnedSemaphorePermit>,
}

impl EventPermits {
    /// Waits for permits for the events of `batch`. A batch of more events than `all` takes all permits.
    pub(super) async fn take(
        context: &SegmentContext,
        events: &Arc<Semaphore>,
        all: usize,
        batch: &Batch,
    ) -> Result<Self, Failure> {
        let count = batch.len().clamp(1, all) as u32;
        let mut permits = Self { events: Some((Arc::clone(events), count)), permit: None };
        permits.resume(context).await?;
        Ok(permits)
    }

    /// Returns the permits while this batch pauses between tries. Only a request does that, because its time is limited:
    /// otherwise a server that is down would receive ever more batches of a file.
    pub(super) fn pause(&mut self, batch: &Batch) {
        if batch.is_awaited() {
            self.permit = None;
        }
    }

    /// Waits for the permits again, if they were returned.
    pub(super) async fn resume(&mut self, context: &SegmentContext) -> Result<(), Failure> {
        if let (Some((events, count)), None) = (&self.events, &self.permit) {
            let permit = tokio::select! {
                permit = Arc::clone(events).acquire_many_owned(*count) => permit,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            self.permit = Some(permit.expect("the semaphore is never closed"));
        }
        Ok(())
    }
}
