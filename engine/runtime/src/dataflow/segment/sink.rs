//! A sink: batches are cut to its size, written with retries, and acknowledged.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_config::RetryOptions;
use tidegate_sdk::{Claim, Class, Delivery, Error, Rejection, Sink};
use tokio::sync::{Mutex, mpsc};

use super::cutter::Cutter;
use crate::dataflow::context::SegmentContext;
use crate::dataflow::emission::{Emission, reject};
use crate::dataflow::failure::Failure;
use crate::dataflow::retry::{FailureCounts, RetryState};
use crate::dataflow::tasks::GraphTasks;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::status::Health;

/// An instance of a sink.
pub(crate) struct SinkWriter {
    pub(crate) context: SegmentContext,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) retry: RetryOptions,
    /// Claim of its lanes, if the graph is effectively once.
    pub(crate) claim: Claim,
}

/// Runs the instances of a sink, each with one write at a time. Several instances do not keep the order.
pub(crate) async fn run(
    context: SegmentContext,
    mut writers: Vec<SinkWriter>,
    cutter: Cutter,
    tasks: GraphTasks,
) -> Result<(), Failure> {
    match writers.pop() {
        Some(only) if writers.is_empty() => run_alone(only, cutter).await,
        last => run_together(context, writers.into_iter().chain(last), cutter, &tasks).await,
    }
}

async fn run_alone(mut writer: SinkWriter, mut cutter: Cutter) -> Result<(), Failure> {
    let Some(mut retry_state) = writer.open().await? else { return Ok(()) };
    while let Some(tracked) = cutter.next(&writer.context).await? {
        writer.write(&mut retry_state, tracked).await?;
    }
    writer.close().await
}

async fn run_together(
    context: SegmentContext,
    writers: impl Iterator<Item = SinkWriter>,
    mut cutter: Cutter,
    tasks: &GraphTasks,
) -> Result<(), Failure> {
    let (deal, waiting) = mpsc::channel::<TrackedBatch>(1);
    let waiting = Arc::new(Mutex::new(waiting));
    for mut writer in writers {
        let waiting = Arc::clone(&waiting);
        tasks.spawn(async move {
            let Some(mut retry_state) = writer.open().await? else { return Ok(()) };
            loop {
                let tracked = waiting.lock().await.recv().await;
                match tracked {
                    Some(tracked) => writer.write(&mut retry_state, tracked).await?,
                    None => return writer.close().await,
                }
            }
        });
    }
    drop(waiting);
    while let Some(tracked) = cutter.next(&context).await? {
        tokio::select! {
            sent = deal.send(tracked) => sent.map_err(|_| Failure::Stopped)?,
            () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
        }
    }
    Ok(())
}

impl SinkWriter {
    /// Opens the sink; `None` if the input ended before it was open.
    pub(super) async fn open(&mut self) -> Result<Option<RetryState>, Failure> {
        let context = &self.context;
        // Opening is tried without limit: there is no event yet that could be given up.
        let unlimited = RetryOptions { attempts: None, ..self.retry };
        let mut opening = RetryState::new(&unlimited, &context.metrics, &context.cx, &context.tasks);
        let opened = opening.open(&mut self.sink, &context.idle).await? && self.claim(&mut opening).await?;
        let context = &self.context;
        Ok(opened.then(|| RetryState::new(&self.retry, &context.metrics, &context.cx, &context.tasks)))
    }

    /// Writes a batch until each of its events is delivered or rejected.
    async fn write(&mut self, retry_state: &mut RetryState, tracked: TrackedBatch) -> Result<(), Failure> {
        self.context.metrics.record_in(tracked.batch());
        if let Some(sink_progress) = self.context.sink_progress.clone() {
            return self.commit(&sink_progress, retry_state, tracked).await;
        }
        let mut tracked = tracked;
        let mut counts = FailureCounts::new(tracked.batch().len());
        loop {
            let context = &self.context;
            if let Some(live) = tracked.batch().without_cancelled() {
                counts.select(&live);
                tracked = tracked.only(&live, &context.metrics);
                if live.is_empty() {
                    retry_state.gave_up();
                    tracked.done();
                    return Ok(());
                }
            }
            let busy = context.metrics.time_call();
            let written = tokio::select! {
                written = self.sink.write(tracked.batch(), &context.cx) => written,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            drop(busy);
            let WriteOutcome { rejected, left, error, alone, done } =
                classify(written, &tracked, &mut counts, retry_state);
            let attempts = if alone { counts.most() } else { retry_state.failures() + 1 };
            let nothing_delivered = alone && rejected.len() == tracked.batch().len();
            let rest = error.map(|error| (tracked.select(left.iter().copied()), error));
            context.answer(tracked, rejected, &left, attempts).await?;
            let Some((rest, error)) = rest else {
                if nothing_delivered {
                    retry_state.gave_up();
                } else {
                    retry_state.succeeded();
                }
                return Ok(());
            };
            counts.select(&left);
            if done {
                retry_state.progressed();
            }
            if alone {
                if counts.most() > 0 {
                    retry_state.pause_for(&error, rest.batch()).await?;
                }
                tracked = rest;
                continue;
            }
            if !retry_state.failed_for(&error, rest.batch()).await? {
                let reason = format!("given up after {attempts} tries: {error}");
                let rejected = all(&rest, &reason);
                return context.answer(rest, rejected, &[], attempts).await;
            }
            tracked = rest;
        }
    }

    pub(super) async fn close(mut self) -> Result<(), Failure> {
        let context = &self.context;
        let closed = tokio::select! {
            closed = self.sink.close(&context.cx) => closed,
            () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        if let Err(error) = closed {
            tracing::warn!(component = context.metrics.name(), "cannot be closed: {error}");
        }
        context.cx.tasks().joined().await;
        context.metrics.set_health(Health::Ended);
        Ok(())
    }
}

/// Outcome of one write.
struct WriteOutcome {
    rejected: Vec<Rejection>,
    /// The events to write again. `error` is the reason.
    left: Vec<usize>,
    error: Option<Error>,
    /// True if tries are counted for each event, because the sink named the events that failed.
    alone: bool,
    /// True if some events are done although others failed.
    done: bool,
}

/// Classifies the events of a batch by the result of a write. Events that failed and have used up their tries are rejected,
/// each with its own reason.
fn classify(
    written: Result<Delivery, Error>,
    tracked: &TrackedBatch,
    counts: &mut FailureCounts,
    retry_state: &RetryState,
) -> WriteOutcome {
    let everything = 0..tracked.batch().len();
    let (mut rejected, again, failed) = match written {
        Ok(mut delivery) => {
            let failed = delivery.take_failed();
            let (rejected, again) = delivery.into_parts();
            (rejected, again, failed)
        }
        Err(error) if error.class() == Class::Reject => (all(tracked, &error.to_string()), None, Vec::new()),
        Err(error) => (Vec::new(), Some((everything.clone().collect(), error)), Vec::new()),
    };
    let alone = !failed.is_empty();
    let (mut left, error) = again.map_or((Vec::new(), None), |(events, error)| (events, Some(error)));
    let given_up = counts.count(failed, retry_state.attempts());
    if !given_up.is_empty() {
        let events: HashSet<usize> = given_up.iter().map(|rejection| rejection.event).collect();
        left.retain(|event| !events.contains(event));
        rejected.extend(given_up);
    }
    let done = alone && left.len() < everything.len();
    let error = error.filter(|_| !left.is_empty());
    WriteOutcome { rejected, left, error, alone, done }
}

impl SegmentContext {
    /// Counts and acknowledges the events of a batch: some were rejected, those in `left` continue in a batch of their own, and
    /// the others are delivered.
    pub(super) async fn answer(
        &self,
        tracked: TrackedBatch,
        rejected: Vec<Rejection>,
        left: &[usize],
        attempts: u32,
    ) -> Result<(), Failure> {
        let away = left.iter().copied().chain(rejected.iter().map(|rejection| rejection.event));
        self.metrics.record_out_except(tracked.batch(), away);
        let refused = reject(self.node, &self.metrics, &tracked, rejected);
        tracked.done();
        match refused {
            Some(Emission::Rejected { node, tracked, reasons }) => {
                self.router.rejected(node, tracked, reasons, attempts).await
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn all(tracked: &TrackedBatch, reason: &str) -> Vec<Rejection> {
    (0..tracked.batch().len()).map(|event| Rejection { event, reason: reason.to_owned() }).collect()
}
