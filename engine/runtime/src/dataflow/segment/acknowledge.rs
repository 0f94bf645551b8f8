//! A sink that acknowledges for its sources: it writes and acknowledges source batches one by one.

use std::sync::Arc;

use tidegate_config::BatchOptions;
use tidegate_sdk::{AckHandles, Batch, Class, Cx, Delivery, Error, Sink};
use tokio_stream::StreamExt;

use super::sink::{SinkWriter, all};
use crate::dataflow::context::SegmentContext;
use crate::dataflow::edge::EdgeReceiver;
use crate::dataflow::emission::remaining;
use crate::dataflow::failure::Failure;
use crate::dataflow::retry::RetryState;
use crate::dataflow::tasks::GraphTasks;
use crate::delivery::ack_coordinator::{AckCoordinator, CompletedBatch};
use crate::delivery::tracked_batch::TrackedBatch;

/// Runs the instances of a sink. Each acknowledges one completed source batch at a time.
pub(crate) async fn run(
    context: SegmentContext,
    writers: Vec<SinkWriter>,
    mut input: EdgeReceiver,
    (coordinator, options): (Arc<AckCoordinator>, BatchOptions),
    tasks: GraphTasks,
) -> Result<(), Failure> {
    for writer in writers {
        tasks.spawn(writer.acknowledge_all(Arc::clone(&coordinator), options));
    }
    loop {
        let tracked = tokio::select! {
            tracked = input.next() => tracked,
            () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
        };
        match tracked {
            Some(tracked) => coordinator.collect(tracked),
            None => return Ok(()),
        }
    }
}

impl SinkWriter {
    async fn acknowledge_all(
        mut self,
        coordinator: Arc<AckCoordinator>,
        options: BatchOptions,
    ) -> Result<(), Failure> {
        let Some(mut retry_state) = self.open().await? else { return Ok(()) };
        loop {
            let completed = tokio::select! {
                completed = coordinator.next(&self.context.idle) => completed,
                () = self.context.hard_stop().cancelled() => return Err(Failure::Stopped),
            };
            match completed {
                Some(completed) => {
                    let CompletedBatch { tracked, ack_handles, entries } = completed;
                    self.context.metrics.record_in(tracked.batch());
                    let mut elsewhere = 0;
                    for Piece { range, events } in pieces(tracked.batch(), ack_handles.range().end, &options)
                    {
                        let (piece, ack_handles) = (tracked.select(events), ack_handles.part(range));
                        elsewhere += self.acknowledge(&mut retry_state, piece, &ack_handles).await?;
                    }
                    self.context.already_done(elsewhere);
                    tracked.done();
                    entries.done();
                }
                None => return self.close().await,
            }
        }
    }

    /// Writes and acknowledges some entries of one source batch. Events that the sink rejects are durable dead letters before
    /// their entry is acknowledged. Returns the number of events that another process had done.
    async fn acknowledge(
        &mut self,
        retry_state: &mut RetryState,
        mut tracked: TrackedBatch,
        handles: &AckHandles,
    ) -> Result<usize, Failure> {
        loop {
            let delivery = loop {
                let context = &self.context;
                let busy = context.metrics.time_call();
                let written = tokio::select! {
                    written = ack_and_write(self.sink.as_mut(), tracked.batch(), handles, &context.cx) => written,
                    () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
                };
                drop(busy);
                match written {
                    Ok(delivery) => break delivery,
                    Err(error) if error.class() == Class::Reject => {
                        break rejected(&tracked, &error.to_string());
                    }
                    // Never given up: a try without an answer may have been done.
                    Err(error) => drop(retry_state.failed(&error).await?),
                }
            };
            let elsewhere = delivery.events_already_done().to_vec();
            let (bad, _) = delivery.into_parts();
            if bad.is_empty() {
                retry_state.succeeded();
                self.context.answer(tracked, Vec::new(), &elsewhere, 1).await?;
                return Ok(elsewhere.len());
            }
            let good = remaining(tracked.batch().len(), bad.iter().map(|rejection| rejection.event));
            let rest = tracked.select(good.iter().copied());
            self.context.answer(tracked, bad, &good, 1).await?;
            tracked = rest;
        }
    }
}

async fn ack_and_write(
    sink: &mut dyn Sink,
    batch: &Batch,
    handles: &AckHandles,
    cx: &Cx,
) -> Result<Delivery, Error> {
    sink.acknowledging()?.ack_and_write(batch, handles, cx).await
}

impl SegmentContext {
    /// Counts and logs events that another process had done.
    fn already_done(&self, events: usize) {
        if events > 0 {
            self.metrics.already_done(events);
            tracing::info!(component = self.metrics.name(), events, "another worker had done them");
        }
    }
}

fn rejected(tracked: &TrackedBatch, reason: &str) -> Delivery {
    let mut delivery = Delivery::complete();
    all(tracked, reason).into_iter().for_each(|one| delivery.reject(one.event, one.reason));
    delivery
}

/// Consecutive entries of a source batch, and the events that were made of them.
#[derive(Debug, PartialEq)]
struct Piece {
    range: std::ops::Range<usize>,
    /// Indices in the batch, in the order of their entries.
    events: Vec<usize>,
}

/// Cuts a completed source batch to the sink's size, never between two events of one entry.
fn pieces(batch: &Batch, entries: usize, options: &BatchOptions) -> Vec<Piece> {
    let mut events: Vec<usize> = (0..batch.len()).collect();
    events.sort_by_key(|event| batch.source_index(*event));
    let mut events = events.into_iter().peekable();
    let mut pieces = Vec::new();
    let (mut piece, mut bytes) = (Piece { range: 0..0, events: Vec::new() }, 0);
    for entry in 0..entries {
        let known = piece.events.len();
        while let Some(event) = events.next_if(|event| batch.source_index(*event) as usize == entry) {
            bytes += batch.payload(event).len();
            piece.events.push(event);
        }
        let is_full = piece.range.len() >= options.events
            || piece.events.len() > options.events
            || bytes > options.bytes.as_usize();
        if is_full && !piece.range.is_empty() {
            let own = piece.events.split_off(known);
            bytes = own.iter().map(|event| batch.payload(*event).len()).sum();
            pieces.push(std::mem::replace(&mut piece, Piece { range: entry..entry, events: own }));
        }
        piece.range.end = entry + 1;
    }
    if !piece.range.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_piece_ends_where_an_entry_does() {
        let batch = tidegate_testkit::batch(["aa", "bb", "cc", "dd", "ee"]).select([3, 1, 1, 0, 4]);
        let cut = |events, bytes| {
            let options =
                BatchOptions { events, bytes: tidegate_sdk::Size(bytes), ..BatchOptions::default() };
            pieces(&batch, 6, &options)
                .into_iter()
                .map(|piece| (piece.range, piece.events))
                .collect::<Vec<_>>()
        };
        assert_eq!(cut(100, 100), [(0..6, vec![3, 1, 2, 0, 4])]);
        assert_eq!(cut(3, 100), [(0..3, vec![3, 1, 2]), (3..6, vec![0, 4])]);
        assert_eq!(cut(100, 4), [(0..1, vec![3]), (1..3, vec![1, 2]), (3..6, vec![0, 4])]);
        assert_eq!(cut(1, 100).len(), 6, "an entry of which two events were made is longer");
    }

    proptest! {
        #[test]
        fn pieces_cover_every_entry_and_every_event(made in proptest::collection::vec(0_usize..4, 1..40), most in 1_usize..9) {
            let source = tidegate_testkit::batch(made.iter().map(|_| "x"));
            let kept: Vec<usize> = made.iter().enumerate().flat_map(|(at, count)| std::iter::repeat_n(at, *count)).collect();
            let batch = source.select(kept.into_iter().rev());
            let options = BatchOptions { events: most, ..BatchOptions::default() };
            let (mut entry, mut events) = (0, Vec::new());
            for piece in pieces(&batch, made.len(), &options) {
                prop_assert_eq!(piece.range.start, entry);
                prop_assert!(piece.range.len() == 1 || (piece.range.len() <= most && piece.events.len() <= most));
                prop_assert!(piece.events.iter().all(|event| piece.range.contains(&(batch.source_index(*event) as usize))));
                entry = piece.range.end;
                events.extend(piece.events);
            }
            events.sort_unstable();
            prop_assert_eq!(entry, made.len());
            prop_assert!(events.into_iter().eq(0..batch.len()));
        }
    }
}
