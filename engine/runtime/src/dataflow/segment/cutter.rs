//! Cutter: cuts and merges batches to a sink's size.

use std::time::Instant;

use tidegate_config::BatchOptions;
use tokio_stream::StreamExt;

use crate::dataflow::context::SegmentContext;
use crate::dataflow::edge::EdgeReceiver;
use crate::dataflow::failure::Failure;
use crate::delivery::tracked_batch::TrackedBatch;

/// Cutter of the batches of one edge.
pub(crate) struct Cutter {
    input: EdgeReceiver,
    options: BatchOptions,
    /// True if a batch holds one lane only, and never ends between two events of one source event. A sink that commits
    /// records needs both.
    one_lane: bool,
    /// A batch that was received and did not fit the one before.
    left: Option<TrackedBatch>,
}

impl Cutter {
    pub(crate) fn new(input: EdgeReceiver, options: BatchOptions, one_lane: bool) -> Self {
        Self { input, options, one_lane, left: None }
    }

    /// Returns the next batch: everything in the edge up to the sink's size, and with a `linger` also what arrives within
    /// that time.
    pub(crate) async fn next(&mut self, context: &SegmentContext) -> Result<Option<TrackedBatch>, Failure> {
        let since = Instant::now();
        let first = match self.left.take() {
            Some(left) => Some(left),
            None => tokio::select! {
                tracked = self.input.next() => tracked,
                () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
            },
        };
        context.metrics.waited_upstream(since);
        let Some(first) = first else { return Ok(None) };
        let first = self.cut(first);
        let (mut events, mut bytes) = (first.batch().len(), first.batch().bytes());
        let mut parts = vec![first];
        let until = tokio::time::Instant::now() + *self.options.linger;
        while self.left.is_none() && events < self.options.events && bytes < self.options.bytes.as_usize() {
            let more = match self.input.ready() {
                Some(more) => Some(more),
                None if self.options.linger.is_zero() || context.cx.is_stopping() => None,
                None => tokio::select! {
                    more = self.input.next() => more,
                    () = tokio::time::sleep_until(until) => None,
                    () = context.cx.stopping() => None,
                    () = context.hard_stop().cancelled() => return Err(Failure::Stopped),
                },
            };
            let Some(more) = more else { break };
            let fits = (!self.one_lane || same_lane(&parts[0], &more))
                && events + more.batch().len() <= self.options.events
                && bytes + more.batch().bytes() <= self.options.bytes.as_usize();
            if fits {
                events += more.batch().len();
                bytes += more.batch().bytes();
                parts.push(more);
            } else {
                self.left = Some(more);
            }
        }
        Ok(TrackedBatch::merge(parts))
    }

    /// Cuts off the first part, within the sink's size. The rest is kept for the next batch.
    fn cut(&mut self, tracked: TrackedBatch) -> TrackedBatch {
        let batch = tracked.batch();
        let limit = self.options.bytes.as_usize();
        if batch.len() <= self.options.events && (batch.bytes() <= limit || batch.len() == 1) {
            return tracked;
        }
        let (mut end, mut bytes) = (0, 0);
        for payload in batch.payloads().take(self.options.events) {
            bytes += payload.len();
            if end > 0 && bytes > limit {
                break;
            }
            end += 1;
        }
        while self.one_lane && end < batch.len() && batch.source_index(end) == batch.source_index(end - 1) {
            end += 1;
        }
        if end == batch.len() {
            return tracked;
        }
        let first = tracked.select(0..end);
        self.left = Some(tracked.select(end..batch.len()));
        tracked.done();
        first
    }
}

fn same_lane(one: &TrackedBatch, other: &TrackedBatch) -> bool {
    let lane = |tracked: &TrackedBatch| {
        tracked.batch().runs().first().map(|run| (run.origin.source.clone(), run.origin.partition.clone()))
    };
    lane(one) == lane(other)
}
