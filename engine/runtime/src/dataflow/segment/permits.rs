//! How many events a filter works on at once, in several batches.

use std::sync::Arc;

use tidegate_sdk::Batch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dataflow::context::SegmentContext;
use crate::dataflow::failure::Failure;

/// One batch's part of the events that a filter works on at once.
#[derive(Default)]
pub(super) struct EventPermits {
    events: Option<(Arc<Semaphore>, u32)>,
    permit: Option<OwnedSemaphorePermit>,
}

impl EventPermits {
    /// Waits until the events of `batch` may be worked on. A batch of more events than `all` has all of them.
    pub(super) async fn take(
        context: &SegmentContext,
        events: &Arc<Semaphore>,
        all: usize,
        batch: &Batch,
    ) -> Result<Self, Failure> {
        let count = batch.len().clamp(1, all) as u32;
        let mut share = Self { events: Some((Arc::clone(events), count)), permit: None };
        share.resume(context).await?;
        Ok(share)
    }

    /// Lets others work while this batch pauses before another try. Only a request is put aside like that, because
    /// its time is limited: a server that is down would otherwise be asked about ever more batches of a file.
    pub(super) fn pause(&mut self, batch: &Batch) {
        if batch.is_awaited() {
            self.permit = None;
        }
    }

    /// Waits until it is this batch's turn again, if it was put aside.
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
