//! Commits of a transactional sink: each batch is written together with the record of its lane.

use std::collections::BTreeMap;

use tidegate_sdk::{Batch, Claim, Class, Cx, Delivery, Error, Lane, Record, Rejection, Sink};

use super::sink::{SinkWriter, all};
use crate::dataflow::emission::remaining;
use crate::dataflow::failure::Failure;
use crate::dataflow::retry::RetryState;
use crate::delivery::sink_progress::SinkProgress;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

impl SinkWriter {
    /// Claims the sink's lanes, if the graph is effectively once. Returns false if the input ended first.
    pub(super) async fn claim(&mut self, retry_state: &mut RetryState) -> Result<bool, Failure> {
        let context = &self.context;
        let Some(sink_progress) = &context.sink_progress else { return Ok(true) };
        loop {
            let claimed = tokio::select! {
                claimed = claim(self.sink.as_mut(), &self.claim, &context.cx) => claimed,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
                () = context.idle.cancelled() => return Ok(false),
            };
            match claimed {
                Ok(records) => {
                    sink_progress.claimed(context.metrics.name(), records);
                    context.metrics.set_health(Health::Ready);
                    return Ok(true);
                }
                Err(error) => {
                    retry_state.failed(&error).await?;
                }
            }
        }
    }

    /// Commits a batch of one lane, with the record of the lane.
    pub(super) async fn commit(
        &mut self,
        sink_progress: &SinkProgress,
        retry_state: &mut RetryState,
        tracked: TrackedBatch,
    ) -> Result<(), Failure> {
        let metrics = std::sync::Arc::clone(&self.context.metrics);
        let name = metrics.name();
        let origin = &tracked.batch().origin(0);
        let lane = Lane { source: origin.source.clone(), partition: origin.partition.clone() };
        let Some(tracked) = not_done(tracked, sink_progress.done_when_claimed(name, &lane)) else {
            return Ok(());
        };
        if number(tracked.batch(), 0) < sink_progress.done(name, &lane) {
            let reason = "events come out of order, or one event in several batches, so a record cannot say \
                          which are done";
            return Err(Failure::fatal(name, reason));
        }
        let record = record(tracked.batch());
        let mut tracked = tracked;
        loop {
            let rejected = self.commit_until_answered(retry_state, &tracked, &lane, &record).await?;
            if rejected.is_empty() {
                sink_progress.committed(name, &lane, record.done);
                retry_state.succeeded();
                return self.context.answer(tracked, Vec::new(), &[], 1).await;
            }
            // Nothing was written. The rejected events become dead letters, and the others are committed.
            let good = remaining(tracked.batch().len(), rejected.iter().map(|rejection| rejection.event));
            let rest = tracked.select(good.iter().copied());
            self.context.answer(tracked, rejected, &good, 1).await?;
            tracked = rest;
        }
    }

    /// Commits until the sink answers. Returns the events that it rejects, in which case nothing was written.
    async fn commit_until_answered(
        &mut self,
        retry_state: &mut RetryState,
        tracked: &TrackedBatch,
        lane: &Lane,
        record: &Record,
    ) -> Result<Vec<Rejection>, Failure> {
        loop {
            let context = &self.context;
            let busy = context.metrics.time_call();
            let committed = tokio::select! {
                committed = commit(self.sink.as_mut(), tracked.batch(), (lane, record), &context.cx) => committed,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let error = match committed {
                Ok(delivery) => match Delivery::into_parts(delivery) {
                    (rejected, None) => return Ok(rejected),
                    (_, Some((_, error))) => error,
                },
                Err(error) if error.class() == Class::Reject => return Ok(all(tracked, &error.to_string())),
                Err(error) => error,
            };
            let tried = retry_state.failures() + 1;
            if !retry_state.failed(&error).await? {
                let reason = format!("given up after {tried} tries: {error}");
                return Ok(all(tracked, &reason));
            }
        }
    }
}

async fn claim(sink: &mut dyn Sink, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
    sink.transactional()?.claim(claim, cx).await
}

async fn commit(
    sink: &mut dyn Sink,
    batch: &Batch,
    (lane, record): (&Lane, &Record),
    cx: &Cx,
) -> Result<Delivery, Error> {
    sink.transactional()?.commit(batch, lane, record, cx).await
}

/// The number of an event within its partition.
fn number(batch: &Batch, event: usize) -> u64 {
    batch.origin(event).first + u64::from(batch.source_index(event))
}

/// Selects the events from number `done` on. The others were done before this process started.
fn not_done(tracked: TrackedBatch, done: u64) -> Option<TrackedBatch> {
    let count = tracked.batch().len();
    let first = (0..count).find(|event| number(tracked.batch(), *event) >= done);
    match first {
        Some(0) => Some(tracked),
        Some(first) => {
            let rest = tracked.select(first..count);
            tracked.done();
            Some(rest)
        }
        None => {
            tracked.done();
            None
        }
    }
}

/// The record of the lane after these events.
fn record(batch: &Batch) -> Record {
    let last = batch.len() - 1;
    let origin = batch.origin(last);
    let done = number(batch, last) + 1;
    match (&origin.position, done == origin.first + u64::from(origin.events)) {
        (Some(position), true) => Record { position: Some(position.clone()), base: done, done },
        _ => Record { position: origin.before.clone(), base: origin.first, done },
    }
}
